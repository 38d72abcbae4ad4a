"""Training of decoders: features that a style has changed in, pictures out."""

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
from stylepipe.nst.decoders import Decoder, fingerprint, save_decoders
from stylepipe.nst.encoders import Encoder
from stylepipe.nst.files import tensors_digest
from stylepipe.nst.photos import Photos, Read, load_picture, picture_identities

from .consistency import ShiftAndZoom, add_skies, inner, noise, relative_difference
from .guess import GUESS, guess_decoder, opening
from .options import DecoderOptions
from .task import Measurement, Rows, Task


@dataclass(frozen=True)
class Mix:
    """How styles are mixed into features."""

    name: str
    """Identifies it, with all that it depends on: a run resumes with the same one only."""
    apply: Callable[[Tensor, Tensor], Tensor]
    """Features of photos and of styles, N C h w each -> features to decode."""


class DecoderTask(Task):
    """Decoders that learn to show what an encoder saw, also where a style was mixed in.

    Rows that are decoded unchanged are compared with their picture, in pixels and in features
    (Johnson 2016); the others with the mixed features, at the decoder's layer (Chen, Schmidt
    2016, eq. 6; Huang, Belongie 2017, eq. 12), and, if that has a weight, with the style's
    moments. The unchanged rows are a departure of ours from the latter: they keep content sharp
    and colors true. So is that the style is compared by the Wasserstein distance, covariances
    included: means and deviations alone (eq. 13) left more of a dotted weave in smooth places.
    With temporal consistency, the photo moved by some pixels, with a little noise, is to give the
    same picture, moved (Zheng et al., "Improving the Robustness of Deep Neural Networks via
    Stability Training", 2016, eq. 2): otherwise a decoder draws its grid on a plain sky, another in
    every frame of a film.

    decoders: by layer. mix: None for plain inverses. paintings: none means that photos are the
    styles. Raises ValueError for no readable picture; unreadable ones are left out and listed in
    `warnings`.
    """

    model: nn.ModuleDict
    options: DecoderOptions
    columns = ("copy", "features", "style", "temporal_consistency", "tv", "range")
    kinds = ("the pictures",)

    def __init__(
        self,
        decoders: Mapping[str, Decoder],
        encoder: Encoder,
        photos: Sequence[Path],
        paintings: Sequence[Path],
        options: DecoderOptions,
        *,
        mix: Mix | None,
        read: Read,
        previews: Sequence[Path] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.model, self.options = nn.ModuleDict(dict(decoders)), options
        self.encoder, self.mix = encoder, mix
        self.layers = list(decoders)
        encoder.check(self.layers)
        deepest = max(map(encoder.layers.index, self.layers))
        # The first of each block: what is compared on the way down to a decoder's layer.
        self.firsts = [n for n in encoder.layers[: deepest + 1] if n.endswith("_1")]
        sizes = (options.size, options.zoom, options.seed)
        self.photos = Photos(read, photos, *sizes, options.color_jitter)
        # Another seed: without paintings a photo must not be its own style.
        if paintings:
            others = (options.size, options.zoom, options.seed + 1, options.color_jitter)
            self.styles = Photos(read, paintings, *others, flat=True)
            self.styles.share_warnings(self.photos)
        else:
            self.styles = self.photos.reseeded(options.seed + 1)
        self.warnings = self.photos.warnings
        self.metadata = dict(metadata or {})
        side = options.size * 3 // 2
        chosen = previews or self.photos.paths[:3]
        self.shown = [load_picture(read, path, side) for path in chosen]
        self.shown_styles = [
            load_picture(read, self.styles.paths[i % len(self.styles.paths)], side)
            for i in range(len(chosen))
        ]

    @property
    def opening(self) -> str:  # type: ignore[override]
        return opening(self.options.guess)

    def begin(self) -> None:
        """Guess, where that is wanted."""
        options = self.options
        count = -(-options.guess // options.batch)
        if not count:
            return
        pictures = [
            self.photos.batch(GUESS + i, options.batch).to(self.device) for i in range(count)
        ]
        for layer in self.layers:
            guess_decoder(_decoder(self.model, layer), self.encoder, pictures, options.seed)

    def batch(self, step: int) -> Rows:
        """Photos, styles, whether the photo is decoded unchanged, and noise."""
        options = self.options
        rng = np.random.default_rng((options.seed, 3, step))
        photos = self.photos.batch(step, options.batch)
        styles = self.styles.batch(step, options.batch)
        copied = torch.ones(options.batch, dtype=torch.bool)
        if self.mix is not None:
            copied = torch.from_numpy(rng.random(options.batch) < options.copies)
        swapped = copied & torch.from_numpy(rng.random(options.batch) < 0.5)
        photos[swapped] = styles[swapped]
        added = photos.new_zeros(len(photos), 0)
        if options.temporal_consistency_weight:
            add_skies(photos, rng)
            added = noise(photos.shape, rng)
        return photos, styles, copied, added

    def measure(self, model: nn.Module, rows: Rows, step: int) -> Measurement:
        assert isinstance(model, nn.ModuleDict)
        photos, styles, copied, added = rows
        temporal_consistency = self.options.temporal_consistency_weight
        motion = ShiftAndZoom.drawn(np.random.default_rng((self.options.seed, 4, step)))
        with torch.no_grad():
            seen = self.encoder(photos, [*self.firsts, *self.layers])
            styled: dict[str, Tensor] = {}
            if self.mix is not None and not bool(copied.all()):
                firsts = self.firsts if self.options.style_weight else []
                styled = self.encoder(styles, [*firsts, *self.layers])
            aims = self._aims(seen, styled, copied)
            if temporal_consistency:
                shaken = motion((photos + added).clamp(0.0, 1.0))
                others = self._aims(self.encoder(shaken, self.layers), styled, copied)
        total: dict[str, list[Tensor]] = {name: [] for name in self.columns}
        spreads = []
        for layer in self.layers:
            found: Tensor = model[layer](aims[layer])
            output = found[..., : photos.shape[2], : photos.shape[3]]
            terms = self._terms(layer, output, photos, copied, seen, aims[layer], styled)
            if temporal_consistency:
                again = model[layer](others[layer])[..., : shaken.shape[2], : shaken.shape[3]]
                terms["temporal_consistency"] = temporal_consistency * relative_difference(
                    again, motion(output)
                )
            for name, value in terms.items():
                total[name].append(value.mean())
            spreads.append(output.flatten(1).std(dim=1))
        means = {name: torch.stack(values).mean() for name, values in total.items() if values}
        return Measurement(means, torch.stack(spreads).min(dim=0).values)

    def _aims(
        self, seen: Mapping[str, Tensor], styled: Mapping[str, Tensor], copied: Tensor
    ) -> dict[str, Tensor]:
        """What is to be decoded, by layer. styled: empty where no row has a style."""
        aims = {layer: seen[layer] for layer in self.layers}
        if self.mix is not None and styled:
            for layer in self.layers:
                mixed = self.mix.apply(seen[layer], styled[layer])
                aims[layer] = torch.where(copied[:, None, None, None], seen[layer], mixed)
        return aims

    def _terms(
        self,
        layer: str,
        output: Tensor,
        photos: Tensor,
        copied: Tensor,
        seen: Mapping[str, Tensor],
        aim: Tensor,
        styled: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """By row."""
        options, kept = self.options, copied.float()
        own = self.firsts[: self.firsts.index(f"{layer[:5]}_1") + 1]
        found = self.encoder(output, [*own, layer])
        features = losses.content_loss(found[layer], aim)
        for name in own:
            if name != layer:
                features = features + kept * losses.content_loss(found[name], seen[name])
        style = torch.zeros_like(features)
        if options.style_weight and styled:
            for name in own:
                loss = losses.style_loss(inner(found[name]), inner(styled[name]))
                style = style + (1 - kept) * loss
        return {
            "copy": options.reconstruction_weight * kept * losses.content_loss(output, photos),
            "features": options.feature_weight * features,
            "style": options.style_weight * style,
            "tv": options.tv_weight * losses.total_variation(output),
            "range": options.range_weight * losses.range_penalty(output),
        }

    def identity(self) -> dict[str, Any]:
        paths = [*self.photos.paths, *self.styles.paths]
        return {
            "encoder": fingerprint(self.encoder, self.layers),
            "pictures": picture_identities(paths),
            "networks to start from": tensors_digest(self.model.state_dict()),
            "layers": [self.layers, self.mix and self.mix.name],
        }

    def preview(self, model: nn.Module) -> list[list[Tensor]]:
        """A row a photo: itself, decoded; if there is a style, that and the mixture, decoded."""
        assert isinstance(model, nn.ModuleDict)
        rows = []
        for photo, style in zip(self.shown, self.shown_styles, strict=True):
            (height, width), row = photo.shape[2:], [photo]
            seen = self.encoder(photo.to(self.device), self.layers)
            styled = self.encoder(style.to(self.device), self.layers)
            for layer in self.layers:
                decoder = _decoder(model, layer)
                row.append(decoder.picture(seen[layer], height, width).cpu())
                if self.mix is not None:
                    mixed = self.mix.apply(seen[layer], styled[layer])
                    row.append(decoder.picture(mixed, height, width).cpu())
            if self.mix is not None:
                row.insert(1, _cut(style, height, width))
            rows.append(row)
        return rows

    def save(self, folder: Path, step: int) -> Path:
        """Write the file of decoders."""
        path = folder / "decoders.safetensors"
        options = json.dumps(asdict(self.options))
        decoders = {name: _decoder(self.model, name) for name in self.layers}
        save_decoders(
            path, decoders, self.encoder, **self.metadata, options=options, steps=str(step)
        )
        return path


def _decoder(model: nn.ModuleDict, layer: str) -> Decoder:
    decoder = model[layer]
    assert isinstance(decoder, Decoder)
    return decoder


def _cut(picture: Tensor, height: int, width: int) -> Tensor:
    """The picture's upper left part, repeated where it is too small."""
    rows = torch.arange(height) % picture.shape[2]
    columns = torch.arange(width) % picture.shape[3]
    return picture[:, :, rows][..., columns]
