"""Pins which two answers are a preference pair, and its rows in the formats of trl and ms-swift."""

import io
import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq

from builders import a_clip, an_attempt
from engine.generate.prompts import STRICT, train_prompt
from engine.rows import Attempt, Preference
from engine.select.choose import select
from engine.select.duplicates import Duplicates
from engine.select.preferences import PreferenceWriter, for_swift, for_trl, preferences

CLIP = a_clip("a", "rising", video="s3://b/a.mp4", start_s=1.0, end_s=3.0)
ASKED = train_prompt(STRICT, CLIP.question)
NO = {"outcome": "rejected", "reason": "label_missing", "score": 0.5}


def pairs(*attempts: Attempt) -> list[Preference]:
    [example] = select([CLIP], attempts, frozenset({"direct", "rationalized"}), STRICT)
    return preferences(example, attempts)


def test_what_the_hint_rescued_is_preferred_to_what_was_said_without_it() -> None:
    [pair] = pairs(
        an_attempt("a", text="It sinks.", prompt="What?", model="m0", **NO),
        an_attempt("a", text="It goes up: rising.", mode="rationalized", model="m1", cycle=2),
    )
    assert (pair.chosen, pair.rejected, pair.reason, pair.prompt) == ("It goes up: rising.", "It sinks.", "label_missing", ASKED)
    assert (pair.chosen_mode, pair.chosen_cycle, pair.rejected_cycle, pair.rejected_score) == ("rationalized", 2, 0, 0.5)
    assert (pair.chosen_model, pair.rejected_model, pair.pair_id) == ("m1", "m0", "a/2/rationalized/0")


def test_each_rejected_text_is_one_pair_and_some_are_none() -> None:
    kept = an_attempt("a", text="It is rising.")
    assert [pair.rejected for pair in pairs(kept, an_attempt("a", text="x", **NO), an_attempt("a", text="y", **NO))] == ["x", "y"]
    assert len(pairs(kept, an_attempt("a", text="x", **NO), an_attempt("a", text=" x", cycle=1, **NO))) == 1
    assert pairs(kept) == []
    assert pairs(kept, an_attempt("a", text=" ", **NO), an_attempt("a", text="It is rising. ", **NO)) == []
    assert pairs(kept, an_attempt("a", text="seen", mode="rationalized", **NO)) == [], "it answers another question"
    assert pairs(kept, an_attempt("a", text="", outcome="failed", reason="missing")) == []


def test_rows_of_other_tools() -> None:
    [pair] = pairs(an_attempt("a", text="a <video> of nothing", **NO), an_attempt("a", text="rising", mode="rationalized"))
    assert for_trl(pair) == {
        "prompt": [{"role": "user", "content": ASKED}],
        "chosen": [{"role": "assistant", "content": "rising"}],
        "rejected": [{"role": "assistant", "content": "a <video> of nothing"}],
        "pair_id": "a/0/rationalized/0", "video": "s3://b/a.mp4", "window": "[1.0, 3.0]", "reason": "label_missing",
    }  # fmt: skip
    assert for_swift(pair) == {
        "messages": [{"role": "user", "content": f"<video>{ASKED}"}, {"role": "assistant", "content": "rising"}],
        "rejected_response": "a <video > of nothing",
        "videos": ["s3://b/a.mp4"], "images": [], "window": "[1.0, 3.0]", "reason": "label_missing",
    }  # fmt: skip


def test_a_window_has_one_type_and_a_still_picture_is_an_image() -> None:
    [pair] = pairs(an_attempt("a", text="x", **NO), an_attempt("a", text="rising", mode="rationalized"))
    still = replace(pair, video="/v/a.JPG", start_s=None, end_s=None)
    assert (for_trl(still)["window"], for_swift(still)["window"]) == ("[null, null]", "[null, null]")
    assert (for_swift(still)["videos"], for_swift(still)["images"]) == ([], ["/v/a.JPG"])
    assert for_swift(still)["messages"][0]["content"] == f"<image>{ASKED}"


def test_the_three_files_hold_the_same_pairs() -> None:
    both = pairs(an_attempt("a"), an_attempt("a", text="x", **NO), an_attempt("a", text="\u00e9", **NO))
    table, trl, swift = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with PreferenceWriter(table, trl, swift) as writer:
        writer.write(both[:1])
        writer.write(both[1:])
    assert writer.count == 2
    assert [row["rejected"] for row in pq.read_table(table).to_pylist()] == ["x", "\u00e9"]
    assert [json.loads(line) for line in trl.getvalue().splitlines()] == [for_trl(pair) for pair in both]
    assert [json.loads(line) for line in swift.getvalue().splitlines()] == [for_swift(pair) for pair in both]


def test_a_group_of_near_duplicates_is_capped_by_rank_across_both_salts() -> None:
    told = "The red ball starts at the left, rolls over the table and falls off on the right, so the action is falling"
    texts = [told, told.upper(), "Nothing of the kind is to be seen here, so it rises", told + "!", "Something else altogether"]
    duplicates = Duplicates()
    for text in texts:
        duplicates.add(text)
    assert duplicates.capped(1, [5, 4, 9, 3, 9]).tolist() == [False, False, True, True, True]
    assert duplicates.capped(2, [5, 4, 9, 3, 9]).tolist() == [False, True, True, True, True]
    assert duplicates.capped(3, [0] * 5).all()
    assert Duplicates().capped(1, []).tolist() == np.zeros(0, bool).tolist()
