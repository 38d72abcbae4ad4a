"""Folders of numbered pictures as films, and films as such folders."""

import json
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import fakes
import numpy as np
import pytest
from clips import make_clip
from PIL import Image

from stylepipe import ItemError, Options, Reader, Sink, Writer
from stylepipe.cli import main
from stylepipe.job import Job
from stylepipe.journal import Journal
from stylepipe.media import frames_write as module
from stylepipe.media import sequence
from stylepipe.media.frames import FramesReader
from stylepipe.media.frames_write import FramesWriter
from stylepipe.pipeline import run
from stylepipe.report import Report
from stylepipe.testing import ReaderContract, WriterContract, scene

POSTERIZE = str(Path(__file__).parents[1] / "examples" / "posterize.py")


class TestReader(ReaderContract):
    component = FramesReader
    options = {"fps": "25"}  # noqa: RUF012

    @pytest.fixture
    def sample(self, tmp_path):
        return shot(tmp_path / "shot", 5)

    test_patterns_are_lower_case_suffixes = None  # it reads folders only
    test_source_is_left_alone = None  # of a folder below
    test_broken_files_are_told_in_one_sentence = None


class TestWriter(WriterContract):
    component = FramesWriter
    keeps_times = False

    @pytest.fixture
    def reader(self):
        return FramesReader(FramesReader.Options(fps="25"))


def shot(folder: Path, count: int, name: str = "shot_{:04d}.png", first: int = 1) -> Path:
    """A folder of numbered pictures that move."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        Image.fromarray(scene(32, 24, time=k)).save(folder / name.format(first + k))
    return folder


@pytest.fixture
def cli(capsys, monkeypatch, tmp_path):
    """Run ``stylepipe posterize`` on the CPU; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*args: object) -> tuple[int, str, str]:
        code = main.run(["posterize", *map(str, args), "-d", "cpu", "--plugin", POSTERIZE])
        return code, *capsys.readouterr()

    return call


