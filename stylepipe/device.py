"""Which device a job runs on, which number type is fast there, and what to do without memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stylepipe.errors import ItemError, SetupError, UsageError

if TYPE_CHECKING:
    import torch

    from stylepipe.components import Stylizer
    from stylepipe.types import Batch


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
    """Raise SetupError unless the device can compute and hand the result back."""
    import torch

    try:
        (torch.zeros(1, device=device) + 1).cpu()
    except Exception as error:  # each kind of device has exceptions of its own
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


# -- memory ---------------------------------------------------------------------------------

_SPINS = "1000"
"""A hundredth of what GNU OpenMP takes by itself, or less."""
SMALLEST_TILE = 128
"""Pixels; a picture that cannot be painted in tiles of this side is given up."""


def tune_threads() -> None:
    """Let torch's threads sleep soon when they wait for one another.

    GNU OpenMP spins for milliseconds at the end of every layer, and so keeps the processor from
    whatever it waits for: beside other work a network takes several times as long. The environment
    decides where it says something of this. Read when torch is imported: where it is already,
    nothing can be changed, and nothing is. Other OpenMP libraries do not know the variable.
    """
    said = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()
    if not said and "torch" not in sys.modules:
        os.environ["GOMP_SPINCOUNT"] = _SPINS


def tune_allocator() -> None:
    """Make glibc keep freed blocks instead of giving them back after every layer of a network.

    Half the time of eager inference can be page faults without it. Threads share one heap: each
    would keep blocks of its own that no other can use. For a program's start, not for a library.
    Does nothing where the C library is another one.
    """
    import ctypes
    import platform

    if platform.libc_ver()[0] != "glibc":
        return
    mmap_max, trim_threshold, arena_max = -4, -1, -8  # M_... of malloc.h
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(arena_max, 1)


def trim_allocator() -> None:
    """Give freed blocks back to the system after all, where memory is scarce and a phase of the
    work has ended: those of the next have other sizes, and would lie beside them.

    Does nothing where the C library is not glibc.
    """
    import ctypes
    import platform

    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def run_within_memory(stylizer: Stylizer, batch: Batch) -> torch.Tensor:
    """Stylize a batch, in smaller and smaller pieces as long as memory does not suffice.

    First fewer frames at once; then, if the stylizer's caps say tileable, tiles that see ``reach``
    pixels around them, so that no seam appears. Pictures below ``caps.min_side`` are extended by
    reflection, and cut back. Returns N3HW. Raises ItemError when the smallest piece is too large.
    """
    result = _attempt(stylizer, batch)
    if result is not None:
        return result
    if len(batch.images) > 1:
        import torch

        half = len(batch.images) // 2
        parts = (_part(batch, frames=slice(None, half)), _part(batch, frames=slice(half, None)))
        return torch.cat([run_within_memory(stylizer, part) for part in parts])
    height, width = batch.images.shape[2:]
    side = max(height, width) // 2
    while stylizer.caps.tileable and side >= SMALLEST_TILE:
        result = _tiled(stylizer, batch, side)
        if result is not None:
            return result
        side //= 2
    raise ItemError(
        f"not enough memory to paint {width}x{height} pixels with {stylizer.name!r} on "
        f"{batch.images.device}; make the picture smaller or use another device"
    )


def _attempt(stylizer: Stylizer, batch: Batch) -> torch.Tensor | None:
    """None if memory did not suffice; by then all that was allocated is free again."""
    import torch

    height, width = batch.images.shape[2:]
    try:
        result = stylizer.stylize(_extended(batch, stylizer.caps.min_side))
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    else:
        return result[:, :, :height, :width]
    if batch.images.is_cuda:
        torch.cuda.empty_cache()
    return None


def _tiled(stylizer: Stylizer, batch: Batch, side: int) -> torch.Tensor | None:
    import torch

    from stylepipe.tiling import tiles

    out = torch.empty_like(batch.images)
    height, width = batch.images.shape[2:]
    for tile in tiles(height, width, side, stylizer.caps.receptive_radius):
        y0, y1, x0, x1 = tile.window
        painted = _attempt(stylizer, _part(batch, rows=slice(y0, y1), columns=slice(x0, x1)))
        if painted is None:
            return None
        top, bottom, left, right = tile.core
        out[:, :, top:bottom, left:right] = painted[:, :, *tile.inside]
    return out


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a failed allocation, on any device, is what the error is about."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    words = ("not enough memory", "can't allocate memory", "out of memory")
    return isinstance(error, RuntimeError) and any(w in str(error).lower() for w in words)


def _part(
    batch: Batch,
    frames: slice = slice(None),
    rows: slice = slice(None),
    columns: slice = slice(None),
) -> Batch:
    part = _mapped(batch, lambda x: x[frames, :, rows, columns])
    return replace(part, first=batch.first + (frames.start or 0))


def _extended(batch: Batch, side: int) -> Batch:
    """Extend right and down by reflection until no side is shorter than ``side``."""
    height, width = batch.images.shape[2:]
    if min(height, width) >= side:
        return batch
    rows, columns = _reflected(height, side), _reflected(width, side)
    return _mapped(batch, lambda x: x[:, :, rows][:, :, :, columns])


def _reflected(length: int, side: int) -> list[int]:
    """Indices 0 1 2 .. 2 1 0 1 .. of as many entries as are needed."""
    period = max(2 * length - 2, 1)
    positions = (i % period for i in range(max(length, side)))
    return [min(i, period - i) if period > 1 else 0 for i in positions]


def _mapped(batch: Batch, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
    guide = batch.guide
    return replace(
        batch,
        images=change(batch.images),
        masks=None if batch.masks is None else change(batch.masks),
        guide=guide and replace(guide, warped=change(guide.warped), trust=change(guide.trust)),
    )
