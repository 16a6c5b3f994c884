"""The facts of a run in one JSON value, from its seals alone: what the printed table shows and summary.json holds."""

from collections.abc import Mapping
from typing import Any

from engine.config import TEST, RunConfig
from engine.generate.groups import yields_of
from engine.generate.scores import Groundings
from engine.report.reasons import left_out
from engine.run.caveats import caveats
from engine.run.plan import BASE, CYCLE_KINDS, has_ended, history, name_of, stopped_because, without_examples
from engine.run.promotion import History
from engine.run.seals import Seal
from engine.select.choose import BOTH_MODES
from engine.select.grounded import Gate

LOSS_STEPS = 5
"""Training steps at each end whose losses are averaged: the loss of a single step depends too much on its batch."""


def summarize(config: RunConfig, sealed: Mapping[str, Seal]) -> dict[str, Any]:
    """{"metric", "base_accuracy", "base_interval", "best_accuracy", "best_interval", "best_cycle", "best_model", "stopped_because",
    "note", "parent", "heldout_clips", "heldout_videos", "sets", "test", "cycles"}

    The accuracies are values of "metric", the first one of the held-out set. best_cycle is -1 and best_model null if no cycle is
    better than the base. In a run that continues another one ("parent", its URI) the base is that one's promoted model. "test": as
    an entry of "sets", of the clips that data.test sets apart; null until they are opened.
    """
    past = history(sealed)
    base = sealed.get(BASE)
    cycles: list[dict[str, Any]] = []
    while name_of(len(cycles), "select") in sealed or name_of(len(cycles), "generate") in sealed:
        cycles.append(_cycle(len(cycles), sealed, config.select.min_grounding))
    return {
        "metric": config.sets[0].metrics[0],
        "base_accuracy": past.base if base else None,
        "base_interval": _interval(base),
        "best_accuracy": past.best if base else None,
        "best_interval": _interval(sealed.get(name_of(past.best_cycle, "evaluate"))),
        "best_cycle": past.best_cycle,
        "best_model": f"{name_of(past.best_cycle, 'train')}/model" if past.best_cycle >= 0 else None,
        "stopped_because": "all sets are evaluated" if is_over(config, sealed) else stopped_because(config.loop, sealed),
        "note": "; ".join(filter(None, [_note(config, sealed), *caveats(config), _kept(config, past, sealed)])),
        "parent": config.parent.run or None,
        "heldout_clips": base.facts["clips"] if base else None,
        "heldout_videos": base.facts.get("videos") if base else None,
        "sets": {name: values for name in set_names(config) if (values := _set(config, name, past.best_cycle, sealed))},
        "test": _set(config, TEST, past.best_cycle, sealed) or None,
        "cycles": cycles,
    }


def is_over(config: RunConfig, sealed: Mapping[str, Seal]) -> bool:
    """Whether a run that only evaluates has done so."""
    return config.evaluate.only and has_ended(config, sealed)


def set_names(config: RunConfig) -> list[str]:
    """The evaluation sets beside the held-out split."""
    return [evaluation_set.name for evaluation_set in config.evaluate.sets[1:]]


def _set(config: RunConfig, name: str, best_cycle: int, sealed: Mapping[str, Seal]) -> dict[str, Any]:
    """{"metric", "base", "base_interval", "best", "best_interval", "clips", "metrics", "comparison"} of an evaluation set.

    {} until base and best cycle are evaluated on it.
    """
    base, best = sealed.get(name_of(-1, "evaluate", name)), sealed.get(name_of(best_cycle, "evaluate", name))
    if base is None or best is None:
        return {}
    metric = next(evaluation_set.metrics[0] for evaluation_set in config.sets if evaluation_set.name == name)
    return {
        "metric": metric,
        "base": base.facts["accuracy"],
        "base_interval": _interval(base),
        "best": best.facts["accuracy"],
        "best_interval": _interval(best),
        "clips": base.facts["clips"],
        "metrics": {"base": base.facts["metrics"], "best": best.facts["metrics"]},
        "comparison": _deciding_nothing(best.facts.get("comparison")),
    }


def _deciding_nothing(comparison: dict[str, Any] | None) -> dict[str, Any] | None:
    """The held-out clips alone decide what is promoted: the seals of older versions have a level beside other sets' tests, too."""
    return comparison and comparison | {"level": None}


def _interval(seal: Seal | None) -> list[float] | None:
    """Of the headline metric, 95 %; None where the step is not sealed, or by a version that had no intervals."""
    if seal is None or "intervals" not in seal.facts:
        return None
    headline = next(iter(seal.facts["metrics"]))
    return list(seal.facts["intervals"][headline])


def _note(config: RunConfig, sealed: Mapping[str, Seal]) -> str:
    """What a reader has to know of how the run ended; "" where there is nothing to say."""
    cycle = without_examples(sealed)
    if cycle is None:
        return ""
    selected = sealed[name_of(cycle, "select")]
    facts = selected.facts
    which = "on direct attempts alone " if facts["direct_only"] else ""
    kept = facts.get("direct_kept", 0) + (0 if facts["direct_only"] else facts.get("rationalized_kept", 0))
    others = left_out(selected.counts, config.select)
    why = f" (left out: {', '.join(others)})" if others else ""
    have = (
        f"{kept} have a kept attempt, and none of these is left to train on{why}" if kept else "none has a kept attempt to train on"
    )
    return (
        f"cycle {cycle}'s finetune {which}was skipped: of {facts.get('clips', 0)} clips {have}, "
        "so the run ends on its best model so far"
    )


