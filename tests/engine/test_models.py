"""Pins what the engine does with models people have: a stock LLaVA through a whole cycle, an alpha sweep, questions too long."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders import a_clip
from engine.decode.stage import Decoded, frame_columns
from engine.generate.generator import Generator
from engine.generate.watch import Watch
from engine.presets import load_config
from engine.run import loop
from engine.run.sweep import sweep
from engine.store.files import Store
from llavas import write_stock
from loops import Finished, a_generate_spec, attempts_of, settings
from models.base import Video

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


@pytest.mark.slow
def test_a_cycle_on_a_stock_llava(world: Path, tmp_path: Path, ray_cluster: None) -> None:
    """Random weights say nothing, so it is finetuned on the template; pinned is that every step works on the real layout."""
    write_stock(tmp_path / "stock")
    ask = [
        f"model.base={tmp_path / 'stock'}", "model.num_frames=4", "model.pooling_shape=[2,2,2]", "generate.max_tokens=6",
        "select.source=template", "train.epochs=1.0", "loop.max_cycles=1", "train.gradient_checkpointing=true",
        "evaluate.lora_alpha=4.0", "train.zero_stage=3",
    ]  # fmt: skip
    summary = loop.run(load_config(None, [*settings(world, tmp_path / "run"), *ask]), lambda progress: None)
    assert summary["stopped_because"] == "max_cycles"
    rows = attempts_of(Store(str(tmp_path / "run")), "cycle-000/evaluate")
    assert len(rows) == 20
    assert {row["outcome"] for row in rows} == {"rejected"}
    assert (tmp_path / "run" / "cycle-000" / "train" / "model" / "adapter_model.safetensors").is_file()


def test_an_alpha_sweep(undisturbed: Finished, tmp_path: Path) -> None:
    copy = undisturbed.copy(tmp_path / "r")
    config, run, summary, store = copy.config, copy.folder, copy.summary, copy.store
    best = summary["best_cycle"]
    found = sweep(store, None, [config.train.lora_alpha, 0.0], lambda progress: None)
    assert (found["cycle"], found["trained_alpha"]) == (best, config.train.lora_alpha)
    at_zero, as_trained = found["alphas"]
    assert as_trained["accuracy"] == summary["best_accuracy"]
    assert at_zero["accuracy"] < as_trained["accuracy"]
    trained = attempts_of(store, f"cycle-{best:03d}/evaluate")
    (folder,) = (run / "alpha-sweep").glob(f"cycle-{best:03d}-*")
    swept = attempts_of(store, f"alpha-sweep/{folder.name}/{config.train.lora_alpha:g}/evaluate")
    assert [row["text"] for row in swept] == [row["text"] for row in trained]
    began: list[Any] = []
    assert sweep(store, None, [0.0, config.train.lora_alpha], began.append) == found
    assert began == []
    (folder / "0" / "evaluate" / "seal.json").unlink()  # as a sweep that was killed leaves it: pieces, and no seal
    assert sweep(store, None, [0.0], began.append)["alphas"] == found["alphas"][:1]
    assert began[-1].before == began[-1].total, "pieces that were there were made again"
    with pytest.raises(ValueError, match="has no adapter of cycle 7; train it first"):
        sweep(store, 7, [0.0], began.append)


def test_a_question_too_long_is_a_failed_row_and_the_others_are_answered(ray_cluster: None) -> None:
    spec = a_generate_spec()
    rng = np.random.default_rng(0)
    videos = [Video(rng.integers(0, 256, (8, 48, 48, 3), dtype=np.uint8), tuple(map(float, range(8)))) for _ in range(3)]
    clips = [a_clip("a"), a_clip("b", question="What is it? " * 200), a_clip("c")]
    generator = Generator(spec, Watch.remote())  # type: ignore[attr-defined]

    def rows(which: list[int]) -> list[dict[str, Any]]:
        row = {"piece_id": "p", "file_name": "p.parquet", "clips": json.dumps([clips[i].to_row() for i in which])}
        frames = frame_columns([Decoded(videos[i], "v1", False) for i in which])
        return list(json.loads(generator(row | frames)["attempts"]))

    made = rows([0, 1, 2])
    (failed,) = [row for row in made if row["outcome"] == "failed"]
    assert (failed["clip_id"], failed["reason"]) == ("b", "too_long")
    assert "the model's context of 1024; shorten it" in failed["detail"]
    assert [row for row in made if row["outcome"] != "failed"] == rows([0, 2])


def test_a_model_too_large_is_refused_before_anything_is_claimed(world: Path, tmp_path: Path) -> None:
    """Of its config.json alone: no weights are there."""
    (tmp_path / "large").mkdir()
    (tmp_path / "large" / "config.json").write_text(
        json.dumps({"model_type": "llava", "text_config": {"max_position_embeddings": 4096}})
    )
    ask = [f"model.base={tmp_path / 'large'}", "cluster.generator_gpus=1.0", "cluster.gpu_memory_gib=24"]
    config = load_config(None, [*settings(world, tmp_path / "run"), *ask])
    with pytest.raises(
        ValueError, match=r"large: generate: \d+\.\d GiB a GPU \(weights 13\.\d, .* and cluster\.gpu_memory_gib is 24"
    ):
        loop.run(config, lambda progress: None)
    assert not (tmp_path / "run").exists()


def test_a_spoilt_checkpoint_is_one_line_before_anything_is_claimed(world: Path, tmp_path: Path) -> None:
    write_stock(tmp_path / "stock")
    sorted((tmp_path / "stock").glob("*.safetensors"))[1].write_text("<!DOCTYPE html>")
    config = load_config(None, [*settings(world, tmp_path / "run"), f"model.base={tmp_path / 'stock'}", "model.num_frames=4"])
    with pytest.raises(ValueError, match=r"is not a whole safetensors file: .* it begins with b'<!DOCTYPE html>'"):
        loop.run(config, lambda progress: None)
    assert not (tmp_path / "run").exists()


def test_what_only_the_actor_finds_out_is_one_line_too(world: Path, tmp_path: Path, ray_cluster: None) -> None:
    write_stock(tmp_path / "stock")
    ask = ["model.num_frames=4", "model.pooling_shape=[2,2,2]", "generate.max_tokens=4"]
    base = f"file://{tmp_path / 'stock'}"
    sorted((tmp_path / "stock").glob("*.safetensors"))[1].write_text("<!DOCTYPE html>")
    config = load_config(None, [*settings(world, tmp_path / "run"), f"model.base={base}", *ask])
    with pytest.raises(ValueError, match=r"is not a whole safetensors file") as caught:
        loop.run(config, lambda progress: None)
    assert len(str(caught.value).splitlines()) == 1
