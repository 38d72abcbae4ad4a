"""Style networks and their file format."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from stylepipe.nst import norms
from stylepipe.nst.networks import (
    LIGHT,
    QUALITY,
    SPECS,
    NetworkSpec,
    StyleNetwork,
    StyleRecord,
    load_styles,
    save_styles,
)
from stylepipe.nst.norms import instance_norm

SMALL = NetworkSpec("small", (4, 8), blocks=1, unshuffle=2, kernel=3)


def network(spec: NetworkSpec = SMALL, styles: int = 3) -> StyleNetwork:
    """A network whose styles differ, which a fresh one's do not."""
    torch.manual_seed(0)
    net = StyleNetwork(spec, styles).eval().requires_grad_(False)
    for norm in net.norms():
        norm.gamma.uniform_(0.5, 1.5)
        norm.beta.uniform_(-0.5, 0.5)
    return net


def records(count: int = 3) -> list[StyleRecord]:
    return [StyleRecord(f"style-{i}", "A Title", "An Artist", "1900") for i in range(count)]


@pytest.mark.parametrize("spec", [QUALITY, LIGHT])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (4, 4), (5, 7), (37, 23), (64, 48)])
def test_any_size_comes_out_as_it_went_in(spec: NetworkSpec, size: tuple[int, int]) -> None:
    net = network(spec, 1)
    result = net(torch.rand(2, 3, *size), torch.ones(2, 1))
    assert result.shape == (2, 3, *size)
    assert torch.isfinite(result).all()


def test_padding_does_not_shift_the_picture() -> None:
    """A size that is no multiple of the stride gives what its reflected multiple gives."""
    net = network()
    whole = torch.rand(1, 3, 16, 16)
    cropped = whole[..., :15, :14]
    reflected = torch.nn.functional.pad(cropped, (0, 2, 0, 1), mode="reflect")
    expected = net(reflected, net.one_hot(1))[..., :15, :14]
    assert torch.equal(net(cropped, net.one_hot(1)), expected)


def test_a_trained_size_needs_no_more_than_four_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "quality.safetensors"
    save_styles(path, StyleNetwork(QUALITY, 10), records(10))
    assert path.stat().st_size < 4_000_000


def test_the_light_network_is_several_times_cheaper() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    counts = []
    for spec in (QUALITY, LIGHT):
        net = network(spec, 1)
        with FlopCounterMode(display=False) as counter:
            net(torch.rand(1, 3, 64, 64), torch.ones(1, 1))
        counts.append(counter.get_total_flops())
    assert counts[0] > 6 * counts[1]


def test_blends_mix_the_styles_parameters() -> None:
    net = network()
    x = torch.rand(1, 3, 16, 16)
    weights = torch.tensor([[0.25, 0.75, 0.0]])
    single = StyleNetwork(SMALL, 1).eval().requires_grad_(False)
    state = net.state_dict()
    for key, value in state.items():
        if key.endswith((".gamma", ".beta")):
            state[key] = weights @ value
    single.load_state_dict(state)
    blended = net(x, weights)
    assert torch.allclose(blended, single(x, torch.ones(1, 1)), atol=1e-5)
    assert not torch.allclose(blended, net(x, net.one_hot(0)), atol=1e-2)


