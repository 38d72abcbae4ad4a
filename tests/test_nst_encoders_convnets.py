"""SqueezeNet, ResNet-50, DenseNet-121, ViT-B/16: the same features as torchvision's forward."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models.squeezenet import Fire

from stylepipe.nst.encoders import IMAGENET_MEAN, IMAGENET_STD, Encoder, load_encoder
from stylepipe.weights import KNOWN

CONVNETS = ("squeezenet1_0", "squeezenet1_1", "resnet50", "densenet121")


def disturb(model: nn.Module) -> nn.Module:
    """Statistics as after training: those of a fresh network hide what a mistake would do."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.3, 0.6)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return model


class Case:
    """A torchvision model, the file of its tensors, and the encoder that was read from it."""

    def __init__(self, name: str, folder: Path) -> None:
        torch.manual_seed(0)
        with torch.random.fork_rng():
            model = getattr(torchvision.models, name)(weights=None)
            self.state = {k: v.clone() for k, v in disturb(model).state_dict().items()}
        self.path = folder / f"{name}.pth"
        torch.save(self.state, self.path)
        self.model = model.eval()
        self.encoder = load_encoder(self.path)

    def expected(self, picture: Tensor) -> dict[str, Tensor]:
        """torchvision's forward, watched by hooks; only the first padding is by replication."""
        return watched(self.model, picture)


def watched(model: nn.Module, picture: Tensor) -> dict[str, Tensor]:
    first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    margin, first.padding = first.kernel_size[0] // 2, (0, 0)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    x = F.pad((picture - mean) / std, (margin,) * 4, mode="replicate")
    found: dict[str, Tensor] = {}
    handles = []
    for name, module in places(model).items():

        def keep(_: nn.Module, __: object, output: Tensor, name: str = name) -> None:
            found[name] = output.clone()

        handles.append(module.register_forward_hook(keep))
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    if "block4" in found:
        found["block4"] = F.relu(found["block4"])  # DenseNet's forward does it itself
    return found


def places(model: nn.Module) -> dict[str, nn.Module]:
    """Layer -> the module of torchvision's that puts it out."""
    if isinstance(model, torchvision.models.ResNet):
        layers = {name: model.get_submodule(name) for name in ("layer1", "layer2", "layer3")}
        return {"relu1": model.relu, **layers, "layer4": model.layer4}
    features = model.features
    if isinstance(model, torchvision.models.DenseNet):
        blocks = {f"block{i}": features.get_submodule(f"transition{i}.relu") for i in (1, 2, 3)}
        return {"relu0": features.relu0, **blocks, "block4": features.norm5}
    fires = [m for m in features if isinstance(m, Fire)]
    return {"relu1": features[1]} | {f"fire{i}": m for i, m in enumerate(fires, 2)}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    folder = tmp_path_factory.mktemp("networks")
    return {name: Case(name, folder) for name in CONVNETS}


@pytest.fixture(params=CONVNETS)
def case(request: pytest.FixtureRequest, cases: dict[str, Case]) -> Case:
    return cases[request.param]


def test_features_are_those_of_torchvision(case: Case) -> None:
    picture = torch.rand(1, 3, 67, 50)
    expected = case.expected(picture)
    assert set(expected) == set(case.encoder.layers)
    for name, features in case.encoder(picture, expected).items():
        error = (features - expected[name]).abs().max() / expected[name].abs().max()
        assert error < 1e-4, name


def test_no_layer_is_spoilt_by_a_later_one(case: Case) -> None:
    encoder, picture = case.encoder, torch.rand(1, 3, 40, 40, requires_grad=True)
    together = encoder(picture, encoder.layers)
    for name in encoder.layers:
        assert torch.equal(encoder(picture, [name])[name], together[name]), name
    sum(f.square().mean() for f in together.values()).backward()
    assert picture.grad is not None
    assert picture.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in encoder.parameters())


def test_bfloat16_comes_close(case: Case) -> None:
    half, picture = load_encoder(case.path, dtype=torch.bfloat16), torch.rand(1, 3, 64, 64)
    for name, features in half(picture, half.layers).items():
        exact = case.encoder(picture, [name])[name]
        error = (features - exact).square().mean().sqrt() / exact.std()
        assert features.dtype == torch.bfloat16
        assert error < 0.15, (name, error)


def test_another_pooling_changes_what_lies_behind_it(case: Case) -> None:
    picture = torch.rand(1, 3, 48, 48)
    names = case.encoder.layers
    plain = case.encoder(picture, names[:2])
    for kind in ("average", "l2"):
        other = load_encoder(case.path, pooling=kind)(picture, names[:2])
        assert torch.equal(other[names[0]], plain[names[0]])
        assert not torch.allclose(other[names[1]], plain[names[1]], atol=1e-3)
        assert 0.5 < other[names[1]].std() / plain[names[1]].std() < 2.0


