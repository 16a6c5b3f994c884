"""A labelled manifest -> Clip rows. What a user wrote wrong is one line with place and remedy; missing videos are counted."""

import difflib
import hashlib
import json
import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import labels
from engine.config import Data
from engine.data.tables import Record, opened, table_records
from engine.labels import Keywords, Label, TimeRange, Timestamp
from engine.rows import CLIPS, Clip
from engine.storage import Storage, StorageError, refuse_odd
from engine.verify.keywords import mentions

Records = Callable[[], Iterator[Record]]
"""The rows from their beginning, each time it is called."""
KNOWN_COLUMNS = frozenset({*CLIPS.names, "aliases"})
SHOWN = 10
"""Of the rows that were left out, and of the commonest labels."""
NAMED_LABELS = 100_000
"""Labels whose names a card remembers."""
LISTING_PATIENCE_S = 10.0
"""Ingest only tells what it finds; a run waits longer."""


@dataclass
class Skipped:
    """What was left out: how much, and the first of it."""

    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, what: ValueError | str) -> None:
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(str(what))


def read_manifest(
    data: Data, storage: Storage, card: "Card | None" = None, records: Records | None = None, skipped: Skipped | None = None
) -> Iterator[Clip]:
    """The clips of data.manifest, checked as they come and counted on the card.

    `records`: the rows, where they do not come from a table with a manifest's columns. `skipped`: counts rows that are wrong;
    without it they are raised, as ValueError in one line that names the row and the remedy. What only the whole can tell (a clip_id
    twice, a video in both splits, no rows at all) is raised at the end.
    """
    if not data.manifest:
        raise ValueError("no manifest: set data.manifest to a CSV, TSV, JSONL or Parquet file with the columns video and label")
    card = Card() if card is None else card
    records = records or partial(_native, data.manifest, storage)
    ids, splits = set[int](), dict[int, str]()
    for place, row in records():
        try:
            clip = _checked(row, place, data)
            if skipped is not None:  # else the card finds twins, in less memory
                _refuse_twin(clip, place, ids, splits)
        except ValueError as error:
            if skipped is None:
                raise
            skipped.add(error)
            continue
        card.add(clip)
        yield clip
    if not len(card):
        raise ValueError(f"{data.manifest} has no rows; it needs at least one with a video and a label")
    _name_twins(data, records, card)


def _native(path: str, storage: Storage) -> Iterator[Record]:
    """Rows of a table that has a manifest's columns."""
    known: set[tuple[str, ...]] = set()
    for place, row in table_records(path, storage):
        if not isinstance(row, ValueError) and (columns := tuple(row)) not in known:
            try:
                _check_columns(place, columns)
            except ValueError as error:
                if not known:
                    raise  # of a table's header, or of every line
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


def _refuse_twin(clip: Clip, place: str, ids: set[int], splits: dict[int, str]) -> None:
    id_hash, video_hash = _hash(clip.clip_id), _hash(clip.video)
    if id_hash in ids:
        raise ValueError(f"{place}: clip_id {clip.clip_id!r} comes twice; give each clip its own in a clip_id column")
    if splits.setdefault(video_hash, clip.split) != clip.split:
        raise ValueError(f"{place}: video {clip.video} is in {clip.split} here and in {splits[video_hash]} before; split by video")
    ids.add(id_hash)


def _name_twins(data: Data, records: Records, card: "Card") -> None:
    """Rows that cannot both be. The card knows only that there are such; which ones, another look at the manifest tells."""
    if (id_hash := card.id_twice()) is not None:
        same_id = ((place, clip) for place, clip in _again(data, records) if _hash(clip.clip_id) == id_hash)
        (first, _), (place, clip) = islice(same_id, 2)
        raise ValueError(f"{place}: clip_id {clip.clip_id!r} is also at {first}; give each clip its own in a clip_id column")
    if (video_hash := card.video_in_both()) is not None:
        same = (at for at in _again(data, records) if _hash(at[1].video) | 1 == video_hash)
        first, one = next(same)
        place, other = next(at for at in same if at[1].split != one.split)
        raise ValueError(f"{place}: video {other.video} is in {other.split} here and in {one.split} at {first}; split by video")


def _again(data: Data, records: Records) -> Iterator[tuple[str, Clip]]:
    return ((place, _clip(row, place, data)) for place, row in records() if not isinstance(row, ValueError))


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def fingerprint(data: Data, storage: Storage) -> str:
    """Hex digest of the manifest's bytes: a run refuses one that changed after it was ingested."""
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
        raise ValueError(f"{place} has no video; fill it in or drop the row")
    start_s, end_s = _seconds(row, "start_s", place), _seconds(row, "end_s", place)
    if start_s is not None and end_s is not None and start_s >= end_s:
        raise ValueError(f"{place}: start_s {start_s} is not before end_s {end_s}")
    window = "" if start_s is None and end_s is None else f"@{start_s or 0:g}-{'end' if end_s is None else f'{end_s:g}'}"
    located = locate(video, data)
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


