"""The data card: counts of clips, videos and labels, made while the clips stream; rows that were left out; missing videos."""

import hashlib
from array import array
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.labels import TimeRange, Timestamp
from engine.rows import Clip, Example
from engine.store.filesystems import Storage, StorageError

SHOWN = 10
"""Examples that are shown of the rows that were left out, and of the most frequent labels."""
NAMED_LABELS = 100_000
"""A card remembers the names of so many labels; the others are only counted."""
LISTING_PATIENCE_S = 10.0
"""Ingest only reports missing videos, so it waits for storage less long than a run does."""

LISTED_FOLDERS = 2000
"""Folders that are looked into: at 50 ms a request, 100 s. A layout with a folder for each clip would take hours for a million."""


@dataclass
class Skipped:
    """Counts what was left out, and keeps the first SHOWN examples."""

    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, example: ValueError | str) -> None:
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(str(example))


def hash_of(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


class Card:
    """Counts of a manifest: clips, videos and labels, by split and kind. It takes 32 bytes a clip: some manifests have millions."""

    def __init__(self) -> None:
        self._splits, self._kinds = Counter[str](), Counter[str]()
        self._ids, self._labels, self._questions = array("Q"), array("Q"), array("Q")
        self._videos = array("Q")
        """The last bit of a video's hash says whether the clip is held out."""
        self._names: dict[int, str] = {}
        self._seconds, self._timed = 0.0, 0

    def __len__(self) -> int:
        return self._splits.total()

    def add(self, clip: Clip) -> None:
        label = hash_of(clip.label.text)
        self._splits[clip.split] += 1
        self._kinds[clip.label.kind] += 1
        self._ids.append(hash_of(clip.clip_id))
        self._labels.append(label)
        self._questions.append(hash_of(clip.question))
        self._videos.append(hash_of(clip.video) | 1 if clip.split == "heldout" else hash_of(clip.video) & ~1)
        if len(self._names) < NAMED_LABELS:
            self._names.setdefault(label, clip.label.text)
        if (seconds := _seconds_of(clip)) is not None:
            self._seconds, self._timed = self._seconds + seconds, self._timed + 1

    def id_twice(self) -> int | None:
        """The hash of a clip_id that two clips have; None if each has its own."""
        hashes = _sorted(self._ids)
        return next((int(hashes[at]) for at in np.flatnonzero(hashes[1:] == hashes[:-1])[:1]), None)

    def video_in_both(self) -> int | None:
        """The hash, its last bit set, of a video with clips in both splits; None if there is no such video."""
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
        """The counts, kinds and most frequent labels, as they are written to the card's JSON file."""
        hashes = _sorted(self._labels)
        starts = _starts(hashes)
        sizes = np.diff(starts, append=len(hashes))
        largest = np.argsort(-sizes, kind="stable")[:SHOWN]
        named = sorted((-int(sizes[at]), self._names.get(int(hashes[starts[at]]), "?")) for at in largest)
        return self.counts() | {
            "kinds": dict(sorted(self._kinds.items())),
            "questions": len(_starts(_sorted(self._questions))),
            "hours": round(self._seconds / 3600, 3),
            "clips_of_unknown_length": len(self) - self._timed,
            "tail": {
                "median_clips_of_a_label": float(np.median(sizes)),
                "largest": [[name, -size] for size, name in named],
                "share_of_the_largest_tenth": round(float(np.sort(sizes)[::-1][: max(1, len(sizes) // 10)].sum() / len(self)), 3),
            },
        }


def _seconds_of(clip: Clip) -> float | None:
    """The length of a clip; None if neither its window nor its label says it."""
    if clip.start_s is not None and clip.end_s is not None:
        return clip.end_s - clip.start_s
    return clip.label.duration_s if isinstance(clip.label, Timestamp | TimeRange) else None


def _sorted(hashes: "array[int]") -> NDArray[np.uint64]:
    """The hashes, sorted in place; insertion order is not needed."""
    view = np.frombuffer(hashes, np.uint64)
    view.sort()
    return view


def _starts(values: NDArray[np.uint64]) -> NDArray[np.intp]:
    """The index at which each run of equal values begins."""
    return np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])[: len(values)])


class Listing:
    """Looks for videos by listing their folders, each once; no video is opened.

    The number of requests to storage is bounded, whatever the number of clips: LISTED_FOLDERS folders are listed, and once storage
    did not respond it is not asked again.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = replace(storage, patience_s=min(LISTING_PATIENCE_S, storage.patience_s))
        self._folders: dict[str, frozenset[str] | None] = {}
        """Names in each folder; None for a folder that cannot be listed."""
        self._unavailable: set[str] = set()
        """Buckets whose storage did not respond."""
        self.missing, self.unanswered, self.unlisted = Skipped(), Skipped(), Skipped()

    def count(self, clip: Clip | Example) -> None:
        """Count the clip if its video is missing, or if that cannot be found out: unanswered by storage, or not looked for."""
        folder, _, name = clip.video.rpartition("/")
        bucket = "/".join(folder.split("/")[:3]) if "://" in folder else ""
        if folder not in self._folders and bucket not in self._unavailable:
            if len(self._folders) == LISTED_FOLDERS:
                self.unlisted.add(clip.clip_id)
                return
            try:
                self._folders[folder] = _names(folder, self._storage)
            except StorageError as error:
                if error.trouble == "unavailable":
                    self._unavailable.add(bucket)
                else:
                    self._folders[folder] = None
        names = self._folders.get(folder)
        if names is None:
            self.unanswered.add(clip.clip_id)
        elif name not in names:
            self.missing.add(clip.clip_id)


def _names(folder: str, storage: Storage) -> frozenset[str]:
    """The names in a folder, none if there is no such folder. Raises StorageError where it cannot be listed."""
    filesystem, path = storage.filesystem(folder or "/")
    try:
        entries = storage.patiently(f"cannot list {folder}", partial(filesystem.ls, path, detail=False))
    except StorageError as error:
        if error.trouble != "missing":
            raise
        entries = []
    return frozenset(entry.rsplit("/", 1)[-1] for entry in entries)
