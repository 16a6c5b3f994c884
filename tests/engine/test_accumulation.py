"""Pins that the gradients of micro-batches add up in float32, whatever the model's dtype: a sum in bfloat16 stops growing."""

from pathlib import Path

import pytest

from engine.config import Train
from engine.run.rehearsal import DEVICE, Case
from engine.store.files import Store
from engine.train.processes import run_ranks
from models.base import ModelSpec
from ranks import summed_gradient_norm

pytestmark = pytest.mark.timeout(300)
MICRO_BATCHES = 512


def test_many_small_micro_batches_are_as_one(tmp_path: Path) -> None:
    """In bfloat16 the sum of 512 times 1 / 512 is .5: from there on each addend is less than half of the last digit."""
    cases = []
    for stage in (2, 3):
        train = Train(batch_rows=MICRO_BATCHES, micro_batch_rows=1, zero_stage=stage, max_grad_norm=0.0)
        cases.append(Case(name=str(stage), model=ModelSpec(base="tiny"), train=train, store=Store(str(tmp_path))))
    norms = list(run_ranks(1, DEVICE, summed_gradient_norm, cases, timeout_s=200))
    assert norms == pytest.approx([1.0, 1.0], abs=0.01)
