"""Which reader and which writer gets a file: those of others before ours, or as ``use`` says."""

from pathlib import Path

import pytest
from PIL import Image

from stylepipe import UsageError
from stylepipe.cli import main
from stylepipe.plugins import Plugins
from stylepipe.presets import resolve

POSTERIZE = str(Path(__file__).parents[1] / "examples" / "posterize.py")
MINE = """
import numpy as np
from stylepipe import Frame, Info, ItemError, Reader, Sink, Writer, hookimpl

class MyReader(Reader):
    "Sees every PNG in red, but for large ones, which it leaves to others."
    name, kind, patterns = "my-png", "image", (".png",)

    def probe(self, path):
        return Info("image", "mine", 4, 3) if path.stat().st_size < 1000 else None

    def frames(self, item, info, start=0):
        yield Frame(np.full((3, 4, 3), (255, 0, 0), np.uint8))

class MySink(Sink):
    def __init__(self, path):
        self.path = path

    def write(self, frame):
        self.path.write_text(f"mine {frame.pixels.shape} {frame.pixels[0, 0]}")

    def close(self):
        pass

class MyWriter(Writer):
    "Writes down the first pixel."
    name, kind, patterns = "my-jpg", "image", (".mine", ".jpg")

    def open_sink(self, item, info, path, work):
        return MySink(path)

@hookimpl
def stylepipe_components():
    return [MyReader, MyWriter]
"""


@pytest.fixture
def mine(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in ("small.png", "photo.jpg", "many.mpo"):
        Image.new("RGB", (8, 8), (0, 200, 0)).save(f"in/{name}")
    Path("mine.py").write_text(MINE)
    return "mine.py"


def run(plugin: str, *more: str) -> int:
    args = ["posterize", "in", "-o", "out", "--plugin", POSTERIZE, "--plugin", f"./{plugin}"]
    return main.run([*args, "-d", "cpu", *more])


def test_readers_and_writers_of_others_win_over_ours(mine):
    assert run(mine) == 0
    assert Path("out/photo.jpg").read_text().startswith("mine (8, 8, 3)")
    with Image.open("out/small.png") as small:
        assert small.size == (4, 3) and small.getpixel((0, 0)) == (255, 0, 0)
    assert Path("out/many.jpg").exists(), "what has no writer of its suffix gets ours, not .mine"


def test_what_a_reader_of_others_leaves_goes_to_ours(mine):
    Image.effect_noise((64, 64), 99).convert("RGB").save("in/large.png")
    assert run(mine) == 0
    with Image.open("out/large.png") as large:
        assert large.size == (64, 64)


def test_use_takes_a_list_in_the_order_they_are_asked(mine):
    assert run(mine, "--set", "output.use=image,my-jpg", "--set", "input.use=image") == 0
    with Image.open("out/photo.jpg") as photo, Image.open("out/small.png") as small:
        assert photo.size == small.size == (8, 8)
    Path("list.toml").write_text('[output]\nuse = ["my-jpg", "image"]\n[input]\nuse = ["image"]')
    settings = resolve(Plugins([f"./{mine}"]), "list.toml", {"output": {"png_level": 7}})
    assert [w.name for w in settings.writers] == ["my-jpg", "image"]
    assert settings.describe()["input"]["use"] == ["image"]
    assert settings.writers[1].options.png_level == 7


@pytest.mark.parametrize(
    ("table", "use", "words"),
    [
        ("output", ["image", "image"], "takes each name once"),
        ("output", [], "takes each name once"),
        ("input", ["image", 3], "takes one name, or a list of names, not"),
        ("input", "image,vidoe", "unknown reader 'vidoe'"),
        ("mask", ["files", "alpha"], "takes one name, not"),
    ],
)
def test_a_use_that_means_nothing_is_refused(table, use, words):
    with pytest.raises(UsageError, match=words):
        resolve(Plugins(), "default", {table: {"use": use}})
