"""Cover, timecode, chapters and tags: kept where the container can, named where it cannot."""

from __future__ import annotations

import io
from fractions import Fraction
from struct import pack

import av
import numpy as np
import pytest
from av.stream import Disposition
from clips import Log, convert, make_clip, picture, read
from PIL import Image

from stylepipe.media.video_timecode import later

CODE = "01:02:03:04"
MILLI, NTSC = Fraction(1, 1000), Fraction(30000, 1001)
CHAPTERS = [
    {"id": n, "start": begin, "end": end, "time_base": MILLI, "metadata": {"title": title}}
    for n, (begin, end, title) in enumerate([(0, 200, "Ebb"), (200, 400, "Flood")])
]


def image(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((40, 30, 3), (200, 10, 60), np.uint8)).save(file, kind)
    return file.getvalue()


def film(
    path,
    *,
    cover=None,
    timecode=None,
    chapters=(),
    tags=None,
    attached=None,
    sound=False,
    rate=Fraction(25),
    codec="libx264",
):
    """Ten frames that say much of themselves; ``cover``: codec and bytes."""
    keys = {"movflags": "use_metadata_tags"} if tags and path.suffix == ".mov" else {}
    with av.open(str(path), "w", container_options=keys) as out:
        out.metadata.update(tags or {})
        video = out.add_stream(codec, rate=rate, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        if timecode:
            video.metadata["timecode"] = timecode
        audio = out.add_stream("aac", rate=48000, layout="mono") if sound else None
        if chapters:
            out.set_chapters(list(chapters))
        if attached:
            out.add_attachment(*attached)
        if cover:
            still = out.add_mux_stream(cover[0], width=30, height=40)
            still.disposition, still.time_base = Disposition.attached_pic, MILLI
            packet = av.Packet(cover[1])
            packet.stream, packet.time_base, packet.pts, packet.dts = still, MILLI, 0, 0
            packet.is_keyframe = True
            out.mux(packet)
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.time_base = number, 1 / rate
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if audio is not None:
            for start in range(0, 18 * 1024, 1024):
                silence = np.zeros((1, 1024), np.float32)
                tone = av.AudioFrame.from_ndarray(silence, "fltp", "mono")
                tone.sample_rate, tone.pts = 48000, start
                out.mux(audio.encode(tone))
            out.mux(audio.encode(None))
    return path


def covers(path):
    """The bytes of a file's covers."""
    with av.open(str(path)) as container:
        still = [s for s in container.streams.video if s.disposition & Disposition.attached_pic]
        return [bytes(p) for p in container.demux(still) if p.size] if still else []


def timecode(path):
    with av.open(str(path)) as container:
        told = {k.lower(): v for s in container.streams for k, v in s.metadata.items()}
    return told.get("timecode")


def titles(path):
    with av.open(str(path)) as container:
        return [
            (c["metadata"]["title"], float(c["start"] * c["time_base"]))
            for c in container.chapters()
        ]


# -- covers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "codec", "kind"),
    [(".mp4", "mjpeg", "JPEG"), (".m4v", "png", "PNG"), (".mkv", "png", "PNG")],
)
def test_a_cover_is_kept_byte_by_byte(tmp_path, suffix, codec, kind):
    source = film(tmp_path / "in.mp4", cover=(codec, image(kind)))
    assert covers(source) == [image(kind)]
    log = Log()
    convert(source, tmp_path / f"out{suffix}", log)
    assert covers(tmp_path / f"out{suffix}") == [image(kind)]
    assert len(read(tmp_path / f"out{suffix}")[1]) == 10
    assert not log.lines


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_cover_from_matroska_beside_another_attachment(tmp_path, suffix):
    source = film(tmp_path / "in.mkv", attached=("cover.png", "image/png", image("PNG")))
    log = Log()
    convert(source, tmp_path / f"out{suffix}", log)
    assert covers(tmp_path / f"out{suffix}") == [image("PNG")]
    assert not log.lines


