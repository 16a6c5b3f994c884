"""Which run is continued, under which configuration, and whether there is anything to do."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.audit import reviews
from engine.config import Parent, RunConfig
from engine.extend.compare import Comparison, Ready, clips_of, is_change, line_of
from engine.extend.known import Known
from engine.generate.lineage import MANIFEST
from engine.generate.reuse import Past
from engine.ingest.listing import Listing
from engine.ingest.splits import refuse_empty
from engine.presets import differing_keys, with_settings
from engine.run import loop
from engine.run.checks import check_settings
from engine.run.children import note_child
from engine.run.lease import lease_state
from engine.run.plan import history, name_of, next_step, refuse_gaps, without_examples
from engine.run.seals import Seal
from engine.run.work import Progress, read_seals, run_config
from engine.store.files import Store
from engine.store.filesystems import Storage

log = logging.getLogger(__name__)

ANSWERS = ("model", "generate", "prompts", "verify")
"""Sections that decide an answer and its verdict: where one of them differs, no attempt of before stands."""
CHOICE = ("select", "mixture", "episodes")
"""Sections that decide which answers are trained on."""
FIXED = ("run.uri", "data.manifest", "parent")
"""Keys that the command line decides otherwise."""


@dataclass(frozen=True, kw_only=True)
class Extension:
    """Extension(run="runs/first", manifest="new.csv", out="", settings=["loop.max_cycles=1"]): what `starloop extend` is to do."""

    run: str
    manifest: str
    out: str = ""
    """The new run's folder or URI; default: RUN-001, RUN-002 and so on, each of which continues the one before."""
    settings: list[str]
    is_dry: bool = False
    """Only log what would be done."""


def extend(extension: Extension, access: Storage, report: Callable[[Progress], None]) -> tuple[str, dict[str, Any]] | None:
    """Bring what is under way to its end, and begin a run with the new manifest if it changes a clip.

    Returns the URI and the summary of the run that was last at work; None where there was nothing to do. Raises ValueError for
    what a user got wrong.
    """
    refuse_fixed(extension.settings)
    parent, child = places(extension, access)
    latest = None
    if child is not None and extension.is_dry:
        step = next_step(run_config(child), read_seals(child))
        log.info("would bring %s to its end first: its next step is %s", child.uri, step.name if step else "none")
        return None
    if child is not None:
        latest = child.uri, loop.run(with_settings(run_config(child), extension.settings), report)
        if extension.out:
            return latest
        parent = child
    refuse_unfinished(parent, extension.settings)
    begun = begin(parent, extension, access)
    if begun is None:
        return latest
    return begun.run.uri, loop.run(begun, report)


def refuse_fixed(settings: list[str]) -> None:
    for setting in settings:
        key = setting.partition("=")[0].strip()
        if key in FIXED or key.startswith("parent."):
            raise ValueError(f"--set {setting}: `starloop extend RUN MANIFEST --out RUN2` decides {key}; leave it out")


def places(extension: Extension, access: Storage) -> tuple[Store, Store | None]:
    """The run that is continued, and its continuation if that has begun and can be brought to its end."""
    root = Store(extension.run.rstrip("/") or extension.run, access)
    if extension.out:
        child = Store(extension.out.rstrip("/") or extension.out, access)
        if child.url() == root.url():
            raise ValueError(f"--out {extension.out} is the run itself; name another folder, or leave --out away")
        run_config(root)
        return root, child if is_child(child, root) else None
    parent = latest_of(root, access)
    config = run_config(parent)
    sealed = read_seals(parent)
    is_under_way = parent.url() != root.url() and next_step(config, sealed) is not None
    is_open = is_under_way and not chooses_otherwise(config, sealed, extension.settings)
    return parent, parent if is_open else None


def latest_of(root: Store, access: Storage) -> Store:
    """The last of a run's continuations RUN-001, RUN-002 and so on; the run itself where it has none."""
    run_config(root)
    latest, number = root, 1
    while is_child(following := Store(f"{root.uri}-{number:03d}", access), latest):
        latest, number = following, number + 1
    return latest


def is_child(store: Store, parent: Store) -> bool:
    """Whether a run has begun there; raises ValueError where it continues another one."""
    if store.read("config.json") is None:
        return False
    begun = run_config(store).parent.run
    if begun != parent.url():
        what = f"continues {begun}" if begun else "continues no run"
        raise ValueError(f"{store.uri} is a run that {what}, not {parent.url()}; choose another folder with --out")
    return True


def refuse_unfinished(parent: Store, settings: list[str]) -> None:
    """Raises ValueError, unless the run is complete, or `settings` choose otherwise from its answers."""
    config, sealed = run_config(parent), read_seals(parent)
    refuse_gaps(config, sealed)
    step = next_step(config, sealed)
    if step is not None and (lease_state(parent).holder or not chooses_otherwise(config, sealed, settings)):
        raise ValueError(f"{parent.uri} is not finished, its next step is {step.name}; bring it to its end first, then extend it")


