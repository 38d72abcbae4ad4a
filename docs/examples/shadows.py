"""A masker in one file: stylepipe run PHOTOS -o OUT --plugin shadows.py --mask shadows:0.3"""

from stylepipe import Masker, Options, hookimpl, option


class ShadowsOptions(Options):
    below: float = option(0.5, "Lightness under which the picture is painted.", min=0, max=1)


class Shadows(Masker):
    """The dark parts of the picture."""

    name, argument = "shadows", "below"
    Options = ShadowsOptions

    def mask(self, batch, frames):
        lightness = batch.images.mean(1, keepdim=True)
        # a soft step, so that noise near the limit does not make the edge ragged
        return ((self.options.below - lightness) * 10 + 0.5).clamp(0, 1)


@hookimpl
def stylepipe_components():
    return [Shadows]
