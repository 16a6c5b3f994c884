"""Ray Train around the worker: how many workers, what they hold, where checkpoints go, what happens when one dies."""

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import ray
import ray.train
from ray.train.torch import TorchTrainer

from engine.train.worker import LOSSES, Fed, TrainJob, train_worker, worker_environment

MAX_FAILURES = 10
"""Restarts of the workers, each from the latest checkpoint, that are not a preemption's."""
POLL_S = 0.5


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class Meter:
    """Holds the last step that a worker told of, for whoever draws progress, and what no restart will mend."""

    def __init__(self) -> None:
        self.last: tuple[int, int, float] | None = None
        self.fatal: Exception | None = None

    def tell(self, done: int, total: int, loss: float) -> None:
        self.last = (done, total, loss)

    def give_up(self, error: Exception) -> None:
        self.fatal = error

    def ask(self) -> tuple[tuple[int, int, float] | None, Exception | None]:
        return self.last, self.fatal


@dataclass(frozen=True, kw_only=True)
class Trained:
    losses: list[float]
    """One per optimizer step."""
    fed: Fed
    """Over all steps; what was fed again is counted again."""


def finetune(job: TrainJob, cpus: float, gpus: float, progress: Callable[[int, int, float], None]) -> Trained:
    """Run the workers until done. Called again after a crash, it goes on from the latest checkpoint in the job's folder."""
    scratch = tempfile.mkdtemp(prefix="starloop-train-")
    meter = Meter.remote()  # type: ignore[attr-defined]  # the decorator adds it
    job = replace(job, meter=meter)
    trainer = TorchTrainer(
        train_worker,
        train_loop_config=job,
        scaling_config=ray.train.ScalingConfig(
            num_workers=job.train.num_workers,
            use_gpu=gpus > 0,
            resources_per_worker={"CPU": cpus, **({"GPU": gpus} if gpus else {})},
        ),
        run_config=ray.train.RunConfig(
            storage_path=scratch,  # Ray Train's own notes; what counts is in the store
            failure_config=ray.train.FailureConfig(max_failures=MAX_FAILURES, controller_failure_limit=20),
            worker_runtime_env={"env_vars": worker_environment(gpus > 0)},
        ),
    )
    outcome: dict[str, Exception] = {}

    def fit() -> None:
        try:
            trainer.fit()
        except Exception as error:  # carried to the caller's thread and raised there
            outcome["error"] = error

    thread = threading.Thread(target=fit, name="train", daemon=True)
    thread.start()
    before, alive = None, True
    while alive:
        alive = thread.is_alive()  # asked first, so that what was told last is heard too
        told, fatal = ray.get(meter.ask.remote())
        if fatal is not None:
            raise fatal
        if told and told != before:
            progress(*told)
            before = told
        time.sleep(POLL_S)
    ray.kill(meter)
    shutil.rmtree(scratch, ignore_errors=True)
    if "error" in outcome:
        raise outcome["error"]
    left = job.store.read(f"{job.out}/{LOSSES}")
    assert left is not None, f"training ended without {job.out}/{LOSSES}"
    told = json.loads(left)
    return Trained(losses=told["losses"], fed=Fed(*told["fed"]))
