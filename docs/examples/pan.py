"""A flow in one file: stylepipe run FILM -o OUT --temporal warp --flow pan --plugin pan.py"""

from stylepipe import Flow, Options, hookimpl, option


class PanOptions(Options):
    steady: float = option(0.1, "A camera that moves by less, in pixels, rests.", min=0, max=10)


class Pan(Flow):
    """One motion for the whole frame, as when a camera pans over a scene that rests."""

    name = "pan"
    Options = PanOptions

    def flow(self, a, b):
        import cv2
        import torch

        height, width = a.pixels.shape[:2]
        if min(height, width) < 8:  # too little to compare
            return torch.zeros(1, 2, height, width)
        gray = [cv2.cvtColor(f.pixels, cv2.COLOR_RGB2GRAY).astype("float32") for f in (a, b)]
        window = cv2.createHanningWindow((width, height), cv2.CV_32F)
        (dx, dy), _ = cv2.phaseCorrelate(*gray, window)
        if abs(dx) + abs(dy) < self.options.steady:
            dx = dy = 0.0
        return torch.tensor([dx, dy]).float().view(1, 2, 1, 1).repeat(1, 1, height, width)


@hookimpl
def stylepipe_components():
    return [Pan]
