"""Planning is one step: each source and each result is looked at once, whatever becomes of it."""

import os
from collections import Counter

import fakes
import numpy as np
import pytest
from fakes import array, settings

from stylepipe import fingerprints
from stylepipe.inhand import InHand
from stylepipe.inputs import find_items
from stylepipe.job import Job
from stylepipe.journal import Journal
from stylepipe.pipeline import run
from stylepipe.plan import decide
from stylepipe.report import Report


@pytest.fixture
def mixed(tmp_path):
    """One photo that is done, one whose source changed since, one in the way, one to be done."""
    for index, name in enumerate(("done", "stale", "foreign", "new")):
        (tmp_path / "in").mkdir(exist_ok=True)
        np.save(tmp_path / "in" / f"{name}.npy", array(seed=index))
    go(tmp_path)
    np.save(tmp_path / "in" / "stale.npy", array(seed=9))
    np.save(tmp_path / "out" / "foreign.npy", array(seed=8))
    (tmp_path / "out" / "new.npy").unlink()
    return tmp_path


def job(place, **options):
    return Job((place / "in",), place / "out", settings(), device="cpu", **options)


def go(place, **options):
    return run(job(place, **options), fakes.Plugins(), Report(quiet=True)).counts


@pytest.fixture
def reads(monkeypatch):
    """How often each file was hashed."""
    counted = Counter()
    stamp = fingerprints._stamp_of_file

    def count(path, found):
        counted[path.name] += 1
        return stamp(path, found)

    monkeypatch.setattr(fingerprints, "_stamp_of_file", count)
    return counted


def test_each_source_is_fingerprinted_once_a_run(mixed, reads):
    os.utime(mixed / "in" / "done.npy")  # its content must be compared
    assert go(mixed) == {"skipped": 1, "done": 2, "failed": 1}
    assert {name: reads[name] for name in ("done.npy", "stale.npy", "new.npy")} == {
        "done.npy": 1, "stale.npy": 1, "new.npy": 1,
    }  # fmt: skip
    reads.clear()
    go(mixed)
    assert not reads["done.npy"], "and where it lies now is remembered"


def test_one_look_says_of_every_item_where_it_stands(mixed, reads, monkeypatch):
    found = find_items((mixed / "in",), mixed / "out", settings())
    fingerprint = fingerprints.settings_fingerprint(settings(), "auto")
    journal = Journal(mixed / "out", False, fingerprint)
    looks = Counter()
    version = fingerprints.version

    def count(path):
        looks[path.relative_to(mixed).as_posix()] += 1
        return version(path)

    monkeypatch.setattr("stylepipe.journal.version", count)
    monkeypatch.setattr(fingerprints, "version", count)
    plan = decide(job(mixed), found, journal, InHand(journal, None))
    assert [item.source.stem for item in plan.todo] == ["new", "stale"]
    assert [item.source.stem for item, _ in plan.complete] == ["done"]
    assert set(looks.values()) == {1} and len(looks) == 7, "four results, and three sources of them"


def test_notes_of_another_run_are_not_read_before_that_has_ended(mixed, monkeypatch):
    """While it lives, what it has in hand would be taken for what it died of."""
    opened = []
    journal_open, read = Journal.open, InHand._read
    monkeypatch.setattr(Journal, "open", lambda self: opened.append(1) or journal_open(self))
    monkeypatch.setattr(InHand, "_read", lambda self: opened.append(2) or read(self))
    go(mixed)
    assert opened == [1, 2]


@pytest.mark.parametrize("option", ["overwrite", "redo", "skip_existing"])
def test_what_is_there_is_replaced_or_kept_as_asked(mixed, option):
    counts = {
        "overwrite": {"done": 3, "skipped": 1},
        "redo": {"done": 4},
        "skip_existing": {"skipped": 3, "done": 1},
    }
    assert go(mixed, **{option: True}) == counts[option]
