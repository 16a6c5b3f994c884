"""Held-out accuracy: the share of answers that contain the label. A clip that failed counts as wrong."""

from engine.generate.ledger import Ledger


def accuracy(ledger: Ledger) -> float:
    """
    >>> accuracy(Ledger(clips=4, direct_kept=3, rationalized_kept=0, dropped={}, failed={"missing": 1}))
    0.75
    """
    return ledger.direct_kept / ledger.clips if ledger.clips else 0.0
