"""A run folder on any fsspec URI: whole files, published at once, created if absent.

State lives here and nowhere else. Every call waits for storage that is away for a while, and says in one line what it cannot do.
"""

import errno
import hashlib
import json
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from engine.store.filesystems import Storage, StorageError, is_taken

T = TypeVar("T")
RESTORE = "restore it, or let `starloop failures RUN --retry damaged` take away what is damaged, to be made again"
HALF = ".part-"
"""Begins the name of a local file that is being written."""


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

    def _path(self, path: str) -> str:
        root = self._fs_and_root[1]
        return f"{root}/{path}" if path else root

    def url(self, path: str = "") -> str:
        """The URI of a path, as another program would open it."""
        filesystem, _ = self._fs_and_root
        return self._path(path) if isinstance(filesystem, LocalFileSystem) else filesystem.unstrip_protocol(self._path(path))

    def _try(self, verb: str, path: str, call: Callable[[], T]) -> T:
        return self.storage.patiently(f"cannot {verb} {self.uri}/{path}".rstrip("/"), call)

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
            self._try("write", path, lambda: _publish(full, data, os.replace))
        else:
            self._try("write", path, lambda: filesystem.pipe_file(full, data))

    def create(self, path: str, data: bytes) -> bool:
        """Publish the file if there is none yet; False where there is one.

        Of callers with different data only one gets True, where the store decides in one step (a disk, S3, GCS, Azure). One that
        looks first and writes then (OpenStack Swift) may tell several who come within the same moment; the last one's data stays.
        """
        filesystem, full = self._fs_and_root[0], self._path(path)
        try:
            if isinstance(filesystem, LocalFileSystem):
                # fsspec's own local mode="create" is not atomic; a hard link is
                self._try("create", path, lambda: _publish(full, data, os.link))
            else:
                self._try("create", path, lambda: _create_remote(filesystem, full, data))
        except FileExistsError:
            return self.read(path) == data  # ours, if an answer was lost on its way and the call was made again
        return True

    def names(self, folder: str) -> list[str]:
        """File names directly in a folder, sorted; half-written ones are not listed."""
        filesystem, full = self._fs_and_root[0], self._path(folder)

        def ls() -> list[str]:
            if isinstance(filesystem, LocalFileSystem):
                with os.scandir(full) as entries:
                    return [entry.name for entry in entries if entry.is_file() and not entry.name.startswith(HALF)]
            filesystem.invalidate_cache()
            return [e["name"].rsplit("/", 1)[-1] for e in filesystem.ls(full, detail=True) if e["type"] == "file"]

        try:
            return sorted(self._try("list", folder, ls))
        except StorageError as error:
            if error.trouble != "missing":
                raise
            return []

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
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        self.write(path, sink.getvalue().to_pybytes())

    def read_table(self, path: "str | FileRecord") -> pa.Table:
        """A path's table; with a record, only as it was recorded. Raises StorageError where it is gone, damaged or another."""
        data = self._read_there(path) if isinstance(path, str) else self.read_recorded(path)
        try:
            return pq.read_table(pa.BufferReader(data))
        except (pa.ArrowException, OSError) as error:
            where = self.url(path if isinstance(path, str) else path.path)
            raise StorageError("replaced", f"{where} is damaged ({str(error).splitlines()[0][:80]}); {RESTORE}") from None

    def _read_there(self, path: str) -> bytes:
        data = self.read(path)
        if data is None:
            raise StorageError("missing", f"{self.url(path)} is gone; {RESTORE}")
        return data

    def read_recorded(self, record: "FileRecord") -> bytes:
        """A file's bytes as they were when it was recorded. Raises StorageError where it is gone or is another one."""
        data = self._read_there(record.path)
        if _record(record.path, data) != record:
            raise StorageError("replaced", f"{self.url(record.path)} is not what was written: its sha256 is another; {RESTORE}")
        return data

    def put_folder(self, local: Path, path: str) -> list["FileRecord"]:
        """Copy a local folder's files; returns what was written, by paths relative to the run."""
        records = []
        for file in sorted(local.rglob("*")):
            if file.is_file():
                data, target = file.read_bytes(), f"{path}/{file.relative_to(local).as_posix()}"
                self.write(target, data)
                records.append(_record(target, data))
        return records

    def get_folder(self, records: list["FileRecord"], path: str, local: Path) -> None:
        """Copy files below `path` into a local folder. Raises StorageError where one is gone, or is not what was written."""
        for record in records:
            data = self.read_recorded(record)
            target = local / record.path.removeprefix(f"{path}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)

    def describe(self, paths: list[str]) -> list["FileRecord"]:
        """Size and sha256 of each file."""
        return [_record(path, self._read_there(path)) for path in paths]


def _create_remote(filesystem: fsspec.AbstractFileSystem, full: str, data: bytes) -> None:
    try:
        filesystem.pipe_file(full, data, mode="create")
    except Exception as error:
        if is_taken(error):
            raise FileExistsError(full) from None
        raise


def _publish(full: str, data: bytes, commit: Callable[[str, str], None]) -> None:
    """Write beside the file, then commit(half, full): os.replace, or os.link, which raises FileExistsError."""
    folder = os.path.dirname(full)
    try:
        os.makedirs(folder, exist_ok=True)
    except FileExistsError:  # which commit() would have meant in another way
        raise NotADirectoryError(errno.ENOTDIR, "a file is in the way of a folder", folder) from None
    half = os.path.join(folder, f"{HALF}{uuid.uuid4().hex}")
    try:
        with open(half, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        commit(half, full)
    finally:
        if os.path.exists(half):
            os.unlink(half)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    path: str
    """Relative to the run."""
    size: int
    """Bytes."""
    sha256: str


FILES = pa.schema([("path", pa.string()), ("size", pa.int64()), ("sha256", pa.string())])
"""FileRecords as a table."""


def _record(path: str, data: bytes) -> FileRecord:
    return FileRecord(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def digest(value: Any) -> str:
    """Hex digest of a JSON value; the same for the same value on every machine.

    >>> digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
