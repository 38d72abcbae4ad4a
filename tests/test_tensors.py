"""Frames to tensors and back."""

import numpy as np
import pytest
import torch

from stylepipe.tensors import to_pixels, to_tensor
from stylepipe.types import Frame

CPU = torch.device("cpu")


def frames(dtype, h, w, count=1, seed=0):
    rng = np.random.default_rng(seed)
    white = np.iinfo(dtype).max
    return [Frame(rng.integers(0, white, (h, w, 3), dtype, endpoint=True)) for _ in range(count)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(1, 1), (1, 4), (4, 1), (2, 2), (3, 1), (4, 4), (37, 23)])
@pytest.mark.parametrize("layout", ["as it comes", "planes", "cropped"])
def test_pixels_survive_the_way_there_and_back(dtype, size, layout):
    given = frames(dtype, *size, count=3)
    tensor = to_tensor(given, CPU)
    assert tensor.shape == (3, 3, *size) and tensor.dtype == torch.float32
    if layout == "planes":
        tensor = tensor.contiguous()
    if layout == "cropped":
        tensor = torch.nn.functional.pad(tensor, (2, 1, 1, 3))[:, :, 1:-3, 2:-1]
    for frame, pixels in zip(given, to_pixels(tensor, np.dtype(dtype)), strict=True):
        assert pixels.dtype == dtype and pixels.flags.c_contiguous
        np.testing.assert_array_equal(pixels, frame.pixels)


def test_channels_are_red_green_blue_and_white_is_one():
    frame = Frame(np.array([[[255, 0, 51]]], np.uint8))
    assert to_tensor([frame], CPU).flatten().tolist() == pytest.approx([1, 0, 0.2])
    deep = Frame(np.array([[[65535, 0, 13107]]], np.uint16))
    assert to_tensor([deep], CPU).flatten().tolist() == pytest.approx([1, 0, 0.2])


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
def test_values_are_clamped_and_rounded(dtype, white):
    values = torch.tensor([-3.0, -0.001, 0.4 / white, 0.6 / white, 1.001, 7.0])
    (pixels,) = to_pixels(values.view(1, 1, 1, -1).expand(1, 3, 1, -1), np.dtype(dtype))
    assert pixels[0, :, 1].tolist() == [0, 0, 0, 1, white, white]


def test_half_precision_is_accepted():
    (pixels,) = to_pixels(torch.full((1, 3, 2, 2), 0.5, dtype=torch.bfloat16), np.dtype("uint8"))
    assert (pixels == 128).all()


def test_read_only_pixels_are_read_and_not_written():
    (frame,) = frames(np.uint8, 4, 5)
    frame.pixels.flags.writeable = False
    before = frame.pixels.copy()
    to_tensor([frame], CPU).zero_()
    np.testing.assert_array_equal(frame.pixels, before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_device_gives_the_same_pixels(dtype):
    given = frames(dtype, 37, 23, count=2)
    tensor = to_tensor(given, torch.device("cuda"))
    assert tensor.is_cuda
    for frame, pixels in zip(given, to_pixels(tensor, np.dtype(dtype)), strict=True):
        np.testing.assert_array_equal(pixels, frame.pixels)
