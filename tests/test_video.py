"""Video in, video out: times, size, colors, sound, and what is said about bad files."""

from __future__ import annotations

import gc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Log, convert, make_clip, packets, picture, read

from stylepipe.cli import main
from stylepipe.errors import ItemError, UsageError
from stylepipe.media.video import VideoReader, VideoWriter, parse_time
from stylepipe.types import Frame, Info, Item

IRREGULAR = (0, 40, 80, 200, 240, 360, 400, 440, 640, 680)


def seconds(frames):
    return [f.pts * f.time_base for f in frames]


def difference(a, b):
    """Largest difference of mean colors, in levels of 255."""
    means = [
        np.array([f.pixels.reshape(-1, 3).mean(0) / f.white * 255 for f in clip]) for clip in (a, b)
    ]
    return np.abs(means[0] - means[1]).max()


# -- faithful copies ------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_irregular_times_are_kept(tmp_path, suffix):
    source = make_clip(tmp_path / "in.mp4", IRREGULAR, options={"bf": "2"})
    convert(source, tmp_path / f"out{suffix}")
    info, frames = read(tmp_path / f"out{suffix}")
    assert seconds(frames) == [Fraction(t, 1000) for t in IRREGULAR]
    assert info.duration == pytest.approx(0.72)  # the last frame's 40 ms included
    assert (info.width, info.height) == (64, 48)


def test_odd_time_base_is_exact(tmp_path):
    base = Fraction(1001, 30000)
    source = make_clip(tmp_path / "in.mp4", range(12), time_base=base)
    convert(source, tmp_path / "out.mp4")
    assert seconds(read(tmp_path / "out.mp4")[1]) == [n * base for n in range(12)]


def test_last_frame_stays_as_long_as_in_the_source(tmp_path):
    source = make_clip(tmp_path / "in.mp4", IRREGULAR)
    convert(source, tmp_path / "out.mp4")
    assert read(tmp_path / "out.mp4")[1][-1].duration == read(source)[1][-1].duration


def test_sound_is_copied_byte_by_byte(tmp_path):
    source = make_clip(tmp_path / "in.mp4", sound=True)
    log = Log()
    convert(source, tmp_path / "out.mp4", log)
    assert packets(source, "audio") and packets(source, "audio")[0]
    assert packets(tmp_path / "out.mp4", "audio") == packets(source, "audio")
    assert not log.lines


def test_sound_that_the_container_cannot_hold_is_converted_and_told(tmp_path):
    source = make_clip(tmp_path / "in.mp4", sound=True)
    log = Log()
    convert(source, tmp_path / "out.webm", log)
    with av.open(str(tmp_path / "out.webm")) as out:
        assert out.streams.audio[0].codec_context.codec.canonical_name == "opus"
        samples = np.concatenate([f.to_ndarray()[0] for f in out.decode(audio=0)])
    assert len(samples) / 48000 == pytest.approx(0.6, abs=0.06)
    assert 0.1 < np.abs(samples).max() < 0.5  # the tone is there
    assert any("opus" in line for line in log.lines)


