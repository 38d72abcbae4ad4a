"""What a run leaves to be read: its last line, ``--log`` and ``--report``."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylepipe.cli import main
from stylepipe.eta import elapsed
from stylepipe.studies import job_page

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = ("--plugin", str(ROOT / "examples/posterize.py"))
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} "


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """``run(*args)`` posterizes into ``out``, in an empty folder; returns exit code and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*args):
        code = main.run(["posterize", "-o", "out", *map(str, args), *PLUGIN])
        return code, capsys.readouterr().err

    return call


@pytest.fixture
def photos(run, make_photo):
    Path("photos").mkdir()
    for number, name in enumerate("ab"):
        make_photo(f"photos/{name}.png", seed=number)
    return Path("photos")


def test_a_run_ends_with_what_was_done_how_long_and_where(run, photos):
    (photos / "c.png").write_bytes(b"no picture")
    code, err = run(photos)
    assert code == 1
    assert re.fullmatch(r"2 done, 1 failed \(\d+\.\d s\): out", err.splitlines()[-1])
    code, err = run(photos / "c.png")
    assert re.fullmatch(r"1 failed \(\d+\.\d s\)", err.splitlines()[-1]), "nothing lies anywhere"


def test_long_times_are_told_in_words():
    assert [*map(elapsed, (4.21, 59.96, 725, 7810))] == [
        "4.2 s",
        "60.0 s",
        "12 min 05 s",
        "2 h 10 min",
    ]


# -- --log -------------------------------------------------------------------------------------


def test_a_log_has_all_lines_with_times_even_of_a_quiet_run(run, photos):
    (photos / "c.png").write_bytes(b"no picture")
    code, err = run(photos, "--quiet", "--log", "log.txt")
    assert code == 1 and err.count("\n") == 1
    lines = Path("log.txt").read_text().splitlines()
    assert all(re.match(STAMP, line) for line in lines)
    told = [re.sub(STAMP, "", line) for line in lines]
    assert told[0].startswith("stylepipe ") and "posterize -o out photos --quiet" in told[0]
    assert f"done: {photos / 'a.png'}: {Path('out/a.png')}" in told
    assert any(line.startswith(f"failed: {photos / 'c.png'}: ") for line in told)
    assert any(line.startswith("2 done, 1 failed (") for line in told)
    code, err = run("nowhere", "--log", "log.txt")
    again = Path("log.txt").read_text().splitlines()
    assert again[: len(lines)] == lines, "it is appended to"
    assert again[-1].endswith("error: no such file or folder: nowhere")


def test_a_log_has_what_is_wrong_with_other_flags(run, photos):
    code, err = run(photos, "--log", "log.txt", "--bogus")
    assert code == 2 and "--bogus" in err
    run(photos, "--preset", "nothing", "--log", "log.txt")
    told = Path("log.txt").read_text()
    assert "no such option '--bogus'" in told and "unknown preset 'nothing'" in told


def test_a_log_has_tracebacks_in_full(run, photos, monkeypatch):
    def broken(*args):
        raise RuntimeError("broken pipe organ")

    monkeypatch.setattr("stylepipe.pipeline.run", broken)
    code, err = run(photos, "--log", "log.txt")
    assert code == 1 and "Traceback" not in err
    assert "Traceback (most recent call last)" in Path("log.txt").read_text()


def test_ctrl_c_costs_no_line_of_a_log(run, photos, monkeypatch):
    def stopped(self, *args):
        self.log("painting")
        raise KeyboardInterrupt

    monkeypatch.setattr("stylepipe.report.Report.job_start", stopped)
    code, _ = run(photos, "--log", "log.txt")
    told = Path("log.txt").read_text().splitlines()
    assert code == 130 and told[-2].endswith(" painting") and told[-1].endswith(" interrupted")


def test_a_log_replaces_and_follows_no_other_file(run, photos):
    before = (photos / "a.png").read_bytes()
    for name, said in (
        (photos / "a.png", "which is another file; name a new one"),
        (photos, "is not a plain file"),
        ("nowhere/log.txt", "cannot be written: No such file or directory"),
    ):
        code, err = run(photos, "--log", name)
        assert code in (2, 4) and said in err and not Path("out").exists()
    assert (photos / "a.png").read_bytes() == before