def test_a_cover_stays_when_the_film_is_trimmed_and_has_sound(tmp_path):
    source = film(tmp_path / "in.mp4", cover=("png", image("PNG")), sound=True)
    convert(source, tmp_path / "out.mp4", trim={"start": "0.2"})
    assert covers(tmp_path / "out.mp4") == [image("PNG")]
    with av.open(str(tmp_path / "out.mp4")) as out:
        assert [s.type for s in out.streams].count("audio") == 1
    assert len(read(tmp_path / "out.mp4")[1]) == 5


@pytest.mark.parametrize("suffix", [".mov", ".webm", ".avi"])
def test_a_cover_that_cannot_be_kept_is_named(tmp_path, suffix):
    log = Log()
    convert(film(tmp_path / "in.mp4", cover=("png", image("PNG"))), tmp_path / f"out{suffix}", log)
    assert log.lines == ["in.mp4: left out: cover picture (.mp4 and .m4v and .mkv can hold one)"]
    assert covers(tmp_path / f"out{suffix}") == []


def test_an_attached_file_is_named(tmp_path):
    source = film(tmp_path / "in.mkv", attached=("type.ttf", "font/ttf", b"letters"))
    log = Log()
    convert(source, tmp_path / "out.mp4", log)
    assert log.lines == ["in.mkv: left out: attached file type.ttf"]
    log = Log()
    convert(source, tmp_path / "out.mkv", log)
    assert not log.lines


# -- timecode -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "suffix"),
    [(".mov", ".mp4"), (".mp4", ".mkv"), (".mkv", ".mov"), (".mxf", ".mov"), (".mov", ".webm")],
)
def test_timecode_is_kept_and_moves_with_the_start(tmp_path, source, suffix):
    path = film(tmp_path / f"in{source}", timecode=CODE)
    log = Log()
    convert(path, tmp_path / f"out{suffix}", log)
    assert timecode(tmp_path / f"out{suffix}") == CODE
    cut = tmp_path / "cut" / f"out{suffix}"
    cut.parent.mkdir()
    convert(path, cut, log, trim={"start": "0.2"})
    assert timecode(cut) == "01:02:03:09"
    assert not log.lines


def test_timecode_that_cannot_be_kept_is_named(tmp_path):
    log = Log()
    convert(film(tmp_path / "in.mov", timecode=CODE), tmp_path / "out.avi", log)
    assert log.lines == [f"in.mov: .avi cannot hold timecode {CODE}: left out"]


@pytest.mark.parametrize("code", ["soon", "01:02:03;04", "01:02:03:25", "01:02:03:-1"])
def test_timecode_that_makes_no_sense_costs_no_film(tmp_path, code):
    source, log = film(tmp_path / "in.mkv", timecode=code), Log()
    convert(source, tmp_path / "out.mov", log)
    assert log.lines == [f"in.mkv: timecode {code} left out: it makes no sense at this frame rate"]
    assert len(read(tmp_path / "out.mov")[1]) == 10


def test_timecode_of_irregular_film_is_left_out_where_it_would_be_a_guess(tmp_path, monkeypatch):
    source = make_clip(tmp_path / "in.mp4", (0, 40, 80, 200, 240, 360, 400, 440, 640, 680))
    info, _ = read(source)
    assert info.details["variable_rate"]
    from stylepipe.media import video_facts

    monkeypatch.setattr(video_facts, "find_timecode", lambda container, stream: CODE)
    log = Log()
    convert(source, tmp_path / "out.mp4", log, trim={"start": "0.1"})
    assert log.lines == [
        f"in.mp4: timecode {CODE} left out: after --start it is unknown at irregular times"
    ]
    assert timecode(tmp_path / "out.mp4") is None
    (tmp_path / "whole").mkdir()
    convert(source, tmp_path / "whole" / "out.mp4")
    assert timecode(tmp_path / "whole" / "out.mp4") == CODE


def test_drop_frame_timecode_counts_as_clocks_do():
    def count(fps, dropped, minutes):
        """All timecodes of some minutes, one after the other."""
        for minute in range(minutes):
            for frame in range(fps * 60):
                second, within = divmod(frame, fps)
                if second or within >= dropped or minute % 10 == 0:
                    yield f"00:{minute:02d}:{second:02d};{within:02d}"

    for fps, dropped in ((30, 2), (60, 4)):
        rate = Fraction(fps * 1000, 1001)
        for number, code in enumerate(count(fps, dropped, 12)):
            if number % 7 == 0 or ":00;0" in code:
                assert later("00:00:00;00", number, rate) == code
                assert later(code, -number, rate) == "00:00:00;00"


