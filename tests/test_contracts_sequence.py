"""The contracts of films: what keeps a state, and does not say so, is found."""

import fakes
import numpy as np
import pytest
import torch
from stylepipe_plugins.flow_dis import DisFlow
from stylepipe_plugins.temporal_warp import Warp
from test_film import BothWays, Circular, Decay, Delayed, Fade, Median, Native, Recurrent

from stylepipe import Caps, ItemError, Options
from stylepipe.testing import StylizerContract, TemporalContract


class TestWarp(TemporalContract):
    component = Warp
    flow = DisFlow


@pytest.mark.parametrize("method", [Median, Decay, Fade, BothWays])
def test_methods_of_each_mode_pass(method):
    contract = TemporalContract()
    contract.component, made = method, method(Options())
    contract.test_says_how_it_works(made)
    contract.test_every_frame_has_a_result_of_its_size(made)
    contract.test_an_interrupted_film_resumes_to_the_same_bytes(made)
    contract.test_frames_are_left_alone(made)


def check(stylizer):
    """The contract's test of resuming."""
    contract = StylizerContract()
    made = stylizer(stylizer.Options())
    made.prepare([])
    contract.component = stylizer
    contract.test_an_interrupted_film_resumes_to_the_same_bytes(made)


@pytest.mark.parametrize("stylizer", [fakes.Negative, Recurrent, Delayed, Native, Circular])
def test_stylizers_that_say_what_they_remember_pass(stylizer):
    check(stylizer)


class Forgetful(Recurrent):
    """Says nothing of its state."""

    caps = Caps(needs_style=False)


class Short(Delayed):
    """Says too little of it."""

    caps = Caps(needs_style=False, warmup=1)


class Sticky(Recurrent):
    """Does not forget on reset."""

    mean = None

    def reset(self, item):
        pass


@pytest.mark.parametrize("stylizer", [Forgetful, Short, Sticky])
def test_a_state_that_is_not_told_of_is_found(stylizer):
    with pytest.raises(AssertionError, match="differs where the film is resumed"):
        check(stylizer)


class Counting(Median):
    """Its results depend on how many there were."""

    def filter(self, window, at, previous):
        self.calls = getattr(self, "calls", 0) + 1
        return np.clip(window[at].pixels.astype(int) + self.calls, 0, 255).astype(np.uint8)


class Overlong(BothWays):
    """Loses a frame."""

    def paint_shot(self, frames, paint):
        return super().paint_shot(frames, paint)[1:]


class Doubtless(Warp):
    """Trusts twice."""

    def guide(self, motion, result, device):
        guide = super().guide(motion, result, device)
        guide.trust = guide.trust * 2 + torch.ones_like(guide.trust)
        return guide


class Painting(BothWays):
    """Paints on the source."""

    def paint_shot(self, frames, paint):
        for frame in frames:
            frame.pixels += 1
        return super().paint_shot(frames, paint)


@pytest.mark.parametrize(
    ("method", "test", "error"),
    [
        (Counting, "an_interrupted_film_resumes_to_the_same_bytes", "must keep nothing"),
        (Overlong, "every_frame_has_a_result_of_its_size", "returned 0 pictures"),
        (Doubtless, "guides_have_the_frames_size_and_trust_between_0_and_1", "trust"),
        (Painting, "frames_are_left_alone", "all"),
    ],
)
def test_broken_methods_are_found(method, test, error):
    contract = TemporalContract()
    contract.component = method
    flow = contract.flow(Options()) if method.uses_flow else None
    with pytest.raises((AssertionError, ItemError), match=error):
        getattr(contract, f"test_{test}")(method(method.Options(), flow))
