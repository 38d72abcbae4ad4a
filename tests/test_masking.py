"""Mask expressions, pictures without a mask, and what is protected."""

from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import array
from mask_toys import Paint
from PIL import Image

import stylepipe
from stylepipe import UsageError
from stylepipe.cli import main
from stylepipe.color import from_linear, to_linear
from stylepipe.fingerprints import settings_fingerprint
from stylepipe.masking import amount_of
from stylepipe.plugins import Plugins
from stylepipe.presets import explain, resolve
from stylepipe.report import Report

TOYS = "mask_toys"
NEGATIVE = {"stylizer": {"use": "negative"}}
W = 16


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    """The toys only, in an empty folder."""
    monkeypatch.setattr("stylepipe.plugins.entry_points", lambda group: [])
    monkeypatch.chdir(tmp_path)
    Paint.painted = 0


@pytest.fixture
def plugins():
    return Plugins([TOYS])


def paint(mask, source=None, name="a.npy", report=None, **more):
    """Convert one picture by the settings of [mask], and return source and result."""
    source = array(8, W) if source is None else source
    Path("in").mkdir(exist_ok=True)
    np.save(Path("in", name), source)
    out = f"out{len(list(Path().glob('out*')))}"
    tables = {**NEGATIVE, "mask": mask, **more}
    done = stylepipe.convert("in", out, settings=tables, device="cpu", plugins=Plugins([TOYS]),
                             report=report)  # fmt: skip
    assert not done.failures, done.failures
    return source, np.load(Path(out, name))


def painted_columns(source, result):
    """Where the result is the negative; elsewhere it must be the source, bit for bit."""
    columns = [x for x in range(W) if np.array_equal(result[..., x, :], 255 - source[..., x, :])]
    kept = [x for x in range(W) if x not in columns]
    assert np.array_equal(result[..., kept, :], source[..., kept, :])
    return columns


# -- expressions: what is refused --------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lfet", r"'lfet' is neither a file or folder that exists nor a masker \(did you mean "
                 r"'left'\?\); known maskers: files, left, right"),
        ("left+!rihgt", r"'rihgt' is neither .*did you mean 'right'"),
        ("colum:a", r"'colum:a' is neither .*did you mean 'column'"),
        ("left:a", "masker 'left' takes no argument; write left"),
        ("column:", "write an argument after the colon, or no colon"),
        ("column:x", r"at takes a whole number, not 'x'"),
        ("left+", "takes masks joined by"),
        ("!", "takes masks joined by"),
        ("", "takes masks joined by"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["use", "protect"])
def test_what_is_no_mask_is_refused_in_a_sentence(plugins, key, text, words):
    with pytest.raises(UsageError, match=words) as caught:
        resolve(plugins, "default", NEGATIVE | {"mask": {key: text}})
    assert "\n" not in str(caught.value)


def test_an_argument_that_is_given_twice_is_refused(plugins):
    twice = {"use": "column:1+column:2", "at": 3}
    with pytest.raises(UsageError, match=r"mask.at was set .*gives '1'; leave one of them out"):
        resolve(plugins, "default", NEGATIVE | {"mask": twice})


def test_options_of_maskers_that_are_not_named_are_refused(plugins):
    with pytest.raises(UsageError, match="unknown option 'wide' of left"):
        resolve(plugins, "default", NEGATIVE | {"mask": {"use": "left+!right", "wide": 2}})


def test_a_damaged_part_is_named():
    with Image.new("L", (3, 8)) as image:
        image.save("m.png")
    Path("in").mkdir()
    np.save("in/a.npy", array(8, W))
    tables = NEGATIVE | {"mask": {"use": "left+m.png"}}
    report = stylepipe.convert("in", "out", settings=tables, plugins=Plugins([TOYS]))
    ((_, why),) = report.failures
    assert "m.png is 3x8, but the picture 16x8" in why


# -- expressions: what they mean ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("left", range(8)),
        ("!left", range(8, 16)),
        ("left+right", range(16)),
        ("!left+!right", range(16)),
        ("column:3", [3]),
        ("column:3+column:5", [3, 5]),
        ("right + column:0", [0, *range(8, 16)]),
        ("!right+column:9+column:11", [*range(8), 9, 11]),
    ],
)
def test_terms_are_joined_and_turned_round(text, columns):
    assert painted_columns(*paint({"use": text})) == list(columns)


