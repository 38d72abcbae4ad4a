"""The command line: flags that follow the components, errors in one sentence, exit codes."""

import hashlib
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import fakes
import numpy as np
import pytest

from stylepipe.cli import main
from stylepipe.report import Report

HERE = Path(__file__).parent
TOY = str(HERE / "toy_plugin.py")
UNSHAPED = {
    "invert": False, "threshold": None, "grow": 0, "shrink": 0, "feather": 0.0, "steady": None,
}  # fmt: skip
HEAVY = {"torch", "torchvision", "cv2", "av", "numpy", "PIL", "safetensors", "tqdm"}


@pytest.fixture(autouse=True)
def no_installed_plugins(monkeypatch, tmp_path):
    """Only the plugins a test names; nobody's own presets and variables."""
    monkeypatch.setattr("stylepipe.plugins.entry_points", lambda group: [])
    monkeypatch.setattr("click.get_app_dir", lambda name: str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cli(capsys):
    """Run the program with the toy plugin; returns exit code, stdout and stderr."""

    def call(*args: object, plugin: str = TOY) -> tuple[int, str, str]:
        code = main.run([*map(str, args), "--plugin", plugin])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def job(cli, monkeypatch, tmp_path):
    """Run a command and return the job it would do."""
    jobs = []

    def run(job, plugins, report):
        jobs.append((job, report))
        return Report(quiet=True)

    monkeypatch.setattr("stylepipe.pipeline.run", run)

    def call(*args: object):
        code, _, err = cli(*args)
        assert code == 0, err
        return jobs[-1]

    return call


@pytest.fixture
def photos(tmp_path):
    """A folder with two pictures and a clip."""
    folder = tmp_path / "photos"
    folder.mkdir()
    np.save(folder / "a.npy", fakes.array(seed=1))
    np.save(folder / "b.npy", fakes.array(seed=2))
    np.save(folder / "clip.npy", np.stack([fakes.array(seed=i) for i in range(3)]))
    return folder


# -- the job -------------------------------------------------------------------------------


def test_a_folder_is_stylized_and_a_second_run_finds_it_done(cli, photos, tmp_path):
    code, out, err = cli("negative", photos, "-o", tmp_path / "out")
    assert (code, out) == (0, "") and "3 done" in err
    assert (np.load(tmp_path / "out" / "a.npy") == 255 - fakes.array(seed=1)).all()
    code, out, err = cli("negative", photos, "-o", tmp_path / "out")
    assert code == 0 and "3 skipped (already done)" in err


def test_a_broken_input_costs_itself_only_and_the_exit_code_is_1(cli, photos, tmp_path):
    (photos / "bad.npy").write_bytes(b"no")
    code, _, err = cli("negative", photos, "-o", tmp_path / "out", "--quiet")
    assert code == 1 and err.count("\n") == 1 and "bad.npy" in err
    assert len(list((tmp_path / "out").glob("*.npy"))) == 3


def test_json_events_are_all_there_is_on_stdout(cli, photos, tmp_path):
    code, out, _ = cli("negative", photos, "-o", tmp_path / "out", "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [e["event"] for e in events if e["event"] != "item_start"] == [
        "job_start", "item_done", "item_done", "item_done", "job_done",
    ]  # fmt: skip


def test_a_dry_run_writes_nothing(cli, photos, tmp_path):
    code, out, _ = cli("negative", photos, "-o", tmp_path / "out", "--dry-run")
    assert code == 0 and len(out.splitlines()) == 3
    assert not (tmp_path / "out").exists()


def test_a_user_who_presses_ctrl_c_gets_130(cli, monkeypatch, photos):
    def interrupted(job, plugins, report):
        raise KeyboardInterrupt

    monkeypatch.setattr("stylepipe.pipeline.run", interrupted)
    assert cli("negative", photos, "-o", "out")[0] == 130


# -- flags ---------------------------------------------------------------------------------


def options(component):
    return component.name, component.options.values()


def test_flags_reach_the_components(job):
    request, report = job(
        "run", "x", "y", "-o", "out", "-s", "one:2", "--style", "two", "--strength", "0.5",
        "--keep-colors", "--quality", "light", "--mask", "edges", "--mask-invert",
        "--mask-width", "9", "--flow", "other", "--temporal-blend", ".25", "--level", "8",
        "--temporal-flow-blend", "5",
        "--name", "{stem}_{style}", "--format", "NPZ", "-d", "cpu", "--precision", "full",
        "--memory", "1.5G", "--overwrite", "--limit", "7", "--on-error", "abort", "-n", "-vv",
        "--json", "-q",
    )  # fmt: skip
    s = request.settings
    assert options(s.stylizer) == ("fast", {
        "style": ["one:2", "two"], "strength": 0.5, "keep_colors": True, "quality": "light",
        "limit": 5,
    })  # fmt: skip
    assert options(s.masker) == ("edges", {"width": 9}) and s.mask.invert
    assert options(s.temporal) == ("warp", {"blend": 0.25, "max_side": 640})
    assert options(s.flow) == ("other", {"blend": 5, "speed": 1})
    assert [w.options.level for w in s.writers if w.name.startswith("packed")] == [8, 8]
    assert s.output.values() == {"name": "{stem}_{style}", "format": "npz"}
    assert request.inputs == (Path("x"), Path("y")) and request.output == Path("out")
    assert (request.device, request.precision, request.memory) == ("cpu", "full", 3 << 29)
    assert request.overwrite and request.dry_run and not request.skip_existing
    assert (request.limit, request.on_error, report.verbose) == (7, "abort", 2)


def test_a_name_that_is_taken_gets_its_table_in_front(job):
    request, _ = job("run", "x", "-o", "o", "--limit", "2", "--stylizer-limit", "3",
                     "--quality", "light", "--output-quality", "70")  # fmt: skip
    assert request.limit == 2 and request.settings.stylizer.options.limit == 3
    assert request.settings.stylizer.options.quality == "light"
    assert [w.options.quality for w in request.settings.writers if w.name == "packed"] == [70]
    # and its long name is good also where the short one is free
    request, _ = job("negative", "x", "-o", "o", "--output-quality", "60", "--output-level", "2")
    assert [w.options.quality for w in request.settings.writers if w.name == "packed"] == [60]


@pytest.mark.parametrize(
    ("flags", "kept"),
    [(["--keep-colors"], True), (["--no-keep-colors"], False), ([], True)],
)
def test_a_switch_of_the_preset_can_be_turned_off(job, tmp_path, flags, kept):
    (tmp_path / "p.toml").write_text("[stylizer]\nkeep_colors = true")
    request, _ = job("run", "x", "-o", "o", "-p", "p.toml", *flags)
    assert request.settings.stylizer.options.keep_colors is kept


def test_set_reaches_any_key_and_repeats_what_is_repeatable(job):
    request, _ = job(
        "run", "x", "-o", "o", "--set", "stylizer.style=a", "--set", "stylizer.style=b",
        "--set", "stylizer.keep-colors=yes", "--set=mask.use=edges", "--set", "mask.width=4",
        "--set", "stylizer.strength=0.1", "--set", "stylizer.strength=0.2",
    )  # fmt: skip
    assert options(request.settings.stylizer)[1] == {
        "style": ["a", "b"], "strength": 0.2, "keep_colors": True, "quality": "quality",
        "limit": 5,
    }  # fmt: skip
    assert options(request.settings.masker)[1]["width"] == 4


def test_set_can_choose_the_stylizer_and_its_flags_follow(job):
    request, _ = job("run", "x", "-o", "o", "--set", "stylizer.use=negative", "--wait", "0.5")
    assert options(request.settings.stylizer)[1]["wait"] == 0.5


def test_mask_is_a_masker_or_a_path(job, cli, tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "edges").mkdir()
    request, _ = job("run", "x", "-o", "o", "--mask", "masks", "--mask-feather", "2")
    assert options(request.settings.masker) == ("files", {"path": "masks"})
    assert request.settings.mask.feather == 2.0 and not request.settings.mask.invert
    assert job("run", "x", "-o", "o", "--mask", "edges")[0].settings.masker.name == "edges"
    assert job("run", "x", "-o", "o", "--mask", "./edges")[0].settings.masker.name == "files"
    assert job("run", "x", "-o", "o", "--mask", "none")[0].settings.masker is None
    code, _, err = cli("run", "x", "-o", "o", "--mask", "edgse")
    assert code == 2 and "did you mean 'edges'" in err


def test_mask_keeps_what_the_preset_says_of_it(job, tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "around.toml").write_text('[mask]\nuse = "edges"\nfeather = 4\ninvert = true\n')
    request, _ = job("run", "x", "-o", "o", "-p", "./around.toml", "--mask", "masks")
    assert options(request.settings.masker) == ("files", {"path": "masks"})
    assert request.settings.mask.feather == 4.0 and request.settings.mask.invert


def test_the_environment_is_looked_at(job, monkeypatch):
    monkeypatch.setenv("STYLEPIPE_STYLIZER_STRENGTH", "0.25")
    assert job("run", "x", "-o", "o")[0].settings.stylizer.options.strength == 0.25


def test_help_shows_the_presets_components_and_defaults(cli, tmp_path):
    (tmp_path / "p.toml").write_text(
        '[stylizer]\nuse = "negative"\nwait = 0.125\n[temporal]\nflow = "other"\n'
        '[mask]\nuse = "edges"\nwidth = 77'
    )
    code, out, _ = cli("run", "-p", "p.toml", "--help")
    words = " ".join(out.split())
    assert code == 0 and "default: 0.125" in words and "default: 77" in words
    assert "--temporal-quality" not in out and "--temporal-blend" in out
    _, out, _ = cli("run", "--help")
    assert "--temporal-quality" in out and "default: starry-night" in out
    assert "Examples:" in out and "--mask-path" in out


def test_a_command_without_arguments_shows_its_help(cli):
    for command in ([], ["run"], ["train"]):
        code, out, _ = cli(*command)
        assert code == 0 and out.startswith("Usage: stylepipe")


@pytest.mark.parametrize(
    ("args", "preset", "style"),
    [
        (["--preset", "a"], "a", "starry-night"),
        (["--preset=a", "-p", "b"], "b", "starry-night"),
        (["-pb"], "b", "starry-night"),
        (["-vqp", "a"], "a", "starry-night"),
        (["-p", "a", "-nvpb"], "b", "starry-night"),
        (["-sp", "-nvp", "a"], "a", "p"),  # of -s
        (["--style", "-pa"], "default", "-pa"),
        (["-s", "--preset=a"], "default", "--preset=a"),
        (["--name", "-pa"], "default", "starry-night"),
        (["-o-pa"], "default", "starry-night"),
    ],
)
def test_the_preset_is_found_wherever_it_stands(job, tmp_path, args, preset, style):
    folder = tmp_path / "config" / "presets"
    folder.mkdir(parents=True)
    for name, wait in (("a", 0.1), ("b", 0.2)):
        (folder / f"{name}.toml").write_text(
            f'extends = "default"\n[stylizer]\nstrength = {wait}\n'
        )
    chosen = job("run", "x", "-o", "o", *args)[0].settings
    assert chosen.preset == preset and chosen.stylizer.options.style == (style,)
    assert chosen.stylizer.options.strength == {"a": 0.1, "b": 0.2, "default": 1}[preset]


def test_presets_are_read_once(job, monkeypatch):
    from stylepipe import presets

    read, load = [], presets.load
    monkeypatch.setattr(
        presets, "load", lambda path, *more: read.append(path.stem) or load(path, *more)
    )
    job("run", "x", "-o", "o", "-p", "background", "--mask", "edges", "--strength", "0.5")
    assert read == ["background", "default"]


def test_plugins_are_taken_wherever_they_stand(job, tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(
            "import stylepipe\nfrom fakes import Negative\n"
            f"class Own(Negative):\n    'Own.'\n    name = '{name}'\n"
            "@stylepipe.hookimpl\ndef stylepipe_components(): return [Own]\n"
        )
    both = ("--plugin", "one.py", "run", "x", "--plugin=two.py", "-o", "o", "--set")
    assert job(*both, "stylizer.use=one")[0].settings.stylizer.name == "one"
    assert job(*both, "stylizer.use=two")[0].settings.stylizer.name == "two"


def test_what_follows_two_dashes_is_an_input(monkeypatch, capsys):
    jobs = []
    monkeypatch.setattr("stylepipe.pipeline.run", lambda job, *more: jobs.append(job) or Report())
    assert main.run(["run", "--plugin", TOY, "-o", "o", "--", "--plugin", "-p"]) == 0
    assert jobs[0].inputs == (Path("--plugin"), Path("-p"))
    assert main.run(["run", "x", "--plugin"]) == 2
    assert "'--plugin' requires an argument" in capsys.readouterr().err


# -- errors --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["run", "x", "-o", "o", "--stile", "a"], 2, "--style"),
        (["run", "x", "-o", "o", "--strength", "2"], 2, "strength must be between 0 and 1"),
        (["run", "x", "-o", "o", "--quality", "ligth"], 2, "did you mean 'light'"),
        (["run", "x", "-o", "o", "-p", "video-smoth"], 2, "did you mean 'video-smooth'"),
        (["run", "x", "-o", "o", "--set", "stylizer.strenght=1"], 2, "did you mean 'strength'"),
        (["run", "x", "-o", "o", "--set", "stilizer.strength=1"], 2, "did you mean 'stylizer'"),
        (["run", "x", "-o", "o", "--set", "strength"], 2, "TABLE.KEY=VALUE"),
        (["run", "x", "-o", "o", "--temporal", "warb"], 2, "did you mean 'warp'"),
        (["run", "x", "-o", "o", "--flow", "diss"], 2, "did you mean 'dis'"),
        (["run", "x", "-o", "o", "--temporal", "dis"], 2, "--temporal warp --flow dis"),
        (["run", "x", "-o", "o", "--temporal", "median", "--flow", "dis"], 2, "uses no optical"),
        (["run", "x", "-o", "o", "--mask-invert"], 2, "no masker was chosen"),
        (["run", "x", "-o", "o", "--memory", "much"], 2, "4G or 512M"),
        (["run", "x", "-o", "o", "--limit", "0"], 2, "--limit"),
        (["run", "x", "-o", "o", "--format", "exe"], 2, "choose one of: npy, npz"),
        (["run", "x", "-o", "o", "--overwrite", "--skip-existing"], 2, "contradict"),
        (["run", "x"], 2, "--output"),
        (["run", "-o", "o"], 2, "INPUT"),
        (["run", "nowhere", "-o", "o"], 3, "nowhere"),
        (["fats", "x"], 2, "unknown command 'fats' (did you mean 'fast'?)"),
        (["train", "negative"], 2, "nothing trainable is called 'negative'"),
        (["presets", "show", "defualt"], 2, "did you mean 'default'"),
        (["completion", "tcsh"], 2, "bash"),
    ],
)
def test_mistakes_get_one_sentence_and_their_exit_code(cli, args, code, words):
    got, out, err = cli(*args)
    assert got == code, err
    assert words in err and err.startswith("error: ") and "Traceback" not in err
    assert out == "" and len(err.splitlines()) <= 2


