"""Pins the report: each value under its own header, the choice of clips, and that all text is escaped."""

from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from builders import a_clip, a_seal, an_attempt
from engine.ingest import clips as parts
from engine.ingest.pieces import cut
from engine.report.build import report_page
from engine.report.evidence import LabelCounts, LabelScore, Repeated, Story, learned, rescued, word_for_word
from engine.report.page import page
from engine.rows import ATTEMPTS, Attempt
from engine.run.plan import BASE, INGEST, name_of
from engine.run.seals import Seal, write_seal
from engine.run.work import INDEX, pieces_of
from engine.store.files import FILES, Store

NONE = Repeated(clips=0, modes={})
NO, YES = {"outcome": "rejected", "reason": "label_missing"}, {"outcome": "kept"}


def test_shares_by_label_count_failed_clips_as_wrong() -> None:
    clips = [a_clip("a", "x"), a_clip("b", "x"), a_clip("c", "y")]
    before = [an_attempt("a", **NO), an_attempt("b"), an_attempt("c", outcome="failed", reason="missing")]
    after = [an_attempt("a"), an_attempt("b"), an_attempt("c", outcome="failed", reason="missing")]
    counts = LabelCounts()
    counts.add(clips[:1], before[:1], after[:1])
    counts.add(clips[1:], before[1:], after[1:])
    assert counts.scores() == [
        LabelScore(label="x", clips=2, before=0.5, after=1.0),
        LabelScore(label="y", clips=1, before=0.0, after=0.0),
    ]


def test_learned_clips_come_first_and_one_per_label() -> None:
    clips = [a_clip("a", "x"), a_clip("b", "y"), a_clip("c", "y"), a_clip("d", "z")]
    before = [an_attempt(clip.clip_id, **NO) for clip in clips[:3]] + [an_attempt("d")]
    after = [an_attempt("a", **NO), an_attempt("b"), an_attempt("c"), an_attempt("d")]
    assert [story.clip.clip_id for story in learned(clips, before, after, most=5)] == ["b", "a"]


def test_rescued_shows_dropped_clips_too() -> None:
    clips = [a_clip("a", "x"), a_clip("b", "y")]
    attempts = [
        an_attempt("a", **NO),
        an_attempt("a", mode="rationalized"),
        an_attempt("b", **NO),
        an_attempt("b", mode="rationalized", **NO),
    ]
    assert [story.answers[1][2] for story in rescued(clips, attempts, most=4)] == [True, False]


def test_answers_that_contain_their_description_are_counted_by_mode() -> None:
    clips = [a_clip("a", description="It goes up"), a_clip("b", description="It goes up"), a_clip("c")]
    attempts = [an_attempt("a", text="It goes up, so it is rising."), an_attempt("b", text="It goes down."), an_attempt("c")]
    assert word_for_word(clips, attempts) == Repeated(clips=3, modes={"direct": (1, 2)})


def test_narrations_that_no_answer_repeats_are_not_spoken_of() -> None:
    html = page(a_summary(), [], [], [], Repeated(clips=9, modes={"direct": (0, 9)}))
    assert "description" not in html


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "' onerror='x"])
def test_text_from_data_is_escaped(hostile: str) -> None:
    clip = a_clip(hostile, hostile, video=hostile, question=hostile)
    summary = {
        "base_accuracy": 0.4, "best_accuracy": 0.9, "best_cycle": 0, "heldout_clips": 5,
        "stopped_because": hostile, "note": hostile,
        "cycles": [{
            "cycle": 0, "clips": 3, "direct_kept": 1, "rationalized_kept": 1, "dropped": {hostile: 1}, "failed": {},
            "heldout_accuracy": 0.9,
        }],
    }  # fmt: skip
    story = Story(clip=clip, answers=((hostile, hostile, True, hostile),))
    html = page(
        summary,
        [LabelScore(label=hostile, clips=1, before=0, after=1)],
        [story],
        [story],
        Repeated(clips=3, modes={"direct": (1, 2)}),
    )
    assert hostile not in html
    assert "0.400 &rarr; 0.900" in html


def a_summary(**fields: Any) -> dict[str, Any]:
    return {
        "base_accuracy": 0.125, "best_accuracy": 0.875, "best_cycle": 1, "heldout_clips": 41, "stopped_because": "plateau",
        "note": "",
        "cycles": [
            {
                "cycle": 0, "clips": 90, "direct_kept": 31, "rationalized_kept": 12, "dropped": {"label_missing": 7},
                "failed": {"missing": 3}, "heldout_accuracy": None,
            },
            {
                "cycle": 1, "clips": 91, "direct_kept": 32, "rationalized_kept": 13, "dropped": {"negated": 8, "vague": 2},
                "failed": {"corrupt": 4}, "heldout_accuracy": 0.875,
            },
        ],
    } | fields  # fmt: skip