def test_metadata_and_language_are_kept(tmp_path):
    source = make_clip(tmp_path / "in.mkv", metadata={"title": "Tides"}, codec="libx264")
    convert(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as out:
        assert out.metadata["title"] == "Tides"


def test_subtitles_are_copied_or_made_plain_text(tmp_path):
    plain = make_clip(tmp_path / "plain.mp4")
    source = tmp_path / "in.mkv"
    with av.open(str(plain)) as old, av.open(str(source), "w") as new:
        video = new.add_stream_from_template(old.streams.video[0], opaque=True)
        words = new.add_mux_stream("subrip")
        words.time_base = Fraction(1, 1000)
        line = av.Packet(b"<i>Low</i> water")
        line.stream, line.time_base = words, Fraction(1, 1000)
        line.pts = line.dts = 100
        line.duration = 300
        for packet in old.demux(old.streams.video[0]):
            if packet.size:
                packet.stream = video
                new.mux(packet)
        new.mux(line)
    convert(source, tmp_path / "out.mkv")
    assert packets(tmp_path / "out.mkv", "subtitle") == packets(source, "subtitle")
    log = Log()
    convert(source, tmp_path / "out.mp4", log)
    said = [data[2:] for _, data in packets(tmp_path / "out.mp4", "subtitle")[0] if len(data) > 2]
    assert said == [b"Low water"]
    assert any("mov_text" in line for line in log.lines)


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_rotation_is_applied_to_the_pixels_and_gone_from_the_output(tmp_path, degrees):
    source = make_clip(tmp_path / "in.mp4", (0, 40, 80), rotate=degrees, aspect=Fraction(4, 3))
    turned = [np.rot90(picture(n), degrees // 90) for n in range(3)]
    info, frames = read(source)
    aspect = "4:3" if degrees == 180 else "3:4"
    for frame, expected in zip(frames, turned, strict=True):
        assert frame.pixels.shape == expected.shape
        assert np.abs(frame.pixels.astype(int) - expected).mean() < 6
    assert info.details["sample_aspect_ratio"] == aspect
    convert(source, tmp_path / "out.mp4")
    info, frames = read(tmp_path / "out.mp4")
    assert info.details["rotation"] == 0
    assert info.details["sample_aspect_ratio"] == aspect
    assert np.abs(frames[1].pixels.astype(int) - turned[1]).mean() < 8


def test_decoded_frames_are_let_go_at_once(tmp_path):
    source = make_clip(tmp_path / "in.mp4", range(0, 1200, 40), rotate=90)
    reader = VideoReader(VideoReader.Options())
    info = reader.probe(source)
    gc.collect()
    gc.disable()  # which would free them too, but only after a hundred of any size
    try:
        for frame in reader.frames(Item(0, source, source.parent, source), info):
            if frame.index == 29:  # the last: to look through all objects takes long
                # not isinstance, which asks lazy objects of other packages for their class
                alive = sum(issubclass(type(thing), av.VideoFrame) for thing in gc.get_objects())
    finally:
        gc.enable()
    assert alive < 10  # of 30; the decoder's threads hand out several at the end


@pytest.mark.parametrize("size", [(63, 47), (1, 1), (64, 49)])
def test_odd_sizes_stay(tmp_path, size):
    source = make_clip(tmp_path / "in.mp4", (0, 40, 80), size=size, pix_fmt="yuv444p")
    convert(source, tmp_path / "out.mp4")
    info, frames = read(tmp_path / "out.mp4")
    assert (info.width, info.height) == size
    assert difference(frames, read(source)[1]) < 3


def test_odd_size_of_a_subsampled_source_keeps_its_colors(tmp_path):
    source = make_clip(
        tmp_path / "in.webm",
        (0, 40, 80),
        codec="libvpx-vp9",
        size=(63, 47),
        options={"cpu-used": "8"},
    )
    convert(source, tmp_path / "out.mp4")
    info, frames = read(tmp_path / "out.mp4")
    assert (info.width, info.height, info.details["pix_fmt"]) == (63, 47, "yuv444p")
    assert difference(frames, read(source)[1]) < 3


def test_ten_bits_in_ten_bits_out(tmp_path):
    ramp = np.linspace(8000, 60000, 256 * 16).reshape(16, 256, 1).repeat(3, 2).astype(np.uint16)
    source = make_clip(
        tmp_path / "in.mp4",
        (0, 40),
        size=(256, 16),
        pix_fmt="yuv420p10le",
        pictures=[ramp] * 2,
        options={"qp": "0"},
    )
    info, frames = read(source)
    assert info.depth == 16
    assert frames[0].pixels.dtype == np.uint16
    # swscale, which made the clip, takes 65280 for white. A level of 8 bits would be 257 here.
    assert np.abs(frames[0].pixels - ramp * (65535 / 65280)).max() < 100
    convert(source, tmp_path / "out.mp4", crf=0)
    info, out = read(tmp_path / "out.mp4")
    assert info.details["pix_fmt"] == "yuv420p10le"
    assert np.abs(out[0].pixels.astype(int) - frames[0].pixels).mean() < 100


# -- color ---------------------------------------------------------------------------------

FLAT = (40, 120, 200)
KR_KB = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}


def yuv_frame(rgb, matrix, full, depth, size=(32, 32)):
    """A flat 4:2:0 frame of a color, by the definition of the matrix."""
    kr, kb = KR_KB[matrix]
    r, g, b = (v / 255 for v in rgb)
    y = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - y) / (2 - 2 * kb), (r - y) / (2 - 2 * kr)
    step = 1 << (depth - 8)
    if full:
        top = 256 * step - 1
        values = [y * top, cb * top + 128 * step, cr * top + 128 * step]
    else:
        values = [(16 + 219 * y) * step, (128 + 224 * cb) * step, (128 + 224 * cr) * step]
    frame = av.VideoFrame(*size, "yuv420p" if depth == 8 else "yuv420p10le")
    for plane, value in zip(frame.planes, values, strict=True):
        np.frombuffer(memoryview(plane), np.uint8 if depth == 8 else np.uint16)[:] = round(value)
    return frame


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 5, 9])
def test_matrix_and_range_are_right_both_ways(matrix, full, depth):
    from stylepipe.media.video_color import Color, FromRGB, ToRGB

    color = Color(2 if full else 1, matrix)
    frame = yuv_frame(FLAT, matrix, full, depth)
    pixels, alpha = ToRGB(color, 8 if depth == 8 else 16, False)(frame)
    white = 255 if depth == 8 else 65535
    assert alpha is None
    assert pixels[16, 16] / white * 255 == pytest.approx(FLAT, abs=1.5 if depth == 8 else 0.5)
    back = FromRGB(color, frame.format.name)(pixels, None)
    for ours, theirs in zip(back.planes, frame.planes, strict=True):
        kind = np.uint8 if depth == 8 else np.uint16
        a, b = (int(np.frombuffer(memoryview(p), kind)[40]) for p in (ours, theirs))
        assert abs(a - b) <= (1 if depth == 8 else 3)


