"""The examples do what they promise: media, scripts, the one-file plugin, the plugin package."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from stylepipe import Stylizer, convert
from stylepipe.cli import main
from stylepipe.plugins import Plugins
from stylepipe.testing import StylizerContract

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PHOTOS = sorted(p for p in (EXAMPLES / "photos").rglob("*") if p.is_file())
POSTERIZE = EXAMPLES / "posterize.py"
DUOTONE = EXAMPLES / "stylepipe-duotone"

# -- media --------------------------------------------------------------------------------------


def test_photos_show_what_a_run_must_cope_with():
    assert sum(p.stat().st_size for p in PHOTOS) < 1_500_000
    turned, transparent = [], []
    for path in PHOTOS:
        with Image.open(path) as image:
            turned += [path] if image.getexif().get(0x0112, 1) != 1 else []
            transparent += [path] if image.mode == "RGBA" else []
            assert image.size > (300, 300)
    assert turned and transparent
    assert len({p.parent for p in PHOTOS}) > 1, "sub-folders show that the tree is kept"


def test_masks_fit_their_portraits():
    masks = list((EXAMPLES / "masks").iterdir())
    assert masks
    for mask in masks:
        (photo,) = (EXAMPLES / "portraits").glob(f"{mask.stem}.*")
        with Image.open(mask) as white, Image.open(photo) as picture:
            assert white.size == picture.size
            share = np.asarray(white).mean() / 255
            assert 0.1 < share < 0.9


def test_clip_has_moving_pictures_and_sound():
    av = pytest.importorskip("av")
    path = EXAMPLES / "clip.mp4"
    assert path.stat().st_size < 1_000_000
    with av.open(str(path)) as clip:
        assert clip.streams.audio[0].channels == 2
        frames = [f.to_ndarray(format="rgb24") for f in clip.decode(video=0)]
    assert len(frames) > 60
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 10


@pytest.mark.parametrize("name", ["harbor", "cat"])
def test_rendering_gives_the_same_picture_again(name, monkeypatch):
    import importlib

    monkeypatch.syspath_prepend(str(EXAMPLES))
    scene = importlib.import_module(f"scenes.{name}")
    first, again = scene.render(96, 64), scene.render(96, 64)
    assert np.array_equal(first, again)
    assert np.isfinite(first).all() and first.std() > 0.05


# -- the one-file plugin ------------------------------------------------------------------------


class TestPosterize(StylizerContract):
    component = Plugins([str(POSTERIZE)]).component(Stylizer, "posterize")


def test_one_file_plugin_is_short():
    assert len(POSTERIZE.read_text().splitlines()) <= 32


def test_first_run_over_the_example_photos(tmp_path):
    argv = ["posterize", str(EXAMPLES / "photos"), "-o", str(tmp_path / "out"), "-q"]
    assert main.run([*argv, "--plugin", str(POSTERIZE)]) == 0
    for path in PHOTOS:
        result = tmp_path / "out" / path.relative_to(EXAMPLES / "photos")
        with Image.open(path) as before, Image.open(result) as after:
            assert after.size == ImageOps.exif_transpose(before).size
            assert (after.format, after.mode) == (before.format, before.mode)
            assert after.getexif().get(0x0112, 1) == 1, "upright once, not twice"
            assert after.getexif().get(0x010E) == before.getexif().get(0x010E)
            assert before.info.get("dpi") is None or after.info["dpi"] == before.info["dpi"]
            if before.mode == "RGBA":
                assert np.array_equal(np.asarray(before)[..., 3], np.asarray(after)[..., 3])


# -- the plugin package -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Environment in which the package is installed beside everything else."""
    pytest.importorskip("setuptools", reason="needed to build the plugin without network")
    folder = tmp_path_factory.mktemp("duotone")
    source, site = folder / "source", folder / "site"
    shutil.copytree(DUOTONE, source, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--no-build-isolation", "--target", site, source], check=True)
    paths = [str(site), str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(p for p in paths if p)}


def stylepipe(env, *args):
    call = [sys.executable, "-m", "stylepipe", *map(str, args)]
    return subprocess.run(call, env=env, capture_output=True, text=True)


def test_installed_plugin_is_listed_and_runs_from_its_preset(installed, make_photo, tmp_path):
    listed = stylepipe(installed, "plugins")
    assert "duotone" in listed.stdout and "two inks" in listed.stdout.lower()
    photo = make_photo("photo.png")
    done = stylepipe(installed, "run", photo, "-o", tmp_path / "out", "-p", "duotone-sepia")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "out" / "photo.png") as result:
        red, _, blue = np.asarray(result).reshape(-1, 3).mean(0)
    assert red > blue + 10, "sepia is warm"


def test_installed_plugin_explains_a_wrong_option(installed, make_photo, tmp_path):
    args = "duotone", make_photo(), "-o", tmp_path / "out", "--lights", "yellow"
    refused = stylepipe(installed, *args)
    assert refused.returncode == 2 and "#RRGGBB" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_tests_of_the_plugin_pass(installed, tmp_path):
    shutil.copytree(DUOTONE / "tests", tmp_path / "tests")
    call = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*call, tmp_path / "tests"], env=installed, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "passed" in done.stdout


