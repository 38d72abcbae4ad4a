"""The page's server: access, uploads, previews, choices, and the queue."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
import zipfile
from io import BytesIO
from pathlib import Path
from queue import Queue
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip("starlette", reason="the page needs stylepipe[ui]")
pytest.importorskip("uvicorn", reason="the page needs stylepipe[ui]")
pytest.importorskip("httpx", reason="starlette's test client needs httpx")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # newer ones recommend a successor of httpx
    from starlette.testclient import TestClient

import uvicorn

from stylepipe import SetupError, Stylizer, UsageError
from stylepipe.cli import main
from stylepipe.plugins import Plugins
from stylepipe.ui import orders, shelf
from stylepipe.ui.choice import Choice, Resolved
from stylepipe.ui.serve import listening, serve
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


@pytest.fixture
def slow(plugins, monkeypatch):
    """The module of the slow stylizer: it finishes so many pictures, then is held."""
    module = sys.modules[plugins.component(Stylizer, "slow").__module__]
    monkeypatch.setattr(module, "finished", 0)
    monkeypatch.setattr(module, "allowed", math.inf)
    return module


class Page:
    """A studio, and a browser that has opened its address."""

    def __init__(self, folder, plugins, **more):
        self.folder, self.lines = folder, []
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
            time.sleep(0.005)
        raise AssertionError(f"still {order}")

    def close(self):
        return self.studio.close()


@pytest.fixture
def page(tmp_path, plugins):
    one = Page(tmp_path / "ui", plugins)
    yield one
    one.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory, plugins):
    """For tests that leave nothing behind."""
    one = Page(tmp_path_factory.mktemp("shared") / "ui", plugins)
    yield one
    one.close()


def until(fact):
    """Wait for something that another thread brings about."""
    end = time.monotonic() + 60
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.005)


def error(answer) -> str:
    return answer.json()["error"]


# -- the guards -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        ({"Host": "evil.example"}, 421, "not the page's"),
        ({"Host": "127.0.0.1:80"}, 421, "not the page's"),
        ({"Host": f"127.0.0.1:{PORT}.evil.example"}, 421, "not the page's"),
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
def test_strangers_are_refused(shared, headers, status, words):
    own = {"Cookie": f"stylepipe-{PORT}={TOKEN}"}
    fresh = TestClient(shared.app, base_url=HOME, headers=own)
    for path in ("/", "/api/state", "/page.js"):
        answer = fresh.get(path, headers=headers)
        assert (answer.status_code, words in answer.text) == (status, True), path
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_cookies_of_other_programs_on_this_machine_do_no_harm(shared):
    cookies = f'theme={{"dark": 1}}; odd; stylepipe-{PORT}={TOKEN}; a="b'
    fresh = TestClient(shared.app, base_url=HOME, headers={"Cookie": cookies})
    assert fresh.get("/").status_code == 200


def test_what_changes_anything_must_come_from_the_page(shared):
    own = {"Cookie": f"stylepipe-{PORT}={TOKEN}"}
    fresh = TestClient(shared.app, base_url=HOME, headers=own)
    assert fresh.post("/api/photos?name=a.png", content=png()).status_code == 403
    assert fresh.delete("/api/photos/a.png").status_code == 403
    answer = shared.web.post("/api/orders", content=b"{}")
    assert answer.status_code == 415  # a form of another page can send this


def test_the_token_is_asked_once_and_kept_from_scripts_and_the_history(shared):
    fresh = TestClient(shared.app, base_url=HOME, follow_redirects=False)
    assert fresh.get("/?token=wrong").status_code == 401
    entered = fresh.get(f"/?token={TOKEN}")
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    policy = fresh.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy


def test_the_browser_is_given_a_ticket_that_is_valid_once(tmp_path, plugins, monkeypatch):
    opened, apps, lines = Queue(), [], []
    monkeypatch.setattr("webbrowser.open", opened.put)  # other users can read command lines
    monkeypatch.setattr(Studio, "warm_up", lambda studio: None)
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: apps.append(self.config.app))
    serve(tmp_path / "ui", plugins, MACHINE, 1 << 20, None, True, lines.append)
    ticket, printed = opened.get(timeout=60), lines[1].removeprefix("the page: ")
    home, token = printed.split("/?token=")
    assert ticket.startswith(home) and token not in ticket
    answers = []
    for address in (ticket, ticket, printed, printed):
        fresh = TestClient(apps[0], base_url=home, follow_redirects=False)
        answers.append(fresh.get(address).status_code)
    assert answers == [303, 401, 303, 303]


def test_nothing_is_served_from_outside(shared):
    (shared.folder / "photos" / "secret.txt").write_text("no upload")
    for path in ("photos/..%2f..%2fsecret", "photos/secret.txt", "photos/%2e%2e", "queue/x"):
        answer = shared.web.get(f"/api/{path}")
        assert answer.status_code == 404, path
        assert b"no upload" not in answer.content


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"tab": "a", "photo": [], "names": [], "choice": {}}', "photo is a name or null"),
        (b'{"tab": "a", "photo": null, "names": "a.png", "choice": {}}', "names are a list"),
        (b'{"tab": "a", "photo": null, "names": [], "choice": {"style": "\\ud800"}}', "no style"),
        (b'{"tab": "a"}', "and nothing else"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_odd_requests_are_refused_in_a_sentence(shared, body, words):
    kind = {"Content-Type": "application/json"}
    answer = shared.web.post("/api/look", content=body, headers=kind)
    assert answer.status_code in (400, 422) and words in error(answer)


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
    shared, name, data, status, words
):
    answer = shared.add(name, data)
    assert (answer.status_code, words in error(answer)) == (status, True), answer.text
    assert [p for p in shared.folder.rglob("*") if p.suffix in (".png", ".part", ".jpg")] == []


def test_four_gigabytes_are_refused_before_they_are_sent(shared):
    answer = shared.web.post(
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


@pytest.mark.parametrize(
    ("raised", "status", "words"),
    [
        (RuntimeError("codec broke"), 422, "a.png: RuntimeError: codec broke"),
        (SystemExit(3), 422, "a.png: SystemExit: 3"),
        (OSError(28, "No space left on device"), 507, "a.png: No space left on device"),
    ],
)
def test_whatever_a_codec_raises_costs_one_file(
    page, plugins, tmp_path, monkeypatch, raised, status, words
):
    def broken(*args):
        raise raised

    with monkeypatch.context() as patch:
        patch.setattr(shelf, "shown", broken)
        answer = page.add()
        assert (answer.status_code, error(answer)) == (status, words)
    assert list((tmp_path / "ui" / "photos").glob("**/*.*g")) == []
    if isinstance(raised, Exception):
        page.close()
        (tmp_path / "ui" / "photos" / "by hand.png").write_bytes(png())
        monkeypatch.setattr(shelf, "shown", broken)
        again = Page(tmp_path / "ui", plugins)
        again.close()
        assert "by hand.png is left out" in again.lines[0]


def test_the_page_answers_while_an_upload_is_looked_at(page, monkeypatch):
    looking, go, shown = threading.Event(), threading.Event(), shelf.shown

    def held(*args):
        looking.set()
        go.wait(60)
        return shown(*args)

    monkeypatch.setattr(shelf, "shown", held)
    upload = threading.Thread(target=page.add)
    upload.start()
    assert looking.wait(60)
    answered = threading.Thread(target=page.web.get, args=("/api/state",), daemon=True)
    answered.start()
    answered.join(20)
    waited = answered.is_alive()
    go.set()
    upload.join()
    assert not waited
    assert page.web.get("/api/photos/a.png").status_code == 200


def test_a_folder_that_turns_read_only_is_reported(page, monkeypatch):
    page.add()

    def refuse(self, missing_ok=False):
        raise PermissionError(13, "Permission denied", "a.png")

    monkeypatch.setattr(Path, "unlink", refuse)
    answer = page.web.delete("/api/photos/a.png")
    assert (answer.status_code, error(answer)) == (500, "Permission denied: a.png")


def test_a_decompression_bomb_is_refused_in_the_words_of_the_reader(shared):
    import struct
    import zlib

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    answer = shared.add("bomb.png", b"\x89PNG\r\n\x1a\n" + head + body)
    assert answer.status_code == 422
    assert "claims 60000x60000 pixels" in error(answer)


def test_an_upload_that_would_fill_the_disk_is_refused(shared, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=9))
    answer = shared.add()
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
    photos = tmp_path / "ui" / "photos"
    (photos / "by hand.png").write_bytes(png())
    (photos / "a 2.png").write_bytes(png(40, 20))  # in place of the other
    if sys.platform == "linux":
        (photos / os.fsdecode(b"\xff.png")).write_bytes(png())
    page.close()
    page = Page(tmp_path / "ui", plugins)
    try:
        state = page.web.get("/api/state").json()
        found = {one["name"]: one["width"] for one in state["photos"]}
        assert found == {"a.png": 24, "a 2.png": 40, "by hand.png": 24}
        assert sys.platform != "linux" or "its name is not UTF-8" in page.lines[0]
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
    if answer.status_code == 201:  # only the stylizer can judge
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
        {"preset": "video-smooth", "steady": False},
        {"steady": True},
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


def test_films_are_held_still_unless_the_box_or_the_preset_says_otherwise(plugins, monkeypatch):
    def temporal(**choice):
        resolved = Resolved.of(Choice(**choice), plugins, None)
        return resolved.settings(plugins, {}).temporal, "--temporal" in resolved.command([], "out")

    held, told = temporal(steady=True)
    assert (type(held).name, told) == ("warp", True)
    assert temporal() == temporal(steady=False) == (None, False)
    assert temporal(preset="video-smooth", steady=False) == (None, True)
    kept, told = temporal(preset="video-fast", steady=True)
    assert (kept.options.max_side, told) == (480, False)


def test_the_catalog_offers_what_a_page_can_give(shared):
    state = shared.web.get("/api/state").json()
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


def test_the_first_preview_finds_all_loaded(page, monkeypatch):
    page.add()
    page.studio.warm_up()
    page.studio.previews.wait_until_idle(60)
    monkeypatch.setattr("stylepipe.ui.previews.Session", None)
    assert "picture" in page.look()[-1]


def test_what_cannot_be_loaded_ahead_is_reported_by_the_first_preview(page, monkeypatch):
    monkeypatch.setenv("STYLEPIPE_STYLIZER_STRENGTH", "much")
    page.add()
    page.studio.warm_up()
    assert "STYLEPIPE_STYLIZER_STRENGTH" in page.look()[-1]["failure"]


def test_only_the_latest_request_of_a_page_counts_and_two_pages_get_theirs(page, slow):
    page.add()
    page.look(stylizer="slow")  # opened, as in a page that is in use
    slow.allowed = 0
    answers, previews = {}, page.studio.previews

    def ask(name, tab, **choice):
        def get():
            answers[name] = page.look(tab, stylizer="slow", **choice)[-1]

        thread = threading.Thread(target=get)
        thread.start()
        return thread

    old = ask("old", "one", strength=0.9)
    until(lambda: previews._current is not None)
    other = ask("other", "two", strength=0.8)
    until(lambda: "two" in previews._waiting)
    idle = threading.Thread(target=previews.wait_until_idle, args=(60,))
    idle.start()
    new = ask("new", "one", strength=0.7)
    old.join()
    assert answers["old"] == {"superseded": True}  # it was not painted to its end
    assert idle.is_alive()
    slow.allowed = math.inf
    for thread in (new, other, idle):
        thread.join()
    assert "picture" in answers["new"] and "picture" in answers["other"]


def test_a_preview_that_fails_says_why_and_the_next_one_is_painted(page):
    page.add()
    assert "needs a style" in page.look(stylizer="adain")[-1]["failure"]
    page.studio.previews._interim.write_bytes(b"of another photo")
    news = page.look(stylizer="slow")
    assert "picture" in news[-1] and not any("picture" in line for line in news[:-1])


def test_whatever_a_plugin_raises_costs_one_preview(page, monkeypatch):
    page.add()
    with monkeypatch.context() as patch:
        patch.setattr("stylepipe.pictures.read_picture", lambda path: sys.exit(3))
        assert "SystemExit" in page.look(stylizer="slow")[-1]["failure"]
    assert "picture" in page.look(stylizer="slow")[-1]


def test_a_painting_that_was_replaced_is_loaded_again(page, monkeypatch):
    opened = []

    class Opened:
        def __init__(self, settings, **more):
            opened.append(self)

        def prepare(self):
            pass

        def close(self):
            pass

    monkeypatch.setattr("stylepipe.ui.previews.Session", Opened)

    def session():
        resolved = page.studio.resolve(Choice(stylizer="adain", style="own.png"))
        return page.studio.previews._session(resolved)[1]

    page.add("own.png", shelf="paintings")
    assert session() is session()
    page.web.delete("/api/paintings/own.png")
    page.add("own.png", png(seed=1), shelf="paintings")
    assert session() is opened[1]


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


def test_progress_pause_resume_and_cancel(page, slow):
    slow.allowed = 1
    names = [page.add(f"{n}.png", png(seed=n)).json()["name"] for n in range(3)]
    page.add("1.png", shelf="paintings")
    number = page.order(names, stylizer="slow")
    file = page.folder / "queue" / f"{number:04d}.json"

    def saved():
        return json.loads(file.read_text())["state"]

    order = page.wait(number, "running", until=lambda o: o["current"] == "1.png" and o["share"])
    assert order["text"].startswith("step") and (order["place"], order["total"]) == (1, 3)
    assert saved() == "waiting"  # what a kill would leave
    page.tell(number, "pause")
    assert saved() == "paused"
    page.tell(number, "resume")
    assert saved() == "waiting"
    page.tell(number, "pause")
    slow.allowed = 2
    order = page.wait(number, "paused")
    assert len(order["results"]) == 2  # the picture in hand was finished
    assert not any("run the same command" in note for note in order["notes"])
    assert error(page.web.delete("/api/photos/2.png")).startswith("2.png is still needed")
    assert page.web.delete("/api/paintings/1.png").status_code == 200
    page.tell(number, "resume")
    page.wait(number, "running", until=lambda o: o["current"] == "2.png" and o["share"])
    page.tell(number, "cancel")
    assert len(page.wait(number, "canceled")["results"]) == 2  # it was dropped
    slow.allowed = math.inf
    page.tell(number, "resume")
    assert len(page.wait(number, "done")["results"]) == 3


def test_an_order_continues_although_settings_changed_meanwhile(page, slow, monkeypatch):
    slow.allowed = 1
    names = [page.add(f"{n}.png").json()["name"] for n in range(2)]
    number = page.order(names, stylizer="slow")
    page.wait(number, "running", until=lambda o: o["current"] == "1.png" and o["share"])
    page.tell(number, "cancel")
    page.wait(number, "canceled")
    monkeypatch.setenv("STYLEPIPE_STYLIZER_STRENGTH", "0.5")
    slow.allowed = math.inf
    page.tell(number, "resume")
    order = page.wait(number, "done")
    assert len(order["results"]) == 2 and not order["failures"]
    kept = "0.png stays as it is: its result was not made from it by these settings"
    assert order["notes"][0] == kept


def test_a_pause_that_is_taken_back_changes_nothing(page, slow):
    slow.allowed = 0
    names = [page.add(f"{n}.png").json()["name"] for n in range(2)]
    number = page.order(names, stylizer="slow")
    page.wait(number, "running", until=lambda o: o["share"])
    page.tell(number, "pause")
    page.tell(number, "resume")
    slow.allowed = math.inf
    assert len(page.wait(number, "done")["results"]) == 2


def test_pages_of_a_file_are_counted(page, monkeypatch):
    from PIL import Image

    monkeypatch.setenv("STYLEPIPE_INPUT_PAGES", "true")
    data = BytesIO()
    pages = [Image.fromarray(np.full((16, 24, 3), shade, np.uint8)) for shade in (9, 99)]
    pages[0].save(data, "TIFF", save_all=True, append_images=pages[1:])
    page.add("a.tif", data.getvalue())
    order = page.wait(page.order(["a.tif"], stylizer="slow"), "done")
    assert (order["total"], len(order["results"])) == (2, 2)


def test_a_broken_upload_fails_alone_and_an_order_of_such_fails(page, tmp_path):
    page.add()
    page.add("b.png")
    (tmp_path / "ui" / "photos" / "b.png").write_bytes(b"broken since")
    order = page.wait(page.order(["a.png", "b.png"], stylizer="slow"), "done")
    assert [name for name, _ in order["failures"]] == ["b.png"]
    assert page.wait(page.order(["b.png"], stylizer="slow"), "failed")["failures"]
    answer = page.web.post("/api/orders", json={"names": ["c.png"], "choice": {}})
    assert (answer.status_code, error(answer)) == (404, "there is no 'c.png' here")


def test_whatever_a_plugin_raises_costs_one_order(page, monkeypatch):
    page.add()
    with monkeypatch.context() as patch:
        patch.setattr("stylepipe.pipeline.run", lambda *args: sys.exit(3))
        assert page.wait(page.order(stylizer="slow"), "failed")["why"] == "SystemExit: 3"
    page.wait(page.order(stylizer="slow"), "done")


def test_results_that_are_gone_are_left_out(page, tmp_path):
    names = [page.add(f"{n}.png").json()["name"] for n in range(2)]
    number = page.order(names, stylizer="slow")
    order = page.wait(number, "done")
    Path(order["folder"], "0.png").unlink()
    answer = page.web.get(f"/api/orders/{number}/zip")
    assert zipfile.ZipFile(BytesIO(answer.content)).namelist() == ["1.png"]
    assert answer.headers["content-disposition"].endswith("''0001-slow.zip")


def test_ctrl_c_keeps_what_is_done_and_the_next_start_resumes(
    page, plugins, tmp_path, monkeypatch, slow
):
    monkeypatch.setattr(orders, "_PATIENCE", 0.05)  # then the picture in hand is dropped
    slow.allowed = 1
    names = [page.add(f"{n}.png", png(seed=n)).json()["name"] for n in range(3)]
    number = page.order(names, stylizer="slow")
    page.wait(number, "running", until=lambda o: o["current"] == "1.png" and o["share"])
    assert page.close()
    first = Path(page.shown(number)["folder"], "0.png")
    made = first.stat().st_mtime_ns
    slow.allowed = math.inf
    page = Page(tmp_path / "ui", plugins)
    try:
        assert len(page.wait(number, "done")["results"]) == 3
        assert first.stat().st_mtime_ns == made  # it was not painted again
    finally:
        page.close()


def test_what_a_kill_leaves_resumes_from_the_journal(page, plugins, tmp_path, slow):
    slow.allowed = 2
    names = [page.add(f"{n}.png", png(seed=n)).json()["name"] for n in range(3)]
    number = page.order(names, stylizer="slow")
    page.wait(number, "running", until=lambda o: o["results"] and o["current"] == "2.png")
    left = tmp_path / "left"
    shutil.copytree(page.folder, left)
    page.tell(number, "cancel")
    page.wait(number, "canceled")
    slow.allowed = math.inf
    first = next(left.glob("results/*/0.png"))
    made = first.stat().st_mtime_ns
    after = Page(left, plugins)
    try:
        assert len(after.wait(number, "done")["results"]) == 3
        assert first.stat().st_mtime_ns == made  # it was not painted again
    finally:
        after.close()


def test_damaged_files_of_the_queue_are_left_out(plugins, tmp_path):
    whole = {"names": ["a.png"], "choice": {}, "title": "Mine", "state": "done", "why": ""}
    whole |= {"number": 1, "results": [], "failures": []}
    queue = tmp_path / "ui" / "queue"
    queue.mkdir(parents=True)
    damaged = ['{"number": "one"}', "[]", "[" * 100_000, json.dumps(whole)]
    damaged += [json.dumps({**whole, "number": 5, "state": "lost"})]
    for number, text in enumerate(damaged, 2):
        (queue / f"{number:04d}.json").write_text(text)
    (queue / "0008.json").mkdir()
    (queue / "0001.json").write_text(json.dumps({**whole, "title": None}))
    page = Page(tmp_path / "ui", plugins)
    page.close()
    assert [one["number"] for one in page.studio.orders.shown()] == [1]
    assert len([line for line in page.lines if "is left out" in line]) == 6


# -- the command ------------------------------------------------------------------------------


def test_two_programs_do_not_share_a_folder(page, plugins, tmp_path):
    with pytest.raises(SetupError, match="another stylepipe ui works in"):
        Page(tmp_path / "ui", plugins)


def test_a_port_that_is_taken_is_reported_or_passed_over():
    with listening(None) as first, listening(None) as second:
        port = first.getsockname()[1]
        assert first.getsockname()[0] == "127.0.0.1"
        assert second.getsockname()[1] > port
        with pytest.raises(SetupError, match=f"port {port} cannot be used .*; choose another"):
            listening(port)


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch, capsys):
    for name in ("starlette", "uvicorn"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in [name for name in sys.modules if name.startswith("stylepipe.ui.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "stylepipe.cli.ui", raising=False)
    assert main.run(["ui"]) == 4
    assert "pip install 'stylepipe[ui]'" in capsys.readouterr().err


def test_a_folder_that_cannot_be_used_is_reported(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main.run(["ui", "-o", str(tmp_path / "file" / "x"), "--no-browser"]) == 4
    assert "cannot work in" in capsys.readouterr().err


def test_a_picture_that_takes_long_does_not_crash_the_end(tmp_path, monkeypatch):
    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)
    for end in (lambda *args: False, lambda *args: signal.raise_signal(signal.SIGINT)):
        monkeypatch.setattr("stylepipe.ui.serve.serve", end)
        main.run(["ui", "-o", str(tmp_path), "--no-browser"])
    assert codes == [0, 130]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_ends_the_program_without_a_traceback(tmp_path):
    call = [sys.executable, "-m", "stylepipe", "ui", "--no-browser", "-o", "here"]
    program = subprocess.Popen(call, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    said = "".join(program.stderr.readline() for _ in range(3))
    assert str(tmp_path / "here") in said and "http://127.0.0.1:" in said
    time.sleep(1)
    program.send_signal(signal.SIGINT)
    said = program.communicate(timeout=60)[1]
    assert program.returncode == 0
    assert "Traceback" not in said and "rror" not in said, said


def test_a_choice_is_an_object():
    with pytest.raises(UsageError):
        Choice.of("default")