def test_a_path_given_as_command_is_answered_with_the_command_to_use(cli, photos):
    code, _, err = cli(photos)
    assert code == 2 and f"stylepipe run {photos} -o" in err


def test_an_unexpected_error_is_one_sentence_and_with_v_a_traceback(cli, monkeypatch, photos):
    def broken(job, plugins, report):
        raise ZeroDivisionError("of a plugin\nsecond line")

    monkeypatch.setattr("stylepipe.pipeline.run", broken)
    code, _, err = cli("negative", photos, "-o", "out")
    assert code == 1 and "unexpected ZeroDivisionError: of a plugin;" in err
    assert "Traceback" not in err and "doctor" in err and len(err.splitlines()) == 1
    assert "Traceback" in cli("negative", photos, "-o", "out", "-v")[2]


def test_a_broken_plugin_that_was_asked_for_stops_the_job(cli, photos, tmp_path):
    (tmp_path / "bad.py").write_text("1/0")
    code, _, err = cli("negative", photos, "-o", "out", "--plugin", "bad.py")
    assert code == 4 and "bad.py cannot be loaded: ZeroDivisionError" in err
    assert not Path("out").exists()


def test_a_broken_installed_plugin_is_a_warning(cli, photos, monkeypatch):
    class Point:
        name, value, dist = "bad", "bad_plugin", None

        def load(self):
            raise ImportError("half installed")

    monkeypatch.setattr("stylepipe.plugins.entry_points", lambda group: [Point()])
    code, _, err = cli("negative", photos, "-o", "out")
    assert code == 0 and "warning: plugin bad is broken: ImportError: half installed" in err