@pytest.mark.parametrize("depth", [8, 16])
def test_white_and_black_are_reached(depth):
    from stylepipe.media.video_color import Color, FromRGB, ToRGB

    white = 255 if depth == 8 else 65535
    pixels = np.zeros((16, 32, 3), np.uint8 if depth == 8 else np.uint16)
    pixels[:, 16:] = white
    for span in (1, 2):
        name = "yuv420p" if depth == 8 else "yuv420p10le"
        frame = FromRGB(Color(span, 1), name)(pixels, None)
        back, _ = ToRGB(Color(span, 1), depth, False)(frame)
        assert back[8, 4].max() <= white * 0.001
        assert back[8, 28].min() >= white * 0.998


def test_saturated_ten_bit_colors_do_not_overflow():
    from stylepipe.media.video_color import Color, ToRGB

    frame = av.VideoFrame(32, 32, "yuv420p10le")
    for plane, value in zip(frame.planes, (160, 950, 700), strict=True):
        np.frombuffer(memoryview(plane), np.uint16)[:] = value
    pixels, _ = ToRGB(Color(1, 1), 16, False)(frame)
    assert pixels[16, 16, 1] == 0  # green lies below black: it must not wrap round to white


@pytest.mark.parametrize(
    ("tags", "names"),
    [
        ((1, 1, 1, 1), ("tv", "bt709", "bt709", "bt709")),
        ((2, 1, 1, 1), ("pc", "bt709", "bt709", "bt709")),
        ((1, 9, 9, 14), ("tv", "bt2020nc", "bt2020", "bt2020-10")),
        (None, ("unknown", "unknown", "unknown", "unknown")),
    ],
)
def test_color_tags_are_kept_and_meant(tmp_path, tags, names):
    keys = ("color_range", "color_space", "color_primaries", "color_transfer")
    source = make_clip(tmp_path / "in.mp4", (0, 40), color=tags, options={"qp": "0"})
    before, first = read(source)
    assert tuple(before.details[k] for k in keys) == names
    convert(source, tmp_path / "out.mp4", crf=1)
    after, second = read(tmp_path / "out.mp4")
    assert tuple(after.details[k] for k in keys) == names
    assert difference(first, second) < 1


