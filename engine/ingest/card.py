"""What a manifest holds, counted as its clips come: the data card, what was left out, and which videos are there."""

import hashlib
from array import array
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.labels import TimeRange, Timestamp
from engine.rows import Clip
from engine.store.filesystems import Storage, StorageError

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


def hash_of(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


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
        label = hash_of(clip.label.text)
        self._splits[clip.split] += 1
        self._kinds[clip.label.kind] += 1
        self._ids.append(hash_of(clip.clip_id))
        self._labels.append(label)
        self._videos.append(hash_of(clip.video) | 1 if clip.split == "heldout" else hash_of(clip.video) & ~1)
        if len(self._names) < NAMED_LABELS:
            self._names.setdefault(label, clip.label.text)
            self._questions.add(hash_of(clip.question))
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
