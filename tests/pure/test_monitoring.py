"""Pins one table of metrics: files, queries and reports have its names alone, series are few, and idle seconds add up."""

import re
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.metrics.alerts import RUNBOOK, alerts
from engine.metrics.board import MOST_SERIES, Board
from engine.metrics.clock import WorkClock, Worked
from engine.metrics.endpoint import serving
from engine.metrics.files import files
from engine.metrics.idle import IdleAccount, Pool
from engine.metrics.panels import DASHBOARD
from engine.metrics.table import CAUSES, CLIPS, LOSS, METRICS, PIECES
from prometheus import free_port

ROOT = Path(__file__).parents[2]
QUERIES = [alert.query for alert in alerts()] + [query.text for row in DASHBOARD for panel in row.panels for query in panel.queries]
STEP = {"run": "first", "cycle": "0", "step": "generate", "pool": "generate"}


@pytest.mark.parametrize("path", files())
def test_the_committed_files_are_what_the_tables_say(path: str) -> None:
    assert (ROOT / path).read_text() == files()[path], "run `make monitoring`"


def test_each_alert_has_its_chapter_in_the_runbook() -> None:
    chapters = re.findall(r"^### (.*)$", (ROOT / RUNBOOK).read_text(), re.MULTILINE)
    assert {alert.anchor for alert in alerts()} <= {chapter.lower() for chapter in chapters}


def test_queries_have_the_tables_names_and_each_metric_is_shown() -> None:
    named = {name for query in QUERIES for name in re.findall(r"\w*starloop_\w+", query)}
    assert named == {metric.series for metric in METRICS}


def test_names_and_labels_are_ones_that_ray_and_prometheus_take() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"starloop_[a-z][a-z0-9_]*", metric.name)
        assert not metric.name.endswith("_total"), "Ray adds it"
        assert metric.pool in ("head", "decode", "generate", "train")
        assert not {"clip", "clip_id", "video", "uri", "piece"} & set(metric.labels)


def test_a_label_without_end_becomes_other() -> None:
    board = Board()
    for number in range(MOST_SERIES + 50):
        board.add(CLIPS, STEP | {"outcome": "dropped", "reason": f"reason-{number}"}, 1)
    values = {labels: value for (_, labels), value in board.values().items()}
    assert len(values) == MOST_SERIES + 1
    assert values["first", "0", "generate", "generate", "other", "other"] == 50


def test_a_label_that_the_table_lacks_is_refused() -> None:
    with pytest.raises(KeyError):
        Board().add(CLIPS, STEP, 1)
    with pytest.raises(AssertionError):
        Board().set(PIECES, STEP, 1)


@pytest.mark.waits
def test_the_text_endpoint_has_rays_names() -> None:
    board, port = Board(), free_port()
    board.add(PIECES, STEP, 3)
    board.set(LOSS, STEP | {"pool": "train"}, 0.5)
    with serving(board, port):
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
        with pytest.raises(ValueError, match=f"cluster.metrics_port = {port} cannot be served"), serving(board, port):
            pass
    assert 'ray_starloop_pieces_total{cycle="0",pool="generate",run="first",step="generate"} 3.0\n' in text
    assert 'ray_starloop_loss{cycle="0",pool="train",run="first",step="generate"} 0.5\n' in text
    assert "# TYPE ray_starloop_pieces_total counter" in text
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10)


class Account:
    """An IdleAccount, and what it has added."""

    def __init__(self, actors: int) -> None:
        self.idle, self.busy = Counter[str](), 0.0
        self.of = IdleAccount(actors, add=self._add, busy=self._busy)

    def _add(self, cause: str, seconds: float) -> None:
        self.idle[cause] += seconds

    def _busy(self, seconds: float) -> None:
        self.busy += seconds


def worked(actor: str, begun: float, ended: float, idle_from: float, input_ready: float = 0.0, process: str = "1") -> Worked:
    return Worked(
        actor=actor, process=process, ready=idle_from if process != "1" else 3.0, idle_from=idle_from, input_ready=input_ready,
        begun=begun, ended=ended, busy_s=ended - begun,
    )  # fmt: skip


def test_a_gap_is_split_at_the_moment_when_the_piece_was_decoded() -> None:
    account = Account(1)
    account.of.begins(1.0)
    account.of.piece(worked("a", 4.0, 6.0, idle_from=3.0, input_ready=3.5))  # half a second without input, then handed over
    account.of.piece(worked("a", 6.25, 9.0, idle_from=6.0, input_ready=2.0))  # decoded long ago
    account.of.ends(10.0)
    assert account.idle == {"starting": 2.0, "no_input": 0.5 + 1.0, "handover": 0.5 + 0.25}
    assert account.busy == 2.0 + 2.75


