"""One file that becomes several results: the pages of a TIFF, and what readers of others have."""

import io
from dataclasses import replace
from pathlib import Path

import cv2
import fakes
import numpy as np
import pytest
from fakes import array
from PIL import Image

from stylepipe.cli import main
from stylepipe.job import Job
from stylepipe.media import tiff_pages
from stylepipe.pipeline import run
from stylepipe.report import Report

POSTERIZE = str(Path(__file__).parents[1] / "examples" / "posterize.py")


@pytest.fixture
def cli(capsys, monkeypatch, tmp_path):
    """Run ``stylepipe posterize`` on the CPU; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*args: object) -> tuple[int, str, str]:
        code = main.run(["posterize", *map(str, args), "-d", "cpu", "--plugin", POSTERIZE])
        return code, *capsys.readouterr()

    return call


def scan(path: Path, count: int = 3, **save) -> Path:
    """A TIFF whose pages differ in size and color."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pages = [Image.new("RGB", (20 + k, 16), (40 * k, 10, 200)) for k in range(count)]
    pages[0].save(path, "TIFF", save_all=True, append_images=pages[1:], **save)
    return path


def test_each_page_is_a_result_of_its_own(cli):
    scan(Path("in/scan.tif"))
    Image.new("RGB", (9, 9)).save("in/one.tif")
    args = ["in", "-o", "out", "--pages", "--strength", "0"]
    code, out, _ = cli(*args, "--dry-run")
    assert code == 0 and "out/scan-3.tif" in out
    code, _, err = cli(*args)
    assert code == 0 and "4 done" in err and "the others are not" not in err
    assert sorted(p.name for p in Path("out").glob("*.tif")) == [
        "one.tif", "scan-1.tif", "scan-2.tif", "scan-3.tif",
    ]  # fmt: skip
    for k in range(3):
        with Image.open(f"out/scan-{k + 1}.tif") as page:
            assert page.size == (20 + k, 16) and page.getpixel((3, 3)) == (40 * k, 10, 200)
    assert "4 skipped" in cli(*args)[2]
    scan(Path("in/scan.tif"), 4)
    assert "4 done, 1 skipped" in cli(*args)[2]


def test_without_the_option_the_first_is_painted_and_the_way_is_told(cli):
    scan(Path("scan.tif"))
    code, _, err = cli("scan.tif", "-o", "out")
    assert code == 0 and "the others are not (--pages paints each)" in err
    assert [p.name for p in Path("out").glob("*.tif")] == ["scan.tif"]


def test_numbers_are_as_wide_as_the_last_and_go_where_the_template_says(cli):
    scan(Path("scan.tif"), 11)
    assert cli("scan.tif", "-o", "out", "--pages")[0] == 0
    assert Path("out/scan-01.tif").is_file() and Path("out/scan-11.tif").is_file()
    assert cli("scan.tif", "-o", "other", "--pages", "--name", "p{page}_{stem}")[0] == 0
    assert Path("other/p1_scan.tif").is_file() and Path("other/p11_scan.tif").is_file()
    code, _, err = cli("scan.tif", "-o", "one.tif", "--pages")
    assert code == 2 and "may have several results" in err


@pytest.mark.parametrize("save", [{"compression": "tiff_lzw"}, {"big_tiff": True}, {}])
def test_pages_of_every_layout_are_found(tmp_path, save):
    data = scan(tmp_path / "a.tif", **save).read_bytes()
    assert len(tiff_pages.offsets(io.BytesIO(data))) == 3
    for page in (1, 2, 3):
        with Image.open(io.BytesIO(tiff_pages.single(data, page))) as image:
            assert image.size == (19 + page, 16)
    with pytest.raises(IndexError):
        tiff_pages.single(data, 4)
    for end in range(0, len(data), 97):  # whatever is torn, it ends
        assert len(tiff_pages.offsets(io.BytesIO(data[:end]))) <= 3
    assert tiff_pages.offsets(io.BytesIO(b"no tiff" * 9)) == []


def test_sixteen_bits_stay_on_every_page(cli):
    pages = [np.full((8, 8, 3), 1001 + 5000 * k, np.uint16) for k in range(3)]
    assert cv2.imwritemulti("deep.tif", pages)
    assert cli("deep.tif", "-o", "out", "--pages", "--strength", "0")[0] == 0
    for k, expected in enumerate(pages):
        found = cv2.imread(f"out/deep-{k + 1}.tif", cv2.IMREAD_UNCHANGED)
        assert found.dtype == np.uint16 and np.array_equal(found, expected)


def test_a_thumbnail_is_no_page(tmp_path):
    data = bytearray(scan(tmp_path / "a.tif", 1).read_bytes())
    main_page = tiff_pages.offsets(io.BytesIO(data))[0]
    count = int.from_bytes(data[main_page : main_page + 2], "little")
    entry = (254).to_bytes(2, "little") + (4).to_bytes(2, "little")
    entry += (1).to_bytes(4, "little") + (1).to_bytes(4, "little")
    link = main_page + 2 + 12 * count
    data[link : link + 4] = len(data).to_bytes(4, "little")
    data += (1).to_bytes(2, "little") + entry + bytes(4)
    assert tiff_pages.offsets(io.BytesIO(data)) == [main_page]


class Pages(fakes.NpyReader):
    """Arrays of four dimensions are books; one without pages is broken."""

    name = "pages"

    def pages(self, path):
        array = np.load(path)
        if array.ndim == 4 and not len(array):
            raise fakes.ItemError("no pages are in it")
        return len(array) if array.ndim == 4 else 0

    def probe_page(self, path, page):
        return fakes.Info("image", "book", *np.load(path)[page - 1].shape[1::-1])

    def frames(self, item, info, start=0):
        pixels = np.load(item.source)
        yield fakes.Frame(pixels[item.page - 1].copy() if item.page else pixels)


def test_a_reader_of_others_may_have_pages(tmp_path):
    (tmp_path / "in").mkdir()
    book = np.stack([array(seed=k) for k in range(2)])
    np.save(tmp_path / "in" / "book.npy", book)
    np.save(tmp_path / "in" / "photo.npy", array())
    np.save(tmp_path / "in" / "torn.npy", book[:0])
    chosen = replace(fakes.settings(), readers=(Pages(fakes.Options()),))
    report = Report(quiet=True)
    run(Job((tmp_path / "in",), tmp_path / "out", chosen, device="cpu"), fakes.Plugins(), report)
    assert report.counts == {"done": 3, "failed": 1}
    for page in (1, 2):
        result = np.load(tmp_path / "out" / f"book-{page}.npy")
        np.testing.assert_array_equal(result, 255 - book[page - 1])
