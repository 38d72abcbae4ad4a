"""The page's server: who may speak to it, uploads, previews, choices, and the queue."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
import zipfile
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("starlette", reason="the page needs stylepipe[ui]")
pytest.importorskip("httpx", reason="starlette's test client needs httpx")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # newer ones would rather have a successor of httpx
    from starlette.testclient import TestClient

from stylepipe import SetupError, UsageError
from stylepipe.cli import main
from stylepipe.plugins import Plugins
from stylepipe.ui.choice import Choice, Resolved
from stylepipe.ui.serve import listening
from stylepipe.ui.server import application
from stylepipe.ui.shelf import Refused, safe_name
from stylepipe.ui.studio import Studio

PORT, TOKEN = 8470, "a-secret"
HOME = f"http://127.0.0.1:{PORT}"
MACHINE = {"device": "cpu"}
SLOW = Path(__file__).with_name("slow_plugin.py")


def png(width=24, height=16, seed=0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


@pytest.fixture(scope="module")
def plugins():
    return Plugins([str(SLOW)])


class Page:
    """A studio, and a browser that has opened its address."""

    def __init__(self, folder, plugins, **more):
        self.lines = []
        arguments = {"machine": MACHINE, "max_upload": 1 << 20, "log": self.lines.append, **more}
        self.studio = Studio(folder, plugins, **arguments)
        self.app = application(self.studio, PORT, TOKEN)
        self.web = TestClient(self.app, base_url=HOME, headers={"Origin": HOME})
        assert self.web.get(f"/?token={TOKEN}").status_code == 200

    def add(self, name="a.png", data=None, shelf="photos"):
        return self.web.post(f"/api/{shelf}", params={"name": name}, content=data or png())

    def look(self, tab="one", **choice):
        body = {"tab": tab, "photo": "a.png", "names": ["a.png"], "choice": choice}
        answer = self.web.post("/api/look", json=body)
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    def order(self, names=("a.png",), **choice):
        answer = self.web.post("/api/orders", json={"names": list(names), "choice": choice})
        assert answer.status_code == 201, answer.text
        return answer.json()["number"]

    def tell(self, number, action):
        return self.web.post(f"/api/orders/{number}/{action}")

    def shown(self, number):
        return next(o for o in self.web.get("/api/orders").json() if o["number"] == number)

    def wait(self, number, *states, until=lambda order: True):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            order = self.shown(number)
            if order["state"] in states and until(order):
                return order
            time.sleep(0.02)
        raise AssertionError(f"still {order}")

    def close(self):
        return self.studio.close()


@pytest.fixture
def page(tmp_path, plugins):
    one = Page(tmp_path / "ui", plugins)
    yield one
    one.close()


def error(answer) -> str:
    return answer.json()["error"]


# -- the guards -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        ({"Host": "evil.example"}, 421, "not the page's"),
        ({"Host": "127.0.0.1:80"}, 421, "not the page's"),
        ({"Origin": "http://evil.example"}, 403, "another page"),
        ({"Origin": "http://127.0.0.1:9"}, 403, "another page"),
        ({"Origin": "null"}, 403, "another page"),
        ({"Sec-Fetch-Site": "cross-site"}, 403, "another page"),
        ({"Sec-Fetch-Site": "same-site"}, 403, "another page"),
        ({"Cookie": ""}, 401, "stylepipe ui printed"),
        ({"Cookie": f"stylepipe-{PORT}=wrong"}, 401, "stylepipe ui printed"),
        ({"Cookie": 'stylepipe-8470="\\377'}, 401, "stylepipe ui printed"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/state", "/page.js"])
def test_strangers_are_refused(page, headers, status, words, path):
    fresh = TestClient(page.app, base_url=HOME)
    fresh.cookies.clear()
    cookie = {"Cookie": f"stylepipe-{PORT}={TOKEN}"}
    assert fresh.get(path, headers=cookie).status_code == 200
    answer = fresh.get(path, headers={**cookie, **headers})
    assert (answer.status_code, words in answer.text) == (status, True)
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_what_changes_anything_must_come_from_the_page(page):
    page.web.headers.pop("Origin")
    assert page.add().status_code == 403
    assert page.web.delete("/api/photos/a.png").status_code == 403
    page.web.headers["Origin"] = HOME
    assert page.web.post("/api/orders", content=b"{}").status_code == 415  # as forms can send


def test_the_token_is_asked_once_and_kept_from_scripts_and_the_history(page):
    fresh = TestClient(page.app, base_url=HOME, follow_redirects=False)
    assert fresh.get("/?token=wrong").status_code == 401
    entered = fresh.get(f"/?token={TOKEN}")
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    policy = fresh.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy


def test_nothing_is_served_from_outside(page, tmp_path):
    (tmp_path / "ui" / "photos" / "secret.txt").write_text("no upload")
    for path in ("photos/..%2f..%2fsecret", "photos/secret.txt", "photos/%2e%2e", "queue/x"):
        answer = page.web.get(f"/api/{path}")
        assert answer.status_code == 404, path
        assert b"no upload" not in answer.content


# -- uploads ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "status", "words"),
    [
        ("../a.png", None, 400, "holds no path"),
        ("..\\a.png", None, 400, "holds no path"),
        ("/etc/a.png", None, 400, "holds no path"),
        ("", None, 400, "no name"),
        ("a", None, 415, "no suffix"),
        ("a.exe", None, 415, "no kind"),
        ("a.png", b"no picture", 422, "a.png"),
        ("a.png", png(900, 700), 413, "larger than"),
    ],
)
def test_a_bad_upload_is_refused_in_a_sentence_and_leaves_nothing(
    page, name, data, status, words, tmp_path
):
    answer = page.add(name, data)
    assert (answer.status_code, words in error(answer)) == (status, True), answer.text
    assert [p for p in (tmp_path / "ui").rglob("*") if p.suffix in (".png", ".part", ".jpg")] == []
    assert page.add().status_code == 201  # the page goes on


def test_four_gigabytes_are_refused_before_they_are_sent(page):
    answer = page.web.post(
        "/api/photos", params={"name": "a.mp4"}, headers={"Content-Length": str(4 << 30)}
    )
    assert answer.status_code == 413
    assert "--max-upload" in error(answer)


def test_an_upload_that_does_not_say_its_length_ends_at_the_bound(page, tmp_path):
    sent = []

    def endless():
        while len(sent) < 20:
            sent.append(1)
            yield bytes(1 << 18)

    assert page.web.post("/api/photos?name=a.png", content=endless()).status_code == 413
    assert list((tmp_path / "ui" / "photos" / ".small").iterdir()) == []


def test_a_decompression_bomb_is_refused_in_the_words_of_the_reader(page):
    import struct
    import zlib

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    answer = page.add("bomb.png", b"\x89PNG\r\n\x1a\n" + head + body)
    assert answer.status_code == 422
    assert "claims 60000x60000 pixels" in error(answer)


def test_an_upload_that_would_fill_the_disk_is_refused(page, monkeypatch):
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 9))
    answer = page.add()
    assert (answer.status_code, "nearly full" in error(answer)) == (507, True)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("photo.jpg", "photo.jpg"),
        ("a\n\x1b[31m\u202eb.jpg", "a[31mb.jpg"),
        (".hidden.jpg", "hidden.jpg"),
        ("-rf.jpg", "rf.jpg"),
        ("con.jpg", "_con.jpg"),
        ("fr%04d:x@y.png", "fr_04d_x_y.png"),
        ("\u00fc" * 300 + ".jpg", "\u00fc" * 58 + ".jpg"),
        ("?.jpg", "_.jpg"),
        ("\t.jpg", None),
    ],
)
def test_names_are_made_safe(name, safe):
    if safe is None:
        with pytest.raises(Refused):
            safe_name(name)
    else:
        assert safe_name(name) == safe


def test_uploads_of_one_name_live_side_by_side_and_outlive_the_program(page, plugins, tmp_path):
    assert page.add().json()["name"] == "a.png"
    assert page.add(data=png(30, 20)).json()["name"] == "a 2.png"
    (tmp_path / "ui" / "photos" / "by hand.png").write_bytes(png())
    page.close()
    page = Page(tmp_path / "ui", plugins)
    try:
        photos = {one["name"]: one["width"] for one in page.web.get("/api/state").json()["photos"]}
        assert photos == {"a.png": 24, "a 2.png": 30, "by hand.png": 24}
        assert page.web.get("/api/photos/a 2.png").content[:2] == b"\xff\xd8"
        assert page.web.delete("/api/photos/a.png").status_code == 200
        assert page.web.get("/api/photos/a.png").status_code == 404
    finally:
        page.close()


# -- choices ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"strenght": 1}, "did you mean"),
        ({"strength": "much"}, "strength cannot be"),
        ({"strength": True}, "strength cannot be"),
        ({"strength": 7}, "between 0 and 1"),
        ({"style": "/etc/passwd"}, "has no style"),
        ({"preset": "../x.toml"}, "is a file"),
        ({"preset": "nothing"}, "unknown preset"),
        ({"stylizer": "nothing"}, "unknown stylizer"),
        ({"mask": "/etc"}, "unknown masker"),
        ({"stylizer": "adain"}, "needs a style"),
        ([], "names and values"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(page, choice, words):
    page.add()
    answer = page.web.post("/api/orders", json={"names": ["a.png"], "choice": choice})
    if answer.status_code == 201:  # what only the stylizer can judge
        order = page.wait(answer.json()["number"], "failed")
        assert words in order["why"]
    else:
        assert (answer.status_code, words in error(answer)) == (422, True), answer.text


@pytest.mark.parametrize(
    "choice",
    [
        {"style": "scream", "strength": 0.4, "keep_colors": True, "style_scale": 2.0},
        {"preset": "portrait", "mask": "sky"},
        {"preset": "portrait", "mask": "none", "style": "mondrian"},
        {"preset": "keep-colors", "keep_colors": False},
        {"stylizer": "adain", "style": "own.png", "mask": "!subject"},
        {"preset": "video-smooth"},
    ],
)
def test_command_and_preset_do_the_same(choice, plugins, tmp_path, monkeypatch, capsys):
    import shlex

    from stylepipe.fingerprints import settings_fingerprint
    from stylepipe.presets import resolve

    painting = tmp_path / "own.png"
    painting.write_bytes(png())
    own = painting if choice.get("style") == "own.png" else None
    resolved = Resolved.of(Choice.of(choice), plugins, own)
    wanted = settings_fingerprint(resolved.settings(plugins, {}), "auto")
    preset = tmp_path / "copied.toml"
    preset.write_text(resolved.preset())
    assert settings_fingerprint(resolve(plugins, preset), "auto") == wanted

    run, seen = tmp_path / "p.png", []
    monkeypatch.setattr("stylepipe.pipeline.run", lambda job, *rest: seen.append(job) or rest[1])
    words = shlex.split(resolved.command([run], tmp_path / "out"))
    assert words[0] == "stylepipe"
    assert main.run(words[1:]) == 0, capsys.readouterr().err
    assert settings_fingerprint(seen[0].settings, "auto") == wanted
    assert (seen[0].inputs, seen[0].output) == ((run,), tmp_path / "out")


def test_controls_show_what_the_preset_says(plugins):
    def controls(**choice):
        return Resolved.of(Choice(**choice), plugins, None).controls()

    assert controls()["style"] == "starry-night"
    assert controls(preset="portrait")["mask"] == "!person"
    assert controls(preset="subject")["mask"] == "subject"
    assert controls(preset="portrait", mask="sky")["mask"] == "sky"
    assert controls(preset="portrait-painted")["mask"] is None
    assert "style_scale" not in controls(stylizer="slow")


def test_the_catalog_offers_what_a_page_can_give(page):
    state = page.web.get("/api/state").json()
    stylizers = {one["name"]: one for one in state["stylizers"]}
    assert stylizers.keys() >= {"fast", "adain", "gatys", "slow"}
    assert not stylizers.keys() & {"given", "keyframes"}  # these need files of other kinds
    assert [stylizers[n]["takes_paintings"] for n in ("fast", "adain")] == [False, True]
    assert {"person", "sky"} <= {one["name"] for one in state["masks"]}


# -- previews ---------------------------------------------------------------------------------


def test_a_preview_is_painted_small_with_the_command_beside_it(page):
    page.add()
    first, *news = page.look(stylizer="slow", strength=0.5)
    assert first["controls"]["strength"] == 0.5
    assert "slow" in first["command"] and "a.png" in first["command"]
    assert any("step" in line.get("text", "") for line in news)
    assert news[-1]["picture"].startswith("data:image/jpeg;base64,")


def test_of_a_page_the_latest_request_wins_and_two_pages_get_theirs(page):
    page.add()
    page.look(stylizer="slow")  # opened, as in a page that is in use
    answers = {}

    def ask(name, tab, **choice):
        answers[name] = page.look(tab, stylizer="slow", **choice)[-1]

    os.environ["STYLEPIPE_STYLIZER_WAIT"] = "3"
    try:
        old = threading.Thread(target=ask, args=("old", "one"), kwargs={"strength": 0.9})
        old.start()
        while page.studio.previews._current is None:
            time.sleep(0.01)
        other = threading.Thread(target=ask, args=("other", "two"), kwargs={"strength": 0.8})
        os.environ["STYLEPIPE_STYLIZER_WAIT"] = "0"
        other.start()
        time.sleep(0.1)
        start = time.monotonic()
        ask("new", "one", strength=0.7)
        old.join()
        other.join()
    finally:
        del os.environ["STYLEPIPE_STYLIZER_WAIT"]
    assert answers["old"] == {"superseded": True}
    assert "picture" in answers["new"] and "picture" in answers["other"]
    assert time.monotonic() - start < 2  # the old one was not painted to its end


def test_a_preview_that_fails_says_why_and_the_next_one_is_painted(page):
    page.add()
    assert "needs a style" in page.look(stylizer="adain")[-1]["failure"]
    assert "picture" in page.look(stylizer="slow")[-1]


def test_styles_are_painted_once(page, monkeypatch):
    address = "/api/styles/fast/scream"
    first = page.web.get(address)
    assert first.content[:2] == b"\xff\xd8"
    monkeypatch.setattr("stylepipe.ui.thumbnails.Session", None)
    assert page.web.get(address).content == first.content
    assert page.web.get("/api/styles/fast/nothing").status_code == 422


# -- the queue --------------------------------------------------------------------------------


def test_an_order_is_painted_compared_and_saved(page):
    page.add()
    page.add("b.png", png(seed=1))
    number = page.order(["a.png", "b.png"], stylizer="slow")
    order = page.wait(number, "done")
    assert order["results"] == [["a.png", "a.png"], ["b.png", "b.png"]]
    result = f"/api/orders/{number}/results"
    saved = page.web.get(f"{result}/0")
    assert "attachment" in saved.headers["content-disposition"]
    source = cv2.imdecode(np.frombuffer(png(), np.uint8), 1)
    made = cv2.imdecode(np.frombuffer(saved.content, np.uint8), 1)
    assert (made == 255 - source).all()
    assert page.web.get(f"{result}/1/before").content[:2] == b"\xff\xd8"
    assert page.web.get(f"{result}/1/after").content[:2] == b"\xff\xd8"
    assert page.web.get(f"{result}/2").status_code == 404
    archive = zipfile.ZipFile(BytesIO(page.web.get(f"/api/orders/{number}/zip").content))
    assert archive.testzip() is None
    assert archive.namelist() == ["a.png", "b.png"]
    assert page.tell(number, "pause").status_code == 409
    assert page.tell(number, "remove").json() == []
    assert Path(order["folder"], "a.png").exists()  # off the list, not off the disk


def test_progress_pause_resume_and_cancel(page, monkeypatch):
    monkeypatch.setenv("STYLEPIPE_STYLIZER_WAIT", "0.6")
    names = [page.add(f"{n}.png", png(seed=n)).json()["name"] for n in range(3)]
    number = page.order(names, stylizer="slow")
    order = page.wait(number, "running", until=lambda o: o["share"] > 0.2)
    assert order["current"] == "0.png" and order["text"].startswith("step")
    page.wait(number, "running", until=lambda o: o["results"])
    page.tell(number, "pause")
    order = page.wait(number, "paused")
    assert 1 <= len(order["results"]) < 3
    assert error(page.web.delete("/api/photos/2.png")).startswith("2.png is still needed")
    page.tell(number, "resume")
    assert page.wait(number, "running")["results"] == order["results"]  # these are kept
    page.tell(number, "cancel")
    assert 1 <= len(page.wait(number, "canceled")["results"]) < 3
    page.tell(number, "resume")
    assert len(page.wait(number, "done")["results"]) == 3


def test_a_broken_upload_fails_alone_and_an_order_of_such_fails(page, tmp_path):
    page.add()
    page.add("b.png")
    (tmp_path / "ui" / "photos" / "b.png").write_bytes(b"broken since")
    order = page.wait(page.order(["a.png", "b.png"], stylizer="slow"), "done")
    assert [name for name, _ in order["failures"]] == ["b.png"]
    assert page.wait(page.order(["b.png"], stylizer="slow"), "failed")["failures"]
    answer = page.web.post("/api/orders", json={"names": ["c.png"], "choice": {}})
    assert (answer.status_code, error(answer)) == (404, "there is no 'c.png' here")


def test_ctrl_c_keeps_what_is_done_and_the_next_start_resumes(page, plugins, tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEPIPE_STYLIZER_WAIT", "0.5")
    names = [page.add(f"{n}.png", png(seed=n)).json()["name"] for n in range(3)]
    number = page.order(names, stylizer="slow")
    page.wait(number, "running", until=lambda o: o["results"])
    assert page.close()
    first = Path(page.shown(number)["folder"], "0.png")
    made = first.stat().st_mtime_ns
    page = Page(tmp_path / "ui", plugins)
    try:
        assert len(page.wait(number, "done")["results"]) == 3
        assert first.stat().st_mtime_ns == made  # it was not painted again
    finally:
        page.close()


KILLED = """
import os, sys, threading, time
from pathlib import Path
from stylepipe.plugins import Plugins
from stylepipe.ui.choice import Choice
from stylepipe.ui.studio import Studio

