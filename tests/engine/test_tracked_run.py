"""Pins what a run leaves for TensorBoard: the loss of each optimizer step of all cycles, each accuracy once, and some answers."""

import pytest

from engine.run.dashboards import events, tensorboard
from engine.run.work import read_seals
from loops import Finished


@pytest.mark.run
def test_a_run_leaves_its_curves(undisturbed: Finished) -> None:
    content = undisturbed.store.read(tensorboard.PATH)
    assert content is not None
    end, latest = events.latest_steps(content)
    sealed = read_seals(undisturbed.store)
    losses = [seal.facts["losses"] for name, seal in sealed.items() if name.endswith("/train")]
    assert end == len(content)
    assert (latest["train/loss"], latest["train/learning_rate"]) == (sum(map(len, losses)), sum(map(len, losses)))
    assert latest["heldout/accuracy"] == len(losses)
    assert "answers/cycle-000-generate/text_summary" in latest
