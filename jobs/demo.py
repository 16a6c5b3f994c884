"""Renders a labelled world and runs the loop on it; with --ablations, also the loop without each of its parts."""

import json
from pathlib import Path
from typing import Any

from engine.config import RunConfig
from engine.presets import load_config
from engine.store.documents import to_json
from engine.store.files import Store
from jobs import selftrain
from jobs.folders import make_folder
from jobs.view import a_console, print_summary
from worlds import shapes

CONFIG = Path(__file__).parent / "configs" / "demo.toml"
NUM_TRAIN, NUM_HELDOUT = 300, 200
ABLATIONS = {
    "without_rationalization": ["generate.rationalize=false"],
    "template_finetuning": ["select.source=template", "loop.max_cycles=1"],
    "without_grounding": ["generate.grounding=0", "select.min_grounding=off"],
    "one_warm_sample": ["generate.temperature=0.7"],
    "eight_warm_samples": ["generate.temperature=0.7", "generate.samples=8"],
}


def demo(out: str, ablations: bool, settings: list[str]) -> None:
    console = a_console()
    folder = make_folder(out, "videos")
    manifest = Path(out) / "manifest.jsonl"
    if not manifest.exists():
        console.print(f"rendering {NUM_TRAIN + NUM_HELDOUT} labelled videos into {folder}")
        clips = shapes.write_world(folder, NUM_TRAIN, NUM_HELDOUT, seed=0)
        rows = [clip.to_row() | {"label": clip.label.text, "video": f"videos/{Path(clip.video).name}"} for clip in clips]
        Store(out).write(manifest.name, "".join(json.dumps(row) + "\n" for row in rows).encode())
    base = [f"data.manifest={manifest}", "model.allow_tiny=true", *settings]
    config = load_config(CONFIG, [*base, f"run.uri={out}"])
    summary = selftrain.run(config)
    ablation_summaries = (
        {name: _ablation(name, changes, base, out) for name, changes in ABLATIONS.items()} if ablations else _known_ablations(out)
    )
    if ablation_summaries:
        summary["ablations"] = ablation_summaries
        Store(out).write("summary.json", to_json(summary, indent=1))
        print_summary(summary | {"cycles": []}, console)
    console.print(f"docs/run_folder.md lists the files in {out}")


def _ablation(name: str, changes: list[str], base: list[str], out: str) -> dict[str, Any]:
    a_console().print(f"ablation: {name.replace('_', ' ')}")
    config: RunConfig = load_config(CONFIG, [*base, *changes, f"run.uri={out}/ablations/{name}"])
    return selftrain.run(config)


def _known_ablations(out: str) -> dict[str, Any]:
    """The summaries of ablations that an earlier call ran: they stay in the demo's summary."""
    summaries = {}
    for name in ABLATIONS:
        data = Store(out).read(f"ablations/{name}/summary.json")
        if data is not None:
            summaries[name] = json.loads(data)
    return summaries