@pytest.mark.parametrize(("matrix", "name"), [(14, "ictcp"), (10, "bt2020c")])
def test_unknown_matrix_is_an_error_not_a_guess(matrix, name):
    from stylepipe.media.video_color import Color

    with pytest.raises(ItemError, match=f"'{name}' is not supported"):
        Color(1, matrix).swscale(64, 48)


def half_transparent(tmp_path, name, **options):
    """Write three frames whose left half is transparent; returns the path and what was said."""
    pixels = picture(0)
    alpha = np.full(pixels.shape[:2], 255, np.uint8)
    alpha[:, :32] = 0
    info = Info("video", "fake", 64, 48, rate=Fraction(25), alpha=True)
    path, work, log = tmp_path / name, tmp_path / f"work-{name}", Log()
    work.mkdir()
    made = VideoWriter(VideoWriter.Options(**options))
    made.open(log)
    sink = made.open_sink(Item(0, tmp_path / "in.mov", tmp_path, path), info, path, work)
    for n in range(3):
        sink.write(Frame(pixels, alpha, n, n, Fraction(1, 25), 1))
    sink.close()
    return path, log.lines


@pytest.mark.parametrize(
    ("name", "options"), [("a.mov", {}), ("a.mkv", {}), ("b.mkv", {"codec": "ffv1"})]
)
def test_alpha_survives_where_it_can(tmp_path, name, options):
    path, said = half_transparent(tmp_path, name, **options)
    after, frames = read(path)
    assert after.alpha and not said
    for frame in frames:
        assert frame.alpha[10, 5] == 0
        assert frame.alpha[10, 60] == frame.white


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".avi"])
def test_alpha_is_white_where_it_cannot_stay_and_that_is_told(tmp_path, suffix):
    path, said = half_transparent(tmp_path, f"a{suffix}")
    after, frames = read(path)
    assert not after.alpha
    assert frames[2].pixels[10, 5].min() > 243
    assert np.abs(frames[2].pixels[10, 50].astype(int) - picture(0)[10, 50]).max() < 20
    assert len(said) == 1
    assert f"{suffix} with" in said[0] and "shown on white; .mov can" in said[0]


def test_an_encoder_that_cannot_be_transparent_is_told_where_the_suffix_can(tmp_path):
    _, said = half_transparent(tmp_path, "a.mov", codec="libx264")
    assert "shown on white; leave --codec away" in said[0]


def test_alpha_beside_the_packets_is_refused_before_any_work(tmp_path):
    with pytest.raises(ItemError, match="would lose the alpha of yuva420p"):
        half_transparent(tmp_path, "a.webm", pix_fmt="yuva420p")


def test_flattened_sixteen_bits():
    from stylepipe.media.video_color import flatten

    pixels = np.full((1, 3, 3), 20000, np.uint16)
    alpha = np.array([[0, 32768, 65535]], np.uint16)
    assert flatten(pixels, alpha)[0, :, 0].tolist() == [65535, 42767, 20000]


@pytest.mark.parametrize(
    ("codec", "options"), [("libvpx-vp9", {}), ("libvpx", {"auto-alt-ref": "0"})]
)
def test_transparent_webm_is_read_with_its_alpha(tmp_path, codec, options):
    path = tmp_path / "in.webm"
    rgba = np.dstack((picture(0), np.full((48, 64), 255, np.uint8)))
    rgba[:, :32, 3] = 0
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=25, options={"cpu-used": "8", "crf": "10", **options})
        video.width, video.height, video.pix_fmt = 64, 48, "yuva420p"
        for n in range(12):
            frame = av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format="yuva420p")
            frame.pts, frame.time_base = n, Fraction(1, 25)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    info, frames = read(path)
    assert info.alpha and len(frames) == 12
    assert seconds(frames) == [Fraction(n * 40, 1000) for n in range(12)]
    assert frames[7].alpha[10, 5] < 12 and frames[7].alpha[10, 60] > 243
    assert np.abs(frames[7].pixels[10, 60].astype(int) - rgba[10, 60, :3]).max() < 20
    convert(path, tmp_path / "out.mov")
    assert read(tmp_path / "out.mov")[1][7].alpha[10, 5] < 12 * 257


