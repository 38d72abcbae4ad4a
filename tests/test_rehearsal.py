"""A dry run looks at each input, and says what would fail."""

import json
import os
from pathlib import Path

import fakes
import numpy as np
import pytest
from clips import make_clip
from fakes import array, settings
from PIL import Image

from stylepipe import SetupError
from stylepipe.cli import main
from stylepipe.job import Job
from stylepipe.pipeline import run
from stylepipe.report import Report

POSTERIZE = str(Path(__file__).parents[1] / "examples" / "posterize.py")


@pytest.fixture
def plan(capsys):
    """``stylepipe posterize --dry-run``: exit code, the lines by file name, stderr."""

    def call(*args: object, dry: str = "-n"):
        words = ["posterize", *map(str, args), "-d", "cpu", "--plugin", POSTERIZE]
        code = main.run([*words, dry] if dry else words)
        out, err = capsys.readouterr()
        lines = [line.split("\t") for line in out.splitlines()]
        return code, {Path(line[1]).name: (line[0], line[-1]) for line in lines}, err

    return call


def picture(path: Path, size: tuple[int, int] = (16, 12)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size[::-1], 3), 99, np.uint8)).save(path)
    return path


def test_files_that_cannot_be_read_are_told(plan, tmp_path):
    photos = tmp_path / "in"
    picture(photos / "good.jpg")
    (photos / "empty.jpg").touch()
    (photos / "page.png").write_text("<html>not found</html>")
    (photos / "film.mp4").write_bytes(b"\0" * 64)
    (photos / "loose.png").symlink_to("nowhere.png")
    os.mkfifo(photos / "pipe.jpg")
    make_clip(photos / "clip.mp4", (0, 40))
    code, said, err = plan(photos, "-o", tmp_path / "out")
    assert code == 1 and "2 to do, 5 failed" in err and not (tmp_path / "out").exists()
    assert said["good.jpg"][0] == said["clip.mp4"][0] == "do"
    for name, words in (
        ("empty.jpg", "the file is empty"),
        ("page.png", "is no picture"),
        ("film.mp4", "cannot be read as video"),
        ("loose.png", "leads nowhere"),
        ("pipe.jpg", "it is a pipe"),
    ):
        assert said[name][0] == "failed" and words in said[name][1]
    code, _, err = plan(photos, "-o", tmp_path / "out", dry="")
    assert code == 1 and "2 done, 5 failed" in err, "the run agrees"


@pytest.mark.parametrize("dry", ["-n", ""])
def test_missing_masks_are_told_before_anything_is_painted(plan, tmp_path, monkeypatch, dry):
    picture(tmp_path / "in" / "a.jpg")
    picture(tmp_path / "in" / "b.jpg")
    picture(tmp_path / "masks" / "a.png")
    decoded = []
    from stylepipe.media import decode

    read = decode.read
    monkeypatch.setattr(decode, "read", lambda path, *a: decoded.append(path) or read(path, *a))
    code, said, err = plan(
        tmp_path / "in", "-o", tmp_path / "out", "--mask", tmp_path / "masks", dry=dry
    )
    assert code == 1
    if dry:
        assert said["a.jpg"][0] == "do" and "it has no mask; looked for" in said["b.jpg"][1]
    else:
        assert "b.jpg: it has no mask" in err and [p.name for p in decoded] == ["a.jpg"]


def test_an_empty_folder_of_masks_ends_both(plan, tmp_path):
    picture(tmp_path / "in" / "a.jpg")
    (tmp_path / "masks").mkdir()
    for dry in ("-n", ""):
        code, _, err = plan(
            tmp_path / "in", "-o", tmp_path / "out", "--mask", tmp_path / "masks", dry=dry
        )
        assert code == 2 and "holds no pictures" in err and not (tmp_path / "out").exists()


def test_maps_of_regions_that_are_missing_are_told(tmp_path, capsys):
    picture(tmp_path / "in" / "a.jpg", (64, 64))
    painting = picture(tmp_path / "painting.png", (64, 64))
    picture(tmp_path / "maps" / "b.png")
    code = main.run(["adain", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "-n", "-s",
                     str(painting), "--regions", str(tmp_path / "maps")])  # fmt: skip
    assert code == 1 and "it has no map of regions; looked for" in capsys.readouterr().out


@pytest.mark.parametrize("dry", ["-n", ""])
def test_places_that_cannot_be_written_are_told(plan, tmp_path, dry):
    photos, out = tmp_path / "in", tmp_path / "out"
    for name in ("a.jpg", "b.jpg", "sub/c.jpg", f"{'n' * 249}.jpg"):
        picture(photos / name)
    (out / "a.jpg").mkdir(parents=True)
    (out / "sub").write_text("in the way")
    code, said, err = plan(photos, "-o", out, "--overwrite", "--name", "long-{stem}", dry=dry)
    assert code == 1
    lines = "\n".join(" ".join(v) for v in said.values()) if dry else err
    assert "would have 258 bytes, of 255" in lines and "out/sub is a file" in lines
    code, said, err = plan(photos, "-o", out, "--overwrite", dry=dry)
    lines = "\n".join(" ".join(v) for v in said.values()) if dry else err
    assert code == 1 and "out/a.jpg is a folder; move it away" in lines
    assert (out / "sub").read_text() == "in the way" and (out / "a.jpg").is_dir()


@pytest.mark.parametrize("dry", ["-n", ""])
def test_an_output_below_a_file_or_in_a_closed_folder_ends_both(plan, tmp_path, monkeypatch, dry):
    photo = picture(tmp_path / "in" / "a.jpg")
    (tmp_path / "file").touch()
    code, _, err = plan(tmp_path / "in", "-o", tmp_path / "file" / "out", dry=dry)
    assert code == 4 and "cannot write to" in err
    code, _, err = plan(photo, "-o", tmp_path / "file" / "out" / "a.jpg", dry=dry)
    assert code == 4 and "cannot write to" in err
    if dry:
        access = os.access
        monkeypatch.setattr(
            os, "access", lambda path, mode: Path(path) != tmp_path and access(path, mode)
        )
        with pytest.raises(SetupError, match="no permission to write in"):
            job = Job((photo,), tmp_path / "out", settings(), dry_run=True)
            run(job, fakes.Plugins(), Report(quiet=True))


def test_what_a_plugin_raises_at_a_look_costs_its_item(tmp_path, monkeypatch, capsys):
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", array())
    probe = fakes.NpyReader.probe

    def explode(self, path):
        if path.name == "a.npy":
            raise ZeroDivisionError("of a plugin")
        return probe(self, path)

    monkeypatch.setattr(fakes.NpyReader, "probe", explode)
    job = Job((tmp_path,), tmp_path.with_name("out"), settings(), dry_run=True)
    report = run(job, fakes.Plugins(), Report(json=True, quiet=True))
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = [(e["action"], e["message"]) for e in events if e["event"] == "planned"]
    assert told == [("failed", "ZeroDivisionError: of a plugin"), ("do", "")]
    assert report.exit_code == 1 and report.counts == {"failed": 1, "to do": 1}
    assert events[-1]["to_do"] == events[-1]["failed"] == 1


def test_what_is_done_is_not_looked_at_again(plan, tmp_path):
    picture(tmp_path / "in" / "a.jpg")
    plan(tmp_path / "in", "-o", tmp_path / "out", dry="")
    (tmp_path / "in" / "b.jpg").touch()
    code, said, err = plan(tmp_path / "in", "-o", tmp_path / "out")
    assert said["a.jpg"][0] == "skipped" and said["b.jpg"][0] == "failed" and code == 1
    assert "1 skipped (already done), 1 failed" in err
