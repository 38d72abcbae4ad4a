"""A plugin: a masker that finds three regions, upright stripes with soft borders."""

from stylepipe import Masker, hookimpl


class Thirds(Masker):
    """Left, middle and right third of the picture."""

    name = "thirds"
    regions = ("left", "middle", "right")

    def mask(self, batch, frames):
        import torch

        count, _, height, width = batch.images.shape
        x = torch.linspace(0, 3, width)
        left, right = (1.25 - x).mul(2).clamp(0, 1), (x - 1.75).mul(2).clamp(0, 1)
        planes = torch.stack([left, 1 - left - right, right])[None, :, None]
        return planes.expand(count, -1, height, -1).contiguous().to(batch.images.device)


@hookimpl
def stylepipe_components():
    return [Thirds]
