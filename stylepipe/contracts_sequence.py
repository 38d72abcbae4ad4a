"""What the engine relies on from frame to frame, as tests to derive from: see stylepipe.testing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from stylepipe import contracts
from stylepipe.components import Caps, Flow, Stylizer, Temporal
from stylepipe.types import Batch, Frame, Item

if TYPE_CHECKING:
    import torch

_ITEM = Item(0, Path("in/clip.mp4"), Path("in"), Path("out/clip.mp4"))
_DONE = 3


def clip(width: int, height: int, deep: bool = False, count: int = 6) -> list[Frame]:
    """Textured frames of one shot, in which everything moves to the right by two pixels a frame."""
    import numpy as np

    pixels = [contracts.scene(width, height, time=k) for k in range(count)]
    return [Frame(p.astype(np.uint16) * 257 if deep else p, index=k) for k, p in enumerate(pixels)]


def film(
    stylizer: Stylizer,
    temporal: Temporal | None,
    frames: Sequence[Frame],
    done: int = 0,
    last: Frame | None = None,
) -> list[Frame]:
    """The results of a shot from frame number ``done`` on, as the engine makes them.

    ``last`` is the last of the results that are done.
    """
    from stylepipe.device import pick
    from stylepipe.film import Film, link
    from stylepipe.job import OutputOptions, Settings
    from stylepipe.paint import Painter

    settings = Settings("", (), None, stylizer, temporal, (), OutputOptions.build({}))
    painter = Painter(settings, pick("cpu", "full"))
    first = 0 if painter.warmup == "shot" else max(0, done - painter.warmup)
    painter.reset(_ITEM)
    made = Film(painter, _ITEM, done, last, 1 << 30, threading.Event())
    previous = frames[first - 1] if first else None
    results: list[Frame] = []
    for frame in frames[first:]:
        results += made.add(frame, link(frame, previous, temporal) if previous else None)
        previous = frame
    return [*results, *made.end_shot()]


class StylizerContract(contracts.StylizerContract):
    """What the engine relies on in a stylizer."""

    def test_an_interrupted_film_resumes_to_the_same_bytes(self, ready: Any) -> None:
        side = max(48, self.component.caps.min_side)
        frames = clip(side, side)
        straight = film(ready, None, frames)
        for a, b in zip(
            straight[_DONE:], film(ready, None, frames, _DONE, straight[_DONE - 1]), strict=True
        ):
            assert (a.pixels == b.pixels).all(), (
                f"frame {b.index} differs where the film is resumed: its result depends on frames "
                "before it, which Caps(warmup=...) must say, or on what reset() does not forget"
            )


class _Negative(Stylizer):
    """Paints each frame for itself."""

    name, caps = "negative", Caps(needs_style=False)

    def stylize(self, batch: Batch) -> torch.Tensor:
        return 1 - batch.images


class _Still(Flow):
    """Says that nothing moves."""

    name = "still"

    def flow(self, a: Frame, b: Frame) -> torch.Tensor:
        import torch

        return torch.zeros(1, 2, *a.pixels.shape[:2])


class TemporalContract(contracts.ComponentContract):
    """What the engine relies on in a temporal method."""

    component: ClassVar[type[Temporal]]
    flow: ClassVar[type[Flow]] = _Still
    """What the method is made with, if it uses a flow."""
    sizes: ClassVar[Sequence[tuple[int, int]]] = ((64, 48), (53, 37), (1, 40))

    @pytest.fixture
    def made(self) -> Any:
        """The method with a flow, made but not opened."""
        flow = self.flow(self.flow.Options()) if self.component.uses_flow else None
        return self.component(self.component.Options.build(self.options), flow)

    def film(self, method: Any, frames: Sequence[Frame], *resumed: Any) -> list[Frame]:
        """The results with a stylizer that paints each frame for itself."""
        return film(_Negative(_Negative.Options()), method, frames, *resumed)

    def test_says_how_it_works(self, made: Any) -> None:
        assert self.component.mode in ("guide", "filter", "shot")
        assert made.lookahead >= 0 and (made.lookahead == 0 or self.component.mode == "filter")
        taken = {"use", "flow"} & {spec.name for spec in self.component.Options.specs()}
        assert not taken, f"{taken} are keys of [temporal] that belong to the engine"

    def test_every_frame_has_a_result_of_its_size(self, opened: Any) -> None:
        for width, height in self.sizes:
            for deep in (False, True):
                frames = clip(width, height, deep)
                for count in (1, 2, len(frames)):
                    results = self.film(opened, frames[:count])
                    assert [f.index for f in results] == list(range(count))
                    for frame, result in zip(frames, results, strict=False):
                        assert result.pixels.shape == frame.pixels.shape
                        assert result.pixels.dtype == frame.pixels.dtype

    def test_guides_have_the_frames_size_and_trust_between_0_and_1(self, opened: Any) -> None:
        if self.component.mode != "guide":
            pytest.skip("makes no guides")
        import torch

        for width, height in self.sizes:
            before, frame = clip(width, height)[:2]
            guide = opened.guide(opened.motion(frame, before), before, torch.device("cpu"))
            if guide is None:
                continue
            assert guide.warped.shape == (1, 3, height, width)
            assert guide.trust.shape == (1, 1, height, width)
            assert guide.flow is None or guide.flow.shape == (1, 2, height, width)
            assert torch.isfinite(guide.warped).all()
            assert guide.trust.min() >= 0 and guide.trust.max() <= 1

    def test_an_interrupted_film_resumes_to_the_same_bytes(self, opened: Any) -> None:
        frames = clip(*self.sizes[0])
        straight = self.film(opened, frames)
        resumed = self.film(opened, frames, _DONE, straight[_DONE - 1])
        for a, b in zip(straight[_DONE:], resumed, strict=True):
            assert (a.pixels == b.pixels).all(), (
                f"frame {b.index} differs where the film is resumed: the method must keep nothing "
                "from call to call, and see no further than lookahead"
            )

    def test_frames_are_left_alone(self, opened: Any) -> None:
        frames = clip(*self.sizes[0])
        before = [frame.pixels.copy() for frame in frames]
        self.film(opened, frames)
        assert all((f.pixels == b).all() for f, b in zip(frames, before, strict=True))
