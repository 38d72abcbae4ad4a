"""The quick engine gives what the plain network gives."""

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F

from stylepipe.nst import inference
from stylepipe.nst.inference import StyleEngine
from stylepipe.nst.networks import SPECS, NetworkSpec, StyleNetwork

CPU = torch.device("cpu")
PLENTY = 1 << 40
TINY = NetworkSpec("tiny", (4, 6, 8), blocks=2)
TINY_LIGHT = NetworkSpec("tiny-light", (4, 6), blocks=1, unshuffle=2, kernel=5)


def network(spec: NetworkSpec, styles: int = 2) -> StyleNetwork:
    torch.manual_seed(1)
    net = StyleNetwork(spec, styles).eval()
    for norm in net.norms():
        torch.nn.init.normal_(norm.gamma, 1.0, 0.3)
        torch.nn.init.normal_(norm.beta, 0.0, 0.3)
    torch.nn.init.normal_(net.head.weight, std=0.3 / net.head.weight[0].numel() ** 0.5)
    return net


def photo(height: int, width: int, n: int = 1) -> torch.Tensor:
    torch.manual_seed(2)
    x = F.interpolate(torch.rand(n, 3, 9, 11), (height, width), mode="bicubic").clamp(0, 1)
    return (x * 255).round() / 255


def plain(net: StyleNetwork, x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        result: torch.Tensor = net(x, weights.expand(len(x), -1))
        return result


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10(((a - b) ** 2).mean()))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small pictures are not worth a second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("slab", [1, 20_000, 1 << 30], ids=["rows", "slabs", "whole"])
@pytest.mark.parametrize("memory", [0, PLENTY], ids=["twice", "kept"])
@pytest.mark.parametrize("spec", [TINY, TINY_LIGHT], ids=lambda s: s.name)
def test_equals_the_network_in_float32(
    spec: NetworkSpec, memory: int, slab: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "CACHED", slab)
    net, weights = network(spec), torch.tensor([0.3, 0.7])
    for size in ((64, 64), (97, 131)):
        x = photo(*size, n=2)
        expected = plain(net, x, weights)
        result = StyleEngine(net, weights, CPU, torch.float32, memory)(x)
        assert result.shape == x.shape and result.dtype == torch.float32
        assert float((result - expected).abs().max()) < 1e-4


@pytest.mark.parametrize("kernel", [3, 5, 7, 9])
def test_last_convolution_of_any_size(kernel: int) -> None:
    net = network(NetworkSpec("k", (4, 6), blocks=1, kernel=kernel), 1)
    x, weights = photo(70, 76), torch.ones(1)
    result = StyleEngine(net, weights, CPU, torch.float32, PLENTY)(x)
    assert torch.allclose(result, plain(net, x, weights), atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (63, 200), (5, 7)])
def test_small_pictures(size: tuple[int, int]) -> None:
    net, x, weights = network(TINY, 1), photo(*size), torch.ones(1)
    result = StyleEngine(net, weights, CPU, torch.bfloat16, PLENTY)(x)
    assert torch.equal(result, plain(net, x, weights))


@pytest.mark.parametrize("name", ["quality", "light"])
def test_half_precision_is_close(name: str) -> None:
    net, x, weights = network(SPECS[name], 1), photo(128, 160), torch.ones(1)
    result = StyleEngine(net, weights, CPU, torch.bfloat16, PLENTY)(x)
    assert psnr(result, plain(net, x, weights)) >= 35


def test_a_blend_lies_on_its_own() -> None:
    net, x = network(TINY), photo(80, 80)
    blends = [torch.tensor(w) for w in ([1.0, 0.0], [0.5, 0.5], [0.0, 1.0])]
    results = [StyleEngine(net, w, CPU, torch.float32, PLENTY)(x) for w in blends]
    assert torch.allclose(results[1], plain(net, x, blends[1]), atol=1e-4)
    assert float((results[0] - results[2]).abs().mean()) > 0.01