# -- trimming and resuming a read ----------------------------------------------------------


def test_start_and_end_cut_pictures_and_sound(tmp_path):
    source = make_clip(tmp_path / "in.mp4", range(0, 2000, 40), sound=True)
    _, frames = read(source, start="0.4", end="0:01.2")
    assert seconds(frames) == [Fraction(t, 1000) for t in range(400, 1200, 40)]
    assert [f.index for f in frames] == list(range(20))
    convert(source, tmp_path / "out.mp4", trim={"start": "0.4", "end": "0:01.2"})
    info, out = read(tmp_path / "out.mp4")
    assert seconds(out) == [Fraction(t, 1000) for t in range(0, 800, 40)]
    assert info.duration == pytest.approx(0.8, abs=0.001)
    kept = packets(tmp_path / "out.mp4", "audio")[0]
    originals = {data: time for time, data in packets(source, "audio")[0]}
    assert kept
    for time, data in kept:
        assert float(originals[data] - time) == pytest.approx(0.4, abs=1e-3)
    assert 0 <= kept[0][0] < 0.03
    assert 0.75 < kept[-1][0] < 0.8


def test_an_end_alone_shifts_nothing_and_cuts_no_sound_before_the_pictures(tmp_path):
    source = make_clip(tmp_path / "in.mp4", range(1000, 2000, 40), sound=True)
    convert(source, tmp_path / "out.mp4", trim={"end": "1.6"})
    assert seconds(read(tmp_path / "out.mp4")[1]) == [
        Fraction(t, 1000) for t in range(1000, 1600, 40)
    ]
    kept, whole = (packets(p, "audio")[0] for p in (tmp_path / "out.mp4", source))
    assert kept == [(time, data) for time, data in whole if time < Fraction(8, 5)]


def test_frames_can_be_read_from_the_middle(tmp_path):
    source = make_clip(tmp_path / "in.mp4", IRREGULAR)
    _, whole = read(source)
    _, rest = read(source, 6)
    assert [f.index for f in rest] == [6, 7, 8, 9]
    for a, b in zip(whole[6:], rest, strict=True):
        assert a.pts == b.pts
        assert np.array_equal(a.pixels, b.pixels)


@pytest.mark.parametrize(
    ("text", "value"), [("12.5", 12.5), ("1:02.5", 62.5), ("1:00:02", 3602), ("0", 0)]
)
def test_times_are_understood(text, value):
    assert parse_time("start", text) == value


@pytest.mark.parametrize("text", ["soon", "1:75", "-3", "1:2:3:4", "", "nan"])
def test_bad_times_are_usage_errors(text):
    with pytest.raises(UsageError, match="start"):
        VideoReader.Options(start=text)


def test_end_before_start_is_a_usage_error():
    with pytest.raises(UsageError, match="later than start"):
        VideoReader.Options(start="5", end="3")


def test_nothing_between_start_and_end(tmp_path):
    source = make_clip(tmp_path / "in.mp4")
    with pytest.raises(ItemError, match=r"no frames between.*0:00\.560"):
        read(source, start="100")


# -- bad input ------------------------------------------------------------------------------


def probe(path):
    return VideoReader(VideoReader.Options()).probe(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty"), (b"nonsense " * 500, "cannot be read"), (b"\x00" * 5000, "cannot be read")],
)
def test_no_video_at_all(tmp_path, content, words):
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(ItemError, match=words) as caught:
        probe(path)
    assert "\n" not in str(caught.value)


def test_a_picture_with_a_film_name(tmp_path):
    from PIL import Image

    path = tmp_path / "clip.mp4"
    Image.fromarray(picture(0)).save(path, "JPEG")
    with pytest.raises(ItemError, match="picture"):
        probe(path)


