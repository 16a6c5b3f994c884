"""Pins training in bfloat16, in ranks of this machine without Ray: every ZeRO stage trains, resumes and answers; every shipped
recipe does; a checkpoint is continued only where it can be; and the configuration decides the device.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from engine.config import Train
from engine.presets import load_config
from engine.run.rehearsal import DEVICE, Case, Outcome, rehearse, run_case, write_examples
from engine.run.work import CHECKPOINTS
from engine.store.files import Store
from engine.train.processes import RankFailed, run_ranks
from models.base import Device, ModelSpec
from ranks import (
    buffer_dtypes,
    each,
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


def spread_cases(folder: Path, world_size: int, spreads: list[tuple[int, bool]]) -> list[Case]:
    return [
        a_case(folder, f"{stage}-{offload}", num_workers=world_size, zero_stage=stage, offload=offload)
        for stage, offload in spreads
    ]


def assert_all_train(cases: list[Case], outcomes: list[Outcome]) -> None:
    """Each trains to the same losses, resumes and answers, in bfloat16."""
    assert [outcome.problem for outcome in outcomes] == [""] * len(cases)
    for outcome, case in zip(outcomes, cases, strict=True):
        assert outcome.losses == pytest.approx(outcomes[0].losses, rel=3e-3), outcome.name
        with safe_open(case.store.url("train/model/adapter_model.safetensors"), framework="pt") as adapter:
            assert {adapter.get_slice(name).get_dtype() for name in adapter.keys()} == {"BF16"}  # noqa: SIM118  # not a dict
    assert outcomes[0].losses[0] > outcomes[0].losses[-1]


@dataclass(frozen=True)
class Alone:
    """What one rank gave for the cases of several tests: a process that trains takes seconds to start."""

    spreads: list[Case]
    poisoned: Case
    timed: Case
    results: list[Any]

    @classmethod
    def run(cls, folder: Path) -> "Alone":
        spreads, poisoned = spread_cases(folder, 1, SPREADS), a_case(folder, "poisoned", zero_stage=2)
        positions = [a_case(folder, f"positions-{stage}", zero_stage=stage) for stage in (2, 3)]
        first = a_case(folder, "first", zero_stage=2)
        changes: list[dict[str, Any]] = [
            {}, {"micro_batch_rows": 2, "gradient_checkpointing": False}, {"zero_stage": 1}, {"zero_stage": 3},
        ]  # fmt: skip
        continued = [replace(first, train=first.train.model_copy(update=change)) for change in changes]
        timed = a_case(folder, "timed", zero_stage=2, checkpoint_every_steps=1000, checkpoint_every_s=1e-6)
        timed.store.write(f"train/{CHECKPOINTS}/00000001-0badcafe/of-a-killed-rank.pt", b"")
        tasks = [
            *((run_case, case) for case in spreads),
            (resume_from_a_poisoned_checkpoint, poisoned),
            *((buffer_dtypes, case) for case in positions),
            *((train_once, case) for case in continued),
            *((train_once, timed) for _ in range(2)),
        ]
        return cls(spreads, poisoned, timed, list(run_ranks(1, DEVICE, each, tasks, timeout_s=500)))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    return Alone.run(tmp_path_factory.mktemp("alone"))


def test_every_kind_of_stage_trains_resumes_and_answers_in_bfloat16(alone: Alone) -> None:
    assert_all_train(alone.spreads, alone.results[:3])


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [1, 2])
def test_every_stage_trains_resumes_and_answers_in_bfloat16(world_size: int, tmp_path: Path) -> None:
    cases = spread_cases(tmp_path, world_size, ALL_SPREADS)
    assert_all_train(cases, list(run_ranks(world_size, DEVICE, run_case, cases, timeout_s=500)))


def test_a_checkpoint_that_somebody_else_has_written_runs_no_code(alone: Alone) -> None:
    assert alone.results[3].startswith("the checkpoint is not loaded, because it may run code: it holds ")
    assert alone.poisoned.store.read("marker") is None


def test_positions_are_not_rounded_to_bfloat16(alone: Alone) -> None:
    """The rotary embedding's inverse frequencies: in bfloat16 the angle at position 2000 would be off by up to 4 radians."""
    for dtypes in alone.results[4:6]:
        assert {dtype for name, dtype in dtypes.items() if "inv_freq" in name} == {"torch.float32"}


