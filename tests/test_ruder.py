"""The temporal method ruder: passes over a shot, several frames back, one guide of many."""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import fakes
import numpy as np
import pytest
import torch
from stylepipe_plugins.temporal_ruder import Ruder
from test_film import CUT, FRAMES, Native, Still, chosen, shot
from test_pipeline import go

from stylepipe import Context, Flow, Frame, Guide, Options, UsageError
from stylepipe.contracts import TemporalContract
from stylepipe.session import Session
from stylepipe.temporal.joint import joined, long_term, still
from stylepipe.testing import context


def ruder(flow: Flow | None = None, **options: Any) -> Ruder:
    made = Ruder(Ruder.Options.build(options), flow or Still(Options()))
    made.open(context())
    return made


def clip(count: int = 9) -> list[Frame]:
    return [Frame(pixels, None, k) for k, pixels in enumerate(shot(0, count))]


class Recorder:
    """Paints half of what the guide says and half the negative; notes what it was asked."""

    def __init__(self) -> None:
        self.order: list[int] = []
        self.guides: list[Guide | None] = []

    def __call__(self, frame: Frame, guide: Guide | None = None) -> np.ndarray:
        self.order.append(frame.index)
        self.guides.append(guide)
        new = 255.0 - frame.pixels
        if guide is not None:
            warped, trust = (t[0].permute(1, 2, 0).numpy() for t in (guide.warped, guide.trust))
            new = new + (255 * warped - new) * trust / 2
        return np.rint(new).astype(np.uint8)


def plane(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, 1, 1, -1)


# -- one guide of many ---------------------------------------------------------------------------


def test_far_frames_count_where_nearer_ones_are_not_trusted() -> None:
    picture = torch.zeros(1, 3, 1, 4)
    trusts = plane(1, 0.25, 0, 0), plane(1, 0.75, 0.5, 0), plane(0.5, 1, 1, 0)
    found = [g.trust for g in long_term([Guide(picture, trust) for trust in trusts])]
    torch.testing.assert_close(found[0], plane(1, 0.25, 0, 0))
    torch.testing.assert_close(found[1], plane(0, 0.5, 0.5, 0))
    torch.testing.assert_close(found[2], plane(0, 0, 0.5, 0))


def test_one_guide_has_the_slope_of_the_sum_of_all() -> None:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(3, 1, 3, 5, 4, generator=generator)
    trusts = torch.rand(3, 1, 1, 5, 4, generator=generator) / 3
    x = torch.rand(1, 3, 5, 4, generator=generator, requires_grad=True)
    guides = [Guide(p, t) for p, t in zip(pictures, trusts, strict=True)]
    for most in (1.0, 2.0):
        one = joined(guides, most)
        several = sum((g.trust * (x - g.warped) ** 2).sum() for g in guides) / most
        slopes = [
            torch.autograd.grad(loss, x)[0]
            for loss in (several, (one.trust * (x - one.warped) ** 2).sum())
        ]
        assert slopes[0].abs().max() > 0.1
        torch.testing.assert_close(*slopes, atol=1e-4, rtol=1e-4)


def test_what_nobody_trusts_is_a_mean_of_no_weight() -> None:
    guides = [Guide(torch.full((1, 3, 1, 2), v), plane(0, t)) for v, t in ((0.2, 1), (0.6, 0))]
    one = joined(guides)
    torch.testing.assert_close(one.trust, plane(0, 1))
    torch.testing.assert_close(one.warped[:, :1], plane(0.4, 0.2), atol=1e-5, rtol=0)


def test_a_frame_keeps_its_own_painting_where_others_are_not_trusted() -> None:
    own = still(Frame(np.full((1, 2, 3), 51, np.uint8)), torch.device("cpu"))
    other = Guide(torch.full((1, 3, 1, 2), 0.6), plane(1, 0))
    one = joined([other, own], most=2)
    torch.testing.assert_close(one.warped[:, :1], plane(0.4, 0.2), atol=1e-5, rtol=0)
    torch.testing.assert_close(one.trust, plane(1, 0.5))


