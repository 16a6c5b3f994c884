"""Metrics that are no means: rank correlation, relative error, BLEU of a corpus, and the two averages of several scores a clip.

Each takes values[N,K] and counts[N], how often each clip counts: a resample of the bootstrap gives other counts.
"""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
ORDERS = 4
"""BLEU's n-grams: up to four words."""


def spearman(values: Array, counts: Array) -> float:
    """Spearman's rank correlation of columns 0 (given) and 1 (label), with mean ranks for ties; 0.0 where either is constant.

    A resample may hold none of the clips that have a number: 0.0 then, too.

    >>> spearman(np.array([[1.0, 10.0], [2.0, 30.0], [3.0, 20.0]]), np.ones(3))
    0.5
    """
    pairs = values[~np.isnan(values[:, :2]).any(axis=1)]
    counts = counts[~np.isnan(values[:, :2]).any(axis=1)]
    if len(pairs) < 2 or not counts.any():
        return 0.0
    ranks = np.stack([_ranks(pairs[:, column], counts) for column in (0, 1)])
    centred = ranks - np.average(ranks, axis=1, weights=counts)[:, None]
    variances = (centred**2 * counts).sum(axis=1)
    if not variances.all():
        return 0.0
    return float((centred[0] * centred[1] * counts).sum() / math.sqrt(float(variances[0] * variances[1])))


def _ranks(values: Array, counts: Array) -> Array:
    """Mean ranks, where each value stands so often."""
    own, numbers = np.unique(values, return_inverse=True)
    of_each = np.bincount(numbers, weights=counts, minlength=len(own))
    after = np.cumsum(of_each)
    ranks: Array = (after - (of_each - 1) / 2)[numbers]
    return ranks


def relative_l2(values: Array, counts: Array) -> float:
    """R-l2 of action quality assessment: 100 times the mean of ((given - label) / range)^2; columns given, label, lowest, highest.

    The range is that of the set's labels, as in FineDiving and CoRe. An answer without a number errs by the whole range.

    >>> relative_l2(np.array([[50.0, 60.0, 0.0, 100.0], [np.nan, 0.0, 0.0, 100.0]]), np.ones(2))
    50.5
    """
    spread = values[:, 3] - values[:, 2]
    errors = np.where(spread > 0, (values[:, 0] - values[:, 1]) / np.where(spread > 0, spread, 1.0), 0.0)
    errors = np.where(np.isnan(errors), 1.0, errors)
    return float(100 * np.average(errors**2, weights=counts))


def bleu(values: Array, counts: Array) -> float:
    """BLEU of the corpus, 0..100, from its sums: matches and n-grams of each order, then the words of answers and of references."""
    from sacrebleu.metrics.bleu import BLEU  # optional: the extra "metrics"

    sums = [round(total) for total in (counts @ values).tolist()]
    matches, totals, (given, wanted) = sums[:ORDERS], sums[ORDERS : 2 * ORDERS], sums[2 * ORDERS :]
    return float(BLEU.compute_bleu(matches, totals, given, wanted, smooth_method="exp").score)


def mean_of_all(values: Array, counts: Array) -> float:
    """Over all scores of all clips: the average that PLLaVA reports as 3.12.

    >>> mean_of_all(np.array([[3.0, np.nan], [3.0, np.nan], [3.0, 1.0]]), np.ones(3))
    2.5
    """
    given = ~np.isnan(values)
    return float((np.nansum(values, axis=1) * counts).sum() / (given.sum(axis=1) * counts).sum())


def mean_of_columns(values: Array, counts: Array) -> float:
    """The plain mean of the columns' means, of those that have a value: 2.99 of the same answers.

    >>> mean_of_columns(np.array([[3.0, np.nan], [3.0, np.nan], [3.0, 1.0]]), np.ones(3))
    2.0
    """
    given = ~np.isnan(values)
    totals = counts @ given
    means = (counts @ np.nan_to_num(values))[totals > 0] / totals[totals > 0]
    return float(means.mean())
