"""The rows of a table or a folder with a manifest's own columns; and the fingerprint by which a change of it is noticed."""

import difflib
import hashlib
from collections.abc import Iterator

from engine.config import Data
from engine.ingest.adapters.source import Source
from engine.ingest.adapters.turns import is_conversation
from engine.ingest.classes import class_records, holds_classes, ignored, layout_note
from engine.ingest.folders import files_under, is_video
from engine.ingest.tables import KNOWN_COLUMNS, Record, Row, kind_of, opened, table_records
from engine.store.filesystems import Storage

CONVERSATIONS = "these are conversations, which `starloop ingest --format instruct` makes examples of"


def own_records(path: str, storage: Storage, source: Source | None = None) -> Iterator[Record]:
    """Rows of a table with a manifest's columns, or of class folders; unknown columns are ValueErrors.

    `source`: has the template of the names of the videos, with the row's own columns, and the split of all rows, where they are
    given.
    """
    source = source or Source(path=path, storage=storage)
    needed = tuple(column for column in ("video", "label") if column != "video" or not source.video)
    for place, row in _class_rows(path, storage) or _table_rows(path, storage, needed):
        try:
            yield place, row if isinstance(row, ValueError) else _with_options(row, source)
        except ValueError as error:
            yield place, ValueError(f"{place}: --video {error}")


def _with_options(row: Row, source: Source) -> Row:
    video = {"video": source.video_of(source.video, row)} if source.video else {}
    return row | video | ({"split": source.split} if source.split else {})


def _class_rows(path: str, storage: Storage) -> Iterator[Record] | None:
    """None where the path is no folder, or one of tables."""
    files = files_under(path, storage)
    return class_records(path, files) if files and _are_classes(path, files, storage) else None


def _are_classes(path: str, files: list[str], storage: Storage) -> bool:
    """Whether the files of a folder are those of class folders. Raises ValueError where a table at its top names the videos."""
    tables = [name for name in files if kind_of(name)]
    if not holds_classes(path, files, tables):
        return False
    for name in tables:
        table = f"{path.rstrip('/')}/{name}"
        if "/" not in name and "video" in _columns_of(table, storage):
            raise ValueError(
                f"{path} holds videos, and a table with a column video: name the table itself, {table}; or move it elsewhere, if "
                "the names of the folders are the labels"
            )
    return True


def _columns_of(table: str, storage: Storage) -> Row:
    """The first row; none where the table cannot be read."""
    try:
        return next((row for _, row in table_records(table, storage) if isinstance(row, dict)), {})
    except ValueError:
        return {}


def ignored_files(path: str, storage: Storage) -> dict[str, int]:
    """Files of class folders that are no videos, counted by suffix; {} for a table."""
    files = files_under(path, storage)
    return ignored(files) if files and any(map(is_video, files)) else {}


def folder_notes(path: str, storage: Storage) -> list[str]:
    """Which folders were read as classes, in one line, where there was something to choose; [] for a table."""
    files = files_under(path, storage)
    return [note] if files and any(map(is_video, files)) and (note := layout_note(path, files)) else []


def _table_rows(path: str, storage: Storage, needed: tuple[str, ...]) -> Iterator[Record]:
    """A row of JSON, or of a folder, has the column split even where it names none: another row may."""
    known: set[tuple[str, ...]] = set()
    columns_differ = kind_of(path) not in ("csv", "tsv", "parquet") or files_under(path, storage) is not None
    for place, row in table_records(path, storage, needed):
        if not isinstance(row, ValueError) and (columns := tuple(row)) not in known:
            try:
                _check_columns(place, columns, needed)
            except ValueError as error:
                if not columns_differ:
                    raise  # it is in the table's header, so on every line
                yield place, error
                continue
            known.add(columns)
        if kind_of(path) in ("csv", "tsv") and isinstance(row, dict) and _has_breaks(row.get("label")):
            yield place, ValueError(f"{place}: label {row['label'][:60]!r} goes over several lines; is a quote not closed?")
            continue
        yield place, {"split": None} | row if columns_differ and isinstance(row, dict) else row


def _has_breaks(label: object) -> bool:
    """A quote that is not closed in time makes one cell of several rows. A typed label is JSON, which may have lines."""
    return isinstance(label, str) and "\n" in label.strip() and not label.lstrip().startswith("{")


def _check_columns(where: str, columns: tuple[str, ...], needed: tuple[str, ...]) -> None:
    for name in needed:
        if name not in columns:
            known = ", ".join(map(repr, columns)) or "none"
            remedy = CONVERSATIONS if is_conversation(columns) else "rename or add it, or map it with --mapping"
            raise ValueError(f"{where} has no column {name!r}, only {known}; {remedy}")
    for column in set(columns) - KNOWN_COLUMNS:
        if close := difflib.get_close_matches(column.strip().lower(), KNOWN_COLUMNS, n=1, cutoff=0.8):
            raise ValueError(f"{where} has a column {column!r}; did you mean {close[0]!r}?")


def fingerprint(data: Data, storage: Storage) -> str:
    """Hex digest of the manifest's bytes, for class folders of the videos' names: a run refuses a manifest that has changed."""
    files = files_under(data.manifest, storage)
    if files is None:
        return _sha256(data.manifest, storage)
    digest = hashlib.sha256()
    of_classes = _are_classes(data.manifest, files, storage)
    for name in filter(is_video, files) if of_classes else filter(kind_of, files):
        content = "" if of_classes else _sha256(f"{data.manifest.rstrip('/')}/{name}", storage)
        digest.update(f"{name}\0{content}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _sha256(path: str, storage: Storage) -> str:
    with opened(path, storage) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]  # type: ignore[arg-type]  # it is a buffered reader
