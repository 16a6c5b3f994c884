"""Pins the audit: a seeded sample by strata, the file that people edit, words that override verdicts, precision and recall."""

import csv
import io
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from builders import a_clip, a_label, a_seal, an_attempt
from engine.audit import reviews, sheet
from engine.audit.audit import SAMPLES, Audit, Sample, audited, audits
from engine.audit.figures import Rated, Stratum, agreement, groups_of, precision, recall, strata_of
from engine.audit.reviews import Overrides, add, answer_id, copy, read, records_of
from engine.audit.strata import Strata, allocated
from engine.config import RunConfig
from engine.presets import load_config
from engine.report.people import audit_lines
from engine.rows import Answer, Attempt, Audited, Clip, Judgement, Review, names_of
from engine.run.plan import next_step
from engine.run.seals import Seal
from engine.run.work import Work
from engine.store.documents import to_json
from engine.store.files import Store
from engine.store.filesystems import Storage
from jobs.audit import counts_from

NO = {"outcome": "rejected", "reason": "label_missing"}


def a_step(kept: int, dropped: int) -> tuple[list[Clip], list[Attempt]]:
    """Clips with a direct attempt each; those that are dropped have a kept rationalization every third time."""
    clips = [a_clip(f"c{number:03d}") for number in range(kept + dropped)]
    attempts = [an_attempt(clip.clip_id, text=f"{clip.clip_id} rises.") for clip in clips[:kept]]
    for number, clip in enumerate(clips[kept:]):
        attempts.append(an_attempt(clip.clip_id, text="No idea.", **NO))
        attempts.append(an_attempt(clip.clip_id, mode="rationalized", text="It rises.", **({} if number % 3 == 0 else NO)))
    return clips, attempts


def drawn(size: int, seed: int, pieces: int = 1) -> list[tuple[str, str]]:
    clips, attempts = a_step(60, 30)
    strata = Strata(size=size, seed=seed)
    for number in range(pieces):
        strata.add(clips, attempts[number::pieces])
    return [(attempt.clip_id, attempt.mode) for _, attempt in strata.drawn()]


@pytest.mark.parametrize(
    ("keep", "why"),
    [
        ({"kept direct": None, "dropped direct": 0}, "no kept answer is judged yet"),
        ({"kept direct": 0, "dropped direct": None}, "no dropped answer is judged yet"),
        ({"kept direct": 0, "dropped direct": 0}, "people would keep none of those they judged"),
    ],
)
def test_a_recall_that_is_not_known_says_why(keep: dict[str, int | None], why: str) -> None:
    strata = {name: Stratum(size=20, judged=0 if count is None else 5, people_keep=count or 0) for name, count in keep.items()}
    own = Audit(step="s", strata=strata, rows=[], unsure=0, reused=0, is_random=True, precision=None, recall=recall(strata))
    assert own.recall is None
    assert f"recall of what people would keep: {why}" in audit_lines(own)


def test_the_sample_follows_from_its_seed_alone_and_is_half_kept_and_half_dropped() -> None:
    assert drawn(20, 1) == drawn(20, 1, pieces=7)
    assert drawn(20, 1) != drawn(20, 2)
    assert len(set(drawn(20, 1))) == 20
    clips, attempts = a_step(60, 30)
    strata = Strata(size=20, seed=1)
    strata.add(clips, [*attempts, an_attempt("c000", outcome="failed", reason="missing")])
    assert dict(strata.sizes) == {"kept direct": 60, "dropped direct": 30, "kept rationalized": 10, "dropped rationalized": 20}
    assert sum(attempt.outcome == "kept" for _, attempt in strata.drawn()) == 10
    # in random order: who reads a part has read a random part
    outcomes = [attempt.outcome for _, attempt in strata.drawn()]
    assert 2 <= outcomes[:10].count("kept") <= 8


def test_a_sample_of_more_than_there_is_has_everything() -> None:
    assert len(drawn(1000, 1)) == 120
    assert allocated(1000, {"kept direct": 3, "dropped direct": 2}) == {"kept direct": 3, "dropped direct": 2}
    assert allocated(10, {"dropped direct": 30}) == {"dropped direct": 10}
    assert allocated(1, {"kept direct": 9, "dropped direct": 9}) == {"kept direct": 1, "dropped direct": 0}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 51])
def test_strata_share_out_what_is_asked_for(size: int) -> None:
    sizes = {"kept direct": 100, "kept rationalized": 2, "dropped direct": 60, "dropped rationalized": 1}
    counts = allocated(size, sizes)
    assert sum(counts.values()) == size
    assert all(counts[name] <= count for name, count in sizes.items())


