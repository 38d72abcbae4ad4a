"""Numbered frames as people name them: patterns in and out, gaps, damage, and the way back."""

import json
import os
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clips import make_clip
from PIL import Image, ImageCms

from stylepipe.cli import main
from stylepipe.media import frames_write
from stylepipe.patterns import TIMES, Pattern, files_of, title
from stylepipe.testing import scene

POSTERIZE = str(Path(__file__).parents[1] / "examples" / "posterize.py")


@pytest.fixture
def cli(capsys, monkeypatch, tmp_path):
    """Run ``stylepipe posterize`` on the CPU; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*args: object) -> tuple[int, str, str]:
        code = main.run(["posterize", *map(str, args), "-d", "cpu", "--plugin", POSTERIZE])
        return code, *capsys.readouterr()

    return call


def shot(folder: str, count: int, name: str = "fr{:04d}.png", first: int = 1, **more) -> Path:
    """Numbered pictures that move."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for k in range(count):
        Image.fromarray(scene(32, 24, time=k)).save(Path(folder, name.format(first + k)), **more)
    return Path(folder)


def names(folder: str) -> list[str]:
    """Of the pictures in it."""
    return sorted(p.name for p in Path(folder).iterdir() if p.suffix != ".json")


def shown(film: str) -> list[Fraction]:
    """When each frame of a film is shown."""
    with av.open(film) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def read(file: Path) -> np.ndarray:
    return cv2.imread(str(file), cv2.IMREAD_UNCHANGED)


# -- patterns ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "number", "name"),
    [
        ("fr%04d.png", 7, "fr0007.png"),
        ("fr%04d.png", 12345, "fr12345.png"),
        ("fr%4d.png", 7, "fr0007.png"),
        ("a_%d.tif", 12, "a_12.tif"),
        ("fr####.png", 7, "fr0007.png"),
        ("##.png", 12, "12.png"),
        ("%03d_left.png", 0, "000_left.png"),
    ],
)
def test_a_pattern_means_what_printf_does(pattern, number, name):
    found = Pattern.of(pattern)
    assert found.name(number) == name and found.number(name) == number
    assert found.number(f"0{name}") is None and found.number("fr001x.png") is None
    assert Pattern.of(str(found)) == found


@pytest.mark.parametrize(
    "name", ["fr.png", "take #1.png", "%d_%d.png", "50%.png", "%s.png", "%9999999d.png"]
)
def test_other_names_are_no_patterns(name):
    assert Pattern.of(name) is None


def test_one_number_sign_is_part_of_a_name(cli):
    shot("in", 1, "take {}.png", first=21)
    Path("in/take 21.png").rename("in/take #1.png")
    assert cli("in/take #1.png", "-o", "out #1.png")[0] == 0 and Path("out #1.png").is_file()
    shot("out", 1, "take {}.png", first=21)
    assert cli("in", "-o", "out")[0] == 0 and names("out")[1:] == ["take #1.png", "take 21.png"]


def test_a_file_of_just_that_name_is_a_file(tmp_path):
    shot(str(tmp_path), 2)
    assert list(files_of(tmp_path / "fr%04d.png")) == [1, 2]
    assert title(tmp_path / "fr%04d.png") == "fr" and title(tmp_path / "%d.png") == tmp_path.name
    Image.new("RGB", (8, 8)).save(tmp_path / "fr####.png")
    assert not files_of(tmp_path / "fr####.png") and title(tmp_path / "fr####.png") == "fr####"


@pytest.mark.parametrize("pattern", ["in/fr%04d.png", "in/fr####.png"])
def test_a_pattern_names_one_sequence_among_other_files(cli, pattern):
    shot("in", 3, first=1001)
    shot("in", 2, "other_{}.png", first=0)
    Path("in/notes.txt").write_text("x")
    Path("in/sub").mkdir()
    code, _, err = cli(pattern, "-o", "out", "--fps", "24")
    assert code == 0 and "1 done" in err, err
    assert names("out/fr") == ["fr1001.png", "fr1002.png", "fr1003.png"]
    code, _, err = cli(pattern, "in/other_%d.png", "-o", "films", "--fps", "24", "--format", "mkv")
    assert code == 0 and names("films")[1:] == ["fr.mkv", "other.mkv"], err
    assert shown("films/other.mkv") == [0, Fraction(42, 1000)]


