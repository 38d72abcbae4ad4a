"""Painted frames carried over a film: what is refused, what is made, and that it resumes."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import make_clip
from stylepipe_plugins.keyframes.asked import parse
from stylepipe_plugins.keyframes.shots import find_shots

from stylepipe import Frame, ItemError, UsageError
from stylepipe.cli import main

SIZE = (160, 112)
COUNT = 5


def disk(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the disk is in a frame, HxW bool, and the coordinates on it."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    x, y = x - 60 - 2 * number, y - 56
    return x * x + y * y < 30**2, x, y


def scene(number: int, flip: bool = False) -> np.ndarray:
    """A textured disk that moves two pixels a frame over a textured ground, HxWx3 uint8."""
    rng = np.random.default_rng(3)
    frame = cv2.resize(rng.uniform(60, 190, (16, 24, 3)).astype(np.float32), SIZE)
    inside, x, y = disk(number)
    frame[inside] = (200 + 40 * np.sin(x / 3) * np.cos(y / 4))[inside, None] * (1, 0.8, 0.2)
    frame = np.clip(frame, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(255 - frame[::-1, ::-1]) if flip else frame


def paint(number: int) -> np.ndarray:
    """What the artist makes of a frame: flat colors, and other strokes on disk and ground."""
    inside, x, y = disk(number)
    painted = np.full((SIZE[1], SIZE[0], 3), (150, 170, 200), np.uint8)
    painted[(x + 2 * number + y) % 9 < 2] = (90, 60, 120)
    painted[inside] = (230, 90, 40)
    painted[inside & ((x - y) % 10 < 3)] = (40, 20, 10)
    return painted


def save(path: Path, pixels: np.ndarray) -> Path:
    order = [2, 1, 0, 3][: pixels.shape[2]]
    assert cv2.imwrite(str(path), pixels[..., order])
    return path


def keyframes(*words: object) -> int:
    return main.run(["keyframes", *map(str, words), "--device", "cpu", "-q"])


def pictures(folder: Path) -> list[np.ndarray]:
    return [cv2.imread(str(file))[..., ::-1] for file in sorted(folder.glob("*.png"))]


def film(path: Path, frames: list[np.ndarray]) -> Path:
    options = {"crf": "1"}
    times = range(0, 40 * len(frames), 40)
    return make_clip(path, list(times), size=SIZE, pictures=frames, options=options)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A film of one shot, with keyframes 0.png and 4.png beside it."""
    for number in (0, COUNT - 1):
        save(tmp_path / f"{number}.png", paint(number))
    return film(tmp_path / "clip.mp4", [scene(number) for number in range(COUNT)])


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """The film painted from its first and last frame."""
    folder = tmp_path_factory.mktemp("carried")
    for number in (0, COUNT - 1):
        save(folder / f"{number}.png", paint(number))
    source = film(folder / "clip.mp4", [scene(number) for number in range(COUNT)])
    first, last = (f"{n + 1}={folder / f'{n}.png'}" for n in (0, COUNT - 1))
    out = folder / "out"
    assert not keyframes(
        source, "-o", out, "--format", "png/", "--keyframe", first, "--keyframe", last
    )
    return pictures(out / "clip")


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["painted.png", "one=a.png", "2.5=a.png", "-1=a.png", "3="])
def test_what_is_no_keyframe_is_refused(text):
    with pytest.raises(UsageError, match=r"such as 13=painted\.png or 2\.5s=painted\.png"):
        parse(text)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "pass --keyframe 13=painted.png"),
        (["--keyframe", "1={0}/0.png", "--keyframe", "01={0}/4.png"], "1 is given twice"),
        (["--keyframe", "1={0}/absent.png"], "--keyframe 1: there is no file"),
        (["--keyframe", "1={0}/clip.mp4"], "--keyframe 1: cannot read"),
        (["--keyframe", "1={0}/0.png", "--style", "scream"], "leave --style out"),
        (["--keyframe", "1={0}/0.png", "--temporal", "warp"], "pass --temporal none"),
        (["--keyframe", "1={0}/0.png", "{0}/4.png"], "painted for one film"),
    ],
)
def test_a_wrong_request_is_refused_at_once(clip, tmp_path, capsys, words, message):
    words = [word.format(tmp_path) for word in words]
    assert keyframes(clip, "-o", tmp_path / "out", *words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
@pytest.mark.parametrize(
    ("number", "size", "message"),
    [
        (COUNT + 1, SIZE, "--keyframe 6 is no frame of the film: its frames are 1 to 5"),
        (0, SIZE, "--keyframe 0 is no frame of the film: its frames are 1 to 5"),
        (1, (64, 64), "has 64x64 pixels and the film 160x112"),
    ],
)
def test_a_keyframe_that_the_film_cannot_have_fails(
    clip, tmp_path, capsys, number, size, message, dry
):
    key = save(tmp_path / "other.png", cv2.resize(paint(0), size))
    words = ["--keyframe", f"{number}={key}", *dry]
    assert keyframes(clip, "-o", tmp_path / "out.mp4", *words) == 1
    assert message in "".join(capsys.readouterr())
    assert not (tmp_path / "out.mp4").exists()


def test_a_photo_is_refused(tmp_path, capsys):
    photo = save(tmp_path / "photo.png", scene(0))
    words = ["--keyframe", f"1={photo}"]
    assert keyframes(photo, "-o", tmp_path / "out.png", *words) == 1
    assert "keyframes are carried over a film, and this is a photo" in capsys.readouterr().err


def test_times_outside_of_the_film_and_two_for_one_frame_are_refused():
    second = Fraction(1)
    frames = [Frame(scene(n), index=n, pts=n, time_base=second) for n in range(3)]
    with pytest.raises(ItemError, match="4s is outside of the film, whose frames go from 0s to"):
        find_shots(frames, [parse("4s=a.png")], 0)
    with pytest.raises(ItemError, match=r"--keyframe 2 and 1\.5s are both frame 2"):
        find_shots(frames, [parse("2=a.png"), parse("1.5s=b.png")], 0)


def test_a_shot_without_a_keyframe_fails_or_stays_as_it_is(tmp_path, capsys):
    frames = [scene(n) for n in range(3)] + [scene(n, flip=True) for n in range(3)]
    source = film(tmp_path / "clip.mp4", frames)
    key = save(tmp_path / "1.png", paint(1))
    words = ["-o", tmp_path / "out", "--format", "png/", "--keyframe", f"2={key}"]
    assert keyframes(source, *words) == 1
    said = capsys.readouterr().err
    assert "the shot of frames 4 to 6 has no keyframe: paint one of its frames" in said
    assert not (tmp_path / "out" / "clip").exists()
    assert keyframes(source, *words, "--keyframe-missing", "keep") == 0
    result = pictures(tmp_path / "out" / "clip")
    for number, frame in enumerate(result):
        painted, kept = (
            np.abs(frame.astype(int) - other).mean() for other in (paint(number), frames[number])
        )
        assert (painted < kept) == (number < 3), f"frame {number}"


def test_frames_that_do_not_fit_into_the_memory_are_named(clip, tmp_path, capsys):
    from stylepipe_plugins.keyframes.film import PaintedFilm

    from stylepipe import Context, Item
    from stylepipe.device import pick

    keys = {number: parse(f"{number + 1}={tmp_path / f'{number}.png'}") for number in (0, 4)}
    frames = [Frame(scene(n), index=n) for n in range(COUNT)]
    shots, _ = find_shots(frames, list(keys.values()), 0)
    context = Context(
        pick("cpu", "full"), 1 << 30, print, frames=lambda item, start: iter(frames[start:])
    )
    item = Item(0, clip, tmp_path, tmp_path / "out.mp4")
    held = PaintedFilm(item, shots, keys, context, 3 * 3 * frames[0].nbytes)
    with pytest.raises(ItemError, match="keyframe 5 do not fit into the memory, which holds 3"):
        held.painted(2, *SIZE)


# -- what is made --------------------------------------------------------------------------------


def test_keyframes_stay_as_they_were_painted(carried):
    assert len(carried) == COUNT
    for number in (0, COUNT - 1):
        assert (carried[number] == paint(number)).all()


def test_strokes_move_with_what_they_were_painted_on(carried):
    for number in range(1, COUNT - 1):
        wanted = paint(number).astype(int)
        still = np.abs(paint(0).astype(int) - wanted).mean()
        assert np.abs(carried[number] - wanted).mean() < 0.5 * still, f"frame {number}"


def test_detail_is_as_crisp_as_it_was_painted(carried):
    def sharpness(picture):
        gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
        return cv2.Laplacian(gray, cv2.CV_32F).var()

    for number in range(1, COUNT - 1):
        assert sharpness(carried[number]) > 0.8 * sharpness(paint(number))


def test_one_keyframe_serves_both_ways(clip, tmp_path):
    middle = save(tmp_path / "2.png", paint(2))
    words = ["-o", tmp_path / "out", "--format", "png/", "--keyframe", f"3={middle}"]
    assert keyframes(clip, *words) == 0
    result = pictures(tmp_path / "out" / "clip")
    for frame in (0, 4):
        apart = np.abs(result[frame] - paint(frame).astype(int)).mean()
        assert apart < 0.5 * np.abs(paint(2).astype(int) - paint(frame)).mean()


def test_frames_count_from_the_start_and_times_from_the_beginning(clip, tmp_path):
    key = save(tmp_path / "2.png", paint(2))
    for name, when in (("number", "2"), ("time", "0.09s")):
        words = ["-o", tmp_path / name, "--format", "png/", "--start", "0.04", "--end", "0.12"]
        assert keyframes(clip, *words, "--keyframe", f"{when}={key}") == 0
        result = pictures(tmp_path / name / "clip")
        assert len(result) == 2
        assert (result[1] == paint(2)).all()


def test_an_exported_frame_is_a_keyframe_by_its_number(clip, tmp_path):
    words = ["--format", "png/", "--start", "0.04", "--end", "0.16"]
    assert main.run(["run", str(clip), "-o", str(tmp_path), *words, "--strength", "0", "-q"]) == 0
    exported = tmp_path / "clip" / "000003.png"
    save(exported, paint(3))
    assert keyframes(clip, "-o", tmp_path / "out", *words, "--keyframe", f"3={exported}") == 0
    assert (pictures(tmp_path / "out" / "clip")[2] == paint(3)).all()


def test_numbers_are_those_of_the_film_where_few_frames_are_tried(clip, tmp_path):
    key = save(tmp_path / "4.png", paint(4))
    words = ["-o", tmp_path / "out", "--frames", "2", "--keyframe", f"5={key}"]
    assert keyframes(clip, *words) == 0
    first, last = pictures(tmp_path / "out" / "clip-2-frames")
    assert (last == paint(4)).all()
    assert np.abs(first - paint(0).astype(int)).mean() < np.abs(first - scene(0).astype(int)).mean()


def test_numbered_frames_have_the_numbers_of_their_names(tmp_path, capsys):
    (tmp_path / "shot").mkdir()
    for number in range(3):
        save(tmp_path / "shot" / f"fr{number + 11:04}.png", scene(number))
    key = save(tmp_path / "1.png", paint(1))
    words = ["--fps", "25", "-o", tmp_path / "out"]
    assert keyframes(tmp_path / "shot", *words, "--keyframe", f"2={key}") == 1
    assert (
        "--keyframe 2 is no frame of the film: its frames are 11 to 13" in capsys.readouterr().err
    )
    assert keyframes(tmp_path / "shot", *words, "--keyframe", f"12={key}") == 0
    result = pictures(next((tmp_path / "out").rglob("fr0011.png")).parent)
    assert (result[1] == paint(1)).all()
    assert (result[0] != scene(0)).mean() > 0.5


def test_a_keyframe_of_another_size_is_scaled_and_said_to_be(clip, tmp_path, capsys):
    large = save(tmp_path / "large.png", paint(0).repeat(2, 0).repeat(2, 1))
    words = [
        "keyframes",
        str(clip),
        "-o",
        str(tmp_path / "out"),
        "--format",
        "png/",
        "--end",
        "0.05",
    ]
    assert main.run([*words, "--keyframe", f"1={large}", "--device", "cpu"]) == 0
    assert "large.png: scaled from 320x224 to 160x112" in capsys.readouterr().err
    assert (pictures(tmp_path / "out" / "clip")[0] == paint(0)).all()


def test_the_film_shows_where_a_keyframe_is_transparent(clip, tmp_path):
    opacity = np.zeros((SIZE[1], SIZE[0], 1), np.uint8)
    opacity[:, :80] = 255
    key = save(tmp_path / "half.png", np.dstack([paint(0), opacity]))
    plain = tmp_path / "plain"
    words = ["--format", "png/", "--end", "0.12", "--keyframe", f"1={key}"]
    assert keyframes(clip, "-o", tmp_path / "out", *words) == 0
    assert (
        main.run(["run", str(clip), "-o", str(plain), "--format", "png/", "--strength", "0"]) == 0
    )
    result, source = (pictures(folder / "clip") for folder in (tmp_path / "out", plain))
    for number in range(3):
        right = slice(120, None)
        assert np.abs(result[number][:, right].astype(int) - source[number][:, right]).mean() < 4
    assert np.abs(result[2][:, :20].astype(int) - paint(2)[:, :20]).mean() < 8


def test_a_mask_keeps_the_film_where_it_is_black(clip, tmp_path):
    mask = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    mask[:, :80] = 255
    save(tmp_path / "mask.png", mask)
    words = ["--format", "png/", "--end", "0.05", "--keyframe", f"1={tmp_path / '0.png'}"]
    assert keyframes(clip, "-o", tmp_path / "out", *words, "--mask", tmp_path / "mask.png") == 0
    first = pictures(tmp_path / "out" / "clip")[0].astype(int)
    assert (first[:, :60] == paint(0)[:, :60]).all()
    assert np.abs(first[:, 100:] - scene(0)[:, 100:]).mean() < 8


def test_an_interrupted_film_resumes_to_the_same_bytes(clip, tmp_path, monkeypatch, carried):
    from stylepipe.media import frames_write

    words = ["--format", "png/"]
    for number in (0, 4):
        words += ["--keyframe", f"{number + 1}={tmp_path / f'{number}.png'}"]
    write = frames_write._FramesSink.write

    def broken(self, frame):
        if frame.index == 2:
            raise OSError("no")
        write(self, frame)

    with monkeypatch.context() as patch:
        patch.setattr(frames_write._FramesSink, "write", broken)
        assert keyframes(clip, "-o", tmp_path / "out", *words) == 1
    assert keyframes(clip, "-o", tmp_path / "out", *words) == 0
    assert (np.stack(pictures(tmp_path / "out" / "clip")) == np.stack(carried)).all()


def test_a_try_paints_only_its_frames_and_nearly_as_the_whole_film(
    clip, carried, tmp_path, monkeypatch
):
    from stylepipe_plugins.keyframes import carrying

    made = []
    synthesize = carrying.synthesize

    def counted(exemplar, target, seed):
        made.append(seed)
        return synthesize(exemplar, target, seed)

    monkeypatch.setattr(carrying, "synthesize", counted)
    ends = [f"--keyframe={n + 1}={tmp_path / f'{n}.png'}" for n in (0, COUNT - 1)]
    assert not keyframes(clip, "-o", tmp_path / "try", "--frames", 3, *ends)
    tried = pictures(tmp_path / "try" / "clip-3-frames")
    assert made == [(4, 2), (0, 2)], "the middle one, from both sides"
    assert (tried[0] == carried[0]).all() and (tried[2] == carried[-1]).all()
    still = np.abs(paint(0).astype(int) - paint(2)).mean()
    assert np.abs(tried[1].astype(int) - paint(2)).mean() < 0.5 * still
