"""A lighthouse on a headland at sundown, surf at the foot of the cliffs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scenes import solids, terrain
from scenes.noise import Array, fbm, mix, rgb, ridged, smooth

SUN = np.array([-0.52, 0.17, 0.84], np.float32)
SUN /= np.linalg.norm(SUN)
LAMP = np.array([-0.75, 0.42, -0.30], np.float32)
"""Where the land gets its light from: the bright western sky beside the sun."""
LAMP /= np.linalg.norm(LAMP)
ZENITH, HAZE, GLOW = rgb(0.03, 0.08, 0.24), rgb(0.42, 0.21, 0.17), rgb(1.2, 0.45, 0.13)
TOWER = 42.0, 222.0, 36.5


def coast(x: Array, z: Array) -> Array:
    """Height of the land; the sea's level is 0."""
    edge = 10 + 26 * fbm(x / 90 + 1, z / 70 + 3, 5, 0.55) + 4 * fbm(x / 11, z / 11, 3)
    line = x - (-42 + 0.10 * (z - 215) + 0.0016 * (z - 215) ** 2 - 22 * np.sin(z / 37)) - edge
    line = np.minimum(line, (z - 176) * 1.2 + 0.30 * x + edge * 0.8)
    line = np.minimum(line, (330 - z) * 0.9 + 0.8 * x)
    step = 30 * smooth(-4, 15, line) + 9 * smooth(15, 80, line)
    cracks = 1 - np.abs(fbm(x / 13, z / 13, 5, 0.55)) * 1.3
    flank = smooth(26, 8, line)
    step = step * (1 - 0.16 * flank * (1 - cracks)) + 0.9 * fbm(x / 13, z / 13 + 4, 5) * smooth(
        -6, 12, line
    )
    boulders = 7 * (ridged(x / 21 + 2, z / 21, 4) - 1.06) + 0.35 * line
    far = -60 + 190 * smooth(1500, 2700, z) * smooth(-900, 1400, x + 300 * fbm(x / 500, z / 500, 3))
    far = far + 34 * fbm(x / 220, z / 220, 5) * smooth(1500, 2500, z)
    near = np.maximum(np.where(line < 4, np.minimum(boulders, 5), -9), step - 2)
    return np.where(z < 900, np.where(line < -34, -9, near), far).astype(np.float32)


def sea(x: Array, z: Array) -> Array:
    """What is seen: the land, and the water where the land lies below it."""
    return np.maximum(coast(x, z), 0)


def drained(x: Array, z: Array) -> Array:
    """The land alone, for an eye below the water."""
    land = coast(x, z)
    return np.where(land < 0, -1e4, land)


def tower() -> list[solids.Solid]:
    """The lighthouse with its gallery, lantern and dome, and the keeper's house."""
    x, z, y = TOWER
    k = np.arange(20) * np.pi / 10

    def drum(low: float, high: float, bottom: float, top: float, kind: str) -> solids.Solid:
        slope = (bottom - top) / (high - low)
        n = np.stack([np.cos(k), slope + 0 * k, np.sin(k)], -1) / np.hypot(1, slope)
        at = np.stack([x + bottom * np.cos(k), low + 0 * k, z + bottom * np.sin(k)], -1)
        d = np.einsum("ij,ij->i", n, at)
        n = np.concatenate([n, [[0, -1, 0], [0, 1, 0]]])
        return solids.Solid(
            n.astype(np.float32),
            np.append(d, [-low, high]).astype(np.float32),
            np.float32([x - bottom, low, z - bottom]),
            np.float32([x + bottom, high, z + bottom]),
            {"kind": kind},
        )

    return [
        drum(y - 4, y + 25, 4.3, 2.7, "banded"),
        drum(y + 25, y + 25.8, 3.6, 3.6, "iron"),
        drum(y + 25.8, y + 29.3, 2.0, 2.0, "lamp"),
        drum(y + 29.3, y + 32, 2.7, 0.2, "roof"),
        solids.house(x + 8, x + 25, y - 4, y + 4.2, z + 2, z + 11, 0.75, False, kind="cottage"),
        solids.box(x + 21, x + 22.4, y, y + 9.2, z + 6, z + 7.2, kind="iron"),
        solids.box(x - 6, x + 60, y - 5, y - 0.6, z - 7, z - 6.3, kind="wall"),
    ]


def brick(kind: str, p: Array, n: Array) -> Array:
    """Color of the buildings."""
    x, y, z = p.T
    grain = 1 + 0.22 * fbm(x * 1.5 + z, y * 1.1, 4)
    if kind == "banded":
        band = np.sin((y - TOWER[2]) * 2 * np.pi / 11.6 + 0.9) > 0
        tone = np.where(band[:, None], rgb(0.52, 0.045, 0.03), rgb(0.72, 0.69, 0.63))
        hole = (np.abs(x - TOWER[0] + 1.2) < 0.42) & (np.abs(np.mod(y - TOWER[2], 8) - 4.5) < 0.8)
        tone = np.where((hole & (n[:, 2] < -0.3))[:, None], rgb(0.03, 0.03, 0.04), tone)
    elif kind == "lamp":
        bars = np.abs(np.modf(np.abs(np.arctan2(x - TOWER[0], z - TOWER[1])) * 3.2)[0]) < 0.12
        tone = np.where(bars[:, None], rgb(0.03, 0.03, 0.03), rgb(6.0, 3.6, 1.2))
    elif kind == "cottage":
        window = (np.abs(np.mod(x - TOWER[0], 4.2) - 2.1) < 0.6) & (
            np.abs(y - TOWER[2] - 1.9) < 0.9
        )
        lit = np.where(
            (np.floor((x - TOWER[0]) / 4.2) % 2 == 0)[:, None],
            rgb(3.0, 1.5, 0.4),
            rgb(0.05, 0.06, 0.08),
        )
        tone = np.where((window & (n[:, 1] < 0.3))[:, None], lit, rgb(0.66, 0.62, 0.56))
        slate = rgb(0.13, 0.12, 0.13) * (0.8 + 0.4 * np.sign(np.sin(y * 12)))[:, None]
        tone = np.where((n[:, 1] > 0.3)[:, None], slate, tone)
    else:
        tone = {
            "iron": rgb(0.06, 0.06, 0.065),
            "roof": rgb(0.30, 0.05, 0.035),
            "wall": rgb(0.26, 0.23, 0.2),
        }[kind]
        tone = tone + 0 * p
    return tone * grain[:, None]


