"""Training of a compact encoder: it learns to see what larger encoders see."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylepipe.nst.encoders import Encoder, save_encoder, stack_encoder
from stylepipe.nst.files import tensors_digest
from stylepipe.nst.photos import Photos, Read, load_picture, picture_identities

from .guess import GUESS, guess_encoder, loudness, opening
from .options import EncoderOptions
from .task import Measurement, Rows, Task

LAYERS = tuple(
    f"relu{block}_{i}"
    for block, count in enumerate((2, 2, 4, 4, 1), start=1)
    for i in range(1, count + 1)
)
WIDTHS = (16, 32, 64, 128, 128)
"""Channels of each block."""
LOUDEST = 300.0
"""Norm of the weights of a calibrated channel, at most. Of an encoder's useful channels 24 had more
than 30, at most 149; in another 77 useless ones had 600 to 20600."""
CALIBRATION = 1 << 40
"""Steps from here on, which no run reaches, are the pictures to calibrate by."""


def fresh_encoder(seed: int, widths: Sequence[int] = WIDTHS) -> Encoder:
    """An encoder with random weights (He 2015), layers as in VGG-19 to relu5_1."""
    generator = torch.Generator().manual_seed(seed)
    convolutions, channels = {}, 3
    for name in LAYERS:
        width = widths[int(name[4]) - 1]
        weight = torch.randn(width, channels, 3, 3, generator=generator)
        bias = -0.5 * weight.sum(dim=(1, 2, 3)) if channels == 3 else torch.zeros(width)
        scale = (2.0 / (9 * channels)) ** 0.5
        convolutions[name] = (scale * weight, scale * bias)
        channels = width
    return stack_encoder(convolutions)


class EncoderTask(Task):
    """A compact encoder that learns its layers from teachers that have layers of these names.

    Of each layer that a teacher has too, two terms. `fit`: the part of the variance of the
    teacher's features that the best linear map of ours leaves unexplained; that map is solved in
    closed form anew each time, as least squares with a ridge. `likeness`: 1 - centered kernel
    alignment (Kornblith et al., "Similarity of Neural Network Representations Revisited", 2019),
    so that our own distances and Gram matrices, without any map, rank pictures as theirs do.
    Where several teachers have a layer, their terms are averaged. All channels, the teachers' too,
    are compared at equal loudness, as `calibrate` makes them.

    read: reads photos and paintings. previews: photos to draw from time to time; by default the
    first three. metadata: strings for the encoder file. Raises ValueError for no readable photos,
    or no layer to learn; unreadable pictures are left out and listed in `warnings`.
    """

    model: Encoder
    options: EncoderOptions
    columns = (*(f"fit_{n[4:]}" for n in LAYERS), *(f"likeness_{n[4:]}" for n in LAYERS))
    kinds = ("the deepest features",)

    def __init__(
        self,
        student: Encoder,
        teachers: Sequence[Encoder],
        photos: Sequence[Path],
        paintings: Sequence[Path],
        options: EncoderOptions,
        *,
        read: Read,
        previews: Sequence[Path] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        if deeper := [name for name in student.layers if name not in LAYERS]:
            raise ValueError(
                f"a compact encoder ends at {LAYERS[-1]}: one with {deeper[0]} cannot be trained "
                "on; start from another, or afresh"
            )
        self.model, self.options = student.requires_grad_(True), options
        self.teachers = [(t, [n for n in student.layers if n in t.layers]) for t in teachers]
        taught = {name for _, layers in self.teachers for name in layers}
        if missing := [name for name in student.layers if name not in taught]:
            raise ValueError(f"no teacher has the layer {missing[0]!r}; name one more that has it")
        sizes = (options.size, options.zoom, options.seed, options.color_jitter)
        self.photos = Photos(read, photos, *sizes)
        self.paintings = Photos(read, paintings, *sizes, flat=True) if paintings else None
        if self.paintings:
            self.paintings.share_warnings(self.photos)
        self.warnings = self.photos.warnings
        self.metadata = dict(metadata or {})
        self.shown = [
            load_picture(read, path, options.size * 3 // 2)
            for path in previews or self.photos.paths[:3]
        ]

    @property
    def opening(self) -> str:  # type: ignore[override]
        return opening(self.options.guess)

    def begin(self) -> None:
        """Guess, where that is wanted."""
        count = -(-self.options.guess // self.options.batch)
        if not count:
            return
        pictures = [self.batch(GUESS + i)[0].to(self.device) for i in range(count)]
        widths = {name: convolution.out_channels for name, convolution in _convolutions(self.model)}
        teachers = [teacher for teacher, _ in self.teachers]
        guessed = guess_encoder(teachers, pictures, widths, self.options.seed)
        self.model.load_state_dict(guessed.state_dict())

    def batch(self, step: int) -> Rows:
        """Pictures, and where to compare: N x points x (row, column), as parts of the sides."""
        options = self.options
        rng = np.random.default_rng((options.seed, 2, step))
        other = round(options.batch * options.paintings) if self.paintings else 0
        pictures = self.photos.batch(step, options.batch - other)
        if self.paintings and other:
            pictures = torch.cat([pictures, self.paintings.batch(step, other)])
        # Each worker's share has some of both.
        pictures = pictures[torch.from_numpy(rng.permutation(len(pictures)))]
        # In float32: MPS has no float64.
        places = torch.from_numpy(rng.random((len(pictures), options.points, 2), np.float32))
        return _disturbed(pictures, options.disturbed, rng), places

    def measure(self, model: nn.Module, rows: Rows, step: int) -> Measurement:
        pictures, places = rows
        found = model(pictures, self.model.layers)
        own = {n: _centered(_calibrated(_places(maps, places))) for n, maps in found.items()}
        spaces = {name: points.T @ points / len(points) for name, points in own.items()}
        terms: dict[str, list[Tensor]] = {name: [] for name in self.columns}
        for teacher, layers in self.teachers:
            with torch.no_grad():
                aims = teacher(pictures, layers)
            for name in layers:
                aim = _centered(_calibrated(_places(aims[name], places)))
                fit, likeness = _unlike(own[name], spaces[name], aim)
                terms[f"fit_{name[4:]}"].append(fit)
                terms[f"likeness_{name[4:]}"].append(likeness)
        deepest = found[self.model.layers[-1]].float().flatten(1)
        spread = deepest.std(dim=1) / (deepest.mean(dim=1) + 1e-6)
        return Measurement({k: torch.stack(v).mean() for k, v in terms.items() if v}, spread)

    def identity(self) -> dict[str, Any]:
        paths = [*self.photos.paths, *(self.paintings.paths if self.paintings else [])]
        return {
            "teachers": [tensors_digest(teacher.state_dict()) for teacher, _ in self.teachers],
            "pictures": picture_identities(paths),
            "network to start from": tensors_digest(self.model.state_dict()),
        }

    def preview(self, model: nn.Module) -> list[list[Tensor]]:
        """A row a photo: at the deepest layer of three blocks, the teacher's three strongest
        components as red, green, blue, and beside them what our features predict of these.
        """
        teacher, layers = self.teachers[-1]
        shown = [n for n in ("relu2_1", "relu3_1", "relu4_1") if n in layers] or layers[-1:]
        return [self._compared(model, teacher, photo, shown) for photo in self.shown]

    def _compared(
        self, model: nn.Module, teacher: Encoder, photo: Tensor, layers: Sequence[str]
    ) -> list[Tensor]:
        placed = photo.to(self.device)
        aims, found = teacher(placed, layers), model(placed, layers)
        row = [photo]
        for name in layers:
            height, width = aims[name].shape[-2:]
            aim, own = (_centered(m[name].float().flatten(2)[0].T) for m in (aims, found))
            _, _, basis = torch.linalg.svd(aim.T @ aim)
            aim = aim @ basis[:3].T
            guess = own @ _linear_map(own.T @ own, own.T @ aim, len(own))
            low, high = aim.quantile(0.02, dim=0), aim.quantile(0.98, dim=0)
            for values in (aim, guess):
                picture = ((values - low) / (high - low + 1e-6)).T.reshape(1, 3, height, width)
                row.append(F.interpolate(picture.cpu(), photo.shape[-2:], mode="nearest"))
        return row

    def save(self, folder: Path, step: int) -> Path:
        """Write the encoder, calibrated, in half precision."""
        path = folder / "encoder.safetensors"
        pictures = [self.photos.batch(CALIBRATION + i, 8) for i in range(4)]
        calibrated = calibrate(self.model, [p.to(self.device) for p in pictures])
        half = {name: (w.half(), b.half()) for name, (w, b) in calibrated.items()}
        options = json.dumps(asdict(self.options))
        save_encoder(path, half, {**self.metadata, "options": options, "steps": str(step)})
        return path


@torch.no_grad()
def calibrate(encoder: Encoder, pictures: Sequence[Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """The encoder's convolutions, for input in [0,1], scaled so that each channel has the mean 1
    over the pictures; the next layer takes the scale back, which is exact under ReLU and pooling.
    Gatys, Ecker, Bethge, "Texture Synthesis Using Convolutional Neural Networks" (2015), sec. 2.
    A channel that is hardly ever active stays below, or is silenced, see `silenced`; those that say
    nothing at all are left out.
    """
    sums: dict[str, Tensor] = {}
    for batch in pictures:
        for name, maps in encoder(batch, encoder.layers).items():
            mean = maps.float().mean(dim=(0, 2, 3)) / len(pictures)
            sums[name] = sums[name] + mean if name in sums else mean
    convolutions: dict[str, tuple[Tensor, Tensor]] = {}
    before: Tensor | None = None
    for name, convolution in _convolutions(encoder):
        weight, bias = convolution.weight.detach().float(), convolution.bias
        assert bias is not None
        shift = bias.detach().float()
        if before is None:  # the encoder itself subtracts its mean from a picture
            shift = shift - torch.einsum("ochw,c->o", weight, encoder.mean.flatten())
        else:
            weight = weight * before[:, None, None]
        first, before = before is None, loudness(sums[name])
        found = (weight / before[:, None, None, None], shift / before)
        # The first sees pixels, not channels of mean 1.
        convolutions[name] = found if first else silenced(*found)
    return without_silent(convolutions)


def without_silent(
    convolutions: Mapping[str, tuple[Tensor, Tensor]],
) -> dict[str, tuple[Tensor, Tensor]]:
    """The same convolutions without the channels that are 0 whatever the picture: all others stay
    as they are, and are computed sooner."""
    speaking: dict[str, tuple[Tensor, Tensor]] = {}
    kept: Tensor | None = None
    for name, (weight, bias) in convolutions.items():
        if kept is not None:
            weight = weight[:, kept]
        kept = weight.flatten(1).any(dim=1) | (bias > 0)
        speaking[name] = weight[kept], bias[kept]
    return speaking


def silenced(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """A convolution of calibrated channels, without those whose weights are beyond LOUDEST.

    Their mean is 1 at most, as of all others: so they are silent but at hardly any place, and
    there they reach thousands. They say nothing about pictures, and a picture that is optimized, on
    whose way lie features that no picture has, breaks into noise where one of them wakes.
    """
    kept = torch.linalg.vector_norm(weight.float(), dim=(1, 2, 3)) <= LOUDEST
    # Not a product: what is not finite times 0 is not 0.
    return (
        torch.where(kept[:, None, None, None], weight, torch.zeros_like(weight)),
        torch.where(kept, bias, torch.zeros_like(bias)),
    )


def _convolutions(encoder: Encoder) -> list[tuple[str, nn.Conv2d]]:
    found = [m for m in encoder.stages.modules() if isinstance(m, nn.Conv2d)]
    return list(zip(encoder.layers, found, strict=True))


def _places(maps: Tensor, places: Tensor) -> Tensor:
    """Features N C h w at the places N P 2 in [0,1), all of them where there are not so many:
    N*P C, in float32."""
    count, channels, height, width = maps.shape
    flat = maps.permute(0, 2, 3, 1).reshape(count, height * width, channels)
    if height * width > places.shape[1]:
        rows, columns = (places[..., 0] * height).long(), (places[..., 1] * width).long()
        index = (rows * width + columns)[..., None].expand(-1, -1, channels)
        flat = flat.gather(1, index)
    return flat.flatten(0, 1).float()


def _calibrated(points: Tensor) -> Tensor:
    """Channels of mean 1, nearly, as `calibrate` makes them in the end: none can outshout the
    others on the way."""
    return points / loudness(points.mean(dim=0))


def _centered(points: Tensor) -> Tensor:
    return points - points.mean(dim=0)


def _linear_map(space: Tensor, cross: Tensor, rows: int) -> Tensor:
    """Ridge regression from our features (space: C C moments over so many rows) to others (cross:
    C D). The ridge makes up for what C numbers explain of a few rows by chance: without it deep
    layers, of which a batch shows little, learn the batch.
    """
    ridge = len(space) / rows * space.diagonal().mean() + 1e-6
    eye = torch.eye(len(space), dtype=space.dtype, device=space.device)
    linear: Tensor = torch.linalg.solve(space + ridge * eye, cross)
    return linear


def _unlike(own: Tensor, space: Tensor, aim: Tensor) -> tuple[Tensor, Tensor]:
    """Of centered points P C and P D, space = own' own / P: the part of aim's variance that own
    does not explain linearly, and 1 - centered kernel alignment."""
    cross = own.T @ aim / len(own)
    variance = aim.square().sum() / len(aim) + 1e-6
    # A constant: by the map the ridge's objective has no slope here, and `fit`, which is that but
    # for the ridge, next to none.
    with torch.no_grad():
        linear = _linear_map(space, cross, len(own))
        norm = torch.linalg.vector_norm(aim.T @ aim / len(aim))
    fit = 1.0 - (2.0 * (linear * cross).sum() - ((space @ linear) * linear).sum()) / variance
    alignment = cross.square().sum() / (torch.linalg.vector_norm(space) * norm + 1e-12)
    return fit, 1.0 - alignment


def _disturbed(pictures: Tensor, part: float, rng: np.random.Generator) -> Tensor:
    """N 3 H W with noise of a random grain and strength in two thirds of that part, the next
    picture faintly or strongly over the rest of it."""
    result = pictures.clone()
    height, width = pictures.shape[-2:]
    for index in range(len(pictures)):
        chance = rng.random()
        if chance < part * 2 / 3:
            grain = int(rng.choice([1, 1, 2, 4]))
            noise = rng.standard_normal((1, 3, height // grain, width // grain), np.float32)
            spread = F.interpolate(torch.from_numpy(noise), (height, width), mode="nearest")[0]
            result[index] += float(rng.uniform(0.0, 0.25)) * spread
        elif chance < part:
            other = pictures[(index + 1) % len(pictures)]
            result[index] = torch.lerp(result[index], other, float(rng.uniform(0.1, 0.9)))
    return result.clamp(0.0, 1.0)