def test_options_hold_for_all_terms_of_a_masker():
    assert painted_columns(*paint({"use": "column:3+column:8", "wide": 2})) == [3, 4, 8, 9]
    both = {"use": "column:3+!level", "wide": 3, "value": 0.0}
    assert painted_columns(*paint(both)) == list(range(16))
    assert painted_columns(*paint({"use": "column+column:8", "at": 1})) == [1, 8]


def test_paths_are_terms_and_a_masker_by_its_bare_name_is_no_path():
    mask = np.zeros((8, W), np.uint8)
    mask[:, :4] = 255
    for name in ("a+b.png", "left", "other"):
        Image.fromarray(mask).save(name, "png")
    assert painted_columns(*paint({"use": "a+b.png"})) == [0, 1, 2, 3]
    assert painted_columns(*paint({"use": "!a+b.png"})) == list(range(4, 16))
    assert painted_columns(*paint({"use": "column:9+a+b.png"})) == [0, 1, 2, 3, 9]
    assert painted_columns(*paint({"use": "left"})) == list(range(8)), "results may be called so"
    assert painted_columns(*paint({"use": "./left"})) == [0, 1, 2, 3]


def test_a_preset_names_paths_beside_itself(plugins):
    Path("presets").mkdir()
    for name in ("m.png", "n.png"):
        Image.new("L", (W, 8), 255).save(Path("presets", name))
    Path("presets/mine.toml").write_text(
        '[stylizer]\nuse = "negative"\n[mask]\nuse = "left+!./m.png"\nprotect = "./n.png:0.5"'
    )
    settings = resolve(plugins, "presets/mine.toml")
    named = [str(m.options.path) for m, _ in settings.maskers if m.name == "files"]
    assert named == ["presets/m.png", "presets/n.png"]


def test_another_mask_keeps_what_is_done_with_masks_and_options_of_maskers_it_names_too(plugins):
    Path("p.toml").write_text(
        '[stylizer]\nuse = "negative"\n[mask]\nuse = "column:2"\nwide = 3\ninvert = true\n'
        'protect = "left"'
    )
    for use, wide in {"column:5": 3, "column+right": 3, "right": None, "level": 1}.items():
        settings = resolve(plugins, "p.toml", {"mask": {"use": use}})
        assert settings.mask.invert and settings.protection
        found = [getattr(m.options, "wide", None) for m, _ in settings.maskers]
        assert found[0] == wide
    none = resolve(plugins, "p.toml", {"mask": {"use": "none"}})
    assert none.masker is None and none.protection, "what is protected is no mask to paint by"
    assert resolve(plugins, "p.toml", {"mask": {"protect": "none"}}).protection is None


def test_settings_can_be_shown_and_read_again(plugins):
    mask = {"use": "column:3+!level:0.5+right", "wide": 2, "feather": 3, "protect": "column:9:0.2"}
    settings = resolve(plugins, "default", NEGATIVE | {"mask": mask})
    again = resolve(plugins, "default", settings.describe())
    assert again.describe() == settings.describe()
    assert settings_fingerprint(again, "full") == settings_fingerprint(settings, "full")
    assert settings.describe()["mask"] == {
        "use": "column:3+!level:0.5+right", "invert": False, "feather": 3.0, "missing": "fail",
        "protect": "column:9:0.2", "wide": 2, "level_wide": 1, "grow": 0, "shrink": 0,
        "threshold": None, "steady": None, "edges": "auto",
    }  # fmt: skip
    shown = explain(plugins, "default", NEGATIVE | {"mask": {"use": "column:3"}})["mask"]
    assert (shown["at"].value, shown["at"].origin) == (3, "command line")
    assert (shown["wide"].value, shown["wide"].origin) == (1, "default")


def test_every_part_of_an_expression_makes_another_result(plugins):
    masks = [
        {"use": "left"}, {"use": "!left"}, {"use": "left+right"}, {"use": "left+!right"},
        {"use": "column:1"}, {"use": "column:2"}, {"protect": "left"}, {"protect": "left:0.5"},
        {"use": "right", "protect": "left"}, {"use": "left", "missing": "keep"}, {},
        {"use": "left", "feather": 2},
    ]  # fmt: skip
    prints = [
        settings_fingerprint(resolve(plugins, "default", NEGATIVE | {"mask": mask}), "full")
        for mask in masks
    ]
    assert len(set(prints)) == len(masks)
    for name in ("one.png", "two.png"):  # what a file is counts, not what it is called
        Image.new("L", (4, 4), 9).save(name)
    one, two = (
        resolve(plugins, "default", NEGATIVE | {"mask": {"use": f"left+{name}"}})
        for name in ("one.png", "two.png")
    )
    assert settings_fingerprint(one, "full") == settings_fingerprint(two, "full")


