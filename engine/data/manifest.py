"""A labelled manifest -> Clip rows. What a user wrote wrong is one line with place and remedy; missing videos are counted."""

import csv
import difflib
import hashlib
import io
import json
import os
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, BinaryIO, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from engine import labels
from engine.config import Data
from engine.labels import Keywords, Label
from engine.rows import CLIPS, Clip
from engine.storage import Storage, StorageError, refuse_odd
from engine.verify.keywords import mentions

KNOWN_COLUMNS = frozenset({*CLIPS.names, "aliases"})
BATCH_ROWS = 8192
LISTING_PATIENCE_S = 10.0
"""Ingest only tells what it finds; a run waits longer."""


def read_manifest(data: Data, storage: Storage, card: "Card | None" = None) -> Iterator[Clip]:
    """The clips of data.manifest, checked as they come and counted on the card.

    Raises ValueError in one line that names the row and the remedy. What only the whole can tell (a clip_id twice, a video in both
    splits, no rows at all) is raised at the end.
    """
    if not data.manifest:
        raise ValueError("no manifest: set data.manifest to a CSV, TSV, JSONL or Parquet file with the columns video and label")
    card = Card() if card is None else card
    for place, clip in _clips(data, storage):
        if isinstance(clip.label, Keywords) and mentions(clip.question, clip.label):
            raise ValueError(f"{place}: the question {clip.question!r} holds the label {clip.label.text!r}; ask without it")
        card.add(clip)
        yield clip
    if not len(card):
        raise ValueError(f"{data.manifest} has no rows; it needs at least one with a video and a label")
    _refuse_twins(data, storage, card)


def _clips(data: Data, storage: Storage) -> Iterator[tuple[str, Clip]]:
    """Each row's place and clip."""
    return ((place, _clip(row, place, data)) for place, row in _rows(data.manifest, storage))


def _refuse_twins(data: Data, storage: Storage, card: "Card") -> None:
    """Rows that cannot both be. The card knows only that there are such; which ones, another look at the manifest tells."""
    if (id_hash := card.id_twice()) is not None:
        (first, _), (place, clip) = islice((at for at in _clips(data, storage) if _hash(at[1].clip_id) == id_hash), 2)
        raise ValueError(f"{place}: clip_id {clip.clip_id!r} is also at {first}; give each clip its own in a clip_id column")
    if (video_hash := card.video_in_both()) is not None:
        same = (at for at in _clips(data, storage) if _hash(at[1].video) | 1 == video_hash)
        first, one = next(same)
        place, other = next(at for at in same if at[1].split != one.split)
        raise ValueError(f"{place}: video {other.video} is in {other.split} here and in {one.split} at {first}; split by video")


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def fingerprint(data: Data, storage: Storage) -> str:
    """Hex digest of the manifest's bytes: a run refuses one that changed after it was ingested."""
    with _opened(data.manifest, storage) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]  # type: ignore[arg-type]  # it is a buffered reader


@contextmanager
def _opened(path: str, storage: Storage) -> Iterator[BinaryIO]:
    try:
        with storage.file(path) as file:
            yield file
    except StorageError as error:
        if error.trouble != "missing":
            raise
        raise ValueError(f"no such manifest: {path}; data.manifest names a CSV, TSV, JSONL or Parquet file") from None


def _rows(path: str, storage: Storage) -> Iterator[tuple[str, dict[str, Any]]]:
    suffix = path.rsplit(".", 1)[-1].lower()
    if suffix not in ("csv", "tsv", "jsonl", "parquet"):
        raise ValueError(f"{path}: a manifest is .csv, .tsv, .jsonl or .parquet")
    with _opened(path, storage) as file:
        if suffix == "parquet":
            yield from _parquet_rows(path, file)
            return
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="" if suffix != "jsonl" else "\n")
        try:
            yield from _jsonl_rows(path, text) if suffix == "jsonl" else _csv_rows(path, text, "\t" if suffix == "tsv" else ",")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8") from None
        finally:
            text.detach()


