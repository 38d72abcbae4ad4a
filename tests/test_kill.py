"""A run killed at any moment goes on and ends in the same bytes. Run with ``-m slow``."""

import random
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

KILLS = 20
PLUGIN = """
import time
import stylepipe


class Slow(stylepipe.Stylizer):
    '''Inverts, after a short rest.'''

    name = "slow"
    caps = stylepipe.Caps(needs_style=False)

    def stylize(self, batch):
        time.sleep(0.02)
        return 1 - batch.images


@stylepipe.hookimpl
def stylepipe_components():
    return [Slow]
"""


def picture(seed: int, width: int = 320, height: int = 240) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def make_photos(path: Path) -> Path:
    path.mkdir()
    for index in range(150):
        cv2.imwrite(str(path / f"{index:03}.{'png' if index % 3 else 'jpg'}"), picture(index))
    return path


def make_clip(path: Path) -> Path:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        still = picture(0, 640, 480)
        for index in range(1100):
            x, y = index % 300, (index * 2) % 230
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(still[y : y + 240, x : x + 320]), format="bgr24"
            )
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def results(output: Path) -> dict[str, bytes]:
    if output.is_file():
        return {output.name: output.read_bytes()}
    return {
        p.relative_to(output).as_posix(): p.read_bytes()
        for p in output.rglob("*")
        if p.is_file() and ".stylepipe" not in p.parts
    }


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("make", "name", "options"),
    [
        (make_photos, "photos", []),
        (make_clip, "clip.mp4", []),
        (make_clip, "clip.mp4", ["--temporal", "warp"]),
    ],
)
def test_killed_twenty_times(make, name, options, tmp_path):
    (tmp_path / "slow.py").write_text(PLUGIN)
    source = make(tmp_path / name)
    command = [sys.executable, "-m", "stylepipe", "--plugin", str(tmp_path / "slow.py")]
    command += ["slow", str(source), "--device", "cpu", "-q", *options]

    def run(output: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*command, "-o", str(tmp_path / output)])

    clock = time.monotonic()
    assert run(f"straight-{name}").wait() == 0
    whole = time.monotonic() - clock
    clock = time.monotonic()
    assert run(f"straight-{name}").wait() == 0  # all done: what remains is the start-up
    start = time.monotonic() - clock
    expected = results(tmp_path / f"straight-{name}")
    output = tmp_path / f"killed-{name}"
    rng = random.Random(7)
    killed = 0
    while killed < KILLS:
        process = run(output.name)
        try:
            # the later ones often come in the middle of the first seconds of work
            process.wait(start + rng.uniform(0.5, 1.5) + 0.04 * (whole - start))
        except subprocess.TimeoutExpired:
            process.kill()
            killed += 1
        if process.wait() == 0:
            break
        assert process.returncode == -9
        for path, data in results(output).items():
            assert data == expected[path if output.is_dir() else f"straight-{name}"]
    print(f"killed {killed} times")
    assert killed >= 5
    assert run(output.name).wait() == 0
    assert list(results(output).values()) == list(expected.values())
