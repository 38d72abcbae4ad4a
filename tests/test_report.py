"""What a run tells while a stylizer takes long over a picture."""

import json
from pathlib import Path
from typing import Any

import pytest
import tqdm

from stylepipe import Info, Item, Outcome, report
from stylepipe.report import Report

A, B = (Item(k, Path(f"in/{n}.jpg"), Path("in"), Path(f"out/{n}.jpg")) for k, n in enumerate("ab"))
INFO = Info("image", "jpeg", 8, 8)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds; the last entry is now."""
    seconds = [100.0]
    monkeypatch.setattr(report.time, "perf_counter", lambda: seconds[-1])
    return seconds


def test_progress_is_an_event_once_a_second(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    told = Report(json=True, quiet=True)
    told.item_start(A, INFO, 0)
    for step in range(12):
        told.progress(step / 12, f"step {step}")
        clock.append(clock[-1] + 0.25)
    told.item_start(B, INFO, 0)
    told.progress(1 / 3, "of the next")
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    events = [e for e in events if e["event"] == "progress"]
    assert [(Path(e["source"]).name, e["text"]) for e in events] == [
        ("a.jpg", "step 0"), ("a.jpg", "step 4"), ("a.jpg", "step 8"), ("b.jpg", "of the next"),
    ]  # fmt: skip
    assert events[1]["share"] == pytest.approx(1 / 3, abs=1e-3)


def test_without_json_nothing_is_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    told = Report(bars=False)
    told.item_start(A, INFO, 0)
    told.progress(0.5, "half")
    assert capsys.readouterr() == ("", "")


def test_the_bar_of_a_picture_outlives_the_end_of_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Bar(tqdm.tqdm):  # type: ignore[type-arg]
        shown: list["Bar"] = []  # noqa: RUF012

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.shown.append(self)

    told = Report(bars=True)
    told.item_start(A, INFO, 0)
    monkeypatch.setattr(tqdm, "tqdm", Bar)
    told.progress(1.0, "all")
    told.item_start(B, INFO, 0)
    told.progress(0.2, "begun")
    told.item_done(A, Outcome("done"))
    told.progress(0.4, "going on")
    assert len(Bar.shown) == 2 and Bar.shown[1].n == pytest.approx(0.4)
    told.item_done(B, Outcome("failed", "for some reason"))
    told.item_start(A, INFO, 0)
    told.progress(0.1, "another")
    assert len(Bar.shown) == 3, "what failed takes its bar along"
    told.job_done()
