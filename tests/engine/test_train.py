"""Pins finetuning on Ray: the same losses however many workers share the work, an example that lost its video keeps its place,
each step is reported once, and what a restart cannot mend ends the step in one line.
"""

import errno
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import ray
import ray.data
import torch
import torch.distributed
from safetensors import SafetensorError

from builders import a_train_job
from engine import flow
from engine.config import Cluster, Data, Train
from engine.generate.prompts import PUBLISHED
from engine.ingest.manifest import read_manifest
from engine.rows import EXAMPLES
from engine.run.lease import Fenced
from engine.run.rehearsal import Records
from engine.run.work import CHECKPOINTS, RESUME
from engine.select.choose import from_template
from engine.store.files import FileRecord, Store
from engine.store.filesystems import Storage
from engine.store.troubles import StorageError
from engine.train.checkpoint import Checkpoints, State, Trained, read_end, save_adapter, write_end
from engine.train.job import Fed, Rank, StepRecord, TrainJob
from engine.train.meter import Meter
from engine.train.schedule import learning_rate
from engine.train.trainer import Follow, fatal_error, finetune
from engine.train.worker import unusable
from models.base import EngineDied, OutOfMemory
from models.devices import memory_errors_named

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]
SETTINGS = {"batch_rows": 4, "micro_batch_rows": 2, "epochs": 3.0, "lr": 1e-3, "lora_rank": 4, "lora_dropout": 0.0}


def train(world: Path, run: Path, check: Callable[[], None] = lambda: None, **section: object) -> tuple[Trained, list[StepRecord]]:
    clips = [clip for clip in read_manifest(Data(manifest=str(world)), Storage()) if clip.split == "train"]
    store = Store(str(run))
    rows = [
        example.to_row() for example in from_template(clips[:8], "The answer is {label}.", PUBLISHED)
    ]  # three have no usable video
    store.write_table("examples.parquet", pa.Table.from_pylist(rows, schema=EXAMPLES))
    job = a_train_job(store, Train.model_validate(SETTINGS | section))
    records: list[StepRecord] = []
    return finetune(job, Cluster(train_cpus=0.5), Follow(records.append, check)), records


