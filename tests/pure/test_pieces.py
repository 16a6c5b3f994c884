"""Pins how clips are cut into pieces: by content, and around what is written already, whatever size that was cut to."""

from pathlib import Path

import pytest

from builders import a_clip
from engine.ingest.clips import path_of, to_table
from engine.ingest.pieces import Span, cut, group_of, span_of, stretches
from engine.presets import load_config
from engine.run.plan import INGEST, Step
from engine.run.seals import Seal, write_seal
from engine.run.work import Work
from engine.store.files import Store

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
    assert span_of("cycle-000/generate/index.pq") is None


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


def test_a_split_of_many_parts_is_listed_a_hundred_parts_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, step = Store(str(tmp_path)), Step(name="cycle-000/generate", kind="generate", cycle=0, inputs=(INGEST,))
    for number in (99, 100):
        store.write_table(path_of("train", number), to_table([a_clip(f"{number}-{n}") for n in range(4)]))
    files = store.describe([path_of("train", number) for number in (99, 100)])
    sizes = {"parts": {"train": [0] * 99 + [4, 4]}}
    write_seal(store, Seal(step=INGEST, identity="", files=files, counts={}, facts=sizes, seconds=1.0, epoch=1))
    config = load_config(None, [f"run.uri={tmp_path}", "data.manifest=m.csv", "generate.piece_clips=2"])
    work = Work(step=step, identity="", config=config, store=store, report=lambda progress: None)
    for planned in list(work.pieces())[1:3]:
        store.write(f"{step.name}/pieces/{planned.piece.file_name}", b"")
    listed, names = list[str](), Store.names
    monkeypatch.setattr(Store, "names", lambda store, folder, begins="": listed.append(begins) or names(store, folder, begins))
    planned_pieces = [(planned.piece.part, planned.piece.start, planned.is_written) for planned in work.pieces()]
    assert planned_pieces == [
        (path_of("train", 99), 0, False), (path_of("train", 99), 2, True),
        (path_of("train", 100), 0, True), (path_of("train", 100), 2, False),
    ]  # fmt: skip
    assert listed == ["000", "001"]
    assert sum(span.count for span in work.written()) == 4


def test_of_parts_with_longer_numbers_none_is_counted_twice() -> None:
    assert [group_of(number) for number in (0, 99, 100, 99_999, 100_000)] == ["000", "000", "001", "999", "1000"]
