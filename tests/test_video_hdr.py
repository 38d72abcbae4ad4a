"""HDR in, HDR out: transfer, depth, and what the file says of its light."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from clips import Log, convert, item_for, make_clip, read

from stylepipe.media import video_hdr
from stylepipe.media.video import VideoWriter
from stylepipe.media.video_color import Color
from stylepipe.media.video_hdr import Light

PQ, HLG = (1, 9, 9, 16), (1, 9, 9, 18)
LIGHT = {
    "mastering_display": "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)",
    "content_light": "1000,400",
}
ROOM = "3140000,15635,16450"
SAID = (
    "log-level=error:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)"
    "L(10000000,50):max-cll=1000,400"
)


def hdr_clip(path, color=PQ, params=SAID, pix_fmt="yuv420p10le"):
    """Four frames of HEVC: a ramp of luminance."""
    ramp = np.linspace(3000, 60000, 64).astype(np.uint16)[None, :, None].repeat(48, 0).repeat(3, 2)
    return make_clip(
        path,
        (0, 40, 80, 120),
        codec="libx265",
        pix_fmt=pix_fmt,
        color=color,
        pictures=[ramp] * 4,
        options={"preset": "ultrafast", "x265-params": params},
    )


def said(path):
    """What a file tells, of HDR and of its codec."""
    details = read(path)[0].details
    return {k: details[k] for k in ("codec", "pix_fmt", "color_transfer", *LIGHT)}


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mp4", "hevc"), (".mov", "hevc"), (".mkv", "hevc"), (".webm", "av1")]
)
def test_hdr10_stays_hdr10(tmp_path, suffix, codec):
    source, log = hdr_clip(tmp_path / "in.mp4"), Log()
    convert(source, tmp_path / f"out{suffix}", log)
    assert said(tmp_path / f"out{suffix}") == {
        "codec": codec,
        "pix_fmt": "yuv420p10le",
        "color_transfer": "smpte2084",
        **LIGHT,
    }
    assert not log.lines
    before, after = (read(p)[1][2].pixels for p in (source, tmp_path / f"out{suffix}"))
    assert np.abs(before.astype(int) - after).mean() < 400  # of 65535


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "ffv1"])
def test_the_container_says_it_whatever_the_codec(tmp_path, codec):
    source = hdr_clip(tmp_path / "in.mp4")
    convert(source, tmp_path / "out.mkv", codec=codec)
    data = (tmp_path / "out.mkv").read_bytes()
    assert b"\x55\xd0" in data  # Matroska's MasteringMetadata
    assert {k: said(tmp_path / "out.mkv")[k] for k in LIGHT} == LIGHT


def test_mp4_has_the_boxes_that_players_look_for(tmp_path):
    convert(hdr_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4")
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.count(b"mdcv") == data.count(b"clli") == 1
    with av.open(str(tmp_path / "out.mp4")) as out:
        assert out.streams.video[0].codec_context.codec_tag == "hvc1"


def test_prores_keeps_hdr_and_its_colors(tmp_path):
    convert(hdr_clip(tmp_path / "in.mp4"), tmp_path / "out.mov", codec="prores_ks")
    assert said(tmp_path / "out.mov") == {
        "codec": "prores",
        "pix_fmt": "yuv422p10le",
        "color_transfer": "smpte2084",
        **LIGHT,
    }


def test_hlg_is_written_as_hevc_too(tmp_path):
    source, log = hdr_clip(tmp_path / "in.mp4", HLG, "log-level=error"), Log()
    convert(source, tmp_path / "out.mp4", log)
    after = said(tmp_path / "out.mp4")
    assert (after["codec"], after["color_transfer"]) == ("hevc", "arib-std-b67")
    assert after["mastering_display"] is None
    assert not log.lines


def test_hdr_in_eight_bits_gets_ten(tmp_path):
    source = hdr_clip(tmp_path / "in.mp4", pix_fmt="yuv420p")
    convert(source, tmp_path / "out.mp4")
    assert said(tmp_path / "out.mp4")["pix_fmt"] == "yuv420p10le"


def test_other_film_stays_h264(tmp_path):
    source = hdr_clip(tmp_path / "in.mp4", (1, 9, 9, 14), "log-level=error")
    convert(source, tmp_path / "out.mp4")
    assert said(tmp_path / "out.mp4")["codec"] == "h264"


@pytest.mark.parametrize(
    ("color", "what"), [(PQ, "the film is HDR"), ((1, 9, 9, 14), "its colors are bt2020")]
)
def test_avi_cannot_tell_and_that_is_told(tmp_path, color, what):
    log = Log()
    convert(hdr_clip(tmp_path / "in.mp4", color), tmp_path / "out.avi", log)
    assert log.lines == [
        f"in.mp4: .avi with mpeg4 cannot indicate that {what}: it will look pale; use .mp4"
    ]


def test_light_of_the_room_is_kept_where_it_can_be_and_named_where_not(tmp_path, monkeypatch):
    """``amve``, as phones write it; the clip is made by ourselves, from one that does not say."""
    source = hdr_clip(tmp_path / "in.mp4", HLG, "log-level=error")
    monkeypatch.setattr(Light, "of", classmethod(lambda cls, frame: Light.parse(room)))
    room = {"ambient_light": ROOM}
    convert(source, tmp_path / "room.mp4")
    monkeypatch.undo()
    assert read(tmp_path / "room.mp4")[0].details["ambient_light"] == ROOM
    for name, lines in [
        ("out.mp4", []),
        (
            "out.mkv",
            ["room.mp4: .mkv with libx265 cannot hold ambient light: left out; a .mp4 output can"],
        ),
    ]:
        log = Log()
        convert(tmp_path / "room.mp4", tmp_path / name, log)
        assert log.lines == lines
    assert read(tmp_path / "out.mp4")[0].details["ambient_light"] == ROOM


def test_bytes_are_the_same_each_time(tmp_path):
    source = hdr_clip(tmp_path / "in.mp4")
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        convert(source, tmp_path / name / "out.mkv")
        made.append((tmp_path / name / "out.mkv").read_bytes())
    assert made[0] == made[1]


def test_what_is_said_survives_being_spelled():
    light = Light((13250, 34500, 7500, 3000, 34000, 16000, 15635, 16450, 10**7, 50), (1000, 400))
    assert Light.parse(light.names()) == light
    assert light.names()["mastering_display"] == LIGHT["mastering_display"]
    assert Light.parse({}) == Light() and not Light()
    assert light.options("libvpx-vp9") == []


def test_numbers_that_no_file_can_hold_are_clipped():
    from struct import pack

    mastering = pack("=22i", *(5, 1) * 2, *(-1, 1) * 6, *(1, 0), *(10**9, 1), 1, 1)
    assert video_hdr._mastering(mastering) == (0, 0, 0, 0, 65535, 65535, 0, 0, 2**32 - 1, 0)
    assert len(Light((65535,) * 8 + (2**32 - 1,) * 2, (65535, 65535)).boxes()) == 32 + 12
    assert video_hdr._content(pack("=2I", 70000, 3)) == (65535, 3)


def test_side_data_newer_than_pyav_is_no_obstacle(tmp_path):
    """Motion JPEG of cameras has EXIF in each picture, which PyAV 18 has no name for."""
    from io import BytesIO

    from PIL import Image

    exif = Image.Exif()
    exif[0x010F] = "Camera"
    file = BytesIO()
    Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(file, "JPEG", exif=exif)
    path = tmp_path / "in.mjpeg"
    path.write_bytes(file.getvalue() * 3)
    info, frames = read(path)
    assert (info.width, info.height, len(frames)) == (64, 48, 3)
    assert info.rate == Fraction(25)


def luma(path):
    """The 10-bit luma of a film's third picture, untouched."""
    with av.open(str(path)) as container:
        frame = list(container.decode(video=0))[2]
    assert frame.format.name == "yuv420p10le"
    plane = np.frombuffer(memoryview(frame.planes[0]), np.uint16)
    return plane.reshape(frame.height, -1)[:, : frame.width]


