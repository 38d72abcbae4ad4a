"""Style-swap: the streamed search against the plain one, and what must not change a result."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stylepipe.nst import swap
from stylepipe.nst.swap import StylePatches

Size = tuple[int, int]


def features(seed: int, channels: int, height: int, width: int) -> Tensor:
    """As behind a ReLU, 1 C h w: some are zero."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(1, channels, height, width, generator=generator, dtype=torch.float64)
    return (values + 0.4).clamp_min(0)


def planes(seed: int, count: int, size: Size) -> Tensor:
    """Regions K h w: each feature belongs to one."""
    owner = torch.randint(count, size, generator=torch.Generator().manual_seed(seed))
    return torch.stack([(owner == region).double() for region in range(count)])


@contextmanager
def blocks(block: int, piece: int, breadth: int, chunk: int = 4096) -> Iterator[None]:
    """Small maps are cut into as many pieces as large ones."""
    sizes = {
        "BLOCK": block, "PIECE": piece, "BREADTH": breadth,
        "LINE": 8 if piece < 1000 else 128, "CHUNK": chunk,
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, value in sizes.items():
            patch.setattr(swap, name, value)
        yield


# -- the plain way --------------------------------------------------------------------------


def begin(length: int, side: int, stride: int) -> list[int]:
    return sorted({*range(0, length - side + 1, stride), length - side})


def cut(values: Tensor, side: int, stride: int) -> Tensor:
    """All patches of 1 C h w, rows x columns x C x side x side."""
    rows, columns = (begin(length, side, stride) for length in values.shape[2:])
    return values[0].unfold(1, side, 1).unfold(2, side, 1)[:, rows][:, :, columns].movedim(0, 2)


def plain_scores(content: Tensor, styles: Sequence[Tensor], side: int, stride: int) -> Tensor:
    """rows x columns x patches; those of zero norm have minus infinity."""
    patches = torch.cat([cut(s, side, stride).flatten(2).flatten(0, 1) for s in styles])
    norm = patches.norm(dim=1)
    scores = cut(content, side, stride).flatten(2) @ patches.T / norm
    return scores.masked_fill(norm == 0, -torch.inf)


def plain_swap(
    best: Tensor, content: Tensor, styles: Sequence[Tensor], side: int, stride: int
) -> Tensor:
    patches = torch.cat([cut(s, side, stride).flatten(0, 1) for s in styles])
    total, count = torch.zeros_like(content), torch.zeros_like(content)
    for i, row in enumerate(begin(content.shape[2], side, stride)):
        for j, column in enumerate(begin(content.shape[3], side, stride)):
            here = (..., slice(row, row + side), slice(column, column + side))
            total[here] += patches[best[i, j]]
            count[here] += 1
    return total / count


def assert_best(best: Tensor, scores: Tensor) -> None:
    """Rounding may decide between equal scores, nothing else."""
    assert best.shape == scores.shape[:2]
    reached = scores.gather(2, best[..., None])[..., 0]
    torch.testing.assert_close(reached, scores.amax(2), rtol=1e-12, atol=1e-12)


SEEDS = st.integers(0, 10_000)


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, int, Tensor, list[Tensor]]:
    """Side, stride, a content and some styles of any sizes."""
    side = draw(st.sampled_from([1, 2, 3, 5]))
    sizes = st.tuples(st.integers(1, 3), st.integers(side, 13), st.integers(side, 13))
    channels, *size = draw(sizes)
    seed = draw(SEEDS)
    others = draw(st.lists(sizes, min_size=1, max_size=3))
    styles = [features(seed + i, channels, h, w) + 1e-3 for i, (_, h, w) in enumerate(others, 1)]
    return side, draw(st.integers(1, side)), features(seed, channels, *size), styles