@pytest.mark.parametrize(
    ("code", "frames", "rate", "wanted"),
    [
        ("00:00:59:24", 1, Fraction(25), "00:01:00:00"),
        ("23:59:59:24", 1, Fraction(25), "00:00:00:00"),
        ("23:59:59;29", 1, NTSC, "00:00:00;00"),
        ("01:00:00:00", 48, Fraction(24000, 1001), "01:00:02:00"),
        ("01:00:00:00", 0, Fraction(0), None),
        ("01:60:00:00", 0, Fraction(25), None),
    ],
)
def test_timecode_some_frames_on(code, frames, rate, wanted):
    assert later(code, frames, rate) == wanted


# -- chapters and tags ----------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_chapters_are_kept(tmp_path, suffix):
    log = Log()
    convert(film(tmp_path / "in.mkv", chapters=CHAPTERS), tmp_path / f"out{suffix}", log)
    assert titles(tmp_path / f"out{suffix}") == [("Ebb", 0.0), ("Flood", 0.2)]
    assert not log.lines


def test_that_ffmpeg_wrote_the_source_is_no_loss(tmp_path):
    log = Log()
    source = film(tmp_path / "in.avi", codec="mpeg4")
    with av.open(str(source)) as opened:
        assert opened.metadata["software"].startswith("Lavf")
    convert(source, tmp_path / "out.avi", log)
    assert not log.lines


def test_a_track_of_chapter_titles_is_no_loss(tmp_path):
    log = Log()
    convert(film(tmp_path / "in.mov", chapters=CHAPTERS), tmp_path / "out.mkv", log)
    assert titles(tmp_path / "out.mkv") == [("Ebb", 0.0), ("Flood", 0.2)]
    assert log.lines == ["in.mov: left out: track of chapter titles (chapters are kept)"]


def test_chapters_that_cannot_be_kept_are_named(tmp_path):
    log = Log()
    convert(film(tmp_path / "in.mkv", chapters=CHAPTERS), tmp_path / "out.avi", log)
    assert log.lines == ["in.mkv: .avi cannot hold chapters: left out"]


TAGS = {"com.apple.quicktime.location.ISO6709": "+48.1+011.5+500/", "title": "Tides"}


@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv"])
def test_where_a_phone_filmed_is_kept(tmp_path, suffix):
    source, log = film(tmp_path / "in.mov", tags=TAGS), Log()
    convert(source, tmp_path / f"out{suffix}", log)
    with av.open(str(tmp_path / f"out{suffix}")) as out:
        kept = {k.lower(): v for k, v in out.metadata.items()}
    assert {k.lower(): v for k, v in TAGS.items()}.items() <= kept.items()
    assert not log.lines


def test_tags_that_cannot_be_kept_are_named(tmp_path):
    log = Log()
    convert(
        film(tmp_path / "in.mkv", tags={"weather": "mild", "title": "x"}), tmp_path / "out.mp4", log
    )
    assert log.lines == ["in.mkv: .mp4 cannot hold the tags weather: left out"]


# -- what pictures carry beside -------------------------------------------------------------


def with_captions(path):
    """A raw H.264 film whose first picture has a closed caption (ATSC A/53) before it."""
    clip = make_clip(path.with_name("plain.h264"), (0, 40, 80)).read_bytes()
    captions = b"GA94\x03" + bytes([0xC1, 0xFF, 0xFC, 0x94, 0x2C, 0xFF])
    payload = b"\xb5" + pack(">H", 0x31) + captions
    unit = b"\0\0\0\1\x06\x04" + bytes([len(payload)]) + payload + b"\x80"
    first = clip.index(b"\0\0\1\x65")  # the key picture
    path.write_bytes(clip[:first] + unit + clip[first:])
    return path


def test_closed_captions_are_named(tmp_path):
    source, log = with_captions(tmp_path / "in.h264"), Log()
    assert read(source)[0].details["side_data"] == ["closed captions"]
    convert(source, tmp_path / "out.mp4", log)
    assert log.lines == ["in.h264: left out: closed captions"]
