"""The accounts of a step: every clip is counted exactly once, as kept, dropped or failed."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.rows import Attempt

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

    @property
    def accounted(self) -> int:
        return self.direct_kept + self.rationalized_kept + sum(self.dropped.values()) + sum(self.failed.values())


def balance(attempts: Sequence[Attempt]) -> Ledger:
    """Count each clip by its last attempt: a rationalization comes after the direct attempt that it repairs."""
    last: dict[str, Attempt] = {}
    for attempt in attempts:
        before = last.get(attempt.clip_id)
        if before is None or (before.mode == "direct" and attempt.mode == "rationalized"):
            last[attempt.clip_id] = attempt
    kept = Counter(attempt.mode for attempt in last.values() if attempt.outcome == "kept")
    ledger = Ledger(
        clips=len(last),
        direct_kept=kept["direct"],
        rationalized_kept=kept["rationalized"],
        dropped=dict(sorted(Counter(a.reason for a in last.values() if a.outcome == "rejected").items())),
        failed=dict(sorted(Counter(a.reason for a in last.values() if a.outcome == "failed").items())),
        in_order=sum(attempt.in_order for attempt in last.values()),
    )
    assert ledger.accounted == ledger.clips, f"{ledger} does not add up"
    return ledger


def total(ledgers: Iterable[Ledger]) -> Ledger:
    """The sum of the accounts of several pieces, which share no clip.

    >>> a = Ledger(clips=2, direct_kept=2, rationalized_kept=0)
    >>> b = Ledger(clips=1, direct_kept=0, rationalized_kept=0, failed={"missing": 1})
    >>> total([a, b])
    Ledger(clips=3, direct_kept=2, rationalized_kept=0, dropped={}, failed={'missing': 1}, in_order=0)
    """
    clips = direct = rationalized = in_order = 0
    dropped: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for ledger in ledgers:
        clips, direct = clips + ledger.clips, direct + ledger.direct_kept
        rationalized += ledger.rationalized_kept
        dropped.update(ledger.dropped)
        failed.update(ledger.failed)
        in_order += ledger.in_order
    return Ledger(
        clips=clips,
        direct_kept=direct,
        rationalized_kept=rationalized,
        dropped=dict(sorted(dropped.items())),
        failed=dict(sorted(failed.items())),
        in_order=in_order,
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
