"""Checkpoints of a finetune under way, and the adapter at its end, through the run's store.

Ray Train could do this too, but its upload gives up after three tries and its record says which checkpoint is the latest, not
that all parts of it are there and whole. A folder's name is used once, so two attempts never mix.
"""

import json
import tempfile
import uuid
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
import torch.distributed

from engine.rows import UNUSED, Unused
from engine.run.lease import Fenced, newest
from engine.run.work import CHECKPOINTS, RESUME, unused_of
from engine.store.documents import to_json
from engine.store.files import RESTORE, FileRecord
from engine.store.troubles import StorageError
from engine.train.backends import load_backend
from engine.train.backends.base import Cut, Session
from engine.train.job import Fed, Listener, Rank, TrainJob
from models.base import Trainee

MODEL, LOSSES = "model", "losses.json"
"""In the folder of a finetune: its adapter, and the last file that it writes."""


@dataclass
class State:
    """How far the training loop is; rank 0's goes into losses.json, and every rank's into a checkpoint."""

    losses: list[float | None] = field(default_factory=list)
    """One per optimizer step that is done; None: there was no answer to learn from."""
    fed: list[int] = field(default_factory=lambda: list(astuple(Fed())))
    """The fields of Fed, over these steps."""
    unused: dict[str, list[str]] = field(default_factory=dict)
    """What this rank could not use: example_id -> reason and detail. In a checkpoint, what any rank could not use."""


def cut_of(job: TrainJob, world_size: int) -> Cut:
    train = job.train
    return Cut(
        backend=job.backend,
        dtype=job.device.dtype,
        world_size=world_size,
        zero_stage=train.zero_stage,
        offload=train.offload,
        micro_batch_rows=train.micro_batch_rows,
    )


@dataclass
class Checkpoints:
    """The checkpoints of one attempt at a finetune. All ranks make the same calls in the same order."""

    session: Session
    job: TrainJob
    rank: Rank
    _replaced: list[str] = field(default_factory=list)
    """Rank 0's: folders that go once the next checkpoint is written; none of an attempt that began later is among them."""

    def resume(self, listener: Listener) -> State:
        """Load the step's latest complete checkpoint, if there is one that this session can continue."""
        job, rank = self.job, self.rank
        values: list[Any] = [None]
        if rank.rank == 0:  # it reads for all: a rank that outlives its driver may write another one at this moment
            self._replaced = [f"{job.out}/{CHECKPOINTS}/{folder}" for folder in job.store.folders(f"{job.out}/{CHECKPOINTS}")]
            values = [json.loads(job.store.read(f"{job.out}/{RESUME}") or b"{}")]
        torch.distributed.broadcast_object_list(values, src=0)
        latest: dict[str, Any] = values[0]
        if latest.get("identity") != job.identity:
            return State()
        with tempfile.TemporaryDirectory() as folder:
            reason = _refusal(latest.get("cut"), cut_of(job, rank.world_size)) or self._fetch(latest, Path(folder))
            if not reason:
                loaded = self.session.load(Path(folder))
        if rank.rank == 0:
            name = f"the checkpoint of step {latest['step']}"
            listener.note(f"{name} cannot be continued: {reason}; starting from step 0" if reason else f"continuing from {name}")
        if reason:
            return State()
        return State(losses=list(loaded["losses"]), fed=list(loaded["fed"]), unused=dict(loaded.get("unused", {})))

    def _fetch(self, latest: dict[str, Any], folder: Path) -> str:
        """Copy this rank's files of a checkpoint into a local folder; returns on all ranks what is wrong with any rank's, or ""."""
        store, reason = self.job.store, ""
        records = [FileRecord(**record) for record in latest["files"]]
        if odd := [record.path for record in records if not _is_below(record.path, latest["folder"])]:
            raise ValueError(f"{store.url(f'{self.job.out}/{RESUME}')} names {odd[0]}, which is no part of a checkpoint; delete it")
        try:
            store.get_folder([record for record in records if self.session.loads(record.path)], latest["folder"], folder)
        except StorageError as error:
            if error.trouble not in ("missing", "replaced"):
                raise
            reason = str(error).removesuffix(f"; {RESTORE}")
        reasons: list[Any] = [None] * self.rank.world_size
        torch.distributed.all_gather_object(reasons, reason)
        return next(filter(None, reasons), "")

    def write(self, state: State) -> None:
        """All ranks publish their parts; then rank 0 makes the checkpoint the one to continue from, and deletes those before it.

        A finetune that was killed while it wrote one leaves parts that nobody names; the next attempt deletes them.
        """
        job, rank, step = self.job, self.rank, len(state.losses)
        names = [f"{job.out}/{CHECKPOINTS}/{step:08d}-{uuid.uuid4().hex[:8]}"]
        torch.distributed.broadcast_object_list(names, src=0)
        with tempfile.TemporaryDirectory() as folder:
            self.session.save(Path(folder), asdict(replace(state, unused=_unused_of_all(rank, state))))
            records = [asdict(record) for record in job.store.put_folder(Path(folder), names[0])]
        parts: list[Any] = [None] * rank.world_size
        torch.distributed.all_gather_object(parts, records)
        if rank.rank == 0:
            refuse_taken_over(job)
            files = [record for part in parts for record in part]
            cut = asdict(cut_of(job, rank.world_size))
            latest = {"identity": job.identity, "step": step, "cut": cut, "folder": names[0], "files": files}
            job.store.write(f"{job.out}/{RESUME}", to_json(latest))
            refuse_taken_over(job)  # storage may have kept the write waiting: a later driver's ranks may need what is deleted now
            for path in self._replaced:
                job.store.delete(path)
            self._replaced = names


