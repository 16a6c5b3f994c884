"""Pins a select step with grounding and samples: what the gate leaves, pass rates, the choice, and what is counted once."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from builders import a_clip, a_seal, an_attempt
from engine.generate.ledger import balance
from engine.generate.scores import Groundings
from engine.ingest.clips import path_of, write_parts
from engine.ingest.pieces import cut
from engine.presets import load_config
from engine.rows import ATTEMPTS, Attempt, Clip, Grounding
from engine.run.plan import INGEST, Step, name_of
from engine.run.seals import write_seal
from engine.run.work import INDEX, StepResult, Work, pieces_of
from engine.select.step import select_examples
from engine.store.files import FILES, Store

SELECT = "cycle-000/select"
NO = {"outcome": "rejected", "reason": "label_missing"}
SAMPLED = ("generate.samples=4", "generate.temperature=0.7")


def grounded(support: float) -> dict[str, Any]:
    """The columns of an attempt."""
    others = (-19.5, -20.5, -20.0, -20.0)
    return {"support": support, "grounding": Grounding(tokens=1, own=support - 20.0, others=others, clips=("w", "x", "y", "z"))}


def write_generated(store: Store, clips: list[Clip], attempts: list[Attempt], cycle: int) -> str:
    """A sealed generate step; returns its name."""
    step, names = name_of(cycle, "generate"), []
    for piece, _ in cut(path_of("train", 0), clips, 8):
        ids = {clip.clip_id for clip in clips[piece.start : piece.start + piece.count]}
        names.append(f"{pieces_of(step)}/{piece.file_name}")
        rows = [attempt.to_row() for attempt in attempts if attempt.clip_id in ids]
        store.write_table(names[-1], pa.Table.from_pylist(rows, schema=ATTEMPTS))
    index = [asdict(record) for record in store.describe(names)]
    store.write_table(f"{step}/{INDEX}", pa.Table.from_pylist(index, schema=FILES))
    groundings = Groundings(cycle)
    groundings.add(clips, attempts)
    facts: dict[str, Any] = asdict(balance(attempts)) | {"grounding": groundings.facts()}
    write_seal(store, replace(a_seal(step, **facts), files=store.describe([f"{step}/{INDEX}"])))
    return step


def selected(store: Store, attempts: list[Attempt], *settings: str, final: bool = False) -> StepResult:
    """The select step of the latest cycle of which there are attempts, from those of all cycles."""
    clips = [a_clip(clip_id, f"label {number % 5}") for number, clip_id in enumerate(dict.fromkeys(a.clip_id for a in attempts))]
    parts = write_parts(store, clips) | {"heldout": [1]}
    write_seal(store, replace(a_seal(INGEST, parts=parts), files=store.describe([path_of("train", 0)])))
    cycles = sorted({attempt.cycle for attempt in attempts})
    steps = [write_generated(store, clips, [a for a in attempts if a.cycle == cycle], cycle) for cycle in cycles]
    config = load_config(None, ["model.allow_tiny=true", *settings])
    store.write("config.json", config.model_dump_json().encode())
    step = Step(name=SELECT, kind="select", cycle=cycles[-1], inputs=(INGEST, *steps), final=final)
    return select_examples(Work(step=step, identity="x", config=config, store=store, report=lambda progress: None))


def chosen(store: Store) -> dict[str, str]:
    return {row["clip_id"]: row["answer"] for row in store.read_table(f"{SELECT}/examples.parquet").to_pylist()}


def a_world(faulty: int) -> list[Attempt]:
    """Forty grounded answers, some that fit other videos as well, and one without a score."""
    good = [an_attempt(f"good {number}", text=f"It rises {number}.", **grounded(9.0)) for number in range(40)]
    bad = [an_attempt(f"bad {number}", text="A cross shrinks.", **grounded(0.1)) for number in range(faulty)]
    return [*good, *bad, an_attempt("unscored", text="It stays.")]


def test_the_gate_leaves_out_what_fits_other_videos_as_well(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "on"))
    result = selected(store, a_world(10))
    assert (result.counts["examples"], result.counts["ungrounded"], result.counts["unscored"]) == (41, 10, 1)
    assert not any(clip_id.startswith("bad") for clip_id in chosen(store))
    off = selected(Store(str(tmp_path / "off")), a_world(10), "select.min_grounding=off")
    assert (off.counts["examples"], off.counts.get("ungrounded")) == (51, None)
    fixed = selected(Store(str(tmp_path / "fixed")), a_world(10), "select.min_grounding=9.5")
    assert (fixed.counts["examples"], fixed.counts["ungrounded"]) == (1, 50)


def test_a_run_whose_texts_say_nothing_of_their_videos_stops_with_the_key(tmp_path: Path) -> None:
    attempts = [an_attempt(f"clip {number}", text="A cross.", **grounded(0.0)) for number in range(40)]
    with pytest.raises(ValueError, match=r"40 answers fit other videos as well as their own \(select.min_grounding\)") as refused:
        selected(Store(str(tmp_path)), attempts, "run.uri=runs/a", "data.manifest=m.csv")
    assert "`starloop extend runs/a m.csv --set select.min_grounding=...`" in str(refused.value)


def test_a_grounded_sample_stands_in_for_one_that_is_not_and_makes_a_pair_with_it(tmp_path: Path) -> None:
    attempts = [
        an_attempt("a", sample=0, text="Short.", detail="x", **grounded(0.0)),
        an_attempt("a", sample=1, text="A longer one.", detail="x", **grounded(8.0)),
        an_attempt("a", sample=2, text="Another longer one.", detail="x", **grounded(9.0)),
        an_attempt("a", sample=3, text="None.", **NO),
    ]
    store = Store(str(tmp_path))
    result = selected(store, [*attempts, *a_world(5)], *SAMPLED)
    assert chosen(store)["a"] == "Another longer one."
    pairs = store.read_table(f"{SELECT}/preferences.parquet").to_pylist()
    assert [(pair["rejected"], pair["reason"]) for pair in pairs] == [("Short.", "ungrounded"), ("None.", "label_missing")]
    assert result.counts["ungrounded"] == 6
    by_length = Store(str(tmp_path / "length"))
    selected(by_length, [*attempts, *a_world(5)], *SAMPLED, 'select.prefer=["length"]')
    assert chosen(by_length)["a"] == "A longer one."


def test_a_band_of_pass_rates_leaves_out_what_is_never_or_always_right(tmp_path: Path) -> None:
    attempts = [
        *[an_attempt("always", sample=number) for number in range(4)],
        *[an_attempt("often", sample=number, **(NO if number == 2 else {})) for number in range(4)],
        *[an_attempt("never", sample=number, **NO) for number in range(4)],
        an_attempt("never", mode="rationalized"),
    ]
    store = Store(str(tmp_path))
    result = selected(store, attempts, *SAMPLED, "select.pass_rate=[0.1,0.9]", "select.max_per_label=3")
    assert list(chosen(store)) == ["often"]
    assert (result.counts["pass_rate_dropped"], result.counts["direct"], result.facts["direct"], result.facts["direct_right"]) == (
        2, 1, 12, 7,
    )  # fmt: skip


def test_an_example_that_is_carried_over_has_the_pass_rate_of_its_own_cycle(tmp_path: Path) -> None:
    sometimes = [an_attempt("a", sample=number, **(NO if number else {})) for number in range(4)]
    later = [an_attempt("a", sample=number, cycle=1, **NO) for number in range(4)]
    band = ("select.pass_rate=[0.1,0.9]", "select.carry_over=true")
    store = Store(str(tmp_path))
    result = selected(store, [*sometimes, *later], *SAMPLED, *band)
    assert (list(chosen(store)), result.counts["pass_rate_dropped"]) == (["a"], 0)
    always = [an_attempt("a", sample=number) for number in range(4)]
    assert selected(Store(str(tmp_path / "always")), [*always, *later], *SAMPLED, *band).counts["pass_rate_dropped"] == 1


def test_answers_that_are_rejected_are_counted_by_cycle(tmp_path: Path) -> None:
    attempts = [an_attempt(name, cycle=cycle, **grounded(0.5)) for name, cycle in (("a", 0), ("b", 0), ("c", 1))]
    settings = ("select.min_grounding=1.0", "select.carry_over=true", "select.max_per_label=9")
    result = selected(Store(str(tmp_path)), [*attempts, an_attempt("d", cycle=1, **grounded(2.0))], *settings)
    assert (result.counts["ungrounded"], result.facts["ungrounded"]) == (3, {"0": 2, "1": 1})


def test_episodes_of_kept_answers_are_an_empty_table_where_a_later_cycle_keeps_none(tmp_path: Path) -> None:
    """So a last finetune of direct attempts alone ends the run as one without examples."""
    attempts = [an_attempt("a", cycle=1, **NO), an_attempt("a", cycle=1, mode="rationalized")]
    settings = ("mixture.episodes=1.0", "episodes.answers=kept")
    result = selected(Store(str(tmp_path)), attempts, *settings, final=True)
    assert (result.facts["examples"], result.facts["episodes"]) == (0, 0)
    assert Store(str(tmp_path)).read_table(f"{SELECT}/episodes.parquet").num_rows == 0
    first = [replace(attempt, cycle=0) for attempt in attempts[:1]]
    with pytest.raises(ValueError, match="nothing is left to train on: nothing survived verification"):
        selected(Store(str(tmp_path / "first")), first, *settings)
