"""``stylepipe.open``: pictures in memory, of any kind; components opened once and closed always."""

import threading
import time
from pathlib import Path

import fakes
import numpy as np
import pytest
import torch
from fakes import array
from PIL import Image

import stylepipe
from stylepipe import Caps, Frame, ItemError, SetupError, Temporal, UsageError
from stylepipe.plugins import Plugins
from stylepipe.session import Session

TOY = str(Path(__file__).parent / "toy_plugin.py")


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    """The toy components only: ``negative`` paints negatives, ``fast`` nothing."""
    monkeypatch.setattr("stylepipe.plugins.entry_points", lambda group: [])
    monkeypatch.setattr("stylepipe.api.Plugins", lambda asked=(): Plugins([TOY, *asked]))


@pytest.fixture
def negative():
    with stylepipe.open("negative", device="cpu") as painter:
        yield painter


@pytest.fixture
def calls(monkeypatch):
    """What is called of the stylizer ``negative``, in order."""
    told = []

    def noting(name, method):
        def noted(self, *args):
            told.append(name)
            return method(self, *args)

        return noted

    for name in ("open", "prepare", "reset", "stylize", "close"):
        monkeypatch.setattr(fakes.Negative, name, noting(name, getattr(fakes.Negative, name)))
    return told


# -- what goes in comes out ----------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_array_gives_an_array(negative, dtype):
    picture = array(dtype=dtype)
    picture.flags.writeable = False
    painted = negative.paint(picture)
    np.testing.assert_array_equal(painted, np.iinfo(dtype).max - picture)
    assert painted.dtype == dtype
    np.testing.assert_array_equal(negative.paint(picture[:, ::-1]), painted[:, ::-1])


@pytest.mark.parametrize(
    ("mode", "becomes"), [("RGB", "RGB"), ("L", "RGB"), ("RGBA", "RGBA"), ("LA", "RGBA")]
)
def test_a_pil_picture_gives_a_pil_picture_with_its_transparency_and_profile(
    negative, mode, becomes
):
    picture = Image.fromarray(array(channels=4), "RGBA").convert(mode)
    if mode == "RGBA":
        picture.putalpha(Image.fromarray(array(seed=1)[..., 0] | 128))
    picture.info["icc_profile"] = b"profile"
    painted = negative.paint(picture)
    source, result = np.asarray(picture.convert(becomes)), np.asarray(painted)
    assert painted.mode == becomes and painted.info["icc_profile"] == b"profile"
    if mode == "RGBA":
        np.testing.assert_array_equal(result[..., :3], 255 - source[..., :3])
    np.testing.assert_array_equal(result[..., 3:], source[..., 3:])


def test_a_palette_with_a_transparent_color_stays_transparent(negative):
    picture = Image.fromarray(array(20, 20)[..., 0], "L").convert("P")
    picture.info["transparency"] = int(np.asarray(picture)[0, 0])
    painted = negative.paint(picture)
    assert painted.mode == "RGBA" and painted.getpixel((0, 0))[3] == 0
    assert painted.getextrema()[3] == (0, 255) and "transparency" not in painted.info


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(3, 6, 8), (2, 3, 6, 8)])
def test_a_tensor_gives_a_tensor(negative, shape, dtype):
    picture = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    painted = negative.paint(picture.requires_grad_())
    assert (painted.shape, painted.dtype, painted.device) == (shape, dtype, picture.device)
    assert painted.is_contiguous() and not painted.requires_grad
    tolerance = 1e-2 if dtype.itemsize == 2 else 1e-5
    torch.testing.assert_close(painted, 1 - picture.detach(), atol=tolerance, rtol=0)


def test_an_enlarged_pil_picture_keeps_its_transparency(monkeypatch, negative):
    monkeypatch.setattr(fakes.Negative, "caps", Caps(needs_style=False, scale=2))
    monkeypatch.setattr(
        fakes.Negative, "stylize", lambda self, batch: batch.images.repeat(1, 1, 2, 2)
    )
    painted = negative.paint(Image.fromarray(array(channels=4), "RGBA"))
    assert (painted.mode, painted.size) == ("RGBA", (16, 12))


def test_a_frame_that_is_copied_is_not_the_callers():
    with stylepipe.open("negative", strength=0, device="cpu") as painter:
        frame = Frame(array())
        copied = painter.paint(frame).pixels
    np.testing.assert_array_equal(copied, frame.pixels)
    assert not np.shares_memory(copied, frame.pixels)


