"""What the engine relies on in an optical flow."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from stylepipe.components import Flow
from stylepipe.contracts.base import ComponentContract, scene
from stylepipe.types import Frame

if TYPE_CHECKING:
    import torch


class FlowContract(ComponentContract):
    """What the engine relies on in an optical flow."""

    component: ClassVar[type[Flow]]
    sizes: ClassVar[Sequence[tuple[int, int]]] = ((96, 64), (53, 37), (9, 120), (1, 1))
    accuracy: ClassVar[float] = 0.5
    """Pixels by which the median flow may miss a known motion of two pixels."""

    @staticmethod
    def pair(width: int, height: int, motion: int = 1) -> tuple[Frame, Frame]:
        """Two frames; the second is the first moved to the right by ``2 * motion`` pixels."""
        return Frame(scene(width, height)), Frame(scene(width, height, time=motion), index=1)

    def test_one_vector_a_pixel(self, opened: Any) -> None:
        import torch

        for width, height in self.sizes:
            flow = opened.flow(*self.pair(width, height))
            assert flow.shape == (1, 2, height, width)
            assert flow.dtype == torch.float32 and flow.device.type == "cpu"
            assert torch.isfinite(flow).all()

    def test_points_from_the_first_frame_to_the_second(self, opened: Any) -> None:
        flow = opened.flow(*self.pair(192, 144))
        dx, dy = flow[0, 0, 20:-20, 20:-20].median(), flow[0, 1, 20:-20, 20:-20].median()
        assert abs(dx - 2) <= self.accuracy, f"moved by (2, 0), flow says ({dx:.2f}, {dy:.2f})"
        assert abs(dy) <= self.accuracy, f"moved by (2, 0), flow says ({dx:.2f}, {dy:.2f})"

    def test_nothing_moves_between_equal_frames(self, opened: Any) -> None:
        flow = opened.flow(*self.pair(192, 144, motion=0))
        assert flow.abs().mean() < 0.1

    def test_sixteen_bits_move_like_eight(self, opened: Any) -> None:
        import numpy as np

        a, b = self.pair(192, 144)
        deep = [Frame(f.pixels.astype(np.uint16) * 257, index=f.index) for f in (a, b)]
        difference = (opened.flow(*deep) - opened.flow(a, b)).abs()
        assert difference.median() <= self.accuracy

    def test_several_threads_at_once(self, opened: Any) -> None:
        import torch

        pairs = [self.pair(96, 64, motion) for motion in range(4)]
        alone = [opened.flow(*pair) for pair in pairs]
        together: dict[int, torch.Tensor] = {}

        def work(k: int) -> None:
            for _ in range(3):
                together[k] = opened.flow(*pairs[k])

        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(together) == [0, 1, 2, 3], "a call from another thread failed"
        for k, flow in enumerate(alone):
            assert torch.allclose(together[k], flow, atol=1e-3), "threads disturb each other"

    def test_frames_are_left_alone(self, opened: Any) -> None:
        import numpy as np

        a, b = self.pair(96, 64)
        before = a.pixels.copy(), b.pixels.copy()
        opened.flow(a, b)
        assert np.array_equal(a.pixels, before[0]) and np.array_equal(b.pixels, before[1])