def test_a_folder_of_two_sequences_says_how_to_name_one(cli):
    shot("in", 2)
    shot("in", 2, "a_{}.png")
    code, _, err = cli("in", "-o", "out", "--fps", "24")
    assert code == 1 and "name one by a pattern, in/fr####.png" in err
    assert cli("in/fr####.png", "-o", "out", "--fps", "24")[0] == 0


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["in/fr%04d.png"], 2, "names 3 frames, from 1 to 3; say how many are shown a second, as"),
        (["in/fr%d.png", "--fps", 25], 3, "looked for fr1.png and the like in in, which holds fr"),
        (["in/x%03d.png", "--fps", 25], 3, "x001.png and the like in in, which holds fr0001.png,"),
        (["no/fr%d.png", "--fps", 25], 3, "and there is no folder no"),
        (["in/r%d.exr", "--fps", 25], 2, "names 1 files, and .exr files are not read; make them"),
        (["in/%d_%d.png", "--fps", 25], 3, "no such file or folder: in/%d_%d.png"),
        (
            ["in/fr%04d.png", "--fps", 25, "-o", "in/fr%04d.png"],
            2,
            "frames get a folder of their own, as by",
        ),
        (["in", "-o", "out/%d.png"], 2, "names the frames of one film, but a folder of inputs"),
        (["in", "in", "--fps", 25, "-o", "out/%d.png"], 2, "write --output out --format png/, and"),
        (["in", "--fps", 25, "-o", "out/%d.mp4"], 2, "numbered frames are pictures, and out/%d.m"),
        (["in", "--fps", 25, "-o", "out/%d"], 2, "end its name in one of .avif .bmp"),
        (["in", "--fps", 25, "-o", "%d.png"], 2, "as by --output frames/%d.png, and . holds"),
        (["in/fr0001.png", "-o", "out/%d.png"], 1, "a photo cannot be written as .png/; give its"),
        (["in", "--fps", 25, "-o", "out/%d.png", "--format", "jpg/"], 2, "contradict each other"),
        (["in", "--fps", 25, "-o", "out/%d.png", "--name", "x"], 2, "leave one out"),
        (["in/fr%04d.png", "--fps", 25, "-o", "a.png"], 1, "a film cannot be written as .png;"),
        (["in/fr0001.png", "-o", "a.png", "--format", "png/"], 2, "contradict each other"),
        (["in", "--fps", 25, "-o", "a", "--format", "frames:mp4"], 2, "format cannot be 'mp4/'"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--dry-run"]], ids=["run", "dry-run"])
def test_a_pattern_that_cannot_be_meant_is_refused(cli, args, code, words, more):
    shot("in", 3)
    Path("in/r1.exr").write_bytes(b"v/1")
    before = sorted(Path().rglob("*"))
    output = [] if "-o" in args else ["-o", "out"]
    got, out, err = cli(*args, *output, *more)
    assert got == code and words in out + err and "Traceback" not in err, err
    assert sorted(Path().rglob("*")) == before


def test_frames_of_a_film_are_counted_from_1_and_those_of_a_sequence_keep_their_numbers(cli):
    make_clip(Path("clip.mkv"), (0, 40, 80))
    assert cli("clip.mkv", "-o", "out/%05d.jpg")[0] == 0
    assert names("out") == ["00001.jpg", "00002.jpg", "00003.jpg"]
    assert names(".") == ["clip.mkv", "out"], "nothing else is left"
    assert "1 skipped" in cli("clip.mkv", "-o", "out/%05d.jpg")[2]
    code, _, err = cli("clip.mkv", "-o", "out/%03d.jpg")
    assert code == 2 and "exists and was not made from this source by these settings" in err
    assert cli("clip.mkv", "-o", "out/####.jpg", "--overwrite", "--start", "0.04")[0] == 0
    assert names("out") == ["0001.jpg", "0002.jpg"]
    shot("in", 3, "{:03d}_left.png", first=1001)
    assert cli("in/%d_left.png", "--fps", "25", "-o", "seq/b_%06d.tiff")[0] == 0
    assert names("seq") == ["b_001001.tiff", "b_001002.tiff", "b_001003.tiff"]


def test_frames_are_never_laid_among_other_files(cli):
    shot("in", 2)
    shot("out", 1, "mine_{}.png")
    code, _, err = cli("in", "--fps", "25", "-o", "out/%05d.png", "--overwrite")
    assert code == 1 and "out is a folder; move it away" in err and names("out") == ["mine_1.png"]


def test_frames_png_is_the_same_as_png_with_a_slash(cli):
    make_clip(Path("clip.mkv"), (0, 40))
    assert cli("clip.mkv", "-o", "a", "--format", "frames:png")[0] == 0
    assert "1 skipped" in cli("clip.mkv", "-o", "a", "--format", "png/")[2]
    assert names("a/clip") == ["000001.png", "000002.png"]


# -- what frames keep ----------------------------------------------------------------------


def test_each_frame_keeps_its_exif_and_profile(cli):
    Path("in").mkdir()
    swapped = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for k in range(3):
        exif = Image.Exif()
        exif[0x010E] = f"frame {k}"
        picture = Image.fromarray(scene(32, 24, time=k)).convert("RGBA")
        picture.save(f"in/{k}.png", exif=exif, icc_profile=swapped)
    code, _, err = cli("in", "-o", "out", "--fps", "25", "--temporal", "warp")
    assert code == 0, err
    for k in range(3):
        with Image.open(f"out/in/{k}.png") as picture:
            assert picture.getexif()[0x010E] == f"frame {k}"
            assert picture.info["icc_profile"] == swapped and picture.mode == "RGBA"


def test_lossless_webp_stays_lossless(cli):
    shot("in", 2, "{}.webp", lossless=True)
    assert cli("in/%d.webp", "--fps", "25", "-o", "out/%d.webp", "--strength", "0")[0] == 0
    with Image.open("in/1.webp") as a, Image.open("out/1.webp") as b:
        assert np.array_equal(np.asarray(a), np.asarray(b.convert(a.mode)))


def test_ten_bits_become_sixteen_and_hdr_comes_back(cli):
    levels = np.linspace(0, 65535, 64, dtype=np.uint16)[None, :, None].repeat(48, 0).repeat(3, 2)
    make_clip(
        Path("hdr.mkv"), (0, 40), codec="libx265", pix_fmt="yuv420p10le", color=(1, 9, 9, 16),
        pictures=[levels, levels], options={"x265-params": "log-level=none:lossless=1"},
    )  # fmt: skip
    code, _, err = cli("hdr.mkv", "-o", "frames", "--format", "png/", "--strength", "0")
    assert code == 0 and ".png cannot indicate that the film is HDR" in err, err
    picture = read(Path("frames/hdr/000001.png"))
    assert picture.dtype == np.uint16 and (picture % 257).any()
    assert cli("frames/hdr", "-o", "back.mkv", "--strength", "0")[0] == 0
    with av.open("back.mkv") as film:
        frame = next(film.decode(video=0))
        tags = frame.color_primaries, frame.color_trc, frame.format.name
    assert tags == (9, 16, "yuv420p10le")


def test_a_clip_of_variable_rate_comes_back_with_its_times(cli):
    make_clip(Path("clip.mkv"), (0, 40, 100, 133, 400), sound=True)
    code, _, err = cli("clip.mkv", "-o", "frames", "--format", "png/")
    assert code == 0 and "cannot hold it: sound" in err
    told = json.loads(Path("frames/clip", TIMES).read_text())
    assert (told["film"], told["time_base"], told["variable_rate"]) == ("clip.mkv", "1/1000", True)
    assert [pts for _, pts, _ in told["frames"]] == [0, 40, 100, 133, 400]
    assert cli("frames/clip", "-o", "back.mkv")[0] == 0
    assert shown("back.mkv") == shown("clip.mkv")
    assert cli("frames", "-o", "painted")[0] == 0, "painted frames are that film, too"
    assert cli("painted/clip/%06d.png", "-o", "again.mkv")[0] == 0
    assert shown("again.mkv") == shown("clip.mkv")
    code, _, err = cli("frames/clip", "-o", "back.avi")
    assert code == 1 and "irregular times, which .avi cannot hold" in err
    code, _, err = cli("frames/clip", "-o", "even.mkv", "--fps", "10")
    assert code == 0 and f"--fps is used, and not the times in {TIMES}" in err
    assert shown("even.mkv") == [Fraction(k, 10) for k in range(5)]


def test_frames_that_times_do_not_fit_are_told(cli):
    make_clip(Path("clip.mkv"), (0, 40, 100, 133))
    assert cli("clip.mkv", "-o", "f", "--format", "png/")[0] == 0
    Path("f/clip/000002.png").unlink()
    code, _, err = cli("f/clip", "-o", "a.mkv")
    assert code == 1 and "1 of its 4 frames are missing (2)" in err
    assert shown("a.mkv") == [0, Fraction(1, 10), Fraction(133, 1000)]
    assert cli("f/clip", "-o", "b.mkv", "--gaps", "hold")[0] == 0
    assert shown("b.mkv") == shown("clip.mkv")
    shot("f/clip", 2, "{:06d}.png", first=8)
    code, _, err = cli("f/clip", "-o", "c.mkv")
    assert code == 1 and "but not 000008.png and 1 more; delete that file and pass --fps" in err
    whole = Path("f/clip", TIMES).read_text()
    torn = [whole[:-9], whole.replace("yuv420p", "no"), whole.replace("100", "10")]
    for broken in ("", "[]", '{"frames": [], "rate": null, "time_base": "1"}', "\xff", *torn):
        Path("f/clip", TIMES).write_text(broken, encoding="latin-1")
        code, _, err = cli("f/clip", "-o", "c.mkv")
        assert code == 1 and f"{TIMES}, which lies beside its frames, is damaged; delete" in err


# -- gaps, sizes, damage -------------------------------------------------------------------


def gappy() -> None:
    for number in (3, 6, 7, 8, 11):
        Path(f"in/fr{number:04d}.png").unlink()


def test_missing_numbers_are_named(cli):
    shot("in", 12)
    gappy()
    words = "5 of its 12 frames are missing (3, 6-8, 11)"
    code, _, err = cli("in", "-o", "a", "--fps", "25")
    assert code == 1 and f"{words}; render them again, or pass --gaps hold" in err
    assert len(names("a/in")) == 7
    code, out, err = cli("in", "-o", "b", "--fps", "25", "--gaps", "fail", "--dry-run")
    assert code == 1 and f"{words}; render them again, or leave out --gaps fail" in out + err
    assert not Path("b").exists()
    code, _, err = cli("in", "-o", "c", "--fps", "25", "--gaps", "hold")
    assert code == 0 and f"{words}; the frame before each is held" in err
    assert names("c/in") == names("a/in")[:2] + [f"fr{k:04d}.png" for k in range(3, 13)]
    assert np.array_equal(read(Path("c/in/fr0008.png")), read(Path("c/in/fr0005.png")))
    assert cli("in", "-o", "c.avi", "--fps", "25", "--gaps", "hold")[0] == 0
    assert len(shown("c.avi")) == 12
    code, _, err = cli("in", "-o", "d.avi", "--fps", "25")
    assert code == 1 and "irregular times" in err, "no frame is shown at another's time"


def test_a_part_of_a_sequence_begins_at_zero_and_holds_what_was_before(cli):
    shot("in", 6)
    Path("in/fr0003.png").unlink()
    args = ["--fps", "10", "--gaps", "hold", "--start", "0.2"]
    assert cli("in", "-o", "a.mkv", *args)[0] == 0
    assert shown("a.mkv") == [Fraction(k, 10) for k in range(4)]
    assert cli("in", "-o", "b", *args)[0] == 0
    cli("in", "-o", "c", "--fps", "10")
    assert np.array_equal(read(Path("b/in/fr0003.png")), read(Path("c/in/fr0002.png")))


def test_gaps_without_a_sequence_are_told(cli):
    shot("in", 2)
    code, _, err = cli("in", "-o", "out", "--gaps", "hold")
    assert code == 0 and "--gaps" in err and "without effect" in err


def test_numbers_that_are_dates_are_no_frames(cli):
    shot("in", 2, "{}.png", first=20240101)
    shot("in", 1, "{}.png", first=20991231)
    code, _, err = cli("in", "-o", "out", "--fps", "25", "--gaps", "hold")
    assert code == 1 and "number the frames one after the other" in err


def test_a_frame_of_another_size_is_told_before_anything_is_painted(cli):
    shot("in", 3)
    Image.new("RGB", (16, 24)).save("in/fr0003.png")
    code, out, err = cli("in", "-o", "out", "--fps", "25", "--dry-run")
    assert code == 1 and "fr0003.png has 16x24 pixels, but the first frame 32x24" in out + err


@pytest.mark.parametrize("content", [b"", b"x", b"\x89PNG\r\n\x1a\n"], ids=["empty", "x", "begun"])
@pytest.mark.parametrize("number", [1, 3])
def test_a_frame_that_cannot_be_read_is_damage(cli, content, number):
    shot("in", 4)
    Path(f"in/fr{number:04d}.png").write_bytes(content)
    code, _, err = cli("in", "-o", "out", "--fps", "25")
    assert code == 1 and f"fr{number:04d}.png: the " in err and "before takes its place" in err
    assert "1 done" in err and len(names("out/in")) == 4
    held, other = (read(Path(f"out/in/fr{k:04d}.png")) for k in (number, 2))
    assert np.array_equal(held, other)
    code, _, err = cli("in", "-o", "whole", "--fps", "25", "--on-damage", "fail")
    assert code == 1 and not Path("whole/in").exists()


def test_a_frame_that_is_still_being_written_is_painted_in_part(cli):
    shot("in", 3)
    file = Path("in/fr0002.png")
    file.write_bytes(file.read_bytes()[:-100])
    code, _, err = cli("in", "-o", "out", "--fps", "25")
    assert code == 1 and "fr0002.png: the PNG file is cut short or damaged" in err
    assert len(names("out/in")) == 3


def test_no_frame_that_can_be_read(cli):
    shot("in", 2)
    for file in Path("in").iterdir():
        file.write_bytes(b"")
    code, _, err = cli("in", "-o", "out", "--fps", "25")
    assert code == 1 and "fr0001.png: the file is empty" in err and "1 failed" in err


# -- with temporal methods, masks, and kills -----------------------------------------------


@pytest.mark.parametrize("at", range(6))
def test_a_pattern_resumes_at_any_frame_to_the_same_bytes(cli, monkeypatch, at):
    shot("in", 6, first=0)
    Path("in/fr0002.png").unlink()
    Path("in/fr0003.png").write_bytes(b"")
    args = ["in/fr%04d.png", "--fps", "25", "--gaps", "hold", "--temporal", "warp"]
    args += ["--on-damage", "warn", "--json"]
    assert cli(*args, "-o", "whole/%03d.png")[0] == 1
    write = frames_write._FramesSink.write

    def broken(self, frame):
        if frame.index == at:
            raise OSError("gone")
        write(self, frame)

    with monkeypatch.context() as patch:
        patch.setattr(frames_write._FramesSink, "write", broken)
        cli(*args, "-o", "out/%03d.png")
    assert not Path("out").exists(), "nothing half-written under its final name"
    code, out, _ = cli(*args, "-o", "out/%03d.png")
    assert code == 1 and f'"resumed": {at}' in out
    for path in Path("whole").iterdir():
        assert path.read_bytes() == Path("out", path.name).read_bytes(), path.name
    assert len(names("out")) == 6


def test_a_frame_that_changes_or_comes_is_noticed(cli):
    shot("in", 3)
    shot("in", 1, "other_{}.png")
    args = ["in/fr%04d.png", "-o", "out", "--fps", "24"]
    assert cli(*args)[0] == 0
    Path("in/other_1.png").unlink()
    assert "1 skipped" in cli(*args)[2], "a file beside them is none of it"
    stays = Path("in").stat()
    Image.fromarray(scene(32, 24, time=9)).save("in/fr0002.png")
    os.utime("in", ns=(stays.st_atime_ns, stays.st_mtime_ns))
    assert "1 done" in cli(*args)[2]
    shot("in", 1, first=4)
    assert "1 done" in cli(*args)[2] and len(names("out/fr")) == 4


def test_a_cut_between_frames_starts_afresh(cli):
    shot("in", 2)
    for k in (3, 4):
        Image.fromarray(255 - scene(32, 24, time=k)).save(f"in/fr{k:04d}.png")
    assert cli("in", "-o", "both", "--fps", "25", "--temporal", "warp")[0] == 0
    assert cli("in", "-o", "plain", "--fps", "25")[0] == 0
    first = Path("both/in/fr0003.png").read_bytes()
    assert first == Path("plain/in/fr0003.png").read_bytes()


def test_masks_of_a_pattern_are_found_by_what_its_names_have_in_common(cli):
    shot("in", 2)
    Path("masks/fr").mkdir(parents=True)
    for k, white in enumerate((0, 255), 1):
        Image.new("L", (32, 24), white).save(f"masks/fr/{k}.png")
    code, _, err = cli("in/fr%04d.png", "-o", "out", "--fps", "25", "--mask", "masks")
    assert code == 0, err
    kept, painted = (read(Path(f"out/fr/fr000{k}.png")) for k in (1, 2))
    assert np.array_equal(kept, read(Path("in/fr0001.png")))
    assert not np.array_equal(painted, read(Path("in/fr0002.png")))


def test_masks_can_be_written_under_a_pattern(cli, capsys):
    make_clip(Path("clip.mkv"), (0, 40))
    argv = ["masks", "clip.mkv", "-o", "m/%02d.png", "--mask", "box:0,0,10,10", "-d", "cpu"]
    for count in ("1 done", "1 skipped"):
        assert main.run(argv) == 0
        assert count in capsys.readouterr().err
        assert names("m") == ["01.png", "02.png"] and not Path("m", TIMES).exists()
    assert Path("m-overlay.jpg").is_file()


# -- probe ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["in", "in/fr%04d.png"])
def test_probe_tells_of_a_sequence_with_and_without_its_rate(cli, capsys, path):
    shot("in", 12, first=1001)
    Path("in/fr1004.png").unlink()
    assert main.run(["probe", path, "--json"]) == 1, "frames are missing"
    said = capsys.readouterr()
    [found] = json.loads(said.out)
    assert (found["sequence"], found["numbers"], found["missing"]) == (
        "fr####.png", "1001-1012", "1004",
    )  # fmt: skip
    assert (found["frames"], found["width"], found["depth"]) == (11, 32, 8)
    assert "rate" not in found and "a film with --fps RATE; without, each is a photo" in said.err
    assert main.run(["probe", path, "--set", "input.fps=24"]) == 1
    said = capsys.readouterr().out
    assert {"24", "0.5", "1001-1012"} <= set(said.split())
    assert "as .png/, by the writer frames:" in said


def test_probe_of_what_is_no_sequence(cli, capsys):
    Path("in").mkdir()
    assert main.run(["probe", "in", "in/fr%04d.png"]) == 1
    said = capsys.readouterr().err
    assert "in: is a folder without numbered frames; name the files in it" in said
    assert "in/fr%04d.png: looked for fr0001.png and the like in in, which holds no files" in said
