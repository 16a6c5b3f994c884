"""What each dataset of a mixed manifest yields: a clip's group names its dataset (`starloop ingest --group`)."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.generate.ledger import deciding
from engine.rows import Attempt, Clip

COUNTED = ("clips", "direct_kept", "rejected", "rationalized_kept", "failed")
"""rejected: clips whose direct answers were all rejected; rationalized_kept are among them."""


@dataclass
class Groups:
    """Counts clips by their group, piece by piece; see Tally in engine/generate/attempts.py."""

    counts: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, clips: Sequence[Clip], attempts: Sequence[Attempt]) -> None:
        """The clips of a piece, and all attempts at them."""
        decides = deciding(attempts)
        for clip in clips:
            attempt, counted = decides[clip.clip_id], self.counts[clip.group]
            counted["clips"] += 1
            if attempt.outcome == "failed":
                counted["failed"] += 1
            elif attempt.mode == "direct" and attempt.outcome == "kept":
                counted["direct_kept"] += 1
            else:
                counted["rejected"] += 1
                counted["rationalized_kept"] += attempt.outcome == "kept"

    def facts(self) -> dict[str, dict[str, int]]:
        """By group, "" for clips without one; {} where no clip has a group."""
        if not any(self.counts):
            return {}
        return {group: {name: self.counts[group][name] for name in COUNTED} for group in sorted(self.counts)}


def yields_of(counts: Mapping[str, int]) -> dict[str, Any]:
    """A group's counts, and its yields in both readings of Video-STaR's Fig. 4; None: of no clip.

    >>> yields_of({"clips": 10, "direct_kept": 2, "rejected": 7, "rationalized_kept": 6, "failed": 1})["rationalized_of_rejected"]
    0.8571
    """
    shares = {
        "direct": ("direct_kept", "clips"),
        "rationalized": ("rationalized_kept", "clips"),
        "rationalized_of_rejected": ("rationalized_kept", "rejected"),
    }
    return dict(counts) | {
        name: round(counts[part] / counts[whole], 4) if counts[whole] else None for name, (part, whole) in shares.items()
    }
