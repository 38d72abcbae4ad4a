"""Strength 0: every picture is the source's, bit for bit, and no network is loaded or run."""

from pathlib import Path

import fakes
import numpy as np
import pytest
from fakes import array, settings

from stylepipe import Caps, Flow, Masker, Temporal
from stylepipe.job import Job
from stylepipe.pipeline import run
from stylepipe.report import Report


def never(self, *args, **kwargs):
    raise AssertionError("a network was wanted")


class Mask(Masker):
    name, open, mask, check_item = "mask", never, never, never


class Motion(Flow):
    name, open, flow = "motion", never, never


class Method(Temporal):
    name, open, motion, guide = "method", never, never, never


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    for method in ("open", "prepare", "reset", "stylize"):
        monkeypatch.setattr(fakes.Negative, method, never)


@pytest.mark.parametrize("strength", ["blend", "native"])
def test_nothing_is_painted_and_all_is_kept(tmp_path, monkeypatch, capsys, strength):
    monkeypatch.setattr(fakes.Negative, "caps", Caps(needs_style=False, strength=strength))
    folder = tmp_path / "photos"
    folder.mkdir()
    sources = {
        "plain": array(),
        "deep": array(dtype=np.uint16, seed=1),
        "hidden": np.dstack([array(seed=2), np.zeros((6, 8), np.uint8)]),
        "clip": np.stack([array(seed=i) for i in range(4)]),
    }
    for name, pixels in sources.items():
        np.save(folder / f"{name}.npy", pixels)
    method = Method(Method.Options(), Motion(Motion.Options()))
    chosen = settings(Mask(Mask.Options()), method, strength=0, keep_colors=True)
    job = Job((folder,), Path(tmp_path / "out"), chosen, device="cpu")
    report = run(job, fakes.Plugins(), Report())
    assert report.counts == {"done": 4}, report.failures
    for name, pixels in sources.items():
        result = np.load(tmp_path / "out" / f"{name}.npy")
        np.testing.assert_array_equal(result, pixels)
        assert result.dtype == pixels.dtype
    assert capsys.readouterr().err.count("strength is 0: nothing is painted") == 1
