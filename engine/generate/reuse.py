"""Attempts of the run that this one continues, reused by content: a clip that did not change is not asked again.

The first cycle takes those of the last generate step, and the evaluation of the model that the run begins with those of the step in
which that model was evaluated. They are written as pieces before anything is generated, so the flow takes them for what an earlier
command has done.
"""

import logging
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby, islice

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.config import RunConfig
from engine.decode.frame_folder import opened
from engine.generate.prompts import Prompts, answer_prompt, rationalize_prompt
from engine.generate.spec import GenerateSpec
from engine.ingest.clips import read_parts
from engine.ingest.hashes import hash_of
from engine.ingest.pieces import Piece, cut, number_of, piece_of, span_of
from engine.rows import ATTEMPTS, Attempt, Clip
from engine.run.plan import INGEST, TRAIN, name_of
from engine.run.seals import read_seal
from engine.run.work import Progress, Work, pieces_of, read_index, read_piece, run_config, spans_by_part
from engine.store.files import FileRecord, Store, digest
from engine.store.filesystems import Storage
from engine.store.outage import Places
from engine.store.parallel import parallel_map
from engine.store.troubles import StorageError

log = logging.getLogger(__name__)

CLIPS_AT_ONCE = 1024
"""Clips whose attempts are in memory at once: in another order than before, each may be in a piece of its own."""
FOLDER_BYTES = 1 << 30
"""Of the pictures of a video that is a folder: all of them are read to know its version."""
CACHED_PIECES = 64
"""Pieces that stay in memory for the next clips, beside those that hold the present ones."""


def content_of(clip: Clip) -> int:
    """A hash of what a clip is asked about and judged by: its window of its video, its question and its label, and its id.

    Its narration, verb and noun are in no prompt of the loop.
    """
    row = clip.to_row()
    return hash_of(digest([row[name] for name in ("clip_id", "video", "start_s", "end_s", "question", "label")]))


def usable(attempts: Sequence[Attempt], rationalizes: bool) -> list[Attempt]:
    """Those of a clip's attempts that answer it for a step; [] where it has to be asked again.

    Failures may have passed. A rejected direct attempt of a step that did not rationalize is no answer to one that does.
    """
    of_step = [attempt for attempt in attempts if rationalizes or attempt.mode == "direct"]
    is_unfinished = rationalizes and all((attempt.mode, attempt.outcome) == ("direct", "rejected") for attempt in of_step)
    return [] if is_unfinished or any(attempt.outcome == "failed" for attempt in of_step) else of_step


def answers(clip: Clip, attempts: Sequence[Attempt], wording: Prompts) -> bool:
    """Whether the attempts were made with the prompts that the clip would be asked with now, its label in them."""
    prompts = {
        "direct": answer_prompt(wording, clip.question, clip.label),
        "rationalized": rationalize_prompt(wording, clip.question, clip.label),
    }
    return all(attempt.clip_id == clip.clip_id and attempt.prompt == prompts[attempt.mode] for attempt in attempts)


