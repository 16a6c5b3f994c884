"""All that ever happened to a clip in a run: its row, each attempt of each cycle, people's words, and what became of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from engine.audit import reviews as people
from engine.audit.reviews import APPLIED, answer_id
from engine.config import RunConfig
from engine.generate.lineage import CHANGED_CLIPS
from engine.inspect.columns import rows_with
from engine.inspect.find import Place, attempts_at, find_clip
from engine.inspect.selected import Selected, Sources, selected
from engine.report.reasons import in_words
from engine.rows import Attempt, Clip, Judgement, Review
from engine.run.plan import TRAIN, WRITE_PIECES, Step, so_far
from engine.run.seals import Seal
from engine.run.work import read_seals, run_config
from engine.store.files import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempted:
    """An attempt as `starloop inspect --json` has it: the row's fields that a reader needs, its reason in words, and its fate."""

    step: str
    mode: str
    sample: int
    outcome: str
    reason: str
    why: str
    """The reason in words; of a failed clip what happened, and the remedy."""
    score: float
    decided: str
    """The stretch of the text that decided."""
    span: tuple[int, int] | None
    """Where that stretch is in the text: its first character and the one behind it; null where it is not found there."""
    judgements: tuple[Judgement, ...]
    support: float | None
    grounded_against: tuple[str, ...]
    """The other clips, after whose videos the text was read."""
    people: str | None
    """keep, drop or unsure; null: nobody has said anything."""
    became: str
    """What select steps made of a kept answer of a train clip, in words; "" for any other."""
    prompt: str
    text: str
    num_tokens: int
    seed: int
    model: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipHistory:
    """A clip of a run, as `starloop inspect --json` prints it."""

    run: str
    clip_id: str
    clip: dict[str, Any]
    """Its row; the label is an object."""
    part: str
    row: int
    """Where it lies: the file of its part, and its number there, from 0."""
    change: str | None
    """In a run that continues another one: new or changed; null otherwise."""
    attempts: list[Attempted]
    """Of the generate steps, or of the evaluations of an evaluation set's clip, in the order of the plan."""
    absent: dict[str, str]
    """Steps that have no attempt at the clip although they ask about its split, and why."""
    selected: list[Selected]
    """What each select step made of it."""
    reviews: list[Review]
    """People's words."""


def history_of(store: Store, clip_id: str, split: str = "") -> ClipHistory:
    """Raises ValueError where there is no run, or no such clip in it, or in several splits; `split` names one."""
    config, sealed = run_config(store), read_seals(store)
    place = find_clip(store, sealed, clip_id, split)
    steps = [step for step in so_far(config, sealed) if step.split == place.clip.split]
    attempts, absent = _attempts(store, sealed, [step for step in steps if step.kind in WRITE_PIECES], place)
    reviews = {key: word for key, word in people.read(store, people.records_of(store)).items() if word.clip_id == clip_id}
    row, chosen = place.clip.to_row(), _selected(Sources(store, config, sealed), steps, place.clip, attempts)
    inputs = {step.name: step.inputs for step in steps}
    return ClipHistory(
        run=store.uri,
        clip_id=clip_id,
        clip=row | {"label": json.loads(row["label"])},
        part=place.part,
        row=place.row,
        change=_change(store, config, place.clip),
        attempts=[
            _attempted(
                step,
                attempt,
                reviews.get(answer_id(place.clip, attempt.text)),
                [choice for choice in chosen if step in inputs[choice.step]],
            )
            for step, rows in attempts.items()
            for attempt in rows
        ],
        absent=absent,
        selected=chosen,
        reviews=list(reviews.values()),
    )


def _attempts(
    store: Store, sealed: Mapping[str, Seal], steps: list[Step], place: Place
) -> tuple[dict[str, list[Attempt]], dict[str, str]]:
    """By step, in the order of the plan; and why a step has none."""
    attempts, absent = dict[str, list[Attempt]](), dict[str, str]()
    for step in steps:
        rows, why = attempts_at(store, step.name, sealed.get(step.name), place)
        if rows:
            attempts[step.name] = rows
        else:
            absent[step.name] = why or "nobody has asked about it yet"
    return attempts, absent


def _attempted(step: str, attempt: Attempt, review: Review | None, chosen: Sequence[Selected]) -> Attempted:
    """`chosen`: what the select steps made of the clip that chose from this attempt."""
    start = attempt.text.find(attempt.detail) if attempt.detail and attempt.outcome != "failed" else -1
    names = {field.name for field in fields(Attempted)} & set(Attempt.__dataclass_fields__)
    return Attempted(
        **{name: getattr(attempt, name) for name in names},
        step=step,
        why=attempt.detail if attempt.outcome == "failed" else in_words(attempt.reason),
        decided="" if attempt.outcome == "failed" else attempt.detail,
        span=None if start < 0 else (start, start + len(attempt.detail)),
        grounded_against=attempt.grounding.clips if attempt.grounding else (),
        people=review.people if review else None,
        became=_became(attempt, chosen),
    )


def _became(attempt: Attempt, chosen: Sequence[Selected]) -> str:
    uses = [choice for choice in chosen if choice.seed == attempt.seed and choice.fate == "example"]
    others = [choice for choice in chosen if choice.seed != attempt.seed and choice.fate == "example"]
    texts = [f"the example {choice.example_id} of {choice.step}" for choice in uses]
    if attempt.outcome == "kept":
        texts += [f"not chosen by {choice.step}: {choice.example_id} was preferred" for choice in others]
    return "; ".join(texts)


def _selected(sources: Sources, steps: list[Step], clip: Clip, attempts: Mapping[str, list[Attempt]]) -> list[Selected]:
    if clip.split != TRAIN:
        return []
    sealed = sources.sealed
    return [
        selected(
            sources,
            step,
            clip,
            [attempt for name in step.inputs for attempt in attempts.get(name, ())],
            _applied(sources.store, sealed[step.name]),
        )
        for step in steps
        if step.kind == "select" and step.name in sealed
    ]


def _applied(store: Store, seal: Seal) -> dict[str, Review]:
    """People's words that a select step was given."""
    record = next((record for record in seal.files if record.path.endswith(f"/{APPLIED}")), None)
    rows = json.loads(store.read_recorded(record)) if record else []
    return {row["answer"]: Review(**row) for row in rows}


def _change(store: Store, config: RunConfig, clip: Clip) -> str | None:
    if not config.parent.run:
        return None
    rows = rows_with(store, CHANGED_CLIPS, "clip_id", clip.clip_id).rows.to_pylist()
    return str(rows[0]["change"]) if rows else None
