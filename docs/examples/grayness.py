"""A loss for gatys: stylepipe gatys PHOTOS -o OUT -s PAINTING --plugin grayness.py ..."""

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
