"""Which device a job runs on, and which number type is fast there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stylepipe.errors import SetupError, UsageError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Device:
    """A torch device with the number type that models should compute in there."""

    dtype: torch.dtype
    torch: torch.device

    @property
    def type(self) -> str:
        """``cpu``, ``cuda``, ``mps`` ..."""
        return self.torch.type


def pick(name: str = "auto", precision: str = "auto") -> Device:
    """Resolve ``auto``, ``cpu``, ``cuda``, ``cuda:1`` ... and ``auto``, ``full``, ``half``.

    ``half`` is bfloat16 on the CPU and float16 on CUDA. ``auto`` takes half precision where the
    hardware multiplies it natively, float32 elsewhere. Raises SetupError if the device is not
    there, UsageError if the name means nothing.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"unknown device {name!r}; use auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise SetupError(
                f"device {name!r} was asked for, but torch {torch.__version__} sees {count} CUDA "
                "devices; use --device cpu, or install a driver and a CUDA build of torch"
            )
    _try(device)
    half = torch.float16 if device.type == "cuda" else torch.bfloat16
    if precision == "auto":
        fast = device.type == "cuda" or native_bf16(device)
        return Device(half if fast else torch.float32, device)
    if precision not in ("full", "half"):
        raise UsageError(f"unknown precision {precision!r}; use auto, full or half")
    return Device(half if precision == "half" else torch.float32, device)


def _try(device: torch.device) -> None:
    """Raises SetupError unless the device can compute and hand the result back."""
    import torch

    try:
        (torch.zeros(1, device=device) + 1).cpu()
    except Exception as error:  # each kind of device raises different exceptions
        why = " ".join(str(error).split()).partition(". ")[0][:160]
        raise SetupError(
            f"device {str(device)!r} does not work with torch {torch.__version__} here ({why}); "
            "use --device cpu"
        ) from error


def native_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 natively; emulation is slower than float32."""
    import torch

    if device.type == "cuda":
        try:
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        except TypeError:  # a torch that does not know the argument
            return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return bool(probe() or amx())


def full_range_dtype(device: Device) -> torch.dtype:
    """The device's number type where it has the range of float32: bfloat16, or float32 itself.

    Gradients and sums of features overflow in float16, which CUDA prefers.
    """
    import torch

    half = device.dtype.itemsize == 2
    fits = half and (device.type != "cuda" or native_bf16(device.torch))
    return torch.bfloat16 if fits else torch.float32