# -- passes -----------------------------------------------------------------------------------


def test_passes_go_forward_and_backward() -> None:
    paint = Recorder()
    results = list(ruder(passes=3).paint_shot(clip(5), paint))
    assert paint.order == [0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3, 4]
    assert len(results) == 5 and paint.guides[0] is None


def test_a_later_pass_begins_with_the_frames_own_painting() -> None:
    frames, paint = clip()[::8], Recorder()  # between which a thing changes its color
    list(ruder(passes=2).paint_shot(frames, paint))
    (_, forward, backward) = paint.guides  # of the first frame, the second, the first
    assert forward is not None and backward is not None
    first = torch.from_numpy(255 - frames[0].pixels).permute(2, 0, 1)[None] / 255
    torch.testing.assert_close(forward.warped, first, atol=1e-3, rtol=0)
    assert 0.45 <= float(backward.trust.min()) < 0.55 and float(backward.trust.max()) > 0.9
    unsure = (backward.trust < 0.501).expand_as(first)
    assert unsure.any()
    torch.testing.assert_close(backward.warped[unsure], first[unsure], atol=1e-3, rtol=0)


class Noted(Flow):
    """Nothing moves; notes between which frames it was asked, by their mean color."""

    name = "noted"

    def flow(self, a: Frame, b: Frame) -> torch.Tensor:
        self.asked.add((int(a.pixels[0, 0, 0]), int(b.pixels[0, 0, 0])))
        self.calls += 1
        return torch.zeros(1, 2, *a.pixels.shape[:2])


