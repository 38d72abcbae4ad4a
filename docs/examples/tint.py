"""A network of one layer, and its training, with checkpoints, previews and a log.

stylepipe train tint --photos FOLDER -o tint.safetensors --red 0.7 --plugin tint.py
stylepipe tint PHOTOS -o OUT --style tint.safetensors --plugin tint.py
"""

from stylepipe import (
    Caps,
    Stylizer,
    Training,
    TrainingOptions,
    UsageError,
    find_pictures,
    hookimpl,
    option,
    read_training_picture,
    run_training,
)
from stylepipe.nst.training.options import RunOptions


class TintTrainingOptions(TrainingOptions, run=RunOptions):
    red: float = option(0.5, "Mean of red to learn.", min=0, max=1)


class TintTraining(Training):
    """Learn to give photos a tint."""

    name = "tint"
    Options = TintTrainingOptions

    def train(self, context):
        run = self.options.run_options(context)
        paths = find_pictures(self.options.photos, "--photos")
        metadata = self.options.metadata(data=f"{len(paths)} photos")

        def make():
            return tint_task(paths, self.options.red, run, metadata)

        context.log(f"wrote {run_training(make, self.options, context)}")

    def stylizer_table(self, file):
        return {"style": [str(file)]}


def tint_task(paths, red, run, metadata):
    import torch
    from safetensors.torch import save_file

    from stylepipe.nst.photos import Photos
    from stylepipe.nst.training.task import Measurement, Task

    class TintTask(Task):
        options = run
        columns = ("red",)

        def __init__(self):
            torch.manual_seed(run.seed)
            self.model = torch.nn.Conv2d(3, 3, 1)
            self.photos = Photos(read_training_picture, paths, 32, 1.5, run.seed)

        def batch(self, step):
            return (self.photos.batch(step, run.batch),)

        def measure(self, model, rows, step):
            painted = model(rows[0])
            off = (painted[:, 0].mean() - red).square()
            return Measurement({"red": off}, painted.detach().flatten(1).std(1))

        def identity(self):
            return {"photos": len(paths), "red": red}

        def preview(self, model):
            photo = self.photos.batch(0, 1)
            return [[photo, model(photo)]]

        def save(self, folder, step):
            path = folder / "tint.safetensors"
            save_file(self.model.state_dict(), path, metadata)
            return path

    return TintTask()


class Tint(Stylizer):
    """A tint that was learned."""

    name = "tint"
    caps = Caps(max_styles=1)

    def open(self, context):
        self._device = context.device.torch

    def prepare(self, styles):
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            (style,) = styles
            learned = load_file(style.path, str(self._device))
            self._weight, self._bias = learned["weight"], learned["bias"]
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise UsageError("name one file that stylepipe train tint wrote: --style") from error

    def stylize(self, batch):
        from torch.nn.functional import conv2d

        return conv2d(batch.images, self._weight, self._bias)


@hookimpl
def stylepipe_components():
    return [Tint, TintTraining]