@settings(max_examples=100, deadline=None)
@given(cases(), st.booleans())
def test_agrees_with_the_plain_search(
    case: tuple[int, int, Tensor, list[Tensor]], cut_up: bool
) -> None:
    side, stride, content, styles = case
    with blocks(300, 30, 6) if cut_up else blocks(1 << 22, 4096, 128):
        patches = StylePatches(styles, side, stride)
        best, swapped = patches.best(content), patches.swap(content)
    assert_best(best, plain_scores(content, styles, side, stride))
    expected = plain_swap(best, content, styles, side, stride)
    torch.testing.assert_close(swapped, expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(cases(), st.integers(1, 3), st.integers(0, 2), SEEDS)
def test_a_region_takes_only_patches_that_serve_it(
    case: tuple[int, int, Tensor, list[Tensor]], count: int, bare: int, seed: int
) -> None:
    side, stride, content, styles = case
    masks: list[Tensor | None] = [
        planes(seed + i, count, s.shape[2:]) for i, s in enumerate(styles)
    ]
    masks[bare % len(masks)] = None  # serves them all
    own = planes(seed + 9, count, content.shape[2:])
    with blocks(300, 30, 6):
        best = StylePatches(styles, side, stride, regions=masks).best(content, own)
    serves = torch.cat(
        [
            torch.ones(count, len(cut(s, side, stride).flatten(0, 1)), dtype=torch.bool)
            if mask is None
            else cut(mask[None], side, stride).mean((3, 4)).flatten(0, 1).T >= 0.5
            for s, mask in zip(styles, masks, strict=True)
        ],
        dim=1,
    )
    owner = cut(own[None], side, stride).mean((3, 4)).argmax(2)
    scores = plain_scores(content, styles, side, stride)
    assert_best(best, scores.masked_fill(~serves[owner], -torch.inf))


def test_a_content_without_regions_takes_any_patch() -> None:
    style, content = features(0, 2, 9, 8), features(1, 2, 7, 10)
    patches = StylePatches([style], regions=[planes(0, 2, (9, 8))])
    assert torch.equal(patches.best(content), StylePatches([style]).best(content))


# -- what it promises -----------------------------------------------------------------------


@pytest.mark.parametrize(("side", "stride"), [(1, 1), (3, 1), (3, 2), (2, 2), (5, 3)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_style_swapped_by_itself_is_itself(side: int, stride: int, dtype: torch.dtype) -> None:
    style = (features(3, 8, 17, 14) + 0.01).to(dtype)
    swapped = StylePatches([style], side, stride).swap(style)
    assert swapped.dtype == dtype
    torch.testing.assert_close(swapped, style)


def test_the_order_of_the_styles_does_not_matter() -> None:
    content, styles = features(0, 3, 12, 15), [features(i, 3, 5 + i, 9 - i) for i in (1, 2, 3)]
    swapped = StylePatches(styles).swap(content)
    for order in ((2, 1, 0), (1, 2, 0)):
        again = StylePatches([styles[i] for i in order]).swap(content)
        torch.testing.assert_close(again, swapped, rtol=1e-12, atol=1e-12)


def test_where_the_style_lies_in_its_picture_does_not_matter() -> None:
    content, style = features(0, 3, 12, 15), features(1, 3, 11, 8)
    turned = StylePatches([style.flip(2, 3)]).swap(content.flip(2, 3)).flip(2, 3)
    torch.testing.assert_close(turned, StylePatches([style]).swap(content), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_blocks_of_any_size_give_the_same(precision: swap.Precision) -> None:
    # Small integers: no sum is rounded.
    content = (3 * features(0, 3, 14, 17)).round().float()
    style = (3 * features(1, 3, 18, 12)).round().float()
    whole = StylePatches([style], precision=precision)
    for sizes in ((1, 1, 1, 1), (900, 60, 7, 3), (9000, 300, 40, 50)):
        with blocks(*sizes):
            parts = StylePatches([style], precision=precision)
            assert torch.equal(parts.best(content), whole.best(content))
            assert torch.equal(parts.swap(content), whole.swap(content))


def test_of_equal_patches_the_first_is_taken() -> None:
    style = (3 * features(0, 2, 12, 11)).round()
    content = (3 * features(1, 2, 9, 14)).round()
    for small in (False, True):
        with blocks(300, 30, 6) if small else blocks(1 << 22, 4096, 128):
            twice = StylePatches([style, style]).best(content)
            assert torch.equal(twice, StylePatches([style]).best(content))
            wide = torch.cat([style, style], dim=3)  # the second lies in another piece, same rows
            assert (StylePatches([wide]).best(content) % 20 < 12).all()


def test_a_patch_of_zeros_is_never_taken() -> None:
    style = features(0, 2, 8, 8) + 0.1
    style[..., :4] = 0.0
    content = -features(1, 2, 6, 6) - 0.1  # zeros would have the highest score
    best = StylePatches([style]).best(content)
    assert (best % 6 >= 2).all()


def test_fast_compares_exactly_what_bfloat16_cannot_tell_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content, noise = features(0, 16, 14, 17).float(), features(1, 16, 14, 17).float()
    near = content + 3e-3 * noise
    exact = StylePatches([near, content]).best(content)
    assert (exact >= 12 * 15).all()
    fast = StylePatches([near, content], precision="fast")
    assert torch.equal(fast.best(content), exact)
    monkeypatch.setattr(swap, "DOUBT", -1.0)  # no doubt, ever
    assert not torch.equal(fast.best(content), exact)


@pytest.mark.parametrize("regions", [False, True])
def test_fast_tells_neighbors_apart(monkeypatch: pytest.MonkeyPatch, regions: bool) -> None:
    content, noise = features(0, 16, 14, 17).float(), features(1, 16, 14, 17).float()
    style = torch.stack([content + 3e-3 * noise, content], dim=4).flatten(3)  # side by side
    masks = [torch.ones(1, 14, 34)] if regions else None
    own = torch.ones(1, 14, 17) if regions else None
    exact = StylePatches([style], side=1, regions=masks).best(content, own)
    assert (exact % 2 == 1).float().mean() > 0.95
    fast = StylePatches([style], side=1, regions=masks, precision="fast")
    assert torch.equal(fast.best(content, own), exact)
    monkeypatch.setattr(swap, "DOUBT", -1.0)
    assert not torch.equal(fast.best(content, own), exact)


def test_fast_agrees_with_exact() -> None:
    content, style = features(0, 24, 40, 37).float(), features(1, 24, 35, 44).float()
    for side, stride in ((3, 1), (5, 1), (3, 2)):
        exact, fast = (
            StylePatches([style], side, stride, precision=p).best(content)
            for p in ("exact", "fast")
        )
        assert (fast == exact).float().mean() > 0.99


def test_no_block_exceeds_the_working_space(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    multiply = swap._matrix

    def noted(content: Tensor, style: Tensor) -> Tensor:
        products = multiply(content, style)
        sizes.append(len(products))
        return products

    monkeypatch.setattr(swap, "_matrix", noted)
    StylePatches([features(0, 1, 4, 2500), features(1, 1, 700, 5)]).best(features(2, 1, 5, 900))
    assert max(sizes) <= swap.BLOCK


def test_no_gradient_is_kept() -> None:
    style, content = features(0, 2, 8, 8).requires_grad_(), features(1, 2, 6, 6).requires_grad_()
    assert not StylePatches([style]).swap(content).requires_grad


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_the_same_on_a_gpu(precision: swap.Precision) -> None:
    content, style = features(0, 24, 40, 37).float(), features(1, 24, 35, 44).float()
    here = StylePatches([style]).best(content)
    there = StylePatches([style.cuda()], precision=precision).best(content.cuda()).cpu()
    assert (here == there).float().mean() > 0.99


# -- what it refuses ------------------------------------------------------------------------

GOOD = features(0, 2, 6, 7)
HALVES = planes(0, 2, (6, 7))
EMPTY = torch.stack([torch.ones(6, 7), torch.zeros(6, 7)])

REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "none": (lambda: StylePatches([]), "no style: give one picture"),
    "small": (
        lambda: StylePatches([GOOD, GOOD[..., :2]]),
        "style 2 is too small for patches of 3x3",
    ),
    "flat": (lambda: StylePatches([GOOD, 0 * GOOD]), "style 2 is flat: all its features are zero"),
    "channels": (
        lambda: StylePatches([GOOD, GOOD[:, :1]]),
        "style 2 has 1 channels, .* first .* 2",
    ),
    "batch": (lambda: StylePatches([GOOD]).best(GOOD.repeat(2, 1, 1, 1)), "has 2 maps: .* one by"),
    "gaps": (lambda: StylePatches([GOOD], 3, 4), "a stride of 4 .* 3x3 features: take 1 to 3"),
    "no stride": (lambda: StylePatches([GOOD], 3, 0), "a stride of 0"),
    "no side": (lambda: StylePatches([GOOD], 0), "a stride of 1 .* 0x0"),
    "precision": (
        lambda: StylePatches([GOOD], precision="half"),  # type: ignore[arg-type]
        "unknown precision 'half'; there are exact, fast",
    ),
    "region": (
        lambda: StylePatches([GOOD], regions=[EMPTY]),
        "no patch of the style serves region 2: enlarge",
    ),
    "planes": (
        lambda: StylePatches([GOOD], regions=[HALVES[:, :5]]),
        "style 1 has 7x6 features, its regions are 7x5",
    ),
    "counts": (
        lambda: StylePatches([GOOD, GOOD], regions=[HALVES, HALVES[:1]]),
        "style 2 has 1 regions, the style has 2",
    ),
    "lists": (lambda: StylePatches([GOOD, GOOD], regions=[None]), "2 styles, but regions of 1"),
    "content": (
        lambda: StylePatches([GOOD]).best(GOOD[..., :2, :]),
        "the content is too small for patches of 3x3 features: there are 7x2",
    ),
    "layers": (
        lambda: StylePatches([GOOD]).swap(GOOD[:, :1]),
        "the content has 1 channels, the first style 2: take all from one layer of one encoder",
    ),
    "content's planes": (
        lambda: StylePatches([GOOD], regions=[HALVES]).best(GOOD, HALVES[..., :3]),
        "the content has 7x6 features, its regions are 3x6",
    ),
    "content's count": (
        lambda: StylePatches([GOOD], regions=[HALVES]).best(GOOD, HALVES[:1]),
        "the content has 1 regions, the style has 2",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_says_what_is_wrong(name: str) -> None:
    call, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        call()
