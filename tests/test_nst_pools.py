"""Layers that other studies name: poolings, and all of VGG's fifth block."""

from pathlib import Path

import pytest
import tinyencoder
import torch
import torch.nn.functional as F
from torch import Tensor

from stylepipe.nst.decoders import mirror
from stylepipe.nst.encoders import Encoder, stack_encoder
from stylepipe.nst.encoders.vgg import VGG16, VGG19, torchvision_indices, vgg
from stylepipe.nst.inverses import OptimizationInverter
from stylepipe.nst.lpips import read_calibration
from stylepipe.nst.recipe import LoopOptions


@pytest.fixture(scope="module")
def vgg19() -> Encoder:
    """VGG-19 with one channel everywhere, of random weights."""
    generator, inputs, tensors = torch.Generator().manual_seed(0), 3, {}
    for index in torchvision_indices(VGG19):
        tensors[f"features.{index}.weight"] = torch.rand(1, inputs, 3, 3, generator=generator) / 9
        tensors[f"features.{index}.bias"] = torch.zeros(1)
        inputs = 1
    return vgg(VGG19, tensors)


def test_vgg19_has_all_its_convolutions_and_poolings(vgg19: Encoder) -> None:
    names = ["pool1", "pool2", "pool3", "pool4", "relu5_2", "relu5_3", "relu5_4", "pool5"]
    found = vgg19(torch.rand(1, 3, 40, 70), names)
    assert torch.equal(found["pool5"], F.max_pool2d(found["relu5_4"], 2, ceil_mode=True))
    for name in names:
        sides = found[name].shape[2:]
        assert sides == (vgg19.side(name, 40), vgg19.side(name, 70)), name
    assert [vgg19.stride(f"pool{i}") for i in range(1, 6)] == [2, 4, 8, 16, 32]
    assert vgg19.receptive_radius("pool1") < vgg19.receptive_radius("relu2_1")
    assert vgg19.layers[-1] == "relu5_4", "poolings are no layers of their own"


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_a_pooling_lies_between_two_blocks(pooling: str) -> None:
    net = stack_encoder(tinyencoder.convolutions(), pooling)
    found = net(tinyencoder.picture(21, 30), ["relu1_1", "pool1"])
    before: Tensor = found["relu1_1"]
    wanted = F.max_pool2d(before, 2, ceil_mode=True)
    if pooling == "average":
        wanted = 2 * F.avg_pool2d(before, 2, ceil_mode=True, count_include_pad=False)
    torch.testing.assert_close(found["pool1"], wanted)


def test_regions_are_carried_through_poolings() -> None:
    net = tinyencoder.encoder()
    found = net.propagate(tinyencoder.halves(32, 32), ["relu1_1", "pool1", "relu2_1"], "inside")
    least = -F.max_pool2d(-found["relu1_1"], 2)
    assert torch.equal(found["pool1"], least)
    assert found["relu2_1"].sum() < found["pool1"].sum()


def test_a_pooling_that_is_not_there_is_refused_with_what_is() -> None:
    net = tinyencoder.encoder()
    with pytest.raises(ValueError, match=r"no layer 'pool3'; it has .*relu3_1, pool1, pool2$"):
        net.check(["pool3"])
    with pytest.raises(ValueError, match="did you mean 'pool1'"):
        net.check(["poool1"])
    with pytest.raises(ValueError, match="not of the pooling pool1"):
        mirror(net, "pool1", 1.0)


def test_features_of_a_pooling_can_be_found_again() -> None:
    net, photo = tinyencoder.encoder(), tinyencoder.picture(32, 32, 1)
    wanted = net(tinyencoder.picture(32, 32, 2), ["pool1"])["pool1"]
    inverter = OptimizationInverter(net, "pool1", LoopOptions(20), 0.0)
    found = net(inverter.picture(wanted, photo, 32), ["pool1"])["pool1"]
    before = net(photo, ["pool1"])["pool1"]
    assert F.mse_loss(found, wanted) < 0.5 * F.mse_loss(before, wanted)


def test_calibrated_weights_of_a_network_that_is_cut_short(tmp_path: Path) -> None:
    """As far as it goes; the others would ask it for layers that it does not have."""
    tensors, inputs = {}, 3
    for index in list(torchvision_indices(VGG16))[:5]:  # to relu3_1
        tensors[f"features.{index}.weight"] = torch.zeros(1, inputs, 3, 3)
        tensors[f"features.{index}.bias"] = torch.zeros(1)
        inputs = 1
    lins = {
        f"lin{i}.model.1.weight": torch.ones(1, n, 1, 1)
        for i, n in enumerate((64, 128, 256, 512, 512))
    }
    torch.save(lins, tmp_path / "vgg.pth")
    found = read_calibration(tmp_path / "vgg.pth", vgg(VGG16, tensors))
    assert {name: len(weights) for name, weights in found.items()} == {
        "relu1_2": 64,
        "relu2_2": 128,
    }
