"""Pins training in bfloat16, in ranks of this machine without Ray: every ZeRO stage trains, resumes and answers; every shipped
recipe does; a checkpoint is continued only where it can be; and the configuration decides the device.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from engine.config import Train
from engine.presets import load_config
from engine.run.rehearsal import DEVICE, Case, Outcome, rehearse, run_case
from engine.store.files import Store
from engine.train.processes import RankFailed, run_ranks
from models.base import Device, ModelSpec
from ranks import (
    buffer_dtypes,
    resume_from_a_poisoned_checkpoint,
    stopped_by,
    train_on_a_gpu_node,
    train_once,
    unused_after_a_resume,
)

pytestmark = pytest.mark.timeout(600)
CONFIGS = Path(__file__).parents[2] / "jobs" / "configs"
SPREADS = [(0, False), (2, True), (3, False)]
"""ZeRO stage, offload: what a push proves."""
ALL_SPREADS = [(0, False), (1, False), (1, True), (2, False), (2, True), (3, False), (3, True)]


def a_case(folder: Path, name: str = "case", **section: Any) -> Case:
    """Four rows a step, with two workers two of each, in micro-batches of one."""
    settings = {
        "batch_rows": 4, "micro_batch_rows": 1, "lora_rank": 8, "lora_dropout": 0.0, "gradient_checkpointing": True, "lr": 1e-3,
        "checkpoint_every_steps": 2,
    }  # fmt: skip
    train = Train.model_validate(settings | section)
    return Case(name=name, model=ModelSpec(base="tiny"), train=train, store=Store(str(folder / name)))


@pytest.mark.parametrize(
    ("world_size", "spreads"),
    [(1, SPREADS), pytest.param(1, ALL_SPREADS, marks=pytest.mark.slow), pytest.param(2, ALL_SPREADS, marks=pytest.mark.slow)],
)
def test_every_stage_trains_resumes_and_answers_in_bfloat16(
    world_size: int, spreads: list[tuple[int, bool]], tmp_path: Path
) -> None:
    cases = [
        a_case(tmp_path, f"{stage}-{offload}", num_workers=world_size, zero_stage=stage, offload=offload)
        for stage, offload in spreads
    ]
    outcomes: list[Outcome] = list(run_ranks(world_size, DEVICE, run_case, cases, timeout_s=500))
    assert [outcome.problem for outcome in outcomes] == [""] * len(spreads)
    for outcome, case in zip(outcomes, cases, strict=True):
        assert outcome.losses == pytest.approx(outcomes[0].losses, rel=3e-3), outcome.name
        with safe_open(case.store.url("train/model/adapter_model.safetensors"), framework="pt") as adapter:
            assert {adapter.get_slice(name).get_dtype() for name in adapter.keys()} == {"BF16"}  # noqa: SIM118  # not a dict
    assert outcomes[0].losses[0] > outcomes[0].losses[-1]


def test_a_checkpoint_that_somebody_else_has_written_runs_no_code(tmp_path: Path) -> None:
    case = a_case(tmp_path, zero_stage=2)
    (message,) = run_ranks(1, DEVICE, resume_from_a_poisoned_checkpoint, [case], timeout_s=300)
    assert message.startswith("the checkpoint is not loaded, because it may run code: it holds ")
    assert case.store.read("marker") is None


@pytest.mark.parametrize("stage", [2, pytest.param(0, marks=pytest.mark.slow)])
def test_what_any_rank_could_not_use_is_listed_after_a_resume_too(stage: int, tmp_path: Path) -> None:
    case = a_case(tmp_path, num_workers=2, zero_stage=stage)
    assert list(run_ranks(2, DEVICE, unused_after_a_resume, [case], timeout_s=300)) == [["of rank 0", "of rank 1"]]


def test_positions_are_not_rounded_to_bfloat16(tmp_path: Path) -> None:
    """The rotary embedding's inverse frequencies: in bfloat16 the angle at position 2000 would be off by up to 4 radians."""
    cases = [a_case(tmp_path, f"{stage}", zero_stage=stage) for stage in (2, 3)]
    for dtypes in run_ranks(1, DEVICE, buffer_dtypes, cases, timeout_s=300):
        assert {dtype for name, dtype in dtypes.items() if "inv_freq" in name} == {"torch.float32"}


