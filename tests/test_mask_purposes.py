"""One masker for several purposes, and what is said of masks that come out empty."""

from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import array
from stylepipe_plugins.masks.planes import PlaneMasker

import stylepipe
from stylepipe import Masker, Options, hookimpl, option
from stylepipe.cli import main
from stylepipe.plugins import Plugins
from stylepipe.report import Report

W = 16
PLUGINS = ["mask_toys", __name__]
CALLS: list[str] = []


class Counted(Masker):
    """The first columns; counts how often it is opened, closed and asked."""

    name, argument = "counted", "columns"

    class Options(Options):
        columns: int = option(4, "How many.", min=0)

    def open(self, context):
        CALLS.append("open")

    def close(self):
        CALLS.append("close")

    def mask(self, batch, frames):
        CALLS.append("mask")
        mask = torch.zeros_like(batch.images[:, :1])
        mask[..., : self.options.columns] = 1
        return mask


class Nobody(PlaneMasker):
    """Finds nobody."""

    name, nothing = "nobody", "there is nobody in it"

    def planes(self, item, frame):
        return np.zeros((1, *frame.pixels.shape[:2]), np.float32)


@hookimpl
def stylepipe_components():
    return [Counted, Nobody]


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    """The toys only, and one picture."""
    monkeypatch.setattr("stylepipe.plugins.entry_points", lambda group: [])
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    np.save("in/a.npy", array(8, W))
    CALLS.clear()


def paint(frames=1, **tables):
    """Convert a picture, or a film, and return its first row."""
    if frames > 1:
        np.save("in/a.npy", np.stack([array(8, W)] * frames))
    done = stylepipe.convert("in", "out", settings=tables, plugins=Plugins(PLUGINS), device="cpu")
    assert not done.failures, done.failures
    return np.load("out/a.npy").reshape(-1, 8, W, 3)[0, 0, :, 0].tolist()


# -- named more than once ------------------------------------------------------------------------


def test_a_masker_named_in_several_regions_is_asked_once_a_picture():
    region = {
        "counted": {"style": "dark"},
        "left": {"style": "light", "mask": "left+counted"},
        "rest": {"style": "starry-night"},
    }
    assert paint(region=region) == [51] * 4 + [204] * 4 + [102] * 8
    assert CALLS == ["open", "mask", "close"]


def test_a_masker_of_mask_and_protect_is_asked_once_a_frame():
    mask = {"use": "counted+column:9", "protect": "counted:1"}
    row = paint(3, mask=mask, stylizer={"style": "white"}, temporal={"use": "none"})
    source = array(8, W)[0, :, 0].tolist()
    assert row == [*source[:9], 255, *source[10:]]
    assert CALLS.count("open") == CALLS.count("close") == 1
    assert CALLS.count("mask") == 3


def test_with_another_argument_it_is_another_mask():
    mask = {"use": "counted:6", "protect": "counted:2:1"}
    source = array(8, W)[0, :, 0].tolist()
    row = paint(mask=mask, stylizer={"style": "white"})
    assert row == [*source[:2], *[255] * 4, *source[6:]]
    assert CALLS.count("mask") == 2


# -- nothing found -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"mask": {"use": "nobody"}}, "so nothing of it is painted"),
        ({"mask": {"use": "nobody", "invert": True}}, "so all of it is painted"),
        ({"mask": {"use": "!nobody"}}, "so all of it is painted"),
        ({"mask": {"use": "!nobody", "invert": True}}, "so nothing of it is painted"),
        ({"mask": {"protect": "nobody"}}, "so nothing of it is protected"),
        ({"mask": {"use": "nobody+left"}}, "so the mask is empty"),
        ({"mask": {"use": "nobody", "protect": "nobody"}}, "so the mask is empty"),
        ({"region": {"nobody": "keep", "rest": "dark"}}, "so region 'nobody' is empty"),
    ],
)
def test_what_follows_where_nothing_is_found_is_said(tables, said, capsys):
    if "region" not in tables:
        tables = {**tables, "stylizer": {"style": "dark"}}
    done = stylepipe.convert("in", "out", settings=tables, plugins=Plugins(PLUGINS), device="cpu",
                             report=Report())  # fmt: skip
    assert not done.failures
    assert f"a.npy: there is nobody in it, {said}\n" in capsys.readouterr().err


# -- the command line ----------------------------------------------------------------------------


def run(*args, plugins=PLUGINS):
    return main.run([*args, *(word for name in plugins for word in ("--plugin", name))])


def test_the_regions_of_a_preset_are_dropped_for_a_mask_of_the_users(capsys):
    Path("two.toml").write_text('[region.left]\nstyle = "dark"\n[region.rest]\nstyle = "light"\n')
    args = ["run", "in", "-o", "out", "--preset", "two.toml", "--mask", "right"]
    assert run(*args) == 2
    error = capsys.readouterr().err
    assert "two.toml" in error and "--region none drops the regions" in error
    assert run(*args, "--region", "none", "--style", "white") == 0
    painted = np.load("out/a.npy")
    assert (painted[:, W // 2 :] == 255).all()
    assert np.array_equal(painted[:, : W // 2], array(8, W)[:, : W // 2])


def test_regions_after_none_stand_alone():
    Path("two.toml").write_text('[region.left]\nstyle = "dark"\n[region.rest]\nstyle = "light"\n')
    args = ["run", "in", "-o", "out", "--preset", "two.toml", "--region", "none"]
    assert run(*args, "--region", "right=white") == 0
    assert np.array_equal(np.load("out/a.npy")[:, : W // 2], array(8, W)[:, : W // 2])


@pytest.mark.parametrize(
    ("word", "meant"), [("skies", "sky"), ("face", "faces"), ("persons", "person")]
)
def test_of_a_plural_the_singular_is_meant(word, meant, capsys):
    known = "stylepipe_plugins.mattes", "stylepipe_plugins.masks", "mask_toys"
    known = [name for name in known if name != "stylepipe_plugins.masks"]
    assert run("run", "in", "-o", "out", "--mask", word, plugins=known) == 2
    assert f"(did you mean {meant!r}?)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "cursor", "found"),
    [
        ("--region left=da", 3, ["left=dark"]),
        ("--region left=ke", 3, ["left=keep"]),
        ("--region re", 3, ["rest"]),
        ("--region left = da", 5, ["dark"]),  # as bash parts it
        ("--region left =", 4, ["keep", "starry-night", "black", "dark", "light", "white"]),
        ("--style = da", 4, ["dark"]),
    ],
)
def test_styles_of_regions_are_completed(words, cursor, found, monkeypatch, capsys):
    plugin = "--plugin mask_toys"
    monkeypatch.setenv("COMP_WORDS", f"stylepipe run {plugin} {words}")
    monkeypatch.setenv("COMP_CWORD", str(cursor + 2))
    monkeypatch.setenv("_STYLEPIPE_COMPLETE", "bash_complete")
    with pytest.raises(SystemExit):
        main.run(["run"])
    assert capsys.readouterr().out.split() == [f"plain,{word}" for word in found]
