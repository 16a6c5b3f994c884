"""Intervals and tests of a summary in words, for the terminal and the page. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from engine.run.promotion import EVERY_CYCLE

LONGEST_LABEL = 100
"""Characters of a label in a table, a filter or a sentence; free answers are longer."""


def label_text(label: str) -> str:
    """
    >>> label_text("rising"), len(label_text("He takes the cup. " * 20))
    ('rising', 100)
    """
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"


def interval_text(interval: Sequence[float] | None) -> str:
    """
    >>> interval_text([0.3346, 0.4694]), interval_text(None)
    ('0.335 to 0.469', '')
    """
    return "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def intervals_line(figures: Mapping[str, Any]) -> str:
    """Of a summary, or of one of its sets. "" for a run of a version that had no intervals.

    >>> intervals_line({"base_interval": [0.3346, 0.4694], "best_interval": [0.981, 1.0]})
    '95 % intervals: 0.335 to 0.469, and 0.981 to 1.000'
    """
    base, best = (interval_text(figures.get(name)) for name in ("base_interval", "best_interval"))
    return f"95 % intervals: {base}, and {best}" if base and best else ""


def yield_lines(cycles: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each cycle's generation brought without a hint, and with one; then what grounding says of it.

    >>> counts = {"cycle": 0, "clips": 200, "direct_kept": 60, "rationalized_kept": 120, "direct": 1600, "direct_right": 240}
    >>> counts["seconds"] = {"generate": 9.0}
    >>> yield_lines([counts | {"grounding": {"scored": 350, "unscored": 10, "ungrounded": 12}}])[0]
    'Cycle 0: without a hint 60 of 200 clips (30.0 %) have a kept answer, 240 of 1600 samples (15.0 %); the hint adds 120 (60.0 %)'
    >>> yield_lines([counts | {"direct": 200, "grounding": {"scored": 350, "unscored": 10, "ungrounded": 12}}])[1]
    'Cycle 0: of 360 kept answers 350 were read with other videos; 12 fit these as well, and were left out (select.min_grounding)'
    """
    lines = []
    for cycle in cycles:
        clips, name = cycle["clips"], f"Cycle {cycle['cycle']}"
        if clips and "generate" in cycle["seconds"]:  # a cycle that trains on earlier answers alone brings none
            direct, samples = cycle["direct_kept"], cycle.get("direct") or 0
            right = cycle.get("direct_right") or 0
            of_samples = f", {right} of {samples} samples ({right / samples:.1%})" if samples > clips else ""
            lines.append(
                f"{name}: without a hint {direct} of {clips} clips ({direct / clips:.1%}) have a kept answer"
                f"{of_samples}; the hint adds {cycle['rationalized_kept']} "
                f"({cycle['rationalized_kept'] / clips:.1%})".replace("%", " %")
            )
        if grounding := cycle.get("grounding"):
            scored, ungrounded = grounding["scored"], grounding["ungrounded"]
            gate = "" if ungrounded is None else f"; {ungrounded} fit these as well, and were left out (select.min_grounding)"
            lines.append(f"{name}: of {scored + grounding['unscored']} kept answers {scored} were read with other videos{gate}")
    return lines


def measured_as(metric: str) -> str:
    """A metric's name in a sentence.

    >>> measured_as("qa_score")
    'qa score'
    """
    return metric.replace("_", " ")


def comparison_text(comparison: Mapping[str, Any] | None) -> str:
    """What the test of a cycle came to, and whether that promotes it; "" where none was made.

    >>> counts = {"step": "base/evaluate", "won": 120, "lost": 0, "p": 7.523e-37}
    >>> comparison_text(counts | {"level": 0.025}), comparison_text(counts | {"level": None})
    ('120 clips better and 0 worse than base, p = 7.5e-37: promoted', '120 clips better and 0 worse than base, p = 7.5e-37')
    >>> comparison_text(counts | {"p": 0.0312, "level": 0.025})
    '120 clips better and 0 worse than base, p = 0.031: not promoted, which takes 0.025'
    >>> comparison_text(counts | {"p": 0.9, "level": 1.0})
    '120 clips better and 0 worse than base, p = 0.9: promoted, as every cycle is'
    """
    if not comparison:
        return ""
    other, p, level = comparison["step"].partition("/")[0], comparison["p"], comparison["level"]
    text = f"{comparison['won']} clips better and {comparison['lost']} worse than {other}, p = {p:.2g}"
    if level is None:
        return text
    if level >= EVERY_CYCLE:
        return f"{text}: promoted, as every cycle is"
    return f"{text}: {'promoted' if p <= level else f'not promoted, which takes {level:g}'}"
