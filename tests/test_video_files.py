"""A film is one file: whatever it names besides is not opened."""

from __future__ import annotations

import av
import pytest
from clips import make_clip, picture, read

from stylepipe.cli import main
from stylepipe.errors import ItemError


def lists(film: str) -> dict[str, str]:
    return {
        "ffconcat": f"ffconcat version 1.0\nfile {film}\n",
        "HLS": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{film}\n#EXT-X-ENDLIST\n",
        "DASH": (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
            'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4">'
            f'<Representation id="0" bandwidth="1000"><BaseURL>{film}</BaseURL></Representation>'
            "</AdaptationSet></Period></MPD>"
        ),
        "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    }


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
@pytest.mark.parametrize("kind", lists(""))
def test_a_list_of_other_files_is_no_film(tmp_path, monkeypatch, kind, suffix):
    make_clip(tmp_path / "secret.mp4", (0, 40))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"in{suffix}"
    path.write_text(lists("secret.mp4")[kind])
    with pytest.raises(ItemError, match="cannot be read as video") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_what_a_list_is_taken_for_is_told_with_the_remedy(tmp_path, capsys):
    make_clip(tmp_path / "secret.mp4", (0, 40))
    path = tmp_path / "in.mkv"
    path.write_text(lists("secret.mp4")["ffconcat"])
    assert main.run(["probe", str(path)]) == 1
    assert "a list of other files" in (said := capsys.readouterr().err)
    assert "name the films themselves" in said


def test_a_film_named_like_a_row_of_pictures_is_read(tmp_path):
    path = make_clip(tmp_path / "take%03d.mp4", (0, 40, 80))
    assert len(read(path)[1]) == 3


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".mp4", "libx264"), (".mov", "libx264"), (".mkv", "libx264"), (".webm", "libvpx"),
        (".avi", "mpeg4"), (".mpg", "mpeg2video"), (".m2v", "mpeg2video"), (".ts", "mpeg2video"),
        (".m2ts", "libx264"), (".vob", "mpeg2video"), (".wmv", "wmv2"), (".asf", "wmv2"),
        (".flv", "flv"), (".ogv", "libvpx"), (".3gp", "mpeg4"), (".3g2", "mpeg4"),
        (".mxf", "mpeg2video"), (".dv", "dvvideo"), (".rm", "rv10"), (".nut", "mpeg4"),
        (".y4m", "wrapped_avframe"), (".mjpeg", "mjpeg"), (".h264", "libx264"),
        (".h265", "libx265"), (".ivf", "libvpx"), (".f4v", "libx264"), (".obu", "libsvtav1"),
    ],
)  # fmt: skip
def test_every_format_that_is_claimed_is_opened(tmp_path, suffix, codec):
    size, pixels = {"dvvideo": ((720, 576), "yuv420p"), "mjpeg": ((64, 48), "yuvj420p")}.get(
        codec, ((64, 48), "yuv420p")
    )
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    if codec not in av.codecs_available:
        pytest.skip(f"FFmpeg here has no {codec}")
    path = tmp_path / f"in{suffix}"
    muxer = {".vob": "vob", ".h265": "hevc", ".m2ts": "mpegts"}.get(suffix)
    with av.open(str(path), "w", format=muxer) as out:
        video = out.add_stream(codec, rate=25, options=options)
        (video.width, video.height), video.pix_fmt = size, pixels
        for n in range(12):
            frame = av.VideoFrame.from_ndarray(picture(n, *size), format="rgb24")
            out.mux(video.encode(frame.reformat(format=pixels)))
        out.mux(video.encode(None))
    assert len(read(path)[1]) == 12


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi", ".ts"])
def test_a_text_named_like_a_film_is_no_film(tmp_path, suffix):
    path = tmp_path / f"notes{suffix}"
    path.write_text("Scene 1: a lake.\nScene 2: a lighthouse.\n" * 9)
    with pytest.raises(ItemError, match="it is a text; give it its right file name"):
        read(path)


def test_only_what_begins_as_a_film_is_called_cut_short(tmp_path):
    whole = make_clip(tmp_path / "clip.mp4", (0, 40, 80)).read_bytes()
    torn, other = tmp_path / "torn.mp4", tmp_path / "other.mp4"
    torn.write_bytes(whole[: len(whole) // 2])
    other.write_bytes(bytes(reversed(whole)))
    with pytest.raises(ItemError, match="cut short"):
        read(torn)
    with pytest.raises(ItemError, match="begins as no film of its kind does"):
        read(other)
