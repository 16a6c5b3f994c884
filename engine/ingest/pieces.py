"""Pieces: the clips that travel, are generated and are written together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.rows import Clip
from engine.store.files import digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """`count` clips of a part, from `start` on; its id is a digest of its clips, so the same clips are the same piece.

    Piece(piece_id="9f3c...", part="ingest/train/00003.parquet", start=64, count=32)
    """

    piece_id: str
    part: str
    start: int
    count: int


def cut(part: str, clips: Sequence[Clip], piece_clips: int) -> Iterator[Piece]:
    """Consecutive clips of a part, `piece_clips` at a time; the last piece takes what is left."""
    for start in range(0, len(clips), piece_clips):
        these = clips[start : start + piece_clips]
        yield Piece(piece_id=digest([clip.to_row() for clip in these]), part=part, start=start, count=len(these))
