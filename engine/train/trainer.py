"""Ray Train around the worker: how many ranks, what they hold, where Ray Train's notes go, what happens when a rank dies."""

import atexit
import logging
import os
import platform
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import ray
import ray.train
from ray.train.torch import TorchConfig, TorchTrainer

from engine import flow
from engine.config import Cluster, Train
from engine.connection import on_this_node
from engine.decode.stage import Decoded, decode_windows, videos_of
from engine.logs.origin import process_at
from engine.logs.workers import write_json_lines
from engine.rows import Failure
from engine.store.troubles import StorageError, storage_error, trouble_of
from engine.train.backends import load_backend
from engine.train.checkpoint import LOSSES, Trained, read_end
from engine.train.feed import Decode, Row
from engine.train.job import Rank, StepRecord, TrainJob
from engine.train.meter import Meter
from engine.train.worker import finetune_rank
from models.base import FrameSpec, Video
from models.devices import is_out_of_memory

log = logging.getLogger(__name__)

MAX_FAILURES = 10
"""Restarts of the workers, each from the latest checkpoint, that are not a preemption's."""
POLL_S = 0.5
START_S, WITHOUT_END_S = 600.0, 30 * 86400.0
"""What the processes of the ranks may take to start once they have their places; in place of no bound at all."""
ALONE_S = 2 * 3600.0
"""How long the other ranks wait for one that works alone, beside what storage may take: rank 0 writes and uploads a model of 70 B
parameters, or one rank waits for a slow video. torch's own bound is half an hour."""
END_S = 10.0
"""How long the driver waits for the trainer to end where the finetune is stopped."""
GIVE_UP_S = 60.0
"""How long Ray Train may take to end after an error that a restart cannot mend."""


class RayListener:
    """Sends the records and notes of rank 0 to the driver's Meter actor."""

    def __init__(self, meter: Any) -> None:
        self._meter, self._sent = meter, None

    def record(self, record: StepRecord) -> None:
        self._sent = self._meter.record.remote(record)

    def note(self, line: str) -> None:
        self._meter.note.remote(line)

    def is_preempted(self) -> bool:
        watches = os.environ.get("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER") != "0"
        return watches and ray.train.get_preemption_info() is not None

    def close(self) -> None:
        """Wait until the last record has arrived: the process may end before its messages are sent."""
        if self._sent is not None:
            ray.get(self._sent)


def train_worker(arguments: dict[str, Any]) -> None:
    """The train loop of one rank on Ray Train: {"job": TrainJob, "meter": handle of a Meter}.

    What a restart cannot mend is given to the meter. Ray Train restarts the ranks all the same, and then they end at once.
    """
    job, meter = arguments["job"], arguments["meter"]
    if ray.get(meter.is_fatal.remote()):
        return
    context = ray.train.get_context()
    rank = Rank(context.get_world_rank(), context.get_world_size(), context.get_local_rank())
    listener = RayListener(meter)
    write_json_lines()
    try:
        with process_at(run=job.store.url(), step=job.out, pool="train"):
            log.info("rank %d of %d trains on %s", rank.rank, rank.world_size, platform.node())
            finetune_rank(job, rank, decode_with_ray(job, rank.world_size), listener)
    except Exception as error:
        if (fatal := fatal_error(error, job.train)) is not None:
            ray.get(meter.give_up.remote(fatal))
        raise
    listener.close()


def decode_with_ray(job: TrainJob, world_size: int) -> Decode:
    """Decodes beside the rank, with a Ray Data flow of its own; `world_size` ranks do so at the same time."""

    def decode(rows: Iterable[Row], frames: FrameSpec) -> Iterator[tuple[Row, list[Video | Failure]]]:
        args = {"spec": frames, "decoding": job.decoding}
        stage = flow.Stage(name="decode", work=decode_windows, args=args, cpus=job.decode_cpus, node_labels=job.decode_selector)
        for row in flow.run(rows, [stage], flow.Manner(ordered=True, flows=world_size)):
            yield row, [result.video if isinstance(result, Decoded) else result for result in videos_of(row)]

    return decode


def fatal_error(error: Exception, train: Train) -> Exception | None:
    """What the driver raises for an error that restarted ranks would meet again; None for any other error."""
    if is_out_of_memory(error):
        first_line = str(error).strip().partition("\n")[0] or type(error).__name__
        remedies = [f"a train.micro_batch_rows below {train.micro_batch_rows}"] if train.micro_batch_rows > 1 else []
        remedies += [] if train.gradient_checkpointing else ["train.gradient_checkpointing = true"]
        remedies += [] if train.offload else ["train.offload = true"]
        remedies += ["train.zero_stage = 3 with more train.num_workers"] if train.zero_stage < 3 else ["more train.num_workers"]
        return ValueError(f"training ran out of memory ({first_line[:160]}); try {', or '.join(remedies)}")
    if not isinstance(error, StorageError) and trouble_of(error) == "full":  # of the folder that a checkpoint is built in
        return storage_error(f"a checkpoint does not fit into {tempfile.gettempdir()} of its node", error)
    return error if isinstance(error, ValueError | StorageError | ChildProcessError) else None


