"""Ray Train around the worker: how many workers, what they hold, where checkpoints go, what happens when one dies."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import ray
import ray.train
from ray.train.torch import TorchTrainer

from engine.train.worker import LOSSES, TrainJob, train_worker, worker_environment

MAX_FAILURES = 3
POLL_S = 0.5


@ray.remote(num_cpus=0)
class Meter:
    """Holds the last step that a worker told of, for whoever draws progress."""

    def __init__(self) -> None:
        self.last: tuple[int, int, float] | None = None

    def tell(self, done: int, total: int, loss: float) -> None:
        self.last = (done, total, loss)

    def ask(self) -> tuple[int, int, float] | None:
        return self.last


@dataclass(frozen=True, kw_only=True)
class Trained:
    losses: list[float]
    """One per optimizer step."""
    undecodable: int
    """Examples that were fed without loss because their video could no longer be decoded, counted each time."""


def finetune(job: TrainJob, name: str, cpus: float, gpus: float, progress: Callable[[int, int, float], None]) -> Trained:
    """Run the workers until done. Called again with the same name after a crash, it goes on from the latest checkpoint."""
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
            name=name,
            storage_path=job.store.url("checkpoints"),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
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
    before = None
    while thread.is_alive():
        told = ray.get(meter.ask.remote())
        if told and told != before:
            progress(*told)
            before = told
        time.sleep(POLL_S)
    ray.kill(meter)
    if "error" in outcome:
        raise outcome["error"]
    left = job.store.read(f"{job.out}/{LOSSES}")
    assert left is not None, f"training ended without {job.out}/{LOSSES}"
    return Trained(**json.loads(left))