def test_a_finetune_without_videos_stops_at_the_limit_and_not_at_its_end(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write("examples.parquet", b"")
    job = a_train_job(store, Train(batch_rows=20))
    assert unusable(job, State(losses=[1.0] * 5, fed=[50, 0, 0, 0, 0]), 100, is_last=False) is None
    stopped = unusable(job, State(losses=[1.0] * 5, fed=[50, 0, 0, 0, 1]), 100, is_last=False)
    assert stopped == "51 of 100 samples failed (without a usable video 50, too long 1), more than limits.failure_rate = 0.5"


def test_a_finetune_that_learned_nothing_is_an_error_however_small(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write("examples.parquet", b"")
    job, state = a_train_job(store, Train(batch_rows=4)), State(losses=[None, None], fed=[8, 0, 0, 0, 0])
    assert unusable(job, state, 8, is_last=False) is None
    assert unusable(job, state, 8, is_last=True) == "none of 8 samples has an answer to learn from (without a usable video 8)"


def test_a_finetune_that_has_ended_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its driver may die between the last file of the finetune and the seal."""
    store = Store(str(tmp_path))
    store.write("examples.parquet", b"")
    store.write("out/model/adapter_model.safetensors", b"weights")
    job, state = a_train_job(store, Train(batch_rows=4)), State(losses=[1.0, None], fed=[1, 2, 3, 4, 5])
    write_end(job, state)
    monkeypatch.setattr("engine.train.trainer.TorchTrainer", None)  # whoever trains fails
    assert finetune(job, Cluster(), Follow(lambda record: None)) == Trained(losses=[1.0, None], fed=Fed(1, 2, 3, 4, 5))
    assert read_end(replace(job, identity="another")) is None
    store.delete("out/model/adapter_model.safetensors")
    assert read_end(job) is None


def test_ranks_that_outlive_their_driver_publish_nothing(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write("examples.parquet", b"")
    store.write("lease/00002.json", b"{}")
    job = a_train_job(store, Train(batch_rows=4))
    with pytest.raises(Fenced, match="was taken over by another driver; this finetune stops"):
        write_end(replace(job, epoch=1), State())
    assert store.read("out/losses.json") is None
    write_end(replace(job, epoch=2), State())


@pytest.fixture
def alone() -> Iterator[Rank]:
    """This process as the only rank."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield Rank(0, 1, 0)
    torch.distributed.destroy_process_group()


class Kept:
    """A Session whose model is one number."""

    def save(self, folder: Path, state: dict[str, Any]) -> None:
        (folder / "state.json").write_text(json.dumps(state))
        (folder / "part_of_another_rank.pt").write_bytes(b"")

    def loads(self, name: str) -> bool:
        return not name.endswith("part_of_another_rank.pt")

    def load(self, folder: Path) -> Any:
        assert [path.name for path in folder.iterdir()] == ["state.json"]
        return json.loads((folder / "state.json").read_text())

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        yield "weight", torch.ones(1)


def an_attempt(job: TrainJob, rank: Rank) -> tuple[Checkpoints, State, list[str]]:
    """The checkpoints of ranks that have just begun, what they continue from, and their notes."""
    session: Any = Kept()
    attempt, records = Checkpoints(session, job, rank), Records()
    return attempt, attempt.resume(records), records.notes


def a_job(store: Store) -> TrainJob:
    store.write("examples.parquet", b"")
    return a_train_job(store, Train(batch_rows=4))


@pytest.mark.parametrize("spoil", ["gone", "another"])
def test_a_checkpoint_that_lost_a_file_is_left_with_a_note(spoil: str, tmp_path: Path, alone: Rank) -> None:
    store = Store(str(tmp_path))
    job = a_job(store)
    an_attempt(job, alone)[0].write(State(losses=[1.0]))
    _, state, notes = an_attempt(job, alone)
    assert (state.losses, notes) == ([1.0], ["continuing from the checkpoint of step 1"])
    (folder,) = store.folders(f"out/{CHECKPOINTS}")
    path = f"out/{CHECKPOINTS}/{folder}/state.json"
    if spoil == "gone":
        store.delete(path)
    else:
        store.write(path, b"{}")
    attempt, state, notes = an_attempt(job, alone)
    reason = {"gone": "is gone", "another": "is not what was written: its sha256 is another"}[spoil]
    assert notes == [f"the checkpoint of step 1 cannot be continued: {store.url(path)} {reason}; starting from step 0"]
    assert state == State()
    attempt.write(State(losses=[2.0]))
    assert an_attempt(job, alone)[1].losses == [2.0]
    assert folder not in store.folders(f"out/{CHECKPOINTS}")


def test_ranks_that_were_replaced_delete_no_checkpoint_of_those_after_them(tmp_path: Path, alone: Rank) -> None:
    store = Store(str(tmp_path))
    job = a_job(store)
    (old, *_), (new, *_) = an_attempt(job, alone), an_attempt(job, alone)

    def written(attempt: Checkpoints, step: int) -> str:
        before = set(store.folders(f"out/{CHECKPOINTS}"))
        attempt.write(State(losses=[1.0] * step))
        (folder,) = set(store.folders(f"out/{CHECKPOINTS}")) - before
        return folder

    first, late = written(new, 1), written(old, 2)
    assert store.folders(f"out/{CHECKPOINTS}") == [first, late]
    second = written(new, 3)
    assert store.folders(f"out/{CHECKPOINTS}") == [late, second], "its own one before is gone"
    last = written(an_attempt(job, alone)[0], 4)
    assert store.folders(f"out/{CHECKPOINTS}") == [last]


class TakenOver(Store):
    """A store that keeps the write of resume.json waiting until another driver has the run."""

    def write(self, path: str, data: bytes) -> None:
        super().write(path, data)
        if path.endswith(RESUME):
            super().write("lease/00002.json", b"{}")


def test_ranks_whose_driver_is_replaced_while_they_write_delete_nothing(tmp_path: Path, alone: Rank) -> None:
    store = TakenOver(str(tmp_path))
    store.write(f"out/{CHECKPOINTS}/00000001-0badcafe/state.json", b"{}")
    attempt, *_ = an_attempt(replace(a_job(store), epoch=1), alone)
    with pytest.raises(Fenced):
        attempt.write(State(losses=[1.0, 1.0]))
    assert "00000001-0badcafe" in store.folders(f"out/{CHECKPOINTS}")


class Killed(Store):
    """A store whose process is killed while it copies a model."""

    def put_folder(self, local: Path, path: str) -> list[FileRecord]:
        raise KeyboardInterrupt


class Saved:
    """A Trainee's last act."""

    def save(self, folder: Path, trained: dict[str, Any]) -> None:
        (folder / "adapter_model.safetensors").write_bytes(b"weights")


def test_a_model_that_is_written_again_and_not_to_its_end_is_no_end(tmp_path: Path, alone: Rank) -> None:
    """A rank may die behind losses.json: then all ranks end the finetune once more."""
    session, student = Kept(), Saved()
    job = a_job(Store(str(tmp_path)))
    save_adapter(session, student, job, alone)  # type: ignore[arg-type]  # of either only what is needed here
    write_end(job, State())
    assert read_end(job) is not None
    with pytest.raises(KeyboardInterrupt):
        save_adapter(session, student, replace(job, store=Killed(str(tmp_path))), alone)  # type: ignore[arg-type]
    assert read_end(job) is None


@pytest.mark.slow
def test_two_workers_with_zero_3_train_as_one_without(world: Path, tmp_path: Path, ray_cluster: None) -> None:
    alone, records = train(world, tmp_path / "1", num_workers=1, zero_stage=0)
    together, records_of_two = train(world, tmp_path / "2", num_workers=2, micro_batch_rows=1, zero_stage=3)
    assert len(alone.losses) == len(together.losses) == 6
    assert together.losses == pytest.approx(alone.losses, rel=1e-3)
    assert alone.losses[-1] < alone.losses[0]
    assert alone.fed.undecodable == 9  # three of eight examples, three epochs
    sizes = [(tmp_path / run / "out" / "model" / "adapter_model.safetensors").stat().st_size for run in "12"]
    assert sizes[0] == sizes[1]
    for trained, steps in ((alone, records), (together, records_of_two)):
        assert [record.step for record in steps] == [1, 2, 3, 4, 5, 6]  # each once, in order
        assert [record.loss for record in steps] == trained.losses
        section = Train.model_validate(SETTINGS)
        assert [record.learning_rate for record in steps] == [learning_rate(step, 6, section) for step in range(6)]
        assert all(record.tokens > 0 and record.seconds > 0 and record.num_steps == 6 for record in steps)
    norms = [[record.gradient_norm for record in steps] for steps in (records, records_of_two)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-2)
    assert min(norms[0]) > 0


def test_out_of_memory_ends_the_step_in_one_line(world: Path, tmp_path: Path, ray_cluster: None) -> None:
    """A LoRA of rank 2^40 is more than any machine has: its first matrix alone is half a petabyte."""
    started = time.monotonic()
    with pytest.raises(
        ValueError, match=r"training ran out of memory \(.*\); try a train\.micro_batch_rows below 2, or train\.gradient"
    ):
        train(world, tmp_path, lora_rank=1 << 40)
    assert time.monotonic() - started < 150  # ten restarts would take longer


def test_a_finetune_that_is_stopped_leaves_no_thread(world: Path, tmp_path: Path, ray_cluster: None) -> None:
    """One that let go of Ray's objects while Ray is shut down would end the process with status 1, and without a word."""
    stop_at = time.monotonic() + 3.0

    def check() -> None:
        """As a signal does it, or another driver, while ranks start."""
        if time.monotonic() > stop_at:
            sys.exit(143)

    with pytest.raises(SystemExit):
        train(world, tmp_path, check)
    assert [thread.name for thread in threading.enumerate() if thread.name == "train"] == []


SCRATCH = """
import os, shutil, sys
from engine.train.trainer import _scratch
try:
    with _scratch() as folder:
        open(f"{folder}/notes", "w").close()
        raise ValueError("the step stops")
except ValueError:
    print(os.path.exists(folder), folder)
os.makedirs(f"{folder}/notes")  # as the trainer's thread does, which goes on
"""


def test_no_scratch_folder_stays_after_an_error() -> None:
    done = subprocess.run([sys.executable, "-c", SCRATCH], capture_output=True, text=True, timeout=100, check=True)
    was_there, folder = done.stdout.split()
    assert (was_there, Path(folder).exists()) == ("False", False)


def test_out_of_memory_names_what_may_be_changed() -> None:
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB\nmore")
    section = Train(num_workers=2, batch_rows=24, micro_batch_rows=3)
    assert str(fatal_error(error, section)) == (
        "training ran out of memory (CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB); try "
        "a train.micro_batch_rows below 3, or train.gradient_checkpointing = true, or train.offload = true, or "
        "train.zero_stage = 3 with more train.num_workers"
    )
    least: dict[str, Any] = {"micro_batch_rows": 1, "gradient_checkpointing": True, "offload": True, "zero_stage": 3}
    assert str(fatal_error(error, section.model_copy(update=least))).endswith("; try more train.num_workers")
    assert fatal_error(RuntimeError("NCCL error"), section) is None  # a restart may mend it
    assert str(fatal_error(torch.OutOfMemoryError(), section)).startswith("training ran out of memory (OutOfMemoryError); try")


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.",
    ],
)
def test_whatever_runs_out_of_memory_is_known_by_its_words(message: str) -> None:
    assert str(fatal_error(RuntimeError(message), Train())).startswith(
        f"training ran out of memory ({message.splitlines()[0][:160]}"
    )

    @memory_errors_named
    def ask() -> None:
        raise RuntimeError(message)

    with pytest.raises(OutOfMemory, match=re.escape(message.splitlines()[0])):
        ask()