def test_flags_help_and_completion_follow_the_expression(capsys, monkeypatch):
    def run(*args):
        code = main.run(["run", "--plugin", TOYS, "--set", "stylizer.use=negative", *args])
        return code, capsys.readouterr()

    _, told = run("--mask", "left+column:3", "--protect", "level", "--help")
    assert "--mask-wide" in told.out and "--mask-value" in told.out
    assert "--mask-level-wide" in told.out
    assert "--mask-at" not in run("--mask", "left", "--help")[1].out
    code, told = run("x", "-o", "o", "--mask", "left+colum:3")
    assert code == 2 and "--mask 'colum:3' is neither" in told.err
    monkeypatch.setenv("COMP_WORDS", f"stylepipe run --plugin {TOYS} --mask left+!co")
    monkeypatch.setenv("COMP_CWORD", "5")
    monkeypatch.setenv("_STYLEPIPE_COMPLETE", "bash_complete")
    with pytest.raises(SystemExit):
        main.run(["run"])
    assert capsys.readouterr().out.split() == ["plain,left+!column"]


# -- no mask for a picture -----------------------------------------------------------------------


@pytest.mark.parametrize("mask", ["absent", "absent+right", "masks"])
def test_a_picture_without_its_mask_fails_is_painted_whole_or_kept(mask, capsys):
    Path("masks").mkdir()
    Image.new("L", (W, 8), 255).save("masks/other.png")
    Path("in").mkdir()
    np.save("in/no.npy", np.stack([array(8, W)] * 3))  # a film
    found = {}
    for rule in ("fail", "paint", "keep"):
        tables = NEGATIVE | {"mask": {"use": mask, "missing": rule, "invert": True}}
        report = stylepipe.convert("in", rule, settings=tables, plugins=Plugins([TOYS]),
                                   report=Report())  # fmt: skip
        told = capsys.readouterr().err
        if rule == "fail":
            ((_, why),) = report.failures
            assert why.startswith("it has no mask") and "--mask-missing paint" in why
            continue
        done = {"paint": "painted whole", "keep": "kept as it is"}[rule]
        assert told.count(f"no.npy: has no mask: {done} (--mask-missing {rule})") == 1
        found[rule] = np.load(Path(rule, "no.npy"))
    source = np.load("in/no.npy")
    assert np.array_equal(found["paint"], 255 - source), "the whole, inverted or not"
    assert np.array_equal(found["keep"], source)


def test_a_dry_run_says_what_becomes_of_pictures_without_a_mask(capsys):
    Path("masks").mkdir()
    Image.new("L", (W, 8), 255).save("masks/other.png")
    Path("in").mkdir()
    np.save("in/a.npy", array(8, W))
    args = ["run", "--plugin", TOYS, "--set", "stylizer.use=negative", "in", "-o", "out", "-n"]
    assert main.run([*args, "--mask", "masks"]) == 1
    assert "it has no mask" in capsys.readouterr().out
    assert main.run([*args, "--mask", "masks", "--mask-missing", "keep"]) == 0
    assert "has no mask: kept as it is" in capsys.readouterr().err


def test_a_rule_for_no_masks_needs_a_mask(plugins):
    with pytest.raises(UsageError, match=r"mask.missing was set .*but no masker was chosen"):
        resolve(plugins, "default", NEGATIVE | {"mask": {"missing": "keep"}})


# -- nothing and everything ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_nothing_is_run_where_the_mask_is_empty(dtype):
    gray = {"stylizer": {"style": "dark"}}
    source, result = paint({"use": "level:0"}, array(8, W, dtype=dtype), **gray)
    assert np.array_equal(result, source) and Paint.painted == 0
    source, result = paint({"use": "level", "invert": True}, array(8, W, dtype=dtype), **gray)
    assert np.array_equal(result, source) and Paint.painted == 0
    assert (paint({"use": "level"}, **gray)[1] == 51).all() and Paint.painted == 1
    film = np.stack([array(8, W)] * 3)
    source, result = paint({"use": "level:0"}, film, **gray)
    assert np.array_equal(result, source) and Paint.painted == 1


