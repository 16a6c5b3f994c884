"""The seed of every random choice: derived from what is asked, never from where or when it runs."""

import hashlib

from engine.rows import Mode


def derive_seed(run_seed: int, cycle: int, clip_id: str, mode: Mode, attempt: int = 0) -> int:
    """63 bits that depend on what is asked and on nothing else: neither on the piece, nor on the machine, nor on time.

    >>> derive_seed(0, 0, "a", "direct") == derive_seed(0, 0, "a", "direct") != derive_seed(0, 1, "a", "direct")
    True
    """
    name = f"{run_seed}/{cycle}/{clip_id}/{mode}/{attempt}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1
