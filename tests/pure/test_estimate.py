"""Pins what `starloop plan` computes from: each formula by numbers that were computed by hand, and which of two sources wins."""

import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from builders import a_seal, an_attempt
from engine.config import RunConfig
from engine.estimate.assumptions import Assumptions, assumptions
from engine.estimate.bands import NOTHING, Band, exactly
from engine.estimate.compute import Answer, Asking, encoding_flops, reading_flops, row_flops, writing_s
from engine.estimate.cycles import fewest_cycles, steps_at_most
from engine.estimate.estimate import Estimate, Inputs, make_estimate
from engine.estimate.hardware import GPUS, Speed, choose, speed_of_gpus
from engine.estimate.observed import Observed, Taken, observe, with_measurements, written_at
from engine.estimate.points import CARD, INDEX, LISTING, SEAL, on_paper
from engine.estimate.prices import Prices, read_prices
from engine.estimate.workload import Workload
from engine.ingest.pieces import Piece
from engine.presets import load_config
from engine.rows import ATTEMPTS
from engine.run.lease import BEAT_S
from engine.run.plan import Step
from engine.run.seals import Seal
from engine.store.files import Store
from sizes import SIZE

EXACT = ["answer_tokens=10", "longest_answer=2", "prompt_tokens=8"]
SPEED = Speed(flops=exactly(1e6), train_flops=exactly(1e6), bytes_per_s=exactly(31_280.0), basis="")


def a_config(*sets: str) -> RunConfig:
    return load_config(
        None, ["model.base=m", "cluster.generator_gpus=1", "cluster.train_gpus=1", "cluster.generator_actors=2", *sets]
    )


def a_workload(train: int = 1000, heldout: int = 100) -> Workload:
    return Workload(clips={"train": train, "heldout": heldout}, known_s=0.0, of_known_length=0, origin="")


def an_estimate(
    config: RunConfig, observed: Observed | None = None, prices: Prices | None = None, assumed: Assumptions | None = None
) -> Estimate:
    inputs = Inputs(
        config=config,
        instruct=SIZE,
        base=SIZE,
        workload=a_workload(),
        assumed=assumed or assumptions(),
        observed=observed or Observed(),
        gpu=GPUS["H100"],
        prices=prices,
    )
    return make_estimate(inputs, is_on_paper=False)


def test_gpus_that_are_held_add_up_where_no_node_may_generate_and_train() -> None:
    def held(train: str, generate: str) -> tuple[float, bool]:
        selectors = [f'cluster.{name}_selector={{"pool" = "{pool}"}}' for name, pool in (("train", train), ("generator", generate))]
        estimate = an_estimate(a_config("train.num_workers=4", *selectors))
        return estimate.held_gpus, any("counted once for both" in note for note in estimate.notes)

    assert held("train", "generate") == (6.0, False)
    assert held("in(train,one)", "in(generate,one)") == (4.0, True)
    assert held("gpus", "gpus") == (4.0, False)


def test_operations_of_encoding_and_reading() -> None:
    assert encoding_flops(SIZE) == 2 * (1000 + 300) * 4 * 9
    assert reading_flops(SIZE, 10) == 2 * 7000 * 10 + 4 * 3 * 16 * 50
    assert reading_flops(SIZE, 10, before=32) == 2 * 7000 * 10 + 4 * 3 * 16 * (320 + 50)


def test_writing_is_bound_by_bytes_or_by_operations() -> None:
    answer = Answer(mean=10, longest=20, prompt=8, value_bytes=2)
    read = 2 * (7000 + 2 * 96 * (32 + 8 + 5))  # weights; keys and values of the two of four rows that are alive on average
    assert read == 31_280
    assert writing_s(SIZE, 4, answer, flops=1e9, bytes_per_s=read) == pytest.approx(20.0)
    assert writing_s(SIZE, 4, answer, flops=14_000.0, bytes_per_s=1e12) == pytest.approx(20 * 2 * 7000 * 2 / 14_000)


def test_seconds_of_a_clip() -> None:
    asking, assumed = Asking(clips=4, max_tokens=50, value_bytes=2), assumptions(EXACT)
    encoded = 4 * (93_600 + 2 * 7000 * 40 + 192 * 800) / 1e6
    assert asking.direct_s(SIZE, SPEED, assumed).expected == pytest.approx((encoded + 20) / 4)
    read = 2 * (2 * 7000 * 8 + 192 * (8 * 32 + 32)) / 1e6
    written = 20 * 2 * (7000 + 96 * 45) / 31_280
    assert asking.rationalized_s(SIZE, SPEED, assumed, exactly(0.5)).expected == pytest.approx((read + written) / 4)
    assert asking.rationalized_s(SIZE, SPEED, assumed, NOTHING) == NOTHING


