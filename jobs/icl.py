"""In-context learning on a laptop: a narrated world, a tiny model trained on episodes of it, and its few-shot curve.

It is compared with the same model trained without context and, with --ablations, without each of EILEV's three properties.
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

from engine.config import RunConfig
from engine.connection import connect
from engine.evaluate.few_shot.step import SETTINGS, few_shot
from engine.presets import load_config
from engine.report.curve import BASELINES, Drawn, svg
from engine.run import loop
from engine.run.plan import name_of
from engine.run.resources import needs
from engine.store.documents import to_json
from engine.store.files import Store
from jobs import episodes
from jobs.folders import make_folder
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
"""Of burstiness, of the tail, of dynamic meaning, in training only: all models are evaluated on the same contexts."""
T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}
"""Number of values -> Student's t for the 95 % interval of their mean."""


def icl(out: str, seeds: int, ablations: bool, settings: list[str]) -> None:
    if seeds not in T_95:
        raise ValueError(f"--seeds {seeds}: 2 to {max(T_95)}")
    console = a_console()
    manifest = _world(out, console)
    base = [f"data.manifest={manifest}", "model.allow_tiny=true", *settings]
    config = load_config(CONFIG, base)
    folder = Store(f"{out}/episodes")
    if folder.read(SETTINGS) is None:
        for line in episodes.build(config, folder):
            console.print(line)
    results: dict[str, list[dict[str, Any]]] = {}
    with View(console) as view, connect(config.cluster.address, *needs(config)):
        for name, changes in (VARIANTS | (ABLATIONS if ablations else {})).items():
            for seed in range(seeds):
                start = time.monotonic()
                result = _train_and_evaluate(out, name, seed, [*base, *changes], view)
                results.setdefault(name, []).append(result)
                curve = ", ".join(f"{shots}: {_both(result, 'rare', '', shots):.2f}" for shots in _shots(result))
                console.print(f"{name}, seed {seed}: rare actions by shots {curve}; {time.monotonic() - start:.0f} s")
    _report(out, results, console)


def _world(out: str, console: Console) -> str:
    """The manifest of the narrated world, which is rendered if it does not exist."""
    videos, manifest = make_folder(out, "videos"), Path(out) / "manifest.jsonl"
    if not manifest.exists():
        console.print(
            f"rendering {NUM_VIDEOS} videos into {videos}, {NARRATIONS_EACH} of them narrated by each of {NUM_NARRATORS} narrators"
        )
        clips = narrators.write_world(videos, NUM_VIDEOS, NUM_NARRATORS, NARRATIONS_EACH, seed=0)
        rows = [clip.to_row() | {"label": clip.label.text, "video": f"videos/{Path(clip.video).name}"} for clip in clips]
        for row in rows:
            del row["split"]
        Store(out).write(manifest.name, "".join(json.dumps(row) + "\n" for row in rows).encode())
    return str(manifest)


def _train_and_evaluate(out: str, name: str, seed: int, settings: list[str], view: View) -> dict[str, Any]:
    folder = f"{out}/trained-on/{name.replace(' ', '-')}/seed-{seed}"
    # the seed decides LoRA's initial weights, the order, and the contexts of training; the contexts of evaluation are fixed
    config: RunConfig = load_config(
        CONFIG, [*settings, f"data.manifest={out}/episodes/train.parquet", f"run.uri={folder}", f"run.seed={seed}"]
    )
    loop.run(config, view.show, name_of(0, "train"))
    return few_shot(
        Store(f"{out}/episodes"), Store(f"{folder}/few-shot"), config, f"{folder}/{name_of(0, 'train')}/model", name, view.show
    )


def _both(result: dict[str, Any], name: str, control: str, shots: int) -> float:
    [value] = [p["both"] for p in result["points"] if (p["set"], p["control"], p["shots"]) == (name, control, shots)]
    return float(value)


def _shots(result: dict[str, Any]) -> list[int]:
    return sorted({point["shots"] for point in result["points"]})


def _report(out: str, results: dict[str, list[dict[str, Any]]], console: Console) -> None:
    """Tables, plots and icl.json: means over seeds, and the gain from 0 shots to the largest number of shots."""
    [first, *_] = next(iter(results.values()))
    shots = _shots(first)
    most, summary = shots[-1], dict[str, Any]()
    properties = json.loads(Store(f"{out}/episodes").read("properties.json") or b"")
    for set_name in sorted({point["set"] for point in first["points"]}):
        table = Table(box=None, padding=(0, 2), header_style="bold", title=f"{set_name} actions: verb and noun right, by shots")
        for column in ("trained on", *map(str, shots), f"{most} less 0"):
            table.add_column(column, justify="left" if column == "trained on" else "right")
        series: dict[str, list[Drawn]] = {}
        for title, rows, control in _lines(results):
            numbers = [number for number in shots if number > 1 or not control]
            line = {number: [_both(row, set_name, control, number) for row in rows] for number in numbers}
            gains = [b - a for a, b in zip(line.get(0, []), line.get(most, []), strict=False)]
            halves = {number: (mean(values), _half(values)) for number, values in line.items()}
            series[title] = [(number, middle, middle - half, middle + half) for number, (middle, half) in halves.items()]
            means = (f"{mean(line[number]):.3f}" if number in line else "" for number in shots)
            table.add_row(title, *means, f"{mean(gains):+.3f} ± {_half(gains):.3f}" if gains else "")
            summary.setdefault(set_name, {})[title] = {
                "seeds": len(rows),
                "curve": {number: round(mean(values), 4) for number, values in line.items()},
                "gain": [round(value, 4) for value in (mean(gains), _half(gains))] if gains else None,
            }
        for name, title in BASELINES.items():
            bound = {int(number): text_only[name] for number, text_only in properties[set_name]["text_only"].items()}
            table.add_row(title, *(f"{bound[number]:.3f}" if number in bound else "" for number in shots), "")
            series[title] = [(number, value, value, value) for number, value in bound.items()]
            summary.setdefault(set_name, {})[title] = {"curve": bound}
        console.print(table)
        Store(out).write(f"{set_name}.svg", svg(f"{set_name} actions, mean and 95 % interval over seeds", series).encode())
    Store(out).write("icl.json", to_json(summary, indent=1))
    console.print(
        f"{out}/rare.svg and common.svg have the curves, {out}/icl.json the figures, {out}/episodes/properties.json the data"
    )


def _lines(results: dict[str, list[dict[str, Any]]]) -> Iterator[tuple[str, list[dict[str, Any]], str]]:
    """(title, results by seed, control) of each line in tables and plots."""
    for name, rows in results.items():
        yield name, rows, ""
        if name == "episodes":
            yield f"{name}, videos shuffled", rows, "shuffled"


def _half(values: list[float]) -> float:
    """Half the 95 % interval of a mean over seeds."""
    return T_95[len(values)] * stdev(values) / math.sqrt(len(values))
