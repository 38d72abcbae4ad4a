"""A plugin for tests: a stylizer that inverts, and can be held while it paints."""

import math
import time

import stylepipe

allowed = math.inf
"""Pictures that may be finished; tests set it."""
finished = 0


class Options(stylepipe.StylizerOptions):
    wait: float = stylepipe.option(0.0, "Seconds per picture.")
    steps: int = stylepipe.option(40, "Reports of progress per picture.")


class Slow(stylepipe.Stylizer):
    """Inverts, after a rest in which it reports progress."""

    name = "slow"
    Options = Options
    caps = stylepipe.Caps(needs_style=False)

    def open(self, context):
        self.context = context

    def stylize(self, batch):
        global finished
        for step in range(self.options.steps):
            time.sleep(self.options.wait / self.options.steps)
            self.context.progress(step / self.options.steps, f"step {step}")
        while finished >= allowed:
            self.context.progress(0.5, "step half")
            time.sleep(0.002)
        finished += 1
        return 1 - batch.images


@stylepipe.hookimpl
def stylepipe_components():
    return [Slow]
