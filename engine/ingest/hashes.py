"""64-bit hashes in arrays, by which millions of clips are counted; the last two bits of some say which split the clip is in."""

import hashlib
import mmap
from array import array
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

CHUNK = 1 << 17
SHARE_BITS = 5
"""The first bits of a hash, by which its share of all is sorted."""
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

    One long array would be copied as it grows. Each chunk is a mapping of its own, not a part of the heap, so what the card of one
    reading took is the system's again before the next one: there freed chunks stayed, with the rows' objects between them.

    >>> hashes = Hashes()
    >>> for number in (7, 3, 7):
    ...     hashes.append(number)
    >>> len(hashes), hashes.values().tolist(), ordered(hashes).tolist()
    (3, [7, 3, 7], [3, 7, 7])
    """

    def __init__(self) -> None:
        self._mapped: list[memoryview] = []
        self._free = 0
        """Places in the last chunk."""

    def __len__(self) -> int:
        return CHUNK * len(self._mapped) - self._free

    def append(self, number: int) -> None:
        if not self._free:
            self._mapped.append(memoryview(mmap.mmap(-1, 8 * CHUNK, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)).cast("Q"))
            self._free = CHUNK
        self._mapped[-1][CHUNK - self._free] = number
        self._free -= 1

    def values(self) -> NDArray[np.uint64]:
        """A copy, in one piece."""
        return np.concatenate([np.empty(0, np.uint64), *self.chunks()])

    def chunks(self) -> list[NDArray[np.uint64]]:
        """Views of them."""
        views = [np.frombuffer(chunk, np.uint64) for chunk in self._mapped]
        return [*views[:-1], *(view[: CHUNK - self._free] for view in views[-1:])]


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


def shares(hashes: Hashes) -> Iterator[NDArray[np.uint64]]:
    """The same, a share after another: an order of all at once takes as much memory as the hashes."""
    shift = np.uint64(64 - SHARE_BITS)
    for share in range(1 << SHARE_BITS):
        values = np.concatenate([np.empty(0, np.uint64), *(chunk[chunk >> shift == share] for chunk in hashes.chunks())])
        values.sort()
        yield values


def starts(values: NDArray[np.uint64]) -> NDArray[np.intp]:
    """The index at which each run of equal values begins."""
    return np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])[: len(values)])


def in_several(hashes: Hashes) -> list[int]:
    """The hashes, without their splits, that are there with several splits."""
    several = list[int]()
    for values in shares(hashes):
        differ = values[1:] ^ values[:-1]
        several += [int(value) << 2 for value in np.unique(values[1:][(differ > 0) & (differ <= 3)] >> np.uint64(2))]
    return several
