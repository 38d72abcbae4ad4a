"""Flowers and fruit on a checkered cloth by a window, upright."""

from __future__ import annotations

import numpy as np

from scenes.march import (
    Shape,
    blend,
    capsule,
    ellipsoid,
    length,
    normals,
    openness,
    sunlight,
    trace,
)
from scenes.noise import Array, fbm, hashed, mix, rgb, smooth

WINDOW = np.array([-3.4, 3.6, -2.2], np.float32)
"""Where the light comes from."""


HUES = (
    (rgb(0.55, 0.15, 0.005), rgb(0.85, 0.42, 0.015)),
    (rgb(0.62, 0.30, 0.01), rgb(0.88, 0.62, 0.10)),
    (rgb(0.34, 0.03, 0.02), rgb(0.66, 0.14, 0.03)),
)


def vase(p: Array) -> Array:
    """A turned jug: radius by height, inflated by what the slope makes the distance too long."""
    q = p - np.float32([0.05, 0, 0.35])
    y = np.clip(q[:, 1], 0, 1.35)
    r = (
        0.21
        + 0.24 * np.exp(-(((y - 0.48) / 0.34) ** 2))
        - 0.05 * np.exp(-(((y - 1.1) / 0.14) ** 2))
    )
    r = r + 0.06 * smooth(1.2, 1.35, y)
    around = np.hypot(q[:, 0], q[:, 2])
    return (np.hypot(np.maximum(around - r, -0.03), q[:, 1] - y) - 0.02) * 0.75


def apple(at: tuple[float, float, float], size: float) -> Shape:
    """An apple: a sphere pressed in at the stalk."""

    def distance(p: Array) -> Array:
        q = (p - np.float32(at)) / size
        around = np.hypot(q[:, 0], q[:, 2])
        body = np.hypot(around - 0.42, q[:, 1] * (1.06 - 0.12 * q[:, 1])) - 0.62
        stalk = capsule(q, (0, 0.2, 0), (0.09, 0.72, 0.02), 0.035, 0.03)
        return np.minimum(body * 0.9, stalk) * size

    return Shape(distance, at, size * 1.12)


def orange(at: tuple[float, float, float], size: float) -> Shape:
    """An orange; its pores are added to the normals."""
    return Shape(lambda p: length(p - np.float32(at)) - size, at, size + 0.01)


def pores(p: Array, n: Array) -> Array:
    """Normals of an orange's skin: those of the sphere, tilted by fine noise."""
    s = p * 75
    tilt = np.stack([fbm(s[:, 0] + k, s[:, 1] - 0.7 * s[:, 2] + 9 * k, 2) for k in range(3)], -1)
    bumpy = n + 0.22 * tilt
    return bumpy / length(bumpy)[:, None]


def pear(at: tuple[float, float, float], lean: float) -> Shape:
    """A pear standing, its neck leaning."""
    a = np.float32(at)

    def distance(p: Array) -> Array:
        q = p - a
        d = blend(length(q) - 0.235, length(q - np.float32([lean, 0.30, 0])) - 0.115, 0.22)
        return np.minimum(d, capsule(q, (lean, 0.38, 0), (lean * 1.7, 0.54, 0.02), 0.014, 0.011))

    return Shape(distance, (at[0] + lean / 2, at[1] + 0.15, at[2]), 0.46)


def grapes(at: tuple[float, float, float]) -> Shape:
    """A bunch of grapes lying on the table."""
    rng = np.random.default_rng(4)
    balls = [
        np.array([x + rng.normal(0, 0.012), y, z + rng.normal(0, 0.012)])
        for y, n in ((0.075, 5), (0.18, 4), (0.27, 2))
        for x in np.linspace(-0.06 * n, 0.06 * n, n + 1)
        for z in np.linspace(-0.045 * n, 0.045 * n, n)
    ]
    centers = np.float32(balls) + np.float32(at) + rng.normal(0, 0.016, (len(balls), 3))
    centers = centers.astype(np.float32)

    def distance(p: Array) -> Array:
        d = np.full(len(p), 1e9, np.float32)
        for c in centers:
            d = np.minimum(d, length(p - c) - 0.078)
        return d

    return Shape(distance, (at[0], at[1] + 0.14, at[2]), 0.52)


