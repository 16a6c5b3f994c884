"""A run folder on any fsspec URI: paths, create-if-absent, atomic publish, seals.

State lives here and nowhere else. A Store pickles as its URI and options: each worker builds its own filesystem and finds its
own credentials.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Self

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

SEAL = "seal.json"


@dataclass(frozen=True)
class Store:
    """Files under one URI; every path is relative to it, with forward slashes.

    Store("runs/demo"), Store("s3://bucket/runs/demo", {"endpoint_url": "http://127.0.0.1:9000"})
    """

    uri: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def _fs_and_root(self) -> tuple[fsspec.AbstractFileSystem, str]:
        try:
            filesystem, root = fsspec.core.url_to_fs(self.uri, **self.options)
        except ImportError as error:
            raise ValueError(f"{self.uri}: {error}; starloop[gcs] and starloop[azure] bring what they need") from None
        return filesystem, root.rstrip("/")

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self.url(), dict(self.options))  # a worker has another working directory

    def _path(self, path: str) -> str:
        root = self._fs_and_root[1]
        return f"{root}/{path}" if path else root

    def url(self, path: str = "") -> str:
        """The URI of a path, as another program would open it."""
        filesystem, _ = self._fs_and_root
        return self._path(path) if isinstance(filesystem, LocalFileSystem) else filesystem.unstrip_protocol(self._path(path))

    def read(self, path: str) -> bytes | None:
        """The file's bytes; None where there is no such file."""
        try:
            data: bytes = self._fs_and_root[0].cat_file(self._path(path))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        return data

    def write(self, path: str, data: bytes) -> None:
        """Publish the file whole: a reader sees the old file, none, or this one, never a part of it."""
        filesystem, full = self._fs_and_root[0], self._path(path)
        if not isinstance(filesystem, LocalFileSystem):
            filesystem.pipe_file(full, data)
            return
        half = _write_beside(full, data)
        os.replace(half, full)

    def create(self, path: str, data: bytes) -> bool:
        """Publish the file if there is none yet; False where there is one. Two callers cannot both get True."""
        filesystem, full = self._fs_and_root[0], self._path(path)
        if not isinstance(filesystem, LocalFileSystem):
            try:
                filesystem.pipe_file(full, data, mode="create")
            except FileExistsError:
                return False
            return True
        half = _write_beside(full, data)  # fsspec's own local mode="create" is not atomic; a hard link is
        try:
            os.link(half, full)
        except FileExistsError:
            return False
        finally:
            os.unlink(half)
        return True

    def names(self, folder: str) -> list[str]:
        """File names directly in a folder, sorted; half-written ones are not listed."""
        filesystem = self._fs_and_root[0]
        filesystem.invalidate_cache()
        try:
            entries = filesystem.ls(self._path(folder), detail=True)
        except FileNotFoundError:
            return []
        names = (entry["name"].rsplit("/", 1)[-1] for entry in entries if entry["type"] == "file")
        return sorted(name for name in names if not name.startswith(".part-"))

    def write_table(self, path: str, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        self.write(path, sink.getvalue().to_pybytes())

    def read_table(self, path: str) -> pa.Table:
        """Raises FileNotFoundError."""
        data = self.read(path)
        if data is None:
            raise FileNotFoundError(self.url(path))
        return pq.read_table(pa.BufferReader(data))

    def put_folder(self, local: str, path: str) -> None:
        """Copy a local folder's files, one level deep."""
        for name in sorted(os.listdir(local)):
            with open(os.path.join(local, name), "rb") as file:
                self.write(f"{path}/{name}", file.read())

    def describe(self, paths: list[str]) -> list["FileRecord"]:
        """Size and sha256 of each file. Raises FileNotFoundError."""
        records = []
        for path in paths:
            data = self.read(path)
            if data is None:
                raise FileNotFoundError(self.url(path))
            records.append(FileRecord(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest()))
        return records


def _write_beside(full: str, data: bytes) -> str:
    folder = os.path.dirname(full)
    os.makedirs(folder, exist_ok=True)
    half = os.path.join(folder, f".part-{uuid.uuid4().hex}")
    with open(half, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return half


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    path: str
    """Relative to the run."""
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """The record whose presence means that a step is complete.

    Seal(step="cycle-000/generate", identity="9a...", files=[...], counts={"contains_label": 212}, facts={}, seconds=31.2)
    """

    step: str
    identity: str
    """Digest of the step, its configuration and its inputs' outputs: what was asked for."""
    files: list[FileRecord]
    counts: dict[str, int]
    """Rows by reason."""
    facts: dict[str, Any]
    """What else later steps and the report need, e.g. an accuracy."""
    seconds: float

    @property
    def output(self) -> str:
        """Digest of what came out: the files' contents. Seconds do not count."""
        return digest([self.identity, [[record.path, record.sha256] for record in self.files]])

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        value = json.loads(data)
        return cls(**value | {"files": [FileRecord(**record) for record in value["files"]]})


def digest(value: Any) -> str:
    """Hex digest of a JSON value; the same for the same value on every machine.

    >>> digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def read_seal(store: Store, step: str) -> Seal | None:
    data = store.read(f"{step}/{SEAL}")
    return None if data is None else Seal.from_json(data)


def write_seal(store: Store, seal: Seal) -> Seal:
    """Create the seal; where another driver was first, its seal counts and is returned."""
    if store.create(f"{seal.step}/{SEAL}", seal.to_json()):
        return seal
    first = read_seal(store, seal.step)
    assert first is not None, f"{seal.step} has a seal that cannot be read"
    return first
