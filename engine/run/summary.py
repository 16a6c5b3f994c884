"""The facts of a run in one JSON value, from its seals alone: what the printed table shows and summary.json holds."""

from collections.abc import Mapping
from typing import Any

from engine.config import RunConfig
from engine.run.plan import BASE, CYCLE_KINDS, history, name_of, stopped_because
from engine.run.seals import Seal

LOSS_STEPS = 5
"""Training steps at each end whose losses are averaged: the loss of a single step depends too much on its batch."""


def summarize(config: RunConfig, sealed: Mapping[str, Seal]) -> dict[str, Any]:
    """{"base_accuracy", "best_accuracy", "best_cycle", "best_model", "stopped_because", "heldout_clips", "cycles"}

    best_cycle is -1 and best_model null if no cycle is better than the base.
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
        "stopped_because": stopped_because(config, past),
        "heldout_clips": base.facts["clips"] if base else None,
        "cycles": cycles,
    }


def _cycle(cycle: int, sealed: Mapping[str, Seal]) -> dict[str, Any]:
    generate, select, train, evaluate = (sealed.get(name_of(cycle, kind)) for kind in CYCLE_KINDS)
    accounts = (generate or select).facts if (generate or select) else {}  # type: ignore[union-attr]
    losses = train.facts["losses"] if train else []
    return {
        "cycle": cycle,
        "clips": accounts.get("clips", 0),
        "direct_kept": accounts.get("direct_kept", 0),
        "rationalized_kept": accounts.get("rationalized_kept", 0),
        "dropped": accounts.get("dropped", {}),
        "failed": accounts.get("failed", {}),
        "examples": select.facts["examples"] if select else None,
        "direct_only": bool(select.facts["direct_only"]) if select else None,
        "loss_first": _mean(losses[:LOSS_STEPS]),
        "loss_last": _mean(losses[-LOSS_STEPS:]),
        "heldout_accuracy": evaluate.facts["accuracy"] if evaluate else None,
        "seconds": {kind: round(seal.seconds, 1) for kind in CYCLE_KINDS if (seal := sealed.get(name_of(cycle, kind)))},
    }


def _mean(losses: list[float]) -> float | None:
    return round(sum(losses) / len(losses), 4) if losses else None
