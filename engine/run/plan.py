"""What to do next, as a pure function of the configuration and the seals: the loop of Video-STaR, and when it stops.

Every cycle finetunes from the base; generation uses the last promoted model (with loop.promote = "last" the last cycle's); the last
finetune is of direct attempts only.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.config import HELDOUT, Loop, RunConfig
from engine.run.promotion import History, final_cycle, stall
from engine.run.seals import Seal
from models.registry import ELSEWHERE

Kind = Literal["ingest", "generate", "select", "train", "evaluate"]
CYCLE_KINDS: tuple[Kind, ...] = ("generate", "select", "train", "evaluate")
"""Steps of a cycle, in their order."""
WRITE_PIECES: frozenset[Kind] = frozenset({"generate", "evaluate"})
"""Kinds of steps that write pieces."""
INGEST = "ingest"
BASE = "base/evaluate"
TRAIN = "train"
"""The split whose clips are generated for and trained on; every other split is an evaluation set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One unit of the plan with its own folder.

    Step(name="cycle-001/generate", kind="generate", cycle=1, inputs=("ingest", "cycle-000/train"), model="cycle-000/train", ...)
    """

    name: str
    kind: Kind
    cycle: int
    """-1: before the first cycle."""
    inputs: tuple[str, ...]
    """Names of the steps whose output it reads."""
    model: str = ""
    """The train step whose adapter is used; "": the model before the first cycle, which is model.instruct, or parent.model."""
    final: bool = False
    """In the last cycle: direct attempts only."""
    split: str = TRAIN
    """Whose clips it works on: those of the train split, or of an evaluation set."""
    compared: str = ""
    """The evaluation of the promoted model before, on the same clips, with which this one is compared; "": none is. A cycle's
    held-out answers are compared with the base's, too."""


def asks_elsewhere(config: RunConfig, step: Step) -> bool:
    """True for the step that a model on another machine answers, where generate.engine names such an engine.

    It is the first cycle's generate step, M0's of Video-STaR: later cycles generate with the run's own models, and every evaluation
    compares these. A run that continues another one begins with that one's promoted model.
    """
    return config.generate.engine in ELSEWHERE and step.kind == "generate" and step.cycle == 0 and not config.parent.model


def name_of(cycle: int, kind: Kind, evaluation_set: str = HELDOUT) -> str:
    """
    >>> name_of(3, "train"), name_of(3, "evaluate", "mine"), name_of(-1, "evaluate")
    ('cycle-003/train', 'cycle-003/evaluate-mine', 'base/evaluate')
    """
    folder = "base" if cycle < 0 else f"cycle-{cycle:03d}"
    return f"{folder}/{kind}" if evaluation_set == HELDOUT else f"{folder}/{kind}-{evaluation_set}"


def history(sealed: Mapping[str, Seal]) -> History:
    """The accuracies of the cycles that are evaluated, and what came of the tests that decide about them."""
    cycles: list[float] = []
    only_direct: list[bool] = []
    tested: list[bool | None] = []
    gained: list[float | None] = []
    while True:
        evaluated, selected = (sealed.get(name_of(len(cycles), kind)) for kind in ("evaluate", "select"))
        if evaluated is None or selected is None:
            break
        only_direct.append(bool(selected.facts["direct_only"]))
        cycles.append(float(evaluated.facts["accuracy"]))
        comparison = evaluated.facts.get("comparison", {})  # older runs have none
        tested.append(None if (level := comparison.get("level")) is None else comparison["p"] <= level)
        gained.append(comparison["gain"] if comparison.get("decides") == "gain" else None)  # in older runs accuracies decide
    base = sealed.get(BASE)
    return History(
        base=float(base.facts["accuracy"]) if base else 0.0,
        cycles=tuple(cycles),
        only_direct=tuple(only_direct),
        tested=tuple(tested),
        gained=tuple(gained),
    )


def without_examples(sealed: Mapping[str, Seal]) -> int | None:
    """The cycle whose select step chose nothing to train on, which ends the run; None where there is none."""
    cycle = len(history(sealed).cycles)
    if (selected := sealed.get(name_of(cycle, "select"))) is None:
        return None
    facts = selected.facts
    weighed = facts["weighed"] if "weighed" in facts else facts["examples"] + facts["episodes"]  # older runs do not have it
    return None if weighed else cycle


def stopped_because(loop: Loop, sealed: Mapping[str, Seal]) -> str:
    """Why the loop ended where it did, for the summary: not finished, max_cycles, plateau, or no examples."""
    done = history(sealed)
    if without_examples(sealed) is not None:
        return "no examples"
    last, stalled = final_cycle(loop, done), stall(loop, done)
    if len(done.cycles) <= last:
        return "not finished"
    return "max_cycles" if stalled is None or stalled == loop.max_cycles - 1 else "plateau"


def needs_no_evaluation(until: str) -> bool:
    """True for a step that follows from no evaluation: one of the first cycle, before its own evaluation.

    >>> needs_no_evaluation("cycle-000/train"), needs_no_evaluation("cycle-000/evaluate"), needs_no_evaluation("cycle-001/train")
    (True, False, False)
    """
    return until in [name_of(0, kind) for kind in ("generate", "select", "train")]


