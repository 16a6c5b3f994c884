"""Pins what a training worker's memory is computed from: each part by ZeRO stage, with numbers that no other rule would give."""

from dataclasses import replace

import pytest

from engine.config import RunConfig
from engine.presets import load_config
from engine.run.resources import (
    BYTES,
    EXCHANGE_TOKENS,
    FP32,
    PROMPT_TOKENS,
    afford,
    budget,
    generation,
    needs,
    training,
    vllm_generation,
)
from sizes import SIZE

TRAINED, WORKERS = 700 + 300, 4
"""LoRA and projector."""


BF16 = BYTES["bfloat16"]


def a_config(*sets: str, **train: object) -> RunConfig:
    changes = {"num_workers": WORKERS, "micro_batch_rows": 2, "batch_rows": 8} | train
    gpus = ["cluster.train_gpus=1", "cluster.generator_gpus=1"]
    return load_config(
        None, ["generate.max_tokens=50", *gpus, *sets, *(f"train.{key}={str(value).lower()}" for key, value in changes.items())]
    )


@pytest.mark.parametrize(
    ("stage", "weights", "gradients", "optimizer"),
    [(0, 1, 1, 1), (1, 1, 1, WORKERS), (2, 1, WORKERS, WORKERS), (3, WORKERS, WORKERS, WORKERS)],
)
def test_what_each_zero_stage_shares_out(stage: int, weights: int, gradients: int, optimizer: int) -> None:
    parts = training(a_config(zero_stage=stage), SIZE).parts
    assert parts["weights"] == 8300 * BF16 / weights
    assert parts["gradients"] == TRAINED * (BF16 if stage < 2 else 4) / gradients
    assert parts["optimizer"] == TRAINED * 3 * FP32 / optimizer


LOGIT = 101 * (BF16 + 3 * FP32)
"""Bytes of a place's logits: in bfloat16, and three times in float32."""


def test_logits_are_counted_for_the_places_of_all_answers_of_a_micro_batch() -> None:
    assert training(a_config(), SIZE).parts["logits"] == 2 * (2 * 50) * LOGIT
    assert training(a_config(micro_batch_rows=1), SIZE).parts["logits"] == 50 * LOGIT
    assert training(a_config(micro_batch_rows=8, batch_rows=32), SIZE).parts["logits"] == 8 * (32 + PROMPT_TOKENS + 50) * LOGIT


