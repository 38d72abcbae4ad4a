"""Frames are counted as users count them: by the numbers of their pictures, else from 1."""

import csv
from fractions import Fraction

import numpy as np
import pytest
from clips import Log, item_for, picture
from PIL import Image

from stylepipe import Frame, Info, ItemError
from stylepipe.cli import main
from stylepipe.media.video import VideoWriter


@pytest.mark.parametrize(
    ("frame", "number"),
    [({"index": 0}, 1), ({"index": 4, "name": "shot_0107"}, 107), ({"index": 4, "name": "x"}, 5)],
)
def test_the_number_of_a_frame(frame, number):
    assert Frame(np.zeros((2, 2, 3), np.uint8), **frame).number == number


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pixels": picture(0, 32, 48)}, "frame 2 has 32x48 pixels in a clip of 64x48"),
        ({"pts": 0}, "frame 2 is not later than the frame before it"),
        ({"pts": 0, "name": "fr_0012"}, "frame 12 is not later than the frame before it"),
    ],
)
def test_the_writer_of_films_names_frames_by_their_numbers(tmp_path, change, words):
    writer = VideoWriter(VideoWriter.Options())
    writer.open(Log())
    info = Info("video", "fake", 64, 48, 2, rate=Fraction(25))
    path = tmp_path / "out.mkv"
    sink = writer.open_sink(item_for(tmp_path / "in.mkv", path), info, path, tmp_path)
    sink.write(Frame(picture(0), None, 0, 0, Fraction(1, 25)))
    second = {"pixels": picture(1), "index": 1, "pts": 1, "time_base": Fraction(1, 25), **change}
    with pytest.raises(ItemError, match=words):
        sink.write(Frame(**second))
    sink.abort()


def test_the_table_of_measure_numbers_frames_as_their_pictures(tmp_path):
    for folder in ("source", "result"):
        (tmp_path / folder).mkdir()
        for number in (11, 12, 13):
            Image.fromarray(picture(number)).save(tmp_path / folder / f"fr_{number}.png")
    table = tmp_path / "frames.csv"
    films = [str(tmp_path / "source"), str(tmp_path / "result")]
    assert main.run(["measure", *films, "--fps", "25", "--csv", str(table)]) == 0
    with table.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["film"].endswith("result")]
    assert [row["frame"] for row in rows] == ["11", "12", "13"]
