"""A run folder on any fsspec URI: whole files, published at once, created if absent.

A run's state is in these files and nowhere else. Every call waits for storage that is away for a while; an error is one line that
names the file and the remedy.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from engine.store.drafts import DRAFT_PREFIX, Draft, draft_path, publish_bytes, removed_at_end
from engine.store.filesystems import Storage
from engine.store.parallel import CALLS_AT_ONCE, LOCAL_CALLS_AT_ONCE
from engine.store.troubles import StorageError, is_taken, storage_error

T = TypeVar("T")
RESTORE = "restore it, or let `starloop failures RUN --retry damaged` delete what is damaged, so that it is made again"
FEW_ROWS = 1024
"""Below which a table is packed with snappy, and read by one thread: for the few rows of a piece zstd takes three times as long to
write, and both twice as long to read."""
BY_PREFIX = frozenset(("s3", "gs", "az"))
"""Protocols whose fsspec classes find objects by the beginning of their names, so that others are not listed."""
DESCRIBED_BYTES = 16 << 20
"""Bytes of a file that are read at once to describe it."""


@dataclass(frozen=True)
class Store:
    """Files under one URI; every path is relative to it, with forward slashes. All methods may raise StorageError.

    Store("runs/demo"), Store("s3://bucket/runs/demo", Storage({"s3": {"endpoint_url": "http://127.0.0.1:9000"}}))
    """

    uri: str
    storage: Storage = field(default_factory=Storage)

    @cached_property
    def _fs_and_root(self) -> tuple[fsspec.AbstractFileSystem, str]:
        return self.storage.filesystem(self.uri)

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self.url(), self.storage)  # a worker has another working directory

    @property
    def calls_at_once(self) -> int:
        """How many files are best read at once (engine/store/parallel.py)."""
        return LOCAL_CALLS_AT_ONCE if isinstance(self._fs_and_root[0], LocalFileSystem) else CALLS_AT_ONCE

    def _path(self, path: str) -> str:
        root = self._fs_and_root[1]
        return f"{root}/{path}" if path else root

    def url(self, path: str = "") -> str:
        """The URI of a path, as another program would open it."""
        filesystem, _ = self._fs_and_root
        return self._path(path) if isinstance(filesystem, LocalFileSystem) else filesystem.unstrip_protocol(self._path(path))

    def _try(self, verb: str, path: str, call: Callable[[], T]) -> T:
        return self.storage.patiently(self._cannot(verb, path), call)

    def _cannot(self, verb: str, path: str) -> str:
        return f"cannot {verb} {self.uri}/{path}".rstrip("/")

    def read(self, path: str) -> bytes | None:
        """The file's bytes; None where there is no such file."""
        filesystem, full = self._fs_and_root[0], self._path(path)
        try:
            data: bytes = self._try("read", path, lambda: filesystem.cat_file(full))
        except StorageError as error:
            if error.trouble != "missing":
                raise
            return None
        return data

    def write(self, path: str, data: bytes) -> None:
        """Publish the file whole: a reader sees the old file, none, or this one, never a part of it."""
        filesystem, full = self._fs_and_root[0], self._path(path)
        if isinstance(filesystem, LocalFileSystem):
            self._try("write", path, lambda: publish_bytes(full, data, os.replace))
        else:
            self._try("write", path, lambda: filesystem.pipe_file(full, data))

    @contextmanager
    def writing(self, path: str) -> Iterator[BinaryIO]:
        """A file to write to part by part; it is published whole when the block ends, and not at all if the block raises.

            with store.writing("a.parquet") as file, pq.ParquetWriter(file, schema) as writer: ...

        The bytes go to a local draft: beside the file on a disk, else in the temporary folder, from where one put uploads it.
        fsspec's open("wb") is not used: it cannot repeat a part after a lost connection, and its __exit__ publishes what was
        written so far even if the block raised.
        """
        filesystem, full = self._fs_and_root[0], self._path(path)
        if isinstance(filesystem, LocalFileSystem):
            draft = self._try("write", path, lambda: draft_path(full))
        else:
            draft = self._try("write", path, lambda: draft_path(os.path.join(tempfile.gettempdir(), "x")))
        with removed_at_end(draft):
            with self._try(
                "write", path, lambda: Draft(draft, lambda error: storage_error(self._cannot("write", path), error))
            ) as file:
                yield file
                file.sync()
            if isinstance(filesystem, LocalFileSystem):
                self._try("write", path, lambda: os.replace(draft, full))
            else:
                self._try("write", path, lambda: filesystem.put_file(draft, full))

    def create(self, path: str, data: bytes) -> bool:
        """Publish the file if the path is free; False if another file is there.

        Of several callers with different data exactly one gets True if the store checks and writes in one step (a disk, S3, GCS,
        Azure). A store that checks first and writes then (OpenStack Swift) may return True to callers within the same moment; the
        data of the last one stays.
        """
        filesystem, full = self._fs_and_root[0], self._path(path)
        try:
            if isinstance(filesystem, LocalFileSystem):
                # fsspec's own local mode="create" is not atomic; a hard link is
                self._try("create", path, lambda: publish_bytes(full, data, os.link))
            else:
                self._try("create", path, lambda: _create_remote(filesystem, full, data))
        except FileExistsError:
            return self.read(path) == data  # equal if our own first call succeeded, its reply was lost, and we called again
        return True

    def names(self, folder: str, begins: str = "") -> list[str]:
        """File names directly in a folder, sorted, those that begin so; drafts are not listed. An object store lists no others."""
        return [name for name, _ in self._files(folder, lambda entry: 0, begins)]

    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes of the files directly in a folder, by their names; one listing, as `names`."""
        return {name: size for name, size in self._files(folder, _size_of) if size >= 0}

    def _files(self, folder: str, size_of: Callable[["os.DirEntry[str]"], int], begins: str = "") -> list[tuple[str, int]]:
        """Names and sizes, sorted. A listing of an object store has the sizes; on a disk `size_of` reads them, a call a file."""
        filesystem, full = self._fs_and_root[0], self._path(folder)

        def ls() -> list[tuple[str, int]]:
            if isinstance(filesystem, LocalFileSystem):
                with os.scandir(full) as entries:
                    files = [entry for entry in entries if entry.name.startswith(begins) and entry.is_file()]
                    return [(entry.name, size_of(entry)) for entry in files if not entry.name.startswith(DRAFT_PREFIX)]
            filesystem.invalidate_cache()
            objects = _objects(filesystem, full, begins)
            names = ((entry["name"].rsplit("/", 1)[-1], entry["size"]) for entry in objects if entry["type"] == "file")
            return [(name, size) for name, size in names if name.startswith(begins)]

        try:
            return sorted(self._try("list", folder, ls))
        except StorageError as error:
            if error.trouble != "missing":
                raise
            return []

    def folders(self, folder: str) -> list[str]:
        """Names of the folders directly in a folder, sorted."""
        filesystem, full = self._fs_and_root[0], self._path(folder)

        def ls() -> list[str]:
            filesystem.invalidate_cache()
            return [e["name"].rstrip("/").rsplit("/", 1)[-1] for e in filesystem.ls(full, detail=True) if e["type"] == "directory"]

        try:
            return sorted(self._try("list", folder, ls))
        except StorageError as error:
            if error.trouble != "missing":
                raise
            return []

    def total_bytes(self) -> int:
        """Bytes of all files below, by listings."""
        filesystem, full = self._fs_and_root[0], self._path("")

        def du() -> int:
            filesystem.invalidate_cache()
            return sum(entry["size"] or 0 for entry in filesystem.find(full, detail=True).values())

        return self._try("list", "", du)

    def delete(self, path: str) -> None:
        """Remove a file, or a folder and what is in it; no error where there is none."""
        filesystem, full = self._fs_and_root[0], self._path(path)

        def remove() -> None:
            filesystem.invalidate_cache()
            if filesystem.exists(full):
                filesystem.rm(full, recursive=True)

        try:
            self._try("delete", path, remove)
        except StorageError as error:
            if error.trouble != "missing":
                raise

    def write_table(self, path: str, table: pa.Table) -> None:
        self.write(path, parquet_bytes(table))

    def create_table(self, path: str, table: pa.Table) -> bool:
        """As `create`."""
        return self.create(path, parquet_bytes(table))

    def read_table(self, path: "str | FileRecord", columns: Sequence[str] | None = None) -> pa.Table:
        """The table in a file, or some of its columns; given a record, only if the file is still as recorded.

        Raises StorageError where the file is gone, is damaged, or differs from the record.
        """
        if isinstance(path, str):
            return self._table(path, self._read_existing(path), columns)
        return self._table(path.path, self.read_recorded(path), columns)

    def read_table_with_record(self, path: str) -> tuple[pa.Table, "FileRecord"]:
        """The table in a file, and the file's size and sha256, from one read."""
        data = self._read_existing(path)
        return self._table(path, data), _record(path, data)

    def _table(self, path: str, data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
        try:
            file = pq.ParquetFile(pa.BufferReader(data))  # pq.read_table plans a dataset first: 2 ms a file
            return file.read(columns, use_threads=file.metadata.num_rows >= FEW_ROWS)
        except (pa.ArrowException, OSError) as error:
            reason = str(error).partition("\n")[0][:80] or type(error).__name__
            raise StorageError("replaced", f"{self.url(path)} is damaged ({reason}); {RESTORE}") from None

    def _read_existing(self, path: str) -> bytes:
        data = self.read(path)
        if data is None:
            raise self._gone(path)
        return data

    def _gone(self, path: str) -> StorageError:
        return StorageError("missing", f"{self.url(path)} is gone; {RESTORE}")

    def read_recorded(self, record: "FileRecord") -> bytes:
        """The bytes of a file that is still as recorded. Raises StorageError where it is gone, or differs from the record."""
        data = self._read_existing(record.path)
        if _record(record.path, data) != record:
            raise self._other(record.path)
        return data

    def _other(self, path: str) -> StorageError:
        return StorageError("replaced", f"{self.url(path)} is not what was written: its sha256 is another; {RESTORE}")

    def put_folder(self, local: Path, path: str) -> list["FileRecord"]:
        """Copy the files of a local folder to `path`, block by block; returns their records."""
        records = []
        for file in sorted(local.rglob("*")):
            if file.is_file():
                target = f"{path}/{file.relative_to(local).as_posix()}"
                self._put(file, target)
                with open(file, "rb") as source:
                    sha256 = hashlib.file_digest(source, "sha256").hexdigest()
                records.append(FileRecord(path=target, size=file.stat().st_size, sha256=sha256))
        return records

    def _put(self, local: Path, path: str) -> None:
        """Publish a copy of a local file, whole, without holding it in memory."""
        filesystem, full = self._fs_and_root[0], self._path(path)
        if isinstance(filesystem, LocalFileSystem):
            with open(local, "rb") as source, self.writing(path) as file:
                shutil.copyfileobj(source, file, DESCRIBED_BYTES)
        else:
            self._try("write", path, lambda: filesystem.put_file(str(local), full))

    def get_folder(self, records: list["FileRecord"], path: str, local: Path) -> None:
        """Copy files below `path` into a local folder, block by block.

        Raises StorageError where one is gone, or differs from its record.
        """
        for record in records:
            target = local / record.path.removeprefix(f"{path}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "wb") as file:
                if self._read_through(record.path, file.write) != record:
                    raise self._other(record.path)

    def describe(self, paths: list[str]) -> list["FileRecord"]:
        """Size and sha256 of each file. Reads 16 MB at a time: a table of a million examples has hundreds."""
        return [self._describe(path) for path in paths]

    def _describe(self, path: str) -> "FileRecord":
        return self._read_through(path, lambda block: None)

    def _read_through(self, path: str, take: Callable[[bytes], object]) -> "FileRecord":
        """Give the file to `take`, block by block; returns its size and sha256."""
        sha256 = hashlib.sha256()
        try:
            with self.storage.opened(self.url(path)) as source:
                for offset in range(0, source.size, DESCRIBED_BYTES):
                    block = source.read(offset, DESCRIBED_BYTES)
                    sha256.update(block)
                    take(block)
                return FileRecord(path=path, size=source.size, sha256=sha256.hexdigest())
        except StorageError as error:
            if error.trouble != "missing":
                raise
            raise self._gone(path) from None


def _objects(filesystem: fsspec.AbstractFileSystem, full: str, begins: str) -> Iterable[dict[str, Any]]:
    """The entries of a folder; of an object store those alone whose names begin so, as far as it can be asked for them."""
    protocols = filesystem.protocol if isinstance(filesystem.protocol, tuple) else (filesystem.protocol,)
    if begins and BY_PREFIX.intersection(protocols):
        entries = filesystem.find(full, detail=True, prefix=begins)
        return (entry for path, entry in entries.items() if "/" not in path.rpartition(f"{full}/")[2])
    return filesystem.ls(full, detail=True)  # type: ignore[no-any-return]  # fsspec says Any


def _size_of(entry: "os.DirEntry[str]") -> int:
    """-1 for a file that was deleted while its folder was listed."""
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        return -1


def _create_remote(filesystem: fsspec.AbstractFileSystem, full: str, data: bytes) -> None:
    try:
        filesystem.pipe_file(full, data, mode="create")
    except Exception as error:
        if is_taken(error):
            raise FileExistsError(full) from None
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """A file as it was written: FileRecord(path="ingest/train/00000.parquet", size=48213, sha256="9f3c...")"""

    path: str
    """Relative to the run."""
    size: int
    """Bytes."""
    sha256: str


FILES = pa.schema([("path", pa.string()), ("size", pa.int64()), ("sha256", pa.string())])
"""The columns of a table of FileRecords."""


def _record(path: str, data: bytes) -> FileRecord:
    return FileRecord(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def digest(value: Any) -> str:
    """Hex digest of a JSON value; the same for the same value on every machine.

    >>> digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as a file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="snappy" if table.num_rows < FEW_ROWS else "zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data
