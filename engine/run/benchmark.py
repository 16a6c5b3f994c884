"""A model on evaluation sets, without a loop: each set has a folder of its own, which is a run that only evaluates.

So everything that holds for a run holds here: pieces, seals, a lease, logs, the answers as rows. A set that is done is only read,
and shares nothing with another one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from engine.config import HELDOUT, EvaluationSet, Parent, Run, RunConfig
from engine.connection import connect
from engine.presets import differing_keys
from engine.run import loop
from engine.run.lease import Lease
from engine.run.plan import history, name_of, next_step
from engine.run.resources import needs
from engine.run.seals import SEAL, Seal, read_seal
from engine.run.work import Progress, pieces_of, read_seals, run_config
from engine.store.documents import to_json
from engine.store.files import Store
from engine.store.filesystems import Storage

RESULT = "benchmark.json"
MEASURED = ("judge", "sentence_model", "cross_encoder", "bert_model")
MEASURED_OF_SET = ("metrics", "judge", "when")
"""Keys of [evaluate] and of a set that decide nothing about answers, and so may change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Subject(name="runs/mine", base="models/pllava-7b/base", adapter="runs/mine/cycle-001/train/model"): what is evaluated."""

    name: str
    """As it was named: a model, or a run."""
    base: str
    adapter: str = ""
    run: str = ""
    """The run whose promoted model it is; "": of none."""


def promoted(uri: str, storage: Storage) -> tuple[Subject, RunConfig]:
    """A run's promoted model, or where none is promoted what the run began with; and the run's configuration."""
    store = Store(uri, storage)
    config, best = run_config(store), history(read_seals(store)).best_cycle
    adapter = store.url(f"{name_of(best, 'train')}/model") if best >= 0 else config.parent.model
    base = config.model.base if adapter else config.model.instruct or config.model.base
    return Subject(name=uri, base=base, adapter=adapter, run=store.url()), config


def configured(config: RunConfig, subject: Subject, evaluation_set: EvaluationSet, out: str) -> RunConfig:
    """The configuration of the run that evaluates a model on one set."""
    sets = (EvaluationSet(name=HELDOUT), evaluation_set)
    changes: dict[str, Any] = {
        "run": Run(uri=f"{out.rstrip('/')}/{evaluation_set.name}", seed=config.run.seed, trackers=()),
        "parent": Parent(run=subject.run or subject.adapter, model=subject.adapter) if subject.adapter else Parent(),
        "data": config.data.model_copy(update={"manifest": "", "heldout": 0.0, "test": None}),
        "model": config.model.model_copy(update={"base": subject.base, "instruct": "", "allow_tiny": True}),
        "evaluate": config.evaluate.model_copy(update={"sets": sets, "only": True}),
    }
    return config.model_copy(update=changes)


def benchmark(configs: Sequence[RunConfig], report: Callable[[Progress], None]) -> Iterator[dict[str, Any]]:
    """The result of each set, as soon as it is there. Raises ValueError for what a user got wrong, before anything is asked."""
    stores = [Store(config.run.uri, config.access()) for config in configs]
    for config, store in zip(configs, stores, strict=True):
        open_again(config, store)
    with ExitStack() as stack:
        for config, store in zip(configs, stores, strict=True):
            if (seal := _seal(config, store)) is None:
                if len(configs) > 1:  # one Ray for all of them
                    stack.enter_context(connect(config.cluster.address, *needs(config), run=config.run.uri))
                loop.run(config, report)
                seal = _seal(config, store)
            assert seal is not None, "a run that only evaluates ends with its set"
            result = result_of(config, store, seal)
            store.write(RESULT, to_json(result, indent=1))
            yield result


def open_again(config: RunConfig, store: Store) -> None:
    """Prepare a folder that was begun: where only metrics or the judge are others, the same answers are measured anew.

    Raises ValueError where the folder has answers of another model, to another set or to another wording.
    """
    if store.read("config.json") is None:
        return
    begun, current = (_decided(own) for own in (run_config(store), config))
    if changed := differing_keys(begun["answers"], current["answers"]):
        raise ValueError(
            f"{store.url()} has answers of another model, set or wording ({'; '.join(changed)}); choose another --out, or delete it"
        )
    if begun != current:
        with Lease(store) as lease:
            lease.confirm()
            store.delete(f"{step_of(config)}/{SEAL}")  # first: a seal beside the new configuration would count as its own
            store.write("config.json", to_json(config.model_dump(mode="json"), indent=1))


def _decided(config: RunConfig) -> dict[str, Any]:
    """What decides the answers, and what decides only how they are measured."""
    identity = config.identity()
    evaluate = identity["evaluate"]
    chosen = dict(evaluate["sets"][1])
    measured = {name: chosen.pop(name) for name in MEASURED_OF_SET}
    measured |= {name: evaluate.get(name) for name in MEASURED}
    answers = identity | {"evaluate": {"lora_alpha": evaluate["lora_alpha"]}, "set": chosen}
    return {"answers": answers, "measured": measured}


def _seal(config: RunConfig, store: Store) -> Seal | None:
    if store.read("config.json") is None or next_step(config, read_seals(store)) is not None:
        return None
    return read_seal(store, step_of(config))


def step_of(config: RunConfig) -> str:
    return name_of(-1, "evaluate", config.evaluate.sets[1].name)


def result_of(config: RunConfig, store: Store, seal: Seal) -> dict[str, Any]:
    """{"set", "format", "model", "adapter", "clips", "videos", "failed", "metrics": {name: {"value", "low", "high", "clips",
    "answered"}}, "groups", "judge", "answers"}; "answered": over the clips whose videos could be used."""
    facts, own = seal.facts, config.evaluate.sets[1]
    return {
        "set": own.name,
        "format": own.format,
        "model": config.model.base,
        "adapter": config.parent.model or None,
        "clips": facts["clips"],
        "videos": facts["videos"],
        "failed": facts["failed"],
        "metrics": {name: _metric(name, facts) for name in facts["metrics"]},
        "groups": facts["groups"],
        "judge": facts.get("judge"),
        "answers": store.url(pieces_of(step_of(config))),
    }


def _metric(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    low, high = facts["intervals"][name]
    value = facts["metrics"][name]
    answered = facts["answered"].get(name, value)
    return {"value": value, "low": low, "high": high, "clips": facts["counts"][name], "answered": answered}
