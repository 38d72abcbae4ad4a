"""What every training shares: settings declared once, options refused, a training of a plugin."""

import csv
import math
import re
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from stylepipe_plugins.adain import AdainTraining
from stylepipe_plugins.encoder import EncoderTraining
from stylepipe_plugins.fast.training import FastTraining

from stylepipe import (
    Context,
    Stylizer,
    Training,
    TrainingOptions,
    UsageError,
    find_pictures,
    option,
)
from stylepipe.cli import main
from stylepipe.device import Device
from stylepipe.nst.files import read_metadata
from stylepipe.nst.training.options import (
    DecoderOptions,
    EncoderOptions,
    RunOptions,
    StyleOptions,
    described,
)
from stylepipe.plugins import Plugins
from stylepipe.testing import context

PLUGIN = '''
"""A third party's stylizer and its training: the network is one tint."""

import torch
from safetensors.torch import save_file

from stylepipe import (
    Stylizer, Training, TrainingOptions, find_pictures, hookimpl, option, read_training_picture,
    run_training,
)
from stylepipe.nst.photos import Photos
from stylepipe.nst.training.options import RunOptions
from stylepipe.nst.training.task import Measurement, Task


class TintOptions(TrainingOptions, run=RunOptions):
    red: float = option(0.5, "Mean of red to learn.", min=0, max=1)
    batch: int = option(2, "Photos a step; not more than a few.", min=1, max=8)


class TintTask(Task):
    columns = ("red",)

    def __init__(self, photos, red, options, metadata):
        self.model = torch.nn.Conv2d(3, 3, 1)
        self.photos, self.red, self.options = photos, red, options
        self.metadata = metadata

    def batch(self, step):
        return (self.photos.batch(step, self.options.batch),)

    def measure(self, model, rows, step):
        result = model(rows[0])
        off = (result[:, 0].mean() - self.red).square()
        return Measurement({"red": off}, result.detach().flatten(1).std(dim=1))

    def identity(self):
        return {"photos": len(self.photos.paths), "red": self.red}

    def preview(self, model):
        return [[self.photos.batch(0, 1)]]

    def save(self, folder, step):
        path = folder / "tint.safetensors"
        save_file(self.model.state_dict(), path, self.metadata)
        return path


class Tint(Stylizer):
    """Tints."""

    name = "tint"

    def stylize(self, batch):
        return batch.images


class TintTraining(Training):
    """Learn a tint."""

    name = "tint"
    Options = TintOptions

    def train(self, context):
        options = self.options
        run = options.run_options(context)
        torch.manual_seed(run.seed)
        paths = find_pictures(options.photos, "--photos")

        def task():
            photos = Photos(read_training_picture, paths, 32, 1.5, run.seed)
            return TintTask(photos, options.red, run, options.metadata(data="few"))

        context.log(f"wrote {run_training(task, options, context)}")


@hookimpl
def stylepipe_components():
    return [Tint, TintTraining]
'''


@pytest.fixture
def train(tmp_path, make_photo, monkeypatch, capsys):
    """``stylepipe train tint``: exit code, and what was said."""
    (tmp_path / "tint.py").write_text(PLUGIN)
    for name in ("a.png", "b.png"):
        make_photo(f"photos/{name}", (64, 48))
    monkeypatch.chdir(tmp_path)

    def run(*flags, verb=("train", "tint")):
        code = main.run(["--plugin", "tint.py", *verb, *map(str, flags)])
        out, err = capsys.readouterr()
        return code, " ".join((out + err).split())

    return run


GIVEN = ("--photos", "photos", "-o", "own.safetensors", "--steps", 3, "--license", "CC0")


# -- refused ----------------------------------------------------------------------------------


def test_a_training_of_a_plugin_refuses_what_all_refuse(train):
    for flags, code, words in (
        (("--photos", "photos"), 2, "say where the result goes: --output NAME.safetensors"),
        ((*GIVEN[2:],), 2, "name a folder of pictures: --photos DIR"),
        ((*GIVEN, "--photos", "none"), 2, "there is no none"),
        ((*GIVEN, "-o", "own.pth"), 2, "must end in .safetensors"),
        ((*GIVEN, "--steps", 0), 2, "steps must be at least 1"),
        ((*GIVEN, "--batch", 9), 2, "batch must be between 1 and 8"),
        ((*GIVEN, "--minutes", 1), 2, "--steps means nothing beside --minutes"),
        ((*GIVEN, "--warmup", 0.1), 2, "no such option"),
        ((*GIVEN, "--memory", "4G"), 2, "no such option"),
    ):
        told = train(*flags)
        assert told[0] == code and words in told[1], told
    Path("photos/a.png").write_bytes(b"x")
    Path("photos/b.png").write_bytes(b"x")
    code, told = train(*GIVEN)
    assert code == 2 and "none of the 2 photos serves" in told and "a.png" in told
    assert not Path("own.safetensors").exists()


