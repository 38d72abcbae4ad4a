"""The stylizer gatys through the command line: what it refuses, what each option does."""

import csv
import json
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import tinyencoder
import torch
from safetensors.torch import save_file
from stylepipe_plugins.gatys import GatysStylizer, fitted
from stylepipe_plugins.gatys.options import GatysOptions
from tinyencoder import read, save

from stylepipe import Caps, ItemError, StyleRef, UsageError
from stylepipe.cli import main
from stylepipe.device import Device
from stylepipe.nst import gatys as method
from stylepipe.nst import tune
from stylepipe.testing import MakeFile, StylizerContract, context

SIZE = (72, 64)


def region_map(path: Path, width: int, height: int, *colors: int) -> Path:
    """Stripes of flat gray, from left to right."""
    columns = np.array(colors, np.uint8)[np.arange(width) * len(colors) // width]
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(
        str(path), np.broadcast_to(columns[None, :, None], (height, width, 3)).copy()
    )
    return path


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with an encoder, a painting, and a photo in a folder of photos."""
    tinyencoder.encoder_file(tmp_path)
    save(tmp_path / "painting.png", 1 - tinyencoder.picture(80, 72, 2) ** 2)
    save(tmp_path / "photos" / "photo.png", tinyencoder.picture(SIZE[1], SIZE[0], 1))
    return tmp_path


@pytest.fixture
def cli(files: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Paint the photos of the folder `files`; returns exit code and stderr."""

    def call(*args: object, inputs: str = "photos", out: str = "out", **flags: object) -> Any:
        given: dict[str, object] = {
            "encoder_weights": files / "tiny.safetensors",
            "style": files / "painting.png",
            "steps": 3,
            "precision": "full",
            "device": "cpu",
        }
        words = ["gatys", str(files / inputs), "-o", str(files / out), *map(str, args)]
        for name, value in (given | flags).items():
            for one in value if isinstance(value, (list, tuple)) else [value]:
                words += [f"--{name.replace('_', '-')}", str(one)]
        code = main.run(words)
        return code, capsys.readouterr().err

    return call


@pytest.fixture
def painted(cli: Any, files: Path) -> Any:
    """Paint the photo and return the result."""

    def call(*args: object, **flags: object) -> np.ndarray:
        out = f"out{len(list(files.glob('out*')))}"
        code, err = cli(*args, out=out, **flags)
        assert code == 0, err
        return read(files / out / "photo.png")

    return call


# -- refused before anything is done --------------------------------------------------------------


def refused(cli: Any, files: Path, code: int, *words: str, **flags: object) -> None:
    """One sentence on stderr with these words, no traceback, and no output."""
    found, err = cli(**flags)
    assert found == code, err
    for word in words:
        assert word in err
    lines = [line for line in err.splitlines() if not line.startswith("encoder: ")]
    assert "Traceback" not in err and len(lines) == 1, err
    assert not list(files.glob("out/*.png"))


def test_style_missing(cli: Any, files: Path) -> None:
    refused(cli, files, 2, "needs a style; pass --style", style=())
    refused(cli, files, 2, "no style", "absent.png", style=files / "absent.png")


def test_style_that_is_no_picture(cli: Any, files: Path) -> None:
    (files / "notes.png").write_text("no picture")
    refused(cli, files, 2, "cannot read", "notes.png", style=files / "notes.png")


def test_style_smaller_than_the_networks_reach(cli: Any, files: Path) -> None:
    save(files / "small.png", tinyencoder.picture(12, 90))
    refused(
        cli, files, 2, "a painting of 90x12 pixels is too small", "each side needs 16 or more",
        style=files / "small.png",
    )  # fmt: skip
    save(files / "small.png", tinyencoder.picture(18, 90))
    cli_ok, err = cli(style=files / "small.png")
    assert cli_ok == 0, err


def test_style_too_small_for_patches(cli: Any, files: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(method, "MIN_SIDE", 1)
    save(files / "small.png", tinyencoder.picture(9, 30))
    refused(
        cli, files, 2, "each side needs 13 or more", style=files / "small.png", patches_weight=1
    )


@pytest.mark.parametrize("kind", ["content", "style"])
def test_unknown_layers_are_named_with_those_there_are(cli: Any, files: Path, kind: str) -> None:
    flags = {f"{kind}_layers": ["relu2_1", "relu9_1"]}
    refused(cli, files, 2, "no layer 'relu9_1'", "relu1_1, relu2_1, relu3_1", **flags)
    flags = {f"{kind}_layers": ["relu4_2"]}
    refused(cli, files, 2, "whose weights end at 'relu3_1'", **flags)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("relu1_1:x", "the share of layer 'relu1_1' is not a number: 'x'"),
        ("relu1_1:-1", "must be positive, not -1"),
        ("relu1_1:0", "must be positive, not 0"),
        (["relu1_1", "relu1_1:2"], "the layer 'relu1_1' is named twice"),
    ],
)
def test_shares_of_layers(cli: Any, files: Path, layer: Any, words: str) -> None:
    refused(cli, files, 2, words, style_layers=layer)


@pytest.mark.parametrize(
    "name", [s.name for s in GatysOptions.specs() if s.name.endswith("_weight")]
)
def test_negative_weights(cli: Any, files: Path, name: str) -> None:
    found, err = cli(**{name: -1})
    assert found == 2 and name.replace("_", "-") in err.replace("_", "-") and "0" in err
    assert not (files / "out").exists()


def test_all_weights_zero(cli: Any, files: Path) -> None:
    refused(cli, files, 2, "all weights are zero", content_weight=0, style_weight=0)


