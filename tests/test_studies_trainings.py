"""``stylepipe sweep --train``: a file for each value of its options, and what that paints."""

import csv
import json
import re
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file
from test_studies_commands import ROOT, photos, stylepipe

from stylepipe import report, training
from stylepipe.lock import Lock
from stylepipe.nst.training import log as logs
from stylepipe.nst.training.loop import Trainer
from stylepipe.studies import sweep as module

__all__ = ["photos", "stylepipe"]
TINT = ROOT / "docs/examples/tint.py"
PAINTED_AFTER = '''
"""A training of one painting, which learns its color; and one that no stylizer paints by."""

import torch
from safetensors.torch import save_file

from stylepipe import (
    Caps, Stylizer, Training, TrainingOptions, UsageError, hookimpl, option, read_picture,
)
from stylepipe.nst.training.options import RunOptions
from pathlib import Path


class Options(TrainingOptions, run=RunOptions):
    style: tuple[Path, ...] = option((), "Painting.")
    fails: str = option("", "How it fails.")


class FlatTraining(Training):
    """Learn one color."""

    name = "flat"
    Options = Options

    def train(self, context):
        if self.options.fails == "usage":
            raise UsageError("--steps is too small for --photos; raise it")
        if self.options.fails:
            raise ValueError(self.options.fails)
        with Path("trained.txt").open("a") as file:
            file.write(self.options.output.name + "\\n")
        color = read_picture(self.options.style[0]).mean((0, 1)) / 255
        self.options.output.parent.mkdir(exist_ok=True, parents=True)
        save_file({"color": torch.tensor(color)}, self.options.output, {"seconds": "12.5"})

    def stylizer_table(self, file):
        return {"style": [str(file)] * len(self.options.style)}


class Flat(Stylizer):
    """One color."""

    name = "flat"

    def prepare(self, styles):
        from safetensors.torch import load_file

        self.color = load_file(styles[0].path)["color"].float().view(1, 3, 1, 1)

    def stylize(self, batch):
        return self.color.expand_as(batch.images)


class Unused(FlatTraining):
    """Learn what nobody paints by."""

    name = "unused"

    def stylizer_table(self, file):
        return None


@hookimpl
def stylepipe_components():
    return [Flat, FlatTraining, Unused]
'''


@pytest.fixture
def sweep(stylepipe, photos):
    """A sweep of few pixels over trainings of ``tint``; more arguments follow."""
    for path in (photos / "a.png", photos / "trip/b.png"):
        with Image.open(path) as photo:
            photo.resize((48, 32)).save(path)
    Image.new("RGB", (8, 8), "red").save("red.png")
    Image.new("RGB", (8, 8), "blue").save("blue.png")
    Path("flat.py").write_text(PAINTED_AFTER)
    plugins = ("--plugin", TINT, "--plugin", "flat.py")

    def run(*more, train="tint", to="study", some=("--train-photos", photos)):
        words = ["sweep", photos / "a.png", "-o", to, *plugins]
        return stylepipe(*words, *(["--train", train] if train else []), *some, *more)

    return run


def table(folder="study"):
    return list(csv.DictReader(Path(folder, "table.csv").read_text().splitlines()))


FEW = ("--set", "train.steps=6", "--set", "train.batch=2")
REDS = ("--vary", "train.red=0.3,0.7")