def test_same_result_as_from_python(tmp_path):
    photo = EXAMPLES / "photos" / "cutouts" / "cat.png"
    settings = {"stylizer": {"use": "posterize", "levels": 3, "ink": 0}}
    report = convert(photo, tmp_path, settings=settings, plugins=Plugins([str(POSTERIZE)]))
    assert report.exit_code == 0
    with Image.open(tmp_path / "cat.png") as result:
        opaque = np.asarray(result)[..., :3][np.asarray(result)[..., 3] > 0]
    assert set(np.unique(opaque)) <= {0, 127, 128, 255}


# -- scripts ------------------------------------------------------------------------------------


@pytest.fixture
def script(tmp_path):
    """Run a script with a program that notes how it is called; returns exit code and calls."""
    program = tmp_path / "bin" / "stylepipe"
    program.parent.mkdir()
    log = tmp_path / "calls"
    program.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = styles ]; then\n'
        '    printf "scream  fast  MIT\\nmondrian  fast  MIT\\n"; exit "${STYLES:-0}"\n'
        "fi\n"
        f'printf "%s\\n" "$*" >> "{log}"\n'
        f'exit "${{FAIL:-0}}"\n'
    )
    program.chmod(0o755)

    def run(name, *args, fail=0):
        env = os.environ | {"PATH": f"{program.parent}:{os.environ['PATH']}", "FAIL": str(fail)}
        done = subprocess.run([EXAMPLES / name, *args], env=env, capture_output=True, text=True)
        calls = log.read_text().splitlines() if log.exists() else []
        return done.returncode, [call.split() for call in calls]

    return run


@pytest.mark.skipif(os.name == "nt", reason="a bash script")
@pytest.mark.parametrize("fail, expected, count", [(0, 0, 2), (1, 1, 2), (2, 2, 1), (130, 130, 1)])
def test_folder_script_paints_each_style_and_keeps_exit_codes(
    script, fail, expected, count, tmp_path
):
    code, calls = script(
        "convert_folder.sh", str(EXAMPLES / "photos"), str(tmp_path / "out"), fail=fail
    )
    assert code == expected and len(calls) == count
    assert {Path(call[3]).name for call in calls} <= {"scream", "mondrian"}
    for call in calls:
        assert main.run([*call, "--dry-run", "-q"]) == 0


@pytest.mark.skipif(os.name == "nt", reason="a bash script")
def test_folder_script_ends_where_styles_cannot_be_listed(script, tmp_path, monkeypatch):
    monkeypatch.setenv("STYLES", "4")
    code, calls = script("convert_folder.sh", str(EXAMPLES / "photos"), str(tmp_path / "out"))
    assert (code, calls) == (4, [])


def test_rendering_an_unknown_scene_names_the_known_ones():
    call = [sys.executable, EXAMPLES / "render.py", "--only", "lkae"]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 2
    assert "invalid choice: 'lkae'" in done.stderr and "lighthouse" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="a bash script")
def test_video_script_makes_a_preview_and_the_film(script, tmp_path):
    clip = tmp_path / "clip.mp4"
    shutil.copy(EXAMPLES / "clip.mp4", clip)
    code, calls = script("stylize_video.sh", str(clip), "scream")
    assert code == 0
    assert [Path(call[3]).name for call in calls] == ["clip_scream_preview.mp4", "clip_scream.mp4"]
    for call in calls:
        assert main.run([*call, "--dry-run", "-q"]) == 0


@pytest.mark.skipif(os.name == "nt", reason="a bash script")
def test_training_script_trains_each_style_that_is_not_there_yet(script, tmp_path, capsys):
    photos, paintings, output = (tmp_path / name for name in ("photos", "paintings", "out"))
    for folder in (photos, paintings, output):
        folder.mkdir()
    (output / "scream.safetensors").touch()
    table = tomllib.loads((EXAMPLES / "bundled_styles.toml").read_text())
    code, calls = script("train_bundled_styles.sh", *map(str, (photos, paintings, "judge", output)))
    assert code == 0
    trained = [call[call.index("--only") + 1] for call in calls]
    assert trained == [name for name in table if name != "scream"]
    for call in calls:  # flags that exist: what is missing is the photo
        assert main.run(call) == 2
    assert "no picture in" in capsys.readouterr().err
    code, calls = script("train_bundled_styles.sh", str(photos), str(paintings), "judge",
                         str(output), "scream", "mondrian")  # fmt: skip
    assert [call[call.index("--only") + 1] for call in calls[len(trained) :]] == ["mondrian"]


@pytest.mark.skipif(os.name == "nt", reason="a bash script")
def test_encoder_and_decoders_are_trained_one_after_the_other(script, tmp_path, capsys):
    given = [str(tmp_path / name) for name in ("photos", "paintings", "teacher", "out")]
    code, calls = script("train_encoder_and_decoders.sh", *given)
    assert code == 0
    assert [call[1] for call in calls] == ["encoder", "wct", "adain", "adain", "style-swap"]
    for call in calls:  # flags that exist: what is missing are the photos
        assert main.run(call) == 2
        assert "there is no" in capsys.readouterr().err
    (tmp_path / "out" / "compact.safetensors").touch()
    _, again = script("train_encoder_and_decoders.sh", *given)
    assert [call[1] for call in again[5:]] == ["wct", "adain", "adain", "style-swap"]


SCRIPTS = sorted(p.name for p in EXAMPLES.glob("*.sh"))


@pytest.mark.skipif(os.name == "nt", reason="a bash script")
@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_without_arguments_tell_their_usage(script, name):
    code, calls = script(name)
    assert code != 0 and calls == []
