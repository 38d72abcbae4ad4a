"""Label maps of many megapixels: little memory, and the same labels."""

import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from stylepipe_plugins.masks import labels

LEGEND = {"sky": 0x0080FF, "tree": 0x00FF00, "road": 0x808080}


def drawn(side):
    """A map H W 3 of slanted bands with soft edges, as many programs write them."""
    colors = [(c >> 16, c >> 8 & 255, c & 255) for c in LEGEND.values()]
    picture = np.full((side, side, 3), colors[0], np.uint8)
    for number in range(1, 9):
        at = side * number // 9
        color = colors[number % 3]
        cv2.line(picture, (at, 0), (side - at, side), color, side // 12, lineType=cv2.LINE_AA)
    return picture


def test_strips_change_nothing(monkeypatch):
    picture = drawn(200)
    whole = labels.label_indices(picture, LEGEND, Path("map.png"))
    assert set(np.unique(whole)) == {0, 1, 2}
    monkeypatch.setattr(labels, "_AT_ONCE", 7 * 200)
    strips = labels.label_indices(picture, LEGEND, Path("map.png"))
    assert np.array_equal(strips, whole)


@pytest.mark.parametrize("soft", [True, False])
def test_labels_take_a_few_bytes_a_pixel(soft, monkeypatch):
    picture = drawn(1500)
    if not soft:
        picture = cv2.resize(drawn(150)[::5, ::5], (1500, 1500), interpolation=cv2.INTER_NEAREST)
        channels = labels._channels(LEGEND)
        far = ((picture[..., None, :].astype(int) - channels) ** 2).sum(-1)
        picture = channels[far.argmin(-1)].astype(np.uint8)
    monkeypatch.setattr(labels, "_AT_ONCE", 1 << 15)
    tracemalloc.start()
    try:
        labels.label_indices(picture, LEGEND, Path("map.png"))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 6 * 1500 * 1500
