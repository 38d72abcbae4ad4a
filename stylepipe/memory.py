"""How much memory there is, how torch's threads wait, and when freed blocks go back."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stylepipe.errors import UsageError

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SPINS = "1000"
"""A hundredth of GNU OpenMP's default, or less."""
_MMAP_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD, _ARENA_MAX = -4, -3, -1, -8
"""The M_... of glibc's malloc.h."""


def parse_size(text: str) -> int:
    """Read ``4G``, ``512M``, ``1.5GiB`` or a number of bytes. Raises UsageError."""
    word = text.strip().lower().removesuffix("ib").removesuffix("b")
    unit = word[-1:] if word[-1:].isalpha() else ""
    try:
        size = float(word.removesuffix(unit)) * _UNITS[unit]
    except (KeyError, ValueError):
        raise UsageError(f"{text!r} is no size; write for example 4G or 512M") from None
    if not 1 << 26 <= size < 1 << 62:
        raise UsageError(f"{text!r} is no sensible amount of memory; give at least 64M")
    return int(size)


def available_memory() -> int:
    """Bytes that this process may still take without pushing the machine into swapping."""
    return min(_free_in_machine(), _free_in_container())


def _free_in_machine() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return 4 << 30  # on Windows the standard library does not say


def _free_in_container(root: Path = Path("/")) -> int:
    """What control groups (version 2) leave, where they limit this process; else a large number.

    Every group above the process's own may have a limit, too. A cache of files that was not used
    lately counts as free: the kernel takes it back first.
    """
    mount = root / "sys/fs/cgroup"
    try:
        own = (root / "proc/self/cgroup").read_text()
    except OSError:
        own = ""
    name = next((line[3:] for line in own.splitlines() if line.startswith("0::")), "/")
    group = mount / name.strip("/")
    folders = [mount]
    # In a container the name may be the one outside, where it leads nowhere.
    if ".." not in group.parts and group.is_dir():
        folders += [group, *(p for p in group.parents if mount in p.parents)]
    return min(_free_in_group(folder) for folder in folders)


def _free_in_group(folder: Path) -> int:
    try:
        limit = int((folder / "memory.max").read_text())
        used = int((folder / "memory.current").read_text())
        fields = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return max(limit - used + int(fields["inactive_file"]), 1 << 28)
    except (OSError, ValueError, KeyError):  # no control group here, or its limit is "max"
        return 1 << 62


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a failed allocation, on any device, is what the error is about."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    words = ("not enough memory", "can't allocate memory", "out of memory")
    return isinstance(error, RuntimeError) and any(w in str(error).lower() for w in words)


def tune_threads() -> None:
    """Let torch's threads sleep soon when they wait for one another.

    GNU OpenMP spins for milliseconds at the end of every layer, and so keeps the processor from
    whatever it waits for: beside other work a network takes up to 60 times as long. It reads how
    long to spin from the environment when torch is imported. After that, only its own rule helps:
    it spins shortly as soon as there are more threads than processors. So where torch is there
    already, threads that wait forever, with teams of their own, make them more; they take no time,
    and stay until the process ends. Threads are not counted again in a forked process.

    Once a process. Nothing is done where GOMP_SPINCOUNT or OMP_WAIT_POLICY say how to wait, where
    torch is set to use one thread, or on systems where torch brings another OpenMP.
    """
    if {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        return
    if "torch" not in sys.modules:
        os.environ["GOMP_SPINCOUNT"] = _SPINS
    elif sys.platform == "linux":
        with _guard:
            _park_teams()


def _park_teams() -> None:
    global _parked
    import torch

    team = torch.get_num_threads()
    if _parked or team == 1:
        return
    _parked = True
    # Beside the team that computes, as many as it takes to be more than the processors.
    teams = len(os.sched_getaffinity(0)) // team or 1
    ready = threading.Barrier(teams + 1)

    def wait() -> None:
        torch.ones(1 << 20).mul_(2)  # large enough for all threads, which OpenMP then keeps
        with suppress(threading.BrokenBarrierError):
            ready.wait()
        threading.Event().wait()

    for _ in range(teams):
        threading.Thread(target=wait, name="parked", daemon=True).start()
    with suppress(threading.BrokenBarrierError):  # one that is not there yet comes later
        ready.wait(10)


_guard = threading.RLock()
_parked = False
_keeping = 0
"""How many hold :func:`freed_blocks_kept`."""


def tune_allocator() -> None:
    """Make glibc keep freed blocks instead of giving them back after every layer of a network.

    Half the time of eager inference can be page faults without it. Threads share one heap: each
    would keep blocks that no other can use. That cannot be undone: for a program's
    start, not for a library. Does nothing where the C library is another one.
    """
    _mallopt({_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _ARENA_MAX: 1})


@contextmanager
def freed_blocks_kept() -> Iterator[None]:
    """Inside, glibc keeps freed blocks, as after :func:`tune_allocator`, for a library.

    When the last of those who keep them leaves, what is free goes back to the system, and later
    blocks as soon as glibc's own rule would have it after a block of its largest size. Threads
    keep their heaps. Does nothing where the C library is another one.
    """
    global _keeping
    with _guard:
        _keeping += 1
        if _keeping == 1:
            _mallopt({_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1})
    try:
        yield
    finally:
        with _guard:
            _keeping -= 1
            if not _keeping:
                _mallopt({_MMAP_MAX: 65536, _MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 64 << 20})
                trim_allocator()


def trim_allocator() -> None:
    """Give freed blocks back to the system after all, where memory is scarce and a phase of the
    work has ended: those of the next have other sizes, and would lie beside them.

    Does nothing where the C library is not glibc.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def _mallopt(values: dict[int, int]) -> None:
    if platform.libc_ver()[0] == "glibc":
        for parameter, value in values.items():
            ctypes.CDLL(None).mallopt(parameter, value)