def test_sound_only(tmp_path):
    both = make_clip(tmp_path / "both.mp4", sound=True)
    path = tmp_path / "sound.mp4"
    with av.open(str(both)) as old, av.open(str(path), "w") as new:
        audio = new.add_stream_from_template(old.streams.audio[0])
        for packet in old.demux(old.streams.audio[0]):
            if packet.size:
                packet.stream = audio
                new.mux(packet)
    with pytest.raises(ItemError, match="no video stream, only audio"):
        probe(path)


def test_truncated_file_is_found_before_any_work(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (100, 120, 160, 3), np.uint8)
    source = make_clip(tmp_path / "in.mp4", range(0, 4000, 40), size=(160, 120), pictures=noise)
    convert(source, tmp_path / "whole.mp4")  # has its index in front
    data = (tmp_path / "whole.mp4").read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) // 2])
    with pytest.raises(ItemError, match=r"cut off: the video ends at 0:0[12]\.\d+ of 0:04\.000"):
        probe(cut)
    assert len(read(cut, end="1")[1]) == 25


def test_damage_in_the_middle_names_the_time(tmp_path):
    source = make_clip(tmp_path / "in.mov", range(0, 4000, 40), codec="png", pix_fmt="rgb24")
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 500] = bytes(500)
    source.write_bytes(bytes(data))
    with pytest.raises(ItemError, match=r"damaged at 0:0[12]\.\d+"):
        read(source)


def test_cover_art_is_no_video(tmp_path, monkeypatch):
    from stylepipe.media import video_read

    class Cover:
        type = "video"
        disposition = av.stream.Disposition.attached_pic

    class Streams(list):
        video = property(lambda self: [Cover()])

    class Container:
        class format:
            name = "mp3"

        streams = Streams([Cover()])

    with pytest.raises(ItemError, match="no video stream"):
        video_read.video_stream(Container())


# -- the writer's options -------------------------------------------------------------------


def writer(**options):
    made = VideoWriter(VideoWriter.Options(**options))
    made.open(Log())
    return made


def test_unknown_codec_lists_what_there_is():
    with pytest.raises(UsageError, match=r"libx265.*did you mean|did you mean.*libx26") as caught:
        writer(codec="libx266")
    assert "libx264" in str(caught.value)


def test_a_dry_run_refuses_an_encoder_that_is_not_here(tmp_path, capsys):
    clip = make_clip(tmp_path / "in.mp4", (0, 40))
    out = tmp_path / "out.mp4"
    assert main.run(["run", str(clip), "-o", str(out), "--codec", "nope", "--dry-run"]) == 2
    assert "no video encoder 'nope' here" in capsys.readouterr().err


def test_an_unknown_codec_names_the_usual_ones_only():
    with pytest.raises(UsageError) as caught:
        writer(codec="nope")
    assert "libx264" in str(caught.value) and len(str(caught.value)) < 300


def test_crf_is_left_out_where_the_encoder_chosen_here_has_no_scale(tmp_path):
    log = Log()
    source = make_clip(tmp_path / "in.mov", (0, 40), codec="prores_ks", pix_fmt="yuva444p10le")
    convert(source, tmp_path / "out.mov", log=log, crf=20)
    assert any("in.mov" in line and "prores_ks" in line and "crf" in line for line in log.lines)


def test_unknown_pixel_format():
    with pytest.raises(UsageError, match="yuv420p"):
        writer(pix_fmt="yuv421p")


def test_an_audio_codec_is_no_video_codec():
    with pytest.raises(UsageError, match="no video encoder 'aac'"):
        writer(codec="aac")


def test_crf_without_a_scale_is_a_usage_error(tmp_path):
    source = make_clip(tmp_path / "in.mp4", (0, 40))
    with pytest.raises(UsageError, match="--crf"):
        convert(source, tmp_path / "out.mkv", codec="ffv1", crf=20)
    with pytest.raises(UsageError, match="--crf"):
        writer(codec="prores", crf=20)


