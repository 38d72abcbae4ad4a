"""Clashes of names and files of others are matters of their own items; nothing goes unsaid."""

import json
import time
from dataclasses import replace
from pathlib import Path

import fakes
import numpy as np
import pytest
from fakes import array, settings

from stylepipe import UsageError
from stylepipe.clashes import clashes
from stylepipe.inputs import find_items
from stylepipe.job import Job
from stylepipe.pipeline import run
from stylepipe.report import Report
from stylepipe.types import Item


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, name in enumerate("abc"):
        np.save(folder / f"{name}.npy", array(seed=index))
    return folder


def go(source, output, chosen=None, report=None, **options):
    job = Job((source,), output, chosen or settings(), device="cpu", **options)
    plugins = fakes.Plugins()
    report = run(job, plugins, report or Report(quiet=True))
    return report, plugins.told


@pytest.fixture
def two_suffixes(monkeypatch):
    """The fakes read and write .npx, too."""
    for cls in (fakes.NpyReader, fakes.NpyWriter):
        monkeypatch.setattr(cls, "patterns", (".npy", ".npx"))


def also(path: Path, seed: int) -> None:
    with path.open("wb") as file:
        np.save(file, array(seed=seed))


def test_clashes_are_listed_and_the_others_go_on(photos, tmp_path, two_suffixes):
    also(photos / "a.npx", 7)
    also(photos / "b.npx", 8)
    report, told = go(photos, tmp_path / "out", settings(format="npy"))
    assert report.exit_code == 1 and report.counts == {"failed": 4, "done": 1}
    assert [n for n, s in told[1:-1] if s == "failed"] == ["a.npx", "a.npy", "b.npx", "b.npy"]
    source, why = report.failures[0]
    assert source.name == "a.npx" and "would be that of" in why and "a.npy, too" in why
    assert "--name '{stem}-{suffix}'" in why
    report, _ = go(photos, tmp_path / "out2", settings(format="npy", name="{stem}-{suffix}"))
    assert report.counts == {"done": 5}
    names = sorted(p.name for p in (tmp_path / "out2").glob("*.npy"))
    assert names == ["a-npx.npy", "a-npy.npy", "b-npx.npy", "b-npy.npy", "c-npy.npy"]


def test_rivals_are_told_by_name_up_to_three(photos, tmp_path):
    for name in "defg":
        np.save(photos / f"{name}.npy", array())
    (why, *_) = find_items((photos,), tmp_path / "out", settings(name="same")).refused.values()
    assert "d.npy and 3 more, too" in why and "--name 'same-{index:04d}'" in why


def test_names_that_differ_in_case_are_two_files_where_the_sources_are_two(photos, tmp_path):
    if (photos / "A.npy").exists():
        pytest.skip("the disk folds case")
    np.save(photos / "A.npy", array(seed=9))
    report, _ = go(photos, tmp_path / "out")
    assert report.counts == {"done": 4}
    np.testing.assert_array_equal(np.load(tmp_path / "out/A.npy"), 255 - array(seed=9))
    np.testing.assert_array_equal(np.load(tmp_path / "out/a.npy"), 255 - array(seed=0))


def test_names_that_differ_in_case_clash_on_another_disk_and_from_other_folders(tmp_path):
    one, two = (Item(k, tmp_path / n, tmp_path, tmp_path / "out" / n) for k, n in enumerate("aA"))
    one.source.touch()
    two.source.touch()
    if one.source.samefile(two.source):
        pytest.skip("the disk folds case")
    assert clashes((one, two), settings()) == {}
    away = [replace(i, output=Path("/proc") / i.output.name) for i in (one, two)]
    assert sorted(clashes(away, settings())) == [0, 1]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "A").touch()
    assert sorted(clashes((one, replace(two, source=tmp_path / "other/A")), settings())) == [0, 1]


def test_a_mask_is_never_replaced(photos, tmp_path):
    from stylepipe_plugins.masks import FilesMasker

    masks = tmp_path / "masks"
    masks.mkdir()
    (masks / "a.npy").write_text("precious")
    masker = FilesMasker(FilesMasker.Options(path=masks))
    found = find_items((photos,), masks, settings(masker=masker))
    assert list(found.refused) == [0] and "which this run reads" in found.refused[0]
    found = find_items((photos / "b.npy",), masks / "a.npy", settings(masker=masker))
    assert found.single and list(found.refused) == [0]