# -- the other verbs -----------------------------------------------------------------------


def test_styles(cli):
    code, out, _ = cli("styles")
    assert code == 0 and out.split() == ["starry-night", "fast", "The", "Starry", "Night", "MIT"]
    assert json.loads(cli("styles", "--json")[1]) == [
        {"stylizer": "fast", "name": "starry-night", "title": "The Starry Night", "license": "MIT"}
    ]


def test_presets_are_listed_with_the_broken_ones(cli, tmp_path):
    folder = tmp_path / "config" / "presets"
    folder.mkdir(parents=True)
    (folder / "good.toml").write_text('description = "My own."')
    (folder / "torn.toml").write_text("[")
    code, out, _ = cli("presets")
    assert code == 0 and cli("presets", "list")[1] == out
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert "yours" in lines["good"] and "My own." in lines["good"]
    assert "broken:" in lines["torn"] and "shipped" in lines["default"]
    assert cli("presets", "where")[1].strip() == str(folder)


def test_presets_show_prints_the_file_or_a_resolved_preset_that_can_be_saved(cli, tmp_path):
    assert 'description = "' in cli("presets", "show", "default")[1]
    (tmp_path / "p.toml").write_text('extends = "default"\n[stylizer]\nstrength = 0.5')
    code, out, _ = cli("presets", "show", "p.toml", "--resolved")
    assert code == 0
    lines = {line.partition("#")[0].strip(): line.partition("# ")[2] for line in out.splitlines()}
    assert lines["strength = 0.5"] == "preset p"
    assert lines['style = ["starry-night"]'] == "preset default"
    assert lines["keep_colors = false"] == "default"
    (tmp_path / "saved.toml").write_text(out)
    one, two = (cli("presets", "show", f"{n}.toml", "--json")[1] for n in ("p", "saved"))
    values = [
        {t: {k: v["value"] for k, v in keys.items()} for t, keys in json.loads(text).items()}
        for text in (one, two)
    ]
    assert values[0] == values[1] and values[0]["stylizer"]["strength"] == 0.5


