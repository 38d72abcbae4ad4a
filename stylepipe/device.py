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
    half = torch.float16 if device.type == "cuda" else torch.bfloat16
    if precision == "auto":
        return Device(half if device.type == "cuda" or _native_bf16() else torch.float32, device)
    if precision not in ("full", "half"):
        raise UsageError(f"unknown precision {precision!r}; use auto, full or half")
    return Device(half if precision == "half" else torch.float32, device)


def _native_bf16() -> bool:
    import torch

    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return bool(probe() or amx())
