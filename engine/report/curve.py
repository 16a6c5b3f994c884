"""A few-shot curve as an SVG: number of shots on the x-axis, share of right answers on the y-axis. Pure: values in, text out."""

from collections.abc import Mapping, Sequence
from html import escape

COLOURS = ("#3a7bd5", "#8fb8ee", "#c0392b", "#2e8b57", "#8e44ad", "#d68910", "#7f8c8d", "#bfc5c6")
BASELINES = {"ceiling": "at most: both words in the context", "counting": "no model: the commonest words"}
"""Names of the text-only baselines (engine/episodes/properties.py), and of their lines."""
WIDTH, HEIGHT = 560, 340
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 34, 40


Drawn = tuple[int, float, float, float]
"""A point: shots, value 0..1, and the ends of its interval, which are the value where it has none."""


def svg(title: str, series: Mapping[str, Sequence[Drawn]]) -> str:
    """`series`: line name -> its points. The numbers of shots are evenly spaced on the x-axis."""
    shots = sorted({point[0] for line in series.values() for point in line})
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(value: int) -> float:
        return round(LEFT + wide * (shots.index(value) + 0.5) / len(shots), 1)

    def y(value: float) -> float:
        return round(TOP + high * (1 - min(1.0, max(0.0, value))), 1)

    drawn = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' font-family='sans-serif' font-size='12'>",
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='white'/>",
        f"<text x='{LEFT}' y='20' font-size='14'>{escape(title)}</text>",
    ]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        drawn.append(f"<path d='M{LEFT} {y(tick)}H{WIDTH - RIGHT}' stroke='#ddd'/>")
        drawn.append(f"<text x='{LEFT - 6}' y='{y(tick) + 4}' text-anchor='end'>{tick:g}</text>")
    drawn += [f"<text x='{x(value)}' y='{HEIGHT - 22}' text-anchor='middle'>{value}</text>" for value in shots]
    drawn.append(f"<text x='{LEFT + wide / 2}' y='{HEIGHT - 6}' text-anchor='middle'>shots</text>")
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{'M' if i == 0 else 'L'}{x(shot)} {y(value)}" for i, (shot, value, *_) in enumerate(line))
        drawn.append(f"<path d='{path}' fill='none' stroke='{colour}' stroke-width='2'/>")
        for shot, value, least, most in line:
            drawn.append(f"<path d='M{x(shot)} {y(least)}V{y(most)}' stroke='{colour}' opacity='.5'/>")
            drawn.append(f"<circle cx='{x(shot)}' cy='{y(value)}' r='3' fill='{colour}'/>")
        drawn.append(f"<text x='{LEFT + 8}' y='{TOP + 14 + 15 * number}' fill='{colour}'>{escape(name)}</text>")
    return "\n".join([*drawn, "</svg>"]) + "\n"
