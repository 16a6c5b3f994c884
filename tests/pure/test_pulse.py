"""Pins that an optimizer step that takes long says how far it is, and that one that does not says nothing."""

from engine.train.pulse import Pulse


def test_a_long_step_says_how_far_it_is() -> None:
    lines: list[str] = []
    pulse = Pulse(lines.append, 9, every_s=0.0)
    pulse.tell(0, 12, 32, "decoded")
    pulse.tell(8, 1, 1, "trained on")
    assert lines == ["step 1 of 9: 12 of 32 micro-batches are decoded", "step 9 of 9: 1 of 1 micro-batch is trained on"]


def test_a_line_comes_only_after_a_while() -> None:
    lines: list[str] = []
    pulse = Pulse(lines.append, 9, every_s=1000.0)
    for done in range(32):
        pulse.tell(0, done, 32, "decoded")
    assert lines == []
