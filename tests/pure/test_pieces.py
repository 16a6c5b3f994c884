"""Pins how clips are cut into pieces: by content, and around what is written already, whatever size that was cut to."""

from builders import a_clip
from engine.ingest.pieces import Span, cut, span_of, stretches

PART = "ingest/train/00002.parquet"


def spans(piece_clips: int, clips: list, written: list[Span] | None = None) -> list[tuple[int, int, bool]]:  # type: ignore[type-arg]
    return [(piece.start, piece.count, done) for piece, done in cut(PART, clips, piece_clips, written or [])]


def test_a_piece_is_named_by_its_clips() -> None:
    clips = [a_clip(str(i)) for i in range(7)]
    assert spans(3, clips) == [(0, 3, False), (3, 3, False), (6, 1, False)]
    ids = [piece.piece_id for piece, _ in cut(PART, clips, 3)]
    assert ids == [piece.piece_id for piece, _ in cut(PART, clips, 3)]
    changed = [a_clip("0", label="other"), *clips[1:]]
    assert [a == piece.piece_id for a, (piece, _) in zip(ids, cut(PART, changed, 3), strict=True)] == [False, True, True]


def test_a_file_name_tells_its_span_and_nothing_else_is_a_piece() -> None:
    piece, _ = next(cut(PART, [a_clip("0"), a_clip("1")], 2))
    assert piece.file_name == f"00002-00000-00002-{piece.piece_id}.parquet"
    assert span_of(f"cycle-000/generate/pieces/{piece.file_name}") == Span(2, 0, 2, piece.piece_id)
    assert span_of("cycle-000/generate/index.parquet") is None


def test_written_pieces_keep_their_size_and_the_rest_is_cut_anew() -> None:
    clips = [a_clip(str(i)) for i in range(10)]
    first, second, third = (piece for piece, _ in cut(PART, clips, 4))
    written = [Span(2, second.start, second.count, second.piece_id)]
    assert spans(3, clips, written) == [(0, 3, False), (3, 1, False), (4, 4, True), (8, 2, False)]
    assert {first.count, third.count} == {4, 2}


def test_a_span_of_other_clips_does_not_count_as_written() -> None:
    clips = [a_clip(str(i)) for i in range(4)]
    assert spans(2, clips, [Span(2, 0, 2, "0" * 32), Span(2, 2, 9, "0" * 32)]) == [(0, 2, False), (2, 2, False)]


def test_of_overlapping_spans_each_clip_is_in_one_piece() -> None:
    covered = list(stretches(9, 2, [Span(0, 2, 4, "a"), Span(0, 4, 4, "b")]))
    assert covered == [(0, 2, False), (2, 4, True), (6, 2, False), (8, 1, False)]
    assert sum(count for _, count, _ in covered) == 9
