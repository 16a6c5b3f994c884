"""Pins the metrics beside right and wrong: values that were worked out by hand, their intervals, and tests between two models."""

from typing import Any

import numpy as np
import pytest

from builders import a_clip, an_attempt
from engine.evaluate.figures import MOST_GROUPS, figures
from engine.evaluate.intervals import bootstrap, interval
from engine.evaluate.metrics import METRICS, metric_of, value_of
from engine.evaluate.metrics.statistics import mean_of_all, mean_of_columns, relative_l2, spearman
from engine.evaluate.outcomes import Outcomes, Recorder
from engine.evaluate.paired import compare
from engine.evaluate.scores import BATCH_ROWS, Means, scores_of
from engine.evaluate.scores.numbers import measure
from engine.labels import Number, Reference, TimeRange
from engine.rows import Attempt, Clip

FAILED: dict[str, Any] = {"outcome": "failed", "reason": "missing", "text": "", "detail": "", "score": 0.0}


def measured(names: str, clips: list[Clip], attempts: list[Attempt]) -> Outcomes:
    metrics = [metric_of(name) for name in names.split()]
    recorder, scores = Recorder(), scores_of(metrics, Means())
    recorder.add(clips, attempts)
    if scores:
        scores.add(clips, attempts)
    return recorder.outcomes(scores.by_source() if scores else None)


def scored(given: list[str], labels: list[float]) -> Outcomes:
    """Answers of these texts, "" for none and "!" for a clip that failed."""
    clips = [a_clip(str(number), label=Number(value=value)) for number, value in enumerate(labels)]
    attempts = [
        an_attempt(clip.clip_id, **(FAILED if text == "!" else {"text": text})) for clip, text in zip(clips, given, strict=True)
    ]
    return measured("spearman relative_l2", clips, attempts)


def test_ranks_of_scores_with_ties_and_without_an_answer() -> None:
    assert value_of(metric_of("spearman"), scored(["65.6", "about 80", "70", "!", "x"], [60.0, 90.0, 75.0, 10.0, 20.0])) == 1.0
    values = np.array([[1.0, 1.0], [2.0, 2.0], [2.0, 3.0], [3.0, 4.0]])
    assert spearman(values, np.ones(4)) == pytest.approx(4.5 / np.sqrt(4.5 * 5.0))  # ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4
    doubled = np.concatenate([values, values[:1]])
    assert spearman(values, np.array([2.0, 1, 1, 1])) == pytest.approx(spearman(doubled, np.ones(5)))
    assert spearman(np.array([[1.0, 1.0], [1.0, 2.0]]), np.ones(2)) == 0.0


def test_resamples_without_a_number_rank_nothing() -> None:
    outcomes = scored(["3 points", *["nothing is said"] * 30], [float(number) for number in range(31)])
    low, high = interval(metric_of("spearman"), outcomes)
    assert (low, high) == (0.0, 0.0), "one clip has a number, and most resamples have none"


def test_the_number_that_is_given_is_read_alike_by_all_presets() -> None:
    """Published rules keep a text with any fitting number, and write all of them down."""
    clip = a_clip(label=Number(value=65.6))
    text = "On a scale from 1 to 100, the answer is 65.6."
    attempt = an_attempt(clip.clip_id, text=text, detail="1, 100, 65.6")
    assert measure([(clip, attempt)])[0, 0] == 65.6
    rejected = an_attempt(clip.clip_id, text="It goes on and on", detail="3.5 somersaults", outcome="rejected", reason="cut_off")
    assert np.isnan(measure([(clip, rejected)])[0, 0])


def test_the_relative_error_is_squared_over_the_range_of_the_labels_and_no_number_is_all_of_it() -> None:
    outcomes = scored(["10", "60", "x"], [0.0, 50.0, 100.0])
    assert value_of(metric_of("relative_l2"), outcomes) == pytest.approx(100 * (0.01 + 0.01 + 1) / 3)
    assert relative_l2(np.array([[3.0, 3.0, 3.0, 3.0]]), np.ones(1)) == 0.0


