"""The accounts of a generate step: every clip ends as exactly one of kept, dropped, failed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.rows import Attempt


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Ledger(clips=300, direct_kept=118, rationalized_kept=176, dropped={"label_missing": 4}, failed={"missing": 2})"""

    clips: int
    direct_kept: int
    rationalized_kept: int
    dropped: dict[str, int] = field(default_factory=dict)
    """By the reason of the clip's last rejected attempt."""
    failed: dict[str, int] = field(default_factory=dict)
    """By kind of failure."""

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
    )
    assert ledger.accounted == ledger.clips, f"{ledger} does not add up"
    return ledger