def test_presets_validate_names_every_bad_file(cli, tmp_path):
    (tmp_path / "good.toml").write_text("")
    (tmp_path / "bad.toml").write_text("[stylizer]\nx = 1")
    (tmp_path / "torn.toml").write_text("[")
    code, out, err = cli("presets", "validate", "bad.toml", "good.toml", "torn.toml")
    assert code == 2 and out == "good.toml: ok\n"
    assert len(err.splitlines()) == 2 and "bad.toml" in err and "torn.toml" in err


def test_plugins_are_listed_with_their_components_and_tracebacks(cli, tmp_path):
    (tmp_path / "bad.py").write_text("def f():\n    1/0\nf()")
    code, out, _ = cli("plugins", "--plugin", "bad.py")
    assert code == 0 and "BROKEN" in out and "ZeroDivisionError" in out and "line 2, in f" in out
    assert "Paints nothing, quickly." in out
    records = json.loads(cli("plugins", "--plugin", "bad.py", "--json")[1])
    assert [r["name"] for r in records] == ["bad", "toy_plugin"]
    assert {"stage": "flow", "name": "dis", "summary": "Flow."} in records[1]["components"]


def test_probe_tells_what_is_in_a_file_and_what_is_not(cli, photos):
    (photos / "bad.npy").write_bytes(b"no")
    code, out, err = cli("probe", photos / "a.npy", photos / "bad.npy", photos / "gone", photos)
    assert code == 1 and "width   8" in out and len(err.splitlines()) == 3
    assert "this is not an array" in err and "no such file" in err and "is a folder" in err
    facts = json.loads(cli("probe", "--json", photos / "clip.npy")[1])
    assert facts[0]["kind"] == "video" and facts[0]["frames"] == 3 and facts[0]["width"] == 8