# -- refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "more", "said"),
    [
        (REDS, {"train": None}, "--train-photos is for --train NAME; leave it out"),
        (REDS, {"train": None, "some": ()}, "nothing is trained here; stylepipe sweep --train"),
        (FEW, {"train": None, "some": ()}, "--set train.steps=6: nothing is trained here"),
        ((), {"train": "tin"}, "nothing trainable is called 'tin' (did you mean 'tint'?)"),
        ((), {"some": ()}, "name photos to train tint on: --train-photos FOLDER"),
        (("--set", "train.photos=x"), {}, "--train-photos and --set train.photos mean the same"),
        (("--vary", "train.photos=x,y"), {}, "--vary train.photos: it is set as well"),
        (("--vary", "train.reed=1"), {}, "unknown option 'reed' (did you mean 'red'?)"),
        (("--vary", "train.red=1,many"), {}, "[train] red takes a number, not 'many'"),
        (("--vary", "train.output=x"), {}, "train.output is chosen by the sweep; leave it out"),
        (("--set", "train.restart=on"), {}, "train.restart is chosen by the sweep"),
        (("--set", "train.minutes=1", *FEW), {}, "[train] train.steps means nothing beside train"),
        (("--set", "stylizer.style=x"), {}, "stylizer.style is set by --train tint; leave it out"),
        (("--vary", "stylizer.use=tint"), {}, "stylizer.use is set by --train tint; leave it out"),
        (("--vary", "stylizer.strenth=1"), {}, "(did you mean 'strength'?)"),
        (("--set", "stylizer.strenth=1"), {}, "(did you mean 'strength'?)"),
        ((), {"train": "wct"}, "stylizer 'wct' needs a style; pass --style"),
        ((), {"train": "unused"}, "does not say how a stylizer paints by its file"),
        (
            ("--vary", "train.style=[red.png,blue.png]"),
            {"train": "flat"},
            "would learn several styles in one file, and a sweep paints by one",
        ),
        (("--style", "red.png", "--vary", "train.style=blue.png"), {"train": "flat"}, "the same"),
    ],
)
def test_a_training_that_no_sweep_can_do_is_refused(sweep, words, more, said):
    code, _, err = sweep(*words, **more)
    assert code == 2 and said in err and not Path("study").exists()


def test_a_training_that_does_not_resume_is_refused(sweep):
    mood = ("--plugin", ROOT / "docs/examples/mood.py")
    code, _, err = sweep(*mood, train="mood")
    assert code == 2 and "mood does not resume as those of stylepipe do" in err


def test_photos_that_cannot_be_trained_on_end_it_in_the_words_of_a_sweep(sweep):
    Path("empty").mkdir()
    code, _, err = sweep(*FEW, some=("--train-photos", "empty"))
    assert code == 2 and "no picture in empty" in err
    code, _, err = sweep("--set", "train.fails=usage", "--style", "red.png", train="flat")
    assert code == 2 and "train.steps is too small for train.photos; raise it" in err


# -- what is trained and painted ---------------------------------------------------------------


def test_each_value_is_trained_once_and_painted_by_every_stylizer_setting(sweep, photos):
    words = (*REDS, "--vary", "stylizer.strength=0.5,1", *FEW)
    code, _, err = sweep(*words)
    assert code == 0, err
    files = sorted(Path("study/trained").glob("*.safetensors"))
    assert len(files) == 2 and err.count("trained 6 steps in") == 2
    lines = table()
    assert [(x["train.red"], x["strength"]) for x in lines] == [
        ("0.3", "0.5"), ("0.3", "1"), ("0.7", "0.5"), ("0.7", "1"),
    ]  # fmt: skip
    assert lines[0]["training_seconds"] == lines[1]["training_seconds"]
    assert all(float(x["training_seconds"]) > 0 and float(x["seconds"]) > 0 for x in lines)
    assert float(lines[3]["mse"]) > 0
    html = Path("study/index.html").read_text()
    assert html.count("<figure") == 4
    told = re.findall(r'role="img" aria-label="([^"]*)"', html)
    loss = next(text for text in told if text.startswith("loss of the training by step"))
    assert "train.red 0.3: " in loss and loss.count(" at step 6") == 2, "a line for each training"
    assert any(text.startswith("red of the training by step") for text in told), "and the terms"
    log = next(Path("study/trained").glob("tint_train.red-0.3-*.training/log.csv"))
    last = list(csv.DictReader(log.read_text().splitlines()))[-1]
    assert f"{float(last['loss']):.4g} at step 6" in loss
    before, stamps = html, [file.read_bytes() for file in files]
    code, _, err = sweep(*words)
    assert code == 0 and err.count("already trained") == 2 and "--restart" not in err
    assert Path("study/index.html").read_text() == before
    assert [file.read_bytes() for file in files] == stamps
    assert sweep("--vary", "train.red=0.3,0.5,0.7", *FEW)[0] == 0
    assert len(list(Path("study/trained").glob("*.safetensors"))) == 3, "two were there"


