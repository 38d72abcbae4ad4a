"""A filter of results: stylepipe run FILM -o OUT --temporal steady --plugin steady.py"""

from stylepipe import Options, Temporal, hookimpl, option


class SteadyOptions(Options):
    frames: int = option(3, "Frames before and after each that set its brightness.", min=1, max=50)


class Steady(Temporal):
    """Evens out the brightness of neighboring results."""

    name = "steady"
    mode = "filter"
    uses_flow = False
    Options = SteadyOptions

    def __init__(self, options, flow=None):
        super().__init__(options, flow)
        self.lookahead = options.frames

    def filter(self, window, at, previous):
        import numpy as np

        painted = window[at]
        means = [neighbor.pixels.mean() for neighbor in window]
        even = painted.pixels * (np.mean(means) / max(means[at], 1e-6))
        return even.round().clip(0, painted.frame.white).astype(painted.pixels.dtype)


@hookimpl
def stylepipe_components():
    return [Steady]
