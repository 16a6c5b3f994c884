"""64-bit hashes in arrays, by which millions of clips are counted; the last two bits of some say which split the clip is in."""

import hashlib
from array import array

import numpy as np
from numpy.typing import NDArray

CHUNK = 1 << 13
SPLIT_BITS = {"train": 0, "heldout": 1, "test": 2}
"""The last two bits of a hash with its split."""


def hash_of(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def with_split(number: int, split: str) -> int:
    """The number with the split in its last two bits.

    >>> with_split(7, "train"), with_split(4, "heldout"), with_split(5, "test")
    (4, 5, 6)
    """
    return without_split(number) | SPLIT_BITS[split]


def without_split(number: int) -> int:
    """The number with its last two bits cleared."""
    return number & ~3


class Hashes:
    """Many hashes in the order in which they were appended: 8 bytes each, whose place in memory never moves.

    One long array would be copied as it grows, and leave holes behind it that nothing fits into.

    >>> hashes = Hashes()
    >>> for number in (7, 3, 7):
    ...     hashes.append(number)
    >>> len(hashes), hashes.values().tolist(), ordered(hashes).tolist()
    (3, [7, 3, 7], [3, 7, 7])
    """

    def __init__(self) -> None:
        self._full: list[array[int]] = []
        self._last = array("Q")

    def __len__(self) -> int:
        return CHUNK * len(self._full) + len(self._last)

    def append(self, number: int) -> None:
        self._last.append(number)
        if len(self._last) == CHUNK:
            self._full.append(self._last)
            self._last = array("Q")

    def values(self) -> NDArray[np.uint64]:
        """A copy, in one piece."""
        return np.concatenate(self.chunks())

    def chunks(self) -> list[NDArray[np.uint64]]:
        """Views of them, while nothing is appended."""
        return [np.frombuffer(chunk, np.uint64) for chunk in (*self._full, self._last)]


class Distinct:
    """Counts different hashes: 8 bytes for each different one, and as much again while it grows.

    >>> hashes = Distinct()
    >>> for number in (7, 3, 7):
    ...     hashes.append(number)
    >>> len(hashes)
    2
    """

    def __init__(self) -> None:
        self._known, self._last = np.empty(0, np.uint64), array("Q")

    def append(self, number: int) -> None:
        self._last.append(number)
        if len(self._last) >= max(CHUNK, len(self._known)):
            self._settle()

    def __len__(self) -> int:
        self._settle()
        return len(self._known)

    def _settle(self) -> None:
        self._known, self._last = np.union1d(self._known, np.frombuffer(self._last, np.uint64)), array("Q")


def ordered(hashes: Hashes) -> NDArray[np.uint64]:
    """The hashes, sorted."""
    values = hashes.values()
    values.sort()
    return values


def starts(values: NDArray[np.uint64]) -> NDArray[np.intp]:
    """The index at which each run of equal values begins."""
    return np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])[: len(values)])


def in_several(hashes: Hashes) -> list[int]:
    """The hashes, without their splits, that are there with several splits."""
    values = ordered(hashes)
    differ = values[1:] ^ values[:-1]
    return [int(value) << 2 for value in np.unique(values[1:][(differ > 0) & (differ <= 3)] >> np.uint64(2))]