def test_codec_crf_preset_and_pix_fmt_reach_the_encoder(tmp_path):
    source = make_clip(tmp_path / "in.mp4")
    convert(source, tmp_path / "hevc.mp4", codec="hevc", preset_x264="ultrafast")
    with av.open(str(tmp_path / "hevc.mp4")) as out:
        assert out.streams.video[0].codec_context.codec.canonical_name == "hevc"
        assert out.streams.video[0].codec_context.codec_tag == "hvc1"
    convert(source, tmp_path / "fine.mp4", crf=10, pix_fmt="yuv422p")
    (tmp_path / "work").rename(tmp_path / "old")
    convert(source, tmp_path / "coarse.mp4", crf=45)
    assert read(tmp_path / "fine.mp4")[0].details["pix_fmt"] == "yuv422p"
    assert (tmp_path / "fine.mp4").stat().st_size > 1.3 * (tmp_path / "coarse.mp4").stat().st_size


CONTAINERS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi")
HELD = {
    "libx264": (".mp4", ".mov", ".m4v", ".mkv", ".avi"),
    "libx265": (".mp4", ".mov", ".m4v", ".mkv"),
    "libsvtav1": (".mp4", ".m4v", ".mkv", ".webm", ".avi"),
    "libvpx": (".mkv", ".webm", ".avi"),
    "libvpx-vp9": (".mp4", ".m4v", ".mkv", ".webm", ".avi"),
    "prores_ks": (".mov", ".mkv"),
    "ffv1": (".mp4", ".m4v", ".mkv", ".avi"),
    "mpeg4": (".mp4", ".mov", ".m4v", ".mkv", ".avi"),
    "mjpeg": (".mp4", ".mov", ".m4v", ".mkv", ".avi"),
    "qtrle": (".mov",),
    "wmv2": (".avi",),
}


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("codec", HELD)
def test_a_codec_is_written_or_refused_before_any_frame(tmp_path, codec, suffix):
    source = make_clip(tmp_path / "in.mp4", (0, 40, 80))
    info = probe(source)
    output = tmp_path / f"out{suffix}"
    item = Item(0, source, tmp_path, output)
    made = writer(codec=codec)
    if suffix in HELD[codec]:
        convert(source, output, codec=codec)
        first, *times = seconds(read(output)[1])
        assert [time - first for time in times] == [Fraction(1, 25), Fraction(2, 25)]
        return
    with pytest.raises(ItemError, match=rf"^\{suffix} cannot hold what {codec} makes") as caught:
        made.open_sink(item, info, output, tmp_path)
    assert any(other in str(caught.value).split("or use")[1] for other in HELD[codec])


def test_what_the_default_preset_leaves_out_costs_nothing_to_be_seen(tmp_path, monkeypatch):
    from stylepipe.media import video_encode

    grain = np.random.default_rng(0).integers(0, 256, (60, 200, 3), np.uint8).repeat(4, 0)
    strokes = [np.roll(grain.repeat(2, 1), 3 * n, 1)[:240, :320] for n in range(20)]
    options = {"preset": "ultrafast", "crf": "4"}
    source = make_clip(
        tmp_path / "in.mp4", range(0, 800, 40), size=(320, 240), pictures=strokes, options=options
    )
    wanted = np.stack([f.pixels for f in read(source)[1]]).astype(float)

    def encoded(name: str) -> tuple[int, float]:
        convert(source, tmp_path / name / "out.mp4")
        got = np.stack([f.pixels for f in read(tmp_path / name / "out.mp4")[1]])
        size = sum(len(data) for _, data in packets(tmp_path / name / "out.mp4", "video")[0])
        return size, float(np.square(got - wanted).mean())

    for name in ("lean", "plain"):
        (tmp_path / name).mkdir()
    size, error = encoded("lean")
    monkeypatch.setattr(video_encode, "_LEAN", {})
    plain_size, plain_error = encoded("plain")
    assert size != plain_size  # else this compares nothing
    assert size < 1.05 * plain_size and error < 1.02 * plain_error


def test_without_x264_another_encoder_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("av.codec.codecs_available", {"libopenh264", "mpeg4"})
    source = make_clip(tmp_path / "in.mp4", (0, 40))
    with pytest.raises(ItemError, match=r"no encoder libx264 here.*--codec libopenh264"):
        convert(source, tmp_path / "out.mp4")