def test_a_gpu_that_is_lost_ends_the_process_that_holds_it() -> None:
    @memory_errors_named
    def ask() -> None:
        raise torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered\nCompile with TORCH_USE_CUDA_DSA")

    with pytest.raises(EngineDied, match=r"^the GPU gives up: CUDA error: uncorrectable ECC error encountered$"):
        ask()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (
            SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
            "SafetensorError: Error while serializing: I/O error: No space left on device (os error 28)",
        ),
    ],
)
def test_a_disk_that_is_full_ends_the_step_in_one_line(error: Exception, reason: str) -> None:
    fatal = fatal_error(error, Train())
    assert isinstance(fatal, StorageError)
    assert re.match(rf"a checkpoint does not fit into \S+ of its node: {re.escape(reason)}; free space", str(fatal))


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no device that is always full")
def test_a_disk_that_is_full_is_known_by_what_torch_raises() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.save({"weight": torch.zeros(1 << 20)}, "/dev/full")
    assert isinstance(fatal_error(raised.value, Train()), StorageError)


def planned_share(row: dict[str, Any]) -> dict[str, Any]:
    """The share of the object store that this row's flow plans with; Ray Data gives a task the context of its dataset."""
    return row | {"share": ray.data.DataContext.get_current().override_object_store_memory_limit_fraction}


def test_flows_that_run_together_share_the_object_store(ray_cluster: None) -> None:
    stage = flow.Stage(name="share", work=planned_share, cpus=0.5)
    shares = [next(flow.run([{"row": 0}], [stage], flow.Manner(flows=flows)))["share"] for flows in (1, 8)]
    assert shares == [0.5, 0.0625]


def test_a_meter_that_came_back_hides_no_notes(ray_cluster: None) -> None:
    meter = Meter.remote()  # type: ignore[attr-defined]
    for line in ("a", "b", "c"):
        ray.get(meter.note.remote(line))
    assert ray.get(meter.since.remote(0, 1)) == ([], ["b", "c"], None)
    ray.kill(meter, no_restart=False)
    while ray.get(meter.since.remote(0, 0))[1]:
        time.sleep(0.1)
    ray.get(meter.note.remote("d"))
    assert ray.get(meter.since.remote(0, 3)) == ([], ["d"], None)
