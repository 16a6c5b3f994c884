"""Pieces: the clips that travel, are generated and are written together.

A piece's file is named after the stretch of clips that it holds, so the names of the written files tell what is left to do, also
after generate.piece_clips was changed: what is written keeps its size, what is left is cut anew.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from engine.rows import Clip
from engine.store.files import digest

FILE_NAME = re.compile(r"(\d{5,})-(\d{5,})-(\d{5,})-([0-9a-f]{32})\.parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """`count` clips of a part, from `start` on; its id is a digest of its clips, so the same clips are the same piece.

    Piece(piece_id="9f3c...", part="ingest/train/00003.parquet", start=64, count=32)
    """

    piece_id: str
    part: str
    start: int
    count: int

    @property
    def file_name(self) -> str:
        """
        >>> Piece(piece_id="9f" * 16, part="ingest/train/00003.parquet", start=64, count=32).file_name
        '00003-00064-00032-9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f.parquet'
        """
        return f"{number_of(self.part):05d}-{self.start:05d}-{self.count:05d}-{self.piece_id}.parquet"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """What a piece's file name says: the stretch of a part's clips, and the piece's id. Span(3, 64, 32, "9f3c...")."""

    part_number: int
    start: int
    count: int
    piece_id: str

    @property
    def end(self) -> int:
        return self.start + self.count


def number_of(part: str) -> int:
    """
    >>> number_of("ingest/train/00003.parquet")
    3
    """
    return int(part.rsplit("/", 1)[-1].removesuffix(".parquet"))


def group_of(part_number: int) -> str:
    """How the names of a part's pieces begin, and those of the other parts of its hundred.

    They are listed together, in as few requests as one listing of everything takes, and the driver holds no others' names.

    >>> group_of(1203), group_of(7), group_of(123456)
    ('012', '000', '1234')
    """
    return f"{part_number:05d}"[:-2]


def groups_of(num_parts: int) -> list[str]:
    """
    >>> groups_of(0), groups_of(100), groups_of(201)
    (['000'], ['000'], ['000', '001', '002'])
    """
    return sorted({group_of(number) for number in range(max(1, num_parts))})


def span_of(path: str) -> Span | None:
    """The span that a piece's path names; None for any other file.

    >>> span_of("cycle-000/generate/pieces/00003-00064-00032-" + "9f" * 16 + ".parquet").start
    64
    """
    match = FILE_NAME.fullmatch(path.rsplit("/", 1)[-1])
    return Span(int(match[1]), int(match[2]), int(match[3]), match[4]) if match else None


def cut(part: str, clips: Sequence[Clip], piece_clips: int, written: Iterable[Span] = ()) -> Iterator[tuple[Piece, bool]]:
    """The pieces of a part in order, and whether each is written: the written ones as they are, the clips between them cut anew."""
    whole = [span for span in written if span.piece_id == _digest(clips[span.start : span.end]) and span.end <= len(clips)]
    for start, count, is_written in stretches(len(clips), piece_clips, whole):
        yield piece_of(part, clips, start, count), is_written


def piece_of(part: str, clips: Sequence[Clip], start: int, count: int) -> Piece:
    """The piece that a stretch of a part's clips makes."""
    return Piece(piece_id=_digest(clips[start : start + count]), part=part, start=start, count=count)


def stretches(num_clips: int, piece_clips: int, written: Iterable[Span]) -> Iterator[tuple[int, int, bool]]:
    """(start, count, whether it is written) of each piece of a part. Of written spans that overlap, the first one counts.

    >>> list(stretches(10, 2, [Span(0, 4, 4, "...")]))
    [(0, 2, False), (2, 2, False), (4, 4, True), (8, 2, False)]
    """
    done = 0
    for span in sorted(written):
        if span.start < done:
            continue
        yield from ((start, min(piece_clips, span.start - start), False) for start in range(done, span.start, piece_clips))
        yield span.start, span.count, True
        done = span.end
    yield from ((start, min(piece_clips, num_clips - start), False) for start in range(done, num_clips, piece_clips))


def _digest(clips: Sequence[Clip]) -> str:
    return digest([clip.to_row() for clip in clips])
