"""Gradient noise, its fractal sums, and the color arithmetic all scenes share."""

from __future__ import annotations

import numpy as np

Array = np.ndarray

_rng = np.random.default_rng(7)
_angles = _rng.uniform(0, 2 * np.pi, (256, 256)).astype(np.float32)
_GX, _GY = np.cos(_angles).ravel(), np.sin(_angles).ravel()
_VALUES = _rng.random((256, 256)).astype(np.float32).ravel()


def perlin(x: Array, y: Array) -> Array:
    """Gradient noise in about [-0.7, 0.7]; period 256 in both directions."""
    xf, yf = np.floor(x), np.floor(y)
    u, v = (x - xf).astype(np.float32), (y - yf).astype(np.float32)
    xi, yi = xf.astype(np.int32) & 255, yf.astype(np.int32) & 255
    xj, yj = (xi + 1) & 255, (yi + 1) & 255

    def corner(i: Array, j: Array, du: Array, dv: Array) -> Array:
        at = j * 256 + i
        return _GX[at] * du + _GY[at] * dv

    fade_u = u * u * u * (u * (u * 6 - 15) + 10)
    fade_v = v * v * v * (v * (v * 6 - 15) + 10)
    top = corner(xi, yi, u, v)
    top += fade_u * (corner(xj, yi, u - 1, v) - top)
    low = corner(xi, yj, u, v - 1)
    low += fade_u * (corner(xj, yj, u - 1, v - 1) - low)
    return top + fade_v * (low - top)


def fbm(x: Array, y: Array, octaves: int, gain: float = 0.5) -> Array:
    """Sum of octaves, each rotated so that no lattice shows; about [-1, 1]."""
    total = np.zeros(np.broadcast(x, y).shape, np.float32)
    amplitude = 1.0
    for _ in range(octaves):
        total += amplitude * perlin(x, y)
        x, y = 1.6 * x + 1.2 * y + 17.3, -1.2 * x + 1.6 * y + 9.1
        amplitude *= gain
    return total


def ridged(x: Array, y: Array, octaves: int, gain: float = 0.5) -> Array:
    """Sharp ridges, as erosion leaves them; [0, 2]. Each octave is weighted by the one before."""
    total = np.zeros(np.broadcast(x, y).shape, np.float32)
    amplitude, weight = 1.0, np.float32(1)
    for _ in range(octaves):
        n = 1 - np.abs(perlin(x, y)) * 1.5
        n = n * n
        total += amplitude * weight * n
        weight = np.clip(n * 1.6, 0, 1)
        x, y = 1.6 * x + 1.2 * y + 31.7, -1.2 * x + 1.6 * y + 3.9
        amplitude *= gain
    return total


def hashed(i: Array, j: Array) -> Array:
    """One random number in [0, 1) for each pair of integers."""
    i, j = np.asarray(i).astype(np.int64), np.asarray(j).astype(np.int64)
    return _VALUES[((i * 73 + j * 179) & 255) * 256 + ((j * 57 - i * 131 + (i >> 3)) & 255)]


def smooth(low: float, high: float, x: Array) -> Array:
    """0 below ``low``, 1 above ``high``, smooth between; ``low`` may be the greater."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(a: Array, b: Array, t: Array) -> Array:
    """``a`` where ``t`` is 0, ``b`` where it is 1; ``t`` without the color axis."""
    return a + (b - a) * np.asarray(t)[..., None]


def rgb(*values: float) -> Array:
    """A linear-light color."""
    return np.array(values, np.float32)


def develop(linear: Array, exposure: float = 1.0) -> Array:
    """Linear light to an 8-bit sRGB picture, with the soft shoulder of film."""
    x = np.maximum(linear * exposure, 0)
    x = x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14)
    x = np.clip(x, 0, 1)
    x = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    grain = np.random.default_rng(1).normal(0, 0.004, x.shape[:2])[..., None]
    return (np.clip(x + grain, 0, 1) * 255 + 0.5).astype(np.uint8)


def sample(grid: Array, x: Array, y: Array) -> Array:
    """``grid`` between its cells, bilinear; places outside take the nearest edge."""
    h, w = grid.shape[:2]
    x, y = np.clip(x, 0, w - 1.001), np.clip(y, 0, h - 1.001)
    i, j = x.astype(np.int32), y.astype(np.int32)
    u, v = (x - i).astype(np.float32), (y - j).astype(np.float32)
    if grid.ndim == 3:
        u, v = u[..., None], v[..., None]
    top = grid[j, i] * (1 - u) + grid[j, i + 1] * u
    return top * (1 - v) + (grid[j + 1, i] * (1 - u) + grid[j + 1, i + 1] * u) * v
