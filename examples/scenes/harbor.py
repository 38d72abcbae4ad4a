"""A harbor town at sunset: houses on terraces, boats, a church, and all of it in the water."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from scenes import solids, terrain
from scenes.noise import Array, fbm, hashed, mix, rgb, smooth

SUN = np.array([-0.86, 0.37, -0.30], np.float32)
SUN /= np.linalg.norm(SUN)
ZENITH, HAZE, GLOW = rgb(0.07, 0.15, 0.40), rgb(0.85, 0.47, 0.30), rgb(1.0, 0.42, 0.2)
LIGHT, AMBIENT = rgb(3.6, 1.85, 0.8), rgb(0.20, 0.23, 0.40)
PLASTER = np.array(
    [
        [0.62, 0.36, 0.16],
        [0.66, 0.52, 0.33],
        [0.58, 0.20, 0.13],
        [0.70, 0.62, 0.50],
        [0.30, 0.40, 0.42],
        [0.66, 0.42, 0.30],
        [0.72, 0.58, 0.22],
        [0.45, 0.24, 0.22],
        [0.60, 0.60, 0.58],
        [0.50, 0.50, 0.30],
    ],
    np.float32,
)


def town() -> list[solids.Solid]:
    """All solids: quay, terraces, houses with chimneys, church, boats."""
    rng = np.random.default_rng(21)
    found = [solids.box(-90, 90, -1, 1.7, 33, 46, kind="stone")]
    for row, (z, y) in enumerate(((42, 1.7), (56, 7.5), (69, 14), (83, 21), (98, 29))):
        if row:
            found.append(solids.box(-120, 120, -1, y, z - 1.5, z + 16, kind="garden"))
        x = -70.0 - rng.uniform(0, 5)
        while x < 75:
            wide = rng.uniform(5.2, 9.5)
            if row and rng.random() < 0.22:
                x += wide * 0.7
                continue
            tall = rng.choice([6.2, 9.2, 9.2, 12.2] if row < 2 else [6.2, 6.2, 9.2])
            z0 = z + rng.uniform(0, 2.5)
            look = {
                "kind": "house",
                "paint": PLASTER[rng.integers(len(PLASTER))],
                "x": x,
                "y": y,
                "wide": wide,
                "tall": tall,
                "seed": int(rng.integers(1000)),
                "shutter": rng.choice([0, 1, 2, 3]),
            }
            gable = bool(rng.random() < 0.45)
            pitch = rng.uniform(0.45, 0.8)
            top = y + tall + rng.uniform(0, 0.9)
            found.append(solids.house(x, x + wide, y, top, z0, z0 + 9, pitch, gable, **look))
            if rng.random() < 0.8:
                cx = x + rng.uniform(0.2, 0.8) * wide
                rise = top + pitch * 4
                found.append(
                    solids.box(cx, cx + 0.8, top, rise + 0.6, z0 + 2.2, z0 + 3.1, kind="brick")
                )
            x += wide + (0.02 if rng.random() < 0.75 else rng.uniform(0.6, 2.5))
    found.append(solids.box(14, 19.5, 20, 45, 90, 95.5, kind="tower"))
    found.append(solids.box(13.6, 19.9, 44, 45.2, 89.6, 95.9, kind="stone"))
    found.append(solids.spire(16.75, 92.75, 45.2, 58, 5.4, kind="spire"))
    for x, z, long, color in (
        (-15, 19, 8, (0.55, 0.10, 0.06)),
        (9, 24, 7, (0.08, 0.22, 0.42)),
        (20, 14, 7.5, (0.62, 0.58, 0.5)),
        (-30, 27, 7, (0.1, 0.3, 0.25)),
        (-3, 29, 6, (0.65, 0.42, 0.1)),
        (31, 28, 8, (0.5, 0.5, 0.5)),
    ):
        found.append(solids.hull(x, z, long, 2.6, 1.3, kind="hull", paint=np.float32(color)))
        found.append(solids.box(x - 1.9, x + 0.3, 1.2, 2.5, z - 0.8, z + 0.8, kind="cabin"))
        found.append(solids.box(x + 0.7, x + 0.86, 1, 9.5, z, z + 0.16, kind="mast"))
        found.append(solids.box(x - 2.6, x + 0.7, 3.0, 3.35, z - 0.1, z + 0.25, kind="sail"))
    return found


def facade(p: Array, plane: Array, look: dict) -> tuple[Array, Array]:
    """Color of a house at points of its walls and roof, and where a window shines."""
    x, y, z = p[:, 0], p[:, 1] - look["y"], p[:, 2]
    along = np.where(plane < 2, x - look["x"], z)
    seed = look["seed"]
    stain = fbm(along / 1.7 + seed, y / 2.6, 5, 0.6)
    wall = look["paint"] * (0.86 + 0.34 * stain)[:, None]
    wall = mix(wall, rgb(0.22, 0.19, 0.16), smooth(0.9, 0.0, y) * 0.6)
    pitch = look["wide"] / max(2, round(look["wide"] / 2.1))
    i, j = np.floor(along / pitch), np.floor(y / 3.0)
    u, v = along / pitch - i - 0.5, y / 3.0 - j - 0.52
    a, b = np.abs(u) * pitch, np.abs(v) * 3.0
    a = np.where(j < round(look["tall"] / 3), a, 9.0)
    door = (j == 0) & (hashed(i + seed, 5) < 0.45)
    b = np.where(door, np.maximum(v * 3.0, -9) * 0.72, b)
    shutters = (
        rgb(0.03, 0.12, 0.08),
        rgb(0.05, 0.12, 0.26),
        rgb(0.25, 0.08, 0.04),
        rgb(0.3, 0.27, 0.2),
    )
    slat = 0.75 + 0.25 * np.sign(np.sin(y * 30))
    shut = (a > 0.42) & (a < 0.80) & (b < 0.82) & ~door
    wall = np.where(shut[:, None], shutters[look["shutter"]] * slat[:, None], wall)
    frame = (a < 0.50) & (b < 0.88)
    wall = np.where(frame[:, None] & ~shut[:, None], rgb(0.55, 0.50, 0.43), wall)
    glass = (a < 0.41) & (b < 0.78) & (a > 0.035) & (np.abs(v * 3 + 0.12) > 0.035)
    shine = glass & (hashed(i * 3 + seed, j * 7 + seed) < 0.22) & ~door
    pane = mix(
        rgb(0.03, 0.035, 0.05), rgb(0.16, 0.17, 0.22), smooth(-0.6, 0.7, v * 2 + 0.4 * stain)
    )
    wall = np.where(glass[:, None], np.where(door[:, None], rgb(0.10, 0.05, 0.025), pane), wall)
    tile_row = np.floor(y * 3.3)
    tile = np.floor(np.where(plane < 2, z, along + x + z) * 3.0 + 0.5 * (tile_row % 2))
    clay = mix(rgb(0.20, 0.065, 0.03), rgb(0.52, 0.20, 0.085), hashed(tile + seed, tile_row))
    clay = clay * (0.65 + 0.5 * (y * 3.3 - tile_row) + 0.35 * fbm(x / 2, z / 2 + seed, 4))[:, None]
    roof = plane >= 5
    return np.where(roof[:, None], clay, wall), shine & ~roof


def surface(p: Array, plane: Array, solid: solids.Solid) -> tuple[Array, Array]:
    """Color and glow at points of a solid."""
    look, kind = solid.look, solid.look["kind"]
    if kind == "house":
        return facade(p, plane, look)
    x, y, z = p.T
    none = np.zeros(len(p), bool)
    if kind in ("stone", "tower", "brick"):
        size = 0.35 if kind == "brick" else 0.8
        row = np.floor(y / size)
        along = np.where(plane < 2, x, z) / (2 * size) + 0.5 * (row % 2)
        joint = (np.abs(along - np.round(along)) < 0.04) | (np.abs(y / size - row) < 0.09)
        tone = hashed(np.floor(along), row + 3 * plane)
        pale, dark = (
            (rgb(0.5, 0.22, 0.13), rgb(0.3, 0.12, 0.08))
            if kind == "brick"
            else (rgb(0.52, 0.46, 0.38), rgb(0.27, 0.24, 0.21))
        )
        color = mix(dark, pale, tone) * np.where(joint, 0.55, 1.0)[:, None]
        color = color * (1 + 0.3 * fbm(x * 1.3 + z, y * 1.3, 4))[:, None]
        if kind == "tower":
            arch = (np.abs(x - 16.75) < 1.0) & (y > 37.5) & (y < 41.8 - 0.6 * (x - 16.75) ** 2)
            color = np.where(arch[:, None] & (plane < 2)[:, None], rgb(0.03, 0.03, 0.035), color)
        if kind == "stone":
            color = mix(color, rgb(0.05, 0.07, 0.035), smooth(0.9, 0.2, y) * (plane < 4))
        return color, none
    if kind == "garden":
        leaf = fbm(x / 1.5 + z, y / 1.5 + z / 2, 5, 0.65)
        green = mix(rgb(0.03, 0.05, 0.012), rgb(0.17, 0.17, 0.04), smooth(-0.5, 0.6, leaf))
        stone = rgb(0.36, 0.31, 0.25) * (0.8 + 0.5 * fbm(x * 1.3, y * 1.7, 4))[:, None]
        return mix(stone, green, smooth(-0.15, 0.05, fbm(x / 7, y / 4, 3))), none
    if kind == "hull":
        color = np.broadcast_to(look["paint"], p.shape)
        band = (y > 0.95) & (y < 1.15)
        color = np.where(band[:, None], rgb(0.7, 0.68, 0.62), color)
        return mix(color, rgb(0.10, 0.09, 0.08), smooth(0.45, 0.2, y)), none
    if kind == "cabin":
        window = (np.abs(y - 2.0) < 0.25) & (np.abs(np.modf(np.abs(x + z) / 0.7)[0] - 0.5) < 0.33)
        return np.where(window[:, None], rgb(0.05, 0.06, 0.08), rgb(0.6, 0.57, 0.5)), none
    flat = {
        "mast": rgb(0.25, 0.15, 0.07),
        "sail": rgb(0.55, 0.48, 0.38),
        "spire": rgb(0.14, 0.19, 0.17),
    }
    slates = 0.85 + 0.3 * np.sign(np.sin(y * 9)) * (kind == "spire")
    return flat[str(kind)] * slates[:, None], none


def hill(x: Array, z: Array) -> Array:
    """The land behind the town."""
    rise = 70 * smooth(100, 300, z) + 230 * smooth(300, 1500, z) * (0.4 + smooth(-300, 900, x))
    return (
        rise * (0.85 + 0.5 * fbm(x / 260, z / 260 + 2, 6)) + 2.2 * fbm(x / 7, z / 7, 3) - 4
    ).astype(np.float32)


def look(camera: terrain.Camera, scene: list[solids.Solid]) -> tuple[Array, Array]:
    """Linear-light picture without water, and the distance of each pixel (inf: the sky)."""
    d = terrain.directions(camera)
    picture = terrain.sky(d, SUN * np.float32([1, 1, -1]), ZENITH, HAZE, GLOW, 0.20)
    view = terrain.see(camera, hill, 110, 2500, 260)
    land = ~view.sky
    x, z, far = view.x[land], view.z[land], view.far[land]
    n = terrain.normals(hill, x, z, far / camera.focal + 0.6)
    wood = mix(
        rgb(0.025, 0.045, 0.015),
        rgb(0.13, 0.12, 0.04),
        smooth(-0.5, 0.5, fbm(x / 9, z / 9, 5, 0.6)),
    )
    lit = wood * (LIGHT * np.clip(n @ SUN, 0, 1)[:, None] + AMBIENT)
    picture[land] = terrain.haze_over(lit, far, d[land], SUN, 0.7 * HAZE, GLOW, 900)
    depth, which, plane = solids.cast(camera, scene)
    hit = np.flatnonzero(which.ravel() >= 0)
    t, ids, planes = depth.ravel()[hit], which.ravel()[hit], plane.ravel()[hit]
    rays = d.reshape(-1, 3)[hit]
    p = np.float32([camera.x, camera.y, camera.z]) + rays * t[:, None]
    color, shine, n = np.empty_like(p), np.zeros(len(p), bool), np.empty_like(p)
    for k, solid in enumerate(scene):
        of = np.flatnonzero(ids == k)
        if len(of):
            color[of], shine[of] = surface(p[of], planes[of], solid)
            n[of] = solid.normals[planes[of]]
    rng = np.random.default_rng(5)
    blur = (SUN + rng.normal(0, 0.006, 3)).astype(np.float32)
    dark = solids.shaded(p + n * 0.02, scene, blur)
    direct = np.clip(n @ SUN, 0, 1) * ~dark
    eaves = 0.62 + 0.38 * smooth(0.0, 2.5, np.abs(p[:, 1] - 1.7))
    light = LIGHT * direct[:, None] + AMBIENT * ((0.7 + 0.3 * n[:, 1]) * eaves)[:, None]
    light = light + rgb(0.16, 0.08, 0.045) * np.clip(-n[:, 2], 0, 1)[:, None]
    out = color * light + shine[:, None] * rgb(1.5, 0.8, 0.25)
    flat = picture.reshape(-1, 3)
    flat[hit] = terrain.haze_over(out, t, rays, SUN, 0.6 * HAZE, GLOW, 900)
    return picture, np.where(which >= 0, depth, np.where(land, view.far, np.inf))


def leaves(picture: Array, depth: Array, camera: terrain.Camera) -> None:
    """Trees between the houses: thousands of leaves, each hidden where a house is nearer."""
    rng = np.random.default_rng(9)
    spots = [
        (rng.uniform(-55, 60), y, z - rng.uniform(0.2, 1.2), rng.uniform(1.4, 2.8))
        for z, y in ((56, 7.5), (69, 14), (83, 21), (98, 29))
        for _ in range(9)
    ]
    for x, y, z, size in sorted(spots, key=lambda s: -s[2]):
        slim = rng.random() < 0.35
        count = 700
        at = rng.normal(0, 1, (count, 3))
        at /= np.linalg.norm(at, axis=1, keepdims=True)
        at *= rng.uniform(0.5, 1, (count, 1)) * (1 + 0.25 * np.sin(7 * at[:, :1] + at[:, 1:2] * 5))
        scale = np.array([0.45, 2.2, 0.45] if slim else [1.2, 1.0, 1.2]) * size
        p = at * scale + [x, y + scale[1] * (0.9 if slim else 1.25), z]
        light = np.clip(at @ SUN, 0, 1) * rng.uniform(0.4, 1, count)
        order = np.argsort(-p[:, 2])
        for q, lit in zip(p[order], light[order], strict=True):
            far = q[2] - camera.z
            u = camera.width / 2 + camera.focal * (q[0] - camera.x) / far
            v = camera.horizon - camera.focal * (q[1] - camera.y) / far
            r = max(1.0, 0.2 * camera.focal / far)
            if not (r < u < camera.width - r and r < v < camera.height - r):
                continue
            if depth[int(v), int(u)] < far * 0.995:
                continue
            tone = rgb(0.02, 0.035, 0.014) * 0.9 + rgb(0.30, 0.22, 0.045) * lit
            cv2.circle(
                picture, (int(u * 8), int(v * 8)), int(r * 8), tone.tolist(), -1, cv2.LINE_AA, 3
            )


def render(width: int, height: int) -> Array:
    """Linear-light picture of the scene."""
    camera = terrain.Camera(width, height, 0.90 * width, 0.645 * height, 0, 5.5, -24)
    scene = town()
    picture, depth = look(camera, scene)
    leaves(picture, depth, camera)
    below = replace(camera, y=-camera.y)
    mirror, far = look(below, scene)
    leaves(mirror, far, below)
    rows = np.arange(height)[:, None] + 0.5
    plane = camera.focal * camera.y / np.maximum(rows - camera.horizon, 1e-3)
    reach = (
        np.linalg.norm(
            np.stack(
                np.broadcast_arrays(
                    1.0,
                    (rows - camera.horizon) / camera.focal,
                    (np.arange(width)[None] - width / 2) / camera.focal,
                )
            ),
            axis=0,
        )
        * plane
    )
    water = (rows > camera.horizon) & (depth > reach)
    terrain.flood(picture, mirror, camera, water, 1.6)
    return picture
