"""Training of style networks: photos and paintings in, a file of styles out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stylepipe.nst import losses
from stylepipe.nst.encoders import Encoder
from stylepipe.nst.encoders.vgg import STYLE
from stylepipe.nst.files import file_digest, tensors_digest
from stylepipe.nst.names import StyleDistance
from stylepipe.nst.networks import (
    ConvNorm,
    Residual,
    StyleNetwork,
    StyleRecord,
    save_styles,
)
from stylepipe.nst.photos import Photos, Read, load_picture, picture_identities

from .consistency import ShiftAndZoom, difference, noise
from .options import StyleOptions
from .task import Measurement, Rows, Task

STYLE_RATE = 4.0  # of the learning rate, for the norms' gains and shifts


@dataclass(frozen=True)
class Exemplar:
    """A painting as the example of a style to learn.

    weight: its style weight over the others'. size: the short side in pixels to which it is scaled,
    which sets the size of the strokes; None: the option's. trim: the part of each side to cut off,
    0 to 0.4, for frames and the edges of scans.
    """

    record: StyleRecord
    path: Path
    weight: float = 1.0
    size: int | None = None
    trim: float = 0.0


@dataclass(frozen=True)
class Teacher:
    """An encoder that judges style and content at some of its layers (name -> weight)."""

    encoder: Encoder
    style: dict[str, float]
    content: dict[str, float] = field(default_factory=dict)


def standard_teacher(encoder: Encoder) -> Teacher:
    """Style at the first layer of every block that the encoder has, or at its own style layers if
    it is no VGG; content at relu4_1, or at the deepest of them.
    """
    style = {layer: weight for layer, weight in STYLE.items() if layer in encoder.layers}
    style = style or dict.fromkeys(encoder.default_style, 1.0)
    content = "relu4_1" if "relu4_1" in style else list(style)[-1]
    return Teacher(encoder, style, {content: 1.0})


class _Targets:
    """The moments of every painting at one teacher's style layers, stacked by style."""

    def __init__(
        self, teacher: Teacher, pictures: Sequence[Tensor], kind: StyleDistance, printed: bool
    ) -> None:
        self.kind, self.printed = kind, printed
        self.layers: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
        found: dict[str, list[tuple[Tensor, Tensor]]] = {layer: [] for layer in teacher.style}
        with torch.no_grad():
            for picture in pictures:
                for layer, features in teacher.encoder(picture, teacher.style).items():
                    found[layer].append(losses.moments(features))
            for layer, values in found.items():
                mean = torch.cat([m for m, _ in values])
                covariance = torch.cat([c for _, c in values])
                root = losses.sqrtm(losses.regularise(covariance, losses.trace(covariance)))
                self.layers[layer] = (mean, covariance, root)

    def loss(self, layer: str, features: Tensor, styles: Tensor) -> Tensor:
        """By row, N. features: N C h w. styles: N, indices."""
        mean, covariance, root = (t[styles] for t in self.layers[layer])
        if self.kind == "wasserstein":
            return losses.wasserstein_loss(features, mean, covariance, root)
        own_mean, own = losses.moments(features)
        if self.kind == "mean-std":
            error = losses.mean_std_error(own_mean, own, mean, covariance)
            return error / (losses.trace(covariance) + losses.EPS)
        grams = [c + m[:, :, None] * m[:, None] for m, c in ((own_mean, own), (mean, covariance))]
        error = losses.gram_error(*grams)
        if self.printed:  # Johnson's matrices are over the channels too
            return error / features.shape[1] ** 2
        return error / (grams[1].square().sum(dim=(1, 2)) + losses.EPS)


