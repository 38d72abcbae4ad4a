"""Video stays steady: flow, occlusion, scene cuts, the guide, and the measure of it all."""

import itertools
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from stylepipe_plugins.flow_dis import DisFlow, DisOptions
from stylepipe_plugins.temporal_warp import Warp, WarpOptions

import stylepipe.temporal
from stylepipe import Flow, ItemError, Options
from stylepipe.temporal.carry import COLORS
from stylepipe.temporal.guide import find_motion, trusted_flow
from stylepipe.temporal.metrics import warping_error
from stylepipe.temporal.occlusion import occluded
from stylepipe.temporal.scenes import is_cut
from stylepipe.temporal.warp import enlarge, settle, warp
from stylepipe.tensors import to_pixels, to_tensor
from stylepipe.types import Frame

CPU = torch.device("cpu")
H, W = 120, 160


def texture(seed, h=H, w=W, grain=4):
    """A smooth random picture, HxWx3 uint8, with structure that flow can hold on to."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(30, 225, (h // grain, w // grain, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC)
    return np.rint(smooth.clip(0, 255)).astype(np.uint8)


def pan(seed, steps, dx, dy=0, grain=4):
    """Frames cut out of one large picture, moving by (dx, dy) pixels a frame."""
    big = texture(seed, H + dy * steps + grain, W + dx * steps + grain, grain)
    crops = [big[dy * i :, dx * i :][:H, :W] for i in range(steps)]
    return [Frame(np.ascontiguousarray(crop), index=i) for i, crop in enumerate(crops)]


def square_over(background, x, side=50, seed=9):
    """A textured square in front of a background, its left edge at x."""
    pixels = background.copy()
    pixels[35 : 35 + side, x : x + side] = texture(seed, side, side) // 4 + 190
    return Frame(pixels)


def flickering(frames, seed=0, strength=12):
    """The frames as an unsteady stylizer would paint them: each differently."""
    rng = np.random.default_rng(seed)
    noisy = []
    for frame in frames:
        blobs = rng.normal(0, strength, (H // 4, W // 4, 3)).astype(np.float32)
        noise = cv2.resize(blobs, (W, H), interpolation=cv2.INTER_CUBIC)
        noisy.append(Frame(np.rint((frame.pixels + noise).clip(0, 255)).astype(np.uint8)))
    return noisy


def warping(flow=None, **options):
    """The bundled method."""
    return Warp(WarpOptions(**options), flow or DisFlow(DisOptions()))


def guided(sources, painted, **options):
    """What the engine does with a stylizer that knows nothing of guides."""
    method = warping(**options)
    results = [painted[0]]
    for before, source, picture in zip(sources, sources[1:], painted[1:], strict=False):
        images = to_tensor([picture], CPU)
        found = method.guide(method.motion(source, before), results[-1], CPU)
        images = method.blend(images, found)
        results.append(Frame(to_pixels(images, picture.pixels.dtype)[0]))
    return results


def dis(a, b, **options):
    return DisFlow(DisOptions(**options)).flow(a, b)[0].permute(1, 2, 0).contiguous().numpy()


# -- warping ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("cubic", [False, True])
def test_warp_fetches_from_where_the_flow_points(dtype, cubic):
    picture = texture(1).astype(dtype)
    flow = np.empty((H, W, 2), np.float32)
    flow[...] = (3, -2)
    moved = warp(picture, flow, cubic=cubic)
    assert moved.dtype == dtype
    np.testing.assert_array_equal(moved[2:, :-3], picture[:-2, 3:])
    np.testing.assert_array_equal(moved[4:, -1], picture[2:-2, -1])  # beyond it: the border


def test_still_pixels_are_copied_not_interpolated():
    picture = texture(1)
    flow = np.full((H, W, 2), 0.05, np.float32)
    np.testing.assert_array_equal(warp(picture, settle(flow), cubic=True), picture)
    flow[..., 1] = -0.3
    np.testing.assert_array_equal(settle(flow), flow)


def test_an_enlarged_flow_points_to_the_same_place():
    flow = np.empty((60, 80, 2), np.float32)
    flow[...] = (4, -2)
    large = enlarge(flow, 160, 180)
    np.testing.assert_allclose(large[..., 0], 8)
    np.testing.assert_allclose(large[..., 1], -6)
    np.testing.assert_array_equal(enlarge(flow, 80, 60), flow)


# -- flow ------------------------------------------------------------------------------


@pytest.mark.parametrize("quality", ["ultrafast", "fast", "medium"])
def test_flow_finds_a_known_motion_in_the_right_direction(quality):
    a, b = pan(3, 2, 5, 3)
    flow = dis(a, b, quality=quality)
    assert flow.shape == (H, W, 2) and flow.dtype == np.float32
    middle = np.median(flow[20:-20, 20:-20].reshape(-1, 2), axis=0)
    np.testing.assert_allclose(middle, (-5, -3), atol=0.3)  # the camera goes right, things left


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (1, 200), (15, 40), (31, 33)])
def test_flow_of_pictures_too_small_for_the_search(size):
    frame = Frame(texture(4)[: size[0], : size[1]].copy())
    assert np.abs(dis(frame, frame)).max(initial=0) == 0
    assert dis(frame, frame).shape[:2] == frame.pixels.shape[:2]


def test_flow_of_16_bit_frames_is_that_of_8_bit_frames():
    frames = pan(3, 2, 4)
    deep = [Frame(f.pixels.astype(np.uint16) * 257) for f in frames]
    np.testing.assert_allclose(dis(*deep), dis(*frames), atol=0.1)


def test_flow_is_the_same_from_any_thread_and_any_number_of_them():
    frames = pan(5, 8, 3)
    method = warping()
    alone = [method.motion(b, a) for a, b in itertools.pairwise(frames)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(method.motion, frames[1:], frames[:-1]))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.flow, other.flow)
        np.testing.assert_array_equal(one.trust, other.trust)


@pytest.mark.parametrize(
    ("first", "second", "truth", "limit"),
    [
        ("middlebury_frame10.png", "middlebury_frame11.png", "middlebury_flow10.flo", 0.3),
        ("chairs0_img0.ppm", "chairs0_img1.ppm", "chairs0_flow.flo", 2.0),
    ],
)
def test_end_point_error_on_public_ground_truth(shared_data, first, second, truth, limit):
    folder = shared_data / "flow"
    a, b = (
        Frame(np.ascontiguousarray(cv2.imread(str(folder / n))[..., ::-1])) for n in (first, second)
    )
    raw = (folder / truth).read_bytes()
    w, h = np.frombuffer(raw[4:12], "<i4")
    expected = np.frombuffer(raw[12:], "<f4").reshape(h, w, 2)
    known = np.abs(expected).max(axis=2) < 1e8
    assert np.linalg.norm(dis(a, b) - expected, axis=2)[known].mean() < limit


# -- occlusion and trust ---------------------------------------------------------------


def test_what_was_hidden_before_is_occluded_and_what_stands_still_is_not():
    flow = np.zeros((H, W, 2), np.float32)  # from b to a: the square was 10 px further left
    flow[35:85, 60:110, 0] = -10
    back = np.zeros((H, W, 2), np.float32)
    back[35:85, 50:100, 0] = 10
    hidden = occluded(flow, back)
    assert hidden[35:85, 50:60].all()  # uncovered by the square
    assert not hidden[40:80, 63:105].any()  # the square itself
    assert not hidden[:30].any() and not hidden[90:].any()


@pytest.mark.parametrize("axis", [0, 1], ids=["x", "y"])
@pytest.mark.parametrize("way", [6, -6])
def test_what_came_in_over_the_border_is_occluded(axis, way):
    flow = np.zeros((H, W, 2), np.float32)
    flow[..., axis] = way
    hidden = occluded(flow, -flow)
    along = hidden.swapaxes(0, 1) if axis else hidden
    along = along if way > 0 else along[:, ::-1]
    assert along[:, -5:].all() and not along[:, :-7].any()


def test_borders_of_moving_things_are_trusted_unless_something_was_hidden_there():
    """The right half moves down, by less than what counts as inconsistent."""
    there = np.zeros((H, W, 2), np.float32)
    there[:, W // 2 :, 1] = 0.5
    flows = iter((there, -there))
    plain = Frame(np.full((H, W, 3), 128, np.uint8))
    trust = find_motion(plain, plain, lambda a, b: next(flows), 640).trust[10:-10]
    assert trust.min() == 1


def test_a_line_of_another_color_is_no_longer_trusted_and_the_edge_of_a_thing_is():
    """What a flow that is a little wrong drags along is seen by its color."""
    now = np.full((H, W, 3), 100, np.uint8)
    now[:, 100:] = 200
    before = now.copy()
    before[:, 50] = 130  # a line that is gone
    before[:, 100] = 150  # the edge, by half a pixel elsewhere
    trust = find_motion(Frame(now), Frame(before), still_flow, 640).trust
    assert trust[:, 50].max() < 0.2
    assert trust[:, :45].min() == 1 and trust[:, 96:104].min() == 1


def test_a_fade_keeps_its_trust():
    before, now = (Frame(np.full((H, W, 3), value, np.uint8)) for value in (100, 103))
    assert find_motion(now, before, still_flow, 640).trust.min() > 0.99


@pytest.mark.parametrize("step", [0, 10, 25, 50])
def test_trust_falls_with_the_change_of_color_as_published(step):
    """Lai et al. 2018, eq. 2: exp(-50 |I - warped I|^2)."""
    before, now = (Frame(np.full((H, W, 3), value, np.uint8)) for value in (100, 100 + step))
    _, trust = trusted_flow(now, before, still_flow)
    assert trust.mean() == pytest.approx(np.exp(-50 * 3 * (step / 255) ** 2), rel=1e-3)


def test_trust_is_low_where_a_thing_appears_and_high_elsewhere():
    background = texture(6)
    before, now = Frame(background), square_over(background, 60)
    motion = warping().motion(now, before)
    assert not is_cut(now.pixels, before.pixels)
    assert motion.trust[40:80, 65:105].mean() < 0.1
    assert motion.trust[:20].min() > 0.9 and motion.trust[:, :40].min() > 0.9


# -- scene cuts ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(120, 160), (9, 200), (1, 1)])
def test_a_new_scene_is_a_cut(seed, dtype, size):
    scale = np.iinfo(dtype).max // 255
    a, b = (texture(s, grain=20).astype(dtype) * scale for s in (seed, seed + 50))
    cut, still = (is_cut(p[: size[0], : size[1]], a[: size[0], : size[1]]) for p in (b, a))
    assert cut or size == (1, 1)  # one pixel has no composition
    assert not still


def test_motion_flash_fade_and_stillness_are_no_cuts():
    slow, fast = pan(7, 2, 2), pan(8, 2, 14, grain=20)
    frame = fast[0]
    bright = Frame(np.minimum(frame.pixels.astype(int) * 2 // 3 + 90, 255).astype(np.uint8))
    dim = Frame(frame.pixels // 2)
    black = Frame(np.zeros_like(frame.pixels))
    for now, before in [
        slow[::-1],
        fast[::-1],
        (bright, frame),
        (frame, bright),
        (dim, frame),
        (frame, frame),
        (black, black),
    ]:
        assert not is_cut(now.pixels, before.pixels)


CLIPS = ["bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4", "cockatoo.mp4"]


def decode(path, frames):
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        for index, picture in enumerate(container.decode(video=0)):
            if index in frames:
                yield Frame(picture.to_ndarray(format="rgb24"))
            if index >= max(frames):
                break


@pytest.mark.slow
def test_cuts_between_real_clips_are_found_and_motion_within_them_is_none(shared_data):
    pairs = {n: list(decode(shared_data / "video" / n, {20, 21, 22, 25})) for n in CLIPS}
    for name, frames in pairs.items():
        h, w = frames[0].pixels.shape[:2]
        for now, before in [frames[1::-1], frames[2:0:-1], (frames[3], frames[2])]:
            assert not is_cut(now.pixels, before.pixels), name
        for other in set(CLIPS) - {name}:
            own, foreign = frames[0].pixels, cv2.resize(pairs[other][0].pixels, (w, h))
            assert is_cut(foreign, own) and is_cut(own, foreign), (name, other)


@pytest.mark.slow
def test_the_one_cut_in_a_real_clip_is_found(shared_data):
    frames = [f.pixels for f in decode(shared_data / "video" / "bikes.mp4", set(range(70, 84)))]
    cuts = [70 + i for i in range(1, len(frames)) if is_cut(frames[i], frames[i - 1])]
    assert cuts == [76]


# -- the guide -------------------------------------------------------------------------


def test_a_still_clip_of_100_frames_keeps_every_pixel():
    """Errors recycled through warping would darken or blur it."""
    source, painted = Frame(texture(10, 60, 80)), Frame(texture(11, 60, 80, grain=2))
    results = guided([source] * 100, [painted] * 100)
    np.testing.assert_array_equal(results[-1].pixels, painted.pixels)


def test_a_still_but_noisy_clip_keeps_brightness_and_sharpness():
    scene, painted = texture(10, 60, 80), texture(11, 60, 80, grain=2)
    rng = np.random.default_rng(0)
    grain = [rng.normal(0, 2, scene.shape) for _ in range(30)]
    sources = [Frame(np.rint(scene + n).clip(0, 255).astype(np.uint8)) for n in grain]
    last = guided(sources, [Frame(painted)] * 30)[-1].pixels
    assert abs(float(last.mean()) - float(painted.mean())) < 0.3
    detail = [cv2.Laplacian(p, cv2.CV_32F).std() for p in (last, painted)]
    assert detail[0] > 0.95 * detail[1]


def test_flicker_on_a_moving_scene_is_mostly_gone():
    sources = pan(12, 10, 3, 1)
    painted = flickering(sources)
    floor, before, after = (
        warping_error(sources, results, dis)
        for results in (sources, painted, guided(sources, painted))
    )
    assert after - floor < 0.4 * (before - floor)


def test_no_ghosts_behind_a_moving_thing():
    """With a stylizer that changes nothing, whatever differs from the source is a ghost."""
    background = texture(13, grain=8) // 2
    sources = [square_over(background, 10 + 6 * i) for i in range(12)]
    results = guided(sources, sources, blend=0.9)
    for result, source in zip(results, sources, strict=True):
        difference = np.abs(result.pixels.astype(int) - source.pixels)
        assert difference.max() < 40 and difference.mean() < 1.5


def test_blend_0_is_the_stylizers_own_result():
    sources = pan(12, 3, 3)
    painted = flickering(sources)
    for result, picture in zip(guided(sources, painted, blend=0), painted, strict=True):
        np.testing.assert_array_equal(result.pixels, picture.pixels)


def test_a_guide_has_the_frames_size_whatever_the_size_the_flow_is_found_at():
    frames = pan(12, 2, 4)
    method = warping(max_side=64)
    motion = method.motion(frames[1], frames[0])
    assert max(motion.flow.shape) == 64
    found = method.guide(motion, frames[0], CPU)
    assert found.warped.shape == (1, 3, H, W) and found.trust.shape == (1, 1, H, W)
    assert found.flow.shape == (1, 2, H, W)
    assert found.flow[0, 0, 10:-10, 10:-10].mean() == pytest.approx(4, abs=0.3)
    assert found.trust.min() >= 0 and found.trust.max() <= 1
    miss = (found.warped - to_tensor([frames[1]], CPU)).abs()[..., 10:-10, 10:-10]
    assert miss.mean() < 0.02  # the previous frame, moved, is the present one


def test_16_bit_results_are_guided_in_16_bit():
    sources = [Frame(f.pixels.astype(np.uint16) * 257) for f in pan(12, 3, 3)]
    results = guided(sources, sources)
    assert results[-1].pixels.dtype == np.uint16
    difference = results[-1].pixels.astype(int) - sources[-1].pixels
    assert np.abs(difference[10:-10, 10:-10]).mean() < 600
    assert (results[-1].pixels % 257 != 0).any()  # not squeezed through 8 bits


class Still(Flow):
    """A third party's flow; ``rows`` too many show what happens if it is wrong."""

    name = "still"
    rows = 0

    def flow(self, a, b):
        return torch.zeros(1, 2, a.pixels.shape[0] + self.rows, a.pixels.shape[1])


