"""Regions: what is refused, how styles find their regions, how results are laid together."""

from dataclasses import replace
from pathlib import Path

import fakes
import numpy as np
import pytest
import torch
from fakes import array, settings
from stylepipe_plugins.temporal_warp import Warp
from test_composite import as_light_mixes
from thirds import Thirds

from stylepipe import (
    Caps,
    Flow,
    Item,
    Masker,
    StyleRef,
    Stylizer,
    UsageError,
    parse_style,
)
from stylepipe.composite import coverage, prepare_mask, shares
from stylepipe.fingerprints import settings_fingerprint
from stylepipe.job import Job, MaskOptions
from stylepipe.pipeline import run
from stylepipe.report import Report
from stylepipe.testing import MaskerContract

GRAYS = {"dark": 0.2, "gray": 0.6, "white": 1.0}


class Paint(Stylizer):
    """Covers the picture with the mean of its styles' grays; as good as blind to regions."""

    name = "paint"
    open_now = 0

    def check(self, styles, items=(), masker=None):
        for style in styles:
            if style.name not in GRAYS:
                raise UsageError(f"no style {style.name!r}")
        if len({style.name for style in styles}) > 1:
            raise UsageError("these styles cannot be blended")

    def open(self, context):
        Paint.open_now += 1

    def prepare(self, styles):
        self.value = sum(GRAYS[style.name] * style.weight for style in styles)

    def stylize(self, batch):
        assert batch.masks is None and not batch.regions
        return torch.full_like(batch.images, self.value)

    def close(self):
        Paint.open_now -= 1


class Native(Paint):
    """Takes the planes itself, and remembers them."""

    caps = Caps(regions="native")

    def check(self, styles, items=(), masker=None):
        pass

    def prepare(self, styles):
        self.values = [GRAYS[style.name] for style in styles]

    def stylize(self, batch):
        Native.regions, Native.planes = batch.regions, batch.masks
        values = torch.tensor(self.values).view(1, -1, 1, 1)
        return (batch.masks * values).sum(1, keepdim=True).expand_as(batch.images)


