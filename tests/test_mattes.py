"""The maskers of the network in the package: what they find, what they leave, odd pictures."""

import weakref
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from stylepipe_plugins.masks.refine import guided
from stylepipe_plugins.mattes import FacesMasker, PersonMasker, SkyMasker, SubjectMasker
from stylepipe_plugins.mattes.finder import FILE, Finder, _ellipses, _sure
from stylepipe_plugins.mattes.network import (
    MULTIPLE,
    PLANES,
    MatteNetwork,
    network_of,
    state,
    working_size,
)
from stylepipe_plugins.mattes.refine import matted

from stylepipe import Batch, Context, Frame, Item, SetupError
from stylepipe.device import Device
from stylepipe.testing import MaskerContract

MASKERS = (PersonMasker, FacesMasker, SubjectMasker, SkyMasker)
EXAMPLES = Path(__file__).parents[1] / "examples"


def opened(cls, log=lambda line: None):
    masker = cls(cls.Options.build({}))
    masker.open(Context(Device(torch.float32, torch.device("cpu")), 1 << 30, log))
    return masker


def find(masker, picture, name="photo.jpg"):
    images = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255
    item = Item(0, Path("in", name), Path("in"), Path("out", name))
    return masker.mask(Batch(images, item), [Frame(picture)])[0, 0].numpy()


# -- what can go wrong -----------------------------------------------------------------------