def test_train_makes_its_flags_from_the_options_of_a_training(cli):
    code, _, err = cli("train", "fast", "--steps", "3", "-o", "mine.safetensors", "-d", "cpu")
    assert code == 0 and "3 steps on cpu to mine.safetensors" in err
    code, _, err = cli("train", "fast", "--steps", "0", "-o", "x")
    assert code == 2 and "steps must be at least 1" in err
    assert cli("train", "fast")[2].startswith("error: name a file with --output")
    assert "default: 10" in cli("train", "fast", "--help")[1]


def test_doctor_reports_what_is_wrong_with_exit_code_4(cli, tmp_path, monkeypatch):
    (tmp_path / "bad.py").write_text("1/0")
    monkeypatch.setattr("stylepipe.cli.doctor.LEAST_DISK", 1 << 60)
    code, out, err = cli("doctor", "--plugin", "bad.py")
    problems = [line for line in out.splitlines() if line.startswith("problem")]
    assert code == 4 and f"{len(problems)} problems found" in err
    assert any("bad: ZeroDivisionError" in line for line in problems)
    assert any("disk" in line for line in problems)
    good = [line for line in out.splitlines() if line.startswith("ok")]
    for word in ("torch", "libx264", "device", "toy_plugin", "fast: starry-night", "video-smooth"):
        assert any(word in line for line in good), word


