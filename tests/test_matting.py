"""The matting Laplacian against its textbook definition, and photorealism: what a user notices."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tinyencoder
import torch
from stylepipe_plugins.gatys.options import GatysOptions
from tinyencoder import STYLE
from torch import Tensor

from stylepipe import UsageError
from stylepipe.nst import matting, objective
from stylepipe.nst.budget import NotEnoughMemory
from stylepipe.nst.gatys import Gatys
from stylepipe.nst.matting import EPS, MattingLaplacian, affine_smoothed, closed_form_alpha
from stylepipe.nst.objective import Objective
from stylepipe.nst.paintings import Painting
from stylepipe.nst.recipe import LoopOptions, Recipe
from stylepipe.nst.terms.photorealism import Photorealism

BENCHMARKS = Path(__file__).parent / "benchmarks"
HEIGHT, WIDTH = 9, 7


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


COLORS = random(1, 3, HEIGHT, WIDTH)
PHOTOS = {
    "colors": COLORS,
    "gray": COLORS[:, :1].expand(-1, 3, -1, -1).contiguous(),
    "flat": torch.full_like(COLORS, 0.3),
    "few": (COLORS * 3).round() / 3,
    "faint": 0.5 + 1e-3 * COLORS,
}


def dense(photo: Tensor, eps: float = EPS) -> Tensor:
    """Levin et al. (2008), eq. 12, element by element, of one photo."""
    height, width = photo.shape[-2:]
    colors = photo[0].double().flatten(1).T.numpy()
    found = np.zeros((len(colors), len(colors)))
    for top in range(height - 2):
        for left in range(width - 2):
            pixels = [(top + i) * width + left + j for i in range(3) for j in range(3)]
            away = colors[pixels] - colors[pixels].mean(axis=0)
            inverse = np.linalg.inv(away.T @ away / 9 + eps / 9 * np.eye(3))
            for i, a in zip(pixels, away, strict=True):
                for j, b in zip(pixels, away, strict=True):
                    found[i, j] += float(i == j) - (1 + a @ inverse @ b) / 9
    return torch.from_numpy(found)


def applied(photo: Tensor) -> Tensor:
    """The operator as a matrix: its columns are what it makes of single pixels."""
    size = photo[0, 0].numel()
    pixels = torch.eye(size, dtype=photo.dtype).view(1, size, *photo.shape[-2:])
    return (MattingLaplacian(photo) @ pixels).view(size, size).double()


def assembled(laplacian: MattingLaplacian) -> Tensor:
    """The matrix, sparse, from the links of one photo."""
    height, width = laplacian.links.shape[-2:]
    total = torch.zeros(height * width, height * width).double().to_sparse()
    for (row, column), weights in zip(matting.LINKS, laplacian.links[0], strict=True):
        (a,) = weights.flatten().nonzero(as_tuple=True)
        b, weight = a + row * width + column, weights.flatten()[a].double()
        places = torch.cat([torch.stack(p) for p in ((a, b), (b, a), (a, a), (b, b))], dim=1)
        values = torch.cat([-weight, -weight, weight, weight])
        total = total + torch.sparse_coo_tensor(places, values, total.shape, check_invariants=True)
    return total


# -- the operator --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["double", "single"])
def test_it_is_the_textbooks_matrix(name: str, dtype: torch.dtype) -> None:
    photo = PHOTOS[name].to(dtype)
    wanted = dense(photo)
    # One pass over the windows in Cholesky's way, another by an inverse: in gray windows, of
    # condition 10^7, they agree to nine digits.
    limit = 1e-9 if dtype == torch.float64 else 1e-6
    for found in (applied(photo), assembled(MattingLaplacian(photo)).to_dense()):
        assert float((found - wanted).abs().max()) < limit * float(wanted.abs().max())


def test_eps_is_the_textbooks() -> None:
    found = assembled(MattingLaplacian(COLORS, 0.5)).to_dense()
    torch.testing.assert_close(found, dense(COLORS, 0.5))
    assert float((found - dense(COLORS)).abs().max()) > 0.1


@pytest.mark.parametrize("name", PHOTOS)
def test_it_is_symmetric_and_costs_nothing_or_more(name: str) -> None:
    for dtype, limit in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        matrix = applied(PHOTOS[name].to(dtype))
        assert torch.equal(matrix, matrix.T)
        values = torch.linalg.eigvalsh(matrix)
        assert float(values[0]) > -limit * float(values[-1])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_constants_cost_exactly_nothing(dtype: torch.dtype) -> None:
    for photo in PHOTOS.values():
        laplacian = MattingLaplacian(photo.to(dtype))
        flat = torch.full((1, 3, HEIGHT, WIDTH), 0.7, dtype=dtype)
        assert not (laplacian @ flat).any() and not laplacian.energy(flat).any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_affine_functions_of_the_colors_cost_nothing_where_colors_vary(dtype: torch.dtype) -> None:
    photo = tinyencoder.picture(24, 20, dtype=dtype)
    laplacian = MattingLaplacian(photo)
    mapped = torch.einsum("ij,njhw->nihw", random(3, 3, seed=1, dtype=dtype), photo) + 0.1
    other = float(laplacian.energy(random(1, 3, 24, 20, seed=2, dtype=dtype)))
    # What is left is eps times the squared slopes.
    assert float(laplacian.energy(mapped)) < 1e-6 * other
    # Of a window of two colors any mapping to two others is affine, window by window.
    two = (random(1, 1, 24, 20, seed=3) > 0.5).to(dtype)
    flags = torch.cat([two, 1 - two, 0.5 * two], dim=1)
    laplacian = MattingLaplacian(flags)
    assert float(laplacian.energy(0.2 + 0.6 * two)) < 1e-6 * other


def test_gradients() -> None:
    laplacian = MattingLaplacian(COLORS)
    picture = random(1, 2, HEIGHT, WIDTH, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(laplacian.energy, picture)
    laplacian.energy(picture).sum().backward()
    torch.testing.assert_close(picture.grad, 2 * (laplacian @ picture.detach()))


def test_a_batch_is_its_photos_one_by_one() -> None:
    photos, pictures = random(2, 3, 8, 6, seed=1), random(2, 3, 8, 6, seed=2)
    both = MattingLaplacian(photos)
    for i in range(2):
        alone = MattingLaplacian(photos[i : i + 1])
        torch.testing.assert_close((both @ pictures)[i : i + 1], alone @ pictures[i : i + 1])
        torch.testing.assert_close(both.variance[i : i + 1], alone.variance)


def test_chunks_do_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = applied(COLORS)
    monkeypatch.setattr(matting, "CPU_CHUNK", 1)
    torch.testing.assert_close(applied(COLORS), whole)


def test_a_photo_without_a_window_is_refused() -> None:
    with pytest.raises(ValueError, match="9x2 pixels has no window of 3x3"):
        MattingLaplacian(torch.zeros(1, 3, 2, 9))
    with pytest.raises(ValueError, match="2x9 pixels has no window"):
        closed_form_alpha(torch.zeros(1, 3, 9, 2), torch.full((1, 1, 9, 2), 0.5))


# -- the term --------------------------------------------------------------------------------------


def test_strips_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, own = random(1, 3, 30, 8), random(1, 3, 30, 8, seed=1)
    whole = Objective(tinyencoder.encoder(), [], [Photorealism(photo, 2.0)])(own)
    monkeypatch.setattr(objective, "STRIP", 50)
    parts = Objective(tinyencoder.encoder(), [], [Photorealism(photo, 2.0)])(own)
    torch.testing.assert_close(parts, whole)
    term = Photorealism(photo)
    torch.testing.assert_close(whole[0]["photorealistic"], 2 * term.value(own))


def test_a_weight_means_the_same_for_every_photo_and_size() -> None:
    """About 1 for what has nothing to do with the photo."""
    values = []
    for side, scale in ((40, 1.0), (120, 1.0), (40, 0.2)):
        photo, other = (0.5 + scale * (random(1, 3, side, side, seed=s) - 0.5) for s in (1, 2))
        values.append(float(Photorealism(photo).value(other)))
    assert all(0.3 < value < 1 for value in values)
    assert max(values) < 1.1 * min(values)
    assert float(Photorealism(torch.zeros(1, 3, 9, 9)).value(torch.zeros(1, 3, 9, 9))) == 0


PHOTO = tinyencoder.picture(40, 56, 1)
PAINTING = Painting(1 - tinyencoder.picture(60, 48, 2) ** 2)


def painted(photo: Tensor = PHOTO, *paintings: Painting, **changes: object) -> Tensor:
    weights = {"photorealistic": changes.pop("weight", 0.0)}
    regions, start = changes.pop("regions", None), changes.pop("start", None)
    memory = changes.pop("memory", 1 << 30)
    loop = LoopOptions(steps=12, learning_rate=0.05)
    base = {"weights": weights, "loop": loop, "first_side": 0, "photorealistic_smoothing": 0}
    recipe = Recipe({"relu3_1": 1.0}, STYLE, **(base | changes))  # type: ignore[arg-type]
    painter = Gatys(tinyencoder.encoder(), paintings or [PAINTING], recipe, memory)  # type: ignore[arg-type]
    return painter.paint(photo, regions=regions, start=start)  # type: ignore[arg-type]


ASKED = {
    "plain": {},
    "coarse to fine": {"first_side": 28},
    "a start of its own": {"start": random(1, 3, 30, 30, dtype=torch.float32)},
    "noise": {"init": "noise"},
    "half the style": {"strength": 0.5},
    "two photos": {"photo": torch.cat([PHOTO, PHOTO.flip(3)])[..., :28]},
    "L-BFGS": {"loop": LoopOptions(steps=12, optimizer="lbfgs")},
    "regions": {
        "regions": tinyencoder.halves(40, 56),
        "paintings": (PAINTING, Painting(tinyencoder.picture(60, 48, 5))),
    },
    "regions of the painting": {
        "regions": tinyencoder.halves(40, 56),
        "paintings": (Painting(PAINTING.picture, 1.0, tinyencoder.halves(60, 48)),),
    },
}


@pytest.mark.parametrize("name", ASKED)
def test_what_is_painted_is_more_like_a_photo(name: str) -> None:
    asked = dict(ASKED[name])
    photo, paintings = asked.pop("photo", PHOTO), asked.pop("paintings", ())
    costs = [
        float(Photorealism(photo).value(painted(photo, *paintings, weight=w, **asked)).sum())
        for w in (0.0, 20.0)
    ]
    assert costs[1] < 0.8 * costs[0]


def test_tiles_do_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objective, "STRIP", 300)
    monkeypatch.setattr("stylepipe.nst.gatys.SMALLEST_TILE", 16)
    whole = painted(weight=5.0)
    with pytest.raises(NotEnoughMemory) as caught:
        painted(weight=5.0, memory=0)
    tiled = painted(weight=5.0, memory=caught.value.needed)
    torch.testing.assert_close(tiled, whole, atol=2e-3, rtol=0)


def test_its_memory_counts() -> None:
    needed = []
    for weight in (0.0, 1.0):
        with pytest.raises(NotEnoughMemory) as caught:
            painted(weight=weight, memory=0)
        needed.append(caught.value.needed)
    term = Photorealism(PHOTO)
    assert term._laplacian.links.nbytes == 48 * PHOTO[0, 0].numel()
    assert needed[1] - needed[0] == 48 * (40 + 16) * (56 + 16)  # with the room around the photo


@pytest.fixture
def photorealism(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import photorealism

    return photorealism


def test_straight_lines_stay_straight(photorealism: ModuleType) -> None:
    photo = photorealism.edges(64, 80)
    assert photorealism.deviation(photo) < 0.15
    plain, kept, smoothed = (
        photorealism.deviation(painted(photo, weight=w, photorealistic_smoothing=radius))
        for w, radius in ((0.0, 0), (5.0, 0), (5.0, 15))
    )
    assert kept < 0.7 * plain and smoothed < 0.7 * plain


# -- smoothing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [700, 20], ids=["fitted whole", "fitted small"])
def test_affine_maps_of_the_photo_are_left_alone(
    side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matting, "PAPER_SIDE", side)
    photo = tinyencoder.picture(40, 52)
    factors = torch.tensor([[0.5, 0.2, 0.0], [0.1, 0.4, 0.1], [0.0, 0.0, 0.7]])
    mapped = torch.einsum("ij,njhw->nihw", factors, photo) + 0.1
    found = affine_smoothed(mapped, photo, 5 * side / 40)
    torch.testing.assert_close(found, mapped, atol=0.01, rtol=0)


def test_strokes_go_and_the_photos_detail_returns() -> None:
    photo = tinyencoder.picture(60, 80)
    strokes = 0.15 * (random(1, 3, 60, 80, dtype=torch.float32) - 0.5)
    colors = photo.flip(1) * 0.6 + 0.2
    distances = [
        float((found - colors).abs().mean())
        for found in (
            colors + strokes,
            affine_smoothed(colors + strokes, photo, 15),
            affine_smoothed(colors + strokes, photo, 60),
        )
    ]
    assert distances[1] < 0.7 * distances[0] and distances[2] < 0.7 * distances[1]


def test_no_glow_surrounds_what_is_bright(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dark ground that gets no color, beside a bright object that gets one, with texture."""
    photo = 0.02 * random(1, 3, 48, 80, dtype=torch.float32)
    photo[..., 40:] = 0.3 + 0.4 * random(1, 3, 48, 40, seed=1, dtype=torch.float32)
    picture = photo.clone()
    picture[:, :, :, 40:] = 0.3 + 0.7 * random(1, 3, 48, 40, seed=2, dtype=torch.float32)
    glow = []
    for misfit in (matting.MISFIT, 1e3):  # windows count by how well they fit; all alike
        monkeypatch.setattr(matting, "MISFIT", misfit)
        found = affine_smoothed(picture, photo, 60)
        glow.append(float((found - picture)[..., 30:38].abs().mean()))
    assert glow[0] < 0.75 * glow[1]


