"""A flow in one file: stylepipe run FILM -o OUT --plugin camera_shake.py --temporal camera-shake"""

from stylepipe import Flow, hookimpl


class CameraShake(Flow):
    """One motion for the whole frame, as of a hand-held camera before a scene that rests."""

    name = "camera-shake"

    def flow(self, a, b):
        import cv2
        import torch

        height, width = a.pixels.shape[:2]
        if min(height, width) < 8:  # too little to compare
            return torch.zeros(1, 2, height, width)
        gray = [cv2.cvtColor(f.pixels, cv2.COLOR_RGB2GRAY).astype("float32") for f in (a, b)]
        window = cv2.createHanningWindow((width, height), cv2.CV_32F)
        motion, _ = cv2.phaseCorrelate(*gray, window)
        return torch.tensor(motion).float().view(1, 2, 1, 1).repeat(1, 1, height, width)


@hookimpl
def stylepipe_components():
    return [CameraShake]
