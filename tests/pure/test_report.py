"""Pins the report: what it counts, shows and doubts; hostile text stays text; words about its sample come back."""

import base64
import csv
import errno
import io
import json
import re
from collections import Counter
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from builders import a_clip, a_seal, an_attempt, seal_attempts
from engine.audit.audit import Audit, audited, audits, sample_of, take_back
from engine.audit.figures import Estimate, Stratum
from engine.audit.sheet import to_csv
from engine.config import Select
from engine.evaluate.paired import smallest_gain
from engine.ingest.clips import path_of, write_parts
from engine.ingest.hashes import hash_of
from engine.labels import AnyOf, Number
from engine.report import counts, digest, page
from engine.report.beliefs import Belief, Evidence, beliefs
from engine.report.build import report_page
from engine.report.chosen import Endings, chosen
from engine.report.counts import MOST_LABELS, MOST_ROWS, LabelRow, StepCounts, label_rows, shown_rows
from engine.report.figures import LONGEST_LABEL, label_text
from engine.report.frames import strip_of
from engine.report.page import embedded, strips_in
from engine.report.reasons import IN_WORDS
from engine.report.spans import deciding_spans, segments
from engine.report.split import SplitClips
from engine.report.stories import Teller, Uses
from engine.report.strips import Strip, key_of
from engine.report.tables import Yield, confusion_of, funnel_of, yield_of
from engine.rows import FAILURES, UNUSED, Attempt, Audited, Grounding, Judgement, Trace, Unused
from engine.run import reports
from engine.run.collected import note_collected
from engine.run.lease import Lease
from engine.run.plan import BASE, name_of
from engine.run.refresh import refresh
from engine.run.reports import begin_report, inputs_of, subject_of
from engine.run.seals import Seal
from engine.run.summary import summarize
from engine.run.work import read_seals, run_config, unused_of
from engine.store.files import Store
from engine.store.troubles import StorageError
from engine.verify.verdict import VerifySpec
from jobs.report import report
from reported import CURVE, HIDDEN, HOSTILE, a_run

NO = {"outcome": "rejected", "reason": "label_missing"}
ROOT = Path(__file__).parents[2]
FIRST = name_of(0, "generate")


def a_trace(clip_id: str, **fields: Any) -> Trace:
    attempt = an_attempt(clip_id, **fields)
    return Trace(**{name: getattr(attempt, name) for name in Trace.__dataclass_fields__})


def no_strip(clip: object) -> Strip:
    return Strip(picture="/9j/" if "00001" in str(clip) else "", missing="" if "00001" in str(clip) else "no video here")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reported") / "run"
    a_run(path)
    return path


def html_of(store: Store) -> str:
    return report_page(subject_of(store, run_config(store), read_seals(store)), no_strip)


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    return html_of(Store(str(folder)))


def data_of(html: str) -> dict[str, Any]:
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert match
    value: dict[str, Any] = json.loads(match[1])
    return value


