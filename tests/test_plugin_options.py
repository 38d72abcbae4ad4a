"""A plugin that only has hooks can have options: a table of its name, flags, the environment."""

from pathlib import Path

import numpy as np
import pytest

from stylepipe import UsageError, convert
from stylepipe.cli import main
from stylepipe.plugins import Plugins
from stylepipe.presets import resolve

UPLOAD = """
import stylepipe

class UploadOptions(stylepipe.Options):
    bucket: str = stylepipe.option("none", "Where results go.", metavar="NAME")
    tries: int = stylepipe.option(3, "Attempts a file.", min=1)
    tag: tuple[str, ...] = stylepipe.option((), "Labels.")

told = []

@stylepipe.hookimpl
def stylepipe_options():
    return UploadOptions

@stylepipe.hookimpl
def stylepipe_job_start(job, items):
    if job.settings.plugins["my_upload"].bucket == "forbidden":
        raise stylepipe.UsageError("the bucket 'forbidden' cannot be written")

@stylepipe.hookimpl
def stylepipe_item_done(job, item, outcome):
    options = job.settings.plugins["my_upload"]
    with open("uploads.txt", "a") as log:
        line = f"{item.output.name} to {options.bucket}, {options.tries} tries, {options.tag}"
        print(line, file=log)
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setattr("stylepipe.plugins.entry_points", lambda group: [])
    monkeypatch.chdir(tmp_path)
    Path("my_upload.py").write_text(UPLOAD)
    np.save("photo.npy", np.zeros((6, 8, 3), np.uint8))
    return tmp_path


def run(*args: str) -> int:
    toys = str(Path(__file__).with_name("toy_plugin.py"))
    return main.run(["negative", "photo.npy", "-o", "out.npy", "--plugin", toys,
                     "--plugin", "my_upload.py", *args])  # fmt: skip


def test_values_from_preset_environment_and_flags_reach_the_hooks(monkeypatch):
    Path("mine.toml").write_text(
        '[my_upload]\nbucket = "from-preset"\ntries = 5\ntag = ["a", "b"]\n'
    )
    monkeypatch.setenv("STYLEPIPE_MY_UPLOAD_TRIES", "7")
    assert run() == 0
    assert run("--redo", "--preset", "mine.toml", "--my-upload-bucket", "flag") == 0
    assert run("--redo", "--set", "my_upload.bucket=set", "--my-upload-tag", "x") == 0
    assert Path("uploads.txt").read_text().splitlines() == [
        "out.npy to none, 7 tries, ()",
        "out.npy to flag, 7 tries, ('a', 'b')",
        "out.npy to set, 7 tries, ('x',)",
    ]


def test_results_do_not_depend_on_them():
    assert run() == 0
    written = Path("out.npy").stat().st_mtime_ns
    assert run("--my-upload-bucket", "other") == 0
    assert Path("out.npy").stat().st_mtime_ns == written


def test_help_and_list_show_them(capsys):
    assert run("--help") == 0
    page = capsys.readouterr().out
    assert "Plugin my_upload" in page and "--my-upload-bucket NAME" in page
    assert main.run(["plugins", "--plugin", "my_upload.py"]) == 0
    assert "option    bucket         Where results go." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--set", "my_upload.bukket=x"], "unknown option 'bukket' of plugin my_upload in "
         "[my_upload] (command line) (did you mean 'bucket'?); known: bucket, tries, tag"),
        (["--my-upload-tries", "0"], "[my_upload] tries must be at least 1, not 0 (command line)"),
        (["--set", "my_uplod.tries=1"], "unknown table 'my_uplod' (did you mean 'my_upload'?)"),
        (["--my-upload-bucket", "forbidden"], "the bucket 'forbidden' cannot be written"),
    ],
)  # fmt: skip
def test_what_cannot_be_honored_is_refused(args, words, capsys):
    assert run(*args) == 2
    assert words in capsys.readouterr().err
    assert not Path("out.npy").exists()


def test_a_preset_for_a_plugin_that_is_not_there_is_refused(capsys):
    Path("mine.toml").write_text("[my_upload]\ntries = 5\n")
    assert main.run(["presets", "validate", "mine.toml"]) == 2
    assert "unknown table 'my_upload'" in capsys.readouterr().err
    assert main.run(["presets", "validate", "mine.toml", "--plugin", "my_upload.py"]) == 2
    assert "unknown table" not in capsys.readouterr().err


def test_from_python_too():
    plugins = Plugins([str(Path(__file__).with_name("toy_plugin.py")), "my_upload.py"])
    settings = {"stylizer": {"use": "negative"}, "my_upload": {"bucket": "python"}}
    assert convert("photo.npy", "out.npy", plugins=plugins, settings=settings).exit_code == 0
    assert "to python, 3 tries" in Path("uploads.txt").read_text()
    with pytest.raises(UsageError, match="unknown table 'uplod'"):
        resolve(plugins, "default", {"uplod": {}})


@pytest.mark.parametrize(
    ("name", "result", "words"),
    [
        ("fine", "stylepipe.Options()", "returns one class derived from stylepipe.Options"),
        ("fine", "int", "returns one class derived from stylepipe.Options"),
        ("stylizer", "UploadOptions", "cannot be named 'stylizer'"),
        ("extends", "UploadOptions", "cannot be named 'extends'"),
        ("Odd Name", "UploadOptions", "cannot be named 'Odd Name'"),
    ],
)
def test_a_wrong_declaration_breaks_the_plugin(name, result, words):
    Path(f"{name}.py").write_text(UPLOAD.replace("return UploadOptions", f"return {result}"))
    (record,) = Plugins([f"./{name}.py"]).records
    assert words in record.reason


@pytest.mark.parametrize(
    ("name", "variable"),
    [("output-log", "STYLEPIPE_OUTPUT_LOG_TRIES"), ("trace", "STYLEPIPE_TRACE_TRIES")],
)
def test_variables_find_the_table_with_the_longest_name(name, variable):
    Path(f"{name}.py").write_text(UPLOAD)
    plugins = Plugins([str(Path(__file__).with_name("toy_plugin.py")), f"{name}.py"])
    env = {variable: "7", "STYLEPIPE_TRACE_PLUGINS": "0", "STYLEPIPE_": "", variable[:-5]: ""}
    assert resolve(plugins, "default", env=env).plugins[name].tries == 7


def test_a_flag_of_a_stylizer_is_not_taken_over_by_a_plugin(capsys):
    Path("keep.py").write_text(UPLOAD.replace("bucket", "colors"))
    assert run("--plugin", "keep.py", "--keep-colors", "--set", "keep.colors=x") == 0
    assert run("--plugin", "keep.py", "--help") == 0
    assert capsys.readouterr().out.count("keep-colors") == 1
