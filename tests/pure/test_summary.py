"""Pins the summary: the figures that the table, summary.json and the report show, from the seals of a run."""

import re
from collections import Counter
from dataclasses import replace

import pytest
from rich.table import Table

from builders import a_clip, a_seal, an_attempt
from engine.generate.groups import Groups
from engine.generate.scores import Groundings, Supports
from engine.presets import load_config
from engine.report.charts import BOTTOM, HEIGHT, TOP
from engine.report.page import _values
from engine.run.caveats import caveats
from engine.run.plan import BASE, INGEST
from engine.run.seals import Seal
from engine.run.summary import summarize
from jobs.view import a_console, print_summary

ACCOUNTS = {"clips": 6, "direct_kept": 2, "rationalized_kept": 1, "dropped": {"label_missing": 2}, "failed": {"missing": 1}}


def test_the_losses_shown_are_means_of_five_steps_at_each_end() -> None:
    losses = [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.5]
    seals = [
        a_seal(INGEST),
        a_seal(BASE, accuracy=0.25, clips=4),
        a_seal("cycle-000/generate", **ACCOUNTS),
        a_seal("cycle-000/select", **ACCOUNTS, examples=3, episodes=0, direct_only=False),
        a_seal("cycle-000/train", losses=losses),
        a_seal("cycle-000/evaluate", accuracy=0.75, clips=4),
    ]
    summary = summarize(load_config(None, []), {seal.step: seal for seal in seals})
    (cycle,) = summary["cycles"]
    assert (cycle["loss_first"], cycle["loss_last"]) == (7.0, 2.1)
    assert (cycle["clips"], cycle["direct_kept"], cycle["rationalized_kept"], cycle["examples"]) == (6, 2, 1, 3)
    assert (cycle["dropped"], cycle["failed"]) == ({"label_missing": 2}, {"missing": 1})
    assert (summary["base_accuracy"], summary["best_accuracy"], summary["best_cycle"]) == (0.25, 0.75, 0)
    assert (summary["best_model"], summary["heldout_clips"]) == ("cycle-000/train/model", 4)


def test_yields_are_counted_by_dataset_in_both_readings() -> None:
    """By hand: of five clips of a, one is right alone, two with the hint of the four that are not, and one of these fails."""
    groups = Groups()
    a = [a_clip(name, group="a") for name in "12345"]
    rejected = {"outcome": "rejected", "reason": "label_missing"}
    attempts = [an_attempt("1"), an_attempt("2", **rejected), an_attempt("2", mode="rationalized")]
    attempts += [an_attempt("3", **rejected), an_attempt("3", mode="rationalized")]
    attempts += [an_attempt("4", **rejected), an_attempt("4", mode="rationalized", **rejected)]
    attempts += [an_attempt("5", outcome="failed", reason="missing")]
    groups.add(a, attempts)
    groups.add([a_clip("6")], [an_attempt("6", **rejected)])
    seal = a_seal("cycle-000/generate", **ACCOUNTS, groups=groups.facts())
    (cycle,) = summarize(load_config(None, []), {seal.step: seal})["cycles"]
    assert list(cycle["groups"]) == ["", "a"]
    assert cycle["groups"]["a"] == {
        "clips": 5, "direct_kept": 1, "rejected": 3, "rationalized_kept": 2, "failed": 1,
        "direct": 0.2, "rationalized": 0.4, "rationalized_of_rejected": 0.6667,
    }  # fmt: skip
    assert (cycle["groups"][""]["rejected"], cycle["groups"][""]["rationalized_of_rejected"]) == (1, 0.0)


def test_answers_are_ungrounded_only_where_a_threshold_was_set() -> None:
    """The answers and pairs of a dozen clips are too few for a rate, and enough for a number of nats."""
    answers = Counter({-199: 1, 69: 6})
    few = Groundings(0, {("m", "direct"): Supports(0, 7, answers, answers, Counter({-257: 20, 77: 8}))}).facts()
    generate = a_seal("cycle-000/generate", **ACCOUNTS, grounding=few)
    select = a_seal("cycle-000/select", examples=7, episodes=0, direct_only=False)
    sealed = {seal.step: seal for seal in (generate, replace(select, counts={"ungrounded": 0}))}

    def grounding(setting: str) -> dict[str, int | None]:
        config = load_config(None, [f"select.min_grounding={setting}"])
        return dict(summarize(config, sealed)["cycles"][0]["grounding"])

    counted = {"scored": 7, "unscored": 0, "mismatched": 28}
    assert grounding("fdr 0.05") == counted | {"ungrounded": None}
    assert grounding("0.5") == counted | {"ungrounded": 0}
    assert grounding("off") == counted | {"ungrounded": None}


