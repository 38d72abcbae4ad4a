"""A mountain lake on a clear evening: ridges, forests and clouds over their own reflection."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from scenes import terrain
from scenes.noise import Array, fbm, hashed, mix, rgb, ridged, smooth

SUN = np.array([-0.74, 0.40, -0.16], np.float32)
SUN /= np.linalg.norm(SUN)
ZENITH, HAZE, GLOW = rgb(0.06, 0.18, 0.50), rgb(0.60, 0.55, 0.56), rgb(1.0, 0.58, 0.26)
LIGHT = rgb(4.6, 3.0, 1.6)


def bedrock(x: Array, z: Array, octaves: int = 9) -> Array:
    """Height of the ground in meters, without trees; the lake's surface is 0."""
    valley = np.abs(x - 0.12 * z + 60 * np.sin(z / 700)) / (300 + 0.16 * z)
    rise = smooth(0.45, 1.9, valley) + 0.9 * smooth(1500, 3600, z)
    peaks = 900 * ridged(x / 1500 + 3.2, z / 1500 + 1.7, octaves, 0.46) - 330
    hills = 60 * fbm(x / 420 + 8, z / 420, max(3, octaves - 2), 0.5)
    shore = 26 * (valley - 0.62) + 7 * fbm(x / 90, z / 90 + 4, 4)
    return (shore + rise * (0.62 * peaks + hills + 60)).astype(np.float32)


def wooded(x: Array, z: Array, ground: Array) -> Array:
    """Where the forest stands: off the shore, below the tree line, in patches."""
    patches = fbm(x / 260 + 2, z / 260 + 5, 4)
    line = 230 + 120 * fbm(x / 300, z / 300 + 9, 3)
    return (ground > 4) & (ground < line) & (patches > -0.28)


def with_trees(x: Array, z: Array, spacing: float = 11.0) -> Array:
    """Height of ground or treetops: each tree is a cone of its own height at a jittered place."""
    ground = bedrock(x, z)
    crown = np.zeros_like(ground)
    ci, cj = np.floor(x / spacing), np.floor(z / spacing)
    for di in (-1, 0, 1):
        for dj in (-1, 0, 1):
            i, j = ci + di, cj + dj
            px = (i + 0.15 + 0.7 * hashed(i, j)) * spacing
            pz = (j + 0.15 + 0.7 * hashed(i + 91, j)) * spacing
            tall = 13 + 15 * hashed(i, j + 37)
            away = np.hypot(x - px, z - pz)
            crown = np.maximum(crown, tall * (1 - away / (0.30 * tall)))
    crown *= 1 + 0.25 * fbm(x / 1.7, z / 1.7, 2)
    return np.where(wooded(x, z, ground), ground + np.maximum(crown, 0), ground)


def surface(x: Array, z: Array) -> Array:
    """What is seen: the land, and the water where the land lies below it."""
    return np.maximum(with_trees(x, z), 0)


def shade(view: terrain.View, d: Array, shadows: terrain.Height, eps: Array) -> Array:
    """Color of the land where ``view`` sees it."""
    x, z = view.x, view.z
    ground = bedrock(x, z, 6)
    tops = with_trees(x, z)
    tree = tops - ground > 1.5
    n = terrain.normals(with_trees, x, z, eps)
    bare = terrain.normals(bedrock, x, z, 2 * eps + 2)
    steep = 1 - bare[..., 1]
    rough = fbm(x / 23, z / 23, 5, 0.6)
    strata = fbm(ground / 16 + 0.4 * rough, x / 500, 3)
    rock = mix(rgb(0.12, 0.105, 0.10), rgb(0.27, 0.235, 0.20), smooth(-0.5, 0.6, strata + rough))
    meadow = mix(rgb(0.09, 0.12, 0.03), rgb(0.24, 0.21, 0.06), smooth(-0.5, 0.5, rough))
    land = mix(meadow, rock, smooth(0.16, 0.34, steep + 0.12 * rough))
    snowline = 330 + 150 * rough + 120 * fbm(x / 500, z / 500 + 3, 3)
    snow = smooth(-30, 60, ground - snowline) * smooth(0.62, 0.40, steep + 0.1 * rough)
    land = mix(land, rgb(0.78, 0.82, 0.9), snow)
    land = mix(land, rgb(0.20, 0.17, 0.13), smooth(5, 1.2, ground))
    kind = hashed(np.floor(x / 11), np.floor(z / 11))
    needles = mix(rgb(0.016, 0.040, 0.018), rgb(0.055, 0.075, 0.018), kind)
    needles = mix(needles, rgb(0.32, 0.15, 0.02), (kind > 0.88) * 0.8)
    needles = needles * (0.35 + 0.055 * np.clip(tops - ground, 0, 20))[..., None]
    land = np.where(tree[..., None], needles, land)
    clear = shadows(x, z)
    direct = np.clip(n @ SUN, 0, 1) * clear
    ambient = 0.5 + 0.5 * n[..., 1]
    lit = land * (LIGHT * direct[..., None] + rgb(0.30, 0.42, 0.68) * ambient[..., None])
    return terrain.haze_over(lit, view.far, d, SUN, 0.8 * HAZE, GLOW, 9500)


def drained(x: Array, z: Array) -> Array:
    """The land alone, for an eye below the water that looks up at it."""
    land = with_trees(x, z)
    return np.where(land < 0, -1e4, land)


