"""Which texts are nearly the same as others? They are counted, since that shows a model that repeats itself, or capped."""

import hashlib
from array import array
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engine.language.words import words

SHINGLE_WORDS = 4
KEY_HASHES = 3
"""Smallest hashes that make a text's key: two texts have the same key if they share most of their shingles."""
SALTS = ("first", "second")
"""One key of a text for each."""
RUNS, FEWEST_IN_RUN = 32, 1 << 14
"""Keys are ordered by so many stretches: an order of all of them at once takes four times the memory of the keys."""
AT_ONCE = 256
"""Texts whose keys are made together: arrays of so many stay in the processor's cache."""
LETTERS = np.array([code if code >= 128 else ord(chr(code).lower()) if chr(code).isalnum() else 0 for code in range(256)], np.uint8)
"""Each byte of a word without case; 0 for what is between words. The bytes of what is not ASCII are letters."""
TAKEN = np.uint64(2**64 - 1)
FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""Odd, with bits in no pattern: a product's high bits depend on all bits of what is multiplied."""


class Duplicates:
    """Counts near-duplicates: texts with the same smallest shingle hashes under either of two salts (MinHash, banded).

    Holds 16 bytes a text, and in `capped` 32 more.
    """

    def __init__(self) -> None:
        self._keys = [array("Q") for _ in SALTS]
        self._texts: list[str] = []
        """Texts that have no keys yet: numpy takes as long for one as for many."""

    def add(self, text: str) -> None:
        self._texts.append(text)
        if len(self._texts) >= AT_ONCE:
            self._settle()

    def _settle(self) -> None:
        texts, self._texts = self._texts, []
        if not texts:
            return
        numbers, shingles = shingles_of(texts)
        for salt, keys in zip(SALTS, self._keys, strict=True):
            keys.frombytes(_keys_of(numbers, mixed(shingles ^ np.uint64(_hash(salt))), len(texts)).tobytes())

    def count(self) -> int:
        """The number of texts that have a near-duplicate before them.

        >>> duplicates = Duplicates()
        >>> for text in ("He runs, leaps and dives.", "he runs leaps and dives", "She sits down and sings."):
        ...     duplicates.add(text)
        >>> duplicates.count()
        1
        """
        self._settle()
        return int(np.logical_or.reduce([repeated(np.frombuffer(keys, np.uint64)) for keys in self._keys]).sum())

    def capped(self, most: int, ranks: Sequence[int]) -> NDArray[np.bool_]:
        """Which texts stay where at most so many of each group of near-duplicates do: those of the lowest ranks, one for each text.

        A group has every text that is a near-duplicate of another one in it.

        >>> duplicates = Duplicates()
        >>> run = "He runs, leaps and dives."
        >>> for text in (run, run.lower(), "She sits down and sings.", run):
        ...     duplicates.add(text)
        >>> duplicates.capped(2, [7, 1, 9, 3]).tolist()
        [False, True, True, True]
        """
        groups = self._groups()
        order = np.lexsort((np.asarray(ranks, np.uint64), groups))
        _, starts, sizes = np.unique(groups[order], return_index=True, return_counts=True)
        place = np.arange(len(order)) - np.repeat(starts, sizes)
        stays = np.zeros(len(order), dtype=bool)
        stays[order[place < most]] = True
        return stays

    def _groups(self) -> NDArray[np.intp]:
        """For each text the number of the first text of its group."""
        self._settle()
        groups = np.arange(len(self._keys[0]))
        inverses = [np.unique(np.frombuffer(keys, np.uint64), return_inverse=True)[1] for keys in self._keys]
        while True:
            before = groups.copy()
            for inverse in inverses:
                first = np.full(inverse.max(initial=-1) + 1, len(groups))
                np.minimum.at(first, inverse, groups)
                groups = first[inverse]
            if np.array_equal(before, groups):
                return groups


