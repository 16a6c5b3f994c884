"""What a model's answers to an evaluation set came to, clip by clip, in arrays: 33 bytes a clip, and 8 a measured column."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Protocol

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
    """One entry a clip in each array, in the same order; ids, videos, labels and groups as hashes."""

    ids: NDArray[np.uint64]
    videos: NDArray[np.uint64]
    labels: NDArray[np.uint64]
    states: NDArray[np.uint8]
    groups: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    """Empty: the clips have none."""
    columns: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """float64[clips, K] by source: what was measured of each answer beside its verdict (engine/evaluate/scores)."""

    @property
    def cells(self) -> NDArray[np.uint64]:
        """The group of each clip."""
        return self.groups if len(self.groups) else np.zeros(len(self.ids), np.uint64)

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
        groups = self.groups[places] if len(self.groups) else self.groups
        columns = {source: values[places] for source, values in self.columns.items()}
        return Outcomes(self.ids[places], self.videos[places], self.labels[places], self.states[places], groups, columns)

    def answered(self) -> "Outcomes":
        """The clips whose videos could be used."""
        return self.taken(np.flatnonzero(self.states != FAILED))


class Recorder:
    """Records the clips of a step piece by piece: recorder.add(clips, attempts); recorder.outcomes()."""

    def __init__(self) -> None:
        self._ids, self._videos, self._labels, self._groups = array("Q"), array("Q"), array("Q"), array("Q")
        self._states = array("B")
        self.group_names: dict[int, str] = {}
        """By their hashes; empty where no clip has a group."""

    def add(self, clips: Sequence[Clip], attempts: Sequence[Attempt] | Sequence[Outcome]) -> None:
        """The clips of a piece, and all attempts at them."""
        of_clip = {attempt.clip_id: attempt.outcome for attempt in attempts}
        for clip in clips:
            outcome = of_clip[clip.clip_id]
            self.record(clip, RIGHT if outcome == "kept" else FAILED if outcome == "failed" else WRONG)

    def record(self, clip: Clip, state: int) -> None:
        """An answer to a clip."""
        self._ids.append(hash_of(clip.clip_id))
        self._videos.append(hash_of(object_key(clip.video)))
        self._labels.append(hash_of(name_of(clip.label)))
        self._groups.append(group := hash_of(clip.group))
        if clip.group:
            self.group_names[group] = clip.group
        self._states.append(state)

    def outcomes(self, columns: Mapping[str, NDArray[np.float64]] | None = None) -> Outcomes:
        hashes = (self._ids, self._videos, self._labels, self._groups)
        ids, videos, labels, groups = (np.frombuffer(values, np.uint64) for values in hashes)
        return Outcomes(ids, videos, labels, np.frombuffer(self._states, np.uint8), groups, columns or {})


class Columns(Protocol):
    """What is measured of answers beside their verdicts, by source: engine/evaluate/scores."""

    def add(self, clips: Sequence[Clip], attempts: Sequence[Attempt]) -> None: ...

    def by_source(self) -> dict[str, NDArray[np.float64]]: ...


def read_outcomes(store: Store, step: str, parts: Iterator[tuple[str, list[Clip]]], columns: Columns | None = None) -> Outcomes:
    """Of a sealed evaluation. Raises StorageError where one of its files is not what was sealed.

    `columns`: measure its answers again, which need not be kept.
    """
    records: dict[int, list[FileRecord]] = {}
    for path, record in (read_index(store, step) or {}).items():
        if span := span_of(path):
            records.setdefault(span.part_number, []).append(record)
    recorder = Recorder()
    for path, clips in parts:
        files = records.get(number_of(path), [])
        if columns is None:
            outcomes = parallel_map(partial(read_rows, store, Outcome), files)
            recorder.add(clips, [outcome for piece in outcomes for outcome in piece])
        else:
            attempts = [attempt for piece in parallel_map(partial(read_rows, store, Attempt), files) for attempt in piece]
            recorder.add(clips, attempts)
            columns.add(clips, attempts)
    return recorder.outcomes(columns.by_source() if columns else None)
