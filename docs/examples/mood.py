"""A training, and the stylizer that uses what it learned.

stylepipe train mood --photos FOLDER -o evening.json --plugin mood.py
stylepipe mood PHOTOS -o OUT --style evening.json --plugin mood.py
"""

import json
from pathlib import Path

from stylepipe import (
    Caps,
    Options,
    Stylizer,
    Training,
    UsageError,
    hookimpl,
    option,
    read_picture,
)


class MoodFlags(Options):
    photos: Path | None = option(None, "Folder of photos to learn from.", metavar="FOLDER")
    output: Path | None = option(None, "File to write.", metavar="FILE", short="o")

    def check(self):
        if self.photos is None or self.output is None:
            raise UsageError("name a folder with --photos and a file with --output")
        if not any(self.photos.glob("*.jpg")):
            raise UsageError(f"there is no .jpg in {self.photos}")


class MoodTraining(Training):
    """Learn the colors of a folder of photos."""

    name = "mood"
    Options = MoodFlags

    def train(self, context):
        import numpy as np

        files = sorted(self.options.photos.glob("*.jpg"))
        means, deviations = [], []
        for number, file in enumerate(files):
            pixels = np.asarray(read_picture(file), np.float32) / 255
            means.append(pixels.mean((0, 1)))
            deviations.append(pixels.std((0, 1)))
            context.progress((number + 1) / len(files), file.name)
        learned = {
            "mean": np.mean(means, 0).tolist(),
            "deviation": np.mean(deviations, 0).tolist(),
        }
        self.options.output.write_text(json.dumps(learned), encoding="utf-8")
        context.log(f"wrote {self.options.output}, from {len(files)} photos")


class Mood(Stylizer):
    """The colors of other photos."""

    name = "mood"
    caps = Caps(max_styles=1)

    def open(self, context):
        self._device = context.device.torch

    def prepare(self, styles):
        import torch

        if len(styles) != 1:
            raise UsageError("mood takes one style: a file that stylepipe train mood wrote")
        try:
            learned = json.loads(styles[0].path.read_text(encoding="utf-8"))
            self._mean, self._deviation = (
                torch.tensor(learned[key], device=self._device).view(1, 3, 1, 1)
                for key in ("mean", "deviation")
            )
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise UsageError(f"{styles[0].name} holds no mood: {error}") from error

    def stylize(self, batch):
        mean = batch.images.mean((2, 3), keepdim=True)
        deviation = batch.images.std((2, 3), keepdim=True)
        return (batch.images - mean) / (deviation + 1e-4) * self._deviation + self._mean


@hookimpl
def stylepipe_components():
    return [Mood, MoodTraining]
