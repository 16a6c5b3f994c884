"""Pins how long the driver's reading takes where each call to the store takes 20 ms, and that it holds a bounded number of pieces.

The numbers: pytest tests/pure/test_round_trips.py -s
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, ClassVar

import fsspec
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from builders import a_clip, a_seal, an_attempt
from engine.config import RunConfig, load_config
from engine.ingest.clips import path_of, write_parts
from engine.ingest.pieces import cut
from engine.rows import ATTEMPTS, Clip
from engine.run.plan import BASE, INGEST, Step
from engine.run.seals import Seal, write_seal
from engine.run.status import status
from engine.run.work import INDEX, Work, pieces_of
from engine.select.step import select_examples
from engine.store.files import FILES, Store

ROUND_TRIP_S = 0.02
"""A small object's GET from S3 in the same region takes 10 to 30 ms."""
PIECES, PIECE_CLIPS = 100, 32
GENERATE = "cycle-000/generate"


class SlowFileSystem(MemoryFileSystem):
    """A filesystem whose every call takes a round trip: slow://"""

    protocol = ("slow",)
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    round_trip_s: ClassVar[float] = 0.0
    calls: ClassVar[int] = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        stripped: str = super()._strip_protocol(path.replace("slow://", "memory://", 1))
        return stripped

    @classmethod
    def _travel(cls) -> None:
        cls.calls += 1
        time.sleep(cls.round_trip_s)

    def cat_file(self, path: str, *args: Any, **kwargs: Any) -> Any:
        self._travel()
        return super().cat_file(path, *args, **kwargs)

    def ls(self, path: str, *args: Any, **kwargs: Any) -> Any:
        self._travel()
        return super().ls(path, *args, **kwargs)

    def pipe_file(self, path: str, *args: Any, **kwargs: Any) -> Any:
        self._travel()
        return super().pipe_file(path, *args, **kwargs)

    def put_file(self, *args: Any, **kwargs: Any) -> Any:
        self._travel()
        return super().put_file(*args, **kwargs)

    def exists(self, path: str, **kwargs: Any) -> bool:
        self._travel()
        return bool(super().exists(path, **kwargs))


fsspec.register_implementation("slow", SlowFileSystem)


@pytest.fixture
def run() -> Iterator[Store]:
    """A run of 100 pieces of 32 clips that has generated, and not sealed it yet; every fourth clip of a piece failed."""
    SlowFileSystem.store.clear()
    SlowFileSystem.round_trip_s = 0.0
    store = Store("slow://run")
    config = load_config(None, [f"generate.piece_clips={PIECE_CLIPS}", "run.uri=slow://run", "data.manifest=none.jsonl"])
    store.write("config.json", config.model_dump_json().encode())
    parts = write_parts(store, [a_clip(f"clip-{number:05d}") for number in range(PIECES * PIECE_CLIPS)])
    parts["heldout"] = [1]
    ingested = a_seal(INGEST, parts=parts)
    write_seal(store, Seal(**asdict(ingested) | {"files": store.describe([path_of("train", 0)])}))
    write_seal(store, a_seal(BASE, accuracy=0.1, clips=1, direct_kept=1, rationalized_kept=0, dropped={}, failed={}))
    for _, clips in work_of(store, config).parts("train"):
        for piece, _ in cut(path_of("train", 0), clips, PIECE_CLIPS):
            rows = [attempt_row(number, clip, piece.piece_id) for number, clip in enumerate(clips[piece.start :][: piece.count])]
            store.write_table(f"{pieces_of(GENERATE)}/{piece.file_name}", pa.Table.from_pylist(rows, schema=ATTEMPTS))
    SlowFileSystem.round_trip_s = ROUND_TRIP_S
    yield store
    SlowFileSystem.round_trip_s = 0.0
    SlowFileSystem.store.clear()


def attempt_row(number: int, clip: Clip, piece_id: str) -> dict[str, Any]:
    text = f"Number {clip.clip_id} begins low and goes up all the way to the top of the picture, so the action is rising."
    outcome = {"outcome": "failed", "reason": "missing", "text": ""} if number % 4 == 0 else {"text": text}
    return an_attempt(clip.clip_id, piece_id=piece_id, **outcome).to_row()


def work_of(store: Store, config: RunConfig) -> Work:
    step = Step(name="cycle-000/select", kind="select", cycle=0, inputs=(INGEST, GENERATE))
    return Work(step=step, identity="x", config=config, store=store, report=lambda progress: None)


def seal_generation(store: Store) -> None:
    SlowFileSystem.round_trip_s = 0.0
    records = store.describe([f"{pieces_of(GENERATE)}/{name}" for name in store.names(pieces_of(GENERATE))])
    store.write_table(f"{GENERATE}/{INDEX}", pa.Table.from_pylist([asdict(record) for record in records], schema=FILES))
    facts = {"clips": 3200, "direct_kept": 2400, "rationalized_kept": 0, "dropped": {}, "failed": {"missing": 800}}
    write_seal(store, Seal(**asdict(a_seal(GENERATE, **facts)) | {"files": store.describe([f"{GENERATE}/{INDEX}"])}))
    SlowFileSystem.round_trip_s = ROUND_TRIP_S


@contextmanager
def timed(what: str) -> Iterator[list[float]]:
    seconds: list[float] = []
    began, calls = time.monotonic(), SlowFileSystem.calls
    yield seconds
    seconds.append(time.monotonic() - began)
    print(f"{what}: {seconds[0]:.2f} s for {PIECES} pieces, {SlowFileSystem.calls - calls} calls of {ROUND_TRIP_S * 1000:.0f} ms")


def test_status_takes_less_than_half_a_second(run: Store) -> None:
    with timed("status") as seconds:
        now = status(run)
    assert [(begun.written, begun.planned, begun.accounts.failed) for begun in now.begun] == [(100, 100, {"missing": 800})]
    assert seconds[0] < 0.5


@pytest.mark.parametrize("settings", [[], ["select.max_per_label=1000"]], ids=["all", "capped"])
def test_select_takes_less_than_half_a_second(run: Store, settings: list[str]) -> None:
    seal_generation(run)
    config = load_config(None, [f"generate.piece_clips={PIECE_CLIPS}", "run.uri=slow://run", *settings])
    with timed("select") as seconds:
        selected = select_examples(work_of(run, config))
    assert selected.counts["examples"] == (1000 if settings else 2400)
    assert seconds[0] < 0.5
