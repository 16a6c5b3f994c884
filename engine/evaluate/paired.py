"""Is one model better than another on the same clips? A paired test with videos as its units, and how small a gain it can show.

Where a model is no better, the difference of a video is as often for it as against it: the p-value is the share of all signs of the
videos' differences that give a sum as large. Where every video with a difference has one clip, that is McNemar's exact test. Of a
metric that is no mean, such as a rank correlation, it is the share of resamples of the videos that show no gain.
"""

import itertools
import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from engine.evaluate.intervals import resamples
from engine.evaluate.metrics import Metric
from engine.evaluate.outcomes import FAILED, Outcomes

LARGEST_SUM = 20_000
"""Up to this sum of the videos' differences, in clips, all signs are counted; beyond it, DRAWS of them are drawn."""
DRAWS = 99_999
"""With the observed signs among them, the test keeps its level."""
FEW_SIZES, FEWER_DRAWS = 200, 9_999
"""Of more sizes than these, which scores have and shares have not, fewer signs are drawn: seconds, not minutes."""
POWER = 0.8
SPOILED = 0.1
"""Share of the clips that a better model answers right no more, where nothing is measured yet: the gain is over it."""
LARGEST_EXACT = 1000
"""Videos up to which a gain is computed exactly; from there it falls with the square root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Comparison(step="base/evaluate", clips=200, videos=200, won=120, lost=0, gain=0.6, p=7.5e-37)"""

    step: str
    """The evaluation that was compared with."""
    clips: int
    """Clips that both models answered; one that failed for either says nothing about them."""
    videos: int
    won: int
    """Clips that the new model answered better; of a share, those that only it answered right."""
    lost: int
    """Clips that the other one answered better."""
    gain: float
    """Of the metric, on these clips."""
    p: float
    """One-sided: how often a model that is no better does as well."""


def compare(step: str, metric: Metric, old: Outcomes, new: Outcomes) -> Comparison:
    """`old` and `new`: of the same clips, in any order."""
    old, new = old.sorted(), new.sorted()
    assert np.array_equal(old.ids, new.ids), f"{step} asked about other clips"
    both = (old.states != FAILED) & (new.states != FAILED) & metric.counted(old) & metric.counted(new)
    old, new = (own.taken(np.flatnonzero(both)) for own in (old, new))
    gain, p = _of_statistic(metric, old, new) if metric.statistic else _of_mean(metric, old, new)
    differences = _differences(metric, old, new)
    return Comparison(
        step=step,
        clips=len(new.ids),
        videos=new.num_videos,
        won=int((differences > 0).sum()),
        lost=int((differences < 0).sum()),
        gain=gain,
        p=p,
    )


def _differences(metric: Metric, old: Outcomes, new: Outcomes) -> NDArray[np.float64]:
    """By how much each clip is better; of a statistic, whose clips have no number of their own, by their verdicts."""
    if metric.statistic:
        return new.right - old.right
    return (metric.values(new) - metric.values(old)) * (-1 if metric.falls else 1)


def _of_mean(metric: Metric, old: Outcomes, new: Outcomes) -> tuple[float, float]:
    gains = metric.weights(new) * _differences(metric, old, new)
    return float(gains.sum()), sign_test(new.by_video(gains))


def _of_statistic(metric: Metric, old: Outcomes, new: Outcomes) -> tuple[float, float]:
    sign, before, after = -1 if metric.falls else 1, metric.of(old), metric.of(new)

    def gain(counts: NDArray[np.float64]) -> float:
        return sign * (after(counts) - before(counts))

    if new.num_videos < 2:
        return gain(np.ones(len(new.ids))), 1.0
    drawn = np.array([gain(counts) for counts in resamples(new)])
    return gain(np.ones(len(new.ids))), float((1 + (drawn <= 0).sum()) / (1 + len(drawn)))


