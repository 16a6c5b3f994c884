"""Pins the loop: which step comes next, what it reads, when the loop ends. A wrong edge here trains on the wrong data, silently."""

import pytest

from builders import a_seal
from engine.config import RunConfig
from engine.presets import load_config
from engine.run.plan import (
    BASE,
    INGEST,
    Step,
    base_evaluations,
    cycle_steps,
    following,
    has_ended,
    history,
    next_step,
    refuse_gaps,
    so_far,
    stopped_because,
)
from engine.run.promotion import History, final_cycle, level_of
from engine.run.seals import Seal


def a_history(base: float, *cycles: float, only_direct: bool = False) -> History:
    return History(base=base, cycles=cycles, only_direct=(only_direct,) * len(cycles))


def config(**loop: object) -> RunConfig:
    return load_config(None, [f"loop.{key}={str(value).lower()}" for key, value in loop.items()])


def play(
    config: RunConfig, base: float, accuracies: list[float], until: str = "", empty_cycle: int = -1
) -> tuple[list[str], dict[str, Seal]]:
    """Seal each step that the plan asks for, with these accuracies; in `empty_cycle` nothing is left to train on."""
    sealed: dict[str, Seal] = {}
    order = []
    while (step := next_step(config, sealed, until)) is not None:
        order.append(step.name)
        accuracy = base if step.cycle < 0 else accuracies[step.cycle] if step.kind == "evaluate" else 0.0
        examples = 0 if step.kind == "select" and step.cycle == empty_cycle else 9
        sealed[step.name] = a_seal(step.name, accuracy=accuracy, direct_only=step.final, examples=examples, episodes=0)
        assert len(order) < 100
    return order, sealed


def paper_run(accuracies: list[float], empty_cycle: int = -1) -> tuple[list[Step], dict[str, Seal]]:
    """The steps of a run with preset paper, where each evaluation records its test as the evaluate step does: p = .5 for all."""
    settings = load_config(None, ["preset=paper"])
    sealed: dict[str, Seal] = {}
    steps = []
    while (step := next_step(settings, sealed)) is not None:
        steps.append(step)
        examples = 0 if step.kind == "select" and step.cycle == empty_cycle else 9
        facts = {"accuracy": 0.5 if step.cycle < 0 else accuracies[step.cycle]} if step.kind == "evaluate" else {}
        comparison = {"comparison": {"p": 0.5, "level": level_of(settings.loop)}} if step.compared else {}
        sealed[step.name] = a_seal(step.name, direct_only=step.final, examples=examples, episodes=0, **facts, **comparison)
        assert len(steps) < 100
    return steps, sealed


def test_the_papers_loop_generates_with_the_last_cycle_however_bad_it_is() -> None:
    """Base .50, cycle 0 .45: the paper goes on with cycle 0's model, three cycles in all, and ends with the last one's."""
    steps, sealed = paper_run([0.45, 0.44, 0.43])
    assert [(step.cycle, step.model) for step in steps if step.kind == "generate"] == [
        (0, ""),
        (1, "cycle-000/train"),
        (2, "cycle-001/train"),
    ]
    trained = [step for step in steps if step.kind == "train"]
    assert [(step.model, step.inputs) for step in trained] == [("", (f"cycle-00{cycle}/select",)) for cycle in range(3)]
    assert [step.final for step in trained] == [False, False, True]
    compared = [step.compared for step in steps if step.kind == "evaluate" and step.cycle >= 0]
    assert compared == ["base/evaluate", "cycle-000/evaluate", "cycle-001/evaluate"]
    loop = load_config(None, ["preset=paper"]).loop
    assert (history(sealed).best_cycle, history(sealed).best, stopped_because(loop, sealed)) == (2, 0.43, "max_cycles")


def test_the_papers_loop_without_direct_answers_at_its_end_keeps_the_cycle_before() -> None:
    """FineDiving in cycle 0: no direct answer is right. Cycles train on rationalizations, and the last finetune has nothing."""
    steps, sealed = paper_run([0.45, 0.44], empty_cycle=2)
    assert [step.name for step in steps][-2:] == ["cycle-002/generate", "cycle-002/select"]
    assert stopped_because(load_config(None, ["preset=paper"]).loop, sealed) == "no examples"
    assert (history(sealed).best_cycle, history(sealed).best) == (1, 0.44)