def test_an_answer_is_not_longer_than_max_tokens() -> None:
    cut, short, long = (
        Asking(4, most, 2).direct_s(SIZE, SPEED, assumptions([*EXACT, f"answer_tokens={tokens}", "longest_answer=1"]))
        for most, tokens in ((50, 90), (500, 50), (500, 90))
    )
    assert cut == short
    assert short.expected < long.expected


def test_operations_of_a_row_of_a_finetune() -> None:
    config = a_config("train.batch_rows=8", "train.micro_batch_rows=8")
    forward = 2 * 7000 * 50 + 192 * 1250
    expected = 2 * 1000 * 36 + 6 * 300 * 36 + 2 * forward + 2 * 700 * 50
    assert row_flops(config, SIZE, text_tokens=18, shots=0) == expected
    again = config.model_copy(
        update={"train": config.train.model_copy(update={"gradient_checkpointing": True, "projector": False})}
    )
    assert row_flops(again, SIZE, text_tokens=18, shots=0) == expected + forward - 4 * 300 * 36


def test_gpus() -> None:
    assert choose("", 79.0, {}).name == "A100-80GB", "the slowest one that has the memory"
    assert speed_of_gpus(GPUS["H100"], 0.5, assumptions()).flops.expected == 0.4 * 989.4e12 / 2
    with pytest.raises(ValueError, match=r"--gpu B300: known are A100-40GB, A100-80GB, H100, H200; describe it"):
        choose("B300", 79.0, {})


@pytest.mark.parametrize(("sets", "most", "least"), [([], 3, 2), (["loop.max_cycles=1"], 1, 1), (["preset=code"], 10, 10)])
def test_cycles_at_most_and_at_least(sets: list[str], most: int, least: int) -> None:
    config = a_config(*sets)
    steps = steps_at_most(config, {})
    assert max(step.cycle for step in steps) + 1 == most
    assert fewest_cycles(config, {}) == least


def test_the_last_of_all_cycles_asks_directly_only() -> None:
    generate = [step for step in steps_at_most(a_config(), {}) if step.kind == "generate"]
    assert [step.final for step in generate] == [False, False, True]
    assert [step.model for step in generate] == ["", "cycle-000/train", "cycle-001/train"], "every cycle gains"


def test_the_test_split_is_asked_twice_at_the_end() -> None:
    names = [step.name for step in steps_at_most(a_config("data.test=0.1"), {})]
    assert names[-2:] == ["base/evaluate-test", "cycle-002/evaluate-test"]
    assert [name for name in names if name.endswith("-test")] == names[-2:]
    sealed = a_history(0.9, 0.9, 0.9)
    assert [step.name for step in steps_at_most(a_config("data.test=0.1"), sealed)][-1] == "cycle-000/evaluate-test"


def a_history(*accuracies: float) -> dict[str, Seal]:
    sealed = {"base/evaluate": a_seal("base/evaluate", accuracy=0.4)}
    for cycle, accuracy in enumerate(accuracies):
        select, evaluate = (f"cycle-{cycle:03d}/{kind}" for kind in ("select", "evaluate"))
        sealed[select] = a_seal(select, direct_only=False, examples=9, episodes=0)
        sealed[evaluate] = a_seal(evaluate, accuracy=accuracy)
    return sealed


def test_a_run_that_has_stalled_has_one_more_cycle() -> None:
    config = a_config("loop.max_cycles=9")
    assert max(step.cycle for step in steps_at_most(config, a_history(0.9, 0.9))) == 2
    assert fewest_cycles(config, a_history(0.9, 0.9)) == 3
    assert max(step.cycle for step in steps_at_most(config, a_history(0.9))) == 8


def test_questions_of_a_run() -> None:
    assumed = assumptions(["direct_share=0.25", "later_direct_share=0.5:0.75:1"])
    by_step = {step.step: step for step in an_estimate(a_config(), assumed=assumed).steps}
    assert by_step["cycle-000/generate"].questions_at_most == 2000
    assert by_step["cycle-000/generate"].questions == exactly(1750.0)
    assert by_step["cycle-001/generate"].questions == Band(1000.0, 1250.0, 1500.0)
    assert by_step["cycle-002/generate"].questions_at_most == 1000, "the last cycle rationalizes nothing"
    assert by_step["base/evaluate"].questions == exactly(100.0)
    assert by_step["cycle-000/generate"].pieces == 32, "1000 clips, 32 a piece"