def test_rows_of_a_batch_keep_their_own_style() -> None:
    net = network()
    x = torch.rand(2, 3, 16, 16)
    both = net(x, torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    assert torch.allclose(both[:1], net(x[:1], net.one_hot(0)), atol=1e-5)
    assert torch.allclose(both[1:], net(x[1:], net.one_hot(2)), atol=1e-5)


def test_fold_gives_every_norm_in_order() -> None:
    net = network(QUALITY)
    folded = net.fold(torch.tensor([0.0, 0.5, 0.5]))
    assert [g.shape for g, _ in folded] == [n.gamma.shape[1:] for n in net.norms()]
    assert torch.allclose(folded[0][0], net.stem.norm.gamma[1:].mean(dim=0))
    assert torch.allclose(folded[-1][1], net.up[-1].norm.beta[1:].mean(dim=0))
    with pytest.raises(ValueError, match="expected 3 style weights"):
        net.fold(torch.ones(2))


def test_select_keeps_the_chosen_styles() -> None:
    net = network()
    x = torch.rand(1, 3, 16, 16)
    picked = net.select([2, 0])
    assert picked.styles == 2
    assert torch.equal(picked(x, picked.one_hot(0)), net(x, net.one_hot(2)))


def test_a_fresh_head_draws_no_checkerboard() -> None:
    torch.manual_seed(0)
    net = StyleNetwork(LIGHT, 1).eval().requires_grad_(False)
    flat = torch.full((1, 3, 32, 32), 0.5)
    result = net(flat + 0.1 * torch.rand(1, 3, 1, 1), torch.ones(1, 1))
    assert torch.equal(result[..., ::2, ::2], result[..., 1::2, 1::2])


def test_bad_shapes_are_named() -> None:
    net = network()
    with pytest.raises(ValueError, match="N 3 H W"):
        net(torch.rand(3, 16, 16), net.one_hot(0))
    with pytest.raises(ValueError, match="style weights"):
        net(torch.rand(2, 3, 16, 16), net.one_hot(0))
    with pytest.raises(ValueError, match="one style or more"):
        StyleNetwork(SMALL, 0)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("moments", [False, True], ids=["cpu", "elsewhere"])
def test_instance_norm_has_the_gradient_of_its_definition(
    layout: torch.memory_format, moments: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if moments:
        monkeypatch.setattr(norms, "_by_group_norm", norms._by_moments)
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    gamma, beta = (torch.randn(2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))

    def norm(*inputs: torch.Tensor) -> torch.Tensor:
        return instance_norm(*inputs, 1e-5)

    assert torch.autograd.gradcheck(norm, (x, gamma, beta))
    mean = x.mean(dim=(2, 3), keepdim=True)
    deviation = (x.var(dim=(2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
    expected = (x - mean) / deviation * gamma[..., None, None] + beta[..., None, None]
    assert torch.allclose(norm(x, gamma, beta), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_instance_norm_is_the_same_on_every_device(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = (5 + torch.randn(2, 3, 9, 7)).to(dtype).to(memory_format=torch.channels_last)
    (one, first), (other, second) = norms._by_group_norm(x, 1e-5), norms._by_moments(x, 1e-5)
    assert other.dtype == dtype and other.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(one.float(), other.float(), atol=1e-5 if dtype.itemsize == 4 else 0.02)
    assert torch.allclose(first.float(), second.float(), rtol=0.01)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_instance_norm_on_cuda(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x, dy = torch.randn(2, 2, 8, 16, 12)
    values = [x, torch.rand(2, 8), torch.rand(2, 8)]
    found = []
    for device, kind in (("cpu", torch.float32), ("cuda", dtype)):
        own = [v.to(device, kind if v.ndim == 4 else torch.float32) for v in values]
        own[0] = own[0].contiguous(memory_format=torch.channels_last)
        leaves = [v.requires_grad_() for v in own]
        y = instance_norm(leaves[0], leaves[1], leaves[2], 1e-5)
        grads = torch.autograd.grad(y, leaves, dy.to(y))
        found.append([v.detach().float().cpu() for v in (y, *grads)])
    for expected, result in zip(*found, strict=True):
        close = 1e-4 if dtype == torch.float32 else 0.05
        assert float((expected - result).abs().max()) < close * float(expected.abs().max() + 1)


@pytest.mark.parametrize("spec", SPECS.values())
def test_styles_survive_their_file(spec: NetworkSpec, tmp_path: Path) -> None:
    net, path = network(spec), tmp_path / "styles.safetensors"
    save_styles(path, net, records(), teacher="an encoder", license="MIT")
    loaded, found, metadata = load_styles(path)
    assert found == records()
    assert loaded.spec == spec
    assert metadata["teacher"] == "an encoder"
    x = torch.rand(1, 3, 32, 32)
    worst = (loaded(x, net.one_hot(1)) - net(x, net.one_hot(1))).abs().max()
    assert worst < 1 / 255
    with safe_open(path, "pt") as file:
        assert file.get_tensor("stem.conv.weight").dtype == torch.float16


def test_saving_refuses_what_no_one_could_use(tmp_path: Path) -> None:
    net = network()
    with pytest.raises(ValueError, match="differently named"):
        save_styles(tmp_path / "a", net, [records()[0]] * 3)
    net.head.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        save_styles(tmp_path / "a", net, records())
    assert not list(tmp_path.iterdir())


def test_loading_names_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "styles.safetensors"
    with pytest.raises(FileNotFoundError, match="no such style file"):
        load_styles(path)
    path.write_bytes(b"\xff\xd8 a photo, not weights")
    with pytest.raises(ValueError, match="not a safetensors file"):
        load_styles(path)
    save_styles(path, network(), records())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="truncated"):
        load_styles(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "holds no stylepipe-fast styles"),
        ({"format_version": "9"}, "format version '9'"),
        ({"architecture": "{}"}, "not a network architecture"),
        ({"architecture": QUALITY.to_json()}, "not a 'quality' network"),
        ({"styles": "[]"}, "list of styles is empty"),
        ({"styles": "?"}, "not a list of styles"),
        ({"styles": json.dumps([{"name": "only"}])}, "has shape"),
    ],
)
def test_loading_names_a_wrong_header(change: dict[str, str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "styles.safetensors"
    save_styles(path, network(), records())
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    save_file(tensors, path, metadata | change)
    with pytest.raises(ValueError, match=message):
        load_styles(path)
    with pytest.raises(ValueError, match=path.name):
        load_styles(path)


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    path = tmp_path / "styles.safetensors"
    save_styles(path, network(), records())
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    del tensors["head.bias"]
    save_file(tensors, path, metadata)
    with pytest.raises(ValueError, match=r"lacks head\.bias"):
        load_styles(path)


def test_equal_networks_give_equal_files(tmp_path: Path) -> None:
    more = {f"key{i}": str(i) for i in range(20)}
    for name, metadata in (("a", more), ("b", dict(reversed(more.items())))):
        save_styles(tmp_path / name, network(), records(), **metadata)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert load_styles(tmp_path / "a")[2]["key7"] == "7"


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "styles.safetensors"
    save_styles(path, network(), records())
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"styles\.safetensors is damaged: .*SHA-256"):
        load_styles(path)


def resaved(path: Path, tensors: dict[str, torch.Tensor], **metadata: str | None) -> None:
    """Change tensors and metadata of a file (None: leave a key out)."""
    with safe_open(path, "pt") as file:
        found = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        head = file.metadata() | metadata
    save_file(found | tensors, path, {k: v for k, v in head.items() if v is not None})


def test_a_file_without_digest_is_read_and_its_numbers_checked(tmp_path: Path) -> None:
    path = tmp_path / "styles.safetensors"
    save_styles(path, network(), records())
    resaved(path, {}, sha256=None)
    load_styles(path)
    resaved(path, {"head.bias": torch.full((12,), float("inf"))})
    with pytest.raises(ValueError, match=r"damaged: head\.bias holds values that are not finite"):
        load_styles(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": [4, 5000]}, "widths must be whole numbers from 1 to 1024"),
        ({"widths": [4, 8.5]}, "widths must be whole numbers"),
        ({"widths": [4] * 30}, "widths must be 1 to 6 numbers"),
        ({"blocks": 10**9}, "blocks must be whole numbers from 1 to 32"),
        ({"blocks": True}, "blocks must be whole"),
        ({"unshuffle": 64}, "unshuffle must be whole numbers from 1 to 8"),
        ({"kernel": 33}, "kernel must be whole numbers from 1 to 31"),
        ({"kernel": 4}, "kernel must be odd"),
        ({"name": 7}, "the name must be a text"),
    ],
)
def test_architectures_beyond_reason_are_refused(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "styles.safetensors"
    save_styles(path, network(), records())
    resaved(path, {}, architecture=json.dumps(json.loads(SMALL.to_json()) | change))
    with pytest.raises(ValueError, match=message):
        load_styles(path)


def test_a_large_architecture_takes_no_memory_until_its_tensors_fit(tmp_path: Path) -> None:
    """Three gigabytes of weights claimed by a file of a few kilobytes."""
    path = tmp_path / "styles.safetensors"
    save_styles(path, network(), records())
    resaved(path, {}, architecture=json.dumps({"name": "x", "widths": [1024] * 6, "blocks": 32}))
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="not a 'x' network"):
        load_styles(path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 300_000  # kilobytes


def test_files_get_the_mode_that_the_user_chose(tmp_path: Path) -> None:
    import os

    old = os.umask(0o027)
    try:
        save_styles(tmp_path / "a", network(), records())
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
