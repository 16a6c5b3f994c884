"""Pins the accounts: each clip is kept, dropped or failed, once; and which attempts become examples, in which order."""

from collections import Counter
from dataclasses import replace

from builders import a_clip, an_attempt
from engine.generate.ledger import Ledger, balance
from engine.generate.prompts import PUBLISHED, STRICT, train_prompt
from engine.labels import Number, TimeRange, name_of
from engine.rows import Clip
from engine.select.choose import Limit, from_template, select
from engine.select.duplicates import Duplicates
from engine.train.mixture import Stream, order, share

BOTH = frozenset({"direct", "rationalized"})


def test_each_clip_counts_once_by_its_last_attempt() -> None:
    attempts = [
        an_attempt("a"),
        an_attempt("b", outcome="rejected", reason="label_missing"),
        an_attempt("b", mode="rationalized"),
        an_attempt("c", mode="rationalized", outcome="rejected", reason="gives_away_hint"),
        an_attempt("c", outcome="rejected", reason="label_missing"),
        an_attempt("d", outcome="failed", reason="missing"),
    ]
    assert balance(attempts) == Ledger(
        clips=4, direct_kept=1, rationalized_kept=1, dropped={"gives_away_hint": 1}, failed={"missing": 1}, direct=3, direct_right=1
    )


def test_a_direct_example_comes_before_a_rationalized_one() -> None:
    attempts = [
        an_attempt("a", mode="rationalized", text="hinted"),
        an_attempt("a", text="own"),
        an_attempt("b", mode="rationalized"),
    ]
    clips = [a_clip("b"), a_clip("a"), a_clip("c")]
    chosen = select(clips, attempts, BOTH, PUBLISHED)
    assert [(example.clip_id, example.mode) for example in chosen] == [("b", "rationalized"), ("a", "direct")]
    assert chosen[1].answer == "own"
    assert [example.clip_id for example in select(clips, attempts, frozenset({"direct"}), PUBLISHED)] == ["a"]


def test_an_example_asks_the_question_alone_and_names_where_it_comes_from() -> None:
    example = select([a_clip("a", question="What?")], [an_attempt("a", cycle=3, seed=9, model="m9")], BOTH, PUBLISHED)[0]
    assert (example.prompt, example.cycle, example.mode, example.seed, example.model) == ("What?", 3, "direct", 9, "m9")


def test_rejected_attempts_are_never_examples() -> None:
    assert select([a_clip("a")], [an_attempt("a", outcome="rejected", reason="label_missing")], BOTH, PUBLISHED) == []


def test_what_an_earlier_cycle_kept_is_used_only_where_this_one_kept_nothing() -> None:
    attempts = [an_attempt("a", cycle=0, text="old"), an_attempt("a", cycle=1, mode="rationalized", text="new")]
    attempts += [an_attempt("b", cycle=0, text="old"), an_attempt("b", cycle=1, outcome="rejected", reason="label_missing")]
    chosen = select([a_clip("a"), a_clip("b")], attempts, BOTH, PUBLISHED)
    assert [(example.clip_id, example.cycle, example.answer) for example in chosen] == [("a", 1, "new"), ("b", 0, "old")]


def settled(max_per_label: int | None, balance: bool) -> Counter[str]:
    """How many of 10, 4 and 1 examples of three labels stay."""
    sizes = (("x", 10), ("y", 4), ("z", 1))
    return stay([a_clip(f"{label}{i}", label) for label, count in sizes for i in range(count)], max_per_label, balance)


def stay(clips: list[Clip], max_per_label: int | None, balance: bool = False) -> Counter[str]:
    limit = Limit(seed=0)
    for clip in clips:
        limit.add(clip)
    limit.settle(max_per_label, balance)
    return Counter(name_of(clip.label) for clip in clips if limit.keeps(clip))


def test_labels_are_capped_and_balanced() -> None:
    assert settled(3, False) == {"x": 3, "y": 3, "z": 1}
    assert settled(None, True) == {"x": 4, "y": 4, "z": 1}, "the median label has four"
    assert settled(2, True) == {"x": 2, "y": 2, "z": 1}
    assert settled(None, False) == {"x": 10, "y": 4, "z": 1}


