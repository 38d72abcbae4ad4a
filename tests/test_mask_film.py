"""Masks of films: steady along the motion, without trails, and the same after an interruption."""

import cv2
import fakes
import numpy as np
import pytest
import torch
from fakes import writing_fails_at
from test_film import METHODS, painted, shot
from test_pipeline import go

from stylepipe import Caps, Frame, Masker, Options
from stylepipe.temporal.steady import Steadier

FRAMES, CUT = 14, 8


def texture(seed, h=96, w=160):
    rng = np.random.default_rng(seed)
    coarse, fine = (rng.random((h // d, w // d, 3)).astype(np.float32) for d in (8, 2))
    mixed = sum(cv2.resize(part, (w, h)) for part in (coarse, fine)) / 2
    return np.rint(255 * mixed).astype(np.uint8)


def disc_film(speed):
    """Frames of a textured disc that moves over a textured background, and its true mattes."""
    ground, body = texture(1), texture(2) // 2
    y, x = np.mgrid[: ground.shape[0], : ground.shape[1]]
    frames, mattes = [], []
    for k in range(FRAMES):
        matte = np.clip(26 - np.hypot(x - 40 - speed * k, y - 48), 0, 1).astype(np.float32)
        pixels = ground + (np.roll(body, speed * k, 1) - ground.astype(float)) * matte[..., None]
        frames.append(Frame(np.rint(pixels).astype(np.uint8), index=k))
        mattes.append(matte)
    return frames, mattes


def noisy(mattes):
    """As of a network that is unsure, otherwise in each frame."""
    rng = np.random.default_rng(0)
    h, w = mattes[0].shape
    blobs = [cv2.resize(rng.normal(0, 0.15, (h // 8, w // 8)), (w, h)) for _ in mattes]
    return [np.clip(m + b, 0, 1).astype(np.float32) for m, b in zip(mattes, blobs, strict=True)]


def steadied(frames, mattes, amount=0.8):
    steadier = Steadier(amount)
    return [steadier.steadied(f, m[None])[0] for f, m in zip(frames, mattes, strict=True)]


def error(found, true):
    return np.sqrt(np.mean([np.square(f - t) for f, t in zip(found[4:], true[4:], strict=True)]))


def flicker(found, true):
    off = [f - t for f, t in zip(found, true, strict=True)]
    return error(off[1:], off[:-1])


@pytest.mark.parametrize("speed", [0, 1, 5])
def test_a_matte_flickers_less_than_half_as_much_and_does_not_trail(speed):
    frames, true = disc_film(speed)
    before = noisy(true)
    after = steadied(frames, before)
    assert flicker(after, true) < flicker(before, true) / 2
    assert error(after, true) < 0.8 * error(before, true)
    assert error(steadied(frames, true), true) < 0.02, "a matte without noise stays where it is"


def test_where_nothing_moves_nothing_changes():
    (frame, *_), (matte, *_) = disc_film(0)
    for found in steadied([frame] * 7, [matte] * 7, 1.0):
        assert np.array_equal(found, matte)


def test_nothing_older_than_four_frames_counts():
    frames, true = disc_film(1)
    before = noisy(true)
    late = steadied(frames[5:], before[5:])
    assert np.array_equal(steadied(frames, before)[9], late[4])
    assert not np.array_equal(steadied(frames, before)[8], late[3])


def test_large_frames_and_several_planes_are_steadied_at_a_smaller_size():
    frame = Frame(cv2.resize(texture(1), (1300, 700)).astype(np.uint16) * 257)
    planes = np.zeros((2, 700, 1300), np.float32)
    planes[0, :, :650], planes[1, :, 650:] = 1, 1
    steadier = Steadier(1.0)
    steadier.steadied(frame, planes[::-1])
    found = steadier.steadied(frame, planes)
    assert found.shape == planes.shape and found.dtype == np.float32
    np.testing.assert_allclose(found[:, 100, 100], [0.5, 0.5], atol=1e-4)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-4)


# -- in the engine ---------------------------------------------------------------------------


class Found(Masker):
    """A matte that flickers from frame to frame, and needs the frame before."""

    name, matte, warmup = "found", True, 1

    def __init__(self, options):
        super().__init__(options)
        self.asked, self.resets = [], 0

    def reset(self, item):
        self.resets += 1
        self.before = None

    def mask(self, batch, frames):
        (frame,) = frames
        self.asked.append(frame.index)
        light = batch.images.mean(1, keepdim=True)
        before = light if self.before is None else self.before
        self.before = light
        swing = 0.2 * (-1) ** frame.index
        return (0.5 + swing + (light + before) / 8).clamp(0, 1)


class Guided(fakes.Negative):
    """Uses half of the guide itself."""

    caps = Caps(needs_style=False, temporal="native")

    def stylize(self, batch):
        new = 1 - batch.images
        return new if batch.guide is None else new.lerp(batch.guide.warped, 0.5 * batch.guide.trust)


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "in" / "clip.npy"
    path.parent.mkdir()
    np.save(path, np.stack([*shot(0, CUT), *shot(1, FRAMES - CUT)]))
    return path


def chosen(method="none", stylizer=fakes.Negative, **options):
    made = fakes.settings(temporal=METHODS[method](), masker=Found(Options()), mask=options)
    object.__setattr__(made, "stylizer", stylizer(stylizer.Options()))
    return made


@pytest.mark.parametrize("stylizer", [fakes.Negative, Guided])
@pytest.mark.parametrize("method", ["none", "warp", "median", "both-ways"])
def test_a_film_with_mattes_resumes_to_the_same_bytes(
    clip, tmp_path, monkeypatch, method, stylizer
):
    straight = painted(clip, tmp_path / "straight.npy", chosen(method, stylizer))
    for stop in (6, CUT, CUT + 2):
        output = tmp_path / f"resumed{stop}.npy"
        with writing_fails_at(stop, monkeypatch):
            report, _ = go(clip, output, chosen(method, stylizer))
        assert report.exit_code == 1
        resumed = chosen(method, stylizer)
        assert np.array_equal(painted(clip, output, resumed), straight), stop
        asked = resumed.masker.asked
        assert asked == sorted(set(asked)), "each frame once, in order"
        assert asked[0] <= stop and asked[-1] == FRAMES - 1


@pytest.mark.parametrize("method", ["none", "both-ways"])
def test_a_cut_resets_masker_and_matte(clip, tmp_path, method):
    straight = chosen(method)
    whole = painted(clip, tmp_path / "whole.npy", straight)
    assert straight.masker.resets == 2
    second = clip.with_name("second.npy")
    np.save(second, np.load(clip)[CUT:])
    alone = painted(second, tmp_path / "alone.npy", chosen(method))
    assert np.array_equal(whole[CUT:], alone), "nothing of one shot reaches another"


def test_steady_is_the_users_to_set_and_only_mattes_are_steadied_unasked(clip, tmp_path):
    def swing(masker, **options):
        made = fakes.settings(masker=masker(Options()), mask=options)
        result = painted(clip, tmp_path / f"{len(list(tmp_path.iterdir()))}.npy", made)
        return np.abs(np.diff(result[3:CUT].astype(float), axis=0)).mean()

    class Given(Found):
        """Its soft edges are no matte."""

        matte, warmup = False, 0

    loose, firm, default = (swing(Found, steady=s) for s in (0, 1, None))
    assert firm < default < loose / 2
    assert swing(Given) > loose / 2 > swing(Given, steady=1)


@pytest.mark.parametrize(("found", "edges"), [(True, "auto"), (False, "matte"), (True, "blend")])
def test_mattes_of_a_film_are_freed_from_the_old_background(tmp_path, found, edges):
    class Half(Masker):
        """Half of each pixel in the middle; white on the left, black on the right."""

        name, matte = "half", found

        def mask(self, batch, frames):
            mask = torch.zeros_like(batch.images[:, :1])
            mask[..., 16:], mask[..., 12:16] = 1, 0.5
            return mask

    frame = np.full((32, 32, 3), 188, np.uint8)  # half of the light of white
    frame[:, :12], frame[:, 16:] = 255, 0
    path = tmp_path / "in" / "clip.npy"
    path.parent.mkdir()
    np.save(path, np.stack([frame] * 3))
    result = painted(
        path, tmp_path / "out.npy", fakes.settings(masker=Half(Options()), mask={"edges": edges})
    )
    clean = (result[:, :, 13:15] > 185).all()
    assert clean == (edges != "blend"), "white shows there, not gray (it would be 143)"
