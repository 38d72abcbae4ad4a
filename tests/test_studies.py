"""What studies are made of: variants, contact sheets, pages, charts and figures."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from stylepipe.encoders import open_encoder
from stylepipe.errors import UsageError
from stylepipe.sheets import Cell, contact_sheet
from stylepipe.studies import measures
from stylepipe.studies.charts import chart
from stylepipe.studies.page import Figure, Group, page
from stylepipe.studies.variants import Dimension, dimension, grid
from stylepipe.temporal.metrics import sharpness
from stylepipe.types import Frame

TABLES = ("stylizer", "mask")


def noise(height=64, width=80, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


# -- variants ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("strength=1", "--vary takes TABLE.KEY=VALUE,VALUE"),
        ("stylizer.strength", "--vary takes TABLE.KEY=VALUE,VALUE"),
        ("stylizer.strength=", "--vary takes TABLE.KEY=VALUE,VALUE"),
        ("styliser.strength=1", "unknown table 'styliser' (did you mean 'stylizer'?)"),
        ("stylizer.strength=1,1", "1 stands there twice"),
        ("stylizer.strength=1,,2", "nothing stands between two commas"),
        ("stylizer.strength=1,", "nothing stands behind the last comma"),
        ("stylizer.style=[a,b", "a list is written [A,B]"),
        ("stylizer.style=[a]b", "a list is written [A,B]"),
    ],
)
def test_what_varies_nothing_is_refused(text, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        dimension(text, TABLES)


def test_lists_are_single_values():
    found = dimension("stylizer.style-layers=[relu1_1, relu2_1],relu3_1,[a]", TABLES)
    assert found == Dimension(
        "stylizer", "style_layers", (["relu1_1", "relu2_1"], "relu3_1", ["a"])
    )


def test_a_grid_has_every_combination_the_last_changing_fastest():
    variants = grid(
        [
            dimension("stylizer.strength=0.5,1", TABLES),
            dimension("mask.feather=0,9", TABLES),
        ]
    )
    labels = [v.label for v in variants]
    assert labels == [
        "strength 0.5, mask.feather 0",
        "strength 0.5, mask.feather 9",
        "strength 1, mask.feather 0",
        "strength 1, mask.feather 9",
    ]
    assert variants[1].tables == {"stylizer": {"strength": "0.5"}, "mask": {"feather": "9"}}
    assert [v.tables for v in grid([])] == [{}]


def test_a_grid_varies_each_key_once_and_no_more_than_anyone_looks_at():
    twice = [dimension(f"stylizer.strength={v}", TABLES) for v in ("0", "1")]
    with pytest.raises(UsageError, match="strength is varied twice"):
        grid(twice)
    many = ",".join(map(str, range(50)))
    with pytest.raises(UsageError, match="2500 variants, of at most 2000"):
        grid([dimension(f"stylizer.{key}={many}", TABLES) for key in ("a", "b")])


# -- sheets and pages --------------------------------------------------------------------------


def test_a_sheet_shows_each_picture_as_it_is_and_says_why_one_is_missing():
    a, b = noise(60, 80, 1), noise(40, 80, 2)
    sheet = np.asarray(contact_sheet([[Cell("a", a), Cell("b", b)], [Cell("c", failure="no")]], 80))
    assert (sheet[8:68, 8:88] == a).all()
    assert (sheet[28:68, 96:176] == b).all()  # pictures of a row stand on one line
    missing = sheet[8 + 60 + 23 + 8 :, 8:88]
    assert (missing == (255, 170, 150)).all(-1).any()


def test_letters_that_no_font_has_do_no_harm():
    contact_sheet([[Cell("\u96ea \udcff", noise()), Cell("x" * 500, failure="\u96ea" * 500)]], 80)


def test_a_page_escapes_what_it_shows_and_asks_no_network():
    evil = '"><script>alert(1)</script>'
    html = page(
        evil, evil, evil, [Group(evil, [Figure(evil, noise(), noise(seed=1))], {evil: evil})]
    )
    assert evil not in html and html.count("<script>") == 1
    assert not re.search(r"(src|href)=.(https?:)?//", html) and "default-src 'none'" in html


def test_a_photo_is_in_a_page_once():
    photo = noise()
    groups = [Group(str(n), [Figure("x", noise(seed=n), photo)] * 2) for n in range(3)]
    html = page("t", "m", "n", groups)
    assert html.count("background-image") == 1 and html.count('class="before p0"') == 6


def test_infinite_figures_can_be_sorted():
    html = page("t", "m", "n", [Group("g", [], {"psnr": float("inf")})])
    assert 'data-value="Infinity">inf<' in html


def test_a_failure_stands_in_its_place():
    html = page("t", "m", "n", [Group("g", [Figure("x", None, failure="it is torn")])])
    assert "it is torn" in html and "<img" not in html


def test_a_chart_places_points_by_their_values():
    svg = chart("figure", "steps", {"one": [(1, 0.0), (100, 2.0)]})
    (x1, y1), (x2, y2) = (
        map(float, p) for p in re.findall(r'c[xy]="([\d.]+)" c[xy]="([\d.]+)"', svg)
    )
    assert x1 < x2 and y1 > y2 and "steps (logarithmic)" in svg
    assert "(logarithmic)" not in chart("figure", "steps", {"one": [(1, 0), (9, 1)]})


# -- figures -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judge():
    return measures.Judge(open_encoder("compact"))


def test_figures_of_equal_pictures(judge):
    photo = noise()
    found = measures.measured(photo, photo, judge, photo)
    assert found["psnr"] == float("inf")
    assert found["ssim"] == pytest.approx(1) and found["sharpness"] == 1
    for name in ("mse", "content_distance", "perceptual", "style_distance"):
        assert found[name] == 0
    assert found["color_distance"] == pytest.approx(0, abs=1e-4)
    assert list(found) == [m.name for m in measures.MEASURES if m.name != "lpips"]


def test_mse_and_psnr_by_hand():
    a, b = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 51, np.uint8)
    assert measures.mse(a, b) == pytest.approx(0.04)
    assert measures.psnr(a, b) == pytest.approx(-10 * np.log10(0.04))


def test_ssim_against_the_formula():
    """Wang et al. 2004, eq. 13, on flat pictures, where variances are 0."""
    a, b = (np.full((32, 32, 3), value, np.uint8) for value in (102, 153))
    x, y, c = 0.4, 0.6, 0.01**2
    assert measures.ssim(a, b) == pytest.approx((2 * x * y + c) / (x * x + y * y + c), abs=1e-3)


def test_color_distance_of_shifted_and_of_wider_colors():
    """In Oklab, of grays: L is the cube root of linear light."""
    from stylepipe.nst.oklab import oklab

    def gray(*values):
        return np.repeat(np.array(values, np.uint8), 64).reshape(-1, 8, 1).repeat(3, 2)

    one, two = gray(100, 140), gray(60, 220)
    light = [oklab(torch.tensor([[v / 255.0] * 3]))[0, 0].item() for v in (100, 140, 60, 220)]
    means = np.mean(light[:2]), np.mean(light[2:])
    spread = abs(light[1] - light[0]) / 2, abs(light[3] - light[2]) / 2
    expected = np.hypot(means[0] - means[1], spread[0] - spread[1])
    assert measures.color_distance(one, two) == pytest.approx(expected, rel=5e-3)


def test_style_distance_against_gram_matrices_by_hand(judge):
    result, painting = noise(seed=1), noise(seed=2)
    found = judge.style_distances(result, painting)
    layer = judge.style[0]
    grams = []
    for picture in (result, painting):
        f = judge.features(picture)[layer][0].double().flatten(1).numpy()
        grams.append(np.einsum("ip,jp->ij", f, f) / f.shape[1])
    expected = np.linalg.norm(grams[0] - grams[1]) / np.linalg.norm(grams[1])
    assert found[layer] == pytest.approx(expected, rel=1e-4)


def test_wasserstein_distance_is_zero_for_the_painting_itself(judge):
    painting = noise(seed=1)
    for layer, distance in judge.wasserstein_distances(painting, painting).items():
        assert distance == pytest.approx(0, abs=1e-5), layer


def test_blur_and_doing_nothing_improve_what_is_said_of_them(judge):
    photo = noise(128, 128)
    blurred = np.asarray(Image.fromarray(photo).resize((32, 32)).resize((128, 128)))
    assert sharpness(Frame(blurred)) < 0.2 * sharpness(Frame(photo))
    assert judge.content_distances(photo, photo) == dict.fromkeys(judge.content, 0)


def test_what_is_not_installed_is_left_out_by_name(judge, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torchmetrics.functional.image", None)
    monkeypatch.setattr(measures, "find_spec", lambda name: None)
    found = measures.measured(noise(), noise(seed=3), judge)
    assert "ssim" not in found and "psnr" in found
    assert measures.absent() == [
        "ssim is left out: it needs torchmetrics (pip install 'stylepipe[measure]')"
    ]


def test_a_picture_goes_through_the_encoder_once(judge, monkeypatch):
    seen = []

    class Counting:
        title, default_style, default_content = "x", judge.style, judge.content
        default_perceptual = judge._encoder.default_perceptual

        def __call__(self, picture, layers):
            seen.append(picture.shape)
            return judge._encoder(picture, layers)

    own = measures.Judge(Counting())
    result, photo, painting = noise(), noise(seed=1), noise(seed=2)
    first = measures.measured(result, photo, own, painting)
    measures.by_layer(result, photo, own, painting)
    assert len(seen) == 3
    measures.measured(noise(seed=3), photo, own, painting)
    assert len(seen) == 4, "photo and painting are known"
    assert first == measures.measured(result, photo, judge, painting)
    for seed in range(9):
        own.features(noise(seed=seed))
    assert len(own._seen) == 4, "memory is bounded"


def test_many_variants_share_charts_a_few_at_a_time():
    from stylepipe.studies.curves import curve_charts

    curves = {f"v{n}": {"loss": [(1, 1.0), (500, n / 9)]} for n in range(20)}
    charts = curve_charts(curves)
    assert len(charts) == 3 and "variants 8 to 14 of 20" in charts[1]
    assert charts[0].count('<g class="line"') == charts[0].count('<li tabindex="0"') == 7
    assert "(logarithmic)" not in charts[0]
    assert 'aria-label="loss by step, variants 15 to 20 of 20. v14: 1 at step 1, ' in charts[2]


def test_means_are_taken_at_the_steps_that_all_have():
    from stylepipe.studies.curves import mean_curves

    found = mean_curves([{"loss": [(1, 2.0), (2, 4.0)]}, {}, {"loss": [(2, 0.0), (3, 9.0)]}])
    assert found == {"loss": [(2, 2.0)]}
