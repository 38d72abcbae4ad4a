"""The shipped contracts, kept by the bundled components and broken by bad ones."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from fakes import NpyReader, NpyWriter
from PIL import Image, ImageOps
from stylepipe_plugins.fast import FastStylizer
from stylepipe_plugins.flow_dis import DisFlow
from stylepipe_plugins.masks import AlphaMasker, FilesMasker

from stylepipe import (
    Caps,
    Component,
    Flow,
    Frame,
    Info,
    Item,
    ItemError,
    Masker,
    Options,
    Reader,
    Sink,
    StyleRef,
    Stylizer,
    StylizerOptions,
    UsageError,
    Writer,
    option,
)
from stylepipe.media.images import ImageReader, ImageWriter
from stylepipe.media.video import VideoReader, VideoWriter
from stylepipe.plugins import PluginRecord, Plugins
from stylepipe.testing import (
    FlowContract,
    MaskerContract,
    PluginContract,
    ReaderContract,
    StylizerContract,
    WriterContract,
    context,
    scene,
)

# -- the bundled components ---------------------------------------------------------------------


@pytest.mark.skipif(not FastStylizer.styles(), reason="this checkout has no bundled styles")
class TestFast(StylizerContract):
    component = FastStylizer


@pytest.mark.skipif(not FastStylizer.styles(), reason="this checkout has no bundled styles")
class TestFastLight(StylizerContract):
    component = FastStylizer
    options: ClassVar = {"quality": "light"}


class TestDis(FlowContract):
    component = DisFlow


class TestAlphaMasks(MaskerContract):
    component = AlphaMasker


class TestMaskFiles(MaskerContract):
    component = FilesMasker
    sizes = ((64, 48), (32, 24), (4, 3))

    @pytest.fixture
    def made(self, make_photo):
        return FilesMasker(FilesMasker.Options(path=make_photo("mask.png", (64, 48), mode="L")))


class TestImageReader(ReaderContract):
    component = ImageReader


class TestDeepTransparentImages(ReaderContract):
    component = ImageReader

    @pytest.fixture
    def sample(self, make_photo):
        return make_photo("sample.png", depth=16, alpha=True)


class TestTurnedImages(ReaderContract):
    component = ImageReader

    @pytest.fixture
    def sample(self, make_photo):
        return make_photo("sample.jpg", (53, 37), orientation=6)


class TestVideoReader(ReaderContract):
    component = VideoReader

    @pytest.fixture
    def sample(self, make_clip):
        return make_clip("sample.mp4", frames=30, variable=True, sound=True, cut=17)


class TestImageWriter(WriterContract):
    component = ImageWriter
    suffixes = (".jpg", ".png", ".webp", ".tif", ".bmp", ".avif")


class TestVideoWriter(WriterContract):
    component = VideoWriter
    suffixes = (".mp4", ".mkv", ".webm")


# -- the media factories ------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_upright_once_their_orientation_is_applied(make_photo, orientation):
    path = make_photo("photo.png", (53, 37), orientation=orientation)
    with Image.open(path) as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored))
    assert np.array_equal(upright, scene(53, 37))


def test_deep_photos_hold_what_eight_bits_cannot(make_photo):
    cv2 = pytest.importorskip("cv2")
    pixels = cv2.imread(str(make_photo("deep.png", depth=16, alpha=True)), cv2.IMREAD_UNCHANGED)
    assert pixels.dtype == np.uint16 and pixels.shape == (64, 96, 4)
    assert len(np.unique(pixels % 257)) > 20


def test_clips_have_the_promised_times_size_and_sound(make_clip):
    av = pytest.importorskip("av")
    with av.open(str(make_clip(frames=9, rate=20, variable=True, sound=True))) as clip:
        assert (clip.streams.video[0].width, clip.streams.video[0].height) == (96, 64)
        assert clip.streams.audio[0].channels == 2
        times = [f.pts * f.time_base * 20 for f in clip.decode(video=0)]
    assert times == [0, 1, 3, 6, 7, 9, 12, 13, 15]


# -- the contracts must notice ------------------------------------------------------------------


class Wrong(Stylizer):
    """Does one of the things a stylizer must not do."""

    name = "wrong"
    caps = Caps(needs_style=False, batch=2)

    class Options(StylizerOptions):
        how: str = option("", "What to do wrong.")

    def stylize(self, batch):
        import torch

        images, how = batch.images, self.options.how
        if how == "smaller":
            return images[..., ::2]
        if how == "nan":
            return images / images.amax((1, 2, 3), keepdim=True)
        if how == "in place":
            return images.mul_(0.5)
        if how == "random":
            return images + torch.rand_like(images)
        if how == "mixes":
            return images.mean(0, keepdim=True).expand_as(images)
        if how == "signed":
            return 2 * images - 1
        if how == "remembers":
            before, self.before = getattr(self, "before", images), images
            return (images + before) / 2 if before.shape == images.shape else images
        return 1 - images


STYLIZER_FAULTS = {
    "smaller": "test_result_has_the_size_of_the_batch",
    "nan": "test_flat_pictures_stay_finite",
    "in place": "test_input_is_left_alone",
    "random": "test_same_input_same_result",
    "mixes": "test_frames_of_a_batch_do_not_mix",
    "signed": "test_values_lie_between_0_and_1",
    "remembers": "test_a_clip_after_another_is_painted_as_if_alone",
}


@pytest.mark.parametrize("how", ["", *STYLIZER_FAULTS])
def test_stylizer_contract_finds_what_is_wrong(how):
    contract = StylizerContract()
    StylizerContract.component, before = Wrong, getattr(StylizerContract, "component", None)
    try:
        for fault, check in STYLIZER_FAULTS.items():
            made = Wrong(Wrong.Options(how=how))
            if fault == how:
                with pytest.raises(AssertionError):
                    getattr(contract, check)(made)
            elif how == "":
                getattr(contract, check)(made)
    finally:
        if before is None:
            del StylizerContract.component


class Backwards(Flow):
    """Points from the second frame to the first."""

    name = "backwards"

    def flow(self, a, b):
        import torch

        height, width = a.pixels.shape[:2]
        return torch.zeros(1, 2, height, width) - torch.tensor([2.0, 0])[:, None, None] * b.index


def test_flow_contract_finds_a_wrong_direction():
    with pytest.raises(AssertionError, match="flow says"):
        FlowContract().test_points_from_the_first_frame_to_the_second(Backwards(Options()))


class Loud(Masker):
    """Returns 255 for white."""

    name = "loud"

    def mask(self, batch, frames):
        return batch.images[:, :1] * 255


def test_masker_contract_finds_a_wrong_range(tmp_path):
    class Contract(MaskerContract):
        component = Loud

    item = Item(0, tmp_path / "a.png", tmp_path, tmp_path / "b.png")
    with pytest.raises(AssertionError, match="white is 1"):
        Contract().test_planes_of_a_frame_are_between_0_and_1(Loud(Options()), item)


class TestReaderWithoutOptions(ReaderContract):
    component = NpyReader

    @pytest.fixture
    def sample(self, tmp_path):
        np.save(tmp_path / "sample.npy", scene(8, 6))
        return tmp_path / "sample.npy"

    def test_listing_imports_nothing_heavy(self):
        pytest.skip("the module of the fakes is for tests")

    def test_broken_files_are_told_in_one_sentence(self, opened, sample):
        pytest.skip("the fake tells of arrays only")


class TestWriterWithoutOptions(WriterContract):
    component = NpyWriter
    test_listing_imports_nothing_heavy = TestReaderWithoutOptions.test_listing_imports_nothing_heavy

    @pytest.fixture
    def reader(self):
        return NpyReader(Options())


def test_a_reader_whose_files_cannot_be_made_takes_a_sample(tmp_path):
    """Of samples that are given, the first with a suffix of the reader's."""
    module = tmp_path / "test_it.py"
    np.save(tmp_path / "mine.npy", scene(8, 6))
    head = (
        "from fakes import NpyReader\nfrom stylepipe.testing import ReaderContract\n"
        "class Test(ReaderContract):\n    component = NpyReader\n"
    )
    module.write_text(head + "    samples = [__import__('pathlib').Path('mine.npy').absolute()]\n")
    wanted = "test_it.py::Test::test_frames_are_what_the_probe_promised"
    assert pytest_in(tmp_path, wanted).returncode == 0
    module.write_text(head)
    done = pytest_in(tmp_path, wanted)
    assert done.returncode == 1 and ".npy cannot be made" in done.stdout
    assert "give a file by `samples`" in done.stdout