def test_cut_short_it_ends_where_the_tensors_do(cases: dict[str, Case], tmp_path: Path) -> None:
    for name, start, last in (
        ("resnet50", ("conv1.", "bn1.", "layer1.", "layer2."), "layer2"),
        ("squeezenet1_0", tuple(f"features.{i}." for i in range(6)), "fire4"),
        ("densenet121", ("features.conv0", "features.norm0"), "relu0"),
    ):
        state = {k: v for k, v in cases[name].state.items() if k.startswith(start)}
        save_file(state, tmp_path / "cut.safetensors")
        encoder = load_encoder(tmp_path / "cut.safetensors")
        assert encoder.layers[-1] == last
        with pytest.raises(ValueError, match=f"whose weights end at '{last}', has no layer"):
            encoder.check([cases[name].encoder.layers[-1]])
        assert set(encoder.default_style) | set(encoder.default_content) <= set(encoder.layers)


def test_what_is_wrong_with_a_file_is_told(cases: dict[str, Case], tmp_path: Path) -> None:
    path, state = tmp_path / "bad.pth", cases["resnet50"].state
    torch.save({"bn1.running_mean": state["bn1.running_mean"]}, path)
    with pytest.raises(ValueError, match=r"ResNet-50's tensor 'conv1.weight' is missing"):
        load_encoder(path)
    stem = {k: v for k, v in state.items() if k.startswith("conv1.")}
    torch.save(stem | {"bn1.running_mean": torch.zeros(64)}, path)
    with pytest.raises(ValueError, match=r"tensor 'bn1.weight' is missing"):
        load_encoder(path)
    torch.save({k: v for k, v in state.items() if k != "layer2.1.bn2.bias"}, path)
    with pytest.raises(ValueError, match=r"bad\.pth: ResNet-50's tensor 'layer2.1.bn2.bias' is"):
        load_encoder(path)
    torch.save(state | {"layer1.0.conv1.weight": torch.zeros(64, 32, 1, 1)}, path)
    with pytest.raises(ValueError, match=r"\(64, 32, 1, 1\); ResNet-50 has \(64, 64, 1, 1\)"):
        load_encoder(path)
    with pytest.raises(ValueError, match=r"holds SqueezeNet 1\.0, not ResNet-50"):
        load_encoder(cases["squeezenet1_0"].path, name="resnet50")


def test_old_names_of_densenets_tensors(cases: dict[str, Case], tmp_path: Path) -> None:
    case = cases["densenet121"]
    old = {
        k.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): v
        for k, v in case.state.items()
        if "num_batches" not in k and k.startswith(("features.conv0", "features.norm0",
            "features.denseblock1", "features.transition1"))
    }  # fmt: skip
    assert any(".norm.1." in k for k in old)
    torch.save(old, tmp_path / "old.pth")
    encoder = load_encoder(tmp_path / "old.pth")
    picture = torch.rand(1, 3, 32, 32)
    found = encoder(picture, ["block1"])["block1"]
    assert torch.equal(found, case.encoder(picture, ["block1"])["block1"])


def test_usual_layers(case: Case) -> None:
    encoder = case.encoder
    assert sum(encoder.default_style.values()) == pytest.approx(1.0)
    assert len(encoder.default_style) >= 4
    encoder.check([*encoder.default_style, *encoder.default_content])


def test_registry_names_torchvisions_own_files() -> None:
    models = torchvision.models
    for name, enum in (
        ("vgg19", models.VGG19_Weights.IMAGENET1K_V1),
        ("vgg16", models.VGG16_Weights.IMAGENET1K_V1),
        ("squeezenet1_0", models.SqueezeNet1_0_Weights.IMAGENET1K_V1),
        ("squeezenet1_1", models.SqueezeNet1_1_Weights.IMAGENET1K_V1),
        ("resnet50", models.ResNet50_Weights.IMAGENET1K_V2),
        ("densenet121", models.DenseNet121_Weights.IMAGENET1K_V1),
        ("vit-b-16", models.ViT_B_16_Weights.IMAGENET1K_V1),
    ):
        entry = KNOWN[name]
        assert entry.url == enum.url
        assert entry.sha256 == enum.url.removesuffix(".pth").rpartition("-")[2]
        assert abs(entry.megabytes - enum.meta["_file_size"]) < 1


def test_real_squeezenet_is_read_as_torchvision_would(shared_data: Path) -> None:
    path = shared_data / "weights" / "squeezenet1_0_deepcompressed_imagenet.safetensors"
    encoder = load_encoder(path, dtype=torch.float64)
    assert encoder.title == "SqueezeNet 1.0"
    model = torchvision.models.squeezenet1_0(weights=None).double().eval()
    model.load_state_dict(load_file(path))
    import cv2

    photo = cv2.imread(str(shared_data / "content" / "misc" / "chelsea.png"))
    picture = photo[80:176, 160:256, ::-1]
    rgb = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255.0
    expected = watched(model, rgb.double())
    for name, features in encoder(rgb, encoder.layers).items():
        error = (features - expected[name]).abs().max() / expected[name].abs().max()
        assert error < 1e-6, name
        assert 0.05 < (features > 0).double().mean() < 0.9, name


