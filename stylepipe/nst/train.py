"""Training of style networks: photos and paintings in, a file of styles out."""

from __future__ import annotations

import copy
import csv
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from stylepipe.device import native_bf16

from . import losses
from .encoders import Encoder
from .networks import (
    ConvNorm,
    Residual,
    StyleNetwork,
    StyleRecord,
    digest,
    save_styles,
    write_atomically,
)
from .photos import Photos, Read, load_picture, write_grid

# Strokes live in the third and fourth block; the first two learn by themselves.
STYLE_LAYERS = {"relu1_1": 0.7, "relu2_1": 0.7, "relu3_1": 1.5, "relu4_1": 2.0, "relu5_1": 1.0}
CHECKPOINT = "checkpoint.pt"
MAX_ROLLBACKS = 3
STYLE_RATE = 4.0  # of the learning rate, for the norms' gains and shifts
LOG_COLUMNS = (
    *("step", "seconds", "loss"),
    *("copy", "content", "style", "tone", "hue", "tv", "range", "spikes", "guide"),
    *("gradient", "deviation"),  # the latter of the flattest style, over its last pictures
)
MIN_OUTPUT_STD = 0.02  # a picture flatter than this is one grey, black or white field
# Options that change neither the result nor, but for its end, the course of a run. The workers
# of a run are those it began with.
FREE_OPTIONS = ("checkpoint_every", "preview_every", "minutes", "workers")


class TrainingFailed(RuntimeError):
    """The run collapsed to one colour or to values that are not finite, again and again."""


class CheckpointError(ValueError):
    """A checkpoint that is damaged, or that another run wrote."""


@dataclass(frozen=True)
class TrainOptions:
    """How to train. Weights are relative to each target's size: see losses.

    copy_steps: so many steps first teach a fresh network to copy its input in the colours of the
    painting, the quickest way to a sound start. zoom: crops come from photos of `size` to
    `zoom * size` pixels. vivid: the part of the crops whose colours are made stronger, weaker or
    others, so that a network knows colours which the photos happen to lack. workers: CPU threads
    that share each batch. minutes: follow the clock instead of counting steps.
    """

    steps: int = 4000
    batch: int = 4
    size: int = 256
    learning_rate: float = 1e-3
    warmup: float = 0.03
    copy_steps: int = 300
    content_weight: float = 0.4
    style_weight: float = 1.0
    tone_weight: float = 1.0
    hue_weight: float = 0.5
    tv_weight: float = 1.0
    range_weight: float = 10.0
    spike_weight: float = 2.0
    guide_weight: float = 1.0
    max_gradient: float = 10.0
    zoom: float = 2.0
    vivid: float = 0.5
    style_side: int = 480
    seed: int = 0
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    workers: int = 1
    minutes: float | None = None
    checkpoint_every: int = 200
    preview_every: int = 500

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "checkpoint_every", "preview_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if self.size < 32:
            raise ValueError(f"size must be 32 pixels or more, got {self.size}")
        if self.zoom < 1.0:
            raise ValueError(f"zoom must be 1 or more, got {self.zoom}")


@dataclass(frozen=True)
class Painting:
    """One style to learn. weight: its style weight over the others'. side: the short side to
    which the painting is scaled, which sets the size of the strokes; None: the option's. trim:
    the part of each side to cut off, for frames and the edges of scans."""

    record: StyleRecord
    path: Path
    weight: float = 1.0
    side: int | None = None
    trim: float = 0.0


@dataclass(frozen=True)
class Teacher:
    """An encoder that judges style and content at some of its layers (name -> weight).

    every: it judges only each step that this number divides; an expensive one need not see all.
    """

    encoder: Encoder
    style: dict[str, float]
    content: dict[str, float] = field(default_factory=dict)
    every: int = 1


def standard_teacher(encoder: Encoder) -> Teacher:
    """Style at the first layer of every block that the encoder has, content at relu4_1 or, where
    it ends before, at the deepest of them.
    """
    style = {layer: weight for layer, weight in STYLE_LAYERS.items() if layer in encoder.layers}
    content = "relu4_1" if "relu4_1" in style else list(style)[-1]
    return Teacher(encoder, style, {content: 1.0})


