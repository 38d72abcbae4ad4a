"""Sphere tracing of soft shapes: each is a distance function with a bounding sphere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scenes.noise import Array

Distance = Callable[[Array], Array]


@dataclass(frozen=True)
class Shape:
    """Points with ``distance(p) < 0`` are inside; ``distance`` never overestimates by much."""

    distance: Distance
    center: tuple[float, float, float]
    radius: float
    """Of a sphere that holds the whole shape."""


def length(p: Array) -> Array:
    """Euclidean length along the last axis."""
    return np.sqrt(np.einsum("...i,...i->...", p, p))


def blend(a: Array, b: Array, k: float) -> Array:
    """Union of two distances, rounded over ``k``."""
    h = np.clip(0.5 + 0.5 * (b - a) / k, 0, 1)
    return b + (a - b) * h - k * h * (1 - h)


def ellipsoid(p: Array, center: Array, radii: Array) -> Array:
    """Distance to an axis-aligned ellipsoid (first-order)."""
    q = p - np.float32(center)
    r = np.float32(radii)
    k0, k1 = length(q / r), length(q / (r * r))
    return k0 * (k0 - 1) / np.maximum(k1, 1e-6)


def capsule(p: Array, a: Array, b: Array, ra: float, rb: float) -> Array:
    """Distance to a limb from ``a`` to ``b`` whose radius goes from ``ra`` to ``rb``."""
    a, b = np.float32(a), np.float32(b)
    pa, ba = p - a, b - a
    h = np.clip(pa @ ba / (ba @ ba), 0, 1)
    return length(pa - h[..., None] * ba) - (ra + (rb - ra) * h)


def nearest(shapes: list[Shape], p: Array) -> tuple[Array, Array]:
    """Distance from each point (N3) to the nearest shape, and its index."""
    best = np.full(len(p), 1e9, np.float32)
    index = np.full(len(p), -1, np.int32)
    for k, shape in enumerate(shapes):
        bound = length(p - np.float32(shape.center)) - shape.radius
        near = np.flatnonzero(bound < best)
        if not len(near):
            continue
        d = bound[near]
        close = np.flatnonzero(bound[near] < 0.1)
        d[close] = shape.distance(p[near[close]])
        win = d < best[near]
        best[near[win]], index[near[win]] = d[win], k
    return best, index


def trace(
    shapes: list[Shape],
    origin: Array,
    d: Array,
    far: float,
    steps: int = 90,
    precision: float = 0.0012,
) -> tuple[Array, Array]:
    """Distance along each ray (N3) to the first hit (inf: none), and the shape's index."""
    t = np.zeros(len(d), np.float32)
    which = np.full(len(d), -1, np.int32)
    active = np.arange(len(d))
    for _ in range(steps):
        p = (origin if origin.ndim == 1 else origin[active]) + d[active] * t[active, None]
        dist, index = nearest(shapes, p)
        hit = dist < precision * (1 + t[active])
        which[active[hit]] = index[hit]
        t[active] += np.where(hit, 0, dist)
        active = active[~hit & (t[active] < far)]
        if not len(active):
            break
    return np.where(which >= 0, t, np.inf), which


def normals(shapes: list[Shape], p: Array, which: Array, size: float = 0.002) -> Array:
    """Unit normals at hit points."""
    n = np.zeros_like(p)
    for corner in ((1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1)):
        c = np.float32(corner)
        for k in np.unique(which):
            of = which == k
            n[of] += c * shapes[k].distance(p[of] + c * np.float32(size))[:, None]
    return n / np.maximum(length(n), 1e-6)[:, None]


def sunlight(
    shapes: list[Shape], p: Array, to_light: Array, soft: float, far: float = 6.0, steps: int = 34
) -> Array:
    """Share of an area light that reaches each point; ``soft`` is its angular radius."""
    clear = np.ones(len(p), np.float32)
    t = np.full(len(p), 0.02, np.float32)
    active = np.arange(len(p))
    for _ in range(steps):
        dist, _ = nearest(shapes, p[active] + to_light[active] * t[active, None])
        clear[active] = np.minimum(clear[active], 0.5 + 0.5 * dist / (soft * t[active]))
        t[active] += np.clip(np.abs(dist), 0.02, 0.4)
        active = active[(clear[active] > 0.01) & (t[active] < far)]
        if not len(active):
            break
    clear = np.clip(clear, 0, 1)
    return clear * clear * (3 - 2 * clear)


def openness(shapes: list[Shape], p: Array, n: Array, reach: float = 0.35) -> Array:
    """Ambient occlusion: 1 in the open, towards 0 in crevices."""
    hidden = np.zeros(len(p), np.float32)
    for k in range(1, 5):
        step = reach * k / 4
        dist, _ = nearest(shapes, p + n * step)
        hidden += np.clip(step - dist, 0, None) / step * 0.55**k
    return np.clip(1 - 1.1 * hidden, 0.05, 1)
