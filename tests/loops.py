"""Runs of the loop in tests: a small configuration, what a generator is given, and what a run left."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config import RunConfig
from engine.generate import prompts
from engine.generate.spec import GenerateSpec
from engine.run.work import run_config
from engine.store.files import Store
from engine.store.filesystems import Storage
from engine.verify.stages import Stages
from engine.verify.verdict import VerifySpec
from models.base import Device, EngineSpec, ModelSpec, Sampling
from worlds import shapes

SETTINGS = [
    "model.allow_tiny=true",
    "generate.max_tokens=48", "generate.piece_clips=10", "train.epochs=5.0", "train.batch_rows=4", "train.micro_batch_rows=4",
    "train.lr=6e-3", "train.lora_rank=16", "train.lora_dropout=0.1", "train.checkpoint_every_steps=20", "loop.max_cycles=2",
    "loop.promote=best",  # few held-out clips
]  # fmt: skip


def write_world(folder: Path) -> str:
    """A world of 60 train and 20 held-out clips, three of them without a usable video; returns its manifest."""
    clips = shapes.write_world(folder, 60, 20, seed=3)
    (folder / "train-00003.mp4").unlink()
    (folder / "train-00004.mp4").write_text("no video at all\n" * 100)
    (folder / "train-00005.mp4").write_bytes(b"")
    rows = [clip.to_row() | {"label": clip.label.text, "video": Path(clip.video).name} for clip in clips]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / "manifest.jsonl")


def settings(world: Path | str, run: Path | str) -> list[str]:
    return [*SETTINGS, f"data.manifest={world}", f"run.uri={run}"]


@dataclass(frozen=True)
class Finished:
    """A run at its end. It belongs to the whole session: a test that changes anything takes a copy."""

    config: RunConfig
    summary: dict[str, Any]

    @property
    def folder(self) -> Path:
        return Path(self.config.run.uri)

    @property
    def store(self) -> Store:
        return Store(self.config.run.uri)

    def copy(self, folder: Path, without: Sequence[str] = ()) -> "Finished":
        """The run in another folder, as it was before the steps (or whole cycles) in `without` were done.

        A run does not know where it lies: its clips name their videos by absolute paths, and everything else is relative to it.
        """
        shutil.copytree(self.folder, folder)
        for step in ("lease", *without):
            shutil.rmtree(folder / step)
        config = self.config.model_copy(update={"run": self.config.run.model_copy(update={"uri": str(folder)})})
        return Finished(config, self.summary)


def attempts_of(store: Store, step: str) -> list[dict[str, Any]]:
    rows = [row for name in store.names(f"{step}/pieces") for row in store.read_table(f"{step}/pieces/{name}").to_pylist()]
    return sorted(rows, key=lambda row: (row["clip_id"], row["mode"]))


def examples_of(store: Store, cycle: int) -> list[dict[str, Any]]:
    return list(store.read_table(f"cycle-{cycle:03d}/select/examples.parquet").to_pylist())


def outcome(store: Store) -> dict[str, bytes]:
    """The bytes that a run left, by path: pieces (kept, rejected and failed rows), examples, adapters, losses."""
    files = {}
    for cycle in range(run_config(store).loop.max_cycles):
        name = f"cycle-{cycle:03d}"
        for folder in (
            f"{name}/generate/pieces",
            f"{name}/select",
            f"{name}/train",
            f"{name}/train/model",
            f"{name}/evaluate/pieces",
        ):
            for file in store.names(folder):
                if file not in ("seal.json", "README.md"):  # seconds, and the run's name
                    files[f"{folder}/{file}"] = store.read(f"{folder}/{file}") or b""
    return files


def a_generate_spec(**fields: Any) -> GenerateSpec:
    defaults: dict[str, Any] = {
        "step": "cycle-000/generate",
        "store": Store("memory://generate-spec"),
        "model": ModelSpec(base="tiny"),
        "device": Device("cpu", "float32"),
        "engine": EngineSpec(),
        "storage": Storage(),
        "prompts": prompts.STRICT,
        "sampling": Sampling(temperature=0.0, max_tokens=8),
        "verify": Stages(names=("rules",), spec=VerifySpec(preset="strict")),
        "rationalize": True,
        "run_seed": 0,
        "cycle": 0,
    }
    spec = GenerateSpec(**defaults | fields)
    spec.store.write("config.json", b"{}")  # by which an actor knows that it sees the run
    return spec
