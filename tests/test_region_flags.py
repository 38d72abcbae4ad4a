"""``--region NAME=keep|STYLE[:STRENGTH]`` and ``[region.NAME]``."""

from pathlib import Path

import mask_toys
import numpy as np
import pytest
from fakes import array
from mask_toys import Paint
from PIL import Image

import stylepipe
from stylepipe import Caps, UsageError
from stylepipe.cli import main
from stylepipe.fingerprints import settings_fingerprint
from stylepipe.named_regions import labels
from stylepipe.plugins import Plugins
from stylepipe.presets import resolve
from stylepipe.regions import with_regions

W = 16
DARK, LIGHT, STARRY = 51, 204, 102


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    """The toys only, in an empty folder."""
    monkeypatch.setattr("stylepipe.plugins.entry_points", lambda group: [])
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def plugins():
    return Plugins(["mask_toys"])


def paint(regions, source=None, preset="default", **tables):
    """Convert a picture with these regions, and return source and result."""
    source = array(8, W) if source is None else source
    Path("in").mkdir(exist_ok=True)
    np.save("in/a.npy", source)
    out = f"out{len(list(Path().glob('out*')))}"
    report = stylepipe.convert("in", out, preset=preset, settings={"region": regions, **tables},
                               device="cpu", plugins=Plugins(["mask_toys"]))  # fmt: skip
    assert not report.failures, report.failures
    return source, np.load(Path(out, "a.npy"))


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["left="], "region 'left' has no style: write left=STYLE, left=STYLE:STRENGTH or"),
        (["left"], "--region takes NAME=STYLE, NAME=STYLE:STRENGTH or NAME=keep, not 'left'"),
        (["lfet=dark"], "--region 'lfet' is neither a file or folder that exists nor a masker"),
        (["left=dark", "left=light"], "--region names 'left' twice; leave one out"),
        (["rest=dark", "rest=light"], "--region names 'rest' twice; leave one out"),
        (["left=dark:1.5"], "the strength of region 'left' is between 0 and 1, not 1.5"),
        (["left=dark:nan"], "the strength of region 'left' is between 0 and 1, not nan"),
        (["left=keep:0.5", "rest=dark"], "region 'left' is kept, so it has no strength: write"),
        (["left=keep"], "all regions are kept, so nothing would be painted"),
        (["left=drak"], "no style 'drak' (did you mean 'dark'?)"),
        (["left=dark@sky"], "the styles of regions are for them alone: leave out @sky"),
        (["left=dark", "--mask", "right"], "neither wins: --region none drops the regions"),
        (["left=dark", "--regions", "map.png"], "neither wins: --region none drops the regions"),
        (["left=dark", "--set", "mask.use=right"], "and --mask none the mask"),
        (["left=dark", "--style", "light"], "--style paints no region, as each has its own style"),
        (["left=dark", "--mask-invert"], "--mask-invert inverts a mask, and there are regions"),
        (["left=dark", "--mask-missing", "paint"], "--mask-missing paint does not say in which"),
        (["left=dark", "--mask-wide", "2"], "--mask-wide"),
        (["~nobodyhere/x=dark"], "'~nobodyhere/x' is neither a file or folder that exists nor"),
        (["x" * 300 + "=dark"], "is neither a file or folder that exists nor a masker"),
        (["left=~nobodyhere/x:0.5"], "no style '~nobodyhere/x'"),
        (["left=" + "x" * 300 + ":0.5"], "xxx' is too long for the name of a file"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_a_sentence(capsys, flags, words):
    Path("in").mkdir()
    np.save("in/a.npy", array(8, W))
    args = []
    for flag in flags:
        region = "=" in flag and not flag.startswith("mask.")
        args += ["--region", flag] if region or flag == "left" else [flag]
    code = main.run(["run", "--plugin", "mask_toys", "in", "-o", "out", *args])
    told = capsys.readouterr().err
    assert code == 2 and words in told, told
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[region]\nleft = 3", r"write \[region.left\] and its keys below"),
        ("region = 3", r"write \[region.NAME\] and its keys below"),
        ('[region.left]\nkeep = true\nstyle = "dark"', "region 'left' is kept, so it has no style"),
        ('[region.left]\nstyel = "dark"', r"unknown option 'styel' of fast in \[region.left\]"),
        ('[region.left]\nuse = "fsat"', "unknown stylizer 'fsat'"),
        ('[region.left]\nkeep = "no"', "keep of region 'left' is true or false, not 'no'"),
        ('[region.left]\nuse = 3', "use and mask of region 'left' are texts"),
        ('[region.left]\nstrength = 2', "strength must be between 0 and 1, not 2"),
        ('[region.left]\nstyle = []', "region 'left' has no style: write left=STYLE or left=keep"),
        ('[region.a]\nmask = "left"\n[region.b]\nmask = "left"', "'a' and 'b' are the same; leave"),
        ('[region.rest]\n[region.b]\nmask = "rest"', "'rest' and 'b' are the same; leave one out"),
    ],
)  # fmt: skip
def test_presets_with_regions_that_make_no_sense_are_refused(plugins, text, words):
    Path("p.toml").write_text(text)
    with pytest.raises(UsageError, match=words):
        resolve(plugins, "p.toml")