def repeated(values: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which values are there before.

    >>> repeated(np.array([7, 3, 7, 3, 9], np.uint64)).tolist()
    [False, False, True, True, False]
    """
    is_repeated = np.ones(len(values), dtype=bool)
    known = list[NDArray[np.uint64]]()
    length = max(FEWEST_IN_RUN, -(-len(values) // RUNS))
    for start in range(0, len(values), length):
        distinct, first = np.unique(values[start : start + length], return_index=True)
        is_new = np.ones(len(distinct), dtype=bool)
        for before in known:
            is_new &= before[np.minimum(np.searchsorted(before, distinct), len(before) - 1)] != distinct
        is_repeated[start + first[is_new]] = False
        if is_new.any():
            known.append(distinct[is_new])
    return is_repeated


def shingles_of(texts: Sequence[str]) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
    """A hash for each run of SHINGLE_WORDS words of each text (of all its words where it has fewer), and the text's number."""
    numbers, hashes = _words_of(texts)
    sizes = np.bincount(numbers, minlength=len(texts))
    left = np.cumsum(sizes)[numbers] - np.arange(len(numbers))
    """Words from each word to the end of its text."""
    width = np.minimum(SHINGLE_WORDS, sizes)[numbers]
    padded = np.append(hashes, np.zeros(SHINGLE_WORDS, np.uint64))
    shingles = hashes
    for start in range(1, SHINGLE_WORDS):
        shingles = np.where(start < width, mixed(shingles) + padded[start : start + len(hashes)], shingles)
    is_whole = left >= width
    return numbers[is_whole], shingles[is_whole]


def _words_of(texts: Sequence[str]) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
    """A hash of each word of each text, in order, and the text's number; a text without words has one of them, 0.

    Words are runs of letters and digits without case. Text that is not ASCII is folded, and cut where its script has no spaces.
    """
    data = [_folded(text).encode("utf-8", "surrogatepass") + b" " for text in texts]
    ends = np.cumsum([len(each) for each in data])
    letters = LETTERS[np.frombuffer(b"".join(data), np.uint8)]
    edges = np.flatnonzero(np.diff(letters > 0, prepend=False))
    starts, stops = edges[::2], edges[1::2]
    numbers = np.searchsorted(ends, starts, side="right")
    # a word's hash is the polynomial of its letters: a difference of sums over the batch, moved to the word's beginning
    powers, inverses = _powers(1 << len(letters).bit_length())
    sums = np.append(np.uint64(0), np.cumsum(letters * powers[: len(letters)]))
    hashes = mixed((sums[stops] - sums[starts]) * inverses[starts])
    wordless = np.flatnonzero(np.bincount(numbers, minlength=len(texts)) == 0)
    if not len(wordless):
        return numbers, hashes
    numbers, hashes = np.append(numbers, wordless), np.append(hashes, np.zeros(len(wordless), np.uint64))
    order = np.argsort(numbers, kind="stable")
    return numbers[order], hashes[order]


@lru_cache(maxsize=2)
def _powers(length: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """FACTOR to the power of 0, 1, 2 ... modulo 2 to the 64, and what undoes each of them."""
    inverse = pow(int(FACTOR), -1, 1 << 64)
    bases = (np.append(np.uint64(1), np.full(length - 1, base, np.uint64)) for base in (FACTOR, np.uint64(inverse)))
    powers, inverses = map(np.cumprod, bases)
    return powers, inverses


def _folded(text: str) -> str:
    return text if text.isascii() else " ".join(words(text))


def _keys_of(numbers: NDArray[np.intp], values: NDArray[np.uint64], num_texts: int) -> NDArray[np.uint64]:
    """Of each text a hash of its KEY_HASHES smallest distinct values. `numbers`: the text of each value, in order."""
    starts = np.searchsorted(numbers, np.arange(num_texts))
    keys = np.zeros(num_texts, np.uint64)
    for _ in range(KEY_HASHES):
        smallest = np.minimum.reduceat(values, starts)
        keys = mixed(keys) + smallest
        values = np.where(values == smallest[numbers], TAKEN, values)
    return keys


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Each value with its bits spread over all 64 (the finish of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * FACTOR
    return values ^ (values >> np.uint64(31))


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
