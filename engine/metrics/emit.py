"""What the driver reports of a run: to its board, and every second from there to Ray, whose nodes give it to Prometheus.

All metrics are the driver's own. What happens elsewhere comes to it with the pieces and with the records of optimizer steps; so
nothing is lost with a process that is killed, a run has the series of one process, and an actor spends no time on metrics.
Without a run (in a worker, in a command that only reads) reports go to a board that nobody reads.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray
from ray.util import metrics as ray_metrics

from engine.metrics.board import Board, Series
from engine.metrics.endpoint import serving
from engine.metrics.table import (
    CYCLE,
    DONE,
    GOAL,
    LAST_PROGRESS,
    LEASE_LOST,
    LEASE_RENEWED,
    RUNNING,
    STEP,
    WAITING,
    Metric,
    run_label,
    step_labels,
)

log = logging.getLogger(__name__)

FLUSH_S = 1.0
EXPORT_MS = "10000"
"""Interval in which Ray's processes export, unless RAY_metrics_report_interval_ms says another one."""


class Reporter:
    """The metrics of one run in one process."""

    def __init__(self) -> None:
        self.board = Board()
        self.run = ""
        self._waiting: dict[tuple[str, str], float] = {}
        """Step and kind of what it waits for -> since when, on the monotonic clock."""
        self._instruments: dict[Metric, Any] = {}
        self._sent: dict[Series, float] = {}
        self._zero_s = 2 * int(os.environ.get("RAY_metrics_report_interval_ms", EXPORT_MS)) / 1000  # noqa: SIM112
        """How long Ray is told 0 of a new counter: two of its exports. increase() counts nothing of one that begins above 0."""
        self._began: dict[Series, float] = {}
        """When Ray was told 0 of a counter."""
        self._flushing = threading.Lock()

    def labels(self, metric: Metric, step: str, labels: Mapping[str, str]) -> dict[str, str]:
        of_step = step_labels(step) | {"pool": metric.pool} if metric.labels[: len(STEP)] == STEP else {}
        return {"run": self.run} | of_step | dict(labels)

    def wait(self, step: str, kind: str, seconds: float) -> None:
        self._waiting = {(step, kind): time.monotonic() - seconds} if seconds > 0 else {}

    def flush(self, is_last: bool = False) -> None:
        """Give Ray what changed. Ray loses what it is told before it is connected, so nothing is sent until then."""
        with self._flushing:
            self._note_waiting()
            if ray.is_initialized():
                for series, value in self.board.values().items():
                    self._send(series, value, is_last)

    def _note_waiting(self) -> None:
        now, waiting = time.monotonic(), dict(self._waiting)
        for metric, values in self.board.values():
            if metric is WAITING:
                self.board.set(metric, dict(zip(metric.labels, values, strict=True)), 0.0)
        for (step, kind), since in waiting.items():
            self.board.set(WAITING, self.labels(WAITING, step, {"for": kind}), round(now - since, 1))

    def _send(self, series: Series, value: float, is_last: bool) -> None:
        metric, values = series
        if metric not in self._instruments:
            make = ray_metrics.Counter if metric.kind == "counter" else ray_metrics.Gauge
            self._instruments[metric] = make(metric.name, description=metric.meaning, tag_keys=metric.labels)
        instrument, tags = self._instruments[metric], dict(zip(metric.labels, map(_ascii, values), strict=True))
        if metric.kind == "gauge":
            instrument.set(value, tags)
            return
        if series not in self._began:
            instrument._record(0.0, tags)  # inc() refuses 0
            self._began[series] = time.monotonic()
        more = value - self._sent.get(series, 0.0)
        if more > 0 and (is_last or time.monotonic() - self._began[series] >= self._zero_s):
            instrument.inc(more, tags)
            self._sent[series] = value


def _ascii(label: str) -> str:
    """Ray takes no other labels; a name of a set or of a group may have others.

    >>> _ascii("café")
    'caf\\\\xe9'
    """
    return label.encode("ascii", "backslashreplace").decode()


_REPORTER = Reporter()


@contextmanager
def reporting(run_uri: str, port: int = 0) -> Iterator[None]:
    """While the block runs, reports are this run's. `port`: of the text endpoint; 0: there is none."""
    global _REPORTER
    _REPORTER = Reporter()
    _REPORTER.run = run_label(run_uri)
    ended = threading.Event()
    thread = threading.Thread(target=_flush_until, args=(_REPORTER, ended), name="metrics", daemon=True)
    with serving(_REPORTER.board, port):
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(FLUSH_S)
            _REPORTER = Reporter()


def _flush_until(reporter: Reporter, ended: threading.Event) -> None:
    while not ended.wait(FLUSH_S):
        try:
            reporter.flush()
        except Exception as error:  # of any kind: figures are not worth a run, and Ray may just be shut down
            log.debug("metrics were not sent: %s: %s", type(error).__name__, error)


def flush() -> None:
    """Send all that is reported: call before the connection to Ray ends."""
    _REPORTER.flush(is_last=True)


def count(metric: Metric, step: str, amount: float, /, **labels: str) -> None:
    if _REPORTER.run:
        _REPORTER.board.add(metric, _REPORTER.labels(metric, step, labels), amount)


def gauge(metric: Metric, step: str, value: float, /, **labels: str) -> None:
    if _REPORTER.run:
        _REPORTER.board.set(metric, _REPORTER.labels(metric, step, labels), value)


@contextmanager
def doing(step: str, cycle: int) -> Iterator[None]:
    """The driver does the step while the block runs."""
    gauge(CYCLE, "", cycle)
    gauge(RUNNING, step, 1)
    gauge(LAST_PROGRESS, step, time.time())
    try:
        yield
    finally:
        gauge(RUNNING, step, 0)
        _REPORTER.wait(step, "", 0)


def progress(step: str, done: int, total: int, is_new: bool) -> None:
    """`is_new`: something of the step is done; it no longer waits."""
    gauge(DONE, step, done)
    gauge(GOAL, step, total)
    if is_new:
        gauge(LAST_PROGRESS, step, time.time())
        _REPORTER.wait(step, "", 0)


def waiting(step: str, kind: str, seconds: float) -> None:
    """The step has waited so long for this kind of thing (GPU, CPU, start, storage ...); the time goes on until it is called with
    another kind, with 0 seconds, or the step makes progress."""
    _REPORTER.wait(step, kind, seconds)


def lease_renewed() -> None:
    gauge(LEASE_RENEWED, "", time.time())
    gauge(LEASE_LOST, "", 0)


def lease_lost() -> None:
    gauge(LEASE_LOST, "", 1)