class Past:
    """The attempts of a sealed step by the content of their clips: 12 bytes a clip, and pieces are read when needed."""

    def __init__(self, store: Store, step: str, split: str = TRAIN) -> None:
        """`split`: whose clips it asked about. Raises StorageError where a part or the index is not what was sealed."""
        self._store, self._step, self._split = store, step, split
        self._records: list[FileRecord] = []
        self._cache: dict[int, dict[str, list[Attempt]]] = {}
        contents, pieces = array("Q"), array("I")
        for content, number in self._placed():
            contents.append(content)
            pieces.append(number)
        order = np.argsort(np.frombuffer(contents, np.uint64), kind="stable")
        self._contents: NDArray[np.uint64] = np.frombuffer(contents, np.uint64)[order]
        self._pieces: NDArray[np.uint32] = np.frombuffer(pieces, np.uint32)[order]

    def _placed(self) -> Iterator[tuple[int, int]]:
        """Content of each clip of the step, and the number of the piece that holds its attempts."""
        index, ingested = read_index(self._store, self._step), read_seal(self._store, INGEST)
        assert index is not None, f"{self._step} of {self._store.url()} is not sealed"
        assert ingested is not None, f"{self._store.url()} has no clips"
        records = {span_of(path): record for path, record in index.items()}
        spans = spans_by_part(index)
        for path, clips in read_parts(self._store, self._split, ingested.files):
            for span in sorted(spans.get(number_of(path), ())):
                self._records.append(records[span])
                for clip in clips[span.start : span.end]:
                    yield content_of(clip), len(self._records) - 1

    def all(self) -> Iterator[dict[str, list[Attempt]]]:
        """The attempts of each piece, by clip. Pieces are read in parallel."""
        return map(_by_clip, parallel_map(partial(read_piece, self._store), self._records))

    def attempts(self, clips: Sequence[Clip]) -> list[list[Attempt]]:
        """The attempts at each of the clips; [] for one that the step had not, or not with this content."""
        keys = np.array([content_of(clip) for clip in clips], np.uint64)
        places = np.searchsorted(self._contents, keys)
        numbers = [
            int(self._pieces[place]) if place < len(self._contents) and self._contents[place] == key else -1
            for place, key in zip(places, keys, strict=True)
        ]
        self._read(dict.fromkeys(number for number in numbers if number >= 0))
        return [
            self._cache[number].get(clip.clip_id, []) if number >= 0 else [] for clip, number in zip(clips, numbers, strict=True)
        ]

    def _read(self, numbers: Mapping[int, None]) -> None:
        for number in [number for number in self._cache if number not in numbers][: max(0, len(self._cache) - CACHED_PIECES)]:
            del self._cache[number]
        missing = [number for number in numbers if number not in self._cache]
        pieces = parallel_map(partial(read_piece, self._store), (self._records[number] for number in missing))
        self._cache.update((number, _by_clip(attempts)) for number, attempts in zip(missing, pieces, strict=True))


def _by_clip(attempts: Sequence[Attempt]) -> dict[str, list[Attempt]]:
    clips: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        clips.setdefault(attempt.clip_id, []).append(attempt)
    return clips


@dataclass
class Origins:
    """Counts clips whose attempts are another run's, over all pieces of a step; see Tally in engine/generate/attempts.py."""

    reused: int = 0
    by_model: dict[str, int] = field(default_factory=dict)
    """Reused clips by the digest of the model that answered."""

    def add(self, clips: Sequence[Clip], attempts: Sequence[Attempt]) -> None:
        """The clips of a piece, and all attempts at them."""
        for attempt in {attempt.clip_id: attempt for attempt in attempts if attempt.origin}.values():
            self.reused += 1
            self.by_model[attempt.model] = self.by_model.get(attempt.model, 0) + 1


def reused_step(work: Work) -> str:
    """The step of the other run whose attempts this step may reuse; "" for a step that reuses none."""
    parent, step = work.config.parent, work.step
    if not parent.step:
        return ""
    if step.kind == "generate":
        return parent.step if step.cycle == 0 else ""
    if step.cycle >= 0:
        return ""
    if measured_as(run_config(Store(parent.run, work.store.storage)), step.split) != measured_as(work.config, step.split):
        return ""
    own = re.match(r"cycle-(\d+)/", parent.model.removeprefix(f"{parent.run}/"))
    evaluated = name_of(int(own[1]) if own else -1, "evaluate", step.split)
    return evaluated if read_seal(Store(parent.run, work.store.storage), evaluated) else ""


def measured_as(config: RunConfig, split: str) -> tuple[object, ...]:
    """What decides the answers of an evaluation beside the sections that `starloop extend` compares."""
    return config.evaluate.lora_alpha, config.prompts_of(split)


