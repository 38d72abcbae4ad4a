"""What a training says of itself: how far it is, how long it took, and what its file keeps."""

import torch
from safetensors.torch import save_file

from stylepipe.nst.files import add_metadata, read_metadata
from stylepipe.nst.training.loop import Progress
from stylepipe.training import Pace


def step(number, steps=1000, fraction=None):
    return Progress(number, steps, number / steps if fraction is None else fraction, {"loss": 1.5})


def test_a_line_a_minute_says_how_far_it_is():
    pace = Pace(1000)
    lines = [pace.line(step(n), 10.0 * n) for n in range(1, 15)]
    said = [line for line in lines if line]
    assert said == [
        "step 7 of 1000, loss 1.500, 2 h 50 min left",
        "step 13 of 1000, loss 1.500, 2 h 40 min left",
    ]


def test_a_training_that_follows_the_clock_names_no_sum_of_steps():
    pace = Pace(None)
    assert pace.line(step(1, fraction=0.1), 0.0) is None
    assert pace.line(step(9, fraction=0.4), 90.0) == "step 9, loss 1.500, 3 min left"


def test_a_training_that_went_back_says_no_time():
    pace = Pace(1000)
    pace.line(step(50), 0.0)
    assert pace.line(step(50), 61.0) == "step 50 of 1000, loss 1.500"


def test_strings_are_added_to_a_file_whose_tensors_stay(tmp_path):
    from safetensors.torch import load_file

    path = tmp_path / "style.safetensors"
    tensors = {"b": torch.arange(5.0), "a": torch.ones(3, dtype=torch.float16)}
    save_file(tensors, path, {"license": "CC0"})
    add_metadata(path, seconds="12.5")
    assert read_metadata(path) == {"license": "CC0", "seconds": "12.5"}
    found = load_file(path)
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
