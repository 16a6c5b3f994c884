"""Few-shot curves of a run and of what lies beside it, as the page shows them. Pure: values of curve.json and icl.json in.

`starloop few-shot --out RUN/NAME` leaves NAME/curve.json in the run's folder; a run of `starloop icl` has few-shot/curve.json, and
icl.json three folders above it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from engine.quantities import quantity
from engine.report.curve import BASELINES
from engine.run.plan import name_of
from engine.run.seals import Seal

CONTROLS = {"as narrated": "", "videos shuffled": "shuffled", "no model: the majority of the shots": "majority"}
"""Lines of a curve, and the control that each is of."""
Line = Mapping[int, tuple[float, float, float]]
"""Number of shots -> share of queries with verb and noun right, and the ends of its interval, which are the share where it has
none."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Curve(where="few-shot", set="rare", about="tiny with runs/few/cycle-000/train/model; 100 queries", lines={...})"""

    where: str
    """Folder or file that it was read from, relative to the run."""
    set: str
    about: str
    lines: Mapping[str, Line]

    @property
    def shots(self) -> list[int]:
        return sorted({*chain.from_iterable(self.lines.values())})


def curves_of(where: str, value: Any) -> list[Curve]:
    """Of a curve.json or an icl.json, one for each set of queries; [] for a value that is neither.

    >>> measured = {"queries": 10, "both": 0.5, "both_low": 0.2, "both_high": 0.8, "failed": 1}
    >>> point = {"set": "rare", "control": "", "shots": 4} | measured
    >>> [curve] = curves_of("few-shot", {"model": "tiny", "adapter": "", "points": [point]})
    >>> curve.about, curve.lines
    ('tiny; 10 queries, of which 1 without a usable video', {'as narrated': {4: (0.5, 0.2, 0.8)}})
    >>> curves_of("few-shot", {"points": 3}), curves_of("icl.json", [])
    ([], [])
    """
    try:
        return [*(_of_points(where, value) if "points" in value else _of_seeds(where, value))]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return []


def _of_points(where: str, value: Mapping[str, Any]) -> Iterator[Curve]:
    points = value["points"]
    for name in sorted({point["set"] for point in points}):
        of_set = [point for point in points if point["set"] == name]
        lines: dict[str, Line] = {}
        for line, control in CONTROLS.items():
            own = {
                point["shots"]: (point["both"], point["both_low"], point["both_high"])
                for point in of_set
                if point["control"] == control
            }
            lines |= {line: own} if own else {}
        for baseline, line in BASELINES.items():
            by_shots = value.get("baselines", {}).get(name, {}).get(baseline, {})
            lines |= {line: _without_interval(by_shots)} if by_shots else {}
        queries, failed = of_set[0]["queries"], max(point["failed"] for point in of_set)
        adapter = f" with {value['adapter']}" if value["adapter"] else ""
        unusable = f", of which {failed:,} without a usable video" if failed else ""
        about = f"{value['model']}{adapter}; {quantity(queries, 'query')}{unusable}"
        yield Curve(where=where, set=name, about=about, lines=lines)


def _of_seeds(where: str, value: Mapping[str, Any]) -> Iterator[Curve]:
    """Of icl.json: means over seeds, of each variant of training."""
    for name, variants in value.items():
        lines = {title: _without_interval(of["curve"]) for title, of in variants.items()}
        seeds = max(of.get("seeds", 0) for of in variants.values())
        yield Curve(where=where, set=name, about=f"means over {quantity(seeds, 'seed')}, by what was trained on", lines=lines)


def _without_interval(shares: Mapping[str, float]) -> Line:
    return {int(shots): (share, share, share) for shots, share in shares.items()}


def episode_rows(sealed: Mapping[str, Seal], summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The episodes that each cycle trains on: {"cycle", "episodes", "drawn", "short"}; [] where there are none."""
    rows = []
    for of in summary["cycles"]:
        select = sealed.get(name_of(of["cycle"], "select"))
        if select is None or not (count := select.counts.get("episodes", 0)):
            continue
        drawn = {name.removeprefix("shots_"): shots for name, shots in select.counts.items() if name.startswith("shots_")}
        rows.append({"cycle": of["cycle"], "episodes": count, "drawn": drawn, "short": select.counts.get("short", 0)})
    return rows


def contexts_line(section: Any) -> str:
    """How contexts are made, of the section [episodes].

    >>> from engine.config import Episodes
    >>> contexts_line(Episodes(shots=(0, 4), top_actions=12))
    '0 or 4 shots each, bursty contexts, the 12 commonest actions alone; a shot shows the narration'
    """
    parts = [f"{_listed(section.shots)} shots each", f"{section.contexts} contexts"]
    if section.top_actions:
        parts.append(f"the {section.top_actions} commonest actions alone")
    if section.canonical:
        parts.append(f'all narrated as "{section.canonical}"')
    return f"{', '.join(parts)}; a shot shows the {'narration' if section.answers == 'narration' else 'kept answer'}"


def _listed(numbers: Sequence[int]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))}{' or ' if len(numbers) > 1 else ''}{numbers[-1]}"
