"""Prints what a run will take before it starts, and beside it what it took: clips, questions, hours, storage, requests, money."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.config import RunConfig
from engine.estimate.assumptions import assumptions
from engine.estimate.cycles import steps_at_most
from engine.estimate.estimate import Estimate, Inputs, make_estimate
from engine.estimate.hardware import Gpu, choose
from engine.estimate.observed import Observed, observe
from engine.estimate.prices import read_prices
from engine.estimate.workload import Workload, of_manifest, of_seal, on_paper
from engine.presets import differing_keys, load_config
from engine.run.plan import INGEST
from engine.run.resources import budget, refuse_odd_shares
from engine.run.work import read_seals, run_config
from engine.store.documents import to_json
from engine.store.files import Store
from engine.store.locations import has_placeholder
from engine.store.troubles import StorageError
from engine.store.weights import local
from jobs.estimates import show
from jobs.view import a_console
from models.folders import SMALL_FILES
from models.registry import size

LOOK_S = 10.0
"""How long to wait for storage that holds the run, if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """PlanOptions(clips=100_000_000, gpu="H100", assume=["direct_share=0.5"], as_json=True): the options of the command."""

    clips: int | None = None
    """On paper; None: those of the manifest, or of the run."""
    gpu: str = ""
    prices: Path | None = None
    assume: Sequence[str] = field(default_factory=list)
    as_json: bool = False


def plan(path: Path | None, options: PlanOptions, settings: list[str]) -> None:
    config = load_config(path, settings)
    refuse_odd_shares(config)
    prices = read_prices(options.prices) if options.prices else None
    assumed = assumptions(options.assume)
    gpu = choose(options.gpu, config.cluster.gpu_memory_gib, prices.known_gpus() if prices else {})
    specs, access, finetune = config.models(), config.access(), config.train.finetune()
    instruct, base = (size(local(spec, access, SMALL_FILES), finetune) for spec in (specs[0], specs[-1]))
    observed, trouble = (Observed(), "") if options.clips is not None else look_at_run(config)
    workload = workload_of(config, options.clips, observed)
    inputs = Inputs(
        config=config,
        instruct=instruct,
        base=base,
        workload=workload,
        assumed=assumed,
        observed=observed,
        gpu=gpu,
        prices=prices,
    )
    estimate = make_estimate(inputs, is_on_paper=options.clips is not None)
    memory = budget(_on(config, gpu) if options.gpu else config, base)
    refusals = [f"a run would be refused: {line}" for line in memory.refusals]
    is_open = 'cluster.generator_actors = "auto" is planned as 1; --set the number that your cluster will hold'
    undecided = [is_open] if config.cluster.generator_actors == "auto" else []
    estimate = replace(estimate, notes=[*filter(None, [trouble]), *refusals, *undecided, *estimate.notes])
    if options.as_json:
        print(to_json(plan_json(config, estimate, memory.lines)).decode())
    else:
        show(estimate, memory.lines, prices, a_console())


def _on(config: RunConfig, gpu: Gpu) -> RunConfig:
    """The configuration for that GPU's memory, of which the driver keeps the same share as of 80 GB."""
    of_80 = RunConfig.model_fields["cluster"].get_default(call_default_factory=True).gpu_memory_gib / 80
    memory_gib = min(config.cluster.gpu_memory_gib, gpu.memory_gib * of_80)
    return config.model_copy(update={"cluster": config.cluster.model_copy(update={"gpu_memory_gib": memory_gib})})


def look_at_run(config: RunConfig) -> tuple[Observed, str]:
    """What the run at run.uri has shown so far, and why it could not be looked at; ("" and nothing observed: it has not begun).

    Raises ValueError where it was begun with another configuration.
    """
    if has_placeholder(config.run.uri):
        return Observed(), ""
    store = Store(config.run.uri, replace(config.access(), patience_s=min(LOOK_S, config.limits.storage_patience_s)))
    try:
        if store.read("config.json") is None:
            return Observed(), ""
        begun, sealed = run_config(store), read_seals(store)
        heldout = config.data.heldout if config.data.heldout is not None else begun.data.heldout
        now = config.model_copy(update={"data": config.data.model_copy(update={"heldout": heldout})})
        if changed := differing_keys(begun.identity(), now.identity()):
            raise ValueError(
                f"{config.run.uri} was begun with another configuration ({'; '.join(changed)}); plan with its own, or choose "
                "another run.uri"
            )
        return observe(store, sealed, steps_at_most(config, sealed)), ""
    except StorageError as error:
        return Observed(), f"planned as a new run, because its folder cannot be read: {error}"


def workload_of(config: RunConfig, clips: int | None, observed: Observed) -> Workload:
    if clips is not None:
        return on_paper(config, clips)
    if INGEST in observed.sealed:
        return of_seal(config, observed.sealed[INGEST])
    return of_manifest(config)


def plan_json(config: RunConfig, estimate: Estimate, memory: list[str]) -> dict[str, Any]:
    """The estimate as `starloop plan --json` prints it; a band is {"low", "expected", "high"}."""
    value = asdict(estimate)
    return {"run": config.run.uri} | value | {"memory": memory, "assumed": value["assumed"]["by_name"]}