@dataclass(frozen=True)
class Follow:
    """What the driver does while the ranks train."""

    on_step: Callable[[StepRecord], None]
    """Called with the records of optimizer steps, in order, and at most once with each: a step that restarted ranks repeat is not
    reported again. The records that a Meter has not passed on when its process dies are lost: losses.json has them."""
    check: Callable[[], None] = lambda: None
    """Called every POLL_S: raises where the finetune has to stop."""
    on_work: Callable[[], None] = lambda: None
    """Called after a note of the ranks, which tells that they are at work."""


def finetune(job: TrainJob, cluster: Cluster, follow: Follow, patience_s: float = 0.0) -> Trained:
    """Run the ranks until done; a finetune that has ended is not done again.

    Called again after a crash, it continues from the latest checkpoint in the job's folder.

    `patience_s`: how long the ranks may wait for their places, as limits.resource_patience_s.
    """
    if (trained := read_end(job)) is not None:
        log.info("%s: the finetune has ended before", job.out)
        return trained
    gpus = cluster.train_gpus
    assert (gpus > 0) == (job.device.kind == "cuda"), "job.device follows from cluster.train_gpus"
    # Ray Train's own bound of 60 s would end in a failure, and begin again; `follow.check` ends the wait, and says why
    os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = f"{patience_s + START_S if patience_s else WITHOUT_END_S:.0f}"
    with ExitStack() as remains:  # whatever ends the training, nothing of it stays
        scratch = remains.enter_context(_scratch())
        meter = Meter.options(scheduling_strategy=on_this_node()).remote()  # type: ignore[attr-defined]  # the decorator adds it
        remains.callback(ray.kill, meter)
        trainer = TorchTrainer(
            train_worker,
            train_loop_config={"job": job, "meter": meter},
            torch_config=TorchConfig(timeout_s=int(min(ALONE_S + job.store.storage.patience_s, WITHOUT_END_S))),
            scaling_config=ray.train.ScalingConfig(
                num_workers=job.train.num_workers,
                use_gpu=gpus > 0,
                resources_per_worker={"CPU": cluster.train_cpus, **({"GPU": gpus} if gpus else {})},
                placement_strategy=cluster.train_placement,
                label_selector=cluster.train_selector or None,
            ),
            run_config=ray.train.RunConfig(
                storage_path=scratch,  # Ray Train's own notes; checkpoints go to the store
                failure_config=ray.train.FailureConfig(max_failures=MAX_FAILURES, controller_failure_limit=20),
                worker_runtime_env={"env_vars": cluster.train_env | load_backend(job.backend).environment(job.device)},
            ),
        )
        _follow(trainer, meter, job.out, follow)
    trained = read_end(job)
    assert trained is not None, f"training ended without {job.out}/{LOSSES}"
    return trained


@contextmanager
def _scratch() -> Iterator[str]:
    """A temporary folder, deleted at the end of the block; after an error once more when this process ends.

    The trainer's thread goes on until Ray is shut down, and makes the folder again when it writes its notes.
    """
    folder = tempfile.mkdtemp(prefix="starloop-train-")
    try:
        yield folder
    except BaseException:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _follow(trainer: TorchTrainer, meter: Any, name: str, follow: Follow) -> None:
    """Run the trainer in a thread; log the notes of its ranks, and pass their records on. Raises the error that stopped it."""
    errors: list[Exception] = []

    def fit() -> None:
        try:
            trainer.fit()
        except Exception as error:  # carried to the caller's thread and raised there
            errors.append(error)

    thread = threading.Thread(target=fit, name="train", daemon=True)
    thread.start()
    try:
        _listen(thread, meter, name, follow)
    except BaseException:
        _end(thread)
        raise
    if errors:
        raise errors[0]


def _listen(thread: threading.Thread, meter: Any, name: str, follow: Follow) -> None:
    """Pass on what the ranks tell, for as long as the trainer's thread is alive."""
    last_step = num_notes = 0
    alive = True
    while alive:
        alive = thread.is_alive()  # before the meter is read, so that its last records are read too
        records, notes, fatal = ray.get(meter.since.remote(last_step, num_notes))
        num_notes += len(notes)
        for line in notes:
            log.info("%s: %s", name, line)
            follow.on_work()
        for record in records:
            last_step = record.step
            follow.on_step(record)
        if fatal is not None:
            thread.join(GIVE_UP_S)  # the ranks are started once more, and end at once
            raise fatal
        if alive:
            follow.check()
            time.sleep(POLL_S)


def _end(thread: threading.Thread) -> None:
    """End the trainer's controller, with which its ranks die, and wait for the trainer's thread.

    A thread that lets go of Ray's objects while Ray is shut down ends the whole process, with status 1 and without a word.
    """
    deadline = time.monotonic() + END_S
    while thread.is_alive() and time.monotonic() < deadline:
        if (controller := _awaited_by(thread)) is not None:
            ray.kill(controller)
        thread.join(POLL_S)


def _awaited_by(thread: threading.Thread) -> Any:
    """The controller that the trainer waits for: Ray Train gives it to nobody, and it is a variable of the call that waits."""
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None:
        if frame.f_code.co_name == "_initialize_and_run_controller":
            return frame.f_locals.get("controller")
        frame = frame.f_back
    return None
