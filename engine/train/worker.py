"""What every rank runs: optimizer steps in an order that is a pure function of (seed, step, rank, world size).

Shapes: B examples of a micro-batch, L tokens, V vocabulary.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from typing import Any

import torch
import torch.distributed
from torch import Tensor
from torch.nn import functional as F

from engine.generate.ledger import too_many_failed
from engine.generate.seeds import derive_seed
from engine.memory import built_to_stay
from engine.run.work import RESUME
from engine.store.weights import local
from engine.train.backends import load_backend
from engine.train.backends.base import Session
from engine.train.batches import Material
from engine.train.checkpoint import Checkpoints, State, save_adapter, write_end, write_unused
from engine.train.feed import Decode, Prepared, Share, micro_batches
from engine.train.job import Fed, Listener, Rank, StepRecord, TrainJob
from engine.train.mixture import order
from engine.train.pulse import Pulse
from engine.train.schedule import learning_rate
from engine.train.tables import map_tables, remove_files
from models.base import Trainee
from models.registry import trainee

NAMED_EXAMPLES = 8
"""How many examples the error about a loss names."""


def finetune_rank(job: TrainJob, rank: Rank, decode: Decode, listener: Listener) -> None:
    """Train to the end, from the latest checkpoint if there is one. torch's process group must exist.

    Rank 0 leaves the adapter in model/, what could not be used in unused.parquet, and losses.json as the last file.
    Raises ValueError where no step had an answer to learn from.
    """
    train = job.train
    with built_to_stay():
        student, session = _student(job, rank)
    material = _material(job, rank)
    steps = order(material.streams(job.mixture), train.epochs, train.batch_rows, job.seed)
    # within a step the order does not matter: samples of a length go together, or most of a micro-batch would be padding
    work = Share([sorted(step, key=material.length) for step in steps], rank.rank, rank.world_size, train.micro_batch_rows)
    checkpoints = Checkpoints(session, job, rank)
    state = checkpoints.resume(listener)
    remaining = range(len(state.losses), len(steps))
    was_warned, last_checkpoint = False, time.monotonic()
    stream = micro_batches(job, material, work, remaining, student, decode)
    pulse = Pulse(listener.note if rank.rank == 0 else lambda line: None, len(steps))
    for step in remaining:
        started = time.monotonic()
        torch.manual_seed(derive_seed(job.seed, step, f"rank-{rank.rank}", "direct"))  # dropout, the same on a resumed run
        micro_batches_rows = work.micro_batches(step)
        batches = []
        for _ in micro_batches_rows:
            batches.append(next(stream))
            pulse.tell(step, len(batches), len(micro_batches_rows), "decoded")
        state.unused |= {row.example_id: [row.reason, row.detail] for prepared in batches for row in prepared.unused}
        rate = learning_rate(step, len(steps), train)
        watch = Watch(f"{job.out}: step {step + 1}", rate, [material.ids(rows) for rows in micro_batches_rows])
        loss, tokens, norm, fed = _optimizer_step(session, batches, rate, watch, partial(pulse.tell, step))
        pulse.restart()
        state.losses.append(loss)
        state.fed = [total + count for total, count in zip(state.fed, fed, strict=True)]
        if rank.rank == 0:
            listener.record(
                StepRecord(
                    step=step + 1,
                    num_steps=len(steps),
                    loss=loss,
                    learning_rate=rate,
                    gradient_norm=norm,
                    tokens=tokens,
                    seconds=time.monotonic() - started,
                )
            )
        stop_if_unusable(job, rank, state, sum(map(len, steps[: step + 1])), is_last=step + 1 == len(steps))
        is_warned = listener.is_preempted()
        is_new, was_warned = is_warned and not was_warned, is_warned
        is_due = _as_rank_0(time.monotonic() - last_checkpoint >= train.checkpoint_every_s)
        if step + 1 < len(steps) and (is_new or is_due or (step + 1) % train.checkpoint_every_steps == 0):
            checkpoints.write(state)
            last_checkpoint = time.monotonic()
            if is_new and rank.rank == 0:
                listener.note(f"a node of the finetune is about to be taken away; the checkpoint of step {step + 1} is written")
    save_adapter(session, student, job, rank)
    write_unused(job, rank, state)
    if rank.rank == 0:
        write_end(job, state)


def _as_rank_0(value: bool) -> bool:
    """Rank 0's value: clocks differ, and a checkpoint takes all ranks."""
    values = [value]
    torch.distributed.broadcast_object_list(values, src=0)
    return values[0]


def _student(job: TrainJob, rank: Rank) -> tuple[Trainee, Session]:
    """The model with a fresh adapter, and the backend's session that trains it."""
    train, backend = job.train, load_backend(job.backend)
    backend.join(job.device)
    with backend.building(train, job.device, rank.rank) as read_weights:
        student = trainee(local(job.model, job.decoding.storage), train.finetune(), job.seed, job.device, read_weights)
    return student, backend.start(student.module, train, job.device)


def stop_if_unusable(job: TrainJob, rank: Rank, state: State, num_samples: int, is_last: bool) -> None:
    """Raises ValueError, on all ranks in the same step, where too many of the samples so far could not be used, or all of them.

    What they were is written first. The checkpoint goes: its counts would stop the finetune again.
    """
    if (reason := unusable(job, state, num_samples, is_last)) is None:
        return
    write_unused(job, rank, state)
    if rank.rank == 0:
        job.store.delete(f"{job.out}/{RESUME}")
    raise ValueError(
        f"{job.out} stopped after {len(state.losses)} steps: {reason}; `starloop failures` lists them; restore the videos and run "
        "the same command again, which starts this finetune from step 0; or raise the limit"
    )