def test_a_list_gives_a_list_in_its_order_and_frames_are_frames(negative):
    pictures = [
        array(seed=1), array(9, 7, seed=2), Image.fromarray(array(seed=3)),
        torch.zeros(2, 3, 5, 4), Frame(array(seed=4)), array(seed=5),
    ]  # fmt: skip
    painted = negative.paint(pictures)
    assert [type(p) for p in painted] == [type(p) for p in pictures]
    for index in (0, 1, 5):
        np.testing.assert_array_equal(painted[index], 255 - pictures[index])
    assert (painted[3] == 1).all() and painted[3].shape == (2, 3, 5, 4)
    assert (painted[4].pixels == 255 - pictures[4].pixels).all()
    assert negative.paint([]) == []


def test_it_paints_what_convert_paints(tmp_path):
    np.save(tmp_path / "a.npy", array(40, 30))
    settings = {"stylizer": {"use": "negative", "strength": 0.3, "keep_colors": True}}
    stylepipe.convert(tmp_path / "a.npy", tmp_path / "out", settings=settings, device="cpu")
    with stylepipe.open("negative", strength=0.3, keep_colors=True, device="cpu") as painter:
        painted = painter.paint(array(40, 30))
    np.testing.assert_array_equal(painted, np.load(tmp_path / "out" / "a.npy"))


def test_strength_0_gives_the_picture_and_opens_nothing(calls):
    with stylepipe.open("negative", strength=0, device="cpu") as painter:
        picture = array()
        result = painter.paint(picture, mask=np.ones((6, 8)))
        np.testing.assert_array_equal(result, picture)
        assert not np.shares_memory(result, picture)
    assert calls == []


# -- masks ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mask", [
        np.eye(6, 8, dtype=bool), np.eye(6, 8, dtype=np.uint8) * 255, np.eye(6, 8),
        torch.eye(6, 8), torch.eye(6, 8, dtype=torch.bfloat16, requires_grad=True),
        Image.fromarray(np.eye(6, 8, dtype=np.uint8) * 255),
    ], ids=["bool", "uint8", "float", "tensor", "bfloat16", "pil"],
)  # fmt: skip
def test_a_mask_says_where_a_picture_is_painted(negative, mask):
    picture = array()
    painted = negative.paint([picture, picture], mask=mask)[1]
    where = np.eye(6, 8, dtype=bool)
    np.testing.assert_array_equal(painted[where], 255 - picture[where])
    np.testing.assert_array_equal(painted[~where], picture[~where])
    np.testing.assert_array_equal(negative.paint(picture), 255 - picture)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.ones((8, 6)), r"as large as the picture, \(6, 8\), not of shape \(8, 6\)"),
        (np.ones((6, 8, 1)), "not of shape"),
        (np.full((6, 8), 255.0), r"values in \[0, 1\]"),
        (np.full((6, 8), np.nan), r"values in \[0, 1\]"),
        (np.ones((6, 8), np.int64), "booleans, uint8 or floats, not int64"),
        ("masks", "booleans, uint8 or floats"),
    ],
)
def test_what_is_no_mask_gets_a_sentence(negative, mask, words):
    with pytest.raises(UsageError, match=words):
        negative.paint(array(), mask=mask)