def test_results_are_those_of_train_and_run(sweep, stylepipe, photos):
    assert sweep("--vary", "train.red=0.7", *FEW)[0] == 0
    (own,) = Path("study/trained").glob("*.safetensors")
    tint = ("--plugin", TINT)
    words = ("--photos", photos, "--steps", 6, "--batch", 2, "--red", 0.7)
    assert stylepipe("train", "tint", "-o", "own.safetensors", *words, *tint)[0] == 0
    expected, found = load_file("own.safetensors"), load_file(own)
    assert all((expected[key] == found[key]).all() for key in expected)
    stylepipe("tint", photos / "a.png", "-o", "own.png", "--style", "own.safetensors", *tint)
    (painted,) = Path("study").glob("train.red-*/a.png")
    with Image.open("own.png") as a, Image.open(painted) as b:
        assert a.tobytes() == b.tobytes()


def test_a_quiet_training_shows_no_bar(stylepipe, photos, monkeypatch):
    monkeypatch.setattr(training, "is_terminal", lambda stream: True)
    words = ("--photos", photos, "--steps", 2, "--batch", 2, "--plugin", TINT)
    assert "2/2" in stylepipe("train", "tint", "-o", "a.safetensors", *words)[2]
    assert stylepipe("train", "tint", "-o", "b.safetensors", *words, "-q") == (0, "", "")


def test_a_training_in_a_plugin_shows_its_progress(stylepipe, photos, make_photo, monkeypatch):
    monkeypatch.setattr(report, "is_terminal", lambda stream: True)
    make_photo("photos/c.jpg")
    words = ("--photos", photos, "-o", "mood.json", "--plugin", ROOT / "docs/examples/mood.py")
    code, _, err = stylepipe("train", "mood", *words)
    assert code == 0 and "%|" in err
    assert "%|" not in stylepipe("train", "mood", *words, "-q")[2]


def test_two_trainings_do_not_write_into_one_file(stylepipe, photos):
    words = ("--photos", photos, "--steps", 2, "--batch", 2, "--plugin", TINT)
    lock = Lock(Path("a.training"))
    code, _, err = stylepipe("train", "tint", "-o", "a.safetensors", *words)
    assert code == 4 and "another training is writing to a.training; wait for it" in err
    lock.release()
    assert stylepipe("train", "tint", "-o", "a.safetensors", *words)[0] == 0
    assert not Path("a.training/lock").exists()


def test_paintings_are_learned_one_a_file_and_results_compared_with_them(sweep):
    words = ("--style", "red.png", "--style", "blue.png", "--vary", "stylizer.strength=0.5,1")
    code, _, err = sweep(*words, train="flat")
    assert code == 0, err
    assert len(Path("trained.txt").read_text().split()) == 2, "once for two strengths"
    lines = table()
    assert [x["train.style"] for x in lines] == ["red.png", "red.png", "blue.png", "blue.png"]
    assert {x["training_seconds"] for x in lines} == {"12.5"}
    distances = [float(x["color_distance"]) for x in lines]
    assert distances[1] < 0.01 < distances[0] and distances[3] < 0.01 < distances[2]
    assert "red.png, strength 0.5" in Path("study/index.html").read_text()


@pytest.mark.parametrize(
    ("name", "key"),
    [("adain", "decoder"), ("encoder", "encoder_weights"), ("universal", "network")],
)
def test_bundled_trainings_say_what_paints_by_their_files(name, key):
    from stylepipe.components import Training
    from stylepipe.plugins import Plugins

    kind = Plugins().components(Training)[name]
    found = kind(kind.Options()).stylizer_table(Path("x.safetensors"))
    assert found[key] == "x.safetensors"
    assert found.get("use", name) == ("gatys" if name == "encoder" else name)