def test_a_file_of_others_stays(train):
    Path("own.safetensors").write_bytes(b"precious")
    code, told = train(*GIVEN)
    assert code == 2 and "pass --restart to replace it" in told
    assert Path("own.safetensors").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("training", "values", "words"),
    [
        (FastTraining, {"guide_weight": 2.0}, "--guide-weight weighs the pictures of --guide"),
        (FastTraining, {"encoder": "vgg16", "encoder_weights": ["x.pth"]}, "--encoder names"),
        (AdainTraining, {"reconstruction_weight": 2, "copies": 0}, "--reconstruction-weight"),
        (EncoderTraining, {"guess": 50, "start": "x.safetensors"}, "--guess makes an encoder"),
        (EncoderTraining, {"teacher": "vgg16", "teacher_weights": ["x.pth"]}, "--teacher names"),
        (AdainTraining, {"minutes": 5, "steps": 10}, "--steps means nothing beside --minutes"),
    ],
)
def test_an_option_that_would_not_be_used_is_refused(training, values, words):
    with pytest.raises(UsageError, match=f"{words}.*; leave it out$"):
        training.Options.build(values)


@pytest.mark.parametrize(
    ("training", "values", "words"),
    [
        (
            FastTraining,
            {"quality": "light", "init": "mine.safetensors"},
            "--quality needs --init bundled or random",
        ),
        (AdainTraining, {"widen": 2.0, "init": "bundled"}, "--widen needs --init random"),
    ],
)
def test_an_option_of_a_fresh_network_needs_one(training, values, words):
    with pytest.raises(UsageError, match=words):
        training.Options.build(values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"steps": 0}, "steps must be 1 or more, got 0"),
        ({"learning_rate": math.nan}, "learning_rate must be between 1e-07 and 1, got nan"),
        ({"warmup": 1.0}, "warmup must be between 0 and 0.99"),
        ({"minutes": 0.0}, "minutes must be 0.01 or more"),
        ({"precision": "float16"}, "precision must be one of auto, bfloat16, float32"),
    ],
)
def test_settings_out_of_range_are_refused_without_a_command_line(values, words):
    with pytest.raises(ValueError, match=words):
        RunOptions(**values)


def test_a_device_without_bfloat16_trains_in_float32_and_says_so(monkeypatch):
    monkeypatch.setattr("stylepipe.device.native_bf16", lambda device: False)
    log = []
    device = Device(torch.float16, torch.device("cuda"))
    run = FastTraining.Options().run_options(Context(device, 1 << 30, log.append))
    assert (run.precision, run.workers) == ("float32", 1)
    assert log == ["float16 has too small a range to train in: float32 is used"]


def test_folders_named_like_pictures_are_none(tmp_path, make_photo):
    (tmp_path / "album.jpg").mkdir()
    photo = make_photo("album.jpg/a.png", (8, 8))
    assert find_pictures([tmp_path], "--photos") == [photo]


# -- declared once ----------------------------------------------------------------------------


def test_a_setting_and_its_flag_are_one_declaration():
    for name, training in Plugins().components(Training).items():
        run = training.Options.run
        offered = {key: facts for key, facts in described(run).items() if facts["offered"]}
        flags = {spec.name: spec for spec in training.Options.specs()}
        assert {"steps", "batch", "seed"} <= offered.keys() <= flags.keys(), name
        for key, facts in offered.items():
            flag = flags[key]
            assert (flag.default, flag.help) == (getattr(run, key), facts["help"]), (name, key)
            assert (flag.min, flag.max) == (facts["min"], facts["max"]), (name, key)


