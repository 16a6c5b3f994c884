"""Pins that what a real run has left is read and taken away as its seals count it, with cards of the run and of its models."""

import json
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard, ModelCard
from peft import PeftConfig

from command import starloop
from engine import load_attempts, load_clips, load_examples, load_summary
from engine.export.kept import selected_cycles
from engine.run.plan import INGEST, name_of
from engine.run.work import read_seals
from engine.store.files import Store
from loops import Finished


@pytest.mark.run
def test_what_a_run_leaves_is_what_its_seals_count(undisturbed: Finished, tmp_path: Path) -> None:
    run = str(undisturbed.folder)
    sealed = read_seals(Store(run))
    assert {split: load_clips(run, split).table().num_rows for split in ("train", "heldout")} == {
        split: sum(sizes) for split, sizes in sealed[INGEST].facts["parts"].items() if sizes
    }
    for cycle in selected_cycles(sealed):
        facts = sealed[name_of(cycle, "select")].facts
        examples = list(load_examples(run, cycle))
        assert len(examples) == facts["examples"]
        assert {(bool(example.label), example.score) for example in examples} == {(True, 1.0)}
        answered = {attempt.clip_id for attempt in load_attempts(run, cycle)}
        assert len(answered) == facts["clips"]
    assert load_summary(run) == undisturbed.summary


@pytest.mark.run
def test_a_run_has_cards_and_its_best_rows_are_exported(undisturbed: Finished, tmp_path: Path) -> None:
    run, best = undisturbed.folder, undisturbed.summary["best_cycle"]
    assert {config["config_name"] for config in DatasetCard.load(run / "README.md").data.to_dict()["configs"]} >= {
        "clips", "attempts-base", "attempts-000", "examples-000",
    }  # fmt: skip
    model = run / name_of(max(best, 0), "train") / "model"
    [result] = ModelCard.load(model / "README.md").data.eval_results or []
    assert result.metric_value == pytest.approx(undisturbed.summary["cycles"][max(best, 0)]["heldout_accuracy"], abs=1e-6)
    assert PeftConfig.from_pretrained(str(model)).peft_type == "LORA"
    done = json.loads(starloop("export-data", str(run), "--format", "webdataset", "--out", str(tmp_path / "out"), "--json").stdout)
    rows = load_examples(str(run)).table().num_rows
    assert (done["rows"], done["failures"]) == ({"train": rows}, {}), "videos of kept answers are there, and the same as then"