def test_a_picture_without_the_mask_of_a_region_fails_or_is_kept():
    regions = {"absent": "dark", "rest": "light"}
    Path("in").mkdir()
    np.save("in/no.npy", array(8, W))
    for rule, code in (("fail", 1), ("keep", 0)):
        settings = {"region": regions, "mask": {"missing": rule}}
        report = stylepipe.convert("in", rule, settings=settings, plugins=Plugins(["mask_toys"]))
        assert report.exit_code == code
    assert np.array_equal(np.load("keep/no.npy"), np.load("in/no.npy"))


# -- what is painted ---------------------------------------------------------------------------


@pytest.fixture(params=["blend", "native"])
def kind(request, monkeypatch):
    """A stylizer that is painted by region, and one that is given the planes."""
    if request.param == "native":
        monkeypatch.setattr(Paint, "caps", Caps(regions="native"))
        monkeypatch.setattr(Paint, "prepare", _remember)
        monkeypatch.setattr(Paint, "stylize", _by_planes)
    return request.param


def _remember(self, styles):
    self.values = [mask_toys.GRAYS[style.name] for style in styles]


def _by_planes(self, batch):
    masks = 1 if batch.masks is None else batch.masks
    values = batch.images.new_tensor(self.values).view(1, -1, 1, 1)
    return (masks * values).sum(1, keepdim=True) * batch.images.new_ones(batch.images.shape)


def test_each_region_has_its_style_and_what_is_kept_or_in_none_stays(kind):
    source, result = paint({"column:2": "keep", "left": "dark", "column:12": "light"})
    columns = [x for x in range(8) if x != 2]
    assert (result[:, columns] == DARK).all() and (result[:, 12] == LIGHT).all()
    kept = [2, 8, 9, 10, 11, 13, 14, 15]
    assert np.array_equal(result[:, kept], source[:, kept]), "bit for bit"


def test_earlier_regions_win_and_the_rest_is_what_none_covers(kind):
    _, result = paint({"rest": "light", "column:2": "white", "left": "dark"})
    assert (result[:, 2] == 255).all() and (result[:, 8:] == LIGHT).all()
    assert (result[:, [0, 1, *range(3, 8)]] == DARK).all()


def test_strength_shows_so_much_of_the_photo(kind):
    source, result = paint({"left": "dark:0.25", "rest": "light:0"})
    expected = source[:, :8] + (DARK - source[:, :8].astype(float)) * 0.25
    assert np.abs(result[:, :8] - expected).max() <= 1
    assert np.array_equal(result[:, 8:], source[:, 8:])
    _, half = paint({"left": "dark", "rest": "dark:0.5"}, source, stylizer={"strength": 0.25})
    assert np.abs(half[:, :8] - expected).max() <= 1, "the strength of [stylizer] is the default"


def test_regions_of_one_strength_equal_the_run_with_it(kind):
    source, result = paint({"left": "dark:0.25", "rest": "dark:0.25"})
    _, plain = paint({}, source, stylizer={"style": "dark", "strength": 0.25})
    assert np.array_equal(result, plain)


@pytest.mark.parametrize("mask", [{"threshold": 0.5}, {"grow": 2}, {"shrink": 2}])
@pytest.mark.parametrize("strength", [0.25, 0.75])
def test_masks_are_shaped_apart_from_strengths(kind, mask, strength):
    regions = {"left": f"dark:{strength}", "rest": "light"}
    source, plain = paint(regions)
    _, shaped = paint(regions, source, mask=mask)
    assert np.array_equal(shaped, plain)