def flower(at: Array, facing: Array, size: float, petals: int) -> Shape:
    """A sunflower: a domed disc and two rings of petals around its axis."""
    w = facing / np.linalg.norm(facing)
    u = np.cross(w, [0.0, 1.0, 0.1])
    u /= np.linalg.norm(u)
    axes = np.stack([u, np.cross(w, u), w], -1).astype(np.float32)

    def distance(p: Array) -> Array:
        q = (p - np.float32(at)) @ axes / size
        d = ellipsoid(q, [0, 0, 0], [0.36, 0.36, 0.13])
        angle, r = np.arctan2(q[:, 1], q[:, 0]), np.hypot(q[:, 0], q[:, 1])
        for ring, (turn, far, lift) in enumerate(((0, 0.66, 0.02), (0.5, 0.60, 0.09))):
            sector = 2 * np.pi / petals
            k = np.round(angle / sector - turn) + turn
            a = angle - k * sector
            wild = hashed(k * 2 + 40, ring + petals)
            along = np.stack(
                [
                    r * np.cos(a) - far * (0.92 + 0.16 * wild),
                    r * np.sin(a),
                    q[:, 2] - lift - (0.28 * wild - 0.08) * r * r,
                ],
                -1,
            )
            d = np.minimum(d, ellipsoid(along, [0, 0, 0], [0.36, 0.115, 0.022]) * 0.7)
        return d * size

    return Shape(distance, tuple(float(c) for c in at), size * 1.15)


def scene() -> tuple[list[Shape], list[str]]:
    """All shapes with the names of what they are made of."""
    shapes = [
        Shape(
            lambda p: p[:, 1] + 0.006 * np.sin(p[:, 0] * 5 + 2 * np.sin(p[:, 2] * 2)),
            (0, -1000, 0),
            1000.3,
        ),
        Shape(vase, (0.05, 0.7, 0.35), 0.95),
    ]
    names = ["cloth", "vase"]
    for made, name in (
        (apple((-0.62, 0.235, -0.28), 0.25), "apple"),
        (apple((-0.98, 0.225, 0.12), 0.24), "green apple"),
        (orange((0.66, 0.235, -0.05), 0.235), "orange"),
        (orange((0.98, 0.22, 0.42), 0.22), "orange"),
        (orange((0.36, 0.2, -0.52), 0.20), "orange"),
        (pear((-0.52, 0.235, 0.40), -0.06), "pear"),
        (grapes((-0.12, 0.0, -0.72)), "grapes"),
    ):
        shapes.append(made)
        names.append(name)
    heads = (
        ((-0.42, 1.78, 0.15), (-0.5, 0.25, -1), 0.40, 17),
        ((0.40, 1.86, 0.12), (0.35, 0.2, -1), 0.42, 19),
        ((0.02, 2.28, 0.30), (0.0, 0.45, -1), 0.42, 18),
        ((-0.60, 2.38, 0.55), (-0.5, 0.5, -0.8), 0.33, 16),
        ((0.66, 2.46, 0.55), (0.6, 0.4, -0.9), 0.34, 17),
        ((0.00, 1.58, -0.10), (0.05, -0.1, -1), 0.33, 16),
    )
    for at, facing, size, petals in heads:
        shapes.append(flower(np.array(at), np.array(facing), size, petals))
        names.append("flower")
        root, tip = np.float32([0.05, 1.2, 0.35]), np.float32(at) + np.float32([0, 0, 0.04])
        middle = (root + tip) / 2 + np.float32([0, 0.05, 0.08])

        def stem(p: Array, a: Array = root, m: Array = middle, b: Array = tip) -> Array:
            leaf = (
                ellipsoid(
                    (p - m) @ np.float32([[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1]]),
                    [0.16, 0.0, 0],
                    [0.26, 0.09, 0.02],
                )
                * 0.7
            )
            limbs = np.minimum(capsule(p, a, m, 0.028, 0.025), capsule(p, m, b, 0.025, 0.022))
            return np.minimum(limbs, leaf)

        shapes.append(Shape(stem, tuple(float(c) for c in middle), 1.0))
        names.append("leaf")
    return shapes, names