def test_two_cycles_in_order() -> None:
    order, _ = play(config(max_cycles=2), 0.4, [0.8, 0.9])
    assert order == [
        "ingest",
        "base/evaluate",
        "cycle-000/generate",
        "cycle-000/select",
        "cycle-000/train",
        "cycle-000/evaluate",
        "cycle-001/generate",
        "cycle-001/select",
        "cycle-001/train",
        "cycle-001/evaluate",
    ]


def test_generation_uses_the_best_model_so_far_and_training_always_the_base() -> None:
    steps = {step.kind: step for step in cycle_steps(config(max_cycles=9, patience=2), a_history(0.4, 0.9, 0.7), 2)}
    assert steps["generate"].model == "cycle-000/train"
    assert steps["generate"].inputs == (INGEST, "cycle-000/train")
    assert steps["train"].inputs == ("cycle-002/select",)
    assert steps["train"].model == ""


def test_a_plateau_brings_a_last_cycle_of_direct_attempts() -> None:
    order, sealed = play(config(max_cycles=9), 0.4, [0.8, 0.8, 0.81])
    assert order[-3:] == ["cycle-002/select", "cycle-002/train", "cycle-002/evaluate"]
    seen = a_history(0.4, 0.8, 0.8, 0.81)
    assert final_cycle(config(max_cycles=9).loop, seen) == 2
    assert stopped_because(config(max_cycles=9).loop, sealed) == "plateau"


def test_after_a_stall_the_last_pieces_are_read_again_instead_of_paid_for_again() -> None:
    steps = cycle_steps(config(max_cycles=9), a_history(0.4, 0.8, 0.7), 2)
    assert [step.kind for step in steps] == ["select", "train", "evaluate"]
    assert steps[0].inputs == (INGEST, "cycle-001/generate")
    assert steps[0].final


def test_a_stalled_cycle_of_direct_attempts_alone_is_the_last() -> None:
    settings, seen = config(max_cycles=9), a_history(0.4, 0.8, 0.8, only_direct=True)
    assert final_cycle(settings.loop, seen) == 1
    assert final_cycle(settings.loop, a_history(0.4, 0.8, 0.8)) == 2


def test_a_promoted_last_cycle_generates_anew() -> None:
    steps = cycle_steps(config(max_cycles=9, min_delta=0.05), a_history(0.4, 0.8, 0.81), 2)
    assert steps[0].kind == "generate"
    assert steps[0].model == "cycle-001/train"
    assert steps[0].final


def test_without_a_direct_only_end_the_loop_stops_at_the_plateau_itself() -> None:
    order, _ = play(config(max_cycles=9, final_direct_only=False), 0.4, [0.8, 0.8])
    assert order[-1] == "cycle-001/evaluate"


def test_the_loop_ends_at_max_cycles_with_a_direct_only_cycle() -> None:
    settings = config(max_cycles=2)
    last = cycle_steps(settings, a_history(0.1, 0.5), 1)
    assert [step.final for step in last] == [True] * 4
    _, sealed = play(settings, 0.1, [0.5, 0.9])
    assert stopped_because(settings.loop, sealed) == "max_cycles"
    del sealed["cycle-001/evaluate"]
    assert stopped_because(settings.loop, sealed) == "not finished"


def test_until_stops_early_and_skips_what_the_step_does_not_need() -> None:
    assert play(config(), 0.4, [], until="cycle-000/generate")[0] == ["ingest", "cycle-000/generate"]
    assert play(config(), 0.4, [], until="base/evaluate")[0] == ["ingest", "base/evaluate"]
    assert play(config(), 0.4, [0.8], until="cycle-000/evaluate")[0][:3] == ["ingest", "base/evaluate", "cycle-000/generate"]