@pytest.mark.parametrize("own", [False, True])
def test_each_style_is_painted_once_and_only_where_its_regions_are(monkeypatch, own):
    more = {"keep_colors": True} if own else {}
    regions = {
        "column:2": {"style": "dark"}, "left": {"style": "light", **more},
        "column:12": {"style": "dark"}, "level:0": {"style": "white"}, "right": {"keep": True},
    }  # fmt: skip
    for caps, times in ((Caps(), 2), (Caps(warmup=1), 3)):
        monkeypatch.setattr(Paint, "caps", caps)
        monkeypatch.setattr(Paint, "painted", 0)
        source, result = paint(regions)
        assert Paint.painted == times, "a stylizer with a state sees all frames"
        assert (result[:, [2, 12]] == DARK).all()
        kept = [8, 9, 10, 11, 13, 14, 15]
        assert np.array_equal(result[:, kept], source[:, kept])


def test_a_strength_leaves_a_matte_a_matte(plugins, monkeypatch):
    monkeypatch.setattr(mask_toys.Left, "matte", True)
    settings = resolve(plugins, "default", {"region": {"left": "dark:0.5", "rest": "dark"}})
    assert with_regions(settings).masker.matte


def test_labels_of_regions_differ(plugins):
    names = ["a b", "a-b", "a-b-2", "a+b"]
    regions = {name: {"mask": f"column:{i}", "style": "dark"} for i, name in enumerate(names)}
    found = labels(resolve(plugins, "default", {"region": regions}).regions)
    assert found == ("a-b", "a-b-2", "a-b-2-2", "a-b-3")


@pytest.mark.parametrize("film", [False, True])
def test_regions_of_one_style_equal_no_regions(kind, film):
    """To the last bit: planes that sum to 1 do so exactly, after rounding to integers."""
    source = np.stack([array(8, W)] * 3) if film else array(8, W)
    regions = {"column:2": "dark", "level:0.3": "dark", "right+!column:4": "dark", "rest": "dark"}
    _, result = paint(regions, source)
    assert (result == DARK).all()


def test_an_empty_region_changes_nothing_and_a_full_one_is_the_run_without_it(kind):
    source, result = paint({"level:0": "light"})
    assert np.array_equal(result, source)
    _, result = paint({"level": "light", "rest": "dark"}, source)
    assert (result == LIGHT).all()


def test_regions_are_feathered_and_protected():
    _, result = paint({"left": "dark", "rest": "white"}, mask={"feather": 4})
    row = result[0, :, 0].astype(int)
    assert row[0] == DARK and row[-1] == 255 and DARK < row[7] <= row[8] < 255
    source, result = paint({"left": "dark", "rest": "light"}, mask={"protect": "column:3:1"})
    assert np.array_equal(result[:, 3], source[:, 3]) and (result[:, 4:8] == DARK).all()


# -- a stylizer of its own ---------------------------------------------------------------------


def test_a_preset_gives_each_region_a_stylizer_and_options_of_its_own(plugins):
    Image.fromarray(np.repeat([[255] * 4 + [0] * 12], 8, 0).astype(np.uint8)).save("m.png")
    Path("p.toml").write_text(
        '[stylizer]\nstyle = "light"\n'
        '[region.hero]\nmask = "./m.png"\nkeep = true\n'
        '[region.left]\nuse = "negative"\nstrength = 0.5\n'
        '[region.rest]\n'
    )  # fmt: skip
    source, result = paint({}, preset="p.toml")
    assert np.array_equal(result[:, :4], source[:, :4])
    middle = source[:, 4:8].astype(float)
    assert np.abs(result[:, 4:8] - (middle + (255 - 2 * middle) / 2)).max() <= 1
    assert (result[:, 8:] == LIGHT).all()
    _, other = paint({"rest": "dark", "left": "keep"}, source, preset="p.toml")
    assert (other[:, 8:] == DARK).all() and np.array_equal(other[:, :8], source[:, :8])


def test_options_of_regions_hold_there_alone():
    source, result = paint({"left": {"style": "dark", "keep_colors": True}, "rest": "dark"})
    assert (result[:, 8:] == DARK).all()
    assert len(np.unique(result[:, :8].reshape(-1, 3) - source[:, :8].reshape(-1, 3), axis=0)) > 1
    two = {"style": ["black:0.5", "white:0.5"]}
    _, result = paint({"left": two, "rest": "dark"}, source)
    assert np.abs(result[:, :8] - 127.5).max() <= 1, "a blend in one of them"