def test_a_checkpoint_is_continued_or_left_with_a_reason(tmp_path: Path) -> None:
    """Micro-batches may change, and stages 1 and 2 for each other; the optimizer's other cuts may not."""
    first = a_case(tmp_path, zero_stage=2)
    other_micro = replace(first, train=first.train.model_copy(update={"micro_batch_rows": 2, "gradient_checkpointing": False}))
    stage_1 = replace(first, train=first.train.model_copy(update={"zero_stage": 1}))
    stage_3 = replace(first, train=first.train.model_copy(update={"zero_stage": 3}))
    whole, larger, same, restarted = run_ranks(1, DEVICE, train_once, [first, other_micro, stage_1, stage_3], timeout_s=300)
    assert (len(whole[0]), whole[1]) == (3, [])
    assert larger[1] == same[1] == ["continuing from the checkpoint of step 2"]
    assert larger[0] == pytest.approx(whole[0][2:], rel=3e-3)
    assert same[0] == whole[0][2:]
    assert restarted[1] == ["the checkpoint of step 2 cannot be continued: zero_stage was 2 and is 3; starting from step 0"]
    assert restarted[0] == pytest.approx(whole[0], rel=3e-3)


@pytest.mark.slow
def test_another_number_of_workers_starts_from_step_0_where_they_partition(tmp_path: Path) -> None:
    cases = [a_case(tmp_path, "whole", zero_stage=0), a_case(tmp_path, "parts", zero_stage=2)]
    (alone, _), (parted, _) = run_ranks(1, DEVICE, train_once, cases, timeout_s=300)
    cases = [replace(case, train=case.train.model_copy(update={"num_workers": 2})) for case in cases]
    (continued, whole_notes), (restarted, notes) = run_ranks(2, DEVICE, train_once, cases, timeout_s=300)
    assert whole_notes == ["continuing from the checkpoint of step 2"]
    assert continued == pytest.approx(alone[2:], rel=3e-3)
    assert notes == ["the checkpoint of step 2 cannot be continued: world_size was 1 and is 2; starting from step 0"]
    assert restarted == pytest.approx(parted, rel=3e-3)


def test_the_configuration_decides_the_device(tmp_path: Path) -> None:
    """On a GPU node a trainer without GPUs stays on the CPU, in float32."""
    case = a_case(tmp_path)
    ((losses, _),) = run_ranks(1, Device("cpu", "float32"), train_on_a_gpu_node, [case], timeout_s=300)
    assert len(losses) == 3
    with safe_open(case.store.url("train/model/adapter_model.safetensors"), framework="pt") as adapter:
        assert {adapter.get_slice(name).get_dtype() for name in adapter.keys()} == {"F32"}  # noqa: SIM118  # not a dict


def test_a_loss_that_is_not_finite_on_one_rank_stops_all_before_the_weights_change() -> None:
    ((loss, stepped_at_loss), (norm, stepped)) = run_ranks(2, DEVICE, stopped_by, [0.0, float("inf")], timeout_s=120)
    assert (stepped_at_loss, stepped) == (False, True)
    assert loss == (
        "train: step 7: the loss is nan at a learning rate of 0.0003, with examples clip-1-0, clip-1-1; no adapter is written: "
        "begin another run (run.uri) with a lower train.lr, or without these examples"
    )
    assert norm.startswith(
        "train: step 7: the gradient norm is inf at a learning rate of 0.0003, with examples clip-0-0, clip-0-1, "
    )


@pytest.mark.parametrize("stage", [2, pytest.param(0, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_a_finetune_that_diverges_stops_and_writes_nothing(stage: int, tmp_path: Path) -> None:
    case = a_case(tmp_path, num_workers=2, zero_stage=stage, lr=1e30, batch_rows=2, warmup_ratio=0.0)
    with pytest.raises(RankFailed, match=r"^train: step \d: the (loss|gradient norm) is (nan|inf) at .*with examples example-\d"):
        list(run_ranks(2, DEVICE, train_once, [case], timeout_s=300))
    assert case.store.names("train/model") == case.store.names("train") == []


def test_what_stops_a_rank_is_one_line(tmp_path: Path) -> None:
    missing = replace(a_case(tmp_path), model=ModelSpec(base=str(tmp_path / "nothing")))
    with pytest.raises(RankFailed, match=r"^no checkpoint folder '.*nothing'; give 'tiny', a folder"):
        list(run_ranks(2, DEVICE, run_case, [missing], timeout_s=300))


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param("pllava-7b", marks=pytest.mark.slow),
        "pllava-13b",
        pytest.param("pllava-34b", marks=pytest.mark.slow),
        pytest.param("videostar-pllava-7b", marks=pytest.mark.slow),
    ],
)
def test_every_shipped_recipe_is_rehearsed(recipe: str) -> None:
    outcomes = list(rehearse(load_config(CONFIGS / f"{recipe}.toml", [])))
    assert [(outcome.problem, len(outcome.losses)) for outcome in outcomes] == [("", 3), ("", 3)]
