"""``stylepipe measure``: what is printed, written and drawn of films, and what is refused."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import make_clip
from PIL import Image
from test_temporal import flickering, pan, texture

from stylepipe.cli import main
from stylepipe.errors import SetupError
from stylepipe.temporal.dis import Search
from stylepipe.temporal.metrics import warping_error

COUNT = 6


def folder(path, frames, numbers=None):
    """A folder of numbered frames."""
    path.mkdir()
    for number, frame in zip(numbers or range(len(frames)), frames, strict=True):
        picture = getattr(frame, "pixels", frame)
        cv2.imwrite(str(path / f"f_{number:04}.png"), picture[..., ::-1])
    return path


@pytest.fixture
def films(tmp_path, monkeypatch):
    """A pan, the same painted unsteadily, and that blurred; in the current folder."""
    monkeypatch.chdir(tmp_path)
    source = pan(3, COUNT, 3)
    alone = flickering(source)
    soft = [cv2.GaussianBlur(frame.pixels, (0, 0), 2) for frame in alone]
    folder(tmp_path / "source", source)
    folder(tmp_path / "alone", alone)
    folder(tmp_path / "soft", soft)
    return source, alone


def measured(capsys, *args, code=0):
    """The JSON of a call, by the name of the film; and what was said."""
    assert main.run(["measure", *map(str, args), "--json"]) == code
    said = capsys.readouterr()
    return {one["film"]: one for one in json.loads(said.out)}, said.err


def refused(capsys, *args, code):
    assert main.run(["measure", *map(str, args)]) == code
    said = capsys.readouterr()
    assert not said.out
    return said.err


def failed(capsys, *args):
    """What is said of a failure after the measuring."""
    assert main.run(["measure", *map(str, args)]) == SetupError.exit_code
    return capsys.readouterr().err


def test_a_film_is_measured_beside_its_source(films, capsys):
    found, said = measured(capsys, "source", "alone")
    wanted = warping_error(films[0], films[1], Search())
    floor = warping_error(films[0], films[0], Search())
    one = found["alone"]
    assert not said
    assert (one["frames"], one["pairs"], one["cuts"]) == (COUNT, COUNT - 1, 0)
    assert one["e_warp"] == pytest.approx(wanted) and one["source"] == pytest.approx(floor)
    assert one["excess"] == pytest.approx(wanted - floor)
    assert found["source"]["excess"] == 0
    assert one["gone"] is one["kept"] is one["style"] is None, "those need --alone"
    assert one["flicker"] is None, "no part of the source is static"
    assert found["source"]["along"] > 0.9 > found["source"]["fixed"]


def test_blur_takes_the_excess_away_and_is_seen_to_be_blur(films, capsys):
    found, _ = measured(capsys, "source", "alone", "soft", "--alone", "alone")
    soft = found["soft"]
    assert 0 < soft["gone"] < 1
    assert soft["worst"] <= soft["kept"] < 0.5
    assert soft["style"] > 0.05
    assert len(soft["kept_in_shots"]) == 5 and max(soft["kept_in_shots"]) < 0.5
    same = found["alone"]
    assert (same["gone"], same["kept"], same["worst"]) == (0, 1, 1)


def test_the_table_has_a_head_and_a_row_for_each_film(films, capsys):
    assert main.run(["measure", "source", "alone", "soft"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["film", "e_warp", "source", "excess"]
    assert [row.split()[0] for row in rows] == ["source", "alone", "soft"]
    assert all(len(row.split()) == len(head.split()) for row in rows)


def test_each_frame_is_a_row_of_the_csv(films, capsys):
    found, _ = measured(capsys, "source", "soft", "--alone", "alone", "--csv", "frames.csv")
    with Path("frames.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["film"] == "soft"]
    assert [row["frame"] for row in rows] == [str(n) for n in range(COUNT)]
    assert [float(row["time"]) for row in rows] == pytest.approx([n / 25 for n in range(COUNT)])
    assert rows[0]["e_warp"] == rows[0]["flicker"] == "", "no pair ends at the first frame"
    for column, key in (("e_warp", "e_warp"), ("kept", "kept"), ("sharp", "sharp")):
        values = [float(row[column]) for row in rows if row[column]]
        assert np.mean(values) == pytest.approx(found["soft"][key], rel=1e-6)


def test_the_plot_shows_a_curve_for_each_film(films, capsys):
    measured(capsys, "source", "alone", "--plot", "one.png")
    measured(capsys, "source", "alone", "soft", "--plot", "two.png")
    for name, others in (("one.png", 1), ("two.png", 2)):
        drawn = {color for _, color in Image.open(name).convert("RGB").getcolors(1 << 24)}
        colors = [(0x4D, 0x4D, 0x4D), (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)]
        assert [color in drawn for color in colors] == [k <= others for k in range(3)]


def test_files_of_measures_replace_nothing_unasked(films, capsys):
    Path("mine.csv").write_text("mine")
    assert "--overwrite" in refused(capsys, "source", "alone", "--csv", "mine.csv", code=2)
    assert Path("mine.csv").read_text() == "mine"
    measured(capsys, "source", "alone", "--csv", "mine.csv", "--overwrite")
    assert Path("mine.csv").read_text().startswith("film,frame,time")
    assert ".png" in refused(capsys, "source", "alone", "--plot", "p.jpg", code=2)
    assert "folder that exists" in refused(capsys, "source", "alone", "--csv", "no/x.csv", code=2)
    both = "--csv", "one.png", "--plot", "../" + Path.cwd().name + "/one.png"
    assert "two files" in refused(capsys, "source", "alone", *both, code=2)
    Path("style.png").write_bytes(b"mine")
    flags = "--photo", "source", "--style", "style.png", "--csv", "style.png", "--overwrite"
    assert "to be read" in refused(capsys, "alone", *flags, code=2)
    assert Path("style.png").read_bytes() == b"mine"
    Path(".mine.csv.part").mkdir()
    assert "cannot write" in failed(capsys, "source", "alone", "--csv", "mine.csv", "--overwrite")


def test_only_the_first_frames_scaled_down(films, capsys):
    found, said = measured(capsys, "source", "alone", "--frames", 3, "--max-side", 80)
    assert found["alone"]["pairs"] == 2 and not said
    small = [cv2.resize(f.pixels, (80, 60), interpolation=cv2.INTER_AREA) for f in films[1][:3]]
    wanted = np.mean([cv2.Laplacian(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), 5).var() for f in small])
    assert found["alone"]["sharp"] == pytest.approx(wanted, rel=1e-5)


def test_frames_written_by_stylepipe_keep_their_times(tmp_path, capsys):
    source = make_clip(tmp_path / "source.mkv", (0, 40, 80, 200, 240))
    call = ["run", str(source), "-o", str(tmp_path / "out"), "--format", "png/", "-q"]
    assert main.run([*call, "--strength", "0", "--device", "cpu"]) == 0
    capsys.readouterr()
    path = tmp_path / "out" / "source"
    found, said = measured(capsys, source, path)
    assert found[str(path)]["frames"] == 5 and not said


def test_frames_are_paired_by_their_times(tmp_path, films, capsys):
    """A frame that is missing leaves two pairs out; all others are those of the whole film."""
    kept = [0, 1, 2, 4, 5]
    folder(tmp_path / "gap", [films[1][n] for n in kept], kept)
    found, said = measured(capsys, "source", "gap", code=1)
    assert "no frame for 1 of the source's 6" in said and "0.120 s" in said
    assert (found["gap"]["frames"], found["gap"]["pairs"]) == (5, 3)
    assert found["gap"]["source"] != found["source"]["e_warp"], "the source over the same pairs"
    pairs = [(films[0][n : n + 2], films[1][n : n + 2]) for n in (0, 1, 4)]
    wanted = [warping_error(a, b, Search()) for a, b in pairs]
    assert found["gap"]["e_warp"] == pytest.approx(np.mean(wanted))


def test_a_shorter_and_a_longer_film_are_told(tmp_path, films, capsys):
    folder(tmp_path / "short", films[1][:4])
    folder(tmp_path / "long", [*films[1], films[1][0]])
    found, said = measured(capsys, "source", "short", "long")
    assert "short: has no frame for 2 of the source's 6" in said
    assert "long: continues after the source's last frame" in said
    assert (found["short"]["pairs"], found["long"]["pairs"]) == (3, 5)


def test_what_the_source_has_after_its_results_is_not_measured(tmp_path, films, capsys):
    for name in ("a", "b"):
        folder(tmp_path / name, films[1][:4])
    found, said = measured(capsys, "source", "a", "b", "--alone", "b")
    assert "source: continues after the last frame of its results: measured up to 0.160 s" in said
    assert "has no frame" not in said and found["source"]["frames"] == 4
    assert found["source"]["e_warp"] == found["a"]["source"]


def test_a_folder_that_lacks_its_first_frame_is_told_of(tmp_path, films, capsys):
    folder(tmp_path / "late", films[1][1:], range(1, COUNT))
    assert "late: begins with frame 1, and source with 0" in measured(capsys, "source", "late")[1]
    found, said = measured(capsys, "source", "late", "--start", "0.04")
    assert "begins" not in said and found["late"]["pairs"] == COUNT - 2
    wanted = warping_error(films[0][1:], films[1][1:], Search())
    assert found["late"]["e_warp"] == pytest.approx(wanted)


def test_a_larger_film_is_scaled_and_told(tmp_path, films, capsys):
    twice = [cv2.resize(f.pixels, None, fx=2, fy=2) for f in films[1]]
    folder(tmp_path / "twice", twice)
    found, said = measured(capsys, "source", "twice")
    assert "twice: is 320x240, and is scaled to the source's 160x120" in said
    assert found["twice"]["pairs"] == COUNT - 1


def test_one_result_that_cannot_be_measured_costs_the_others_nothing(tmp_path, films, capsys):
    folder(tmp_path / "wide", [f.pixels[:60] for f in films[1]])
    folder(tmp_path / "single", films[1][:1])
    (tmp_path / "words.mp4").write_text("no film")
    cv2.imwrite(str(tmp_path / "photo.png"), films[1][0].pixels)
    (tmp_path / "empty").mkdir()
    bad = ("wide", "single", "words.mp4", "photo.png", "empty")
    found, said = measured(capsys, "source", *bad, "alone", code=1)
    assert list(found) == ["source", "alone"]
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(lines) == len(bad)
    for name, reason in zip(
        ("wide", "words.mp4", "photo.png", "empty", "single"),
        ("same proportions", "words.mp4", "it is a picture", "no numbered", "1 of its frames"),
        strict=True,
    ):
        assert any(line.startswith(f"error: {name}") and reason in line for line in lines), said


def test_a_torn_frame_is_reported_and_the_one_before_measured_in_its_place(films, capsys):
    for path in (folder(Path("torn"), films[1]), folder(Path("held"), films[1])):
        (path / "f_0003.png").write_bytes((path / "f_0002.png").read_bytes())
    Path("torn/f_0003.png").write_bytes(b"torn")
    found, said = measured(capsys, "source", "torn", "held", "alone", code=1)
    assert "torn: f_0003.png: " in said and "the frame before takes its place" in said
    torn, held = ({**found[name], "film": ""} for name in ("torn", "held"))
    assert torn == held != {**found["alone"], "film": ""}


def test_sources_that_cannot_be_measured(tmp_path, films, capsys):
    folder(tmp_path / "single", films[0][:1])
    assert "it has one frame" in refused(capsys, "single", "single", code=1)
    assert "no such file" in refused(capsys, "absent.mp4", "alone", code=3)
    assert "no such file" in refused(capsys, "source", "alone", "--alone", "absent", code=3)
    assert "RESULT" in refused(capsys, "source", code=2)


def test_films_of_other_rates_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "full.mp4", range(0, 400, 40))
    make_clip(tmp_path / "half.mp4", range(0, 400, 80))
    said = refused(capsys, "full.mp4", "half.mp4", code=1)
    assert "12.5 frames a second" in said and "25" in said


def test_a_folder_beside_a_film_has_its_rate_and_start(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    frames = [f.pixels for f in pan(3, 8, 3)]
    times = range(0, 800, 100)
    make_clip(tmp_path / "clip.mkv", times, size=(160, 120), pictures=frames, codec="ffv1",
              pix_fmt="bgr0")  # fmt: skip
    folder(tmp_path / "later", frames[3:])
    found, said = measured(capsys, "clip.mkv", "later", "--start", "0.3")
    assert not said and found["later"]["pairs"] == 4
    assert found["later"]["excess"] == pytest.approx(0), "the same frames"


def test_nothing_is_measured_across_a_cut(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    frames = [f.pixels for f in pan(3, 3, 2)] + [255 - texture(8)] * 3
    folder(tmp_path / "film", frames)
    soft = [f if n != 4 else cv2.GaussianBlur(f, (0, 0), 3) for n, f in enumerate(frames)]
    folder(tmp_path / "pop", soft)
    found, _ = measured(capsys, "film", "pop", "--alone", "film")
    assert (found["pop"]["cuts"], found["pop"]["pairs"]) == (1, 4)
    first, second, third, *rest = found["pop"]["kept_in_shots"]
    assert first == third == 1 and second < 0.6, "crisp after the cut, soft, then crisp: a pop"
    assert rest == [None, None], "no shot has more frames"


def test_torch_is_only_loaded_for_the_style(films):
    program = (
        "import sys; from stylepipe.cli import main\n"
        "code = main.run(['measure', 'source', 'alone'])\n"
        "sys.exit(code or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
