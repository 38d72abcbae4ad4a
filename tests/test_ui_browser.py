"""The page in a browser, from an upload to what is saved. Run with ``-m slow``."""

import http.client
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
import threading
import time
import zlib
from contextlib import closing
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("starlette", reason="the page needs stylepipe[ui]")
playwright = pytest.importorskip("playwright.sync_api", reason="driving a browser needs playwright")

CHROMIUM = shutil.which("chromium")
PLUGIN = Path(__file__).with_name("slow_plugin.py")
STYLEPIPE = (sys.executable, "-m", "stylepipe", "--plugin", str(PLUGIN))
NAMELESS = re.compile(r"- (button|link|slider|combobox|checkbox|radio|img|progressbar)\s*(\[|:|$)")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
]


class Program:
    """``stylepipe ui`` in its own process."""

    def __init__(self, folder: Path, **settings):
        environ = os.environ | {f"STYLEPIPE_STYLIZER_{k.upper()}": v for k, v in settings.items()}
        self.log = folder / "log"
        with self.log.open("w") as log:
            call = [*STYLEPIPE, "ui", "--no-browser"]
            self.process = subprocess.Popen(call, cwd=folder, stderr=log, env=environ)
        self.address = self._address()

    def _address(self) -> str:
        end = time.monotonic() + 90
        while time.monotonic() < end and self.process.poll() is None:
            if found := re.search(r"http://\S+token=\S+", self.log.read_text()):
                return found.group()
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def start(tmp_path):
    """``start(**settings)`` starts the program, in the same folder each time."""
    programs = []

    def started(**settings):
        programs.append(Program(tmp_path, **settings))
        return programs[-1]

    yield started
    for program in programs:
        program.kill()


@pytest.fixture
def context():
    """Of a browser; at the end, nothing that its pages ran has failed."""
    errors = []
    playwright.expect.set_options(timeout=60_000)
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = chromium.new_context(viewport={"width": 1280, "height": 800})
        context.on("weberror", lambda raised: errors.append(str(raised.error)))
        yield context
        chromium.close()
    assert errors == []


def photo(path, shade, size=(90, 60)):
    cv2.imwrite(str(path), np.full((size[1], size[0], 3), shade, np.uint8))
    return path


def drop(page, name, data):
    """Drop a file on the page, as a file manager does."""
    page.evaluate(
        """([name, bytes]) => {
          const dataTransfer = new DataTransfer();
          if (name) dataTransfer.items.add(new File([new Uint8Array(bytes)], name));
          else dataTransfer.setData("text/plain", "words");
          const over = { dataTransfer, bubbles: true, cancelable: true };
          document.body.dispatchEvent(new DragEvent("drop", over));
        }""",
        [name, list(data)],
    )


def refused(page, words):
    """The page says so, once; the message is closed."""
    playwright.expect(page.locator("#messages li")).to_contain_text(words)
    page.get_by_role("button", name="Close").click()


