"""Pins a generation with preset paper: hints with keys, the model of spans where a label reads one, and yields by dataset."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from engine.config import RunConfig
from engine.presets import load_config
from engine.run import loop
from engine.run.work import read_seals
from engine.store.files import Store
from loops import settings
from readers import a_reader
from worlds.shapes import KNOWN_NAMES

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
GENERATE = "cycle-000/generate"


def a_run(folder: Path, world: Path, label: dict[str, Any], *more: str) -> RunConfig:
    """Eight train clips, of two datasets: four of actions that the base knows by name, four of others."""
    rows = [json.loads(line) for line in world.read_text().splitlines()]
    train = [row for row in rows if row["split"] == "train"][6:]  # three of the first six have no usable video
    known = [row for row in train if row["label"] in KNOWN_NAMES][:4]
    chosen = known + [row for row in train if row["label"] not in KNOWN_NAMES][:4]
    chosen += [next(row for row in rows if row["split"] == "heldout")]
    lines = [
        row
        | {"video": str(world.parent / row["video"]), "label": label | {"kind": "keywords", "text": row["label"]}}
        | {"group": "known" if row in known else "other"}
        for row in chosen
    ]
    folder.mkdir()
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    usual = settings(folder / "manifest.jsonl", folder / "run")
    return load_config(None, [*usual, "preset=paper", "generate.temperature=0.0", "generate.max_tokens=48", *more])


def generate(config: RunConfig) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The facts of the step's seal, and its attempts."""
    loop.run(config, lambda progress: None, until=GENERATE)
    store = Store(config.run.uri)
    seals = read_seals(store)
    attempts = pq.read_table(f"{config.run.uri}/{GENERATE}/pieces").to_pylist()
    return seals[GENERATE].facts | {"needs": seals["ingest"].facts["needs"]}, attempts


def test_a_label_that_reads_a_span_is_looked_for_in_the_models_span(tmp_path: Path, world: Path, ray_cluster: None) -> None:
    rows = [json.loads(line)["label"] for line in world.read_text().splitlines()]
    reader = a_reader(tmp_path / "reader", *sorted({word for name in rows for word in name.split()}))
    label = {"key": "action_name", "reads": "span"}
    facts, attempts = generate(a_run(tmp_path / "a", world, label, f"verify.span_model={reader}"))
    assert facts["needs"] == ["span"]
    assert facts["groups"]["known"]["direct_kept"] == 4
    assert facts["groups"]["other"] == {"clips": 4, "direct_kept": 0, "rejected": 4, "rationalized_kept": 4, "failed": 0}
    hinted = [attempt["prompt"] for attempt in attempts if attempt["mode"] == "rationalized"]
    assert len(hinted) == 4
    assert all("\nAnswer: action name: " in prompt for prompt in hinted)
    blind = a_reader(tmp_path / "blind", "the")
    facts, _ = generate(a_run(tmp_path / "b", world, label, f"verify.span_model={blind}"))
    assert facts["groups"]["known"]["direct_kept"] == 0, "its span is never the action"


def test_a_model_that_is_not_there_ends_the_step_with_one_line(tmp_path: Path, world: Path, ray_cluster: None) -> None:
    config = a_run(tmp_path / "a", world, {"reads": "span"}, "verify.span_model=/nowhere/reader")
    with pytest.raises(ValueError, match=r"verify.span_model '/nowhere/reader' cannot be loaded: ") as error:
        generate(config)
    assert "\n" not in str(error.value)


def test_labels_that_need_no_model_load_none(tmp_path: Path, world: Path, ray_cluster: None) -> None:
    """Though the preset names the published ones, which are not here."""
    facts, _ = generate(a_run(tmp_path / "a", world, {}))
    assert (facts["needs"], facts["groups"]["known"]["direct_kept"]) == ([], 4)