@pytest.mark.parametrize("harm", ["absent", "torn", "changed", "another"])
def test_a_damaged_network_is_one_sentence(tmp_path, monkeypatch, harm):
    data = FILE.read_bytes()
    file = tmp_path / "mattes.safetensors"
    if harm == "torn":
        file.write_bytes(data[: len(data) // 2])
    elif harm == "changed":
        file.write_bytes(data[:-2] + bytes([data[-2] ^ 255, data[-1]]))
    elif harm == "another":
        file.write_bytes(
            (EXAMPLES.parent / "plugins" / "decoders" / "wct.safetensors").read_bytes()
        )
    monkeypatch.setattr("stylepipe_plugins.mattes.finder.FILE", file)
    with pytest.raises(
        SetupError, match=r"mattes\.safetensors is damaged .* install stylepipe again"
    ):
        opened(PersonMasker)


@pytest.mark.parametrize("cls", MASKERS)
def test_a_picture_without_any_has_an_empty_mask_and_a_line_that_says_so(cls):
    lines = []
    masker = opened(cls, lines.append)
    gray = np.full((120, 160, 3), 90, np.uint8)
    assert not find(masker, gray).any()
    assert not find(masker, gray).any()
    assert len(lines) == 1 and lines[0].startswith("photo.jpg: there is no")
    find(masker, gray, "other.jpg")
    assert len(lines) == 2


@pytest.mark.parametrize("size", [(50, 40), (1, 1), (3, 900), (700, 5)])
@pytest.mark.parametrize("cls", [PersonMasker, FacesMasker])
def test_pictures_of_any_size_are_looked_at(cls, size):
    noise = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    mask = find(opened(cls), noise)
    assert mask.shape == size and mask.min() >= 0 and mask.max() <= 1


# -- what it costs -------------------------------------------------------------------------------


def test_several_things_are_found_in_one_pass_and_the_network_is_released(monkeypatch):
    passes = []
    network = MatteNetwork.forward
    monkeypatch.setattr(
        MatteNetwork, "forward", lambda self, seen: passes.append(0) or network(self, seen)
    )
    context = Context(Device(torch.float32, torch.device("cpu")), 1 << 30, lambda line: None)
    maskers = [cls(cls.Options.build({})) for cls in MASKERS]
    for masker in maskers:
        masker.open(context)
    other = opened(PersonMasker)
    assert len({id(masker._finder) for masker in (*maskers, other)}) == 2
    batch = Batch(torch.rand(1, 3, 40, 60), Item(0, Path("in/p.jpg"), Path("in"), Path("out")))
    frames = [Frame(np.zeros((40, 60, 3), np.uint8))]
    for masker in maskers:
        masker.mask(batch, frames)
    assert len(passes) == 2, "as it is, and mirrored"
    batch.images.mul_(0.5)
    maskers[0].mask(batch, frames)
    assert len(passes) == 4, "the picture has changed"
    released = weakref.ref(maskers[0]._finder)
    for masker in maskers:
        masker.close()
    assert released() is None


@pytest.mark.parametrize(
    ("detail", "time_base", "fine"),
    [("auto", None, True), ("auto", 1, False), ("fine", 1, True), ("fast", None, False)],
)
def test_photos_have_fine_edges_and_films_fast_ones(monkeypatch, detail, time_base, fine):
    told = []
    monkeypatch.setattr(Finder, "matte", lambda self, images, name, fine: told.append(fine) or
                        images[:, :1])  # fmt: skip
    masker = SkyMasker(SkyMasker.Options.build({"detail": detail}))
    masker.open(Context(Device(torch.float32, torch.device("cpu")), 1 << 30, lambda line: None))
    item = Item(0, Path("in/p.mp4"), Path("in"), Path("out"))
    pixels = np.zeros((8, 8, 3), np.uint8)
    masker.mask(Batch(torch.ones(1, 3, 8, 8), item), [Frame(pixels, time_base=time_base)])
    assert told == [fine]


@pytest.mark.parametrize("draw", [guided, matted])
def test_a_matte_follows_the_edges_of_the_picture(draw):
    image = torch.full((1, 3, 120, 160), 0.2)
    image[..., 70:] = 0.8
    plane = torch.zeros(1, 1, 30, 40)
    plane[..., 18:] = 1  # half a step of the small plane beside the edge
    plane = torch.nn.functional.avg_pool2d(plane, 5, 1, 2, count_include_pad=False)
    found = draw(image, plane)
    assert found.shape == (1, 1, 120, 160)
    assert found[..., :62].max() < 0.1 and found[..., 80:].min() > 0.9
    assert found[0, 0, 60, 72] - found[0, 0, 60, 67] > 0.5


def test_the_first_frame_of_a_film_without_any_is_named():
    lines = []
    masker = opened(SkyMasker, lines.append)
    item = Item(0, Path("in/p.mp4"), Path("in"), Path("out"))
    pixels = np.full((40, 60, 3), 90, np.uint8)
    images = torch.full((1, 3, 40, 60), 90 / 255)
    masker.mask(Batch(images, item), [Frame(pixels, index=6, time_base=Fraction(1, 25))])
    assert lines == ["p.mp4: frame 7: there is no sky in it, so the mask is empty"]


# -- what is found -----------------------------------------------------------------------------


def test_the_network_is_small_enough_to_ship():
    assert FILE.stat().st_size <= 1_500_000


def test_faint_and_tiny_spots_are_nothing():
    plane = np.zeros((90, 120), np.float32)
    plane[10:30, 10:30] = 0.6  # nowhere sure
    plane[80:82, 100:102] = 0.99  # tiny
    assert not _sure(plane).any()
    plane[40:80, 40:80] = 0.95
    kept = _sure(plane)
    assert kept[60, 60] == np.float32(0.95) and not kept[:35].any() and not kept[:, 90:].any()


def test_a_face_becomes_a_soft_ellipse_of_its_place_and_size():
    plane = np.zeros((60, 80), np.float32)
    cv2.ellipse(plane, (40, 30), (10, 15), 0, 0, 360, 1, -1)
    drawn = _ellipses(plane, 240, 320)
    assert drawn[122, 162] == 1 and drawn[122, 162 + 42] > 0.2 and drawn[122, 162 + 62] == 0
    assert drawn[122 + 62, 162] > 0.2 and drawn[122 + 92, 162] == 0
    assert ((drawn > 0) & (drawn < 1)).any()


def test_sizes_for_the_network_keep_the_proportions():
    assert working_size(3000, 4000, 288 * 288) == (256, 320)
    for height, width in ((1, 1), (1, 5000), (5000, 2), (50, 50)):
        high, wide = working_size(height, width, 288 * 288)
        assert high % MULTIPLE == wide % MULTIPLE == 0 and high * wide <= 4 * 288 * 288


def test_the_file_holds_what_was_trained():
    torch.manual_seed(0)
    network = MatteNetwork()
    network.train()(torch.rand(2, 3, 64, 64))  # statistics of the norms
    again, picture = network_of(state(network)), torch.rand(1, 3, 64, 96)
    before = network.eval()(picture)
    for one, other in zip(before, again(picture), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=5e-2)
    assert before[0].shape == (1, len(PLANES), 32, 48)
    assert sum(t.nbytes for t in state(network).values()) < 1.5e6


def test_one_picture_in_a_batch_is_that_picture_alone():
    masker = opened(PersonMasker)
    picture = cv2.imread(str(EXAMPLES / "portraits" / "cat.jpg"))[::4, ::4, ::-1]
    images = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255
    item = Item(0, Path("in/p.jpg"), Path("in"), Path("out/p.jpg"))
    both = masker.mask(Batch(torch.cat([images, images.flip(3)]), item), [Frame(picture)] * 2)
    torch.testing.assert_close(both[:1], masker.mask(Batch(images, item), [Frame(picture)]))


def test_the_finder_runs_in_half_precision_pictures_too():
    finder = Finder(torch.device("cpu"))
    planes = finder.probabilities(torch.rand(1, 3, 40, 60).half())
    assert planes.dtype == torch.float32 and planes.shape[:2] == (1, len(PLANES))


class TestPerson(MaskerContract):
    """Subject and sky differ by the plane only."""

    component = PersonMasker


class TestFaces(MaskerContract):
    component = FacesMasker
