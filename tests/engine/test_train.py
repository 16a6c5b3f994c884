"""Pins finetuning: the same losses however many workers share the work, and an example that lost its video keeps its place."""

from pathlib import Path

import pyarrow as pa
import pytest

from builders import DECODING
from engine.config import Data, Mixture, Train
from engine.ingest.manifest import read_manifest
from engine.rows import EXAMPLES
from engine.select.choose import from_template
from engine.store.files import Store
from engine.store.filesystems import Storage
from engine.train.trainer import Trained, finetune
from engine.train.worker import TrainJob
from models.base import ModelSpec

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]


def train(world: Path, run: Path, **section: object) -> tuple[Trained, list[tuple[int, int, float]]]:
    clips = [clip for clip in read_manifest(Data(manifest=str(world)), Storage()) if clip.split == "train"]
    store = Store(str(run))
    rows = [
        example.to_row() for example in from_template(clips[:8], "The answer is {label}.", "{question}")
    ]  # three have no usable video
    store.write_table("examples.parquet", pa.Table.from_pylist(rows, schema=EXAMPLES))
    settings = {"batch_rows": 4, "micro_batch_rows": 2, "epochs": 3.0, "lr": 1e-3, "lora_rank": 4, "lora_dropout": 0.0}
    job = TrainJob(
        identity="test",
        model=ModelSpec(base="tiny"),
        train=Train.model_validate(settings | section),
        store=store,
        examples=store.describe(["examples.parquet"])[0],
        episodes=None,
        mixture=Mixture(),
        loss_on="query",
        out="out",
        seed=0,
        decoding=DECODING,
        decode_cpus=0.5,
        meter=None,
    )
    told: list[tuple[int, int, float]] = []
    return finetune(job, cpus=0.5, gpus=0, progress=lambda *step: told.append(step)), told


@pytest.mark.slow
def test_two_workers_with_zero_3_train_as_one_without(world: Path, tmp_path: Path, ray_cluster: None) -> None:
    alone, told = train(world, tmp_path / "1", num_workers=1, zero_stage=0)
    together, _ = train(world, tmp_path / "2", num_workers=2, micro_batch_rows=1, zero_stage=3)
    assert len(alone.losses) == len(together.losses) == 6
    assert together.losses == pytest.approx(alone.losses, rel=1e-3)
    assert alone.losses[-1] < alone.losses[0]
    assert alone.fed.undecodable == 9  # three of eight examples, three epochs
    assert told[-1][:2] == (6, 6)
    one, two = ((tmp_path / n / "out" / "model" / "adapter_model.safetensors").stat().st_size for n in "12")
    assert one == two
