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


def test_a_stopped_run_goes_on_after_the_rows_it_has(benchmark, tmp_path, capsys):
    kept = tmp_path / "rows.txt"
    rows = benchmark.Rows(kept, "24 frames")
    for row in ("street fast alone 1", "street fast video-smooth 2", "bird fast alone 3"):
        rows.add(row)
    assert capsys.readouterr().out.count("\n") == 3, "they are printed, too"
    again = benchmark.Rows(kept, "24 frames")
    presets = ["alone", "video-smooth"]
    assert [row[-1] for row in again.known("street", "fast", presets)] == ["1", "2"]
    assert again.known("bird", "fast", presets) == [], "it was stopped in between"
    assert again.known("street", "adain", presets) == []
    with pytest.raises(SystemExit, match=r"rows of other settings \(24 frames\): name another"):
        benchmark.Rows(kept, "12 frames")
