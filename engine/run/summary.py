"""The facts of a run in one JSON value, from its seals alone: what the printed table shows and summary.json holds."""

from collections.abc import Mapping
from typing import Any

from engine.config import RunConfig
from engine.run.plan import BASE, CYCLE_KINDS, History, history, name_of, stopped_because, unrationalized, without_examples
from engine.run.seals import Seal

LOSS_STEPS = 5
"""Training steps at each end whose losses are averaged: the loss of a single step depends too much on its batch."""


def summarize(config: RunConfig, sealed: Mapping[str, Seal]) -> dict[str, Any]:
    """{"base_accuracy", "best_accuracy", "best_cycle", "best_model", "stopped_because", "note", "parent", "heldout_clips",
    "sets", "cycles"}

    best_cycle is -1 and best_model null if no cycle is better than the base. In a run that continues another one ("parent", its
    URI) the base is that one's promoted model.
    """
    past = history(sealed)
    base = sealed.get(BASE)
    cycles: list[dict[str, Any]] = []
    while name_of(len(cycles), "select") in sealed or name_of(len(cycles), "generate") in sealed:
        cycles.append(_cycle(len(cycles), sealed))
    return {
        "base_accuracy": past.base if base else None,
        "best_accuracy": past.best if base else None,
        "best_cycle": past.best_cycle,
        "best_model": f"{name_of(past.best_cycle, 'train')}/model" if past.best_cycle >= 0 else None,
        "stopped_because": stopped_because(config.loop, sealed),
        "note": "; ".join(filter(None, [_note(sealed), unrationalized(config), _kept(config, past, sealed)])),
        "parent": config.parent.run or None,
        "heldout_clips": base.facts["clips"] if base else None,
        "sets": {name: values for name in set_names(config) if (values := _set(config, name, past.best_cycle, sealed))},
        "cycles": cycles,
    }


def set_names(config: RunConfig) -> list[str]:
    """The evaluation sets beside the held-out split."""
    return [evaluation_set.name for evaluation_set in config.evaluate.sets[1:]]


def _set(config: RunConfig, name: str, best_cycle: int, sealed: Mapping[str, Seal]) -> dict[str, Any]:
    """{"metric", "base", "best", "clips", "metrics"} of an evaluation set; {} until base and best cycle are evaluated on it."""
    base, best = sealed.get(name_of(-1, "evaluate", name)), sealed.get(name_of(best_cycle, "evaluate", name))
    if base is None or best is None:
        return {}
    metric = next(evaluation_set.metrics[0] for evaluation_set in config.evaluate.sets if evaluation_set.name == name)
    return {
        "metric": metric,
        "base": base.facts["accuracy"],
        "best": best.facts["accuracy"],
        "clips": base.facts["clips"],
        "metrics": {"base": base.facts["metrics"], "best": best.facts["metrics"]},
    }


def _note(sealed: Mapping[str, Seal]) -> str:
    """What a reader has to know of how the run ended; "" where there is nothing to say."""
    cycle = without_examples(sealed)
    if cycle is None:
        return ""
    facts = sealed[name_of(cycle, "select")].facts
    which = "on direct attempts alone " if facts["direct_only"] else ""
    return (
        f"cycle {cycle}'s finetune {which}was skipped: of {facts.get('clips', 0)} clips none has a kept attempt to train on, "
        "so the run ends on its best model so far"
    )


def _kept(config: RunConfig, past: History, sealed: Mapping[str, Seal]) -> str:
    """Which model stays promoted where a continuation has none that is better; "" where it is under way, or has one."""
    if not config.parent.model or past.best_cycle >= 0 or stopped_because(config.loop, sealed) == "not finished":
        return ""
    return f"no cycle is better than the promoted model of {config.parent.run}, which stays promoted: {config.parent.model}"


def _cycle(cycle: int, sealed: Mapping[str, Seal]) -> dict[str, Any]:
    generate, select, train, evaluate = (sealed.get(name_of(cycle, kind)) for kind in CYCLE_KINDS)
    accounts = (generate or select).facts if (generate or select) else {}  # type: ignore[union-attr]
    first, last = _ends(train.facts["losses"] if train else [])
    return {
        "cycle": cycle,
        "clips": accounts.get("clips", 0),
        "direct_kept": accounts.get("direct_kept", 0),
        "rationalized_kept": accounts.get("rationalized_kept", 0),
        "dropped": accounts.get("dropped", {}),
        "failed": accounts.get("failed", {}),
        "asked": generate.facts.get("asked") if generate else None,
        "examples": select.facts["examples"] if select else None,
        "direct_only": bool(select.facts["direct_only"]) if select else None,
        "loss_first": first,
        "loss_last": last,
        "heldout_accuracy": evaluate.facts["accuracy"] if evaluate else None,
        "seconds": {kind: round(seal.seconds, 1) for kind in CYCLE_KINDS if (seal := sealed.get(name_of(cycle, kind)))},
    }


def has_report(summary: Mapping[str, Any]) -> bool:
    """Whether there is enough for a page: a model of the run was evaluated."""
    return summary["best_accuracy"] is not None and bool(summary["cycles"])


def results_of(seal: Seal) -> dict[str, Any]:
    """What a sealed step came to: an accuracy, or the losses at both ends of a finetune; each None for other steps.

    >>> results_of(Seal(step="a", identity="", files=[], counts={}, facts={"losses": [2.0, 1.0]}, seconds=1.0, epoch=1))
    {'accuracy': None, 'loss_first': 2.0, 'loss_last': 1.0}
    """
    first, last = _ends(seal.facts.get("losses", []))
    return {"accuracy": seal.facts.get("accuracy"), "loss_first": first, "loss_last": last}


def result_of(seal: Seal) -> str:
    """The results in a few words; "" for a step without any.

    >>> result_of(Seal(step="a", identity="", files=[], counts={}, facts={"losses": [2.0, 1.0]}, seconds=1.0, epoch=1))
    'loss 2.0 -> 1.0'
    """
    results = results_of(seal)
    if results["accuracy"] is not None:
        return f"accuracy {results['accuracy']:.3f}"
    return "" if results["loss_first"] is None else f"loss {results['loss_first']} -> {results['loss_last']}"


def _ends(losses: list[float | None]) -> tuple[float | None, float | None]:
    """The mean loss of the first and of the last steps, none in both. Steps without an answer to learn from have no loss."""
    finite = [loss for loss in losses if loss is not None]
    steps = min(LOSS_STEPS, max(1, len(finite) // 2))
    return _mean(finite[:steps]), _mean(finite[-steps:])


def _mean(losses: list[float]) -> float | None:
    return round(sum(losses) / len(losses), 4) if losses else None
