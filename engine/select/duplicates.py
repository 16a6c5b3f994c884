"""How many texts are nearly the same as an earlier one? They are counted, never dropped: a model that repeats itself shows here."""

import hashlib
from array import array

import numpy as np

from engine.language.words import words

SHINGLE_WORDS = 4
KEY_HASHES = 3
"""Smallest hashes that make a text's key: two texts have the same key if they share most of their shingles."""
SALTS = (b"first", b"second")
"""One key of a text for each."""


class Duplicates:
    """Counts near-duplicates: texts with the same smallest shingle hashes under either of two salts (MinHash, banded).

    Holds 16 bytes a text.
    """

    def __init__(self) -> None:
        self._keys = [array("Q") for _ in SALTS]

    def add(self, text: str) -> None:
        text_words = words(text)
        shingles = {" ".join(text_words[i : i + SHINGLE_WORDS]) for i in range(max(1, len(text_words) - SHINGLE_WORDS + 1))}
        encoded = [shingle.encode("utf-8", "surrogatepass") for shingle in shingles]
        for salt, keys in zip(SALTS, self._keys, strict=True):
            smallest = sorted([_hash(salt, shingle) for shingle in encoded])[:KEY_HASHES]
            key = repr([int.from_bytes(digest, "big") for digest in smallest])
            keys.append(int.from_bytes(_hash(salt, key.encode()), "big"))

    def count(self) -> int:
        """The number of texts that have a near-duplicate before them.

        >>> duplicates = Duplicates()
        >>> for text in ("He runs, leaps and dives.", "he runs leaps and dives", "She sits down and sings."):
        ...     duplicates.add(text)
        >>> duplicates.count()
        1
        """
        is_duplicate = np.zeros(len(self._keys[0]), dtype=bool)
        for keys in self._keys:
            values = np.frombuffer(keys, np.uint64)
            _, first = np.unique(values, return_index=True)
            is_first = np.zeros(len(values), dtype=bool)
            is_first[first] = True
            is_duplicate |= ~is_first
        return int(is_duplicate.sum())


def _hash(salt: bytes, text: bytes) -> bytes:
    """8 bytes, big-endian: they sort as the numbers that they are."""
    return hashlib.blake2b(text, digest_size=8, key=salt).digest()