@pytest.mark.parametrize(("needs", "word"), [("click>=99", "old"), ("click<8,>=7", "new")])
def test_doctor_names_a_package_that_is_too_old_or_too_new(cli, monkeypatch, needs, word):
    monkeypatch.setattr("stylepipe.cli.doctor.metadata.requires", lambda name: [needs])
    problems = [f["text"] for f in json.loads(cli("doctor", "--json")[1]) if not f["ok"]]
    assert [p for p in problems if f"is too {word}: needs {needs}" in p]


def test_doctor_names_a_style_that_cannot_be_loaded(cli, monkeypatch):
    def damaged(self, styles):
        raise OSError("hash differs")

    monkeypatch.setattr("stylepipe.components.Stylizer.prepare", damaged)
    findings = json.loads(cli("doctor", "--json")[1])
    assert {"topic": "style", "text": "fast: starry-night: hash differs", "ok": False} in findings


@pytest.fixture
def weights(monkeypatch, tmp_path):
    """One known file of weights, served from a folder, and an empty cache."""
    from stylepipe.weights import Weights

    (tmp_path / "net.bin").write_bytes(b"weights")
    entry = Weights(
        "net", "A network", (tmp_path / "net.bin").as_uri(),
        hashlib.sha256(b"weights").hexdigest(), "MIT", "none", 1,
    )  # fmt: skip
    monkeypatch.setattr("stylepipe.weights.KNOWN", {"net": entry})
    monkeypatch.setattr("stylepipe.cli.weights.KNOWN", {"net": entry})
    monkeypatch.setenv("STYLEPIPE_CACHE", str(tmp_path / "cache"))
    return entry


