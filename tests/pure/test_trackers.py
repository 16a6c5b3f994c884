"""Pins trackers: each optimizer step and each seal once, in order; how the command ended; one that raises or hangs is left out."""

import logging
import sys
import threading
import time
from types import ModuleType

import pytest

from builders import a_seal
from engine.config import Run, RunConfig
from engine.run import trackers
from engine.run.seals import Seal
from engine.run.trackers import TrackedRun, tracked
from engine.run.work import Progress
from engine.store.files import Store
from engine.train.job import StepRecord
from engine.train.step import progress_of


def a_run(name: str = "a") -> TrackedRun:
    return TrackedRun.of(RunConfig(), Store(f"memory://runs/{name}"))


class Toy:
    """What a tracker's module holds."""

    def __init__(self, run: TrackedRun) -> None:
        self.run = run
        self.steps: list[tuple[str, int, float]] = []
        self.seals: list[str] = []
        self.closed = False
        self.error: BaseException | None = None

    def report(self, progress: Progress) -> None:
        if progress.metrics:
            self.steps.append((progress.step, progress.done, progress.metrics["loss"]))
        if progress.done == 3 and self.run.name == "breaks":
            raise OSError("the dashboard is away")

    def sealed(self, seal: Seal) -> None:
        self.seals.append(seal.step)

    def close(self, error: BaseException | None) -> None:
        self.closed, self.error = True, error


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> list[Toy]:
    """The toy trackers that were started; the name "toy" starts one."""
    started: list[Toy] = []
    module = ModuleType("toy_tracker")
    module.track = lambda run: started.append(Toy(run)) or started[-1]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toy_tracker", module)
    monkeypatch.setitem(trackers.TRACKERS, "toy", "toy_tracker")
    return started


def progresses() -> list[Progress]:
    records = [
        StepRecord(step=step, num_steps=4, loss=1 / step, learning_rate=1e-3, gradient_norm=0.5, tokens=40, seconds=0.1)
        for step in (1, 2, 3, 4)
    ]
    return [Progress(step="c/train", unit="", done=0, total=0), *(progress_of("c/train", record) for record in records)]


def test_a_tracker_is_told_no_signature() -> None:
    config = RunConfig.model_validate({"data": {"manifest": "https://ann:pw@h/clips.csv?X-Amz-Signature=f3"}})
    run = TrackedRun.of(config, Store("memory://runs/a"))
    assert run.config["data"]["manifest"] == "https://***@h/clips.csv?***"
    assert run.config["run"] == config.run.model_dump(mode="json")


def test_a_tracker_gets_every_step_once(toys: list[Toy]) -> None:
    reported: list[Progress] = []
    with tracked(["toy"], a_run(), reported.append) as trackers_of_run:
        for progress in progresses():
            trackers_of_run.report(progress)
        trackers_of_run.sealed(a_seal("c/train"))
    assert reported == progresses()
    assert (toys[0].seals, toys[0].error) == (["c/train"], None)
    assert toys[0].steps == [("c/train", 1, 1.0), ("c/train", 2, 0.5), ("c/train", 3, 1 / 3), ("c/train", 4, 0.25)]
    assert (toys[0].run.name, toys[0].closed) == ("a", True)


def test_a_tracker_that_raises_is_left_out(toys: list[Toy], caplog: pytest.LogCaptureFixture) -> None:
    reported: list[Progress] = []
    with caplog.at_level(logging.WARNING), tracked(["toy"], a_run("breaks"), reported.append) as trackers_of_run:
        for progress in progresses():
            trackers_of_run.report(progress)
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
    def track(run: TrackedRun) -> Toy:
        raise OSError("no network")

    broken = ModuleType("broken_tracker")
    broken.track = track  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "broken_tracker", broken)
    monkeypatch.setitem(trackers.TRACKERS, "broken", module)
    reported: list[Progress] = []
    with caplog.at_level(logging.WARNING), tracked(["broken", "toy"], a_run(), reported.append) as trackers_of_run:
        for progress in progresses():
            trackers_of_run.report(progress)
    assert reported == progresses()
    assert len(toys[0].steps) == 4
    assert caplog.messages == [f"tracker broken is left out from here on: {reason}"]


def test_an_unknown_tracker_is_refused() -> None:
    with (
        pytest.raises(ValueError, match=r"run\.trackers: no tracker 'comet'; known are tensorboard, mlflow, wandb, trackio, open"),
        tracked(["comet"], a_run(), print),
    ):
        pass


def test_a_tracker_learns_what_ended_the_command(toys: list[Toy]) -> None:
    error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt), tracked(["toy"], a_run(), lambda progress: None):
        raise error
    assert toys[0].error is error


def test_a_tracker_that_hangs_costs_the_end_of_a_command_a_bounded_time(
    toys: list[Toy], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    released = threading.Event()
    monkeypatch.setattr(trackers, "CLOSE_S", 0.2)
    monkeypatch.setattr(Toy, "report", lambda toy, progress: released.wait(30))
    began = time.monotonic()
    with caplog.at_level(logging.WARNING), tracked(["toy"], a_run(), lambda progress: None) as trackers_of_run:
        for progress in progresses():
            trackers_of_run.report(progress)
        assert time.monotonic() - began < 0.2
    assert time.monotonic() - began < 5
    assert caplog.messages == ["tracker toy has not taken everything within 0 s after the end"]
    released.set()


def test_a_tracker_that_is_too_far_behind_is_left_out(
    toys: list[Toy], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    released = threading.Event()
    monkeypatch.setattr(trackers, "WAITING", 3)
    monkeypatch.setattr(Toy, "report", lambda toy, progress: released.wait(30))
    with caplog.at_level(logging.WARNING), tracked(["toy"], a_run(), lambda progress: None) as trackers_of_run:
        for progress in progresses() * 2:
            trackers_of_run.report(progress)
    released.set()
    assert caplog.messages == ["tracker toy is left out from here on: it is 3 events behind"]


def test_the_id_of_a_run_follows_from_what_it_is_and_where() -> None:
    config = RunConfig()
    faster = config.model_copy(update={"limits": config.limits.model_copy(update={"failure_rate": 0.5})})
    other = config.model_copy(update={"run": Run(seed=7)})
    here, there = Store("memory://runs/a"), Store("memory://runs/b")
    ids = [TrackedRun.of(*pair).id for pair in [(config, here), (faster, here), (other, here), (config, there)]]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert ids[0].startswith("starloop-")