def write_reused(work: Work, spec: GenerateSpec, source: str) -> None:
    """Write pieces of attempts of the step `source` that stand, of all clips of this step that have no piece yet."""
    parent, folder = work.config.parent, pieces_of(work.step.name)
    written = spans_by_part(work.store.names(folder))
    store, past = Store(parent.run, spec.storage), None
    total, done = sum(work.part_sizes()[work.step.split]), sum(span.count for spans in written.values() for span in spans)
    for path, clips in work.parts(work.step.split):
        gaps = [piece for piece, is_written in cut(path, clips, CLIPS_AT_ONCE, written.get(number_of(path), ())) if not is_written]
        if gaps and past is None:
            past = Past(store, source, work.step.split)
        for gap in gaps:
            assert past is not None
            reused = standing(past, clips[gap.start : gap.start + gap.count], spec)
            pieces = list(
                _pieces(path, clips, gap.start, [bool(attempts) for attempts in reused], work.config.generate.piece_clips)
            )
            origin = store.url(source)
            rows = (_table(piece, reused[piece.start - gap.start :][: piece.count], origin, spec.cycle) for piece in pieces)
            for _ in parallel_map(lambda row: work.store.create_table(f"{folder}/{row[0]}", row[1]), rows):
                pass
            done += sum(piece.count for piece in pieces)
        work.report(Progress(step=work.step.name, unit="clips", done=done, total=total, before=done))


def standing(past: Past, clips: Sequence[Clip], spec: GenerateSpec) -> list[list[Attempt]]:
    """For each clip the attempts that stand: of its content, by its prompts, at the version of the video that is there now."""
    attempts = [usable(of_clip, spec.rationalize) for of_clip in past.attempts(clips)]
    attempts = [of if answers(clip, of, spec.prompts) else [] for clip, of in zip(clips, attempts, strict=True)]
    videos = list(dict.fromkeys(clip.video for clip, of in zip(clips, attempts, strict=True) if of))
    etags = dict(zip(videos, parallel_map(partial(_etag, spec.storage), videos), strict=True))
    denied = [error for error in etags.values() if isinstance(error, StorageError) and error.trouble == "denied"]
    if denied:
        log.warning(
            "%s: %d of %d videos may not be read by this driver, so their clips are asked again: %s",
            spec.step, len(denied), len(videos), denied[0],
        )  # fmt: skip
    return [of if of and of[0].etag == etags[clip.video] else [] for clip, of in zip(clips, attempts, strict=True)]


def _etag(storage: Storage, video: str) -> str | StorageError:
    """The version of a video that is there now, or why it cannot be opened: decoding it then says so of each clip."""
    try:
        with opened(Places(storage), storage, video, FOLDER_BYTES) as source:
            return source.etag
    except StorageError as error:
        if error.trouble == "exhausted":
            raise
        return error


def _pieces(path: str, clips: Sequence[Clip], start: int, stands: Sequence[bool], most: int) -> Iterator[Piece]:
    """Pieces of at most `most` clips, of the stretches in which every clip's attempts stand. `start`: of the first of `stands`."""
    for is_standing, places in groupby(range(len(stands)), key=stands.__getitem__):
        while is_standing and (piece := list(islice(places, most))):
            yield piece_of(path, clips, start + piece[0], len(piece))


def _table(piece: Piece, reused: Sequence[list[Attempt]], origin: str, cycle: int) -> tuple[str, pa.Table]:
    """Name and rows of a piece's file. An attempt that the other run had reused itself keeps its origin.

    `cycle`: this step's: by it the latest attempt is chosen where several cycles' are at hand.
    """
    rows = [
        replace(attempt, piece_id=piece.piece_id, cycle=cycle, origin=attempt.origin or origin).to_row()
        for attempts in reused
        for attempt in attempts
    ]
    return piece.file_name, pa.Table.from_pylist(rows, schema=ATTEMPTS)
