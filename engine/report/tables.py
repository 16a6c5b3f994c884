"""The rows of the report's tables, from its summary, its seals and its counts. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.config import RunConfig, Select
from engine.quantities import quantity
from engine.report.counts import UNTOLD, StepCounts
from engine.report.figures import measured_as
from engine.report.reasons import in_words, left_out
from engine.run.plan import INGEST, name_of
from engine.run.seals import Seal

MATRIX_LABELS, MOST_PAIRS = 16, 30
"""Up to so many labels the confusion is a matrix; of more, the most frequent pairs are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Yield:
    """Both readings of what a cycle's generation brings, each as (part, whole).

    Yield(cycle=0, clips=(300, 300), direct=(120, 300), direct_attempts=(120, 300), hinted=(180, 300), ...)
    """

    cycle: int
    clips: tuple[int, int]
    """Clips with any kept answer, of all clips."""
    attempts: tuple[int, int]
    direct: tuple[int, int]
    """Clips with a kept direct answer, of all clips."""
    direct_attempts: tuple[int, int]
    hinted: tuple[int, int]
    """Clips that only a rationalization keeps, of all clips."""
    hinted_attempts: tuple[int, int]
    """Kept rationalizations, of those that were tried: clips whose direct answers were all rejected."""


def yield_of(cycle: int, counts: StepCounts) -> Yield:
    def kept(*modes: str) -> tuple[int, int]:
        of_modes = {key: count for key, count in counts.attempts.items() if key[0] in modes and key[1] != "failed"}
        return sum(count for (_, outcome), count in of_modes.items() if outcome == "kept"), sum(of_modes.values())

    direct, hinted = counts.endings["kept direct"], counts.endings["kept rationalized"]
    return Yield(
        cycle=cycle,
        clips=(direct + hinted, counts.clips),
        attempts=kept("direct", "rationalized"),
        direct=(direct, counts.clips),
        direct_attempts=kept("direct"),
        hinted=(hinted, counts.clips),
        hinted_attempts=kept("rationalized"),
    )


def funnel_of(counts: StepCounts | None, select: Seal | None, section: Select) -> list[tuple[str, int, str]]:
    """What becomes of a cycle's clips, a stage a row: (name, count, note). Direct and hinted attempts are stages of their own."""
    rows: list[tuple[str, int, str]] = []
    if counts is not None:
        failed = sum(count for ending, count in counts.endings.items() if ending.startswith("failed"))
        rows.append(("train clips", counts.clips, f"{failed:,} failed" if failed else ""))
        for mode, name in (("direct", "answered without a hint"), ("rationalized", "shown the label, asked again")):
            kept, rejected = counts.attempts[mode, "kept"], counts.attempts[mode, "rejected"]
            answers = f"{kept + rejected:,} answers: {kept:,} kept, {rejected:,} rejected"
            rows.append((name, counts.clips_by_mode[mode], answers if kept + rejected else "none"))
        rows.append(("clips with a kept answer", counts.endings["kept direct"] + counts.endings["kept rationalized"], ""))
    if select is not None:
        chosen = select.counts
        parts = [f"{chosen[name]:,} {name}" for name in ("direct", "rationalized", "instruct", "episodes") if chosen.get(name)]
        left = left_out(chosen, section)
        if (
            counts
            and select.facts["direct_only"]
            and not chosen.get("rationalized")
            and (hinted := counts.endings["kept rationalized"])
        ):
            left.append(f"{quantity(hinted, 'clip')} that only a rationalization keeps")
        note = ", ".join(parts) + (f"; left out: {', '.join(left)}" if left else "")
        rows.append(("training examples", chosen.get("examples", 0), note))
    return rows


def reason_rows(steps: Sequence[tuple[str, StepCounts]]) -> list[dict[str, Any]]:
    """{"reason", "words", "counts": [(direct, rationalized), ...]} of each reason of a rejection, the most frequent first."""
    totals = Counter[str]()
    for _, counts in steps:
        for (_, reason), count in counts.reasons.items():
            totals[reason] += count
    return [
        {
            "reason": reason,
            "words": in_words(reason),
            "counts": [tuple(counts.reasons[mode, reason] for mode in ("direct", "rationalized")) for _, counts in steps],
        }
        for reason, _ in totals.most_common()
    ]


def failure_rows(steps: Sequence[tuple[str, StepCounts]]) -> list[tuple[str, str, str, int]]:
    """(step, kind, in words, clips) of each kind of failure."""
    return [
        (step, kind, in_words(kind), count)
        for step, counts in steps
        for ending, count in sorted(counts.endings.items())
        if (kind := ending.removeprefix("failed ")) != ending
    ]


