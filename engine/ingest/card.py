"""The data card: counts of clips, videos and labels, made while the clips stream; what a person should know about their splits."""

import math
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.ingest.copies import Copies
from engine.ingest.hashes import SPLIT_BITS, Distinct, Hashes, hash_of, in_several, shares, starts, with_split, without_split
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
FAR = 0.1
"""Largest difference of the share that is held out from the one that was asked for, of which nothing is said."""
SHARES = 64
"""Of the windows, by their hashes."""
HELDOUT_BIT, OTHER_BIT = 1, 2
NAMED_LABELS = 100_000
"""A card remembers the names of so many labels; the others are only counted."""


class Card:
    """Counts of a manifest: clips, videos and labels, by split and kind. It takes 32 bytes a clip, and 8 for each
    different question: some manifests have millions."""

    def __init__(self, listing: Listing | None = None) -> None:
        """`listing`: of the videos' folders, for copies in object stores; without it only local copies are found."""
        self.copies = Copies(listing)
        self._splits, self._kinds = Counter[str](), Counter[str]()
        self._ids, self._videos, self._questions = Hashes(), Hashes(), Distinct()
        self._windows, self._window_labels = Hashes(), Hashes()
        """Of each clip, in the same order: its video, window and question; and its label, whose last two bits say whether the clip
        is kept from training, and whether its label is another one than keywords."""
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
        self._splits[clip.split] += 1
        self._kinds[clip.label.kind] += 1
        self._ids.append(hash_of(clip.clip_id))
        self._questions.append(hash_of(clip.question))
        is_heldout = clip.split != "train"
        self._videos.append(with_split(hash_of(object_key(clip.video)), clip.split))
        class_hash = class_of(clip.label)
        self._windows.append(window_of(clip))
        is_class = isinstance(clip.label, Keywords)
        self._window_labels.append(class_hash | (is_heldout * HELDOUT_BIT) | (not is_class) * OTHER_BIT)
        if is_class and is_heldout and len(self._heldout_names) < NAMED_LABELS:
            self._heldout_names.setdefault(class_hash, clip.label.text)
        if len(self._names) < NAMED_LABELS:
            self._names.setdefault(class_hash, clip.label.text)
        if (seconds := _seconds_of(clip)) is not None:
            self._seconds, self._timed = self._seconds + seconds, self._timed + 1

    @property
    def has_both_splits(self) -> bool:
        return bool(self._splits["train"] and self._splits["heldout"])

    def id_twice(self) -> int | None:
        """The hash of a clip_id that two clips have; None if each has its own."""
        return next((int(ids[at]) for ids in shares(self._ids) for at in np.flatnonzero(ids[1:] == ids[:-1])[:1]), None)

    @property
    def has_fixed_splits(self) -> bool:
        """Whether the manifest names the split of every row, so that no share decides."""
        return self.division is not None and self.division.smallest is None

    @property
    def has_several_splits(self) -> bool:
        return len(self._splits) > 1

    def videos_in_several(self) -> list[int]:
        """The hashes, without their splits, of the videos with clips in several splits."""
        return in_several(self._videos)

    def heldout_videos(self) -> int:
        """Videos with a clip in the split that decides which cycle is promoted."""
        return sum(int(((videos[starts(videos)] & np.uint64(3)) == SPLIT_BITS["heldout"]).sum()) for videos in shares(self._videos))

    def windows_of_two_labels(self) -> set[int]:
        """The hashes, as window_of gives them, of what has two labels."""
        several = set[int]()
        for share in range(SHARES):  # a share at a time, because an order of all takes as much memory as the hashes
            shares = [chunk & np.uint64(SHARES - 1) == share for chunk in self._windows.chunks()]
            shown, meant = (
                np.concatenate([chunk[here] for chunk, here in zip(hashes.chunks(), shares, strict=True)])
                for hashes in (self._windows, self._window_labels)
            )
            order = np.lexsort((meant, shown))
            shown, meant = shown[order], meant[order]
            several.update(shown[1:][(shown[1:] == shown[:-1]) & (meant[1:] != meant[:-1])].tolist())
        return several

    def _classes(self) -> tuple[NDArray[np.uint64], NDArray[np.intp]]:
        """The hash of each label, sorted, and how many clips it has."""
        classes, sizes = [np.empty(0, np.uint64)], [np.empty(0, np.intp)]
        for labels in shares(self._window_labels):
            labels &= ~np.uint64(HELDOUT_BIT | OTHER_BIT)
            classes.append(labels[starts(labels)])
            sizes.append(np.diff(starts(labels), append=len(labels)))
        return np.concatenate(classes), np.concatenate(sizes)

    def counts(self) -> dict[str, int]:
        _, sizes = self._classes()
        return {
            "clips": len(self),
            "videos": sum(len(starts(videos | np.uint64(3))) for videos in shares(self._videos)),
            "labels": len(sizes),
            "labels_with_one_clip": int((sizes == 1).sum()),
            "train": self._splits["train"],
            "heldout": self._splits["heldout"],
        } | ({"test": self._splits["test"]} if self._splits["test"] else {})

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
            return "" if division.is_mixed or not share else self._far_note(share)
        return (
            f"no split in the manifest: {DEFAULT_SHARE * 100:g} % of the videos are held out ({heldout} of {len(self)} clips); set "
            "data.heldout to another share, or to 0 for none"
        )

    def _far_note(self, share: float) -> str:
        heldout, videos = self.heldout_videos(), self.counts()["videos"]
        if abs(heldout / videos - share) <= FAR:
            return ""
        return (
            f"data.heldout = {share:g} holds out {heldout} of {videos} videos: where a video lies decides about it alone, so of "
            "few videos the share is a rough one; to decide yourself, give the table a column `split` (train, heldout)"
        )

    def _conflict_note(self) -> str:
        if not self.num_conflicts:
            return ""
        return f"windows with two labels for one question, of which both are kept: {self.num_conflicts}; {self.first_conflict}"

    def _unseen_note(self) -> str:
        """ "" where one of the splits is empty: then the other one comes from another manifest."""
        if not self.has_both_splits:
            return ""
        several = [labels[starts(labels)] for labels in shares(self._window_labels)]
        classes = np.concatenate([labels[labels & np.uint64(OTHER_BIT) == 0] for labels in several])
        heldout = (classes & np.uint64(HELDOUT_BIT)).astype(bool)
        unseen = np.setdiff1d(classes[heldout] & ~np.uint64(HELDOUT_BIT), classes[~heldout])
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
        classes, sizes = self._classes()
        largest = np.argsort(-sizes, kind="stable")[:SHOWN]
        named = sorted((-int(sizes[at]), self._names.get(int(classes[at]), "?")) for at in largest)
        return self.counts() | {
            "kinds": dict(sorted(self._kinds.items())),
            "questions": len(self._questions),
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
    """A hash of what a label means: of keywords without regard to case and punctuation. Its last two bits are cleared."""
    return without_split(hash_of(" ".join(label_words(label.text)) if isinstance(label, Keywords) else label.text))


def window_of(clip: Clip) -> int:
    """A hash of what a clip shows and asks: the same for all names of its video."""
    return hash_of(f"{object_key(clip.video)}\0{clip.start_s or 0.0}\0{clip.end_s}\0{clip.question}")


def _seconds_of(clip: Clip) -> float | None:
    """The length of a clip; None if neither its window nor its label says it."""
    if clip.start_s is not None and clip.end_s is not None:
        return clip.end_s - clip.start_s
    return clip.label.duration_s if isinstance(clip.label, Timestamp | TimeRange) else None