def test_memory_layout_of_the_picture_does_not_matter() -> None:
    net, x, weights = network(TINY, 1), photo(96, 100), torch.ones(1)
    engine = StyleEngine(net, weights, CPU, torch.float32, PLENTY)
    interleaved = x.contiguous(memory_format=torch.channels_last)
    assert torch.equal(engine(x), engine(interleaved))


def test_without_memory_goes_on_in_smaller_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x, weights = network(TINY, 1), photo(200, 120), torch.ones(1)
    engine = StyleEngine(net, weights, CPU, torch.float32, PLENTY)
    expected = engine(x)
    sizes = []
    empty = inference._empty

    def scarce(like: torch.Tensor, channels: int, height: int, width: int) -> torch.Tensor:
        sizes.append(channels * height * width)
        if sizes[-1] > 4 * 100 * 120:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return empty(like, channels, height, width)

    monkeypatch.setattr(inference, "_empty", scarce)
    monkeypatch.setattr(inference, "CACHED", 1 << 21)
    engine = StyleEngine(net, weights, CPU, torch.float32, PLENTY)
    with pytest.raises(RuntimeError, match="can't allocate"):
        engine._paint_slabs(x, True, 1 << 21)
    assert torch.allclose(engine(x), expected, atol=1e-4)


def test_other_errors_come_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> torch.Tensor:
        raise RuntimeError("a bug")

    engine = StyleEngine(network(TINY, 1), torch.ones(1), CPU, torch.float32, PLENTY)
    monkeypatch.setattr(inference, "_empty", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        engine(photo(80, 80))


@pytest.mark.parametrize("where", ["stem", "blocks", "norm", "head"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_numbers_that_are_not_finite_show_in_the_result(where: str, sign: float) -> None:
    """ReLU on the bits makes zero of a NaN whose sign is minus: a clean, wrong picture."""
    net = network(TINY, 1)
    nan = torch.copysign(torch.tensor(float("nan")), torch.tensor(sign))
    spoiled = {
        "stem": net.stem.conv.weight,
        "blocks": net.get_parameter("blocks.1.second.conv.weight"),
        "norm": net.get_parameter("up.0.norm.beta"),
        "head": net.head.weight,
    }[where]
    with torch.no_grad():
        spoiled.flatten()[0] = nan
    for dtype in (torch.float32, torch.bfloat16):
        result = StyleEngine(net, torch.ones(1), CPU, dtype, PLENTY)(photo(80, 80))
        assert not result.isfinite().any() if where != "head" else not result.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_overflow_shows_in_the_result(dtype: torch.dtype) -> None:
    net = network(TINY, 1)
    assert StyleEngine(net, torch.ones(1), CPU, dtype, PLENTY)(photo(80, 80)).isfinite().all()
    with torch.no_grad():
        net.down[0].conv.weight.mul_(1e38)  # type: ignore[union-attr,operator]
    assert StyleEngine(net, torch.ones(1), CPU, dtype, PLENTY)(photo(80, 80)).isnan().all()


def test_works_within_the_lesser_of_budget_and_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 5000))
    cuda = torch.device("cuda")
    assert [inference._within(m, cuda) for m in (400, 4000)] == [400, 1000]
    assert inference._within(4000, CPU) == 4000


@pytest.mark.gpu
@pytest.mark.parametrize("spec", [TINY, TINY_LIGHT], ids=lambda s: s.name)
@pytest.mark.parametrize(("dtype", "least"), [(torch.float32, 60.0), (torch.float16, 35.0)])
@pytest.mark.parametrize("size", [(97, 131), (512, 700), (40, 200)])
def test_equals_the_network_on_cuda(
    spec: NetworkSpec, dtype: torch.dtype, least: float, size: tuple[int, int]
) -> None:
    cuda, weights, x = torch.device("cuda"), torch.tensor([0.3, 0.7]), photo(*size, n=2)
    expected = plain(network(spec), x, weights)
    result = StyleEngine(network(spec), weights, cuda, dtype, PLENTY)(x.to(cuda)).cpu()
    assert psnr(result, expected) >= least
