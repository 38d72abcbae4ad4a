"""Abstract paintings: strokes along currents, a mosaic, ink."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

Field = np.ndarray


def _smooth(rng: np.random.Generator, width: int, height: int, cell: float) -> Field:
    """Smooth noise in about [-1, 1], h w, with bumps `cell` pixels wide."""
    small = rng.standard_normal((int(height / cell) + 4, int(width / cell) + 4)).astype(np.float32)
    large = cv2.resize(small, None, fx=cell, fy=cell, interpolation=cv2.INTER_CUBIC)
    return large[:height, :width] / 1.5


def _colors(palette: Sequence[tuple[int, int, int]], level: Field) -> np.ndarray:
    """Colors between those of a palette; level 0 is the first, 1 the last."""
    stops = np.array(palette, np.float32)
    place = np.clip(level, 0, 1) * (len(stops) - 1)
    low = np.minimum(place.astype(int), len(stops) - 2)
    share = (place - low)[..., None]
    return stops[low] * (1 - share) + stops[low + 1] * share


def _stroke(
    canvas: np.ndarray,
    rng: np.random.Generator,
    points: np.ndarray,
    color: np.ndarray,
    width: float,
) -> None:
    """One stroke of a dry brush: a body, and bristles that are lighter or darker than it."""
    body = tuple(float(c) for c in color)
    line = (points * 16).round().astype(np.int32)
    cv2.polylines(canvas, [line], False, body, max(1, round(width)), cv2.LINE_AA, 4)
    along = np.gradient(points, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-6
    for _ in range(round(width / 1.6)):
        offset = rng.uniform(-0.5, 0.5) * width
        shade = np.clip(color * (1 + 0.16 * rng.standard_normal()) + 8 * rng.standard_normal(),
                        0, 255)  # fmt: skip
        line = ((points + across * offset) * 16).round().astype(np.int32)
        cut = slice(rng.integers(0, 3), len(points) - rng.integers(0, 3))
        cv2.polylines(canvas, [line[cut]], False, tuple(map(float, shade)), 1, cv2.LINE_AA, 4)


def _path(start: np.ndarray, angle: Field, length: float) -> np.ndarray:
    """Points along a field of directions."""
    height, width = angle.shape
    points, steps = [start], 9
    for _ in range(steps - 1):
        x, y = points[-1]
        turn = angle[int(np.clip(y, 0, height - 1)), int(np.clip(x, 0, width - 1))]
        points.append(points[-1] + length / steps * np.array([np.cos(turn), np.sin(turn)]))
    return np.array(points)


def currents(width: int, height: int) -> np.ndarray:
    """A night of blue and gold: thick strokes that run around whirls. RGB, h w 3, uint8."""
    rng = np.random.default_rng(11)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    scale = width / 900
    angle = 0.5 * _smooth(rng, width, height, 260 * scale)
    glow = np.zeros((height, width), np.float32)
    for _ in range(7):
        center = rng.uniform(0.05, 0.95, 2) * (width, height)
        size = rng.uniform(60, 150) * scale
        dx, dy = x - center[0], y - center[1]
        near = np.exp(-(dx**2 + dy**2) / (2 * size**2))
        swirl = np.arctan2(dy, dx) + np.pi / 2
        # Mix the directions as vectors: angles would jump at the turn.
        mixed = near * np.exp(1j * swirl) + (1 - near) * np.exp(1j * angle)
        angle = np.angle(mixed).astype(np.float32)
        glow += np.exp(-(dx**2 + dy**2) / (2 * (0.33 * size) ** 2))
    level = 0.34 + 0.2 * _smooth(rng, width, height, 110 * scale) + 0.6 * glow
    level += 0.12 * np.sin(3 * angle)
    palette = [(12, 18, 52), (24, 52, 120), (44, 98, 168), (110, 160, 190), (236, 200, 96),
               (255, 238, 170)]  # fmt: skip
    colors = _colors(palette, level)
    canvas = np.full((height, width, 3), palette[0], np.uint8)
    margin = 40 * scale  # else the edge, where no stroke begins outside, would stay bare
    for brush, count in ((20, 1600), (11, 4200), (6, 5200)):
        for _ in range(count):
            start = rng.uniform((-margin, -margin), (width + margin, height + margin))
            at = int(np.clip(start[1], 0, height - 1)), int(np.clip(start[0], 0, width - 1))
            color = np.clip(colors[at] + 14 * rng.standard_normal(3), 0, 255)
            path = _path(start, angle, rng.uniform(4, 7) * brush * scale)
            _stroke(canvas, rng, path, color, brush * scale * rng.uniform(0.7, 1.2))
    return canvas


def mosaic(width: int, height: int) -> np.ndarray:
    """Warm tiles in rings, with light grout. RGB, h w 3, uint8."""
    rng = np.random.default_rng(5)
    scale = width / 900
    center = np.array([0.38 * width, 0.6 * height])
    seeds = []
    radius = 6.0 * scale
    while radius < 1.1 * np.hypot(width, height):
        count = max(5, int(2 * np.pi * radius / (19 * scale)))
        turns = 2 * np.pi * (np.arange(count) + rng.uniform()) / count
        ring = center + radius * np.stack([np.cos(turns), np.sin(turns)], axis=1)
        seeds.append(ring + rng.normal(0, 1.6 * scale, ring.shape))
        radius += 17 * scale
    points = np.concatenate(seeds)
    inside = (points > 0).all(axis=1) & (points < (width, height)).all(axis=1)
    points = points[inside]
    plane = np.full((height, width), 255, np.uint8)
    plane[points[:, 1].astype(int), points[:, 0].astype(int)] = 0
    _, labels = cv2.distanceTransformWithLabels(
        plane, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    edges = cv2.morphologyEx(labels.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((3, 3))) > 0
    wave = _smooth(rng, width, height, 170 * scale)
    away = np.hypot(*(np.indices((height, width))[::-1] - center[:, None, None]))
    level = 0.5 + 0.3 * np.sin(away / (62 * scale) + 2 * wave) + 0.22 * wave
    palette = [(64, 26, 34), (150, 46, 36), (214, 106, 46), (240, 178, 84), (62, 132, 130),
               (24, 66, 92)]  # fmt: skip
    tiles = np.zeros((labels.max() + 1, 3))
    at = labels[points[:, 1].astype(int), points[:, 0].astype(int)]
    own = _colors(palette, level[points[:, 1].astype(int), points[:, 0].astype(int)])
    tiles[at] = np.clip(own + rng.normal(0, 13, own.shape), 0, 255)
    canvas = tiles[labels]
    grain = 1 + 0.05 * _smooth(rng, width, height, 2.5 * scale)[..., None]
    canvas = np.clip(canvas * grain, 0, 255)
    grout = cv2.GaussianBlur(edges.astype(np.float32), (0, 0), 0.9 * scale)[..., None]
    return (canvas * (1 - grout) + np.array([222, 210, 190]) * grout).round().astype(np.uint8)


def ink(width: int, height: int) -> np.ndarray:
    """Brown ink on paper: hatching that grows denser in the dark. RGB, h w 3, uint8."""
    rng = np.random.default_rng(23)
    scale = width / 900
    dark = 0.5 + 0.5 * _smooth(rng, width, height, 150 * scale)
    dark += 0.18 * _smooth(rng, width, height, 48 * scale)
    turn = 0.7 * _smooth(rng, width, height, 240 * scale)
    paper = np.array([240, 228, 204]) * (1 + 0.02 * _smooth(rng, width, height, 3))[..., None]
    wash = np.clip(dark, 0, 1)[..., None] ** 2
    paper = paper * (1 - 0.42 * wash) + np.array([150, 106, 70]) * 0.42 * wash
    canvas = np.clip(paper, 0, 255).astype(np.uint8)
    for layer, (least, lean) in enumerate(((0.18, 0.7), (0.45, -0.75), (0.68, 0.05))):
        angle = (turn + lean).astype(np.float32)
        for _ in range(11000 - 2500 * layer):
            start = rng.uniform((0, 0), (width, height))
            if dark[int(min(start[1], height - 1)), int(min(start[0], width - 1))] < least:
                continue
            path = _path(start, angle, rng.uniform(16, 40) * scale)
            shade = np.array([58, 34, 24]) * rng.uniform(0.6, 1.6)
            line = (path * 16).round().astype(np.int32)
            color = tuple(map(float, np.clip(shade, 0, 255)))
            cv2.polylines(canvas, [line], False, color, 1, cv2.LINE_AA, 4)
    return canvas
