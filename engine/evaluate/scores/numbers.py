"""The number that an answer gives and the label's, with the range of the set's labels: Spearman's rho and R-l2 of scores."""

from collections.abc import Sequence

import numpy as np

from engine.evaluate.scores import Array, Means, Row, Source
from engine.labels import Number
from engine.language.answer import Answer
from engine.language.counts import answered_number
from engine.language.numbers import numbers
from engine.rows import Attempt, Clip


def measure(rows: Sequence[Row]) -> Array:
    """Columns given, label, label, label. The label is NaN where it is no number: then the clip counts in no figure."""
    pairs = [
        (_given(clip, attempt), clip.label.value) if isinstance(clip.label, Number) else (np.nan, np.nan) for clip, attempt in rows
    ]
    given, gold = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    return np.stack([given, gold, gold, gold], axis=1)


def _given(clip: Clip, attempt: Attempt) -> float:
    """The number that the answer gives, whatever the verifier reads in it; NaN where it gives no single one."""
    if attempt.outcome == "failed":
        return np.nan
    answer = Answer(attempt.text, clip.question)
    number = answered_number(answer, clip.question, numbers(answer))
    return np.nan if number is None else float(number.value)


def whole(values: Array) -> Array:
    """With the lowest and the highest label in the last two columns."""
    if not np.isnan(values[:, 1]).all():
        values[:, 2] = np.where(np.isnan(values[:, 1]), np.nan, np.nanmin(values[:, 1]))
        values[:, 3] = np.where(np.isnan(values[:, 1]), np.nan, np.nanmax(values[:, 1]))
    return values


def build(source: str, means: Means) -> Source:
    return Source(4, measure, whole)
