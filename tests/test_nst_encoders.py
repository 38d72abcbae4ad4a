"""Encoders of VGG's shape: names, normalization, depth, padding, pooling, gradients, files."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from stylepipe.nst.encoders import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    load_encoder,
    save_encoder,
    stack_encoder,
)

VGG16 = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
VGG19 = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]


def vgg_state(indices: list[int], width: int = 4) -> dict[str, Tensor]:
    torch.manual_seed(0)
    state = {}
    for position, index in enumerate(indices):
        inputs = 3 if position == 0 else width
        state[f"features.{index}.weight"] = torch.randn(width, inputs, 3, 3) * 0.3
        state[f"features.{index}.bias"] = torch.randn(width) * 0.1
    return state


def small_state(width: int = 4) -> dict[str, Tensor]:
    torch.manual_seed(0)
    state = {"conv0.weight": torch.randn(3, 3, 1, 1), "conv0.bias": torch.randn(3)}
    for name, inputs in (("conv11", 3), ("conv12", width), ("conv21", width)):
        state[f"{name}.weight"] = torch.randn(width, inputs, 3, 3) * 0.3
        state[f"{name}.bias"] = torch.randn(width) * 0.1
    state["conv11_aux.weight"] = torch.randn(8, width, 1, 1)
    return state


def own_stack(width: int = 4) -> dict[str, tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    stack, inputs = {}, 3
    for name in ("relu1_1", "relu1_2", "relu2_1"):
        stack[name] = (torch.randn(width, inputs, 3, 3) * 0.3, torch.randn(width) * 0.1)
        inputs = width
    return stack


def saved(tmp_path: Path, state: dict[str, Tensor], name: str = "net.safetensors") -> Path:
    if name.endswith(".pth"):
        torch.save(state, tmp_path / name)
    else:
        save_file(state, tmp_path / name)
    return tmp_path / name


def normalized(picture: Tensor) -> Tensor:
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (picture - mean) / std


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
def test_vgg_by_its_definition(tmp_path: Path, name: str) -> None:
    state = vgg_state([0, 2, 5])
    encoder = load_encoder(saved(tmp_path, state, name))
    assert encoder.title == "VGG-19"
    assert encoder.layers == ("relu1_1", "relu1_2", "relu2_1")
    picture = torch.rand(1, 3, 21, 16)

    def layer(x: Tensor, index: int, padding: int = 1) -> Tensor:
        weight, bias = state[f"features.{index}.weight"], state[f"features.{index}.bias"]
        return F.relu(F.conv2d(x, weight, bias, padding=padding))

    first = layer(F.pad(normalized(picture), (1, 1, 1, 1), mode="replicate"), 0, padding=0)
    third = layer(F.max_pool2d(layer(first, 2), 2, ceil_mode=True), 5)
    found = encoder(picture, ["relu1_1", "relu2_1"])
    assert set(found) == {"relu1_1", "relu2_1"}
    assert torch.allclose(found["relu1_1"], first, atol=1e-5)
    assert torch.allclose(found["relu2_1"], third, atol=1e-5)


def test_pruned_encoder_by_its_definition(tmp_path: Path) -> None:
    state = small_state()
    encoder = load_encoder(saved(tmp_path, state))
    picture = torch.rand(2, 3, 12, 8)
    x = F.conv2d(picture, state["conv0.weight"], state["conv0.bias"])
    for name in ("conv11", "conv12", "conv21"):
        if name == "conv21":
            x = F.max_pool2d(x, 2)
        x = F.pad(x, (1, 1, 1, 1), mode="reflect")
        x = F.relu(F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"]))
    assert torch.allclose(encoder(picture, ["relu2_1"])["relu2_1"], x, atol=1e-4)


def test_a_saved_encoder_opens_as_defined(tmp_path: Path) -> None:
    stack, path = own_stack(), tmp_path / "own.safetensors"
    save_encoder(path, stack, {"teacher": "VGG-19"})
    assert [p.name for p in tmp_path.iterdir()] == ["own.safetensors"]
    encoder = load_encoder(path)
    assert encoder.layers == tuple(stack)
    picture = x = torch.rand(1, 3, 11, 8)
    for name, (weight, bias) in stack.items():
        if name == "relu2_1":
            x = F.max_pool2d(x, 2, ceil_mode=True)
        x = F.relu(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), weight, bias))
    assert torch.allclose(encoder(picture, ["relu2_1"])["relu2_1"], x, atol=1e-5)


def test_half_precision_on_disk_serves_as_well(tmp_path: Path) -> None:
    stack = own_stack()
    halves = {name: (weight.half(), bias.half()) for name, (weight, bias) in stack.items()}
    save_encoder(tmp_path / "half.safetensors", halves)
    encoder, picture = load_encoder(tmp_path / "half.safetensors"), torch.rand(1, 3, 16, 16)
    assert encoder.dtype == torch.float32
    exact = stack_encoder(stack)(picture, ["relu2_1"])["relu2_1"]
    assert torch.allclose(encoder(picture, ["relu2_1"])["relu2_1"], exact, atol=0.02)


def test_a_stack_that_does_not_fit_is_not_saved(tmp_path: Path) -> None:
    stack, path = own_stack(), tmp_path / "own.safetensors"
    swapped = {name: stack[name] for name in ("relu1_1", "relu2_1", "relu1_2")}
    with pytest.raises(ValueError, match="in this order"):
        save_encoder(path, swapped)
    with pytest.raises(ValueError, match=r"relu1_2: .* no 3x3 convolution of 4 channels"):
        save_encoder(path, {**stack, "relu1_2": stack["relu1_1"]})
    with pytest.raises(ValueError, match="'relu9_9' is no layer"):
        save_encoder(path, {**stack, "relu9_9": stack["relu2_1"]})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("indices", "title", "layers", "last"),
    [
        (VGG16, "VGG-16", 13, "relu5_3"),
        (VGG16[:11], "VGG-16", 11, "relu5_1"),
        (VGG19, "VGG-19", 16, "relu5_4"),
        (VGG19[:10], "VGG-19", 10, "relu4_2"),
    ],
)
def test_names_of_vgg16_and_vgg19(
    tmp_path: Path, indices: list[int], title: str, layers: int, last: str
) -> None:
    encoder = load_encoder(saved(tmp_path, vgg_state(indices)))
    assert (encoder.title, len(encoder.layers), encoder.layers[-1]) == (title, layers, last)


def test_what_fits_both_vggs_is_the_one_that_was_asked_for(tmp_path: Path) -> None:
    path = saved(tmp_path, vgg_state(VGG16[:6]))
    assert load_encoder(path, name="vgg16").title == "VGG-16"
    assert load_encoder(path, name="vgg19").title == "VGG-19"


def test_goes_no_deeper_than_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_encoder(saved(tmp_path, vgg_state([0, 2, 5, 7])))
    calls = []
    plain = F.conv2d
    monkeypatch.setattr(F, "conv2d", lambda *a, **k: calls.append(1) or plain(*a, **k))
    encoder(torch.rand(1, 3, 16, 16), ["relu1_2"])
    assert len(calls) == 2
    assert encoder(torch.rand(1, 3, 16, 16), []) == {}
    assert len(calls) == 2


def test_an_unknown_layer_names_what_there_is(tmp_path: Path) -> None:
    encoder = load_encoder(saved(tmp_path, vgg_state([0, 2, 5])))
    cut = r"VGG-19, whose weights end at 'relu2_1', has no layer "
    with pytest.raises(
        ValueError, match=cut + r"'relu4_1'; it has relu1_1, relu1_2, relu2_1, pool1$"
    ):
        encoder(torch.rand(1, 3, 16, 16), ["relu4_1"])
    with pytest.raises(ValueError, match=cut + r"'relu21' \(did you mean 'relu2_1'\?\)"):
        encoder.check(["relu1_1", "relu21"])
    whole = load_encoder(saved(tmp_path, vgg_state(VGG19), "whole.safetensors"))
    with pytest.raises(
        ValueError, match=r"^VGG-19 has no layer 'conv1_1'; it has relu1_1, .*_4, pool1.*$"
    ):
        whole.check(["conv1_1"])


def test_usual_layers_as_far_as_the_weights_go(tmp_path: Path) -> None:
    whole = load_encoder(saved(tmp_path, vgg_state(VGG19)))
    assert whole.default_content == {"relu4_2": 1.0}
    style = {"relu1_1": 0.7, "relu2_1": 0.7, "relu3_1": 1.5, "relu4_1": 2.0, "relu5_1": 1.0}
    assert whole.default_style == pytest.approx({k: v / 5.9 for k, v in style.items()})
    cut = load_encoder(saved(tmp_path, vgg_state(VGG19[:5]), "cut.safetensors"))
    assert cut.default_content == {"relu3_1": 1.0}
    assert list(cut.default_style) == ["relu1_1", "relu2_1", "relu3_1"]
    assert sum(cut.default_style.values()) == pytest.approx(1.0)
    assert cut.default_style["relu3_1"] == pytest.approx(1.5 / 2.9)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_gradients_reach_the_picture_and_no_weight(tmp_path: Path, dtype: torch.dtype) -> None:
    encoder = load_encoder(saved(tmp_path, small_state()), dtype=dtype)
    picture = torch.rand(1, 3, 16, 16, requires_grad=True)
    found = encoder(picture, ["relu1_1", "relu2_1"])
    assert encoder.dtype == found["relu2_1"].dtype == dtype
    sum(f.float().square().sum() for f in found.values()).backward()
    assert picture.grad is not None
    assert picture.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in encoder.parameters())


def test_in_place_relu_spoils_no_earlier_layer(tmp_path: Path) -> None:
    encoder = load_encoder(saved(tmp_path, small_state()))
    picture = torch.rand(1, 3, 16, 16)
    alone = encoder(picture, ["relu1_1"])["relu1_1"]
    assert torch.equal(encoder(picture, ["relu1_1", "relu2_1"])["relu1_1"], alone)


def test_kinds_of_pooling(tmp_path: Path) -> None:
    """On an odd size, where the last window is a partial one."""
    path, picture = saved(tmp_path, vgg_state([0, 2, 5])), torch.rand(1, 3, 9, 9)
    before = load_encoder(path)(picture, ["relu1_2"])["relu1_2"]
    state = vgg_state([0, 2, 5])
    by_hand = {
        "average": 2.0 * F.avg_pool2d(before, 2, ceil_mode=True),
        "l2": 0.78 * F.lp_pool2d(before, 2, 2, ceil_mode=True),
    }
    for kind, wanted in by_hand.items():
        found = load_encoder(path, pooling=kind)(picture, ["relu2_1"])["relu2_1"]
        weight, bias = state["features.5.weight"], state["features.5.bias"]
        wanted = F.relu(F.conv2d(wanted, weight, bias, padding=1))
        assert torch.allclose(found, wanted, atol=1e-4), kind


@pytest.mark.parametrize("value", [0.0, 1e-25])
def test_l2_pooling_of_next_to_nothing_has_a_gradient(value: float) -> None:
    """The square of 1e-25 is zero in float32, and the slope of a root there infinite."""
    stack = {
        name: (torch.zeros_like(weight), torch.full_like(bias, value))
        for name, (weight, bias) in own_stack().items()
    }
    picture = torch.rand(1, 3, 8, 8, requires_grad=True)
    stack_encoder(stack, "l2")(picture, ["relu2_1"])["relu2_1"].sum().backward()
    assert picture.grad is not None
    assert torch.isfinite(picture.grad).all()


def test_loading_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such weights file"):
        load_encoder(tmp_path / "none.pth")
    for name in ("bad.pth", "bad.safetensors"):
        (tmp_path / name).write_bytes(b"not weights at all, but long enough to look at")
        with pytest.raises(ValueError, match=name):
            load_encoder(tmp_path / name)
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"list\.pth: not a dictionary of tensors"):
        load_encoder(tmp_path / "list.pth")


GAP = vgg_state([0, 2, 5])
BAD = [
    ({"other": torch.zeros(1)}, r"net\.safetensors: holds none of the networks known .*ResNet-50"),
    (vgg_state([0, 3]), "none of the networks known"),
    (vgg_state([0, 5]), "convolutions 0, 5 are not those of VGG-19, which start 0, 2, 5"),
    ({k: v for k, v in GAP.items() if k != "features.2.bias"}, "no tensor 'features.2.bias'"),
    (GAP | {"features.2.weight": torch.zeros(4, 5, 3, 3)}, r"\(4, 5, 3, 3\) .* of 4 channels"),
    (GAP | {"features.0.bias": torch.zeros(5)}, r"relu1_1: .* bias of shape \(5,\)"),
    ({"conv0.weight": torch.zeros(3, 3, 1, 1)}, "no tensor 'conv0.bias'"),
]


@pytest.mark.parametrize(("state", "message"), BAD)
def test_a_file_of_other_tensors_is_told(
    tmp_path: Path, state: dict[str, Tensor], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_encoder(saved(tmp_path, state))


# -- real networks --------------------------------------------------------------------------


def test_real_vgg19_is_read_as_torchvision_would(shared_data: Path) -> None:
    path = shared_data / "weights" / "vgg19_normalised_to_relu3_1_imagenetnorm.safetensors"
    state = {k: v.double() for k, v in load_file(path).items()}
    x = picture = torch.rand(1, 3, 32, 40, dtype=torch.float64)
    mean, std = (torch.tensor(v).double().view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    x = F.pad((x - mean) / std, (1, 1, 1, 1), mode="replicate")
    for index, padding in ((0, 0), (2, 1), (-1, 0), (5, 1), (7, 1), (-1, 0), (10, 1)):
        if index < 0:
            x = F.max_pool2d(x, 2)
            continue
        weight, bias = state[f"features.{index}.weight"], state[f"features.{index}.bias"]
        x = F.relu(F.conv2d(x, weight, bias, padding=padding))
    found = load_encoder(path, dtype=torch.float64)(picture, ["relu3_1"])["relu3_1"]
    assert torch.allclose(found, x, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("depth", range(1, 6))
def test_real_pruned_encoders_are_read_to_their_end(shared_data: Path, depth: int) -> None:
    path = shared_data / "weights" / "small16x" / f"encoder_relu{depth}_1.safetensors"
    state = {k: v.double() for k, v in load_file(path).items()}
    picture = torch.rand(1, 3, 48, 32, dtype=torch.float64)
    x = F.conv2d(picture, state["conv0.weight"], state["conv0.bias"])
    block = "1"
    for name in sorted(k[:-7] for k in state if len(k) == 13 and k != "conv0.weight"):
        if name[4] != block:
            block, x = name[4], F.max_pool2d(x, 2)
        x = F.pad(x, (1, 1, 1, 1), mode="reflect")
        x = F.relu(F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"]))
    last = f"relu{depth}_1"
    encoder = load_encoder(path, dtype=torch.float64)
    assert encoder.layers[-1] == last
    found = encoder(picture, [last])[last]
    assert (found - x).abs().max() < 1e-5 * x.abs().max()


def test_pruned_encoder_resembles_vgg19(shared_data: Path) -> None:
    """The pruned encoder's aux map of relu3_1 follows real VGG-19: both loaders are right."""
    small_path = shared_data / "weights" / "small16x" / "encoder_relu3_1.safetensors"
    small = load_encoder(small_path)
    vgg = load_encoder(
        shared_data / "weights" / "vgg19_normalised_to_relu3_1_imagenetnorm.safetensors"
    )
    import cv2

    picture = cv2.imread(str(shared_data / "content" / "misc" / "chelsea.png"))[..., ::-1]
    state = load_file(small_path)
    aux = state["conv31_aux.weight"], state["conv31_aux.bias"]

    def likeness(x: Tensor) -> float:
        mapped = F.relu(F.conv2d(small(x, ["relu3_1"])["relu3_1"], *aux))
        real = vgg(rgb, ["relu3_1"])["relu3_1"]
        return float(torch.corrcoef(torch.stack([mapped.flatten(), real.flatten()]))[0, 1])

    rgb = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255.0
    assert likeness(rgb) > 0.6
    assert likeness(rgb) > likeness(rgb.flip(1)) + 0.03
