"""Animated GIF, WebP, PNG and AVIF as video."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from clips import Log, convert, make_clip, picture, read
from PIL import Image

from stylepipe.errors import ItemError
from stylepipe.inputs import probe as engine_probe
from stylepipe.media.icc import adobe_rgb, to_srgb
from stylepipe.media.images import ImageReader
from stylepipe.media.video import VideoReader, VideoWriter
from stylepipe.types import Frame, Info, Item

DURATIONS = [40, 80, 120, 40, 200]


def make_animation(path, durations=DURATIONS, loop=0, hole=False, **options):
    frames = []
    for n in range(len(durations)):
        rgba = np.dstack((picture(n), np.full((48, 64), 255, np.uint8)))
        if hole:
            rgba[30:40, 10:20, 3] = 0
        frames.append(Image.fromarray(rgba if hole else rgba[..., :3]))
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=loop,
        **({"disposal": 2} if hole and path.suffix == ".gif" else {}),
        **options,
    )
    return path


def shown(path):
    with Image.open(path) as image:
        found = []
        for n in range(image.n_frames):
            image.seek(n)
            image.load()
            found.append((round(image.info["duration"]), np.array(image.convert("RGBA"))))
        return found, image.info.get("loop")


def probe(path):
    return VideoReader(VideoReader.Options()).probe(path)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".avif"])
def test_frames_and_times_are_read(tmp_path, suffix):
    info, frames = read(make_animation(tmp_path / f"in{suffix}"))
    assert (info.kind, info.width, info.height, info.frames) == ("video", 64, 48, 5)
    assert info.duration == pytest.approx(0.48)
    starts = [Fraction(t, 1000) for t in (0, 40, 120, 240, 280)]
    assert [f.pts * f.time_base for f in frames] == starts
    assert [f.duration for f in frames] == DURATIONS
    assert np.abs(frames[3].pixels.astype(int) - picture(3)).mean() < 6


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_still_pictures_are_left_to_the_picture_reader(tmp_path, suffix):
    path = tmp_path / f"still{suffix}"
    Image.fromarray(picture(0)).save(path)
    assert probe(path) is None


@pytest.mark.parametrize("loop", [0, 3])
@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_times_loop_and_colors_come_back(tmp_path, suffix, loop):
    source = make_animation(tmp_path / f"in{suffix}", loop=loop)
    output = tmp_path / f"out{suffix}"
    convert(source, output)
    before, _ = shown(source)
    after, again = shown(output)
    assert again == loop
    assert [d for d, _ in after] == DURATIONS
    for (_, a), (_, b) in zip(before, after, strict=True):
        assert np.abs(a.astype(int) - b).mean() < 4


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_transparency_is_kept(tmp_path, suffix):
    source = make_animation(tmp_path / f"in{suffix}", hole=True)
    info, frames = read(source)
    assert info.alpha
    assert frames[2].alpha[35, 15] == 0
    assert frames[2].alpha[5, 5] == 255
    convert(source, tmp_path / f"out{suffix}")
    for _, rgba in shown(tmp_path / f"out{suffix}")[0]:
        assert rgba[35, 15, 3] == 0
        assert rgba[5, 5, 3] == 255


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_sixteen_bits_are_rounded_to_eight(tmp_path, suffix):
    pixels = np.full((16, 16, 3), 255 << 8, np.uint16)  # to cut would make 255 and 77
    pixels[:8] = 257 * 77 + 129
    info = Info("video", "fake", 16, 16, depth=16, rate=Fraction(25))
    work = tmp_path / "work"
    work.mkdir()
    writer = VideoWriter(VideoWriter.Options())
    writer.open(Log())
    path = tmp_path / f"out{suffix}"
    sink = writer.open_sink(Item(0, tmp_path, tmp_path, path), info, path, work)
    for n in range(2):
        sink.write(Frame(pixels, None, n, n, Fraction(1, 25), 1))
    sink.close()
    rgba = shown(path)[0][0][1]
    allowed = 1 if suffix == ".webp" else 0
    assert np.abs(rgba[[2, 12], 5, 0].astype(int) - [78, 254]).max() <= allowed


def test_gif_to_film_and_back(tmp_path):
    source = make_animation(tmp_path / "in.gif")
    convert(source, tmp_path / "out.mp4")
    info, frames = read(tmp_path / "out.mp4")
    assert [f.pts * f.time_base * 1000 for f in frames] == [0, 40, 120, 240, 280]
    assert info.duration == pytest.approx(0.48)
    assert info.details["color_space"] == "smpte170m"
    convert(tmp_path / "out.mp4", tmp_path / "back.gif")
    found, loop = shown(tmp_path / "back.gif")
    assert loop == 0
    assert [d for d, _ in found] == DURATIONS
    assert np.abs(found[4][1][..., :3].astype(int) - picture(4)).mean() < 12


def test_film_too_fast_for_a_gif_is_told(tmp_path):
    source = make_clip(tmp_path / "in.mp4", range(30), time_base=Fraction(1, 100))
    log = Log()
    convert(source, tmp_path / "out.gif", log)
    assert {d for d, _ in shown(tmp_path / "out.gif")[0]} <= {20, 40}
    assert any("longer" in line for line in log.lines)


def test_span(tmp_path):
    source = make_animation(tmp_path / "in.gif")
    _, frames = read(source, start="0.1", end="0.28")
    assert [f.pts for f in frames] == [120, 240]
    assert [f.index for f in frames] == [0, 1]


def test_saturated_colors_of_a_small_spot_survive_the_palette(tmp_path):
    scene = np.dstack([*np.meshgrid(np.arange(96), np.arange(96)), np.full((96, 96), 90)])
    scene = np.ascontiguousarray(scene + 60).astype(np.uint8)
    scene[40:46, 40:46] = (255, 120, 0)
    source = make_clip(
        tmp_path / "in.mp4",
        (0, 40),
        size=(96, 96),
        pictures=[scene] * 2,
        pix_fmt="yuv444p",
        options={"qp": "4"},
    )
    convert(source, tmp_path / "out.gif")
    spot = shown(tmp_path / "out.gif")[0][0][1][41:45, 41:45, :3].reshape(-1, 3).mean(0)
    assert spot == pytest.approx((255, 120, 0), abs=30)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_damaged_animation(tmp_path, suffix):
    source = make_animation(tmp_path / f"in{suffix}")
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(ItemError) as caught:
        assert probe(source) is not None
        read(source)
    assert "\n" not in str(caught.value)


def test_same_bytes_twice(tmp_path):
    source = make_animation(tmp_path / "in.gif")
    for suffix in (".gif", ".webp", ".apng"):
        convert(source, tmp_path / f"a{suffix}")
        convert(source, tmp_path / f"b{suffix}")
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_a_profile_is_honored_and_what_has_no_place_told(tmp_path, suffix):
    frames = [Image.new("RGB", (16, 16), (0, 200, n)) for n in (0, 9)]
    frames[0].save(
        tmp_path / f"in{suffix}",
        save_all=True,
        append_images=frames[1:],
        duration=100,
        icc_profile=adobe_rgb(),
        exif=Image.Exif().tobytes() + bytes(8),
        lossless=True,
    )
    _, (first, _) = read(tmp_path / f"in{suffix}")
    assert (
        first.pixels[4, 4].tolist()
        == to_srgb(np.array(frames[0]), adobe_rgb()).pixels[4, 4].tolist()
        != [0, 200, 0]
    )
    log = Log()
    convert(tmp_path / f"in{suffix}", tmp_path / f"out{suffix}", log)
    (line,) = log.lines
    assert line == (
        f"in{suffix}: left out, as {suffix} cannot hold it: color profile (sRGB is written), EXIF"
    )


def test_a_comment_of_an_animation_is_told(tmp_path):
    frames = [Image.new("RGB", (16, 16), (0, 200, n)) for n in (0, 90)]
    source = tmp_path / "in.gif"
    frames[0].save(source, save_all=True, append_images=frames[1:], comment=b"a note")
    log = Log()
    convert(source, tmp_path / "out.gif", log)
    assert log.lines == ["in.gif: left out, as .gif cannot hold it: comment"]


@pytest.mark.parametrize("lossless", [True, False])
def test_a_lossless_animation_stays_one(tmp_path, lossless):
    source = make_animation(tmp_path / "in.webp", lossless=lossless)
    assert probe(source).details["lossless"] is lossless
    convert(source, tmp_path / "out.webp")
    same = [
        (a == b).all()
        for (_, a), (_, b) in zip(shown(source)[0], shown(tmp_path / "out.webp")[0], strict=True)
    ]
    assert all(same) is lossless and probe(tmp_path / "out.webp").details["lossless"] is lossless


def lenient(path, **options):
    """Frames and what was told of damage, as a job that paints what decodes would have it."""
    told: list[str] = []
    reader = VideoReader(VideoReader.Options(**options))
    reader._damaged = told.append
    info = reader.probe(path)
    return list(reader.frames(Item(0, path, path.parent, path), info)), told


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_pictures_before_the_damage_are_read(tmp_path, suffix):
    source = make_animation(tmp_path / f"in{suffix}")
    _, whole = read(source)
    data = source.read_bytes()
    assert lenient(source)[1] == []
    for share in (0.45, 0.7, 0.9):
        source.write_bytes(data[: int(len(data) * share)])
        frames, told = lenient(source)
        assert 1 <= len(frames) < 5
        for one, other in zip(frames, whole, strict=False):
            assert np.array_equal(one.pixels, other.pixels)
        assert len(told) == 1 and told[0].startswith("cut short") and "\n" not in told[0]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_torn_animations_raise_nothing_but_sentences(tmp_path, suffix):
    """Wherever the torn bytes are: the picture reader is asked first, as by the engine."""
    source = make_animation(tmp_path / f"in{suffix}", [40, 80, 120])
    data, random = source.read_bytes(), np.random.default_rng(2)
    readers = [ImageReader(ImageReader.Options()), VideoReader(VideoReader.Options())]
    told: list[str] = []
    for reader in readers:
        reader._damaged = told.append
    outcomes = set()
    for trial in range(60):
        torn = bytearray(data)
        start = int(random.integers(6, len(data)))
        size = int(random.integers(1, 60))
        torn[start : start + size] = random.integers(0, 256, size, np.uint8).tobytes()
        if trial % 3 == 0:
            del torn[start:]
        source.write_bytes(bytes(torn[: len(data)]))
        told.clear()
        try:
            reader, info = engine_probe(source, readers)
            frames = list(reader.frames(Item(0, source, tmp_path, source), info))
            outcomes.add("told" if told else "whole")
            assert frames
        except ItemError as error:
            outcomes.add("refused")
            assert "\n" not in str(error)
    assert {"told", "refused"} <= outcomes or suffix == ".webp"
