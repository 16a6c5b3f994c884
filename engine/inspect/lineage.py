"""What an example was made from: attempt, piece, the model that answered, that model's examples, down to the base; and which
models were trained on it, in this run and in those that continue it."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from engine.config import RunConfig
from engine.inspect.columns import read_column, rows_with
from engine.inspect.find import attempts_at, find_clip, likest
from engine.inspect.selected import Sources, trained
from engine.rows import Attempt, Example
from engine.run.children import children_of
from engine.run.collected import collected_of
from engine.run.plan import Step, history, name_of, so_far
from engine.run.seals import Seal
from engine.run.work import read_seals, run_config
from engine.store.files import Store

ORIGIN = ("source", "answer", "seed", "model")
"""Columns of an example that are the same in a run that continues its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestor:
    """A model on the way from the base to an example: it gave the answers that the next one was trained on, or the example's."""

    model: str
    """URI of an adapter; of the model before the first cycle its name, as model.instruct, model.base or generate.openai has it."""
    digest: str
    """Of its weights and engine; "" where the step that asked it is not sealed."""
    answered: str
    """The generate step that asked it, as a URI."""
    trained_by: str | None
    """The train step; null: it was there before the run."""
    examples: dict[str, int] | None
    """Numbers of direct and rationalized examples and of conversations that it was trained on; null: as above."""
    base: str
    """The model that its finetune began with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A model that was trained on the example, or will be."""

    run: str
    select: str
    train: str
    model: str | None
    """URI; null: the train step is not sealed."""
    is_deleted: bool
    """`starloop gc` has deleted it."""
    trained: str | None
    """What the train step did with it, in words."""
    accuracy: float | None
    """Of that model, on the held-out clips."""
    promoted: bool
    """Whether it is the run's promoted model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """An example of a run, as `starloop lineage --json` prints it."""

    run: str
    example: dict[str, Any]
    """Its row."""
    generate: str | None
    """The step that asked for its answer, as a URI; null: it is no answer of a model, or the step is gone."""
    attempt: dict[str, Any] | None
    """Piece, outcome, reason, score, seed, prompt of the attempt; null as above, or its piece is gone."""
    ancestors: list[Ancestor]
    """The model that answered, then those whose answers it was trained on, down to the first."""
    uses: list[Use]


def lineage_of(store: Store, example_id: str) -> Lineage:
    """Raises ValueError where there is no run, or no such example in it; it names those that are most like it."""
    sources = Sources(store, run_config(store), read_seals(store))
    steps = so_far(sources.config, sources.sealed)
    selects = [step for step in steps if step.kind == "select" and step.name in sources.sealed]
    example = next((own for step in selects for own in _examples(store, step, "example_id", example_id)), None)
    if example is None:
        lists = (read_column(store, f"{step.name}/examples.parquet", "example_id").to_pylist() for step in selects)
        remedy = likest(example_id, lists) or ("its select steps chose none" if selects else "no select step is complete yet")
        if not remedy.endswith("?"):
            remedy += "; `starloop inspect` says what became of a clip"
        raise ValueError(f"{store.uri} has no example {example_id!r}; {remedy}")
    attempt, origin = _attempt(sources, example)
    return Lineage(
        run=store.uri,
        example=example.to_row(),
        generate=origin or None,
        attempt=_described(attempt) if attempt else None,
        ancestors=list(_ancestors(store, origin)) if origin else [],
        uses=[use for own in _family(store) for use in _uses(own, example)],
    )


def _examples(store: Store, step: Step, column: str, value: str) -> list[Example]:
    return [Example.from_row(row) for row in rows_with(store, f"{step.name}/examples.parquet", column, value).rows.to_pylist()]


def _attempt(sources: Sources, example: Example) -> tuple[Attempt | None, str]:
    """The attempt whose text the example is, and the URI of the step that asked for it."""
    step = name_of(example.cycle, "generate")
    if example.source != "star" or step not in sources.sealed:
        return None, ""
    place = find_clip(sources.store, sources.sealed, example.clip_id, "train")
    attempts, _ = attempts_at(sources.store, step, sources.sealed[step], place)
    attempt = next((own for own in attempts if (own.mode, own.seed) == (example.mode, example.seed)), None)
    return attempt, attempt.origin if attempt and attempt.origin else sources.store.url(step)


def _described(attempt: Attempt) -> dict[str, Any]:
    names = (
        "piece_id",
        "mode",
        "sample",
        "outcome",
        "reason",
        "detail",
        "score",
        "support",
        "prompt",
        "text",
        "seed",
        "model",
        "etag",
    )
    return {name: getattr(attempt, name) for name in names} | {"judgements": [asdict(own) for own in attempt.judgements]}


def _ancestors(store: Store, origin: str) -> Iterator[Ancestor]:
    """`origin`: the generate step, as a URI: of this run, or of one that it continues."""
    run, *cycle_and_kind = origin.rsplit("/", 2)
    step_name = "/".join(cycle_and_kind)
    own = store if run == store.url().rstrip("/") else Store(run, store.storage)
    if own.read("config.json") is None:
        return
    config, sealed = run_config(own), read_seals(own)
    steps = {step.name: step for step in so_far(config, sealed)}
    while (step := steps.get(step_name)) is not None:
        model = sealed[step_name].facts.get("model", {}) if step_name in sealed else {}
        first = config.parent.model or model.get("base") or config.model.instruct or config.model.base
        yield Ancestor(
            model=own.url(f"{step.model}/model") if step.model else first,
            digest=model.get("digest", ""),
            answered=own.url(step_name),
            trained_by=step.model or None,
            examples=_counts(sealed, steps, step.model),
            base=config.model.base,
        )
        step_name = _answers_of(steps, step.model)
    if config.parent.run and config.parent.step and not steps.get(step_name):
        yield from _parent(own, config)


def _parent(store: Store, config: RunConfig) -> Iterator[Ancestor]:
    """Of the run that this one continues: its promoted model is this one's first."""
    before = Store(config.parent.run, store.storage)
    cycle = config.parent.model.removeprefix(f"{config.parent.run}/").partition("/")[0]
    if config.parent.model and before.read("config.json") is not None:
        yield from _ancestors(before, before.url(f"{cycle}/generate"))


