"""Pins generators in another Python than the driver's (cluster.generator_python): vLLM answers there what the built-in engine does.

It runs in the ordinary environment; STARLOOP_TEST_VLLM_PYTHON is a Python that has vLLM (make test-vllm).
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.generate.one_model import read_model
from engine.presets import load_config
from engine.run import loop
from engine.store.files import Store
from loops import SETTINGS, attempts_of
from worlds import shapes

PYTHON = os.environ.get("STARLOOP_TEST_VLLM_PYTHON", "")
pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1200)]
STEP = "cycle-000/generate"


def generate(folder: Path, name: str, *sets: str) -> tuple[Store, list[dict[str, Any]]]:
    places = [f"data.manifest={folder / 'manifest.jsonl'}", f"run.uri={folder / name}", "generate.piece_clips=4"]
    config = load_config(None, [*SETTINGS, *places, *sets])
    loop.run(config, lambda progress: None, until=STEP)
    store = Store(config.run.uri)
    return store, attempts_of(store, STEP)


def test_vllm_in_its_own_python_answers_as_the_built_in_engine_in_ours(ray_cluster: None, tmp_path: Path) -> None:
    assert PYTHON, "STARLOOP_TEST_VLLM_PYTHON is not set"
    assert sys.executable != PYTHON
    clips = shapes.write_world(tmp_path, 12, 4, seed=3)
    rows = [clip.to_row() | {"label": clip.label.text} for clip in clips]  # type: ignore[union-attr]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, own = generate(tmp_path, "own")
    in_python = [f"cluster.generator_python={PYTHON}", "generate.engine=vllm", "generate.vllm.enforce_eager=true"]
    store, others = generate(tmp_path, "other", *in_python)
    assert read_model(store, STEP)["engine"].startswith("vllm-")
    assert [attempt["text"] for attempt in others] == [attempt["text"] for attempt in own]
    assert {attempt["outcome"] for attempt in others} == {"kept", "rejected"}