def test_labels_that_are_no_classes_are_capped_by_kind() -> None:
    scores = [replace(a_clip(str(i)), label=Number(value=i)) for i in range(9)]
    assert stay([*scores, a_clip("a", "x"), a_clip("b", "x")], 2) == {"number": 2, "x": 2}


def test_near_duplicates_are_counted() -> None:
    told = "The red ball starts at the left, rolls over the table and falls off on the right, so the action is falling"
    seen = Duplicates()
    for text in (
        told,
        told.upper() + "!",
        told.replace("red", "blue"),
        "Nothing of the kind is to be seen here at all, so it rises",
        "",
    ):
        seen.add(text)
    assert seen.count() in (1, 2), "the second for certain; of the third one word in twenty is another"
    assert Duplicates().count() == 0


def test_the_template_baseline_uses_every_label() -> None:
    assert [e.answer for e in from_template([a_clip(label="x"), a_clip("b", label="y")], "The answer is {label}.", PUBLISHED)] == [
        "The answer is x.",
        "The answer is y.",
    ]


def test_published_prompts_ask_for_shares_and_the_template_answers_in_them() -> None:
    clip = replace(a_clip(), label=TimeRange(key="temporal_range", start_s=2, end_s=5, duration_s=8))
    [example] = from_template([clip], "The answer is {label}.", PUBLISHED)
    assert (example.prompt.count("shares"), example.answer) == (1, "The answer is temporal range: 0.25, 0.625.")
    [example] = from_template([clip], "The answer is {label}.", STRICT)
    assert (example.prompt.count("shares"), example.answer) == (0, "The answer is from 2 s to 5 s.")


def test_what_a_question_or_a_label_holds_is_no_template() -> None:
    clip = a_clip("a", label="{question}", question="What does {label} or {question} mean?")
    (template,) = from_template([clip], "It is {label}.", STRICT)
    (kept,) = select([clip], [an_attempt("a")], BOTH, STRICT)
    assert template.answer == "It is {question}."
    assert template.prompt == kept.prompt == train_prompt(STRICT, clip.question)
    assert template.prompt.startswith("What does {label} or {question} mean?\n")


def test_every_epoch_is_a_permutation_and_the_seed_decides_it() -> None:
    ten = [Stream(1.0, [range(10)])]
    steps = order(ten, 3.0, 5, seed=1)
    assert [sorted(steps[2 * epoch] + steps[2 * epoch + 1]) for epoch in range(3)] == [list(range(10))] * 3
    assert steps == order(ten, 3.0, 5, seed=1) != order(ten, 3.0, 5, seed=2)
    assert len(order([Stream(1.0, [range(3)])], 1.0, 8, seed=0)) == 1


def test_ranks_share_a_step_without_loss_or_overlap() -> None:
    step = list(range(16))
    shares = [share(step, rank, 4, 2) for rank in range(4)]
    assert sorted(row for ranked in shares for micro in ranked for row in micro) == step
    assert all([len(micro) for micro in ranked] == [2, 2] for ranked in shares)


def test_streams_are_fed_by_weight_and_come_round() -> None:
    streams = [
        Stream(1.0, [range(0, 10)]),
        Stream(0.5, [range(10, 14)]),
        Stream(2.0, [range(20, 23), range(30, 33)]),
        Stream(0.0, [[99]]),
    ]
    steps = order(streams, 2.0, 6, seed=3)
    assert len(steps) == 6
    fed = [row for step in steps for row in step]
    assert sorted(fed) == sorted([*range(10)] * 2 + [*range(10, 14)] + [*range(20, 23), *range(30, 33)] * 2)
    first = sorted(fed[:18])
    assert first[:10] == list(range(10))
    assert len([row for row in first if 10 <= row < 14]) == 2
    assert [row for row in first if row >= 20] == [20, 21, 22, 30, 31, 32]
    assert steps == order(streams, 2.0, 6, seed=3) != order(streams, 2.0, 6, seed=4)