class Tables(HTMLParser):
    """The tables of a page as rows of cell texts, and the bars drawn in them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self._in_table = False
        self.tables: list[list[list[str]]] = []
        self.bars: list[tuple[str, str]] = []
        """(class, width) of each bar, in order."""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        match tag:
            case "table":
                self._in_table = True
                self.tables.append([])
            case "tr":
                self.tables[-1].append([])
            case "td" | "th":
                self.tables[-1][-1].append("")
            case "span":
                attributes = dict(attrs)
                self.bars.append((attributes["class"] or "", attributes["style"] or ""))

    def handle_endtag(self, tag: str) -> None:
        self._in_table = tag != "table" and self._in_table

    def handle_data(self, data: str) -> None:
        if self._in_table:
            self.tables[-1][-1][-1] += data

    def by_header(self, table: int) -> list[dict[str, str]]:
        header, *rows = self.tables[table]
        assert len(set(header)) == len(header)
        return [dict(zip(header, row, strict=True)) for row in rows]


def test_each_value_of_a_cycle_is_under_its_header() -> None:
    before, first, second = Tables(page(a_summary(), [], [], [], NONE)).by_header(0)
    names = ["cycle", "clips", "kept alone", "kept after the hint", "dropped", "failed", "held-out"]
    assert before == dict.fromkeys(names, "") | {"cycle": "before", "held-out": "0.125"}
    assert first == dict(zip(names, ["0", "90", "31", "12", "7 label missing", "3 missing", ""], strict=True))
    assert second == dict(zip(names, ["1 (promoted)", "91", "32", "13", "8 negated, 2 vague", "4 corrupt", "0.875"], strict=True))


def test_each_value_and_each_bar_of_a_label_is_its_own() -> None:
    labels = [
        LabelScore(label="rising", clips=40, before=0.25, after=0.75),
        LabelScore(label="orbiting", clips=30, before=0.5, after=0.0),
    ]
    html = page(a_summary(), labels, [], [], NONE)
    tables = Tables(html)
    assert tables.by_header(1) == [
        {"label": "rising", "clips": "40", "before": "0.25", "after": "0.75", "": ""},
        {"label": "orbiting", "clips": "30", "before": "0.50", "after": "0.00", "": ""},
    ]
    assert tables.bars == [
        ("bar was", "width:2.00rem"), ("bar", "width:6.00rem"), ("bar was", "width:4.00rem"), ("bar", "width:0.00rem"),
    ]  # fmt: skip
    assert "Held-out accuracy 0.125 &rarr; 0.875" in html
    assert "on 41 clips that no finetune saw; stopped: plateau." in html


def test_each_answer_of_a_story_has_its_name_text_and_reason_in_order() -> None:
    clip = a_clip("c7", "rising", video="v.mp4", question="Which?", start_s=4.0)
    changed = Story(
        clip=clip, answers=(("before", "It sinks.", False, "label_missing"), ("after", "It is rising.", True, "contains_label"))
    )
    hinted = Story(
        clip=clip, answers=(("alone", "It blinks.", False, "negated"), ("shown the label", "It rises.", False, "no_label"))
    )
    html = page(a_summary(), [], [changed], [hinted], Repeated(clips=90, modes={"direct": (3, 5), "rationalized": (1, 4)}))
    first, second = html.split("<div class=story>")[1:]
    assert "<p><small>before</small> It sinks. <small class=rejected>label missing</small></p>" in first
    assert "<p><small>after</small> It is rising. <small class=kept>contains label</small></p>" in first
    assert first.index("It sinks.") < first.index("It is rising.")
    assert "<video src='v.mp4#t=4'" in first
    assert "<b>rising</b> <small>c7: Which?</small>" in first
    assert "<p><small>alone</small> It blinks. <small class=rejected>negated</small></p>" in second
    assert (
        html.index("The same held-out clip")
        < html.index("It sinks.")
        < html.index("What the hint rescued")
        < html.index("It blinks.")
    )
    sentence = (
        "Answers of the first cycle to the first 90 train clips that were kept, and contain the clip's description word for word: "
    )
    assert sentence + "3 of 5 direct; 1 of 4 rationalized." in html


def test_accuracy_by_label_counts_the_clips_of_every_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_CLIPS", 2)
    store = Store(str(tmp_path))
    heldout = [a_clip(name, label, split="heldout") for name, label in (("a", "x"), ("b", "x"), ("c", "y"), ("d", "x"))]
    sizes = parts.write_parts(store, [*heldout, a_clip("t")])
    paths = [parts.path_of(split, number) for split in sizes for number in range(len(sizes[split]))]
    ingested = replace(a_seal(INGEST), files=store.describe(paths))
    right = {BASE: {"a"}, name_of(0, "evaluate"): {"a", "c", "d"}}
    for step, kept in right.items():
        seal_attempts(store, step, ingested, [an_attempt(c.clip_id, **YES if c.clip_id in kept else NO) for c in heldout])
    html = report_page(store, a_summary(best_cycle=0), {INGEST: ingested})
    labels = [list(row.values())[:4] for row in Tables(html).by_header(1)]
    assert labels == [["x", "3", "0.33", "0.67"], ["y", "1", "0.00", "1.00"]]


def seal_attempts(store: Store, step: str, ingested: Seal, attempts: list[Attempt]) -> None:
    """Write the attempts at the held-out clips as pieces of a sealed step, a piece for each part."""
    by_id = {attempt.clip_id: attempt for attempt in attempts}
    for path, clips in parts.read_parts(store, "heldout", ingested.files):
        [(piece, _)] = cut(path, clips, len(clips))
        rows = [by_id[clip.clip_id].to_row() for clip in clips]
        store.write_table(f"{pieces_of(step)}/{piece.file_name}", pa.Table.from_pylist(rows, schema=ATTEMPTS))
    records = store.describe([f"{pieces_of(step)}/{name}" for name in store.names(pieces_of(step))])
    store.write_table(f"{step}/{INDEX}", pa.Table.from_pylist([asdict(record) for record in records], schema=FILES))
    write_seal(store, replace(a_seal(step), files=store.describe([f"{step}/{INDEX}"])))