def test_a_full_mask_is_the_run_without_one():
    source, whole = paint({})
    assert np.array_equal(paint({"use": "level"}, source)[1], whole)
    assert np.array_equal(paint({"use": "!level:0"}, source)[1], whole)


# -- protection ------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", ["1.5", "-0.1", "nan"])
def test_an_amount_out_of_range_is_refused(plugins, amount):
    with pytest.raises(UsageError, match=r"amount is between 0 and 1, as in left:0.7"):
        resolve(plugins, "default", NEGATIVE | {"mask": {"protect": f"left:{amount}"}})


def test_the_last_number_is_the_amount():
    assert amount_of("left") == ("left", 0.7)
    assert amount_of("left:0.3") == ("left", 0.3)
    assert amount_of("column:1,2:0.3") == ("column:1,2", 0.3)
    assert amount_of("column:1,2") == ("column:1,2", 0.7)
    Path("m:0.5").write_text("")
    assert amount_of("m:0.5") == ("m:0.5", 0.7), "it is a file"


def test_shaping_a_mask_that_is_not_there_is_refused(plugins):
    with pytest.raises(UsageError, match=r"mask.feather was set .*no masker was chosen"):
        resolve(plugins, "default", NEGATIVE | {"mask": {"protect": "left", "feather": 3}})


@pytest.mark.parametrize("film", [False, True])
def test_so_much_of_the_photo_is_kept_and_all_else_is_painted(film):
    source = np.stack([array(8, W)] * 3) if film else array(8, W)
    source, result = paint({"protect": "left:0.75"}, source)
    assert np.array_equal(result[..., 8:, :], 255 - source[..., 8:, :])
    kept = torch.from_numpy(source[..., :8, :] / 255.0)
    light = torch.lerp(to_linear(kept), to_linear(1 - kept), 0.25)
    assert np.abs(result[..., :8, :] - 255 * from_linear(light).numpy()).max() <= 1
    source, result = paint({"protect": "left:1"}, source)
    assert painted_columns(source, result) == list(range(8, 16))
    source, result = paint({"use": "!column:12", "protect": "left:1", "invert": False}, source)
    assert painted_columns(source, result) == [8, 9, 10, 11, 13, 14, 15]
    source, result = paint({"protect": "level:1:0"}, source)
    assert np.array_equal(result, 255 - source)


def test_who_paints_by_masks_is_given_what_is_left(monkeypatch):
    from stylepipe import Caps

    seen = []

    def stylize(self, batch):
        seen.append(batch.masks)
        return batch.images

    monkeypatch.setattr(Paint, "caps", Caps(masks="native"))
    monkeypatch.setattr(Paint, "stylize", stylize)
    gray = {"stylizer": {"style": "dark"}}
    paint({"use": "left", "protect": "column:0:0.25"}, **gray)
    assert seen[0][0, 0, 0].tolist() == [0.75] + [1] * 7 + [0] * 8


def test_a_picture_without_the_mask_that_protects_follows_the_rule():
    source, result = paint({"protect": "absent:1", "missing": "paint"}, name="no.npy")
    assert np.array_equal(result, 255 - source)
    source, result = paint({"protect": "absent:1", "missing": "keep"}, name="no.npy")
    assert np.array_equal(result, source)


# -- from Python ----------------------------------------------------------------------------------


def test_pictures_in_memory_take_expressions_and_protection(plugins):
    picture = array(8, W)
    mask = {"mask": {"use": "!column:3", "protect": "right:1"}}
    with stylepipe.open("negative", settings=mask, device="cpu", plugins=plugins) as painter:
        assert painted_columns(picture, painter.paint(picture)) == [0, 1, 2, 4, 5, 6, 7]
        own = np.zeros((8, W), bool)
        own[:, 4:12] = True
        given = painter.paint(picture, mask=own)
        assert painted_columns(picture, given) == [4, 5, 6, 7], "protected all the same"
    Image.new("L", (W, 8)).save("m.png")
    for key in ("use", "protect"):
        with pytest.raises(UsageError, match=r"\[mask\] files looks for a mask by the name"):
            stylepipe.open("negative", settings={"mask": {key: "left+m.png"}}, plugins=plugins)