def bomb(path):
    """A PNG that claims 60000x60000 pixels."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + body)
    return path


def test_from_an_upload_to_what_is_saved(context, start, tmp_path):
    expect = playwright.expect
    photos = [photo(tmp_path / f"{n}.png", 40 + 20 * n) for n in range(8)]
    program = start(wait="0.5")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(program.address)
    assert "token" not in page.url
    drop(page, "0.png", photos[0].read_bytes())
    expect(page.locator("#after")).to_be_visible()  # painted before anything was chosen
    first, chosen = page.locator(".style").first, page.locator(".style input:checked")
    expect(chosen).to_be_in_viewport()  # of the list, too, whose beginning is scrolled away
    expect(first).not_to_be_in_viewport()
    page.set_input_files("#files", photos[1:])
    expect(page.locator(".photo")).to_have_count(8)

    page.locator("#method summary").click()
    page.select_option("#stylizer", "slow")
    expect(page.locator("#caption")).to_contain_text("step")
    expect(page.locator("#caption")).to_contain_text("finer at full size")
    page.locator("#split").focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    clip = page.evaluate("getComputedStyle(document.getElementById('after')).clipPath")
    assert clip.replace("0px", "0") == "inset(0 0 0 30%)"

    page.get_by_role("button", name="Paint all 8").click()
    state = page.locator(".order .state")
    expect(state).to_contain_text("Painting 1 of 8")
    page.get_by_role("button", name="Pause").click()
    expect(state).to_contain_text(re.compile("Paused: [0-4] of 8 painted"))
    page.get_by_role("button", name="Resume").click()
    expect(state).to_contain_text(re.compile("Painting [2-6] of 8"))
    program.kill()
    expect(page.locator("#gone")).to_be_visible()

    program = start(wait="0.5")
    page = context.new_page()
    page.goto(program.address)
    expect(page.locator(".order .state")).to_contain_text("Done: 8 of 8 painted")
    expect(page.locator("#to-queue")).to_have_text("Slow: done")
    page.locator(".results button").first.click()
    expect(page.locator("#after")).to_be_visible()
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save", exact=True).click()
    assert (cv2.imread(str(saved.value.path())) == 255 - 40).all()
    with page.expect_download() as archive:
        page.get_by_role("link", name="Save all as ZIP").click()
    assert archive.value.suggested_filename == "0001-slow.zip"
    assert NAMELESS.findall(page.locator("body").aria_snapshot()) == []
    for width in (320, 390, 768, 1024, 2560):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width

    page.locator("#same summary").click()
    page.get_by_role("button", name="Copy the command").click()
    words = shlex.split(page.evaluate("navigator.clipboard.readText()"))
    subprocess.run([*STYLEPIPE, *words[1:]], cwd=tmp_path, check=True)
    (made,) = tmp_path.glob("stylepipe-ui/results/0002-slow/*.png")
    assert made.name == "1.png"  # the first of those that were added last
    assert (cv2.imread(str(made)) == 255 - 60).all()

    page.get_by_role("button", name="Remove all photos and films").click()
    expect(page.locator("#empty")).to_be_visible()
    assert list(tmp_path.glob("stylepipe-ui/photos/*.png")) == []


def test_what_takes_long_shows_the_picture_so_far(context, start, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (80, 120, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), cv2.GaussianBlur(noise, (0, 0), 3))
    cv2.imwrite(str(tmp_path / "own.png"), noise)
    page = context.new_page()
    page.goto(start(steps="60").address)
    page.set_input_files("#files", tmp_path / "a.png")
    page.set_input_files("#painting", tmp_path / "own.png")
    playwright.expect(page.locator(".photo")).to_have_count(1)
    page.locator("#method summary").click()

    def shown(picture, ends):
        """How many pictures came to be seen until the end."""
        seen, end = set(), time.monotonic() + 200
        while not page.evaluate(ends) and time.monotonic() < end:
            seen.add(
                page.evaluate(f"""(() => {{
                const picture = document.querySelector("{picture}");
                return picture?.checkVisibility() && picture.complete && picture.naturalWidth > 0
                    ? picture.src : null;
            }})()""")
            )
            time.sleep(0.05)
        return len(seen - {None})

    page.select_option("#stylizer", "gatys")
    playwright.expect(page.locator("#share")).to_be_visible()
    assert shown("#after", "document.getElementById('share').hidden") > 1
    page.get_by_role("button", name="Paint this one").click()
    assert shown(".interim", "document.querySelector('.order.done') !== null") > 1
    assert page.locator(".order .state").inner_text() == "Done: 1 of 1 painted"


def test_what_is_not_to_be_taken_is_refused(context, start, tmp_path):
    large = tmp_path / "large.mp4"
    with large.open("wb") as file:
        file.truncate(4 << 30)
    program, taken = start(), tmp_path / "stylepipe-ui" / "photos"
    page = context.new_page()
    page.goto(program.address)
    playwright.expect(page.locator(".style").first).to_be_visible()
    page.set_input_files("#files", Path(__file__))
    refused(page, "is of no kind that can be read")
    page.set_input_files("#files", bomb(tmp_path / "bomb.png"))
    refused(page, "claims 60000x60000 pixels")
    page.set_input_files("#files", large)
    refused(page, "larger than the 2,147,483,648 bytes that are taken")
    drop(page, None, b"")
    refused(page, "nothing to add was dropped")

    home = program.address.partition("/?")[0]
    host, port = home.removeprefix("http://").split(":")
    cookie = "; ".join(f"{one['name']}={one['value']}" for one in context.cookies())
    own = {"Cookie": cookie, "Origin": home}

    def answer(name, **headers):
        body = photo(tmp_path / "p.png", 9).read_bytes()
        with closing(http.client.HTTPConnection(host, int(port))) as server:
            server.request("POST", f"/api/photos?name={name}", body, own | headers)
            return server.getresponse().status

    assert answer("..%2F..%2Fp.png") == 400
    assert answer("p.mp4", **{"Content-Length": str(4 << 30)}) == 413
    assert answer("p.png", Origin="http://evil.example") == 403
    assert answer("p.png", Host="evil.example") == 421
    assert answer("p.png", Cookie="") == 401
    assert [path for path in taken.rglob("*") if path.is_file()] == []
    assert answer("p.png") == 201


def test_another_site_in_the_same_browser_gets_nothing(context, start, tmp_path):
    program, site = start(), tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("<!doctype html><title>Other</title>")
    handler = partial(SimpleHTTPRequestHandler, directory=site)
    handler.log_message = None
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = context.new_page()
        page.goto(program.address)
        page.set_input_files("#files", photo(tmp_path / "a.png", 9))
        playwright.expect(page.locator(".photo")).to_have_count(1)
        assert context.cookies()  # which the browser sends to all ports
        home, data = program.address.partition("/?")[0], photo(tmp_path / "a.png", 9).read_bytes()
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        got = page.evaluate(
            """async ([home, bytes]) => {
              const how = { mode: "no-cors", credentials: "include" };
              const body = new Blob([new Uint8Array(bytes)]);
              const picture = new Image();
              const tries = [
                fetch(home + "/api/state", how),
                fetch(home + "/api/photos?name=b.png", { ...how, method: "POST", body }),
                new Promise((resolve, reject) => {
                  picture.onload = resolve;
                  picture.onerror = reject;
                  picture.src = home + "/api/photos/a.png";
                }),
              ];
              return (await Promise.allSettled(tries)).map((one) => one.status);
            }""",
            [home, list(data)],
        )
        server.shutdown()
    assert got == ["rejected"] * 3
    assert [path.name for path in tmp_path.glob("stylepipe-ui/photos/*.png")] == ["a.png"]
