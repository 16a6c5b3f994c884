"""The columns label and aliases of a row -> a label: a text is a keywords label, an object one of any kind."""

import json
from dataclasses import replace
from typing import Any

from engine import labels
from engine.ingest.cells import EMPTY_OR_NAME, text_of
from engine.ingest.skipped import OR_LEAVE_OUT
from engine.labels import Keywords, Label


def label_of(row: dict[str, Any]) -> Label:
    """Raises ValueError where there is no label, or no valid one."""
    value, aliases = row.get("label"), _aliases(row)
    if isinstance(value, dict):
        return _with_aliases(labels.parse(_without_nulls(value)), aliases)
    if isinstance(value, list):
        raise ValueError(
            f"label {str(value)[:60]} is a list; write one label, and other words for it in the column aliases, or an object of "
            "the kind any, all or sequence (docs/labels.md)"
        )
    try:
        text = text_of(value)
    except ValueError as error:
        raise ValueError(f"label {error}") from None
    if text.startswith("{"):
        return _with_aliases(_typed(text), aliases)
    if not any(character.isalnum() for character in text):
        wrong = f"label {text[:60]!r} has neither a letter nor a digit; correct it" if text else "has no label; fill it in"
        raise ValueError(f"{wrong}{OR_LEAVE_OUT}")
    if text in EMPTY_OR_NAME:
        named = json.dumps({"kind": "keywords", "text": text})
        raise ValueError(
            f"label {text!r} is how an empty cell may be written; fill it in, or write {named} if a class has this name"
        )
    return Keywords(text=text, aliases=aliases)


def _aliases(row: dict[str, Any]) -> tuple[str, ...]:
    try:
        return tuple(alias.strip() for alias in text_of(row.get("aliases")).split("|") if alias.strip())
    except ValueError as error:
        raise ValueError(f"aliases {error}") from None


def _typed(text: str) -> Label:
    try:
        return labels.parse(json.loads(text))
    except json.JSONDecodeError as error:
        raise ValueError(f"label {text[:60]!r} is not JSON: {error.msg}; a typed label is one JSON object") from None
    except RecursionError:
        raise ValueError(f"label {text[:60]!r} is nested too deeply to be read; flatten it") from None


def _without_nulls(value: Any) -> Any:
    """Parquet fills in null for the fields that a kind lacks, and for the options that another question has."""
    if isinstance(value, dict):
        return {name: _without_nulls(part) for name, part in value.items() if part is not None}
    return [_without_nulls(part) for part in value] if isinstance(value, list) else value


def _with_aliases(label: Label, aliases: tuple[str, ...]) -> Label:
    """A keywords label with the aliases of the column aliases beside its own. Raises ValueError for any other kind."""
    if not aliases:
        return label
    if not isinstance(label, Keywords):
        raise ValueError(f"a label of kind {label.kind} has no aliases; leave the column aliases empty in this row")
    return replace(label, aliases=tuple(dict.fromkeys((*label.aliases, *aliases))))
