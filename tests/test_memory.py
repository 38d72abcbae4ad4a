"""How much memory a process may take."""

from pathlib import Path

import pytest

from stylepipe import UsageError
from stylepipe.memory import _free_in_container, available_memory, parse_size

GIB = 1 << 30


def group(folder: Path, limit: str, used: int, cache: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {cache}\nactive_file 5\n")


def own_group(root: Path, name: str) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(f"1:name=systemd:/x\n0::{name}\n")


def test_a_cache_of_files_counts_as_free(tmp_path: Path) -> None:
    group(tmp_path / "sys/fs/cgroup", str(8 * GIB), 7 * GIB, 4 * GIB)
    assert _free_in_container(tmp_path) == 5 * GIB


@pytest.mark.parametrize("tight", ["job", "job/inner"])
def test_the_tightest_group_around_the_process_counts(tmp_path: Path, tight: str) -> None:
    mount = tmp_path / "sys/fs/cgroup"
    own_group(tmp_path, "/job/inner")
    group(mount, "max", 0, 0)
    for name in ("job", "job/inner"):
        group(mount / name, str(2 * GIB) if name == tight else "max", GIB, 0)
    group(mount / "other", str(GIB), GIB, 0)
    assert _free_in_container(tmp_path) == GIB


@pytest.mark.parametrize("name", ["/outside/of/here", "/../../up"])
def test_a_name_that_leads_nowhere_leaves_the_root(tmp_path: Path, name: str) -> None:
    own_group(tmp_path, name)
    group(tmp_path / "sys/fs/cgroup", str(3 * GIB), GIB, 0)
    assert _free_in_container(tmp_path) == 2 * GIB


def test_without_groups_nothing_is_limited(tmp_path: Path) -> None:
    assert _free_in_container(tmp_path) > 1 << 50
    group(tmp_path / "sys/fs/cgroup", "max", GIB, 0)
    assert _free_in_container(tmp_path) > 1 << 50
    assert available_memory() < 1 << 50


def test_a_group_that_is_full_still_lets_a_small_job_try(tmp_path: Path) -> None:
    group(tmp_path / "sys/fs/cgroup", str(GIB), GIB, 0)
    assert _free_in_container(tmp_path) == 1 << 28


@pytest.mark.parametrize(
    ("text", "size"), [("512M", 512 << 20), ("1.5GiB", 3 << 29), ("4g", 4 << 30), ("1e9", 10**9)]
)
def test_sizes_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "many", "4 gallons", "-4G", "nan", "inf", "1", "1e99"])
def test_what_is_no_size_gets_a_sentence(text: str) -> None:
    with pytest.raises(UsageError, match=r"give at least 64M|write for example"):
        parse_size(text)