def rows_of(*texts: str) -> list[Audited]:
    return [audited(a_clip(f"c{number}"), an_attempt(f"c{number}", text=text)) for number, text in enumerate(texts)]


def marked(rows: list[Audited], *words: str) -> bytes:
    return sheet.to_csv([replace(row, people=word) for row, word in zip(rows, words, strict=True)])


def taken(tmp_path: Path, data: bytes, rows: list[Audited], name: str = "audit.csv") -> list[tuple[str, str, str]]:
    (tmp_path / name).write_bytes(data)
    known = {row.answer: row for row in rows}
    return [(review.clip_id, review.people, review.note) for review in sheet.read(str(tmp_path / name), Storage(), known)]


def test_a_marked_file_comes_back_as_words_whatever_a_spreadsheet_did_to_the_rest(tmp_path: Path) -> None:
    rows = rows_of("It rises.", "=SUM(A1)\nand more, it rises", "Ünd so.", "")
    assert taken(tmp_path, marked(rows, "keep", "", "unsure", "drop"), rows) == [
        ("c0", "keep", ""), ("c2", "unsure", ""), ("c3", "drop", ""),
    ]  # fmt: skip
    # other columns are gone, others have moved, the delimiter is Excel's, words are in capitals
    semicolons = "note;answer;people\r\n" + "".join(
        f"so;{row.answer};{word}\r\n" for row, word in zip(rows, ["KEEP", "", " Drop ", ""], strict=True)
    )
    assert taken(tmp_path, semicolons.encode("utf-8-sig"), rows) == [("c0", "keep", "so"), ("c2", "drop", "so")]
    lines = "".join(json.dumps({"answer": row.answer, "people": "keep"}) + "\n" for row in rows[:2])
    assert taken(tmp_path, lines.encode(), rows, "audit.jsonl") == [("c0", "keep", ""), ("c1", "keep", "")]
    assert taken(tmp_path, sheet.to_jsonl([replace(row, people="drop") for row in rows]), rows, "b.jsonl")[1] == ("c1", "drop", "")


def test_the_file_has_a_line_for_each_answer_and_no_formula() -> None:
    rows = rows_of("=cmd|' /C calc'!A0", "two\nlines", "-3.5")
    table = list(csv.DictReader(io.StringIO(sheet.to_csv(rows).decode("utf-8-sig"))))
    assert [row["text"] for row in table] == ["'=cmd|' /C calc'!A0", "two lines", "-3.5"]
    assert tuple(table[0]) == names_of(Audited)
    assert {"people", "note", "verdict", "reason", "label", "question", "text", "video", "start_s", "end_s"} <= table[0].keys()


OF_NO_SAMPLE = r"a.csv line 2: answer = 'a0123456789abcdef' is of no sample of this run"
BAD = [
    (
        "a.csv",
        "people,answer\nkeep,{0}\nmaybe,{1}\n",
        r"a.csv line 3: people = 'maybe'; write keep, drop or unsure, .*; nothing of",
    ),
    ("a.csv", "people,answer\nkeep,a0123456789abcdef\n", OF_NO_SAMPLE),
    ("a.csv", "people,answer\nkeep,{0}\ndrop,{0}\n", r"a.csv line 3: this answer has people = 'keep' in another row; decide"),
    ("a.csv", "people,clip_id\nkeep,c0\n", r"a.csv line 2: no column 'answer'; hand back the file that"),
    (
        "a.csv",
        "people,answer\nkeep\nx,{0}\ny,{1}\n",
        r"a.csv line 2 has fewer cells.*; 2 more rows are bad: \S* line 3, \S* line 4; ",
    ),
    ("a.jsonl", '{{"people": true, "answer": "{0}"}}\n', r"a.jsonl line 1: 'True' is not a text"),
    ("a.jsonl", '{{"people": "keep"\n', r"a.jsonl line 1 is not JSON"),
    ("a.xlsx", "people,answer\n", r"a.xlsx.*save the sheet as CSV"),
]


@pytest.mark.parametrize(("name", "data", "message"), BAD)
def test_a_bad_row_is_a_line_with_its_place_and_nothing_is_taken(tmp_path: Path, name: str, data: str, message: str) -> None:
    rows = rows_of("It rises.", "It sinks.")
    with pytest.raises(ValueError, match=message) as caught:
        taken(tmp_path, data.format(*(row.answer for row in rows)).encode(), rows, name)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_text_is_a_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a.csv is not UTF-8 text"):
        taken(tmp_path, b"people,answer\nkeep,\xff\xfe\n", [], "a.csv")


