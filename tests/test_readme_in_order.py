"""The README to the letter: all its commands, one after the other, in one folder."""

import re
import shlex
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import pytest
from PIL import Image
from stylepipe_plugins.fast.training import FastTraining
from test_docs import (
    DUOTONE,
    PAINTED,
    ROOT,
    losses_as_before,  # noqa: F401
    text,
)
from test_docs import PAGES as DOCUMENTED

import stylepipe
from stylepipe.cli import main
from stylepipe.paint import Copier
from stylepipe.plugins import Plugins

SMALL = 72
"""Pixels of the longer side of pictures that networks paint for a test."""


def steps(page: str) -> Iterator[list[str] | str]:
    """The arguments of each call of the program, and the pieces of Python, as they come."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    for language, block in blocks:
        if language == "python" and block.startswith("import stylepipe"):
            yield block
        for line in block.replace("\\\n", " ").splitlines() if language == "sh" else ():
            for call in shlex.join(shlex.split(line, comments=True)).split(" '&&' "):
                program, *args = shlex.split(call) or [""]
                # Which look, and take long, or need a camera or a browser.
                if program == "stylepipe" and args[0] not in ("doctor", "live", "ui"):
                    yield args


def follow(page: str) -> None:
    """Do all that the page says, in the current folder; whatever fails is named."""
    outputs = set()
    for step in steps(page):
        if isinstance(step, str):
            exec(compile(step, page, "exec"), {"__name__": "readme"})
            continue
        more = ["--plugin", "stylepipe_duotone"] if "duotone" in " ".join(step) else []
        if step[:2] == ["train", "fast"] and "--epochs" not in step:
            more += ["--steps", "1"]
        assert main.run([*step, *more]) == 0, " ".join(step)
        for before, value in pairwise(step):
            if before in ("-o", "--output"):
                outputs.add(value)
                place = Path(value).parent if "%" in value else Path(value)
                assert place.exists(), value
    assert outputs


@pytest.fixture(scope="module")
def small_clone(tmp_path_factory):
    """A clone with small pictures."""
    clone = tmp_path_factory.mktemp("clone")
    for entry in ("docs", "examples", "presets"):
        shutil.copytree(ROOT / entry, clone / entry)
    for path in [*clone.rglob("*.jpg"), *clone.rglob("*.png")]:
        with Image.open(path) as picture:
            exif, size = picture.getexif(), picture.size
            flat = "masks" in path.parts  # a map of regions stays one: no colors in between
            how = Image.Resampling.NEAREST if flat else Image.Resampling.BICUBIC
            small = picture.resize([max(1, side * SMALL // max(size)) for side in size], how)
            small.save(path, exif=exif)
    return clone


@pytest.fixture
def folder(small_clone, tmp_path, monkeypatch, make_clip, page):
    """That clone, with small clips where the page has any."""
    shutil.copytree(small_clone, tmp_path, dirs_exist_ok=True)
    for name in ("clip", "cut") if ".mp4" in text(page) else ():
        film = make_clip(f"examples/{name}.mp4", frames=12, rate=4, sound=True, cut=6)
        (tmp_path / "drawn" / "clip").mkdir(parents=True, exist_ok=True)
        for painted in PAINTED:
            cv2.imwrite(str(tmp_path / painted), cv2.VideoCapture(str(film)).read()[1])
    monkeypatch.setattr("click.get_app_dir", lambda name: str(tmp_path / "config"))
    monkeypatch.syspath_prepend(str(DUOTONE))
    monkeypatch.chdir(tmp_path)
    return tmp_path


PAGES = [
    page for page in DOCUMENTED if re.search("^stylepipe (?!ui).* -o ", text(page), re.MULTILINE)
]


@pytest.fixture
def no_networks(monkeypatch):
    """What would be painted is copied, and what would be trained is bundled already."""
    for cls in Plugins().components(stylepipe.Stylizer).values():
        for method in ("open", "prepare"):
            monkeypatch.setattr(cls, method, lambda self, given: None)
    monkeypatch.setattr("stylepipe.paint.Painter", lambda *given: Copier())
    bundled = min((ROOT / "plugins/fast/styles").rglob("*.safetensors"))

    def train(self, context):
        self.options.output.parent.mkdir(parents=True, exist_ok=True)  # as trainings do
        shutil.copy(bundled, self.options.output)

    monkeypatch.setattr(FastTraining, "train", train)


@pytest.mark.parametrize("page", PAGES)
def test_no_command_is_in_the_way_of_another(page, folder, no_networks):
    follow(page)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", PAGES)
def test_all_is_painted_as_the_page_says(page, folder):
    follow(page)
    jpegs = [p for p in folder.rglob("*.jpg") if p.is_file()]  # a trace is a folder of that name
    results = [p for p in jpegs if "examples" not in p.parts]
    assert results or page != "README.md"
    for path in results:
        assert cv2.imread(str(path)) is not None, path
