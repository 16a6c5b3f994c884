"""Pieces: the clips that travel, are generated and are written together."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.rows import Clip
from engine.store import digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Piece(piece_id="9f3c...", clips=(Clip(...), ...)); its id is a digest of its clips, so the same clips are the same piece."""

    piece_id: str
    clips: tuple[Clip, ...]


def cut(clips: Sequence[Clip], piece_clips: int) -> list[Piece]:
    """Consecutive clips, `piece_clips` at a time; the last piece takes what is left."""
    parts = [tuple(clips[i : i + piece_clips]) for i in range(0, len(clips), piece_clips)]
    return [Piece(piece_id=digest([clip.to_row() for clip in part]), clips=part) for part in parts]