def paint(name: str, p: Array, n: Array, shape: Shape) -> tuple[Array, float]:
    """Color at points of a shape, and how much it shines."""
    q = p - np.float32(shape.center)
    x, y, z = q.T
    speck = fbm(x * 9 + z * 4, y * 9 - z * 5, 5, 0.6)
    if name == "cloth":
        x, z = p[:, 0] + 0.15 * p[:, 2], p[:, 2] - 0.15 * p[:, 0]
        stripe = (np.sign(np.sin(x * 9.5)) + np.sign(np.sin(z * 9.5))) / 2
        weave = 1 + 0.10 * np.sin(x * 260) * np.sin(z * 260) + 0.16 * fbm(x * 4, z * 4, 4)
        return mix(rgb(0.62, 0.59, 0.52), rgb(0.10, 0.19, 0.42), 0.5 + 0.5 * stripe) * weave[
            :, None
        ], 0.02
    if name == "vase":
        angle = np.arctan2(p[:, 0] - 0.05, p[:, 2] - 0.35)
        band = smooth(0.02, 0.0, np.abs(p[:, 1] - 0.98)) + smooth(0.02, 0, np.abs(p[:, 1] - 0.10))
        vine = np.abs(p[:, 1] - 0.5 - 0.17 * np.sin(angle * 5)) < 0.03
        leaves = (
            fbm(angle * 3 + 4, p[:, 1] * 6, 4) + 0.9 * smooth(0.3, 0.0, np.abs(p[:, 1] - 0.5))
            > 0.72
        )
        blue = np.clip(band + vine + leaves, 0, 1)
        return mix(rgb(0.66, 0.66, 0.64), rgb(0.03, 0.08, 0.34), blue), 0.55
    if name == "apple":
        angle = np.arctan2(x, z)
        streak = 0.7 * fbm(np.abs(angle) * 9, y * 1.5, 5, 0.6) + 3.4 * (y - 0.06) + 0.8 * x
        red = mix(rgb(0.40, 0.018, 0.018), rgb(0.60, 0.34, 0.05), smooth(0.0, 1.1, streak))
        return np.where(
            ((y > 0.1) & (np.hypot(x, z) < 0.035))[:, None], rgb(0.1, 0.06, 0.02), red
        ), 0.35
    if name == "green apple":
        green = mix(rgb(0.26, 0.36, 0.04), rgb(0.50, 0.45, 0.08), smooth(-0.4, 0.6, speck))
        return mix(green, rgb(0.5, 0.12, 0.03), smooth(0.1, 0.7, speck + 2 * x)), 0.35
    if name == "orange":
        return rgb(0.80, 0.27, 0.015) * (1 + 0.16 * speck)[:, None], 0.22
    if name == "pear":
        yellow = mix(rgb(0.46, 0.42, 0.06), rgb(0.55, 0.25, 0.05), smooth(-0.2, 0.7, speck - 2 * x))
        return np.where((y > 0.26)[:, None], rgb(0.10, 0.06, 0.02), yellow), 0.2
    if name == "grapes":
        bloom = smooth(0.0, 0.6, speck)
        return mix(rgb(0.035, 0.006, 0.03), rgb(0.12, 0.07, 0.16), 0.7 * bloom), 0.55
    if name == "flower":
        r = length(q) / (shape.radius / 1.15)
        seeds = rgb(0.09, 0.04, 0.012) * (1 + 0.9 * np.sin(x * 210) * np.sin(y * 210))[:, None]
        inner, outer = HUES[int(1000 * abs(shape.center[0])) % len(HUES)]
        gold = mix(inner, outer, np.clip(smooth(0.3, 0.95, r) + 0.35 * speck, 0, 1))
        return mix(seeds, gold, smooth(0.33, 0.38, r)), 0.04
    return mix(rgb(0.06, 0.12, 0.02), rgb(0.16, 0.24, 0.05), smooth(-0.5, 0.5, speck)), 0.08