def test_time_ranges_have_their_overlap_and_recalls() -> None:
    clips = [a_clip(str(n), label=TimeRange(start_s=0, end_s=4, duration_s=10), group="g") for n in range(5)]
    scores = [1.0, 0.5, 0.31, 0.0]
    attempts = [an_attempt(str(n), score=score, outcome="kept" if score >= 0.5 else "rejected") for n, score in enumerate(scores)]
    outcomes = measured("miou recall_0.3 recall_0.5", clips, [*attempts, an_attempt("4", **FAILED)])
    values = {name: value_of(metric_of(name), outcomes) for name in ("miou", "recall_0.3", "recall_0.5", "recall_0.7", "accuracy")}
    assert values == pytest.approx({"miou": 1.81 / 5, "recall_0.3": 0.6, "recall_0.5": 0.4, "recall_0.7": 0.2, "accuracy": 0.4})
    assert interval(metric_of("recall_0.5"), outcomes) == interval(metric_of("accuracy"), outcomes), "a share is a share"


def test_the_nearest_of_several_references_counts() -> None:
    clips = [
        a_clip("a", label=Reference(text="the dog sleeps", aliases=("a man rides a horse",))),
        a_clip("b", label="the dax zups"),
    ]
    attempts = [an_attempt("a", text="A man rides a horse."), an_attempt("b", text="the wug zups now")]
    assert value_of(metric_of("rouge_l"), measured("rouge_l", clips, attempts)) == pytest.approx((1 + 4 / 7) / 2)


def test_both_averages_of_pllavas_five_columns() -> None:
    """Published: 3.21 2.86 3.62 2.33 2.93; their plain mean is 2.99, and over all scores of the benchmark's sizes it is 3.14."""
    generic = np.tile([3.21, 2.86, 3.62, np.nan, np.nan], (1996, 1))
    others = [np.tile(row, (499, 1)) for row in ([np.nan] * 3 + [2.33, np.nan], [np.nan] * 4 + [2.93])]
    values = np.concatenate([generic, *others])
    counts = np.ones(len(values))
    assert round(mean_of_columns(values, counts), 2) == 2.99
    assert round(mean_of_all(values, counts), 2) == 3.14


def of_groups(states: dict[str, str]) -> Outcomes:
    """r right, w wrong, f failed, by group."""
    recorder, outcome = Recorder(), {"r": "kept", "w": "rejected", "f": "failed"}
    for group, letters in states.items():
        clips = [a_clip(f"{group}{number}", group=group) for number in range(len(letters))]
        recorder.add(clips, [an_attempt(c.clip_id, outcome=outcome[state]) for c, state in zip(clips, letters, strict=True)])
    return recorder.outcomes()


def test_micro_and_macro_differ_as_tempcompass_does() -> None:
    """A cell of 18 questions weighs as much as one of 302 in the mean of cells."""
    outcomes = of_groups({"order": "r" * 100 + "w" * 202, "other": "r" * 10 + "w" * 8})
    assert value_of(metric_of("accuracy"), outcomes) == pytest.approx(110 / 320)
    assert value_of(metric_of("accuracy_by_group"), outcomes) == pytest.approx((100 / 302 + 10 / 18) / 2)
    assert value_of(metric_of("accuracy_by_label"), outcomes) == pytest.approx(110 / 320), "all have one label"


def test_the_figures_say_what_failed_and_have_each_group() -> None:
    recorder = Recorder()
    clips = [a_clip(str(number), group="b" if number else "a") for number in range(4)]
    attempts = [an_attempt("0"), an_attempt("1"), an_attempt("2", outcome="rejected"), an_attempt("3", **FAILED)]
    recorder.add(clips, attempts)
    result = figures([metric_of("accuracy"), metric_of("accuracy_by_group")], recorder.outcomes(), recorder.group_names)
    assert (result["accuracy"], result["answered"]["accuracy"]) == (0.5, pytest.approx(2 / 3))
    assert result["metrics"]["accuracy_by_group"] == pytest.approx((1 + 1 / 3) / 2)
    assert result["groups"] == {
        "a": {"clips": 1, "failed": 0, "metrics": {"accuracy": 1.0}},
        "b": {"clips": 3, "failed": 1, "metrics": {"accuracy": pytest.approx(1 / 3)}},
    }
    many = {number: str(number) for number in range(MOST_GROUPS + 1)}
    assert figures([metric_of("accuracy")], recorder.outcomes(), many)["groups"] == {}


