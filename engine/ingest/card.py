"""The data card: counts of clips, videos and labels, made while the clips stream; rows that were left out; missing videos."""

import hashlib
import math
import re
from array import array
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.ingest.splits import DEFAULT_SHARE, Division
from engine.labels import Keywords, TimeRange, Timestamp
from engine.language.words import label_words
from engine.rows import Clip, Example
from engine.store.filesystems import Storage
from engine.store.locations import WEB, local_path, object_key, protocol_of
from engine.store.troubles import StorageError

SHOWN = 10
"""Examples that are shown of the rows that were left out, and of the most frequent labels."""
UNSEEN_SHOWN = 5
"""Held-out labels without a training clip that are named."""
NAMED_LABELS = 100_000
"""A card remembers the names of so many labels; the others are only counted."""
DIGEST = re.compile(r"[0-9a-f]{32}(-\d+)?|[0-9A-Za-z+/]{22}==")
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
    """Counts of a manifest: clips, videos and labels, by split and kind. It takes 40 bytes a clip: some manifests have millions."""

    def __init__(self) -> None:
        self._splits, self._kinds = Counter[str](), Counter[str]()
        self._ids, self._labels, self._questions = array("Q"), array("Q"), array("Q")
        self._videos = array("Q")
        self._classes = array("Q")
        """Of the clips with a keywords label. In both arrays the last bit of a hash says whether the clip is held out."""
        self._names: dict[int, str] = {}
        self._heldout_names: dict[int, str] = {}
        self.division: Division | None = None
        """How the manifest's rows came to their splits."""
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
        is_heldout = clip.split == "heldout"
        self._videos.append(hash_of(object_key(clip.video)) & ~1 | is_heldout)
        if isinstance(clip.label, Keywords):
            class_hash = hash_of(" ".join(label_words(clip.label.text))) & ~1
            self._classes.append(class_hash | is_heldout)
            if is_heldout and len(self._heldout_names) < NAMED_LABELS:
                self._heldout_names.setdefault(class_hash, clip.label.text)
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
        return _in_both(self._videos)

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

    def notes(self) -> list[str]:
        """What a person should know about the splits, a line for each: a share that nobody chose, or that holds out nothing, and
        held-out labels without a training clip."""
        return [note for note in (self._share_note(), self._unseen_note()) if note]

    def _share_note(self) -> str:
        division, heldout = self.division, self._splits["heldout"]
        if division is None or division.smallest is None:
            return ""
        share = DEFAULT_SHARE if division.is_default else division.setting or 0.0
        if share and not heldout:
            enough = math.floor(division.smallest * 1000 + 1) / 1000
            videos = self.counts()["videos"]
            remedy = f"the smallest share that holds one out is {enough:g}" if enough < 1 < videos else "two splits need two videos"
            return f"data.heldout = {share:g} holds out none of {videos} videos; {remedy}"
        if not division.is_default:
            return ""
        return (
            f"no split in the manifest: {DEFAULT_SHARE * 100:g} % of the videos are held out ({heldout} of {len(self)} clips); set "
            "data.heldout to another share, or to 0 for none"
        )

    def _unseen_note(self) -> str:
        """ "" where one of the splits is empty: then the other one comes from another manifest."""
        if not (self._classes and self._splits["train"] and self._splits["heldout"]):
            return ""
        classes = np.unique(_sorted(self._classes))
        heldout = (classes & np.uint64(1)).astype(bool)
        unseen = np.setdiff1d(classes[heldout] & ~np.uint64(1), classes[~heldout])
        if not len(unseen):
            return ""
        names = [repr(self._heldout_names[int(label)]) for label in unseen if int(label) in self._heldout_names]
        return (
            f"no training clip has {len(unseen)} of the {int(heldout.sum())} held-out labels, among them "
            f"{', '.join(sorted(names)[:UNSEEN_SHOWN])}; a model can hardly learn these"
        )

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


def _in_both(hashes: "array[int]") -> int | None:
    """A hash, its last bit set, that is there with either last bit; None if there is none."""
    values = _sorted(hashes)
    return next((int(values[at + 1]) for at in np.flatnonzero((values[1:] ^ values[:-1]) == 1)[:1]), None)


