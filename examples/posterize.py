"""A stylizer in one file: stylepipe posterize PHOTOS -o OUT --plugin examples/posterize.py"""

from stylepipe import Caps, Stylizer, StylizerOptions, hookimpl, option


class PosterizeOptions(StylizerOptions):
    levels: int = option(5, "Tones of each color.", min=2, max=64)
    ink: float = option(0.8, "Darkness of the outlines.", min=0, max=1)


class Posterize(Stylizer):
    """Flat tones with inked outlines, like a screen print."""

    name = "posterize"
    Options = PosterizeOptions
    caps = Caps(needs_style=False)

    def stylize(self, batch):
        from torch.nn.functional import avg_pool2d, max_pool2d

        x = avg_pool2d(batch.images, 5, 1, 2, count_include_pad=False)
        flat = (x * (self.options.levels - 1)).round() / (self.options.levels - 1)
        edges = (max_pool2d(x, 3, 1, 1) + max_pool2d(-x, 3, 1, 1)).amax(1, keepdim=True)
        return flat * (1 - self.options.ink * (edges * 6 - 0.3).clamp(0, 1))


@hookimpl
def stylepipe_components():
    return [Posterize]