def test_a_checkpoint_is_continued_or_left_with_a_reason(alone: Alone) -> None:
    """Micro-batches may change, and stages 1 and 2 for each other; the optimizer's other cuts may not."""
    whole, larger, same, restarted = alone.results[6:10]
    assert (len(whole[0]), whole[1]) == (3, [])
    assert larger[1] == same[1] == ["continuing from the checkpoint of step 2"]
    assert larger[0] == pytest.approx(whole[0][2:], rel=3e-3)
    assert same[0] == whole[0][2:]
    assert restarted[1] == ["the checkpoint of step 2 cannot be continued: zero_stage was 2 and is 3; starting from step 0"]
    assert restarted[0] == pytest.approx(whole[0], rel=3e-3)


def test_a_checkpoint_is_written_when_its_time_has_come_and_takes_the_place_of_all_others(alone: Alone) -> None:
    assert [notes for _, notes in alone.results[10:]] == [[], ["continuing from the checkpoint of step 2"]]
    assert [name[:9] for name in alone.timed.store.folders(f"train/{CHECKPOINTS}")] == ["00000002-"]


@pytest.mark.slow
def test_what_any_rank_could_not_use_is_listed_after_a_resume_without_partitions(tmp_path: Path) -> None:
    case = a_case(tmp_path, num_workers=2, zero_stage=0)
    assert list(run_ranks(2, DEVICE, unused_after_a_resume, [case], timeout_s=300)) == [["of rank 0", "of rank 1"]]


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


@pytest.mark.parametrize("stage", [0, pytest.param(2, marks=pytest.mark.slow), 3])
def test_a_last_step_with_fewer_rows_than_ranks_trains_as_on_one_rank(stage: int, tmp_path: Path) -> None:
    """Five examples, four a step: the second step has one row, and the other rank runs its layers without loss."""
    cases = [a_case(tmp_path, str(ranks), zero_stage=stage, num_workers=ranks, warmup_ratio=0.0) for ranks in (1, 2)]
    for case in cases:
        write_examples(case.store, 5)
    [(alone, _)] = run_ranks(1, DEVICE, train_once, cases[:1], timeout_s=300)
    [(shared, _)] = run_ranks(2, DEVICE, train_once, cases[1:], timeout_s=300)
    assert len(alone) == 2
    assert shared == pytest.approx(alone, rel=3e-3)
    assert [json.loads(case.store.read("train/losses.json") or b"")["fed"] for case in cases] == [[0, 0, 5, 5, 0]] * 2


def test_the_configuration_decides_the_device(tmp_path: Path) -> None:
    """On a GPU node a trainer without GPUs stays on the CPU, in float32."""
    case = a_case(tmp_path)
    ((losses, _),) = run_ranks(1, Device("cpu", "float32"), train_on_a_gpu_node, [case], timeout_s=300)
    assert len(losses) == 3
    with safe_open(case.store.url("train/model/adapter_model.safetensors"), framework="pt") as adapter:
        assert {adapter.get_slice(name).get_dtype() for name in adapter.keys()} == {"F32"}  # noqa: SIM118  # not a dict


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What two ranks gave for the cases of two tests."""
    case = a_case(tmp_path_factory.mktemp("together"), num_workers=2, zero_stage=2)
    tasks: list[Any] = [(stopped_by, 0.0), (stopped_by, float("inf")), (unused_after_a_resume, case)]
    return list(run_ranks(2, DEVICE, each, tasks, timeout_s=300))


def test_what_any_rank_could_not_use_is_listed_after_a_resume_too(together: list[Any]) -> None:
    assert together[2] == ["of rank 0", "of rank 1"]


def test_a_loss_that_is_not_finite_on_one_rank_stops_all_before_the_weights_change(together: list[Any]) -> None:
    (loss, stepped_at_loss), (norm, stepped) = together[:2]
    assert (stepped_at_loss, stepped) == (False, True)
    assert loss == (
        "train: step 7: the loss is nan at a learning rate of 0.0003, with examples clip-1-0, clip-1-1; no adapter is written: "
        "begin another run (run.uri) with a lower train.lr, or without these examples"
    )
    assert norm.startswith(
        "train: step 7: the gradient norm is inf at a learning rate of 0.0003, with examples clip-0-0, clip-0-1, "
    )


@pytest.mark.slow
@pytest.mark.parametrize("stage", [2, 0, 3])
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
        pytest.param("llava-onevision-7b-pooled", marks=pytest.mark.slow),
        pytest.param("videostar-pllava-7b", marks=pytest.mark.slow),
    ],
)
def test_every_shipped_recipe_is_rehearsed(recipe: str) -> None:
    outcomes = list(rehearse(load_config(CONFIGS / f"{recipe}.toml", [])))
    assert [(outcome.problem, len(outcome.losses)) for outcome in outcomes] == [("", 3), ("", 3)]