def test_weights_are_listed_fetched_and_found(cli, weights, tmp_path):
    assert cli("weights")[1].split()[:2] == ["net", "-"]
    assert json.loads(cli("weights", "list", "--json")[1])[0]["fetched"] is False
    where = str(tmp_path / "cache" / "net.bin")
    assert cli("weights", "path", "net")[1].strip() == where
    assert cli("weights", "path")[1].strip() == str(tmp_path / "cache")
    code, out, err = cli("weights", "fetch", "net")
    assert (code, out.strip()) == (0, where), err
    assert Path(where).read_bytes() == b"weights"
    assert cli("weights", "list")[1].split()[:2] == ["net", "fetched"]
    code, _, err = cli("weights", "fetch", "nett")
    assert code == 2 and "did you mean 'net'" in err


def test_doctor_finds_damaged_weights(cli, weights):
    cli("weights", "fetch", "net")
    weights.path.write_bytes(b"wrights")
    code, out, _ = cli("doctor")
    assert code == 4 and "net.bin is damaged; fetch it again: stylepipe weights fetch net" in out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(cli, shell):
    code, out, _ = cli("completion", shell)
    assert code == 0 and "_STYLEPIPE_COMPLETE" in out


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("ru", "run"),
        ("presets sh", "show"),
        (f"run --plugin {TOY} --keep", "--keep-colors"),
        (f"run --plugin {TOY} -p video-sm", "video-smooth"),
        (f"run --plugin {TOY} --style sta", "starry-night"),
        (f"run --plugin {TOY} --quality l", "light"),
        (f"run --plugin {TOY} --preset nonsense --over", "--overwrite"),
        (f"--plugin {TOY} neg", "negative"),
    ],
)
def test_the_shell_completes(monkeypatch, capsys, words, found):
    line = f"stylepipe {words}".split()
    monkeypatch.setenv("_STYLEPIPE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", " ".join(line))
    monkeypatch.setenv("COMP_CWORD", str(len(line) - 1))
    with pytest.raises(SystemExit) as end:
        main.run([])
    assert end.value.code == 0
    assert f"plain,{found}" in capsys.readouterr().out.splitlines()


DAMAGED = """
import stylepipe

class Damaged(stylepipe.Stylizer):
    name = "damaged"
    Options = stylepipe.StylizerOptions

    @classmethod
    def styles(cls):
        raise stylepipe.SetupError("torn.safetensors is damaged")

    def stylize(self, batch):
        return batch.images

@stylepipe.hookimpl
def stylepipe_components():
    return [Damaged]
"""


def test_damaged_styles_are_told_by_styles_and_stop_no_job_with_another(job, cli, tmp_path):
    (tmp_path / "damaged.py").write_text(DAMAGED)
    extra = ("--plugin", "damaged.py")
    assert job("damaged", "x", "-o", "o", "-s", "mine", *extra)[0].settings.stylizer.options.style
    code, out, err = cli("styles", *extra)
    assert code == 4 and "torn.safetensors is damaged" in err and "starry-night" in out
    problems = [f for f in json.loads(cli("doctor", "--json", *extra)[1]) if not f["ok"]]
    assert "damaged: torn.safetensors is damaged" in [p["text"] for p in problems]


def test_a_hook_that_raises_ends_no_job_and_hides_no_error(cli, photos, tmp_path, monkeypatch):
    (tmp_path / "watcher.py").write_text(
        "import stylepipe\n"
        "@stylepipe.hookimpl\ndef stylepipe_item_done(item): raise OSError('no upload')\n"
        "@stylepipe.hookimpl\ndef stylepipe_job_done(report): 1 / 0\n"
    )
    watcher = ("--plugin", tmp_path / "watcher.py")
    code, _, err = cli("negative", photos, "-o", tmp_path / "out", *watcher)
    assert code == 0 and "3 done" in err
    assert err.count("plugin watcher broke in stylepipe_item_done: OSError: no upload") == 1

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fakes.np.save", full)
    code, _, err = cli("negative", photos, "-o", tmp_path / "more", *watcher)
    assert code == 4 and "No space left on device" in err
    assert "plugin watcher broke in stylepipe_job_done: ZeroDivisionError" in err


