"""Which split a row belongs to: the one that it names, under any of the usual names; else by its video's share."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from engine.config import Data
from engine.quantities import quantity

DEFAULT_SHARE = 0.1
"""Share of the videos that are held out where neither manifest nor configuration says anything."""
NAMED = 8
"""Splits that an error names."""
HELDOUT_NAMES = "val, valid, validation, dev, test, eval, heldout"
_HELDOUT = re.compile(
    r"(?<![a-z])(?:val|valid|validate|validation|dev|eval|evaluate|evaluation|held[-_ ]?out|hold[-_ ]?out)(?![a-z])"
)
_TEST = re.compile(r"(?<![a-z])(?:test|testing)(?![a-z])")
_TRAIN = re.compile(r"(?<![a-z])(?:train|training)(?![a-z])")


def refuse_empty(sizes: Mapping[str, int], splits: Sequence[str]) -> None:
    """Raises ValueError where a split that is needed has no clips."""
    for split in splits:
        if not sizes.get(split, 0):
            key = "data.test" if split == "test" else "data.heldout"
            names = "train, heldout, test" if split == "test" else "train, heldout"
            raise ValueError(
                f"the manifest has no clips in split {split!r}; fill in its split column ({names}), "
                f"or choose another {key}, e.g. 0.2, for a manifest without that column"
            )


def split_named(name: str) -> str:
    """train, heldout or test, as a word of the name says; "" if none does, or one says train and another one does not.

    >>> [split_named(name) for name in ("Training", "EPIC_100_validation.csv", "latest", "train/val", "test-0", "val_test")]
    ['train', 'heldout', '', '', 'test', 'heldout']
    """
    words = name.casefold()
    is_heldout, is_test, is_train = (bool(of_split.search(words)) for of_split in (_HELDOUT, _TEST, _TRAIN))
    if is_train:
        return "" if is_heldout or is_test else "train"
    return "heldout" if is_heldout else "test" if is_test else ""


def split_for(name: str, data: Data) -> str:
    """As split_named; what is called test is held out unless data.test sets a split of this name apart.

    >>> split_for("Testing", Data()), split_for("Testing", Data(test=0.0))
    ('heldout', 'test')
    """
    split = split_named(name)
    return "heldout" if split == "test" and data.test is None else split


class Division:
    """Decides the split of each row of a manifest: the split that it names; else its video's share decides."""

    def __init__(self, data: Data, names: Callable[[], Iterable[str]]) -> None:
        """`names`: what each row names, read again from the first at each call."""
        self._data, self._names = data, names
        self.setting = data.heldout
        self.is_default = False
        """Whether neither manifest nor configuration says which clips are held out, so that DEFAULT_SHARE does."""
        self.is_mixed = False
        """Whether a row has named its split."""
        self.smallest: float | None = None
        """The smallest share of a video whose split was not named; None if all were."""

    def split_of(self, row: Mapping[str, Any], named: str, video_share: float) -> str:
        """`named`: the split in the row, "" for none. `video_share`: 0..1. Raises ValueError for a name that says no split."""
        if named:
            if not (split := split_for(named, self._data)):
                raise ValueError(self._unknown(named))
            self.is_mixed = True
            return split
        self.smallest = video_share if self.smallest is None else min(video_share, self.smallest)
        if video_share < (heldout := self.share(row)):
            return "heldout"
        return "test" if video_share < heldout + (self._data.test or 0.0) else "train"

    @property
    def by_share(self) -> bool:
        """Whether shares of the videos decide where rows name no split. It may read the rows' names of splits."""
        if self._data.test:
            return True
        return self.setting > 0 if self.setting is not None else self._names_none

    def share(self, row: Mapping[str, Any]) -> float:
        """The share of videos that is held out, for a row that names no split."""
        if self.setting is not None:
            return self.setting
        self.is_default = "split" not in row or self._names_none  # without the column, no row can name one
        return DEFAULT_SHARE if self.is_default else 0.0

    @cached_property
    def _names_none(self) -> bool:
        return not any(self._names())

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter(name for name in self._names() if name)

    def _unknown(self, named: str) -> str:
        names = ", ".join(f"{name!r} ({quantity(count, 'row')})" for name, count in self._counts.most_common(NAMED))
        more = f" and {len(self._counts) - NAMED} more" if len(self._counts) > NAMED else ""
        return (
            f"split {named!r} is neither train nor held out ({HELDOUT_NAMES}); the splits are {names}{more}: rename them, or say "
            "with --split train or --split heldout what all rows are"
        )
