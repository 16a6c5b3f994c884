"""Pins that each table's columns follow from its row's fields: names in order, types, and what may be null."""

import pyarrow as pa

from builders import a_clip, an_attempt
from engine.rows import ATTEMPTS, CLIPS, EPISODES, NARRATED, Attempt, Clip, Judgement


def test_types_follow_from_the_fields() -> None:
    types = {field.name: (str(field.type), field.nullable) for field in CLIPS}
    assert types["clip_id"] == ("string", False)
    assert types["start_s"] == types["end_s"] == ("double", True)
    assert types["label"] == ("string", False), "a label is its JSON text"
    assert list(types)[:6] == ["clip_id", "video", "start_s", "end_s", "question", "label"]
    assert EPISODES.field("context").type == pa.list_(pa.string())
    assert (NARRATED.field("sts").nullable, NARRATED.field("rouge_l").nullable) == (True, False)
    assert (str(ATTEMPTS.field("seed").type), str(ATTEMPTS.field("in_order").type)) == ("int64", "bool")
    judgement = ATTEMPTS.field("judgements").type.value_type
    assert [judgement.field(index).name for index in range(judgement.num_fields)] == [
        "stage", "keep", "reason", "score", "detail", "model", "prompt_tokens", "num_tokens", "cost",
    ]  # fmt: skip


def test_rows_come_back_as_they_were_written() -> None:
    judgements = (Judgement(stage="rules", keep=True, reason="contains_label", score=1.0, detail="rising"),)
    attempts = [an_attempt("a", judgements=judgements), an_attempt("b", outcome="failed", reason="missing")]
    table = pa.Table.from_pylist([attempt.to_row() for attempt in attempts], schema=ATTEMPTS)
    assert [Attempt.from_row(row) for row in table.to_pylist()] == attempts
    clips = [a_clip("a"), a_clip("b", start_s=1.5)]
    table = pa.Table.from_pylist([clip.to_row() for clip in clips], schema=CLIPS)
    assert [Clip.from_row(row) for row in table.to_pylist()] == clips
