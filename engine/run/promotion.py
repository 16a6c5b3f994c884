"""Which cycle is promoted, and when cycles stop paying: pure functions of the held-out accuracies and of the tests on them.

A model that is no better than the one before scores higher on a finite set about every other time. With loop.promote =
"significant" a cycle is promoted where it is better by a paired test (engine/evaluate/paired.py), whose level is such that a run in
which no cycle truly gains promotes one with a probability of at most FALSE_PROGRESS. With "last" every cycle is promoted,
which is a test at the level 1.
"""

from dataclasses import dataclass, replace

from engine.config import Loop

FALSE_PROGRESS = 0.05
"""Most probability of a promotion in a run without any true gain."""
EVERY_CYCLE = 1.0
"""A level that every cycle reaches."""
ROUNDING = 1e-9
"""Sums of shares that are equal may differ by less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Held-out accuracies so far: of the base, and of each evaluated cycle.

    History(base=0.4, cycles=(0.97, 0.96), only_direct=(False, True), tested=(True, False))
    """

    base: float
    cycles: tuple[float, ...]
    only_direct: tuple[bool, ...]
    """Whether each of these cycles finetuned on direct attempts alone."""
    tested: tuple[bool | None, ...] = ()
    """Whether each of these cycles was better than the best before it, by a test. None, or shorter: the accuracies alone decide."""

    gained: tuple[float | None, ...] = ()
    """By how much each of these cycles was better than the best before it, on the clips that both answered: a clip that failed for
    one of the two says nothing. None, or shorter: their accuracies differ by so much."""

    def until(self, cycle: int) -> "History":
        """As it was before a cycle was evaluated."""
        return replace(
            self,
            cycles=self.cycles[:cycle],
            only_direct=self.only_direct[:cycle],
            tested=self.tested[:cycle],
            gained=self.gained[:cycle],
        )

    @property
    def best_cycle(self) -> int:
        """The last cycle that was better than the best before it, which is promoted; -1 where no cycle beats the base."""
        best, where = self.base, -1
        for cycle, accuracy in enumerate(self.cycles):
            if self._is_better(cycle, best):
                best, where = accuracy, cycle
        return where

    @property
    def best(self) -> float:
        """The accuracy of the promoted model."""
        where = self.best_cycle
        return self.base if where < 0 else self.cycles[where]

    def gains(self, cycle: int, min_delta: float) -> bool:
        """Whether a cycle was better than the best before it, and by no less than min_delta."""
        best, gain = self.until(cycle).best, self._measured(cycle)
        is_enough = self.cycles[cycle] >= best + min_delta if gain is None else gain >= min_delta - ROUNDING
        return is_enough and self._test(cycle) is not False

    def stalled(self, min_delta: float, patience: int) -> bool:
        """Whether none of the last `patience` cycles gained."""
        recent = range(len(self.cycles) - patience, len(self.cycles))
        return len(self.cycles) >= patience and not any(self.gains(cycle, min_delta) for cycle in recent)

    def _is_better(self, cycle: int, best: float) -> bool:
        test, gain = self._test(cycle), self._measured(cycle)
        if test is not None:
            return test
        return self.cycles[cycle] > best if gain is None else gain > ROUNDING

    def _measured(self, cycle: int) -> float | None:
        return self.gained[cycle] if cycle < len(self.gained) else None

    def _test(self, cycle: int) -> bool | None:
        return self.tested[cycle] if cycle < len(self.tested) else None


def stall(loop: Loop, done: History) -> int | None:
    """The first cycle after which the loop had stopped paying; None where it still pays, or nobody asks (loop.patience = 0)."""
    for cycle in range(len(done.cycles) if loop.patience else 0):
        if done.until(cycle + 1).stalled(loop.min_delta, loop.patience):
            return cycle
    return None


def final_cycle(loop: Loop, done: History) -> int:
    """The last cycle's number, as far as it is known.

    The one after a stall, which finetunes on direct attempts only; the stalled one itself where that is not wanted, or where its
    examples were all direct already and the same finetune would be paid for twice; at the latest max_cycles - 1.
    """
    stalled, latest = stall(loop, done), loop.max_cycles - 1
    if stalled is None:
        return latest
    is_last = not loop.final_direct_only or done.only_direct[stalled]
    return min(stalled if is_last else stalled + 1, latest)


def level_of(loop: Loop) -> float:
    """The p-value at which a cycle is promoted: FALSE_PROGRESS, shared out over the cycles of a run that may come without a gain.

    With patience 1 these are two however many cycles there are, since a cycle that is not promoted ends the loop: that cycle, and
    the last one, of direct attempts only. (Bonferroni; a cycle that is promoted for a true gain takes nothing from the others.)

    >>> level_of(Loop()), level_of(Loop(max_cycles=10, patience=2)), level_of(Loop(final_direct_only=False))
    (0.025, 0.005, 0.05)
    >>> level_of(Loop(promote="last"))
    1.0
    """
    if loop.promote == "last":
        return EVERY_CYCLE
    without_gain = 1 + loop.final_direct_only if loop.patience == 1 else loop.max_cycles
    return FALSE_PROGRESS / min(without_gain, loop.max_cycles)


def level_of_gain(loop: Loop) -> float:
    """The p-value above which the promoted cycle's gain over the base is taken for chance.

    It is that of the promotion. Where no test decides, it is FALSE_PROGRESS, shared out over the cycles among which the best one is
    chosen; the last one is chosen among none.

    >>> level_of_gain(Loop()), level_of_gain(Loop(promote="last", max_cycles=10)), level_of_gain(Loop(promote="best", max_cycles=5))
    (0.025, 0.05, 0.01)
    """
    if loop.promote == "significant":
        return level_of(loop)
    return FALSE_PROGRESS / (loop.max_cycles if loop.promote == "best" else 1)
