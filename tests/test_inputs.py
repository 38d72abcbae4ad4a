"""Which files a run takes, and where their results go."""

import os
import re
from dataclasses import replace
from pathlib import Path

import fakes
import pytest
from fakes import array, np, settings

from stylepipe.errors import ItemError, NoInputError, SetupError, UsageError
from stylepipe.inputs import find_items, probe
from stylepipe.styles import parse_style, parse_styles
from stylepipe.types import Info


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    for name in ("b.npy", "a.NPY", "sub/a.npy", ".hidden.npy", ".git/x.npy", "notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("wb") as file:
            np.save(file, array())
    return folder


def test_folder_is_mirrored_in_order(photos, tmp_path):
    items = find_items((photos,), tmp_path / "out", settings()).items
    found = [i.output.relative_to(tmp_path / "out").as_posix() for i in items]
    assert found == ["a.NPY", "b.npy", "sub/a.npy"]
    assert [i.relative.as_posix() for i in items] == found


def test_limit_and_name_template(photos, tmp_path):
    chosen = settings(name="{index:03d}-{stem}-{style}", style=("starry-night:0.5", "x/wave.png"))
    items = find_items((photos,), tmp_path / "out", chosen, limit=2).items
    assert [i.output.name for i in items] == [
        "001-a-starry-night+wave.NPY",
        "002-b-starry-night+wave.npy",
    ]


def test_format_wins_over_the_source_where_it_can_be_written(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(fakes.NpyWriter, "patterns", (".npy", ".raw", ".both"))
    monkeypatch.setattr(fakes.ClipWriter, "patterns", (".npy", ".both"))
    for wanted in ("raw", "both"):
        items = find_items((photos,), tmp_path / "out", settings(format=wanted)).items
        assert {i.output.suffix for i in items} == {f".{wanted}"}
    found = find_items((photos,), tmp_path / "out", settings(format="unheard"))
    assert sorted(found.refused) == [0, 1, 2] and "--format unheard" in found.refused[0]


def test_missing_input_is_named(tmp_path):
    with pytest.raises(NoInputError, match=r"no such file or folder: .*nowhere"):
        find_items((tmp_path / "nowhere",), tmp_path / "out", settings())


def test_a_film_with_the_name_of_a_photo_is_told_to_be_one(tmp_path):
    class Films(fakes.NpyReader):
        name, kind, patterns = "films", "video", (".film",)

        def probe(self, path):
            return Info("video", "matroska", 64, 48)

    class Photos(fakes.NpyReader):
        name, patterns = "photos", (".jpg",)

        def probe(self, path):
            return None

    (tmp_path / "a.jpg").write_bytes(b"film")
    readers = [Photos(Photos.Options()), Films(Films.Options())]
    with pytest.raises(ItemError, match=r"is a film \(matroska\), unlike what \.jpg says.*\.film"):
        probe(tmp_path / "a.jpg", readers)


def test_nothing_matches(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(NoInputError, match=r"no photo or video found in .*\.npy"):
        find_items((tmp_path / "in",), tmp_path / "out", settings())


def test_pattern_is_expanded(photos, tmp_path):
    items = find_items((photos / "*.npy",), tmp_path / "out", settings()).items
    assert [i.source.name for i in items] == ["b.npy"]


def test_same_file_named_twice_is_done_once(photos, tmp_path):
    items = find_items((photos, photos / "b.npy"), tmp_path / "out", settings()).items
    assert len(items) == 3


def test_output_equal_to_input(photos):
    with pytest.raises(UsageError, match="is the input itself"):
        find_items((photos,), photos, settings())
    with pytest.raises(UsageError, match="is the input itself"):
        find_items((photos / "b.npy",), photos / "b.npy", settings())


def test_output_of_a_file_into_its_own_folder(photos):
    found = find_items((photos / "b.npy",), photos, settings())
    assert re.search(r"would replace .*b\.npy, which this run reads", found.refused[0])


def test_output_inside_input(photos):
    with pytest.raises(UsageError, match="lies inside the input folder"):
        find_items((photos,), photos / "deep" / "styled", settings())


def test_a_result_never_replaces_another_source(photos, tmp_path):
    np.save(photos / "x-b.npy", array())
    found = find_items((photos / "b.npy", photos / "x-b.npy"), photos, settings(name="x-{stem}"))
    assert list(found.refused) == [0] and "x-b.npy, which this run reads" in found.refused[0]


def test_links_are_followed_once(photos, tmp_path):
    (photos / "link.npy").symlink_to(photos / "b.npy")
    (photos / "loop.npy").symlink_to("loop.npy")
    (photos / "sub" / "up").symlink_to(photos)
    other = tmp_path / "other"
    other.mkdir()
    np.save(other / "z.npy", array())
    (photos / "linked").symlink_to(other)
    items = find_items((photos,), tmp_path / "out", settings()).items
    names = [i.relative.as_posix() for i in items]
    assert names == ["a.NPY", "b.npy", "link.npy", "loop.npy", "linked/z.npy", "sub/a.npy"]


def test_folder_that_cannot_be_read_becomes_an_item(photos, tmp_path, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    items = find_items((photos,), tmp_path / "out", settings()).items
    assert [i.relative.as_posix() for i in items] == ["a.NPY", "b.npy", "sub"]
    with pytest.raises(ItemError, match="the folder cannot be read"):
        probe(items[2].source, settings().readers)


def test_suffix_that_cannot_be_written_is_no_folder(photos, tmp_path):
    with pytest.raises(UsageError, match=r"cannot write \.jxl files, only \.npy"):
        find_items((photos / "b.npy",), tmp_path / "b.jxl", settings())
    with pytest.raises(
        UsageError, match="is one file, but a folder of inputs may have several results"
    ):
        find_items((photos,), tmp_path / "b.npy", settings())


def test_two_inputs_to_one_output(photos, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    np.save(other / "b.npy", array())
    found = find_items((photos, other), tmp_path / "out", settings())
    assert sorted(found.refused) == [1, 3]
    assert f"out/b.npy would be that of {other / 'b.npy'}, too" in found.refused[1]
    found = find_items((photos,), tmp_path / "out", settings(name="same"))
    assert sorted(found.refused) == [0, 1], "the one in the sub-folder goes on"


def test_output_is_a_file_but_many_inputs(photos, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UsageError, match="is one file"):
        find_items((photos,), tmp_path / "out", settings())


def test_one_file_to_one_file(photos, tmp_path):
    found = find_items((photos / "b.npy",), tmp_path / "result.npy", settings())
    assert found.single and [i.output for i in found.items] == [tmp_path / "result.npy"]


@pytest.mark.parametrize(
    ("text", "name", "weight"),
    [
        ("starry-night", "starry-night", 1.0),
        ("starry-night:0.25", "starry-night", 0.25),
        ("C:/styles/a.safetensors", "C:/styles/a.safetensors", 1.0),
        ("a:b:3", "a:b", 3.0),
    ],
)
def test_parse_style(text, name, weight):
    style = parse_style(text)
    assert (style.name, style.weight) == (name, weight)


def test_style_weights_sum_to_one():
    assert [s.weight for s in parse_styles(["a:3", "b:1"])] == [0.75, 0.25]
    with pytest.raises(UsageError, match="must be positive"):
        parse_styles(["a:0"])
    with pytest.raises(UsageError, match="must be positive"):
        parse_styles(["a:nan"])


def test_a_reader_that_cannot_say_what_it_reads_is_named(tmp_path):
    class Broken(fakes.NpyReader):
        name, plugin = "broken", "toys"

        def claims(self, folder):
            if folder.name == "sub":
                raise ValueError("oops")
            return False

    (tmp_path / "in/sub").mkdir(parents=True)
    chosen = replace(settings(), readers=(Broken(Broken.Options()),))
    for asked in ("in", "in/sub"):  # found below a folder, and named by itself
        with pytest.raises(SetupError, match=r"'broken' of plugin toys failed .*sub: .*oops.*mend"):
            find_items((tmp_path / asked,), tmp_path / "out", chosen)