def test_smoothing_comes_with_photorealism_alone() -> None:
    plain = painted(photorealistic_smoothing=15)
    assert torch.equal(plain, painted(photorealistic_smoothing=0))
    rough = painted(weight=1.0)
    smooth = painted(weight=1.0, photorealistic_smoothing=15)
    assert torch.equal(smooth, affine_smoothed(rough, PHOTO, 15)) and not torch.equal(smooth, rough)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"photorealistic_smoothing": 0}, "--photorealistic-smoothing needs --photorealistic"),
        ({"photorealistic": -1}, "photorealistic"),
        ({"photorealistic": 1, "photorealistic_smoothing": -1}, "photorealistic-smoothing"),
        (
            {"photorealistic": 1, "content_weight": 0, "style_weight": 0},
            "all weights are zero: there is nothing to paint toward",
        ),
    ],
)
def test_flags_that_cannot_be_honored_are_refused(given: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        GatysOptions.build(given)
    assert words in str(caught.value).replace("_", "-") and "\n" not in str(caught.value)


# -- alpha -----------------------------------------------------------------------------------------


def errors(found: Tensor, alpha: Tensor, trimap: Tensor) -> float:
    return float((found - alpha)[(trimap > 0) & (trimap < 1)].abs().mean())


@pytest.mark.parametrize("few", [1 << 10, 100], ids=["at once", "from half the size"])
def test_alpha_of_a_composite_is_found(
    few: int, photorealism: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matting, "FEW", few)
    photo, alpha = photorealism.composite(64, 60, 0.6)
    trimap = photorealism.trimap(alpha, 0.2)
    assert float(((trimap == 0) | (trimap == 1)).float().mean()) == pytest.approx(0.8, abs=0.01)
    found = closed_form_alpha(photo, trimap)
    assert errors(found, alpha, trimap) < 0.01 < 0.3 < errors(trimap, alpha, trimap)
    known = trimap != 0.5
    assert torch.equal(found[known], trimap[known]) and found.dtype == trimap.dtype
    assert torch.equal(found, found.clamp(0, 1))


def test_alpha_solves_the_textbooks_equations() -> None:
    trimap = torch.full((1, 1, HEIGHT, WIDTH), 0.5, dtype=torch.float64)
    trimap[..., 0], trimap[..., -1] = 0, 1
    matrix, unknown = dense(COLORS), trimap.flatten() == 0.5
    wanted = trimap.flatten().clone()
    right = -matrix[unknown][:, ~unknown] @ wanted[~unknown]
    wanted[unknown] = torch.linalg.solve(matrix[unknown][:, unknown], right)
    found = closed_form_alpha(COLORS, trimap, tolerance=1e-10)
    torch.testing.assert_close(found.flatten(), wanted.clamp(0, 1), atol=1e-6, rtol=0)


def test_alpha_of_trimaps_that_say_little_or_all() -> None:
    photo, trimap = COLORS, torch.full((1, 1, HEIGHT, WIDTH), 0.5).double()
    with pytest.raises(ValueError, match="knows no pixel: it has neither background nor"):
        closed_form_alpha(photo, trimap)
    with pytest.raises(ValueError, match=r"a trimap \(1, 1, 4, 4\) for a photo"):
        closed_form_alpha(photo, trimap[..., :4, :4])
    assert torch.equal(closed_form_alpha(photo, trimap.round()), trimap.round())
    make: Callable[[float], Tensor] = lambda value: closed_form_alpha(  # noqa: E731
        photo, trimap.index_fill(3, torch.tensor([0]), value), tolerance=1e-6
    )
    assert float(make(0.0).max()) < 1e-3 and float(make(1.0).min()) > 0.999


# -- devices without float64 -----------------------------------------------------------------------


class OnMps(torch.Tensor):
    """Says that it is on MPS, which has no float64."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("mps")

    def double(self) -> torch.Tensor:
        raise TypeError("MPS has no float64")

    def cpu(self) -> torch.Tensor:
        return self.as_subclass(torch.Tensor)

    def to(self, *args: object, **more: object) -> torch.Tensor:
        return self.cpu() if args == (torch.device("cpu"),) else super().to(*args, **more)


def test_a_device_without_float64_gets_the_same() -> None:
    photo, picture = random(1, 3, 12, 9, seed=3), random(1, 3, 12, 9, seed=4)
    there = MattingLaplacian(photo.as_subclass(OnMps)) @ picture.as_subclass(OnMps)
    assert isinstance(there, OnMps)
    torch.testing.assert_close(there.cpu(), MattingLaplacian(photo) @ picture)
    trimap = torch.full((1, 1, 12, 9), 0.5)
    trimap[..., 0], trimap[..., -1] = 0, 1
    found = closed_form_alpha(photo.as_subclass(OnMps), trimap.as_subclass(OnMps))
    assert isinstance(found, OnMps)
    torch.testing.assert_close(found.cpu(), closed_form_alpha(photo, trimap))
