"""Where a clip lies in a run, by its id; and the ids that are most like one that is not there.

The parts of ingest say it: of each, the bounds of its ids are read, and only where they allow it the column of ids. Of a million
clips with numbered names this is 122 footers and one column.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice

from rapidfuzz import process
from rapidfuzz.distance import JaroWinkler

from engine.ingest.clips import from_table
from engine.ingest.pieces import group_of, number_of, span_of
from engine.inspect.columns import read_column, rows_with
from engine.rows import Attempt, Clip
from engine.run.collected import uncollected
from engine.run.plan import INGEST
from engine.run.seals import Seal
from engine.run.work import indexed, pieces_of, read_rows
from engine.store.files import FileRecord, Store
from engine.store.parallel import parallel_map

LIKE = 3
"""Ids that are named where one is not there."""
LEAST_LIKE = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a clip lies: Place(part="ingest/train/00003.parquet", row=64, clip=Clip(...))"""

    part: str
    row: int
    """In its part, from 0: the names of pieces' files tell which of them holds it."""
    clip: Clip


def find_clip(store: Store, sealed: Mapping[str, Seal], clip_id: str, split: str = "") -> Place:
    """`split`: where it is; "": in any. Two evaluation sets may each have a clip of one id.

    Raises ValueError where the run has no such clip, naming those whose ids are most like it, and where several splits have one.
    """
    if INGEST not in sealed:
        raise ValueError(f"{store.uri} has no clips yet: its ingest step is not sealed")
    paths = [record.path for record in sealed[INGEST].files if record.path.startswith(f"{INGEST}/{f'{split}/' if split else ''}")]
    look = partial(rows_with, store, column="clip_id", value=clip_id)
    matches = zip(paths, parallel_map(look, paths, store.calls_at_once), strict=True)
    places = [Place(part=path, row=match.numbers[0], clip=from_table(match.rows)[0]) for path, match in matches if match.numbers]
    if len(splits := {place.clip.split for place in places}) > 1:
        raise ValueError(f"{store.uri} has a clip {clip_id!r} in each of {', '.join(sorted(splits))}; name one with --split")
    if places:
        return places[0]
    ids = (read_column(store, path, "clip_id").to_pylist() for path in paths)
    raise ValueError(f"{store.uri} has no clip {clip_id!r}; {likest(clip_id, ids) or 'it has no clips'}")


def likest(name: str, lists: Iterable[list[str]]) -> str:
    """The names of all lists that have this one in them or are most like it, as a question; where none is, how one of them looks.

    >>> likest("train-0007", [["train-00007", "heldout-00007"], ["train-00070"]])
    'did you mean train-00070 or train-00007?'
    >>> likest("yoga.mp4", [["/videos/dive", "/videos/yoga"]]), likest("17", [["train-00007"]]), likest("17", [])
    ('did you mean /videos/yoga?', 'one that it has is train-00007', '')
    """
    scored, first, stem = list[tuple[float, str]](), "", os.path.splitext(name)[0]
    for names in lists:
        first = first or next(iter(names), "")
        within = islice((other for other in names if stem in other), LIKE)
        near = process.extract(name, names, scorer=JaroWinkler.similarity, limit=LIKE, score_cutoff=LEAST_LIKE)
        scored = sorted({*scored, *((-1.0, other) for other in within), *((-score, other) for other, score, _ in near)})[:LIKE]
    likely = dict.fromkeys(other for score, other in scored if -score >= 0.95 * -scored[0][0])
    return f"did you mean {' or '.join(likely)}?" if likely else f"one that it has is {first}" if first else ""


def attempts_at(store: Store, step: str, seal: Seal | None, place: Place) -> tuple[list[Attempt], str]:
    """The attempts of a step at a clip, and why there are none: "" where there are, or where its piece is not written yet.

    One index of a hundred parts and one piece are read.
    """
    part = number_of(place.part)
    records: Mapping[str, FileRecord | str]
    if seal is not None:
        indexes = indexed(store, seal, group_of(part))
        records = indexes
        kept = {record.path for record in uncollected(store, step, list(indexes.values()))}
    else:
        names = store.names(pieces_of(step), f"{part:05d}-")
        records = {path: path for path in (f"{pieces_of(step)}/{name}" for name in names)}
        kept = set(records)
    for path, record in records.items():
        span = span_of(path)
        if span is not None and span.part_number == part and span.start <= place.row < span.end:
            if path not in kept:
                return [], "its piece was deleted by `starloop gc`"
            return [attempt for attempt in read_rows(store, Attempt, record) if attempt.clip_id == place.clip.clip_id], ""
    return [], ""
