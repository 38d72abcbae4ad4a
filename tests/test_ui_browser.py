"""The page in a browser, from an upload to what is saved. Run with ``-m slow``."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("starlette", reason="the page needs stylepipe[ui]")
playwright = pytest.importorskip("playwright.sync_api", reason="driving a browser needs playwright")

CHROMIUM = shutil.which("chromium")
PLUGIN = Path(__file__).with_name("slow_plugin.py")


class Program:
    """``stylepipe ui`` in its own process."""

    def __init__(self, folder: Path):
        environ = {**os.environ, "STYLEPIPE_STYLIZER_WAIT": "1.0"}
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stylepipe", "--plugin", str(PLUGIN), "ui", "--no-browser"],
                cwd=folder, stderr=log, env=environ,
            )  # fmt: skip
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
def browser():
    if CHROMIUM is None:
        pytest.skip("needs chromium")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.mark.slow
def test_from_an_upload_to_what_is_saved(browser, tmp_path):
    expect = playwright.expect
    expect.set_options(timeout=60_000)
    photos = []
    for n in range(8):
        pixels = np.full((60, 90, 3), 40 + 20 * n, np.uint8)
        photos.append(tmp_path / f"{n}.png")
        cv2.imwrite(str(photos[-1]), pixels)
    program = Program(tmp_path)
    errors = []
    try:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(program.address)
        assert "token" not in page.url
        page.set_input_files("#files", [*photos, Path(__file__)])
        expect(page.locator(".photo")).to_have_count(8)
        expect(page.locator("#messages")).to_contain_text("is of no kind that can be read")
        page.get_by_role("button", name="Close").click()

        page.locator("#method summary").click()
        page.select_option("#stylizer", "slow")
        expect(page.locator("#caption")).to_contain_text("step")
        expect(page.locator("#caption")).to_contain_text("Preview")
        expect(page.locator("#command")).to_contain_text("stylepipe slow")
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

        program = Program(tmp_path)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(program.address)
        expect(page.locator(".order .state")).to_contain_text("Done: 8 of 8 painted")
        page.locator(".results button").first.click()
        expect(page.locator("#after")).to_be_visible()
        with page.expect_download() as saved:
            page.get_by_role("link", name="Save", exact=True).click()
        made = cv2.imread(str(saved.value.path()))
        assert (made == 215).all()
        with page.expect_download() as archive:
            page.get_by_role("link", name="Save all as ZIP").click()
        assert archive.value.suggested_filename == "0001-slow.zip"
        for width in (320, 390, 1024, 2560):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, width
    finally:
        program.kill()
    assert errors == []
