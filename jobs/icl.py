"""In-context learning on a laptop: a world told by narrators, a tiny model trained on episodes of it, and its few-shot curve.

Beside it the same model trained without context; and, if asked, with each of EILEV's three properties taken away.
"""

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table

from engine.config import RunConfig, load_config
from engine.connection import connect
from engine.evaluate.few_shot.step import few_shot
from engine.report.curve import svg
from engine.run import loop
from engine.run.plan import name_of
from engine.run.resources import needs
from engine.store.files import Store
from jobs import episodes
from jobs.view import View, a_console
from worlds import narrators

CONFIG = Path(__file__).parent / "configs" / "icl.toml"
NUM_VIDEOS, NUM_NARRATORS, NARRATIONS_EACH = 600, 32, 300
VARIANTS = {"episodes": [], "without context": ["episodes.shots=[0]"]}
ABLATIONS = {
    "random contexts": ['episodes.contexts="random"'],
    "12 commonest actions": ["episodes.top_actions=12"],
    "canonical narrations": ['episodes.canonical="The {noun} {verb}."'],
}
"""Of burstiness, of the tail, of dynamic meaning: in training. All are evaluated on the same contexts."""
T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}
"""Student's t, for a 95 % interval of the mean of so many values."""


def icl(out: str, seeds: int, ablations: bool, settings: list[str]) -> None:
    if seeds not in T_95:
        raise ValueError(f"--seeds {seeds}: 2 to {max(T_95)}")
    console = a_console()
    manifest = _world(out, console)
    base = [f"data.manifest={manifest}", *settings]
    config = load_config(CONFIG, base)
    folder = Store(f"{out}/episodes")
    if folder.read("properties.json") is None:
        for line in episodes.build(config, folder):
            console.print(line)
    found: dict[str, list[dict[str, Any]]] = {}
    with View(console) as view, connect(config.cluster.address, *needs(config)):
        for name, changes in (VARIANTS | (ABLATIONS if ablations else {})).items():
            for seed in range(seeds):
                begun = time.monotonic()
                points = _trained_and_asked(out, name, seed, [*base, *changes], view)
                found.setdefault(name, []).append(points)
                curve = ", ".join(f"{shots}: {_both(points, 'rare', '', shots):.2f}" for shots in _shots(points))
                console.print(f"{name}, seed {seed}: rare actions by shots {curve}; {time.monotonic() - begun:.0f} s")
    _report(out, found, console)


def _world(out: str, console: Console) -> str:
    """The manifest of the narrated world, rendered unless it is there."""
    manifest, videos = Path(out) / "manifest.jsonl", Path(out) / "videos"
    if not manifest.exists():
        console.print(f"rendering {NUM_VIDEOS} videos into {videos}, told by {NUM_NARRATORS} narrators, {NARRATIONS_EACH} each")
        clips = narrators.write_world(videos, NUM_VIDEOS, NUM_NARRATORS, NARRATIONS_EACH, seed=0)
        rows = [clip.to_row() | {"label": clip.label.text, "video": f"videos/{Path(clip.video).name}"} for clip in clips]
        for row in rows:
            del row["split"]
        Store(out).write(manifest.name, "".join(json.dumps(row) + "\n" for row in rows).encode())
    return str(manifest)


def _trained_and_asked(out: str, name: str, seed: int, settings: list[str], view: View) -> dict[str, Any]:
    folder = f"{out}/trained-on/{name.replace(' ', '-')}/seed-{seed}"
    # the run's seed decides LoRA's start, the order, and the contexts of training; those to evaluate with are frozen
    config: RunConfig = load_config(
        CONFIG, [*settings, f"data.manifest={out}/episodes/train.parquet", f"run.uri={folder}", f"run.seed={seed}"]
    )
    loop.run(config, view.show, name_of(0, "train"))
    return few_shot(
        Store(f"{out}/episodes"), Store(f"{folder}/few-shot"), config, f"{folder}/{name_of(0, 'train')}/model", name, view.show
    )


def _both(found: dict[str, Any], name: str, control: str, shots: int) -> float:
    [value] = [p["both"] for p in found["points"] if (p["set"], p["control"], p["shots"]) == (name, control, shots)]
    return float(value)


def _shots(found: dict[str, Any]) -> list[int]:
    return sorted({point["shots"] for point in found["points"]})


def _report(out: str, found: dict[str, list[dict[str, Any]]], console: Console) -> None:
    """Tables, plots and icl.json: means over seeds, and what the last number of shots adds to the first, 0."""
    [some, *_] = next(iter(found.values()))
    shots = _shots(some)
    most, summary = shots[-1], dict[str, Any]()
    properties = json.loads(Store(f"{out}/episodes").read("properties.json") or b"")
    for set_name in sorted({point["set"] for point in some["points"]}):
        table = Table(box=None, padding=(0, 2), header_style="bold", title=f"{set_name} actions: verb and noun right, by shots")
        for column in ("trained on", *map(str, shots), f"{most} less 0"):
            table.add_column(column, justify="left" if column == "trained on" else "right")
        series: dict[str, list[tuple[int, float, float]]] = {}
        for title, rows, control in _lines(found):
            asked = [number for number in shots if number > 1 or not control]
            line = {number: [_both(row, set_name, control, number) for row in rows] for number in asked}
            gains = [b - a for a, b in zip(line.get(0, []), line.get(most, []), strict=False)]
            series[title] = [(number, mean(values), _half(values)) for number, values in line.items()]
            means = (f"{mean(line[number]):.3f}" if number in line else "" for number in shots)
            table.add_row(title, *means, f"{mean(gains):+.3f} ± {_half(gains):.3f}" if gains else "")
            summary.setdefault(set_name, {})[title] = {
                "seeds": len(rows),
                "curve": {number: round(mean(values), 4) for number, values in line.items()},
                "gain": [round(value, 4) for value in (mean(gains), _half(gains))] if gains else None,
            }
        for title, name in (("at most: both words are told", "ceiling"), ("no model: the words told most", "counting")):
            bound = {int(number): told[name] for number, told in properties[set_name]["told"].items()}
            table.add_row(title, *(f"{bound[number]:.3f}" if number in bound else "" for number in shots), "")
            series[title] = [(number, value, 0.0) for number, value in bound.items()]
            summary.setdefault(set_name, {})[title] = {"curve": bound}
        console.print(table)
        Store(out).write(f"{set_name}.svg", svg(f"{set_name} actions, mean and 95 % interval over seeds", series).encode())
    Store(out).write("icl.json", json.dumps(summary, indent=1).encode())
    console.print(
        f"{out}/rare.svg and common.svg have the curves, {out}/icl.json the figures, {out}/episodes/properties.json the data"
    )


def _lines(found: dict[str, list[dict[str, Any]]]) -> Iterator[tuple[str, list[dict[str, Any]], str]]:
    for name, rows in found.items():
        yield name, rows, ""
        if name == "episodes":
            yield f"{name}, videos shuffled", rows, "shuffled"


def _half(values: list[float]) -> float:
    """Half the 95 % interval of a mean over seeds."""
    return T_95[len(values)] * stdev(values) / math.sqrt(len(values))