@dataclass(frozen=True)
class Progress:
    """What a callback learns after each step."""

    step: int
    steps: int
    fraction: float
    terms: dict[str, float]


class _Targets:
    """The moments of every painting at one teacher's style layers, stacked by style."""

    def __init__(self, teacher: Teacher, pictures: Sequence[Tensor]) -> None:
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
        mean, covariance, root = self.layers[layer]
        return losses.wasserstein_loss(features, mean[styles], covariance[styles], root[styles])


class Trainer:
    """Trains a StyleNetwork on the spot: run() starts, or goes on from the last checkpoint.

    Files in out_dir: checkpoint.pt, log.csv, preview-*.png and at the end NAME.safetensors.
    On the CPU, with as many threads, a run that was stopped and resumed gives bit for bit the
    weights of an uninterrupted one, unless it follows the clock (options.minutes).
    read: reads photos and paintings. previews: photos to draw from time to time; by default the
    first three. guide: a trained network of the same styles whose pictures this one also imitates.
    metadata: strings for the styles file.
    Raise ValueError for no photos or unreadable paintings; unreadable photos are left out and
    listed in `warnings`.
    """

    def __init__(
        self,
        net: StyleNetwork,
        teachers: Sequence[Teacher],
        photos: Sequence[Path],
        paintings: Sequence[Painting],
        options: TrainOptions,
        out_dir: Path,
        *,
        read: Read,
        previews: Sequence[Path] = (),
        guide: StyleNetwork | None = None,
        metadata: dict[str, str] | None = None,
    ) -> None:
        if len(paintings) != net.styles:
            raise ValueError(f"the network has {net.styles} styles, not {len(paintings)}")
        if not teachers:
            raise ValueError("training needs one teacher or more")
        self.device = net.head.weight.device
        for teacher in teachers:
            teacher.encoder.check([*teacher.style, *teacher.content])
        self.net = net.train().to(memory_format=torch.channels_last)
        self.teachers = list(teachers)
        self.paintings = list(paintings)
        self.options = options
        self.out_dir = out_dir
        self.metadata = dict(metadata or {})
        self.guide = guide.eval().requires_grad_(False) if guide is not None else None
        pictures = [
            load_picture(read, p.path, p.side or options.style_side, p.trim).to(self.device)
            for p in paintings
        ]
        self.palettes = (
            torch.cat([p.mean(dim=(2, 3)) for p in pictures]),
            torch.cat([p.std(dim=(2, 3)) for p in pictures]),
        )
        self.targets = [_Targets(teacher, pictures) for teacher in teachers]
        self.photos = Photos(read, photos, options.size, options.zoom, options.seed, options.vivid)
        self.warnings = self.photos.warnings
        self.previews = [
            load_picture(read, path, options.size * 3 // 2)
            for path in previews or self.photos.paths[:3]
        ]
        self.dtype = _dtype(options.precision, self.device)
        self.replicas: list[StyleNetwork] = []
        self.optimizer = torch.optim.Adam(_groups(net), lr=options.learning_rate)
        self.step = 0
        self.elapsed = 0.0
        self.rollbacks = 0
        # By style, a running mean of its pictures' deviations.
        self.deviations = torch.full((net.styles,), 0.5)
        self._settled = True  # False: between two states that a run can go on from
        self.checkpoint = out_dir / CHECKPOINT
        self._log_path = out_dir / "log.csv"
        self.identity = self._identity()

    def run(self, on_progress: Callable[[Progress], None] | None = None) -> Path:
        """Train to the end, from the last checkpoint if there is one; return the styles file.

        Ctrl-C writes a checkpoint before it ends the run. Raise TrainingFailed when the run
        collapses and going back does not help, CheckpointError for a checkpoint that does not
        fit, OSError where files cannot be written or no photo can be read any more.
        """
        self.out_dir.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            self.load_checkpoint()
        else:
            self.save_checkpoint()  # where the first collapse goes back to
        self._make_replicas()
        crew = self.options.workers
        with (
            ThreadPoolExecutor(1) as loader,
            ThreadPoolExecutor(crew, initializer=_single_thread if crew > 1 else None) as workers,
        ):
            try:
                self._train(loader, workers, on_progress)
            except KeyboardInterrupt:
                if self._settled:
                    self.save_checkpoint()
                raise
        self.save_checkpoint()
        return self.save()

    def clear(self) -> None:
        """Remove the checkpoint, the log and the previews of an earlier run."""
        for path in (self.checkpoint, self._log_path, *self.out_dir.glob("preview-*.png")):
            path.unlink(missing_ok=True)

    def _train(
        self,
        loader: ThreadPoolExecutor,
        workers: ThreadPoolExecutor,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        started = time.monotonic() - self.elapsed
        upcoming = loader.submit(self.photos.batch, self.step, self.options.batch)
        while (fraction := self.fraction()) < 1.0:
            batch = upcoming.result()
            upcoming = loader.submit(self.photos.batch, self.step + 1, self.options.batch)
            terms = self._train_step(workers, batch, fraction)
            self.elapsed = time.monotonic() - started
            if not _healthy(terms):
                upcoming = self._roll_back(loader, terms)
                continue
            self._log(terms)
            self._settled = True
            if self.step % self.options.preview_every == 0:
                self.preview()
            if self.step % self.options.checkpoint_every == 0:
                self.save_checkpoint()
            if on_progress is not None:
                on_progress(Progress(self.step, self.options.steps, fraction, terms))

    def fraction(self) -> float:
        """How much of the run is over, 0 to 1: by steps, or by the clock where that is set."""
        if self.options.minutes is not None:
            return min(1.0, self.elapsed / (60.0 * self.options.minutes))
        return min(1.0, self.step / self.options.steps)

    def learning_rate(self, fraction: float) -> float:
        """Linear warm-up, then half a cosine to zero; halved after every roll-back."""
        warmup = self.options.warmup
        if fraction < warmup:
            scale = (fraction + 1e-3) / (warmup + 1e-3)
        else:
            scale = 0.5 + 0.5 * float(np.cos(np.pi * (fraction - warmup) / (1.0 - warmup)))
        return self.options.learning_rate * scale * 0.5**self.rollbacks

    def _make_replicas(self) -> None:
        """One copy of the network a worker, its convolutions in half precision where that is
        quick; the optimizer's weights stay in float32.
        """
        while len(self.replicas) < self.options.workers:
            self.replicas.append(_half(copy.deepcopy(self.net), self.dtype))

    def _train_step(
        self, workers: ThreadPoolExecutor, photos: Tensor, fraction: float
    ) -> dict[str, float]:
        photos = photos.to(self.device).contiguous(memory_format=torch.channels_last)
        styles = self._styles(self.step).to(self.device)
        count = self.options.workers
        self._copy_weights()
        parts = list(
            workers.map(self._gradients, self.replicas, photos.chunk(count), styles.chunk(count))
        )
        for index, parameter in enumerate(self.net.parameters()):
            gradients = torch.stack([g[index].float() for g, _, _ in parts])
            parameter.grad = gradients.sum(dim=0) / len(photos)
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), self.options.max_gradient)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(fraction) * group["factor"]
        # From here until the step is logged, the state is no one's to save.
        self._settled = False
        if torch.isfinite(norm):
            self.optimizer.step()
        self.step += 1
        terms = {
            key: sum(float(t[key].sum()) for _, t, _ in parts) / len(photos) for key in parts[0][1]
        }
        terms["loss"] = sum(terms.values())
        terms["gradient"] = float(norm)
        deviations = torch.cat([d for _, _, d in parts]).cpu()
        for style, deviation in zip(styles.tolist(), deviations, strict=True):
            self.deviations[style] = (self.deviations[style] + deviation) / 2
        terms["deviation"] = float(self.deviations.min())
        return terms

    def _copy_weights(self) -> None:
        with torch.no_grad():
            for replica in self.replicas:
                for own, master in zip(replica.parameters(), self.net.parameters(), strict=True):
                    own.copy_(master)

    def _gradients(
        self, net: StyleNetwork, photos: Tensor, styles: Tensor
    ) -> tuple[tuple[Tensor, ...], dict[str, Tensor], Tensor]:
        """Of the sum of the losses of these rows: gradients; terms and deviations by row."""
        weights = torch.eye(net.styles, device=self.device)[styles]
        spikes: list[Tensor] = []
        with _watching(net, spikes):
            output = net(photos, weights).float()
        terms = self._objective(photos, output, styles, weights)
        terms["spikes"] = self.options.spike_weight * torch.stack(spikes).sum(dim=0)
        total = torch.stack(list(terms.values())).sum()
        gradients = torch.autograd.grad(total, list(net.parameters()))
        deviations = output.detach().flatten(1).std(dim=1)
        return gradients, {key: value.detach() for key, value in terms.items()}, deviations

    def _styles(self, step: int) -> Tensor:
        """Which style each row of a step's batch gets: all equally often, in shuffled rounds."""
        count, picked = self.net.styles, []
        for position in range(step * self.options.batch, (step + 1) * self.options.batch):
            rng = np.random.default_rng((self.options.seed, 1, position // count))
            picked.append(int(rng.permutation(count)[position % count]))
        return torch.tensor(picked)

    def _objective(
        self, photos: Tensor, output: Tensor, styles: Tensor, weights: Tensor
    ) -> dict[str, Tensor]:
        options = self.options
        if self.step < options.copy_steps:
            wanted = losses.recolour(photos, self.palettes[0][styles], self.palettes[1][styles])
            return {"copy": losses.content_loss(output, wanted)}
        emphasis = torch.tensor([p.weight for p in self.paintings], device=self.device)[styles]
        content = torch.zeros(len(photos), device=self.device)
        style = torch.zeros(len(photos), device=self.device)
        for teacher, targets in zip(self.teachers, self.targets, strict=True):
            if self.step % teacher.every:
                continue
            # Each map lies inside [0,1] but for overshoots, which the encoders never saw.
            found = teacher.encoder(output, [*teacher.style, *teacher.content])
            if teacher.content:
                with torch.no_grad():
                    aims = teacher.encoder(photos, teacher.content)
                for layer, weight in teacher.content.items():
                    content = content + weight * losses.content_loss(found[layer], aims[layer])
            for layer, weight in teacher.style.items():
                style = style + weight * targets.loss(layer, found[layer], styles)
        terms = {
            "content": options.content_weight * content,
            "style": options.style_weight * emphasis * style,
            "tone": options.tone_weight * losses.tone_loss(output, photos),
            "hue": options.hue_weight * losses.hue_loss(output, photos),
            "tv": options.tv_weight * losses.total_variation(output),
            "range": options.range_weight * losses.range_penalty(output),
        }
        if self.guide is not None:
            with torch.no_grad():
                dtype = self.guide.head.weight.dtype
                shown = self.guide(photos, weights.to(dtype)).float()
            terms["guide"] = options.guide_weight * losses.content_loss(output, shown)
        return terms

    def _roll_back(self, loader: ThreadPoolExecutor, terms: dict[str, float]) -> Future[Tensor]:
        failed, rollbacks = self.step, self.rollbacks + 1
        if rollbacks > MAX_ROLLBACKS:
            flattest = self.paintings[int(self.deviations.argmin())].record.name
            raise TrainingFailed(
                f"step {failed}: loss {terms['loss']:.4g}, output deviation "
                f"{terms['deviation']:.4g} of style {flattest!r}, also after {MAX_ROLLBACKS} "
                "roll-backs: lower the learning rate or the style weight"
            )
        elapsed = self.elapsed
        self.load_checkpoint()
        self.rollbacks, self.elapsed, self._settled = rollbacks, elapsed, True
        self.save_checkpoint()
        return loader.submit(self.photos.batch, self.step, self.options.batch)

    def _log(self, terms: dict[str, float]) -> None:
        new = not self._log_path.exists()
        with self._log_path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, LOG_COLUMNS, restval="", lineterminator="\n")
            if new:
                writer.writeheader()
            row: dict[str, str | int] = {key: f"{value:.6g}" for key, value in terms.items()}
            writer.writerow(row | {"step": self.step, "seconds": f"{self.elapsed:.2f}"})

    def _trim_log(self) -> None:
        """Drop the rows after the checkpoint, whose steps are taken again, and half a last row."""
        if not self._log_path.exists():
            return
        lines = self._log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        rows = [row for row in (line.split(",") for line in lines) if len(row) == len(LOG_COLUMNS)]
        kept = [row for row in rows if row[0].isdecimal() and int(row[0]) <= self.step]
        text = "".join(f"{','.join(row)}\n" for row in (LOG_COLUMNS, *kept))
        write_atomically(self._log_path, text.encode())

    def save_checkpoint(self) -> None:
        """Write all that a resumed run needs, atomically."""
        buffer = BytesIO()
        torch.save(
            {
                "net": self.net.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "elapsed": self.elapsed,
                "rollbacks": self.rollbacks,
                "deviations": self.deviations,
                "workers": self.options.workers,
                "identity": self.identity,
            },
            buffer,
        )
        write_atomically(self.checkpoint, buffer.getvalue())

    def load_checkpoint(self) -> None:
        """Take up the state of checkpoint.pt, with as many workers as it was written with, and
        drop what the log holds of later steps. Raise CheckpointError where it is damaged or of
        a run with other options, paintings, teachers, photos or another network.
        """
        try:
            state: dict[str, Any] = torch.load(
                self.checkpoint, map_location=self.device, weights_only=True
            )
            other = [key for key, own in self.identity.items() if state["identity"][key] != own]
        except (RuntimeError, EOFError, UnpicklingError, LookupError, TypeError, ValueError) as e:
            raise CheckpointError(f"{self.checkpoint} is damaged, or of another version") from e
        if other:
            raise CheckpointError(f"{self.checkpoint} was made with other {' and '.join(other)}")
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.elapsed = state["step"], state["elapsed"]
        self.rollbacks, self.deviations = state["rollbacks"], state["deviations"].cpu()
        self.options = replace(self.options, workers=state["workers"])
        self._trim_log()

    def _identity(self) -> dict[str, str]:
        """What makes this run this run: digests of all that its result depends on."""
        options = {k: v for k, v in asdict(self.options).items() if k not in FREE_OPTIONS}
        nets = [self.net, *([self.guide] if self.guide is not None else [])]
        parts = {
            "options": options,
            "paintings": [
                (p.record.name, p.weight, p.side, p.trim, _file_digest(p.path))
                for p in self.paintings
            ],
            "judges": [
                (t.style, t.content, t.every, digest(t.encoder.state_dict())) for t in self.teachers
            ],
            "photos": [(str(path.resolve()), path.stat().st_size) for path in self.photos.paths],
            "networks to start from": [
                (net.spec.to_json(), digest(net.state_dict())) for net in nets
            ],
        }
        texts = {key: json.dumps(value) for key, value in parts.items()}
        return {key: hashlib.sha256(text.encode()).hexdigest() for key, text in texts.items()}

    def preview(self) -> Path | None:
        """Draw the preview photos in every style; one row a photo. None without photos."""
        if not self.previews:
            return None
        rows = []
        self._make_replicas()
        self._copy_weights()
        net = self.replicas[0]
        with torch.no_grad():
            for photo in self.previews:
                shown = photo.to(self.device)
                results = [
                    net(shown, self.net.one_hot(style)).float().cpu()
                    for style in range(self.net.styles)
                ]
                rows.append([photo, *results])
        path = self.out_dir / f"preview-{self.step:06d}.png"
        write_grid(path, rows)
        return path

    def save(self) -> Path:
        """Write the styles file."""
        path = self.out_dir / f"{self.net.spec.name}.safetensors"
        options = json.dumps(asdict(self.options))
        save_styles(
            path,
            self.net,
            [p.record for p in self.paintings],
            **{**self.metadata, "options": options, "steps": str(self.step)},
        )
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


def _groups(net: StyleNetwork) -> list[dict[str, Any]]:
    """Optimizer groups: a style's own few numbers see only its share of the rows, and learn
    faster to part from the others.
    """
    own = [p for norm in net.norms() for p in (norm.gamma, norm.beta)]
    shared = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    weights = [p for conv in shared for p in conv.parameters()]
    return [{"params": weights, "factor": 1.0}, {"params": own, "factor": STYLE_RATE}]


def _half(net: StyleNetwork, dtype: torch.dtype) -> StyleNetwork:
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.to(dtype)
    return net


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _single_thread() -> None:
    torch.set_num_threads(1)


def _healthy(terms: dict[str, float]) -> bool:
    finite = all(np.isfinite(value) for value in terms.values())
    return finite and terms["deviation"] > MIN_OUTPUT_STD


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    if precision == "auto":
        return torch.bfloat16 if native_bf16(device) else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32