def test_groups_that_begin_alike_are_one_more_figure() -> None:
    """NExT-QA reports causal questions, TempCompass an aspect: several cells each, every question with the same weight."""
    recorder, outcome = Recorder(), {"r": "kept", "w": "rejected"}
    for group, letters in {"C/CH": "rrrw", "C/CW": "w", "D/DO": "r", "Count": "w"}.items():
        clips = [a_clip(f"{group}{number}", group=group) for number in range(len(letters))]
        recorder.add(clips, [an_attempt(c.clip_id, outcome=outcome[state]) for c, state in zip(clips, letters, strict=True)])
    groups = figures([metric_of("accuracy")], recorder.outcomes(), recorder.group_names)["groups"]
    assert {name: (of["clips"], of["metrics"]["accuracy"]) for name, of in groups.items()} == {
        "C/": (5, 0.6),
        "C/CH": (4, 0.75),
        "C/CW": (1, 0.0),
        "Count": (1, 0.0),
        "D/DO": (1, 1.0),
    }


def test_batches_are_measured_in_their_order() -> None:
    clips = [a_clip(str(number), label=Number(value=number)) for number in range(2 * BATCH_ROWS + 3)]
    scores = scores_of([METRICS["spearman"]], Means())
    assert scores is not None
    for start in range(0, len(clips), 100):
        piece = clips[start : start + 100]
        scores.add(piece, [an_attempt(clip.clip_id, text=clip.clip_id) for clip in piece])
    values = scores.by_source()["numbers"]
    assert np.array_equal(values[:, 0], np.arange(len(clips)))
    assert (values[0, 2], values[0, 3]) == (0, len(clips) - 1)


def of_values(values: list[float], videos: list[int]) -> Outcomes:
    numbers = np.arange(len(values), dtype=np.uint64)
    columns = {"rouge_l": np.array(values).reshape(-1, 1)}
    return Outcomes(numbers, np.array(videos, np.uint64), numbers, np.zeros(len(values), np.uint8), columns=columns)


def test_a_bootstrap_resamples_videos_and_not_clips() -> None:
    draw = np.random.default_rng(1)
    values = np.repeat(draw.random(20), 10)
    alone, together = (of_values(values.tolist(), videos) for videos in (list(range(200)), np.repeat(range(20), 10).tolist()))
    low, high = bootstrap(METRICS["rouge_l"], alone)
    wide_low, wide_high = bootstrap(METRICS["rouge_l"], together)
    spread = values.std() * 1.96
    assert high - low == pytest.approx(2 * spread / np.sqrt(200), rel=0.15)
    assert wide_high - wide_low == pytest.approx(2 * spread / np.sqrt(20), rel=0.15)
    assert bootstrap(METRICS["rouge_l"], of_values([0.5, 0.6], [3, 3])) == (0.0, 1.0), "one video says nothing about others"


def test_two_models_are_tested_on_their_scores() -> None:
    videos = list(range(12))
    old = of_values([0.5] * 12, videos)
    better = compare("a", METRICS["rouge_l"], old, of_values([0.6] * 11 + [0.4], videos))
    assert (better.won, better.lost, better.gain) == (11, 1, pytest.approx(1 / 12))
    assert better.p == pytest.approx((1 + 12) / 2**12), "of equal sizes it is the sign test"
    assert compare("a", METRICS["rouge_l"], old, old).p == 1.0


def test_a_rank_correlation_is_tested_by_resampling_and_less_error_is_better() -> None:
    labels = [float(number) for number in range(30)]
    right = scored([str(number) for number in range(30)], labels)
    wrong = scored([str((7 * number) % 30) for number in range(30)], labels)
    assert compare("a", METRICS["spearman"], wrong, right).p < 0.01
    assert compare("a", METRICS["spearman"], right, wrong).p > 0.9
    gain = compare("a", METRICS["relative_l2"], wrong, right)
    assert gain.gain > 0, "the error fell"
    assert gain.p < 0.01
