"""The clips of the run before, as hashes in sorted arrays: 26 bytes a clip."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from engine.config import HELDOUT, TEST
from engine.generate.reuse import content_of
from engine.ingest.clips import read_parts
from engine.ingest.hashes import Hashes, hash_of, ordered, with_split
from engine.rows import Clip
from engine.run.plan import INGEST, TRAIN
from engine.run.seals import read_seal
from engine.store.files import Store
from engine.store.locations import object_key

SPLITS = (TRAIN, HELDOUT, TEST)
"""Those of a manifest; clips of other evaluation sets have files of their own."""


class Known:
    """What a run knows of its clips; notes which of them a manifest has again."""

    def __init__(self, store: Store) -> None:
        """Raises StorageError where a part is not what was sealed."""
        self._store = store
        ids, contents, videos = Hashes(), Hashes(), Hashes()
        for _, clip in self._clips():
            ids.append(hash_of(clip.clip_id))
            contents.append(content_of(clip))
            videos.append(with_split(hash_of(object_key(clip.video)), clip.split))
        order = np.argsort(ids.values(), kind="stable")
        self._ids: NDArray[np.uint64] = ids.values()[order]
        self._contents: NDArray[np.uint64] = contents.values()[order]
        self._is_there = np.zeros(len(order), np.bool_)
        self._videos = np.unique(ordered(videos))

    def _clips(self) -> Iterator[tuple[str, Clip]]:
        """Split and clip, of all splits of the manifest."""
        ingested = read_seal(self._store, INGEST)
        assert ingested is not None, f"{self._store.url()} has no clips yet"
        for split in SPLITS:
            for _, clips in read_parts(self._store, split, ingested.files):
                yield from ((split, clip) for clip in clips)

    def split_of(self, video: str) -> str:
        """The split that a video is in; "" for one that the run does not know."""
        key = hash_of(object_key(video))
        for split in SPLITS:
            number = with_split(key, split)
            place = int(np.searchsorted(self._videos, np.uint64(number)))
            if place < len(self._videos) and int(self._videos[place]) == number:
                return split
        return ""

    def change(self, clip: Clip) -> str:
        """unchanged, new or changed; the clip counts as one that is still there."""
        key = np.uint64(hash_of(clip.clip_id))
        place = int(np.searchsorted(self._ids, key))
        if place == len(self._ids) or self._ids[place] != key:
            return "new"
        self._is_there[place] = True
        return "unchanged" if int(self._contents[place]) == content_of(clip) else "changed"

    def removed(self) -> Iterator[tuple[str, Clip]]:
        """Split and clip of each clip that `change` was not asked about."""
        if self._is_there.all():
            return
        gone = set(self._ids[~self._is_there].tolist())
        yield from ((split, clip) for split, clip in self._clips() if hash_of(clip.clip_id) in gone)
