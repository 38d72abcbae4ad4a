"""Two short films: a flight over the lake with sailing boats and music, and one with a hard cut."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from scenes import forest, harbor, lake, terrain
from scenes.noise import Array, develop, mix, rgb, sample, smooth

WIDTH, HEIGHT, RATE, SECONDS = 640, 360, 24, 3.5
BOX = (-1300.0, 1300.0, -60.0, 3300.0)
"""The land that the flight can see: x0, x1, z0, z1."""


def charts() -> tuple[Array, list[Array]]:
    """Height of the land on a grid, and its lit colors in three steps of fineness."""
    size = 1100
    x0, x1, z0, z1 = BOX
    x, z = np.meshgrid(np.linspace(x0, x1, size), np.linspace(z0, z1, size * 3 // 2))
    x, z = x.astype(np.float32), z.astype(np.float32)
    height = lake.with_trees(x, z)
    edge = smooth(z1, z1 - 600, z) * smooth(x1, x1 - 300, np.abs(x))
    height = np.where(height > 0, height * edge, height)
    shadows = terrain.shadow_map(lambda a, b: lake.bedrock(a, b, 6), BOX, lake.SUN)
    view = terrain.View(x, z, np.zeros_like(x), x > 1e9)
    d = np.zeros((*x.shape, 3), np.float32)
    color = lake.shade(view, d, shadows, np.full_like(x, 1.6))
    coarse = [color]
    for _ in range(2):
        coarse.append(
            cv2.blur(coarse[-1], (3, 3))
            if len(coarse) == 1
            else cv2.GaussianBlur(coarse[-1], (0, 0), 2.5)
        )
    return height, coarse


def boat(
    canvas: Array,
    camera: terrain.Camera,
    x: float,
    z: float,
    lean: float,
    sail: Array,
    mirrored: bool,
) -> None:
    """Draw a sailing boat on the water at (x, z) before the camera, or its mirror image."""
    if z < 4:
        return
    scale = camera.focal / z
    side = -1 if mirrored else 1
    foot = camera.width / 2 + x * scale, camera.horizon + side * camera.y * scale

    def put(points: list[tuple[float, float]], tone: Array) -> None:
        p = np.array(points, float)
        p[:, 0] += lean * p[:, 1]
        at = np.stack([foot[0] + p[:, 0] * scale, foot[1] - p[:, 1] * scale], -1)
        cv2.fillPoly(canvas, [(at * 16).astype(np.int32)], tone.tolist(), cv2.LINE_AA, 4)

    put([(-4.5, 1.3), (5.2, 1.5), (3.4, -0.2), (-3.8, -0.2)], rgb(0.20, 0.05, 0.03))
    put([(-4.5, 1.3), (5.2, 1.5), (5.0, 1.1), (-4.4, 0.95)], rgb(0.75, 0.70, 0.6))
    put([(-0.1, 1.3), (0.12, 1.3), (0.1, 13.4), (-0.05, 13.4)], rgb(0.12, 0.08, 0.05))
    put([(-0.25, 2.2), (-4.2, 2.3), (-2.7, 6.5), (-0.2, 13.0)], sail)
    put([(-0.25, 2.2), (-1.6, 2.25), (-1.0, 6.8), (-0.2, 13.0)], sail * 0.72)
    put([(0.4, 2.0), (4.8, 1.7), (2.2, 6.0), (0.3, 11.5)], sail * 1.12)


def birds(canvas: Array, time: float) -> None:
    """A few gulls that cross the view, beating their wings."""
    rng = np.random.default_rng(12)
    for _ in range(7):
        x, y, speed = rng.uniform(0, WIDTH * 0.7), rng.uniform(40, 120), rng.uniform(25, 55)
        size, phase = rng.uniform(4, 8), rng.uniform(0, 6)
        beat = np.sin(time * 11 + phase) * 0.55
        cx, cy = x + speed * time, y + 5 * np.sin(time * 1.3 + phase)
        wing = [
            (-size, -beat * size),
            (-size * 0.45, -size * 0.24 - beat * size * 0.2),
            (0, 0),
            (size * 0.45, -size * 0.24 - beat * size * 0.2),
            (size, -beat * size),
        ]
        line = (np.array([(cx + a, cy + b) for a, b in wing]) * 16).astype(np.int32)
        cv2.polylines(canvas, [line], False, (0.05, 0.05, 0.06), 1, cv2.LINE_AA, 4)


def frames() -> Iterable[Array]:
    """The flight, as 8-bit pictures."""
    height, colors = charts()
    x0, x1, z0, z1 = BOX
    rows, cols = height.shape
    wide = terrain.Camera(1500, HEIGHT, 0.95 * WIDTH, 0.47 * HEIGHT, 0, 10, 0)
    heaven = terrain.sky(
        terrain.directions(wide), lake.SUN, lake.ZENITH, lake.HAZE, lake.GLOW, 0.17
    )
    fleet = (
        (-52, 190, 7.0, rgb(0.85, 0.80, 0.70)),
        (30, 255, -9.0, rgb(0.75, 0.16, 0.08)),
        (-14, 330, 8.0, rgb(0.80, 0.62, 0.28)),
        (85, 420, -8.0, rgb(0.82, 0.82, 0.80)),
    )
    for k in range(round(SECONDS * RATE)):
        time = k / RATE
        ease = smooth(0, 1, np.float32(time / SECONDS))
        yaw = -0.20 + 0.34 * float(ease)
        ex, ey, ez = 8 * float(ease), 9 + 13 * float(ease), 20 + 24 * time
        cos, sin = np.cos(yaw), np.sin(yaw)
        camera = terrain.Camera(WIDTH, HEIGHT, wide.focal, wide.horizon, 0, ey, 0)

        def chart(x: Array, z: Array) -> tuple[Array, Array]:
            wx, wz = ex + cos * x + sin * z, ez + cos * z - sin * x  # noqa: B023
            return ((wx - x0) / (x1 - x0) * (cols - 1)).astype(np.float32), (
                (wz - z0) / (z1 - z0) * (rows - 1)
            ).astype(np.float32)

        def land(x: Array, z: Array) -> Array:
            return sample(height, *chart(x, z))

        def view(eye: terrain.Camera, ground: terrain.Height) -> tuple[Array, Array]:
            d = terrain.directions(eye)
            turn = (np.arange(WIDTH) + 0.5 - WIDTH / 2 + yaw * eye.focal + 750).astype(np.float32)  # noqa: B023
            out = sample(
                heaven, np.broadcast_to(turn, (HEIGHT, WIDTH)), np.mgrid[0:HEIGHT, 0:WIDTH][0]
            )
            seen = terrain.see(eye, ground, 8, 3000, 420)
            high = land(seen.x, seen.z)
            solid = ~seen.sky & (high > 0.05)
            i, j = chart(seen.x[solid], seen.z[solid])
            far = seen.far[solid]
            fine, middle, rough = (sample(c, i, j) for c in colors)
            tone = mix(mix(fine, middle, smooth(250, 700, far)), rough, smooth(900, 2200, far))
            out[solid] = terrain.haze_over(
                tone, far, d[solid], lake.SUN, 0.8 * lake.HAZE, lake.GLOW, 9500
            )
            return out, ~seen.sky & ~solid

        picture, water = view(camera, lambda x, z: np.maximum(land(x, z), 0))
        low = terrain.Camera(WIDTH, HEIGHT, camera.focal, camera.horizon, 0, -ey, 0)
        mirror, _ = view(low, lambda x, z: np.where(land(x, z) < 0, -1e4, land(x, z)))
        placed = []
        for bx, bz, speed, sail in fleet:
            wx, wz = bx + speed * time - ex, bz - ez
            placed.append(
                (cos * wx - sin * wz, sin * wx + cos * wz, 0.04 * np.sin(2 * time + bx), sail)
            )
        placed.sort(key=lambda b: -b[1])
        for b in placed:
            boat(mirror, camera, *b, mirrored=True)
        terrain.flood(picture, mirror, camera, water, 1.0, time)
        for b in placed:
            boat(picture, camera, *b, mirrored=False)
        birds(picture, time)
        yield develop(picture)


def music(seconds: float, rate: int = 44100) -> Array:
    """A plucked melody over a soft chord, stereo, float32 in [-1, 1], 2 x samples."""
    n = int(seconds * rate)
    t = np.arange(n) / rate
    sound = np.zeros((2, n))
    melody = (76, 79, 81, 84, 83, 79, 76, 74, 76, 79, 72, 76, 74, 71)
    for k, note in enumerate(melody):
        start = k * 0.25
        s = np.clip(t - start, 0, None)
        f = 440 * 2 ** ((note - 69) / 12)
        tone = sum(
            np.sin(2 * np.pi * f * h * s) * np.exp(-s * (2.2 + 1.6 * h)) / h for h in range(1, 6)
        )
        tone = tone * (t >= start) * np.minimum(1, s * 400)
        pan = 0.5 + 0.32 * np.sin(k * 1.9)
        sound += np.stack([tone * (1 - pan), tone * pan]) * 0.4
    for note, start in ((48, 0), (55, 0), (64, 0), (45, 1.75), (52, 1.75), (60, 1.75)):
        s = np.clip(t - start, 0, None)
        swell = np.minimum(1, s * 2) * np.exp(-s * 0.5) * (t >= start)
        f = 440 * 2 ** ((note - 69) / 12)
        sound[0] += 0.10 * swell * np.sin(2 * np.pi * f * s)
        sound[1] += 0.10 * swell * np.sin(2 * np.pi * f * 1.002 * s)
    for delay, gain in ((0.083, 0.28), (0.131, 0.20), (0.197, 0.14)):
        shift = int(delay * rate)
        sound[:, shift:] += gain * sound[::-1, :-shift]
    sound *= np.minimum(1, (seconds - t) * 3)
    return (0.85 * sound / np.abs(sound).max()).astype(np.float32)


def write(
    path: Path, pictures: Iterable[Array], size: tuple[int, int], sound: Array | None, crf: int
) -> None:
    """H.264 in MP4, with AAC sound if there is any."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as out:
        video = out.add_stream("libx264", rate=RATE, options={"crf": str(crf), "preset": "slow"})
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        video.time_base = Fraction(1, RATE)
        audio = out.add_stream("aac", rate=44100, layout="stereo") if sound is not None else None
        if audio is not None:
            audio.bit_rate = 96000
        for k, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, RATE)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if audio is not None and sound is not None:
            for start in range(0, sound.shape[1], 1024):
                part = np.ascontiguousarray(sound[:, start : start + 1024])
                block = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
                block.sample_rate, block.pts, block.time_base = 44100, start, Fraction(1, 44100)
                out.mux(audio.encode(block))
            out.mux(audio.encode(None))


def flight(path: Path) -> None:
    """Write the flight over the lake, with music."""
    write(path, frames(), (WIDTH, HEIGHT), music(SECONDS), 24)


def cut(path: Path) -> None:
    """Write two seconds without sound: along the harbor, then a hard cut into the forest."""
    size = 480, 270

    def pans() -> Iterable[Array]:
        for scene, way in ((harbor, (0.0, 0.30, 0.62, 0.55)), (forest, (0.12, 0.12, 0.86, 0.58))):
            large = develop(scene.render(960, 640))
            for k in range(RATE):
                t = k / (RATE - 1)
                x = (way[0] + (way[1] - way[0]) * t) * 960
                w = (way[2] + (way[3] - way[2]) * t) * 960
                h = w * size[1] / size[0]
                y = (640 - h) * 0.62
                to = np.float32(
                    [[size[0] / w, 0, -x * size[0] / w], [0, size[1] / h, -y * size[1] / h]]
                )
                yield cv2.warpAffine(large, to, size, flags=cv2.INTER_AREA)

    write(path, pans(), size, None, 26)