def a_review(answer: str = "a1", people: str = "keep", **fields: str) -> Review:
    return Review(**{"answer": answer, "clip_id": "c0", "people": people, "note": ""} | fields)


def test_words_are_kept_file_by_file_and_the_latest_counts() -> None:
    store = Store("memory://audit-words")
    assert len(add(store, [a_review("a1", "keep"), a_review("a2", "drop")], "one.csv")) == 2
    [first] = records_of(store)
    assert add(store, [a_review("a1", "keep")], "one.csv") == [], "nothing new, and no file for it"
    add(store, [a_review("a1", "unsure")], "two.csv")
    assert records_of(store)[0] == first, "what was handed in is not touched again"
    assert {answer: review.people for answer, review in read(store, records_of(store)).items()} == {"a1": "unsure", "a2": "drop"}
    assert read(store, [first])["a1"].people == "keep", "a select reads the files that were there when it began"
    continuation = Store("memory://audit-continuation")
    copy(store, continuation)
    copy(store, continuation)
    assert read(continuation, records_of(continuation)) == read(store, records_of(store))
    store.write(f"{reviews.FOLDER}/00003.json", b"[]")
    with pytest.raises(ValueError, match=r"00003.json is not what `starloop audit` writes; restore it, or delete it"):
        read(store, records_of(store))


def answers(attempts: list[Attempt]) -> list[Answer]:
    return [Answer(**{name: getattr(attempt, name) for name in names_of(Answer)}) for attempt in attempts]


def overrides(clips: list[Clip], words: dict[str, tuple[str, str]]) -> Overrides:
    by_id = {clip.clip_id: clip for clip in clips}
    rows = [a_review(answer_id(by_id[clip_id], text), word, clip_id=clip_id) for clip_id, (text, word) in words.items()]
    return Overrides({row.answer: row for row in rows})


def test_a_word_counts_in_place_of_the_verdict_on_the_same_text_about_the_same_clip() -> None:
    clips = [a_clip(name) for name in "abcdef"]
    attempts = answers(
        [
            an_attempt("a", text="It rises."),
            an_attempt("b", text="It rises."),
            an_attempt("c", text="Up it goes.", **NO),
            an_attempt("d", text="Up.", **NO),
            an_attempt("e", text="It rises, too."),
            an_attempt("f", text="", outcome="failed", reason="missing"),
        ]
    )
    words = overrides(
        clips,
        {
            "a": ("It rises.", "drop"),
            "b": ("It rises.", "keep"),
            "c": ("Up it goes.", "keep"),
            "d": ("Up.", "unsure"),
            "e": ("Another text.", "drop"),
            "f": ("", "keep"),
        },
    )
    applied = words.applied(clips, attempts)
    assert [(row.outcome, row.reason) for row in applied] == [
        ("rejected", "people_drop"),
        ("kept", "contains_label"),
        ("kept", "people_keep"),
        ("rejected", "label_missing"),
        ("kept", "contains_label"),
        ("failed", "missing"),
    ]
    assert words.applied(clips, attempts) == applied
    assert words.counts() == {"people.confirmed": 1, "people.kept": 1, "people.dropped": 1}, (
        "counted once, however often it is read"
    )
    # a clip with another label, question or window is another one
    changed = [replace(clip, label=a_label("sinking")) for clip in clips]
    assert words.applied(changed, attempts) == attempts


def test_the_figures_weigh_each_stratum_by_its_size() -> None:
    strata = {
        "kept direct": Stratum(size=900, judged=30, people_keep=27),
        "kept rationalized": Stratum(size=100, judged=10, people_keep=5),
        "dropped direct": Stratum(size=300, judged=40, people_keep=4),
    }
    estimate, missed = precision(strata), recall(strata)
    assert estimate is not None
    assert missed is not None
    assert estimate.value == (810 + 50) / 1000
    assert missed.value == 860 / (860 + 30)
    assert 0.7 < estimate.low < 0.86 < estimate.high < 0.95
    assert 0.9 < missed.low < missed.value < missed.high < 0.995


def test_what_nobody_has_read_is_not_known() -> None:
    kept, dropped = Stratum(size=90, judged=0, people_keep=0), Stratum(size=30, judged=10, people_keep=0)
    assert precision({"kept direct": kept, "dropped direct": dropped}) is None
    assert recall({"kept direct": kept, "dropped direct": dropped}) is None
    read_kept = replace(kept, judged=10, people_keep=10)
    assert recall({"kept direct": read_kept, "dropped direct": replace(dropped, judged=0)}) is None
    # everything was kept: then nothing was missed
    assert recall({"kept direct": read_kept}) is not None
    # all read: the figures are no estimates any more
    whole = {"kept direct": Stratum(size=90, judged=90, people_keep=81), "dropped direct": Stratum(size=9, judged=9, people_keep=9)}
    for estimate, value in ((precision(whole), 0.9), (recall(whole), 0.9)):
        assert estimate is not None
        assert (estimate.value, estimate.low, estimate.high) == (value, value, value)