def test_a_run_stopped_at_generation_is_continued_by_the_whole_loop() -> None:
    _, sealed = play(config(), 0.4, [], until="cycle-000/generate")
    step = next_step(config(), sealed)
    assert step is not None
    assert step.name == BASE


def test_template_finetuning_has_no_generation() -> None:
    settings = load_config(None, ["select.source=template", "loop.max_cycles=1"])
    assert play(settings, 0.4, [0.6])[0] == ["ingest", "base/evaluate", "cycle-000/select", "cycle-000/train", "cycle-000/evaluate"]


@pytest.mark.parametrize("name", ["cycle-000/generate", "cycle-001/generate"])
def test_a_step_that_the_run_does_not_have_is_refused_before_anything_is_done(name: str) -> None:
    settings = load_config(None, ["select.source=template", "loop.max_cycles=2"])
    _, sealed = play(settings, 0.4, [0.6], until="cycle-000/evaluate")
    with pytest.raises(ValueError, match=rf"this run has no step {name}: .* base/evaluate, cycle-000/select, cycle-000/train"):
        next_step(settings, sealed, name)


def test_a_step_after_the_end_of_the_loop_is_refused() -> None:
    _, sealed = play(config(max_cycles=9, final_direct_only=False), 0.4, [0.8, 0.8])
    with pytest.raises(ValueError, match=r"has no step cycle-002/generate: .* stopped because of 'plateau'"):
        next_step(config(max_cycles=9, final_direct_only=False), sealed, "cycle-002/generate")


def test_a_deleted_seal_is_named_with_the_step_that_used_it() -> None:
    _, sealed = play(config(max_cycles=2), 0.4, [0.8, 0.9])
    refuse_gaps(config(max_cycles=2), sealed)
    for name, user in (("cycle-000/select", "cycle-000/train"), ("cycle-000/train", "cycle-000/evaluate"), (INGEST, BASE)):
        with pytest.raises(ValueError, match=f"{user} is sealed, and {name}, which it was made from, is not"):
            refuse_gaps(config(max_cycles=2), {step: seal for step, seal in sealed.items() if step != name})


def test_what_follows_from_a_step() -> None:
    sets = "[{name = 'heldout'}, {name = 'mine', files = 'mine.jsonl'}]"
    settings = load_config(None, ["loop.max_cycles=2", f"evaluate.sets={sets}"])
    _, sealed = play(settings, 0.4, [0.8, 0.9])
    steps = {step.name: step for step in so_far(settings, sealed)}
    second_cycle = [name for name in steps if name.startswith("cycle-001/")]

    def names(name: str) -> list[str]:
        return [step.name for step in following(steps[name], list(steps.values()))]

    # cycle 0 is compared with it, and its accuracy decides which model cycle 1 asks; cycle 0 asks the base anyway
    assert names("base/evaluate") == ["cycle-000/evaluate", *second_cycle]
    assert names("base/evaluate-mine") == names("cycle-000/evaluate-mine") == []
    assert names("cycle-000/evaluate") == second_cycle
    assert names("cycle-000/generate") == [name for name in steps if name.startswith("cycle-")][1:]
    assert names(INGEST) == list(steps)[1:]


def test_carrying_over_reads_the_earlier_generations_too() -> None:
    before = History(base=0.1, cycles=(0.2, 0.3), only_direct=(False, False))
    generated = tuple(f"cycle-00{cycle}/generate" for cycle in range(3))
    for value, inputs in (("true", ("ingest", *generated)), ("false", ("ingest", generated[-1]))):
        steps = cycle_steps(load_config(None, [f"select.carry_over={value}"]), before, 2)
        assert next(step for step in steps if step.kind == "select").inputs == inputs


def test_a_last_finetune_without_examples_is_skipped_and_ends_the_run() -> None:
    order, sealed = play(config(max_cycles=2), 0.4, [0.8, 0.9], empty_cycle=1)
    assert order[-2:] == ["cycle-001/generate", "cycle-001/select"]
    assert next_step(config(max_cycles=2), sealed) is None
    assert stopped_because(config(max_cycles=2).loop, sealed) == "no examples"
    assert history(sealed).best_cycle == 0