studio = Studio(Path(sys.argv[1]), Plugins([sys.argv[2]]), {"device": "cpu"}, 1 << 20, print)
order = studio.orders.add(["0.png", "1.png", "2.png"], Choice(stylizer="slow"), "Slow")
while not order.results:
    time.sleep(0.02)
os.kill(os.getpid(), 9)
"""


def test_a_killed_program_resumes_from_the_journal(plugins, tmp_path, monkeypatch):
    folder = tmp_path / "ui"
    (folder / "photos").mkdir(parents=True)
    for n in range(3):
        (folder / "photos" / f"{n}.png").write_bytes(png(seed=n))
    monkeypatch.setenv("STYLEPIPE_STYLIZER_WAIT", "0.3")
    subprocess.run([sys.executable, "-c", KILLED, str(folder), str(SLOW)], timeout=60)
    made = {path: path.stat().st_mtime_ns for path in folder.glob("results/*/*.png")}
    assert 1 <= len(made) < 3
    page = Page(folder, plugins)
    try:
        assert len(page.wait(1, "done")["results"]) == 3
        assert all(path.stat().st_mtime_ns == when for path, when in made.items())
    finally:
        page.close()


def test_a_damaged_file_of_the_queue_is_left_out_and_said(plugins, tmp_path):
    queue = tmp_path / "ui" / "queue"
    queue.mkdir(parents=True)
    (queue / "0001.json").write_text('{"number": "one"}')
    page = Page(tmp_path / "ui", plugins)
    page.close()
    assert "0001.json is left out" in page.lines[0]


# -- the command ------------------------------------------------------------------------------


def test_two_programs_do_not_share_a_folder(page, plugins, tmp_path):
    with pytest.raises(SetupError, match="another stylepipe ui works in"):
        Page(tmp_path / "ui", plugins)


def test_a_port_that_is_taken_is_told_or_passed_over():
    with listening(None) as first, listening(None) as second:
        port = first.getsockname()[1]
        assert first.getsockname()[0] == "127.0.0.1"
        assert second.getsockname()[1] > port
        with pytest.raises(SetupError, match=f"port {port} cannot be used .*; choose another"):
            listening(port)


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main.run(["ui"]) == 4
    assert "pip install 'stylepipe[ui]'" in capsys.readouterr().err


def test_a_folder_that_cannot_be_used_is_told(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main.run(["ui", "-o", str(tmp_path / "file" / "x"), "--no-browser"]) == 4
    assert "cannot work in" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_ends_the_program_without_a_traceback(tmp_path):
    call = [sys.executable, "-m", "stylepipe", "ui", "--no-browser", "-o", "here"]
    program = subprocess.Popen(call, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    said = program.stderr.readline() + program.stderr.readline()
    assert str(tmp_path / "here") in said and "http://127.0.0.1:" in said
    time.sleep(1)
    program.send_signal(signal.SIGINT)
    said = program.communicate(timeout=60)[1]
    assert program.returncode == 0
    assert "Traceback" not in said and "rror" not in said, said


def test_the_web_server_is_imported_by_the_page_alone():
    code = "import sys, stylepipe.cli.ui; sys.exit('starlette' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_choice_is_an_object():
    with pytest.raises(UsageError):
        Choice.of("default")
