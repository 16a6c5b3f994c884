"""Renders a labelled world and runs the loop on it; with --ablations, also the loop without each of its parts."""

import json
from pathlib import Path

from engine.presets import load_config
from engine.run.refresh import refresh
from engine.run.work import read_seals, run_config
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
    selftrain.run(config)
    if ablations:
        for name, changes in ABLATIONS.items():
            console.print(f"ablation: {name.replace('_', ' ')}")
            selftrain.run(load_config(CONFIG, [*base, *changes, f"run.uri={out}/ablations/{name}"]))
        store = Store(out)
        summary = refresh(store, run_config(store), read_seals(store))
        print_summary(summary | {"cycles": []}, console)
    console.print(f"docs/run_folder.md lists the files in {out}")