def test_a_row_is_as_long_as_the_longest_episode() -> None:
    config = a_config().model_copy(update={"mixture": a_config().mixture.model_copy(update={"episodes": 1.0})})
    longest = config.episodes.shots[-1]
    tokens = 2 * (32 + max(PROMPT_TOKENS + 50, longest * 8 + (longest + 1) * EXCHANGE_TOKENS))
    layer = tokens * BF16 * (8 * 16 + 3 * 48)
    patches = 2 * (longest + 1) * 4 * 9
    assert training(config, SIZE).parts["activations"] == 3 * layer + patches * BF16 * (8 + 2 * 16)
    assert training(config, SIZE).parts["logits"] == 2 * (2 * 50) * LOGIT
    learns_all = config.model_copy(update={"episodes": config.episodes.model_copy(update={"loss_on": "all"})})
    assert training(learns_all, SIZE).parts["logits"] == 2 * min(tokens // 2, 2 * (longest + 1) * EXCHANGE_TOKENS) * LOGIT


def test_a_row_of_conversations_may_fill_the_context() -> None:
    config = a_config("mixture.instruct=0.5", "mixture.examples=i.parquet")
    assert training(config, SIZE).parts["logits"] == 2 * 1024 * LOGIT
    (refusal,) = budget(config, replace(SIZE, vocab_size=5_000_000)).refusals[-1:]
    assert "; conversations (mixture.instruct) fill the context of 1024 tokens: try train.gradient_checkpointing" in refusal
    longest = replace(SIZE, context_tokens=300)
    assert training(a_config(micro_batch_rows=8, batch_rows=32), longest).parts["logits"] == 8 * 300 * LOGIT, (
        "no row is longer than the context"
    )


def test_a_picture_counts_where_it_takes_more_tokens_than_a_video() -> None:
    pictures = replace(SIZE, patches_per_frame=49)
    assert training(a_config(micro_batch_rows=8, batch_rows=32), pictures).parts["logits"] == 8 * (49 + PROMPT_TOKENS + 50) * LOGIT
    assert generation(a_config("generate.piece_clips=10"), pictures).parts["continuation of 10 clips"] == (
        10 * (49 + PROMPT_TOKENS + 50) * 96 * BF16
    )


def test_shares_of_a_gpu_do_not_add_up_over_gpus() -> None:
    """Three actors of .6: each GPU holds one of them, and a cluster of two GPUs would wait for ever."""
    shares = ["cluster.generator_actors=3", "cluster.generator_gpus=0.6", "cluster.train_gpus=0"]
    assert needs(a_config(*shares))[1] == 3
    assert needs(a_config("cluster.generator_actors=3", "cluster.generator_gpus=0.5", "cluster.train_gpus=0"))[1] == 2
    assert needs(a_config("cluster.generator_gpus=0", "cluster.train_gpus=1"))[1] == WORKERS


def test_offload_frees_the_optimizer_and_checkpointing_the_layers() -> None:
    plain, offloaded, recomputed = (
        training(a_config(**change), SIZE).parts for change in ({}, {"offload": True}, {"gradient_checkpointing": True})
    )
    assert plain["optimizer"] > offloaded["optimizer"] == 0
    assert recomputed["activations"] < plain["activations"]


def test_values_are_as_wide_as_the_dtype_says() -> None:
    half, single = a_config(), a_config("model.dtype=float32")
    size = replace(SIZE, lora_params=0)
    for use, names in (
        (generation, ("weights", "keys and values of 32 clips", "continuation of 32 clips")),
        (training, ("weights", "activations")),
    ):
        assert {name: use(single, size).parts[name] for name in names} == {name: 2 * use(half, size).parts[name] for name in names}
    beside = [generation(config, SIZE).parts["weights"] - generation(config, size).parts["weights"] for config in (half, single)]
    assert beside == [SIZE.lora_params * BF16, 0], "below float32 a LoRA lies beside the weights"
    lines = budget(single, replace(SIZE, llm_params=7 << 30)).lines
    assert [line for line in lines if line.startswith("each process needs 28.0 GiB")]


def test_each_piece_in_flight_keeps_its_keys_and_values() -> None:
    sets = ["generate.piece_clips=10", "generate.pieces_in_flight=3"]
    parts = generation(a_config(*sets), SIZE).parts
    assert parts["keys and values of 30 clips"] == 3 * 10 * 32 * 96 * BF16
    assert parts["continuation of 10 clips"] == 10 * (32 + PROMPT_TOKENS + 50) * 96 * BF16
    tight = generation(a_config(*sets, "cluster.gpu_memory_gib=2.1"), replace(SIZE, kv_values_per_token=1 << 16))
    per_clip = (1 << 16) * BF16 * (3 * 32 + 32 + PROMPT_TOKENS + 50)
    free = 2.1 * (1 << 30) - tight.parts["weights"] - tight.parts["work"] - tight.parts["workspace"]
    assert tight.remedy == f"generate.piece_clips = {int(free // per_clip)} fits"
    nothing_fits = generation(a_config(*sets, "cluster.gpu_memory_gib=1"), SIZE)
    assert nothing_fits.remedy == "lower generate.pieces_in_flight = 3"


def test_vllm_takes_its_share_of_a_gpu_and_spreads_over_several() -> None:
    sets = ["generate.engine=vllm", "generate.piece_clips=10", "cluster.generator_gpus=2"]
    parts = vllm_generation(a_config(*sets), SIZE).parts
    assert parts["weights"] == 8300 * BF16 / 2
    assert parts["encoded clips"] == 2 * 10 * 32 * 16 * BF16, "of two pieces in flight, whole on each GPU"
    clip = 96 * BF16 * (32 + PROMPT_TOKENS + 50) / 2
    free = 0.9 * 79 * (1 << 30) - parts["weights"] - parts["encoded clips"] - parts["workspace"]
    assert parts[f"keys and values of {int(free // clip)} clips"] == free
    assert needs(a_config(*sets, "cluster.generator_actors=3", "train.num_workers=4"))[1] == 6
    large = replace(SIZE, llm_params=40 << 30)
    (refusal,) = budget(a_config(*sets, "cluster.generator_gpus=1", "cluster.train_gpus=0"), large).refusals
    assert refusal.startswith("generate: 89.9 GiB a GPU (weights 80.0, ")
    assert refusal.endswith("give each generator more GPUs with cluster.generator_gpus, or raise generate.vllm.memory_share")
    assert budget(a_config(*sets, "cluster.train_gpus=0"), large).refusals == []
    crowded = [*sets, "generate.vllm.memory_share=0.6", "cluster.generator_gpus=0.5", "cluster.generator_actors=2"]
    (refusal,) = budget(a_config(*crowded), SIZE).refusals
    assert "(2 processes of 47.4: " in refusal
    assert refusal.endswith("lower generate.vllm.memory_share, or give each generator a GPU of its own: cluster.generator_gpus = 1")


def test_a_context_that_is_cut_short_for_vllm_is_what_counts() -> None:
    (refusal,) = budget(a_config("generate.engine=vllm", "generate.vllm.max_model_len=80"), SIZE).refusals
    assert refusal.startswith(
        "32 visual tokens and generate.max_tokens = 50 fill the model's context of 80; raise generate.vllm.max_m"
    )


def test_generators_that_share_a_gpu_share_its_memory() -> None:
    """Two of .5 on one GPU: both models, with all that each of them keeps."""
    large = replace(SIZE, llm_params=25 << 30)
    alone = generation(a_config("cluster.generator_gpus=1"), large)
    shared = generation(a_config("cluster.generator_gpus=0.5", "cluster.generator_actors=2"), large)
    assert (alone.processes, shared.processes, shared.total) == (1, 2, 2 * alone.total)
    assert budget(a_config("cluster.generator_gpus=1"), large).refusals == []
    (refusal,) = budget(a_config("cluster.generator_gpus=0.5", "cluster.generator_actors=2"), large).refusals
    assert refusal.startswith("generate: 104.0 GiB a GPU (2 processes of 52.0: weights 50.0, ")
    assert refusal.endswith("cluster.gpu_memory_gib is 79; give each generator a GPU of its own: cluster.generator_gpus = 1")
    assert budget(a_config("cluster.generator_gpus=0.5", "cluster.generator_actors=1"), large).refusals == []
    per_clip = (1 << 16) * BF16 * (32 + 32 + PROMPT_TOKENS + 50)
    tight = generation(
        a_config("cluster.generator_gpus=0.5", "cluster.generator_actors=4", "cluster.gpu_memory_gib=4.2"),
        replace(SIZE, kv_values_per_token=1 << 16),
    )
    free = 2.1 * (1 << 30) - tight.parts["weights"] - tight.parts["work"] - tight.parts["workspace"]
    assert tight.remedy == f"generate.piece_clips = {int(free // per_clip)} fits"


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (
            ["cluster.generator_gpus=2"],
            "cluster.generator_gpus = 2: a process computes on one GPU; give 1, and use more with cluster.",
        ),
        (["cluster.generator_gpus=1.5", "generate.engine=vllm"], "cluster.generator_gpus = 1.5: vLLM spreads a model over whole"),
        (["cluster.generator_gpus=1.5"], "cluster.generator_gpus = 1.5: a process computes on one GPU"),
        (
            ["cluster.train_gpus=2"],
            "cluster.train_gpus = 2: a process computes on one GPU; give 1, and use more with train.num_workers",
        ),
        (["cluster.train_gpus=0.5"], "cluster.train_gpus = 0.5 with train.num_workers = 4: NCCL lets no two workers"),
    ],
)
def test_a_share_that_no_process_can_use_is_refused(sets: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        afford(a_config(*sets))
