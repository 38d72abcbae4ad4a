"""A file is known by what it is, never by how its path was written or where its folder lies."""

import json
import os
import shutil
from pathlib import Path

import fakes
import numpy as np
import pytest
from fakes import array, settings
from PIL import Image

from stylepipe import Options, Stylizer, StylizerOptions, UsageError, option
from stylepipe.cli import main
from stylepipe.fingerprints import Source, _stamp_of_file, options_digest, stamp
from stylepipe.job import Job
from stylepipe.pipeline import run
from stylepipe.report import Report
from stylepipe.types import Item

POSTERIZE = Path(__file__).parents[1] / "examples" / "posterize.py"


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder with photos in ``in``."""
    (tmp_path / "D" / "in" / "sub").mkdir(parents=True)
    for index, name in enumerate(("a", "b", "sub/c")):
        np.save(tmp_path / "D" / "in" / f"{name}.npy", array(seed=index))
    return tmp_path / "D"


def go(source, output, chosen=None, **options):
    job = Job((Path(source),), Path(output), chosen or settings(),
              device="cpu", **options)  # fmt: skip
    return run(job, fakes.Plugins(), Report(quiet=True)).counts


def test_the_same_folder_however_it_is_spelled(place, monkeypatch):
    monkeypatch.chdir(place.parent)
    assert go("D/in", "D/out") == {"done": 3}
    (place.parent / "link").symlink_to(place)
    done = {"skipped": 3}
    assert go("D/../D/in", "D/out") == done and go("link/in", "link/out") == done
    assert go(place / "in", place / "out") == done
    monkeypatch.chdir(place)
    assert go("in", "out") == done
    monkeypatch.chdir(place / "in")
    assert go(".", "../out") == done and go("a.npy", "../out") == {"skipped": 1}


def test_a_folder_moved_or_copied_keeps_the_work(place):
    go(place / "in", place / "out")
    moved = place.rename(place.with_name("E"))
    assert go(moved / "in", moved / "out") == {"skipped": 3}
    shutil.copytree(moved, place, copy_function=shutil.copyfile)  # with new times
    shutil.copytree(moved / "out", place / "out", dirs_exist_ok=True)
    assert go(place / "in", place / "out") == {"skipped": 3}
    moved = place.rename(place.with_name("F"))
    np.save(moved / "in" / "a.npy", array(seed=77))
    assert go(moved / "in", moved / "out") == {"skipped": 2, "failed": 1}, (
        "changed and moved: it may be a file of others"
    )


def test_after_a_move_photos_are_read_once_and_no_more(place, monkeypatch):
    go(place / "in", place / "out")
    moved = place.rename(place.with_name("E"))
    reads = []
    monkeypatch.setattr(
        "stylepipe.fingerprints._stamp_of_file",
        lambda path, found: reads.append(path) or _stamp_of_file(path, found),
    )
    for count in (3, 0):
        reads.clear()
        assert go(moved / "in", moved / "out") == {"skipped": 3}
        assert sum(p.suffix == ".npy" for p in reads) == count


def test_a_changed_photo_is_painted_again_also_where_size_stays(place):
    go(place / "in", place / "out")
    np.save(place / "in" / "a.npy", array(seed=77))
    os.utime(place / "in" / "b.npy")  # touched, and nothing else
    assert go(place / "in", place / "out") == {"skipped": 2, "done": 1}


def test_a_single_result_is_known_after_a_move(place):
    go(place / "in" / "a.npy", place / "r.npy")
    moved = place.rename(place.with_name("E"))
    assert go(moved / "in" / "a.npy", moved / "r.npy") == {"skipped": 1}
    assert go(moved / "in" / "b.npy", moved / "r.npy") == {"failed": 1}


def test_an_unfinished_film_goes_on_after_a_move(place, monkeypatch):
    np.save(place / "clip.npy", np.stack([array(seed=i) for i in range(6)]))
    with fakes.writing_fails_at(3, monkeypatch):
        assert go(place / "clip.npy", place / "out") == {"failed": 1}
    moved = place.rename(place.with_name("E"))
    job = Job((moved / "clip.npy",), moved / "out", settings(), device="cpu")
    report = run(job, fakes.Plugins(), Report(quiet=True))
    assert report.counts == {"done": 1} and report.frames == 3


def test_a_journal_of_another_layout_makes_outputs_foreign(place):
    go(place / "in", place / "out")
    journal = place / "out" / ".stylepipe" / "journal.jsonl"
    old = {"output": "a.npy", "settings": "x", "path": "/in/a.npy", "source": "y", "size": 1,
           "mtime_ns": 2}  # fmt: skip
    journal.write_text(json.dumps(old))
    assert go(place / "in", place / "out") == {"failed": 3}


# -- what settings name --------------------------------------------------------------------


class PaintingOptions(StylizerOptions):
    table: Path | None = option(None, "A file.")
    report: Path | None = option(None, "A file to write.")


class Painter(Stylizer):
    """Knows its style by a file."""

    name = "painter"
    Options = PaintingOptions

    def files(self):
        names = [text.partition("#")[0].partition(":")[0] for text in self.options.style]
        return [*(Path(n).expanduser() for n in names), *filter(None, [self.options.table])]


def known(*style: str, **more: object) -> str:
    painter = Painter(PaintingOptions(style=style, **more))
    return options_digest(painter.options, painter.files())


def test_a_style_is_its_content_and_its_share(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("a.png").write_bytes(b"one")
    Path("b.png").write_bytes(b"two")
    Path("sub").mkdir()
    shutil.copyfile("a.png", "sub/copy.png")
    first = known("a.png")
    for other in ("./a.png", str(tmp_path / "a.png"), "~/a.png", "sub/copy.png", "a.png:3"):
        assert known(other) == first, other
    assert known("b.png") != first and known("a.png#x") != first
    assert known("a.png#x") == known("sub/copy.png#x:2") != known("a.png#y")
    assert known("a.png:1", "b.png:3") == known("a.png:.25", "./b.png:0.75")
    assert known("a.png:1", "b.png:3") != known("a.png", "b.png")
    Path("a.png").write_bytes(b"six")
    assert known("a.png") != first


def test_a_file_named_by_an_option_is_its_content_and_one_to_write_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("t").write_bytes(b"one")
    assert known(table=Path("t")) == known(table=tmp_path / "t") != known()
    assert known(report=Path("r.txt")) == known(report=tmp_path / "r.txt") != known()
    assert known(report=Path("s.txt")) != known(report=Path("r.txt"))


def test_a_folder_is_its_files_wherever_it_lies(tmp_path):
    (tmp_path / "m" / "s").mkdir(parents=True)
    (tmp_path / "m" / "s" / "a.png").write_bytes(b"one")
    before = stamp(tmp_path / "m")
    assert stamp((tmp_path / "m").rename(tmp_path / "n")) == before
    (tmp_path / "n" / ".DS_Store").write_bytes(b"a look at it")
    assert stamp(tmp_path / "n") == before
    (tmp_path / "n" / "s" / "a.png").write_bytes(b"other")
    assert stamp(tmp_path / "n") != before


def test_a_large_file_is_sampled_and_counts_by_its_time_too(tmp_path, monkeypatch):
    monkeypatch.setattr("stylepipe.fingerprints._WHOLE", 1 << 10)
    data = bytearray(range(256)) * 40
    (tmp_path / "a").write_bytes(data)
    os.utime(tmp_path / "a", (1, 1))
    before = stamp(tmp_path / "a")
    assert stamp((tmp_path / "a").rename(tmp_path / "b")) == before
    data[-1] ^= 1
    (tmp_path / "b").write_bytes(data)
    os.utime(tmp_path / "b", (1, 1))
    assert stamp(tmp_path / "b") != before, "its end is a sample"
    os.utime(tmp_path / "b", (2, 2))
    assert len({stamp(tmp_path / "b"), before}) == 2


def test_what_cannot_be_read_is_known_by_its_name_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert stamp(tmp_path / "pipe") == "pipe is no file"
    assert stamp(tmp_path / "gone") == "gone is gone"
    gone = Source(Item(0, tmp_path / "gone", tmp_path, tmp_path / "out"))
    assert gone.content == "" and not gone.is_same("gone", gone.place, "", "")


def test_a_bundled_style_is_no_file(tmp_path, monkeypatch):
    from stylepipe_plugins.fast import FastOptions, FastStylizer

    monkeypatch.chdir(tmp_path)
    Path("great-wave").mkdir()
    fast = FastStylizer(FastOptions(style=("great-wave:0.5", "m.safetensors#x")))
    assert list(fast.files()) == [Path("m.safetensors")]


def test_the_program_goes_on_with_style_plugin_and_masks_spelled_otherwise(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "D" / "in").mkdir(parents=True)
    (tmp_path / "D" / "masks").mkdir()
    for name in ("in/a.png", "masks/a.png"):
        Image.fromarray(np.full((16, 16, 3), 200, np.uint8)).save(tmp_path / "D" / name)
    shutil.copyfile(POSTERIZE, tmp_path / "D" / "mine.py")

    def paint(place: str, folder: Path) -> str:
        monkeypatch.chdir(folder)
        args = ["posterize", f"{place}in", "-o", f"{place}out", "--mask", f"{place}masks",
                "-d", "cpu", "--plugin", f"{place}mine.py"]  # fmt: skip
        code = main.run(args)
        err = capsys.readouterr().err
        assert code == 0, err
        return err

    assert "1 done" in paint("D/", tmp_path)
    assert "1 skipped" in paint("./", tmp_path / "D")
    (tmp_path / "D").rename(tmp_path / "E")
    assert "1 skipped" in paint(f"{tmp_path}/E/", tmp_path)


def test_other_settings_are_still_other(place):
    go(place / "in", place / "out")
    with pytest.raises(UsageError, match="was not made from this source by these settings, but by"):
        go(place / "in", place / "out", settings(strength=0.5))
    assert options_digest(Options(), ()) == options_digest(Options(), ())


def test_a_training_knows_its_pictures_after_a_move(tmp_path):
    from stylepipe.nst.photos import picture_identities

    paths = [tmp_path / "D" / name for name in ("a/1.png", "b/1.png")]
    for size, path in enumerate(paths):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * size)
    told = picture_identities(paths)
    assert told == [("a/1.png", 0), ("b/1.png", 1)]
    moved = (tmp_path / "D").rename(tmp_path / "E")
    assert picture_identities([moved / "a/1.png", moved / "b/1.png"]) == told
    assert picture_identities([moved / "b/1.png", moved / "a/1.png"]) != told
