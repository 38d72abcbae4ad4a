"""The portrait of a ginger cat in a garden, with its exact outline."""

from __future__ import annotations

import cv2
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
from scenes.noise import Array, fbm, mix, rgb, smooth

SUN = np.array([-0.55, 0.68, -0.48], np.float32)
SUN /= np.linalg.norm(SUN)
EYES = ((-0.225, 0.075, -0.43), (0.225, 0.075, -0.43))


def coat(p: Array) -> Array:
    """Distance to the furry part: head, ears, muzzle, chest, forelegs, back."""
    q = p * np.float32([1, 1, 1])
    q[:, 0] = np.abs(q[:, 0])
    head = ellipsoid(q, [0, 0.02, 0], [0.57, 0.47, 0.47])
    head = blend(head, ellipsoid(q, [0.30, -0.13, -0.12], [0.31, 0.24, 0.30]), 0.12)
    head = blend(head, ellipsoid(q, [0.11, -0.18, -0.46], [0.17, 0.125, 0.15]), 0.06)
    head = blend(head, ellipsoid(q, [0, -0.27, -0.40], [0.12, 0.085, 0.11]), 0.05)
    head = blend(head, capsule(q, (0, 0.25, -0.36), (0, -0.06, -0.50), 0.08, 0.065), 0.10)
    socket = length(q - np.float32([0.225, 0.075, -0.455])) - 0.125
    head = -blend(-head, socket, 0.05)
    ball = q - np.float32(EYES[1])
    lid = np.abs(length(ball) - 0.118) - 0.014
    upper = ball @ np.float32([0.25, -0.90, 0.30]) + 0.096
    lower = ball @ np.float32([0.12, 0.95, 0.25]) + 0.112
    head = blend(head, np.maximum(lid, np.minimum(upper, lower)), 0.02)
    turned = q - np.float32([0.36, 0.44, 0.02])
    turned = turned @ np.float32([[0.88, 0.35, 0.30], [-0.40, 0.90, 0.12], [-0.25, -0.22, 0.94]])
    up = np.clip(turned[:, 1] / 0.42, -0.3, 1)
    wide = 0.235 * (1 - np.clip(up, 0, 1)) ** 0.72 + 0.018
    ear = np.hypot(np.maximum(np.abs(turned[:, 0]) - wide, 0), np.maximum(turned[:, 1] - 0.42, 0))
    hollow = turned[:, 2] + 0.10 * (1 - (turned[:, 0] / 0.24) ** 2) * (1 - up)
    ear = np.maximum(np.maximum(ear, np.abs(hollow) - 0.035), -0.30 - turned[:, 1]) * 0.6
    head = blend(head, ear, 0.05)
    chest = ellipsoid(q, [0, -0.92, 0.16], [0.50, 0.62, 0.42])
    chest = blend(chest, ellipsoid(q, [0, -1.45, 0.55], [0.78, 0.85, 0.75]), 0.25)
    chest = blend(chest, capsule(q, (0.23, -1.0, -0.14), (0.25, -2.1, -0.22), 0.20, 0.15), 0.15)
    return blend(head, chest, 0.22) * 0.85