def test_encoder_weights(cli: Any, files: Path) -> None:
    refused(
        cli, files, 2, "no such weights file", "absent.pth", encoder_weights=files / "absent.pth"
    )
    (files / "text.safetensors").write_text("no tensors")
    refused(cli, files, 4, "text.safetensors", encoder_weights=files / "text.safetensors")
    save_file({"a": torch.zeros(1)}, files / "other.safetensors")
    refused(
        cli, files, 4, "holds none of the networks", encoder_weights=files / "other.safetensors"
    )
    state = {"relu1_1.weight": torch.zeros(4, 3, 5, 5), "relu1_1.bias": torch.zeros(4)}
    save_file(state, files / "shape.safetensors")
    refused(cli, files, 4, "(4, 3, 5, 5)", encoder_weights=files / "shape.safetensors")
    refused(cli, files, 4, "not VGG-19", encoder="vgg19")


def test_init_that_is_no_picture(cli: Any, files: Path) -> None:
    refused(cli, files, 2, "no start 'nois': neither style, content, noise", init="nois")
    (files / "notes.txt").write_text("no picture")
    refused(cli, files, 2, "cannot read", "notes.txt", init=files / "notes.txt")


@pytest.mark.parametrize("name", ["trace", "preview", "tune"])
def test_outputs_that_cannot_be_written_are_refused_at_once(
    cli: Any, files: Path, name: str
) -> None:
    (files / "file").write_text("in the way")
    path = files / "file" / ("folder" if name == "trace" else "picture.png")
    refused(cli, files, 4, "cannot write to", str(files / "file"), **{name: path})
    if name != "trace":
        refused(cli, files, 2, "is a folder", **{name: files / "photos"})
        refused(cli, files, 2, "name it .png or .jpg", **{name: files / "picture.xyz"})
        refused(cli, files, 2, "name it .png or .jpg", **{name: files / "picture"})


def test_save_every_needs_a_folder(cli: Any, files: Path) -> None:
    refused(cli, files, 2, "--save-every needs --trace", save_every=5)


# -- regions that are refused ----------------------------------------------------------------


def test_region_maps_that_are_missing(cli: Any, files: Path) -> None:
    refused(cli, files, 2, "no map of regions", regions=files / "absent.png")
    (files / "empty").mkdir()
    refused(cli, files, 2, "holds no pictures", regions=files / "empty")
    region = region_map(files / "map.png", *SIZE, 0, 255)
    refused(cli, files, 2, "--style-regions needs --regions", style_regions=region)


def test_regions_of_the_styles(cli: Any, files: Path) -> None:
    photo = region_map(files / "photo-map.png", *SIZE, 0, 255)
    two = region_map(files / "two.png", 72, 80, 0, 255)
    three = region_map(files / "three.png", 72, 80, 0, 99, 255)
    wide = region_map(files / "wide.png", 160, 80, 0, 255)
    refused(cli, files, 2, "there are 1 styles and 2 maps", regions=photo, style_regions=[two, two])
    refused(cli, files, 2, "is 160x80, but the picture 72x80", regions=photo, style_regions=wide)
    style = files / "painting.png"
    refused(
        cli, files, 2, "the region of color #636363 is missing in", "two.png",
        style=[style, style], regions=photo, style_regions=[two, three],
    )  # fmt: skip


def failed(cli: Any, files: Path, *words: str, **flags: object) -> None:
    """The item fails in one sentence, and the others are done."""
    save(files / "photos" / "zebra.png", tinyencoder.picture(SIZE[1], SIZE[0], 5))
    code, err = cli(**flags)
    assert code == 1, err
    (line,) = [line for line in err.splitlines() if line.startswith("failed")]
    for word in (*words, "photo.png"):
        assert word in line
    assert "Traceback" not in err and "1 done, 1 failed" in err
    assert [p.name for p in (files / "out").glob("*.png")] == ["zebra.png"]


def maps(files: Path, *, good: Path) -> Path:
    """A folder of maps, in which that of the other photo is good."""
    (files / "maps").mkdir(exist_ok=True)
    good.replace(files / "maps" / "zebra.png")
    return files / "maps"


def test_a_photo_without_a_map(cli: Any, files: Path) -> None:
    folder = maps(files, good=region_map(files / "m.png", *SIZE, 0))
    failed(cli, files, "it has no map of regions; looked for", "photo.*", regions=folder)


def test_a_map_of_other_size(cli: Any, files: Path) -> None:
    folder = maps(files, good=region_map(files / "m.png", *SIZE, 0))
    region_map(folder / "photo.png", 64, 72, 0)
    failed(cli, files, "is 64x72, but the picture 72x64", regions=folder)


def test_a_map_of_too_many_colors(cli: Any, files: Path) -> None:
    folder = maps(files, good=region_map(files / "m.png", *SIZE, 0))
    save(folder / "photo.png", tinyencoder.picture(SIZE[1], SIZE[0], 1))
    failed(cli, files, "is no map of regions", "16 regions at most", regions=folder)


def test_a_map_that_is_no_picture(cli: Any, files: Path) -> None:
    folder = maps(files, good=region_map(files / "m.png", *SIZE, 0))
    (folder / "photo.png").write_text("no picture")
    failed(cli, files, "the map of regions", "cannot be read", regions=folder)


def test_a_region_that_the_style_has_not(cli: Any, files: Path) -> None:
    folder = maps(files, good=region_map(files / "m.png", *SIZE, 0, 255))
    region_map(folder / "photo.png", *SIZE, 0, 136, 255)
    style = region_map(files / "style.png", 72, 80, 0, 255)
    failed(
        cli, files, "the region of color #888888", "is missing in the style's", "#000000, #ffffff",
        regions=folder, style_regions=style,
    )  # fmt: skip


def test_more_regions_than_styles(cli: Any, files: Path) -> None:
    folder = maps(files, good=region_map(files / "m.png", *SIZE, 0))
    region_map(folder / "photo.png", *SIZE, 0, 255)
    failed(cli, files, "regions of the picture: 2, styles: 1; give one style a", regions=folder)


# -- items that fail alone -------------------------------------------------------------------