def _starts(values: NDArray[np.uint64]) -> NDArray[np.intp]:
    """The index at which each run of equal values begins."""
    return np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])[: len(values)])


class Listing:
    """Looks for videos by listing their folders, each once; web servers have no listings, so they are asked for each video.

    The number of requests to storage is bounded, whatever the number of clips: LISTED_FOLDERS folders are listed, and once storage
    did not respond it is not asked again.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = replace(storage, patience_s=min(LISTING_PATIENCE_S, storage.patience_s))
        self._folders: dict[str, dict[str, int] | None] = {}
        """Names in each folder, with a hash of the object's bytes, 0 for unknown; None for a folder that cannot be listed."""
        self._bytes = array("Q")
        """Hashes of the clips' objects, the last bit as in Card."""
        self._unavailable: set[str] = set()
        """Buckets whose storage did not respond."""
        self.missing, self.unanswered, self.unlisted = Skipped(), Skipped(), Skipped()
        self.first_missing = ""
        """Where the first missing video was looked for."""

    def count(self, clip: Clip | Example) -> None:
        """Count the clip if its video is missing, or if that cannot be found out: unanswered by storage, or not looked for."""
        folder, _, name = clip.video.rpartition("/")
        folder = clip.video if protocol_of(clip.video) in WEB else folder
        bucket = "/".join(folder.split("/")[:3]) if "://" in folder else ""
        if folder not in self._folders and bucket not in self._unavailable:
            if len(self._folders) == LISTED_FOLDERS:
                self.unlisted.add(clip.clip_id)
                return
            try:
                self._folders[folder] = self._names(folder, name)
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
            self.first_missing = self.first_missing or clip.video
        elif names[name]:
            is_heldout = isinstance(clip, Clip) and clip.split == "heldout"  # an example is training's
            self._bytes.append(names[name] & ~1 | is_heldout)

    def refuse_copies(self) -> None:
        """Raises ValueError for bytes that are in both splits, by the digests that object stores give with their listings."""
        if (both := _in_both(self._bytes)) is not None:
            objects = ((f"{folder}/{name}", value) for folder, own in self._folders.items() for name, value in (own or {}).items())
            copies = " and ".join(video for video, value in objects if value | 1 == both)
            raise ValueError(f"{copies} have the same bytes, and are in train and heldout; leave one of them out")

    def _names(self, folder: str, video: str) -> dict[str, int] | None:
        """The objects in a folder, none if there is no such folder; None if it shows nothing and still has the video.

        Some stores show an empty folder to who may read its objects and not list them. Raises StorageError.
        """
        is_web = protocol_of(folder) in WEB
        if not is_web and (names := _listed(folder, self._storage)):
            return names
        try:
            with self._storage.opened(folder if is_web else f"{folder}/{video}", whole_bytes=0):
                return {video: 0} if is_web else None
        except StorageError as error:
            if error.trouble != "missing":
                raise
            return {}


def _listed(folder: str, storage: Storage) -> dict[str, int]:
    """The objects in a folder, each with a hash of its bytes or 0; none if there is no such folder. Raises StorageError."""
    filesystem, path = storage.filesystem(folder or "/")
    is_local = local_path(folder) is not None
    try:
        entries = storage.patiently(f"cannot list {folder}", partial(filesystem.ls, path, detail=not is_local))
    except StorageError as error:
        if error.trouble != "missing":
            raise
        entries = []
    if is_local:
        return {entry.rsplit("/", 1)[-1]: 0 for entry in entries}
    return {entry["name"].rsplit("/", 1)[-1]: _bytes_hash(entry) for entry in entries}


def _bytes_hash(entry: dict[str, Any]) -> int:
    """A hash of the digest that a listing gives: S3's ETag, which is made of MD5s, or Google's MD5; 0 if there is none."""
    digest = str(entry.get("ETag") or entry.get("md5Hash") or "").strip('"')
    return hash_of(f"{digest} {entry['size']}") if DIGEST.fullmatch(digest) and entry.get("size") else 0
