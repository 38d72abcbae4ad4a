"""Height fields seen in perspective, with a mirror lake below them, under a cloudy sky."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from scenes.noise import Array, fbm, mix, rgb, sample, smooth

Height = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Camera:
    """Looks along +z, level; world units are meters."""

    width: int
    height: int
    focal: float
    """In pixels."""
    horizon: float
    """Row of the horizon."""
    x: float
    y: float
    z: float


@dataclass
class View:
    """What each pixel sees: the place on the ground, its distance, or the sky."""

    x: Array
    z: Array
    far: Array
    """Distance along z."""
    sky: Array


def see(camera: Camera, height: Height, near: float, far: float, steps: int) -> View:
    """Find the first ground point behind every pixel: columns are marched front to back."""
    depth = np.geomspace(near, far, steps).astype(np.float32)[:, None]
    column = ((np.arange(camera.width) + 0.5 - camera.width / 2) / camera.focal).astype(np.float32)
    ground = height(camera.x + depth * column, camera.z + depth + 0 * column)
    row_of = camera.horizon + camera.focal * (camera.y - ground) / depth
    top = np.minimum.accumulate(row_of, axis=0)
    rows = np.arange(camera.height) + 0.5
    hit = np.empty((camera.height, camera.width), np.int32)
    for u in range(camera.width):
        hit[:, u] = np.searchsorted(-top[:, u], -rows)
    sky = hit >= steps
    k = np.clip(hit, 1, steps - 1)
    u = np.arange(camera.width)[None, :]
    before, after = row_of[k - 1, u], row_of[k, u]
    t = np.clip((before - rows[:, None]) / np.maximum(before - after, 1e-6), 0, 1)
    z = 1 / ((1 - t) / depth[k - 1, 0] + t / depth[k, 0])
    z = np.where(hit == 0, depth[0, 0], z).astype(np.float32)
    if camera.y < 0:  # a mirrored eye: its rays begin at the water, not before
        surface = -camera.focal * camera.y / np.maximum(camera.horizon - rows, 1e-3)
        sky |= z < 0.97 * surface[:, None]
    return View(camera.x + z * column, camera.z + z, z, sky)


def normals(height: Height, x: Array, z: Array, size: Array) -> Array:
    """Unit normals (x, up, z) by differences over ``size`` meters."""
    here = height(x, z)
    n = np.stack([here - height(x + size, z), size + 0 * x, here - height(x, z + size)], -1)
    return n / np.linalg.norm(n, axis=-1, keepdims=True)


def shadow_map(height: Height, box: tuple[float, float, float, float], sun: Array) -> Callable:
    """Soft shadows of a height field on a grid of ``box`` (x0, x1, z0, z1), as a function."""
    size = 768
    x0, x1, z0, z1 = box
    gx, gz = np.meshgrid(np.linspace(x0, x1, size), np.linspace(z0, z1, size))
    ground = height(gx.astype(np.float32), gz.astype(np.float32))
    cell = (x1 - x0) / size
    i, j = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    clear = np.ones_like(ground)
    run = np.hypot(sun[0], sun[2])
    for d in np.geomspace(cell, (x1 - x0) / 2, 60):
        di, dj = sun[0] / run * d / cell, sun[2] / run * d * size / (z1 - z0)
        there = cv2.remap(
            ground,
            i + np.float32(di),
            j + np.float32(dj),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        above = ground + d * sun[1] / run - there
        clear = np.minimum(clear, np.clip(0.5 + above / (0.06 * d + 2), 0, 1))

    def lookup(x: Array, z: Array) -> Array:
        return sample(clear, (x - x0) / (x1 - x0) * size, (z - z0) / (z1 - z0) * size)

    return lookup


def directions(camera: Camera) -> Array:
    """Unit view directions (x, up, z) of all pixels."""
    u = (np.arange(camera.width) + 0.5 - camera.width / 2) / camera.focal
    v = (camera.horizon - np.arange(camera.height) - 0.5) / camera.focal
    d = np.stack(np.broadcast_arrays(u[None, :], v[:, None], np.float64(1)), -1).astype(np.float32)
    return d / np.linalg.norm(d, axis=-1, keepdims=True)


def sky(
    d: Array, sun: Array, zenith: Array, haze: Array, glow: Array, cover: float, drift: float = 0.0
) -> Array:
    """Radiance of the sky in directions ``d``: gradient, sun, and lit clouds on a plane."""
    up = np.maximum(d[..., 1], 0)
    towards = np.clip(d @ sun, 0, 1)
    color = mix(haze, zenith, 1 - np.exp(-4.5 * up))
    color = color + glow * (0.35 * towards**6 + 0.5 * towards**40 + 2 * towards**600)[..., None]
    s = 1 / (up + 0.09)
    x, y = d[..., 0] * s * 1.3 + drift, d[..., 2] * s * 1.3
    warp = fbm(x * 0.7 + 5, y * 0.7, 3)
    shape = fbm(x + 0.7 * warp, y * 1.3 + 3 + 0.5 * warp, 7, 0.52)
    thick = smooth(0.25 - cover, 0.75 - cover, shape)
    toward_sun = fbm(x + 0.7 * warp + 0.16 * sun[0], y * 1.3 + 3 + 0.5 * warp + 0.16, 4, 0.52)
    lit = np.clip(0.55 + 1.3 * (shape - toward_sun), 0, 1.3)
    cloud = mix(0.62 * zenith + 0.3 * haze, 0.75 * haze + 0.55 * glow, lit)
    cloud = cloud + glow * (0.5 * towards**12 * (1 - 0.6 * thick))[..., None]
    return mix(color, cloud, thick * smooth(0.0, 0.09, up) * 0.92)


def ripples(camera: Camera, time: float = 0.0, strength: float = 1.0) -> tuple[Array, Array, Array]:
    """Slopes (sideways, forward) of the water at each pixel below the horizon, and its distance."""
    v = np.arange(camera.height)[:, None] + 0.5 - camera.horizon
    z = camera.focal * camera.y / np.maximum(v, 0.5)
    u = (np.arange(camera.width) + 0.5 - camera.width / 2) / camera.focal
    x = (z * u[None, :] + camera.x).astype(np.float32)
    wz = (z + camera.z + 0 * x).astype(np.float32)
    fade = 1 / (1 + (z / (camera.y * 40)) ** 1.2)
    sideways = fbm(x / 3.1 + 0.5 * time, wz / 1.1 + 1.1 * time, 4, 0.6)
    forward = fbm(x / 3.7 + 40 - 0.4 * time, wz / 0.9 - 1.3 * time, 4, 0.6)
    calm = 0.35 + 0.65 * smooth(-0.25, 0.3, fbm(x / 60, wz / 22 + 7, 3))
    return sideways * fade * calm * strength, forward * fade * calm * strength, z + 0 * x


def flood(
    picture: Array, mirror: Array, camera: Camera, water: Array, wind: float, time: float = 0.0
) -> None:
    """Put rippled water where ``water`` says; ``mirror`` is the view of the eye's mirror image."""
    sideways, forward, far = ripples(camera, time, wind)
    rows, cols = np.mgrid[0 : camera.height, 0 : camera.width].astype(np.float32)
    near = np.sqrt(8 * camera.y / np.maximum(far, camera.y))
    up = 2 * camera.horizon - rows - 1 - np.abs(forward) * camera.width * 0.022 * near
    aside = cols + sideways * camera.width * 0.008
    seen = cv2.remap(
        mirror,
        aside.astype(np.float32),
        up.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    seen = np.minimum(seen, 2.5)
    below = np.maximum(rows - camera.horizon, 1)
    facing = np.clip(below / np.hypot(camera.focal, below) + 0.25 * forward, 0, 1)
    fresnel = 0.05 + 0.95 * (1 - facing) ** 4
    body = rgb(0.012, 0.05, 0.065) + rgb(0.02, 0.03, 0.02) * smooth(60, 10, far)[..., None]
    picture[water] = (body + (seen * 0.93 - body) * fresnel[..., None])[water]


def haze_over(
    color: Array, far: Array, d: Array, sun: Array, haze: Array, glow: Array, reach: float
) -> Array:
    """Aerial perspective: distance turns everything into lit air, warmer towards the sun."""
    towards = np.clip(d @ sun, 0, 1)
    air = haze + glow * (0.3 * towards**8)[..., None]
    return mix(color, air, 1 - np.exp(-far / reach))