def look(
    camera: terrain.Camera, height: terrain.Height, shadows: terrain.Height, steps: int
) -> tuple[Array, terrain.View]:
    """Sky, land and buildings in linear light, and what each pixel sees of the land."""
    d = terrain.directions(camera)
    picture = terrain.sky(d, SUN, ZENITH, HAZE, GLOW, 0.30)
    view = terrain.see(camera, height, 12, 4200, steps)
    ground = height(view.x, view.z)
    land = ~view.sky & (ground > 0.04)
    x, z, far, y = view.x[land], view.z[land], view.far[land], ground[land]
    n = terrain.normals(coast, x, z, far / camera.focal * 1.3 + 0.12)
    rough = fbm(x / 5, z / 5 + y / 3, 5, 0.6)
    strata = fbm(y / 2.1 + 0.5 * rough, x / 60 + z / 60, 4, 0.6)
    rock = mix(
        rgb(0.085, 0.06, 0.05), rgb(0.36, 0.25, 0.17), smooth(-0.5, 0.55, strata + 0.4 * rough)
    )
    rock = mix(rock, rgb(0.035, 0.035, 0.03), smooth(3.4, 0.8, y + rough))
    blade = fbm(x * 1.3, z * 1.3, 4, 0.65) + fbm(x / 22, z / 22, 4)
    grass = mix(rgb(0.05, 0.07, 0.015), rgb(0.26, 0.22, 0.06), smooth(-0.8, 0.8, blade))
    heath = smooth(0.25, 0.5, fbm(x / 14 + 7, z / 14, 4))
    grass = mix(grass, rgb(0.26, 0.07, 0.16), heath * 0.7)
    tone = mix(rock, grass, smooth(0.56, 0.76, n[:, 1] + 0.12 * rough) * smooth(8, 14, y))
    lit = np.clip(n @ LAMP, 0, 1) * shadows(x, z)
    light = rgb(2.7, 1.2, 0.48) * lit[:, None]
    light = light + rgb(0.19, 0.21, 0.34) * (0.55 + 0.45 * n[:, 1])[:, None]
    picture[land] = terrain.haze_over(tone * light, far, d[land], SUN, 0.8 * HAZE, GLOW, 1900)
    scene = tower()
    depth, which, plane = solids.cast(camera, scene)
    hidden = ~view.sky & (depth > view.far / d[..., 2])
    hit = (which >= 0) & ~hidden
    p = np.float32([camera.x, camera.y, camera.z]) + d[hit] * depth[hit][:, None]
    ids, planes = which[hit], plane[hit]
    out = np.zeros_like(p)
    for k, solid in enumerate(scene):
        of = ids == k
        normal = solid.normals[planes[of]]
        color = brick(str(solid.look["kind"]), p[of], normal)
        sun = np.clip(normal @ LAMP, 0, 1)[:, None]
        light = rgb(2.6, 1.2, 0.5) * sun + rgb(0.20, 0.22, 0.36) * (0.7 + 0.3 * normal[:, 1:2])
        out[of] = np.where(color > 1, color, color * light)
    picture[hit] = terrain.haze_over(out, depth[hit], d[hit], SUN, 0.8 * HAZE, GLOW, 1900)
    return picture, view


def render(width: int, height: int) -> Array:
    """Linear-light picture of the scene."""
    camera = terrain.Camera(width, height, 1.05 * width, 0.60 * height, 0, 15, 40)
    shadows = terrain.shadow_map(coast, (-160, 340, 100, 600), LAMP)
    steps = max(500, int(width * 0.75))
    picture, view = look(camera, sea, shadows, steps)
    mirror, _ = look(replace(camera, y=-camera.y), drained, shadows, steps)
    ground = coast(view.x, view.z)
    rows = np.arange(height)[:, None] + 0.5 + np.zeros((1, width))
    water = (ground <= 0.04) & (rows > camera.horizon)
    terrain.flood(picture, mirror, camera, water, 3.4)
    far = camera.focal * camera.y / np.maximum(rows - camera.horizon, 1)
    u = (np.arange(width)[None] + 0.5 - width / 2) / camera.focal
    x, z = (far * u).astype(np.float32), (far + camera.z).astype(np.float32)
    close = fbm(x / 8, z / 5, 5, 0.6)
    shore = np.maximum.reduce([coast(x + a, z + b) for a, b in ((6, 0), (0, 8), (12, 4), (4, -6))])
    surf = smooth(-2, 4, shore) * smooth(-0.45, 0.5, close)
    swell = np.sin(z / 6.5 + 2.2 * fbm(x / 55, z / 40, 3) + 0.03 * x)
    crest = (
        smooth(0.80, 1.0, swell)
        * smooth(0.15, 0.5, fbm(x / 14, z / 4 + 5, 4, 0.6))
        * smooth(600, 100, z)
    )
    foam = np.clip(surf + 0.7 * crest, 0, 1) * water
    white = rgb(0.50, 0.40, 0.38) * (0.75 + 0.6 * close)[..., None]
    return mix(picture, white, foam)
