"""What differs between two runs: configuration, clips, yields, and the answers to the held-out clips that both were asked.

Held-out clips are compared in arrays, 25 bytes a clip; the answers of the few that are named are read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.config import HELDOUT, EvaluationSet, RunConfig
from engine.evaluate.judge.asker import NotAsked
from engine.evaluate.metrics import accuracy, metric_of
from engine.evaluate.outcomes import FAILED, RIGHT, Outcomes, read_outcomes
from engine.evaluate.paired import Comparison
from engine.evaluate.paired import compare as paired
from engine.evaluate.scores.measuring import measuring
from engine.ingest.clips import read_parts
from engine.ingest.hashes import hash_of
from engine.inspect.changes import DataChange, data_changes
from engine.inspect.find import Place, attempts_at
from engine.run.plan import INGEST, history, name_of
from engine.run.seals import Seal
from engine.run.summary import summarize
from engine.run.work import read_seals, run_config
from engine.store.files import Store
from engine.store.locations import masked_values

OF_ANSWERS = ("clips", "direct_kept", "rationalized_kept", "dropped", "failed")
YIELDS = (
    *OF_ANSWERS,
    "examples",
    "direct_only",
    "loss_last",
    "heldout_accuracy",
)
"""Of the summary's cycles."""
PLACES = ("run.uri",)
"""Keys that differ between any two runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipDifference:
    """A held-out clip that the promoted models answered differently: one right, the other one not."""

    clip_id: str
    label: str
    better: str
    """The run that is right: a or b."""
    text_a: str
    text_b: str
    reason_a: str
    reason_b: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two runs, as `starloop compare --json` prints them."""

    a: str
    b: str
    configuration: dict[str, list[Any]]
    """Key -> its values in a and b, of all keys that differ but run.uri."""
    data: list[DataChange]
    """Of each split in which something differs."""
    yields: list[dict[str, Any]]
    """A row for each cycle and figure that differ: cycle, name, a, b; null where a run has none."""
    models: tuple[str, str]
    """The evaluations that are compared: of each run's promoted model, on its held-out clips."""
    metric: str
    """By which the answers are compared: the first one of b's held-out set."""
    instead_of: str | None
    """The judged metric that accuracy stands for, since a run lacks replies of b's judge, and nobody is asked; null: none."""
    test: Comparison | None
    """Whether b is better than a, on the clips that both answered; null: they have none in common, or one is not evaluated."""
    p_worse: float | None
    """As test.p, for the opposite: how often a model that is no worse does as badly."""
    differing: int
    """Held-out clips that one of them answers right and the other one does not."""
    clips: list[ClipDifference] = field(default_factory=list)
    """Some of them, in the order of b's clips."""


def difference(a: Store, b: Store, num_clips: int) -> Difference:
    """Raises ValueError where one of them is no run. `num_clips`: differing held-out clips whose answers are read."""
    configs, seals = [run_config(store) for store in (a, b)], [read_seals(store) for store in (a, b)]
    promoted = tuple(name_of(history(sealed).best_cycle, "evaluate") for sealed in seals)
    heldout = configs[1].evaluate.sets[0]
    steps = list(zip((a, b), seals, promoted, strict=True))
    headline, instead_of = metric_of(heldout.metrics[0]), None
    try:
        answered = [_outcomes(*of, (configs[1], heldout)) for of in steps]
    except NotAsked:
        headline, instead_of = accuracy, headline.name
        heldout = heldout.model_copy(update={"metrics": (headline.name,)})
        answered = [_outcomes(*of, (configs[1], heldout)) for of in steps]
    both = _shared(answered[0], answered[1])
    differing = _differing(*both) if both else frozenset()
    return Difference(
        a=a.uri,
        b=b.uri,
        configuration=configuration(configs[0], configs[1]),
        data=list(data_changes((a, b), seals)),
        yields=list(yields(*(summarize(config, sealed) for config, sealed in zip(configs, seals, strict=True)))),
        models=(promoted[0], promoted[1]),
        metric=headline.name,
        instead_of=instead_of,
        test=paired(promoted[0], headline, *both) if both else None,
        p_worse=paired(promoted[1], headline, both[1], both[0]).p if both else None,
        differing=len(differing),
        clips=_clip_differences((a, b), seals, promoted, differing, num_clips),
    )