def pytest_in(folder, *args):
    env = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    env["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), env.get("PYTHONPATH", "")])
    call = [sys.executable, "-m", "pytest", "-q", "-p", "stylepipe.testing", *args]
    return subprocess.run(
        [*call, "-p", "no:cacheprovider"], cwd=folder, env=env, capture_output=True, text=True
    )


def test_writers_may_say_what_their_format_cannot_keep():
    frames = [Frame(scene(8, 6, k), None, k, k, Fraction(1, 25)) for k in range(3)]
    half = [Frame(scene(4, 3), None, 0, 0, Fraction(1, 25))]
    for missing in ("keeps_size", "keeps_count", "keeps_times"):
        switches = {name: name != missing for name in ("keeps_size", "keeps_count", "keeps_times")}
        contract = type("Contract", (WriterContract,), {"component": Careless, **switches})()
        with pytest.raises(AssertionError, match="mp4"):
            contract.check_kept(half, frames, ".mp4")
    honest = dict.fromkeys(switches, False) | {"component": Careless}
    type("Contract", (WriterContract,), honest)().check_kept(half, frames, ".mp4")


class Raw(Reader):
    """Reads raw RGB of 4x3 pixels; drops its place when it starts late, and breaks on anything."""

    name, kind, patterns = "raw", "image", (".raw",)

    def probe(self, path):
        size = len(path.read_bytes())
        return Info("image", "raw", 4, 3, size // 36)

    def frames(self, item, info, start=0):
        data = np.frombuffer(item.source.read_bytes(), np.uint8)
        for k, pixels in enumerate(data.reshape(-1, 3, 4, 3)):
            yield Frame(pixels, index=k)


@pytest.fixture
def raw(tmp_path):
    path = tmp_path / "sample.raw"
    path.write_bytes(scene(4, 3).tobytes() * 2)
    return path


class RawContract(ReaderContract):
    component = Raw


def test_reader_contract_finds_a_start_that_is_ignored(raw):
    RawContract().test_frames_are_what_the_probe_promised(Raw(Options()), raw)
    with pytest.raises(AssertionError, match="from 1"):
        RawContract().test_can_start_at_any_frame(Raw(Options()), raw)


def test_reader_contract_finds_errors_that_are_not_told(raw):
    with pytest.raises(FileNotFoundError):
        RawContract().test_broken_files_are_told_in_one_sentence(Raw(Options()), raw)


class Careless(Writer):
    """Counts frames instead of keeping their times, and leaves a file beside the result."""

    name, kind, patterns = "careless", "video", (".mp4",)

    def open_sink(self, item, info, path, work):
        return CarelessSink(item, info, path, work)


class CarelessSink(Sink):
    def __init__(self, item, info, path, work):
        writer = VideoWriter(VideoWriter.Options())
        writer.open(context())
        self.inner = writer.open_sink(item, info, path, work)
        self.path, self.count = path, 0

    def write(self, frame):
        self.inner.write(Frame(frame.pixels, None, frame.index, self.count, Fraction(1, 25), 1))
        self.count += 1

    def close(self):
        self.inner.close()
        self.path.with_suffix(".log").write_text("done")

    def abort(self):
        self.inner.abort()


class CarelessContract(WriterContract):
    component = Careless


def test_writer_contract_finds_lost_times(tmp_path):
    contract, reader = CarelessContract(), VideoReader(VideoReader.Options())
    with pytest.raises(AssertionError, match="mp4"):
        contract.test_results_have_size_count_and_times(Careless(Options()), tmp_path, reader)


def test_writer_contract_finds_litter(tmp_path):
    with pytest.raises(AssertionError, match=r"part\.log"):
        CarelessContract().test_only_the_given_path_appears(Careless(Options()), tmp_path)


def test_an_error_told_in_one_sentence_is_enough(raw):
    class Polite(Raw):
        def probe(self, path):
            if not path.is_file() or len(path.read_bytes()) % 36 or not path.stat().st_size:
                raise ItemError("is no raw picture")
            return super().probe(path)

    RawContract().test_broken_files_are_told_in_one_sentence(Polite(Options()), raw)


class Trusting(Stylizer):
    """Relies on the check to refuse styles that are not there."""

    name = "trusting"

    def prepare(self, styles):
        if not styles:
            raise UsageError("give a style")


def test_stylizer_contract_finds_what_prepare_lets_pass():
    contract = type("TrustingContract", (StylizerContract,), {"component": Trusting})()
    opened = Trusting(StylizerOptions())
    with pytest.raises(UsageError):
        opened.check([StyleRef("no-such-style", 1.0)])
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        contract.test_missing_and_unknown_styles_are_refused(opened)


class StripOptions(Options):
    first: int = option(0, "The first of the pictures.")


class StripReader(NpyReader):
    """Reads a folder of arrays as a clip."""

    name, kind, patterns = "strip", "video", ()
    Options = StripOptions

    def claims(self, folder):
        return folder.suffix == ".strip"

    def probe(self, path):
        files = sorted(path.glob("*.npy"))
        height, width = np.load(files[0]).shape[:2]
        return Info("video", "strip", width, height, len(files))

    def frames(self, item, info, start=0):
        for k, file in enumerate(sorted(item.source.glob("*.npy"))):
            if k >= start:
                yield Frame(np.load(file), None, k, k, Fraction(1, 25))


class TestFolderReader(ReaderContract):
    component = StripReader
    test_listing_imports_nothing_heavy = TestReaderWithoutOptions.test_listing_imports_nothing_heavy

    @pytest.fixture(autouse=True)
    def given(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("given") / "walk.strip"
        folder.mkdir()
        for k in range(3):
            np.save(folder / f"{k}.npy", scene(8, 6, k))
        self.samples = [folder]


def test_a_reader_and_a_writer_of_one_name_keep_their_own_contracts_and_options(monkeypatch):
    class StripWriter(NpyWriter):
        name = "strip"

    class OwnContract(WriterContract):
        pass

    record = PluginRecord("both", "", components=[StripReader, StripWriter])
    monkeypatch.setattr(Plugins, "record", lambda self, name: record)

    class Both(PluginContract):
        plugin = "stylepipe.media.plugin"
        options: ClassVar = {"strip": {"first": 1}}
        contracts: ClassVar = {"strip": OwnContract}

    assert issubclass(Both.TestReaderStrip, ReaderContract)
    assert issubclass(Both.TestWriterStrip, OwnContract)
    assert Both.TestReaderStrip.options == {"first": 1} and Both.TestWriterStrip.options == {}


def test_deep_photos_refuse_what_they_cannot_have(make_photo):
    for more in ({"orientation": 6}, {"mode": "L"}, {"quality": 3}):
        with pytest.raises(ValueError, match="depth=16"):
            make_photo("deep.png", depth=16, **more)


def test_results_depend_on_each_file_of_an_option_that_repeats():
    class Mapped(Options):
        maps: tuple[Path, ...] = option((), "Maps.")
        palette: Path | None = option(None, "Colors.")
        name: str = option("x", "A word.")

    component = Component(Mapped(maps=("a", "b"), palette="c"))
    assert component.files() == [Path("a"), Path("b"), Path("c")]
