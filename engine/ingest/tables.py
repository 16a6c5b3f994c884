"""Rows of CSV, TSV, JSON, JSONL and Parquet files, or of folders of these, as a stream.

Each row has its place, or the reason why it cannot be read.
"""

import bz2
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, TextIO, cast
from urllib.parse import unquote

from engine.decode.contents import stand_in
from engine.ingest.cells import EMPTY_OR_NAME, is_empty
from engine.ingest.delimited import csv_records
from engine.ingest.folders import files_under
from engine.ingest.json_rows import json_items, json_lines, shape_of
from engine.ingest.parquet_rows import parquet_records
from engine.ingest.splits import split_named
from engine.rows import CLIPS
from engine.store.filesystems import Storage
from engine.store.troubles import StorageError

Row = dict[str, Any]
Record = tuple[str, Row | ValueError]
"""The place of a row ("labels.csv line 7"), and the row; or its error, in one line that begins with the place."""
KNOWN_COLUMNS = frozenset({*CLIPS.names, "aliases"})
"""Columns that a manifest may have."""
CARD = ".card.json"
"""How the names of the data cards end that `starloop ingest` writes beside its tables."""
KINDS = {"csv": "csv", "tsv": "tsv", "json": "json", "jsonl": "json", "ndjson": "json", "parquet": "parquet"}
"""Suffix -> how a table is written; .gz, .bz2 or .xz may follow."""
PACKED: Mapping[str, tuple[bytes, Any]] = {
    "gz": (b"\x1f\x8b", gzip.open),
    "bz2": (b"BZh", bz2.open),
    "xz": (b"\xfd7zXZ\x00", lzma.open),
}
DAMAGED = (EOFError, OSError, zlib.error, lzma.LZMAError)
"""What unpacking raises; a StorageError, which is an OSError too, is about reading the file."""
SPREADSHEET = "save the sheet as CSV (UTF-8) and name that file"
AS_PARQUET = "write it as Parquet or CSV and name that file"
UNPACK = "unpack it and name the file in it"
REMEDIES = dict.fromkeys(("xlsx", "xlsm", "xlsb", "xls", "ods", "numbers"), SPREADSHEET)
REMEDIES |= dict.fromkeys(("arrow", "feather", "orc", "avro", "h5", "hdf5", "pkl", "npy", "npz", "db", "sqlite"), AS_PARQUET)
REMEDIES |= dict.fromkeys(("zip", "tar", "tgz", "zst", "lz4", "7z", "rar"), UNPACK)
MAGIC = {
    b"PK\x03\x04": f"a ZIP archive or an Excel file; {SPREADSHEET}",
    b"\xd0\xcf\x11\xe0": f"an Excel file; {SPREADSHEET}",
    b"PAR1": "a Parquet file; call it .parquet",
    b"ARROW1": f"an Arrow file; {AS_PARQUET}",
    b"\x28\xb5\x2f\xfd": f"packed by zstd; {UNPACK}",
}
HEAD_BYTES = 1024
"""Bytes by which a file is told that is there in place of a table."""
NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"


class NoFile(ValueError):
    """There is no file of this name."""


@contextmanager
def opened(path: str, storage: Storage) -> Iterator[BinaryIO]:
    """The file, for reading. Raises NoFile, ValueError for a pointer or a web page in its place, StorageError."""
    try:
        with storage.file(path) as file:
            if what := stand_in(file.read(HEAD_BYTES)):
                raise ValueError(f"{path} is {what}")
            file.seek(0)
            yield file
    except StorageError as error:
        if error.trouble != "missing":
            raise
        tried = "" if "://" in path or os.path.isabs(path) else f" (looked for {os.path.abspath(path)})"
        raise NoFile(f"no such file: {path}{tried}") from None


@contextmanager
def unpacked(path: str, storage: Storage) -> Iterator[BinaryIO]:
    """The file, for reading; where it is packed by gzip, bzip2 or xz, what is in it. Raises ValueError for a damaged one."""
    with opened(path, storage) as file:
        head = file.read(8)
        file.seek(0)
        unpack = next((unpack for magic, unpack in PACKED.values() if head.startswith(magic)), None)
        if unpack is None:
            yield file
            return
        try:
            with unpack(file) as inner:
                yield cast(BinaryIO, inner)
        except StorageError:
            raise
        except DAMAGED as error:
            raise ValueError(f"{path} cannot be unpacked ({error}): it is cut off or damaged; get it again") from None


