"""The tracker "wandb": a run of Weights & Biases. WANDB_API_KEY, WANDB_PROJECT, WANDB_MODE and so on configure it, as everywhere.

Its id is the run's, and resume = "allow" continues it. Models are in its configuration by their URIs, and those in an object store
are artifacts that refer to them; nothing is uploaded.
"""

import os
from collections.abc import Sequence

import wandb

from engine.run.dashboards.answers import COLUMNS
from engine.run.dashboards.dashboard import Dashboard
from engine.run.dashboards.histories import History
from engine.run.dashboards.points import Point
from engine.run.trackers import TrackedRun

PROJECT = "starloop"


class WandbRun:
    """The Service (engine/run/dashboards/dashboard.py)."""

    def __init__(self, run: TrackedRun) -> None:
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=run.id,
            name=run.name,
            notes=run.uri,
            resume="allow",
            reinit="create_new",
            config={"starloop.run": run.uri, **run.config},
            settings=wandb.Settings(console="off", silent=True),
        )
        self._run.define_metric("optimizer_step", hidden=True)
        self._run.define_metric("cycle", hidden=True)
        self._run.define_metric("*", step_metric="cycle")
        self._run.define_metric("train/*", step_metric="optimizer_step")
        self._run.define_metric("train/step_seconds", step_metric="cycle")
        self._history = History(run.store, f"wandb-{run.id}", self._run.log)

    def latest(self) -> dict[str, int]:
        return self._history.latest()

    def send(self, points: Sequence[Point]) -> None:
        self._history.send(points)

    def show(self, name: str, rows: Sequence[tuple[str, ...]]) -> None:
        self._run.log({name: wandb.Table(columns=list(COLUMNS), data=[list(row) for row in rows])})

    def refer(self, name: str, uri: str) -> None:
        self._run.config.update({f"starloop.model.{name}": uri}, allow_val_change=True)
        if "://" in uri:  # of a local folder W&B would read every file, and nobody else could open it
            artifact = wandb.Artifact(f"{name}-{self._run.id}", type="model", metadata={"uri": uri})
            artifact.add_reference(uri, name="model", checksum=False)
            self._run.log_artifact(artifact)

    def close(self, error: BaseException | None) -> None:
        self._run.finish(exit_code=int(error is not None))


def track(run: TrackedRun) -> Dashboard:
    return Dashboard(WandbRun(run), run)
