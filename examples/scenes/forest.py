"""An autumn alley with sun through the leaves: trunks, branches and some sixty thousand leaves."""

from __future__ import annotations

import cv2
import numpy as np

from scenes.noise import Array, fbm, mix, rgb, smooth

HORIZON, FOCAL, EYE = 0.56, 0.95, 1.7
"""Row of the horizon and focal length in picture heights; height of the eye in meters."""
AIR = rgb(0.62, 0.47, 0.24)
LEAVES = np.float32(
    [
        [0.62, 0.26, 0.02],
        [0.70, 0.40, 0.04],
        [0.46, 0.12, 0.015],
        [0.34, 0.34, 0.04],
        [0.55, 0.18, 0.02],
        [0.20, 0.26, 0.03],
    ]
)


class Canvas:
    """A linear-light picture that is painted from far to near."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.focal = FOCAL * height
        self.picture = np.zeros((height, width, 3), np.float32)

    def project(self, p: Array) -> Array:
        """Pixel coordinates of points (N3, meters)."""
        z = np.maximum(p[:, 2], 0.3)
        u = self.width / 2 + self.focal * p[:, 0] / z
        v = self.height * HORIZON - self.focal * (p[:, 1] - EYE) / z
        return np.stack([u, v], -1)


def ground(canvas: Canvas) -> None:
    """Path, grass and fallen leaves, with the trees' shadows across them, under a bright sky."""
    h, w = canvas.height, canvas.width
    v = np.arange(h)[:, None] + 0.5
    below = np.maximum(v - h * HORIZON, 0.5)
    z = (canvas.focal * EYE / below + np.zeros((1, w))).astype(np.float32)
    x = ((np.arange(w)[None] + 0.5 - w / 2) * z / canvas.focal).astype(np.float32)
    bend = 0.9 * np.sin(z / 17) - 0.35
    fine = smooth(70, 8, z)
    side = np.abs(x - bend) + 0.35 * fbm(x / 0.8, z / 1.5, 4)
    gravel = fbm(x * 6, z * 4, 5, 0.7) * fine
    path = mix(rgb(0.20, 0.155, 0.11), rgb(0.42, 0.34, 0.24), smooth(-0.6, 0.6, gravel))
    blades = fbm(x * 11, z * 5, 5, 0.75) * fine
    grass = mix(rgb(0.045, 0.06, 0.012), rgb(0.20, 0.21, 0.035), smooth(-0.6, 0.7, blades))
    litter = fbm(x * 7 + 30, z * 5, 3, 0.7) * fine + 0.5 * fbm(x * 0.5, z * 0.3, 3)
    grass = mix(grass, rgb(0.46, 0.19, 0.025), smooth(0.05, 0.35, litter))
    path = mix(
        path, rgb(0.50, 0.22, 0.03), smooth(0.32, 0.55, litter + 0.25 * smooth(0.8, 1.7, side))
    )
    land = mix(path, grass, smooth(1.55, 2.05, side))
    stripe = fbm(x * 0.16 + 3, z * 0.55 + 0.25 * x, 5, 0.6)
    sunny = smooth(-0.10, 0.22, stripe)
    land = land * (rgb(0.13, 0.14, 0.19) + rgb(2.4, 1.75, 0.95) * sunny[..., None])
    land = mix(land, AIR, 1 - np.exp(-z / 110))
    glow = np.exp(
        -(((np.arange(w)[None] - 0.47 * w) / (0.30 * w)) ** 2 + ((v / h - 0.42) / 0.34) ** 2)
    )
    u = np.arange(w)[None] / w + 0 * v
    veil = fbm((u * 9).astype(np.float32), (v / h * 7 + 0 * u).astype(np.float32), 6, 0.6)
    far = mix(rgb(0.16, 0.15, 0.05), rgb(0.62, 0.44, 0.16), smooth(-0.5, 0.5, veil))
    sky = far + rgb(2.6, 1.9, 1.0) * glow[..., None]
    canvas.picture[:] = np.where((v > h * HORIZON)[..., None], land, sky)


