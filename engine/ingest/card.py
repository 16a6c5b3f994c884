"""The data card: counts of clips, videos and labels, made while the clips stream; what a person should know about their splits."""

import math
from array import array
from collections import Counter
from typing import Any

import numpy as np

from engine.ingest.copies import Copies
from engine.ingest.hashes import hash_of, in_both, ordered, starts, with_split
from engine.ingest.listing import Listing
from engine.ingest.splits import DEFAULT_SHARE, Division
from engine.labels import Keywords, Label, TimeRange, Timestamp
from engine.language.words import label_words
from engine.rows import Clip
from engine.store.locations import object_key

SHOWN = 10
"""The most frequent labels that are shown."""
UNSEEN_SHOWN = 5
"""Held-out labels without a training clip that are named."""
NAMED_LABELS = 100_000
"""A card remembers the names of so many labels; the others are only counted."""


class Card:
    """Counts of a manifest: clips, videos and labels, by split and kind. It takes 56 bytes a clip: some manifests have millions."""

    def __init__(self, listing: Listing | None = None) -> None:
        """`listing`: of the videos' folders, for copies in object stores; without it only local copies are found."""
        self.copies = Copies(listing)
        self._splits, self._kinds = Counter[str](), Counter[str]()
        self._ids, self._labels, self._questions = array("Q"), array("Q"), array("Q")
        self._videos = array("Q")
        self._classes = array("Q")
        """Of the clips with a keywords label. In both arrays the last bit of a hash says whether the clip is held out."""
        self._windows, self._window_labels = array("Q"), array("Q")
        """Of each clip, in the same order: its video, window and question; and its label."""
        self.num_conflicts, self.first_conflict = 0, ""
        """Windows with two labels for one question, and the first of them in words."""
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
        self._videos.append(with_split(hash_of(object_key(clip.video)), clip.split))
        class_hash = class_of(clip.label)
        self._windows.append(window_of(clip))
        self._window_labels.append(class_hash)
        if isinstance(clip.label, Keywords):
            self._classes.append(class_hash | is_heldout)
            if is_heldout and len(self._heldout_names) < NAMED_LABELS:
                self._heldout_names.setdefault(class_hash, clip.label.text)
        if len(self._names) < NAMED_LABELS:
            self._names.setdefault(label, clip.label.text)
        if (seconds := _seconds_of(clip)) is not None:
            self._seconds, self._timed = self._seconds + seconds, self._timed + 1

    @property
    def has_both_splits(self) -> bool:
        return bool(self._splits["train"] and self._splits["heldout"])

    def id_twice(self) -> int | None:
        """The hash of a clip_id that two clips have; None if each has its own."""
        hashes = ordered(self._ids)
        return next((int(hashes[at]) for at in np.flatnonzero(hashes[1:] == hashes[:-1])[:1]), None)

    def videos_in_both(self) -> list[int]:
        """The hashes, their last bits cleared, of the videos with clips in both splits."""
        return in_both(self._videos)

    def windows_of_two_labels(self) -> set[int]:
        """The hashes, as window_of gives them, of what has two labels."""
        windows, labels = (np.frombuffer(hashes, np.uint64) for hashes in (self._windows, self._window_labels))
        order = np.lexsort((labels, windows))
        windows, labels = windows[order], labels[order]
        return {*windows[1:][(windows[1:] == windows[:-1]) & (labels[1:] != labels[:-1])].tolist()}

    def counts(self) -> dict[str, int]:
        labels = ordered(self._labels)
        return {
            "clips": len(self),
            "videos": len(starts(ordered(self._videos) | np.uint64(1))),
            "labels": len(starts(labels)),
            "labels_with_one_clip": int((np.diff(starts(labels), append=len(labels)) == 1).sum()),
            "train": self._splits["train"],
            "heldout": self._splits["heldout"],
        }

    def notes(self) -> list[str]:
        """What a person should know about the splits, a line for each: a share that nobody chose, or that holds out nothing, and
        copies, held-out labels without a training clip, and windows with two labels."""
        notes = (self._share_note(), *self.copies.notes(), self._unseen_note(), self._conflict_note())
        return [note for note in notes if note]

    def one_split_note(self) -> str:
        """That the splits which the manifest names leave one split empty; "" where a share decides, or both have clips."""
        division = self.division
        if division is None or self.has_both_splits or not len(self):
            return ""
        if division.smallest is not None and (division.setting is not None or division.is_default):
            return ""
        what, lack = ("train", "held out") if self._splits["train"] else ("held out", "trained on")
        return (
            f"by the splits that the manifest names, all {len(self)} clips are {what} and none is {lack}; unless these come from "
            "another manifest, correct the split column, or remove it and set data.heldout"
        )

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

    def _conflict_note(self) -> str:
        if not self.num_conflicts:
            return ""
        return f"windows with two labels for one question, of which both are kept: {self.num_conflicts}; {self.first_conflict}"

    def _unseen_note(self) -> str:
        """ "" where one of the splits is empty: then the other one comes from another manifest."""
        if not (self._classes and self.has_both_splits):
            return ""
        classes = np.unique(ordered(self._classes))
        heldout = (classes & np.uint64(1)).astype(bool)
        unseen = np.setdiff1d(classes[heldout] & ~np.uint64(1), classes[~heldout])
        if not len(unseen):
            return ""
        names = sorted(repr(self._heldout_names[int(label)]) for label in unseen if int(label) in self._heldout_names)
        more = f" and {len(unseen) - UNSEEN_SHOWN} more" if len(unseen) > UNSEEN_SHOWN else ""
        return (
            f"{len(unseen)} of {int(heldout.sum())} held-out labels are in no training clip: "
            f"{', '.join(names[:UNSEEN_SHOWN])}{more}; a model can hardly learn these"
        )

    def facts(self) -> dict[str, Any]:
        """The counts, kinds and most frequent labels, as they are written to the card's JSON file."""
        hashes = ordered(self._labels)
        firsts = starts(hashes)
        sizes = np.diff(firsts, append=len(hashes))
        largest = np.argsort(-sizes, kind="stable")[:SHOWN]
        named = sorted((-int(sizes[at]), self._names.get(int(hashes[firsts[at]]), "?")) for at in largest)
        return self.counts() | {
            "kinds": dict(sorted(self._kinds.items())),
            "questions": len(starts(ordered(self._questions))),
            "windows_of_two_labels": self.num_conflicts,
            "hours": round(self._seconds / 3600, 3),
            "clips_of_unknown_length": len(self) - self._timed,
            "tail": {
                "median_clips_of_a_label": float(np.median(sizes)),
                "largest": [[name, -size] for size, name in named],
                "share_of_the_largest_tenth": round(float(np.sort(sizes)[::-1][: max(1, len(sizes) // 10)].sum() / len(self)), 3),
            },
        }


def class_of(label: Label) -> int:
    """A hash of what a label means: of keywords without regard to case and punctuation. Its last bit is cleared."""
    return hash_of(" ".join(label_words(label.text)) if isinstance(label, Keywords) else label.text) & ~1


def window_of(clip: Clip) -> int:
    """A hash of what a clip shows and asks: the same for all names of its video."""
    return hash_of(f"{object_key(clip.video)}\0{clip.start_s or 0.0}\0{clip.end_s}\0{clip.question}")


def _seconds_of(clip: Clip) -> float | None:
    """The length of a clip; None if neither its window nor its label says it."""
    if clip.start_s is not None and clip.end_s is not None:
        return clip.end_s - clip.start_s
    return clip.label.duration_s if isinstance(clip.label, Timestamp | TimeRange) else None
