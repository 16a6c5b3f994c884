"""Rows with defaults, for tests that care about one field; and a generate step made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import pyarrow as pa

from engine.config import Mixture, Train
from engine.decode.decoder import DecodeLimits
from engine.decode.stage import DecodeSettings
from engine.ingest.clips import path_of, write_parts
from engine.ingest.pieces import cut
from engine.labels import Keywords, Label
from engine.rows import ATTEMPTS, Attempt, Clip
from engine.run.plan import INGEST, name_of
from engine.run.seals import Seal, write_seal
from engine.run.work import INDEX, pieces_of
from engine.store.files import FILES, Store
from engine.store.filesystems import Storage
from engine.train.job import TrainJob
from models.base import Device, ModelSpec

LIMITS = DecodeLimits(
    timeout_s=30, memory_bytes=4 << 30, read_bytes=1 << 30, frame_pixels=8192 * 4320, decode_pixels=20_000_000_000
)
DECODING = DecodeSettings(backend="pyav", limits=LIMITS, storage=Storage())


def a_label(text: str = "rising", **fields: Any) -> Keywords:
    return Keywords(text=text, **fields)


def a_clip(clip_id: str = "a", label: str | Label = "rising", **fields: Any) -> Clip:
    defaults: dict[str, Any] = {
        "clip_id": clip_id,
        "video": f"/videos/{clip_id}.mp4",
        "start_s": None,
        "end_s": None,
        "question": "What is the action?",
        "label": a_label(label) if isinstance(label, str) else label,
        "split": "train",
        "verb": "",
        "noun": "",
        "description": "",
        "narrator": "",
    }
    return Clip(**defaults | fields)


def an_attempt(clip_id: str = "a", **fields: Any) -> Attempt:
    defaults: dict[str, Any] = {
        "piece_id": "p",
        "clip_id": clip_id,
        "cycle": 0,
        "mode": "direct",
        "outcome": "kept",
        "reason": "contains_label",
        "detail": "",
        "score": 1.0,
        "judgements": (),
        "prompt": "What is the action?",
        "text": "It is rising.",
        "num_tokens": 4,
        "seed": 1,
        "model": "m",
        "etag": "v1",
        "in_order": False,
    }
    return Attempt(**defaults | fields)


def a_seal(step: str, **facts: Any) -> Seal:
    return Seal(step=step, identity=step, files=[], counts={}, facts=facts, seconds=1.0, epoch=1)


def a_train_job(store: Store, train: Train, **fields: Any) -> TrainJob:
    """A finetune of the tiny base on the examples.parquet of the store, on the CPU."""
    defaults: dict[str, Any] = {
        "identity": "test",
        "device": Device("cpu", "float32"),
        "model": ModelSpec(base="tiny"),
        "train": train,
        "store": store,
        "examples": store.describe(["examples.parquet"])[0],
        "episodes": None,
        "mixture": Mixture(),
        "loss_on": "query",
        "out": "out",
        "seed": 0,
        "failure_rate": 0.5,
        "decoding": DECODING,
        "decode_cpus": 0.5,
    }
    return TrainJob(**defaults | fields)


def seal_attempts(
    store: Store, clips: Sequence[Clip], attempts: Sequence[Attempt], piece_clips: int, accounts: Mapping[str, Any]
) -> None:
    """Write and seal what ingest and the first generate step leave of these train clips. `accounts`: facts of the generate step."""
    parts = write_parts(store, clips) | {"heldout": [1]}
    write_seal(store, replace(a_seal(INGEST, parts=parts), files=store.describe([path_of("train", 0)])))
    step, names = name_of(0, "generate"), []
    for piece, _ in cut(path_of("train", 0), clips, piece_clips):
        ids = {clip.clip_id for clip in clips[piece.start : piece.start + piece.count]}
        rows = [attempt.to_row() | {"piece_id": piece.piece_id} for attempt in attempts if attempt.clip_id in ids]
        names.append(f"{pieces_of(step)}/{piece.file_name}")
        store.write_table(names[-1], pa.Table.from_pylist(rows, schema=ATTEMPTS))
    index = [asdict(record) for record in store.describe(names)]
    store.write_table(f"{step}/{INDEX}", pa.Table.from_pylist(index, schema=FILES))
    write_seal(store, replace(a_seal(step, **accounts), files=store.describe([f"{step}/{INDEX}"])))