# -- mistakes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (array().astype(np.float32), "uint8 or uint16, not float32"),
        (array().astype(np.int32), "uint8 or uint16, not int32"),
        (array().astype(">u2"), "uint8 or uint16, not >u2"),
        (array()[..., 0], r"HxWx3, in RGB, not of shape \(6, 8\)"),
        (array(channels=4), r"not of shape \(6, 8, 4\)"),
        (array()[None], r"not of shape \(1, 6, 8, 3\)"),
        (array()[:0], r"empty: its shape is \(0, 8, 3\)"),
        (Frame(array()[..., 0]), "HxWx3"),
        (Frame(array(), array(3)[..., 0]), r"transparency of a frame must be \(6, 8\) of uint8"),
        (Image.new("RGB", (0, 4)), "empty"),
        (Image.new("CMYK", (4, 4)), "not CMYK; convert it: picture"),
        (Image.new("I;16", (4, 4)), "not I;16"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), "not uint8; divide bytes by 255"),
        (torch.zeros(4, 4, 3), r"N3HW or 3HW, not of shape \(4, 4, 3\)"),
        (torch.zeros(4, 4), "N3HW or 3HW"),
        (torch.zeros(0, 3, 4, 4), "empty"),
        (torch.full((3, 4, 4), 255.0), "runs from 255 to 255"),
        (torch.full((3, 4, 4), -0.5), "runs from -0.5"),
        (torch.full((3, 4, 4), float("nan")), "not numbers"),
        ("photo.jpg", "cannot be of type str"),
        (None, "cannot be of type NoneType"),
        ([array(), [array()]], "cannot be of type list"),
    ],
)
def test_what_is_no_picture_gets_a_sentence_and_costs_nothing(negative, picture, words):
    with pytest.raises(UsageError, match=words) as caught:
        negative.paint(picture)
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(negative.paint(array()), 255 - array())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strenght": 1}, r"unknown option 'strenght'.*\(argument\) \(did you mean 'strength'"),
        ({"strength": 2}, "strength must be between 0 and 1"),
        ({"stylizer": "negativ"}, "did you mean 'negative'"),
        ({"preset": "defualt"}, "did you mean 'default'"),
        ({"style": "no-such-style"}, "no style 'no-such-style'"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"precision": "double"}, "unknown precision 'double'"),
        ({"memory": "much"}, "no size"),
        ({"settings": {"stilizer": {}}}, "did you mean 'stylizer'"),
        ({"settings": {"stylizer": "negative"}}, r"\[stylizer\] takes keys with their values"),
        ({"settings": {"output": {"format": "png"}}}, "about files"),
        ({"settings": {"mask": {"path": "masks"}}}, r"to paint\(picture, mask="),
        ({"settings": {"temporal": {"use": "warp"}}}, "pictures in memory are none"),
        ({"settings": {"temporal": {"use": "median"}}}, "pictures in memory are none"),
        ({"preset": "video-smooth"}, "use stylepipe.convert"),
    ],
)
def test_what_cannot_be_opened_gets_a_sentence(options, words):
    with pytest.raises(UsageError, match=words) as caught:
        stylepipe.open(**{"stylizer": "negative", "device": "cpu", **options})
    assert "\n" not in str(caught.value)


