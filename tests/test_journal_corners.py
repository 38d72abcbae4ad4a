"""The journal where others meddle: two runs, links and pipes, caches and disks only to be read."""

import errno
import os
from pathlib import Path

import fakes
import numpy as np
import pytest
from fakes import array, settings

from stylepipe import SetupError, journal, lock
from stylepipe.job import Job
from stylepipe.lock import Lock
from stylepipe.pipeline import run
from stylepipe.report import Report

posix = pytest.mark.skipif(os.name != "posix", reason="no locks, links or pipes of this kind")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, name in enumerate("ab"):
        np.save(folder / f"{name}.npy", array(seed=index))
    return folder


def go(source: Path, output: Path, **options) -> Report:
    job = Job(
        (source,), output, settings(),
        **{"device": "cpu", "precision": "full", "memory": 1 << 28} | options,
    )  # fmt: skip
    return run(job, fakes.Plugins(), Report(quiet=True))


# -- the lock ------------------------------------------------------------------------------------


@posix
def test_one_who_waited_for_a_run_that_ended_does_not_hold_a_lock_that_is_gone(
    tmp_path, monkeypatch
):
    first = Lock(tmp_path / "notes")
    flock = lock._flock

    def late(handle: int) -> None:
        monkeypatch.setattr(lock, "_flock", flock)
        first.release()  # between the second's opening of the file and its lock
        flock(handle)

    monkeypatch.setattr(lock, "_flock", late)
    second = Lock(tmp_path / "notes")
    with pytest.raises(BlockingIOError):
        Lock(tmp_path / "notes")
    second.release()
    assert not (tmp_path / "notes").exists()


@posix
def test_one_whose_folder_was_taken_away_makes_it_again(tmp_path, monkeypatch):
    opened = lock.open_plain

    def late(path: Path, flags: int) -> int:
        monkeypatch.setattr(lock, "open_plain", opened)
        path.parent.rmdir()  # by a run that ended
        return opened(path, flags)

    monkeypatch.setattr(lock, "open_plain", late)
    Lock(tmp_path / "notes")
    with pytest.raises(BlockingIOError):
        Lock(tmp_path / "notes")


@posix
def test_nothing_is_removed_once_the_lock_is_free(tmp_path, monkeypatch):
    """A run that begins when the lock is let go finds its own lock there when the first is over."""
    one = journal.Journal(tmp_path / "out", False, "")
    one.open()
    close, others = os.close, []

    def closing(handle: int) -> None:
        close(handle)
        if handle == one_lock._handle:
            monkeypatch.setattr(os, "close", close)
            others.append(Lock(tmp_path / "out" / ".stylepipe"))

    one_lock = one._lock
    monkeypatch.setattr(os, "close", closing)
    one.close()
    assert others and (tmp_path / "out" / ".stylepipe" / "lock").exists()
    with pytest.raises(BlockingIOError):
        Lock(tmp_path / "out" / ".stylepipe")


@pytest.mark.parametrize("single", [True, False])
def test_what_others_put_beside_the_notes_stays(photos, tmp_path, single):
    if single:
        source, output, notes = photos / "a.npy", tmp_path / "a.npy", tmp_path / ".a.npy.stylepipe"
    else:
        source, output, notes = photos, tmp_path / "out", tmp_path / "out" / ".stylepipe"
    notes.mkdir(parents=True)
    (notes / "mine.txt").write_text("precious")
    (notes / "sub").mkdir()
    assert go(source, output).exit_code == 0
    assert (notes / "mine.txt").read_text() == "precious" and (notes / "sub").is_dir()
    with pytest.raises(SetupError):  # nor does a run that fails early
        go(source, tmp_path / "x", device="cuda:77")
    assert not (tmp_path / "x").exists()


# -- where it cannot be written -----------------------------------------------------------------


@pytest.mark.parametrize("cache", ["a file", "~nobody-of-that-name/cache"])
def test_a_single_result_is_known_again_without_a_cache(photos, tmp_path, monkeypatch, cache):
    if cache == "a file":
        (tmp_path / "cache").write_text("")
        cache = str(tmp_path / "cache")
    output = tmp_path / "out.npy"
    with monkeypatch.context() as patch:
        patch.setenv("STYLEPIPE_CACHE", cache)
        assert go(photos / "a.npy", output).counts == {"done": 1}
        assert go(photos / "a.npy", output).counts == {"skipped": 1}
        assert go(photos / "a.npy", output, dry_run=True).exit_code == 0
    monkeypatch.setenv("STYLEPIPE_CACHE", str(tmp_path / "new"))
    assert go(photos / "a.npy", output).counts == {"skipped": 1}, "nor with another later"
    report = go(photos / "b.npy", output)
    assert report.counts == {"failed": 1} and "--overwrite" in report.failures[0][1]


@pytest.mark.parametrize("trouble", ["only to be read", "in use"])
def test_a_finished_job_needs_nothing_of_the_disk(photos, tmp_path, monkeypatch, trouble):
    go(photos, tmp_path / "out")

    def refuse(folder: Path) -> None:
        if trouble == "in use":
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(journal, "Lock", refuse)
    report = go(photos, tmp_path / "out")
    assert report.counts == {"skipped": 2} and report.exit_code == 0
    monkeypatch.setattr("stylepipe.pipeline.obstacle", lambda folder: "it can only be read")
    assert go(photos, tmp_path / "out", dry_run=True).exit_code == 0
    np.save(photos / "c.npy", array())
    with pytest.raises(SetupError, match="Read-only" if trouble != "in use" else "another run"):
        go(photos, tmp_path / "out")


