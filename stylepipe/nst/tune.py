"""A small, cheap search for weights that suit a photo and its paintings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .gatys import Gatys
from .objective import TiledEncoder
from .optimize import resize
from .recipe import TUNABLE, Recipe
from .terms import layer_weights
from .terms.content import Perceptual
from .terms.style import Style

SIDE = 192
LABEL = 46
"""Pixels under each picture of the sheet, for three lines."""
STEPS = 60
CONTENT = (0.1, 0.25, 0.6, 1.5)
SMOOTH = (1.0, 8.0)
WEAKER = (0.7,)


@dataclass(frozen=True)
class Candidate:
    """A choice, its small picture and its score.

    score: (1 + content) (1 + style), after ArtFID (Wright, Ommer 2022): content is the perceptual
    distance to the photo, style the Wasserstein distance to the painting at full strength over
    that of the photo itself, so that both run from about 0 to 1. Lower is better.
    """

    content_weight: float
    tv_weight: float
    strength: float
    picture: Tensor
    content: float
    style: float

    @property
    def score(self) -> float:
        return (1.0 + self.content) * (1.0 + self.style)

    @property
    def label(self) -> str:
        """What it is, in three lines, by the names of the options."""
        values = [f"{name.replace('_', '-')} {getattr(self, name):g}" for name in TUNABLE]
        return f"{values[0]}\n{', '.join(values[1:])}\nscore {self.score:.3f}"

    def recipe(self, base: Recipe) -> Recipe:
        """A recipe with this choice."""
        return varied(base, {name: getattr(self, name) for name in TUNABLE})


def varied(recipe: Recipe, values: Mapping[str, float]) -> Recipe:
    """A recipe with other values of some of TUNABLE. Raises ValueError for ones out of range."""
    weights = {n.removesuffix("_weight"): v for n, v in values.items() if n.endswith("_weight")}
    strength = values.get("strength", recipe.strength)
    return replace(recipe, weights={**recipe.weights, **weights}, strength=strength)


def search(
    painter: Gatys,
    photo: Tensor,
    regions: Tensor | None,
    *,
    start: Tensor | None = None,
    target: Tensor | None = None,
    vary: Collection[str] = TUNABLE,
    seed: int = 0,
    progress: Callable[[float, str], None] | None = None,
) -> list[Candidate]:
    """Try the grid CONTENT x SMOOTH at the strength of the painter's recipe on a photo of SIDE
    pixels, then the best of them at strengths WEAKER by these factors; return the candidates, best
    first.

    photo: 1 3 H W in [0,1]. regions: 1 K H W or None. start, target: as for Gatys.paint. vary:
    which of TUNABLE to search; the others stay as the recipe has them. progress: receives the share
    done, 0 to 1, and a word. Raises Diverged or ValueError as Gatys.paint does.
    """
    recipe = painter.recipe
    height, width = photo.shape[-2:]
    shrunk = min(1.0, SIDE / min(height, width))
    size = max(1, round(height * shrunk)), max(1, round(width * shrunk))
    small = resize(photo[:1], size)
    quick = replace(recipe, loop=replace(recipe.loop, steps=STEPS))
    judge = _Judge(painter, small, regions)
    found: list[Candidate] = []
    contents = CONTENT if "content_weight" in vary else (recipe.weights["content"],)
    smooths = SMOOTH if "tv_weight" in vary else (recipe.weights["tv"],)
    weaker = WEAKER if "strength" in vary else ()
    total = len(contents) * len(smooths) + len(weaker)

    def attempt(content: float, smooth: float, strength: float) -> None:
        choice = varied(
            quick, {"content_weight": content, "tv_weight": smooth, "strength": strength}
        )
        picture = painter.changed(choice).paint(
            small, regions=regions, start=start, seed=seed, target=target
        )
        found.append(Candidate(content, smooth, strength, picture, *judge(picture)))
        if progress is not None:
            progress(len(found) / total, "tuning")

    for content in contents:
        for smooth in smooths:
            attempt(content, smooth, recipe.strength)
    best = min(found, key=lambda c: c.score)
    for factor in weaker:
        attempt(best.content_weight, best.tv_weight, factor * recipe.strength)
    return sorted(found, key=lambda c: c.score)


class _Judge:
    """Measures a candidate against the photo and against the paintings."""

    def __init__(self, painter: Gatys, small: Tensor, regions: Tensor | None) -> None:
        recipe = painter.recipe
        layers = recipe.style_layers
        only = dict.fromkeys(recipe.weights, 0.0) | {Style.name: 1.0}
        full = replace(
            recipe, strength=1.0, style_loss="wasserstein", loss_scale="relative", weights=only
        )
        self._objective = painter.changed(full).objective(small, regions)
        self._tiled_encoder = TiledEncoder(painter.encoder, list(layers))
        self._content = Perceptual(
            self._tiled_encoder.maps(small, list(layers)), layer_weights(layers)
        )
        self._before = self._style(small)

    def __call__(self, picture: Tensor) -> tuple[float, float]:
        with torch.no_grad():
            sums = self._tiled_encoder.measure(picture, [self._content])
            # Of unrelated features of unit length the squared distance is about 2.
            content = float(self._content.value(sums[0]).mean()) / 2
        return content, self._style(picture) / max(self._before, 1e-6)

    def _style(self, picture: Tensor) -> float:
        values = self._objective.judge(picture)
        return float(values[Style.name].mean())


def sheet(photo: Tensor, candidates: Sequence[Candidate], columns: int = 3) -> Tensor:
    """The photo and the candidates, best first, in rows on white, each above its values: 1 3 H W
    in [0,1]."""
    size = candidates[0].picture.shape[-2], candidates[0].picture.shape[-1]
    cells = [
        torch.cat([picture, _label(label, size[1]).to(picture)], dim=2)
        for picture, label in (
            (resize(photo[:1], size), "photo"),
            *((c.picture, c.label) for c in candidates),
        )
    ]
    cells += [torch.ones_like(cells[0])] * (-len(cells) % columns)
    rows = [torch.cat(cells[i : i + columns], dim=3) for i in range(0, len(cells), columns)]
    return torch.cat(rows, dim=2)


def _label(text: str, width: int) -> Tensor:
    """Black on white, 1 3 LABEL W; what does not fit is cut."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    strip = Image.new("RGB", (width, LABEL), "white")
    font = ImageFont.load_default(11)
    ImageDraw.Draw(strip).multiline_text((3, 1), text, "black", font, spacing=2)
    return torch.from_numpy(np.array(strip)).permute(2, 0, 1)[None] / 255.0
