"""Verifiers, asked one after another about each answer until one rejects it: a file under engine/verify and a line here for each.

A stage may take its time (a judge over HTTP): it is awaited, and other clips go on meanwhile. Each leaves its judgement in the
attempt's row, never only a yes or no.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.rows import Clip, Judgement, Mode, Verdict
from engine.verify.verdict import VerifySpec

STAGES = {"rules": "engine.verify.rules"}
"""Name in verify.stages -> the module that serves it; it has build(spec: VerifySpec) -> Verifier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One answer to be judged: Case(clip=Clip(...), mode="direct", prompt="What ...?", text="It rises.", finished=True)."""

    clip: Clip
    mode: Mode
    prompt: str
    text: str
    finished: bool
    """False where the answer was cut off at the token limit."""


class Verifier(Protocol):
    """One object for each actor. All its coroutines run on one event loop, which lives as long as the actor."""

    async def judge(self, case: Case) -> Verdict: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """Which verifiers, and how they judge: Stages(names=("rules",), spec=VerifySpec(preset="strict"))."""

    names: tuple[str, ...]
    spec: VerifySpec


def refuse_unknown(names: Sequence[str]) -> None:
    """Raises ValueError for a stage that is not in the table."""
    for name in names:
        if name not in STAGES:
            raise ValueError(f"verify.stages names {name!r}; known are {', '.join(STAGES)}")


class Verification:
    """The stages of one actor, built once: Verification(Stages(...)).judge(case)."""

    def __init__(self, stages: Stages) -> None:
        """Raises ValueError for a stage that is not known, or that cannot be built."""
        refuse_unknown(stages.names)
        self._verifiers: list[tuple[str, Verifier]] = [
            (name, importlib.import_module(STAGES[name]).build(stages.spec)) for name in stages.names
        ]

    async def judge(self, case: Case) -> tuple[Verdict, tuple[Judgement, ...]]:
        """The verdict that counts, the first rejection or else the first stage's; and what each stage that was asked answered."""
        verdicts: list[Verdict] = []
        judgements: list[Judgement] = []
        for name, verifier in self._verifiers:
            verdict = await verifier.judge(case)
            verdicts.append(verdict)
            judgements.append(
                Judgement(stage=name, keep=verdict.keep, reason=verdict.reason, score=verdict.score, detail=verdict.extracted)
            )
            if not verdict.keep:
                return verdict, tuple(judgements)
        return verdicts[0], tuple(judgements)