def chooses_otherwise(config: RunConfig, sealed: Mapping[str, Seal], settings: list[str]) -> bool:
    """Whether a run stands at its first select step, or has ended without examples, and the settings choose otherwise.

    Where a select step leaves nothing to train on, the run itself cannot go on: its settings are part of what it is.
    """
    is_at_first = name_of(0, "generate") in sealed and name_of(0, "select") not in sealed
    if not is_at_first and without_examples(sealed) is None:
        return False
    before, now = config.identity(), with_settings(config, settings).identity()
    return any(before[name] != now[name] for name in CHOICE)


def begin(parent: Store, extension: Extension, access: Storage) -> RunConfig | None:
    """The configuration of the new run, whose clips are written; None where nothing changes, and with is_dry."""
    old, sealed = run_config(parent), read_seals(parent)
    out = Store(extension.out.rstrip("/") or following_uri(extension.run, parent), access)
    new = with_settings(old, extension.settings)
    data, model = new.data.model_copy(update={"manifest": extension.manifest}), promoted_model(parent, old, sealed)
    source, others = source_of(old, new, sealed)
    lineage = Parent(run=parent.url(), step=source, model=model, manifest=extension.manifest)
    new = new.model_copy(update={"run": new.run.model_copy(update={"uri": out.uri}), "data": data, "parent": lineage})
    known, past = Known(parent), Past(parent, source) if source else None
    listing = Listing(access)
    with Comparison() as comparison:
        clips = clips_of(data, known, access)
        comparison.read(listing.counted(clips) if extension.is_dry else clips, known, Ready(past, rationalizes(new)))
        log.info("%s", line_of(comparison.changes, extension.manifest, parent.uri))
        words = reviews.unheard(parent, sealed)
        if words:
            log.info("people's words that no select step has heard: %d", words)
        if not is_change(comparison.changes) and not words and not chooses_otherwise(old, sealed, extension.settings):
            log.info("nothing to do: %s changes no clip of %s", extension.manifest, parent.uri)
            return None
        refuse_empty(comparison.sizes(), [*comparison.changes])
        if others:
            log.info("no answer is reused, because they were made with other settings: %s", "; ".join(others))
        if extension.is_dry:
            check_settings(new, "")
            if listing.missing.count:
                count, first = listing.missing.count, listing.first_missing
                log.info(
                    "clips without a video, which would fail: %d; the first one that is missing: %s",
                    count,
                    first,
                )
            log.info("would begin %s, with %s", out.uri, model or new.model.instruct or new.model.base)
            return None
        comparison.write(out)
    reviews.copy(parent, out)
    note_child(parent, out.url())
    return new.model_copy(update={"data": data.model_copy(update={"manifest": out.url(MANIFEST)})})


def promoted_model(run: Store, config: RunConfig, sealed: dict[str, Seal]) -> str:
    """Its URI: of the best cycle; where none is better, what the run itself began with, "" for model.instruct."""
    best = history(sealed).best_cycle
    model = run.url(f"{name_of(best, 'train')}/model") if best >= 0 else config.parent.model
    if model and not Store(model, run.storage).names(""):
        raise ValueError(f"{model} is gone, the promoted model of {run.uri}, with which a continuation begins; restore it")
    return model


def following_uri(run: str, parent: Store) -> str:
    """
    >>> following_uri("runs/a/", Store("runs/a")), following_uri("runs/a", Store("runs/a-009"))
    ('runs/a-001', 'runs/a-010')
    """
    root = run.rstrip("/")
    number = parent.uri.removeprefix(f"{root}-") if parent.uri != root else "0"
    return f"{root}-{int(number) + 1:03d}"


def source_of(old: RunConfig, new: RunConfig, sealed: dict[str, Seal]) -> tuple[str, list[str]]:
    """The step whose attempts may stand, and the settings because of which none does: ("", [...]).

    It is the last generate step: its model is the best that has answered about all clips. The promoted model may have answered
    about none, where the last cycle is the best one.
    """
    steps = [name for name in sealed if name.endswith("/generate")]
    before, now = old.identity(), new.identity()
    others = [line for name in ANSWERS for line in differing_keys(before[name], now[name], f"{name}.")]
    if new.generate.temperature:
        others += differing_keys({"run.seed": before["run"]["seed"]}, {"run.seed": now["run"]["seed"]})
    if not steps or not new.generates:
        return "", []
    return ("", others) if others else (steps[-1], [])


def rationalizes(config: RunConfig) -> bool:
    """Whether the first cycle's rejected answers are rationalized: not where it is the last one, of direct attempts only."""
    is_final = config.loop.final_direct_only and config.loop.max_cycles == 1
    return config.generate.rationalize and not is_final