def next_step(config: RunConfig, sealed: Mapping[str, Seal], until: str = "") -> Step | None:
    """The next step to run; None when the run, or the step named `until`, is complete.

    Raises ValueError where the run has no step `until`, before any step is run that comes after its place.
    """
    if until in sealed and until:
        return None
    steps = so_far(config, sealed)
    unsealed = [step for step in steps if step.name not in sealed]
    names = [step.name for step in steps]
    is_planned = not unsealed or until.partition("/")[0] in {name.partition("/")[0] for name in names}
    if until and until not in names and is_planned:
        raise ValueError(
            f"this run has no step {until}: after {steps[0].name} it has {', '.join(names[1:])}"
            + ("" if unsealed else f", and it stopped because of {stopped_because(config.loop, sealed)!r}")
        )
    if needs_no_evaluation(until):
        unsealed = [step for step in unsealed if not (step.kind == "evaluate" and step.cycle < 0)]
    return unsealed[0] if unsealed else None


def gap(config: RunConfig, sealed: Mapping[str, Seal]) -> str:
    """Which step is sealed although one whose output it was made from is not, and the remedy: somebody deleted a seal. "": none."""
    for step in so_far(config, sealed):
        if step.name in sealed and (missing := [name for name in step.inputs if name not in sealed]):
            return (
                f"{step.name} is sealed, and {missing[0]}, which it was made from, is not; restore the seal of {missing[0]}, or "
                f"delete the folder {step.name} and those of all later steps to do them again"
            )
    return ""


def refuse_gaps(config: RunConfig, sealed: Mapping[str, Seal]) -> None:
    """Raises ValueError where there is a gap."""
    if line := gap(config, sealed):
        raise ValueError(line)


def so_far(config: RunConfig, sealed: Mapping[str, Seal]) -> list[Step]:
    """All steps up to and including the cycle that is not evaluated yet, in order."""
    done, empty = history(sealed), without_examples(sealed)
    steps = [Step(name=INGEST, kind="ingest", cycle=-1, inputs=()), *base_evaluations(config)]
    if config.evaluate.only:
        return steps
    for cycle in range(min(len(done.cycles), final_cycle(config.loop, done)) + 1):
        planned = cycle_steps(config, done.until(cycle), cycle)
        steps += [step for step in planned if cycle != empty or step.kind in ("generate", "select")]
    return steps + (last_steps(config, done) if has_ended(config, sealed) else [])


def has_ended(config: RunConfig, sealed: Mapping[str, Seal]) -> bool:
    """Whether no cycle is to come; the sets that are asked at the end may still be."""
    if config.evaluate.only:
        return all(step.name in sealed for step in base_evaluations(config))
    done = history(sealed)
    return BASE in sealed and (len(done.cycles) > final_cycle(config.loop, done) or without_examples(sealed) is not None)


def last_steps(config: RunConfig, done: History) -> list[Step]:
    """What follows when the loop has ended, for the sets of when = "end": the first model and the promoted one are asked."""
    best = done.best_cycle
    trained, steps = name_of(best, "train"), []
    for split in (own.name for own in config.sets if own.when == "end"):
        first = Step(name=name_of(-1, "evaluate", split), kind="evaluate", cycle=-1, inputs=(INGEST, BASE), split=split)
        steps.append(first)
        if best >= 0:
            inputs = (INGEST, trained, name_of(best, "evaluate"), first.name)
            name = name_of(best, "evaluate", split)
            steps.append(
                Step(name=name, kind="evaluate", cycle=best, inputs=inputs, model=trained, split=split, compared=first.name)
            )
    return steps


def following(step: Step, steps: Sequence[Step]) -> list[Step]:
    """The steps, in their order, that follow from what a step leaves: through their inputs, or through a held-out accuracy.

    The accuracy of the base, and of a cycle, decides which model the later cycles use and when the loop ends. Generation of the
    first cycle follows from none.
    """
    names, decided_after = {step.name}, math.inf
    for other in steps[steps.index(step) :]:
        if other.cycle > decided_after or names & {other.name, *other.inputs}:
            names.add(other.name)
            if other.kind == "evaluate" and other.split == HELDOUT:
                decided_after = min(decided_after, max(0, other.cycle))
    return [other for other in steps if other.name in names and other is not step]


def base_evaluations(config: RunConfig) -> list[Step]:
    """Those before the first cycle, of the sets that are asked in every cycle."""
    return _evaluations(config, None)


def _evaluations(config: RunConfig, trained: Step | None, compared: str = "") -> list[Step]:
    """One step for each evaluation set that is asked in every cycle: of the base, or of what was `trained`."""
    cycle, of_model, is_final = (-1, (), False) if trained is None else (trained.cycle, (trained.name,), trained.final)
    steps = []
    sets = config.evaluate.sets[1:] if config.evaluate.only else [own for own in config.evaluate.sets if own.when == "cycle"]
    for name in (own.name for own in sets):
        against = [compared, BASE] if compared and name == HELDOUT else []
        steps.append(
            Step(
                name=name_of(cycle, "evaluate", name),
                kind="evaluate",
                cycle=cycle,
                inputs=(INGEST, *of_model, *dict.fromkeys(against)),
                model=trained.name if trained else "",
                final=is_final,
                split=name,
                compared=against[0] if against else "",
            )
        )
    return steps


def cycle_steps(config: RunConfig, before: History, cycle: int) -> list[Step]:
    """The steps of a cycle, given the accuracies before it."""
    final = config.loop.final_direct_only and cycle == final_cycle(config.loop, before)
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
    selected = Step(name=name_of(cycle, "select"), kind="select", cycle=cycle, inputs=sources, final=final)
    trained = Step(name=name_of(cycle, "train"), kind="train", cycle=cycle, inputs=(selected.name,), final=final)
    return [*steps, selected, trained, *_evaluations(config, trained, name_of(promoted, "evaluate"))]