@pytest.mark.parametrize(
    ("kept_right", "missed"), [(0.9, 0.1), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((0.98, 0.02), (0.6, 0.4)))]
)
def test_the_intervals_cover_and_the_estimates_are_unbiased(kept_right: float, missed: float) -> None:
    random, covered, values = np.random.default_rng(5), np.zeros(2), list[tuple[float, float]]()
    sizes = {"kept direct": 600, "kept rationalized": 200, "dropped direct": 400}
    right = {"kept direct": kept_right, "kept rationalized": kept_right - 0.1, "dropped direct": missed}
    keep = {name: round(size * right[name]) for name, size in sizes.items()}
    all_kept = keep["kept direct"] + keep["kept rationalized"]
    true = all_kept / 800, all_kept / (all_kept + keep["dropped direct"])
    for _ in range(100):
        strata = {}
        for name, judged in (("kept direct", 19), ("kept rationalized", 6), ("dropped direct", 25)):
            number = int(random.hypergeometric(keep[name], sizes[name] - keep[name], judged))
            strata[name] = Stratum(size=sizes[name], judged=judged, people_keep=number)
        estimates = precision(strata), recall(strata)
        assert None not in estimates
        values.append(tuple(estimate.value for estimate in estimates if estimate))  # type: ignore[arg-type]
        covered += [estimate.low <= value <= estimate.high for estimate, value in zip(estimates, true, strict=True) if estimate]
    assert np.abs(np.mean(values, axis=0) - true).max() < 0.025
    assert covered.min() >= 88


def a_sample(store: Store, cycle: int, *texts: str) -> Seal:
    """Sample and seal of a generate step: kept answers to the clips c0, c1 and so on."""
    sealed = a_seal(f"cycle-00{cycle}/generate")
    rows = [replace(row, cycle=cycle) for row in rows_of(*texts)]
    sample = Sample(step=sealed.step, output=sealed.output, seed=1, size=9, strata={"kept direct": 900}, rows=rows)
    store.write(f"{SAMPLES}/{cycle}.json", to_json(asdict(sample)))
    return sealed


def handed_in(store: Store, first: int, *texts: str, word: str = "keep") -> None:
    """Words about answers to the clips from the first one on."""
    rows = [
        audited(a_clip(f"c{number}"), an_attempt(f"c{number}", text=text)) for number, text in enumerate(texts, start=first) if text
    ]
    add(store, [Review(answer=row.answer, clip_id=row.clip_id, people=word, note="") for row in rows], "audit.csv")


def test_words_about_texts_that_stay_the_same_are_no_random_sample_of_a_later_cycle() -> None:
    """Cycle 1 has three texts of cycle 0 again. Cycle 0's words are all right there, and say nothing about the other four."""
    store = Store("memory://audit-reused")
    before = [f"text {number}" for number in range(6)]
    after = [*before[:3], "new 3", "new 4", "new 5", "new 6"]
    sealed = {seal.step: seal for seal in (a_sample(store, 0, *before), a_sample(store, 1, *after))}
    handed_in(store, 0, *before)
    first, second = audits(store, sealed)
    assert first.precision is not None
    assert (first.precision.value, first.reused, first.is_random) == (1.0, 0, True)
    assert (second.precision, second.recall, second.groups, second.reused, second.judged) == (None, None, [], 3, 3)
    line = "no figures yet: 3 of these words came with another sample, which had the same texts, and texts that do not change"
    assert audit_lines(second)[1:] == [f"{line} are no random sample; read the other 4 rows, too"]
    handed_in(store, 3, "new 3", "new 4", "new 5", word="drop")
    assert audits(store, sealed)[1].precision is None, "half of the words are reused"
    handed_in(store, 6, "new 6", word="drop")
    whole = audits(store, sealed)[1]
    assert whole.precision is not None
    assert (whole.is_random, whole.reused, round(whole.precision.value, 3)) == (True, 3, round(3 / 7, 3))


