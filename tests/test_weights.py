"""Weights of others: only verified bytes get into the cache, whole or not at all."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stylepipe.errors import SetupError, UsageError
from stylepipe.weights import Weights, cache_folder, fetch, known

CONTENT = bytes(range(256)) * 64
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STYLEPIPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def entry(url: str, sha256: str = DIGEST) -> Weights:
    return Weights("net", "a network", url, sha256, "MIT", "RGB in [0, 1]", 1)


def file_entry(tmp_path: Path, sha256: str = DIGEST) -> Weights:
    source = tmp_path / "net-1.pth"
    source.write_bytes(CONTENT)
    return entry(source.as_uri(), sha256)


def test_right_bytes_are_kept(tmp_path: Path, cache: Path) -> None:
    weights = file_entry(tmp_path, DIGEST[:8])
    assert fetch(weights) == cache / "net-1.pth"
    assert [p.name for p in cache.iterdir()] == ["net-1.pth"]
    assert weights.path.read_bytes() == CONTENT


def test_fetched_once(tmp_path: Path) -> None:
    weights = file_entry(tmp_path)
    fetch(weights)
    (tmp_path / "net-1.pth").unlink()
    assert fetch(weights).read_bytes() == CONTENT


def test_a_copy_damaged_since_is_fetched_again(tmp_path: Path) -> None:
    weights = file_entry(tmp_path)
    fetch(weights).write_bytes(CONTENT[:-1])
    assert not weights.matches(weights.path)
    assert fetch(weights).read_bytes() == CONTENT
    weights.path.write_bytes(b"x")
    (tmp_path / "net-1.pth").unlink()
    with pytest.raises(SetupError, match="cannot fetch"):
        fetch(weights)


def test_wrong_bytes_are_deleted(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(SetupError, match=r"SHA-256 begins .*, not 00000000; it was deleted"):
        fetch(file_entry(tmp_path, "0" * 64))
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Path, target: Path) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(SetupError, match=r"cannot fetch the weights .net. .*read-only"):
        fetch(file_entry(tmp_path))


def test_unreachable_says_what_else_to_do(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"cannot fetch .* put it at .*cache/absent\.pth"):
        fetch(entry((tmp_path / "absent.pth").as_uri()))


class Cut(http.server.BaseHTTPRequestHandler):
    """Promises everything, sends half; honors Range."""

    asked: list[str | None]

    def do_GET(self) -> None:
        span = self.headers.get("Range")
        type(self).asked.append(span)
        start = int(span.removeprefix("bytes=").rstrip("-")) if span else 0
        body = CONTENT[start:]
        self.send_response(206 if span else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if span else body[: len(body) // 2])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Cut.asked = []
    with http.server.HTTPServer(("127.0.0.1", 0), Cut) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}/net-2.pth"
        httpd.shutdown()


def test_interrupted_download_goes_on_where_it_ended(
    server: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    weights = entry(server)
    with pytest.raises(SetupError, match="the connection ended after 8192 of 16384 bytes"):
        fetch(weights)
    assert not weights.path.exists()
    assert fetch(weights).read_bytes() == CONTENT
    assert Cut.asked == [None, "bytes=8192-"]
    assert [p.name for p in cache.iterdir()] == ["net-2.pth"]


def test_unknown_name_suggests() -> None:
    with pytest.raises(UsageError, match="did you mean 'vgg19'"):
        known("vgg-19")
    assert known("vgg16").url.endswith("vgg16-397923af.pth")


def test_cache_folder_follows_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STYLEPIPE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/some/cache")
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_folder() == Path("/some/cache/stylepipe")
