"""Hardware encoders, which FFmpeg lists whether or not there is such a device."""

from __future__ import annotations

from fractions import Fraction

import av
import pytest
from av.codec import CodecContext
from clips import make_clip

from stylepipe.cli import main
from stylepipe.errors import UsageError
from stylepipe.media import video_encode
from stylepipe.media.video import VideoWriter
from stylepipe.media.video_encode import is_encoder, lacks_device

HARDWARE = [
    n
    for n in ("h264_nvenc", "hevc_nvenc", "h264_qsv", "h264_amf", "h264_v4l2m2m", "h264_vaapi")
    if is_encoder(n)
]


def encodes(name: str) -> bool:
    """Whether such an encoder gives a packet for a picture."""
    context = CodecContext.create(name, "w")
    context.width, context.height, context.pix_fmt = 256, 256, "nv12"
    context.framerate, context.time_base = Fraction(25), Fraction(1, 25)
    try:
        frame = av.VideoFrame(256, 256, "nv12")
        frame.pts = 0
        return bool([*context.encode(frame), *context.encode(None)])
    except (av.FFmpegError, ValueError, OSError):
        return False


@pytest.fixture
def absent():
    """An encoder that FFmpeg has and this machine has no device for."""
    for name in HARDWARE:
        if not encodes(name):
            return name
    pytest.skip("FFmpeg has no encoder here whose device is missing")


@pytest.mark.parametrize("name", HARDWARE)
def test_an_encoder_without_its_device_is_found_out(name):
    assert lacks_device(name) != encodes(name)


@pytest.mark.parametrize("name", ["libx264", "libx265", "libvpx-vp9", "ffv1", "mpeg4"])
def test_encoders_on_the_processor_lack_nothing(name):
    assert not lacks_device(name)


def test_it_is_refused_before_any_work_and_those_that_work_are_named(tmp_path, capsys, absent):
    clip = make_clip(tmp_path / "in.mp4", (0, 40))
    argv = ["run", str(clip), "-o", str(tmp_path / "out.mp4"), "--codec", absent, "--dry-run"]
    assert main.run(argv) == 2
    said = capsys.readouterr().err
    assert f"the encoder {absent} needs a device" in said
    assert "libx264" in said.split("work:")[1] and absent not in said.split("work:")[1]


def test_nobody_is_sent_to_it(tmp_path, absent):
    with pytest.raises(UsageError) as caught:
        VideoWriter.Options(codec="nope")
    assert absent not in str(caught.value) and "libx264" in str(caught.value)
    with pytest.raises(UsageError) as caught:
        VideoWriter.Options(codec=f"{absent}x")
    assert f"mean {absent!r}" not in str(caught.value)


def test_where_the_device_is_there_it_is_offered(monkeypatch, absent):
    monkeypatch.setattr(video_encode, "lacks_device", lambda name: False)
    monkeypatch.setattr(video_encode, "USUAL", ("libx264", absent))
    VideoWriter.Options(codec=absent)
    with pytest.raises(UsageError, match=f"usual ones: libx264, {absent}"):
        VideoWriter.Options(codec="nope")


def test_doctor_lists_what_works(absent, monkeypatch):
    from stylepipe.cli import doctor

    monkeypatch.setattr(doctor, "OTHER_ENCODERS", ("libx265", absent))
    said = [f.text for f in doctor.ffmpeg(None) if f.topic == "encoders"]
    assert said == ["libx264, aac, libx265"]