def times(film: Path) -> list[Fraction]:
    with av.open(str(film)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


# -- reading -------------------------------------------------------------------------------


def test_without_a_rate_a_folder_of_numbered_photos_stays_one_of_photos(cli, tmp_path):
    shot(tmp_path / "in", 3)
    assert cli("in", "-o", "out")[0] == 0
    assert sorted(p.name for p in Path("out").glob("*.png")) == [
        "shot_0001.png", "shot_0002.png", "shot_0003.png",
    ]  # fmt: skip


def test_with_a_rate_it_is_one_film_in_a_folder_or_a_file(cli, tmp_path):
    shot(tmp_path / "in" / "a", 3)
    shot(tmp_path / "in" / "b", 2, "{}.png", first=9)
    make_clip(tmp_path / "in" / "clip.mp4", (0, 40, 80))
    code, _, err = cli("in", "-o", "out", "--fps", "24")
    assert code == 0 and "3 done" in err, err
    found = sorted(p.relative_to("out").as_posix() for p in Path("out").glob("[!.]*/*.png"))
    assert found == ["a/shot_0001.png", "a/shot_0002.png", "a/shot_0003.png", "b/10.png", "b/9.png"]
    assert Path("out/clip.mp4").is_file()
    assert cli("in/a", "-o", "a.mp4", "--fps", "24")[0] == 0
    assert times(Path("a.mp4")) == [Fraction(k, 24) for k in range(3)]
    code, _, err = cli("in", "-o", "films", "--fps", "24", "--format", "mkv")
    assert code == 0 and sorted(p.name for p in Path("films").glob("*.mkv")) == [
        "a.mkv", "b.mkv", "clip.mkv",
    ]  # fmt: skip


def test_what_is_done_is_not_done_again_until_a_frame_changes(cli, tmp_path):
    folder = shot(tmp_path / "in" / "a", 3)
    args = ["in", "-o", "out", "--fps", "24"]
    assert cli(*args)[0] == 0
    assert "1 skipped" in cli(*args)[2]
    (tmp_path / "in").rename(tmp_path / "moved")
    args[0] = "moved"
    assert "1 skipped" in cli(*args)[2]
    folder = tmp_path / "moved" / "a"
    before = folder.stat()
    Image.fromarray(scene(32, 24, time=9)).save(folder / "shot_0002.png")
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "1 done" in cli(*args)[2], "a frame was rewritten in its place"
    Path("out/a/shot_0003.png").unlink()
    code, _, err = cli(*args)
    assert code == 1 and "out/a is a folder; move it away" in err, "and what is left is not lost"


def test_missing_frames_leave_their_time_and_are_told(cli, tmp_path):
    folder = shot(tmp_path / "in" / "a", 6)
    (folder / "shot_0003.png").unlink()
    for more in (["--dry-run"], []):
        code, out, err = cli("in/a", "-o", "a.mp4", "--fps", "25", *more)
        assert code == 1 and "1 of its 6 frames are missing (3)" in out + err
    assert times(Path("a.mp4")) == [Fraction(k, 25) for k in (0, 1, 3, 4, 5)]
    code, _, err = cli("in/a", "-o", "b.mp4", "--fps", "25", "--on-damage", "fail")
    assert code == 1 and not Path("b.mp4").exists()


def test_every_second_number_is_no_gap(tmp_path):
    for k in (0, 2, 4):
        shot(tmp_path, 1, "{}.png", first=k)
    found = sequence.find(tmp_path, (".png",), None)
    assert [(p.pts, p.missing) for p in found.places] == [(0, False), (1, False), (2, False)]
    assert found.pattern == "%d.png"


def add(name: str, size=(32, 24), mode: str = "RGB"):
    def act(folder: Path) -> None:
        Image.new(mode, size).save(folder / name)

    return act


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (add("poster.png"), "poster.png has no number to be a frame by"),
        (add("other_0001.png"), "more than one sequence (other_0001.png and shot_0001.png)"),
        (add("shot_1.png"), "shot_0001.png and shot_1.png have one number"),
        (lambda folder: (folder / "sub").mkdir(), "a folder lies beside its frames (sub)"),
        (add("shot_0004.png", (16, 24)), "shot_0004.png has 16x24 pixels, but the first frame 32"),
        (add("shot_0004.png", mode="RGBA"), "shot_0004.png has transparency, but the first"),
        (add("shot_0004.png", mode="I;16"), "shot_0004.png has 16 bits a channel, but the first"),
    ],
)
def test_what_is_no_sequence_costs_its_item_in_one_sentence(cli, tmp_path, change, words):
    shot(tmp_path / "in" / "good", 2)
    change(shot(tmp_path / "in" / "bad", 3))
    code, _, err = cli("in", "-o", "out", "--fps", "25")
    assert code == 1 and words in err and "1 done, 1 failed" in err, err
    assert "Traceback" not in err and not Path("out/bad").exists()


def test_files_beside_frames_are_told(cli, tmp_path):
    (shot(tmp_path / "in" / "a", 2) / "sound.wav").write_bytes(b"")
    code, _, err = cli("in", "-o", "out", "--fps", "25")
    assert code == 0 and "a: left out, as no pictures: sound.wav" in err


def test_start_and_end_are_those_of_the_film(cli, tmp_path):
    shot(tmp_path / "in", 10)
    assert cli("in", "-o", "out", "--fps", "10", "--start", "0.2", "--end", "0.5")[0] == 0
    assert sorted(p.name for p in Path("out/in").glob("*.png")) == [
        "shot_0003.png", "shot_0004.png", "shot_0005.png",
    ]  # fmt: skip
    code, _, err = cli("in", "-o", "none", "--fps", "10", "--start", "5")
    assert code == 1 and "no frames between --start and --end" in err
    (tmp_path / "in" / "shot_0009.png").unlink()
    code, _, err = cli("in", "-o", "some", "--fps", "10", "--end", "0.5")
    assert code == 0, "a frame that is missing elsewhere is no damage here"


@pytest.mark.parametrize(
    "rate", ["0", "-1", "x", "1/0", "nan", "1e9", "1e3", "2_5", "1" * 50, "", "5000"]
)
def test_a_rate_that_means_nothing_is_refused(cli, tmp_path, rate):
    shot(tmp_path / "in", 2)
    code, _, err = cli("in", "-o", "out", "--fps", rate)
    assert code == 2 and "fps takes frames a second, such as 25" in err


