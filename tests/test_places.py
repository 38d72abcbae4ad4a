"""Inputs, outputs and options that cannot be honored are refused or told, never dropped."""

from pathlib import Path

import numpy as np
import pytest
from clips import make_clip
from PIL import Image

from stylepipe import Info, Item, plan
from stylepipe.cli import main
from stylepipe.inhand import InHand
from stylepipe.journal import Journal
from stylepipe.plugins import Plugins
from stylepipe.presets import resolve

POSTERIZE = str(Path(__file__).parents[1] / "examples" / "posterize.py")


@pytest.fixture
def cli(capsys, monkeypatch, tmp_path):
    """Run ``stylepipe posterize`` on the CPU; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*args: object) -> tuple[int, str, str]:
        code = main.run(["posterize", *map(str, args), "-d", "cpu", "--plugin", POSTERIZE])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def media(tmp_path) -> Path:
    """A film, a photo and an animated GIF."""
    folder = tmp_path / "in"
    folder.mkdir()
    make_clip(folder / "clip.mp4", (0, 40, 80))
    pictures = [Image.fromarray(np.full((16, 16, 3), v, np.uint8)) for v in (20, 90, 160)]
    pictures[0].save(folder / "photo.jpg")
    pictures[0].save(folder / "moves.gif", save_all=True, append_images=pictures[1:])
    return folder


@pytest.mark.parametrize(
    ("source", "args", "code", "words"),
    [
        ("clip.mp4", ["-o", "frames/%d"], 2, "numbered frames are pictures, and frames/%d is none"),
        ("clip.mp4", ["-o", "-"], 2, "standard output; name a file or a folder with --output"),
        ("clip.mp4", ["-o", "https://x.org/a"], 2, "cannot be written to https://x.org/a; name"),
        ("clip.mp4", ["-o", "clip.png"], 1, "a film cannot be written as .png"),
        ("clip.mp4", ["-o", "clip.jpg"], 1, "as .jpg; give its result one of"),
        ("clip.mp4", ["-o", "out", "--format", "png"], 1, ".apng for an animated picture"),
        ("clip.mp4", ["-o", "out", "--format", "jpg"], 1, "--format jpg is for photos, and this"),
        ("photo.jpg", ["-o", "out", "--format", "mp4"], 1, "--format mp4 is for films, and this"),
        ("clip.mp4", ["-o", "a.mp4", "--format", "mkv"], 2, "contradict each other; leave one out"),
        ("clip.mp4", ["-o", "a.mp4", "--name", "x"], 2, "--name 'x' is for a folder of results"),
        (
            "photo.jpg",
            ["-o", "out", "--temporal", "warp"],
            2,
            "no input is a film; pass --temporal",
        ),
        ("photo.jpg", ["-o", "out", "--name", "%04d"], 2, "write {index:04d} for %04d"),
        ("-", ["-o", "out"], 3, "standard input is not read; name a file or a folder"),
        ("http://x.org/a.jpg", ["-o", "out"], 3, "http://x.org/a.jpg is an address, and only"),
        ("file:///a/b.jpg", ["-o", "out"], 3, "name the file itself: /a/b.jpg"),
        ("in/%03d.png", ["-o", "out"], 3, "looked for 001.png and the like in in, which holds"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--dry-run"]], ids=["run", "dry-run"])
def test_what_cannot_be_honored_is_refused_with_what_to_type(
    cli, media, source, args, code, words, more
):
    before = sorted(Path().iterdir())
    there = media / source
    got, out, err = cli(there if there.exists() else source, *args, *more)
    assert got == code and words in out + err
    assert "Traceback" not in err and sorted(Path().iterdir()) == before, "nothing is left behind"


def test_a_suffix_that_is_named_can_be_written(cli, media):
    _, _, err = cli(media / "clip.mp4", "-o", "clip.jpg")
    named = [word for word in err.split() if word.startswith(".") and word != ".jpg"]
    assert ".mkv" in named and ".png" not in named
    assert cli(media / "clip.mp4", "-o", f"clip{named[-1]}")[0] == 0


def test_a_numbered_folder_that_is_there_is_a_folder(cli, media):
    Path("%03d").mkdir()
    assert cli(media / "photo.jpg", "-o", "%03d")[0] == 0 and Path("%03d/photo.jpg").is_file()


def test_one_format_for_a_mixed_folder_costs_only_what_it_is_not_for(cli, media):
    code, _, err = cli(media, "-o", "out", "--format", "png")
    assert code == 1 and "2 done, 1 failed" in err and "clip.mp4: a film cannot be" in err
    assert sorted(p.name for p in Path("out").glob("*.*g")) == ["moves.png", "photo.png"]
    with Image.open("out/moves.png") as moves:
        assert moves.n_frames == 3, "a picture that moves stays one"


def test_a_flow_is_used_where_there_is_a_film_among_photos(cli, media):
    (media / "clip.mp4").unlink()  # the suffix of what is left does not tell that it moves
    code, _, err = cli(media, "-o", "out", "--temporal", "warp")
    assert code == 0 and "2 done" in err


@pytest.mark.parametrize("more", [[], ["--dry-run"]], ids=["run", "dry-run"])
def test_options_without_effect_are_told(cli, media, more):
    code, _, err = cli(media / "photo.jpg", "-o", "out", "--start", "1", "--crf", "20", *more)
    assert code == 0 and "without effect, as no input is a film: --crf and --start" in err
    code, _, err = cli(media / "clip.mp4", "-o", "out", "--image-quality", "90", *more)
    assert code == 0 and "without effect, as no input is a photo: --image-quality" in err
    code, _, err = cli(media, "-o", "all", "--image-quality", "90", "--crf", "20", *more)
    assert code == 0 and "without effect" not in err


def test_what_is_no_file_is_no_input(cli):
    code, _, err = cli("/dev/null", "-o", "out")
    assert code == 3 and "/dev/null is neither a file nor a folder" in err


def test_a_look_for_films_opens_each_file_once(media, monkeypatch):
    looked = []

    def look(path, readers, page):
        looked.append(path.name)
        return None, Info("image", "webp", 1, 1)

    monkeypatch.setattr(plan, "probe", look)
    items = [Item(i, media / f"{i}.webp", media, Path(f"{i}.webp")) for i in range(3)]
    chosen = resolve(Plugins(), "default", {"input": {"start": 1}, "output": {"image_quality": 90}})
    hands = InHand(Journal(Path("out"), False, ""), None)
    told: list[str] = []
    plan.check_used(items, chosen, hands, told.append)
    assert looked == ["0.webp", "1.webp", "2.webp"]
    assert told == ["without effect, as no input is a film: --start"]