def pattern(p: Array) -> Array:
    """Ginger with darker stripes, white on muzzle, chest and chin."""
    x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
    wobble = fbm(p[:, 0] * 3 + 5, y * 3 + z * 2, 4)
    brow = np.sin(26 * x + 3 * wobble) * smooth(0.10, 0.24, y) * smooth(0.5, 0.3, x)
    cheek = (
        np.sin(21 * (y + 0.35 * x) + 2.5 * wobble) * smooth(0.30, 0.42, x) * smooth(0.25, 0.05, y)
    )
    side = np.sin(11 * y + 5 * x + 3.2 * wobble) * smooth(-0.5, -0.8, y) * smooth(0.18, 0.4, x)
    stripes = smooth(0.15, 0.75, brow + cheek + side)
    fur = mix(rgb(0.56, 0.255, 0.075), rgb(0.66, 0.37, 0.14), smooth(-0.5, 0.5, wobble))
    fur = mix(fur, rgb(0.30, 0.095, 0.02), stripes * 0.9)
    muzzle = length(np.stack([x * 0.85, (y + 0.24) * 1.15, z + 0.48], -1)) + 0.04 * wobble
    white = smooth(0.27, 0.20, muzzle)
    bib = smooth(0.30, 0.20, x + 0.10 * wobble + 0.16 * smooth(-0.9, -0.4, y)) * smooth(
        -0.32, -0.42, y
    )
    fur = mix(fur, rgb(0.78, 0.73, 0.66), np.maximum(white, bib * smooth(0.35, 0.1, z)))
    ring = smooth(0.19, 0.15, length(np.stack([x - 0.225, y - 0.075, (z + 0.43) * 0.5], -1)))
    fur = mix(fur, rgb(0.74, 0.58, 0.40), ring * 0.45)
    inside = (
        smooth(0.50, 0.56, y)
        * smooth(0.02, -0.04, z)
        * smooth(0.15, 0.06, np.abs(x - 0.42 - 0.15 * (y - 0.5)))
    )
    return mix(fur, rgb(0.62, 0.34, 0.28), inside * 0.8)


def eye(p: Array, center: Array) -> Array:
    """Iris, slit pupil and rim of one eye."""
    q = (p - np.float32(center)) / 0.118
    r = np.hypot(q[:, 0], q[:, 1])
    angle = np.arctan2(q[:, 1], q[:, 0])
    fibre = fbm(angle * 9, r * 2, 3)
    iris = mix(rgb(0.42, 0.40, 0.05), rgb(0.14, 0.30, 0.07), smooth(0.25, 0.8, r + 0.2 * fibre))
    slit = smooth(
        0.02, -0.02, np.abs(q[:, 0]) - 0.26 * np.sqrt(np.clip(1 - (q[:, 1] / 0.8) ** 2, 0, 1))
    )
    return mix(iris, rgb(0.006, 0.006, 0.006), np.maximum(slit, smooth(0.80, 0.90, r)))


def eyeball(center: tuple[float, float, float]) -> Shape:
    """One eye."""
    at = np.float32(center)
    return Shape(lambda p: length(p - at) - 0.112, center, 0.115)


def garden(width: int, height: int) -> Array:
    """Bushes, roses and bright gaps behind the cat, a little out of focus."""
    rng = np.random.default_rng(31)
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    u, v = u / height, v / height
    mass = fbm(u * 3.2, v * 3.2 + 4, 6, 0.55)
    leaf = fbm(u * 16, v * 16, 5, 0.65)
    out = mix(
        rgb(0.012, 0.026, 0.012), rgb(0.15, 0.21, 0.035), smooth(-0.6, 0.7, mass + 0.5 * leaf)
    )
    out = mix(out, rgb(0.75, 0.72, 0.42), smooth(0.35, 0.75, mass - 0.8 * (v - 0.35)))
    for _ in range(900):
        x, y, r = rng.uniform(0, width), rng.uniform(0, height), height * rng.uniform(0.006, 0.018)
        lit = rng.random() ** 2 * (1.15 - y / height)
        tone = rgb(0.03, 0.06, 0.015) + rgb(0.26, 0.34, 0.06) * lit
        turn = rng.uniform(0, 180)
        cv2.ellipse(
            out,
            (int(x), int(y)),
            (int(2.2 * r), int(r)),
            turn,
            0,
            360,
            tone.tolist(),
            -1,
            cv2.LINE_AA,
        )
    for _ in range(46):
        x, y, r = (
            rng.uniform(0, width),
            height * rng.uniform(0.2, 1.05),
            height * rng.uniform(0.016, 0.038),
        )
        hue = (rgb(0.62, 0.05, 0.08), rgb(0.72, 0.30, 0.36), rgb(0.80, 0.66, 0.55))[rng.integers(3)]
        for ring in np.linspace(1, 0.2, 5):
            for k in range(6):
                a = k * np.pi / 3 + ring * 4 + x
                at = (int(x + np.cos(a) * r * ring * 0.5), int(y + np.sin(a) * r * ring * 0.5))
                tone = hue * float(0.45 + 0.55 * rng.random() - 0.2 * np.sin(a))
                cv2.circle(out, at, max(2, int(r * ring * 0.62)), tone.tolist(), -1, cv2.LINE_AA)
    return cv2.GaussianBlur(out, (0, 0), height / 240) * 0.8


