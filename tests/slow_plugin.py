"""A plugin for tests: a stylizer that takes its time, and tells how far it is."""

import time

import stylepipe


class Options(stylepipe.StylizerOptions):
    wait: float = stylepipe.option(0.0, "Seconds a picture.")
    steps: int = stylepipe.option(40, "Words of progress.")


class Slow(stylepipe.Stylizer):
    """Inverts, after a rest in which it tells how far it is."""

    name = "slow"
    Options = Options
    caps = stylepipe.Caps(needs_style=False)

    def open(self, context):
        self.context = context

    def stylize(self, batch):
        for step in range(self.options.steps):
            time.sleep(self.options.wait / self.options.steps)
            self.context.progress(step / self.options.steps, f"step {step}")
        return 1 - batch.images


@stylepipe.hookimpl
def stylepipe_components():
    return [Slow]
