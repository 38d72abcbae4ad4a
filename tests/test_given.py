"""``stylepipe given``: another tool's film, with all that the engine adds to a result."""

from fractions import Fraction
from pathlib import Path

import clips
import cv2
import numpy as np
import pytest

from stylepipe import companion
from stylepipe.cli import main

TIMES = tuple(range(0, 400, 40))


def negative(number: int) -> np.ndarray:
    return 255 - clips.picture(number)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return clips.make_clip(tmp_path / "source.mp4", TIMES, options={"crf": "1"})


def painted(path: Path, times=TIMES, numbers=None, **options) -> Path:
    """What another tool has made: the negative."""
    pictures = [negative(n) for n in (numbers or range(len(times)))]
    return clips.make_clip(path, times, pictures=pictures, options={"crf": "1"}, **options)


def run(source: Path, *flags: str) -> tuple[int, Path]:
    output = source.parent / "out.mp4"
    call = [
        "given",
        str(source),
        "-o",
        str(output),
        "--crf",
        "1",
        "--device",
        "cpu",
        "-q",
        "--redo",
    ]
    return main.run([*call, *flags]), output


def apart(frame, number: int) -> float:
    return float(np.abs(frame.pixels.astype(float) - negative(number)).mean())


def test_the_given_film_is_the_result_at_the_sources_times(source, tmp_path):
    code, output = run(source, "--painted", str(painted(tmp_path / "tool.mp4")))
    assert code == 0
    frames = clips.read(output)[1]
    assert [f.time for f in frames] == [Fraction(t, 1000) for t in TIMES]
    assert max(apart(f, n) for n, f in enumerate(frames)) < 6


def test_frames_are_paired_by_time_not_by_number(tmp_path):
    """The tool has written the film at a constant rate, doubling what stands longer."""
    times = (0, 40, 80, 200, 240, 280)
    source = clips.make_clip(tmp_path / "source.mkv", times, options={"crf": "1"})
    numbers = [0, 1, 2, 2, 2, 3, 4, 5]
    film = painted(tmp_path / "tool.mp4", tuple(range(0, 320, 40)), numbers)
    code, output = run(source, "--painted", str(film))
    assert code == 0
    assert max(apart(f, n) for n, f in enumerate(clips.read(output)[1])) < 6


def test_a_part_of_the_source_gets_the_same_part(source, tmp_path):
    film = painted(tmp_path / "tool.mp4")
    code, output = run(source, "--painted", str(film), "--start", "0.2")
    assert code == 0
    frames = clips.read(output)[1]
    assert len(frames) == 5 and max(apart(f, n + 5) for n, f in enumerate(frames)) < 6


def test_temporal_methods_and_masks_lie_over_it(source, tmp_path):
    film = painted(tmp_path / "tool.mp4")
    code, output = run(source, "--painted", str(film), "--temporal", "deflicker",
                       "--mask", "box:0,0,32,48")  # fmt: skip
    assert code == 0
    frames = clips.read(output)[1]
    sources = clips.read(source)[1]
    for number, (frame, before) in enumerate(zip(frames, sources, strict=True)):
        left, right = np.split(frame.pixels.astype(float), [32], axis=1)
        assert np.abs(left[:, :28] - negative(number)[:, :28]).mean() < 12
        assert np.abs(right[:, 4:] - before.pixels[:, 36:]).mean() < 4


