"""What the engine relies on in a stylizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from stylepipe import guard
from stylepipe.components import StyleRef, Stylizer
from stylepipe.contracts.base import ComponentContract, MakeFile, scene
from stylepipe.contracts.film import DONE, clip, film
from stylepipe.errors import UsageError
from stylepipe.types import Batch, Guide, Item

if TYPE_CHECKING:
    import torch


class StylizerContract(ComponentContract):
    """What the engine relies on in a stylizer."""

    component: ClassVar[type[Stylizer]]
    styles: ClassVar[Sequence[StyleRef]] = ()
    """What to prepare it with, where it needs one; by default its first bundled style, or a
    painting that is made."""
    sizes: ClassVar[Sequence[tuple[int, int]]] = ((64, 48), (53, 37), (16, 90))
    """Widths and heights to try, beside the smallest one that its caps allow."""
    tolerance: ClassVar[float] = 2e-3
    """Difference allowed where two results should be the same picture, in units of white."""
    overshoot: ClassVar[float] = 0.1
    """Share of a result's values that may miss [0, 1] by more than 0.1: the engine clamps them."""

    @pytest.fixture
    def ready(self, opened: Any, make_photo: MakeFile) -> Any:
        """The stylizer with its style prepared, at the start of a clip."""
        styles = self.styles
        if self.component.caps.needs_style and not styles:
            bundled = [style.name for style in self.component.styles()]
            name = bundled[0] if bundled else str(make_photo("painting.png", (96, 64), seed=5))
            styles = [StyleRef(name, 1.0)]
        opened.prepare(styles)
        opened.reset(self.item())
        return opened

    @staticmethod
    def item() -> Item:
        """An item for batches; the file does not exist."""
        return Item(0, Path("in/photo.png"), Path("in"), Path("out/photo.png"))

    def batch(self, width: int, height: int, count: int = 1, seed: int = 0) -> Batch:
        """Textured frames."""
        import numpy as np
        import torch

        frames = np.stack([scene(width, height, seed=seed + k) for k in range(count)])
        images = torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous().float() / 255
        return Batch(images, self.item())

    def all_sizes(self) -> list[tuple[int, int]]:
        """The sizes to try: none has a side shorter than the caps allow."""
        least = self.component.caps.min_side
        fitting = [(max(w, least), max(h, least)) for w, h in self.sizes]
        return [*fitting, (least, least), (least, least + 7)]

    def paint(self, stylizer: Any, batch: Batch) -> torch.Tensor:
        """One call as the engine makes it."""
        import torch

        stylizer.reset(batch.item)
        with torch.inference_mode():
            result: torch.Tensor = stylizer.stylize(batch)
        return result

    def test_result_has_the_size_of_the_batch(self, ready: Any) -> None:
        import torch

        for width, height in self.all_sizes():
            batch = self.batch(width, height)
            result = self.paint(ready, batch)
            scale = self.component.caps.scale
            assert result.shape == (1, 3, scale * height, scale * width), f"at {width}x{height}"
            assert result.is_floating_point(), "integers belong to files, floats to the model"
            assert torch.isfinite(result).all(), f"not a number at {width}x{height}"

    def test_flat_pictures_stay_finite(self, ready: Any) -> None:
        import torch

        for value in (0.0, 0.5, 1.0):
            batch = self.batch(48, 48)
            batch.images.fill_(value)
            assert torch.isfinite(self.paint(ready, batch)).all(), f"all pixels {value}"

    def test_values_lie_between_0_and_1(self, ready: Any) -> None:
        batch = self.batch(64, 48)
        for value in (None, 0.0, 0.5, 1.0):
            if value is not None:
                batch.images.fill_(value)
            result = guard.painted(self.paint(ready, batch), batch.images, ready)
            outside = float(((result < -0.1) | (result > 1.1)).float().mean())
            assert outside <= self.overshoot, (
                f"{outside:.0%} of the values lie outside [0, 1]; they go from "
                f"{float(result.min()):.3g} to {float(result.max()):.3g}"
            )

    def test_a_clip_after_another_is_painted_as_if_alone(self, ready: Any) -> None:
        import torch

        def clip(seed: int) -> list[torch.Tensor]:
            ready.reset(self.item())
            with torch.inference_mode():
                return [ready.stylize(self.batch(64, 48, 1, seed + k)).clone() for k in range(3)]

        first, _, again = clip(0), clip(7), clip(0)
        for a, b in zip(first, again, strict=True):
            assert (a - b).abs().max() <= self.tolerance, "reset must forget the clip before"

    def test_an_interrupted_film_resumes_to_the_same_bytes(self, ready: Any) -> None:
        side = max(48, self.component.caps.min_side)
        frames = clip(side, side)
        straight = film(ready, None, frames)
        for a, b in zip(
            straight[DONE:], film(ready, None, frames, DONE, straight[DONE - 1]), strict=True
        ):
            assert (a.pixels == b.pixels).all(), (
                f"frame {b.number} differs where the film is resumed: its result depends on frames "
                "before it, which Caps(warmup=...) must say, or on what reset() does not forget"
            )

    def test_input_is_left_alone(self, ready: Any) -> None:
        import torch

        batch = self.batch(64, 48)
        before = batch.images.clone()
        self.paint(ready, batch)
        assert torch.equal(batch.images, before), "the engine needs the photo for masks and colors"

    def test_same_input_same_result(self, ready: Any) -> None:
        first = self.paint(ready, self.batch(64, 48)).clone()
        self.paint(ready, self.batch(53, 37))
        again = self.paint(ready, self.batch(64, 48))
        assert (first - again).abs().max() <= self.tolerance, "an interrupted run must resume alike"

    def test_frames_of_a_batch_do_not_mix(self, ready: Any) -> None:
        if self.component.caps.batch == 1:
            pytest.skip("takes one frame at a time")
        both = self.batch(64, 48, 2)
        together = self.paint(ready, both).clone()
        for k in range(2):
            alone = self.paint(ready, Batch(both.images[k : k + 1], both.item))
            assert (together[k : k + 1] - alone).abs().max() <= self.tolerance

    def test_native_mask_of_ones_is_no_mask(self, ready: Any) -> None:
        if self.component.caps.masks != "native":
            pytest.skip("the engine composites masks for it")
        batch = self.batch(64, 48)
        plain = self.paint(ready, batch).clone()
        batch.masks = batch.images.new_ones(1, 1, 48, 64)
        assert (self.paint(ready, batch) - plain).abs().max() <= self.tolerance

    def test_native_region_that_is_everywhere_is_no_region(self, ready: Any) -> None:
        if self.component.caps.regions != "native" or len(self.styles) > 1:
            pytest.skip("the engine composites regions for it, or it blends several styles")
        batch = self.batch(64, 48)
        plain = self.paint(ready, batch).clone()
        batch.masks, batch.regions = batch.images.new_ones(1, 1, *batch.images.shape[2:]), ("all",)
        assert (self.paint(ready, batch) - plain).abs().max() <= self.tolerance

    def test_native_guide_without_trust_is_no_guide(self, ready: Any) -> None:
        if self.component.caps.temporal != "native":
            pytest.skip("the engine blends guides for it")
        batch = self.batch(64, 48)
        plain = self.paint(ready, batch).clone()
        batch.guide = Guide(1 - batch.images, batch.images.new_zeros(1, 1, 48, 64))
        assert (self.paint(ready, batch) - plain).abs().max() <= self.tolerance

    def test_missing_and_unknown_styles_are_refused(self, opened: Any) -> None:
        if not self.component.caps.needs_style:
            pytest.skip("needs no style")
        unknown = [StyleRef("no-such-style", 1.0)]
        with pytest.raises(UsageError):
            opened.check(unknown)
        for styles in ((), unknown):  # what was there at the check may be gone by now
            with pytest.raises(UsageError):
                opened.prepare(styles)

    def test_names_of_bundled_styles_are_unique(self) -> None:
        names = [style.name for style in self.component.styles()]
        assert len(set(names)) == len(names)