def test_painted_white_is_as_bright_as_the_film_says_and_not_10000_candelas(tmp_path):
    source, output = hdr_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    info, frames = read(source)
    made = VideoWriter(VideoWriter.Options())
    made.open(Log())
    (tmp_path / "work").mkdir()
    sink = made.open_sink(item_for(source, output), info, output, tmp_path / "work")
    for frame in frames:
        frame.pixels[:] = 65535
        sink.write(frame)
    sink.close()
    # 1000 cd/m2 is 0.7518 of the signal (ST 2084, equation 5.2).
    assert luma(output).mean() == pytest.approx(64 + 876 * 0.7518, abs=2)
    assert read(output)[1][2].pixels.min() > 65000


@pytest.mark.parametrize(
    ("color", "light", "signal"),
    [
        (PQ, Light(None, (1000, 400)), 0.7518),
        (PQ, Light((0,) * 8 + (4000 * 10000, 50), (0, 0)), 0.9026),
        (PQ, Light(), 0.7518),
        (PQ, Light(None, (1, 1)), 0.5081),
        (HLG, Light(None, (1000, 400)), 1.0),
        ((1, 1, 1, 1), Light(), 1.0),
    ],
)
def test_what_white_means(color, light, signal):
    assert video_hdr.white(Color(*color), light) == pytest.approx(signal, abs=1e-4)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_an_animated_picture_cannot_be_hdr_and_that_is_told(tmp_path, suffix):
    log = Log()
    convert(hdr_clip(tmp_path / "in.mp4"), tmp_path / f"out{suffix}", log)
    assert (
        f"in.mp4: {suffix} cannot indicate that the film is HDR: it will look pale; use .mp4"
        in (log.lines)
    )