def test_a_folder_of_numbered_frames(source, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(len(TIMES)):
        cv2.imwrite(str(folder / f"f{number:03}.png"), negative(number)[..., ::-1])
    code, output = run(source, "--painted", str(folder))
    assert code == 0
    assert max(apart(f, n) for n, f in enumerate(clips.read(output)[1])) < 4


def test_a_pattern_of_numbered_frames(source, tmp_path):
    for number in range(len(TIMES)):
        cv2.imwrite(str(tmp_path / f"f{number:03}.png"), negative(number)[..., ::-1])
    code, output = run(source, "--painted", str(tmp_path / "f%03d.png"))
    assert code == 0
    assert max(apart(f, n) for n, f in enumerate(clips.read(output)[1])) < 4


def test_a_part_of_numbered_frames_gets_the_same_part(tmp_path):
    for kind in ("source", "painted"):
        (tmp_path / kind).mkdir()
        for number in range(len(TIMES)):
            frame = negative(number) if kind == "painted" else 255 - negative(number)
            cv2.imwrite(str(tmp_path / kind / f"f{number:03}.png"), frame[..., ::-1])
    part = ("--painted", str(tmp_path / "painted"), "--fps", "25", "--start", "0.2")
    code, output = run(tmp_path / "source", *part)
    assert code == 0
    frames = clips.read(output)[1]
    assert [frame.time for frame in frames] == [n * frames[1].time for n in range(len(frames))]
    assert len(frames) == 5 and max(apart(f, n + 5) for n, f in enumerate(frames)) < 6


def test_without_a_painted_film_the_film_itself_is_evened(tmp_path):
    gains = np.random.default_rng(1).uniform(0.8, 1.0, len(TIMES))
    pictures = [np.rint(clips.picture(0) * g).astype(np.uint8) for g in gains]
    source = clips.make_clip(tmp_path / "old.mp4", TIMES, pictures=pictures, options={"crf": "1"})
    code, output = run(source, "--temporal", "deflicker")
    assert code == 0
    before, after = (np.abs(np.diff([f.pixels.mean() for f in clips.read(path)[1]])).mean()
                     for path in (source, output))  # fmt: skip
    assert after < before / 3


def test_a_photo_and_its_painting(tmp_path):
    for name, picture in (("a.png", clips.picture(0)), ("painted.png", negative(0))):
        cv2.imwrite(str(tmp_path / name), picture[..., ::-1])
    call = ["given", str(tmp_path / "a.png"), "-o", str(tmp_path / "out.png"), "--device", "cpu"]
    assert main.run([*call, "--painted", str(tmp_path / "painted.png"), "--strength", "0.5"]) == 0
    found = cv2.imread(str(tmp_path / "out.png")).astype(float)
    assert np.abs(found - 127.5).max() <= 1


def test_a_painting_may_be_as_large_as_the_photo(tmp_path, monkeypatch):
    """--max-pixels, raised for the photo, counts for its painting too."""
    monkeypatch.setattr(companion, "MAX_PIXELS", 100)
    test_a_photo_and_its_painting(tmp_path)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: painted(p, tuple(range(0, 240, 40))), "lasts 0.24 s, and source.mp4 0.40 s"),
        (lambda p: clips.make_clip(p, TIMES, size=(80, 48)), "has 80x48 pixels, and source.mp4 64"),
        (lambda p: p.write_bytes(b"no film"), "cannot read"),
        (lambda p: p.mkdir(), "holds no numbered pictures"),
    ],
)
def test_what_cannot_belong_to_the_source_is_told_in_one_sentence(
    source, tmp_path, capsys, make, said
):
    make(tmp_path / "tool.mp4")
    code, output = run(source, "--painted", str(tmp_path / "tool.mp4"))
    assert code == 1 and not output.exists()
    told = capsys.readouterr().err
    assert said in told and "Traceback" not in told


def test_a_gap_is_named(source, tmp_path, capsys):
    holes = (0, 40, 80, 240, 280, 320, 360)
    film = painted(tmp_path / "tool.mkv", holes, [0, 1, 2, 6, 7, 8, 9])
    assert run(source, "--painted", str(film))[0] == 1
    assert "has no frame at 0:00.120" in capsys.readouterr().err


def test_flags_that_cannot_be_honored(source, tmp_path, capsys):
    assert run(source, "--painted", str(tmp_path / "none.mp4"))[0] == 2
    assert "there is nothing at" in capsys.readouterr().err
    assert run(source, "--style", str(source))[0] == 2
    assert "it takes no style" in capsys.readouterr().err
    film = painted(tmp_path / "tool.mp4")
    other = clips.make_clip(tmp_path / "other.mp4", TIMES)
    call = ["given", str(source), str(other), "-o", str(tmp_path / "outs"), "--painted", str(film)]
    assert main.run(call) == 2
    assert "one by one" in capsys.readouterr().err


def test_a_folder_of_frames_keeps_its_own_times(tmp_path):
    """Those of a film with a variable frame rate, written by stylepipe, painted in place."""
    source = clips.make_clip(tmp_path / "source.mkv", (0, 40, 80, 200, 240), options={"crf": "1"})
    call = ["run", str(source), "-o", str(tmp_path / "out"), "--format", "png/", "-q"]
    assert main.run([*call, "--strength", "0", "--device", "cpu"]) == 0
    folder = tmp_path / "out" / "source"
    for number in range(5):
        cv2.imwrite(str(folder / f"{number + 1:06}.png"), negative(number)[..., ::-1])
    code, output = run(source, "--painted", str(folder))
    assert code == 0
    frames = clips.read(output)[1]
    assert len(frames) == 5 and max(apart(f, n) for n, f in enumerate(frames)) < 6
