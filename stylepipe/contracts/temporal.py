"""What the engine relies on in a temporal method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from stylepipe.components import Caps, Flow, Stylizer, Temporal
from stylepipe.contracts.base import ComponentContract
from stylepipe.contracts.film import DONE, clip, film
from stylepipe.types import Batch, Frame

if TYPE_CHECKING:
    import torch


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


class TemporalContract(ComponentContract):
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
        resumed = self.film(opened, frames, DONE, straight[DONE - 1])
        for a, b in zip(straight[DONE:], resumed, strict=True):
            assert (a.pixels == b.pixels).all(), (
                f"frame {b.number} differs where the film is resumed: the method must keep nothing "
                "from call to call, and see no further than lookahead"
            )

    def test_frames_are_left_alone(self, opened: Any) -> None:
        frames = clip(*self.sizes[0])
        before = [frame.pixels.copy() for frame in frames]
        self.film(opened, frames)
        assert all((f.pixels == b).all() for f, b in zip(frames, before, strict=True))
