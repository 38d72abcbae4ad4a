"""A loss is one file: registered, it is a flag, a preset key, a column of losses, and has room."""

import csv
import pickle
from pathlib import Path
from typing import Any

import pytest
import tinyencoder
from stylepipe_plugins.gatys import GatysStylizer
from tinyencoder import STYLE, read, save

from stylepipe.cli import main
from stylepipe.nst.budget import NotEnoughMemory
from stylepipe.nst.gatys import Gatys
from stylepipe.nst.paintings import Painting
from stylepipe.nst.recipe import Recipe
from stylepipe.nst.terms import FeatureTerm, PictureTerm, losses, register, registry
from stylepipe.nst.terms.style import Style

GRAY = '''
from stylepipe import hookimpl
from stylepipe.nst.terms import PictureTerm, register


@register
class Gray(PictureTerm):
    """Mean squared distance of the colors to gray."""

    name = "gray"
    help = "Weight of grayness."

    def __init__(self, weight):
        self.weight = weight

    @classmethod
    def build(cls, inputs, weight):
        return cls(weight)

    def part(self, strip):
        own = strip.own()
        spread = (own - own.mean(dim=1, keepdim=True)).square().mean(dim=(1, 2, 3))
        return spread * (strip.rows[1] - strip.rows[0]) / strip.height


@hookimpl
def stylepipe_components():
    return []
'''


@pytest.fixture(autouse=True)
def registered_again_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))
    monkeypatch.setattr(GatysStylizer, "Options", GatysStylizer.Options)


@pytest.fixture
def gatys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command with the plugin; returns exit code, stdout and stderr."""
    (tmp_path / "gray.py").write_text(GRAY)
    tinyencoder.encoder_file(tmp_path)
    save(tmp_path / "painting.png", 1 - tinyencoder.picture(80, 72, 2) ** 2)
    save(tmp_path / "photo.png", tinyencoder.picture(64, 72, 1))

    def call(*words: object) -> tuple[int, str, str]:
        code = main.run(["--plugin", str(tmp_path / "gray.py"), "gatys", *map(str, words)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def test_a_loss_in_one_file_is_painted_with(gatys: Any, tmp_path: Path) -> None:
    colors = []
    for number, flags in enumerate(
        ((), ("--gray-weight", 50), ("--set", "stylizer.gray_weight=50"))
    ):
        out = tmp_path / f"out{number}.png"
        code, _, err = gatys(
            tmp_path / "photo.png", "-o", out, "--style", tmp_path / "painting.png", "--steps", 4,
            "--encoder-weights", tmp_path / "tiny.safetensors", "--learning-rate", 0.05,
            "--trace", tmp_path / f"losses{number}", "--device", "cpu", *flags,
        )  # fmt: skip
        assert code == 0, err
        colors.append(read(out).std(axis=2).mean())
    assert colors[1] < 0.9 * colors[0] and colors[2] == colors[1]
    for number, there in ((0, False), (1, True)):
        (table,) = (tmp_path / f"losses{number}").rglob("loss.csv")
        with table.open() as file:
            rows = list(csv.DictReader(file))
        assert ("gray" in rows[0]) == there
    assert float(rows[-1]["gray"]) < float(rows[0]["gray"])


def test_a_loss_in_one_file_is_explained(gatys: Any) -> None:
    code, out, _ = gatys("--help")
    assert code == 0
    assert "--gray-weight" in out and "Weight of grayness." in out


def test_options_travel_to_other_processes() -> None:
    options = GatysStylizer.Options.build({"steps": 7, "tv_weight": 0.5})
    assert pickle.loads(pickle.dumps(options)) == options


def test_the_memory_of_a_loss_counts() -> None:
    def needed() -> int:
        photo = tinyencoder.picture(40, 56, 1)
        recipe = Recipe({"relu3_1": 1.0}, STYLE)
        with pytest.raises(NotEnoughMemory) as caught:
            Gatys(tinyencoder.encoder(), [Painting(photo)], recipe, 0).paint(photo)
        return caught.value.needed

    before = needed()

    @register
    class Heavy(Style):
        name = "heavy"
        default = 1.0

        @classmethod
        def nbytes(cls, layers: Any, room: Any) -> int:
            return 5 << 30

    assert needed() == before + (5 << 30)


@pytest.mark.parametrize(
    ("base", "changes", "words"),
    [
        (Style, {"name": "tv"}, "the name 'tv' is that of stylepipe.nst.terms.smooth"),
        (Style, {"name": "two words"}, "its name must be lower-case letters, digits and _"),
        (Style, {"name": "other", "default": -1.0}, "its default must be 0 or more"),
        (Style, {"name": "other", "default": "1"}, "its default must be 0 or more"),
        (PictureTerm, {"name": "other"}, "it lacks build, part"),
        (FeatureTerm, {"name": "other"}, "it derives from none of ContentTerm, StyleTerm"),
    ],
)
def test_what_is_no_loss_is_refused_and_harms_no_other(
    base: type[Any], changes: dict[str, Any], words: str
) -> None:
    before = losses()
    with pytest.raises(ValueError, match=f"Other is no loss: {words}"):
        register(type("Other", (base,), changes))
    assert losses() == before
    assert [term.name for term in before] == [
        *("content", "perceptual", "style", "histogram", "patches", "target", "temporal", "tv"),
        *("laplacian", "photorealistic"),
    ]