def test_a_decoder_of_another_encoder_is_painted_with_that(tmp_path):
    from stylepipe.components import Training
    from stylepipe.plugins import Plugins

    kind = Plugins().components(Training)["wct"]
    options = kind.Options(encoder="vgg16", layers=("relu1_1", "relu2_1"))
    assert kind(options).stylizer_table(Path("x.safetensors")) == {
        "decoder": "x.safetensors", "encoder": "vgg16", "levels": ["relu1_1", "relu2_1"],
    }  # fmt: skip


# -- failures and kills ------------------------------------------------------------------------


def test_a_failed_training_is_a_cell_with_its_reason(sweep):
    code, _, err = sweep("--style", "red.png", "--vary", "train.fails=usage,broken", train="flat")
    assert code == 1, err
    blamed = "training 'flat' of plugin flat raised ValueError: broken; -v shows the traceback"
    assert f"red.png, train.fails broken: {blamed}" in err
    html = Path("study/index.html").read_text()
    assert html.count('class="failed"') == 2 and "ValueError: broken" in html
    assert "train.steps is too small" in html


def test_a_training_that_other_photos_made_is_told_and_replaced_if_asked(sweep, photos):
    words = ("--vary", "train.red=0.7", *FEW)
    assert sweep(*words)[0] == 0
    Image.new("RGB", (20, 16), "green").save(photos / "c.png")
    code, _, err = sweep(*words)
    assert code == 2 and "was made with other photos; pass --overwrite to train again" in err
    code, _, err = sweep(*words, "--overwrite")
    assert code == 0 and "trained 6 steps in" in err


class Killed(BaseException):
    """Ends the program wherever it is, and nothing is saved."""


def test_a_sweep_killed_in_a_training_ends_with_the_same_page(sweep, monkeypatch):
    words = (*REDS, *FEW, "--set", "train.checkpoint-every=2")
    steps = []
    append = logs.Log.append

    def killing(self, row):
        steps.append(row["step"])
        if steps == [*range(1, 7), *range(1, 6)]:  # the second training, after a checkpoint
            raise Killed
        append(self, row)

    monkeypatch.setattr(logs.Log, "append", killing)
    with pytest.raises(Killed):
        sweep(*words, to="killed")
    assert not Path("killed/index.html").exists()
    code, _, err = sweep(*words, to="killed")
    assert code == 0 and "resuming from" in err and steps[11:] == [5, 6]
    notes = json.loads(Path("killed/sweep.json").read_text())

    class Kept(dict):
        def __setitem__(self, key, value):
            """Seconds and memory, all that may differ, stay those of the other sweep."""

    for folder in ("killed", "whole"):
        monkeypatch.setattr(module, "_notes", lambda output: Kept(notes))
        monkeypatch.setattr(module.peak, "begin", lambda: False)
        monkeypatch.setattr(module.trainings, "seconds", lambda file: 1.0)
        assert sweep(*words, to=folder)[0] == 0
    for name in ("index.html", "table.csv", "table.json", "sheet.jpg"):
        assert Path("killed", name).read_bytes() == Path("whole", name).read_bytes(), name


def test_stopping_in_a_training_says_that_it_resumes(sweep, monkeypatch):
    def stop(self, *rest):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_train", stop)
    code, _, err = sweep(*REDS, *FEW)
    assert code == 130 and "0 of 2 variants are done. Run the same command again to resume" in err


def test_a_log_is_read_while_it_is_written(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("step,seconds,loss,copy,style,gradient\n1,0.5,3,,nan,1\n2,0.9,2.5,7,4,1\n3,1.")
    assert logs.read_terms(log) == {"loss": [(1, 3), (2, 2.5)], "copy": [(2, 7)], "style": [(2, 4)]}
    assert logs.read_seconds(log) == 0.9
