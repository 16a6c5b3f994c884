"""Pins how a finetune is spread: what [train] says reaches DeepSpeed's dictionary, and which checkpoints can be continued."""

from dataclasses import replace
from typing import Any

import pytest

from engine.config import Train
from engine.train.backends import load_backend
from engine.train.backends.base import Cut
from engine.train.backends.deepspeed import deepspeed_config, environment, refusal
from models.base import Device

TRAIN = Train(
    num_workers=2, batch_rows=24, micro_batch_rows=3, lr=3e-4, weight_decay=0.07, max_grad_norm=0.6, zero_stage=3, offload=True
)
CUT = Cut(backend="deepspeed", dtype="bfloat16", world_size=8, zero_stage=2, offload=False, micro_batch_rows=4)


def test_every_key_of_the_section_reaches_deepspeed() -> None:
    assert deepspeed_config(TRAIN, "bfloat16") == {
        "train_batch_size": 24,
        "train_micro_batch_size_per_gpu": 3,
        "gradient_accumulation_steps": 4,
        "gradient_clipping": 0.6,
        "zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu"}},
        "bf16": {"enabled": True},
        "optimizer": {
            "type": "AdamW",
            "params": {"lr": 3e-4, "betas": [0.9, 0.999], "weight_decay": 0.07, "torch_adam": True},
        },
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 1_000_000,
        "data_types": {"grad_accum_dtype": "fp32"},
    }


def test_float32_and_no_offload_reach_it_too() -> None:
    config = deepspeed_config(TRAIN.model_copy(update={"offload": False, "zero_stage": 1}), "float32")
    assert config["bf16"] == {"enabled": False}
    assert config["zero_optimization"] == {"stage": 1}
    assert "data_types" not in config


@pytest.mark.parametrize(("stage", "has"), [(0, False), (1, False), (2, True), (3, True)])
def test_gradients_add_up_in_float32_where_deepspeed_can_with_the_same_optimizer(stage: int, has: bool) -> None:
    assert ("data_types" in deepspeed_config(TRAIN.model_copy(update={"zero_stage": stage}), "bfloat16")) is has


def test_a_rank_without_a_gpu_of_its_own_is_told_so_in_its_environment() -> None:
    assert environment(Device("cpu", "float32"))["DS_ACCELERATOR"] == "cpu"
    assert environment(Device("cuda", "bfloat16")) == {"DS_ACCELERATOR": "cuda"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"world_size": 4}, "world_size was 8 and is 4"),
        ({"zero_stage": 3}, "zero_stage was 2 and is 3"),
        ({"offload": True}, "offload was False and is True"),
        ({"dtype": "float32"}, "dtype was bfloat16 and is float32"),
        ({"zero_stage": 1}, ""),
        ({"zero_stage": 0}, "zero_stage was 2 and is 0"),
        ({"micro_batch_rows": 1}, ""),
    ],
)
def test_a_checkpoint_is_continued_only_where_deepspeed_can(change: dict[str, Any], reason: str) -> None:
    assert refusal(CUT, replace(CUT, **change)) == reason


def test_without_partitions_the_world_size_may_change() -> None:
    alone = replace(CUT, zero_stage=0)
    assert refusal(alone, replace(alone, world_size=1)) == ""
    assert refusal(CUT, replace(alone, world_size=1)) == "world_size was 8 and is 1 and zero_stage was 2 and is 0"


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ValueError, match="no training backend 'fsdp'; known are deepspeed"):
        load_backend("fsdp")