def _counts(sealed: Mapping[str, Seal], steps: Mapping[str, Step], train: str) -> dict[str, int] | None:
    if train not in steps or (select := steps[train].inputs[0]) not in sealed:
        return None
    counts = sealed[select].counts
    return {name: counts[name] for name in ("direct", "rationalized", "instruct") if counts.get(name)}


def _answers_of(steps: Mapping[str, Step], train: str) -> str:
    """The latest generate step whose answers a train step was fed; "" where there is none."""
    if train not in steps:
        return ""
    sources = [name for name in steps[steps[train].inputs[0]].inputs if name.endswith("/generate")]
    return sources[-1] if sources else ""


def _family(store: Store) -> Iterator[Store]:
    """A run, and those that continue it or one of these, as far as they are still there."""
    waiting, known = [store.url()], set[str]()
    while waiting:
        own = Store(url := waiting.pop(0), store.storage)
        if url in known or own.read("config.json") is None:
            continue
        known.add(url)
        yield own
        waiting += children_of(own)


def _uses(store: Store, example: Example) -> Iterator[Use]:
    sources = Sources(store, run_config(store), read_seals(store))
    sealed, best = sources.sealed, history(sources.sealed).best_cycle
    for step in so_far(sources.config, sealed):
        if step.kind != "select" or step.name not in sealed:
            continue
        of_clip = _examples(store, step, "clip_id", example.clip_id)  # a narration stands beside the answer to the same clip
        own = next((own for own in of_clip if all(getattr(own, name) == getattr(example, name) for name in ORIGIN)), None)
        if own is None:
            continue
        train, evaluated = name_of(step.cycle, "train"), sealed.get(name_of(step.cycle, "evaluate"))
        yield Use(
            run=store.uri,
            select=step.name,
            train=train,
            model=store.url(f"{train}/model") if train in sealed else None,
            is_deleted=f"{train}/model" in collected_of(store, train),
            trained=trained(sources, step, own),
            accuracy=evaluated.facts["accuracy"] if evaluated else None,
            promoted=step.cycle == best,
        )