def _kept(config: RunConfig, past: History, sealed: Mapping[str, Seal]) -> str:
    """Which model stays promoted where a continuation has none that is better; "" where it is under way, or has one."""
    if not config.parent.model or past.best_cycle >= 0 or stopped_because(config.loop, sealed) == "not finished":
        return ""
    return f"no cycle is better than the promoted model of {config.parent.run}, which stays promoted: {config.parent.model}"


def _cycle(cycle: int, sealed: Mapping[str, Seal], min_grounding: float | str) -> dict[str, Any]:
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
        "near_copies": _near_copies(select.counts) if select else {},
        "direct": accounts.get("direct"),
        "direct_right": accounts.get("direct_right"),
        "groups": {name: yields_of(counts) for name, counts in (generate.facts.get("groups", {}) if generate else {}).items()},
        "asked": generate.facts.get("asked") if generate else None,
        "grounding": _grounding(generate, select, min_grounding),
        "judge": generate.facts.get("judge") if generate else None,
        "examples": select.facts["examples"] if select else None,
        "direct_only": bool(select.facts["direct_only"]) if select else None,
        "loss_first": first,
        "loss_last": last,
        "heldout_accuracy": evaluate.facts["accuracy"] if evaluate else None,
        "heldout_interval": _interval(evaluate),
        "comparison": evaluate.facts.get("comparison") if evaluate else None,
        "over_base": _over_base(evaluate),
        "seconds": {kind: round(seal.seconds, 1) for kind in CYCLE_KINDS if (seal := sealed.get(name_of(cycle, kind)))},
    }


def _over_base(evaluate: Seal | None) -> dict[str, Any] | None:
    """The comparison with the base; None where none was made, as in a run of a version that compared with the best before alone."""
    facts = evaluate.facts if evaluate else {}
    comparison: dict[str, Any] | None = facts.get("over_base", facts.get("comparison"))
    return comparison if comparison and comparison["step"] == BASE else None


def _near_copies(counts: Mapping[str, int]) -> dict[str, int]:
    """Train clips by where the clip is that they are near-copies of.

    >>> _near_copies({"examples": 9, "near_copies.heldout": 2})
    {'heldout': 2}
    """
    return {name.removeprefix("near_copies."): count for name, count in counts.items() if name.startswith("near_copies.")}


def _grounding(generate: Seal | None, select: Seal | None, min_grounding: float | str) -> dict[str, Any] | None:
    """{"scored", "unscored", "mismatched", "ungrounded"}: kept answers with a score and without one, pairs of a text with another
    video (of the model that has most of them: a continued run reuses answers of several), and answers of this cycle that
    select.min_grounding rejects; that is null until they are chosen, and where no threshold was set."""
    facts = generate.facts.get("grounding") if generate else None
    if not facts:
        return None
    groundings = Groundings.of(facts)
    total, models = groundings.total(), groundings.by_model(BOTH_MODES).values()
    is_gated = select is not None and Gate.of(min_grounding, [facts]).has_threshold
    return {
        "scored": total.scored,
        "unscored": total.unscored,
        "mismatched": max((own.mismatched.total() for own in models), default=0),
        "ungrounded": _ungrounded(select, groundings.cycle) if select and is_gated else None,
    }


def _ungrounded(select: Seal, cycle: int) -> int:
    """Rejected answers of the cycle; with select.carry_over a select step rejects those of several. Older seals count all alike."""
    if "ungrounded" in select.facts:
        return int(select.facts["ungrounded"].get(str(cycle), 0))
    return select.counts.get("ungrounded", 0)


def has_report(summary: Mapping[str, Any]) -> bool:
    """Whether there is enough for a page: a model of the run has answered."""
    return summary["best_accuracy"] is not None or bool(summary["cycles"])


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
        return f"{next(iter(seal.facts.get('metrics', ())), 'accuracy').replace('_', ' ')} {results['accuracy']:.3f}"
    if results["loss_first"] is None:
        return ""
    steps = _ends_of(seal.facts["losses"])
    return f"loss {results['loss_first']} -> {results['loss_last']}{f' (means of {steps} steps)' if steps > 1 else ''}"


def _ends(losses: list[float | None]) -> tuple[float | None, float | None]:
    """The mean loss of the first and of the last steps, none in both. Steps without an answer to learn from have no loss."""
    finite, steps = [loss for loss in losses if loss is not None], _ends_of(losses)
    return _mean(finite[:steps]), _mean(finite[-steps:])


def _ends_of(losses: list[float | None]) -> int:
    """How many steps make an end."""
    return min(LOSS_STEPS, max(1, sum(loss is not None for loss in losses) // 2))


def _mean(losses: list[float]) -> float | None:
    return round(sum(losses) / len(losses), 4) if losses else None
