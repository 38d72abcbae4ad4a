"""``--frames`` and ``--every``: a few frames of each film as single pictures, and a sheet."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import item_for, make_clip, read
from PIL import Image

from stylepipe import Info, UsageError
from stylepipe.cli import main
from stylepipe.media.frames import FramesReader
from stylepipe.media.video import VideoReader
from stylepipe.sampling import Sample

TIMES = [Fraction(n, 25) for n in range(101)]
PLUGIN = '''
import sys; sys.path.insert(0, {here!r})
from fakes import ClipReader, Negative, NpyReader, NpyWriter, ClipWriter
from stylepipe import Masker, hookimpl


class Moving(Masker):
    """Needs the frame before."""

    name, warmup = "moving", 1

    def mask(self, batch, frames):
        return batch.images[:, :1] * 0 + 1


@hookimpl
def stylepipe_components():
    return [Negative, Moving]
'''


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a job with the negative; returns exit code, stdout and stderr."""
    plugin = tmp_path / "fakes_plugin.py"
    plugin.write_text(PLUGIN.format(here=str(Path(__file__).parent)))
    monkeypatch.chdir(tmp_path)

    def call(*args: object) -> tuple[int, str, str]:
        code = main.run(["negative", *map(str, args), "--plugin", str(plugin)])
        return code, *capsys.readouterr()

    return call


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


# -- which frames ---------------------------------------------------------------------------


def test_frames_are_spread_evenly_by_time_with_the_first_and_the_last():
    assert Sample(count=5).choose(TIMES) == (0, 25, 50, 75, 100)
    late = [Fraction(0), *(Fraction(10) + Fraction(n, 25) for n in range(26))]
    assert Sample(count=3).choose(late) == (0, 1, 26)  # by time, not by number
    assert Sample(count=1).choose(TIMES) == (50,)
    assert Sample(count=500).choose(TIMES) == tuple(range(101))


def test_every_counts_seconds_or_frames():
    assert Sample.every("2s").choose(TIMES) == (0, 50, 100)
    assert Sample.every("40").choose(TIMES) == (0, 40, 80)
    gap = [Fraction(0), Fraction(1, 2), Fraction(7), Fraction(15, 2)]
    assert Sample.every("2s").choose(gap) == (0, 2)  # a frame that stays is painted once


@pytest.mark.parametrize("text", ["", "0", "0s", "-2s", "2m", "1e3s", "s", "2,5s"])
def test_a_distance_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="such as 2s, or a number of frames"):
        Sample.every(text)


# -- picking them ---------------------------------------------------------------------------


