"""Pins what weight decay shrinks, as DeepSpeed does it: with train.decay = "matrices" no bias and no norm, whatever the stage."""

from pathlib import Path
from typing import Any

import pytest

from engine.config import Train
from engine.presets import load_config
from engine.run.rehearsal import Case, run_case
from engine.store.files import Store
from engine.train.decay import decays
from engine.train.processes import run_ranks
from models.base import Device, ModelSpec
from ranks import each, kept_by_decay

pytestmark = pytest.mark.timeout(400)
STAGES = (0, 2, 3)


def a_case(folder: Path, name: str, **section: Any) -> Case:
    settings = {"batch_rows": 2, "micro_batch_rows": 1, "lora_rank": 4, "lora_dropout": 0.0, "checkpoint_every_steps": 2}
    train = Train.model_validate(settings | {"weight_decay": 0.5, "lr": 1e-3} | section)
    return Case(name=name, model=ModelSpec(base="tiny"), train=train, store=Store(str(folder / name)))


def test_every_stage_shrinks_the_matrices_alone(tmp_path: Path) -> None:
    """And goes on from a checkpoint with two groups of parameters."""
    cases = [a_case(tmp_path, f"m{stage}", zero_stage=stage, decay="matrices", batch_rows=1) for stage in STAGES]
    cases.append(a_case(tmp_path, "all", zero_stage=2, decay="all", batch_rows=1))
    resumed = [a_case(tmp_path, f"r{stage}", zero_stage=stage, decay="matrices") for stage in (2, 3)]
    tasks: list[Any] = [*((kept_by_decay, case) for case in cases), *((run_case, case) for case in resumed)]
    results = list(run_ranks(1, Device("cpu", "float32"), each, tasks, timeout_s=300))
    *matrices, everything = results[: len(cases)]
    for kept in matrices:
        biases = {name for name in kept if name.endswith(".bias")}
        assert len(biases) == 2  # of the projector
        assert {name: kept[name] for name in biases} == pytest.approx(dict.fromkeys(biases, 1.0), abs=1e-6)
        others = kept.keys() - biases
        assert {name: kept[name] for name in others} == pytest.approx(dict.fromkeys(others, 0.95), abs=1e-5)
    assert everything == pytest.approx(dict.fromkeys(everything, 0.95), abs=1e-5)
    assert [outcome.problem for outcome in results[len(cases) :]] == ["", ""]


@pytest.mark.parametrize(
    ("name", "shape", "is_shrunk"),
    [
        ("linear_1.weight", (4, 4), True),
        ("linear_1.bias", (4,), False),
        ("odd.bias", (4, 1), False),
        ("norm.weight", (4,), False),
    ],
)
def test_a_bias_is_known_by_name_and_a_norm_by_shape(name: str, shape: tuple[int, ...], is_shrunk: bool) -> None:
    class Flat:
        """As ZeRO-3 leaves a parameter."""

        shape = (0,)
        ds_shape = shape

    class Whole:
        pass

    Whole.shape = Flat.ds_shape = shape  # type: ignore[attr-defined]
    assert decays(name, Whole()) is is_shrunk
    assert decays(name, Flat()) is is_shrunk


def test_published_presets_and_recipes_leave_biases_alone() -> None:
    recipes = Path(__file__).parents[2] / "jobs" / "configs"
    configs = [load_config(None, [f"preset={preset}"]) for preset in ("paper", "code")]
    configs += [load_config(recipes / f"pllava-{size}.toml", []) for size in ("7b", "13b", "34b")]
    assert [config.train.decay for config in configs] == ["matrices"] * 5
    assert load_config(None, []).train.decay == "all"