def test_stylizers_of_different_scales_are_refused(plugins, monkeypatch):
    monkeypatch.setattr(Paint, "caps", Caps(scale=2))
    regions = {"left": {"use": "negative"}, "rest": "dark"}
    with pytest.raises(UsageError, match="must be of one scale, but negative makes it 1 times"):
        paint(regions)


def test_results_are_named_by_the_styles_of_their_regions():
    Path("in").mkdir()
    np.save("in/a.npy", array(8, W))
    tables = {"region": {"left": "dark", "right": "keep", "rest": "light"},
              "output": {"name": "{style}"}}  # fmt: skip
    stylepipe.convert("in", "out", settings=tables, plugins=Plugins(["mask_toys"]))
    assert [path.name for path in Path("out").glob("*.npy")] == ["dark+light.npy"]


def test_how_many_styles_a_region_takes_is_checked(monkeypatch):
    monkeypatch.setattr(Paint, "caps", Caps(max_styles=1))
    two = {"style": ["dark", "light"]}
    with pytest.raises(UsageError, match="'fast' takes at most 1 style at once, not 2"):
        paint({"left": two, "rest": "dark"})


# -- settings ----------------------------------------------------------------------------------


def test_regions_can_be_shown_and_read_again(plugins, capsys):
    regions = {"column:3": "keep", "left": "dark:0.5", "rest": {"use": "negative", "wait": 0.0}}
    tables = {"region": regions, "mask": {"wide": 2, "protect": "right:0.5"}}
    settings = resolve(plugins, "default", tables)
    described = settings.describe()
    described["stylizer"].pop("style")  # asked for like this it would paint nothing
    again = resolve(plugins, "default", described)
    assert again.describe() == settings.describe()
    assert settings_fingerprint(again, "full") == settings_fingerprint(settings, "full")
    Path("p.toml").write_text('[region.left]\nstyle = "dark"\n[region."column:3"]\nkeep = true')
    assert main.run(["--plugin", "mask_toys", "presets", "show", "p.toml", "--resolved"]) == 0
    shown = capsys.readouterr().out
    assert '[region."left"]' in shown and '[region."column:3"]' in shown
    Path("saved.toml").write_text(shown)
    assert resolve(plugins, "saved.toml").describe() == resolve(plugins, "p.toml").describe()


def test_every_part_of_a_region_makes_another_result(plugins):
    several = [
        {"left": "dark"}, {"right": "dark"}, {"left": "light"}, {"left": "dark:0.5"},
        {"left": "dark", "rest": "keep"}, {"left": "dark", "rest": "light"},
        {"left": "keep", "rest": "dark"}, {"left+right": "dark"}, {"column:1": "dark"},
        {"left": {"use": "negative"}}, {"left": "dark", "right": "light"},
        {"right": "light", "left": "dark"},
    ]  # fmt: skip
    prints = {
        settings_fingerprint(resolve(plugins, "default", {"region": r}), "full") for r in several
    }
    assert len(prints) == len(several)


def test_flags_set_and_environment_name_regions(plugins, capsys):
    Path("in").mkdir()
    np.save("in/a.npy", array(8, W))
    args = ["run", "--plugin", "mask_toys", "in", "-o"]
    flags = ["--region", "column:3=white", "--region", "left=dark", "--mask-wide", "2"]
    assert main.run([*args, "one", *flags, "--set", "region.rest=light"]) == 0
    result = np.load("one/a.npy")
    assert (result[:, 3:5] == 255).all() and (result[:, 5:8] == DARK).all()
    assert (result[:, 8:] == LIGHT).all()
    env = {"STYLEPIPE_REGION_LEFT": "dark:0.5"}
    assert resolve(plugins, "default", env=env).regions[0].strength == 0.5


def test_pictures_in_memory_have_regions(plugins):
    picture = array(8, W)
    regions = {"region": {"left": "dark", "rest": "keep"}}
    with stylepipe.open(settings=regions, device="cpu", plugins=plugins) as painter:
        result = painter.paint(picture)
        with pytest.raises(UsageError, match="this session has regions"):
            painter.paint(picture, mask=np.ones((8, W), bool))
    assert (result[:, :8] == DARK).all() and np.array_equal(result[:, 8:], picture[:, 8:])
    Image.new("L", (W, 8)).save("m.png")
    with pytest.raises(UsageError, match=r"\[mask\] files looks for a mask by the name"):
        stylepipe.open(settings={"region": {"m.png": "dark"}}, plugins=plugins)
