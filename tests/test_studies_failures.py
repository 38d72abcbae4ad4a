"""What one variant trips over costs that variant alone; a full disk and Ctrl-C end the whole."""

import errno
import re
from html import unescape
from pathlib import Path

import pytest
from PIL import Image
from test_studies_commands import stylepipe

from stylepipe.studies import sweep as module

__all__ = ["stylepipe"]
BRITTLE = '''
from stylepipe import Caps, SetupError, Stylizer, StylizerOptions, hookimpl, option


class Options(StylizerOptions):
    breaks: str = option("never", "Where.")


class Brittle(Stylizer):
    """Copies, or breaks."""

    name = "brittle"
    Options = Options
    caps = Caps(needs_style=False)

    def prepare(self, styles):
        if self.options.breaks == "opening":
            raise KeyError("gone")
        if self.options.breaks == "machine":
            raise SetupError("its weights are damaged")
        if self.options.breaks == "disk":
            raise OSError(28, "No space left on device")
        if self.options.breaks == "stopped":
            raise KeyboardInterrupt

    def stylize(self, batch):
        if self.options.breaks == "painting":
            raise ZeroDivisionError("by zero")
        return batch.images


@hookimpl
def stylepipe_components():
    return [Brittle]
'''


@pytest.fixture
def brittle(stylepipe, tmp_path):
    """``sweep`` or ``sheet`` over places to break at."""
    Path("brittle.py").write_text(BRITTLE)
    for place in ("opening", "painting", "never"):
        Path(f"{place}.toml").write_text(f'[stylizer]\nuse = "brittle"\nbreaks = "{place}"\n')
    Image.new("RGB", (20, 16), "orange").save("a.png")

    def run(verb, *more):
        output = "sheet.html" if verb == "sheet" else "study"
        return stylepipe(verb, *more, "-o", output, "--plugin", "brittle.py")

    return run


def vary(*places):
    use = ("--set", "stylizer.use=brittle")
    return ("a.png", *use, "--vary", f"stylizer.breaks={','.join(places)}")


def reasons(page):
    return re.findall(r'class="failed"><p>([^<]*)', unescape(Path(page).read_text()))


@pytest.mark.parametrize(("verb", "page"), [("sweep", "study/index.html"), ("sheet", "sheet.html")])
def test_an_unexpected_error_is_shown_in_the_place_of_its_variant(brittle, verb, page):
    code, _, err = brittle(verb, *vary("opening", "painting", "never", "machine"))
    assert code == 1 and "4 variants of 1 photo" in err and "3 failed" in err
    opening, painting, machine = reasons(page)
    assert "brittle" in opening and "raised KeyError: 'gone'; -v shows the traceback" in opening
    assert "brittle" in painting and "ZeroDivisionError: by zero" in painting
    assert machine == "its weights are damaged"
    assert Path(page).read_text().count("<img") == 1 and "Traceback" not in err
    code, _, err = brittle(verb, *vary("opening", "never"), "-v")
    assert code == 1 and "Traceback" in err and 'raise KeyError("gone")' in err


def test_a_quiet_sweep_names_errors_and_the_table_how_many_failed(brittle):
    code, _, err = brittle("sweep", *vary("opening", "never"), "-q")
    assert code == 1 and len(err.splitlines()) == 1
    assert "breaks opening: " in err and "raised KeyError: 'gone'" in err
    html = Path("study/index.html").read_text()
    assert ">failed</button>" in html
    failed, painted = (re.search(rf"breaks {x}</a>.*?</tr>", html)[0] for x in ("opening", "never"))
    assert '<td>opening</td><td class="number" data-value="1.0">1</td>' in failed
    assert '<td>never</td><td class="number" data-value="0.0">0</td>' in painted


def test_a_comparison_shows_it_too(brittle):
    presets = [f"./{name}.toml" for name in ("opening", "painting", "never")]
    code, _, err = brittle("compare", *presets, "--photo", "a.png", "--log", "log.txt")
    assert code == 1 and "3 variants of 1 photo" in err and len(reasons("study/index.html")) == 2
    assert "./opening.toml: " in err and "Traceback" not in err
    assert "Traceback" in Path("log.txt").read_text(), "a log has all"


@pytest.mark.parametrize("verb", ["sweep", "sheet"])
def test_what_all_would_meet_ends_the_whole(brittle, verb):
    code, _, err = brittle(verb, *vary("never", "disk", "opening"))
    assert code == 4 and "No space left on device" in err and "gone" not in err
    code, _, err = brittle(verb, *vary("machine"))
    assert code == 4 and "its weights are damaged" in err
    code, _, err = brittle(verb, *vary("never", "stopped", "opening"))
    assert code == 130 and "gone" not in err


def test_a_disk_that_is_full_while_painting_or_noting_ends_it(brittle, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(module, "write_atomically", full)
    code, _, err = brittle("sweep", *vary("never", "opening"))
    assert code == 4 and "cannot write study/sweep.json: No space left" in err
    assert "unexpected" not in err
