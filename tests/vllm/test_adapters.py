"""Pins that vLLM answers with a finetune's adapter as the built-in engine does: PLLaVA's at each alpha, and other models'."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models import registry
from models.base import Device, FinetuneSpec, ModelSpec, Reply, Sampling, Video
from models.frames import smallest_shape
from vllm_checkpoints import a_checkpoint
from vllm_engines import an_engine, noise

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default"), pytest.mark.timeout(900)]
CPU = Device("cpu", "float32")
GREEDY = Sampling(temperature=0.0, max_tokens=12)


def finetuned(spec: ModelSpec, folder: Path, method: Any = "lora") -> ModelSpec:
    """The spec with what a finetune might have learned: all that is trained, moved at random."""
    student: Any = registry.trainee(spec, FinetuneSpec(rank=4, alpha=8.0, dropout=0.0, method=method), 0, CPU)
    torch.manual_seed(1)
    learned = {name: value.detach() for name, value in student.module.named_parameters() if value.requires_grad}
    student.save(folder, {name: value + 0.1 * torch.randn_like(value) for name, value in learned.items()})
    return replace(spec, adapter=str(folder))


def replies(llm: Any, videos: Sequence[Video]) -> list[Reply]:
    watched = llm.watch(videos)
    futures = [watched.ask(clip, "what is the action ?", 0, GREEDY) for clip in range(len(videos))]
    answers = [future.result(300) for future in futures]
    for clip in range(len(videos)):
        watched.leave(clip)
    return answers


def videos_of(spec: ModelSpec) -> list[Video]:
    frames, height, _ = smallest_shape(registry.frame_spec(spec))
    return [noise(seed, frames, height) for seed in range(5)]


def assert_the_same_answers(spec: ModelSpec, *others: ModelSpec) -> None:
    """vLLM's answers are the built-in engine's, and none of the other specs'."""
    engine = an_engine(spec)
    try:
        videos = videos_of(spec)
        answers = replies(engine, videos)
        assert answers == replies(registry.load(spec, CPU), videos)
        assert engine.digest.startswith(f"{registry.version(spec)}+vllm-")
        for other in others:
            assert answers != replies(registry.load(other, CPU), videos)
    finally:
        engine.client.close()


def test_pllava_with_an_adapter_at_another_alpha(pllava: ModelSpec, tmp_path: Path) -> None:
    trained = finetuned(pllava, tmp_path / "model")
    assert_the_same_answers(replace(trained, alpha=4.0), trained, pllava)


def test_an_export_is_loaded_by_vllm_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without our loader, as `vllm serve` does; transformers 5 saves SigLIP towers under names that vLLM does not know."""
    from vllm import LLM

    trained = finetuned(a_checkpoint(tmp_path / "base", "llava_onevision", monkeypatch), tmp_path / "model")
    registry.export(trained, tmp_path / "export", lambda line: None)
    llm = LLM(str(tmp_path / "export"), dtype="float32", enforce_eager=True, max_model_len=512, kv_cache_memory_bytes=1 << 26)
    try:
        assert llm.get_tokenizer().eos_token
    finally:
        llm.llm_engine.engine_core.shutdown()
    assert replies(registry.load(ModelSpec(base=str(tmp_path / "export"), num_frames=4), CPU), videos_of(trained)) == replies(
        registry.load(trained, CPU), videos_of(trained)
    )


@pytest.mark.parametrize("method", ["lora", pytest.param("full", marks=pytest.mark.slow)])
def test_another_model_with_an_adapter_or_finetuned_in_full(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = a_checkpoint(tmp_path / "base", "qwen3_vl", monkeypatch)
    assert_the_same_answers(finetuned(base, tmp_path / "model", method), base)
