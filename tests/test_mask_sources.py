"""Masks that need no file of masks: boxes, GrabCut, lightness, motion, label maps, classes."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from stylepipe_plugins.masks import (
    BoxMasker,
    ClassesMasker,
    GrabCutMasker,
    LabelsMasker,
    LuminanceMasker,
    MotionMasker,
)

from stylepipe import Batch, Frame, Info, Item, ItemError, SetupError, UsageError
from stylepipe.cli import main
from stylepipe.contracts.base import context
from stylepipe.testing import MaskerContract

H, W = 48, 64
POSTERIZE = str(Path(__file__).parents[1] / "examples" / "posterize.py")


class Asked:
    """A masker, opened, as the engine asks it; keeps what it said."""

    def __init__(self, cls, **options):
        self.said = []
        self.masker = cls(cls.Options.build(options))
        self.masker.check()
        vars(opened := context())["log"] = self.said.append
        self.masker.open(opened)

    def __call__(self, pixels, index=0, source="photo.png", kind="image"):
        """The planes K H W of one picture."""
        item = Item(0, Path("in") / source, Path("in"), Path("out") / source)
        self.masker.check_item(item, Info(kind, "test", pixels.shape[1], pixels.shape[0]))
        frame = Frame(np.ascontiguousarray(pixels), None, index)
        images = torch.from_numpy(pixels.astype(np.float32) / frame.white).permute(2, 0, 1)[None]
        return self.masker.mask(Batch(images, item), [frame])[0].numpy()


def flat(color=(90, 90, 90), size=(H, W)):
    return np.full((*size, 3), color, np.uint8)


def save(array, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def overlap(mask, truth):
    """Intersection over union."""
    return np.minimum(mask, truth).sum() / np.maximum(mask, truth).sum()


# -- box ---------------------------------------------------------------------------------------


class TestBox(MaskerContract):
    component = BoxMasker
    options = {"box": "10%,20%,50%,50%"}  # noqa: RUF012


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ("", "X,Y,WIDTH,HEIGHT in pixels or percent"),
        ("1,2,3", "not '1,2,3'"),
        ("1,2,3,4,5", "such as 10,20,300,200"),
        ("-1,2,3,4", "not '-1,2,3,4'"),
        ("a,b,c,d", "not 'a,b,c,d'"),
        ("1e9,0,1,1", "not '1e9,0,1,1'"),
        ("0,0,0,10", "is empty"),
        ("60%,0,50%,10", "beyond 100 % of the picture"),
    ],
)
@pytest.mark.parametrize("cls", [BoxMasker, GrabCutMasker])
def test_what_is_no_box_is_refused_in_a_sentence(cls, box, words):
    with pytest.raises(UsageError, match=words):
        cls.Options.build({"box": box})


def test_a_box_must_be_given():
    with pytest.raises(UsageError, match="needs a box: --mask box --mask-box"):
        Asked(BoxMasker)


@pytest.mark.parametrize("box", ["60,0,5,5", "0,40,5,9", "900,900,5,5"])
def test_a_box_beyond_the_picture_costs_that_picture(box):
    with pytest.raises(ItemError, match=f"box {box} reaches beyond the picture, which is 64x48"):
        Asked(BoxMasker, box=box)(flat())


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ("4,6,10,8", slice(6, 14), slice(4, 14)),
        ("25%,50%,50%,50%", slice(24, 48), slice(16, 48)),
        (" 0, 0, 100%, 100% ", slice(None), slice(None)),
        ("60,44,4,4", slice(44, 48), slice(60, 64)),
    ],
)
def test_a_box_in_pixels_and_in_percent(box, rows, columns):
    expected = np.zeros((1, H, W), np.float32)
    expected[0, rows, columns] = 1
    assert np.array_equal(Asked(BoxMasker, box=box)(flat()), expected)


def test_a_box_paints_only_what_lies_in_it(tmp_path, make_photo):
    photo, out = make_photo("p.png"), tmp_path / "out.png"
    argv = ["posterize", str(photo), "-o", str(out), "--levels", "2", "-q", "--plugin", POSTERIZE]
    assert main.run([*argv, "--mask", "box", "--mask-box", "10%,10%,50%,50%"]) == 0
    changed = np.any(np.asarray(Image.open(photo)) != np.asarray(Image.open(out)), axis=2)
    height, width = changed.shape
    inside = np.s_[height // 10 + 1 : 6 * height // 10, width // 10 + 1 : 6 * width // 10]
    assert changed[inside].mean() > 0.9
    changed[inside] = False
    assert changed.mean() < 0.05


# -- GrabCut -----------------------------------------------------------------------------------


class TestGrabCut(MaskerContract):
    component = GrabCutMasker
    sizes = ((64, 48), (53, 37))  # it needs a background


def ball(size=(H, W), radius=0.25):
    """An orange ball on green, with some grain, and where it is."""
    height, width = size
    y, x = np.mgrid[0:height, 0:width]
    truth = (y - height / 2) ** 2 + (x - width / 2) ** 2 < (radius * height) ** 2
    picture = np.where(truth[..., None], (230, 140, 40), (50, 120, 60))
    grain = np.random.default_rng(0).integers(-12, 13, (height, width, 3))
    return (picture + grain).astype(np.uint8), truth


@pytest.mark.parametrize("size", [(H, W), (450, 600)])
def test_grabcut_finds_what_differs_from_what_lies_around(size):
    picture, truth = ball(size)
    asked = Asked(GrabCutMasker, box="20%,15%,60%,70%")
    found = asked(picture)[0]
    assert overlap(found, truth) > 0.9
    assert found[: size[0] // 8].max() == 0, "nothing outside of the box"
    if size == (H, W):
        assert np.array_equal(found, asked(picture)[0]), "the same again"


def test_grabcut_reads_sixteen_bits():
    picture, _ = ball()
    asked = Asked(GrabCutMasker)
    assert np.allclose(asked(picture.astype(np.uint16) * 257), asked(picture), atol=0.02)


def test_grabcut_without_background_is_refused():
    with pytest.raises(ItemError, match="64x48 the box 0,0,64,48 leaves too few pixels"):
        Asked(GrabCutMasker, box="0,0,64,48")(flat())


# -- lightness ---------------------------------------------------------------------------------


class TestLuminance(MaskerContract):
    component = LuminanceMasker


@pytest.mark.parametrize("text", ["", "0.5", "1-0.5", "0.5-0.5", "0-2", "-1-1", "a-b", "nan-1"])
def test_what_is_no_range_of_lightness_is_refused(text):
    with pytest.raises(UsageError, match="FROM-TO between 0, black, and 1, white"):
        LuminanceMasker.Options.build({"lightness": text})


def test_ranges_of_lightness_end_softly_and_meet():
    ramp = np.repeat(np.linspace(0, 255, 256).astype(np.uint8)[None, :, None], 3, axis=2)
    dark, light = (
        Asked(LuminanceMasker, lightness=text, softness=0.2)(ramp)[0, 0]
        for text in ("0-0.6", "0.6-1")
    )
    assert dark[0] == 1 and dark[-1] == 0 and light[0] == 0 and light[-1] == 1
    assert np.all(np.diff(light) >= 0) and 20 < np.count_nonzero((light > 0) & (light < 1)) < 90
    assert np.allclose(dark + light, 1, atol=1e-6)


def test_a_hard_range_takes_its_ends_and_sixteen_bits():
    white = np.full((H, W, 3), 65535, np.uint16)
    assert Asked(LuminanceMasker, lightness="0.9-1", softness=0)(white).min() == 1


def test_nothing_of_that_lightness_is_said_once_an_item():
    asked = Asked(LuminanceMasker, lightness="0.9-1")
    for index in range(2):
        assert asked(flat((0, 0, 0)), index).max() == 0
    asked(flat((0, 0, 0)), source="other.png")
    assert [line.partition(":")[0] for line in asked.said] == ["photo.png", "other.png"]


# -- motion ------------------------------------------------------------------------------------


class TestMotion(MaskerContract):
    component = MotionMasker

    def masks(self, masker, item, frames):
        masker.reset(item)
        return super().masks(masker, item, frames)


def street(time, pan=0.0, zoom=1.0):
    """Texture under a camera that moves, before which a checkered car drives; and where it is."""
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(1)
    texture = cv2.GaussianBlur(rng.uniform(0, 255, (300, 400, 3)), (0, 0), 2.5)
    texture = (texture - texture.mean()) * 4 + 110
    scale = zoom**time
    move = np.array([[scale, 0, -40 + pan * time], [0, scale, -30]], float)
    picture = cv2.warpAffine(texture, move, (240, 160), borderMode=cv2.BORDER_REFLECT)
    truth = np.zeros((160, 240), bool)
    left = 60 + 5 * time
    truth[60:110, left : left + 60] = True
    car = cv2.GaussianBlur(rng.uniform(0, 255, (50, 60, 3)), (0, 0), 1.5)
    picture[truth] = ((car - car.mean()) * 4 + (140, 90, 70)).reshape(-1, 3)
    return picture.clip(0, 255).astype(np.uint8), truth


@pytest.mark.parametrize(("pan", "zoom"), [(0, 1), (-4, 1), (2, 1.02)])
def test_motion_is_what_moves_otherwise_than_the_background(pan, zoom):
    asked = Asked(MotionMasker)
    masks = []
    for time in range(3):
        picture, truth = street(time, pan, zoom)
        masks.append(asked(picture, time, "clip.mp4", "video")[0])
    assert masks[0].max() == 0, "nothing is known of the first"
    assert overlap(masks[2], truth) > 0.7
    assert masks[2][:, :40].mean() < 0.05


def test_a_camera_that_moves_alone_moves_nothing():
    asked = Asked(MotionMasker)
    for time in range(2):
        picture = street(0)[0][:, 4 * time : 200 + 4 * time]
        found = asked(picture, time, "clip.mp4", "video")
    assert found.mean() < 0.02


def test_motion_on_a_photo_is_refused_in_a_sentence():
    with pytest.raises(ItemError, match="moves in a film, and this is a photo; choose another"):
        Asked(MotionMasker)(flat())


def test_motion_begins_anew_with_a_scene_and_with_an_item_and_answers_twice():
    asked = Asked(MotionMasker)
    first, second = street(0)[0], street(1)[0]
    asked(first, 0, "clip.mp4", "video")
    found = asked(second, 1, "clip.mp4", "video")
    assert found.max() > 0.9
    assert np.array_equal(asked(second, 1, "clip.mp4", "video"), found), "asked for again"
    with pytest.raises(ItemError, match="one after the other, and this --temporal"):
        asked(second, 5, "clip.mp4", "video")
    asked.masker.reset(Item(0, Path("in/clip.mp4"), Path("in"), Path("out/clip.mp4")))
    assert asked(first, 7, "clip.mp4", "video").max() == 0, "a cut"
    assert asked(second, 0, "other.mp4", "video").max() == 0, "another film"


def test_motion_in_a_film_as_the_engine_paints_it(tmp_path, make_clip):
    code = main.run(
        ["posterize", str(make_clip(frames=4)), "-o", str(tmp_path / "out.mp4"), "-q",
         "--mask", "motion", "--plugin", POSTERIZE]
    )  # fmt: skip
    assert code == 0 and (tmp_path / "out.mp4").is_file()


# -- label maps --------------------------------------------------------------------------------

LEGEND = ("sky=#0080ff", "tree=#00aa00", "house=#ff0000")


@pytest.fixture
def maps(tmp_path):
    """Sky above, a tree and a house side by side below."""
    picture = flat((0, 0x80, 0xFF))
    picture[H // 2 :, : W // 2] = (0, 0xAA, 0)
    picture[H // 2 :, W // 2 :] = (0xFF, 0, 0)
    save(picture, tmp_path / "maps" / "photo.png")
    return tmp_path / "maps"


class TestLabels(MaskerContract):
    component = LabelsMasker
    sizes = ((64, 48), (32, 24))

    @pytest.fixture
    def made(self, maps):
        made = LabelsMasker(LabelsMasker.Options.build({"maps": maps, "legend": LEGEND}))
        made.check()
        return made


def labels(maps, legend=LEGEND, **options):
    return Asked(LabelsMasker, maps=maps, legend=legend, **options)


@pytest.mark.parametrize(
    ("legend", "words"),
    [
        (["sky=#0080ff", "sea=#0080FF"], "'sky' and 'sea' one color, #0080ff; give each"),
        (["sky=#0080ff", "sky=#000000"], "names 'sky' twice"),
        (["sky=blue"], "gives 'sky' the color 'blue'; write #rrggbb"),
        (["big sky=#0080ff"], "no name of a class; .* such as big-sky"),
        (["=#0080ff"], "'' in the legend is no name"),
        (["nowhere.toml"], "nowhere.toml cannot be read: No such file"),
        (["legend.txt"], r"\.toml or \.csv, or pairs such as sky=#0080ff, not legend\.txt"),
    ],
)
def test_a_legend_that_cannot_be_right_is_refused(maps, legend, words):
    with pytest.raises(UsageError, match=words):
        labels(maps, legend)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("l.toml", "sky = [0, 0, 256]", "'sky' the color '0,0,256'"),
        ("l.toml", "sky = ", "cannot be read"),
        ("l.toml", "", "is empty; write a line such as sky"),
        ("l.csv", "name,color\n", "is empty"),
        ("l.csv", "sky\n", "gives 'sky' the color ''"),
        ("l.csv", b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_file_that_is_no_legend_is_refused(maps, tmp_path, name, content, words):
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match=words):
        labels(maps, [str(tmp_path / name)])


def test_maps_and_legend_are_asked_for(maps, tmp_path):
    with pytest.raises(UsageError, match="needs label maps"):
        Asked(LabelsMasker)
    with pytest.raises(UsageError, match="there is no label map at"):
        labels(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="need a legend, which names their colors"):
        labels(maps, ())
    with pytest.raises(ItemError, match="it has no label map"):
        labels(maps)(flat(), source="other.png")


def test_an_unknown_class_gets_a_suggestion(maps):
    with pytest.raises(UsageError, match=r"no class 'tres' in the legend .did you mean 'tree'"):
        labels(maps, classes="sky,tres")


def test_more_classes_than_regions_need_a_choice(maps):
    many = [f"c{n}=#0000{n:02x}" for n in range(17)]
    with pytest.raises(UsageError, match="has 17 classes, and 1 to 16 can be regions"):
        labels(maps, many)
    labels(maps, many, classes="c1,c2")


def test_an_area_of_a_color_that_the_legend_does_not_have_names_it_and_the_nearest(maps):
    with pytest.raises(ItemError, match=r"areas in #ff0000, .*or is it tree, #00aa00\?"):
        labels(maps, LEGEND[:2])(flat())


@pytest.mark.parametrize("form", ["pairs", "toml", "csv", "beside"])
def test_classes_are_regions_by_their_names(maps, tmp_path, form):
    toml = 'sky = "#0080ff"\ntree = [0, 170, 0]\nhouse = "ff0000"\n'
    (tmp_path / "l.toml").write_text(toml)
    (tmp_path / "l.csv").write_text("name,r,g,b\nsky,0,128,255\ntree,0,170,0\nhouse,#ff0000\n")
    if form == "beside":
        (maps / "legend.toml").write_text(toml)
    ways = {"pairs": LEGEND, "toml": str(tmp_path / "l.toml"), "csv": str(tmp_path / "l.csv")}
    asked = labels(maps, ways.get(form, ()))
    sky, tree, house = asked(flat())
    assert asked.masker.regions == ["sky", "tree", "house"]
    assert sky[: H // 2].min() == 1 and sky[H // 2 :].max() == 0
    assert tree[H // 2 :, : W // 2].min() == 1 and house[H // 2 :, W // 2 :].min() == 1
    assert np.array_equal(sky + tree + house, np.ones((H, W)))


def test_chosen_classes_are_painted_together_and_their_absence_is_said(maps):
    found = labels(maps, classes="sky,tree")(flat())
    assert found.shape == (1, H, W) and found[0, H // 2 :, W // 2 :].max() == 0
    assert found.mean() == 0.75
    asked = labels(maps, (*LEGEND, "car=#ffff00"), classes="car")
    assert asked(flat()).max() == 0
    assert asked.said == ["photo.png: none of the classes is in its label map, so the mask is "
                          "empty"]  # fmt: skip


def test_what_is_of_no_class_is_no_region(maps):
    legend = ("sky=#0080ff", "tree=#00aa00", "none=#ff0000")
    planes = labels(maps, legend)(flat())
    assert planes.shape[0] == 2 and planes.sum(0)[H // 2 :, W // 2 :].max() == 0


def test_soft_edges_are_no_third_class_and_jpeg_does_no_harm(tmp_path):
    """Halfway from black to white lies gray, which is a class of its own here."""
    cv2 = pytest.importorskip("cv2")
    picture = flat((0, 0, 0), (120, 160))
    picture[:, 50:] = 255
    picture[:, 110:] = 128
    (tmp_path / "maps").mkdir()
    soft = cv2.GaussianBlur(picture, (0, 0), 1.2)
    Image.fromarray(soft).save(tmp_path / "maps" / "photo.jpg", quality=80)
    black, white, gray = labels(tmp_path / "maps", ["b=#000000", "w=#ffffff", "g=#808080"])(
        flat(size=(120, 160))
    )
    assert gray[:, :105].max() == 0
    assert abs(black.mean() - 50 / 160) < 0.02 and abs(white.mean() - 60 / 160) < 0.02


def test_maps_of_sixteen_bits_and_with_transparency(tmp_path):
    numbers = np.full((H, W), 1 << 8, np.uint16)
    numbers[:, W // 2 :] = 200 << 8
    save(numbers, tmp_path / "gray" / "photo.png")
    one, other = labels(tmp_path / "gray", ["a=#010101", "b=#c8c8c8"])(flat())
    assert one[:, : W // 2].min() == 1 and other[:, W // 2 :].min() == 1
    clear = np.zeros((H, W, 4), np.uint8)
    clear[:, W // 2 :] = (255, 0, 0, 255)
    save(clear, tmp_path / "clear" / "photo.png")
    white, red = labels(tmp_path / "clear", ["a=#ffffff", "b=#ff0000"])(flat())
    assert white[:, : W // 2].min() == 1 and red[:, W // 2 :].min() == 1


def test_another_legend_makes_results_anew(maps, tmp_path):
    legend = tmp_path / "l.toml"
    legend.write_text('sky = "#0080ff"')
    masker = LabelsMasker(LabelsMasker.Options.build({"maps": maps, "legend": [str(legend)]}))
    assert legend in list(masker.files()) and maps in list(masker.files())


@pytest.mark.parametrize(
    ("name", "legend"),
    [
        ("in3_style", ("sky=#000000", "ground=#ffffff", "wood=#00ff01")),
        ("in16_content", ("near=#ffffff", "far=#000000")),
        ("in16_style", ("near=#ffffff", "far=#000000")),
    ],
)
def test_label_maps_made_by_others(shared_data, tmp_path, name, legend):
    source = shared_data / "content" / "seg_pairs" / f"{name}_seg.png"
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "photo.png").write_bytes(source.read_bytes())
    with Image.open(source) as picture:
        size = picture.size[::-1]
    planes = labels(tmp_path / "maps", legend)(flat(size=size))
    assert np.array_equal(planes.sum(0), np.ones(size))
    assert all(0.1 < plane.mean() < 0.9 for plane in planes)


def test_regions_of_a_legend_take_styles_by_name(maps, tmp_path, make_photo):
    photo = make_photo("photo.png", size=(W, H))
    out = tmp_path / "out.png"
    argv = ["run", str(photo), "-o", str(out), "--mask", "labels", "--mask-maps", str(maps), "-q"]
    argv += [word for pair in LEGEND for word in ("--mask-legend", pair)]
    assert main.run([*argv, "--style", "starry-night@tree"]) == 0
    changed = np.any(np.asarray(Image.open(photo)) != np.asarray(Image.open(out)), axis=2)
    assert changed[H // 2 :, : W // 2].mean() > 0.9
    assert not changed[: H // 2].any() and not changed[:, W // 2 :].any()


# -- classes -----------------------------------------------------------------------------------


@pytest.fixture
def network(tmp_path, monkeypatch):
    """Weights for a tiny stand-in of torchvision, which takes seconds to import: red is a dog."""

    class Red(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head = torch.nn.Conv2d(3, 21, 1)

        def forward(self, images):
            return {"out": self.head(images)}

    made = Red()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.zero_()
        made.head.weight[12] = torch.tensor([40.0, -40.0, -40.0])[:, None, None]
        made.head.bias[0] = 10
    names = ("deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large")
    stand_in = SimpleNamespace(**dict.fromkeys(names, lambda **known: Red()))
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "torchvision.models", SimpleNamespace(segmentation=stand_in))
    torch.save({**made.state_dict(), "aux_classifier.x": torch.zeros(1)}, tmp_path / "w.pth")
    return tmp_path / "w.pth"


class TestClasses(MaskerContract):
    component = ClassesMasker
    sizes = ((64, 48), (1, 40))

    @pytest.fixture
    def made(self, network):
        options = {"classes": "dog", "weights": network}
        return ClassesMasker(ClassesMasker.Options.build(options))


def test_an_unknown_class_gets_a_suggestion_and_the_names():
    with pytest.raises(UsageError, match=r"no class 'dogs' \(did you mean 'dog'\?\); known: aerop"):
        ClassesMasker.Options.build({"classes": "cat,dogs"})
    with pytest.raises(UsageError, match="'classes' needs names"):
        Asked(ClassesMasker)


def test_weights_that_are_not_here_are_asked_for_also_in_a_dry_run(tmp_path, make_photo, capsys):
    with pytest.raises(SetupError, match=r"weights fetch deeplabv3-mobilenet \(42 MB\), or name"):
        Asked(ClassesMasker, classes="dog")
    argv = ["posterize", str(make_photo()), "-o", str(tmp_path / "out"), "--plugin", POSTERIZE]
    argv += ["--mask", "classes", "--mask-classes", "dog"]
    for more in (["--dry-run"], []):
        assert main.run([*argv, *more]) == 4
        assert "stylepipe weights fetch deeplabv3-mobilenet" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"no weights", None])
def test_a_file_that_holds_no_weights_is_refused(tmp_path, network, content):
    file = tmp_path / "other" / "w.pth"
    file.parent.mkdir()
    if content is None:
        torch.save({"weight": torch.zeros(1)}, file)
    else:
        file.write_bytes(content)
    with pytest.raises(SetupError, match=r"w\.pth holds no weights of lraspp"):
        Asked(ClassesMasker, classes="dog", network="lraspp", weights=file)
    with pytest.raises(UsageError, match="no file of weights at"):
        Asked(ClassesMasker, classes="dog", weights=tmp_path / "nowhere.pth")


def test_things_are_found_by_name_and_their_absence_is_said(network):
    picture, truth = ball((192, 256))
    picture[truth] = (240, 20, 20)
    asked = Asked(ClassesMasker, classes="cat,dog", weights=network)
    assert overlap(asked(picture)[0], truth) > 0.85
    assert asked.said == []
    assert asked(flat((20, 90, 20)), source="lawn.png").max() == 0
    assert asked.said == ["lawn.png: no cat or dog was found in it, so the mask is empty"]


def test_the_networks_of_torchvision_take_their_own_weights_and_know_these_names(tmp_path):
    """As fetched, with a second head; made here, as they are not to be downloaded."""
    from stylepipe_plugins.masks.classes import _BUILDERS, NAMES
    from torchvision.models import segmentation
    from torchvision.models._meta import _VOC_CATEGORIES

    assert ("__background__", *NAMES) == tuple(_VOC_CATEGORIES)
    assert all(hasattr(segmentation, builder) for builder in _BUILDERS.values())
    network = "deeplabv3-mobilenet"
    made = getattr(segmentation, _BUILDERS[network])(
        weights=None, weights_backbone=None, num_classes=21, aux_loss=True
    )
    torch.save(made.state_dict(), tmp_path / "w.pth")
    asked = Asked(ClassesMasker, classes="dog", network=network, weights=tmp_path / "w.pth")
    assert asked(flat()).shape == (1, H, W)


# -- what --help costs -------------------------------------------------------------------------


def test_maskers_are_listed_without_heavy_modules():
    import subprocess

    code = "import stylepipe_plugins.masks, sys; print({'cv2', 'torch', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
