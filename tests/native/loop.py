"""Two cycles of the loop on a small random checkpoint, which answers nothing: conversations are what its finetunes learn."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine.presets import load_config
from engine.rows import EXAMPLES, Example
from engine.run import loop
from engine.store.files import Store
from models.base import ModelSpec
from worlds import shapes

SETTINGS = [
    "model.num_frames=4", "generate.max_tokens=6", "generate.piece_clips=4", "mixture.instruct=1.0", "train.epochs=1.0",
    "train.batch_rows=4", "train.micro_batch_rows=2", "train.lora_rank=4", "train.checkpoint_every_steps=1", "loop.max_cycles=2",
    "loop.patience=2",
]  # fmt: skip


def two_cycles(spec: ModelSpec, folder: Path, *settings: str) -> dict[str, Any]:
    """The run's summary. A connected Ray is used."""
    clips = shapes.write_world(folder / "world", 4, 2, seed=3)
    rows = [clip.to_row() | {"label": clip.label.text} for clip in clips]  # type: ignore[union-attr]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fields: dict[str, Any] = {"start_s": None, "end_s": None, "source": "instruct", "prompt": "what is it ?", "answer": "rising ."}
    examples = [Example(example_id=clip.clip_id, clip_id=clip.clip_id, video=clip.video, **fields).to_row() for clip in clips[:4]]
    Store(str(folder)).write_table("examples.parquet", pa.Table.from_pylist(examples, schema=EXAMPLES))
    places = [f"data.manifest={folder}/manifest.jsonl", f"mixture.examples={folder}/examples.parquet", f"run.uri={folder}/run"]
    config = load_config(None, [*SETTINGS, *places, f"model.base={spec.base}", *settings])
    return loop.run(config, lambda progress: None)
