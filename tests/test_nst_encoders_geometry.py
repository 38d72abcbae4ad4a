"""What encoders say of their layers: stride, reach, least side, masks carried through."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

from stylepipe.nst.encoders import Encoder, load_encoder, stack_encoder
from stylepipe.nst.encoders.windows import Window

NAMES = ("vgg", "compact", "squeezenet1_0", "squeezenet1_1", "resnet50", "densenet121")
DEEPEST = {"resnet50": "layer3", "densenet121": "block2"}


def vgg_like() -> dict[str, tuple[Tensor, Tensor]]:
    stack, inputs = {}, 3
    blocks = (2, 2, 4, 1)
    for name in (f"relu{b}_{i}" for b, n in enumerate(blocks, 1) for i in range(1, n + 1)):
        stack[name] = (torch.randn(4, inputs, 3, 3) * 0.3, torch.randn(4) * 0.1)
        inputs = 4
    return stack


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Encoder]:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("networks")
    stack = vgg_like()
    state = {}
    for index, (weight, bias) in zip((0, 2, 5, 7, 10, 12, 14, 16, 19), stack.values(), strict=True):
        state |= {f"features.{index}.weight": weight, f"features.{index}.bias": bias}
    states = {"vgg": state}
    for name in NAMES[2:]:
        states[name] = getattr(torchvision.models, name)(weights=None).state_dict()
    found = {"compact": stack_encoder(stack)}
    for name, tensors in states.items():
        torch.save(tensors, folder / f"{name}.pth")
        found[name] = load_encoder(folder / f"{name}.pth")
    return found


@pytest.fixture(params=NAMES)
def encoder(request: pytest.FixtureRequest, encoders: dict[str, Encoder]) -> Encoder:
    return encoders[request.param]


def layers_of(encoder: Encoder) -> tuple[str, ...]:
    """Those that see little enough for a small picture."""
    return tuple(n for n in encoder.layers if encoder.receptive_radius(n) < 150)


def touched(encoder: Encoder, picture: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
    """Which features a NaN in the picture gets into: the definition of what they depend on."""
    with torch.no_grad():
        return {n: f.isnan().any(dim=1) for n, f in encoder(picture, layers).items()}


def test_reach_is_how_far_a_feature_sees(encoder: Encoder) -> None:
    layers = layers_of(encoder)
    middle = 200
    picture = torch.zeros(1, 3, encoder.least_side(layers[-1]), 400)
    picture[..., middle] = torch.nan
    for name, hit in touched(encoder, picture, layers).items():
        columns = hit[0].any(dim=0).nonzero().flatten() * encoder.stride(name)
        far = max(middle - int(columns.min()), int(columns.max()) - middle)
        receptive_radius = encoder.receptive_radius(name)
        # Features stand every `stride` pixels: the farthest may lie that much nearer.
        assert receptive_radius - encoder.stride(name) < far <= receptive_radius, (
            name,
            far,
            receptive_radius,
        )


def test_known_reaches(encoders: dict[str, Encoder]) -> None:
    vgg = encoders["vgg"]
    assert [vgg.receptive_radius(n) for n in ("relu1_1", "relu1_2", "relu2_1", "relu3_1")] == [
        1,
        2,
        5,
        13,
    ]
    assert [vgg.stride(n) for n in ("relu1_2", "relu2_1", "relu4_1")] == [1, 2, 8]
    with pytest.raises(ValueError, match="has no layer 'relu5_1'"):
        vgg.receptive_radius("relu5_1")


def test_least_side_is_what_still_works(encoder: Encoder) -> None:
    for name in encoder.layers:
        least = encoder.least_side(name)
        height, width = encoder(torch.rand(1, 3, least, 40), [name])[name].shape[2:]
        assert height >= 1
        assert width >= 1
        if least == 1:
            continue
        small = torch.rand(1, 3, least - 1, 40)
        message = rf"40x{least - 1} pixels is too small for '{name}' of .* needs {least} or more"
        with pytest.raises(ValueError, match=message):
            encoder(small, [name])
        with pytest.raises(ValueError, match="is too small"):
            encoder.propagate(small[:, :1], [name], "simple")
        with pytest.raises(RuntimeError):  # the network itself could not do it
            x = small
            for stage in encoder.stages[: encoder.layers.index(name) + 1]:
                x = stage(x)


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("padding", [0, 1])
def test_windows_count_as_torch_does(padding: int, ceil: bool) -> None:
    for kernel, stride, side in product((2, 3, 5), (1, 2, 3), range(3, 12)):
        window = Window(kernel, stride, padding, ceil)
        plane = torch.rand(1, 1, side, side)
        wanted = window.size(side)
        if wanted == 0:
            continue
        pooled = F.max_pool2d(plane, kernel, stride, padding, ceil_mode=ceil)
        assert pooled.shape[2] == wanted, window
        assert window.average(plane).shape[2] == wanted
        assert torch.equal(window.least_of(1.0 - plane), 1.0 - pooled)


def blob(height: int, width: int) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    inside = (rows - 0.3 * height) ** 2 + (columns - 0.45 * width) ** 2 < (0.42 * width) ** 2
    return inside.float()[None, None]


def test_inside_are_features_that_see_nothing_else(encoder: Encoder) -> None:
    """Against the network itself, on a size that no stride divides."""
    plane = blob(75, 93)
    picture = torch.where(plane > 0.5, 0.5, torch.nan).expand(1, 3, -1, -1)
    layers = tuple(n for n in layers_of(encoder) if encoder.receptive_radius(n) < 60)
    carried = encoder.propagate(plane, layers, "inside")
    compared = 0
    for name, hit in touched(encoder, picture, layers).items():
        assert carried[name].shape[2:] == hit.shape[1:]
        if not hit.all():
            assert torch.equal(carried[name][0, 0] == 1.0, ~hit[0]), name
            compared += 1
    assert compared >= 2


def test_a_region_without_inside_is_taken_whole(encoders: dict[str, Encoder]) -> None:
    encoder = encoders["vgg"]
    region_masks = torch.zeros(1, 2, 160, 24)
    region_masks[:, 0, 30:35] = 1.0
    region_masks[:, 1] = 1.0 - region_masks[:, 0]
    carried = encoder.propagate(region_masks, ["relu1_1", "relu4_1"], "inside")
    assert torch.equal(carried["relu1_1"][0, 0, :, 0].nonzero().flatten(), torch.arange(31, 34))
    plain = F.avg_pool2d(region_masks, 8)
    assert torch.allclose(carried["relu4_1"][:, 0], plain[:, 0])
    assert carried["relu4_1"][:, 1].sum() < plain[:, 1].sum()


def test_feathered_planes_still_share_each_feature(encoder: Encoder) -> None:
    left = blob(75, 93)
    region_masks = torch.cat([left, 1.0 - left], dim=1)
    for name, carried in encoder.propagate(region_masks, layers_of(encoder), "feather").items():
        assert torch.allclose(carried.sum(dim=1), torch.ones(()), atol=1e-4), name
        assert carried.min() >= 0.0
    first = encoder.layers[0]
    soft = encoder.propagate(region_masks, [first], "feather")[first]
    assert ((soft > 0.01) & (soft < 0.99)).any()


def test_simple_planes_are_resized_by_area(encoder: Encoder) -> None:
    plane = blob(64, 96)
    for name, carried in encoder.propagate(plane, layers_of(encoder), "simple").items():
        features = encoder(torch.rand(1, 3, 64, 96), [name])[name]
        assert carried.shape == (1, 1, *features.shape[2:])
        assert torch.allclose(carried.mean(), plane.mean(), atol=0.01)


def test_carrying_names_what_is_wrong(encoders: dict[str, Encoder]) -> None:
    encoder, plane = encoders["vgg"], blob(16, 16)
    with pytest.raises(ValueError, match=r"unknown way 'insid' .*\(did you mean 'inside'\?\)"):
        encoder.propagate(plane, ["relu1_1"], "insid")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no layer 'relu9_1'"):
        encoder.propagate(plane, ["relu9_1"])
