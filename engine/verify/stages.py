"""Verifiers, asked one after another about each answer until one rejects it: a file under engine/verify and a line here for each.

A stage may take its time (a judge over HTTP): it is awaited, and other clips go on meanwhile. Each leaves its judgement in the
attempt's row, never only a yes or no. A stage that reviews a reason of rejection is asked about it all the same, and may overrule
it.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from engine.rows import Clip, Judgement, Mode, Verdict
from engine.verify.verdict import VerifySpec
from models.base import Video

STAGES = {"rules": "engine.verify.rules", "judge": "engine.verify.judge"}
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
    seed: int = 0
    """Of the attempt."""
    video: Video | None = None
    """The frames that the model has watched."""
    verdict: Verdict | None = None
    """Of the stages before; None for the first one."""


class Verifier(Protocol):
    """One object for each actor. All its coroutines run on one event loop, which lives as long as the actor."""

    @property
    def reviews(self) -> frozenset[str]:
        """Reasons of rejections that it is asked about all the same."""
        ...

    async def judge(self, case: Case) -> Verdict | None:
        """None where it has nothing to say about the case: then it leaves no judgement."""
        ...


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
        """The verdict that counts, and what each stage that was asked answered.

        The verdict is the first stage's until a later one says otherwise: one that rejects what was kept, or that reviews a
        rejection and keeps.
        """
        verdict: Verdict | None = None
        judgements: list[Judgement] = []
        for name, verifier in self._verifiers:
            if verdict is not None and not verdict.keep and verdict.reason not in verifier.reviews:
                continue
            latest = await verifier.judge(replace(case, verdict=verdict))
            if latest is None:
                continue
            judgements.append(_judgement(name, latest))
            verdict = latest if verdict is None or latest.keep != verdict.keep else verdict
        assert verdict is not None, "the first stage judges every case"
        return verdict, tuple(judgements)


def _judgement(stage: str, verdict: Verdict) -> Judgement:
    usage = verdict.usage
    return Judgement(
        stage=stage,
        keep=verdict.keep,
        reason=verdict.reason,
        score=verdict.score,
        detail=verdict.extracted,
        model=usage.model,
        prompt_tokens=usage.prompt_tokens,
        num_tokens=usage.num_tokens,
        cost=usage.cost,
    )
