"""What the clips leave to train on, piece by piece: the examples of attempts that survived verification, or of labels alone."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, tee

from engine.generate.prompts import Prompts
from engine.ingest.pieces import Span, group_of, number_of, span_of
from engine.rows import Answer, Clip, Example
from engine.run.seals import read_seal
from engine.run.work import indexed, read_rows, spans_by_part
from engine.select.choose import from_template
from engine.store.files import FileRecord, Store
from engine.store.parallel import parallel_map

Parts = Iterator[tuple[str, list[Clip]]]
"""The path and the clips of each part of a split."""


@dataclass(frozen=True, slots=True)
class Survivor:
    """A clip with its example."""

    clip: Clip
    example: Example
    attempts: tuple[Answer, ...] = ()
    """All attempts at the clip; none where the example is made of its label."""


Survivors = Iterator[tuple[list[Clip], list[Survivor]]]
"""Consecutive clips, and those of them that have an example; both in the order of the clips."""


@dataclass(frozen=True, slots=True)
class Group:
    """Consecutive clips, and the files that hold the attempts at them: the earlier step's first."""

    clips: list[Clip]
    records: list[FileRecord]


class Pieces:
    """The sealed pieces of generate steps that asked the same clips; each step may have cut them in its own way.

    Raises StorageError where an index, or a piece, differs from what was sealed.
    """

    def __init__(self, store: Store, steps: Sequence[str]) -> None:
        self._store = store
        self._seals = [seal for step in steps if (seal := read_seal(store, step)) is not None]
        self._indexed = ""
        """How the names of the pieces begin whose records are in memory: those of a hundred parts."""
        self._records: list[dict[Span | None, FileRecord]] = []
        self._spans: list[dict[int, list[Span]]] = []

    def _read_indexes(self, part_number: int) -> None:
        if (begins := group_of(part_number)) != self._indexed:
            indexes = [indexed(self._store, seal, begins) for seal in self._seals]
            self._records = [{span_of(path): record for path, record in index.items()} for index in indexes]
            self._spans, self._indexed = [spans_by_part(index) for index in indexes], begins

    def attempts(self, parts: Parts) -> Iterator[tuple[list[Clip], list[Answer]]]:
        """The clips of each group of pieces and all attempts at them. Piece files are read in parallel."""
        groups, ahead = tee(group for path, clips in parts for group in self._groups(number_of(path), clips))
        records = (record for group in ahead for record in group.records)
        files = parallel_map(partial(read_rows, self._store, Answer), records, self._store.calls_at_once)
        for group in groups:
            yield group.clips, [attempt for attempts in islice(files, len(group.records)) for attempt in attempts]

    def _groups(self, part_number: int, clips: list[Clip]) -> Iterator[Group]:
        """The shortest stretches of a part that end where a piece of every step ends."""
        self._read_indexes(part_number)
        cuts = [sorted(spans.get(part_number, ())) for spans in self._spans]
        shared_ends = set.intersection(*({span.end for span in spans} for spans in cuts)) if cuts else set()
        start, waiting = 0, [deque(spans) for spans in cuts]
        for end in sorted(shared_ends):
            records = []
            for by_span, spans in zip(self._records, waiting, strict=True):
                while spans and spans[0].end <= end:
                    records.append(by_span[spans.popleft()])
            yield Group(clips[start:end], records)
            start = end
        assert start == len(clips), f"the pieces of part {part_number} hold {start} of its {len(clips)} clips"


def of_attempts(
    pieces: Pieces,
    parts: Parts,
    revise: Callable[[Sequence[Clip], Sequence[Answer]], Sequence[Answer]],
    choose: Callable[[Sequence[Clip], Sequence[Answer]], Sequence[Example]],
) -> Survivors:
    """The examples that `choose` makes of the attempts at each piece's clips, when `revise` has changed outcomes of these."""
    for clips, read in pieces.attempts(parts):
        attempts = revise(clips, read)
        by_id = {clip.clip_id: clip for clip in clips}
        of_clip = defaultdict[str, list[Answer]](list)
        for attempt in attempts:
            of_clip[attempt.clip_id].append(attempt)
        yield (
            clips,
            [Survivor(by_id[example.clip_id], example, tuple(of_clip[example.clip_id])) for example in choose(clips, attempts)],
        )


def of_labels(parts: Parts, template: str, prompts: Prompts) -> Survivors:
    """Each label in a fixed sentence."""
    for _, clips in parts:
        yield clips, list(map(Survivor, clips, from_template(clips, template, prompts)))


def of_nothing(parts: Parts) -> Survivors:
    """The clips alone, where neither attempts nor labels are trained on."""
    for _, clips in parts:
        yield clips, []