def trunk(canvas: Canvas, points: Array, radii: Array, tone: Array) -> None:
    """A limb along ``points`` (N3), its bark lit from behind, with moss on the shaded side."""
    uv = canvas.project(points)
    far = points[:, 2].mean()
    haze = 1 - np.exp(-far / 120)
    thick = radii * canvas.focal / points[:, 2]
    if thick.max() < 2.2:
        color = (mix(tone * 0.5, AIR, np.float32(haze))).tolist()
        for a, b, r in zip(uv[:-1], uv[1:], thick[:-1], strict=True):
            cv2.line(canvas.picture, _at(a), _at(b), color, max(1, round(2 * r)), cv2.LINE_AA, 3)
        return
    y0, y1 = int(max(0, uv[:, 1].min())), int(min(canvas.height, uv[:, 1].max() + 1))
    if y0 >= y1:
        return
    rows = np.arange(y0, y1) + 0.5
    order = np.argsort(uv[:, 1])
    middle = np.interp(rows, uv[order, 1], uv[order, 0])
    half = np.interp(rows, uv[order, 1], thick[order])
    x0 = int(max(0, (middle - half).min() - 2))
    x1 = int(min(canvas.width, (middle + half).max() + 3))
    if x0 >= x1:
        return
    s = (np.arange(x0, x1)[None] + 0.5 - middle[:, None]) / half[:, None]
    cover = np.clip((1 - np.abs(s)) * half[:, None] + 0.5, 0, 1)
    round_ = np.arcsin(np.clip(s, -1, 1))
    meters = ((rows[:, None] - y0) / canvas.focal * far + 0 * s).astype(np.float32)
    seed = points[0, 0] * 7 + far
    bark = fbm((round_ * 3.2 + seed).astype(np.float32), meters * 2.6 + seed, 5, 0.62)
    furrow = np.abs(fbm((round_ * 5 + seed).astype(np.float32), meters * 1.1, 4, 0.6))
    color = tone * (0.45 + 0.8 * furrow + 0.35 * bark)[..., None]
    color = mix(color, rgb(0.07, 0.085, 0.015), smooth(0.0, 0.5, bark + 0.5 * s - 0.25))
    edge = rgb(2.4, 1.75, 0.9) * (np.clip(-np.sign(points[0, 0]) * s, 0, 1) ** 5)[..., None]
    dapple = smooth(0.12, 0.35, fbm((round_ + seed).astype(np.float32), meters * 0.7 + 9, 4))
    color = color * (0.24 + edge + rgb(1.5, 1.1, 0.6) * dapple[..., None] * 0.7)
    color = mix(color, AIR, np.full(s.shape, haze))
    view = canvas.picture[y0:y1, x0:x1]
    view[:] = mix(view, color, cover)


def _at(p: Array) -> tuple[int, int]:
    return int(np.clip(p[0], -3000, 9000) * 8), int(np.clip(p[1], -3000, 9000) * 8)


def leaves(canvas: Canvas, p: Array, size: float, tint: Array, rng: np.random.Generator) -> None:
    """Leaves at points (N3): those against the light glow."""
    order = np.argsort(-p[:, 2])
    p = p[order]
    uv = canvas.project(p)
    haze = (1 - np.exp(-p[:, 2] / 120)).astype(np.float32)
    shine = smooth(
        0.8, 0.15, np.hypot((uv[:, 0] / canvas.width - 0.47) * 1.3, uv[:, 1] / canvas.height - 0.4)
    )
    light = 0.12 + (0.45 + 2.2 * shine) * rng.random(len(p)) ** 2.2
    tone = tint * (1 + 0.3 * rng.normal(0, 1, (len(p), 1))).clip(0.3, 1.8) * light[:, None]
    tone = mix(tone.astype(np.float32), AIR, haze)
    r = np.maximum(size * canvas.focal / p[:, 2] * rng.uniform(0.6, 1.4, len(p)), 0.7)
    turn = rng.uniform(0, 180, len(p))
    for k in range(len(p)):
        u, v = uv[k]
        if -r[k] < u < canvas.width + r[k] and -r[k] < v < canvas.height + r[k]:
            axes = (int(r[k] * 8), max(4, int(r[k] * 8 * rng.uniform(0.35, 0.8))))
            if r[k] < 2:
                cv2.circle(
                    canvas.picture, _at(uv[k]), axes[0], tone[k].tolist(), -1, cv2.LINE_AA, 3
                )
            else:
                box = cv2.ellipse2Poly((int(u * 8), int(v * 8)), axes, int(turn[k]), 0, 360, 45)
                cv2.fillConvexPoly(canvas.picture, box, tone[k].tolist(), cv2.LINE_AA, 3)