def test_a_few_reused_words_leave_a_sample_random_and_those_of_the_run_before_are_reused() -> None:
    store = Store("memory://audit-few-reused")
    texts = [f"text {number}" for number in range(30)]
    sealed = {seal.step: seal for seal in (a_sample(store, 0, *texts),)}
    handed_in(store, 0, "text 0", "another text of the run before")
    assert (audits(store, sealed)[0].reused, audits(store, sealed)[0].precision) == (1, None)
    handed_in(store, 1, *texts[1:10])
    [audit] = audits(store, sealed)
    assert (audit.reused, audit.judged, audit.is_random) == (1, 10, True)


def a_rating(stratum: str, people_keep: bool, reason: str = "contains_label", judge_keep: bool | None = None) -> Rated:
    return Rated(stratum=stratum, reason=reason, kind="keywords", people_keep=people_keep, judge_keep=judge_keep)


def test_reasons_with_enough_answers_are_shown_by_themselves() -> None:
    rated = [a_rating("kept direct", number != 0) for number in range(8)]
    rated += [a_rating("dropped direct", number < 2, "label_missing") for number in range(6)] + [
        a_rating("dropped direct", False, "cut_off")
    ]
    groups = groups_of(rated)
    assert [(group.name, group.judged, group.agree) for group in groups] == [
        ("kept: contains_label", 8, 7),
        ("dropped: label_missing", 6, 4),
        ("kept: keywords", 8, 7),
        ("dropped: keywords", 7, 5),
    ]
    assert strata_of({"kept direct": 80, "dropped direct": 9, "kept rationalized": 0}, rated) == {
        "kept direct": Stratum(size=80, judged=8, people_keep=7),
        "dropped direct": Stratum(size=9, judged=7, people_keep=2),
    }


def test_two_raters_agree_by_share_and_by_kappa() -> None:
    assert agreement([]) is None
    same = agreement([(True, True)] * 5)
    assert same is not None
    assert (same.share.value, same.kappa) == (1.0, None)
    half = agreement([(True, True), (False, False), (True, False), (False, True)])
    assert half is not None
    assert (half.count, half.share.value, half.kappa) == (4, 0.5, 0.0)


def test_the_row_that_people_read_has_what_they_need() -> None:
    judged = Judgement(stage="judge", keep=False, reason="judge_drop", score=0.0, detail="it sinks")
    row = audited(a_clip("a", start_s=1.0, end_s=4.0), an_attempt("a", judgements=(judged,), detail="rising"))
    assert (row.people, row.verdict, row.reason, row.label, row.text, row.judge) == (
        "", "kept", "contains_label", "rising", "It is rising.", "drop",
    )  # fmt: skip
    assert (row.video, row.start_s, row.end_s, row.kind) == ("/videos/a.mp4", 1.0, 4.0, "keywords")


def sealed_until(last: str, *accuracies: float, max_cycles: int = 3) -> tuple[RunConfig, dict[str, Seal]]:
    """The seals of a run up to a step, whose cycles have these accuracies and are promoted by them."""
    config, sealed = load_config(None, ["loop.promote=best", f"loop.max_cycles={max_cycles}"]), dict[str, Seal]()
    while last not in sealed and (step := next_step(config, sealed)) is not None:
        accuracy = 0.4 if step.cycle < 0 else accuracies[step.cycle] if step.kind == "evaluate" else 0.0
        sealed[step.name] = a_seal(step.name, accuracy=accuracy, direct_only=step.final, examples=9, episodes=0)
    return config, sealed


@pytest.mark.parametrize(
    ("last", "is_driven", "line"),
    [
        ("cycle-000/generate", False, "they count from cycle-000/select on"),
        ("cycle-000/generate", True, "cycle-000/select has read its words already, so they count from cycle-001/select on; if the"),
        (
            "cycle-000/select",
            True,
            "they count from cycle-001/select on; if the loop ends before it, in a run that continues this one",
        ),
        ("cycle-000/evaluate", True, "they count from cycle-001/select on"),
        (
            "cycle-001/generate",
            True,
            "cycle-001/select has read its words already, so the run has no select step to come, and they",
        ),
        ("cycle-001/select", False, "the run has no select step to come, and they count in one that continues it (starloop extend"),
        (
            "cycle-001/evaluate",
            False,
            "the run is complete, so they count in one that continues it (starloop extend runs/a MANIFEST",
        ),
    ],
)
def test_words_count_from_the_first_select_that_reads_them(last: str, is_driven: bool, line: str) -> None:
    config, sealed = sealed_until(last, 0.6, 0.8, max_cycles=2)
    assert counts_from(config, sealed, is_driven, "runs/a").startswith(line)


def test_work_knows_of_no_words_by_itself() -> None:
    assert Work.__dataclass_fields__["reviews"].default == ()