def _parquet_rows(path: str, file: BinaryIO) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        table = pq.ParquetFile(file)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} is not a Parquet file: {str(error).splitlines()[0]}") from None
    _check_columns(path, table.schema_arrow.names)
    rows = (row for batch in table.iter_batches(BATCH_ROWS) for row in batch.to_pylist())
    yield from ((f"{path} row {i}", row) for i, row in enumerate(rows))


def _csv_rows(path: str, text: TextIO, delimiter: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        reader = csv.DictReader(text, delimiter=delimiter)
        _check_columns(path, list(reader.fieldnames or []))
        for row in reader:
            if None in row:
                raise ValueError(f"{path} line {reader.line_num} has more cells than the header; quote cells that hold a comma")
            yield f"{path} line {reader.line_num}", row
    except csv.Error as error:
        raise ValueError(f"{path}: {error}") from None


def _jsonl_rows(path: str, text: TextIO) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} line {number} is not JSON: {error.msg}") from None
        if not isinstance(row, dict):
            raise ValueError(f"{path} line {number} is not a JSON object")
        _check_columns(f"{path} line {number}", list(row))
        yield f"{path} line {number}", row


def _check_columns(where: str, columns: list[str]) -> None:
    for needed in ("video", "label"):
        if needed not in columns:
            raise ValueError(f"{where} has no column {needed!r}, only {', '.join(map(repr, columns)) or 'none'}; rename or add it")
    for column in set(columns) - KNOWN_COLUMNS:
        if close := difflib.get_close_matches(column.strip().lower(), KNOWN_COLUMNS, n=1, cutoff=0.8):
            raise ValueError(f"{where} has a column {column!r}; did you mean {close[0]!r}?")
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        raise ValueError(f"{where} has two columns {twice[0]!r}; rename one")


def _clip(row: dict[str, Any], place: str, data: Data) -> Clip:
    video = _text(row, place, "video")
    if not video:
        raise ValueError(f"{place} has no video; fill it in or drop the row")
    start_s, end_s = _seconds(row, "start_s", place), _seconds(row, "end_s", place)
    if start_s is not None and end_s is not None and start_s >= end_s:
        raise ValueError(f"{place}: start_s {start_s} is not before end_s {end_s}")
    window = "" if start_s is None and end_s is None else f"@{start_s or 0:g}-{'end' if end_s is None else f'{end_s:g}'}"
    located = _locate(video, data)
    try:
        refuse_odd(located)
    except ValueError as error:
        raise ValueError(f"{place}: video {error}") from None
    split = _text(row, place, "split") or ("heldout" if _share(video) < data.heldout else "train")
    if split not in ("train", "heldout"):
        raise ValueError(f"{place}: split {split!r} is neither 'train' nor 'heldout'")
    return Clip(
        clip_id=_text(row, place, "clip_id") or os.path.splitext(video)[0] + window,
        video=located,
        start_s=start_s,
        end_s=end_s,
        question=_text(row, place, "question") or data.question,
        label=_label(row, place),
        split="train" if split == "train" else "heldout",
        verb=_text(row, place, "verb"),
        noun=_text(row, place, "noun"),
        description=_text(row, place, "description"),
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
        if isinstance(value, dict):
            return labels.parse(
                {name: part for name, part in value.items() if part is not None}
            )  # Parquet fills in what a kind lacks
        text = _text(row, place, "label")
        if text.startswith("{"):
            return labels.parse(json.loads(text))
        if not any(character.isalnum() for character in text):
            raise ValueError(f"{place} has no label; fill it in or drop the row")
        aliases = tuple(alias.strip() for alias in _text(row, place, "aliases").split("|") if alias.strip())
        return Keywords(text=text, aliases=aliases)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}: label {text[:60]!r} is not JSON: {error.msg}; a typed label is one JSON object") from None
    except ValueError as error:
        raise error if str(error).startswith(place) else ValueError(f"{place}: {error}") from None