def test_a_method_without_flow_is_for_films_too(monkeypatch):
    plugins = Plugins([TOY])
    monkeypatch.setattr(plugins.components(Temporal)["warp"], "uses_flow", False)
    with pytest.raises(UsageError, match=r"\[temporal\] warp keeps the frames of a film alike"):
        stylepipe.open("negative", settings={"temporal": {"use": "warp"}}, plugins=plugins)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"overwrit": True}, "no 'overwrit' .did you mean 'overwrite'"),
        ({"on_error": "stop"}, "skip or abort, not 'stop'"),
        ({"limit": 0}, "at least 1"),
        ({"settings": {"stylizer": {"strenght": 1}}}, r"\(argument\) \(did you mean 'strength'"),
    ],
)
def test_what_convert_cannot_do_gets_a_sentence(tmp_path, options, words):
    np.save(tmp_path / "a.npy", array())
    with pytest.raises(UsageError, match=words):
        stylepipe.convert(tmp_path / "a.npy", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_result_that_is_no_picture_names_the_stylizer():
    painter = stylepipe.open("negative", nan=True, device="cpu")
    words = "'negative' of plugin toy_plugin returned values that are not numbers"
    with painter, pytest.raises(ItemError, match=words):
        painter.paint(array())


def test_a_picture_that_pil_cannot_decode_is_one_sentence(negative, tmp_path):
    Image.fromarray(array(64, 64)).save(tmp_path / "a.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "a.png").read_bytes()[:5000])
    with (
        Image.open(tmp_path / "torn.png") as torn,
        pytest.raises(ItemError, match="the picture cannot be decoded"),
    ):
        negative.paint(torn)


# -- opened once, closed always ------------------------------------------------------------


def test_components_are_opened_once_for_any_number_of_pictures(calls):
    with stylepipe.open("negative", device="cpu") as painter:
        for _ in range(3):
            painter.paint(array())
    assert calls == ["open", "prepare", *["reset", "stylize"] * 3, "close"]
    painter.close()
    assert calls.count("close") == 1
    with pytest.raises(UsageError, match="is closed; open another"):
        painter.paint(array())


@pytest.mark.parametrize("method", ["open", "prepare"])
def test_what_cannot_be_opened_is_closed(monkeypatch, calls, method):
    def explode(self, *args):
        raise stylepipe.SetupError("the device is gone")

    monkeypatch.setattr(fakes.Negative, method, explode)
    with pytest.raises(stylepipe.SetupError, match="the device is gone"):
        stylepipe.open("negative", device="cpu")
    assert calls[-1] == "close"


def test_what_failed_is_not_opened_again_by_the_next_picture(monkeypatch, calls):
    def fail(self, *args):
        calls.append("failed")
        raise SetupError("no weights")

    monkeypatch.setattr(fakes.Negative, "prepare", fail)
    with Session(fakes.settings(), log=print, device="cpu") as painter:
        for _ in range(2):
            with pytest.raises(SetupError, match="no weights"):
                painter.paint(array())
    assert calls == ["open", "failed", "close"]


def test_an_error_inside_with_closes(calls):
    with pytest.raises(KeyError), stylepipe.open("negative", device="cpu"):
        raise KeyError
    assert calls[-1] == "close"


def test_threads_take_turns(monkeypatch, negative):
    busy = []

    def alone(self, batch):
        busy.append(1)
        assert len(busy) == 1
        time.sleep(0.01)
        busy.pop()
        return 1 - batch.images

    monkeypatch.setattr(fakes.Negative, "stylize", alone)
    results = {}
    threads = [
        threading.Thread(target=lambda n=n: results.update({n: negative.paint(array(seed=n))}))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((results[n] == 255 - array(seed=n)).all() for n in range(4)), results


def test_a_session_closes_once_the_picture_in_hand_is_painted(monkeypatch):
    begun, told = threading.Event(), []

    def slow(self, batch):
        begun.set()
        time.sleep(0.05)
        told.append("painted")
        return 1 - batch.images

    monkeypatch.setattr(fakes.Negative, "stylize", slow)
    monkeypatch.setattr(fakes.Negative, "close", lambda self: told.append("closed"))
    painter = stylepipe.open("negative", device="cpu")
    thread = threading.Thread(target=painter.paint, args=(array(),))
    thread.start()
    assert begun.wait(5)
    painter.close()
    thread.join()
    assert told == ["painted", "closed"]


def test_pictures_of_one_size_go_together_on_an_accelerator(monkeypatch, negative):
    sizes = []

    def stylize(self, batch):
        sizes.append(tuple(batch.images.shape))
        return 1 - batch.images

    monkeypatch.setattr(fakes.Negative, "stylize", stylize)
    monkeypatch.setattr(fakes.Negative, "caps", Caps(needs_style=False, batch=2))
    pictures = [*(array(seed=n) for n in range(3)), array(9, 9)]
    negative.paint(pictures)
    assert [size[0] for size in sizes] == [1, 1, 1, 1]
    monkeypatch.setattr("stylepipe.device.Device.type", "cuda")
    assert [p.shape for p in negative.paint(pictures)] == [p.shape for p in pictures]
    assert [size[0] for size in sizes[4:]] == [2, 1, 1]


def test_what_components_say_is_logged(caplog):
    stylepipe.open("negative", strength=0, device="cpu").close()
    assert "strength is 0" in caplog.text


PLUGIN = '''
import stylepipe


class Inverse(stylepipe.Stylizer):
    """Inverts."""

    name, caps = "inverse", stylepipe.Caps(needs_style=False)

    def stylize(self, batch):
        return 1 - batch.images


@stylepipe.hookimpl
def stylepipe_components():
    return [Inverse]
'''


def test_plugins_are_loaded_by_their_files(tmp_path):
    (tmp_path / "inverse.py").write_text(PLUGIN)
    with stylepipe.open("inverse", plugins=[tmp_path / "inverse.py"], device="cpu") as painter:
        assert (painter.paint(array()) == 255 - array()).all()
    (tmp_path / "broken.py").write_text("import nothing_of_this_name")
    with pytest.raises(SetupError, match=r"plugin .*broken\.py cannot be loaded: .*nothing_of"):
        stylepipe.open("inverse", plugins=[tmp_path / "broken.py"])


def test_deep_pil_pictures_are_not_to_be_clipped(negative):
    with pytest.raises(UsageError, match="not I;16; pass an HxWx3 array of uint16"):
        negative.paint(Image.new("I;16", (8, 8)))
