"""What to do next, as a pure function of the configuration and the seals: the loop of Video-STaR, and when it stops.

Every cycle finetunes from the base; generation uses the last promoted model; the last finetune is of direct attempts only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from engine.config import RunConfig
from engine.run.seals import Seal

Kind = Literal["ingest", "generate", "select", "train", "evaluate"]
CYCLE_KINDS: tuple[Kind, ...] = ("generate", "select", "train", "evaluate")
"""Steps of a cycle, in their order."""
INGEST = "ingest"
BASE = "base/evaluate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One unit of the plan with its own folder.

    Step(name="cycle-001/generate", kind="generate", cycle=1, inputs=("ingest", "cycle-000/train"), model="cycle-000/train", ...)
    """

    name: str
    kind: Kind
    cycle: int
    """-1: before the first."""
    inputs: tuple[str, ...]
    """Names of the steps whose output it reads."""
    model: str = ""
    """The train step whose adapter is used; "": the instruct model."""
    final: bool = False
    """In the last cycle: direct attempts only."""


def name_of(cycle: int, kind: Kind) -> str:
    """
    >>> name_of(3, "train")
    'cycle-003/train'
    """
    return f"cycle-{cycle:03d}/{kind}"


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Held-out accuracies so far: of the base, and of each evaluated cycle.

    History(base=0.4, cycles=(0.97, 0.96), only_direct=(False, True))
    """

    base: float
    cycles: tuple[float, ...]
    only_direct: tuple[bool, ...]
    """Whether each of these cycles finetuned on direct attempts alone."""

    @property
    def best(self) -> float:
        return max((self.base, *self.cycles))

    @property
    def best_cycle(self) -> int:
        """The first cycle with the best accuracy; -1 where no cycle beats the base."""
        best, where = self.base, -1
        for cycle, accuracy in enumerate(self.cycles):
            if accuracy > best:
                best, where = accuracy, cycle
        return where

    def stalled(self, min_delta: float, patience: int) -> bool:
        """Whether the last `patience` cycles each added less than min_delta to the best before them."""
        recent = range(len(self.cycles) - patience, len(self.cycles))
        return len(self.cycles) >= patience and all(self.cycles[i] < max((self.base, *self.cycles[:i])) + min_delta for i in recent)


def history(sealed: Mapping[str, Seal]) -> History:
    cycles: list[float] = []
    only_direct: list[bool] = []
    while (seal := sealed.get(name_of(len(cycles), "evaluate"))) is not None:
        only_direct.append(bool(sealed[name_of(len(cycles), "select")].facts["direct_only"]))
        cycles.append(float(seal.facts["accuracy"]))
    base = sealed.get(BASE)
    return History(base=float(base.facts["accuracy"]) if base else 0.0, cycles=tuple(cycles), only_direct=tuple(only_direct))


def stall(config: RunConfig, seen: History) -> int | None:
    """The first cycle after which the loop had stopped paying; None where it still pays."""
    for cycle in range(len(seen.cycles)):
        so_far = replace(seen, cycles=seen.cycles[: cycle + 1])
        if so_far.stalled(config.loop.min_delta, config.loop.patience):
            return cycle
    return None


def final_cycle(config: RunConfig, seen: History) -> int:
    """The last cycle's number, as far as it is known.

    The one after a stall, which finetunes on direct attempts only; the stalled one itself where that is not wanted, or where its
    examples were all direct already and the same finetune would be paid for twice; at the latest max_cycles - 1.
    """
    stalled, latest = stall(config, seen), config.loop.max_cycles - 1
    if stalled is None:
        return latest
    done = not config.loop.final_direct_only or seen.only_direct[stalled]
    return min(stalled if done else stalled + 1, latest)


def stopped_because(config: RunConfig, seen: History) -> str:
    """Why the loop ended where it did, for the summary."""
    last, stalled = final_cycle(config, seen), stall(config, seen)
    if len(seen.cycles) <= last:
        return "not finished"
    return "max_cycles" if stalled is None or stalled == config.loop.max_cycles - 1 else "plateau"


def next_step(config: RunConfig, sealed: Mapping[str, Seal], until: str = "") -> Step | None:
    """The next step to run; None when the run, or the step named `until`, is complete."""
    if until in sealed and until:
        return None
    for step in so_far(config, sealed):
        if step.name not in sealed and not (
            step.name == BASE and until.startswith("cycle-000/") and until != name_of(0, "evaluate")
        ):
            return step
    return None


def so_far(config: RunConfig, sealed: Mapping[str, Seal]) -> list[Step]:
    """All steps up to and including the cycle that is not evaluated yet, in order."""
    seen = history(sealed)
    steps = [
        Step(name=INGEST, kind="ingest", cycle=-1, inputs=()),
        Step(name=BASE, kind="evaluate", cycle=-1, inputs=(INGEST,)),
    ]
    for cycle in range(min(len(seen.cycles), final_cycle(config, seen)) + 1):
        steps += cycle_steps(config, replace(seen, cycles=seen.cycles[:cycle], only_direct=seen.only_direct[:cycle]), cycle)
    return steps


def cycle_steps(config: RunConfig, before: History, cycle: int) -> list[Step]:
    """The steps of a cycle, given the accuracies before it."""
    final = config.loop.final_direct_only and cycle == final_cycle(config, before)
    promoted = before.best_cycle
    generator = name_of(promoted, "train") if promoted >= 0 else ""
    clips = (INGEST, generator) if generator else (INGEST,)
    # after a stall without promotion the last pieces already are the promoted model's: paying for them again would change nothing
    generated_in = cycle - 1 if final and cycle > 0 and promoted < cycle - 1 else cycle
    steps = []
    sources: tuple[str, ...] = (INGEST,)
    if config.generates:
        since = 0 if config.select.carry_over else generated_in
        sources = (INGEST, *(name_of(earlier, "generate") for earlier in range(since, generated_in + 1)))
        if generated_in == cycle:
            steps.append(
                Step(name=name_of(cycle, "generate"), kind="generate", cycle=cycle, inputs=clips, model=generator, final=final)
            )
    trained = name_of(cycle, "train")
    steps.append(Step(name=name_of(cycle, "select"), kind="select", cycle=cycle, inputs=sources, final=final))
    steps.append(Step(name=trained, kind="train", cycle=cycle, inputs=(name_of(cycle, "select"),), final=final))
    steps.append(
        Step(name=name_of(cycle, "evaluate"), kind="evaluate", cycle=cycle, inputs=(INGEST, trained), model=trained, final=final)
    )
    return steps
