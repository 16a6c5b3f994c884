"""Small charts as SVG, in the page's own colours. Pure: values in, text out.

Two charts of a page do not pay for a plotting library, whose SVG would be larger than the rest of the page and know no dark mode.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 520, 190, 34, 26, 12, 14
POINTS = 240
"""Points of a curve at most: longer ones are averaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Mark(name="cycle 0", value=0.97, low=0.936, high=0.986, is_best=True): a value with the ends of its interval."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    is_best: bool = False


def values(marks: Sequence[Mark], title: str, bounds: tuple[float, float]) -> Markup:
    """Dots with their intervals, between the bounds of their metric."""
    low, high = bounds

    def y(value: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (high - min(high, max(low, value))) / (high - low), 1)

    step = (WIDTH - LEFT - RIGHT) / max(1, len(marks))
    drawn = _grid([(tick, y(tick)) for tick in (low + (high - low) * quarter / 4 for quarter in range(5))])
    for number, mark in enumerate(marks):
        x, css = round(LEFT + step * (number + 0.5), 1), "best" if mark.is_best else "mark"
        if mark.low is not None and mark.high is not None:
            drawn.append(f'<path class="{css} whisker" d="M{x} {y(mark.low)}V{y(mark.high)}"/>')
        drawn.append(f'<circle class="{css}" cx="{x}" cy="{y(mark.value)}" r="4.5"/>')
        drawn.append(f'<text class="value" x="{x + 9}" y="{y(mark.value) + 4}">{mark.value:.3f}</text>')
        drawn.append(f'<text text-anchor="middle" x="{x}" y="{HEIGHT - 8}">{escape(mark.name)}</text>')
    return _svg(title, drawn)


def losses(curves: Sequence[tuple[str, Sequence[float | None]]], title: str) -> Markup:
    """A line for each (name, losses of the training steps); steps without a loss are left out."""
    thinned = [(name, _thinned([loss for loss in line if loss is not None])) for name, line in curves]
    most = max((max(line) for _, line in thinned if line), default=1.0) or 1.0
    steps = max((len(line) for _, line in curves), default=1)

    def y(value: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / most), 1)

    drawn = _grid([(most * share, y(most * share)) for share in (0.0, 0.5, 1.0)])
    for number, (name, line) in enumerate(thinned):
        if not line:
            continue
        wide = (WIDTH - LEFT - RIGHT) * len(curves[number][1]) / steps
        places = [(LEFT + wide * (place + 0.5) / len(line), y(value)) for place, value in enumerate(line)]
        path = " ".join(f"{'L' if place else 'M'}{x:.1f} {height}" for place, (x, height) in enumerate(places))
        drawn.append(f'<path class="line c{number % 4}" d="{path}"/>')
        place = f'x="{WIDTH - RIGHT}" y="{TOP + 12 + 15 * number}"'
        drawn.append(f'<text class="legend c{number % 4}" text-anchor="end" {place}>{escape(name)}</text>')
    drawn.append(f'<text text-anchor="middle" x="{(WIDTH + LEFT) / 2}" y="{HEIGHT - 8}">{steps:,} steps</text>')
    return _svg(title, drawn)


def by_shots(lines: Mapping[str, Mapping[int, tuple[float, float, float]]], title: str) -> Markup:
    """A line for each name: number of shots, evenly spaced on the x-axis -> value 0 to 1, and the ends of its interval."""
    shots = sorted({number for line in lines.values() for number in line})
    low = HEIGHT - BOTTOM + 16 * len(lines)  # names stand below: lines may run anywhere

    def x(number: int) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (shots.index(number) + 0.5) / len(shots), 1)

    def y(value: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(1.0, max(0.0, value))), 1)

    drawn = _grid([(tick, y(tick)) for tick in (0.0, 0.25, 0.5, 0.75, 1.0)])
    drawn += [f'<text text-anchor="middle" x="{x(number)}" y="{HEIGHT - 8}">{number}</text>' for number in shots]
    for place, (name, line) in enumerate(lines.items()):
        css, dash = f"c{place % 4}", ' stroke-dasharray="5 4"' if place >= 4 else ""
        points = sorted(line.items())
        path = " ".join(f"{'L' if number else 'M'}{x(of)} {y(value)}" for number, (of, (value, *_)) in enumerate(points))
        drawn.append(f'<path class="line {css}"{dash} d="{path}"/>')
        for of, (value, least, most) in points:
            drawn.append(f'<path class="line whisker {css}" d="M{x(of)} {y(least)}V{y(most)}"/>' if least < most else "")
            drawn.append(f'<path class="line dot {css}" d="M{x(of)} {y(value)}h.01"/>')
        drawn.append(f'<path class="line {css}"{dash} d="M{LEFT} {HEIGHT + 8 + 16 * place}h24"/>')
        drawn.append(f'<text class="legend {css}" x="{LEFT + 32}" y="{HEIGHT + 12 + 16 * place}">{escape(name)}</text>')
    return _svg(title, drawn, low + BOTTOM + 4)


def _thinned(line: Sequence[float]) -> list[float]:
    """At most POINTS values, each the mean of its stretch."""
    if len(line) <= POINTS:
        return list(line)
    ends = [len(line) * number // POINTS for number in range(POINTS + 1)]
    return [sum(line[start:end]) / (end - start) for start, end in pairwise(ends)]


def _grid(ticks: Sequence[tuple[float, float]]) -> list[str]:
    lines = []
    for value, y in ticks:
        lines.append(f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>')
        lines.append(f'<text text-anchor="end" x="{LEFT - 6}" y="{y + 4}">{value:.3g}</text>')
    return lines


def _svg(title: str, drawn: Sequence[str], height: int = HEIGHT) -> Markup:
    head = f'<svg class="chart" role="img" aria-label="{escape(title)}" viewBox="0 0 {WIDTH} {height}">'
    return Markup("".join([head, *drawn, "</svg>"]))
