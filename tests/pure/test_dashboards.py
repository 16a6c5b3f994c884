"""Pins what dashboards are told: each point once, also after a kill; answers of a generate step; TensorBoard's file is sound."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

from builders import a_seal
from engine.run.collected import note_collected
from engine.run.dashboards import events, tensorboard
from engine.run.dashboards.answers import sampled
from engine.run.dashboards.dashboard import Dashboard
from engine.run.dashboards.histories import History
from engine.run.dashboards.points import Point, Points
from engine.run.trackers import tracked
from engine.store.files import Store
from tracked import EXPECTED, LOSSES, a_store, a_tracked_run, finetune, seals, tell


class Service:
    """Keeps what it is sent; a second one of the same run begins where the first one ended."""

    def __init__(self, before: "Service | None" = None) -> None:
        self.points: list[Point] = before.points if before else []
        self.tables: list[str] = before.tables if before else []
        self.models: dict[str, str] = before.models if before else {}
        self.closed = False

    def latest(self) -> dict[str, int]:
        return {point.name: point.step for point in self.points}

    def send(self, points: Sequence[Point]) -> None:
        self.points += points

    def show(self, name: str, rows: Sequence[tuple[str, ...]]) -> None:
        self.tables.append(name)

    def refer(self, name: str, uri: str) -> None:
        self.models[name] = uri

    def close(self, error: BaseException | None) -> None:
        self.closed = True

    def curves(self) -> dict[str, list[tuple[int, float]]]:
        curves = defaultdict[str, list[tuple[int, float]]](list)
        for point in self.points:
            curves[point.name].append((point.step, point.value))
        return curves


def test_a_dashboard_gets_curves_answers_and_the_models_uri(tmp_path: Path) -> None:
    store, service = a_store(tmp_path), Service()
    dashboard = Dashboard(service, a_tracked_run(tmp_path))
    tell(dashboard, store)
    dashboard.close(None)
    curves = service.curves()
    assert {name: curves[name] for name in EXPECTED} == EXPECTED
    assert curves["heldout/accuracy_low"] == [(0, 0.0), (1, 0.5)]
    assert curves["train/learning_rate"] == [(1, 1e-3), (2, 1e-3), (3, 1e-3)]
    assert service.tables == ["answers/cycle-000-generate"]
    assert service.models == {"cycle-000-train": f"{tmp_path}/cycle-000/train/model"}
    assert service.closed


def test_a_command_that_continues_sends_nothing_twice(tmp_path: Path) -> None:
    """The first one is killed in the finetune; the second one repeats a step of it, and is told of the seals before."""
    store, first = a_store(tmp_path), Service()
    before, after = seals(store)[:3], seals(store)[3:]
    dashboard = Dashboard(first, a_tracked_run(tmp_path, before))
    for progress in finetune()[:2]:
        dashboard.report(progress)
    dashboard._send()
    second = Service(first)
    dashboard = Dashboard(second, a_tracked_run(tmp_path, before))
    for progress in finetune(first=2):
        dashboard.report(progress)
    for seal in after:
        dashboard.sealed(seal)
    dashboard.close(None)
    curves = second.curves()
    assert {name: curves[name] for name in EXPECTED} == EXPECTED
    assert second.tables == ["answers/cycle-000-generate"]


def test_a_tracker_that_comes_later_gets_what_was_sealed_before(tmp_path: Path) -> None:
    store, service = a_store(tmp_path), Service()
    Dashboard(service, a_tracked_run(tmp_path, seals(store)))
    assert {name: service.curves()[name] for name in EXPECTED} == EXPECTED


def test_optimizer_steps_are_counted_over_cycles() -> None:
    points = Points()
    points.of_seal(a_seal("cycle-000/train", losses=LOSSES))
    later = points.of_seal(a_seal("cycle-001/train", losses=[0.125, None]))
    assert [point for point in later if point.name == "train/loss"] == [Point("train/loss", 4, 0.125)]
    assert points.of_seal(a_seal("ingest")) == []


def test_answers_are_the_same_in_every_run(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    generated = seals(store)[1]
    rows = sampled(store, generated, seed=3)
    assert rows == sampled(store, generated, seed=3)
    assert [row[:2] for row in rows] == [("kept", "direct")] * 4 + [("dropped", "label_missing")] * 4
    assert rows[0][3:] == ("rising", "It is rising.")


def test_answers_that_gc_deleted_are_not_shown(tmp_path: Path) -> None:
    store, service = a_store(tmp_path), Service()
    note_collected(store, "cycle-000/generate", ["cycle-000/generate/pieces"])
    store.delete("cycle-000/generate/pieces")
    Dashboard(service, a_tracked_run(tmp_path, seals(store)))
    assert (service.tables, service.curves()["generate/yield"]) == ([], [(0, 0.5)])


def test_a_note_says_what_a_history_was_sent(tmp_path: Path) -> None:
    rows: list[dict[str, float]] = []
    store = Store(str(tmp_path))
    history = History(store, "wandb", rows.append)
    assert history.latest() == {}
    history.send([Point("train/loss", 7, 0.5), Point("train/tokens", 7, 40.0)])
    assert rows == [{"optimizer_step": 7, "train/loss": 0.5, "train/tokens": 40.0}]
    assert History(store, "wandb", rows.append).latest() == {"train/loss": 7, "train/tokens": 7}


@pytest.mark.parametrize("uri", ["{folder}", "memory://tensorboard/{name}"])
def test_tensorboards_file_is_continued_and_a_torn_end_is_cut_off(tmp_path: Path, uri: str) -> None:
    store = Store(uri.format(folder=tmp_path / "here", name=tmp_path.name))
    first = tensorboard.EventFile(store)
    assert first.latest() == {}
    first.send([Point("train/loss", 1, 1.0), Point("zero", 0, 0.0)])
    first.close(None)
    whole = store.read(tensorboard.PATH)
    assert whole is not None
    store.write(tensorboard.PATH, whole + events.scalar("train/loss", 2, 0.5, 0.0)[:-3])  # as a killed command leaves it
    second = tensorboard.EventFile(store)
    assert second.latest() == {"train/loss": 1, "zero": 0}
    second.send([Point("train/loss", 2, 0.25)])
    second.close(None)
    content = store.read(tensorboard.PATH)
    assert content is not None
    assert content.startswith(whole)
    end, latest = events.latest_steps(content)
    assert (end, latest) == (len(content), {"train/loss": 2, "zero": 0})


def test_a_record_that_was_changed_ends_what_is_read_of_a_file() -> None:
    first, second = events.scalar("a", 1, 0.5, 0.0), bytearray(events.scalar("b", 2, 0.5, 0.0))
    second[-6] ^= 1
    assert events.latest_steps(first + bytes(second)) == (len(first), {"a": 1})


def test_the_shipped_tracker_writes_into_the_runs_folder(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    with tracked(["tensorboard"], a_tracked_run(tmp_path), lambda progress: None) as trackers:
        tell(trackers, store)
    _, latest = events.latest_steps(store.read(tensorboard.PATH) or b"")
    assert latest["train/loss"] == 3
    assert "answers/cycle-000-generate/text_summary" in latest
