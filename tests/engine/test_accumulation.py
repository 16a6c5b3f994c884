"""Pins that the gradients of micro-batches add up in float32, whatever the model's dtype: a sum in bfloat16 stops growing; and that
logits are computed for answers alone, with the loss of all places.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
from torch.nn import functional as F

from engine.config import Train
from engine.run.rehearsal import DEVICE, Case
from engine.store.files import Store
from engine.train.feed import Prepared
from engine.train.job import Fed
from engine.train.processes import run_ranks
from engine.train.worker import Watch, _optimizer_step
from models.base import FinetuneSpec, ModelSpec, Turn
from models.registry import trainee
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


class Plain:
    """A Session without a backend, which records what it computes. `keeps`: whether its model knows logits_to_keep."""

    device = torch.device("cpu")

    def __init__(self, module: Any, keeps: bool) -> None:
        self._module, self._keeps = module, keeps

    def logits(self, batch: dict[str, Any]) -> Any:
        self.whole = self._module(**{name: value for name, value in batch.items() if name != "logits_to_keep"}).logits
        self.given = self._module(**batch).logits if self._keeps else self.whole
        return self.given

    def backward(self, summed_loss: Any, divide_by: float, last: bool) -> None: ...

    def step(self, learning_rate: float) -> float:
        return 1.0


@pytest.fixture
def one_rank() -> Iterator[None]:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("keeps", [True, False])
def test_logits_are_computed_for_answers_alone_and_the_loss_is_that_of_all_places(keeps: bool, one_rank: None) -> None:
    """Answers of two lengths in two places, a question that is not learned between them."""
    student = trainee(ModelSpec(base="tiny"), FinetuneSpec(rank=4, alpha=4.0, dropout=0.0), 0, DEVICE)
    talk = [
        Turn(None, "Is it red?", "No.", learned=False),
        Turn(None, "What is the colour of the shape?", "It is the blue circle."),
    ]
    batch = student.batch([], [[Turn(None, "What?", "Yes.")], talk])
    labels = batch["labels"].clone()
    session: Any = Plain(student.module, keeps)
    watch, prepared = Watch("train: step 1", 1e-3, [["a", "b"]]), Prepared(batch=batch, fed=Fed(), unused=[])
    loss, tokens, _, _ = _optimizer_step(session, [prepared], 1e-3, watch, lambda *_: None)
    whole = session.whole[:, :-1].flatten(0, 1).float()
    assert loss == pytest.approx(F.cross_entropy(whole, labels[:, 1:].flatten(), ignore_index=-100).item(), rel=1e-5)
    learned = (labels[:, 1:] != -100).any(0)
    assert tokens == int((labels[:, 1:] != -100).sum())
    assert session.given.shape[1] == (int(learned.sum()) if keeps else labels.shape[1])
    assert learned.sum() < labels.shape[1] / 2