def look(
    camera: terrain.Camera, height: terrain.Height, shadows: terrain.Height, steps: int
) -> tuple[Array, terrain.View]:
    """Sky and land in linear light, and what each pixel sees."""
    d = terrain.directions(camera)
    picture = terrain.sky(d, SUN, ZENITH, HAZE, GLOW, 0.17)
    view = terrain.see(camera, height, 6, 7000, steps)
    land = ~view.sky & (height(view.x, view.z) > 0.05)
    part = terrain.View(view.x[land], view.z[land], view.far[land], view.sky[land])
    part = terrain.View(*(a[None] for a in (part.x, part.z, part.far, part.sky)))
    eps = part.far / camera.focal * 1.2 + 0.15
    picture[land] = shade(part, d[land][None], shadows, eps)[0]
    return picture, view


def conifer(canvas: Array, cover: Array, x: float, base: float, tall: float, seed: int) -> None:
    """Draw one dark tree of the near shore, branch by branch, into ``canvas`` and ``cover``."""
    rng = np.random.default_rng(seed)
    cv2.line(canvas, (int(x), int(base)), (int(x), int(base - tall)), (0.02, 0.016, 0.012), 4)
    cv2.line(cover, (int(x), int(base)), (int(x), int(base - tall)), 1.0, 4)
    for layer in np.linspace(0.02, 0.93, int(tall / 3.4)):
        y = base - tall * (1 - layer)
        reach = tall * 0.23 * layer**0.85 + 2
        for _ in range(6):
            side = rng.uniform(-1, 1)
            tip = np.array([x + side * reach, y + reach * (0.25 + 0.3 * rng.random())])
            root = np.array([x + rng.normal(0, 1), y - 2])
            for t in np.linspace(0.15, 1, max(4, int(reach / 4))):
                warm = max(0.0, 0.15 - side) * t * rng.random() ** 3
                tone = rgb(0.010, 0.020, 0.011) + rgb(0.30, 0.24, 0.07) * warm
                p = root + (tip - root) * t
                drop = rng.uniform(2, 6) * (1.2 - t) * tall / 300 + 2
                q = p + np.array([rng.normal(0, 2) + side * 3, drop])
                a, b = (int(p[0] * 8), int(p[1] * 8)), (int(q[0] * 8), int(q[1] * 8))
                cv2.line(canvas, a, b, tone.tolist(), 2, cv2.LINE_AA, 3)
                cv2.line(cover, a, b, 1.0, 2, cv2.LINE_AA, 3)


def shore(picture: Array, scale: float) -> Array:
    """The near bank: stones, grass and a few conifers that frame the view."""
    h, w = picture.shape[:2]
    xs, ys = np.meshgrid(np.arange(w) / scale, np.arange(h) / scale)
    xs, ys = xs.astype(np.float32), ys.astype(np.float32)
    edge = 610 - 95 * smooth(420, 0, xs) + 26 * smooth(760, 960, xs) * -1
    edge = edge + 10 * fbm(xs / 60, ys / 300, 4) + 14
    stone = fbm(xs / 16, ys / 7, 5, 0.55)
    slope = stone - fbm((xs + 1.5) / 16, (ys + 1.5) / 7, 5, 0.55)
    tone = mix(rgb(0.05, 0.045, 0.04), rgb(0.22, 0.18, 0.14), smooth(-0.4, 0.5, stone))
    tone = tone * (0.5 + np.clip(3.0 * -slope, -0.4, 2.0))[..., None]
    grass = smooth(-0.1, 0.25, fbm(xs / 45 + 3, ys / 20, 4) + (ys - edge - 12) / 60)
    tone = mix(tone, rgb(0.05, 0.06, 0.015), grass)
    out = mix(picture, tone, smooth(0, 3, ys - edge))
    rng = np.random.default_rng(3)
    for _ in range(2600):
        x = rng.uniform(0, 960)
        at = min(int(x * scale), w - 1)
        ground = edge[min(h - 1, int(620 * scale)), at]
        y = rng.uniform(ground + 6, 650)
        tall, lean = rng.uniform(5, 17), rng.normal(0, 4)
        tone = rgb(0.07, 0.075, 0.015) + rgb(0.42, 0.27, 0.06) * rng.random() ** 3
        points = [(x, y), (x + 0.3 * lean, y - 0.6 * tall), (x + lean, y - tall)]
        line = (np.array(points) * scale * 8).astype(np.int32)
        cv2.polylines(out, [line], False, tone.tolist(), max(1, int(scale / 1.3)), cv2.LINE_AA, 3)
    cover = np.zeros((h, w), np.float32)
    trees = np.zeros_like(out)
    for x, base, tall, seed in (
        (44, 560, 400, 1),
        (112, 575, 300, 2),
        (8, 575, 310, 3),
        (168, 590, 150, 4),
        (935, 610, 210, 5),
        (905, 615, 130, 6),
    ):
        conifer(trees, cover, x * scale, base * scale, tall * scale, seed)
    return mix(out, trees / np.maximum(cover, 1e-3)[..., None], cover)


def render(width: int, height: int) -> Array:
    """Linear-light picture of the scene."""
    camera = terrain.Camera(width, height, 0.98 * width, 0.5 * height, 10, 9, -40)
    shadows = terrain.shadow_map(lambda x, z: bedrock(x, z, 6), (-3600, 3600, -100, 7100), SUN)
    steps = max(500, int(width * 0.75))
    picture, view = look(camera, surface, shadows, steps)
    below = replace(camera, y=-camera.y)
    mirror, _ = look(below, drained, shadows, steps)
    water = ~view.sky & (with_trees(view.x, view.z) <= 0.05)
    terrain.flood(picture, mirror, camera, water, 0.9)
    return shore(picture, width / 960)
