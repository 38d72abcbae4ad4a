"""A temporal method in one file: stylepipe run FILM -o OUT --temporal tripod --plugin tripod.py"""

from stylepipe import Guide, Options, Temporal, hookimpl, option


class TripodOptions(Options):
    change: float = option(0.04, "A pixel that changes by more is painted anew.", min=0, max=1)


class Tripod(Temporal):
    """Keeps what was painted wherever the film does not change, as before a camera that rests."""

    name = "tripod"
    Options = TripodOptions
    uses_flow = False

    def motion(self, frame, previous):
        import cv2

        change = cv2.absdiff(frame.pixels, previous.pixels).max(2)
        trust = (change <= self.options.change * frame.white).astype("float32")
        return cv2.blur(trust, (3, 3))  # HxW: 1 where all is as before, with soft edges

    def guide(self, motion, result, device):
        import cv2
        import torch

        height, width = result.pixels.shape[:2]  # larger than the frame, where a stylizer enlarges
        trust = torch.from_numpy(cv2.resize(motion, (width, height)))
        painted = torch.from_numpy(result.pixels.astype("float32")) / result.white
        return Guide(
            warped=painted.permute(2, 0, 1)[None].to(device),
            trust=trust[None, None].to(device),
        )


@hookimpl
def stylepipe_components():
    return [Tripod]
