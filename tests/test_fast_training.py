"""``stylepipe train fast``: bad requests first, then a run of a few steps that can be used."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from stylepipe_plugins.fast import FastOptions, FastStylizer, training
from stylepipe_plugins.fast.exemplars import read_exemplars
from stylepipe_plugins.fast.training import FastTraining, FastTrainingOptions

from stylepipe import Batch, Context, Item, SetupError, StylepipeError, StyleRef, UsageError
from stylepipe.device import pick
from stylepipe.nst.networks import load_styles
from stylepipe.nst.training.options import StyleOptions

ITEM = Item(0, Path("a.png"), Path(), Path("b.png"))
SMALL = {
    "steps": 4, "batch": 2, "size": 64, "style_size": 64, "checkpoint_every": 2,
    "style_layers": ["relu1_1", "relu2_1"], "content_layers": ["relu2_1"],
    "quality": "light", "init": "random",
}  # fmt: skip


@pytest.fixture
def media(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    for name in ("photos/a.png", "photos/deep/b.jpg", "night.png", "wave.png"):
        small = rng.integers(0, 255, (6, 8, 3), np.uint8)
        cv2.imwrite(str(tmp_path / name), cv2.resize(small, (96, 72)))
    weights = {}
    torch.manual_seed(0)
    for index, (i, o) in {0: (3, 8), 2: (8, 8), 5: (8, 8)}.items():
        weights[f"features.{index}.weight"] = torch.randn(o, i, 3, 3) * 0.2
        weights[f"features.{index}.bias"] = torch.zeros(o)
    torch.save(weights, tmp_path / "encoder.pth")
    return tmp_path


def context(log: list[str] | None = None) -> Context:
    say = print if log is None else log.append
    return Context(pick("cpu", "full"), 1 << 30, say)


def options(media: Path, **values: object) -> FastTrainingOptions:
    given = {
        "photos": [media / "photos"],
        "style": [media / "night.png"],
        "output": media / "out" / "my.safetensors",
        "encoder_weights": media / "encoder.pth",
    }
    return FastTrainingOptions.build({**SMALL, **given, **values})


def test_requests_that_cannot_be_met(media: Path) -> None:
    for values, message in (
        ({"style": []}, "name a painting"),
        ({"photos": []}, "name a folder of pictures: --photos DIR"),
        ({"photos": [media / "out"]}, "there is no"),
        ({"output": None}, "say where the result goes"),
        ({"output": media / "my.pth"}, "must end in .safetensors"),
        ({"style": [media / "none.png"]}, "there is no"),
        ({"style": [media / "night.png", media / "night.png"]}, "style name 'night'"),
        ({"style_layers": ["relu9_9"]}, "no layer 'relu9_9'"),
        ({"encoder_weights": media / "night.png"}, "not a checkpoint"),
        ({"style": [media / "encoder.pth"]}, "the file is no picture"),
    ):
        with pytest.raises(UsageError, match=message):
            FastTraining(options(media, **values)).train(context())
    (media / "empty").mkdir()
    with pytest.raises(UsageError, match="no picture in"):
        FastTraining(options(media, photos=[media / "empty"])).train(context())
    assert not (media / "out" / "my.safetensors").exists()


def test_without_network_says_how_to_go_on(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STYLEPIPE_CACHE", str(media / "cache"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(SetupError, match="--encoder-weights"):
        FastTraining(options(media, encoder="vgg19", encoder_weights=[])).train(context())


def test_trained_styles_can_be_used_and_blended(media: Path) -> None:
    log: list[str] = []
    (media / "photos" / "broken.jpg").write_bytes(b"x")
    both = [media / "night.png", media / "wave.png"]
    asked = options(media, style=both, preview=[media / "photos" / "a.png"], preview_every=4)
    FastTraining(asked).train(context(log))
    assert asked.output is not None
    assert any("broken.jpg" in line for line in log)
    assert (media / "out" / "my.training" / "preview-000004.png").is_file()
    stylizer = FastStylizer(FastOptions())
    stylizer.open(context())
    stylizer.prepare([StyleRef(f"{asked.output}#{n}", 0.5) for n in ("night", "wave")])
    assert bool(stylizer.stylize(Batch(torch.rand(1, 3, 70, 64), ITEM)).isfinite().all())


def test_goes_on_from_the_checkpoint_to_the_same_weights(media: Path) -> None:
    FastTraining(options(media, output=media / "straight.safetensors")).train(context())

    class Stop(Exception):
        pass

    from stylepipe.nst.training.loop import Trainer

    step = Trainer._train_step
    with pytest.MonkeyPatch.context() as patch:

        def stopping(self: Trainer, *args: object) -> object:
            if self.step == 3:
                raise Stop
            return step(self, *args)  # type: ignore[arg-type]

        patch.setattr(Trainer, "_train_step", stopping)
        with pytest.raises(Stop):
            FastTraining(options(media)).train(context())
    log: list[str] = []
    FastTraining(options(media)).train(context(log))
    assert any("resuming from" in line for line in log)
    straight = load_file(media / "straight.safetensors")
    resumed = load_file(media / "out" / "my.safetensors")
    assert straight.keys() == resumed.keys()
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)


def test_another_run_in_the_folder_is_not_mixed_up(media: Path) -> None:
    FastTraining(options(media)).train(context())
    with pytest.raises(UsageError, match=r"was made with other paintings; pass --restart"):
        FastTraining(options(media, style=[media / "wave.png"])).train(context())
    FastTraining(options(media, style=[media / "wave.png"], restart=True)).train(context())


def test_a_file_of_others_is_not_replaced(media: Path) -> None:
    asked = options(media)
    assert asked.output is not None
    asked.output.parent.mkdir()
    asked.output.write_bytes(b"precious")
    with pytest.raises(UsageError, match=r"my\.safetensors is there already.* --restart"):
        FastTraining(asked).train(context())
    assert asked.output.read_bytes() == b"precious"
    FastTraining(options(media, restart=True)).train(context())
    assert asked.output.read_bytes() != b"precious"
    trained = asked.output.read_bytes()
    log: list[str] = []
    FastTraining(asked).train(context(log))  # its own, again
    assert asked.output.read_bytes() == trained
    assert any("already trained; pass --restart" in line for line in log)


def test_another_painting_of_the_same_name_is_noticed(media: Path) -> None:
    asked = options(media)
    FastTraining(asked).train(context())
    assert asked.output is not None
    trained = asked.output.read_bytes()
    shutil.copy(media / "wave.png", media / "night.png")
    with pytest.raises(UsageError, match=r"made with other paintings; pass --restart"):
        FastTraining(asked).train(context())
    assert asked.output.read_bytes() == trained
    FastTraining(options(media, restart=True)).train(context())
    assert asked.output.read_bytes() != trained


def test_a_damaged_checkpoint_is_one_sentence(media: Path) -> None:
    FastTraining(options(media)).train(context())
    (media / "out" / "my.training" / "checkpoint.pt").write_bytes(b"PK")
    with pytest.raises(UsageError, match=r"checkpoint\.pt is damaged.*; pass --restart"):
        FastTraining(options(media)).train(context())


def test_failures_of_a_run_are_told_as_what_they_are(
    media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stylepipe.nst.training.loop import Trainer, TrainingFailed

    for raised, expected, code in (
        (TrainingFailed("gray"), StylepipeError, 1),
        (OSError(28, "No space left on device"), SetupError, 4),
        (ValueError("a bug"), ValueError, None),
    ):

        def fail(self: Trainer, *args: object, error: Exception = raised) -> None:
            raise error

        monkeypatch.setattr(Trainer, "_train", fail)
        with pytest.raises(expected, match=str(raised.args[-1])) as caught:
            FastTraining(options(media)).train(context())
        assert getattr(caught.value, "exit_code", None) == code


def test_files_that_may_not_be_read_are_a_matter_of_setup(
    media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*args: object) -> None:
        raise PermissionError(13, "Permission denied", "encoder.pth")

    monkeypatch.setattr(training, "_encoders", locked)
    with pytest.raises(SetupError, match=r"cannot start: .*Permission denied: 'encoder\.pth'"):
        FastTraining(options(media)).train(context())


def test_ctrl_c_keeps_what_was_learned(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stylepipe.nst.training.loop import Trainer

    step = Trainer._train_step

    def interrupted(self: Trainer, *args: object) -> object:
        if self.step == 3:
            raise KeyboardInterrupt
        return step(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "_train_step", interrupted)
    log: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        FastTraining(options(media, checkpoint_every=100)).train(context(log))
    assert any("stopped at step 3; the same command resumes" in line for line in log)
    state = torch.load(media / "out" / "my.training" / "checkpoint.pt", weights_only=True)
    assert state["step"] == 3


def test_layers_weigh_what_they_weigh_in_the_bundled_recipe(media: Path) -> None:
    from stylepipe.nst.training.styles import standard_teacher

    (teacher,) = training._teachers(options(media), True, context())
    assert teacher.style == standard_teacher(teacher.encoder).style
    assert len(set(teacher.style.values())) == 1 and teacher.style["relu1_1"] == 0.7


def test_one_number_type_for_network_and_judge(media: Path) -> None:
    for precision, dtype in (("full", torch.float32), ("half", torch.bfloat16)):
        place = Context(pick("cpu", precision), 1 << 30, print)
        assert training._encoders(options(media), place)[0].dtype == dtype
        found = options(media).run_options(place).precision
        assert f"torch.{found}" == str(dtype)


def test_the_file_tells_teacher_and_license_but_no_folder(media: Path) -> None:
    asked = options(media, license="CC-BY-4.0")
    FastTraining(asked).train(context())
    assert asked.output is not None
    with safe_open(asked.output, "pt") as file:
        metadata = file.metadata()
    assert metadata["licence"] == "CC-BY-4.0" and metadata["teacher"] == "encoder.pth"
    assert str(media) not in str(metadata)


def test_starts_from_the_bundled_network(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylepipe_plugins.fast.training.STYLES", media / "none")
    with pytest.raises(UsageError, match="pass --init random"):
        FastTraining(options(media, init="bundled")).train(context())


def test_a_table_names_paintings_with_titles_sizes_and_weights(media: Path) -> None:
    table = media / "table.toml"
    table.write_text(
        '[night]\nfile = "night.png"\ntitle = "Night"\nsize = 40\nweight = 2\ntrim = 0.1\n'
        '[wave]\nfile = "wave.png"\n'
    )
    night, wave = read_exemplars(table)
    assert (night.size, night.weight, night.trim, wave.size) == (40, 2.0, 0.1, None)
    asked = options(media, style=[], paintings=table)
    FastTraining(asked).train(context())
    assert asked.output is not None
    _, records, _ = load_styles(asked.output)
    assert [(r.name, r.title, r.source) for r in records] == [
        ("night", "Night", "night.png"), ("wave", "", "wave.png")
    ]  # fmt: skip


def test_a_table_that_cannot_be_used(media: Path) -> None:
    table = media / "table.toml"
    for text, message in (
        ("", "names no painting"),
        ("[night", "cannot read the table of paintings"),
        ('file = "night.png"', "'file' stands outside of a table"),
        ("[night]", "night: file must name a picture"),
        ('[night]\nfile = "none.png"', "there is no none.png"),
        ('[night]\nfile = "night.png"\nsiez = 40', "unknown key 'siez' .did you mean 'size'"),
        ('[night]\nfile = "night.png"\nsize = 4', "size must be at least 32"),
    ):
        table.write_text(text)
        with pytest.raises(UsageError, match=message):
            FastTraining(options(media, style=[], paintings=table)).train(context())
    with pytest.raises(UsageError, match="cannot read the table"):
        FastTraining(options(media, style=[], paintings=media / "none.toml")).train(context())
    with pytest.raises(UsageError, match="not by both"):
        options(media, paintings=table)


def test_starts_from_a_file_and_imitates_another(media: Path) -> None:
    first = options(media, steps=1)
    FastTraining(first).train(context())
    more = {"init": str(first.output), "guide": first.output, "quality": "quality"}
    asked = options(media, output=media / "second.safetensors", **more)
    FastTraining(asked).train(context())
    log = (media / "second.training" / "log.csv").read_text().splitlines()
    guide = dict(zip(log[0].split(","), log[-1].split(","), strict=True))["guide"]
    assert float(guide) > 0
    both = [media / "night.png", media / "wave.png"]
    with pytest.raises(UsageError, match="the network has 1 styles, not 2"):
        FastTraining(options(media, style=both, restart=True, **more)).train(context())
    absent = options(media, restart=True, init="nothing", quality="quality")
    with pytest.raises(UsageError, match="no such style file"):
        FastTraining(absent).train(context())


def test_flags_reach_the_run_by_their_names(media: Path) -> None:
    asked = options(
        media, hue_weight=0.1, tone_weight=0.2, spike_weight=0.3, color_jitter=0.4, minutes=5,
        steps=8000,
    )  # fmt: skip
    found = asked.run_options(context())
    assert (found.hue_weight, found.tone_weight, found.spike_weight) == (0.1, 0.2, 0.3)
    assert (found.color_jitter, found.minutes, found.size, found.style_size) == (0.4, 5.0, 64, 64)


def test_several_networks_judge_together(media: Path) -> None:
    judges = [media / "encoder.pth", media / "encoder.pth"]
    teachers = training._teachers(options(media, encoder_weights=judges), True, context())
    assert len(teachers) == 2


# -- formulas and epochs -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gram", "mean-std"])
def test_other_style_losses_train(media: Path, kind: str) -> None:
    FastTraining(options(media, style_loss=kind)).train(context())
    with safe_open(media / "out" / "my.safetensors", "pt") as file:
        assert f'"style_loss": "{kind}"' in file.metadata()["options"]


def test_epochs_count_steps_by_the_photos(media: Path) -> None:
    given = SMALL | {"steps": StyleOptions.steps, "epochs": 3}
    FastTraining(options(media, **given)).train(context())  # two photos, two a step
    with safe_open(media / "out" / "my.safetensors", "pt") as file:
        assert file.metadata()["steps"] == "3"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"epochs": 3}, "--steps means nothing beside --epochs"),
        ({"epochs": 3, "steps": StyleOptions.steps, "minutes": 2}, "--minutes means nothing bes"),
        ({"loss_scale": "johnson"}, "wasserstein has no loss scale johnson"),
        ({"loss_scale": "johnson", "style_loss": "gram"}, "johnson has no tone_weight"),
        ({"recipe": "johnson2015"}, "did you mean 'johnson2016'"),
    ],
)
def test_formulas_that_do_not_go_together(media: Path, values: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        FastTraining(options(media, **values)).train(context())
    assert not (media / "out" / "my.safetensors").exists()


def test_a_recipe_of_a_paper_trains(media: Path) -> None:
    FastTraining(options(media, recipe="johnson2016")).train(context())
    with safe_open(media / "out" / "my.safetensors", "pt") as file:
        used = file.metadata()["options"]
    assert '"loss_scale": "johnson"' in used and '"copy_steps": 0' in used
