"""The rows of the report's tables, from its summary, its seals and its counts. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.quantities import quantity
from engine.report.counts import UNTOLD, StepCounts
from engine.report.reasons import in_words
from engine.run.plan import CYCLE_KINDS, name_of
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


def funnel_of(cycle: int, counts: StepCounts | None, select: Seal | None) -> list[tuple[str, int, str]]:
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
        left = [f"{chosen[name]:,} {name.replace('_', ' ')}" for name in ("ungrounded", "over_limit", "unused") if chosen.get(name)]
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
    """{"labels", "matrix", "pairs", "wrong", "untold"}: a matrix where there are few labels, else the most frequent pairs."""
    wrong = {pair: count for pair, count in counts.answered.items() if pair[0] != pair[1]}
    pairs = sorted(((count, *pair) for pair, count in wrong.items() if pair[1] != UNTOLD), key=lambda row: (-row[0], *row[1:]))
    labels = sorted(counts.clips_by_label)
    is_matrix = 1 < len(labels) <= MATRIX_LABELS
    return {
        "labels": labels if is_matrix else [],
        "matrix": [
            {
                "label": label,
                "cells": [counts.answered[label, other] for other in (*labels, UNTOLD)],
                "clips": counts.clips_by_label[label],
            }
            for label in (labels if is_matrix else [])
        ],
        "pairs": [{"clips": count, "label": label, "answered": other} for count, label, other in pairs[:MOST_PAIRS]],
        "wrong": sum(wrong.values()),
        "untold": sum(count for pair, count in wrong.items() if pair[1] == UNTOLD),
    }


def work_rows(summary: Mapping[str, Any], sealed: Mapping[str, Seal], counts: Mapping[str, StepCounts]) -> Iterator[dict[str, Any]]:
    """Seconds, throughput and cost of each sealed step of a cycle."""
    for cycle in (-1, *(of["cycle"] for of in summary["cycles"])):
        for kind in CYCLE_KINDS:
            step = name_of(cycle, kind)
            if (seal := sealed.get(step)) is None:
                continue
            of_step = counts.get(step)
            clips = of_step.clips if of_step else None
            steps = len(seal.facts.get("losses", [])) or None
            done = clips or steps
            yield {
                "step": step,
                "seconds": seal.seconds,
                "done": quantity(clips, "clip") if clips else quantity(steps, "step") if steps else "",
                "rate": f"{done / seal.seconds:,.1f} a second" if done and seal.seconds else "",
                "tokens": of_step.tokens if of_step else None,
                "cost": _cost(seal),
                "result": f"{seal.facts['accuracy']:.3f}" if "accuracy" in seal.facts else _loss(summary, cycle, kind),
            }


def _cost(seal: Seal) -> float | None:
    """By the prices of the configuration, of the server that answered and of the judge; None where neither was paid."""
    costs = [seal.facts[name]["cost"] for name in ("asked", "judge") if seal.facts.get(name)]
    return sum(costs) if any(costs) else None


def _loss(summary: Mapping[str, Any], cycle: int, kind: str) -> str:
    if kind != "train" or (last := summary["cycles"][cycle]["loss_last"]) is None:
        return ""
    return f"loss {summary['cycles'][cycle]['loss_first']:.2f} to {last:.2f}"


def lineage_rows(sealed: Mapping[str, Seal], summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """Which model answered and was trained in each cycle, and from what."""
    rows = []
    for of in summary["cycles"]:
        cycle = of["cycle"]
        generate, select = sealed.get(name_of(cycle, "generate")), sealed.get(name_of(cycle, "select"))
        evaluate = sealed.get(name_of(cycle, "evaluate"))
        answered = generate.facts.get("model", {}).get("digest", "") if generate else ""
        examples = quantity(select.counts.get("examples", 0) if select else 0, "example")
        direct = " of direct answers alone" if of["direct_only"] else ""
        rows.append(
            {
                "cycle": str(cycle),
                "answers": f"by model {answered}" if answered else "those of the cycle before" if select else "",
                "trained": f"from the base, on {examples}{direct}" if name_of(cycle, "train") in sealed else "",
                "model": evaluate.facts.get("model", {}).get("digest", "") if evaluate else "",
                "promoted": "promoted" if cycle == summary["best_cycle"] else "",
            }
        )
    return rows
