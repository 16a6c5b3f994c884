"""What the clips leave to train on, piece by piece: the examples of attempts that survived verification, or of labels alone."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from engine.ingest.pieces import cut
from engine.rows import Attempt, Clip, Example
from engine.run.work import pieces_of, read_index, read_piece
from engine.select.choose import from_template
from engine.store.files import FileRecord, Store
from engine.store.parallel import parallel_map

Parts = Iterator[tuple[str, list[Clip]]]
"""The path and the clips of each part of a split."""
Survivors = Iterator[tuple[list[Clip], list[tuple[Clip, Example]]]]
"""Consecutive clips, and pairs (clip, example) for those of them that have an example; both in the order of the clips."""


class Pieces:
    """The sealed pieces of generate steps that asked the same clips, cut in the same way.

    Raises StorageError where an index, or a piece, differs from what was sealed.
    """

    def __init__(self, store: Store, steps: Sequence[str], piece_clips: int) -> None:
        self._store, self._piece_clips = store, piece_clips
        self._indexes = {pieces_of(step): read_index(store, step) or {} for step in steps}

    def attempts(self, parts: Parts) -> Iterator[tuple[list[Clip], list[Attempt]]]:
        """The clips of each piece and all attempts at them, the earlier step's first. Piece files are read in parallel."""
        reads = ((clips, record) for clips, records in self._records(parts) for record in records)
        pieces = parallel_map(lambda read: (read[0], read_piece(self._store, read[1])), reads)
        while files := list(islice(pieces, len(self._indexes))):
            yield files[0][0], [attempt for _, attempts in files for attempt in attempts]

    def _records(self, parts: Parts) -> Iterator[tuple[list[Clip], list[FileRecord]]]:
        for path, clips in parts:
            for piece in cut(path, clips, self._piece_clips):
                records = [index[f"{folder}/{piece.piece_id}.parquet"] for folder, index in self._indexes.items()]
                yield clips[piece.start : piece.start + piece.count], records


def of_attempts(
    pieces: Pieces, parts: Parts, choose: Callable[[Sequence[Clip], Sequence[Attempt]], Sequence[Example]]
) -> Survivors:
    """The examples that `choose` makes of the attempts at each piece's clips."""
    for clips, attempts in pieces.attempts(parts):
        by_id = {clip.clip_id: clip for clip in clips}
        yield clips, [(by_id[example.clip_id], example) for example in choose(clips, attempts)]


def of_labels(parts: Parts, template: str, train_prompt: str) -> Survivors:
    """Each label in a fixed sentence."""
    for _, clips in parts:
        yield clips, list(zip(clips, from_template(clips, template, train_prompt), strict=True))


def of_nothing(parts: Parts) -> Survivors:
    """The clips alone, where neither attempts nor labels are trained on."""
    for _, clips in parts:
        yield clips, []
