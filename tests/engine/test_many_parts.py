"""Pins that a step of more than a hundred parts has an index for each hundred, which select, status and a retry read."""

from pathlib import Path

import pyarrow as pa
import pytest

from builders import a_clip, an_attempt
from engine.generate.attempts import _account
from engine.ingest.clips import path_of, to_table
from engine.presets import load_config
from engine.rows import ATTEMPTS
from engine.run.damage import damage_by_sizes, recorded
from engine.run.failures import retry
from engine.run.plan import INGEST, Step
from engine.run.seals import Seal, write_seal
from engine.run.work import Work, indexed, pieces_of
from engine.select.survivors import Pieces
from engine.store.files import Store

GENERATE = Step(name="cycle-000/generate", kind="generate", cycle=0, inputs=(INGEST,))
PARTS = (0, 99, 100)
INDEXES = [f"{GENERATE.name}/000-index.pq", f"{GENERATE.name}/001-index.pq"]


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """A generate step with clips in three of 101 parts, whose pieces are all written; the last clip failed."""
    store = Store(str(tmp_path))
    for number in PARTS:
        store.write_table(path_of("train", number), to_table([a_clip(f"{number}-{n}") for n in range(3)]))
    sizes = {"train": [3, *[0] * 98, 3, 3], "heldout": []}
    seal(store, INGEST, [path_of("train", number) for number in PARTS], parts=sizes)
    config = load_config(None, [f"run.uri={tmp_path}", "data.manifest=m.csv", "generate.piece_clips=2"])
    store.write("config.json", config.model_dump_json().encode())
    work = Work(step=GENERATE, identity="", config=config, store=store, report=lambda progress: None)
    for planned in work.pieces():
        rows = [
            an_attempt(clip.clip_id, **{"outcome": "failed", "reason": "missing"} if clip.clip_id == "100-2" else {})
            for clip in planned.clips
        ]
        path = f"{pieces_of(GENERATE.name)}/{planned.piece.file_name}"
        store.write_table(path, pa.Table.from_pylist([row.to_row() for row in rows], schema=ATTEMPTS))
    return work


def seal(store: Store, step: str, paths: list[str], **facts: object) -> Seal:
    files = store.describe(paths)
    return write_seal(store, Seal(step=step, identity="", files=files, counts={}, facts=facts, seconds=1.0, epoch=1))


def test_each_hundred_parts_have_an_index(work: Work) -> None:
    assert _account(work, []).clips == 9
    assert list(work.groups().values()) == INDEXES
    sealed = seal(work.store, GENERATE.name, INDEXES)
    assert [len(indexed(work.store, sealed, begins)) for begins in ("000", "001", "")] == [4, 2, 6]
    assert set(indexed(work.store, sealed)) == {f"{GENERATE.name}/pieces/{n}" for n in work.store.names(f"{GENERATE.name}/pieces")}
    groups = [[clip.clip_id for clip in clips] for clips, _ in Pieces(work.store, [GENERATE.name]).attempts(work.parts("train"))]
    assert groups == [["0-0", "0-1"], ["0-2"], ["99-0", "99-1"], ["99-2"], ["100-0", "100-1"], ["100-2"]]
    assert damage_by_sizes(work.store, [sealed]) == []


def test_a_damaged_index_leaves_the_others_known_and_a_retry_deletes_all(work: Work) -> None:
    _account(work, [])
    sealed = seal(work.store, GENERATE.name, INDEXES)
    whole = work.store.read(INDEXES[0])
    work.store.write(INDEXES[0], b"x")
    records, damage = recorded(work.store, sealed)
    assert ([file.path for file in damage], len(records)) == ([INDEXES[0]], 2)
    assert whole is not None
    work.store.write(INDEXES[0], whole)
    retried = retry(work.store, "missing", rewind=False)
    assert retried is not None
    assert not [name for name in work.store.names(GENERATE.name) if name.endswith("index.pq")]
    assert len(work.store.names(pieces_of(GENERATE.name))) == 5