class Quarters(Masker):
    """Four columns: sky, sea, both by halves, and nothing."""

    name = "quarters"
    regions = ("sky", "sea")

    def mask(self, batch, frames):
        count, _, height, width = batch.images.shape
        planes = torch.zeros(count, 2, height, width)
        planes[:, 0, :, : width // 4] = 1
        planes[:, 1, :, width // 4 : width // 2] = 1
        planes[:, :, :, width // 2 : 3 * width // 4] = 0.5
        return planes


def chosen(*styles, stylizer=Paint, masker=Quarters, temporal=None, strength=1.0, **mask):
    options = stylizer.Options(style=styles, strength=strength)
    kept = settings(masker=masker(masker.Options()), temporal=temporal)
    return replace(kept, stylizer=stylizer(options), mask=MaskOptions(**mask))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photos" / "a.npy"
    path.parent.mkdir()
    np.save(path, array(8, 16))
    return path


def go(source: Path, job_settings, out: str = "out"):
    job = Job((source.parent,), source.parents[1] / out, job_settings, device="cpu",
              precision="full", memory=1 << 28)  # fmt: skip
    return run(job, fakes.Plugins(), Report(quiet=True))


def painted(photo: Path, *styles, **options) -> np.ndarray:
    out = f"out{len(list(photo.parents[1].glob('out*')))}"
    report = go(photo, chosen(*styles, **options), out)
    assert report.exit_code == 0, report.failures
    return np.load(photo.parents[1] / out / photo.name)


def gray(value: float) -> int:
    return round(255 * value)


# -- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("styles", "words"),
    [
        (["dark"], "regions of the picture: 2, styles: 1; give one style a region, in the order "
                   "sky, sea, or name regions: STYLE@sky"),
        (["dark", "gray", "white"], "regions of the picture: 2, styles: 3"),
        (["dark@skye"], r"no region 'skye'.*sky.*; there are sky, sea"),
        (["dark@sky", "gray"], "name the region of every style, as STYLE@REGION, or of none"),
        (["dark@sky", "gray@sky"], "there are two styles for the region 'sky': leave one out"),
        (["dark:2", "gray:1"], "weights of styles mean nothing; leave them out"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stylizer", [Paint, Native])
def test_styles_that_do_not_match_end_the_job_in_a_sentence(photo, stylizer, styles, words):
    with pytest.raises(UsageError, match=words):
        go(photo, chosen(*styles, stylizer=stylizer))
    assert not (photo.parents[1] / "out").exists()


def test_styles_of_regions_are_checked_each(photo):
    with pytest.raises(UsageError, match="no style 'no-such'"):
        go(photo, chosen("dark", "no-such"))


def test_a_stylizer_without_styles_paints_no_regions(photo):
    with pytest.raises(UsageError, match="in its own style: name some by --style"):
        go(photo, replace(settings(), masker=Quarters(Quarters.Options())))


def test_regions_cannot_be_turned_round(photo):
    with pytest.raises(UsageError, match="--mask-invert inverts a mask, and there are regions"):
        go(photo, chosen("dark", "gray", invert=True))


def test_a_region_where_there_are_none_is_refused(photo):
    kept = replace(chosen("dark@sky"), masker=None)
    with pytest.raises(UsageError, match="for the region 'sky', but there are no regions; pass"):
        go(photo, kept)


@pytest.mark.parametrize("names", [("sky",), ("sky", "sea", "sun"), ()])
def test_a_masker_that_names_other_regions_than_it_returns_costs_its_items(photo, names):
    class Late(Quarters):
        regions = ()

        def regions_of(self, item):
            return names

    report = go(photo, chosen(*["dark", "gray", "white"][: len(names) or 1], masker=Late))
    (failure,) = report.failures
    word = "returned (1, 2, 8, 16) where" if names else "names no regions"
    assert report.exit_code == 1 and word in str(failure)


@pytest.mark.parametrize(
    ("result", "words"), [((1, 1, 8, 16), r"returned (1, 1, 8, 16)"), (None, "returned None")]
)
def test_what_paints_a_region_is_checked_by_itself(photo, result, words):
    class Broken(Paint):
        plugin = "toys"

        def stylize(self, batch):
            return result and torch.zeros(result)

    ((_, why),) = go(photo, chosen("dark", "gray", stylizer=Broken)).failures
    assert why.startswith(f"stylizer 'paint' of plugin toys {words}")


def test_names_of_files_are_no_regions():
    for text in ("photo@2x.jpg", "me@home/a.jpg", "@sky", "a@b.c@d.png"):
        assert parse_style(text) == StyleRef(text, 1.0)
    assert parse_style("wave:0.5@sky") == StyleRef("wave", 0.5, "sky")
    assert parse_style("a@2x.jpg@#0000ff") == StyleRef("a@2x.jpg", 1.0, "#0000ff")
    with pytest.raises(UsageError, match="the weight of style 'wave' must be positive"):
        parse_style("wave:0@sky")


# -- which style paints where ----------------------------------------------------------------


@pytest.mark.parametrize("stylizer", [Paint, Native])
@pytest.mark.parametrize("styles", [("dark", "white"), ("white@sea", "dark@sky")])
def test_each_region_gets_its_style_and_the_rest_stays(photo, stylizer, styles):
    result, source = painted(photo, *styles, stylizer=stylizer), np.load(photo)
    assert (result[:, :4] == gray(0.2)).all() and (result[:, 4:8] == 255).all()
    light = as_light_mixes(np.uint8(gray(0.2)), np.uint8(255), 0.5)
    half = gray(0.6) if stylizer is Native else round(float(light))  # Native mixes by itself
    assert (result[:, 8:12] == half).all(), "half and half"
    assert np.array_equal(result[:, 12:], source[:, 12:])
    assert Paint.open_now == 0, "all were closed"


@pytest.mark.parametrize("stylizer", [Paint, Native])
def test_a_region_without_a_style_stays_as_it_was(photo, stylizer):
    result, source = painted(photo, "dark@sky", stylizer=stylizer), np.load(photo)
    assert (result[:, :4] == gray(0.2)).all()
    assert np.array_equal(result[:, 4:8], source[:, 4:8])
    half = as_light_mixes(source[:, 8:12], np.uint8(gray(0.2)), 0.5)
    assert np.abs(result[:, 8:12] - half).max() <= 1


def test_strength_and_regions_work_together(photo):
    result, source = painted(photo, "dark", "white", strength=0.5), np.load(photo)
    assert np.abs(result[:, 4:8] - (source[:, 4:8] / 2 + 127.5)).max() <= 1
    assert np.array_equal(result[:, 12:], source[:, 12:])


def test_who_knows_of_regions_gets_planes_that_sum_to_1_in_the_order_of_the_styles(photo):
    painted(photo, "white@sea", "dark@sky", stylizer=Native)
    assert Native.regions == ("sea", "sky") and Native.planes.shape == (1, 2, 8, 16)
    torch.testing.assert_close(Native.planes.sum(1), torch.ones(1, 8, 16))
    assert (Native.planes[0, 0, :, 4:8] == 1).all() and (Native.planes[0, 1, :, :4] == 1).all()


def test_another_region_for_a_style_is_another_result(photo):
    prints = {
        settings_fingerprint(chosen(*styles), "full")
        for styles in (("dark", "gray"), ("dark@sky", "gray@sea"), ("dark@sea", "gray@sky"))
    }
    assert len(prints) == 3


# -- soft borders ------------------------------------------------------------------------------


def three(width=60):
    """Two regions side by side, and nothing on the right."""
    planes = torch.zeros(2, 2, 20, width)
    planes[:, 0, :, :20], planes[:, 1, :, 20:40] = 1, 1
    return planes


@pytest.mark.parametrize("feather", [0, 3, 8, 15])
def test_feathered_regions_sum_to_what_they_cover(feather):
    planes = prepare_mask(three(), MaskOptions(feather=feather))
    row = planes[0, :, 10]
    assert (planes >= 0).all() and planes.sum(1).max() <= 1 + 1e-6
    assert row[:, : 20 - feather].sum(0).eq(1).all() and row[:, 40 + feather :].eq(0).all()
    torch.testing.assert_close(row[:, :30].sum(0), torch.ones(30), rtol=0, atol=1e-6)
    soft = (row[0] > 0) & (row[0] < 1)
    assert abs(int(soft.sum()) - feather) <= 1, "the border between regions is as soft as asked"
    expected = prepare_mask(three().sum(1, keepdim=True), MaskOptions(feather=feather))
    torch.testing.assert_close(coverage(planes), expected)


def test_planes_that_overlap_are_shared():
    planes = prepare_mask(torch.ones(1, 4, 5, 5), MaskOptions())
    assert planes.eq(0.25).all() and coverage(planes).eq(1).all()
    assert shares(torch.zeros(1, 4, 5, 5)).eq(0.25).all(), "nothing is divided by nothing"


# -- film ---------------------------------------------------------------------------------------


class Still(Flow):
    """Nothing moves."""

    name = "still"

    def flow(self, a, b):
        return torch.zeros(1, 2, *a.pixels.shape[:2])


def test_film_does_not_drag_the_photo_into_regions(tmp_path):
    """Where no region is, the previous result shows the photo: there is nothing to go on with."""
    clip = tmp_path / "clip" / "clip.npy"
    clip.parent.mkdir()
    np.save(clip, np.stack([array(64, 64)] * 3))

    class Growing(Quarters):
        def mask(self, batch, frames):
            planes = super().mask(batch, frames)
            return planes if frames[0].index else planes * 0

    temporal = Warp(Warp.Options(blend=0.9), Still(Still.Options()))
    assert go(clip, chosen("dark", "white", masker=Growing, temporal=temporal)).exit_code == 0
    result, source = np.load(tmp_path / "out" / "clip.npy"), np.load(clip)
    assert np.array_equal(result[0], source[0])
    assert (result[1, :, :14] == gray(0.2)).all() and (result[1, :, 18:30] == 255).all()


class TestThirds(MaskerContract):
    component = Thirds


def test_the_contract_finds_names_that_nobody_can_write(tmp_path):
    masker, item = Thirds(Thirds.Options()), Item(0, Path("a"), Path(), tmp_path)
    for names in (("left", "left", "right"), ("a", "b", "up/down")):
        masker.regions = names
        with pytest.raises(AssertionError):
            TestThirds().test_regions_have_names_that_users_can_write(masker, item)