def test_what_is_ungrounded_beside_the_scored_answers_is_of_the_same_cycle() -> None:
    """With select.carry_over a select step chooses from several cycles."""
    answers = Counter({69: 7})
    generate = a_seal("cycle-001/generate", **ACCOUNTS, grounding=Groundings(1, {("m", "direct"): Supports(0, 7, answers)}).facts())
    select = replace(
        a_seal("cycle-001/select", examples=7, episodes=0, direct_only=False, ungrounded={"0": 40, "1": 3}),
        counts={"ungrounded": 43},
    )
    seals = (a_seal("cycle-000/generate", **ACCOUNTS), generate, select)
    config = load_config(None, ["select.min_grounding=0.5", "select.carry_over=true"])
    counts = summarize(config, {seal.step: seal for seal in seals})["cycles"][1]["grounding"]
    assert (counts["scored"], counts["ungrounded"]) == (7, 3)


def test_without_groups_nothing_is_counted_by_them() -> None:
    groups = Groups()
    groups.add([a_clip("6")], [an_attempt("6")])
    assert groups.facts() == {}
    seal = a_seal("cycle-000/generate", **ACCOUNTS)
    assert summarize(load_config(None, []), {seal.step: seal})["cycles"][0]["groups"] == {}


def test_of_few_steps_none_counts_at_both_ends() -> None:
    seals = [
        a_seal("cycle-000/select", **ACCOUNTS, examples=3, episodes=0, direct_only=False),
        a_seal("cycle-000/train", losses=[3.0, 1.0]),
    ]
    (cycle,) = summarize(load_config(None, []), {seal.step: seal for seal in seals})["cycles"]
    assert (cycle["loss_first"], cycle["loss_last"], cycle["heldout_accuracy"]) == (3.0, 1.0, None)


@pytest.mark.parametrize(
    ("settings", "is_noted"),
    [
        (["loop.max_cycles=1"], True),
        (["loop.max_cycles=1", "preset=code"], False),
        (["loop.max_cycles=1", "generate.rationalize=false"], False),
        (["loop.max_cycles=1", "select.source=template"], False),
        (["loop.max_cycles=2"], False),
    ],
)
def test_a_run_of_one_cycle_notes_that_nothing_is_rationalized(settings: list[str], is_noted: bool) -> None:
    note = summarize(load_config(None, settings), {})["note"]
    assert ("the only cycle is the last one, which uses direct attempts only, so nothing is rationalized" in note) == is_noted
    assert bool(note) == is_noted


@pytest.mark.parametrize(
    ("settings", "is_noted"),
    [
        (["mixture.rationalized=0"], True),
        (["mixture.rationalized=0", "generate.rationalize=false"], False),
        (["mixture.rationalized=0", "mixture.episodes=1", "episodes.answers=kept"], False),
        (["mixture.rationalized=0", "mixture.episodes=1"], True),
    ],
)
def test_hints_that_no_finetune_uses_are_noted(settings: list[str], is_noted: bool) -> None:
    assert (
        "answers are generated with a hint, and no finetune uses them" in "".join(caveats(load_config(None, settings)))
    ) == is_noted


@pytest.mark.parametrize(
    ("settings", "is_noted"),
    [
        (["loop.patience=2"], True),
        (["loop.patience=2", "loop.promote=best"], True),
        (["loop.patience=2", "generate.temperature=0.7"], False),
        (["loop.patience=2", "loop.promote=last"], False),
        (["loop.patience=1"], False),
    ],
)
def test_a_cycle_that_would_be_the_same_again_is_noted(settings: list[str], is_noted: bool) -> None:
    assert ("the next one asks the same model, gets the same answers" in "".join(caveats(load_config(None, settings)))) == is_noted


@pytest.mark.parametrize(
    ("facts", "counts", "note"),
    [
        ({"direct_only": True, "direct_kept": 0}, {}, "of 6 clips none has a kept attempt to train on, so"),
        (
            {"direct_only": True, "direct_kept": 3},
            {"ungrounded": 2, "near_copies.heldout": 1, "near_copies.train": 2, "over_limit": 0},
            "of 6 clips 3 have a kept attempt, and none of these is left to train on (left out: 2 answers whose text fits other "
            "videos as well, 1 train clip nearly the same as clips of heldout), so",
        ),
        (
            {"direct_only": False, "direct_kept": 2, "rationalized_kept": 2},
            {"pass_rate_dropped": 4},
            "4 have a kept attempt, and none of these is left to train on (left out: 4 clips outside of select.pass_rate), so",
        ),
    ],
)
def test_a_finetune_that_is_skipped_names_what_left_it_nothing(facts: dict[str, int], counts: dict[str, int], note: str) -> None:
    select = a_seal("cycle-000/select", **ACCOUNTS | facts, examples=0, episodes=0)
    sealed = {seal.step: seal for seal in (a_seal(INGEST), a_seal(BASE, accuracy=0.5, clips=4), replace(select, counts=counts))}
    assert note in summarize(load_config(None, ["loop.max_cycles=2"]), sealed)["note"]