@contextmanager
def text_of(path: str, storage: Storage, newline: str = "\n") -> Iterator[TextIO]:
    """The file's text, which is UTF-8 unless its first bytes say UTF-16. Raises ValueError for any other text, with the line."""
    with unpacked(path, storage) as file:
        head = file.read(8)
        file.seek(0)
        if what := next((what for magic, what in MAGIC.items() if head.startswith(magic)), None):
            raise ValueError(f"{path} is {what}")
        encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
        text = io.TextIOWrapper(file, encoding=encoding, newline=newline)
        try:
            yield text
        except UnicodeError as error:
            text.detach()
            where = f" in line {_bad_line(file)}" if encoding == "utf-8-sig" else ""
            reason = error.reason if isinstance(error, UnicodeDecodeError) else error
            raise ValueError(f"{path} is not UTF-8 text ({reason}{where}); save it as UTF-8") from None
        text.detach()


def _bad_line(file: BinaryIO) -> int:
    """The number of the first line that is not UTF-8."""
    file.seek(0)
    for number, line in enumerate(file, 1):
        try:
            line.decode()
        except UnicodeDecodeError:
            return number
    return 0


def kind_of(path: str) -> str:
    """How the table in a file is written, by its name; "" for another file. Data cards are no tables.

    >>> kind_of("a/labels.CSV.gz"), kind_of("rows.ndjson"), kind_of("notes.txt"), kind_of("clips.card.json")
    ('csv', 'json', '', '')
    """
    if path.lower().endswith(CARD):
        return ""
    name, _, suffix = path.rsplit("/", 1)[-1].lower().rpartition(".")
    return kind_of(name) if suffix in PACKED and name else KINDS.get(suffix, "")


def table_records(path: str, storage: Storage, needed: Collection[str] = (), default: str = "") -> Iterator[Record]:
    """The rows of a file, or of the part files of a folder in the order of their names.

    `needed`: columns by which a CSV's delimiter is recognized. `default`: the kind of a file whose name does not say it.
    Raises ValueError for a file of another kind, or one that is cut off.
    """
    files = part_files(path, storage)
    if files is None:
        yield from _file_records(path, storage, needed, default)
        return
    for name in files:
        for place, row in _file_records(f"{path.rstrip('/')}/{name}", storage, needed, default, is_part=True):
            yield place, row if isinstance(row, ValueError) else _with_partition(row, partition_of(name))


def _with_partition(row: Row, partition: Row) -> Row:
    """What a part file's name says holds where the row's own cell is empty."""
    own = {name: row[name] for name in partition if not is_empty(row.get(name)) and str(row[name]) not in EMPTY_OR_NAME}
    return row | partition | own


def part_files(path: str, storage: Storage) -> list[str] | None:
    """The names of the tables in a folder; None for a file. Raises ValueError for a folder with no tables or several kinds."""
    files = files_under(path, storage)
    if files is None:
        return None
    tables = [name for name in files if kind_of(name)]
    if len(kinds := sorted({kind_of(name) for name in tables})) != 1:
        what = f"{' and '.join(kinds)} tables" if kinds else "neither tables nor videos"
        raise ValueError(f"{path} is a folder with {what}; name a table, or a folder with tables of one kind")
    return tables


def partition_of(name: str) -> Row:
    """What the name of a part file says about its rows: Hive's column=value folders, and a split.

    >>> partition_of("verb=put%20down/part-0.parquet"), partition_of("test-00000-of-00003.parquet")
    ({'verb': 'put down'}, {'split': 'test'})
    """
    *folders, file = name.split("/")
    pairs = [folder.partition("=") for folder in folders]
    columns: Row = {key: None if value == NO_PARTITION else unquote(value) for key, equals, value in pairs if equals}
    split = split_named(file)
    return {"split": split} | columns if split else columns


def _file_records(path: str, storage: Storage, needed: Collection[str], default: str, is_part: bool = False) -> Iterator[Record]:
    match kind := kind_of(path) or default:
        case "":
            with opened(path, storage):
                pass  # a file that is not there has another remedy
            suffix = path.rsplit(".", 1)[-1].lower()
            remedy = REMEDIES.get(suffix, "other annotations need --format")
            raise ValueError(f"{path}: a manifest is .csv, .tsv, .json, .jsonl or .parquet; {remedy}")
        case "parquet":
            with opened(path, storage) as file:
                yield from parquet_records(path, file)
        case _:
            with text_of(path, storage, newline="\n" if kind == "json" else "") as text:
                if is_part and not text.read(1):
                    return  # Spark writes a file for each of its tasks, also for those without rows
                text.seek(0)
                yield from (
                    json_records(path, text) if kind == "json" else csv_records(path, text, "\t" if kind == "tsv" else ",", needed)
                )


def json_records(path: str, text: TextIO) -> Iterator[Record]:
    """The objects of an array, or one a line."""
    for place, row in json_items(path, text, "item") if shape_of(text) == "array" else json_lines(path, text):
        yield place, row if isinstance(row, dict | ValueError) else ValueError(f"{place} is not a JSON object")