def test_what_cannot_be_removed_costs_nothing_that_is_done(photos, tmp_path, monkeypatch):
    def refuse(folder: Path, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(journal.shutil, "rmtree", refuse)
    assert go(photos, tmp_path / "out").counts == {"done": 2}
    assert any((tmp_path / "out" / ".stylepipe" / "work").iterdir())
    assert go(photos, tmp_path / "out").counts == {"skipped": 2}
    with pytest.raises(SetupError, match=r"cannot remove .*Permission denied"):
        go(photos, tmp_path / "out", redo=True)


# -- links and pipes in the place of notes -------------------------------------------------------


def link(path: Path, target: Path) -> None:
    target.write_text("precious")
    path.symlink_to(target)


def pipe(path: Path, target: Path) -> None:
    os.mkfifo(path)


def folder(path: Path, target: Path) -> None:
    path.mkdir()


@posix
@pytest.mark.parametrize("make", [link, pipe, folder])
@pytest.mark.parametrize("name", ["journal.jsonl", "lock", "inhand", "crash"])
def test_notes_are_never_written_through_a_link_nor_waited_for(photos, tmp_path, name, make):
    notes = tmp_path / "out" / ".stylepipe"
    notes.mkdir(parents=True)
    make(notes / name, tmp_path / "target")
    with pytest.raises(SetupError, match=f"{name} is a link, a pipe or the like .* move it away"):
        go(photos, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.npy"))
    assert make is not link or (tmp_path / "target").read_text() == "precious"


@posix
def test_the_journal_of_a_single_result_is_no_link_either(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEPIPE_CACHE", str(tmp_path / "cache"))
    go(photos / "a.npy", tmp_path / "a.npy")
    (known,) = (tmp_path / "cache" / "results").iterdir()
    known.rename(tmp_path / "target")
    before = (tmp_path / "target").read_bytes()
    known.symlink_to(tmp_path / "target")
    with pytest.raises(SetupError, match="is a link"):
        go(photos / "a.npy", tmp_path / "a.npy")
    assert (tmp_path / "target").read_bytes() == before


@posix
@pytest.mark.parametrize("name", [".stylepipe", ".stylepipe/work"])
def test_a_folder_of_notes_is_no_link(photos, tmp_path, name):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    place = tmp_path / "out" / name
    place.parent.mkdir(parents=True)
    place.symlink_to(elsewhere)
    with pytest.raises(SetupError, match="is a link"):
        go(photos, tmp_path / "out")
    assert not list(elsewhere.iterdir())


# -- results that are brought over from another disk ---------------------------------------------


@pytest.fixture
def two_disks(monkeypatch):
    monkeypatch.setattr(journal, "_on_one_disk", lambda one, other: False)


def beside(output: Path) -> list[str]:
    return sorted(p.name for p in output.iterdir() if p.name != ".stylepipe")


def test_a_copy_to_another_disk_that_is_killed_is_cleaned_away(
    photos, tmp_path, monkeypatch, two_disks
):
    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "discard", lambda self, item: None)
        brought = journal.Journal._brought_over

        def killed(self, item, part):
            brought(self, item, part)
            raise KeyboardInterrupt

        patch.setattr(journal.Journal, "_brought_over", killed)
        with pytest.raises(KeyboardInterrupt):
            go(photos / "a.npy", output)
    (part,) = beside(output)
    assert part.startswith(".stylepipe-") and part.endswith(".part")
    assert go(photos, output).counts == {"done": 2}
    assert beside(output) == ["a.npy", "b.npy"]
    np.testing.assert_array_equal(np.load(output / "a.npy"), 255 - np.load(photos / "a.npy"))


def test_a_copy_to_another_disk_that_fails_leaves_nothing(photos, tmp_path, monkeypatch, two_disks):
    def full(source, target):
        target.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journal.shutil, "copyfileobj", full)
    with pytest.raises(SetupError, match="No space left"):
        go(photos, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@posix
def test_a_copy_to_another_disk_follows_no_link(photos, tmp_path, two_disks):
    output = tmp_path / "out"
    go(photos / "a.npy", output)
    name = journal.digest("b.npy")[:16]
    link(output / f".stylepipe-{name}.part", tmp_path / "target")
    assert go(photos, output).counts == {"skipped": 1, "done": 1}
    assert (tmp_path / "target").read_text() == "precious" and beside(output) == ["a.npy", "b.npy"]


def test_a_limit_that_changes_no_result_keeps_results(tmp_path, make_photo):
    """The advice to lower --max-pixels can be followed: what is done stays done."""
    from stylepipe.fingerprints import settings_fingerprint
    from stylepipe.plugins import Plugins
    from stylepipe.presets import resolve

    prints = {
        settings_fingerprint(resolve(Plugins(), "default", {"input": given}), "auto")
        for given in ({}, {"max_pixels": 1000})
    }
    assert len(prints) == 1
