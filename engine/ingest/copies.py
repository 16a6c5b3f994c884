"""Copies: one video under two names, of which one is trained on and the other held out. Bytes are read where sizes agree."""

import hashlib
import os
from array import array
from collections.abc import Iterable, Iterator

import numpy as np

from engine.rows import Clip
from engine.store.locations import canonical, local_path

SMALLEST_BYTES = 1024
"""Nothing smaller is a video."""


class LocalCopies:
    """Sizes of the local videos of both splits, 8 bytes a clip. Object stores give digests with their listings: see Listing."""

    def __init__(self) -> None:
        self._sizes = array("Q")
        """Twice the size, and 1 for a video that is held out."""
        self._last = ""

    def add(self, clip: Clip) -> None:
        if clip.video == self._last:  # windows of one video follow each other
            return
        self._last = clip.video
        if (size := _size_of(clip)) >= SMALLEST_BYTES:
            self._sizes.append(2 * size + (clip.split == "heldout"))

    def refuse(self, clips: Iterable[tuple[str, Clip]]) -> None:
        """Raises ValueError for a video whose bytes are in both splits. `clips`: (place, clip), read only if sizes agree."""
        sizes = np.unique(np.frombuffer(self._sizes, np.uint64))
        both = {int(size) // 2 for size in sizes[1:][(sizes[1:] ^ sizes[:-1]) == 1]}
        if not both:
            return
        first: dict[str, tuple[str, Clip]] = {}
        for place, clip in _distinct(clips):
            if _size_of(clip) in both:
                other_place, other = first.setdefault(_digest_of(clip), (place, clip))
                if other.split != clip.split:
                    copied = f"{other.video}, {other.split} at {other_place}"
                    raise ValueError(
                        f"{place}: video {clip.video}, {clip.split} here, is a copy of {copied}; leave one of them out, or put "
                        "both into one split"
                    )


def _distinct(clips: Iterable[tuple[str, Clip]]) -> Iterator[tuple[str, Clip]]:
    last = ""
    for place, clip in clips:
        if clip.video != last:
            yield place, clip
        last = clip.video


def _size_of(clip: Clip) -> int:
    """Bytes of a local file; 0 if there is none."""
    try:
        return os.stat(canonical(clip.video)).st_size if local_path(clip.video) is not None else 0
    except (OSError, ValueError):
        return 0


def _digest_of(clip: Clip) -> str:
    """The sha256 of a local file; its own location if it cannot be read."""
    path = canonical(clip.video)
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return path
