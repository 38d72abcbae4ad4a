"""The mathematics stands alone: one function a loss, errors of its own, and no word of flags."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tinyencoder
import torch
from tinyencoder import STYLE

from stylepipe.nst import losses
from stylepipe.nst.objective import TiledEncoder
from stylepipe.nst.terms import FeatureTerm
from stylepipe.nst.terms.content import Content
from stylepipe.nst.terms.smooth import OutOfRange, TotalVariation
from stylepipe.nst.terms.style import Style

NST = Path(__file__).parents[1] / "stylepipe" / "nst"
FILES = sorted(NST.rglob("*.py"))
PHOTO, OTHER = tinyencoder.picture(40, 56, 1), tinyencoder.picture(40, 56, 2)


def valued(term: FeatureTerm, picture: torch.Tensor) -> torch.Tensor:
    encoder = TiledEncoder(tinyencoder.encoder(), list(term.layers))
    return term.value(encoder.measure(picture, [term])[0])


def test_the_picture_and_the_networks_are_judged_alike() -> None:
    encoder = tinyencoder.encoder()
    seen, wanted = (encoder(p, ["relu2_1"])["relu2_1"] for p in (PHOTO, OTHER))
    content = Content({"relu2_1": wanted}, {"relu2_1": 1.0})
    torch.testing.assert_close(valued(content, PHOTO), losses.content_loss(seen, wanted))
    torch.testing.assert_close(TotalVariation().value(PHOTO), losses.total_variation(PHOTO))
    wide = 2 * PHOTO - 0.5
    torch.testing.assert_close(OutOfRange(1.0).value(wide), losses.range_penalty(wide))
    style = Style({"relu2_1": 1.0})
    encoded = TiledEncoder(encoder, ["relu2_1"])
    style.aim(style.statistics(encoded.measure(OTHER, [style])[0]))
    mean, covariance = losses.moments(wanted)
    root = losses.sqrtm(losses.regularise(covariance, losses.trace(covariance)))
    distance = losses.wasserstein_loss(seen, mean, covariance, root)
    # Over a little more, which keeps flat paintings from being divided by nothing.
    assert valued(style, PHOTO).item() == pytest.approx(distance.item(), rel=0.1)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(NST)))
def test_no_text_of_it_names_a_flag(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)]
    assert not [t for t in texts if isinstance(t, str) and re.search(r"(?<![\w-])--[a-z]", t)]
    assert not re.search(r"\b(Usage|Setup)Error\b", path.read_text(encoding="utf-8"))


def test_what_can_be_asked_for_is_known_without_torch() -> None:
    code = (
        "import sys, stylepipe.nst.recipe as r; from stylepipe.nst.terms import losses; "
        f"r.Recipe({{'relu2_1': 1.0}}, {STYLE!r}); assert losses(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