def configuration(a: RunConfig, b: RunConfig) -> dict[str, list[Any]]:
    """Keys with their two values. Place, cost and size of a machine are among them: they explain seconds.

    >>> from engine.config import Loop
    >>> configuration(RunConfig(), RunConfig(loop=Loop(max_cycles=5)))
    {'loop.max_cycles': [3, 5]}
    """
    flat = [dict(_flat(config.model_dump(mode="json"))) for config in (a, b)]
    keys = sorted({*flat[0], *flat[1]})
    return {
        key: [masked_values(own.get(key)) for own in flat]
        for key in keys
        if flat[0].get(key) != flat[1].get(key) and key not in PLACES
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def yields(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """`a` and `b`: summaries. Figures of cycles that differ, and the ends of both runs where these do."""
    for name in ("base_accuracy", "best_accuracy", "best_cycle", "stopped_because"):
        if a[name] != b[name]:
            yield {"cycle": None, "name": name, "a": a[name], "b": b[name]}
    for number in range(max(len(a["cycles"]), len(b["cycles"]))):
        own, other = (_own_counts(run["cycles"][number]) if number < len(run["cycles"]) else {} for run in (a, b))
        for name in YIELDS:
            if own.get(name) != other.get(name):
                yield {"cycle": number, "name": name, "a": own.get(name), "b": other.get(name)}


def _own_counts(cycle: Mapping[str, Any]) -> Mapping[str, Any]:
    """A cycle that asked nothing has no answers of its own: the counts in its summary are of the cycle before."""
    if "generate" in cycle["seconds"]:
        return cycle
    return {name: value for name, value in cycle.items() if name not in OF_ANSWERS}


def _outcomes(store: Store, sealed: Mapping[str, Seal], step: str, measured_as: tuple[RunConfig, EvaluationSet]) -> Outcomes | None:
    """Of a held-out evaluation, by the headline of a set; None where it is not sealed.

    Raises NotAsked where the run lacks replies of the set's judge: to compare asks nobody, and writes nothing.
    """
    if step not in sealed:
        return None
    with measuring(*measured_as, store, lambda marks: None, asks=False) as measures:
        scores = measures.scores(measures.metrics[:1])
        return read_outcomes(store, step, read_parts(store, HELDOUT, sealed[INGEST].files), scores).sorted()


def _shared(a: Outcomes | None, b: Outcomes | None) -> tuple[Outcomes, Outcomes] | None:
    """Both, of the clips alone that both runs hold out; None where there are none."""
    if a is None or b is None:
        return None
    _, in_a, in_b = np.intersect1d(a.ids, b.ids, assume_unique=True, return_indices=True)
    return (a.taken(in_a), b.taken(in_b)) if len(in_a) else None


def _differing(a: Outcomes, b: Outcomes) -> frozenset[int]:
    """Ids, as hashes, of the clips that both answered and that one of them has right."""
    answered = (a.states != FAILED) & (b.states != FAILED)
    return frozenset(a.ids[answered & ((a.states == RIGHT) != (b.states == RIGHT))].tolist())


def _clip_differences(
    stores: tuple[Store, Store], seals: Sequence[Mapping[str, Seal]], steps: Sequence[str], differing: frozenset[int], most: int
) -> list[ClipDifference]:
    if not differing or not most:
        return []
    places = _places(stores[1], seals[1], differing, most)
    named = frozenset(map(hash_of, places))
    before = _places(stores[0], seals[0], named, len(named))
    differences = []
    for clip_id, place in places.items():
        [own, other] = [
            attempts_at(store, step, sealed[step], where)[0][-1]
            for store, step, sealed, where in zip(stores, steps, seals, (before[clip_id], place), strict=True)
        ]
        differences.append(
            ClipDifference(
                clip_id=clip_id,
                label=place.clip.label.text,
                better="a" if own.outcome == "kept" else "b",
                text_a=own.text,
                text_b=other.text,
                reason_a=own.reason,
                reason_b=other.reason,
            )
        )
    return differences


def _places(store: Store, sealed: Mapping[str, Seal], wanted: frozenset[int], most: int) -> dict[str, Place]:
    """Where the first of these held-out clips lie, by clip_id, in the order of the run."""
    places: dict[str, Place] = {}
    for path, clips in read_parts(store, HELDOUT, sealed[INGEST].files):
        for row, clip in enumerate(clips):
            if hash_of(clip.clip_id) in wanted:
                places[clip.clip_id] = Place(part=path, row=row, clip=clip)
                if len(places) == most:
                    return places
    return places
