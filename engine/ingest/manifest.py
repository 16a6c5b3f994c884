"""A labelled manifest -> Clip rows. A mistake in it is a ValueError of one line, with its place and the remedy."""

import difflib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from engine import labels
from engine.config import Data
from engine.ingest.card import Card, Skipped, hash_of
from engine.ingest.copies import LocalCopies
from engine.ingest.tables import KNOWN_COLUMNS, Record, opened, table_records
from engine.labels import Keywords, Label, plain
from engine.rows import Clip
from engine.store.filesystems import Storage
from engine.store.locations import name_below, object_key, refuse_odd
from engine.verify.keywords import mentions

Records = Callable[[], Iterator[Record]]
"""Calling it starts to read the rows again from the first."""


def read_manifest(
    data: Data, storage: Storage, card: Card | None = None, records: Records | None = None, skipped: Skipped | None = None
) -> Iterator[Clip]:
    """The clips of data.manifest, checked as they come and counted on the card.

    `records`: the rows, where they do not come from a table with a manifest's columns. `skipped`: counts bad rows; without it a
    bad row raises ValueError, in one line that names the row and the remedy. Errors that need all rows (a clip_id twice, a video in
    both splits, no rows at all) are raised at the end.
    """
    if not data.manifest:
        raise ValueError("no manifest: set data.manifest to a CSV, TSV, JSONL or Parquet file with the columns video and label")
    card = Card() if card is None else card
    records = records or partial(own_records, data.manifest, storage)
    ids, splits, copies = set[int](), dict[int, str](), LocalCopies()
    for place, row in records():
        try:
            clip = _checked(row, place, data)
            if skipped is not None:  # otherwise the card finds duplicates, in less memory
                _refuse_duplicate(clip, place, ids, splits)
        except ValueError as error:
            if skipped is None:
                raise
            skipped.add(error)
            continue
        card.add(clip)
        copies.add(clip)
        yield clip
    if not len(card):
        raise ValueError(f"{data.manifest} has no rows; it needs at least one with a video and a label")
    _report_duplicates(data, records, card)
    copies.refuse(_clips_again(data, records))


def own_records(path: str, storage: Storage) -> Iterator[Record]:
    """Rows of a table with a manifest's columns; unknown columns are ValueErrors."""
    known: set[tuple[str, ...]] = set()
    for place, row in table_records(path, storage):
        if not isinstance(row, ValueError) and (columns := tuple(row)) not in known:
            try:
                _check_columns(place, columns)
            except ValueError as error:
                if not known:
                    raise  # it is in the table's header, so on every line
                yield place, error
                continue
            known.add(columns)
        yield place, row


def _checked(row: dict[str, Any] | ValueError, place: str, data: Data) -> Clip:
    if isinstance(row, ValueError):
        raise row
    clip = _clip(row, place, data)
    if isinstance(clip.label, Keywords) and mentions(clip.question, clip.label):
        raise ValueError(f"{place}: the question {clip.question!r} holds the label {clip.label.text!r}; ask without it")
    return clip


def _refuse_duplicate(clip: Clip, place: str, ids: set[int], splits: dict[int, str]) -> None:
    id_hash, video_hash = hash_of(clip.clip_id), hash_of(object_key(clip.video))
    if id_hash in ids:
        raise ValueError(f"{place}: clip_id {clip.clip_id!r} comes twice; give each clip its own in a clip_id column")
    if splits.setdefault(video_hash, clip.split) != clip.split:
        raise ValueError(f"{place}: video {clip.video} is in {clip.split} here and in {splits[video_hash]} before; split by video")
    ids.add(id_hash)


def _report_duplicates(data: Data, records: Records, card: Card) -> None:
    """Raise ValueError for two rows that conflict. The card has hashes only, so the manifest is read again to name the rows."""
    if (id_hash := card.id_twice()) is not None:
        same_id = ((place, clip) for place, clip in _clips_again(data, records) if hash_of(clip.clip_id) == id_hash)
        (first_place, _), (place, clip) = islice(same_id, 2)
        raise ValueError(f"{place}: clip_id {clip.clip_id!r} is also at {first_place}; give each clip its own in a clip_id column")
    if (video_hash := card.video_in_both()) is not None:
        same = (at for at in _clips_again(data, records) if hash_of(object_key(at[1].video)) | 1 == video_hash)
        first_place, first_clip = next(same)
        place, clip = next(at for at in same if at[1].split != first_clip.split)
        splits = f"in {clip.split} here and in {first_clip.split} at {first_place}"
        raise ValueError(f"{place}: video {clip.video} is {splits}; split by video")


def _clips_again(data: Data, records: Records) -> Iterator[tuple[str, Clip]]:
    return ((place, _clip(row, place, data)) for place, row in records() if not isinstance(row, ValueError))


def fingerprint(data: Data, storage: Storage) -> str:
    """Hex digest of the manifest's bytes: a run refuses a manifest that changed after it was ingested."""
    with opened(data.manifest, storage) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]  # type: ignore[arg-type]  # it is a buffered reader


