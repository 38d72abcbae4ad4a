"""How much memory there is, and sizes as people write them."""

from __future__ import annotations

import os
from pathlib import Path

from stylepipe.errors import UsageError

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


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
        return 4 << 30  # Windows tells nothing through the standard library


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
