"""Finds things in pictures with the network, and draws their mattes at the picture's size."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import ClassVar
from weakref import ReferenceType, WeakValueDictionary, ref

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from stylepipe import Context, SetupError
from stylepipe.nst.files import check_digest, read_file

from ..masks.refine import guided
from .network import FORMAT_VERSION, PLANES, MatteNetwork, network_of, working_size
from .refine import matted

FILE = Path(__file__).with_name("mattes.safetensors")
PIXELS = 288 * 288
"""Of the small picture that the network sees; more finds smaller people, and costs as much more."""
SEED, REACH = 0.92, 0.25
"""What is found begins where the network is as sure as SEED, and reaches as far as it is as sure as
REACH: faint spots alone are nothing."""
LEAST = 0.0008
"""Part of the picture that something found covers at least."""
MARGIN = 1.15
"""How much larger than the face its ellipse is drawn."""


class Finder:
    """The network at work on a device. Raises SetupError if its file is damaged."""

    _shared: ClassVar[MutableMapping[int, Finder]] = WeakValueDictionary()

    @classmethod
    def shared(cls, context: Context) -> Finder:
        """The one finder of all maskers that were opened with a context, so of a session, whose
        maskers take turns. It lasts as long as one of them holds it.
        """
        finder = cls._shared.get(id(context))
        if finder is None:
            finder = cls._shared[id(context)] = cls(context.device.torch)
            finder._context = context  # no other context has its id while the finder lasts
        return finder

    def __init__(self, device: torch.device) -> None:
        self._context: Context | None = None
        self._seen: tuple[ReferenceType[Tensor], int] | None = None
        """The pictures that were looked at last, and their version."""
        self._planes = torch.empty(0)
        try:
            tensors, about = read_file(FILE, "matte network", "stylepipe-mattes", FORMAT_VERSION)
            check_digest(FILE, tensors, about)
            self._network: MatteNetwork = network_of(tensors).to(device)
        except (OSError, ValueError, RuntimeError) as error:
            raise SetupError(f"{FILE} is damaged ({error}); install stylepipe again") from error

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """N 3 H W in [0, 1] to N 4 h w in [0, 1], small, in the order of PLANES.

        Of the same tensor, unchanged, the answer is remembered: several things are asked for.
        """
        if self._seen and self._seen[0]() is images and self._seen[1] == images._version:
            return self._planes
        height, width = images.shape[2:]
        size = working_size(height, width, PIXELS)
        smaller = size[0] * size[1] < height * width
        small = F.interpolate(images.float(), size, mode="bilinear", antialias=smaller)
        # What is found mirrored as well is surer: it errs elsewhere.
        both = [self._network(x)[0].sigmoid() for x in (small, small.flip(3))]
        self._seen, self._planes = (ref(images), images._version), (both[0] + both[1].flip(3)) / 2
        return self._planes

    @torch.no_grad()
    def matte(self, images: Tensor, name: str, fine: bool = True) -> Tensor:
        """The matte N 1 H W in [0, 1] of one of PLANES; 0 where there is none of it.

        ``fine``: decide hair by closed-form matting.
        """
        small = self.probabilities(images)[:, PLANES.index(name)]
        clean = np.stack([_sure(plane) for plane in small.cpu().numpy()])
        if name == "faces":
            drawn = np.stack([_ellipses(plane, *images.shape[2:]) for plane in clean])
            return torch.from_numpy(drawn)[:, None].to(images)
        planes = torch.from_numpy(clean)[:, None].to(images)
        found = [_matte(images[n : n + 1], planes[n : n + 1], fine) for n in range(len(images))]
        return torch.cat(found)


def _matte(image: Tensor, plane: Tensor, fine: bool) -> Tensor:
    if not plane.any():
        return image.new_zeros(1, 1, *image.shape[2:])
    return matted(image, plane) if fine else guided(image, plane)


def _sure(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """A plane h w without what is faint or tiny."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((plane > REACH).astype(np.uint8))
    kept = np.zeros(count, bool)
    for label in range(1, count):
        large = stats[label, cv2.CC_STAT_AREA] >= LEAST * plane.size
        kept[label] = large and plane[labels == label].max() >= SEED
    if not kept.any():
        return np.zeros_like(plane)
    return np.where(kept[labels] | (labels == 0), plane, 0) * _near(kept[labels])


def _near(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A region and a few pixels around it, where soft edges end."""
    return cv2.dilate(region.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0


def _ellipses(plane: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """A soft ellipse for each face of a plane h w, H W in [0, 1]."""
    drawn = np.zeros((height, width), np.float32)
    high, wide = height / plane.shape[0], width / plane.shape[1]
    contours, _ = cv2.findContours(
        (plane > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    for contour in contours:
        moments = cv2.moments(contour)
        if not moments["m00"]:
            continue
        x, y = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
        spread = 2 * np.sqrt(np.array([moments["mu20"], moments["mu02"]]) / moments["m00"]) + 0.5
        across, along = MARGIN * spread * (wide, high)
        top, rows = _across(height, (y + 0.5) * high, along)
        left, columns = _across(width, (x + 0.5) * wide, across)
        away = np.sqrt(rows[:, None] ** 2 + columns**2)
        near = drawn[top : top + len(rows), left : left + len(columns)]
        np.maximum(near, np.clip((1.25 - away) / 0.5, 0, 1), out=near)
    return drawn


def _across(length: int, center: float, radius: float) -> tuple[int, NDArray[np.float32]]:
    """The first pixel of a side that an ellipse reaches, and how far from its center it and those
    after it lie, in radii."""
    first, stop = max(0, int(center - 1.25 * radius)), min(length, int(center + 1.25 * radius) + 1)
    return first, (np.arange(first, stop, dtype=np.float32) + np.float32(0.5 - center)) / radius
