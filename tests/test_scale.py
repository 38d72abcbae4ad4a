"""A stylizer whose result is larger than the photo (``Caps.scale``) gets all that others get."""

from dataclasses import replace

import cv2
import fakes
import numpy as np
import pytest
import torch
from clips import make_clip
from fakes import array, settings
from stylepipe_plugins.temporal_warp import Warp

from stylepipe import Batch, Caps, Flow, Item, Masker, Stylizer, StylizerOptions, hookimpl
from stylepipe.cli import main
from stylepipe.job import Job
from stylepipe.ladder import run_within_memory
from stylepipe.media.video import VideoReader
from stylepipe.pipeline import run
from stylepipe.report import Report
from stylepipe.testing import StylizerContract


class Twice(Stylizer):
    """The negative, twice as large, or as ``times`` says."""

    name = "twice"
    caps = Caps(needs_style=False, scale=2)
    times = (2, 2)

    def stylize(self, batch):
        rows, columns = self.times
        return 1 - batch.images.repeat_interleave(rows, 2).repeat_interleave(columns, 3)


class TestContract(StylizerContract):
    component = Twice
    test_listing_imports_nothing_heavy = None  # this file does


@hookimpl
def stylepipe_components():
    return [Twice]


def chosen(cls=Twice, masker=None, temporal=None, **options):
    kept = settings(masker=masker, temporal=temporal)
    return replace(kept, stylizer=cls(StylizerOptions.build(options)))


def go(source, output, chosen, **options):
    report = Report(quiet=True)
    job = Job((source,), output, chosen, device="cpu", **options)
    return run(job, fakes.Plugins(), report)


@pytest.fixture
def photo(tmp_path):
    np.save(tmp_path / "a.npy", array(6, 8))
    return tmp_path / "a.npy"


def painted(photo, *args, **options) -> np.ndarray:
    report = go(photo, photo.parent / "out", chosen(*args, **options), redo=True)
    assert report.counts == {"done": 1}, report.failures
    return np.load(photo.parent / "out" / "a.npy")


def larger(pixels) -> np.ndarray:
    return cv2.resize(pixels, None, fx=2, fy=2, interpolation=cv2.INTER_LANCZOS4)


def test_the_whole_result_is_written(photo):
    expected = 255 - np.load(photo).repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(painted(photo), expected)


class LeftHalf(Masker):
    """Paints the left half."""

    name = "left-half"

    def mask(self, batch, frames):
        mask = batch.images[:, :1] * 0
        mask[..., : mask.shape[-1] // 2] = 1
        return mask


def test_where_the_mask_is_0_the_enlarged_photo_shows(photo):
    result = painted(photo, masker=LeftHalf(LeftHalf.Options()))
    np.testing.assert_array_equal(result[:, 10:], larger(np.load(photo))[:, 10:])
    np.testing.assert_array_equal(result[:, :6], painted(photo)[:, :6])


def test_strength_mixes_with_the_enlarged_photo_and_0_is_that_alone(photo):
    source, whole = larger(np.load(photo)), painted(photo)
    half = (source.astype(float) + whole) / 2
    assert np.abs(painted(photo, strength=0.5) - half).max() <= 1
    np.testing.assert_array_equal(painted(photo, strength=0), source)


def test_keeping_colors_takes_those_of_the_enlarged_photo(photo):
    np.save(photo, np.broadcast_to(np.uint8([200, 60, 30]), (6, 8, 3)))
    red, green, blue = painted(photo, keep_colors=True).mean((0, 1))
    assert red > green > blue, "the negative alone would be cyan"


def test_alpha_and_sixteen_bits_are_enlarged_too(photo):
    source = array(6, 8, channels=4, dtype=np.uint16)
    np.save(photo, source)
    result = painted(photo)
    assert result.dtype == np.uint16 and result.shape == (12, 16, 4)
    np.testing.assert_array_equal(result[..., 3], larger(source[..., 3]))


def test_a_photo_tells_its_new_size(tmp_path, make_photo):
    from PIL import Image

    from stylepipe.plugins import Plugins
    from stylepipe.presets import resolve

    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA002] = 40
    exif.get_ifd(0x8769)[0xA003] = 30
    make_photo("a.jpg", (40, 30), exif=exif, dpi=(100, 100))
    real = resolve(Plugins(), "default")
    report = go(tmp_path / "a.jpg", tmp_path / "out", replace(real, stylizer=chosen().stylizer))
    assert report.counts == {"done": 1}
    with Image.open(tmp_path / "out" / "a.jpg") as result:
        assert result.size == (80, 60) and result.info["dpi"] == (200, 200)
        details = result.getexif().get_ifd(0x8769)
        assert (details[0xA002], details[0xA003]) == (80, 60)