def sign_test(differences: NDArray[np.float64]) -> float:
    """The share of all signs of the differences whose sum is at least the given one.

    Exact where the differences are multiples of the smallest one, as numbers of clips are. By label they are not: then drawn.

    >>> differences = [1.0, 1.0, 1.0, 0.0, -1.0], [0.0], [1.0] * 9 + [3.0]
    >>> [round(sign_test(np.array(of_videos)), 3) for of_videos in differences]
    [0.312, 1.0, 0.001]
    """
    nonzero = differences[np.abs(differences) > 1e-12]
    if not len(nonzero):
        return 1.0
    units = np.round(nonzero / np.abs(nonzero).min(), 9)
    sizes, counts = np.unique(np.abs(units), return_counts=True)
    if (sizes == np.round(sizes)).all() and (len(sizes) == 1 or np.dot(sizes, counts) <= LARGEST_SUM):
        return _counted(sizes.astype(np.int64), counts, int(units.sum()))
    draws = DRAWS if len(sizes) <= FEW_SIZES else FEWER_DRAWS
    draw, sums = np.random.default_rng(0), np.zeros(draws)
    for size, count in zip(sizes, counts, strict=True):
        sums += size * (2.0 * draw.binomial(count, 0.5, draws) - count)
    return float(1 + (sums >= units.sum() - 1e-7).sum()) / (1 + draws)


def _counted(sizes: NDArray[np.int64], counts: NDArray[np.intp], observed: int) -> float:
    """As sign_test, of so many differences of each size: the distribution of the sum of the positive ones."""
    masses = np.ones(1)
    for size, count in zip(sizes, counts, strict=True):
        of_size = np.zeros(size * count + 1)
        of_size[::size] = _masses(int(count), 0.5)
        masses = np.convolve(masses, of_size)
    return float(min(1.0, masses[(observed + len(masses) - 1) // 2 :].sum()))


def upper_tail(trials: int, least: int, chance: float = 0.5) -> float:
    """How often at least so many of the trials succeed.

    >>> round(upper_tail(10, 9), 6), upper_tail(3, 0)
    (0.010742, 1.0)
    """
    if least <= 0:
        return 1.0
    if least > trials:
        return 0.0
    return float(min(1.0, _masses(trials, chance)[least:].sum()))


@cache
def _log_factorials(number: int) -> NDArray[np.float64]:
    """Of 0, 1, ... below the number."""
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, number)))])


def _masses(trials: int, chance: float) -> NDArray[np.float64]:
    """The binomial distribution: the probability of 0, 1, ... successes."""
    log_factorials, successes = _log_factorials(1 << max(10, trials.bit_length()))[: trials + 1], np.arange(trials + 1)
    log_ways = log_factorials[trials] - log_factorials - log_factorials[::-1]
    masses: NDArray[np.float64] = np.exp(log_ways + successes * math.log(chance) + (trials - successes) * math.log1p(-chance))
    return masses


def power(videos: int, gain: float, level: float, spoiled: float = SPOILED) -> float:
    """How often a true gain is seen at the level, on so many videos with a clip each, where a share of the clips is spoiled.

    >>> round(power(1000, 0.05, 0.025), 3)
    0.876
    """
    better, different = gain + spoiled, gain + 2 * spoiled
    masses = _masses(videos, different)
    likely = np.flatnonzero(masses > 1e-9).tolist()
    return float(sum(masses[count] * upper_tail(count, least_won(count, level), better / different) for count in likely))


def least_won(different: int, level: float) -> int:
    """How many of so many clips with a difference a model has to win; more than all of them where no number is enough.

    >>> least_won(6, 0.025), least_won(5, 0.025)
    (6, 6)
    """
    tails = np.cumsum(_masses(different, 0.5)[::-1])[::-1]
    enough = np.flatnonzero(tails <= level)
    return int(enough[0]) if len(enough) else different + 1


@cache
def smallest_gain(videos: int, level: float, spoiled: float = SPOILED) -> float | None:
    """The least gain, to a thousandth, that is seen with the probability POWER; None where no gain is.

    >>> smallest_gain(1000, 0.025), smallest_gain(200, 0.025), smallest_gain(5, 0.025)
    (0.045, 0.114, None)
    """
    if videos > LARGEST_EXACT:
        least = smallest_gain(LARGEST_EXACT, level, spoiled)
        assert least is not None
        return math.ceil(least * math.sqrt(LARGEST_EXACT / videos) * 1e4) / 1e4
    low, high = 0, math.floor((1 - 2 * spoiled) * 1000)
    if power(videos, high / 1000 - 1e-9, level, spoiled) < POWER:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(videos, middle / 1000, level, spoiled) >= POWER else (middle, high)
    return high / 1000


@cache
def fewest_videos(level: float, spoiled: float = SPOILED) -> int:
    """The least number of videos that show any gain.

    >>> fewest_videos(0.025)
    12
    """
    return next(videos for videos in itertools.count(1) if smallest_gain(videos, level, spoiled) is not None)