def test_an_option_of_the_class_itself_goes_before_the_setting_of_its_name():
    class Few(TrainingOptions, run=RunOptions):
        steps: int = option(20, "Few.", min=1, max=99)

    (steps,) = [spec for spec in Few.specs() if spec.name == "steps"]
    assert (steps.default, steps.max) == (20, 99)

    class Loose(TrainingOptions, run=RunOptions):
        steps: int = option(20, "None at all, too.", min=0)

    with pytest.raises(UsageError, match="steps must be 1 or more, got 0"):
        Loose(steps=0).run_options(context())
    assert "precision" not in {spec.name for spec in Few.specs()}


def test_stylizers_do_not_train():
    assert not hasattr(Stylizer, "train") and not hasattr(Stylizer.caps, "trainable")


def test_checkpoints_of_earlier_versions_know_their_run():
    """A checkpoint identifies its run by a digest of these settings in this order."""
    run = ["steps", "batch", "learning_rate", "warmup", "max_gradient", "seed", "precision",
           "workers", "minutes", "checkpoint_every", "preview_every"]  # fmt: skip
    style = ["size", "copy_steps", "content_weight", "style_weight",
             "tone_weight", "hue_weight", "tv_weight", "range_weight", "spike_weight",
             "guide_weight", "consistency_weight", "zoom", "color_jitter",
             "style_size"]  # fmt: skip
    decoder = ["size", "zoom", "color_jitter", "copies", "reconstruction_weight", "feature_weight",
               "style_weight", "temporal_consistency_weight", "tv_weight", "range_weight",
               "guess"]  # fmt: skip
    encoder = ["size", "zoom", "color_jitter", "paintings", "disturbed", "points", "guess"]
    for kind, own in ((StyleOptions, style), (DecoderOptions, decoder), (EncoderOptions, encoder)):
        added = {name for name, facts in described(kind).items() if facts["later"]}
        assert [name for name in asdict(kind()) if name not in added] == [*run, *own]
    assert list(asdict(AdainTraining.Options.run())) == [*run, *decoder]


# -- a training of a plugin -------------------------------------------------------------------


def test_without_a_terminal_a_line_a_minute_says_how_far_it_is(train, monkeypatch):
    assert "step 2 of 3" not in train(*GIVEN)[1], "it took no minute"
    monkeypatch.setattr("stylepipe.training._LINE_EVERY", 0)
    code, told = train(*GIVEN, "--restart")
    assert code == 0 and re.search(r"step 2 of 3, loss \d+\.\d{3}, \d+ s left", told)


def test_a_plugin_trains_with_checkpoints_previews_and_a_log_as_ours_do(train):
    code, told = train(*GIVEN, "--preview-every", 2)
    assert code == 0 and "wrote own.safetensors" in told and "trained 3 steps in" in told
    assert float(read_metadata(Path("own.safetensors"))["seconds"]) > 0
    folder = Path("own.training")
    assert {p.name for p in folder.iterdir()} >= {"checkpoint.pt", "log.csv", "preview-000002.png"}
    with (folder / "log.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert [row["step"] for row in rows] == ["1", "2", "3"] and float(rows[0]["red"]) > 0
    assert read_metadata(Path("own.safetensors"))["licence"] == "CC0"
    before = load_file("own.safetensors")
    code, told = train(*GIVEN)
    assert code == 0 and "already trained" in told
    after = load_file("own.safetensors")
    assert all(torch.equal(before[key], after[key]) for key in before)
    code, told = train(*GIVEN, "--red", 0.9)
    assert code == 2 and "made with other red; pass --restart to start over" in told


def test_a_result_that_cannot_be_saved_fails_in_one_sentence(train):
    broken = PLUGIN.replace(
        "        save_file(self",
        "        raise ValueError('too large')\n" + "        save_file(self",
    )
    assert broken != PLUGIN
    Path("tint.py").write_text(broken)
    code, told = train(*GIVEN)
    assert (
        code == 1
        and "the training failed: its result cannot be saved: too large" in told
        and "Traceback" not in told
    )


def test_the_command_line_shows_it(train):
    code, told = train(verb=("train", "--help"))
    assert code == 0 and "tint" in told and "Learn a tint." in told
    code, told = train("--help")
    assert "--red X" in told and "default: 8000" in told and "1 to 8; default: 2" in told
    code, told = train(verb=("plugins",))
    assert "training tint" in told and "stylizer tint" in told