# -- ViT ------------------------------------------------------------------------------------


def vit(depth: int = 2) -> torchvision.models.VisionTransformer:
    torch.manual_seed(0)
    return torchvision.models.VisionTransformer(224, 16, depth, 12, 768, 3072).eval()


@pytest.fixture(scope="module")
def transformer() -> Iterator[torchvision.models.VisionTransformer]:
    yield vit()


def opened(state: dict[str, Tensor], folder: Path, **options: object) -> Encoder:
    torch.save(state, folder / "vit.pth")
    return load_encoder(folder / "vit.pth", **options)  # type: ignore[arg-type]


def test_vit_features_are_those_of_torchvision(
    transformer: torchvision.models.VisionTransformer, tmp_path: Path
) -> None:
    """The weights are cut short after two of the twelve blocks."""
    encoder = opened(transformer.state_dict(), tmp_path)
    assert encoder.layers == ("block1", "block2")
    picture = torch.rand(1, 3, 224, 224)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    tokens: list[Tensor] = []
    for block in transformer.encoder.layers:
        block.register_forward_hook(lambda _, __, output: tokens.append(output))
    with torch.no_grad():
        transformer((picture - mean) / std)
        found = encoder(picture, ["block1", "block2"])
    for name, wanted in zip(("block1", "block2"), tokens, strict=True):
        assert found[name].shape == (1, 768, 14, 14)
        rows = found[name].flatten(2).transpose(1, 2)
        assert torch.allclose(rows, wanted[:, 1:], atol=1e-4)


def test_vit_takes_any_size_and_precision(
    transformer: torchvision.models.VisionTransformer, tmp_path: Path
) -> None:
    encoder = opened(transformer.state_dict(), tmp_path, dtype=torch.bfloat16)
    picture = torch.rand(2, 3, 50, 33, requires_grad=True)
    found = encoder(picture, ["block2"])["block2"]
    assert found.shape == (2, 768, 4, 3)
    assert found.dtype == torch.bfloat16
    found.float().square().sum().backward()
    assert picture.grad is not None
    assert (picture.grad.abs().sum(dim=1) > 0).all()
    exact = opened(transformer.state_dict(), tmp_path)(picture, ["block2"])["block2"]
    assert (found - exact).square().mean().sqrt() < 0.05 * exact.std()


def test_positions_are_stretched_over_the_picture(
    transformer: torchvision.models.VisionTransformer, tmp_path: Path
) -> None:
    """With all weights zero a block passes its input on: what remains are the positions."""
    state = {k: torch.zeros_like(v) for k, v in transformer.state_dict().items()}
    rows, columns = torch.meshgrid(torch.arange(14.0), torch.arange(14.0), indexing="ij")
    state["encoder.pos_embedding"][0, 1:, 0] = rows.flatten()
    state["encoder.pos_embedding"][0, 1:, 1] = columns.flatten()
    encoder = opened(state, tmp_path)
    found = encoder(torch.rand(1, 3, 16 * 28, 16 * 7), ["block1"])["block1"]
    down, across = found[0, 0], found[0, 1]
    assert torch.allclose(down, down[:, :1].expand(28, 7), atol=1e-4)
    assert torch.allclose(across, across[:1].expand(28, 7), atol=1e-4)
    assert torch.allclose(down[2:-2, 0], (torch.arange(28.0) / 2 - 0.25)[2:-2], atol=0.05)
    assert torch.allclose(across[0, 1:-1], (torch.arange(7.0) * 2 + 0.5)[1:-1], atol=0.05)


def test_old_names_of_vits_tensors(
    transformer: torchvision.models.VisionTransformer, tmp_path: Path
) -> None:
    state = transformer.state_dict()
    old = {k.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): v
           for k, v in state.items()}  # fmt: skip
    assert old.keys() != state.keys()
    picture = torch.rand(1, 3, 32, 32)
    features = [opened(s, tmp_path)(picture, ["block1"])["block1"] for s in (state, old)]
    assert torch.equal(*features)


def test_vit_has_no_reach_and_no_pooling(
    transformer: torchvision.models.VisionTransformer, tmp_path: Path
) -> None:
    encoder = opened(transformer.state_dict(), tmp_path)
    assert not encoder.tileable
    assert encoder.stride("block2") == 16
    with pytest.raises(ValueError, match="depends on the whole picture"):
        encoder.receptive_radius("block1")
    with pytest.raises(ValueError, match="has no max pooling that average pooling could"):
        opened(transformer.state_dict(), tmp_path, pooling="average")
    left = torch.zeros(1, 1, 40, 64)
    left[..., :32] = 1.0
    carried = encoder.propagate(left, ["block2"], "inside")["block2"]
    assert torch.equal(carried, torch.tensor([1.0, 1.0, 0.0, 0.0]).expand(1, 1, 3, 4))