def confusion_of(counts: StepCounts) -> dict[str, Any]:
    """{"labels", "has_others", "matrix", "pairs", "wrong", "untold"}: a matrix where there are few labels, else frequent pairs.

    Its last columns are labels that no clip of the step has, all in one, and answers of which it cannot be told what they mean.
    Nothing is wrong where it was not looked for what answers name.
    """
    wrong = {pair: count for pair, count in counts.answered.items() if pair[0] != pair[1]}
    pairs = sorted(((count, *pair) for pair, count in wrong.items() if pair[1] != UNTOLD), key=lambda row: (-row[0], *row[1:]))
    labels = sorted({label for label, _ in counts.answered})
    is_matrix = 1 < len(labels) <= MATRIX_LABELS
    others = Counter[str]()
    for (label, other), count in wrong.items():
        others[label] += count if other not in (*labels, UNTOLD) else 0
    has_others = bool(others.total())
    return {
        "labels": labels if is_matrix else [],
        "has_others": has_others,
        "matrix": [
            {
                "label": label,
                "cells": [
                    *(counts.answered[label, other] for other in labels),
                    *([others[label]] if has_others else []),
                    counts.answered[label, UNTOLD],
                ],
            }
            for label in (labels if is_matrix else [])
        ],
        "pairs": [{"clips": count, "label": label, "answered": other} for count, label, other in pairs[:MOST_PAIRS]],
        "wrong": sum(wrong.values()),
        "untold": sum(count for pair, count in wrong.items() if pair[1] == UNTOLD),
    }


def work_rows(summary: Mapping[str, Any], sealed: Mapping[str, Seal], counts: Mapping[str, StepCounts]) -> Iterator[dict[str, Any]]:
    """Seconds, throughput and cost of each sealed step."""
    losses = {name_of(of["cycle"], "train"): _loss(of) for of in summary["cycles"]}
    for step, seal in sealed.items():
        of_step = counts.get(step)
        clips = _clips(seal)
        steps = len(seal.facts.get("losses", [])) or None
        done = clips or steps
        yield {
            "step": step,
            "seconds": seal.seconds,
            "done": quantity(clips, "clip") if clips else quantity(steps, "step") if steps else "",
            "rate": f"{done / seal.seconds:,.1f} a second" if done and seal.seconds else "",
            "tokens": of_step.tokens if of_step else None,
            "cost": _cost(seal),
            "result": _measured(seal) if "accuracy" in seal.facts else losses.get(step, ""),
        }


def _clips(seal: Seal) -> int | None:
    """Those that were read or asked about."""
    if seal.step == INGEST:
        return seal.counts.get("clips")
    return None if seal.step.endswith(("/select", "/train")) else seal.facts.get("clips")


def _measured(seal: Seal) -> str:
    metric = next(iter(seal.facts.get("metrics", ())), "accuracy")
    return f"{measured_as(metric)} {seal.facts['accuracy']:.3f}"


def _cost(seal: Seal) -> float | None:
    """By the prices of the configuration, of the server that answered and of the judge; None where neither was paid."""
    costs = [seal.facts[name]["cost"] for name in ("asked", "judge") if seal.facts.get(name)]
    return sum(costs) if any(costs) else None


def _loss(cycle: Mapping[str, Any]) -> str:
    return "" if cycle["loss_last"] is None else f"loss {cycle['loss_first']:.2f} to {cycle['loss_last']:.2f}"


def lineage_rows(sealed: Mapping[str, Seal], summary: Mapping[str, Any], config: RunConfig) -> list[dict[str, str]]:
    """Which model answered and was trained in each cycle, and from what."""
    rows, without_own = [], "those of the cycle before" if config.generates else "none: no model is asked"
    for of in summary["cycles"]:
        cycle = of["cycle"]
        generate, select = sealed.get(name_of(cycle, "generate")), sealed.get(name_of(cycle, "select"))
        evaluate = sealed.get(name_of(cycle, "evaluate"))
        answered = generate.facts.get("model", {}).get("digest", "") if generate else ""
        train = sealed.get(name_of(cycle, "train"))
        rows.append(
            {
                "cycle": str(cycle),
                "answers": f"by model {answered}" if answered else without_own if select else "",
                "trained": f"from the base, on {_fed(select, train, config)}" if select and train else "",
                "model": evaluate.facts.get("model", {}).get("digest", "") if evaluate else "",
                "promoted": "promoted" if cycle == summary["best_cycle"] else "",
            }
        )
    return rows


def _fed(select: Seal, train: Seal, config: RunConfig) -> str:
    """What a finetune was fed: the rows of each source that has a weight in [mixture]."""
    nouns = {
        "direct": "direct answer" if config.generates else "template",
        "rationalized": "rationalized answer",
        "instruct": "conversation",
        "episodes": "episode",
    }
    sources = [
        quantity(select.counts[name], nouns[name]) for name in nouns if getattr(config.mixture, name) and select.counts.get(name)
    ]
    unused = f"; {train.counts['unused']:,} of these left out" if train.counts.get("unused") else ""
    return f"{', '.join(sources) or 'nothing'}{unused}"
