"""Pins that the loop runs to its end on models of transformers: generate, train with LoRA or in full, evaluate; and rehearsals."""

from pathlib import Path
from typing import Any

import pytest

from engine.config import Train
from engine.run.rehearsal import DEVICE, Case, run_case
from engine.store.files import Store
from engine.train.processes import run_ranks
from native.architectures import a_checkpoint
from native.loop import two_cycles


@pytest.mark.ray
@pytest.mark.parametrize("settings", [["train.method=lora"], ["train.method=full", "train.zero_stage=3"]])
def test_two_cycles(settings: list[str], ray_cluster: None, tmp_path: Path) -> None:
    summary = two_cycles(a_checkpoint("smolvlm", tmp_path / "model"), tmp_path, *settings)
    assert len(summary["cycles"]) == 2
    store = Store(str(tmp_path / "run"))
    for cycle in ("cycle-000", "cycle-001"):
        names = set(store.names(f"{cycle}/train/model"))
        assert ("adapter_config.json" in names) is ("lora" in settings[0])
        assert {"config.json", "model.safetensors", "finetuned_from.json"} <= names or "lora" in settings[0]
        assert store.read(f"{cycle}/evaluate/seal.json") is not None


@pytest.mark.parametrize("world_size", [1, 2])
def test_every_stage_trains_resumes_and_answers(world_size: int, tmp_path: Path) -> None:
    """In bfloat16, as a rehearsal does it: with ZeRO-3 too, where each rank has a part of each weight."""
    spec = a_checkpoint("qwen3_vl", tmp_path / "model")
    spreads: list[dict[str, Any]] = [
        {"zero_stage": 2},
        {"zero_stage": 3, "gradient_checkpointing": True},
        {"zero_stage": 3, "method": "full"},
    ]
    cases = []
    for number, changes in enumerate(spreads):
        rows = {
            "num_workers": world_size,
            "micro_batch_rows": 2,
            "batch_rows": 4 * world_size,
            "checkpoint_every_steps": 2,
            "epochs": 1.0,
        }
        train = Train(**rows | changes, lora_rank=4)
        cases.append(Case(name=str(changes), model=spec, train=train, store=Store(str(tmp_path / str(number)))))
    outcomes = list(run_ranks(world_size, DEVICE, run_case, cases, timeout_s=500))
    assert [(outcome.problem, len(outcome.losses)) for outcome in outcomes] == [("", 3)] * 3