def locate(video: str, data: Data) -> str:
    """The URI or absolute path of a video that a manifest names."""
    if "://" in video:
        return video
    if os.path.isabs(video):
        return os.path.normpath(video)  # two spellings of one video must not end in two splits
    folder = data.videos or data.manifest.rpartition("/")[0]
    if "://" in folder:
        return f"{folder.rstrip('/')}/{video}"
    return os.path.abspath(os.path.join(folder, video))


class Card:
    """What a manifest holds: clips, videos and labels, by split and kind, and its tail. 24 bytes a clip: some have millions."""

    def __init__(self) -> None:
        self._splits, self._kinds = Counter[str](), Counter[str]()
        self._ids, self._labels = array("Q"), array("Q")
        self._videos = array("Q")
        """The last bit of a video's hash says whether the clip is held out."""
        self._names: dict[int, str] = {}
        self._questions: set[int] = set()
        self._seconds, self._timed = 0.0, 0

    def __len__(self) -> int:
        return self._splits.total()

    def add(self, clip: Clip) -> None:
        label = _hash(clip.label.text)
        self._splits[clip.split] += 1
        self._kinds[clip.label.kind] += 1
        self._ids.append(_hash(clip.clip_id))
        self._labels.append(label)
        self._videos.append(_hash(clip.video) | 1 if clip.split == "heldout" else _hash(clip.video) & ~1)
        if len(self._names) < NAMED_LABELS:
            self._names.setdefault(label, clip.label.text)
            self._questions.add(_hash(clip.question))
        if (seconds := _seconds_of(clip)) is not None:
            self._seconds, self._timed = self._seconds + seconds, self._timed + 1

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

    def facts(self) -> dict[str, Any]:
        """The card as JSON holds it."""
        hashes = _sorted(self._labels)
        starts = _starts(hashes)
        sizes = np.diff(starts, append=len(hashes))
        largest = np.argsort(-sizes, kind="stable")[:SHOWN]
        named = sorted((-int(sizes[at]), self._names.get(int(hashes[starts[at]]), "?")) for at in largest)
        return self.counts() | {
            "kinds": dict(sorted(self._kinds.items())),
            "questions": len(self._questions),
            "hours": round(self._seconds / 3600, 3),
            "clips_of_unknown_length": len(self) - self._timed,
            "tail": {
                "median_clips_of_a_label": float(np.median(sizes)),
                "largest": [[name, -size] for size, name in named],
                "share_of_the_largest_tenth": round(float(np.sort(sizes)[::-1][: max(1, len(sizes) // 10)].sum() / len(self)), 3),
            },
        }


def _seconds_of(clip: Clip) -> float | None:
    """How long a clip is, where its window or its label says."""
    if clip.start_s is not None and clip.end_s is not None:
        return clip.end_s - clip.start_s
    return clip.label.duration_s if isinstance(clip.label, Timestamp | TimeRange) else None


def _sorted(hashes: "array[int]") -> NDArray[np.uint64]:
    """In place: nobody asks in which order they came."""
    view = np.frombuffer(hashes, np.uint64)
    view.sort()
    return view


def _starts(values: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Where each run of equal values begins."""
    return np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])[: len(values)])


class Listing:
    """Which videos are there: each folder is listed once, and nothing is opened."""

    def __init__(self, storage: Storage) -> None:
        self._storage = replace(storage, patience_s=min(LISTING_PATIENCE_S, storage.patience_s))
        self._folders: dict[str, frozenset[str] | None] = {}
        self.missing, self.unanswered = Skipped(), Skipped()

    def look(self, clip: Clip) -> bool:
        """Whether the clip's video is there; it is counted where it is not, and where nobody answers."""
        folder, _, name = clip.video.rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = _names(folder, self._storage)
        there = self._folders[folder]
        if there is None:
            self.unanswered.add(clip.clip_id)
        elif name not in there:
            self.missing.add(clip.clip_id)
        return there is not None and name in there


def _names(folder: str, storage: Storage) -> frozenset[str] | None:
    filesystem, path = storage.filesystem(folder or "/")
    try:
        entries = storage.patiently(f"cannot list {folder}", partial(filesystem.ls, path, detail=False))
    except StorageError as error:
        if error.trouble == "unavailable":
            return None
        entries = []  # not there, or not to be listed: decoding says which
    return frozenset(entry.rsplit("/", 1)[-1] for entry in entries)