class Rows(HTMLParser):
    """The rows of a page's tables, as cell texts under their headers: Rows(html).of("Lineage")."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self._caption, self._in = "", ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._caption = ""
        elif tag == "tr":
            self.tables.setdefault(self._caption, []).append([])
        elif tag in ("td", "th"):
            self.tables[self._caption][-1].append("")
        if tag in ("caption", "td", "th"):
            self._in = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self._in:
            self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in == "caption":
            self._caption += data
        elif self._in:
            self.tables[self._caption][-1][-1] += data

    def of(self, caption: str) -> list[dict[str, str]]:
        [(_, (header, *rows))] = [(name, table) for name, table in self.tables.items() if name.startswith(caption)]
        return [dict(zip(header, (" ".join(cell.split()) for cell in row), strict=True)) for row in rows]


def test_a_failed_clip_counts_as_wrong_and_a_clip_once() -> None:
    clips = [a_clip("a", "x"), a_clip("b", "x"), a_clip("c", "y")]
    before, after = StepCounts(["x", "y"]), StepCounts(["x", "y"])
    before.add(clips, [a_trace("a", **NO), a_trace("b"), a_trace("c", outcome="failed", reason="missing")])
    after.add(clips[:1], [a_trace("a", sample=0), a_trace("a", sample=1)])
    after.add(clips[1:], [a_trace("b"), a_trace("c", outcome="failed", reason="missing")])
    assert label_rows({"x": 5, "z": 1}, None, before, after) == [
        LabelRow(label="x", train_clips=5, kept=None, heldout_clips=2, before=0.5, after=1.0),
        LabelRow(label="y", train_clips=0, kept=None, heldout_clips=1, before=0.0, after=0.0),
        LabelRow(label="z", train_clips=1, kept=None, heldout_clips=0, before=None, after=None),
    ]


def test_both_readings_of_a_yield() -> None:
    clips = [a_clip(name) for name in "abcd"]
    traces = [a_trace("a"), a_trace("b", **NO), a_trace("b", mode="rationalized"), a_trace("c", **NO)]
    traces += [a_trace("c", mode="rationalized", outcome="rejected", reason="copies_hint")]
    traces += [a_trace("d", outcome="failed", reason="missing")]
    counts = StepCounts()
    assert counts.add(clips, traces)["c"] == "dropped copies_hint"
    assert yield_of(0, counts) == Yield(
        cycle=0, clips=(2, 4), attempts=(2, 5), direct=(1, 4), direct_attempts=(1, 3), hinted=(1, 4), hinted_attempts=(1, 2)
    )
    chosen = {"examples": 1, "direct": 1, "rationalized": 0, "ungrounded": 1, "near_duplicates_dropped": 2, "near_copies.train": 3}
    select = replace(a_seal("s", direct_only=True), counts=chosen)
    assert funnel_of(counts, select, Select(train_copies="drop")) == [
        ("train clips", 4, "1 failed"),
        ("answered without a hint", 3, "3 answers: 1 kept, 2 rejected"),
        ("shown the label, asked again", 2, "2 answers: 1 kept, 1 rejected"),
        ("clips with a kept answer", 2, ""),
        (
            "training examples",
            1,
            "1 direct; left out: 1 answer whose text fits other videos as well, 2 clips with near-duplicate answers, 3 train clips "
            "nearly the same as others, 1 clip that only a rationalization keeps",
        ),
    ]


def test_a_wrong_answer_may_name_a_label_that_no_held_out_clip_has() -> None:
    counts = StepCounts(["rising", "sinking", "blinking"])
    clips = [a_clip(name, label) for name, label in (("a", "rising"), ("b", "rising"), ("c", "sinking"), ("d", "sinking"))]
    texts = ("It is blinking.", "It is sinking.", "Nothing.", "It is sinking.")
    traces = [a_trace(clip.clip_id, text=text, **NO) for clip, text in zip(clips[:3], texts, strict=False)]
    counts.add(clips, [*traces, a_trace("d", text=texts[3])])
    confusion = confusion_of(counts)
    assert (confusion["labels"], confusion["has_others"], confusion["untold"]) == (["rising", "sinking"], True, 1)
    assert [row["cells"] for row in confusion["matrix"]] == [[0, 1, 1, 0], [0, 1, 0, 1]]


@pytest.mark.parametrize(
    ("text", "answered"),
    [
        ("So it is moving left.", "moving left"),
        ("It is moving.", "moving"),
        ("It is rising or sinking.", ""),
        ("It is not rising but sinking.", ""),
        ("Nothing.", ""),
    ],
)
def test_a_wrong_answer_is_told_by_the_only_label_that_it_names(text: str, answered: str) -> None:
    counts = StepCounts(["rising", "sinking", "moving", "moving left", "blinking"])
    counts.add([a_clip("a", "blinking")], [a_trace("a", text=text, **NO)])
    assert counts.answered == {("blinking", answered): 1}
    assert confusion_of(counts)["untold"] == (not answered)


def test_classes_with_the_same_words_are_one_and_other_kinds_are_none() -> None:
    counts = StepCounts(["Put Down", "put down", "take"])
    clips = [a_clip("a", "put down"), a_clip("b", "take"), a_clip("c", "take"), a_clip("d", Number(value=3.0))]
    texts = ("I put down, no: Put Down.", "He has put down a cup.", "He takes.", "They put down a number.")
    counts.add(clips, [a_trace(clip.clip_id, text=text, **NO) for clip, text in zip(clips, texts, strict=True)])
    assert counts.answered == {("Put Down", ""): 1, ("take", "Put Down"): 1, ("take", ""): 1}
    assert confusion_of(counts)["labels"] == ["Put Down", "take"]
    assert counts.clips_by_label == {"put down": 1, "take": 2, "number": 1}


@pytest.mark.parametrize("number", [1, MOST_LABELS + 1])
def test_where_nothing_is_looked_for_no_answer_is_counted(number: int) -> None:
    counts = StepCounts([f"class {letter}" for letter in range(number)])
    counts.add([a_clip("a", "class 0")], [a_trace("a", text="It is class 1.", **NO)])
    assert confusion_of(counts)["wrong"] == 0


def test_the_kind_of_a_label_is_no_class_of_the_run(tmp_path: Path) -> None:
    clips = [a_clip("a"), a_clip("b", AnyOf(labels=(Number(value=3.0),))), a_clip("c", "sinking")]
    write_parts(Store(str(tmp_path)), clips)
    split = SplitClips(Store(str(tmp_path)), "train", Store(str(tmp_path)).describe([path_of("train", 0)]))
    assert split.labels == {"rising": 1, "any": 1, "sinking": 1}
    assert split.classes == {"rising", "sinking"}


def test_a_rare_fate_is_shown_whole_and_the_same_seed_shows_the_same() -> None:
    hashes = np.array([hash_of(f"c{number:03d}") for number in range(100)], np.uint64)
    endings = Endings(names=["kept direct", "failed missing"], codes=np.array([1] * 3 + [0] * 97, np.int16))
    places = chosen(20, hashes, endings)
    assert Counter(place.fate for place in places) == {"failed missing": 3, "kept direct": 17}
    assert places[0].fate == "failed missing"
    kept = {place.row for place in places if place.fate == "kept direct"}
    assert kept == {*(np.argsort(hashes[3:])[:17] + 3).tolist()}
    assert chosen(20, hashes, endings) == places


def test_what_decided_is_marked_where_the_rules_find_it() -> None:
    rules = (Judgement(stage="rules", keep=True, reason="contains_label", score=1.0, detail=""),)
    attempt = an_attempt("a", text="Rising? It keeps on rising.", detail="rising", judgements=rules)
    spans = deciding_spans(a_clip("a", "rising"), attempt, VerifySpec())
    assert segments(attempt.text, spans) == ["Rising? It keeps on ", "rising", "."]
    otherwise = replace(attempt, reason="judge_keep", detail="It keeps")
    assert segments(attempt.text, deciding_spans(a_clip("a", "rising"), otherwise, VerifySpec()))[1] == "It keeps"
    failed = an_attempt("a", outcome="failed", reason="missing", detail="Rising", text="Rising")
    assert deciding_spans(a_clip("a"), failed, VerifySpec()) == ()


def test_every_reason_and_kind_of_failure_is_put_in_words() -> None:
    table = (ROOT / "docs" / "labels.md").read_text().partition("## Reasons")[2].partition("##")[0]
    reasons = set(re.findall(r"`([a-z_]+)`", table))
    assert len(reasons) > 20
    assert {*reasons, *FAILURES} - IN_WORDS.keys() == set()


def the_beliefs(folder: Path, **fields: Any) -> dict[str, Belief]:
    store = Store(str(folder))
    summary = subject_of(store, run_config(store), read_seals(store)).summary
    defaults: dict[str, Any] = {
        "summary": summary, "labels": [], "generated": {}, "kept_in": 0, "audits": [], "level": 0.025,
    }  # fmt: skip
    return {belief.name: belief for belief in beliefs(Evidence(**defaults | fields))}


def a_few_rows(count: int) -> list[Audited]:
    return [audited(a_clip(str(number)), an_attempt(str(number))) for number in range(count)]


def an_audit(precision: float) -> Audit:
    strata = {"kept direct": Stratum(size=9, judged=9, people_keep=8)}
    estimate = Estimate(precision, 0.1, 0.95)
    return Audit(step="s", strata=strata, rows=[], unsure=0, reused=0, is_random=True, precision=estimate, recall=None)


def test_doubts_name_their_figure(folder: Path) -> None:
    hinted = StepCounts()
    hinted.add([a_clip(name) for name in "abcdef"], [a_trace(name, mode="rationalized") for name in "abcdef"])
    labels = [
        LabelRow(label="x", train_clips=0, kept=0, heldout_clips=7, before=0.0, after=0.0),
        LabelRow(label="y", train_clips=3, kept=0, heldout_clips=1, before=0.0, after=0.0),
    ]
    formed = the_beliefs(folder, generated={0: hinted}, labels=labels, audits=[an_audit(0.6)], ignores_copies=True)
    doubts = {name: belief.figure for name, belief in formed.items() if belief.level == "doubt"}
    assert doubts["Labels without training clips"] == "1 label (7 held-out clips): x"
    assert doubts["Labels of which nothing is kept"] == "1 label without a kept answer in cycle 0: y"
    assert doubts["Mostly rationalized"].startswith("cycle 0: 6 of 6 clips")
    assert "Kept answers share a template" in doubts
    assert doubts["People disagree with what is kept"] == "s: precision 0.600 (0.100 to 0.950), by 9 answers that people have read"
    assert doubts["Held-out set too small"].startswith("24 clips can show")
    assert formed["Near-copies are not looked for"].level == "note"
    assert formed["Best of several cycles"].figure.startswith("the figure is the best of 2 cycles")
    assert [belief.level for belief in formed.values()] == sorted(
        (belief.level for belief in formed.values()), key=["doubt", "note", "fine"].index
    )


def test_a_toy_and_a_manifest_that_has_no_more_videos_to_hold_out_are_named(folder: Path) -> None:
    roomy, full = (the_beliefs(folder, videos=videos, is_toy=toy) for videos, toy in ((500, True), (30, False)))
    demo = the_beliefs(folder, is_toy=True, is_rendered=True)
    assert roomy["Held-out set too small"].advice.startswith("Set more videos apart (data.heldout), and")
    assert full["Held-out set too small"].advice.startswith("Add labelled videos, of which 24 of 30 are held out, and")
    assert (roomy["The model is a toy"].level, demo["The model is a toy"].level) == ("doubt", "note")
    assert "The model is a toy" not in full
    store = Store(str(folder))
    assert "The model is a toy" in report_page(subject_of(store, run_config(store), read_seals(store)), no_strip)


def test_what_few_answers_or_words_cannot_show_is_said(folder: Path) -> None:
    few = StepCounts()
    few.add([a_clip(name) for name in "abc"], [a_trace(name) for name in "abc"])
    formed = the_beliefs(folder, generated={0: few}, words=9)
    assert (
        formed["Too few kept answers to compare"].figure == "cycle 0: of 3 kept answers a shared template does not show; it takes 5"
    )
    assert formed["No clip failed"].figure == "cycle 0: 0 of 3 clips could not be answered"
    assert formed["The sample has no precision yet"].figure.startswith("people's words about 9 answers count here")
    assert "Nobody has read a sample" not in formed


def test_answers_are_said_to_fit_their_videos_only_where_a_threshold_was_set(folder: Path) -> None:
    store = Store(str(folder))
    summary = dict(subject_of(store, run_config(store), read_seals(store)).summary)
    first, *rest = (cycle | {"grounding": None} for cycle in summary["cycles"])
    first |= {"grounding": {"scored": 7, "unscored": 0, "mismatched": 28, "ungrounded": None}}
    few = the_beliefs(folder, summary=summary | {"cycles": [first, *rest]})
    assert few["Grounding is not judged"].level == "note"
    assert few["Grounding is not judged"].figure.startswith("cycle 0: 28 pairs of an answer with another video are too few")
    assert few["Grounding is not judged"].figure.endswith("which needs 100; no answer is left out for it")
    assert "Answers fit their own videos" not in few
    judged = first | {"grounding": {"scored": 90, "unscored": 0, "mismatched": 360, "ungrounded": 1}}
    formed = the_beliefs(folder, summary=summary | {"cycles": [judged, *rest]})
    assert formed["Answers fit their own videos"].level == "fine"
    assert "Grounding is not judged" not in formed


def test_ablations_that_do_as_well_are_named(folder: Path) -> None:
    worse = {"template_finetuning": {"best_accuracy": 0.1}, "unfinished": {"best_accuracy": None}}
    assert the_beliefs(folder, beside=worse)["Better than without its parts"].figure.endswith(
        "1 ablation, template finetuning, 0.100"
    )
    formed = the_beliefs(folder, beside=worse | {"without_grounding": {"best_accuracy": 1.0}})
    assert formed["An ablation does as well"].figure.endswith("; without grounding 1.000")
    assert "Better than without its parts" not in formed


def with_figures(folder: Path, comparison: dict[str, Any], **figures: Any) -> dict[str, Any]:
    """The run's summary, with other figures of its best cycle's comparison with the base."""
    store = Store(str(folder))
    summary = dict(subject_of(store, run_config(store), read_seals(store)).summary)
    cycles = [dict(of, over_base=dict(of["over_base"], **comparison)) for of in summary["cycles"]]
    return summary | {"cycles": cycles} | figures


def test_a_gain_that_may_be_chance_is_doubted(folder: Path) -> None:
    assert the_beliefs(folder)["The gain is larger than chance"].level == "fine"
    formed = the_beliefs(folder, summary=with_figures(folder, {"p": 0.2}, heldout_clips=400, heldout_videos=400))
    assert formed["Held-out set too small for the gain"].level == "doubt"
    assert "Held-out set too small" not in formed


def test_a_gain_is_that_over_the_base_and_not_over_the_cycle_before(folder: Path) -> None:
    """Preset paper: base .40, cycles .90, .95, .95. The last one is no better than the second, and far better than the base."""
    over_base = {"step": BASE, "clips": 400, "videos": 400, "won": 220, "lost": 0, "gain": 0.55, "p": 1e-60, "level": None}
    summary = with_figures(folder, {}, base_accuracy=0.4, best_accuracy=0.95, heldout_clips=400, heldout_videos=400)
    summary["cycles"][-1] |= {"comparison": over_base | {"step": "cycle-000/evaluate", "gain": 0.0, "p": 0.6, "level": 1.0}}
    summary["cycles"][-1] |= {"over_base": over_base}
    formed = the_beliefs(folder, summary=summary, level=0.05)
    assert formed["The gain is larger than chance"].figure.startswith("+0.550 on 400 clips, which can show gains of")
    assert formed["The gain is larger than chance"].figure.endswith("220 clips better and 0 worse than base, p = 1e-60")
    assert "Held-out set too small for the gain" not in formed
    fallen = [*summary["cycles"][:-1], summary["cycles"][-1] | {"over_base": over_base | {"gain": -0.1, "won": 0, "p": 1.0}}]
    assert (
        the_beliefs(folder, summary=summary | {"cycles": fallen})["The promoted cycle is no better than the base"].level == "doubt"
    )


def test_a_gain_that_an_earlier_version_did_not_test_against_the_base_is_no_chance(folder: Path) -> None:
    """Its seals of cycles after the first compare with the cycle before alone."""
    summary = with_figures(folder, {}, base_accuracy=0.4, best_accuracy=0.97, heldout_clips=400, heldout_videos=400)
    summary["cycles"][-1] |= {"over_base": None}
    formed = the_beliefs(folder, summary=summary)
    assert formed["The gain over the base is not tested"].level == "note"
    assert formed["The gain over the base is not tested"].figure.endswith("; no test against the base was made")
    assert "Held-out set too small for the gain" not in formed
    equal = the_beliefs(folder, summary=summary | {"best_accuracy": 0.4})
    assert equal["The promoted cycle is no better than the base"].level == "doubt"


def test_words_that_are_no_random_sample_are_words_all_the_same(folder: Path) -> None:
    reused = replace(an_audit(0.9), precision=None, is_random=False, reused=7, unsure=1, rows=a_few_rows(12))
    formed = the_beliefs(folder, audits=[reused])
    assert "Nobody has read a sample" not in formed
    assert formed["The sample has no precision yet"].level == "note"
    assert formed["The sample has no precision yet"].figure == (
        "s: people have judged 9 of 12 answers, 7 of them with another sample; 2 are still to be read"
    )
    unread = replace(reused, strata={"kept direct": Stratum(size=9, judged=0, people_keep=0)})
    assert "Nobody has read a sample" in the_beliefs(folder, audits=[unread])


def test_what_can_be_shown_follows_from_the_videos_and_from_the_runs_level(folder: Path) -> None:
    """The clips of one video are right or wrong together, as `starloop doctor` counts them."""
    p = {"p": 0.03}
    formed = the_beliefs(folder, summary=with_figures(folder, p, heldout_clips=400, heldout_videos=100), level=0.05)
    assert formed["The gain is larger than chance"].figure.startswith(
        "+0.400 on 400 clips of 100 videos, which can show gains of 0.15"
    )
    assert f"gains of {smallest_gain(100, 0.05):.3f} or more" in formed["The gain is larger than chance"].figure
    few = the_beliefs(folder, summary=with_figures(folder, p, heldout_clips=400, heldout_videos=20), level=0.05)
    assert few["Held-out set too small"].figure.startswith("400 clips of 20 videos can show")
    stricter = the_beliefs(folder, summary=with_figures(folder, p, heldout_clips=400, heldout_videos=100), level=0.025)
    assert stricter["Held-out set too small for the gain"].level == "doubt"


def test_a_metric_that_is_no_share_has_the_width_of_its_interval(folder: Path) -> None:
    """Of scores from 0 to 5 a gain of 0.15 is not what a share of so many videos can show."""
    scored = {"metric": "qa_score", "base_accuracy": 2.5, "best_accuracy": 3.1, "base_interval": [2.3, 2.7], "heldout_videos": 5}
    formed = the_beliefs(folder, summary=with_figures(folder, {"gain": 0.6}, **scored))
    assert "Held-out set too small" not in formed
    assert formed["The gain is larger than chance"].figure.startswith(
        "+0.600 on 24 clips of 5 videos, on which the base is known to ±0.200; 12 clips better"
    )
    without = the_beliefs(folder, summary=with_figures(folder, {"gain": 0.6}, **scored | {"base_interval": None}))
    assert without["The gain is larger than chance"].figure.startswith("+0.600 on 24 clips of 5 videos; 12 clips better")


def test_of_a_metric_that_falls_the_smaller_figure_is_the_better_one(folder: Path) -> None:
    falling = {"metric": "relative_l2", "base_accuracy": 9.0, "best_accuracy": 4.0, "base_interval": [8.0, 10.0]}
    summary = with_figures(folder, {}, **falling)
    beside = {"near": {"best_accuracy": 5.0}, "far": {"best_accuracy": 8.0}}
    assert the_beliefs(folder, summary=summary, beside=beside)["Better than without its parts"].figure.endswith("near, 5.000")
    rival = the_beliefs(folder, summary=summary, beside=beside | {"less": {"best_accuracy": 3.0}})["An ablation does as well"]
    assert rival.figure == "this run 4.000; less 3.000"
    summary["cycles"][summary["best_cycle"]] |= {"over_base": None}
    assert the_beliefs(folder, summary=summary)["The gain over the base is not tested"].figure.startswith("+5.000 on 24 clips")


def test_the_page_may_load_nothing_and_runs_no_other_script(html: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', html)
    assert policy
    assert policy[1].startswith("default-src &#39;none&#39;; img-src data:; base-uri &#39;none&#39;; form-action &#39;none&#39;")
    assert "unsafe" not in policy[1]
    assert re.findall(r"""(?:src|href|action)\s*=\s*["']?(?!#|data:)([^"'\s>]+)""", html.partition("<script")[0]) == []


def test_hostile_text_stays_text(html: str) -> None:
    assert "<img src=x" not in html
    [text] = {
        "".join(attempt["segments"])
        for story in data_of(html)["stories"]
        for step in story["steps"]
        for attempt in step["attempts"]
        if "onerror" in "".join(attempt["segments"])
    }
    assert text == HOSTILE
    assert json.loads(embedded({"text": "\ud800</script>"}))["text"] == "\ud800</script>"


def test_no_signature_is_on_the_page(tmp_path: Path) -> None:
    signed = "https://ann:pw@h/a.mp4?X-Amz-Signature=f3c9"
    a_run(tmp_path, train=4, heldout=4, settings=[f"data.manifest={signed}"])
    html = html_of(Store(str(tmp_path)))
    assert facts_in(html)["Data"].startswith("https://***@h/a.mp4?***: 4 train")
    assert "f3c9" not in html
    failed = an_attempt("a", outcome="failed", reason="missing", text="", detail=f"no such video: {signed}; copy it")
    teller = Teller(spec=VerifySpec(), url="runs/a", words={}, uses=Uses())
    story = teller.story(a_clip("a", video=signed), "", [("base/evaluate", [failed])], Strip(missing=f"no such video: {signed}"))
    assert story["video"] == "https://***@h/a.mp4?***"
    assert "f3c9" not in json.dumps(story)
    assert "pw@" not in json.dumps(story)


def test_all_attempts_of_a_clip_stand_side_by_side(html: str) -> None:
    stories = {story["id"]: story for story in data_of(html)["stories"]}
    assert len(stories) == 64
    assert [step["name"] for step in stories["train-00002"]["steps"]] == ["cycle 0 generate", "cycle 1 generate"]
    assert [step["name"] for step in stories["heldout-00000"]["steps"]] == ["base evaluate", "cycle 0 evaluate", "cycle 1 evaluate"]
    failed = stories["train-00019"]["steps"][0]["attempts"][0]
    assert (failed["outcome"], failed["reason"], failed["detail"]) == ("failed", "missing", "no such video")
    uses = {attempt.get("use") for step in stories["train-00001"]["steps"] for attempt in step["attempts"]}
    assert {"trained on in cycle 0", "trained on in cycle 1"} & uses
    assert {attempt.get("use") for step in stories["heldout-00000"]["steps"] for attempt in step["attempts"]} == {None}
    assert stories["train-00004"]["strip"] == {"missing": "no video here"}


def test_the_tables_hold_the_figures_of_the_run(folder: Path, html: str) -> None:
    summary = subject_of(Store(str(folder)), run_config(Store(str(folder))), read_seals(Store(str(folder)))).summary
    rows = Rows(html)
    before, first, second = rows.of("What each cycle kept")
    assert before["held-out"] == f"{summary['base_accuracy']:.3f}"
    assert first["cycle"].split()[0] == "0"
    for row, of in ((first, summary["cycles"][0]), (second, summary["cycles"][1])):
        assert row["kept alone"] == str(of["direct_kept"])
        assert row["kept after the hint"] == str(of["rationalized_kept"])
        assert row["dropped"] == str(sum(of["dropped"].values()))
        assert row["failed"] == "2"
        assert row["examples"] == str(of["examples"])
        assert row["held-out"] == f"{of['heldout_accuracy']:.3f}"
    hidden = next(row for row in rows.of("Held-out accuracy by label") if row["label ↑" if "label ↑" in row else "label"] == HIDDEN)
    assert (hidden["train clips"], hidden["held-out clips"], hidden["best"]) == ("0", "2", "0.000")
    assert "Labels without training clips" in html
    work = {row["step"]: row for row in rows.of("Seconds, throughput")}
    assert (work["cycle 0 generate"]["time"], work["cycle 0 generate"]["throughput"]) == ("12.5 s", "3.2 a second")
    assert [row["clips"] for row in rows.of("Clips that failed")] == ["2", "2"]
    lineage = rows.of("Lineage")
    assert lineage[1]["answers"] == "by model m1"


def test_kept_answers_of_a_label_are_those_that_the_promoted_finetune_was_fed(folder: Path) -> None:
    """The last cycle shows no clip its label, and its finetune is not promoted."""
    store = Store(str(folder))
    sealed = read_seals(store)
    evaluated = sealed["cycle-001/evaluate"]
    comparison = {name: evaluated.facts["comparison"] | {"p": 0.9} for name in ("comparison", "over_base")}
    sealed[evaluated.step] = replace(evaluated, facts=evaluated.facts | comparison | {"accuracy": 0.1})
    for best, own in ((0, sealed), (1, read_seals(store))):
        subject = subject_of(store, run_config(store), own)
        assert subject.summary["best_cycle"] == best
        rows = Rows(report_page(subject, no_strip)).of("Held-out accuracy by label")
        kept = subject.summary["cycles"][best]
        total = kept["direct_kept"] + kept["rationalized_kept"]
        assert sum(int(row[f"kept in cycle {best}"]) for row in rows if row["train clips"] != "0") == total
    direct = StepCounts(clips_by_mode=Counter({"direct": 3}), clips_by_label=Counter({"y": 3}))
    row = LabelRow(label="y", train_clips=3, kept=0, heldout_clips=1, before=0.0, after=0.0)
    formed = the_beliefs(folder, generated={1: direct}, labels=[row], kept_in=1)
    assert formed["Labels of which nothing is kept"].figure == (
        "1 label without a kept answer in cycle 1, which shows no clip its label: y"
    )


def test_held_out_clips_that_failed_are_doubted(tmp_path: Path) -> None:
    """The headline counts them as wrong; gain and test leave them out, and would contradict it."""
    a_run(tmp_path)
    store = Store(str(tmp_path))
    sealed = read_seals(store)
    assert "Many held-out clips failed" not in html_of(store)
    failed = {"failed": {"missing": 6}, "answered": {"accuracy": 1 / 3}, "accuracy": 0.25}
    sealed[BASE] = replace(sealed[BASE], facts=sealed[BASE].facts | failed)
    html = unescape(report_page(subject_of(store, run_config(store), sealed), no_strip))
    assert html.count("Many held-out clips failed") == 1
    assert (
        "base evaluate: 6 of 24 clips (25.0 %) could not be answered and count as wrong: accuracy is 0.250; accuracy of the other "
        "clips is 0.333"
    ) in html
    older = {BASE: {name: value for name, value in sealed[BASE].facts.items() if name != "answered"}}
    assert the_beliefs(tmp_path, evaluated=older)["Many held-out clips failed"].figure.endswith("count as wrong: accuracy is 0.250")


def uses_in(store: Store, sealed: dict[str, Seal], clip_id: str) -> set[str]:
    stories = data_of(report_page(subject_of(store, run_config(store), sealed), no_strip))["stories"]
    return {attempt["use"] for story in stories if story["id"] == clip_id for attempt in _attempts(story) if "use" in attempt}


def test_an_example_is_trained_on_where_a_finetune_used_it(tmp_path: Path) -> None:
    a_run(tmp_path)
    store, train = Store(str(tmp_path)), name_of(1, "train")
    sealed = read_seals(store)
    example = next(row for row in store.read_table("cycle-001/select/examples.parquet").to_pylist() if row["mode"] == "direct")
    assert "trained on in cycle 1" in uses_in(store, sealed, example["clip_id"])
    without = {name: seal for name, seal in sealed.items() if name not in (train, name_of(1, "evaluate"))}
    assert "selected in cycle 1" in uses_in(store, without, example["clip_id"]), "its finetune is not done"
    unused = Unused(example_id=example["example_id"], reason="truncated", detail="the file ends early")
    store.write_table(unused_of(train), pa.Table.from_pylist([unused.to_row()], schema=UNUSED))
    left_out = replace(sealed[train], files=store.describe([unused_of(train)]), counts={"unused": 1})
    assert "selected in cycle 1" in uses_in(store, sealed | {train: left_out}, example["clip_id"])


def test_what_no_finetune_used_is_not_called_trained_on(tmp_path: Path) -> None:
    a_run(tmp_path, settings=["mixture.rationalized=0", "mixture.instruct=0.5", "mixture.examples=talks.parquet"])
    store = Store(str(tmp_path))
    sealed = read_seals(store)
    select, train = sealed["cycle-000/select"], sealed["cycle-000/train"]
    sealed[select.step] = replace(select, counts=select.counts | {"instruct": 9}, facts=select.facts | {"direct_only": True})
    sealed[train.step] = replace(train, counts={"unused": 2})
    rows = Rows(report_page(subject_of(store, run_config(store), sealed), no_strip)).of("Lineage")
    direct = select.counts["direct"]
    assert rows[0]["trained"] == f"from the base, on {direct} direct answers, 9 conversations; 2 of these left out"
    example = next(
        row for row in store.read_table("cycle-000/select/examples.parquet").to_pylist() if row["mode"] == "rationalized"
    )
    assert "selected in cycle 0" in uses_in(store, sealed, example["clip_id"])


def a_row(label: str, train: int, heldout: int, after: float | None = None) -> LabelRow:
    return LabelRow(label=label, train_clips=train, kept=0, heldout_clips=heldout, before=None, after=after)


def test_of_many_labels_the_largest_and_the_worst_are_shown() -> None:
    few = [a_row(f"{number:04d}", 1, 1, 1.0) for number in range(2 * MOST_ROWS)]
    assert shown_rows(few) == few
    rows = [a_row(f"{number:04d}", number, 3, number / 2000) for number in range(2000)] + [a_row("unmeasured", 0, 0)]
    numbers = [int(row.label) for row in shown_rows(rows)]
    assert numbers == [*range(MOST_ROWS), *range(2000 - MOST_ROWS, 2000)]


def test_labels_that_are_free_answers_make_no_doubt(folder: Path) -> None:
    rows = [a_row("x", 0, 7), *(a_row(f"answer {number} {'and more ' * 50}", 1, 0) for number in range(9_000))]
    formed = the_beliefs(folder, labels=rows)
    assert (
        formed["Most labels are of one clip"].figure
        == "9,000 of 9,001 labels; 7 held-out clips have a label that no training clip has"
    )
    assert {"Labels without training clips", "Labels of which nothing is kept"} & formed.keys() == set()
    half = [rows[0], replace(rows[1], train_clips=0, heldout_clips=2), rows[2]]
    doubt = the_beliefs(folder, labels=half, generated={0: StepCounts()})["Labels without training clips"]
    assert doubt.figure == f"2 labels (9 held-out clips): x, {label_text(rows[1].label)}"


def test_the_page_says_which_labels_it_shows(folder: Path, html: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "labels are shown" not in html
    for module in (counts, page):
        monkeypatch.setattr(module, "MOST_ROWS", 1)
    few = html_of(Store(str(folder)))
    labels = [row["label"] for row in Rows(few).of("Held-out accuracy by label")]
    assert labels == ["moving left", HIDDEN]
    assert "2 of 5 labels are shown: the 1 with the most clips, and the 1 of which" in few


def test_a_long_label_is_cut_where_it_is_a_name() -> None:
    long = "He lifts the cup. " * 50
    teller = Teller(spec=VerifySpec(), url="runs/a", words={}, uses=Uses())
    story = teller.story(a_clip("a", long), "", [], Strip())
    assert (len(story["label"]), story["text"]) == (LONGEST_LABEL, long)


def test_grounding_of_nothing_is_a_figure() -> None:
    """The least grounded answers: their support rounds to 0."""
    teller = Teller(spec=VerifySpec(), url="runs/a", words={}, uses=Uses())
    grounding = Grounding(tokens=4, own=-1.0, others=(-1.0, -1.0), clips=("x", "y"))
    attempt = an_attempt("a", support=0.004, grounding=grounding, score=0.0)
    [[value]] = [step["attempts"] for step in teller.story(a_clip("a"), "", [("base/evaluate", [attempt])], Strip())["steps"]]
    assert (value["support"], value["other"]) == (0.0, 0.0)
    assert {"score", "sample", "cut", "people", "detail"} & value.keys() == set()


def test_the_work_of_every_step_is_counted_with_its_bill(tmp_path: Path) -> None:
    a_run(tmp_path)
    store = Store(str(tmp_path))
    facts = {"accuracy": 3.5, "metrics": {"qa_score": 3.5}, "clips": 50, "judge": {"cost": 0.75}}
    sealed = read_seals(store) | {"base/evaluate-mine": a_seal("base/evaluate-mine", **facts)}
    html = report_page(subject_of(store, run_config(store), sealed), no_strip)
    work = {row["step"]: row for row in Rows(html).of("Seconds, throughput")}
    assert work["base evaluate-mine"]["done"] == "50 clips"
    assert (work["base evaluate-mine"]["cost"], work["base evaluate-mine"]["result"]) == ("0.75", "qa score 3.500")
    assert work["ingest"]["done"] == "64 clips"
    assert work["cycle 1 train"]["result"].startswith("loss ")
    assert work["cycle 1 select"]["done"] == ""


def test_a_driver_that_was_killed_is_not_at_work(tmp_path: Path) -> None:
    a_run(tmp_path)
    store, path = Store(str(tmp_path)), "logs/00001/command.json"
    store.write(path, json.dumps(json.loads(store.read(path) or b"") | {"outcome": None}).encode())
    subject = subject_of(store, run_config(store), read_seals(store))
    assert facts_in(report_page(subject, no_strip))["Last command"].startswith("ran the loop; killed, or its machine is gone")
    with Lease(store):
        held = subject_of(store, run_config(store), read_seals(store))
    assert facts_in(report_page(held, no_strip))["Last command"] == "ran the loop; at work when this was written"
    assert held.inputs != subject.inputs


def test_no_model_answers_where_examples_are_templates(tmp_path: Path) -> None:
    a_run(tmp_path, settings=["select.source=template"])
    store = Store(str(tmp_path))
    sealed = {name: seal for name, seal in read_seals(store).items() if not name.endswith("/generate")}
    first, _ = Rows(report_page(subject_of(store, run_config(store), sealed), no_strip)).of("Lineage")
    assert first["answers"] == "none: no model is asked"
    assert re.fullmatch(r"from the base, on \d+ templates, \d+ rationalized answers", first["trained"])


def test_film_strips_of_the_page_before_stay(tmp_path: Path) -> None:
    """`starloop report` where the videos cannot be read: on another machine, or once they are gone."""
    a_run(tmp_path, train=6, heldout=6)
    store = Store(str(tmp_path))
    store.write("report.html", html_of(store).encode())
    known = strips_in((store.read("report.html") or b"").decode())
    assert known
    report(str(tmp_path), "", [])
    assert strips_in((store.read("report.html") or b"").decode()) == known


def page_with(*stories: object) -> str:
    return f'<script type="application/json" id="data">{json.dumps({"stories": stories})}</script>'


def test_film_strips_of_an_earlier_version_are_those_of_the_same_clips() -> None:
    """Its keys were the video and the ends of its window."""
    clips = [a_clip("a", video="/v/two words.mp4", start_s=None, end_s=8.0), a_clip("b", video="b.mp4", start_s=1e-05, end_s=2.5)]
    strip = {"picture": "/9j/", "width": 4, "height": 4, "caption": "", "missing": ""}
    old = [{"key": f"{clip.video} {clip.start_s} {clip.end_s}", "strip": strip} for clip in clips]
    new = [{"key": key_of(clip), "strip": strip} for clip in clips]
    assert strips_in(page_with(*old)) == strips_in(page_with(*new)) == {key_of(clip): Strip(**strip) for clip in clips}


@pytest.mark.parametrize(
    "html",
    [
        "",
        '<script type="application/json" id="data">{"stor</script>',
        '<script type="application/json" id="data">[]</script>',
        page_with(5),
        page_with({"key": "a"}),
        page_with({"key": 5, "strip": {"picture": ""}}),
        page_with({"key": "a", "strip": {"picture": "", "depth": 1}}),
        page_with({"key": "a b c", "strip": {"picture": ""}}),
    ],
)
def test_a_damaged_page_has_no_film_strips(html: str) -> None:
    assert strips_in(html) == {}


def test_a_damaged_page_is_written_anew(tmp_path: Path) -> None:
    a_run(tmp_path, train=6, heldout=6)
    store = Store(str(tmp_path))
    store.write(
        "report.html", b'<meta name="starloop-inputs" content="9f3c"><script type="application/json" id="data">{"\xff</script>'
    )
    report(str(tmp_path), "", [])
    assert data_of((store.read("report.html") or b"").decode())["stories"]


def test_the_summary_and_the_report_of_a_demo_know_its_ablations(tmp_path: Path) -> None:
    a_run(tmp_path)
    store = Store(str(tmp_path))
    config, sealed = run_config(store), read_seals(store)
    assert "ablations" not in refresh(store, config, sealed)
    ablation = summarize(config, sealed) | {"best_accuracy": 0.5}
    store.write("ablations/without_grounding/summary.json", json.dumps(ablation).encode())
    assert refresh(store, config, sealed)["ablations"] == {"without_grounding": json.loads(json.dumps(ablation))}
    written = json.loads(store.read("summary.json") or b"")
    assert list(written["ablations"]) == ["without_grounding"]
    assert "without grounding" in (store.read("report.html") or b"").decode()


def test_a_file_that_is_no_summary_of_an_ablation_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    a_run(tmp_path, train=6, heldout=6)
    store = Store(str(tmp_path))
    right = {"base_accuracy": 0.25, "best_accuracy": None}
    files = {
        "right": json.dumps(right),
        "cut": '{"base_acc',
        "list": "[]",
        "bare": '{"best_accuracy": 0.5}',
        "text": '{"base_accuracy": "x"}',
    }
    for name, text in files.items():
        store.write(f"ablations/{name}/summary.json", text.encode())
    assert refresh(store, run_config(store), read_seals(store))["ablations"] == {"right": right}
    report(str(tmp_path), "", [])
    beside = Rows((store.read("report.html") or b"").decode()).of("Beside it")
    assert [row["Run or set"] for row in beside] == ["this run", "right"]
    assert f"{tmp_path}/ablations/bare/summary.json is no summary of a run" in caplog.text


def test_an_unfinished_run_has_a_report(tmp_path: Path) -> None:
    a_run(tmp_path)
    store = Store(str(tmp_path))
    for step in ("cycle-000/evaluate", "cycle-000/train", "cycle-000/select", "base/evaluate", "cycle-001"):
        store.delete(step)
    html = html_of(store)
    assert "No model is measured yet" in html
    assert "next is base/evaluate" in html
    assert {step["name"] for story in data_of(html)["stories"] for step in story["steps"]} == {"cycle 0 generate"}
    store.delete("cycle-000")
    assert data_of(html_of(store)) | {"words": 0} == {"run": str(tmp_path), "stories": [], "words": 0, "audit": None}
    store.delete("ingest/seal.json")
    with pytest.raises(ValueError, match="nothing to report yet"):
        html_of(store)


def test_a_report_is_made_again_only_where_its_run_differs(tmp_path: Path) -> None:
    a_run(tmp_path)
    store = Store(str(tmp_path))
    config, sealed = run_config(store), read_seals(store)
    html = html_of(store)
    store.write("report.html", html.encode())
    assert inputs_of(html.encode()) == subject_of(store, config, sealed).inputs != ""
    begin_report(store, config, sealed).wait()
    assert store.read("report.html") == html.encode()
    assert {strip.picture for strip in strips_in(html).values()} == {"/9j/"}
    command = "logs/00001/command.json"
    told = json.loads(store.read(command) or b"{}")
    store.write(command, json.dumps(told | {"outcome": "interrupted"}).encode())
    assert inputs_of(html.encode()) != subject_of(store, config, sealed).inputs, "the page says how the last command ended"
    store.write(command, json.dumps(told).encode())
    sample = sample_of(store, sealed, "cycle-001/generate")
    take_back(store, sealed, str(_marked(tmp_path, sample.rows)))
    assert inputs_of(html.encode()) != subject_of(store, config, sealed).inputs


def test_a_process_of_its_own_writes_the_report_of_many_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MANY_CLIPS", 1)
    a_run(tmp_path)
    store = Store(str(tmp_path))
    config, sealed = run_config(store), read_seals(store)
    writing = begin_report(store, config, sealed)
    assert store.read("report.html") is None, "the caller goes on meanwhile"
    writing.wait()
    assert inputs_of(store.read("report.html")) == subject_of(store, config, sealed).inputs
    begin_report(store, config, sealed).wait()  # which has nothing to do

    store.delete("report.html")
    store.write(sealed["ingest"].files[0].path, b"damaged")
    with pytest.raises(StorageError, match=r"is not what its step wrote|differs|damaged"):
        begin_report(store, config, sealed).wait()
    stopped = begin_report(store, config, sealed)
    stopped.stop()
    stopped.wait()


def _marked(folder: Path, rows: Any) -> Path:
    path = folder / "back.csv"
    path.write_bytes(to_csv([replace(row, people="drop") for row in rows[:5]]))
    return path


def test_words_about_the_sample_of_a_report_come_back(tmp_path: Path) -> None:
    a_run(tmp_path)
    store = Store(str(tmp_path))
    sealed = read_seals(store)
    audit = data_of(html_of(store))["audit"]
    assert store.names("audit/samples") == [], "to write a report changes nothing else"
    path = tmp_path / "audit.csv"
    text = io.StringIO()
    writer = csv.DictWriter(text, list(audit["rows"][0]))
    writer.writeheader()
    writer.writerows(row | {"people": "keep" if row["verdict"] == "kept" else ""} for row in audit["rows"])
    path.write_bytes(text.getvalue().encode("utf-8-sig"))
    taken = take_back(store, sealed, str(path))
    assert len(taken) == sum(row["verdict"] == "kept" for row in audit["rows"]) > 0
    [result] = audits(store, sealed)
    assert result.precision is not None
    assert result.precision.value == 1.0
    assert data_of(html_of(store))["audit"]["rows"][0]["people"] in ("keep", "")
    shown: list[Attempt] = [attempt for story in data_of(html_of(store))["stories"] for attempt in _attempts(story)]
    assert any(attempt.get("people") == "keep" for attempt in shown)  # type: ignore[attr-defined]
    path.write_text("answer,people\nafedcba9876543210,keep\n")
    with pytest.raises(ValueError, match="is of no sample of this run"):
        take_back(store, sealed, str(path))


def _attempts(story: dict[str, Any]) -> list[Any]:
    return [attempt for step in story["steps"] for attempt in step["attempts"]]


def test_a_strip_shows_frames_evenly_and_small() -> None:
    frames = np.zeros((8, 200, 400, 3), np.uint8)
    strip = strip_of(frames, tuple(number / 2 for number in range(8)))
    assert (strip.width, strip.height) == (4 * 160 + 3 * 2, 80)
    assert strip.caption == "4 of the 8 frames that the model watches, at 0.5, 1.5, 2.5, 3.5 s"
    assert base64.b64decode(strip.picture).startswith(b"\xff\xd8\xff")
    assert strip_of(frames[:1], (0.0,)).width == 160


def test_the_command_writes_into_the_run_or_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_run(tmp_path / "run", train=6, heldout=6)
    report(str(tmp_path / "run"), "", [])
    report(f"{tmp_path / 'run'}/", str(tmp_path / "out.html"), [])
    assert (tmp_path / "out.html").read_bytes() == (tmp_path / "run" / "report.html").read_bytes()
    assert capsys.readouterr().out.startswith(f"open {tmp_path / 'run'}/report.html (")
    strips = {story["strip"]["missing"] for story in data_of((tmp_path / "out.html").read_text())["stories"]}
    assert all(text.startswith("no such video: /gone/") for text in strips)
    with pytest.raises(ValueError, match=r"--out .* cannot be written"):
        report(str(tmp_path / "run"), str(tmp_path / "out.html" / "out.html"), [])
    with pytest.raises(ValueError, match=r"--out .* is no file"):
        report(str(tmp_path / "run"), str(tmp_path), [])
    with pytest.raises(ValueError, match="no run at"):
        report(str(tmp_path / "nothing"), "", [])


def test_a_page_that_could_not_be_written_whole_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the disk is full."""
    a_run(tmp_path / "run", train=6, heldout=6)
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "real.html").write_text("the page before")
    (pages / "link.html").symlink_to(pages / "real.html")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", fail)
        with pytest.raises(ValueError, match="cannot be written: No space left"):
            report(str(tmp_path / "run"), str(pages / "link.html"), [])
    assert (pages / "real.html").read_text() == "the page before"
    assert sorted(path.name for path in pages.iterdir()) == ["link.html", "real.html"]
    report(str(tmp_path / "run"), str(pages / "link.html"), [])
    assert (pages / "link.html").is_symlink()
    assert data_of((pages / "real.html").read_text())["stories"]


def test_pieces_are_read_once_and_the_page_stays_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_run(tmp_path, piece_clips=4)
    store = Store(str(tmp_path))
    whole = html_of(store)
    assert store.names("report") == [], "small steps are read each time"
    monkeypatch.setattr(digest, "FEWEST_CLIPS", 30)
    monkeypatch.setattr(digest, "CANDIDATES", 10)
    assert html_of(store) == whole
    kept = store.names("report")
    assert kept == [f"cycle-00{number}-generate{end}.pq" for number in (0, 1) for end in ("-attempts", "")]
    read = list[str]()
    read_table = Store.read_table
    monkeypatch.setattr(Store, "read_table", lambda self, file, *rest: read.append(str(file)) or read_table(self, file, *rest))
    assert html_of(store) == whole
    assert sum("generate/pieces" in name for name in read) == 2 * 10, "the others that are shown are read, each piece once"
    read.clear()
    monkeypatch.setattr(digest, "CANDIDATES", 1000)
    store.delete("report")
    assert html_of(store) == whole
    read.clear()
    assert html_of(store) == whole
    assert not any("generate/pieces" in name for name in read)


@pytest.mark.parametrize("damage", ["another answer", "no parquet", "another version"])
def test_a_digest_of_something_else_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    monkeypatch.setattr(digest, "FEWEST_CLIPS", 30)
    a_run(tmp_path)
    store = Store(str(tmp_path))
    whole, path = html_of(store), "report/cycle-001-generate.pq"
    before = store.read(path)
    match damage:
        case "another answer":
            store.write(path, store.read("report/cycle-000-generate.pq") or b"")
        case "no parquet":
            store.write(path, b"PAR1")
        case _:
            monkeypatch.setattr(digest, "VERSION", 99)
    assert html_of(store) == whole
    assert (store.read(path) == before) == (damage != "another version")


def test_a_run_that_cannot_be_written_to_has_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "FEWEST_CLIPS", 30)
    a_run(tmp_path)
    (tmp_path / "report").write_text("in the way")
    assert html_of(Store(str(tmp_path))).startswith("<!doctype html>")


def test_a_run_whose_pieces_gc_took_has_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_run(tmp_path)
    store, step = Store(str(tmp_path)), "cycle-000/evaluate"
    monkeypatch.setattr(digest, "FEWEST_CLIPS", 24)
    monkeypatch.setattr(digest, "CANDIDATES", 24)
    whole = html_of(store)
    note_collected(store, step, [f"{step}/pieces"])
    store.delete(f"{step}/pieces")
    assert html_of(store) == whole, "the digest is enough"
    assert "were deleted by starloop gc" not in whole
    store.delete("report")
    assert "The answers of cycle 0 evaluate were deleted by starloop gc" in html_of(store)
    names = {step["name"] for story in data_of(html_of(store))["stories"] for step in story["steps"]}
    assert names == {"base evaluate", "cycle 1 evaluate", "cycle 0 generate", "cycle 1 generate"}


def test_nobody_is_handed_a_sample_without_answers(tmp_path: Path) -> None:
    """All clips of the latest cycle failed: a button that saves no row ended the script."""
    config = a_run(tmp_path / "other", train=1, heldout=1)
    store = Store(str(tmp_path / "run"))
    store.write("config.json", config.model_dump_json().encode())
    failed = an_attempt("a", outcome="failed", reason="missing", text="")
    seal_attempts(store, [a_clip("a")], [failed], 4096, {"clips": 1, "failed": {"missing": 1}})
    html = html_of(store)
    assert data_of(html)["audit"] is None
    assert 'id="export"' not in html
    assert "There are no answers to read." in html


def test_the_first_screen_says_how_the_run_was_called(tmp_path: Path) -> None:
    a_run(tmp_path)
    store = Store(str(tmp_path))
    facts = facts_in(html_of(store))
    assert facts["Command"] == "starloop selftrain run.toml --set model.allow_tiny=true"
    assert facts["Last command"] == "ran the loop; finished"
    command = json.loads(store.read("logs/00001/command.json") or b"")
    later = command | {"command": "starloop train run.toml", "until": "cycle-001/train", "outcome": "failed"}
    store.write("logs/00003/command.json", json.dumps(later).encode())
    facts = facts_in(html_of(store))
    assert facts["Command"] == "starloop selftrain run.toml --set model.allow_tiny=true"
    assert facts["Last command"] == "starloop train run.toml: ran until cycle-001/train; failed"
    store.write("logs/00001/command.json", json.dumps({name: command[name] for name in command if name != "command"}).encode())
    assert "Command" not in facts_in(html_of(store)), "a run of an older version"


@pytest.mark.parametrize(
    ("settings", "models", "expected"),
    [
        ([], {BASE: ("tiny", "d1")}, "tiny (digest d1); engine builtin"),
        (
            [],
            {BASE: ("tiny", "d1"), FIRST: ("server", "d2")},
            "tiny (digest d1), first answers by server (digest d2); engine builtin",
        ),
        (
            ["model.instruct=chatty"],
            {BASE: ("chatty", "d1"), FIRST: ("chatty", "d1")},
            "tiny, first answers by chatty (digest d1); engine builtin",
        ),
        (["model.instruct=chatty"], {}, "tiny, first answers by chatty; engine builtin"),
        (
            ["parent.run=r", "parent.step=cycle-000/generate", "parent.model=r/cycle-000/train/model"],
            {BASE: ("tiny", "d1"), FIRST: ("tiny", "d1")},
            "tiny, first answers by r/cycle-000/train/model (digest d1); engine builtin",
        ),
    ],
)
def test_a_digest_stands_beside_the_model_that_it_is_of(
    tmp_path: Path, settings: list[str], models: dict[str, tuple[str, str]], expected: str
) -> None:
    a_run(tmp_path, train=2, heldout=2, settings=["model.base=tiny", *settings])
    store = Store(str(tmp_path))
    config, sealed = run_config(store), read_seals(store)
    for step in (BASE, FIRST):
        base, digest_text = models.get(step, ("", ""))
        model = {"model": {"base": base, "digest": digest_text} if base else {}}
        sealed[step] = replace(sealed[step], facts=sealed[step].facts | model)
    assert facts_in(report_page(subject_of(store, config, sealed), no_strip))["Model"] == expected


def facts_in(html: str) -> dict[str, str]:
    return {name: unescape(value) for name, value in re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html)}


def test_a_few_shot_curve_in_the_runs_folder_is_shown_with_its_baselines(tmp_path: Path) -> None:
    a_run(tmp_path)
    store = Store(str(tmp_path))
    store.write("report.html", html_of(store).encode())
    assert 'id="episodes"' not in html_of(store)
    config, sealed = run_config(store), read_seals(store)
    store.write("few shot/curve.json", json.dumps(CURVE).encode())
    assert inputs_of(store.read("report.html")) != subject_of(store, config, sealed).inputs, "the report is written again"
    html = html_of(store)
    rows = {row["shots"]: (row["0"], row["4"]) for row in Rows(html).of("The same as figures")}
    assert rows == {
        "as narrated": ("0.050", "0.450"),
        "videos shuffled": ("", "0.300"),
        "at most: both words in the context": ("0.000", "0.790"),
        "no model: the commonest words": ("0.000", "0.240"),
    }
    assert "tiny with cycle-000/train/model; 20 queries." in html
    assert 'aria-label="rare: verb and noun right, by shots"' in html
    for text in (b"[]", b"{", b'{"points": [{"set": "rare"}]}', b'{"points": []}'):
        store.write("few shot/curve.json", text)
        assert 'id="episodes"' not in html_of(store)


def test_a_run_of_icl_shows_what_icl_came_to(tmp_path: Path) -> None:
    run = tmp_path / "trained-on" / "without-context" / "seed-1"
    a_run(run)
    variants = {"episodes": {"seeds": 3, "curve": {"0": 0.0, "16": 0.423}, "gain": [0.4, 0.1]}, "no model": {"curve": {"16": 0.45}}}
    (tmp_path / "icl.json").write_text(json.dumps({"common": variants, "rare": variants}))
    html = html_of(Store(str(run)))
    assert html.count("means over 3 seeds, by what was trained on.") == 2
    assert Rows(html).of("The same as figures")[0] == {"shots": "episodes", "0": "0.000", "16": "0.423"}


def test_episodes_are_counted_with_their_contexts_and_shots(tmp_path: Path) -> None:
    a_run(tmp_path, settings=["mixture.episodes=0.5", "episodes.shots=[0, 8]", "episodes.top_actions=12"])
    store = Store(str(tmp_path))
    seal = read_seals(store)["cycle-001/select"]
    counts = seal.counts | {"episodes": 1200, "short": 3, "shots_verb": 4000, "shots_noun": 3900, "shots_rest": 12}
    store.write("cycle-001/select/seal.json", replace(seal, counts=counts).to_json())
    html = html_of(store)
    [row] = Rows(html).of("In-context episodes")
    assert row == {
        "cycle": "1", "episodes": "1,200", "shots drawn for": "4,000 verb, 3,900 noun, 12 rest", "with fewer shots than drawn": "3",
    }  # fmt: skip
    assert "0 or 8 shots each, bursty contexts, the 12 commonest actions alone; a shot shows the narration." in html
    assert "starloop few-shot EPISODES --adapter" in html


def test_each_dataset_of_a_mixed_manifest_has_a_row(folder: Path, html: str) -> None:
    assert "Yields of each dataset" not in html
    store = Store(str(folder))
    sealed = read_seals(store)
    counts = {"clips": 4, "direct_kept": 1, "rejected": 2, "rationalized_kept": 1, "failed": 1}
    generated = sealed["cycle-000/generate"]
    with_groups = replace(generated, facts=generated.facts | {"groups": {"": counts, "FineDiving": counts}})
    page = report_page(subject_of(store, run_config(store), sealed | {generated.step: with_groups}), no_strip)
    rows = Rows(page).of("Yields of each dataset (a clip's group), in the readings of Fig. 4")
    assert [row["dataset"] for row in rows] == ["without a group", "FineDiving"]
    assert rows[1]["direct, of all"].split() == ["25.0", "%", "1", "of", "4"]
    assert rows[1]["rationalized, of the rejected"].split() == ["50.0", "%", "1", "of", "2"]