def test_an_output_edited_by_hand_costs_its_item_only(photos, tmp_path):
    go(photos, tmp_path / "out")
    (tmp_path / "out" / "b.npy").write_text("mine")
    np.save(photos / "d.npy", array(seed=5))
    report, told = go(photos, tmp_path / "out")
    assert report.counts == {"skipped": 2, "failed": 1, "done": 1} and report.exit_code == 1
    assert [n for n, _ in told[1:-1]] == ["a.npy", "b.npy", "c.npy", "d.npy"], "in order"
    assert "b.npy exists and was not made" in report.failures[0][1]
    assert (tmp_path / "out" / "b.npy").read_text() == "mine"
    report, _ = go(photos, tmp_path / "out", skip_existing=True)
    assert report.counts == {"skipped": 4} and report.exit_code == 0
    report, _ = go(photos, tmp_path / "out", overwrite=True)
    assert report.counts == {"skipped": 3, "done": 1}
    np.testing.assert_array_equal(np.load(tmp_path / "out/b.npy"), 255 - array(seed=1))


def test_what_other_settings_made_is_the_items_matter_once_there_is_some_of_ours(photos, tmp_path):
    go(photos, tmp_path / "out")
    go(photos / "b.npy", tmp_path / "out", settings(strength=0.5), overwrite=True)
    report, _ = go(photos, tmp_path / "out")
    assert report.counts == {"skipped": 2, "failed": 1}


def test_abort_stops_at_a_clash_and_does_what_came_before(photos, tmp_path, two_suffixes):
    also(photos / "b.npx", 7)
    report, told = go(photos, tmp_path / "out", settings(format="npy"), on_error="abort")
    assert told[1:-1] == [("a.npy", "done"), ("b.npx", "failed")]
    assert report.exit_code == 1 and not (tmp_path / "out" / "c.npy").exists()


def test_overwrite_leaves_what_is_done_and_redo_forces(photos, tmp_path):
    go(photos, tmp_path / "out")
    before = (tmp_path / "out" / "a.npy").stat().st_mtime_ns
    report, _ = go(photos, tmp_path / "out", overwrite=True)
    assert report.counts == {"skipped": 3}
    time.sleep(0.01)
    report, _ = go(photos, tmp_path / "out", redo=True)
    assert report.counts == {"done": 3}
    assert (tmp_path / "out" / "a.npy").stat().st_mtime_ns != before
    (tmp_path / "out" / "b.npy").write_text("mine")
    report, _ = go(photos, tmp_path / "out", settings(strength=0.5), redo=True)
    assert report.counts == {"done": 3}, "whatever is there"


def test_redo_begins_an_unfinished_film_anew(tmp_path, monkeypatch):
    np.save(tmp_path / "clip.npy", np.stack([array(seed=i) for i in range(6)]))
    with fakes.writing_fails_at(3, monkeypatch):
        assert go(tmp_path / "clip.npy", tmp_path / "out.npy")[0].exit_code == 1
    report, _ = go(tmp_path / "clip.npy", tmp_path / "out.npy", redo=True)
    assert report.counts["done"] == 1 and report.frames == 6


def test_numbers_do_not_shift(photos, tmp_path):
    chosen = settings(name="{index:03d}-{stem}")
    go(photos, tmp_path / "out", chosen)
    assert go(photos, tmp_path / "out", chosen)[0].counts == {"skipped": 3}
    (photos / "a.npy").unlink()
    before = sorted(p.name for p in (tmp_path / "out").glob("*.npy"))
    with pytest.raises(UsageError, match=r"b\.npy was 002-b\.npy and would be 001-b\.npy now"):
        go(photos, tmp_path / "out", chosen)
    with pytest.raises(UsageError, match=r"name results by \{stem\}, or choose another --output"):
        go(photos, tmp_path / "out", chosen, dry_run=True)
    assert sorted(p.name for p in (tmp_path / "out").glob("*.npy")) == before
    assert go(photos, tmp_path / "out2", chosen)[0].counts == {"done": 2}