def unusable(job: TrainJob, state: State, num_samples: int, is_last: bool) -> str | None:
    """The reason to stop, or None. `num_samples`: of the steps so far."""
    fed = Fed(*state.fed)
    failed = {name: count for name, count in (("without a usable video", fed.undecodable), ("too long", fed.too_long)) if count}
    if (reason := too_many_failed(failed, num_samples, job.failure_rate, "samples")) is not None:
        return reason
    if is_last and all(loss is None for loss in state.losses):
        counts = ", ".join(f"{name} {count}" for name, count in failed.items())
        return f"none of {num_samples} samples has an answer to learn from ({counts or 'all answers are empty'})"
    return None


def _material(job: TrainJob, rank: Rank) -> Material:
    """The tables, mapped into this rank's memory; their file goes when all ranks have them."""
    material = Material(*map_tables(job.store, job.examples, job.episodes), job.train.moments, job.loss_on)
    torch.distributed.barrier()
    if rank.local_rank == 0:
        remove_files(job.examples, job.episodes)
    return material


@dataclass(frozen=True)
class Watch:
    """Ends a finetune at its first loss or gradient norm that is not finite, on all ranks and in one line.

    Watch("cycle-000/train: step 3", 2e-5, [["clip-1", "clip-7"], ["clip-9", "clip-4"]])
    """

    step: str
    learning_rate: float
    example_ids: list[list[str]]
    """Of each micro-batch of this rank."""

    def refuse(self, what: str, value: float, suspects: Sequence[int]) -> None:
        """Raises ValueError if the value, which is the same on all ranks, is not finite. `suspects`: this rank's micro-batches."""
        if math.isfinite(value):
            return
        own = [example_id for index in suspects for example_id in self.example_ids[index]]
        parts: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(parts, own)
        ids = [example_id for part in parts for example_id in part]
        more = f" and {len(ids) - NAMED_EXAMPLES} more" if len(ids) > NAMED_EXAMPLES else ""
        raise ValueError(
            f"{self.step}: the {what} is {value} at a learning rate of {self.learning_rate:.3g}, with examples "
            f"{', '.join(ids[:NAMED_EXAMPLES])}{more}; no adapter is written: begin another run (run.uri) with a "
            "lower train.lr, or without these examples"
        )


def _optimizer_step(
    session: Session, micro_batches: Sequence[Prepared], learning_rate: float, watch: Watch, tell: Callable[[int, int, str], None]
) -> tuple[float | None, int, float, list[int]]:
    """One optimizer step over the rank's micro-batches: the mean over all answer tokens of all ranks.

    Returns that loss, the answer tokens, the gradients' norm, and the fields of Fed; all of them over all ranks. Where no rank has
    an answer token there is nothing to learn: the loss is None, and the model stays as it is. Raises ValueError where the loss, of
    which the weights know nothing yet, or the norm is not finite.
    """
    device, batches = session.device, [prepared.batch for prepared in micro_batches]
    answer_tokens = float(sum(int((batch["labels"][:, 1:] != -100).sum()) for batch in batches))
    fed = [float(sum(values)) for values in zip(*(astuple(prepared.fed) for prepared in micro_batches), strict=True)]
    counts = torch.tensor([answer_tokens, *fed], dtype=torch.float64, device=device)
    torch.distributed.all_reduce(counts)
    num_tokens, fed_counts = counts[0].item(), [int(count) for count in counts[1:].tolist()]
    if not num_tokens:
        return None, 0, 0.0, fed_counts
    sums: list[Tensor] = []
    for index, batch in enumerate(batches):
        follows = batch.pop("labels")[:, 1:]
        columns = _answered(follows)
        inputs = {name: _on_device(value, device) for name, value in batch.items()}
        logits = session.logits(inputs | {"logits_to_keep": columns.to(device)})
        labels = follows[:, columns].to(device)
        # VideoLLaMA3 and others ignore logits_to_keep; `logits` lives on until the backward pass, as DeepSpeed's hooks need it
        answered = logits if logits.shape[1] == len(columns) else logits[:, columns.to(device)]
        summed = F.cross_entropy(answered.flatten(0, 1).float(), labels.flatten(), ignore_index=-100, reduction="sum")
        session.backward(summed, num_tokens, last=index == len(batches) - 1)
        sums.append(summed.detach())
        tell(len(sums), len(batches), "trained on")
    total = torch.stack(sums).sum()
    torch.distributed.all_reduce(total)
    loss = total.item() / num_tokens
    watch.refuse("loss", loss, [index for index, value in enumerate(sums) if not math.isfinite(value)])
    norm = session.step(learning_rate)
    watch.refuse("gradient norm", norm, range(len(batches)))
    return loss, int(num_tokens), norm, fed_counts


def _answered(follows: Tensor) -> Tensor:
    """The places whose next token some row learns from, of follows[N,L-1]; the first place where there is none.

    Only these have logits: most of a row is video. A rank without an answer runs the head too, as all ranks must with ZeRO-3.

    >>> _answered(torch.tensor([[-100, -100, 7, 8], [-100, 5, 6, -100]])), _answered(torch.tensor([[-100, -100]]))
    (tensor([1, 2, 3]), tensor([0]))
    """
    columns = (follows != -100).any(0).nonzero()[:, 0]
    return columns if len(columns) else torch.zeros(1, dtype=torch.int64)


def _on_device(value: Any, device: Any) -> Any:
    """Tensors, and lists of them, on the device; other arguments of the model as they are."""
    if isinstance(value, Tensor):
        return value.to(device)
    return [_on_device(item, device) for item in value] if isinstance(value, list) else value
