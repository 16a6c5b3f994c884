"""The accounts of a step: every clip is counted exactly once, as kept, dropped or failed."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from engine.rows import Attempt, Outcome, Trace

AttemptOrOutcome = TypeVar("AttemptOrOutcome", Attempt, Outcome, Trace, Attempt | Outcome)
ENOUGH = 20
"""Minimum number of failed clips before their share can stop a step."""


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Ledger(clips=300, direct_kept=118, rationalized_kept=176, dropped={"label_missing": 4}, failed={"missing": 2}, in_order=1)"""

    clips: int
    direct_kept: int
    rationalized_kept: int
    dropped: dict[str, int] = field(default_factory=dict)
    """By the reason of the clip's last rejected attempt."""
    failed: dict[str, int] = field(default_factory=dict)
    """By kind of failure."""
    in_order: int = 0
    """Clips whose video had to be read from its start because it has no index."""
    direct: int = 0
    """Answers without a hint, of which a clip may have several (generate.samples)."""
    direct_right: int = 0
    """Those of them that were kept."""

    @property
    def accounted(self) -> int:
        return self.direct_kept + self.rationalized_kept + sum(self.dropped.values()) + sum(self.failed.values())


def deciding(attempts: Iterable[AttemptOrOutcome]) -> dict[str, AttemptOrOutcome]:
    """By clip the attempt by which it is counted: the first direct one that was kept, else a rationalization, else the last one."""
    decides: dict[str, AttemptOrOutcome] = {}
    for attempt in attempts:
        before = decides.get(attempt.clip_id)
        if before is None or _rank(attempt) > _rank(before) or (_rank(attempt) == _rank(before) < 3):
            decides[attempt.clip_id] = attempt
    return decides


def _rank(attempt: Attempt | Outcome | Trace) -> int:
    if attempt.mode == "rationalized":
        return 2 if attempt.outcome == "kept" else 1
    return 3 if attempt.outcome == "kept" else 0


def balance(attempts: Sequence[Attempt] | Sequence[Outcome]) -> Ledger:
    """Count each clip once, by its deciding attempt, however many samples it has."""
    last: dict[str, Attempt | Outcome] = deciding(attempts)
    direct = [attempt for attempt in attempts if attempt.mode == "direct" and attempt.outcome != "failed"]
    kept = Counter(attempt.mode for attempt in last.values() if attempt.outcome == "kept")
    ledger = Ledger(
        clips=len(last),
        direct_kept=kept["direct"],
        rationalized_kept=kept["rationalized"],
        dropped=dict(sorted(Counter(a.reason for a in last.values() if a.outcome == "rejected").items())),
        failed=dict(sorted(Counter(a.reason for a in last.values() if a.outcome == "failed").items())),
        in_order=sum(attempt.in_order for attempt in last.values()),
        direct=len(direct),
        direct_right=sum(attempt.outcome == "kept" for attempt in direct),
    )
    assert ledger.accounted == ledger.clips, f"{ledger} does not add up"
    return ledger


def total(ledgers: Iterable[Ledger]) -> Ledger:
    """The sum of the accounts of several pieces, which share no clip.

    >>> a = Ledger(clips=2, direct_kept=2, rationalized_kept=0)
    >>> b = Ledger(clips=1, direct_kept=0, rationalized_kept=0, failed={"missing": 1})
    >>> total([a, b])
    Ledger(clips=3, direct_kept=2, rationalized_kept=0, dropped={}, failed={'missing': 1}, in_order=0, direct=0, direct_right=0)
    """
    clips = direct = rationalized = in_order = answers = right = 0
    dropped: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for ledger in ledgers:
        clips, direct = clips + ledger.clips, direct + ledger.direct_kept
        rationalized += ledger.rationalized_kept
        dropped.update(ledger.dropped)
        failed.update(ledger.failed)
        in_order += ledger.in_order
        answers, right = answers + ledger.direct, right + ledger.direct_right
    return Ledger(
        clips=clips,
        direct_kept=direct,
        rationalized_kept=rationalized,
        dropped=dict(sorted(dropped.items())),
        failed=dict(sorted(failed.items())),
        in_order=in_order,
        direct=answers,
        direct_right=right,
    )


def too_many_failed(failed: Mapping[str, int], clips: int, most: float, unit: str = "clips") -> str | None:
    """The reason to stop a step because too many of its clips failed, or None. `unit`: what is counted.

    >>> too_many_failed({"missing": 30, "codec": 5}, 100, 0.2)
    '35 of 100 clips failed (missing 30, codec 5), more than limits.failure_rate = 0.2'
    >>> too_many_failed({"missing": 10}, 10, 0.2)
    """
    count = sum(failed.values())
    if count < ENOUGH or count <= most * clips:
        return None
    kinds = ", ".join(f"{kind} {n}" for kind, n in sorted(failed.items(), key=lambda item: -item[1]))
    return f"{count} of {clips} {unit} failed ({kinds}), more than limits.failure_rate = {most:g}"