def _check_columns(where: str, columns: tuple[str, ...]) -> None:
    for needed in ("video", "label"):
        if needed not in columns:
            known = ", ".join(map(repr, columns)) or "none"
            raise ValueError(f"{where} has no column {needed!r}, only {known}; rename or add it, or map it with --mapping")
    for column in set(columns) - KNOWN_COLUMNS:
        if close := difflib.get_close_matches(column.strip().lower(), KNOWN_COLUMNS, n=1, cutoff=0.8):
            raise ValueError(f"{where} has a column {column!r}; did you mean {close[0]!r}?")


def _clip(row: dict[str, Any], place: str, data: Data) -> Clip:
    video = _text(row, place, "video")
    if not video:
        raise ValueError(f"{place} has no video; fill it in, or leave the row out (`starloop ingest --skip-bad`)")
    start_s, end_s = _seconds(row, "start_s", place), _seconds(row, "end_s", place)
    if start_s is not None and end_s is not None and start_s >= end_s:
        raise ValueError(f"{place}: start_s {start_s} is not before end_s {end_s}")
    window = "" if start_s is None and end_s is None else f"@{plain(start_s or 0.0)}-{'end' if end_s is None else plain(end_s)}"
    located = locate(video, data)
    try:
        refuse_odd(located)
    except ValueError as error:
        raise ValueError(f"{place}: video {error}") from None
    split = _text(row, place, "split") or ("heldout" if _share(name_below(located, folder_of(data))) < data.heldout else "train")
    if split not in ("train", "heldout"):
        raise ValueError(f"{place}: split {split!r} is neither 'train' nor 'heldout'")
    return Clip(
        clip_id=_text(row, place, "clip_id") or os.path.splitext(video)[0] + window,
        video=located,
        start_s=start_s,
        end_s=end_s,
        question=_text(row, place, "question") or data.question,
        label=_label(row, place),
        split=split,
        verb=_text(row, place, "verb"),
        noun=_text(row, place, "noun"),
        description=_text(row, place, "description"),
        narrator=_text(row, place, "narrator"),
    )


def _text(row: dict[str, Any], place: str, column: str) -> str:
    value = row.get(column)
    text = "" if value is None else str(value).strip()
    if isinstance(value, list | dict) or (not text.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in text)):
        raise ValueError(f"{place}: {column} {value!r} is not a text; write it as one")
    return text


def _seconds(row: dict[str, Any], column: str, place: str) -> float | None:
    text = _text(row, place, column)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{place}: {column} {text!r} is not a number of seconds") from None
    if not 0 <= value < float("inf"):
        raise ValueError(f"{place}: {column} {text!r} is not a time in a video")
    return value


def _label(row: dict[str, Any], place: str) -> Label:
    value = row.get("label")
    try:
        aliases = tuple(alias.strip() for alias in _text(row, place, "aliases").split("|") if alias.strip())
        if isinstance(value, dict):  # Parquet fills in null for the fields that a kind lacks
            return _with_aliases(labels.parse({name: part for name, part in value.items() if part is not None}), aliases)
        if isinstance(value, bool) or (isinstance(value, float) and value != value):
            raise ValueError(f"{place}: label {value!r} is no text; write the class's name")
        text = _text(row, place, "label")
        if text.startswith("{"):
            return _with_aliases(labels.parse(json.loads(text)), aliases)
        if not any(character.isalnum() for character in text):
            raise ValueError(f"{place} has no label; fill it in, or leave the row out (`starloop ingest --skip-bad`)")
        return Keywords(text=text, aliases=aliases)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}: label {text[:60]!r} is not JSON: {error.msg}; a typed label is one JSON object") from None
    except RecursionError:
        raise ValueError(f"{place}: label {text[:60]!r} is nested too deeply to be read; flatten it") from None
    except ValueError as error:
        raise error if str(error).startswith(place) else ValueError(f"{place}: {error}") from None


def _with_aliases(label: Label, aliases: tuple[str, ...]) -> Label:
    """A keywords label with the aliases of the column aliases beside its own. Raises ValueError for any other kind."""
    if not aliases:
        return label
    if not isinstance(label, Keywords):
        raise ValueError(f"a label of kind {label.kind} has no aliases; leave the column aliases empty in this row")
    return replace(label, aliases=tuple(dict.fromkeys((*label.aliases, *aliases))))


def _share(name: str) -> float:
    """A number in 0..1 that depends on the video's name alone: it decides the split where the manifest does not."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / 2**48


def locate(video: str, data: Data) -> str:
    """The URI or absolute path of a video that a manifest names."""
    if "://" in video:
        return video
    if os.path.isabs(video):
        return os.path.normpath(video)  # two spellings of one video must not end in two splits
    folder = folder_of(data)
    if "://" in folder:
        return f"{folder.rstrip('/')}/{video}"
    return os.path.abspath(os.path.join(folder, video))


def folder_of(data: Data) -> str:
    """The folder that names of videos start from."""
    return data.videos or data.manifest.rpartition("/")[0]