def _share(video: str) -> float:
    """0..1, the same for the same video on every machine: decides the split where the manifest does not."""
    return int.from_bytes(hashlib.sha256(video.encode()).digest()[:6], "big") / 2**48


def _locate(video: str, data: Data) -> str:
    if "://" in video:
        return video
    if os.path.isabs(video):
        return os.path.normpath(video)  # two spellings of one video must not end in two splits
    folder = data.videos or data.manifest.rpartition("/")[0]
    if "://" in folder:
        return f"{folder.rstrip('/')}/{video}"
    return os.path.abspath(os.path.join(folder, video))


class Card:
    """What a manifest holds: clips, videos and labels, by split, and how long the tail is. 24 bytes a clip: some have millions."""

    def __init__(self) -> None:
        self._splits: Counter[str] = Counter()
        self._ids, self._labels = array("Q"), array("Q")
        self._videos = array("Q")
        """The last bit of a video's hash says whether the clip is held out."""

    def __len__(self) -> int:
        return self._splits.total()

    def add(self, clip: Clip) -> None:
        self._splits[clip.split] += 1
        self._ids.append(_hash(clip.clip_id))
        self._labels.append(_hash(clip.label.text))
        self._videos.append(_hash(clip.video) | 1 if clip.split == "heldout" else _hash(clip.video) & ~1)

    def id_twice(self) -> int | None:
        """The hash of a clip_id that two clips have."""
        hashes = _sorted(self._ids)
        return next((int(hashes[at]) for at in np.flatnonzero(hashes[1:] == hashes[:-1])[:1]), None)

    def video_in_both(self) -> int | None:
        """The hash, its last bit set, of a video with clips in both splits."""
        hashes = _sorted(self._videos)
        return next((int(hashes[at + 1]) for at in np.flatnonzero((hashes[1:] ^ hashes[:-1]) == 1)[:1]), None)

    def counts(self) -> dict[str, int]:
        labels = _sorted(self._labels)
        return {
            "clips": len(self),
            "videos": len(_starts(_sorted(self._videos) | np.uint64(1))),
            "labels": len(_starts(labels)),
            "labels_with_one_clip": int((np.diff(_starts(labels), append=len(labels)) == 1).sum()),
            "train": self._splits["train"],
            "heldout": self._splits["heldout"],
        }


def _sorted(hashes: "array[int]") -> NDArray[np.uint64]:
    """In place: nobody asks in which order they came."""
    view = np.frombuffer(hashes, np.uint64)
    view.sort()
    return view


def _starts(values: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Where each run of equal values begins."""
    return np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])[: len(values)])


def missing_videos(clips: Iterable[Clip], storage: Storage) -> tuple[list[str], list[str]]:
    """Clip ids whose video is not there, and those where nobody answered: by listing each folder once, not by opening."""
    listed: dict[str, frozenset[str] | None] = {}
    missing: list[str] = []
    unanswered: list[str] = []
    for clip in clips:
        folder, _, name = clip.video.rpartition("/")
        if folder not in listed:
            listed[folder] = _names(folder, replace(storage, patience_s=min(LISTING_PATIENCE_S, storage.patience_s)))
        there = listed[folder]
        if there is None:
            unanswered.append(clip.clip_id)
        elif name not in there:
            missing.append(clip.clip_id)
    return missing, unanswered


def _names(folder: str, storage: Storage) -> frozenset[str] | None:
    filesystem, path = storage.filesystem(folder or "/")
    try:
        entries = storage.patiently(f"cannot list {folder}", partial(filesystem.ls, path, detail=False))
    except StorageError as error:
        if error.trouble == "unavailable":
            return None
        entries = []  # not there, or not to be listed: decoding says which
    return frozenset(entry.rsplit("/", 1)[-1] for entry in entries)
