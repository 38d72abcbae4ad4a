"""Films by gatys: frames continue from the one before, in fewer steps, and resume alike."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinyencoder
import torch
from fakes import writing_fails_at
from stylepipe_plugins.gatys import GatysStylizer
from stylepipe_plugins.gatys.options import GatysOptions
from stylepipe_plugins.temporal_ruder import Ruder
from stylepipe_plugins.temporal_warp import Warp
from test_film import Native, Still
from test_pipeline import LeftHalf, go
from tinyencoder import save

from stylepipe import Batch, Caps, Guide, Options, StyleRef
from stylepipe.cli import main
from stylepipe.nst.gatys import Gatys
from stylepipe.nst.paintings import Painting
from stylepipe.nst.recipe import LoopOptions, Recipe
from stylepipe.nst.terms import PhotoInputs, Strip
from stylepipe.nst.terms.temporal import Temporal
from stylepipe.testing import MakeFile, context

PHOTO = tinyencoder.picture(40, 56, 1)
PAINTING = 1 - tinyencoder.picture(60, 48, 2) ** 2


def painter(steps: int = 8, memory: int = 1 << 30, **changes: Any) -> Gatys:
    base: dict[str, Any] = {"first_side": 0, "loop": LoopOptions(steps=steps)}
    wanted = Recipe({"relu3_1": 1.0}, tinyencoder.STYLE, **(base | changes))
    return Gatys(tinyencoder.encoder(), [Painting(PAINTING)], wanted, memory)


def guide(warped: torch.Tensor, trust: float | torch.Tensor = 1.0) -> Guide:
    plane = torch.ones_like(warped[:, :1]) * trust
    return Guide(warped, plane)


def left(width: int = 56) -> torch.Tensor:
    """1 in the left half, 0 in the right."""
    return (torch.arange(width) < width // 2).float().expand(1, 1, 40, width)


# -- the term ----------------------------------------------------------------------------------


def test_the_term_is_the_trusted_squared_change_over_the_variance() -> None:
    warped, trust = tinyencoder.picture(12, 10, 3), torch.rand(1, 1, 12, 10)
    picture = tinyencoder.picture(12, 10, 4).requires_grad_()
    value = Temporal(warped, trust, 3.0).value(picture)
    variance = torch.stack([warped[0, c].var(correction=0) for c in range(3)]).mean() + 1e-4
    by_hand = (trust * (picture - warped) ** 2).mean() / variance
    torch.testing.assert_close(value[0], by_hand)
    (slope,) = torch.autograd.grad(value.sum(), picture)
    expected = 2 * trust * (picture - warped) / (variance * picture.numel())
    torch.testing.assert_close(slope, expected.detach())
    assert slope.abs().max() > 0


def test_strips_add_up_to_the_term() -> None:
    warped, trust = tinyencoder.picture(12, 10, 3, count=2), torch.rand(2, 1, 12, 10)
    term, picture = Temporal(warped, trust), tinyencoder.picture(12, 10, 4, count=2)
    rows = ((0, 5), (5, 12))
    parts = [term.part(Strip(picture[..., a:b, :], a, (a, b), 12)) for a, b in rows]
    torch.testing.assert_close(sum(parts), term.value(picture))


def test_a_photo_has_no_such_term() -> None:
    assert Temporal.build(PhotoInputs(painter().recipe, PHOTO, {}), 5.0).weight == 0
    named = []
    painter().paint(PHOTO, on_step=lambda step: named.append(set(step.terms)))
    assert named and all("temporal" not in names for names in named)


# -- frames that continue -------------------------------------------------------------------------


def test_guided_frames_take_fewer_steps_and_hold_on_to_what_was_painted() -> None:
    steps: list[int] = []
    first = painter(20).paint(PHOTO)
    other = tinyencoder.picture(40, 56, 5)
    painted = painter(20).paint(
        other, guide=guide(first, left()), on_step=lambda step: steps.append(step.steps)
    )
    alone = painter(20).paint(other)
    change = (painted - first).abs().mean(1)[0]
    away = (alone - first).abs().mean(1)[0]
    assert steps == [4] * 4  # a fifth
    assert change[:, :24].mean() < 0.25 * away[:, :24].mean()
    assert change[:, 32:].mean() > 0.5 * away[:, 32:].mean(), "what is uncovered is painted anew"


def test_guided_steps_and_weight_are_those_asked_for() -> None:
    first, seen = painter().paint(PHOTO), []
    other = 1 - PHOTO

    def change(weight: float) -> float:
        gatys = painter(20, guided_steps=9, weights={"temporal": weight})
        painted = gatys.paint(other, guide=guide(first), on_step=seen.append)
        return float((painted - first).square().mean())

    strong, none = change(100.0), change(0.0)
    assert len(seen) == 18 and strong < none / 2


def test_a_still_film_stays_as_it_is() -> None:
    first = painter(60).paint(PHOTO)
    second = painter(60).paint(PHOTO, guide=guide(first))
    assert (second - first).abs().mean() < 0.012  # three levels of 255
    assert (first - PHOTO).abs().mean() > 0.05


def test_without_trust_there_is_no_influence() -> None:
    whole = painter().paint(PHOTO)
    torch.testing.assert_close(painter().paint(PHOTO, guide=guide(1 - PHOTO, 0.0)), whole)
    half = guide(PHOTO.clone(), left())
    garbage = guide(torch.where(left() > 0, PHOTO, torch.rand(1, 3, 40, 56)), left())
    same = [painter().paint(PHOTO, guide=g) for g in (half, garbage)]
    # The variance that the term is scaled by is that of the whole picture.
    assert (same[0] - same[1])[..., 34:].abs().mean() < 0.02


def test_guides_serve_at_all_sizes_and_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, before = tinyencoder.picture(80, 96, 1), tinyencoder.picture(80, 96, 3)
    sizes: list[tuple[int, int]] = []
    given = guide(before, 0.8)
    many = painter(60, first_side=40)
    painted = many.paint(photo, guide=given, on_step=lambda step: sizes.append(step.size))
    assert len(set(sizes)) > 1 and sizes[-1] == (80, 96)
    assert (painted - before).abs().mean() < (many.paint(photo) - before).abs().mean() / 2
    whole = painter().paint(photo, guide=given)
    monkeypatch.setattr("stylepipe.nst.gatys.SMALLEST_TILE", 16)
    tiled = painter()
    monkeypatch.setattr(tiled, "_tile", lambda *args: 32)
    torch.testing.assert_close(tiled.paint(photo, guide=given), whole, atol=2e-3, rtol=0)


def test_guide_and_target_count_in_the_memory() -> None:
    gatys, size = painter(), (4000, 6000)
    photo = torch.empty(1, 3, *size, device="meta")
    given = Guide(photo, torch.empty(1, 1, *size, device="meta"))
    needed = []
    for guide, target in ((None, None), (given, None), (None, photo)):
        gatys.memory = 1 << 20
        with pytest.raises(ValueError, match="to paint 6000x4000 pixels takes") as error:
            gatys._tile(size, 1, 0, gatys._beside(photo, None, guide, target))
        needed.append(error.value.needed)
    assert needed[1] - needed[0] == 3 * 16 * 4000 * 6000
    assert needed[2] - needed[0] == 3 * 12 * 4000 * 6000


# -- through the engine ------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Path:
    tinyencoder.encoder_file(tmp_path)
    save(tmp_path / "painting.png", PAINTING)
    frames = [tinyencoder.picture(32, 32, 1).roll(k, 3) for k in range(7)]
    pixels = [(f[0] * 255).byte().permute(1, 2, 0).numpy() for f in frames]
    np.save(tmp_path / "clip.npy", np.ascontiguousarray(np.stack(pixels)))
    return tmp_path


def gatys_settings(files: Path, temporal: Any, masked: bool = False, **options: Any) -> Any:
    import fakes

    made = fakes.settings(
        temporal=temporal, masker=LeftHalf(LeftHalf.Options()) if masked else None
    )
    given = {
        "steps": 3, "guided_steps": 2, "encoder_weights": files / "tiny.safetensors",
        "style": (str(files / "painting.png"),),
    }  # fmt: skip
    return replace(made, stylizer=GatysStylizer(GatysOptions.build(given | options)))


METHODS = {
    "warp": lambda: Warp(Warp.Options(), Still(Options())),
    "ruder": lambda: Ruder(Ruder.Options.build({"passes": 2}), Still(Options())),
}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of 32 pixels are painted without being extended."""
    caps = replace(GatysStylizer.caps, min_side=32)
    monkeypatch.setattr(GatysStylizer, "caps", caps)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_film_resumes_to_the_same_bytes(
    files: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(name: str) -> Any:
        settings = gatys_settings(files, METHODS[method]())
        return go(files / "clip.npy", files / name, settings)[0]

    assert run("straight.npy").exit_code == 0
    with writing_fails_at(4, monkeypatch):
        assert run("resumed.npy").exit_code == 1
    assert run("resumed.npy").exit_code == 0
    straight, resumed = np.load(files / "straight.npy"), np.load(files / "resumed.npy")
    np.testing.assert_array_equal(resumed, straight)
    assert len(straight) == 7 and (straight[3] != straight[4]).any()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("method", METHODS)
def test_masks_strength_and_colors_go_on_working(files: Path, method: str) -> None:
    source = np.load(files / "clip.npy")
    settings = gatys_settings(files, METHODS[method](), True, strength=0.6, keep_colors=True)
    report, _ = go(files / "clip.npy", files / "out.npy", settings)
    assert report.exit_code == 0, report.failures
    result = np.load(files / "out.npy")
    np.testing.assert_array_equal(result[..., 16:, :], source[..., 16:, :])
    changed = np.abs(result[..., :16, :].astype(int) - source[..., :16, :]).mean((1, 2, 3))
    assert changed.min() > 2, "no frame is left as it was"


def test_guided_options_need_frames_that_continue(
    files: Path, make_clip: MakeFile, capsys: pytest.CaptureFixture[str]
) -> None:
    make_clip("film/clip.mp4", (64, 64), frames=2)
    words = ["gatys", str(files / "film"), "-o", str(files / "out")]
    words += ["--style", str(files / "painting.png"), "--dry-run"]
    for flag in ("--guided-steps", "--temporal-weight"):
        assert main.run([*words, flag, "3"]) == 2
        err = capsys.readouterr().err
        assert f"{flag} is for frames that gatys continues" in err
        assert main.run([*words, flag, "3", "--temporal", "warp"]) == 0
        capsys.readouterr()


def test_a_region_continues_from_its_own_part(files: Path) -> None:
    from stylepipe.regions import RegionStylizer

    seen: list[Guide] = []

    class Seeing(GatysStylizer):
        def stylize(self, batch: Batch) -> torch.Tensor:
            assert batch.guide is not None
            seen.append(batch.guide)
            return batch.images

    one = {"encoder_weights": files / "tiny.safetensors", "style": (str(files / "painting.png"),)}
    own = [Seeing(GatysOptions.build({**one, "steps": k})) for k in (2, 3)]
    regional = RegionStylizer(own[0], own)
    assert regional.caps.temporal == "native"
    regional.open(context())
    regional.prepare([])
    planes = torch.cat([left(), 1 - left()], 1)
    batch = Batch(PHOTO, _item(), planes, guide(PHOTO, 0.5), 1, ("a", "b"))
    regional.stylize(batch)
    torch.testing.assert_close(seen[0].trust, 0.5 * planes[:, :1])
    torch.testing.assert_close(seen[1].trust, 0.5 * planes[:, 1:])
    regional.close()


def test_regions_of_a_guided_and_another_stylizer_are_blended() -> None:
    from stylepipe.regions import RegionStylizer

    class Plain(GatysStylizer):
        caps = Caps()

    own = [GatysStylizer(GatysOptions.build({})), Plain(GatysOptions.build({}))]
    assert RegionStylizer(own[0], own).caps.temporal == "blend"


def _item() -> Any:
    from stylepipe.contracts.stylizer import StylizerContract

    return StylizerContract.item()


def test_running_out_of_memory_keeps_the_guide(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Guide | None] = []
    paint = Gatys.paint

    def fails_first(self: Gatys, photo: torch.Tensor, **more: Any) -> torch.Tensor:
        given.append(more["guide"])
        if len(given) == 1:
            raise MemoryError
        return paint(self, photo, **more)

    monkeypatch.setattr(Gatys, "paint", fails_first)
    options = {"steps": 2, "encoder_weights": files / "tiny.safetensors"}
    stylizer = GatysStylizer(GatysOptions.build(options))
    stylizer.open(context())
    stylizer.prepare([StyleRef(str(files / "painting.png"), 1.0)])
    with torch.inference_mode():
        batch = Batch(PHOTO.clone(), _item(), guide=guide(PHOTO.clone()), first=3)
    stylizer.stylize(batch)
    assert len(given) == 2 and all(g is not None and g.trust.all() for g in given)
    stylizer.close()


class Keeps(Native):
    """Paints the negative, and then what the guide says."""

    caps = replace(Native.caps, regions="native")

    def stylize(self, batch: Batch) -> torch.Tensor:
        if batch.guide is None:
            return 1 - batch.images
        return torch.lerp(1 - batch.images, batch.guide.warped, batch.guide.trust.ceil())


class Half(LeftHalf):
    """Covers the left half by a half."""

    def mask(self, batch: Batch, frames: Any) -> torch.Tensor:
        return super().mask(batch, frames) / 2


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("part", "shown"), [("mask", 147), ("strength", 127)])
def test_what_shows_in_part_does_not_fade_from_frame_to_frame(
    tmp_path: Path, part: str, shown: int, method: str
) -> None:
    """The light of 60 and of 195 mixed by half, or their values."""
    import fakes

    frame = np.full((32, 32, 3), 60, np.uint8)
    np.save(tmp_path / "clip.npy", np.stack([frame] * 12))
    masker = Half(Half.Options()) if part == "mask" else None
    settings = replace(
        fakes.settings(masker=masker, temporal=METHODS[method]()),
        stylizer=Keeps(Keeps.Options.build({"strength": 0.5} if part == "strength" else {})),
    )
    report, _ = go(tmp_path / "clip.npy", tmp_path / "out.npy", settings)
    assert report.exit_code == 0, report.failures
    result = np.load(tmp_path / "out.npy").astype(int)
    assert np.abs(result[:, 16, 8] - shown).max() <= 2
