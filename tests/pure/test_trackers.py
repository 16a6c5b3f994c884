"""Pins trackers: each optimizer step once, in order, after the driver's own report; a tracker that raises is left out."""

import logging
import sys
from types import ModuleType
from typing import Any

import pytest

from engine.run import trackers
from engine.run.trackers import tracked
from engine.run.work import Progress
from engine.train.job import StepRecord
from engine.train.step import progress_of


class Toy:
    """What a tracker's module holds."""

    def __init__(self, run_uri: str, config: dict[str, Any]) -> None:
        self.run_uri, self.config = run_uri, config
        self.steps: list[tuple[str, int, float]] = []
        self.closed = False

    def report(self, progress: Progress) -> None:
        if progress.metrics:
            self.steps.append((progress.step, progress.done, progress.metrics["loss"]))
        if progress.done == 3 and self.config.get("breaks"):
            raise OSError("the dashboard is away")

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> list[Toy]:
    """The toy trackers that were started; the name "toy" starts one."""
    started: list[Toy] = []
    module = ModuleType("toy_tracker")
    module.track = lambda run_uri, config: started.append(Toy(run_uri, config)) or started[-1]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toy_tracker", module)
    monkeypatch.setitem(trackers.TRACKERS, "toy", "toy_tracker")
    return started


def progresses() -> list[Progress]:
    records = [
        StepRecord(step=step, num_steps=4, loss=1 / step, learning_rate=1e-3, gradient_norm=0.5, tokens=40, seconds=0.1)
        for step in (1, 2, 3, 4)
    ]
    return [Progress(step="c/train", unit="", done=0, total=0), *(progress_of("c/train", record) for record in records)]


def test_a_tracker_gets_every_step_once(toys: list[Toy]) -> None:
    reported: list[Progress] = []
    with tracked(["toy"], "runs/a", {"seed": 1}, reported.append) as report:
        for progress in progresses():
            report(progress)
    assert reported == progresses()
    assert toys[0].steps == [("c/train", 1, 1.0), ("c/train", 2, 0.5), ("c/train", 3, 1 / 3), ("c/train", 4, 0.25)]
    assert (toys[0].run_uri, toys[0].config, toys[0].closed) == ("runs/a", {"seed": 1}, True)


def test_a_tracker_that_raises_is_left_out(toys: list[Toy], caplog: pytest.LogCaptureFixture) -> None:
    reported: list[Progress] = []
    with caplog.at_level(logging.WARNING), tracked(["toy"], "runs/a", {"breaks": True}, reported.append) as report:
        for progress in progresses():
            report(progress)
    assert len(reported) == 5
    assert [step for _, step, _ in toys[0].steps] == [1, 2, 3]
    assert caplog.messages == ["tracker toy is left out from here on: OSError: the dashboard is away"]


@pytest.mark.parametrize(
    ("module", "reason"),
    [("no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"), ("broken_tracker", "OSError: no network")],
)
def test_a_tracker_that_does_not_start_is_left_out(
    toys: list[Toy], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, module: str, reason: str
) -> None:
    def track(run_uri: str, config: dict[str, Any]) -> Toy:
        raise OSError("no network")

    broken = ModuleType("broken_tracker")
    broken.track = track  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "broken_tracker", broken)
    monkeypatch.setitem(trackers.TRACKERS, "broken", module)
    reported: list[Progress] = []
    with caplog.at_level(logging.WARNING), tracked(["broken", "toy"], "runs/a", {}, reported.append) as report:
        for progress in progresses():
            report(progress)
    assert reported == progresses()
    assert len(toys[0].steps) == 4
    assert caplog.messages == [f"tracker broken is left out from here on: {reason}"]


def test_an_unknown_tracker_is_refused() -> None:
    with pytest.raises(ValueError, match=r"run\.trackers: no tracker 'wandb'; known are none"), tracked(["wandb"], "", {}, print):
        pass
