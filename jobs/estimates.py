"""An estimate as tables and words, for a terminal."""

from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from typing import Any

from rich.console import Console
from rich.table import Table

from engine.estimate.bands import NOTHING, Band, exactly
from engine.estimate.estimate import Estimate
from engine.estimate.prices import NO_TABLE, Prices


def show(estimate: Estimate, memory: Sequence[str], prices: Prices | None, console: Console) -> None:
    """`memory`: the lines of engine/run/resources.py."""
    workload = estimate.workload
    splits = ", ".join(f"{count:,} {split}" for split, count in workload.clips.items())
    known = f"; the length of {workload.of_known_length:,} is known" if workload.of_known_length else ""
    console.print(f"clips     {splits}  ({workload.origin}{known})")
    console.print(f"video     {in_hours(estimate.hours)} of it")
    if estimate.gpu:
        console.print(f"GPU       {estimate.gpu}, {estimate.held_gpus:g} held at most")
    for line in memory:
        console.print(f"model     {line}")
    bases = list(dict.fromkeys(step.basis for step in estimate.steps if step.step in estimate.remaining))
    console.print(step_table(estimate, bases))
    for letter, basis in zip(ascii_lowercase, bases, strict=False):
        console.print(f"  {letter}: {basis}")
    if not estimate.remaining:
        console.print("the run is complete: nothing is left to do")
    else:
        for name, text in totals(estimate):
            console.print(f"{name:10}{text}")
        show_money(estimate, prices, console)
    if estimate.on_paper:
        console.print(paper_table(estimate))
    if estimate.beside:
        console.print(beside_table(estimate))
    console.print(assumption_table(estimate))
    for note in estimate.notes:
        console.print(f"note: {note}")


def totals(estimate: Estimate) -> list[tuple[str, str]]:
    requests = estimate.requests
    hungriest = max((step.decode_cpus for step in estimate.steps), key=lambda cpus: cpus.expected, default=NOTHING)
    rows = [
        ("questions", f"{number(estimate.questions)}; {estimate.questions_at_most:,} at most"),
        ("ETA", f"{span(estimate.eta_s)} for {len(estimate.remaining)} steps, if decoding keeps up"),
        ("GPU hours", f"{number(estimate.gpu_hours)} while they work; {number(estimate.held_gpu_hours)} if held from start to end"),
        (
            "storage",
            f"{size_in_words(estimate.bytes_kept)} kept; {size_in_words(estimate.bytes_passing)} more while checkpoints change",
        ),
        ("requests", f"{number(requests.puts)} writing, {number(requests.gets)} reading, {number(requests.lists)} listing"),
        ("decoding", f"{number(hungriest)} CPUs keep the hungriest step from waiting"),
        ("read", f"{size_in_words(estimate.bytes_read)} of videos"),
    ]
    return [row for row in rows if estimate.gpu or row[0] != "GPU hours"]


def show_money(estimate: Estimate, prices: Prices | None, console: Console) -> None:
    origin = ", ".join(filter(None, [prices.source, prices.date])) if prices else ""
    for cost in estimate.costs:
        amount = "no price" if cost.amount is None else f"{number(cost.amount)} {estimate.currency}".rstrip()
        console.print(f"money     {amount}: {cost.what}, {cost.how}")
    console.print(f"money     prices: {origin or 'of a table without source and date'}" if prices else f"money     {NO_TABLE}")


def step_table(estimate: Estimate, bases: Sequence[str]) -> Table:
    """The basis of a step's seconds is named by its letter."""
    table = _table("step", "questions", "at most", "optimizer steps", "wall-clock", "GPU hours", "written", "by")
    remaining = set(estimate.remaining)
    for step in estimate.steps:
        table.add_row(
            step.step if step.is_sure else f"{step.step} ?",
            number(step.questions) if step.questions_at_most else "",
            _figure(step.questions_at_most) if step.questions_at_most else "",
            number(step.optimizer_steps) if step.optimizer_steps.high else "",
            span(step.seconds) if step.step in remaining else "done",
            number(step.gpu_hours) if step.gpus else "",
            size_in_words(step.bytes_kept),
            ascii_lowercase[bases.index(step.basis)] if step.step in remaining else "",
        )
    return table


def paper_table(estimate: Estimate) -> Table:
    table = _table("on paper", "value", "extrapolated from")
    words: Mapping[str, Any] = {"bytes": size_in_words, "s": span, "": number}
    for row in estimate.on_paper:
        table.add_row(row.what, words[row.unit](row.value), row.points)
    return table


def beside_table(estimate: Estimate) -> Table:
    table = _table("done", "planned", "took", "took / planned", "questions planned", "asked", "bytes planned", "written")
    for row in estimate.beside:
        table.add_row(
            row.step,
            span(row.planned_s),
            span(exactly(row.actual_s)),
            f"{row.ratio:.2f}" if row.planned_s.expected else "",
            number(row.planned_questions) if row.planned_questions.high else "",
            f"{row.actual_questions:,}" if row.actual_questions else "",
            size_in_words(row.planned_bytes),
            size_in_words(exactly(row.actual_bytes)),
        )
    return table


def assumption_table(estimate: Estimate) -> Table:
    table = _table("assumption", "value", "what", "from")
    for name, assumption in estimate.assumed.by_name.items():
        table.add_row(name, number(assumption.value), assumption.what, assumption.source)
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def number(band: Band) -> str:
    """
    >>> number(Band(1, 2, 3)), number(exactly(1234567)), number(Band(0.01, 0.4, 0.61)), number(exactly(45_678))
    ('2 (1 to 3)', '1.23 M', '0.4 (0.01 to 0.61)', '45,678')
    """
    return _within(band, _figure)


def _figure(value: float) -> str:
    for letter, scale in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if value >= scale:
            return f"{value / scale:.3g} {letter}"
    if value >= 1e5:
        return f"{value / 1e3:.3g} k"
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def size_in_words(band: Band) -> str:
    """
    >>> size_in_words(Band(1, 2_000, 3_500_000))
    '2 kB (1 B to 3.5 MB)'
    """
    return _within(band, _size)


def _size(value: float) -> str:
    for unit, scale in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= scale:
            return f"{_three(value / scale)} {unit}"
    return f"{value:.0f} B"


def span(band: Band) -> str:
    """
    >>> span(Band(20, 3700, 864_000))
    '1.03 h (20 s to 10 days)'
    """
    return _within(band, _span)


def in_hours(band: Band) -> str:
    """
    >>> in_hours(Band(0.5, 1, 2))
    '1 h (0.5 to 2)'
    """
    text = _within(band, _figure)
    value, _, rest = text.partition(" ")
    return f"{value} h {rest}".rstrip()


def _span(seconds: float) -> str:
    for unit, length_s, from_s in (("days", 86_400, 172_800), ("h", 3600, 3600), ("min", 60, 120)):
        if seconds >= from_s:
            return f"{_three(seconds / length_s)} {unit}"
    return f"{seconds:.3g} s"


def _three(value: float) -> str:
    """Three digits, or all before the point.

    >>> _three(1234.5), _three(12.345)
    ('1,234', '12.3')
    """
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _within(band: Band, words: Any) -> str:
    expected = words(band.expected)
    return str(expected) if band.is_exact else f"{expected} ({words(band.low)} to {words(band.high)})"
