"""Training of the universal network: photos and many paintings in, one network out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stylepipe.nst import losses
from stylepipe.nst.encoders import Encoder
from stylepipe.nst.encoders.vgg import STYLE
from stylepipe.nst.files import tensors_digest
from stylepipe.nst.photos import Photos, Read, load_picture, picture_identities
from stylepipe.nst.universal import UniversalNetwork, save_universal

from .consistency import ShiftAndZoom, add_skies, noise, relative_difference
from .options import UniversalOptions
from .task import Measurement, Rows, Task

EXAMPLE_LAYERS = ("relu2_1", "relu3_1", "relu4_1")
"""Where a result is compared with that of the painter to imitate, besides its pixels."""
CONTENT_LAYER = "relu4_1"


@dataclass(frozen=True)
class Painter:
    """Another tool's way to paint, to be imitated."""

    name: str
    """Identifies it, with all that it depends on: a run resumes with the same one only."""
    paint: Callable[[Tensor, Tensor], Tensor]
    """Photos and paintings, N 3 H W each -> pictures N 3 H W."""


class UniversalTask(Task):
    """A UniversalNetwork that learns to paint after whatever it is shown.

    The style is the Wasserstein distance of an encoder's moments to the painting's (the first
    layers of its blocks), the content its features at relu4_1, as for any style network. Photos
    serve as paintings, too: there are more of them, and no palette is foreign to all. With
    ``painter``, the network also imitates that, which is how it gets on quickest.

    Raises ValueError for no readable picture; unreadable ones are left out and listed in
    `warnings`.
    """

    model: UniversalNetwork
    options: UniversalOptions
    columns = ("example", "content", "style", "consistency", "tv", "range")
    kinds = ("the pictures",)

    def __init__(
        self,
        net: UniversalNetwork,
        encoder: Encoder,
        photos: Sequence[Path],
        paintings: Sequence[Path],
        options: UniversalOptions,
        *,
        read: Read,
        painter: Painter | None = None,
        previews: Sequence[Path] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.style = {layer: weight for layer, weight in STYLE.items() if layer in encoder.layers}
        encoder.check([*self.style, *EXAMPLE_LAYERS, CONTENT_LAYER])
        self.model, self.options = net, options
        self.encoder, self.painter = encoder, painter
        sizes = (options.size, options.zoom)
        self.photos = Photos(read, photos, *sizes, options.seed, options.color_jitter)
        self.styles = Photos(
            read, paintings, *sizes, options.seed + 1, options.style_jitter, flat=True
        )
        self.styles.share_warnings(self.photos)
        self.warnings = self.photos.warnings
        # Another seed: a photo must not be its own style.
        self.others = self.photos.reseeded(options.seed + 2)
        self.metadata = dict(metadata or {})
        side = options.size * 3 // 2
        chosen = previews or self.photos.paths[:3]
        self.shown = [load_picture(read, path, side) for path in chosen]
        paths = self.styles.paths
        count = min(4, len(paths))
        self.shown_styles = [
            load_picture(read, paths[i * len(paths) // count], side) for i in range(count)
        ]

    def batch(self, step: int) -> Rows:
        """Photos, paintings, and noise."""
        options = self.options
        rng = np.random.default_rng((options.seed, 3, step))
        photos = self.photos.batch(step, options.batch)
        styles = self.styles.batch(step, options.batch)
        other = torch.from_numpy(rng.random(options.batch) < options.photo_styles)
        if bool(other.any()):
            styles[other] = self.others.batch(step, options.batch)[other]
        added = photos.new_zeros(len(photos), 0)
        if options.consistency_weight:
            add_skies(photos, rng)
            added = noise(photos.shape, rng)
        return photos, styles, added

    def measure(self, model: nn.Module, rows: Rows, step: int) -> Measurement:
        assert isinstance(model, UniversalNetwork)
        options = self.options
        photos, styles, added = rows
        with torch.no_grad():
            aims = self.encoder(photos, [CONTENT_LAYER])[CONTENT_LAYER]
            wanted = self.encoder(styles, self.style)
        code = model.code(styles)
        output = model(photos, code)
        found = self.encoder(output, [*self.style, *EXAMPLE_LAYERS, CONTENT_LAYER])
        style = output.new_zeros(len(output))
        for layer, weight in self.style.items():
            style = style + weight * losses.style_loss(found[layer], wanted[layer])
        terms = {
            "content": options.content_weight * losses.content_loss(found[CONTENT_LAYER], aims),
            "style": options.style_weight * style,
            "tv": options.tv_weight * losses.total_variation(output),
            "range": options.range_weight * losses.range_penalty(output),
        }
        if self.painter is not None:
            terms["example"] = options.example_weight * self._apart(photos, styles, output, found)
        if options.consistency_weight:
            motion = ShiftAndZoom.drawn(np.random.default_rng((options.seed, 4, step)))
            again = model(motion((photos + added).clamp(0.0, 1.0)), code)
            apart = relative_difference(again, motion(output))
            terms["consistency"] = options.consistency_weight * apart
        means = {name: value.mean() for name, value in terms.items()}
        return Measurement(means, output.flatten(1).std(dim=1))

    def _apart(
        self, photos: Tensor, styles: Tensor, output: Tensor, found: Mapping[str, Tensor]
    ) -> Tensor:
        """How far the results are from those of the painter, in pixels and in features: N."""
        assert self.painter is not None
        with torch.no_grad():
            example = self.painter.paint(photos, styles)
            seen = self.encoder(example, EXAMPLE_LAYERS)
        total = relative_difference(output, example)
        for layer in EXAMPLE_LAYERS:
            total = total + losses.content_loss(found[layer], seen[layer]) / len(EXAMPLE_LAYERS)
        return total

    def identity(self) -> dict[str, Any]:
        return {
            "encoder": tensors_digest(self.encoder.state_dict()),
            "pictures": picture_identities([*self.photos.paths, *self.styles.paths]),
            "networks to start from": [
                self.model.spec.to_json(),
                tensors_digest(self.model.state_dict()),
            ],
            "painter": self.painter and self.painter.name,
        }

    def preview(self, model: nn.Module) -> list[list[Tensor]]:
        """A row for each preview photo: itself, then after some of the paintings."""
        assert isinstance(model, UniversalNetwork)
        codes = [model.code(style.to(self.device)) for style in self.shown_styles]
        return [
            [photo, *(model(photo.to(self.device), code).cpu() for code in codes)]
            for photo in self.shown
        ]

    def save(self, folder: Path, step: int) -> Path:
        """Write the network's file."""
        path = folder / "universal.safetensors"
        options = json.dumps(asdict(self.options))
        save_universal(path, self.model, **self.metadata, options=options, steps=str(step))
        return path