def test_optimizer_steps_follow_the_mixture() -> None:
    sets = ["train.batch_rows=10", "train.micro_batch_rows=10", "train.epochs=2.0"]
    assumed = assumptions(["direct_share=0.5", "later_direct_share=0.5", "rationalized_share=0.8"])

    def steps(*more: str, step: str = "cycle-000/train") -> float:
        return next(
            each.optimizer_steps.expected
            for each in an_estimate(a_config(*sets, *more), assumed=assumed).steps
            if each.step == step
        )

    assert steps() == 2 * (500 + 400) / 10
    assert steps("mixture.rationalized=0.5") == 2 * (500 + 200) / 10
    assert steps(step="cycle-002/train") == 2 * 500 / 10
    assert steps("select.source=template") == 2 * 1000 / 10
    assert steps("mixture.episodes=1.0", "mixture.direct=0.0", "mixture.rationalized=0.0") == 2 * 1000 / 10


def test_checkpoints_come_by_steps_and_by_time() -> None:
    taken = [Taken(step="cycle-000/train", kind="train", seconds=80.0, optimizer_steps=8)]  # 10 s each

    def puts_and_bytes(every_steps: int, every_s: float) -> tuple[float, bool]:
        sets = [f"train.checkpoint_every_steps={every_steps}", f"train.checkpoint_every_s={every_s}", "select.source=template"]
        config = a_config("train.batch_rows=10", "train.micro_batch_rows=10", "loop.final_direct_only=false", *sets)
        step = next(
            s for s in an_estimate(config, Observed(taken=taken)).steps if s.kind == "train" and s.step != "cycle-000/train"
        )
        beats = step.seconds.expected / BEAT_S
        assert step.optimizer_steps == exactly(100.0)
        return round((step.requests.puts.expected - beats - 5) / 3, 6), step.bytes_passing != NOTHING

    assert puts_and_bytes(25, 1e9) == (4, True)
    assert puts_and_bytes(1000, 1e9) == (0.1, False)
    assert puts_and_bytes(1000, 100.0) == (10, True)
    assert puts_and_bytes(25, 100.0) == (10, True)
    assert puts_and_bytes(1000, 1e-3) == (99, True), "none after the last step"


def test_more_actors_take_less_time() -> None:
    two, four = (an_estimate(a_config(f"cluster.generator_actors={actors}")).steps[2] for actors in (2, 4))
    assert two.gpus == 2
    assert four.gpus == 4
    assert two.seconds.expected >= four.seconds.expected
    assert two.gpu_hours.expected == pytest.approx(two.seconds.expected * 2 / 3600)


def test_the_low_end_leaves_out_cycles_that_may_not_come() -> None:
    estimate = an_estimate(a_config())
    sure = [step for step in estimate.steps if step.is_sure]
    assert {step.step.partition("/")[0] for step in estimate.steps} - {step.step.partition("/")[0] for step in sure} == {
        "cycle-002"
    }
    assert estimate.eta_s.low == pytest.approx(sum(step.seconds.low for step in sure))
    assert estimate.eta_s.high == pytest.approx(sum(step.seconds.high for step in estimate.steps))


def test_a_run_is_planned_by_its_own_steps() -> None:
    taken = [
        Taken(
            step="cycle-000/generate", kind="generate", seconds=150.0, questions=1500, rationalized=500, clips=1000, direct_kept=500
        ),
        Taken(step="cycle-000/train", kind="train", seconds=80.0, optimizer_steps=8),
    ]
    observed = Observed(sealed={}, taken=taken)
    by_step = {step.step: step for step in an_estimate(a_config("loop.final_direct_only=false"), observed).steps}
    assert by_step["cycle-001/evaluate"].seconds.expected == pytest.approx(100 * 0.1)
    assert by_step["cycle-001/evaluate"].basis == "measured in this run: cycle-000/generate"
    trained = by_step["cycle-001/train"]
    assert trained.seconds.expected == pytest.approx(10 * trained.optimizer_steps.expected)
    assert with_measurements(assumptions(), observed)["direct_share"].expected == 0.5
    assert with_measurements(assumptions(["direct_share=0.9"]), observed)["direct_share"].expected == 0.9, "the user's stays"


