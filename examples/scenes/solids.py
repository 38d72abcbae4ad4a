"""Ray casting of convex solids, each the inside of a few planes: houses, walls, hulls, masts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from scenes.noise import Array
from scenes.terrain import Camera, directions


@dataclass
class Solid:
    """Points p with ``normals @ p <= offsets``; planes 0..3 of a house are its walls."""

    normals: Array
    offsets: Array
    low: Array
    high: Array
    """Corners of the bounding box."""
    look: dict[str, object] = field(default_factory=dict)
    """Whatever the scene needs to paint it."""


def box(x0: float, x1: float, y0: float, y1: float, z0: float, z1: float, **look: object) -> Solid:
    """An upright box: walls front (-z), back, left, right; then floor and top."""
    n = [[0, 0, -1], [0, 0, 1], [-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0]]
    d = [-z0, z1, -x0, x1, -y0, y1]
    return _solid(n, d, [x0, y0, z0], [x1, y1, z1], look)


def house(
    x0: float,
    x1: float,
    y0: float,
    y1: float,
    z0: float,
    z1: float,
    pitch: float,
    gable: bool,
    **look: object,
) -> Solid:
    """A box whose top is a ridged roof; ``gable``: the gable faces the viewer."""
    n = [[0, 0, -1], [0, 0, 1], [-1, 0, 0], [1, 0, 0], [0, -1, 0]]
    d = [-z0, z1, -x0, x1, -y0]
    a, b = (x0, x1) if gable else (z0, z1)
    for s, edge in ((-1, a), (1, b)):
        slope = [s * pitch, 1, 0] if gable else [0, 1, s * pitch]
        length = np.hypot(pitch, 1)
        n.append([c / length for c in slope])
        d.append((y1 + s * pitch * edge) / length)
    return _solid(n, d, [x0, y0, z0], [x1, y1 + pitch * (b - a) / 2, z1], look)


def spire(x: float, z: float, y0: float, y1: float, side: float, **look: object) -> Solid:
    """A pyramid on a square of ``side``."""
    k = (y1 - y0) / (side / 2)
    length = np.hypot(k, 1)
    n = [
        [0, 1 / length, -k / length],
        [0, 1 / length, k / length],
        [-k / length, 1 / length, 0],
        [k / length, 1 / length, 0],
        [0, -1, 0],
    ]
    d = [
        (y1 - k * z) / length,
        (y1 + k * z) / length,
        (y1 - k * x) / length,
        (y1 + k * x) / length,
        -y0,
    ]
    return _solid(n, d, [x - side / 2, y0, z - side / 2], [x + side / 2, y1, z + side / 2], look)


def hull(x: float, z: float, long: float, wide: float, tall: float, **look: object) -> Solid:
    """A boat's hull seen from the side, its bow to the right."""
    n = [[0, -0.5, -1], [0, -0.5, 1], [-1, -0.35, 0], [1, -0.8, 0], [0, -1, 0], [0, 1, 0]]
    n += [[0.45, -0.3, -1], [0.45, -0.3, 1]]
    m = np.array(n, float)
    m /= np.linalg.norm(m, axis=1, keepdims=True)
    tips = [
        [x, tall, z - wide / 2],
        [x, tall, z + wide / 2],
        [x - long / 2, tall, z],
        [x + long / 2, tall, z],
        [x, -0.4, z],
        [x, tall, z],
        [x + long * 0.28, tall, z - wide / 2],
        [x + long * 0.28, tall, z + wide / 2],
    ]
    d = [float(a @ b) for a, b in zip(m, np.array(tips), strict=True)]
    return _solid(
        m,
        d,
        [x - long / 2 - 1, -0.4, z - wide / 2 - 1],
        [x + long / 2 + 1, tall, z + wide / 2 + 1],
        look,
    )


def _solid(n: object, d: object, low: object, high: object, look: dict[str, object]) -> Solid:
    return Solid(
        np.array(n, np.float32),
        np.array(d, np.float32),
        np.array(low, np.float32),
        np.array(high, np.float32),
        look,
    )


def cut(solid: Solid, origin: Array, d: Array) -> tuple[Array, Array]:
    """Distance along each ray to ``solid`` (inf: missed) and the plane that was hit."""
    near = np.full(d.shape[:-1], -np.inf, np.float32)
    far = np.full(d.shape[:-1], np.inf, np.float32)
    plane = np.zeros(d.shape[:-1], np.int8)
    for k, (n, offset) in enumerate(zip(solid.normals, solid.offsets, strict=True)):
        slope = d @ n
        slope = np.where(np.abs(slope) < 1e-7, np.float32(1e-7), slope)
        t = (offset - origin @ n) / slope
        enter = (slope < 0) & (t > near)
        plane[enter] = k
        near = np.where(enter, t, near)
        far = np.where((slope > 0) & (t < far), t, far)
    return np.where((near < far) & (near > 1e-3), near, np.inf), plane


def cast(camera: Camera, solids: list[Solid]) -> tuple[Array, Array, Array]:
    """First hit of each pixel: distance (inf: none), index of the solid (-1) and its plane."""
    d = directions(camera)
    eye = np.array([camera.x, camera.y, camera.z], np.float32)
    depth = np.full(d.shape[:2], np.inf, np.float32)
    which = np.full(d.shape[:2], -1, np.int32)
    plane = np.zeros(d.shape[:2], np.int8)
    for index, solid in enumerate(solids):
        rect = _on_screen(camera, solid)
        if rect is None:
            continue
        t, k = cut(solid, eye, d[rect])
        nearer = t < depth[rect]
        depth[rect] = np.where(nearer, t, depth[rect])
        which[rect] = np.where(nearer, index, which[rect])
        plane[rect] = np.where(nearer, k, plane[rect])
    return depth, which, plane


def _corners(solid: Solid) -> Array:
    pick = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1]), -1).reshape(-1, 3)
    return np.where(pick == 0, solid.low, solid.high)


def _on_screen(camera: Camera, solid: Solid) -> tuple[slice, slice] | None:
    p = _corners(solid) - np.array([camera.x, camera.y, camera.z], np.float32)
    z = np.maximum(p[:, 2], 0.5)
    u = camera.width / 2 + camera.focal * p[:, 0] / z
    v = camera.horizon - camera.focal * p[:, 1] / z
    x0, x1 = max(0, int(u.min()) - 1), min(camera.width, int(u.max()) + 2)
    y0, y1 = max(0, int(v.min()) - 1), min(camera.height, int(v.max()) + 2)
    return (slice(y0, y1), slice(x0, x1)) if x0 < x1 and y0 < y1 else None


def shaded(points: Array, solids: list[Solid], sun: Array) -> Array:
    """True where a solid stands between a point (N3) and the sun."""
    side = np.cross(sun, [0, 1, 0])
    side /= np.linalg.norm(side)
    axes = np.stack([side, np.cross(side, sun)], -1).astype(np.float32)
    at = points @ axes
    dark = np.zeros(len(points), bool)
    for solid in solids:
        c = _corners(solid) @ axes
        low, high = c.min(0), c.max(0)
        inside = (at[:, 0] > low[0]) & (at[:, 0] < high[0]) & (at[:, 1] > low[1])
        near = np.flatnonzero(inside & (at[:, 1] < high[1]) & ~dark)
        if len(near):
            d = np.broadcast_to(sun, (len(near), 3))
            dark[near] = np.isfinite(cut(solid, points[near], d)[0])
    return dark