def test_an_option_without_effect_is_told(cli, tmp_path):
    make_clip(tmp_path / "clip.mp4", (0, 40))
    code, _, err = cli("clip.mp4", "-o", "out", "--fps", "12")
    assert code == 0 and "as nothing is read by 'frames': --fps" in err
    code, _, err = cli("clip.mp4", "-o", "out", "--format", "png/", "--crf", "20")
    assert code == 0 and "as nothing is written by 'video': --crf" in err


def test_probe_tells_of_a_folder(cli, tmp_path, capsys):
    folder = shot(tmp_path / "in", 3, first=101)
    assert main.run(["probe", str(folder)]) == 0
    assert "a film with --fps RATE; without, each is a photo" in capsys.readouterr().err
    assert main.run(["probe", "--json", "--set", "input.fps=24", str(folder)]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert found["reader"] == "frames" and found["sequence"] == "shot_####.png"
    assert (found["width"], found["frames"], found["duration"]) == (32, 3, 0.125)


def test_a_flow_holds_the_frames_of_a_folder_together(cli, tmp_path):
    shot(tmp_path / "in", 3)
    code, _, err = cli("in", "-o", "out", "--temporal", "warp")
    assert code == 2 and "--fps 25 for folders of numbered frames" in err
    assert cli("in", "-o", "out", "--temporal", "warp", "--fps", "25")[0] == 0


# -- writing -------------------------------------------------------------------------------


def test_a_film_becomes_numbered_pictures(cli, tmp_path):
    make_clip(tmp_path / "clip.mp4", (0, 40, 80))
    code, out, err = cli("clip.mp4", "-o", "frames", "--format", "png/", "--dry-run")
    assert code == 0 and "frames/clip" in out
    assert cli("clip.mp4", "-o", "frames", "--format", "png/")[0] == 0
    names = sorted(p.name for p in Path("frames/clip").glob("*.png"))
    assert names == ["000001.png", "000002.png", "000003.png"]
    code, _, err = cli("clip.mp4", "-o", "frames", "--format", "png/")
    assert code == 0 and "1 skipped" in err
    assert sorted(p.name for p in Path("frames").iterdir()) == [".stylepipe", "clip"]


def test_sound_that_pictures_cannot_hold_is_told(cli, make_clip):
    make_clip("clip.mp4", frames=3, sound=True, variable=True)
    code, _, err = cli("clip.mp4", "-o", "out", "--format", "jpg/")
    assert code == 0 and "cannot hold it: sound" in err
    assert len(list(Path("out/clip").glob("*.jpg"))) == 3


def test_an_animation_is_taken_apart_and_a_photo_is_not(cli, tmp_path):
    pictures = [Image.new("RGB", (16, 16), (v, 0, 0)) for v in (20, 90, 160)]
    (tmp_path / "in").mkdir()
    pictures[0].save("in/moves.gif", save_all=True, append_images=pictures[1:])
    pictures[0].save("in/still.gif")
    pictures[0].save("in/photo.jpg")
    code, _, err = cli("in", "-o", "out", "--format", "png/")
    assert code == 1 and "1 done, 2 failed" in err
    assert "still.gif: a photo cannot be written as .png/" in err
    assert "photo.jpg: --format png/ is for films, and this is a photo" in err
    assert len(list(Path("out/moves").glob("*.png"))) == 3


def test_sixteen_bits_and_transparency_stay(cli, tmp_path):
    (tmp_path / "in").mkdir()
    deep = (np.arange(24 * 32 * 4, dtype=np.uint16).reshape(24, 32, 4) * 21) | 1
    for k in range(2):
        cv2.imwrite(f"in/{k:03d}.png", deep + k)
    assert cli("in", "-o", "out", "--fps", "25", "--strength", "0")[0] == 0
    for k in range(2):
        result = cv2.imread(f"out/in/{k:03d}.png", cv2.IMREAD_UNCHANGED)
        assert result.dtype == np.uint16 and np.array_equal(result, deep + k)


@pytest.fixture
def stops(monkeypatch):
    """Writing fails at a frame, as if the power went."""

    def at(frame: int):
        write = module._FramesSink.write

        def broken(self, picture):
            if picture.index == frame:
                raise OSError("gone")
            write(self, picture)

        monkeypatch.setattr(module._FramesSink, "write", broken)
        return lambda: monkeypatch.setattr(module._FramesSink, "write", write)

    return at


@pytest.mark.parametrize("more", [[], ["--temporal", "warp"]], ids=["plain", "guided"])
def test_an_interrupted_folder_resumes_after_its_last_picture(cli, tmp_path, stops, more):
    shot(tmp_path / "in", 6)
    args = ["in", "--fps", "25", "--format", "jpg/", "--json", *more]
    assert cli(*args, "-o", "whole")[0] == 0
    restore = stops(4)
    assert cli(*args, "-o", "out")[0] == 1
    assert not Path("out/in").exists(), "nothing half-written under its final name"
    restore()
    folders = {path.parent for path in Path("out/.stylepipe").rglob("*.jpg")}
    (folders.pop() / ".DS_Store").write_bytes(b"of a file browser")
    code, out, _ = cli(*args, "-o", "out")
    assert code == 0 and '"resumed": 4' in out
    for path in Path("whole/in").iterdir():
        assert path.read_bytes() == Path("out/in", path.name).read_bytes(), path.name
    assert sorted(p.name for p in Path("out/.stylepipe").iterdir()) == ["journal.jsonl"]


def test_a_folder_is_replaced_as_a_whole_and_only_if_it_is_ours(cli, tmp_path):
    make_clip(tmp_path / "clip.mp4", (0, 40, 80))
    args = ["clip.mp4", "-o", "out", "--format", "png/"]
    assert cli(*args)[0] == 0
    code, _, err = cli(*args, "--levels", "3")
    assert code == 2 and "exists and was not made from this source by these settings" in err
    before = Path("out/clip/000001.png").read_bytes()
    assert cli(*args, "--levels", "3", "--overwrite")[0] == 0
    assert Path("out/clip/000001.png").read_bytes() != before
    assert sorted(p.name for p in Path("out").iterdir()) == [".stylepipe", "clip"]
    Path("out/clip/mine.txt").write_text("precious")
    for more in (["--overwrite"], ["--redo"], []):
        code, _, err = cli(*args, *more)
        assert code == 1 and "out/clip is a folder; move it away" in err
    assert Path("out/clip/mine.txt").read_text() == "precious"
    assert "1 skipped (exists)" in cli(*args, "--skip-existing")[2]


def test_an_empty_folder_is_in_nobodys_way_and_a_file_is(cli, tmp_path):
    make_clip(tmp_path / "clip.mp4", (0, 40))
    args = ["clip.mp4", "-o", "out", "--format", "png/"]
    Path("out/clip").mkdir(parents=True)
    assert cli(*args)[0] == 0
    Path("other").mkdir()
    Path("other/clip").write_text("mine")
    args[2] = "other"
    assert cli(*args)[0] == 1 and Path("other/clip").read_text() == "mine"
    assert cli(*args, "--overwrite")[0] == 0 and Path("other/clip/000001.png").is_file()


def test_results_inside_a_folder_that_is_one_are_refused(cli, tmp_path):
    (tmp_path / "in" / "clip").mkdir(parents=True)
    make_clip(tmp_path / "in" / "clip.mp4", (0, 40))
    make_clip(tmp_path / "in" / "clip" / "more.mp4", (0, 40))
    make_clip(tmp_path / "in" / "else.mp4", (0, 40))
    code, _, err = cli("in", "-o", "out", "--format", "png/")
    assert code == 1 and "1 done, 2 failed" in err
    assert "its result would lie inside that of in/clip.mp4" in err


def test_a_kill_between_the_two_renames_loses_nothing(cli, tmp_path, monkeypatch):
    make_clip(tmp_path / "clip.mp4", (0, 40))
    args = ["clip.mp4", "-o", "out", "--format", "png/"]
    assert cli(*args)[0] == 0
    make_way = Journal._make_way

    def killed(self, item):
        make_way(self, item)
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_make_way", killed)
        cli(*args, "--levels", "3", "--overwrite")
    assert not Path("out/clip").exists()
    code, out, _ = cli(*args, "--levels", "3", "--json")
    assert code == 0 and '"resumed": 2' in out, "all of it was painted"
    assert sorted(p.name for p in Path("out").iterdir()) == [".stylepipe", "clip"]


# -- readers of others ---------------------------------------------------------------------


class Stack(Reader):
    """A folder ``NAME.stack`` of arrays is one clip, whatever else lies in it."""

    name, kind, patterns = "stack", "video", ()
    instead = {"": ".npy"}  # noqa: RUF012

    def claims(self, folder):
        return folder.suffix == ".stack"

    def probe(self, path):
        files = sorted(path.rglob("*.npy"))
        if not files:
            raise ItemError("no arrays are in it")
        return fakes.Info("video", "stack", 8, 6, frames=len(files))

    def frames(self, item, info, start=0):
        for index, file in enumerate(sorted(item.source.rglob("*.npy"))[start:], start):
            yield fakes.Frame(np.load(file), None, index, index, Fraction(1, 25), 1)


def test_a_reader_of_others_may_claim_folders(tmp_path):
    for name in ("a.stack/0", "a.stack/deep/1", "photo", "empty.stack/.hidden"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "in" / f"{name}.npy", fakes.array())
    (tmp_path / "in" / "empty.stack" / ".hidden.npy").rename(tmp_path / "in/empty.stack/x.txt")
    chosen = fakes.settings()
    chosen = replace(chosen, readers=(Stack(Options()), *chosen.readers))
    report = Report(quiet=True)
    job = Job((tmp_path / "in",), tmp_path / "out", chosen, device="cpu")
    run(job, fakes.Plugins(), report)
    assert report.counts == {"done": 2, "failed": 1}
    assert report.failures[0][1] == "no arrays are in it"
    assert np.load(tmp_path / "out" / "a.stack.npy").shape == (2, 6, 8, 3)
    assert np.load(tmp_path / "out" / "photo.npy").shape == (6, 8, 3)
    assert not report.left_out, "what lies in a claimed folder is the reader's"


# -- writers of others ---------------------------------------------------------------------


class ArraysSink(Sink):
    """One array a frame."""

    def __init__(self, path):
        self.path = path
        path.mkdir(exist_ok=True)
        self.done = len(list(path.iterdir()))

    def write(self, frame):
        np.save(self.path / f"{frame.index}.npy", frame.pixels)

    def close(self):
        (self.path / "notes").mkdir()
        (self.path / "notes" / "count.txt").write_text(str(len(list(self.path.glob("*.npy")))))

    def abort(self):
        pass


class Arrays(Writer):
    """A folder of arrays, and one of notes in it."""

    name, kind, patterns = "arrays", "video", (".npy/",)

    def open_sink(self, item, info, path, work):
        return ArraysSink(path)


def test_a_writer_of_others_may_fill_a_folder(tmp_path):
    np.save(tmp_path / "clip.npy", np.stack([fakes.array(seed=k) for k in range(3)]))
    chosen = fakes.settings(format="npy/")
    chosen = replace(chosen, writers=(*chosen.writers, Arrays(Options())))
    for counts in ({"done": 1}, {"skipped": 1}):
        report = Report(quiet=True)
        job = Job((tmp_path / "clip.npy",), tmp_path / "out", chosen, device="cpu")
        assert run(job, fakes.Plugins(), report).counts == counts
    names = sorted(
        p.relative_to(tmp_path / "out").as_posix() for p in tmp_path.glob("out/clip/**/*.*")
    )
    assert names == ["clip/0.npy", "clip/1.npy", "clip/2.npy", "clip/notes/count.txt"]
    assert (tmp_path / "out/clip/notes/count.txt").read_text() == "3"


def test_a_folder_is_brought_to_another_disk_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("stylepipe.journal._on_one_disk", lambda one, other: False)
    test_a_writer_of_others_may_fill_a_folder(tmp_path)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [".stylepipe", "clip"]