def test_what_is_done_is_not_planned_again_and_stands_beside_its_plan() -> None:
    taken = [Taken(step="base/evaluate", kind="evaluate", seconds=50.0, questions=100, clips=100, bytes_written=999)]
    observed = Observed(sealed=a_history(), taken=taken)
    new, begun = an_estimate(a_config()), an_estimate(a_config(), observed)
    assert "base/evaluate" not in begun.remaining
    (beside,) = begun.beside
    assert (beside.step, beside.actual_s, beside.actual_bytes) == ("base/evaluate", 50.0, 999)
    assert beside.planned_s == new.steps[1].seconds, "planned without the run's own seconds"


def test_a_step_under_way_has_its_rest_left() -> None:
    observed = Observed(sealed=a_history(), done={"cycle-000/generate": 750, "cycle-000/train": 2})
    whole, begun = (an_estimate(a_config("loop.max_cycles=1"), each) for each in (Observed(sealed=a_history()), observed))
    assert whole.questions_at_most - begun.questions_at_most == 750
    train = next(step for step in whole.steps if step.kind == "train")
    generate = next(step for step in whole.steps if step.kind == "generate")
    saved = generate.seconds.expected * 0.75 + train.seconds.expected * 2 / train.optimizer_steps.expected
    assert whole.eta_s.expected - begun.eta_s.expected == pytest.approx(saved)


def test_money() -> None:
    prices = Prices(currency="EUR", gpu_hour={"H100": 2.0}, gb_month=0.5, put_1000=4.0)
    estimate = an_estimate(a_config(), prices=prices, assumed=assumptions(["kept_months=3"]))
    costs = {cost.what: cost.amount for cost in estimate.costs}
    assert costs["GPUs while they work"] == estimate.gpu_hours * 2.0
    assert costs["GPUs held from start to end"] == estimate.eta_s * (2 / 3600) * 2.0
    assert costs["storage of the run's folder"] == estimate.bytes_kept / 1e9 * 3.0 * 0.5
    assert costs["requests that list"] == estimate.requests.lists / 1000.0 * 4.0, "as those that write, where nothing is given"
    assert costs["requests that read"] is None
    with pytest.raises(ValueError, match=r"has no GPU 'H100' in \[gpu_hour\], only A100"):
        an_estimate(a_config(), prices=Prices(gpu_hour={"A100": 1.0}))
    assert an_estimate(a_config()).costs == []
    unfilled = {cost.what: cost.amount for cost in an_estimate(a_config(), prices=Prices()).costs}
    assert unfilled["GPUs while they work"] is None
    assert unfilled["bytes of videos"] is None


def test_a_server_s_answers_are_paid_for_by_token() -> None:
    server = ["generate.engine=openai", "generate.openai.url=http://h/v1", "generate.openai.model=m", "generate.openai.frames=10"]
    assumed = assumptions(["direct_share=1", "picture_tokens=100", "prompt_tokens=50", "answer_tokens=20", "server_answer_s=8"])
    estimate = an_estimate(a_config(*server, "generate.openai.price_in=2", "generate.openai.price_out=10"), assumed=assumed)
    (cost,) = estimate.costs
    assert cost.amount is not None
    assert cost.amount.expected == pytest.approx(1000 * (1050 * 2 + 20 * 10) / 1e6)
    generate = next(step for step in estimate.steps if step.elsewhere)
    assert (generate.step, generate.gpus) == ("cycle-000/generate", 0.0)
    assert generate.seconds.expected > 1000 * 8 / (2 * 16), "two actors ask sixteen questions at once"


def test_a_judge_is_paid_for_by_token_too() -> None:
    judge = ['verify.stages=["rules", "judge"]', "verify.judge.url=http://h/v1", "verify.judge.model=m", "verify.judge.frames=2"]
    judge += ["verify.judge.sample=0.5", f"verify.judge.rubric={'x' * 400}", "generate.rationalize=false", "loop.max_cycles=1"]
    names = ("judged_share=0.2", "picture_tokens=100", "prompt_tokens=50", "answer_tokens=20")
    config = a_config(*judge, "verify.judge.price_in=2", "verify.judge.price_out=10", "generate.samples=1")
    (cost,) = an_estimate(config, assumed=assumptions(names)).costs
    assert cost.amount is not None
    generated = [step for step in an_estimate(config).steps if step.kind == "generate"]
    answers = sum(step.questions.expected for step in generated)
    assert cost.amount.expected == pytest.approx(answers * 0.6 * ((50 + 20 + 100 + 200) * 2 + 20 * 10) / 1e6)
    assert an_estimate(a_config(*judge)).costs == [], "without a price there is no sum"


