"""Whatever text a user gives for a file: one sentence, and no crash."""

import cv2
import numpy as np
import pytest

from stylepipe import UsageError, user_path
from stylepipe.cli import main
from stylepipe.paths import expanded

LONG = "x" * 300
NOBODY = "~no-such-user/x"
FLAGS = [
    "run --style {}",
    "run --style {}.safetensors",
    "run --style {}.safetensors#wave",
    "run --style {}:0.5",
    "run --mask {}",
    "run --mask labels --mask-maps {}",
    "run --mask labels --mask-maps . --mask-legend {}.toml",
    "run --mask classes:cat --mask-weights {}",
    "run --protect {}:0.5",
    "run --region rest={}",
    "run --regions {}",
    "run --preset {}",
    "run --preset {}.toml",
    "run --set stylizer.style={}",
    "gatys --style {}",
    "gatys --style photo.png --init {}",
    "gatys --style photo.png --encoder-weights {}",
    "gatys --style photo.png --style-regions {}",
    "photo --style {}",
    "grade --style {}.cube",
    "grade --style noir --export {}/look.cube",
    "adain --style photo.png --decoder {}",
]


@pytest.fixture
def photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("photo.png", np.zeros((32, 32, 3), np.uint8))


@pytest.mark.parametrize("text", [LONG, NOBODY], ids=["too long", "the home of nobody"])
@pytest.mark.parametrize("flags", FLAGS)
def test_a_text_that_is_no_file_is_refused_in_one_sentence(flags, text, photo, capsys):
    verb, *rest = flags.format(text).split()
    assert main.run([verb, "photo.png", "-o", "out", *rest]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert "unexpected" not in error


@pytest.mark.parametrize(
    "args",
    [
        ["run", "photo.png", "-o", LONG],
        ["run", "photo.png", "-o", f"{LONG}/out"],
        ["run", "photo.png", "-o", "out", "--plugin", f"{LONG}.py"],
        ["train", "fast", "--photos", LONG, "--style", "photo.png", "-o", "a.safetensors"],
        ["train", "fast", "--photos", ".", "--style", LONG, "-o", "a.safetensors"],
        ["train", "fast", "--photos", ".", "--style", "photo.png", "-o", f"{LONG}.safetensors"],
        [
            "train",
            "fast",
            "--photos",
            ".",
            "--style",
            "photo.png",
            "-o",
            "a.safetensors",
            "--init",
            LONG,
        ],
        ["plugins", "check", f"{LONG}.py"],
    ],
)
def test_a_name_that_no_disk_holds_is_refused_wherever_it_stands(args, photo, capsys):
    assert main.run(args) == 2
    error = capsys.readouterr().err
    assert "is too long for the name of a file" in error and "unexpected" not in error


def test_probe_goes_on_after_a_name_that_no_disk_holds(photo, capsys):
    assert main.run(["probe", LONG, "photo.png"]) == 1
    out, err = capsys.readouterr()
    assert "no such file" in err and "32" in out


def test_a_path_that_leads_nowhere_is_a_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/a/b.png") == tmp_path / "a" / "b.png"
    assert str(expanded(NOBODY)) == NOBODY
    with pytest.raises(UsageError, match="cannot be the name of a file"):
        user_path("a\0b")
