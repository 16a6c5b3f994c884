"""The tracker "mlflow": a run of an MLflow tracking server. MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME choose where.

MLflow gives its runs ids of its own, so ours is a tag, by which each command of a run finds it again. Curves, parameters, tags and
tables of answers are sent; models are tags with their URIs.
"""

import logging
import os
import time
from collections.abc import Sequence

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag

from engine.run.dashboards.answers import COLUMNS
from engine.run.dashboards.dashboard import Dashboard
from engine.run.dashboards.histories import flat
from engine.run.dashboards.points import Point
from engine.run.trackers import TrackedRun

EXPERIMENT = "starloop"
ID, URI = "starloop.id", "starloop.run"
"""Tags of a run."""
METRICS_AT_ONCE, PARAMS_AT_ONCE, VALUE_CHARS = 1000, 100, 6000
"""What the server takes in one request."""
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""Its own would be seven times and two minutes; the environment may say otherwise."""


class MlflowRun:
    """The Service (engine/run/dashboards/dashboard.py)."""

    def __init__(self, run: TrackedRun) -> None:
        for name, value in PATIENCE.items():
            os.environ.setdefault(name, value)
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it warns of each retry
        self._client = MlflowClient()
        self._run = self._begun(run)
        self._id = self._run.info.run_id
        known = self._run.data.params
        params = [Param(key, str(value)[:VALUE_CHARS]) for key, value in flat(run.config).items() if key not in known]
        for start in range(0, len(params), PARAMS_AT_ONCE):
            self._client.log_batch(self._id, params=params[start : start + PARAMS_AT_ONCE])

    def _begun(self, run: TrackedRun) -> Run:
        """The run that an earlier command has begun, else a new one."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        experiment = self._client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else self._client.create_experiment(name)
        earlier = self._client.search_runs([number], f"tags.`{ID}` = '{run.id}'", max_results=1)
        if earlier:
            self._client.update_run(earlier[0].info.run_id, status="RUNNING")
            return earlier[0]
        return self._client.create_run(number, run_name=run.name, tags={ID: run.id, URI: run.uri})

    def latest(self) -> dict[str, int]:
        histories = {name: self._client.get_metric_history(self._id, name) for name in self._run.data.metrics}
        return {name: max(metric.step for metric in history) for name, history in histories.items()}

    def send(self, points: Sequence[Point]) -> None:
        now_ms = int(time.time() * 1000)
        metrics = [Metric(point.name, point.value, now_ms, point.step) for point in points]
        for start in range(0, len(metrics), METRICS_AT_ONCE):
            self._client.log_batch(self._id, metrics=metrics[start : start + METRICS_AT_ONCE])

    def show(self, name: str, rows: Sequence[tuple[str, ...]]) -> None:
        columns = dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
        self._client.log_table(self._id, columns, f"{name}.json")

    def refer(self, name: str, uri: str) -> None:
        self._client.log_batch(self._id, tags=[RunTag(f"starloop.model.{name}", uri)])

    def close(self, error: BaseException | None) -> None:
        status = "FINISHED" if error is None else "FAILED" if isinstance(error, Exception) else "KILLED"
        self._client.set_terminated(self._id, status)


def track(run: TrackedRun) -> Dashboard:
    return Dashboard(MlflowRun(run), run)