def _is_below(path: str, folder: str) -> bool:
    """Whether a file that a record names is in the folder, so that its copy is in ours.

    >>> _is_below("a/b/c.pt", "a/b"), _is_below("a/b/../../c.pt", "a/b"), _is_below("/etc/passwd", "a/b")
    (True, False, False)
    """
    return path.startswith(f"{folder}/") and ".." not in path.split("/")


def _refusal(saved: dict[str, Any] | None, now: Cut) -> str:
    if saved is None or saved.keys() != asdict(now).keys():
        return "another version of Starloop wrote it"
    return load_backend(now.backend).refusal(Cut(**saved), now)


def refuse_taken_over(job: TrainJob) -> None:
    """Raises Fenced where a later driver has the run: ranks on a node that was cut off may outlive their own driver."""
    if newest(job.store) > job.epoch:
        raise Fenced(f"{job.store.url()} was taken over by another driver; this finetune stops, nothing is lost")


def write_unused(job: TrainJob, rank: Rank, state: State) -> None:
    """Rank 0 publishes what any rank could not use, in the order of the ids."""
    by_id = _unused_of_all(rank, state)
    if rank.rank == 0:
        rows = [Unused(example_id=name, reason=reason, detail=detail) for name, (reason, detail) in sorted(by_id.items())]
        job.store.write_table(unused_of(job.out), pa.Table.from_pylist([row.to_row() for row in rows], schema=UNUSED))


def _unused_of_all(rank: Rank, state: State) -> dict[str, list[str]]:
    """What any rank could not use. DeepSpeed writes the loop's state of rank 0 alone with ZeRO stages 0 to 2, and all read that."""
    parts: list[Any] = [None] * rank.world_size
    torch.distributed.all_gather_object(parts, state.unused)
    return {example_id: row for part in parts for example_id, row in part.items()}


def save_adapter(session: Session, student: Trainee, job: TrainJob, rank: Rank) -> None:
    """Rank 0 publishes the adapter, or the whole model; with ZeRO-3 all ranks help to gather it, one parameter after another.

    Raises ValueError, on all ranks, where a weight is not finite: the last step may have made it so.
    """
    trained: dict[str, Any] = {}
    for name, parameter in session.weights():
        if not parameter.isfinite().all():
            raise ValueError(
                f"{job.out}: after the last step {name} holds NaN or infinite values; begin another run (run.uri) with a lower "
                "train.lr"
            )
        if rank.rank == 0:
            trained[name] = parameter.detach().cpu().clone()
    if rank.rank == 0:
        with tempfile.TemporaryDirectory() as folder:
            student.save(Path(folder), trained)
            refuse_taken_over(job)
            # of ranks that died behind it: it must not stand beside a part of the model
            job.store.delete(f"{job.out}/{LOSSES}")
            job.store.put_folder(Path(folder), f"{job.out}/{MODEL}")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a finetune leaves beside its adapter."""

    losses: list[float | None]
    """One per optimizer step; None for a step without any answer to learn from."""
    fed: Fed
    """Totals over all steps; rows of repeated epochs are counted each time."""


def write_end(job: TrainJob, state: State) -> None:
    """The finetune's last file. It names the finetune and the model's files, so that nobody takes a part for the whole."""
    refuse_taken_over(job)
    end = {"identity": job.identity, "model": job.store.sizes(f"{job.out}/{MODEL}"), "losses": state.losses, "fed": state.fed}
    job.store.write(f"{job.out}/{LOSSES}", to_json(end))


def read_end(job: TrainJob) -> Trained | None:
    """What this finetune left; None where it has not ended, or files of its model are gone."""
    data = job.store.read(f"{job.out}/{LOSSES}")
    end: dict[str, Any] = json.loads(data) if data is not None else {}
    if end.get("identity") != job.identity or not end["model"].items() <= job.store.sizes(f"{job.out}/{MODEL}").items():
        return None
    return Trained(losses=end["losses"], fed=Fed(*end["fed"]))