def test_a_photo_smaller_than_the_networks_reach(
    cli: Any, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GatysStylizer, "caps", Caps(strength="native"))
    save(files / "photos" / "photo.png", tinyencoder.picture(10, 72))
    failed(cli, files, "a picture of 72x10 pixels is too small", "each side needs 16 or more")


def test_small_photos_are_painted_all_the_same(cli: Any, files: Path) -> None:
    """Extended by reflection; and so is their map."""
    save(files / "photos" / "photo.png", tinyencoder.picture(7, 11, 1))
    region = region_map(files / "maps" / "photo.png", 11, 7, 0, 255)
    style = [files / "painting.png"] * 2
    code, err = cli(style=style, regions=region.parent)
    assert code == 0, err
    assert read(files / "out" / "photo.png").shape == (7, 11, 3)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_loss_that_explodes(
    cli: Any, files: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    evaluate = method.Objective.__call__
    photos = iter([True] * 5)

    def exploding(self: Any, picture: torch.Tensor, out: torch.Tensor | None = None) -> Any:
        values, gradient = evaluate(self, picture, out)
        return values, gradient * float("nan") if next(photos, False) else gradient

    monkeypatch.setattr(method.Objective, "__call__", exploding)
    failed(
        cli, files, "the loss exploded 5 times, at last in step 1", "smaller learning rate",
        optimizer=optimizer,
    )  # fmt: skip


def test_weights_beyond_all_measure_explode(cli: Any, files: Path) -> None:
    code, err = cli(content_weight=1e38, style_weight=1e38)
    assert code == 1 and "the loss exploded" in err and "Traceback" not in err


def test_a_picture_too_large_for_an_encoder_that_sees_it_whole(
    cli: Any, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylepipe.nst.encoders.Encoder.tileable", False)
    monkeypatch.setattr(method, "BYTES_PER_PIXEL", 1000)
    save(files / "photos" / "photo.png", tinyencoder.picture(2000, 1000))
    failed(
        cli, files, "sees the picture as a whole, and 1000x2000 pixels do not fit into the memory",
        memory="2G", first_side=0,
    )  # fmt: skip


def test_too_little_memory_is_refused_with_what_it_takes(cli: Any, files: Path) -> None:
    save(files / "photos" / "photo.png", tinyencoder.picture(800, 1000))
    failed(
        cli, files, "to paint 1000x800 pixels takes", "even in tiles, and 77 MiB are allowed",
        "(--memory 3", memory="128M",
    )  # fmt: skip


# -- what is left behind ------------------------------------------------------------------------


def test_losses_pictures_and_preview(cli: Any, files: Path) -> None:
    code, err = cli(
        trace=files / "trace", save_every=4, preview=files / "now" / "preview.jpg",
        steps=12, first_side=40, tv_weight=0.5,
    )  # fmt: skip
    assert code == 0, err
    folder = files / "trace" / "photo.png"
    rows = list(csv.DictReader((folder / "loss.csv").read_text().splitlines()))
    (result,) = csv.DictReader((folder / "result.csv").read_text().splitlines())
    assert (result["step"], list(result)) == ("end", list(rows[-1]))
    assert 0 < float(result["loss"]) < float(rows[0]["loss"])
    assert list(rows[0]) == ["step", "width", "height", "loss", "content", "style", "tv"]
    assert [int(r["step"]) for r in rows] == list(range(1, 13))
    assert (int(rows[0]["width"]), int(rows[-1]["width"])) == (36, 72)
    for row in rows:
        terms = sum(float(row[name]) for name in ("content", "style", "tv"))
        assert float(row["loss"]) == pytest.approx(terms, rel=1e-4)
    assert sorted(p.name for p in folder.glob("*.png")) == [
        "00004.png", "00008.png", "00012.png", "loss.png",
    ]  # fmt: skip
    assert read(folder / "00004.png").shape == (32, 36, 3)
    result = read(files / "out" / "photo.png")
    assert np.abs(read(folder / "00012.png") - result).max() < 0.01
    assert np.abs(read(files / "now" / "preview.jpg") - result).mean() < 0.05
    assert not list(files.rglob("*.part"))


def test_a_result_that_cannot_be_measured_is_kept(
    cli: Any, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hungry(self: Any, picture: torch.Tensor) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(method.Objective, "judge", hungry)
    code, err = cli(trace=files / "trace")
    assert code == 0 and "1 done" in err, err
    assert err.count("cannot measure the result: CUDA out of memory; painting continues") == 1
    assert (files / "trace" / "photo.png" / "loss.csv").is_file()


def test_losses_are_kept_of_what_failed(
    cli: Any, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate, calls = method.Objective.__call__, iter(range(999))

    def exploding(self: Any, picture: torch.Tensor, out: torch.Tensor | None = None) -> Any:
        values, gradient = evaluate(self, picture, out)
        return values, gradient * (float("nan") if next(calls) >= 2 else 1.0)

    monkeypatch.setattr(method.Objective, "__call__", exploding)
    code, _ = cli(trace=files / "trace", steps=9, first_side=0)
    assert code == 1
    lines = (files / "trace" / "photo.png" / "loss.csv").read_text().splitlines()
    assert len(lines) == 3


def test_what_is_written_beside_does_not_make_results_anew(cli: Any, files: Path) -> None:
    flags = {"trace": files / "trace", "preview": files / "preview.png"}
    assert cli(**flags)[0] == 0
    code, err = cli(**flags)
    assert code == 0 and "1 skipped" in err
    save(files / "painting.png", tinyencoder.picture(80, 72, 9))
    code, err = cli("--overwrite", **flags)
    assert code == 0 and "1 done" in err


def test_films_are_painted_frame_by_frame_and_their_first_is_traced(
    cli: Any, files: Path, make_clip: MakeFile
) -> None:
    make_clip("film/clip.mp4", SIZE, frames=4, cut=2)
    code, err = cli(
        inputs="film", temporal="warp", steps=2, trace=files / "trace", style_weight=2
    )  # fmt: skip
    assert code == 0, err
    assert (files / "out" / "clip.mp4").stat().st_size > 500
    assert [p.name for p in (files / "trace").iterdir()] == ["clip.mp4"]


def test_later_frames_leave_the_trace_of_the_first(files: Path) -> None:
    stylizer, batch = ready(files, trace=files / "trace"), TestContract().batch(*SIZE, 2)
    first, second = (replace(batch, images=batch.images[k : k + 1], first=k) for k in range(2))
    stylizer.stylize(first)
    table = files / "trace" / "photo.png" / "loss.csv"
    before = table.read_bytes()
    stylizer.stylize(second)
    assert table.read_bytes() == before
    stylizer.stylize(replace(second, first=0))
    assert table.read_bytes() != before, "the frames differ"


def test_frames_come_with_their_number(
    cli: Any, files: Path, make_clip: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_clip("film/clip.mp4", SIZE, frames=3)
    numbers: list[int] = []

    def counted(self: Any, batch: Any) -> torch.Tensor:
        numbers.append(batch.first)
        return batch.images

    monkeypatch.setattr(GatysStylizer, "stylize", counted)
    assert cli(inputs="film")[0] == 0
    assert numbers == [0, 1, 2]


def test_tuning_writes_a_sheet_and_continues_with_the_best(
    cli: Any, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylepipe.nst.tune.STEPS", 2)
    code, err = cli("-v", tune=files / "sheet.png")
    assert code == 0, err
    assert "tuned: --content-weight" in err and "lower is better" in err
    shape = (4 * (SIZE[1] + tune.LABEL), 3 * SIZE[0], 3)
    assert read(files / "sheet.png").shape == shape


# -- what --tune found is kept --------------------------------------------------------------------


@pytest.fixture
def tuned(cli: Any, files: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Paint with --tune; returns stderr, and whether there was a search."""
    monkeypatch.setattr("stylepipe.nst.tune.STEPS", 2)
    monkeypatch.setattr("stylepipe.nst.tune.CONTENT", (0.01, 90.0))
    searches: list[str] = []
    search = tune.search

    def counted(*args: Any, **kwargs: Any) -> Any:
        searches.append("once")
        return search(*args, **kwargs)

    monkeypatch.setattr(tune, "search", counted)

    def call(*args: object, **flags: object) -> tuple[str, bool]:
        searches.clear()
        code, err = cli(*args, **({"tune": files / "sheet.png"} | flags))
        assert code == 0, err
        return err, bool(searches)

    return call


def test_a_resumed_run_takes_the_numbers_of_the_first_photo(tuned: Any, files: Path) -> None:
    save(files / "photos" / "zebra.png", 1 - tinyencoder.picture(SIZE[1], SIZE[0], 5))
    assert tuned()[1]
    before = (files / "out" / "zebra.png").read_bytes()
    (files / "out" / "zebra.png").unlink()
    err, searched = tuned()
    assert "1 done, 1 skipped" in err and not searched
    assert f"as {files / 'sheet.json'} has it" in err
    assert (files / "out" / "zebra.png").read_bytes() == before


def test_numbers_found_otherwise_are_not_taken(tuned: Any, files: Path) -> None:
    assert tuned()[1] and not tuned(out="again")[1]
    assert tuned("--overwrite", style_weight=2)[1], "other options"
    save(files / "painting.png", tinyencoder.picture(80, 72, 9))
    assert tuned("--overwrite", style_weight=2)[1], "another painting"
    save(files / "photos" / "photo.png", tinyencoder.picture(SIZE[1], SIZE[0], 9))
    assert tuned("--overwrite", style_weight=2)[1], "another photo of that name"
    save(files / "others" / "photo.png", tinyencoder.picture(SIZE[1], SIZE[0], 8))
    assert tuned(inputs="others", out="out2", style_weight=2)[1], "photos elsewhere"
    (files / "others").rename(files / "moved")
    assert not tuned(inputs="moved", out="out3", style_weight=2)[1], "the same, moved"


def test_tuning_leaves_alone_what_was_chosen(tuned: Any, cli: Any, files: Path) -> None:
    err, _ = tuned(tv_weight=50)
    assert "--tv-weight 50 " in err
    found = json.loads((files / "sheet.json").read_text())["found"]
    assert sorted(found) == ["content_weight", "strength"]
    refused(
        cli, files / "nowhere", 2, "--tune has nothing to search", tune=files / "sheet.png",
        content_weight=1, tv_weight=2, strength=0.9,
    )  # fmt: skip


def test_tuning_does_not_replace_a_file_of_others(cli: Any, files: Path) -> None:
    (files / "sheet.json").write_text('{"mine": 1}')
    refused(cli, files, 2, "sheet.json, but that is another file", tune=files / "sheet.png")
    assert (files / "sheet.json").read_text() == '{"mine": 1}'


def ready(files: Path, **options: object) -> GatysStylizer:
    given = {"steps": 2, "encoder_weights": files / "tiny.safetensors"} | options
    stylizer = GatysStylizer(GatysOptions.build(given))
    stylizer.open(context())
    stylizer.prepare([StyleRef(str(files / "painting.png"), 1.0)])
    return stylizer


def test_a_film_begun_is_not_tuned_on_a_later_frame(files: Path) -> None:
    stylizer = ready(files, tune=files / "sheet.png")
    batch = replace(TestContract().batch(*SIZE), first=3)
    with pytest.raises(ItemError, match=r"its first 3 frames are painted, but .*pass the flags"):
        stylizer.stylize(batch)
    assert not (files / "sheet.json").exists()


def test_a_resumed_film_takes_the_numbers_of_its_first_frame(
    tuned: Any, files: Path, make_clip: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_clip("film/clip.mp4", SIZE, frames=3)
    assert tuned(inputs="film")[1]
    (files / "out" / "clip.mp4").unlink()
    stylize = GatysStylizer.stylize

    def later(self: Any, batch: Any) -> torch.Tensor:  # as if frames before were there already
        return stylize(self, replace(batch, first=batch.first + 5))

    monkeypatch.setattr(GatysStylizer, "stylize", later)
    assert not tuned(inputs="film")[1]


# -- reports replace nothing ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["preview", "tune", "trace"])
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_reports_that_would_replace_what_is_read_or_made(
    cli: Any, files: Path, name: str, dry: tuple[str, ...]
) -> None:
    save(files / "start.png", tinyencoder.picture(30, 30, 8))
    save(files / "photos" / "zebra.png", tinyencoder.picture(*SIZE, 5))
    region = region_map(files / "maps" / "photo.png", *SIZE, 0)
    own = region_map(files / "own.png", 72, 80, 0)
    flags = {"init": files / "start.png", "regions": region.parent, "style_regions": own}
    before = {p: p.read_bytes() for p in files.rglob("*.png")}
    (files / "link.png").symlink_to(files / "painting.png")
    targets = ["painting.png", "start.png", "own.png", "maps/new.png", "link.png"]
    targets += ["photos", "out"] if name == "trace" else ["photos/zebra.png", "out/zebra.png"]
    for target in targets:
        code, err = cli(*dry, **{name: files / target}, **flags)
        assert code == 2 and f"--{name} {files / target} would replace" in err, err
        assert "Traceback" not in err
    assert {p: p.read_bytes() for p in files.rglob("*.png") if not p.is_symlink()} == before
    assert not (files / "out").exists()


def test_two_reports_in_one_file(cli: Any, files: Path) -> None:
    refused(
        cli, files, 2, "--tune and --preview are both", tune=files / "a.png",
        preview=files / "." / "a.png",
    )  # fmt: skip


# -- a failed report is no failure ----------------------------------------------------------------


def test_the_job_continues_where_a_report_cannot_be_written(
    cli: Any, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stylepipe_plugins.gatys.trace.write_whole", full)
    save(files / "photos" / "zebra.png", tinyencoder.picture(SIZE[1], SIZE[0], 5))
    code, err = cli(preview=files / "preview.png", trace=files / "trace", save_every=1)
    assert code == 0 and "2 done" in err
    assert err.count("No space left on device; painting continues") == 1


def test_the_job_continues_where_a_report_cannot_be_encoded(
    cli: Any, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = cv2.imencode
    monkeypatch.setattr(
        cv2, "imencode", lambda s, *rest: (False, None) if s == ".webp" else encode(s, *rest)
    )
    code, err = cli(preview=files / "preview.webp")
    assert code == 0 and "1 done" in err
    assert err.count("preview.webp: not as .webp; painting continues") == 1


def test_losses_are_written_whole_or_not_at_all(
    cli: Any, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli(trace=files / "trace")[0] == 0
    table = files / "trace" / "photo.png" / "loss.csv"
    before, write = table.read_bytes(), Path.write_bytes

    def torn(self: Path, data: bytes) -> int:
        if "loss.csv" not in self.name:
            return write(self, data)
        write(self, data[:9])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", torn)
    code, err = cli("--overwrite", trace=files / "trace", steps=2)
    assert code == 0 and "No space left" in err and table.read_bytes() == before


def test_a_trace_keeps_no_pictures_alive(files: Path) -> None:
    from stylepipe_plugins.gatys.trace import SideFiles, Trace

    from stylepipe.nst.optimize import Step

    options = GatysOptions(trace=files / "trace")
    trace = Trace(options, TestContract.item(), 0, SideFiles(print))
    picture = torch.zeros(1, 3, 8, 8)
    alive = weakref.ref(picture)
    trace(Step(1, 2, (8, 8), {"style": 1.0}, picture.clone))
    del picture
    assert alive() is None


# -- memory and numbers ---------------------------------------------------------------------------


def test_out_of_memory_is_answered_by_smaller_tiles(
    cli: Any, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint, tried = method.Gatys.paint, []

    def hungry(self: Any, photo: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        tried.append(self.memory)
        if self.memory > 200 << 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return paint(self, photo, **kwargs)

    monkeypatch.setattr(method.Gatys, "paint", hungry)
    code, err = cli(memory="1000M")
    assert code == 0, err
    assert [m >> 20 for m in tried] == [600, 300, 150] and "continuing with 150 MiB" in err


def test_memory_that_never_suffices_fails_the_photo(
    cli: Any, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def hungry(self: Any, photo: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        tried.append(self.memory >> 20)
        raise MemoryError

    monkeypatch.setattr(method.Gatys, "paint", hungry)
    code, err = cli(memory="1000M")
    assert code == 1 and "not enough memory to paint 72x64 pixels with 'gatys'" in err
    assert tried == [600, 300, 150, 75]


def test_the_memory_of_the_accelerator_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    from stylepipe.stylizers import RESERVED_MEMORY, working_memory

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 30, 80 << 30))
    cuda = Device(torch.float32, torch.device("cuda"))
    assert working_memory(replace(context(), device=cuda, memory=8 << 30)) == int(0.6 * 2**30)
    assert working_memory(replace(context(), device=cuda, memory=1 << 28)) == int(0.6 * 2**28)
    assert working_memory(replace(context(), memory=8 << 30)) == (8 << 30) - RESERVED_MEMORY


@pytest.mark.parametrize("needed", [100 << 20, 1 << 30, (3 << 30) + 1])
def test_the_memory_that_is_named_suffices(needed: int) -> None:
    from stylepipe.stylizers import job_memory, working_memory

    named = job_memory(needed)
    assert working_memory(replace(context(), memory=named)) >= needed
    assert working_memory(replace(context(), memory=named - (1 << 20))) < needed


@pytest.mark.parametrize(
    ("kind", "dtype", "native", "taken"),
    [
        ("cuda", torch.float16, True, torch.bfloat16),
        ("cuda", torch.float16, False, torch.float32),
        ("cuda", torch.float32, True, torch.float32),
        ("cpu", torch.bfloat16, False, torch.bfloat16),
    ],
)
def test_the_range_of_float16_is_too_small(
    files: Path, monkeypatch: pytest.MonkeyPatch,
    kind: str, dtype: torch.dtype, native: bool, taken: torch.dtype,
) -> None:  # fmt: skip
    monkeypatch.setattr("stylepipe.device.native_bf16", lambda device: native)
    opened: list[torch.dtype] = []
    monkeypatch.setattr(
        "stylepipe.stylizers.open_encoder", lambda *a, **flags: opened.append(flags["dtype"])
    )
    stylizer = GatysStylizer(GatysOptions())
    stylizer.open(replace(context(), device=Device(dtype, torch.device(kind))))
    stylizer.open_encoder()
    assert opened == [taken]


# -- reported, not passed over --------------------------------------------------------------------


def test_dry_runs_see_files_that_are_missing(cli: Any, files: Path) -> None:
    region = region_map(files / "map.png", *SIZE, 0)
    for flags, words in (
        ({"regions": files / "absent.png"}, "there is no map of regions"),
        ({"regions": region, "style_regions": files / "absent.png"}, "the style's regions at"),
        ({"encoder_weights": files / "absent.pth"}, "no such weights file"),
    ):
        code, err = cli("--dry-run", **flags)
        assert code == 2 and words in err and "absent" in err


def test_a_painting_too_small_for_the_scale_is_reported_once(cli: Any, files: Path) -> None:
    save(files / "photos" / "zebra.png", tinyencoder.picture(SIZE[1], SIZE[0], 5))
    code, err = cli(style_scale=3)
    assert code == 0
    (line,) = [line for line in err.splitlines() if "--style-scale" in line]
    assert f"{files / 'painting.png'} has 72x80 pixels" in line
    assert "as --style-scale 1.12, not 3" in line
    code, err = cli("--overwrite", style_scale=1.1)
    assert code == 0 and "--style-scale" not in err


def test_weights_of_styles_that_paint_a_region_each(cli: Any, files: Path) -> None:
    region, name = region_map(files / "map.png", *SIZE, 0, 255), files / "painting.png"
    refused(
        cli, files, 2, "weights of styles mean nothing", regions=region,
        style=[f"{name}:2", f"{name}:1"],
    )  # fmt: skip
    own = region_map(files / "own.png", 72, 80, 0, 255)
    code, err = cli(regions=region, style=[f"{name}:2", f"{name}:1"], style_regions=[own, own])
    assert code == 0, err


# -- every option reaches the result ------------------------------------------------------------

BASE: dict[str, object] = {"first_side": 0, "learning_rate": 0.05}
CHANGES: dict[str, dict[str, object]] = {
    "steps": {"steps": 4},
    "strength": {"strength": 0.5},
    "pooling": {"pooling": "average"},
    "content_weight": {"content_weight": 50},
    "style_weight": {"style_weight": 5},
    "tv_weight": {"tv_weight": 50},
    "content_layers": {"content_layers": "relu1_1", "content_weight": 5},
    "style_layers": {"style_layers": "relu1_1"},
    "style_loss": {"style_loss": "gram"},
    "perceptual_weight": {"perceptual_weight": 10},
    "histogram_weight": {"histogram_weight": 5},
    "patches_weight": {"patches_weight": 5},
    "laplacian_weight": {"laplacian_weight": 50},
    "photorealistic": {"photorealistic": 1},
    "tv_power": {"tv_power": 1},
    "style_scale": {"style_scale": 0.4},
    "match_colors": {"match_colors": "linear"},
    "init": {"init": "gray"},
    "first_side": {"first_side": 60},
    "learning_rate": {"learning_rate": 0.01},
    "schedule": {"schedule": "constant"},
    "keep_colors": {},
}
"""Option -> what to change beside BASE."""
HERE = {"content_layers": "relu3_1", "style_layers": ["relu1_1", "relu2_1"]}
"""Layers that the encoder of these tests has."""
PAIRS: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "loss_scale": ({"style_loss": "gram"}, {"style_loss": "gram", "loss_scale": "gatys"}),
    "recipe": ({"init": "noise"}, {"recipe": "gatys2015", **HERE, "learning_rate": 1}),
    "perceptual_layers": (
        {"perceptual_weight": 10},
        {"perceptual_weight": 10, "perceptual_layers": ["relu1_1", "pool1"]},
    ),
    "optimizer": ({"learning_rate": 1}, {"learning_rate": 1, "optimizer": "lbfgs"}),
    "average": ({"steps": 14, "average": 0}, {"steps": 14}),
    "tolerance": ({"steps": 44}, {"steps": 44, "tolerance": 0.9}),
    "photorealistic_smoothing": (
        {"photorealistic": 1},
        {"photorealistic": 1, "photorealistic_smoothing": 0},
    ),
    "seed": ({"init": "noise"}, {"init": "noise", "seed": 1}),
}
"""Option -> two sets of flags, for options that matter only beside others."""
ELSEWHERE = {
    "style": "test_paintings_and_their_weights",
    "encoder": "test_encoder_weights",
    "encoder_weights": "test_another_encoder_gives_another_picture",
    "style_regions": "test_each_region_takes_its_style",
    "border": "test_borders",
    "tune": "test_tuning_writes_a_sheet_and_continues_with_the_best",
    "trace": "test_losses_pictures_and_preview",
    "save_every": "test_losses_pictures_and_preview",
    "preview": "test_losses_pictures_and_preview",
    "target": "test_a_target",
    "target_weight": "test_a_target",
    "perceptual_calibration": "test_calibrated_weights_of_lpips",
}

IN_FILMS = {"guided_steps", "temporal_weight"}
"""Options that test_gatys_film.py has cases for."""


def test_every_option_has_a_case() -> None:
    names = {spec.name for spec in GatysOptions.specs()}
    assert names == {*CHANGES, *PAIRS, *ELSEWHERE, *IN_FILMS}
    assert all(test in globals() for test in ELSEWHERE.values())


@pytest.fixture(scope="module")
def plain() -> dict[str, np.ndarray]:
    """The result of BASE, once it is there."""
    return {}


@pytest.mark.parametrize("name", [*CHANGES, *PAIRS])
def test_every_option_reaches_the_result(
    painted: Any, plain: dict[str, np.ndarray], name: str
) -> None:
    if name in PAIRS:
        first, second = (painted(**(BASE | flags)) for flags in PAIRS[name])
    else:
        if not plain:
            plain["result"] = painted(**BASE)
        first = plain["result"]
        second = painted(
            *(["--keep-colors"] if name == "keep_colors" else []), **(BASE | CHANGES[name])
        )
    assert np.abs(first - second).max() > 0.004, "not one level of difference"


def test_a_target(painted: Any, files: Path) -> None:
    """Twice the photo's size: it is scaled."""
    wanted = save(files / "wanted.png", tinyencoder.picture(2 * SIZE[1], 2 * SIZE[0], 9))
    wanted_small = cv2.resize(read(wanted), SIZE, interpolation=cv2.INTER_AREA)
    flags = {**BASE, "steps": 30, "style_weight": 0.01, "content_weight": 0.01, "target": wanted}
    near, less = painted(**flags), painted(**flags, target_weight=0.001)
    apart = [float(np.square(r - wanted_small).mean()) for r in (near, less)]
    assert 2 * apart[0] < apart[1]


def test_a_target_that_does_not_fit(cli: Any, files: Path) -> None:
    other = save(files / "other.png", tinyencoder.picture(64, 64))
    code, err = cli(target=other)
    assert code == 1
    assert "has 64x64 pixels, other proportions than the photo's 72x64; cut it to fit" in err
    refused(cli, files, 2, "there is no --target", target=files / "none.png")
    refused(cli, files, 2, "--target-weight needs --target", target_weight=2)
    save(files / "photos" / "second.png", tinyencoder.picture(64, 72))
    refused(cli, files, 2, "is for one photo, and there are 2 inputs", target=other)


def test_a_target_for_a_film_is_refused_before_anything_is_painted(
    cli: Any, files: Path, make_clip: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_clip("film/clip.mp4", SIZE, frames=2)
    wanted = save(files / "wanted.png", tinyencoder.picture(SIZE[1], SIZE[0], 9))
    painted: list[int] = []
    monkeypatch.setattr(method.Gatys, "paint", lambda *args, **kwargs: painted.append(1))
    code, err = cli(inputs="film", target=wanted)
    assert code == 1 and "and this is a film" in err and not painted, err


def test_tuning_sees_target_and_start_and_needs_relative_weights(
    tuned: Any, cli: Any, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = save(files / "wanted.png", tinyencoder.picture(SIZE[1], SIZE[0], 9))
    given: list[set[str]] = []
    search = tune.search

    def noted(*args: Any, **kwargs: Any) -> Any:
        given.append({name for name, value in kwargs.items() if value is not None})
        return search(*args, **kwargs)

    monkeypatch.setattr(tune, "search", noted)
    tuned(target=wanted, init=wanted)
    assert {"start", "target"} <= given[0]
    printed = {"style_loss": "gram", "loss_scale": "gatys", "tune": files / "other.png"}
    refused(cli, files / "nowhere", 2, "so that only --strength is searched", **printed)
    refused(
        cli, files / "nowhere", 2, "so that only --strength is searched", **printed, tv_weight=2
    )
    tuned(**printed, tv_weight=2, content_weight=1, out="printed")


def lpips(path: Path, *channels: int) -> Path:
    """Calibrated weights, in the form in which LPIPS' authors publish them."""
    tensors = {
        f"lin{i}.model.1.weight": torch.rand(1, n, 1, 1, generator=torch.manual_seed(i))
        for i, n in enumerate(channels)
    }
    torch.save(tensors, path)
    return path


def test_calibrated_weights_of_lpips(cli: Any, files: Path) -> None:
    vgg = lpips(files / "vgg.pth", 64, 128, 256, 512, 512)
    flags = {"perceptual_weight": 1, "perceptual_calibration": vgg}
    refused(cli, files, 2, "holds LPIPS' weights for VGG-16, and the encoder is", **flags)
    alex = lpips(files / "alex.pth", 64, 192, 384, 256, 256)
    refused(cli, files, 2, "for AlexNet", **(flags | {"perceptual_calibration": alex}))
    odd = lpips(files / "odd.pth", 64, 128)
    refused(cli, files, 2, "no calibrated weights", **(flags | {"perceptual_calibration": odd}))
    refused(cli, files, 2, "needs --perceptual-weight", perceptual_calibration=vgg)


def test_the_same_again_is_the_same_to_the_byte(cli: Any, files: Path) -> None:
    for out in ("one", "two"):
        assert cli(out=out, init="noise", seed=7)[0] == 0
    assert (files / "one/photo.png").read_bytes() == (files / "two/photo.png").read_bytes()


def test_paintings_and_their_weights(painted: Any, files: Path) -> None:
    one = files / "painting.png"
    two = save(files / "two.png", tinyencoder.picture(80, 72, 3) ** 3)
    results = [painted(style=s, **BASE) for s in (one, two, [f"{one}:3", f"{two}:1"], [one, two])]
    distances = [float(np.abs(r - results[0]).mean()) for r in results]
    assert distances[0] < distances[2] < distances[3] < distances[1]


def test_another_encoder_gives_another_picture(painted: Any, files: Path) -> None:
    from stylepipe.nst.encoders import save_encoder

    save_encoder(files / "other.safetensors", tinyencoder.convolutions(seed=1))
    other = painted(encoder_weights=files / "other.safetensors", **BASE)
    assert np.abs(painted(**BASE) - other).max() > 0.004


def test_a_picture_to_start_from(painted: Any, files: Path) -> None:
    start = save(files / "start.png", tinyencoder.picture(30, 30, 8))
    a, b = (painted(init=i, steps=1, learning_rate=1e-6) for i in (start, "content"))
    photo = read(files / "photos" / "photo.png")
    assert np.abs(b - photo).max() < 0.01 and np.abs(a - photo).mean() > 0.05


def test_a_start_of_other_proportions_is_cut_and_not_squeezed(painted: Any, files: Path) -> None:
    wide = torch.zeros(1, 3, 64, 144)
    wide[:, :, :, 36:108] = tinyencoder.picture(64, 72, 8)
    results = [
        painted(init=save(files / f"start{k}.png", start), steps=1, learning_rate=1e-6)
        for k, start in enumerate([wide, wide[:, :, :, 36:108]])
    ]
    assert np.array_equal(*results)
    start = fitted(wide, torch.zeros(2, 3, 20, 10))
    assert start.shape == (2, 3, 64, 32) and torch.equal(start[1], wide[0, :, :, 56:88])


def test_no_strength_is_the_photo(painted: Any, files: Path) -> None:
    assert np.array_equal(painted(strength=0), read(files / "photos" / "photo.png"))


# -- regions --------------------------------------------------------------------------------------


def flat(path: Path, *color: float) -> Path:
    return save(path, torch.tensor(color).view(1, 3, 1, 1).expand(1, 3, 80, 80))


def test_each_region_takes_its_style(painted: Any, files: Path) -> None:
    """One painting a region; or the parts of one painting, in the order of the map's colors."""
    red = flat(files / "red.png", 0.9, 0.2, 0.2)
    blue = flat(files / "blue.png", 0.2, 0.2, 0.9)
    regions = region_map(files / "map.png", *SIZE, 255, 0)  # bright left, dark right
    flags = {"regions": regions, "init": "content", "steps": 24, "learning_rate": 0.08}
    by_order = painted(style=[red, blue], **flags)
    both = save(files / "both.png", torch.cat(
        [torch.tensor(c).view(1, 3, 1, 1).expand(1, 3, 80, 40)
         for c in ([0.9, 0.2, 0.2], [0.2, 0.2, 0.9])], dim=3))  # fmt: skip
    by_map = painted(style=both, style_regions=region_map(files / "s.png", 80, 80, 0, 255), **flags)
    for result in (by_order, by_map):
        warm = result[..., 2] - result[..., 0]  # red less blue, of BGR
        assert warm[:, 44:].mean() > 0.2 and warm[:, :28].mean() < -0.2


def test_borders(painted: Any, files: Path) -> None:
    regions = region_map(files / "map.png", *SIZE, 0, 255)
    two = save(files / "two.png", tinyencoder.picture(80, 72, 3) ** 3)
    style = [files / "painting.png", two]
    results = [
        painted(regions=regions, style=style, border=border, **BASE)
        for border in ("inside", "feather", "simple")
    ]
    for i, j in ((0, 1), (1, 2), (0, 2)):
        assert np.abs(results[i] - results[j]).max() > 0.004


def test_a_mask_is_laid_over_by_the_engine(painted: Any, files: Path) -> None:
    mask = region_map(files / "mask.png", *SIZE, 0, 255)
    result, photo = painted(mask=mask, **BASE), read(files / "photos" / "photo.png")
    assert np.array_equal(result[:, :36], photo[:, :36])
    assert np.array_equal(result[:, 36:], painted(**BASE)[:, 36:])


# -- the contract of stylizers ----------------------------------------------------------------


class TestContract(StylizerContract):
    component = GatysStylizer
    options: ClassVar = {"steps": 2}
    sizes: ClassVar = ((64, 48), (75, 90))

    @pytest.fixture
    def made(self, tmp_path: Path) -> GatysStylizer:
        weights = tinyencoder.encoder_file(tmp_path)
        return GatysStylizer(GatysOptions.build({**self.options, "encoder_weights": weights}))

    @pytest.fixture
    def ready(self, opened: GatysStylizer, tmp_path: Path) -> GatysStylizer:
        painting = save(tmp_path / "painting.png", tinyencoder.picture(70, 80, 2))
        opened.prepare([StyleRef(str(painting), 1.0)])
        opened.reset(self.item())
        return opened


def test_progress_reaches_its_end(files: Path) -> None:
    shares: list[float] = []
    options = {"steps": 50, "tolerance": 0.9, "encoder_weights": files / "tiny.safetensors"}
    stylizer = GatysStylizer(GatysOptions.build(options))
    stylizer.open(replace(context(), progress=lambda share, text: shares.append(share)))
    stylizer.prepare([StyleRef(str(files / "painting.png"), 1.0)])
    stylizer.stylize(TestContract().batch(*SIZE))
    assert shares == sorted(shares) and shares[-1] == 1.0 and len(shares) < 50
    stylizer.close()


def test_options_say_what_is_wrong() -> None:
    with pytest.raises(UsageError, match="choose one of: wasserstein, gram, mean-std"):
        GatysOptions.build({"style_loss": "gramm"})


def test_a_report_asked_for_later_does_not_undo_what_is_done(cli: Any, files: Path) -> None:
    assert cli()[0] == 0
    code, err = cli(trace=files / "trace", preview=files / "preview.png")
    assert code == 0 and "1 skipped" in err and not (files / "preview.png").exists()
    code, err = cli(steps=4)
    assert code == 2 and "not made from this source by these settings" in err


def test_what_auto_takes_for_an_encoder_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STYLEPIPE_CACHE", str(tmp_path))
    watched = list(GatysStylizer(GatysOptions(style=("a.png",))).files())
    assert any(path.name.startswith("vgg19-") for path in watched)
    named = list(GatysStylizer(GatysOptions(style=("a.png",), encoder="compact")).files())
    assert named == [Path("a.png")]
