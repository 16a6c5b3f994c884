"""What a model's answers to an evaluation set came to, clip by clip, in arrays: 25 bytes a clip."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from engine.ingest.hashes import hash_of
from engine.ingest.pieces import number_of, span_of
from engine.labels import name_of
from engine.rows import Attempt, Clip, Outcome
from engine.run.work import read_index, read_rows
from engine.store.files import FileRecord, Store
from engine.store.locations import object_key
from engine.store.parallel import parallel_map

WRONG, RIGHT, FAILED = 0, 1, 2
"""States of a clip. A failed one was not answered, because its video could not be used; it counts as wrong."""


@dataclass(frozen=True)
class Outcomes:
    """One entry a clip in each array, in the same order; ids, videos and labels as hashes."""

    ids: NDArray[np.uint64]
    videos: NDArray[np.uint64]
    labels: NDArray[np.uint64]
    states: NDArray[np.uint8]

    @property
    def right(self) -> NDArray[np.float64]:
        """1.0 for a clip that was answered right, 0.0 for another one."""
        return np.where(self.states == RIGHT, 1.0, 0.0)

    @cached_property
    def video_numbers(self) -> NDArray[np.intp]:
        """For each clip the number of its video, from 0."""
        return np.unique(self.videos, return_inverse=True)[1]

    @property
    def num_videos(self) -> int:
        return int(self.video_numbers.max()) + 1 if len(self.videos) else 0

    def by_video(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum over each video's clips."""
        return np.bincount(self.video_numbers, weights=values, minlength=self.num_videos).astype(np.float64)

    def sorted(self) -> "Outcomes":
        """In the order of the ids."""
        return self.taken(np.argsort(self.ids))

    def taken(self, places: NDArray[np.intp]) -> "Outcomes":
        """The clips at these places, in this order."""
        return Outcomes(self.ids[places], self.videos[places], self.labels[places], self.states[places])


class Recorder:
    """Records the clips of a step piece by piece: recorder.add(clips, attempts); recorder.outcomes()."""

    def __init__(self) -> None:
        self._ids, self._videos, self._labels = array("Q"), array("Q"), array("Q")
        self._states = array("B")

    def add(self, clips: Sequence[Clip], attempts: Sequence[Attempt] | Sequence[Outcome]) -> None:
        """The clips of a piece, and all attempts at them."""
        of_clip = {attempt.clip_id: attempt.outcome for attempt in attempts}
        for clip in clips:
            outcome = of_clip[clip.clip_id]
            self._ids.append(hash_of(clip.clip_id))
            self._videos.append(hash_of(object_key(clip.video)))
            self._labels.append(hash_of(name_of(clip.label)))
            self._states.append(RIGHT if outcome == "kept" else FAILED if outcome == "failed" else WRONG)

    def outcomes(self) -> Outcomes:
        ids, videos, labels = (np.frombuffer(values, np.uint64) for values in (self._ids, self._videos, self._labels))
        return Outcomes(ids, videos, labels, np.frombuffer(self._states, np.uint8))


def read_outcomes(store: Store, step: str, parts: Iterator[tuple[str, list[Clip]]]) -> Outcomes:
    """Of a sealed evaluation. Raises StorageError where one of its files is not what was sealed."""
    records: dict[int, list[FileRecord]] = {}
    for path, record in (read_index(store, step) or {}).items():
        if span := span_of(path):
            records.setdefault(span.part_number, []).append(record)
    recorder = Recorder()
    for path, clips in parts:
        pieces = parallel_map(partial(read_rows, store, Outcome), records.get(number_of(path), []))
        recorder.add(clips, [attempt for piece in pieces for attempt in piece])
    return recorder.outcomes()