def test_numbers_of_another_folder_are_no_shift(photos, tmp_path):
    chosen = settings(name="{index:03d}-{stem}")
    go(photos, tmp_path / "out", chosen)
    (tmp_path / "more").mkdir()
    np.save(tmp_path / "more" / "b.npy", array(seed=40))
    assert go(tmp_path / "more", tmp_path / "out", chosen)[0].counts == {"done": 1}


@pytest.mark.parametrize("dry_run", [True, False])
def test_files_left_out_are_told_with_their_kinds(photos, tmp_path, capsys, dry_run):
    kinds = ["dng", "CR2", "psd", "jxl", "jp2", "pdf", "svg", "tga", "ppm"]
    for index, kind in enumerate(kinds):
        (photos / f"{index}.{kind}").touch()
    for name in ("second.CR2", "third.cr2", "README", ".b.npy", f"x.{'long' * 9}", "y.\x1b[2J"):
        (photos / name).touch()
    report = Report()
    go(photos, tmp_path / "out", report=report, dry_run=dry_run)
    (line,) = [s for s in capsys.readouterr().err.splitlines() if "left out" in s]
    assert line.startswith("15 files left out, hidden or of kinds that are not read: 3 .cr2, 3 of")
    for told in ("1 .dng", "3 of no known suffix", "1 .psd", "1 hidden"):
        assert told in line
    assert sum(report.left_out.values()) == 15 and "\x1b" not in line


def test_a_clash_beyond_the_limit_is_none(photos, tmp_path, two_suffixes):
    also(photos / "b.npx", 7)
    chosen = settings(format="npy")
    for dry_run in (True, False):
        report, _ = go(photos, tmp_path / "out", chosen, limit=1, dry_run=dry_run)
        assert report.exit_code == 0 and sum(report.counts.values()) == 1


def test_real_names_clash_and_are_told_apart(tmp_path):
    from stylepipe.plugins import Plugins
    from stylepipe.presets import resolve

    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("x.jpg", "x.webp", "y.jpg", "a.ts", "a.mp4"):
        (folder / name).touch()
    plugins = Plugins()

    def names(**output: str) -> tuple[list[str], list[str]]:
        chosen = resolve(plugins, "default", {"output": output})
        found = find_items((folder,), tmp_path / "out", chosen)
        refused = [i.source.name for i in found.items if i.index in found.refused]
        return refused, [i.output.name for i in found.items if i.index not in found.refused]

    assert names() == (["a.mp4", "a.ts"], ["x.jpg", "x.webp", "y.jpg"])
    refused, rest = names(format="png")
    assert refused == ["a.mp4", "a.ts", "x.jpg", "x.webp"] and rest == ["y.png"]
    refused, rest = names(name="{stem}-{suffix}")
    assert not refused and rest[:2] == ["a-mp4.mp4", "a-ts.mp4"]


def test_files_left_out_are_in_the_last_event_and_in_the_refusal(photos, tmp_path, capsys):
    (photos / "a.pdf").touch()
    go(photos, tmp_path / "out", report=Report(json=True, quiet=True))
    event = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert event["event"] == "job_done" and event["left_out"] == {".pdf": 1}
    for file in photos.glob("*.npy"):
        file.unlink()
    with pytest.raises(Exception, match=r"no photo or video found in .* \(there: 1 \.pdf\)"):
        go(photos, tmp_path / "out")


def test_a_file_named_twice_by_a_link_is_done_once(photos, tmp_path):
    (tmp_path / "link").symlink_to(photos)
    found = find_items((photos, tmp_path / "link"), tmp_path / "out", settings())
    assert [i.source.name for i in found.items] == ["a.npy", "b.npy", "c.npy"]


def test_to_keep_what_is_in_the_way_costs_no_unfinished_work(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "clip.npy", np.stack([array(seed=i) for i in range(6)]))
    with fakes.writing_fails_at(3, monkeypatch):
        assert go(tmp_path / "in", tmp_path / "out")[0].exit_code == 1
    (tmp_path / "out" / "clip.npy").write_text("mine")
    report, _ = go(tmp_path / "in", tmp_path / "out", skip_existing=True)
    assert report.counts == {"skipped": 1}
    (tmp_path / "out" / "clip.npy").unlink()
    report, _ = go(tmp_path / "in", tmp_path / "out")
    assert report.counts["done"] == 1 and report.frames == 3, "it goes on"