def wall(d: Array) -> Array:
    """The plastered wall behind: light falls on it slantwise."""
    x, y = d[:, 0] / d[:, 2], d[:, 1] / d[:, 2]
    plaster = fbm(x * 5, y * 5, 6, 0.55)
    fall = smooth(-0.45, 0.38, 0.9 * x - 0.5 * y - 0.02)
    base = mix(rgb(0.022, 0.026, 0.024), rgb(0.20, 0.165, 0.09), fall)
    return base * (1 + 0.35 * plaster)[:, None]


def render(width: int, height: int) -> Array:
    """Linear-light picture of the scene."""
    shapes, names = scene()
    eye = np.float32([0, 1.62, -4.9])
    tilt = np.float32(-0.075)
    u = (np.arange(width) + 0.5 - width / 2) / height * 0.80
    v = (height / 2 - np.arange(height) - 0.5) / height * 0.80
    d = np.stack(np.broadcast_arrays(u[None], v[:, None] + tilt, 1.0), -1).astype(np.float32)
    d = (d / np.linalg.norm(d, axis=-1, keepdims=True)).reshape(-1, 3)
    t, which = trace(shapes, eye, d, 9.0)
    picture = wall(d)
    hit = np.flatnonzero(which >= 0)
    p = eye + d[hit] * t[hit, None]
    behind = p[:, 2] > 2.1
    hit, p = hit[~behind], p[~behind]
    ids, rays = which[hit], d[hit]
    n = normals(shapes, p, ids)
    skin = np.isin(ids, [k for k, name in enumerate(names) if name == "orange"])
    n[skin] = pores(p[skin], n[skin])
    to_light = WINDOW - p
    away = length(to_light)
    to_light /= away[:, None]
    clear = sunlight(shapes, p + n * 0.015, to_light, 0.10)
    open_air = openness(shapes, p, n)
    color, gloss = np.empty_like(p), np.empty(len(p), np.float32)
    for k in np.unique(ids):
        of = ids == k
        color[of], gloss[of] = paint(names[k], p[of], n[of], shapes[k])
    facing = np.clip(np.einsum("ij,ij->i", n, to_light), 0, 1)
    thin = np.isin(ids, [k for k, name in enumerate(names) if name in ("flower", "leaf")])
    facing = np.where(thin, 0.12 + 0.88 * facing, facing)
    key = rgb(33, 27, 19) * (facing * clear / away**2)[:, None]
    fill = mix(rgb(0.07, 0.055, 0.045), rgb(0.13, 0.155, 0.20), 0.5 + 0.5 * n[:, 1])
    fill = fill + rgb(0.14, 0.085, 0.04) * np.clip(0.5 * n[:, 0] - 0.2 * n[:, 1], 0, 1)[:, None]
    out = color * (key + fill * open_air[:, None])
    mirror = rays - 2 * np.einsum("ij,ij->i", rays, n)[:, None] * n
    towards = np.clip(np.einsum("ij,ij->i", mirror, to_light), 0, 1)
    pane = smooth(0.975, 0.990, towards)
    edge = 0.04 + 0.96 * (1 - np.clip(-np.einsum("ij,ij->i", rays, n), 0, 1)) ** 5
    shine = gloss * (edge * 0.35 * open_air + clear * (0.10 * towards**30 + 1.1 * pane * edge * 6))
    picture[hit] = out + rgb(1.0, 0.93, 0.82) * shine[:, None]
    return picture.reshape(height, width, 3)
