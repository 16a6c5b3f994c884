"""How many texts are nearly the same as one before them? Counted, never dropped: a model that repeats itself shows here."""

import hashlib
from array import array

import numpy as np

from engine.language.words import words

SHINGLE_WORDS = 4
SMALLEST = 3
"""Hashes that make a band's key: two texts share it if they share most of their shingles."""
BANDS = (b"first", b"second")


class Duplicates:
    """16 bytes a text. Near-duplicates have, in one of two orders, the same smallest shingles (MinHash, banded)."""

    def __init__(self) -> None:
        self._keys = [array("Q") for _ in BANDS]

    def add(self, text: str) -> None:
        said = words(text)
        shingles = {" ".join(said[i : i + SHINGLE_WORDS]) for i in range(max(1, len(said) - SHINGLE_WORDS + 1))}
        for salt, keys in zip(BANDS, self._keys, strict=True):
            smallest = sorted(_hash(salt, shingle) for shingle in shingles)[:SMALLEST]
            keys.append(_hash(salt, repr(smallest)))

    def count(self) -> int:
        """Texts with a near-duplicate before them.

        >>> seen = Duplicates()
        >>> for text in ("He runs, leaps and dives.", "he runs leaps and dives", "She sits down and sings."):
        ...     seen.add(text)
        >>> seen.count()
        1
        """
        again = np.zeros(len(self._keys[0]), dtype=bool)
        for keys in self._keys:
            values = np.frombuffer(keys, np.uint64)
            _, first = np.unique(values, return_index=True)
            is_first = np.zeros(len(values), dtype=bool)
            is_first[first] = True
            again |= ~is_first
        return int(again.sum())


def _hash(salt: bytes, text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=salt).digest(), "big")
