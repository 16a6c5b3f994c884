"""Pins publication: whole or not at all, created once or not at all, and seals that survive the trip to a file and back."""

import hashlib
import os
import pickle
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from builders import a_seal
from engine.run.seals import read_seal, write_seal
from engine.store import files, weights
from engine.store.files import FileRecord, Store
from engine.store.filesystems import Storage
from engine.store.troubles import StorageError
from models.base import ModelSpec


def test_write_read_list(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "run"))
    assert store.read("a/b") is None
    assert store.names("a") == []
    store.write("a/b", b"1")
    store.write("a/b", b"2")
    assert store.read("a/b") == b"2"
    assert store.names("a") == ["b"]


def test_only_one_of_many_creators_wins(tmp_path: Path) -> None:
    won = []

    def create(number: int) -> None:
        if Store(str(tmp_path)).create("seal", str(number).encode() * 1000):
            won.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(won) == 1
    assert Store(str(tmp_path)).read("seal") == str(won[0]).encode() * 1000
    assert Store(str(tmp_path)).names("") == ["seal"]


def test_create_on_another_filesystem() -> None:
    store = Store("memory://run")
    assert store.create("x", b"1")
    assert not store.create("x", b"2")
    assert store.read("x") == b"1"


def test_a_store_travels_as_its_uri(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write("a", b"1")
    assert pickle.loads(pickle.dumps(store)).read("a") == b"1"


def test_seals(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert read_seal(store, "cycle-000/train") is None
    first, second = a_seal("cycle-000/train", accuracy=0.5), a_seal("cycle-000/train", accuracy=0.9)
    assert write_seal(store, first) == first
    assert write_seal(store, second) == first
    assert read_seal(store, "cycle-000/train") == first


def test_describe_names_a_file_that_is_not_there(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write("a", b"abc")
    assert store.describe(["a"])[0].size == 3
    with pytest.raises(StorageError, match="b is gone"):
        store.describe(["a", "b"])


@pytest.mark.parametrize("uri", ["{tmp_path}/run", "memory://writing"])
def test_a_file_that_is_written_part_by_part_is_seen_whole_or_not_at_all(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    store = Store(uri.format(tmp_path=tmp_path))
    with store.writing("a/b") as file:
        file.write(b"first ")
        file.write(b"half")
        assert (store.read("a/b"), store.names("a")) == (None, [])
    assert (store.read("a/b"), store.names("a")) == (b"first half", ["b"])
    with pytest.raises(ZeroDivisionError), store.writing("a/b") as file:
        [file.write(b"another" * (1 // rest)) for rest in (1, 0)]
    assert (store.read("a/b"), store.names("a")) == (b"first half", ["b"])
    with store.writing("a/b") as file:
        file.write(b"later")
    assert store.read("a/b") == b"later"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == (["b"] if "://" not in uri else [])


class FlakyFileSystem(MemoryFileSystem):
    """Loses the connection at the first put."""

    protocol = ("flaky",)
    store: ClassVar[dict[str, Any]] = {}
    puts: ClassVar[int] = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        stripped: str = super()._strip_protocol(path.replace("flaky://", "memory://", 1))
        return stripped

    def put_file(self, *args: Any, **kwargs: Any) -> None:
        FlakyFileSystem.puts += 1
        if FlakyFileSystem.puts == 1:
            raise ConnectionResetError("reset")
        super().put_file(*args, **kwargs)


@pytest.mark.waits
def test_a_file_that_was_written_is_put_again_after_a_lost_connection() -> None:
    fsspec.register_implementation("flaky", FlakyFileSystem)
    store = Store("flaky://run")
    with store.writing("a") as file:
        file.write(b"whole")
    assert (store.read("a"), FlakyFileSystem.puts) == (b"whole", 2)


def test_describe_reads_a_large_file_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "DESCRIBED_BYTES", 7)
    for store in (Store(str(tmp_path)), Store("memory://describe")):
        store.write("a", bytes(range(100)))
        assert store.describe(["a"]) == [FileRecord(path="a", size=100, sha256=hashlib.sha256(bytes(range(100))).hexdigest())]
        store.write("empty", b"")
        assert store.describe(["empty"])[0].size == 0


def test_a_table_and_its_record_come_from_one_read(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    table = pa.table({"a": [1, 2], "b": ["x", None]})
    store.write_table("t", table)
    assert store.read_table_with_record("t") == (table, store.describe(["t"])[0])
    assert store.read_table(store.describe(["t"])[0]) == table
    store.write("t", b"PAR1 no more")
    with pytest.raises(StorageError, match=r"t is damaged \(.*\); restore it, or let `starloop failures RUN --retry damaged`"):
        store.read_table("t")


def test_cached_weights_of_another_size_or_digest_are_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    store = Store("memory://weights/of/a/model")
    for name in ("config.json", "model.safetensors"):
        store.write(name, b"0123456789")
    fetched = Path(weights.local(ModelSpec(base=store.url()), Storage()).base)
    assert fetched.parent == tmp_path / "starloop" / "weights"
    assert sorted(path.name for path in fetched.iterdir()) == ["config.json", "model.safetensors"], "no part, no note among them"
    for damage in (b"01234", b"##########"):
        (fetched / "model.safetensors").write_bytes(damage)
        assert weights.local(ModelSpec(base=store.url()), Storage()).base == str(fetched)
        assert (fetched / "model.safetensors").read_bytes() == b"0123456789"
    fetched.with_suffix(".json").write_text("[")  # nothing is known of the files: none is trusted
    (fetched / "config.json").write_bytes(b"##########")
    weights.local(ModelSpec(base=store.url()), Storage())
    assert (fetched / "config.json").read_bytes() == b"0123456789"


def test_adapters_of_earlier_cycles_leave_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    base, folders = Store("memory://evict/base"), []
    base.write("config.json", b"{}")
    spec = ModelSpec(base=base.url())
    kept = Path(weights.local(spec, Storage()).base)
    for cycle in range(7):
        adapter = Store(f"memory://evict/{cycle}")
        adapter.write("adapter_config.json", b"{}")
        local = weights.local(replace(spec, adapter=adapter.url()), Storage())
        folders.append(Path(local.adapter or ""))
        if cycle not in (0, 1):  # the last five were used long ago; the first two just now
            os.utime(folders[-1].with_suffix(".json"), (cycle, cycle))
    newest = Store("memory://evict/newest")
    newest.write("adapter_config.json", b"{}")
    assert Path(weights.local(replace(spec, adapter=newest.url()), Storage()).adapter or "").is_dir()
    assert [folder.is_dir() for folder in folders] == [True, True, False, False, False, False, True]
    assert kept.is_dir()


@pytest.mark.parametrize("uri", ["{folder}/run", "memory://listed-by-beginning"])
def test_names_are_listed_by_their_beginning(tmp_path: Path, uri: str) -> None:
    store = Store(uri.format(folder=tmp_path))
    for name in ("000-a", "001-b", "001-c", "010-d", ".part-001", "001-folder/e"):
        store.write(f"pieces/{name}", b"1")
    assert store.names("pieces", "001") == ["001-b", "001-c"]
    assert store.names("pieces", "02") == store.names("nothing", "0") == []


def test_some_columns_of_a_table(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write_table("t.parquet", pa.table({"a": [1], "b": ["x"], "c": [2.0]}))
    assert store.read_table("t.parquet", ["c", "a"]).to_pylist() == [{"a": 1, "c": 2.0}]
    [record] = store.describe(["t.parquet"])
    store.write_table("t.parquet", pa.table({"a": [1], "b": ["y"], "c": [2.0]}))
    with pytest.raises(StorageError, match="sha256"):
        store.read_table(record, ["a"])


@pytest.mark.parametrize("uri", ["", "memory://folders"])
def test_a_folder_is_copied_block_by_block_and_a_changed_file_is_refused(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints have files of many GB: none is held whole."""
    monkeypatch.setattr(files, "DESCRIBED_BYTES", 4)
    store, source = Store(uri or str(tmp_path / "run")), tmp_path / "source"
    for name, data in (("a.pt", b"0123456789"), ("deep/b.pt", b""), ("deep/c.pt", b"0123")):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    monkeypatch.setattr(Store, "write", None)
    records = store.put_folder(source, "checkpoints/1")
    assert records == store.describe([f"checkpoints/1/{name}" for name in ("a.pt", "deep/b.pt", "deep/c.pt")])
    store.get_folder(records, "checkpoints/1", tmp_path / "copy")
    copied = {path.relative_to(tmp_path / "copy").as_posix(): path.read_bytes() for path in (tmp_path / "copy").rglob("*.pt")}
    assert copied == {"a.pt": b"0123456789", "deep/b.pt": b"", "deep/c.pt": b"0123"}
    with pytest.raises(StorageError, match="is not what was written: its sha256 is another"):
        store.get_folder([replace(records[0], sha256="0")], "checkpoints/1", tmp_path / "again")
    with pytest.raises(StorageError, match="is gone"):
        store.get_folder([replace(records[0], path="checkpoints/1/none.pt")], "checkpoints/1", tmp_path / "again")