def test_a_cycle_whose_examples_have_no_weight_has_nothing_to_train_on() -> None:
    settings, sealed = config(max_cycles=2), play(config(max_cycles=2), 0.4, [0.8, 0.9], until="cycle-000/evaluate")[1]
    for weighed, step in ((0, None), (9, "cycle-001/train")):
        selected = a_seal("cycle-001/select", direct_only=True, examples=9, episodes=0, weighed=weighed)
        following = next_step(settings, sealed | {"cycle-001/generate": a_seal("cycle-001/generate"), selected.step: selected})
        assert (following and following.name) == step


def test_every_evaluation_set_has_a_step_in_each_cycle_and_the_first_one_decides() -> None:
    sets = "[{name = 'heldout'}, {name = 'mine', files = 'mine.jsonl'}]"
    settings = load_config(None, ["loop.max_cycles=2", f"evaluate.sets={sets}"])
    order, sealed = play(settings, 0.4, [0.8, 0.9])
    assert [name for name in order if "evaluate" in name] == [
        "base/evaluate", "base/evaluate-mine", "cycle-000/evaluate", "cycle-000/evaluate-mine", "cycle-001/evaluate",
        "cycle-001/evaluate-mine",
    ]  # fmt: skip
    steps = {step.name: step for step in so_far(settings, sealed)}
    assert (steps["cycle-001/evaluate-mine"].split, steps["cycle-001/evaluate-mine"].model) == ("mine", "cycle-001/train")
    assert (steps["cycle-001/generate"].split, steps["base/evaluate"].split) == ("train", "heldout")
    assert play(settings, 0.4, [], until="cycle-000/generate")[0] == ["ingest", "cycle-000/generate"]
    assert play(settings, 0.4, [], until="base/evaluate-mine")[0] == ["ingest", "base/evaluate", "base/evaluate-mine"]


def test_of_equal_cycles_the_earlier_one_is_the_best() -> None:
    assert a_history(0.4, 0.8, 0.8).best_cycle == 0
    assert a_history(0.8, 0.8).best_cycle == -1


def test_a_set_of_the_end_is_asked_of_the_first_model_and_the_promoted_one_once() -> None:
    sets = "[{name = 'mine', files = 'mine.jsonl', when = 'end'}, {name = 'other', files = 'b.jsonl'}]"
    settings = load_config(None, ["loop.max_cycles=2", "data.test=0.1", f"evaluate.sets={sets}"])
    assert [own.name for own in settings.evaluate.sets] == ["heldout", "mine", "other"], (
        "the held-out split need not be written down"
    )
    assert [step.name for step in base_evaluations(settings)] == ["base/evaluate", "base/evaluate-other"], "`starloop evaluate`'s"
    order, sealed = play(settings, 0.4, [0.8, 0.7])
    assert [name for name in order if name.endswith("-mine")] == ["base/evaluate-mine", "cycle-000/evaluate-mine"]
    assert [name for name in order if name.endswith("-other")] == [
        f"{at}/evaluate-other" for at in ("base", "cycle-000", "cycle-001")
    ]
    assert order[-4:] == ["base/evaluate-mine", "cycle-000/evaluate-mine", "base/evaluate-test", "cycle-000/evaluate-test"]
    step = next(step for step in so_far(settings, sealed) if step.name == "cycle-000/evaluate-mine")
    assert (step.compared, step.model, step.split) == ("base/evaluate-mine", "cycle-000/train", "mine")


def test_a_run_that_only_evaluates_ends_with_its_sets() -> None:
    sets = "[{name = 'a', files = 'a.jsonl', when = 'end'}, {name = 'b', files = 'b.jsonl'}]"
    settings = load_config(None, ["evaluate.only=true", f"evaluate.sets={sets}"])
    order, sealed = play(settings, 0.4, [])
    assert order == ["ingest", "base/evaluate-a", "base/evaluate-b"]
    assert has_ended(settings, sealed)
    assert not has_ended(settings, {INGEST: sealed[INGEST]})
