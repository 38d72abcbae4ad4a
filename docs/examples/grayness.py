"""A loss for gatys, and a preset that uses it.

stylepipe gatys PHOTOS -o OUT --style PAINTING --grayness-weight 50 --plugin grayness.py
"""

from pathlib import Path

from stylepipe import hookimpl
from stylepipe.nst.terms import PictureTerm, register


@register
class Grayness(PictureTerm):
    """Mean squared distance of the colors to gray."""

    name = "grayness"
    help = "Weight of grayness: fewer colors."

    def __init__(self, weight):
        self.weight = weight

    @classmethod
    def build(cls, inputs, weight):
        return cls(weight)

    def part(self, strip):
        own = strip.own()  # N3hW: the rows of the picture that are this strip's own
        spread = (own - own.mean(1, keepdim=True)).square().mean((1, 2, 3))
        return spread * own.shape[2] / strip.height  # the parts of all strips sum to the mean


@hookimpl
def stylepipe_presets():
    return [Path(__file__).with_name("gray-presets")]
