"""Pins what the report shows: true shares, clips that changed, and nothing unescaped."""

import pytest

from builders import a_clip, an_attempt
from engine.report.evidence import LabelScore, Story, by_label, learned, rescued, true_reasons
from engine.report.page import page

NO, YES = {"outcome": "rejected", "reason": "label_missing"}, {"outcome": "kept"}


def test_shares_by_label_count_failed_clips_as_wrong() -> None:
    clips = [a_clip("a", "x"), a_clip("b", "x"), a_clip("c", "y")]
    before = [an_attempt("a", **NO), an_attempt("b"), an_attempt("c", outcome="failed", reason="missing")]
    after = [an_attempt("a"), an_attempt("b"), an_attempt("c", outcome="failed", reason="missing")]
    assert by_label(clips, before, after) == [
        LabelScore(label="x", clips=2, before=0.5, after=1.0),
        LabelScore(label="y", clips=1, before=0.0, after=0.0),
    ]


def test_clips_that_were_learned_come_first_and_one_a_label() -> None:
    clips = [a_clip("a", "x"), a_clip("b", "y"), a_clip("c", "y"), a_clip("d", "z")]
    before = [an_attempt(clip.clip_id, **NO) for clip in clips[:3]] + [an_attempt("d")]
    after = [an_attempt("a", **NO), an_attempt("b"), an_attempt("c"), an_attempt("d")]
    assert [story.clip.clip_id for story in learned(clips, before, after, most=5)] == ["b", "a"]


def test_rescued_shows_what_was_dropped_too() -> None:
    clips = [a_clip("a", "x"), a_clip("b", "y")]
    attempts = [
        an_attempt("a", **NO),
        an_attempt("a", mode="rationalized"),
        an_attempt("b", **NO),
        an_attempt("b", mode="rationalized", **NO),
    ]
    assert [story.said[1][2] for story in rescued(clips, attempts, most=4)] == [True, False]


def test_reasons_are_true_where_the_description_was_said() -> None:
    clips = [a_clip("a", description="It goes up"), a_clip("b", description="It goes up"), a_clip("c")]
    attempts = [an_attempt("a", text="It goes up, so it is rising."), an_attempt("b", text="It goes down."), an_attempt("c")]
    assert true_reasons(clips, attempts) == {"direct": (1, 2)}


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "' onerror='x"])
def test_what_comes_from_data_is_escaped(hostile: str) -> None:
    clip = a_clip(hostile, hostile, video=hostile, question=hostile)
    summary = {
        "base_accuracy": 0.4, "best_accuracy": 0.9, "best_cycle": 0, "heldout_clips": 5,
        "stopped_because": hostile, "note": hostile,
        "cycles": [{
            "cycle": 0, "clips": 3, "direct_kept": 1, "rationalized_kept": 1, "dropped": {hostile: 1}, "failed": {},
            "heldout_accuracy": 0.9,
        }],
    }  # fmt: skip
    story = Story(clip=clip, said=((hostile, hostile, True, hostile),))
    html = page(summary, [LabelScore(label=hostile, clips=1, before=0, after=1)], [story], [story], {"direct": (1, 2)})
    assert hostile not in html
    assert "0.400 &rarr; 0.900" in html
