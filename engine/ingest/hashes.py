"""64-bit hashes in arrays, by which millions of clips are counted; the last bit of some says whether the clip is held out."""

import hashlib
from array import array

import numpy as np
from numpy.typing import NDArray


def hash_of(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def with_split(number: int, split: str) -> int:
    """The number with its last bit set for a held-out clip, cleared for another one.

    >>> with_split(6, "heldout"), with_split(7, "train")
    (7, 6)
    """
    return number & ~1 | (split == "heldout")


def ordered(hashes: "array[int]") -> NDArray[np.uint64]:
    """The hashes, sorted in place; insertion order is not needed."""
    view = np.frombuffer(hashes, np.uint64)
    view.sort()
    return view


def starts(values: NDArray[np.uint64]) -> NDArray[np.intp]:
    """The index at which each run of equal values begins."""
    return np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])[: len(values)])


def in_both(hashes: "array[int]") -> list[int]:
    """The hashes, their last bit cleared, that are there with either last bit."""
    values = np.unique(ordered(hashes))
    return [int(value) for value in values[:-1][(values[1:] ^ values[:-1]) == 1]]
