"""Pins the tables that ranks share: the same rows in the same order as in the store, mapped and not held, then deleted."""

import os
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from engine.config import Mixture
from engine.rows import EPISODES, EXAMPLES, Example
from engine.select.conversations import read_conversations, refuse_no_examples
from engine.store.files import FileRecord, Store
from engine.store.troubles import StorageError
from engine.train import tables
from engine.train.batches import Material
from engine.train.mixture import order
from engine.train.tables import map_tables, remove_files, with_rows


def an_example(number: int, **fields: Any) -> dict[str, Any]:
    defaults = {
        "example_id": f"e{number}", "clip_id": f"c{number}", "video": f"{number}.mp4", "start_s": None, "end_s": 1.5, "prompt": "?",
        "answer": f"{number}!", "source": "star", "cycle": 0, "mode": "direct" if number % 3 else "rationalized", "seed": 0,
        "model": "", "etag": "", "follow_ups": [], "shown_in": 0, "instruction": "", "people": "", "collection": "",
    }  # fmt: skip
    return defaults | fields


def an_episode(query: int, *context: int, epoch: int = 0) -> dict[str, Any]:
    return {
        "episode_id": f"{query}/{epoch}", "query": f"e{query}", "context": [f"e{number}" for number in context],
        "roles": ["noun"] * len(context), "prompts": ["?"] * (len(context) + 1), "epoch": epoch, "short": False,
    }  # fmt: skip


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Store, FileRecord, FileRecord]:
    """Tables of several record batches, in a store."""
    monkeypatch.setattr(tables, "BATCH_ROWS", 7)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store = Store(str(tmp_path / "run"))
    store.write_table("examples.parquet", pa.Table.from_pylist([an_example(number) for number in range(40)], schema=EXAMPLES))
    episodes = [an_episode(number, number + 1, number + 2, epoch=epoch) for epoch in (0, 1) for number in range(15)]
    episodes.append(an_episode(20))
    store.write_table("episodes.parquet", pa.Table.from_pylist(episodes, schema=EPISODES))
    examples, contexts = store.describe(["examples.parquet", "episodes.parquet"])
    return store, examples, contexts


def test_mapped_tables_feed_the_same_rows_in_the_same_order(written: tuple[Store, FileRecord, FileRecord]) -> None:
    store, examples, episodes = written
    whole = store.read_table(examples)
    in_memory = Material(whole, with_rows(store.read_table(episodes), whole["example_id"]))
    mapped = Material(*map_tables(store, examples, episodes))
    mixture = Mixture(direct=1, rationalized=2, episodes=1)
    steps = order(mapped.streams(mixture), 2.0, 8, seed=3)
    assert steps == order(in_memory.streams(mixture), 2.0, 8, seed=3)
    assert [mapped.micro_batch(step) for step in steps] == [in_memory.micro_batch(step) for step in steps]
    assert [mapped.length(row)[0] for row in (0, 40, 70)] == [0, 2, 0]


def test_the_file_goes_and_the_rows_stay(written: tuple[Store, FileRecord, FileRecord], tmp_path: Path) -> None:
    store, examples, episodes = written
    folder = tmp_path / f"starloop-tables-{os.getuid()}"
    mapped = Material(*map_tables(store, examples, episodes))
    assert len(list(folder.iterdir())) == 2
    remove_files(examples, episodes)
    assert list(folder.iterdir()) == []
    assert mapped.micro_batch([39]).samples[0][0].answer == "39!"


def test_a_second_rank_reads_nothing_from_the_store(written: tuple[Store, FileRecord, FileRecord]) -> None:
    store, examples, episodes = written
    map_tables(store, examples, episodes)
    store.delete("examples.parquet")
    store.delete("episodes.parquet")
    rows, _ = map_tables(store, examples, episodes)
    assert rows["example_id"].to_pylist() == [f"e{number}" for number in range(40)]


def test_a_mapped_table_takes_no_memory(written: tuple[Store, FileRecord, FileRecord]) -> None:
    store, examples, _ = written
    before = pa.total_allocated_bytes()
    rows, _ = map_tables(store, examples, None)
    assert pa.total_allocated_bytes() == before
    addresses = [chunk.buffers()[2].address for chunk in rows["answer"].chunks if len(chunk)]
    assert len(addresses) == 6
    assert all(mapped_file(address).endswith(f"{examples.sha256}.arrow") for address in addresses)


def mapped_file(address: int) -> str:
    """The file that lies at an address of this process, "" for its own memory."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(number, 16) for number in line.split()[0].split("-"))
        if start <= address < end:
            return line.split()[5] if len(line.split()) > 5 else ""
    return ""


def test_a_table_that_was_replaced_is_refused(written: tuple[Store, FileRecord, FileRecord]) -> None:
    store, examples, episodes = written
    store.write_table("examples.parquet", pa.Table.from_pylist([an_example(1)], schema=EXAMPLES))
    with pytest.raises(StorageError, match=r"examples\.parquet is not what was written"):
        map_tables(store, examples, episodes)


def test_a_table_of_an_older_version_trains_with_the_defaults(written: tuple[Store, FileRecord, FileRecord]) -> None:
    store, _, episodes = written
    older = store.read_table("examples.parquet").drop_columns(["follow_ups", "shown_in", "instruction", "collection"])
    store.write_table("examples.parquet", older)
    examples = store.describe(["examples.parquet"])[0]
    material = Material(*map_tables(store, examples, episodes))
    assert [turn.clip for turn in material.micro_batch([5]).samples[0]] == [0]
    rows = [Example.from_row(row) for row in older.to_pylist()]
    assert {(row.follow_ups, row.shown_in) for row in rows} == {((), 0)}
    store.write_table("examples.parquet", older.drop_columns(["answer"]))
    with pytest.raises(StorageError, match=r"examples\.parquet is damaged \(.*answer.*\); restore it"):
        map_tables(store, store.describe(["examples.parquet"])[0], None)


def test_conversations_of_an_older_version_are_read(written: tuple[Store, FileRecord, FileRecord]) -> None:
    store, _, _ = written
    older = store.read_table("examples.parquet").drop_columns(["follow_ups", "shown_in", "instruction"])
    store.write_table("i.parquet", older)
    path = store.url("i.parquet")
    refuse_no_examples(Mixture(instruct=1.0, examples=path), store.storage)
    assert [len(examples) for examples in read_conversations(path, store.storage)] == [40]
    store.write_table("i/llava.parquet", older)
    store.write_table("i/video.parquet", older.slice(0, 3))
    folder = Mixture(instruct=1.0, examples=store.url("i"))
    refuse_no_examples(folder, store.storage)
    assert [len(examples) for examples in read_conversations(folder.examples, store.storage)] == [40, 3], "of all files of a folder"
    store.write_table("i.parquet", older.drop_columns(["answer"]))
    with pytest.raises(ValueError, match=r"i\.parquet does not hold examples \(.*answer.*; `starloop ingest"):
        refuse_no_examples(Mixture(instruct=1.0, examples=path), store.storage)


def test_an_empty_table_is_one(written: tuple[Store, FileRecord, FileRecord]) -> None:
    store, examples, _ = written
    store.write_table("none.parquet", EPISODES.empty_table())
    _, episodes = map_tables(store, examples, store.describe(["none.parquet"])[0])
    assert episodes is not None
    assert (len(episodes), episodes.column_names) == (0, ["prompts", "epoch", "rows"])