def test_crf_of_videotoolbox_runs_the_way_it_does_elsewhere():
    from stylepipe.media.video_encode import _quality

    qualities = [
        int(_quality("hevc_videotoolbox", crf, "fast")["global_quality"]) // 118
        for crf in (0, 18, None, 40, 51, 255)
    ]
    assert qualities == [100, 65, 65, 22, 0, 0]  # Apple's scale: 100 is best
    with pytest.raises(UsageError, match="no constant-quality scale"):
        _quality("prores_videotoolbox", 18, "fast")


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [("libx264", ".mp4"), ("libx265", ".mp4"), ("libvpx-vp9", ".webm"), ("mpeg4", ".avi")],
)
def test_bytes_do_not_depend_on_the_number_of_processors(tmp_path, codec, suffix):
    import os
    import subprocess
    import sys

    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two processors and a way to give up one")
    source = make_clip(tmp_path / "in.mp4", range(0, 1600, 40), size=(320, 240))
    program = (
        "import os, sys; cpus = sorted(os.sched_getaffinity(0))[: int(sys.argv[4])]\n"
        "os.sched_setaffinity(0, cpus); sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from clips import convert\n"
        "convert(Path(sys.argv[2]), Path(sys.argv[3]), codec=sys.argv[5])"
    )
    made = []
    for count in (1, 2):
        output = tmp_path / str(count) / f"out{suffix}"
        output.parent.mkdir()
        subprocess.run(
            [
                sys.executable,
                "-c",
                program,
                str(Path(__file__).parent),
                source,
                output,
                str(count),
                codec,
            ],
            check=True,
        )
        made.append(output.read_bytes())
    assert made[0] == made[1]


def test_avi_refuses_irregular_times_before_any_work(tmp_path):
    source = make_clip(tmp_path / "in.mp4", IRREGULAR)
    with pytest.raises(ItemError, match=r"irregular times.*\.avi"):
        convert(source, tmp_path / "out.avi")


def test_avi_keeps_regular_times(tmp_path):
    source = make_clip(tmp_path / "in.mp4", sound=True)
    convert(source, tmp_path / "out.avi")
    assert seconds(read(tmp_path / "out.avi")[1]) == seconds(read(source)[1])


def test_a_full_disk_is_one_sentence(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    source = make_clip(tmp_path / "in.mp4", range(0, 4000, 40))
    output = tmp_path / "out.mkv"
    output.symlink_to("/dev/full")
    with pytest.raises(ItemError, match="cannot be written: no space left") as caught:
        convert(source, output)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == 28


# -- development media ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "hard/rotated_90.mov",
        "hard/h264_10bits.mp4",
        "hard/bt709_full_range.mp4",
        "hard/unordered.mov",
        "carphone_pristine.mp4",
    ],
)
def test_real_clips_come_back_as_they_were(tmp_path, shared_data, name):
    source = shared_data / "video" / name
    trim = {"end": "0.5"}
    output = tmp_path / f"out{source.suffix}"
    convert(source, output, trim=trim)
    before, first = read(source, **trim)
    after, second = read(output)
    assert seconds(second) == seconds(first)
    assert (after.width, after.height, after.depth) == (before.width, before.height, before.depth)
    for key in ("color_range", "color_space", "sample_aspect_ratio"):
        assert after.details[key] == before.details[key]
    assert difference(first, second) < 2


def test_real_damage_is_named(shared_data):
    with pytest.raises(ItemError, match=r"damaged at 0:0\d"):
        read(shared_data / "video/hard/corrupted.mp4")


def test_of_two_films_in_a_file_the_larger_is_taken(shared_data, tmp_path):
    source = shared_data / "video/nasa_13013_audio.mp4"
    info = probe(source)
    assert (info.width, info.height) == (480, 270)
    log = Log()
    convert(source, tmp_path / "out.mp4", log, trim={"end": "0.3"})
    with av.open(str(tmp_path / "out.mp4")) as out:
        kinds = [s.type for s in out.streams]
    assert sorted(kinds) == ["audio", "audio", "subtitle", "subtitle", "video"]
    assert any("another video (h264, " in line for line in log.lines)
