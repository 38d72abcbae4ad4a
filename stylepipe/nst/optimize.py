"""The image loop: a picture is changed step by step until an objective is small, coarse to fine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, inf, isfinite, nan, pi, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from stylepipe.memory import trim_allocator

from .objective import Objective
from .recipe import LoopOptions

Size = tuple[int, int]
RATES = {"adam": 0.02, "adamw": 0.02, "lbfgs": 1.0, "sgd": 0.005}
BETAS = (0.9, 0.99)
LONGEST = 0.05
"""Mean absolute change of the values by one step of L-BFGS, at most. Without a line search its
first steps, whose curvature is that of a point, go far too far: a Gram error is of fourth
order."""
HISTORY = 1 << 30
"""Bytes for what L-BFGS remembers: with 100 steps of it a low loss takes fewer than with 10."""
MIN_HISTORY = 10
WINDOW = 20
"""Steps whose mean loss is compared with that of as many before, to see whether it still falls."""
MAX_ROLLBACKS = 4
SHRINK = 0.25
"""What the rate is multiplied by after each."""
DECAY = 0.01
"""Of adamw, by step and rate: how far it is drawn back."""
LARGE = 64 << 20
"""Bytes of a picture beside which every block counts."""
EXPLODED = 100.0
"""A loss so many times the lowest one is on its way to infinity, unless both are small."""


class Diverged(RuntimeError):
    """The loss became infinite or NaN, again and again."""


@dataclass(frozen=True)
class Step:
    """What a callback receives after each step."""

    number: int
    """From 1 to `steps`, over all sizes; where a size ends early, its last one stands for all that
    were left."""
    steps: int
    size: Size
    terms: dict[str, float]
    """Weighted, mean over the batch, of the picture that the step began with."""
    picture: Callable[[], Tensor]
    """What the result would be now, N 3 h w in [0,1]."""

    @property
    def loss(self) -> float:
        return sum(self.terms.values())


def sizes(height: int, width: int, first: int, factor: float = sqrt(2.0)) -> list[Size]:
    """Sizes from one whose long side is about `first` up to the full one, by about `factor`.

    first: 0, or as long as the picture: the full size alone.
    """
    longest, found = max(height, width), [(height, width)]
    side = longest / factor
    while first and side >= first:
        found.append(
            (max(1, round(height * side / longest)), max(1, round(width * side / longest)))
        )
        side /= factor
    return found[::-1]


def optimize(
    start: Tensor,
    stages: Sequence[Size],
    objective: Callable[[Size], Objective],
    options: LoopOptions,
    on_step: Callable[[Step], None] | None = None,
    enter: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Optimize a picture over the stages' sizes, and return it in the last, N 3 H W in [0,1].

    start: N 3 h w in [0,1], of any size. objective: makes the objective of a size. enter: changes
    the picture that a size begins with, N 3 h w in [0,1]. Raises Diverged when the loss explodes
    and smaller steps do not help.
    """
    loop = _Loop(options, on_step, start.detach(), enter)
    del start  # of large pictures no copy is held that is not needed
    share = options.steps // len(stages)
    for index, size in enumerate(stages):
        last = index == len(stages) - 1
        steps = options.steps - share * index if last else share
        if steps:
            loop.run(size, objective(size), steps, last)
    return loop.picture