def test_a_film_has_the_size_that_its_container_is_told(tmp_path):
    make_clip(tmp_path / "clip.mp4", (0, 40, 80))
    args = [tmp_path / "clip.mp4", "-o", tmp_path / "x2.mp4", "-d", "cpu", "--plugin", __file__]
    assert main.run(["twice", *map(str, args)]) == 0
    reader = VideoReader(VideoReader.Options())
    one, two = (reader.probe(tmp_path / name) for name in ("clip.mp4", "x2.mp4"))
    assert (two.width, two.height, two.frames) == (2 * one.width, 2 * one.height, 3)


class Still(Flow):
    """Nothing moves."""

    name = "still"

    def flow(self, a, b):
        height, width = a.pixels.shape[:2]
        return torch.zeros(1, 2, height, width)


class Random(Twice):
    """Another color each frame, which the guide holds together."""

    def stylize(self, batch):
        value = 0.2 + 0.6 * (batch.first % 2)
        return super().stylize(batch) * 0 + value


class Follows(Twice):
    """Gives back what it is guided by."""

    caps = Caps(needs_style=False, scale=2, temporal="native")

    def stylize(self, batch):
        if batch.guide is None:
            return super().stylize(batch)
        assert batch.guide.warped.shape == batch.images.shape
        return batch.guide.warped.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.mark.parametrize("masker", [None, LeftHalf(LeftHalf.Options())], ids=["all", "masked"])
@pytest.mark.parametrize(("cls", "most"), [(Random, 70), (Follows, 3)])
def test_a_guide_holds_enlarged_frames_together(tmp_path, cls, most, masker):
    np.save(tmp_path / "a.npy", np.broadcast_to(array(48, 64) // 4, (3, 48, 64, 3)))
    temporal = Warp(Warp.Options(blend=0.9), Still(Still.Options()))
    report = go(tmp_path / "a.npy", tmp_path / "out", chosen(cls, masker, temporal))
    assert report.counts == {"done": 1}, report.failures
    frames = np.load(tmp_path / "out" / "a.npy").astype(float)
    assert frames.shape == (3, 96, 128, 3)
    middle = frames[:, 30:66, 20:50]
    assert np.abs(middle[1] - middle[0]).mean() < most, "unguided they differ by 153"


def test_tiles_and_small_pictures_are_put_together_at_the_new_size():
    class Small(Twice):
        caps = Caps(needs_style=False, scale=2, tileable=True, receptive_radius=3, min_side=32)

        def stylize(self, batch):
            assert min(batch.images.shape[2:]) >= 32
            if batch.images[0, 0].numel() > 40_000:
                raise MemoryError
            return super().stylize(batch)

    item = Item(0, *3 * [None])
    for size in ((300, 410), (20, 50)):
        batch = Batch(torch.rand(1, 3, *size), item)
        result = run_within_memory(Small(None), batch)
        assert torch.equal(result, Twice(None).stylize(batch)), size


@pytest.mark.parametrize("times", [(1, 1), (3, 3), (2, 1), (2, 3)])
def test_another_size_than_declared_names_the_component_and_its_plugin(photo, times):
    class Liar(Twice):
        pass

    Liar.times = times
    report = go(photo, photo.parent / "out", chosen(Liar))
    [(_, message)] = report.failures
    assert "stylizer 'twice' returned" in message
    assert "where (1, 3, 12, 16) was needed; its caps say scale 2" in message


def test_an_undeclared_size_is_an_error_and_no_corner_of_the_result(photo):
    class Undeclared(Twice):
        caps = Caps(needs_style=False)

    report = go(photo, photo.parent / "out", chosen(Undeclared))
    [(_, message)] = report.failures
    assert "returned (1, 3, 12, 16)" in message and "caps say scale 1" in message
    assert not list(photo.parent.glob("out/*.npy"))


@pytest.mark.parametrize("scale", [0, -1, 1.5, "2"])
def test_a_scale_that_means_nothing_is_told_at_once(scale):
    with pytest.raises(ValueError, match="scale must be a whole number from 1"):
        Caps(scale=scale)