def tree(canvas: Canvas, x: float, z: float, seed: int) -> None:
    """One tree: leaning trunk, forking branches, and leaves around their tips."""
    rng = np.random.default_rng(seed)
    tall, girth = rng.uniform(13, 17), rng.uniform(0.20, 0.34)
    tone = rgb(0.26, 0.20, 0.145) * rng.uniform(0.8, 1.15)
    inward = -np.sign(x)
    heights = np.linspace(-0.004, 1, 18)
    sway = np.cumsum(rng.normal(0, 0.05, 18)) + inward * 1.4 * np.clip(heights, 0, 1) ** 2
    stem = np.stack([x + sway, heights * tall, np.full(18, z)], -1)
    girths = (
        girth
        * (1 - 0.75 * np.clip(heights, 0, 1))
        * (1 + 0.9 * np.exp(-np.clip(heights, 0, 1) * 26))
    )
    limbs, tips = [], []
    for _ in range(rng.integers(9, 13)):
        k = rng.integers(6, 17)
        side = inward if rng.random() < 0.66 else -inward
        reach = rng.uniform(1.8, 4.6) * (1.25 - heights[k] * 0.55)
        end = stem[k] + [side * reach, rng.uniform(0.4, 2.4), rng.uniform(-1.6, 1.6)]
        t = np.linspace(0, 1, 6)[:, None]
        limb = stem[k] + (end - stem[k]) * t + rng.normal(0, 0.10, (6, 3)) * t
        limb[:, 1] += 0.5 * np.sin(t[:, 0] * np.pi)
        limbs.append((limb, girths[k] * np.linspace(0.42, 0.08, 6)))
        for _ in range(4):
            a = limb[rng.integers(2, 6)]
            b = a + rng.normal(0, 1, 3) * [0.9, 0.6, 0.6]
            limbs.append((np.stack([a, b]), np.array([0.03, 0.01])))
            tips.append(b)
        tips.append(end)
    hue = LEAVES[rng.integers(len(LEAVES))]
    for limb, thick in limbs[: len(limbs) // 2]:
        trunk(canvas, limb, thick, tone)
    centers = np.array(tips)
    count = int(np.clip(9000 / (1 + z / 18), 1500, 6000))
    at = centers[rng.integers(len(centers), size=count)]
    cloud = at + rng.normal(0, 1, (count, 3)) * [0.62, 0.42, 0.62]
    tint = np.where(
        rng.random((count, 1)) < 0.72, hue, LEAVES[rng.integers(len(LEAVES), size=count)]
    )
    behind = rng.random(count) < 0.55
    leaves(canvas, cloud[behind], 0.045 + 0.0012 * z, tint[behind], rng)
    trunk(canvas, stem, girths, tone)
    for limb, thick in limbs[len(limbs) // 2 :]:
        trunk(canvas, limb, thick, tone)
    foot = rng.normal(0, 1, (260, 3)) * [0.42, 0.03, 0.10] + [x, 0.05, z - 0.25]
    leaves(canvas, foot, 0.034, LEAVES[rng.integers(len(LEAVES), size=260)] * 0.55, rng)
    leaves(canvas, cloud[~behind], 0.045 + 0.0012 * z, tint[~behind], rng)


def render(width: int, height: int) -> Array:
    """Linear-light picture of the scene."""
    rng = np.random.default_rng(17)
    canvas = Canvas(width, height)
    ground(canvas)
    fallen = np.stack(
        [rng.normal(0, 4, 9000), np.full(9000, 0.01), 1.9 + rng.gamma(1.6, 4, 9000)], -1
    )
    dry = LEAVES[rng.integers(5, size=9000)] * 0.8
    leaves(canvas, fallen, 0.030, dry, rng)
    for z in np.geomspace(62, 6.0, 15):
        for side in (-1, 1):
            x = side * rng.uniform(3.0, 3.7) + 0.9 * np.sin(z / 17) - 0.35
            tree(canvas, x, z * rng.uniform(0.96, 1.04), int(rng.integers(1 << 30)))
        for _ in range(2):
            x = rng.choice([-1, 1]) * rng.uniform(7, 8 + 0.5 * z)
            tree(canvas, x, z * rng.uniform(0.9, 1.1), int(rng.integers(1 << 30)))
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    du, dv = u / width - 0.47, v / height - 0.22
    angle = np.arctan2(du * 1.5, dv)
    rays = smooth(-0.2, 0.6, fbm(angle * 3.3, 0 * angle, 4, 0.6)) * smooth(
        0.75, 0.1, np.hypot(du * 1.3, dv)
    )
    canvas.picture += AIR * (0.16 * rays)[..., None]
    bloom = cv2.GaussianBlur(np.minimum(canvas.picture, 3), (0, 0), width / 60)
    return canvas.picture * 0.70 + bloom * 0.13
