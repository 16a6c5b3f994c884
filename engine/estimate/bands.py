"""Bands: numbers that are known within bounds, with the value that is expected."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True, slots=True)
class Band:
    """Band(low=0.2, expected=0.4, high=0.6). Nothing in an estimate is negative."""

    low: float
    expected: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.expected <= self.high < float("inf"):
            raise ValueError(f"{self.low:g}:{self.expected:g}:{self.high:g}: give low <= expected <= high, none below 0")

    def __add__(self, other: "Band") -> "Band":
        return Band(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def __mul__(self, other: "Band | float") -> "Band":
        """
        >>> Band(1, 2, 3) * 2.0, Band(1, 2, 3) * Band(0, 1, 10)
        (Band(low=2.0, expected=4.0, high=6.0), Band(low=0, expected=2, high=30))
        """
        other = other if isinstance(other, Band) else exactly(other)
        return Band(self.low * other.low, self.expected * other.expected, self.high * other.high)

    def __truediv__(self, other: "Band | float") -> "Band":
        """
        >>> Band(1, 2, 3) / Band(1, 2, 4)
        Band(low=0.25, expected=1.0, high=3.0)
        """
        other = other if isinstance(other, Band) else exactly(other)
        return Band(self.low / other.high, self.expected / other.expected, self.high / other.low)

    @property
    def rest(self) -> "Band":
        """What a share leaves: Band(0.2, 0.4, 0.5).rest is Band(0.5, 0.6, 0.8)."""
        return Band(max(0.0, 1 - self.high), max(0.0, 1 - self.expected), max(0.0, 1 - self.low))

    def at_least(self, other: "Band") -> "Band":
        """The larger one of both at each of the three values."""
        return Band(max(self.low, other.low), max(self.expected, other.expected), max(self.high, other.high))

    def at_most(self, bound: float) -> "Band":
        return Band(min(self.low, bound), min(self.expected, bound), min(self.high, bound))

    @property
    def is_exact(self) -> bool:
        return self.low == self.high


def exactly(value: float) -> Band:
    return Band(value, value, value)


NOTHING = exactly(0.0)


def total(bands: Iterable[Band]) -> Band:
    """
    >>> total([Band(1, 2, 3), Band(1, 1, 1)])
    Band(low=2.0, expected=3.0, high=4.0)
    """
    return sum(bands, start=NOTHING)


def around(values: Sequence[float], spread: float) -> Band:
    """The mean of measured values, within their ends, and at least within a share `spread` of the mean.

    >>> around([2.0, 4.0], 0.1), around([10.0], 0.1)
    (Band(low=2.0, expected=3.0, high=4.0), Band(low=9.0, expected=10.0, high=11.0))
    """
    mean = sum(values) / len(values)
    return Band(min(*values, mean * (1 - spread)), mean, max(*values, mean * (1 + spread)))


def at_all_corners(function: Callable[..., float], bands: Sequence[Band]) -> Band:
    """A function of numbers, at the bands' values, where it is not known which of them make it larger.

    >>> at_all_corners(lambda share: share * (1 - share), [Band(0.1, 0.5, 0.6)])
    Band(low=0.09000000000000001, expected=0.25, high=0.25)
    """
    expected = function(*(band.expected for band in bands))
    values = [expected, *(function(*corner) for corner in product(*((band.low, band.high) for band in bands)))]
    return Band(min(values), expected, max(values))


def at_corners(function: Callable[..., float], rising: Sequence[Band], falling: Sequence[Band]) -> Band:
    """A function of numbers, at the bands' values: `rising` ones make it larger, `falling` ones smaller.

    >>> at_corners(lambda work, speed: work / speed, [Band(1, 2, 3)], [Band(1, 2, 4)])
    Band(low=0.25, expected=1.0, high=3.0)
    """
    low = function(*(band.low for band in rising), *(band.high for band in falling))
    expected = function(*(band.expected for band in (*rising, *falling)))
    high = function(*(band.high for band in rising), *(band.low for band in falling))
    return Band(low, expected, high)