def test_a_plugin_adds_a_command_but_replaces_none(cli, tmp_path):
    (tmp_path / "more.py").write_text(
        "import click, stylepipe\n@stylepipe.hookimpl\ndef stylepipe_commands(cli):\n"
        "    @cli.command('hello')\n    def hello():\n        '''Greet.'''\n"
        "        click.echo('hello')\n"
        "    @cli.command('styles')\n    def styles():\n        click.echo('mine')\n"
    )
    plugin = str(tmp_path / "more.py")
    assert cli("--plugin", plugin, "hello")[1] == cli("hello", "--plugin", plugin)[1] == "hello\n"
    assert cli("--plugin", plugin, "styles")[1].startswith("starry-night")
    told = "plugin more is broken: stylepipe_commands takes the place of styles"
    assert told in cli("--plugin", plugin, "hello")[2]
    assert cli("--help")[1].count("Greet.") == 0
    assert "Greet." in cli("--plugin", plugin, "--help")[1]


# -- a fresh process -----------------------------------------------------------------------


def python(code: str, **more) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, **more
    )


@pytest.mark.parametrize(
    "args",
    [["--help"], ["--version"], ["run", "--help"], ["presets"], ["styles"], ["train", "--help"],
     ["completion", "zsh"], ["nonsense"], ["plugins"], ["weights"]],
)  # fmt: skip
def test_nothing_heavy_is_imported_before_a_job_runs(args):
    done = python(
        f"import sys; from stylepipe.cli.main import run; run({args!r}); "
        f"print(*sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    assert not set(done.stderr.splitlines()[-1].split()) & HEAVY, done.stderr


def test_the_version_is_told_without_loading_a_plugin():
    done = python(
        "import sys; from stylepipe.cli.main import run; code = run(['--version']); "
        "print(code, 'stylepipe_plugins' in sys.modules)"
    )
    assert done.stdout.splitlines()[-1] == "0 False"


def test_a_reader_that_goes_away_is_not_worth_a_word():
    code = (
        "import os; r, w = os.pipe(); os.close(r); os.dup2(w, 1); "
        "from stylepipe.cli.main import main; import sys; sys.argv = ['x', 'presets']; main()"
    )
    done = python(code)
    assert done.stderr == "" and done.returncode == 1


def test_python_m_stylepipe_is_stylepipe():
    done = subprocess.run(
        [sys.executable, "-m", "stylepipe", "--version"], capture_output=True, text=True
    )
    assert done.stdout.startswith("stylepipe ") and done.returncode == 0


@pytest.mark.parametrize("how", [["-m", "stylepipe"], ["-mstylepipe"]])
def test_no_module_of_the_current_folder_is_run(tmp_path, how):
    for name in ("click", "pluggy", "torch", "tomllib", "difflib", "hashlib", "json"):
        (tmp_path / f"{name}.py").write_text("import os; print('hijacked', __file__); os._exit(9)")
    done = subprocess.run(
        [sys.executable, *how, "plugins"], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "") and "hijacked" not in done.stdout


def test_another_program_keeps_its_folder(tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("import stylepipe")
    (tmp_path / "app" / "__main__.py").write_text("import beside")
    (tmp_path / "beside.py").write_text("print('here')")
    done = subprocess.run(
        [sys.executable, "-m", "app", "stylepipe"], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )  # fmt: skip
    assert done.stdout == "here\n", done.stderr


@pytest.mark.parametrize("args", [["--version"], ["--help"]])
@pytest.mark.skipif(sys.platform == "win32", reason="counts CPU time as Unix does")
def test_the_program_starts_about_as_soon_as_what_it_is_built_on(args):
    """Measured against an import of what it needs, beside it: a busy machine slows both."""
    import resource

    needs = "import click, pluggy, dataclasses, hashlib, importlib.metadata, json, tomllib"

    def seconds(*call: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *call], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    runs = [(seconds("-m", "stylepipe", *args), seconds("-c", needs)) for _ in range(3)]
    ratio = statistics.median(own / base for own, base in runs)
    assert ratio < 5, runs  # 4 as a rule; with torch it would be 15