def test_a_cycle_that_asked_nothing_shows_no_answers(capsys: pytest.CaptureFixture[str]) -> None:
    seals = [
        a_seal(INGEST),
        a_seal(BASE, accuracy=0.25, clips=4),
        a_seal("cycle-000/generate", **ACCOUNTS),
        a_seal("cycle-000/select", **ACCOUNTS, examples=3, episodes=0, direct_only=False),
        a_seal("cycle-000/train", losses=[1.0]),
        a_seal("cycle-000/evaluate", accuracy=0.25, clips=4),
        a_seal("cycle-001/select", **ACCOUNTS, examples=2, episodes=0, direct_only=True),
    ]
    print_summary(summarize(load_config(None, []), {seal.step: seal for seal in seals}))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[1:4] for row in rows if row[:1] == ["0"]] == [["6", "2", "1"]]
    assert [row[1:7] for row in rows if row[:1] == ["1"]] == [["-", "-", "-", "-", "-", "2"]]


def test_before_a_finetune_no_gain_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    seals = [a_seal(INGEST), a_seal(BASE, accuracy=0.25, clips=1), a_seal("cycle-000/generate", **ACCOUNTS)]
    print_summary(summarize(load_config(None, []), {seal.step: seal for seal in seals}))
    printed = capsys.readouterr().out
    assert "held-out accuracy of the base 0.250 on 1 clip; the run is not finished" in printed
    assert "->" not in printed


def a_measured(metric: str, heldout: float, before: float = 0.25) -> dict[str, Seal]:
    """Seals of a run of one cycle whose held-out and test sets are measured by a metric; those of an older version have levels."""
    test = {"step": "base/evaluate-test", "clips": 9, "videos": 9, "won": 3, "lost": 0, "gain": 0.3, "p": 0.04, "level": 0.025}
    seals = [
        a_seal(INGEST),
        *(a_seal(step, accuracy=before, clips=9, metrics={metric: before}) for step in (BASE, "base/evaluate-test")),
        a_seal("cycle-000/generate", **ACCOUNTS),
        a_seal("cycle-000/select", **ACCOUNTS, examples=3, episodes=0, direct_only=False),
        a_seal("cycle-000/train", losses=[1.0]),
        a_seal("cycle-000/evaluate", accuracy=heldout, clips=9, metrics={metric: heldout}),
        a_seal("cycle-000/evaluate-test", accuracy=heldout, clips=9, metrics={metric: heldout}, comparison=test),
    ]
    return {seal.step: seal for seal in seals}


def test_clips_that_decide_nothing_promote_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    summary = summarize(load_config(None, ["data.test=0.1"]), a_measured("accuracy", 0.5))
    assert summary["test"]["comparison"]["level"] is None
    print_summary(summary)
    printed = capsys.readouterr().out
    assert "9 clips that decided nothing; 3 clips better and 0 worse than base, p = 0.04\n" in printed
    assert "promoted, which" not in printed


def test_a_held_out_metric_that_is_no_accuracy_has_its_name_and_its_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    judge = ["evaluate.judge.url=http://localhost:1/v1", "evaluate.judge.model=m", "data.test=0.1"]
    config = load_config(None, [*judge, 'evaluate.sets=[{name="heldout", metrics=["qa_score"]}]'])
    summary = summarize(config, a_measured("qa_score", 3.5, before=2.0))
    print_summary(summary)
    printed = capsys.readouterr().out
    assert "held-out qa score 2.000 -> 3.500 (cycle 0)" in printed
    assert "test qa score 2.000 -> 3.500" in printed
    assert "accuracy" not in printed
    svg = str(_values(summary))
    assert "Held-out qa score" in svg
    heights = [float(y) for y in re.findall(r'class="(?:mark|best)" cx="[\d.]+" cy="([\d.]+)"', svg)]
    assert heights == [round(TOP + (HEIGHT - TOP - BOTTOM) * (5 - value) / 5, 1) for value in (2.0, 3.5)], "of 0 to 5"


def test_text_from_data_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("[columns]")
    table.add_row("[/INST] :warning:")
    a_console().print(table)
    a_console().print("the section [storage.s3]")
    printed = capsys.readouterr().out
    for text in ("[columns]", "[/INST] :warning:", "the section [storage.s3]"):
        assert text in printed
