"""A masker that finds regions: stylepipe run PHOTOS -o OUT --mask tones -s A@dark -s B@light

Photos and films alike: the regions are the same in every picture.
"""

from stylepipe import Masker, hookimpl


class Tones(Masker):
    """Two regions: the dark parts of the picture, and the light ones."""

    name = "tones"
    regions = ("dark", "light")

    def mask(self, batch, frames):
        import torch

        lightness = batch.images.mean(1, keepdim=True)
        light = ((lightness - 0.5) * 10 + 0.5).clamp(0, 1)
        return torch.cat([1 - light, light], 1)  # N2HW: a plane for each region, 1 in all


@hookimpl
def stylepipe_components():
    return [Tones]