def test_a_hundred_million_clips_on_paper() -> None:
    workload = a_workload(90_000_000, 10_000_000)
    rows = {row.what: row for row in on_paper(workload, "train", 32, exactly(0.1))}
    assert rows["parts"].value == exactly(10_987 + 1_221)
    assert rows["pieces of a step over train"].value == exactly(2_812_500)
    assert rows["requests of one listing of them"].value == exactly(2_813)
    assert rows["time of one listing of them"].value.expected == pytest.approx(281.3)
    assert rows[SEAL.what].value == exactly(194_407 + (194_407 - 19_666) / (1_221 - 122) * (12_208 - 1_221))
    assert rows[CARD.what].value.expected == pytest.approx(2.66e9, rel=0.01)
    listed = LISTING.at(100 * 256)
    assert rows[LISTING.what].value == exactly(listed), "of a hundred parts, however many there are"
    assert "79,764 at 1,000, 405,376 at 10,000, 3,756,920 at 100,000" in rows[INDEX.what].points


def test_prices_are_refused_in_one_line(tmp_path: Path) -> None:
    table = tmp_path / "p.toml"
    for text, message in (
        ("gpu_hours = 1", "no key 'gpu_hours'; did you mean 'gpu_hour'?"),
        ("[gpus.X]\ntflop = 1", "no key 'gpus.X.tflop'; did you mean 'tflops'?"),
        ("[gpus.X]\ntflops = 1", "gpus.X.tb_per_s is missing"),
        ("gb_month = -1", "gb_month = -1: Input should be greater than or equal to 0"),
        ("[gpu_hour]\nH100 = -2", "gpu_hour.H100 = -2 is below 0"),
        ("gb_month =", "is not a table of prices in TOML"),
    ):
        table.write_text(text)
        with pytest.raises(ValueError, match=r"p\.toml") as raised:
            read_prices(table)
        assert message in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("direct_shares=1", "did you mean 'direct_share'?"),
        ("direct_share=2", "a share is at most 1"),
        ("clip_s=3:2:1", "give low <= expected <= high"),
        ("clip_s=0", "give numbers above 0"),
        ("clip_s=1:2", "give one number, or low:expected:high"),
        ("clip_s", "could not convert"),
        ("clip_s=nan", "give low <= expected <= high"),
        ("clip_s=inf", "give low <= expected <= high"),
    ],
)
def test_assumptions_are_refused_in_one_line(setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"--assume {setting}") as raised:
        assumptions([setting])
    assert message in str(raised.value)


def test_the_first_pieces_of_a_step_say_how_fast_it_is(tmp_path: Path) -> None:
    """Three pieces of two clips at 100, 110 and 120 s; each second clip is rejected and rationalized."""
    store, step = Store(str(tmp_path)), Step(name="cycle-000/generate", kind="generate", cycle=0, inputs=())
    for number in range(3):
        clips = [f"c{2 * number}", f"c{2 * number + 1}"]
        rows = [an_attempt(clips[0], num_tokens=10), an_attempt(clips[1], outcome="rejected", num_tokens=20)]
        rows.append(an_attempt(clips[1], mode="rationalized", num_tokens=30))
        name = Piece(piece_id=f"{number:032x}", part="ingest/train/00000.parquet", start=2 * number, count=2).file_name
        store.create_table(f"{step.name}/pieces/{name}", pa.Table.from_pylist([row.to_row() for row in rows], schema=ATTEMPTS))
        os.utime(tmp_path / step.name / "pieces" / name, (100 + 10 * number, 100 + 10 * number))
    assert sorted(written_at(store, f"{step.name}/pieces").values()) == [100.0, 110.0, 120.0]
    observed = observe(store, {}, [step])
    assert (observed.done, observed.tokens) == ({"cycle-000/generate": 6}, [20.0, 20.0, 20.0])
    (taken,) = observed.taken
    assert (taken.seconds, taken.questions, taken.rationalized, taken.is_whole) == (20.0, 6, 2, False), "of two of the three pieces"
    assert (taken.clips, taken.direct_kept) == (6, 3)


def test_a_band_has_its_order() -> None:
    assert Band(1, 2, 3) * Band(0, 1, 2) == Band(0, 2, 6)
    assert Band(0.2, 0.4, 0.5).rest == Band(0.5, 0.6, 0.8)
    assert NOTHING.at_least(Band(1, 2, 3)) == Band(1, 2, 3)
    with pytest.raises(ValueError, match="give low <= expected <= high"):
        Band(3, 2, 1)
    assert replace(Band(1, 2, 3), high=9) == Band(1, 2, 9)
