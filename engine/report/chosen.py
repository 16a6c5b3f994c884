"""Which clips the report shows, where a run has more than fit: a seeded sample in which what is rare is shown whole. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEVER = -1
"""Stands for the ending of a clip that a step has not asked about."""


@dataclass(frozen=True, kw_only=True)
class Endings:
    """How the clips of a split ended: Endings(names=["kept direct", "dropped label_missing"], codes=[0, 0, 1, -1])"""

    names: Sequence[str]
    codes: NDArray[np.int16]
    """For each clip, in the split's order, the place of its ending in `names`, or NEVER."""

    def sizes(self) -> dict[str, int]:
        """Clips of each ending that has some."""
        counts = np.bincount(self.codes[self.codes != NEVER], minlength=len(self.names))
        return {name: int(count) for name, count in zip(self.names, counts, strict=True) if count}


@dataclass(frozen=True, slots=True)
class Place:
    """A clip that is shown: Place(3121, "dropped label_missing > kept direct")"""

    row: int
    """Its number in the split."""
    fate: str
    """How it ended in the first step that asked about it and, where that is another one, in the last."""


def fates(first: Endings, last: Endings) -> Endings:
    """Of each clip how it ended in two steps.

    >>> names, codes = ["dropped label_missing", "kept direct"], np.array([0, 1, -1, 1], np.int16)
    >>> of_both = fates(Endings(names=names, codes=codes), Endings(names=names, codes=np.array([1, 1, 1, -1], np.int16)))
    >>> of_both.names, of_both.codes.tolist()
    (['kept direct', 'dropped label_missing > kept direct'], [1, 0, 0, 0])
    """
    wide = len(last.names) + 1
    pairs, places = np.unique((first.codes.astype(np.int64) + 1) * wide + last.codes + 1, return_inverse=True)
    names, codes = list[str](), list[int]()
    for before, after in (divmod(int(pair), wide) for pair in pairs):
        ends = [name for name, is_there in ((first.names[before - 1], before), (last.names[after - 1], after)) if is_there]
        fate = " > ".join(dict.fromkeys(ends))
        if fate and fate not in names:
            names.append(fate)
        codes.append(names.index(fate) if fate else NEVER)
    return Endings(names=names, codes=np.array(codes, np.int16)[places])


def chosen(most: int, hashes: NDArray[np.uint64], of_clips: Endings) -> list[Place]:
    """The clips that are shown: first the first of each fate, then the second of each, and so on, the rarest fate first.

    Of each fate the clips with the smallest hashes are shown.
    """
    sizes = of_clips.sizes()
    order = sorted(sizes, key=lambda fate: (sizes[fate], fate))
    ranked = list[tuple[int, int, Place]]()
    for fate, quota in shared_out(most, sizes).items():
        rows = np.flatnonzero(of_clips.codes == of_clips.names.index(fate))
        drawn = rows[np.argsort(hashes[rows], kind="stable")[:quota]]
        ranked += [(number, order.index(fate), Place(int(row), fate)) for number, row in enumerate(drawn)]
    return [place for _, _, place in sorted(ranked, key=lambda entry: entry[:2])]


def shared_out(most: int, sizes: Mapping[str, int]) -> dict[str, int]:
    """Equal shares of `most`; what a small one does not need goes to the others.

    >>> shared_out(10, {"kept": 900, "dropped": 30, "failed": 2})
    {'failed': 2, 'dropped': 4, 'kept': 4}
    """
    quotas: dict[str, int] = {}
    left = most
    for number, (name, size) in enumerate(sorted(sizes.items(), key=lambda item: (item[1], item[0]))):
        quotas[name] = min(size, left // (len(sizes) - number))
        left -= quotas[name]
    return quotas
