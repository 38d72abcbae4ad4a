"""Both PyAV 18 and 19: their rationals, their texts; and all of media without torch."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import convert, make_clip, picture, read
from PIL import Image

from stylepipe.media.pyav import base_of, fraction, printable


class Rational:
    """What PyAV 19 hands out: no Fraction, and false unless it is a number other than 0."""

    def __init__(self, numerator: int, denominator: int) -> None:
        self.numerator, self.denominator = numerator, denominator

    def __bool__(self) -> bool:
        return self.numerator != 0 and self.denominator != 0


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, None), (Fraction(0), None), (Fraction(30000, 1001), Fraction(30000, 1001)),
        (Rational(0, 1), None), (Rational(0, 0), None), (Rational(1, 0), None),
        (Rational(1, 90000), Fraction(1, 90000)), (25, Fraction(25)),
    ],
)  # fmt: skip
def test_any_rational_becomes_a_fraction(value, wanted):
    found = fraction(value)
    assert found == wanted and type(found) is type(wanted)


def test_what_the_installed_pyav_gives_becomes_a_fraction(tmp_path):
    path = make_clip(tmp_path / "in.mp4", (0, 40), time_base=Fraction(1, 90000))
    with av.open(str(path)) as film:
        video = film.streams.video[0]
        assert type(base_of(video)) is Fraction and base_of(video) == Fraction(1, 90000)
        assert fraction(video.sample_aspect_ratio) in (None, 1)
        assert type(fraction(video.average_rate)) is Fraction
    assert type(read(path)[0].rate) is Fraction


def odd_text(path: Path) -> Path:
    """A film whose title and language are Latin-1 and no UTF-8."""
    make_clip(path, (0, 40, 80), sound=True, metadata={"title": "Cafe#", "comment": "plain"})
    data = path.read_bytes()
    assert data.count(b"Cafe#") == 1
    path.write_bytes(data.replace(b"Cafe#", b"Caf\xe9!"))
    return path


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_texts_that_are_no_utf8_pass_through_as_they_are(tmp_path, suffix):
    source = odd_text(tmp_path / "in.mkv")
    convert(source, tmp_path / f"out{suffix}")
    assert b"Caf\xe9!" in (tmp_path / f"out{suffix}").read_bytes()
    assert len(read(tmp_path / f"out{suffix}")[1]) == 3


def test_such_texts_can_be_printed():
    assert printable("Caf\udce9") == "Caf\ufffd"
    assert printable("Café") == "Café"


WITHOUT_TORCH = """
import importlib, pkgutil, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
import stylepipe.media
for module in pkgutil.iter_modules(stylepipe.media.__path__, "stylepipe.media."):
    importlib.import_module(module.name)
from stylepipe.cli import main
sys.exit(main.run(["probe", "--json", *sys.argv[1:]]))
"""


def test_media_and_probe_need_no_torch(tmp_path):
    film = make_clip(tmp_path / "in.mp4", (0, 40, 80))
    photo = tmp_path / "in.jpg"
    Image.fromarray(picture(0)).save(photo)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, film, photo], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert '"codec": "h264"' in done.stdout and '"format": "jpeg"' in done.stdout