def test_a_flow_of_the_wrong_size_is_named():
    flow = Still(Options())
    flow.rows = 1
    with pytest.raises(ItemError, match=r"'still' returned \(1, 2, 121, 160\)"):
        warping(flow).motion(Frame(texture(1)), Frame(texture(1)))


def test_any_flow_will_do():
    frame = Frame(texture(1))
    method = warping(Still(Options()), blend=0.5)
    white = Frame(np.full_like(frame.pixels, 255))
    found = method.guide(method.motion(frame, frame), white, CPU)
    result = method.blend(torch.zeros(1, 3, H, W), found)
    expected = torch.full_like(result, 0.5 * COLORS)  # there are no strokes to carry
    assert torch.allclose(result, expected, atol=1e-5)


# -- the measure -----------------------------------------------------------------------


def still_flow(a, b):
    return np.zeros((*a.pixels.shape[:2], 2), np.float32)


def test_warping_error_of_a_still_clip_is_the_mean_squared_change():
    frames = [Frame(np.full((8, 8, 3), v, np.uint8)) for v in (100, 151, 100)]
    source = [frames[0]] * 3
    assert warping_error(source, source, still_flow) == 0
    assert warping_error(source, frames, still_flow) == pytest.approx((51 / 255) ** 2)


def test_warping_error_counts_visible_pixels_only():
    """Half the picture is occluded by the flow; all change is there, or all of it is not."""

    def flow(a, b):
        forward = still_flow(a, b)
        forward[:, 8:, 0] = 5 if a.index < b.index else 7  # the way back does not lead back
        return forward

    sources = [Frame(np.zeros((16, 16, 3), np.uint8), index=i) for i in range(2)]
    left, right = (np.zeros((16, 16, 3), np.uint8) for _ in range(2))
    left[:, :7], right[:, 8:] = 51, 51
    unseen = warping_error(sources, [sources[0], Frame(right)], flow)
    seen = warping_error(sources, [sources[0], Frame(left)], flow)
    assert unseen == 0
    assert seen == pytest.approx(0.04, rel=1e-5)


def test_warping_error_follows_the_motion():
    frames = pan(14, 4, 4)
    moving = warping_error(frames, frames, dis)
    pinned = warping_error(frames, [frames[0]] * 4, dis)  # a result that does not move along
    assert 100 * moving < pinned


def test_warping_error_needs_pairs():
    frames = pan(14, 3, 1)
    with pytest.raises(ValueError):
        warping_error(frames, frames[:2], still_flow)
    with pytest.raises(ValueError, match="two frames"):
        warping_error(frames[:1], frames[:1], still_flow)


# -- the house -------------------------------------------------------------------------


def test_the_mathematics_know_no_job_component_or_file():
    folder = Path(stylepipe.temporal.__file__).parent
    found = re.findall(
        r"^ *(?:from|import) (stylepipe[.\w]*)",
        "".join(path.read_text() for path in folder.glob("*.py")),
        re.MULTILINE,
    )
    own = {name for name in found if name.startswith("stylepipe.temporal.")}
    assert set(found) - own == {"stylepipe.types", "stylepipe.tensors"}
