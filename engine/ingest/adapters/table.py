"""Any table, with a mapping in TOML: which column is which, and values that no column has.

[columns]                       # a manifest's column = yours
video = "file"
start_s = "from"
label = "class"                 # a keywords label; or describe one below
[values]                        # {yours} is filled in; what holds for every row needs none
video = "clips/{file}.mp4"
question = "What is the animal doing?"
[label]                         # a label of any kind: "{score}" is your column's value
kind = "number"
value = "{score}"
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from engine.ingest.adapters.source import Source, filled
from engine.ingest.cells import is_empty, whole
from engine.ingest.tables import KNOWN_COLUMNS, Record, Row, opened, table_records
from engine.store.filesystems import Storage

SECTIONS = {"columns", "values", "label"}


def read_mapping(path: str, storage: Storage) -> dict[str, Any]:
    """The mapping in a TOML file. Raises ValueError that names the mistake in it."""
    with opened(path, storage) as file:
        try:
            mapping = tomllib.loads(file.read().decode("utf-8-sig"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not TOML: {error}") from None
    if unknown := set(mapping) - SECTIONS:
        raise ValueError(f"{path}: no section {sorted(unknown)[0]!r}; known: {', '.join(sorted(SECTIONS))}")
    for name, section in mapping.items():
        if not isinstance(section, dict):
            raise ValueError(f"{path}: {name} is not a section; write [{name}]")
        for column in set(section) - KNOWN_COLUMNS if name != "label" else ():
            close = difflib.get_close_matches(column, KNOWN_COLUMNS, n=1)
            meant = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(KNOWN_COLUMNS))}"
            raise ValueError(f"{path}: [{name}] has {column!r}, which is no column of a manifest; {meant}")
    if "label" in mapping and any("label" in mapping.get(name, {}) for name in ("columns", "values")):
        raise ValueError(f"{path}: both a [label] section and a label column; keep one of them")
    return mapping


def records(source: Source) -> Iterator[Record]:
    columns, values, label = (source.mapping.get(name, {}) for name in ("columns", "values", "label"))
    for place, row in table_records(source.path, source.storage, tuple(columns.values())):
        if isinstance(row, ValueError):
            yield place, row
            continue
        try:
            yield place, _row(source, row, columns, values, label)
        except ValueError as error:
            yield place, ValueError(f"{place}: {error}")


def _row(source: Source, row: Row, columns: Mapping[str, str], values: Mapping[str, Any], label: Mapping[str, Any]) -> Row:
    for column in columns.values():
        if column not in row:
            raise ValueError(f"no column {column!r}, only {', '.join(map(repr, row))}; correct [columns]")
    mapped = {name: row[column] for name, column in columns.items()}
    mapped |= {name: _fill(value, row) for name, value in values.items()}
    if source.video:
        mapped["video"] = source.video_of(source.video, row)
    if source.split:
        mapped["split"] = source.split
    if label:
        mapped["label"] = _filled_label(label, row)
    for needed in ("video", "label"):
        if needed not in mapped and needed not in row:
            raise ValueError(f"the mapping has no {needed}; name its column in [columns], or give it in [values]")
    return {name: row[name] for name in ("video", "label") if name in row} | mapped


def _filled_label(label: Mapping[str, Any], row: Row) -> Any:
    """Raises ValueError where a column that is a value of the label is empty."""
    filled_label = _fill(label, row)
    for name, value in filled_label.items():
        if is_empty(value):
            raise ValueError(f"its label has no {name}: {label[name]} is empty")
    return filled_label


def _fill(value: Any, row: Row) -> Any:
    """Fill in the {column} of a text; a text of one {column} only becomes that column's value, with its type."""
    if isinstance(value, dict):
        return {name: _fill(part, row) for name, part in value.items()}
    if isinstance(value, list):
        return [_fill(part, row) for part in value]
    if not isinstance(value, str) or "{" not in value:
        return value
    name = value[1:-1]
    return whole(row[name]) if value[0] == "{" and value[-1] == "}" and name in row else filled(value, row)
