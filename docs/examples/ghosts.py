"""A stylizer that uses guides itself: stylepipe ghosts FILM -o OUT --temporal warp"""

from stylepipe import Caps, Stylizer, StylizerOptions, hookimpl, option


class GhostsOptions(StylizerOptions):
    trail: float = option(0.6, "How much of the previous result stays.", min=0, max=1)


class Ghosts(Stylizer):
    """Bright outlines that follow what moves."""

    name = "ghosts"
    Options = GhostsOptions
    caps = Caps(needs_style=False, temporal="native")

    def stylize(self, batch):
        from torch.nn.functional import max_pool2d

        images = batch.images
        edges = max_pool2d(images, 3, 1, 1) + max_pool2d(-images, 3, 1, 1)
        painted = (edges * 3).clamp(0, 1)
        if batch.guide is None:  # a photo, the first frame of a film, or a new scene
            return painted
        kept = self.options.trail * batch.guide.trust  # N1HW: 0 where the flow is not to be trusted
        return painted + kept * (batch.guide.warped - painted)


@hookimpl
def stylepipe_components():
    return [Ghosts]
