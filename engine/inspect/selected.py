"""What a select and a train step made of a clip, and why: by the same functions that decided, on the one clip.

Two caps look at all clips: near-duplicate texts, and examples of a label. Where both are set, which of them left a clip out is not
in the run, and both are named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal

from engine.audit.reviews import Overrides
from engine.config import RunConfig
from engine.inspect.columns import rows_with
from engine.rows import Answer, Attempt, Clip, Example, NearCopy, Review, Unused
from engine.run.plan import INGEST, Step, name_of
from engine.run.seals import Seal
from engine.run.work import unused_of
from engine.select.choose import modes_of, pass_rate
from engine.select.grounded import UNGROUNDED, Gate
from engine.select.leaks import left_out
from engine.store.files import Store

Fate = Literal[
    "example", "near_copy", "nothing_kept", "ungrounded", "people_drop", "rationalized", "pass_rate", "near_duplicate",
    "over_limit", "near_duplicate_or_over_limit", "unused",
]  # fmt: skip
ANSWER = tuple(field.name for field in fields(Answer))


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """Selected(step="cycle-001/select", fate="ungrounded", why="the kept answer ...", example_id=None, ...)"""

    step: str
    fate: Fate
    why: str
    """In words."""
    example_id: str | None
    seed: int | None
    """Of the attempt that is the example's answer; null where there is none, or it is made of the label alone."""
    trained: str | None
    """What the train step did with the example, in words; null where there is none, or the step is not sealed."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What every select step of a run is looked at with."""

    store: Store
    config: RunConfig
    sealed: Mapping[str, Seal]


def selected(sources: Sources, step: Step, clip: Clip, attempts: Sequence[Attempt], reviews: Mapping[str, Review]) -> Selected:
    """`attempts`: at the clip, of the generate steps that the select step chose from. `reviews`: that it was given."""
    example = _example_of(sources.store, step, clip)
    if example is None:
        fate, why = _left_out(sources, step, clip, attempts, reviews)
        return Selected(step=step.name, fate=fate, why=why, example_id=None, seed=None, trained=None)
    return Selected(
        step=step.name,
        fate="example",
        why="its answer is an example" if example.source == "star" else "its label is an example",
        example_id=example.example_id,
        seed=example.seed if example.source == "star" else None,
        trained=trained(sources, step, example),
    )


def _example_of(store: Store, step: Step, clip: Clip) -> Example | None:
    """The clip's example; narrations, which only episodes use, are none."""
    rows = rows_with(store, f"{step.name}/examples.parquet", "clip_id", clip.clip_id).rows.to_pylist()
    return next((Example.from_row(row) for row in rows if row["source"] in ("star", "template")), None)


def trained(sources: Sources, step: Step, example: Example) -> str | None:
    """What the train step after a select step did with an example, in words; None where it is not sealed."""
    train, config = name_of(step.cycle, "train"), sources.config
    if train not in sources.sealed:
        return None
    if unused := _unused(sources.store, train, example.example_id):
        return f"left out by {train} as {unused.reason}: {unused.detail}"
    mixture = config.mixture
    weight = {"instruct": mixture.conversation_weight(example.collection), "narration": 0.0}.get(
        example.source, getattr(mixture, example.mode)
    )
    if not weight:
        return f"not used by {train}: its source has the weight 0 in [mixture]"
    return f"trained on by {train}, {weight * config.train.epochs:g} times"


def _unused(store: Store, step: str, example_id: str) -> Unused | None:
    rows = rows_with(store, unused_of(step), "example_id", example_id).rows.to_pylist()
    return Unused.from_row(rows[0]) if rows else None


def _left_out(
    sources: Sources, step: Step, clip: Clip, attempts: Sequence[Attempt], reviews: Mapping[str, Review]
) -> tuple[Fate, str]:
    """In the order in which a select step leaves clips out."""
    if copy := _near_copy(sources, step, clip):
        return "near_copy", f"it shows nearly the same as {copy.copy_of}, which is in {copy.where} (select.near_copies)"
    answers = [Answer.from_row({name: getattr(attempt, name) for name in ANSWER}) for attempt in attempts]
    gated = _gate(sources, step).applied([clip], answers)
    revised = Overrides(reviews).applied([clip], gated)
    kept = [answer for answer in revised if answer.outcome == "kept"]
    if not kept:
        return _nothing_kept(answers, gated, revised)
    kept = [answer for answer in kept if answer.mode in modes_of(step.final)]
    if not kept:
        return "rationalized", "only a rationalized answer is kept, and the last finetune uses direct ones (loop.final_direct_only)"
    return _capped(sources, step, clip, revised, kept)


def _gate(sources: Sources, step: Step) -> Gate:
    seals = [sources.sealed[name] for name in step.inputs if name != INGEST]
    facts = [seal.facts["grounding"] for seal in seals if "grounding" in seal.facts]
    return Gate.of(sources.config.select.min_grounding, facts, modes_of(step.final))


def _nothing_kept(answers: Sequence[Answer], gated: Sequence[Answer], revised: Sequence[Answer]) -> tuple[Fate, str]:
    if any(answer.reason == UNGROUNDED for answer in gated) and any(answer.outcome == "kept" for answer in answers):
        return "ungrounded", "the kept answer fits other clips' videos as well as its own (select.min_grounding)"
    if any(answer.outcome == "kept" for answer in answers):
        return "people_drop", "a person dropped the answer that the verifiers had kept"
    if revised and all(answer.outcome == "failed" for answer in revised):
        return "nothing_kept", f"the clip failed: {revised[-1].reason}"
    return "nothing_kept", "none of its answers is kept" if revised else "nobody was asked about it"


def _near_copy(sources: Sources, step: Step, clip: Clip) -> NearCopy | None:
    path = f"{step.name}/near_copies.parquet"
    if not any(record.path == path for record in sources.sealed[step.name].files):
        return None
    copies = [NearCopy(**row) for row in rows_with(sources.store, path, "clip_id", clip.clip_id).rows.to_pylist()]
    return copies[0] if left_out(copies, sources.config) else None


def _capped(sources: Sources, step: Step, clip: Clip, answers: Sequence[Answer], kept: Sequence[Answer]) -> tuple[Fate, str]:
    """`kept`: those of the clip's answers that may become its example."""
    section, counts = sources.config.select, sources.sealed[step.name].counts
    if (band := section.pass_rate) is not None:
        rate = pass_rate(answers, max(answer.cycle for answer in kept))
        if rate is None or not band[0] <= rate <= band[1]:
            return (
                "pass_rate",
                f"its pass rate {'is unknown' if rate is None else f'{rate:g} is'} outside of {band[0]:g} to {band[1]:g}",
            )
    for answer in kept:
        if unused := _unused(sources.store, step.name, f"{clip.clip_id}/{answer.cycle}/{answer.mode}"):
            return "unused", f"left out as {unused.reason}: {unused.detail}"
    duplicate = "its text is nearly the same as those of others (select.near_duplicates)"
    over = f"its label has enough examples ({'select.balance' if section.balance else 'select.max_per_label'})"
    if not counts.get("near_duplicates_dropped"):
        return "over_limit", over
    return ("near_duplicate_or_over_limit", f"{duplicate}, or {over}") if counts["over_limit"] else ("near_duplicate", duplicate)
