"""The interval of a metric, 95 %: Wilson's for shares, for as many independent clips as the videos are worth; else a bootstrap.

Clips of one video are right or wrong together, so 100 clips of 10 videos tell less than 100 clips of 100. How much less shows in
the variance between videos (the design effect); Wilson's interval for the effective number of clips is the one that covers well at
small counts and near 0 and 1 (Dean and Pagano, "Evaluating confidence interval methods for binomial proportions in clustered
surveys", 2015), with Student's quantile in place of the normal one where clips share videos. What is no share is computed again on
resamples of the videos, each with all its clips.
"""

import math
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from engine.evaluate.metrics import Metric, value_of
from engine.evaluate.outcomes import Outcomes

COVERAGE = 0.95
RESAMPLES = 1000
Z = NormalDist().inv_cdf(0.5 + COVERAGE / 2)


def interval(metric: Metric, outcomes: Outcomes) -> tuple[float, float]:
    """Lower and upper end; the metric's bounds where no clip has a value."""
    if not len(outcomes.ids) or not metric.counted(outcomes).any():
        return metric.bounds
    return _of_share(metric, outcomes) if metric.is_share else bootstrap(metric, outcomes)


def _of_share(metric: Metric, outcomes: Outcomes) -> tuple[float, float]:
    outcomes = outcomes.taken(np.flatnonzero(metric.counted(outcomes)))
    weights, value, num_videos = metric.weights(outcomes), value_of(metric, outcomes), outcomes.num_videos
    is_clustered = num_videos < len(outcomes.ids)
    residuals = outcomes.by_video(weights * (metric.values(outcomes) - value))
    variance = float(np.dot(residuals, residuals)) * (num_videos / (num_videos - 1) if is_clustered and num_videos > 1 else 1.0)
    of_clips = 1 / float(np.dot(weights, weights))
    of_videos = 1 / float(np.dot(shares := outcomes.by_video(weights), shares))
    # all right or all wrong says nothing about how alike the clips of a video are: then a video counts as one clip
    effective = min(of_clips, value * (1 - value) / variance) if variance > 1e-15 else of_videos
    quantile = student(num_videos - 1) if is_clustered else Z
    return wilson(value, effective, quantile)


def bootstrap(metric: Metric, outcomes: Outcomes) -> tuple[float, float]:
    """The middle 95 % of the metric on resamples of the videos; its bounds where there is one video."""
    if outcomes.taken(np.flatnonzero(metric.counted(outcomes))).num_videos < 2:
        return metric.bounds
    value = metric.of(outcomes)
    values = [value(counts) for counts in resamples(outcomes)]
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(values, (tail, 1 - tail))
    return float(low), float(high)


def resamples(outcomes: Outcomes) -> Iterator[NDArray[np.float64]]:
    """How often each clip counts in each resample of the videos; the same ones each time for the same clips."""
    draw, num_videos = np.random.default_rng(0), outcomes.num_videos
    for _ in range(RESAMPLES):
        of_videos = np.bincount(draw.integers(num_videos, size=num_videos), minlength=num_videos)
        yield of_videos[outcomes.video_numbers].astype(np.float64)


def wilson(share: float, count: float, quantile: float = Z) -> tuple[float, float]:
    """Wilson's score interval of a share of so many independent clips.

    >>> [round(end, 3) for end in wilson(1.0, 20)], [round(end, 3) for end in wilson(0.4, 200)]
    ([0.839, 1.0], [0.335, 0.469])
    """
    square = quantile**2 / count
    centre = (share + square / 2) / (1 + square)
    half = math.sqrt(square * (share * (1 - share) + square / 4)) / (1 + square)
    return max(0.0, centre - half), min(1.0, centre + half)


def student(freedom: int) -> float:
    """Student's quantile for COVERAGE: exact for 1 and 2 degrees of freedom, Cornish and Fisher's expansion above, within 1 %.

    >>> [round(student(freedom), 2) for freedom in (1, 2, 3, 5, 10, 1000)]
    [12.71, 4.3, 3.16, 2.57, 2.23, 1.96]
    """
    tail = (1 + COVERAGE) / 2
    if freedom <= 1:
        return math.tan(math.pi * (tail - 0.5))
    if freedom == 2:
        return (2 * tail - 1) * math.sqrt(2 / (4 * tail * (1 - tail)))
    z, v = Z, freedom
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / v + second / v**2 + third / v**3