def test_a_full_disk_ends_the_log_and_not_the_job(run, photos, monkeypatch):
    class Full:
        def write(self, data):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    from stylepipe import logfile

    opened = logfile.LogFile.__init__

    def fill(self, path):
        opened(self, path)
        self._file.close()
        self._file = Full()

    monkeypatch.setattr(logfile.LogFile, "__init__", fill)
    code, err = run(photos, "--log", "log.txt")
    assert code == 0 and err.count("warning: --log log.txt misses lines: No space left") == 1
    assert "2 done" in err


# -- --report ----------------------------------------------------------------------------------


def figures(page):
    return re.findall(r"<figure.*?</figure>", Path(page).read_text(), re.DOTALL)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--report", "page.pdf"], "name a file that ends in .html, not page.pdf"),
        (["--report", "mine.html"], "the report would replace mine.html, which is another file"),
        (["--report", "page.html", "--dry-run"], "--dry-run paints nothing"),
    ],
)
def test_a_report_that_cannot_be_written_is_refused(run, photos, args, said):
    Path("mine.html").write_text("<p>my page</p>")
    code, err = run(photos, *args)
    assert code == 2 and said in err and not Path("out").exists()


def test_whatever_a_codec_raises_costs_one_figure_of_a_report(run, photos, monkeypatch):
    small, calls = job_page.small, []

    def broken(frame, side):
        calls.append(side)
        if len(calls) == 1:
            raise RuntimeError("codec broke")
        return small(frame, side)

    monkeypatch.setattr(job_page, "small", broken)
    code, err = run(photos, "--report", "page.html")
    assert code == 0, err
    shown = figures("page.html")
    assert "It cannot be shown: RuntimeError: codec broke" in shown[0] and "<img" in shown[1]


def test_a_further_page_that_cannot_be_written_is_reported_as_such(
    run, photos, make_photo, monkeypatch
):
    monkeypatch.setattr(job_page, "A_PAGE", 1)
    Path("page-2.html").write_text("mine")
    code, err = run(photos, "--report", "page.html")
    assert code == 2 and "replace page-2.html" in err and "another --report" in err
    Path("page-2.html").rename("page-3.html")
    make_photo("photos/c.png", seed=2)
    code, err = run(photos, "--report", "page.html")
    assert code == 4 and "only the report could not be written: the report would replace" in err
    assert Path("page-3.html").read_text() == "mine" and Path("out/c.png").exists()


def test_a_report_shows_each_item_before_and_after_and_why_one_failed(run, photos, make_clip):
    make_clip("photos/film.mp4")
    Image.fromarray(np.zeros((700, 1400, 3), np.uint8)).save("photos/<b>&.png")
    code, err = run(photos)
    assert code == 0, err
    (photos / "c.png").write_bytes(b"no picture")
    for _ in range(2):  # what was there already is shown, too, and the page is replaced
        code, err = run(photos, "--report", "page.html")
        assert code == 1 and "before and after: page.html" in err
    html = Path("page.html").read_text()
    assert not re.search(r"(src|href)=.(https?:)?//", html) and "default-src 'none'" in html
    assert "<b>&" not in html and "&lt;b&gt;&amp;.png" in html
    shown = figures("page.html")
    assert "c.png" in shown[0] and 'class="failed"' in shown[0], "what failed comes first"
    assert sum("film.mp4, frame " in figure for figure in shown) == 3
    assert sum(figure.count("<img") == 2 and "range" in figure for figure in shown) == 6
    assert 'href="out/a.png"' in html and 'width="480" height="240"' in html


def test_a_report_of_many_items_has_several_pages(run, photos, make_photo, monkeypatch):
    monkeypatch.setattr(job_page, "A_PAGE", 2)
    for number in range(3):
        make_photo(f"photos/n{number}.png")
    mine = ["page-2024.html", "page-mine.html"]
    for name in mine:
        Path(name).write_text("mine")
    code, err = run(photos, "--report", "page.html")
    assert code == 0 and "page.html and 2 more, 2 items each" in err
    pages = ["page.html", "page-2.html", "page-3.html"]
    assert [len(figures(page)) for page in pages] == [2, 2, 1]
    assert 'href="page-3.html"' in Path("page.html").read_text()
    monkeypatch.setattr(job_page, "A_PAGE", 4)
    assert run(photos, "--report", "page.html")[0] == 0
    assert sorted(Path().glob("page*")) == [*map(Path, sorted([*pages[:2], *mine]))]


def test_frames_that_were_tried_are_shown_as_their_sheet(run, photos, make_clip):
    make_clip("photos/film.mp4")
    code, err = run(photos / "film.mp4", "--frames", 2, "--report", "page.html")
    assert code == 0, err
    (shown,) = figures("page.html")
    assert "<img" in shown and "range" not in shown