@pytest.mark.parametrize(("reach", "lags"), [(1, {1}), (3, {1, 2}), (4, {1, 2, 4})])
def test_frames_are_compared_with_those_within_reach(reach: int, lags: set[int]) -> None:
    flow = Noted(Options())
    flow.asked, flow.calls = set(), 0
    frames = [Frame(np.full((32, 32, 3), 10 * k, np.uint8), None, k) for k in range(8)]
    ruder(flow, reach=reach, passes=1).paint_shot(frames, Recorder())
    assert {abs(a - b) // 10 for a, b in flow.asked} == lags


def test_motion_is_found_once_for_all_passes() -> None:
    frames = [Frame(np.full((32, 32, 3), 10 * k, np.uint8), None, k) for k in range(4)]
    calls = []
    for passes in (2, 6):
        flow = Noted(Options())
        flow.asked, flow.calls = set(), 0
        ruder(flow, reach=1, passes=passes).paint_shot(frames, Recorder())
        calls.append(flow.calls)
    assert calls == [2 * 3 * 2] * 2  # three pairs, two ways, there and back


def test_one_frame_is_painted_once_as_if_alone() -> None:
    paint, (frame,) = Recorder(), clip(1)
    (result,) = ruder().paint_shot([frame], paint)
    assert paint.order == [0] and paint.guides == [None]
    np.testing.assert_array_equal(result, 255 - frame.pixels)


def test_results_that_are_larger_are_guides_of_the_frames_size() -> None:
    guides: list[Guide] = []

    def twice(frame: Frame, guide: Guide | None = None) -> np.ndarray:
        if guide is not None:
            guides.append(guide)
        return (255 - frame.pixels).repeat(2, 0).repeat(2, 1)

    results = list(ruder(passes=2).paint_shot(clip(3), twice))
    assert {g.warped.shape for g in guides} == {(1, 3, 32, 32)}
    assert {r.shape for r in results} == {(64, 64, 3)}


def test_the_user_sees_pass_and_frame() -> None:
    told: list[str] = []
    method = ruder(passes=2)
    method.open(replace(context(), stage=told.append))
    method.paint_shot(clip(2), Recorder())
    assert told == [
        "pass 1 of 2, frame 1 of 2", "pass 1 of 2, frame 2 of 2", "pass 2 of 2, frame 2 of 2", "",
    ]  # fmt: skip


def test_a_stage_stands_before_the_words_of_progress(capsys: pytest.CaptureFixture[str]) -> None:
    from clips import item_for

    from stylepipe import Info
    from stylepipe.report import Report

    report = Report(json=True, bars=False)
    item = item_for(Path("in/clip.npy"), Path("out/clip.npy"))
    report.item_start(item, Info("video", "npy", 8, 8, 3), 0)
    texts = []
    for stage, text in (("pass 2 of 3", "8x8"), ("", "8x8")):
        report.stage(stage)
        report._progress_told = float("-inf")
        capsys.readouterr()
        report.progress(0.5, text)
        texts.append(capsys.readouterr().out)
    assert '"pass 2 of 3: 8x8"' in texts[0] and '"8x8"' in texts[1]


# -- in the engine -----------------------------------------------------------------------------


def run(tmp_path: Any, clips: np.ndarray, **options: Any) -> tuple[np.ndarray, Any]:
    path = tmp_path / f"clip{len(list(tmp_path.iterdir()))}.npy"
    np.save(path, clips)
    settings = chosen(Native, "none")
    method = Ruder(Ruder.Options.build(options), Still(Options()))
    settings = replace(settings, temporal=method)
    report, _ = go(path, tmp_path / f"out-{path.name}", settings)
    assert report.exit_code == 0, report.failures
    return np.load(tmp_path / f"out-{path.name}"), settings.stylizer


def test_nothing_of_one_shot_reaches_another(tmp_path: Any) -> None:
    shots = np.stack(shot(0, CUT)), np.stack(shot(1, FRAMES - CUT))
    together, stylizer = run(tmp_path, np.concatenate(shots))
    alone, _ = run(tmp_path, shots[1])
    np.testing.assert_array_equal(together[CUT:], alone)
    assert stylizer.guides[1] is not None


def test_a_shot_that_is_too_long_is_refused_with_what_the_motions_take(tmp_path: Any) -> None:
    frame = Frame(np.zeros((320, 640, 3), np.uint8))
    assert ruder(passes=2).shot_bytes(frame) == 0
    held = ruder(passes=3).shot_bytes(frame)
    assert held == 2 * 3 * 3 * 2 * 320 * 640  # ways, lags, numbers a pixel, bytes of each
    np.save(tmp_path / "long.npy", np.zeros((8, 320, 640, 3), np.uint8))
    settings = replace(chosen(Native, "none"), temporal=ruder(passes=3))
    limit = 2 * 4 * (held + 2 * frame.nbytes)  # the engine gives the shot a half of it
    report, _ = go(tmp_path / "long.npy", tmp_path / "out.npy", settings, memory=limit)
    ((_, message),) = report.failures
    assert "too long for --temporal ruder" in message and "only 4 frames fit" in message


def test_what_does_not_continue_is_refused_before_anything_is_loaded(tmp_path: Any) -> None:
    np.save(tmp_path / "clip.npy", np.stack(shot(0, 3)))
    opened: list[str] = []

    class Watched(fakes.Negative):
        def open(self, context: Context) -> None:
            opened.append(self.name)

    settings = replace(fakes.settings(temporal=ruder()), stylizer=Watched(fakes.Negative.Options()))
    for dry_run in (True, False):
        with pytest.raises(UsageError, match="negative does not; pass --temporal warp"):
            go(tmp_path / "clip.npy", tmp_path / "out.npy", settings, dry_run=dry_run)
    assert not opened


def test_strength_0_asks_nobody() -> None:
    settings = fakes.settings(temporal=ruder(), strength=0.0)
    Session(settings, log=print).close()


class TestContract(TemporalContract):
    component = Ruder
    options: ClassVar = {"passes": 2}
