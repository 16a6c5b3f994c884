"""Pins what is shown of a generation before it is trained on: random kept and dropped answers, and when it is doubtful."""

from typing import Any

from builders import a_clip, an_attempt
from engine.generate.samples import Samples

FREE = [
    "A woman folds a sheet on the bed while a dog sleeps.",
    "Two boys kick a ball across wet grass.",
    "He lifts the bar over his head, then drops it.",
    "Rain falls; people with umbrellas wait at the crossing.",
    "Someone slices an onion and scrapes it into a pan.",
    "Skaters turn on the ice, one of them falls.",
]


def samples_of(texts: list[str], mode: str = "direct", outcome: str = "kept", **fields: Any) -> Samples:
    samples = Samples(seed=0)
    for number, text in enumerate(texts):
        clip = a_clip(f"c{number}", label="arm wrestling")
        samples.add([clip], [an_attempt(clip_id=clip.clip_id, mode=mode, outcome=outcome, text=text, **fields)])
    return samples


def test_five_of_the_kept_and_five_of_the_dropped_are_drawn_and_always_the_same() -> None:
    first, second = (samples_of([f"text {n}" for n in order]) for order in (range(20), range(20)))
    shown = [line for line in first.lines() if line.startswith("kept (direct)")]
    assert len(shown) == 5
    assert shown == [line for line in second.lines() if line.startswith("kept (direct)")]
    assert shown != sorted(shown, key=lambda line: int(line.rpartition(" ")[2]))
    dropped = samples_of([f"text {n}" for n in range(20)], outcome="rejected", reason="label_missing").lines()
    assert len(dropped) == 5
    assert all(line.startswith("dropped (label_missing)  c") and "[arm wrestling]: text" in line for line in dropped)


def test_a_generation_that_needed_the_label_nearly_always_is_doubtful() -> None:
    samples = samples_of(FREE, mode="rationalized")
    assert [warning.partition(":")[2][:39] for warning in samples.warnings()] == [" 6 of 6 kept answers are rationalized: "]
    assert samples_of(FREE).warnings() == []


def test_answers_that_fill_in_one_pattern_are_doubtful() -> None:
    pattern = "The {} starts large and ends small, so the action is arm wrestling."
    samples = samples_of([pattern.format(word) for word in ("white cross", "red circle", "blue cross", "red square", "white dot")])
    assert [warning[:49] for warning in samples.warnings()] == ["warning: the kept answers share one template: 83%"]
    assert samples_of([pattern.format("cross")] * 4).warnings() == []  # too few to tell