def history(values: int) -> int:
    """Steps of L-BFGS that are remembered of a picture of so many values: 100, as torch does by
    itself, where they take no more than HISTORY bytes; 10 at least."""
    return min(100, max(MIN_HISTORY, HISTORY // (8 * values)))


def resize(picture: Tensor, size: Size) -> Tensor:
    """Bicubic, antialiased where it shrinks, cut to [0,1]."""
    if picture.shape[-2:] != size:
        return F.interpolate(picture, size, mode="bicubic", antialias=True).clamp_(0.0, 1.0)
    return picture.clamp(0.0, 1.0)


_AdamState = tuple[int, Tensor, Tensor]


class _Loop:
    def __init__(
        self,
        options: LoopOptions,
        on_step: Callable[[Step], None] | None,
        picture: Tensor,
        enter: Callable[[Tensor], Tensor] | None,
    ) -> None:
        self.options, self.on_step, self._enter = options, on_step, enter
        self.picture = picture
        """What a size begins with, and then its mean iterate."""
        self._moments: _AdamState | None = None
        self._unit = 0.0
        """The first of printed losses, which may be of any size; 0 before that."""
        self.rate = options.learning_rate or RATES[options.optimizer]
        self.number = 0
        self.rollbacks = 0

    def run(self, size: Size, objective: Objective, steps: int, last: bool) -> None:
        """One size. Takes the picture and Adam's moments from the size before."""
        # L-BFGS looks at its leaf as one long vector, and fails on a channels-last one.
        begin = resize(self.picture, size)
        if self._enter is not None:
            begin = self._enter(begin)
        leaf = begin.contiguous().requires_grad_()
        del begin  # of large pictures no copy is held that is not needed
        self.picture = leaf.detach()
        optimizer = self._optimizer(leaf, self._moments)
        self._moments = None
        mean = _Mean(self._decay(steps), torch.zeros_like(leaf))
        lbfgs = self.options.optimizer == "lbfgs"
        # In half the bits: seldom needed, and near enough then.
        safe, before = leaf.detach().bfloat16(), leaf.detach().bfloat16()
        start = leaf.detach().clone() if self.options.optimizer == "adamw" else safe
        tried = best = leaf.detach().clone() if lbfgs else safe
        if leaf.nbytes >= LARGE:
            trim_allocator()  # what the size before has left: blocks of tiles would lie beside it
        losses: list[float] = []
        done = 0
        while done < steps:
            if done % WINDOW == 0:
                before.copy_(leaf.detach())
            if lbfgs:
                tried = leaf.detach().clone()
            for group in optimizer.param_groups:
                group["lr"] = self._rate(done / steps, last)
            terms = self._step(optimizer, leaf, objective)
            loss = sum(terms.values())
            usual = objective.weight if objective.relative else self._unit
            high = max(EXPLODED * min(losses, default=loss), usual)
            if lbfgs:
                _shorten(optimizer, leaf, tried)
            # Adam's steps are finite where the gradient is.
            lost = lbfgs and not bool(leaf.isfinite().all())
            if not isfinite(loss) or loss > high > 0 or lost:
                self._roll_back()
                with torch.no_grad():
                    leaf.copy_(safe)
                optimizer = self._optimizer(leaf, None)
                continue
            if done % WINDOW == 0:  # only now is its loss known to be sound
                safe, before = before, safe
            best = tried if loss < min(losses, default=inf) else best
            losses.append(loss)
            taken = steps - done if self._settled(losses) else 1
            done, self.number = done + taken, self.number + taken
            with torch.no_grad():
                if self.options.optimizer == "adamw":
                    # Decoupled (Loshchilov, Hutter 2019), of the difference to the start.
                    leaf.lerp_(start, DECAY * optimizer.param_groups[0]["lr"])
                if not lbfgs:
                    leaf.clamp_(0.0, 1.0)
                mean.add(leaf)
            if self.on_step is not None:
                now = Step(self.number, self.options.steps, size_of(leaf), terms, mean.value)
                self.on_step(now)
        leaf.grad = None
        if lbfgs and not _loss(objective, leaf) < min(losses):
            # Each step is judged by the next one; this was the last.
            self.picture = best.clamp(0.0, 1.0)
        else:
            self.picture = mean.value()
        self._moments = None if last else _carried(optimizer, leaf)

    def _roll_back(self) -> None:
        """Continue with a smaller rate. Raises Diverged."""
        self.rollbacks += 1
        if self.rollbacks > MAX_ROLLBACKS:
            raise Diverged(
                f"the loss exploded {self.rollbacks} times, at last in step {self.number + 1}; "
                "take a smaller learning rate or smaller weights"
            )

    def _step(
        self, optimizer: torch.optim.Optimizer, leaf: Tensor, objective: Objective
    ) -> dict[str, float]:
        found: dict[str, float] = {}

        def closure() -> float:
            # One gradient for all steps: between blocks of tiles the heap would have no place of
            # its size again.
            values, leaf.grad = objective(leaf, leaf.grad)
            # Terms are means: by pixel their gradient shrinks as the picture grows, below the
            # least curvature of torch.optim.LBFGS (1e-10) and the epsilon of Adam (1e-8), whose
            # moments could not be carried to the next size either. Sums have neither trouble;
            # and small weights must not bring it back.
            scale = self._scale(objective, leaf, values)
            leaf.grad *= scale
            # All in one transfer: each one waits for the device.
            sums, means = [v.sum() for v in values.values()], [v.mean() for v in values.values()]
            # One pass and no copy: what is not finite survives the sum.
            finite = leaf.grad.sum().isfinite().to(sums[0])
            numbers = torch.stack([finite, *sums, *means]).tolist()
            found.update(zip(values, numbers[1 + len(sums) :], strict=True))
            # Not finite: the optimizer must not see it, or its memory is lost too.
            if not numbers[0]:
                leaf.grad.zero_()
                found["loss"] = nan
            return float(scale * sum(numbers[1 : 1 + len(sums)]))

        optimizer.step(closure)
        return found

    def _scale(self, objective: Objective, leaf: Tensor, values: dict[str, Tensor]) -> float:
        """What the gradient is multiplied by."""
        if objective.relative:
            return leaf.numel() / objective.weight
        if not self._unit:
            first = _mean(values)
            self._unit = first if isfinite(first) else 0.0
        if self.options.optimizer == "sgd" or not self._unit:
            return 1.0  # plain gradient descent, as printed
        # Squares of the gradients themselves would leave float32's range.
        return leaf.numel() / self._unit

    def _optimizer(self, leaf: Tensor, moments: _AdamState | None) -> torch.optim.Optimizer:
        if self.options.optimizer == "lbfgs":
            # One evaluation a step; without a line search, as is usual for this task.
            return torch.optim.LBFGS(
                [leaf],
                lr=self.rate,
                max_iter=1,
                history_size=history(leaf.numel()),
                tolerance_grad=0.0,
                tolerance_change=0.0,
            )
        if self.options.optimizer == "sgd":
            return torch.optim.SGD([leaf], lr=self.rate)
        # Fused: in one pass, without the two copies that its steps make otherwise.
        fused = leaf.device.type in ("cpu", "cuda")
        optimizer = torch.optim.Adam([leaf], lr=self.rate, betas=BETAS, fused=fused)
        if moments is not None:
            step, first, second = moments
            size = size_of(leaf)
            optimizer.state[leaf] = {
                "step": torch.tensor(float(step), device=leaf.device if fused else None),
                "exp_avg": F.interpolate(first, size, mode="bicubic"),
                "exp_avg_sq": F.interpolate(second, size, mode="bilinear"),
            }
        return optimizer

    def _rate(self, fraction: float, last: bool) -> float:
        scale = SHRINK**self.rollbacks
        if last and self.options.schedule == "cosine" and self.options.optimizer != "lbfgs":
            # Ends at a tenth, not at zero: the mean of the iterates is already quiet.
            scale *= 0.1 + 0.9 * (0.5 + 0.5 * cos(pi * fraction))
        return self.rate * scale

    def _decay(self, steps: int) -> float:
        if self.options.optimizer == "lbfgs":
            return 0.0
        # A mean over more than a sixth of the steps would still hold the picture they began with.
        return min(self.options.average, max(0.0, 1.0 - 6.0 / steps))

    def _settled(self, losses: list[float]) -> bool:
        if not self.options.tolerance or len(losses) < 2 * WINDOW:
            return False
        before, now = sum(losses[-2 * WINDOW : -WINDOW]), sum(losses[-WINDOW:])
        return now > (1.0 - self.options.tolerance) * before


class _Mean:
    """Running mean of iterates, corrected for its start (Kingma, Ba 2015, sec. 3)."""

    def __init__(self, decay: float, zeros: Tensor) -> None:
        self.decay, self.weight, self.sum = decay, 1.0, zeros

    def add(self, picture: Tensor) -> None:
        self.weight *= self.decay
        self.sum.mul_(self.decay).add_(picture, alpha=1.0 - self.decay)

    def value(self) -> Tensor:
        return self.sum.detach().div(1.0 - self.weight).clamp_(0.0, 1.0)


def size_of(picture: Tensor) -> Size:
    """Height and width of N C H W."""
    return picture.shape[-2], picture.shape[-1]


def _loss(objective: Objective, picture: Tensor) -> float:
    """The mean over the batch, as Step.loss is."""
    return _mean(objective(picture)[0])


def _mean(values: dict[str, Tensor]) -> float:
    """The mean over the batch of the sum of terms."""
    return float(torch.stack([v.mean() for v in values.values()]).sum())


@torch.no_grad()
def _shorten(optimizer: torch.optim.Optimizer, leaf: Tensor, before: Tensor) -> None:
    """Take back what a step of L-BFGS changed beyond LONGEST."""
    change = leaf - before
    length = float(change.abs().mean())
    if length > LONGEST:
        share = LONGEST / length
        leaf.copy_(before + change * share)
        # It takes its step for t times its direction, and learns the curvature from that.
        optimizer.state[leaf]["t"] *= share


def _carried(optimizer: torch.optim.Optimizer, leaf: Tensor) -> _AdamState | None:
    state = optimizer.state.get(leaf, {})
    if "exp_avg" not in state:
        return None
    return int(state["step"]), state["exp_avg"], state["exp_avg_sq"]