def fur(picture: Array, cover: Array, spots: Array, flow: Array, scale: float) -> None:
    """Comb hairs over the lit surface: each takes the color of the place it grows from."""
    rng = np.random.default_rng(8)
    ys, xs = np.nonzero(spots > 0)
    pick = rng.permutation(len(ys))[: int(len(ys) * 0.30)]
    tones = picture[ys, xs] * rng.lognormal(0.02, 0.22, (len(ys), 1))
    for k in pick:
        x, y = xs[k], ys[k]
        d = flow[y, x] + rng.normal(0, 0.16, 2)
        long = scale * spots[y, x] * rng.uniform(0.6, 1.4)
        bend = rng.normal(0, 0.12) * long
        points = np.array(
            [
                [x, y],
                [x + d[0] * long * 0.55 + bend, y + d[1] * long * 0.55],
                [x + d[0] * long, y + d[1] * long + 0.12 * long],
            ]
        )
        line = (points * 16).astype(np.int32)
        cv2.polylines(picture, [line], False, tones[k].tolist(), 1, cv2.LINE_AA, 4)
        cv2.polylines(cover, [line], False, 1.0, 1, cv2.LINE_AA, 4)


def render(width: int, height: int) -> Array:
    """Linear-light picture of the scene."""
    return layers(width, height)[0]


