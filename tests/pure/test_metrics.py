"""Pins what an evaluation set is measured by, each with numbers that no other metric would give."""

import pytest

from builders import a_clip, an_attempt
from engine.evaluate.metrics import METRICS, metric_of

CLIPS = [a_clip("a", "rising"), a_clip("b", "rising"), a_clip("c", "rising"), a_clip("d", "sinking"), a_clip("e", "sinking")]


def test_accuracy_is_a_share_of_clips_and_a_failed_clip_is_wrong() -> None:
    metric = metric_of("accuracy")
    metric.add(CLIPS[:3], [an_attempt("a"), an_attempt("b"), an_attempt("c", outcome="failed", reason="missing")])
    metric.add(CLIPS[3:], [an_attempt("d", outcome="rejected", reason="label_missing"), an_attempt("e")])
    assert metric.value() == pytest.approx(3 / 5)


def test_accuracy_by_label_gives_each_label_the_same_weight() -> None:
    metric = metric_of("accuracy_by_label")
    metric.add(CLIPS[:3], [an_attempt("a"), an_attempt("b"), an_attempt("c")])
    metric.add(CLIPS[3:], [an_attempt("d"), an_attempt("e", outcome="rejected", reason="label_missing")])
    assert metric.value() == pytest.approx((1 + 1 / 2) / 2)


def test_no_clips_are_no_division_by_zero() -> None:
    assert [metric_of(name).value() for name in METRICS] == [0.0] * len(METRICS)


def test_an_unknown_metric_is_one_line_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="names the metric 'bleu'; known are accuracy, accuracy_by_label"):
        metric_of("bleu")
