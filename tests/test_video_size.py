"""Film whose pictures change size on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clips import Log, convert, item_for, make_clip, picture, read

from stylepipe.cli import main
from stylepipe.media.video import VideoReader

FIRST, SECOND = (64, 48), (96, 72)


@pytest.fixture
def changing(tmp_path):
    """Fifteen frames of 64x48, fifteen of 96x72, three of 64x48."""
    parts = [
        make_clip(tmp_path / f"{n}.h264", range(0, 40 * count, 40), size=size).read_bytes()
        for n, (size, count) in enumerate([(FIRST, 15), (SECOND, 15), (FIRST, 3)])
    ]
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(parts))
    return path


def test_a_size_that_changes_is_scaled_to_the_first_and_told_once(tmp_path, changing):
    log = Log()
    convert(changing, tmp_path / "out.mp4", log)
    info, frames = read(tmp_path / "out.mp4")
    assert (info.width, info.height, len(frames)) == (*FIRST, 33)
    assert [line for line in log.lines if "96x72" in line] == [
        "both.h264: the picture becomes 96x72 at 0:00.600: scaled to 64x48, the size it began with"
    ]
    wanted = picture(0, *FIRST).astype(int)
    for number in (0, 15, 30):  # each part begins anew
        assert np.abs(frames[number].pixels - wanted).mean() < 5


def test_a_start_after_the_change_still_means_the_size_of_the_file(changing):
    reader = VideoReader(VideoReader.Options(start="0.8"))
    info = reader.probe(changing)
    frames = list(reader.frames(item_for(changing, changing), info))
    assert (info.width, info.height) == FIRST
    assert {f.pixels.shape for f in frames} == {(48, 64, 3)}


def test_the_line_reaches_the_user(tmp_path, changing, capsys):
    pytest.importorskip("torch")
    plugin = Path(__file__).parents[1] / "examples" / "posterize.py"
    argv = ["posterize", str(changing), "-o", str(tmp_path / "out.mp4"), "--plugin", str(plugin)]
    assert main.run(argv) == 0
    assert "becomes 96x72 at 0:00.600" in capsys.readouterr().err