def test_a_piece_that_is_held_back_is_blocked_and_not_on_its_way() -> None:
    account = Account(1)
    account.of.begins(1.0)
    account.of.piece(worked("a", 3.0, 4.0, idle_from=3.0))
    for at, is_blocked in ((4.0, False), (5.0, True), (6.0, True), (7.0, True), (8.0, False)):
        account.of.observe(at, Pool(1, 0, is_blocked))
    account.of.piece(worked("a", 8.0, 9.0, idle_from=4.0, input_ready=4.5))
    account.of.ends(9.0)
    assert account.idle == {"starting": 2.0, "no_input": 0.5, "output_blocked": 2.0, "handover": 1.5}


def test_a_killed_generator_is_dead_until_its_replacement_has_the_model() -> None:
    account = Account(2)
    account.of.begins(0.0)
    account.of.piece(worked("a", 3.0, 5.0, idle_from=3.0))
    account.of.piece(worked("a", 9.0, 10.0, idle_from=9.0, process="2"))
    account.of.piece(worked("b", 3.0, 6.0, idle_from=3.0))
    account.of.observe(9.0, Pool(2, 1, False))  # b died, too, and is not back when all is done
    account.of.ends(10.0)
    assert account.idle == {"starting": 6.0, "dead": 4.0 + 4.0}
    assert account.busy + sum(account.idle.values()) == 2 * 10.0


def test_a_generator_without_a_piece_was_starting_until_it_was_alive() -> None:
    account = Account(3)
    account.of.begins(0.0)
    account.of.observe(2.0, Pool(1, 0, False))
    account.of.observe(5.0, Pool(2, 0, False))
    account.of.piece(worked("a", 3.0, 4.0, idle_from=3.0))
    account.of.ends(10.0)
    assert account.idle == {"starting": 3.0 + 5.0 + 10.0, "no_input": 6.0 + 5.0}
    assert account.busy + sum(account.idle.values()) == 3 * 10.0


def test_the_next_part_of_a_flow_begins_with_new_actors() -> None:
    account = Account(1)
    account.of.begins(0.0)
    account.of.piece(worked("a", 3.0, 4.0, idle_from=3.0))
    account.of.begins(5.0)
    account.of.observe(7.0, Pool(1, 0, False))
    account.of.ends(10.0)
    assert account.idle == {"starting": 3.0 + 2.0, "no_input": 1.0 + 3.0}
    assert account.busy + sum(account.idle.values()) == 10.0


@given(st.data())
def test_busy_and_idle_seconds_are_all_seconds(data: st.DataObject) -> None:
    """Whatever the generators do, and whatever is seen of them: in quarters of seconds, which floats add exactly."""
    actors = data.draw(st.integers(1, 4))
    quarters = st.integers(0, 20).map(lambda number: number / 4)
    account, latest = Account(actors), 0.0
    account.of.begins(0.0)
    pieces: list[Worked] = []
    for actor in range(data.draw(st.integers(0, actors))):
        ready = at = data.draw(quarters)
        for _ in range(data.draw(st.integers(1, 4))):
            begun = at + data.draw(quarters)
            ended = begun + data.draw(quarters)
            decoded = data.draw(quarters) * 4
            pieces.append(
                Worked(
                    actor=str(actor), process="1", ready=ready, idle_from=at, input_ready=decoded, begun=begun, ended=ended,
                    busy_s=ended - begun,
                )
            )  # fmt: skip
            at = ended
        latest = max(latest, at)
    for at in sorted(data.draw(st.lists(quarters, max_size=6))):
        account.of.observe(at, Pool(data.draw(st.integers(0, actors)), 0, data.draw(st.booleans())))
    for piece in pieces:
        account.of.piece(piece)
    account.of.ends(max(latest, 5.0))
    assert account.busy + sum(account.idle.values()) == actors * max(latest, 5.0)
    assert set(account.idle) <= set(CAUSES)


@pytest.mark.waits
def test_the_clock_of_pieces_that_overlap_has_each_second_once() -> None:
    clock, done = WorkClock("a"), list[Worked]()

    def work(wait_s: float, busy_s: float) -> None:
        time.sleep(wait_s)
        with clock.piece(None) as fields:
            time.sleep(busy_s)
        done.append(Worked(**fields))

    threads = [threading.Thread(target=work, args=times) for times in ((0.02, 0.06), (0.04, 0.1), (0.2, 0.02))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gaps = sum(piece.begun - piece.idle_from for piece in done)
    assert sum(piece.busy_s for piece in done) + gaps == pytest.approx(max(piece.ended for piece in done) - clock.ready, abs=1e-6)
    assert [piece.begun > piece.idle_from for piece in done] == [True, False, True]
