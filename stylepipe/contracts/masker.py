"""What the engine relies on in a masker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from stylepipe.components import Masker
from stylepipe.contracts.base import ComponentContract, scene
from stylepipe.styles import parse_style
from stylepipe.types import Batch, Frame, Item

if TYPE_CHECKING:
    import torch


class MaskerContract(ComponentContract):
    """What the engine relies on in a masker."""

    component: ClassVar[type[Masker]]
    sizes: ClassVar[Sequence[tuple[int, int]]] = ((64, 48), (53, 37), (1, 1), (1, 40))

    @pytest.fixture
    def item(self, tmp_path: Path) -> Item:
        """The item the frames belong to; the file does not exist."""
        return Item(0, tmp_path / "photo.png", tmp_path, tmp_path / "out" / "photo.png")

    @staticmethod
    def frames(width: int, height: int, deep: bool = False) -> list[Frame]:
        """Two frames, one of them half transparent."""
        import numpy as np

        pixels = [scene(width, height, seed=k) for k in range(2)]
        alpha = np.zeros((height, width), np.uint8)
        alpha[:, width // 2 :] = 255
        a, b, cover = (p.astype(np.uint16) * 257 if deep else p for p in (*pixels, alpha))
        return [Frame(a, None, 0), Frame(b, cover, 1)]

    def masks(self, masker: Any, item: Item, frames: Sequence[Frame]) -> torch.Tensor:
        """One call as the engine makes it."""
        import numpy as np
        import torch

        stacked = np.stack([f.pixels for f in frames]).astype(np.float32) / frames[0].white
        images = torch.from_numpy(stacked).permute(0, 3, 1, 2)
        result: torch.Tensor = masker.mask(Batch(images, item), frames)
        return result

    def test_regions_have_names_that_users_can_write(self, opened: Any, item: Item) -> None:
        if opened.regions is None:
            pytest.skip("one plane says where to paint")
        names = opened.regions_of(item)
        assert names and len(set(names)) == len(names)
        for name in names:
            assert parse_style(f"style@{name}").region == name, "letters, digits, - _ # only"

    def test_planes_of_a_frame_are_between_0_and_1(self, opened: Any, item: Item) -> None:
        """One a region; without regions one."""
        count = 1 if opened.regions is None else len(opened.regions_of(item))
        for width, height in self.sizes:
            for deep in (False, True):
                masks = self.masks(opened, item, self.frames(width, height, deep))
                assert masks.shape == (2, count, height, width)
                assert masks.is_floating_point()
                assert masks.min() >= 0 and masks.max() <= 1, "black is 0, white is 1"

    def test_same_frames_same_masks(self, opened: Any, item: Item) -> None:
        import torch

        frames = self.frames(*self.sizes[0])
        first = self.masks(opened, item, frames).clone()
        assert torch.equal(self.masks(opened, item, frames), first)

    def test_frames_are_left_alone(self, opened: Any, item: Item) -> None:
        import numpy as np

        frames = self.frames(*self.sizes[0])
        before = [(f.pixels.copy(), None if f.alpha is None else f.alpha.copy()) for f in frames]
        self.masks(opened, item, frames)
        for frame, (pixels, alpha) in zip(frames, before, strict=True):
            assert np.array_equal(frame.pixels, pixels)
            assert alpha is None or np.array_equal(frame.alpha, alpha)  # type: ignore[arg-type]
