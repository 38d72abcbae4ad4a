"""``stylepipe probe`` opens readers as a job does, and is quick."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction

import av
import pytest
from clips import Log, convert, make_clip

from stylepipe.cli import main
from stylepipe.media import video_encode

PLUGIN = '''
from stylepipe import Info, Reader, hookimpl


class Asking(Reader):
    """Asks for all that a context has."""

    name, kind, patterns = "asking", "image", (".ask",)

    def open(self, context):
        context.log("opened")
        context.progress(0.5, "half")
        assert context.memory > 0
        self.device = context.device.type

    def probe(self, path):
        return Info("image", self.device, 1, 1)

    def frames(self, item, info, start=0):
        raise NotImplementedError


@hookimpl
def stylepipe_components():
    return [Asking]
'''


def test_a_reader_gets_all_that_a_context_has(tmp_path, capsys):
    (tmp_path / "asking.py").write_text(PLUGIN)
    (tmp_path / "a.ask").write_text("")
    argv = ["probe", str(tmp_path / "a.ask"), "--plugin", str(tmp_path / "asking.py")]
    assert main.run(argv) == 0
    said = capsys.readouterr()
    assert "opened" in said.err and "opened" not in said.out
    assert "cpu" in said.out


def test_a_film_is_described_without_torch(tmp_path):
    clip = make_clip(tmp_path / "in.mp4", (0, 40))
    program = (
        "import sys; from stylepipe.cli import main\n"
        "code = main.run(['probe', sys.argv[1]])\n"
        "sys.exit(code or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, clip], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "h264" in done.stdout


def result(capsys, *args, code=0):
    """The part of the JSON that says what would become of a film."""
    assert main.run(["probe", *map(str, args), "--json"]) == code
    (facts,) = json.loads(capsys.readouterr().out)
    return facts["result"]


def fates(found):
    return {part["part"]: part["action"] for part in found["parts"]}


def make_rich(path):
    """A film with sound, words, an attached file, chapters and a title."""
    plain = make_clip(path.with_name("plain.mkv"), tuple(range(0, 2000, 40)), sound=True)
    milli = Fraction(1, 1000)
    with av.open(str(plain)) as source, av.open(str(path), "w") as out:
        targets = {s.index: out.add_stream_from_template(s, opaque=True) for s in source.streams}
        words = out.add_mux_stream("subrip")
        words.time_base = milli
        out.add_attachment("font.ttf", "application/x-truetype-font", b"letters")
        out.metadata["title"] = "A title"
        chapter = {"id": 1, "start": 0, "end": 900, "time_base": milli, "metadata": {"title": "a"}}
        out.set_chapters([chapter])
        line = av.Packet(b"Low water")
        line.stream, line.time_base, line.duration = words, milli, 300
        line.pts = line.dts = 100
        out.mux(line)
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = targets[packet.stream.index]
                out.mux(packet)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi"])
def test_each_stream_becomes_what_a_run_makes_of_it(tmp_path, capsys, suffix):
    film = make_clip(
        tmp_path / "in.mkv", tuple(range(0, 1000, 40)), sound=True, metadata={"title": "A title"}
    )
    found = result(capsys, film, "--format", suffix[1:])
    log = Log()
    convert(film, tmp_path / f"out{suffix}", log)
    with av.open(str(tmp_path / f"out{suffix}")) as made:
        video, sound = made.streams.video[0], made.streams.audio[0]
        kept = "title" in {k.lower() for k in made.metadata}
    told = found["parts"]
    assert found["format"] == suffix and told[0]["action"] == "painted"
    assert video.codec_context.pix_fmt in told[0]["words"]
    converted = sound.codec_context.codec.canonical_name != "aac"
    assert told[1]["action"] == ("converted" if converted else "copied")
    assert fates(found).get("tags title") == ("kept" if kept else "left out")
    assert [n for n in log.lines if "cannot hold" in n] == [
        f"in.mkv: {n}" for n in found["notes"] if "cannot hold" in n
    ]


def test_what_a_container_cannot_hold_is_left_out_or_converted(tmp_path, capsys):
    film = make_rich(tmp_path / "rich.mkv")
    own = fates(result(capsys, film))
    assert set(own.values()) == {"painted", "copied", "kept"} and own["1 chapter"] == "kept"
    other = fates(result(capsys, film, "-o", tmp_path / "out.mp4"))
    assert other["attached file font.ttf"] == "left out"
    assert other["subtitle subrip"] == "converted" and other["1 chapter"] == "kept"
    pictures = fates(result(capsys, film, "--format", "png/"))
    assert pictures["sound"] == "left out" and "painted" in pictures.values()
    assert {p.name for p in tmp_path.iterdir()} == {"plain.mkv", "rich.mkv"}  # nothing is written


def test_how_pictures_are_read_and_written_is_said(tmp_path, capsys):
    film = make_clip(tmp_path / "in.mp4", (0, 40, 90, 200, 260, 400), rotate=90)
    assert main.run(["probe", str(film)]) == 0
    out = capsys.readouterr().out
    assert "turned upright by" in out and "at its own irregular times" in out
    wide = make_clip(
        tmp_path / "hdr.mkv", (0, 40, 80), codec="libx265", pix_fmt="yuv420p10le",
        color=(1, 9, 9, 16), options={"x265-params": "log-level=error"},
    )  # fmt: skip
    assert "HDR PQ kept" in result(capsys, wide)["parts"][0]["words"]


def test_the_options_of_the_writer_count(tmp_path, capsys):
    film = make_clip(tmp_path / "in.mp4", (0, 40, 80))
    if "libx265" not in video_encode._usual():
        pytest.skip("no libx265 here")
    words = result(capsys, film, "--set", "output.codec=libx265")["parts"][0]["words"]
    assert "written by libx265" in words


def test_a_film_that_cannot_be_written_is_described_all_the_same(tmp_path, capsys):
    film = make_clip(tmp_path / "in.mp4", (0, 40, 90, 200, 260, 400))
    assert "irregular times" in result(capsys, film, "--format", "avi", code=1)["error"]
    assert main.run(["probe", str(film), "--format", "jpg"]) == 1
    out = capsys.readouterr().out
    assert "h264" in out and "as .mp4: cannot be written: --format jpg is for photos" in out


def test_frames_to_paint_mean_nothing_to_it(tmp_path, capsys):
    film = make_clip(tmp_path / "in.mp4", (0, 40))
    assert main.run(["probe", str(film), "--set", "input.frames=3"]) == 2
    assert "probe paints none; leave it out" in capsys.readouterr().err


def test_a_name_that_no_disk_holds_is_told_in_a_sentence(capsys):
    assert main.run(["probe", "a" * 300 + ".mp4"]) == 1
    assert "no such file" in capsys.readouterr().err