def same(one, other):
    return (one.index, one.pts, one.duration) == (other.index, other.pts, other.duration) and (
        one.pixels == other.pixels
    ).all()


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts"])
@pytest.mark.parametrize("trim", [{}, {"start": "0.3", "end": "0.95"}])
def test_picked_frames_are_those_that_reading_all_of_it_yields(tmp_path, name, trim):
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    times = (
        range(0, 1600, 40)
        if name.endswith(("avi", "ts"))
        else (*range(0, 1200, 40), *range(1210, 1700, 70))
    )
    more = {} if codec == "mpeg4" else {"options": {"g": "12", "bf": "2"}}
    clip = make_clip(tmp_path / name, tuple(times), codec=codec, **more)
    info, all_ = read(clip, **trim)
    reader = VideoReader(VideoReader.Options(**trim))
    item = item_for(clip, clip)
    stamps = reader.times(item, info)
    assert stamps == [f.pts * f.time_base for f in all_]
    wanted = [0, 3, len(all_) // 2, len(all_) - 1]
    picked = list(reader.pick(item, info, wanted))
    assert len(picked) == 4 and all(map(same, picked, [all_[n] for n in wanted]))


def test_few_frames_of_a_long_film_are_searched_for_and_not_read_up_to(tmp_path, monkeypatch):
    from stylepipe.media import video_read

    small = [np.full((32, 32, 3), n % 250, np.uint8) for n in range(1200)]
    clip = make_clip(
        tmp_path / "long.mp4", tuple(range(0, 48000, 40)), size=(32, 32), pictures=small,
        options={"g": "25"},
    )  # fmt: skip
    reader = VideoReader(VideoReader.Options())
    item, info = item_for(clip, clip), reader.probe(clip)
    decoded = []
    decode = video_read._decode
    monkeypatch.setattr(
        video_read, "_decode", lambda *a: (decoded.append(1) or f for f in decode(*a))
    )
    picked = list(reader.pick(item, info, [0, 600, 1199]))
    assert [f.index for f in picked] == [0, 600, 1199]
    assert len(decoded) < 600


def test_times_of_numbered_pictures_open_none_of_them(tmp_path):
    for n in (1, 2, 4):
        (tmp_path / f"f{n}.png").write_bytes(b"not opened")
    reader = FramesReader(FramesReader.Options(fps="10"))
    found = reader.times(
        item_for(tmp_path, tmp_path), Info("video", "frames", 1, 1, rate=Fraction(10))
    )
    assert found == [0, Fraction(1, 10), Fraction(3, 10)]


# -- jobs -----------------------------------------------------------------------------------


def test_pictures_and_a_sheet_are_written_for_each_film(run, tmp_path):
    (tmp_path / "in").mkdir()
    clip = make_clip(tmp_path / "in" / "clip.mp4", tuple(range(0, 400, 40)))
    make_clip(tmp_path / "in" / "other.mkv", tuple(range(0, 200, 40)))
    Image.new("RGB", (30, 20), (200, 0, 0)).save(tmp_path / "in" / "photo.png")
    code, _, err = run("in", "-o", "try", "--frames", 3)
    assert code == 0, err
    assert names(tmp_path / "try") == [
        "clip-3-frames", "clip-3-frames-sheet.jpg", "other-3-frames", "other-3-frames-sheet.jpg",
        "photo.png",
    ]  # fmt: skip
    pictures = names(tmp_path / "try" / "clip-3-frames")
    assert pictures == ["clip_000001.png", "clip_000005.png", "clip_000010.png"]
    _, frames = read(clip)
    painted = np.asarray(Image.open(tmp_path / "try" / "clip-3-frames" / pictures[1]))
    assert (painted == 255 - frames[4].pixels).all()
    with Image.open(tmp_path / "try" / "clip-3-frames-sheet.jpg") as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    left, right = pixels[120, 160], pixels[120, 480]  # the source beside its negative
    assert abs(left + right - 255).max() < 12


def test_frames_that_a_pattern_names_are_called_by_what_they_have_in_common(run, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(1, 7):
        Image.new("RGB", (30, 20), (40 * number, 0, 0)).save(tmp_path / "in" / f"fr_{number}.png")
    code, _, err = run("in/fr_%d.png", "-o", "try", "--fps", 25, "--frames", 2)
    assert code == 0, err
    assert names(tmp_path / "try") == ["fr-2-frames", "fr-2-frames-sheet.jpg"]
    assert names(tmp_path / "try" / "fr-2-frames") == ["fr_000001.png", "fr_000006.png"]
    with Image.open(tmp_path / "try" / "fr-2-frames-sheet.jpg") as sheet:
        assert sheet.size == (2 * 648 + 8, 8 + 213 + 23 + 8), "wide pictures leave no empty space"


def test_the_pictures_of_a_sequence_keep_its_numbers(run, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(11, 17):
        Image.new("RGB", (30, 20), (15 * number, 0, 0)).save(tmp_path / "in" / f"fr_{number}.png")
    code, _, err = run("in/fr_%d.png", "-o", "try", "--fps", 25, "--frames", 2)
    assert code == 0, err
    tried = tmp_path / "try" / "fr-2-frames"
    assert names(tried) == ["fr_000011.png", "fr_000016.png"], "as --keyframe and masks count"
    assert (tmp_path / "try" / "fr-2-frames-sheet.jpg").is_file()


def test_a_full_run_and_other_tries_go_into_the_same_folder(run, tmp_path):
    make_clip(tmp_path / "clip.mp4", tuple(range(0, 400, 40)))
    Image.new("RGB", (30, 20), (200, 0, 0)).save(tmp_path / "photo.png")
    inputs = ("clip.mp4", "photo.png")
    assert run(*inputs, "-o", "out", "--frames", 3)[0] == 0
    code, _, err = run(*inputs, "-o", "out", "--every", "0.2s")
    assert code == 0 and "1 done, 1 skipped" in err  # the photo is what it was
    code, _, err = run(*inputs, "-o", "out")
    assert code == 0 and "1 done, 1 skipped" in err
    code, _, err = run(*inputs, "-o", "out", "--frames", 3)
    assert code == 0 and "2 skipped" in err and "side by side" not in err
    assert {"clip.mp4", "clip-3-frames", "clip-every-0.2s"} <= set(names(tmp_path / "out"))


def test_a_try_that_was_interrupted_resumes(run, tmp_path, monkeypatch):
    from stylepipe.media import stills

    make_clip(tmp_path / "clip.mp4", tuple(range(0, 400, 40)))
    write = stills._StillsSink.write

    def third(self, frame):
        if frame.index > 4:
            raise OSError("no")
        write(self, frame)

    with monkeypatch.context() as patch:
        patch.setattr(stills._StillsSink, "write", third)
        assert run("clip.mp4", "-o", "out", "--every", 2)[0] == 1
    assert names(tmp_path / "out") == []
    painted = []
    monkeypatch.setattr(
        stills._StillsSink, "write", lambda s, f: (painted.append(f.index), write(s, f))[1]
    )
    assert run("clip.mp4", "-o", "out", "--every", 2)[0] == 0
    assert painted == [6, 8]
    assert len(names(tmp_path / "out" / "clip-every-2")) == 5


def test_frames_keep_their_numbers_for_masks_one_a_frame(run, tmp_path):
    make_clip(tmp_path / "clip.mp4", tuple(range(0, 240, 40)))
    masks = tmp_path / "masks" / "clip"
    masks.mkdir(parents=True)
    for n in range(6):
        Image.new("L", (64, 48), 255 if n == 5 else 0).save(masks / f"{n + 1}.png")
    assert run("clip.mp4", "-o", "out", "--frames", 2, "--mask", "masks")[0] == 0
    _, frames = read(tmp_path / "clip.mp4")
    first, last = (
        np.asarray(Image.open(tmp_path / "out" / "clip-2-frames" / f"clip_{n:06d}.png"))
        for n in (1, 6)
    )
    assert (first == frames[0].pixels).all() and (last == 255 - frames[5].pixels).all()


def test_frames_stand_alone_and_that_is_told(run, tmp_path):
    make_clip(tmp_path / "clip.mp4", tuple(range(0, 400, 40)))
    code, _, err = run("clip.mp4", "-o", "out", "--frames", 2, "--preset", "video-fast")
    assert code == 0 and "how steady the film will be cannot be judged" in err
    code, _, err = run("clip.mp4", "-o", "plain", "--frames", 2)
    assert code == 0 and "steady" not in err
    for name in names(tmp_path / "out" / "clip-2-frames"):
        one, other = (
            (tmp_path / folder / "clip-2-frames" / name).read_bytes() for folder in ("out", "plain")
        )
        assert one == other


def test_what_cannot_be_honored_is_refused_or_told(run, tmp_path):
    make_clip(tmp_path / "clip.mp4", tuple(range(0, 400, 40)))
    Image.new("RGB", (30, 20)).save(tmp_path / "photo.png")
    for args, code, words in (
        (["-o", "film.mp4", "--frames", 2], 2, "into a folder"),
        (["-o", "out", "--frames", 2, "--every", "2s"], 2, "leave one out"),
        (["-o", "out", "--frames", 2, "--format", "mp4"], 2, "cannot be mp4"),
        (["-o", "out", "--frames", 2, "--mask", "moving"], 2, "do not follow one another"),
        (["-o", "out", "--frames", 2, "--codec", "libx265", "-n"], 0, "--codec"),
    ):
        got, _, err = run("clip.mp4", *args)
        assert got == code and words in err, err
        assert not (tmp_path / "out").exists()
    code, _, err = run("photo.png", "-o", "out", "--frames", 2)
    assert code == 0 and "without effect, as no input is a film: --frames\n" in err


def test_an_animation_says_how_it_is_tried(run, tmp_path):
    shades = [Image.new("RGB", (16, 16), (n * 40,) * 3) for n in range(4)]
    shades[0].save(tmp_path / "a.gif", save_all=True, append_images=shades[1:], duration=100)
    code, _, err = run("a.gif", "-o", "out", "--frames", 2)
    assert code == 1 and "run it apart, with --format png/" in err
    code, _, err = run("a.gif", "-o", "out", "--frames", 2, "--format", "png/")
    assert code == 0 and names(tmp_path / "out" / "a-2-frames") == ["a_000001.png", "a_000004.png"]


def test_a_sheet_never_replaces_another_file(run, tmp_path):
    make_clip(tmp_path / "clip.mp4", tuple(range(0, 400, 40)))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "clip-2-frames-sheet.jpg").write_bytes(b"mine")
    code, _, err = run("clip.mp4", "-o", "out", "--frames", 2)
    assert code == 2 and "which is another file" in err
    assert (tmp_path / "out" / "clip-2-frames-sheet.jpg").read_bytes() == b"mine"


def test_masks_take_no_frames(run, tmp_path, capsys):
    assert main.run(["masks", "x", "-o", "y", "--set", "input.frames=3"]) == 2
    assert "input.frames means nothing to masks" in capsys.readouterr().err
