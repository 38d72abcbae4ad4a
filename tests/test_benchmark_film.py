"""The known motions of the benchmark of films are what it says."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from test_temporal import texture

SCRIPT = Path(__file__).parent / "benchmarks" / "film.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("film", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_films_that_move_as_known_have_no_error(benchmark):
    still = texture(1)
    frames, back = benchmark.panned(still, 5)
    assert benchmark.ideal_error(frames, back) == 0
    frames, back = benchmark.zoomed(still, 5)
    assert benchmark.ideal_error(frames, back) < 0.5, "rounding"


def test_films_that_stay_or_change_have_one(benchmark):
    still = texture(1) // 2
    frames, back = benchmark.panned(still, 5)
    assert benchmark.ideal_error([still] * 5, back) > 20
    brighter = [frames[0], *(frame + np.uint8(10) for frame in frames[1:])]
    assert benchmark.ideal_error(brighter, back) == pytest.approx(10)
    frames, back = benchmark.zoomed(still, 5)
    assert benchmark.ideal_error([still] * 5, back) > 5


def test_a_sheet_shows_each_cell_as_it_is(benchmark):
    cells = [np.full((20, 90, 3), value, np.uint8) for value in (40, 80)]
    sheet = np.asarray(benchmark.sheet({"source": cells, "painted": cells[::-1]}, [1, 5]))
    assert sheet.shape == (2 * 36, 180, 3)
    assert (sheet[16:36, :90] == 40).all() and (sheet[52:72, :90] == 80).all()
    assert (sheet[:16] < 128).any(), "its label"