class StyleTask(Task):
    """A StyleNetwork that learns paintings.

    read: reads photos and paintings. previews: photos to draw from time to time; by default the
    first three. guide: a trained network of the same styles whose pictures this one also imitates.
    metadata: strings for the styles file.
    Raises ValueError for no photos, UnreadablePicture for unreadable paintings; unreadable photos
    are left out and listed in `warnings`.
    """

    model: StyleNetwork
    options: StyleOptions
    columns = (
        *("copy", "content", "style", "tone", "hue", "tv", "range", "spikes", "guide"),
        "consistency",
    )

    def __init__(
        self,
        net: StyleNetwork,
        teachers: Sequence[Teacher],
        photos: Sequence[Path],
        paintings: Sequence[Exemplar],
        options: StyleOptions,
        *,
        read: Read,
        previews: Sequence[Path] = (),
        guide: StyleNetwork | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        if len(paintings) != net.styles:
            raise ValueError(f"the network has {net.styles} styles, not {len(paintings)}")
        if guide is not None and guide.styles != net.styles:
            raise ValueError(f"the guide has {guide.styles} styles, not {net.styles}")
        if not teachers:
            raise ValueError("training needs one teacher or more")
        for teacher in teachers:
            teacher.encoder.check([*teacher.style, *teacher.content])
        self.model, self.options = net, options
        self.teachers, self.paintings = list(teachers), list(paintings)
        self.kinds = [f"style {p.record.name!r}" for p in paintings]
        self.metadata = dict(metadata or {})
        self.guide = guide.eval().requires_grad_(False) if guide is not None else None
        pictures = [
            load_picture(read, p.path, p.size or options.style_size, p.trim).to(self.device)
            for p in paintings
        ]
        self.palettes = (
            torch.cat([p.mean(dim=(2, 3)) for p in pictures]),
            torch.cat([p.std(dim=(2, 3)) for p in pictures]),
        )
        self._printed = options.loss_scale == "johnson"
        self.targets = [
            _Targets(teacher, pictures, options.style_loss, self._printed) for teacher in teachers
        ]
        self.photos = Photos(
            read, photos, options.size, options.zoom, options.seed, options.color_jitter
        )
        self.warnings = self.photos.warnings
        self.shown = [
            load_picture(read, path, options.size * 3 // 2)
            for path in previews or self.photos.paths[:3]
        ]

    def batch(self, step: int) -> Rows:
        """Photos, which style each gets (all equally often, in shuffled rounds), and noise."""
        options, count, picked = self.options, self.model.styles, []
        for position in range(step * options.batch, (step + 1) * options.batch):
            rng = np.random.default_rng((options.seed, 1, position // count))
            picked.append(int(rng.permutation(count)[position % count]))
        photos = self.photos.batch(step, options.batch)
        added = photos.new_zeros(len(photos), 0)
        if options.consistency_weight:
            added = noise(photos.shape, np.random.default_rng((options.seed, 3, step)))
        return photos, torch.tensor(picked), added

    def kind(self, rows: Rows) -> Sequence[int]:
        styles: list[int] = rows[1].tolist()
        return styles

    def groups(self) -> list[dict[str, Any]]:
        """A style's own few numbers see only its share of the rows, and learn faster to part
        from the others.
        """
        own = [p for norm in self.model.norms() for p in (norm.gamma, norm.beta)]
        shared = [m for m in self.model.modules() if isinstance(m, nn.Conv2d)]
        weights = [p for conv in shared for p in conv.parameters()]
        return [{"params": weights, "factor": 1.0}, {"params": own, "factor": STYLE_RATE}]

    def measure(self, model: nn.Module, rows: Rows, step: int) -> Measurement:
        assert isinstance(model, StyleNetwork)
        photos, styles, added = rows
        weights = torch.eye(model.styles, device=photos.device)[styles]
        spikes: list[Tensor] = []
        with _watching(model, spikes):
            output = model(photos, weights).float()
        terms = self.terms(photos, output, styles, weights, step)
        if self.options.consistency_weight and step >= self.options.copy_steps:
            motion = ShiftAndZoom.drawn(np.random.default_rng((self.options.seed, 4, step)))
            again = model(motion((photos + added).clamp(0.0, 1.0)), weights).float()
            # Over the painting's variance, which a network cannot change as it can its own.
            variance = self.palettes[1][styles].square().mean(dim=1) + losses.EPS
            apart = difference(again, motion(output)) / variance
            terms["consistency"] = self.options.consistency_weight * apart
        terms["spikes"] = self.options.spike_weight * torch.stack(spikes).sum(dim=0)
        means = {key: value.mean() for key, value in terms.items()}
        return Measurement(means, output.flatten(1).std(dim=1))

    def terms(
        self, photos: Tensor, output: Tensor, styles: Tensor, weights: Tensor, step: int
    ) -> dict[str, Tensor]:
        """By name, each by row: of pictures `output` N 3 H W made of `photos`. styles: N, indices.
        weights: N S, as the networks take them. step: a fresh network's first steps have another.
        """
        options = self.options
        if step < options.copy_steps:
            wanted = losses.recolor(photos, self.palettes[0][styles], self.palettes[1][styles])
            return {"copy": losses.content_loss(output, wanted)}
        emphasis = torch.tensor([p.weight for p in self.paintings], device=self.device)[styles]
        content = torch.zeros(len(photos), device=self.device)
        style = torch.zeros(len(photos), device=self.device)
        for teacher, targets in zip(self.teachers, self.targets, strict=True):
            # Each map lies inside [0,1] but for overshoots, which the encoders never saw.
            found = teacher.encoder(output, [*teacher.style, *teacher.content])
            if teacher.content:
                with torch.no_grad():
                    aims = teacher.encoder(photos, teacher.content)
                for layer, weight in teacher.content.items():
                    content = content + weight * self._content(found[layer], aims[layer])
            for layer, weight in teacher.style.items():
                style = style + weight * targets.loss(layer, found[layer], styles)
        terms = {
            "content": options.content_weight * content,
            "style": options.style_weight * emphasis * style,
            "tv": options.tv_weight * self._smooth(output),
        }
        if not self._printed:
            terms |= {
                "tone": options.tone_weight * losses.tone_loss(output, photos),
                "hue": options.hue_weight * losses.hue_loss(output, photos),
                "range": options.range_weight * losses.range_penalty(output),
            }
        if self.guide is not None:
            with torch.no_grad():
                dtype = self.guide.head.weight.dtype
                shown = self.guide(photos, weights.to(dtype)).float()
            terms["guide"] = options.guide_weight * losses.content_loss(output, shown)
        return terms

    def _content(self, features: Tensor, target: Tensor) -> Tensor:
        if self._printed:
            return losses.squared_error(features, target) / target[0].numel()
        return losses.content_loss(features, target)

    def _smooth(self, output: Tensor) -> Tensor:
        if self._printed:
            return torch.stack(losses.neighbor_differences(output, output)).sum(dim=0)
        return losses.total_variation(output)

    def identity(self) -> dict[str, Any]:
        nets = [self.model, *([self.guide] if self.guide is not None else [])]
        return {
            "paintings": [
                (p.record.name, p.weight, p.size, p.trim, file_digest(p.path))
                for p in self.paintings
            ],
            "judges": [
                (t.style, t.content, tensors_digest(t.encoder.state_dict())) for t in self.teachers
            ],
            "photos": picture_identities(self.photos.paths),
            "networks to start from": [
                (net.spec.to_json(), tensors_digest(net.state_dict())) for net in nets
            ],
        }

    def preview(self, model: nn.Module) -> list[list[Tensor]]:
        """The preview photos in every style; one row a photo."""
        rows = []
        for photo in self.shown:
            shown = photo.to(self.device)
            results = [
                model(shown, self.model.one_hot(style)).float().cpu()
                for style in range(self.model.styles)
            ]
            rows.append([photo, *results])
        return rows

    def save(self, folder: Path, step: int) -> Path:
        """Write the styles file."""
        path = folder / f"{self.model.spec.name}.safetensors"
        options = json.dumps(asdict(self.options))
        records = [p.record for p in self.paintings]
        save_styles(path, self.model, records, **self.metadata, options=options, steps=str(step))
        return path


@contextmanager
def _watching(net: StyleNetwork, spikes: list[Tensor]) -> Iterator[None]:
    """Collect the spike penalties of what goes into the residual stream."""

    def watch(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        spikes.append(losses.spike_penalty(output))

    norms = [m.second.norm for m in net.modules() if isinstance(m, Residual)]
    norms += [m.norm for m in net.down if isinstance(m, ConvNorm)]
    hooks = [norm.register_forward_hook(watch) for norm in norms]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