def layers(width: int, height: int) -> tuple[Array, Array]:
    """Linear-light picture of the scene, and the cat's outline in [0, 1]."""
    shapes = [Shape(coat, (0, -0.8, 0.2), 2.6)]
    shapes += [eyeball(center) for center in EYES]
    shapes.append(
        Shape(
            lambda p: ellipsoid(p, [0, -0.085, -0.555], [0.062, 0.042, 0.045]),
            (0, -0.085, -0.555),
            0.08,
        )
    )
    eye_at = np.float32([-0.12, 0.12, -4.6])
    u = (np.arange(width) + 0.5 - width / 2) / height * 0.52
    v = (height * 0.40 - np.arange(height) - 0.5) / height * 0.52
    d = np.stack(np.broadcast_arrays(u[None] + 0.026, v[:, None], 1.0), -1).astype(np.float32)
    d = (d / np.linalg.norm(d, axis=-1, keepdims=True)).reshape(-1, 3)
    t, which = trace(shapes, eye_at, d, 9.0, steps=110)
    picture = garden(width, height)
    hit = np.flatnonzero(which >= 0)
    ids, rays = which[hit], d[hit]
    p = eye_at + rays * t[hit, None]
    n = normals(shapes, p, ids, 0.004)
    to_sun = np.broadcast_to(SUN, p.shape)
    clear = sunlight(shapes, p + n * 0.02, to_sun, 0.12, 3.0)
    air = openness(shapes, p, n, 0.22)
    color, gloss = pattern(p), np.zeros(len(p), np.float32)
    for k, center in enumerate(EYES, 1):
        color[ids == k], gloss[ids == k] = eye(p[ids == k], np.float32(center)), 1
    color[ids == 3], gloss[ids == 3] = rgb(0.50, 0.20, 0.17), 0.25
    bow = np.abs(p[:, 1] + 0.245 - 0.45 * np.abs(p[:, 0]))
    lips = (ids == 0) & (p[:, 2] < -0.4) & (np.abs(p[:, 0]) < 0.15) & (p[:, 1] > -0.3)
    mouth = smooth(0.014, 0.004, bow) * lips
    color = mix(color, rgb(0.10, 0.04, 0.03), mouth * 0.8)
    facing = np.clip(n @ SUN, 0, 1)
    rim = np.clip(1 + np.einsum("ij,ij->i", rays, n), 0, 1) ** 3
    light = rgb(1.9, 1.55, 1.08) * (facing * clear)[:, None]
    light = (
        light
        + mix(rgb(0.16, 0.17, 0.08), rgb(0.26, 0.31, 0.37), 0.5 + 0.5 * n[:, 1]) * air[:, None]
    )
    light = light + rgb(0.7, 0.6, 0.36) * (rim * (0.4 + 0.6 * clear) * (ids == 0))[:, None]
    out = color * light
    mirror = rays - 2 * np.einsum("ij,ij->i", rays, n)[:, None] * n
    window = smooth(0.93, 0.96, mirror @ SUN) * 2.5 + 0.12 * smooth(-0.1, 0.9, mirror[:, 1])
    out = out + (gloss * window)[:, None] * rgb(1, 1, 0.95)
    flat = picture.reshape(-1, 3)
    flat[hit] = out
    cover = np.zeros(height * width, np.float32)
    cover[hit] = 1
    # Hair grows away from the nose, and down the chest; the view keeps its part across the screen.
    grow = (p - np.float32([0, -0.08, -0.60])) * np.float32([1.0, 0.75, 1.0])
    grow = mix(grow, np.float32([0.25, -1, -0.1]) * np.ones_like(p), smooth(-0.35, -0.65, p[:, 1]))
    ears = smooth(0.42, 0.55, p[:, 1])
    grow = mix(grow, np.stack([np.sign(p[:, 0]) * 0.35, 1 + 0 * p[:, 0], 0 * p[:, 0]], -1), ears)
    grow -= np.einsum("ij,ij->i", grow, n)[:, None] * n
    grow /= np.maximum(length(grow), 1e-3)[:, None]
    flow = np.zeros((height * width, 2), np.float32)
    flow[hit] = np.stack([grow[:, 0], -grow[:, 1]], -1)
    spots = np.zeros(height * width, np.float32)
    near_eye = 0.03 + np.minimum(
        *(length((p - np.float32(c)) * np.float32([1, 1, 0.5])) for c in EYES)
    )
    hair = np.where(p[:, 1] < -0.45, 1.7, 0.8) * smooth(0.11, 0.22, near_eye) + 0.12
    hair = hair * (1 - 0.7 * smooth(0.30, 0.10, length(p - np.float32([0, -0.15, -0.55]))))
    spots[hit] = np.where(ids == 0, hair, 0)
    outline = cover.reshape(height, width)
    picture = flat.reshape(height, width, 3)
    face = picture.copy()
    fur(picture, outline, spots.reshape(height, width), flow.reshape(height, width, 2), height / 36)
    keep = np.isin(which.reshape(height, width), (1, 2, 3))
    soft = cv2.GaussianBlur(keep.astype(np.float32), (0, 0), height / 900)
    picture = mix(picture, face, soft)
    whiskers(picture, outline, width, height)
    return picture, np.clip(outline, 0, 1)


def whiskers(picture: Array, outline: Array, width: int, height: int) -> None:
    """Long white arcs from the muzzle and the brows."""
    rng = np.random.default_rng(2)

    def at(x: float, y: float) -> tuple[float, float]:
        k = height / 0.52 / 4.1
        return width / 2 + (x - 0.026 * 4.1 + 0.12) * k, height * 0.40 - (y - 0.12) * k

    for side in (-1, 1):
        for k in range(9):
            start = side * rng.uniform(0.10, 0.20), rng.uniform(-0.24, -0.14)
            reach, rise = rng.uniform(0.55, 0.85), (k - 4) * 0.055 + rng.normal(0, 0.02)
            s = np.linspace(0, 1, 14)
            xs = start[0] + side * reach * s
            ys = start[1] + rise * s - 0.16 * s**2.2
            line = np.array([at(x, y) for x, y in zip(xs, ys, strict=True)])
            line = (line * 16).astype(np.int32)
            cv2.polylines(
                picture, [line], False, (1.0, 0.96, 0.88), max(1, height // 620), cv2.LINE_AA, 4
            )
            cv2.polylines(outline, [line], False, 1.0, max(1, height // 620), cv2.LINE_AA, 4)
