"""Pins publication: whole or not at all, created once or not at all, and seals that survive the trip to a file and back."""

import pickle
import threading
from pathlib import Path

import pytest

from builders import a_seal
from engine.run.seals import read_seal, write_seal
from engine.store.files import Store
from engine.store.filesystems import StorageError


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
