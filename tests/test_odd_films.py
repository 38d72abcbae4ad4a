"""Films that are odd: of one frame, of the same frame, black, without a length; with and without a
temporal method."""

import av
import numpy as np
import pytest
from clips import make_clip, picture, read

from stylepipe.cli import main

FADE = '''
from stylepipe import Caps, Stylizer, StylizerOptions, hookimpl


class Fade(Stylizer):
    """Halfway to the negative."""

    name, caps = "fade", Caps(needs_style=False)
    Options = StylizerOptions

    def stylize(self, batch):
        return 0.75 - batch.images / 2


@hookimpl
def stylepipe_components():
    return [Fade]
'''


@pytest.fixture
def fade(tmp_path, monkeypatch, capsys):
    """Paint; returns exit code and stderr."""
    (tmp_path / "fade.py").write_text(FADE)
    monkeypatch.chdir(tmp_path)

    def call(*args: object) -> tuple[int, str]:
        code = main.run(["fade", *map(str, args), "--plugin", "fade.py"])
        return code, capsys.readouterr().err

    return call


@pytest.mark.parametrize("temporal", ["none", "warp"])
@pytest.mark.parametrize(
    "pictures",
    [[picture(0)], [picture(3)] * 12, [np.zeros((48, 64, 3), np.uint8)] * 6],
    ids=["one frame", "identical frames", "black frames"],
)
def test_the_result_has_as_many_frames_and_none_is_broken(fade, tmp_path, pictures, temporal):
    times = tuple(range(0, 40 * len(pictures), 40))
    make_clip(tmp_path / "in.mkv", times, pictures=pictures, codec="ffv1", pix_fmt="bgr0")
    code, err = fade("in.mkv", "-o", "out.mkv", "--temporal", temporal, "--codec", "ffv1")
    assert code == 0, err
    _, frames = read(tmp_path / "out.mkv")
    assert len(frames) == len(pictures)
    expected = np.rint(0.75 * 255 - pictures[0] / 2.0)
    for frame in frames:
        assert abs(frame.pixels - expected).max() <= 2


def test_a_film_without_a_length_is_painted_and_tried_all_the_same(fade, tmp_path):
    make_clip(tmp_path / "in.mp4", tuple(range(0, 400, 40)))
    with (
        av.open(str(tmp_path / "in.mp4")) as source,
        av.open(str(tmp_path / "raw.h264"), "w", format="h264") as raw,
    ):
        stream = raw.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                raw.mux(packet)
    code, err = fade("raw.h264", "-o", "out.mp4")
    assert code == 0, err
    assert len(read(tmp_path / "out.mp4")[1]) == 10
    code, err = fade("raw.h264", "-o", "try", "--frames", 3)
    assert code == 0, err
    names = sorted(p.name for p in (tmp_path / "try" / "raw-3-frames").iterdir())
    assert names == ["raw_000001.png", "raw_000005.png", "raw_000010.png"]
    code, err = fade("raw.h264", "-o", "out2.mp4", "--dry-run")
    assert code == 0, err


def test_a_film_of_one_frame_is_tried(fade, tmp_path):
    make_clip(tmp_path / "in.mp4", (0,))
    for args in (["--frames", 6], ["--every", "2s"], ["--every", 50]):
        code, err = fade("in.mp4", "-o", "try", *args)
        assert code == 0, err
    assert sum(1 for _ in (tmp_path / "try").rglob("in_000001.png")) == 3


def test_a_temporal_method_for_photos_alone_is_refused_in_a_sentence(fade, tmp_path):
    from PIL import Image

    Image.new("RGB", (30, 20)).save(tmp_path / "photo.png")
    code, err = fade("photo.png", "-o", "out", "--temporal", "warp")
    assert code == 2 and "--temporal warp keeps the frames of a film alike" in err
    assert not (tmp_path / "out").exists()
