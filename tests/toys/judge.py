"""A second verifier, as slow as one over HTTP: it rejects every direct answer, so that each clip is rationalized."""

import asyncio

from engine.rows import Verdict
from engine.verify.stages import Case
from engine.verify.verdict import VerifySpec

JUDGE_S = 0.2


class Judge:
    most_at_once = 0
    """Of all judges of this process."""
    reviews: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self._at_once = 0

    async def judge(self, case: Case) -> Verdict:
        self._at_once += 1
        Judge.most_at_once = max(Judge.most_at_once, self._at_once)
        await asyncio.sleep(JUDGE_S)
        self._at_once -= 1
        if case.mode == "direct":
            return Verdict(keep=False, reason="not_grounded", score=0.1, extracted="")
        return Verdict(keep=True, reason="grounded", score=0.9, extracted=case.text[:5])


def build(spec: VerifySpec) -> Judge:
    return Judge()
