"""Pins which clips a text is compared with, what counts of it, the threshold's false-discovery rate, and what the gate rejects."""

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from builders import a_clip, an_attempt
from engine.generate.grounding import Readings, others_of, reason_tokens
from engine.generate.prompts import STRICT
from engine.generate.scores import ANY, Groundings, Supports, bin_of, threshold
from engine.presets import load_config
from engine.rows import Answer, Attempt, Grounding
from engine.select.choose import BOTH_MODES
from engine.select.grounded import Gate
from models.base import Likelihood


def a_grounding(support: float, mismatched: float = 0.0, others: int = 4) -> Grounding:
    """Of one token, so that supports are differences: others alternate around -20."""
    around = tuple(-20.0 + (mismatched if number % 2 else -mismatched) for number in range(others))
    return Grounding(tokens=1, own=support + sum(around) / others, others=around, clips=tuple("abcdefgh"[:others]))


def grounded(support: float, mismatched: float = 0.0) -> dict[str, Any]:
    """The columns of an attempt."""
    return {"grounding": a_grounding(support, mismatched), "support": support}


def an_answer(clip_id: str = "a", **fields: Any) -> Answer:
    row = an_attempt(clip_id, **fields).to_row()
    return Answer.from_row({name: row[name] for name in Answer.__dataclass_fields__})


def test_a_text_is_compared_with_other_labels_and_other_footage() -> None:
    clips = [
        a_clip("a", "rising"),
        a_clip("b", "rising"),
        a_clip("c", "sinking", video="/videos/a.mp4"),
        a_clip("d", "growing"),
        a_clip("e", "blinking"),
    ]
    assert {clips[number].clip_id for number in others_of(clips, 9, 0)[0]} == {"d", "e"}, (
        "c shows the same stretch of the same video"
    )
    windows = [a_clip("a", "x", start_s=0.0, end_s=5.0), a_clip("b", "y", start_s=5.0, end_s=None), a_clip("c", "z", start_s=4.0)]
    windows = [a_clip(clip.clip_id, clip.label.text, start_s=clip.start_s, end_s=clip.end_s, video="v.mp4") for clip in windows]
    assert others_of([*windows, a_clip("d", "w")], 9, 0)[0] in ([1, 3], [3, 1])


def test_the_others_follow_from_seed_and_ids_and_not_from_their_places() -> None:
    clips = [a_clip(str(number), f"label {number}") for number in range(12)]
    drawn = {clip.clip_id: {clips[n].clip_id for n in numbers} for clip, numbers in zip(clips, others_of(clips, 4, 7), strict=True)}
    turned = clips[::-1]
    again = {
        clip.clip_id: {turned[n].clip_id for n in numbers} for clip, numbers in zip(turned, others_of(turned, 4, 7), strict=True)
    }
    assert drawn == again
    assert {len(others) for others in drawn.values()} == {4}
    assert others_of(clips, 4, 8) != others_of(clips, 4, 7)


@pytest.mark.parametrize("labels", [["rising"], ["rising"] * 6, ["rising", "sinking"]])
def test_a_piece_with_too_few_labels_tests_nothing(labels: list[str]) -> None:
    clips = [a_clip(str(number), label) for number, label in enumerate(labels)]
    readings = Readings.of(clips, [[an_attempt(clip.clip_id)] for clip in clips], 4, 0, STRICT)
    assert readings.passages == []
    assert [attempt.grounding for of_clip in readings.grounded([]) for attempt in of_clip] == [None] * len(clips)


def test_kept_texts_are_read_as_answers_to_the_question_without_a_hint() -> None:
    clips = [a_clip(str(number), f"label {number}") for number in range(3)]
    attempts = [
        [an_attempt("0", outcome="rejected"), an_attempt("0", mode="rationalized", text="It is so.")],
        [an_attempt("1", outcome="failed")],
        [an_attempt("2", text="A cross grows."), an_attempt("2", text="", outcome="rejected")],
    ]
    readings = Readings.of(clips, attempts, 2, 0, STRICT)
    assert {passage.question for passage in readings.passages} == {
        "What is the action?\nExplain step by step what you see, then give the answer."
    }
    assert next((p.text, p.clip) for p in readings.passages if p.text == "It is so.") == ("It is so.", 0)
    assert len(readings.passages) == 6
    spans = ((0, 1), (2, 7), (8, 13))
    read = [
        Likelihood(text=passage.text, spans=spans, logprobs=(-9.0, -1.0, -1.0) if passage.clip == 2 else (-9.0, -4.0, -2.0))
        for passage in readings.passages
    ]
    scored = readings.grounded(read)
    assert scored[2][0].grounding == Grounding(
        tokens=2, own=-2.0, others=(-6.0, -6.0), clips=tuple(clips[number].clip_id for number in readings.others[2])
    )
    assert scored[0][0].grounding is None
    assert scored[2][1].grounding is None


def test_what_memory_does_not_hold_leaves_a_text_with_fewer_others_or_without_a_score() -> None:
    clips = [a_clip(str(number), f"label {number}") for number in range(4)]
    readings = Readings.of(clips, [[an_attempt("0", text="A cross.")], [], [], []], 3, 0, STRICT)
    whole = Likelihood(text="A cross.", spans=((0, 1), (2, 7)), logprobs=(-1.0, -1.0))
    for read, others in (([whole, None, whole, whole], 2), ([whole, None, None, whole], 0), ([None, whole, whole, whole], 0)):
        grounding = readings.grounded(read)[0][0].grounding
        assert (len(grounding.clips) if grounding else 0) == others


@pytest.mark.parametrize(
    ("text", "label", "reason"),
    [
        ("It is the red circle.", "rising", "redcircle"),
        ("The red circle goes up, so it rises.", "rising", "redcirclegoesupso"),
        ("It is rising.", "rising", "rising"),
        ("It is the", "rising", ""),
        ("他 跑步", "游泳", "他跑步"),
        ("他 跑步", "跑步", "他"),
    ],
)
def test_a_reason_is_what_is_neither_function_word_nor_label(text: str, label: str, reason: str) -> None:
    spans = tuple((start, start + 1) for start in range(len(text)))
    tokens = reason_tokens(Likelihood(text=text, spans=spans, logprobs=()), label)
    assert "".join(text[token] for token in tokens) == reason


def test_clips_with_the_same_question_come_first() -> None:
    clips = [a_clip(str(number), f"label {number}", question=f"Which {number % 3}?") for number in range(15)]
    assert all(
        clips[other].question == clips[own].question for own, others in enumerate(others_of(clips, 4, 0)) for other in others
    )
    assert {len(others) for others in others_of(clips, 7, 0)} == {7}


def test_bins_rise_with_what_they_hold() -> None:
    values = sorted(random.Random(0).gauss(0, 10) for _ in range(500))
    assert [bin_of(value) for value in values] == sorted(bin_of(value) for value in values)


def drawn_clips(num_clips: int, samples: int, share: float, seed: int) -> tuple[list[Attempt], set[str]]:
    """Clips with so many kept attempts each, and the ids of those of which all fit other videos as well.

    The supports of such attempts are those of mismatched pairs.
    """
    drawn, attempts, bad = random.Random(seed), list[Attempt](), set[str]()
    for number in range(num_clips):
        clip_id = f"{samples}-{number}"
        if drawn.random() < share:
            bad.add(clip_id)
        for sample in range(samples):
            own = drawn.gauss(0.0 if clip_id in bad else 6.0, 1.0)
            attempts.append(
                an_attempt(clip_id, sample=sample, text=f"Text {sample}.", **grounded(own, mismatched=drawn.gauss(0.0, 0.8)))
            )
    return attempts, bad


def bad_share(attempts: Sequence[Attempt], bad: set[str], modes: frozenset[Any] = frozenset({"direct"})) -> float:
    """Of the clips that the gate leaves an answer, those that have none of their own."""
    groundings = Groundings(0)
    groundings.add([], attempts)
    gate = Gate.of("fdr 0.05", [groundings.facts()], modes)
    answers = [an_answer(a.clip_id, sample=a.sample, support=a.support) for a in attempts if a.mode in modes]
    stay = {answer.clip_id for answer in gate.applied([], answers) if answer.outcome == "kept"}
    return len(stay & bad) / len(stay)


@pytest.mark.parametrize("faulty", [0.05, 0.3, 0.8])
def test_the_share_of_clips_whose_answer_fits_other_videos_is_held(faulty: float) -> None:
    """Answers that fit other videos as well have the supports of mismatched pairs; of those that stay at most 5 % may be such."""
    shares = [bad_share(*drawn_clips(200, 1, faulty, seed)) for seed in range(20)]
    assert sum(shares) / len(shares) < 0.055


@pytest.mark.parametrize("bad_samples", [1, 8])
def test_the_share_is_of_clips_however_many_attempts_each_has(bad_samples: int) -> None:
    """30 clips with eight grounded attempts each, and 240 others: with one lucky attempt each, or with eight."""
    shares = []
    for seed in range(5):
        good, _ = drawn_clips(30, 8, 0.0, seed)
        attempts, bad = drawn_clips(240, bad_samples, 1.0, 100 + seed)
        shares.append(bad_share([*good, *(replace(a, clip_id=f"bad {a.clip_id}") for a in attempts)], {f"bad {b}" for b in bad}))
    assert sum(shares) / len(shares) < 0.055


def test_attempts_of_a_mode_that_is_not_chosen_from_set_no_threshold() -> None:
    """In the last finetune the rationalized answers, of which most fit other videos, do not count."""
    direct = [an_attempt(f"d{number}", **grounded(2.0, mismatched=0.4)) for number in range(60)]
    hinted = [an_attempt(f"r{number}", mode="rationalized", **grounded(0.0, mismatched=3.0)) for number in range(200)]
    groundings = Groundings(0)
    groundings.add([], [*direct, *hinted])
    answers = [an_answer(f"d{number}", support=2.0) for number in range(60)]
    kept = {
        modes: Counter(answer.outcome for answer in Gate.of("fdr 0.05", [groundings.facts()], modes).applied([], answers))
        for modes in (frozenset({"direct"}), BOTH_MODES)
    }
    assert kept == {frozenset({"direct"}): {"kept": 60}, BOTH_MODES: {"rejected": 60}}


def test_no_threshold_without_enough_mismatched_pairs_and_none_passes_where_none_can_be_told() -> None:
    few = Groundings(0)
    few.add([], [an_attempt(str(number), **grounded(9.0)) for number in range(24)])
    assert threshold(few.total(), 0.05) is None
    blind = Groundings(0)
    blind.add([], [an_attempt(str(number), **grounded(0.0, mismatched=1.0)) for number in range(50)])
    assert threshold(blind.total(), 0.05) == math.inf
    assert not Gate.of("fdr 0.05", [few.facts()]).has_threshold
    assert Gate.of("fdr 0.05", [blind.facts()]).applied([], [an_answer(**grounded(0.0))])[0].outcome == "rejected"


def test_counts_come_back_from_a_seal() -> None:
    groundings = Groundings(3)
    samples = ("It rises.", 2.5), ("It goes up.", 4.0), ("It goes up.", 4.0)
    groundings.add([], [an_attempt(sample=n, text=text, **grounded(value)) for n, (text, value) in enumerate(samples)])
    groundings.add([], [an_attempt("b"), an_attempt("c", outcome="rejected"), an_attempt("d", model="n", **grounded(1.0))])
    total = groundings.total()
    assert (total.unscored, total.scored, total.scores.total(), total.mismatched.total()) == (1, 4, 3, 12)
    assert total.best == {bin_of(4.0): 1, bin_of(1.0): 1}, "a clip counts once, and so does a text"
    assert Groundings.of(groundings.facts()) == groundings
    assert Groundings.of(Groundings(0).facts()) == Groundings(0)


def test_a_seal_of_an_older_version_counts_answers_of_any_model() -> None:
    counts = {str(bin_of(6.0)): 40, str(bin_of(0.0)): 8}
    facts = {"cycle": 0, "scored": 48, "unscored": 2, "scores": counts, "mismatched": {str(bin_of(0.0)): 192}}
    own = Groundings.of(facts).supports[ANY, ANY]
    assert own == Supports(2, 48, Counter({bin_of(6.0): 40, bin_of(0.0): 8}), own.scores, Counter({bin_of(0.0): 192}))
    gate = Gate.of("fdr 0.05", [facts], frozenset({"direct"}))
    answers = [an_answer(model="ab12", **grounded(value)) for value in (6.0, 0.0)]
    assert [answer.outcome for answer in gate.applied([], answers)] == ["kept", "rejected"]
    assert gate.unscored == 2


def test_each_model_has_its_own_threshold() -> None:
    """A continued run reuses answers, whose supports are those of the model that gave them: here ten times as large."""
    attempts = [
        an_attempt(f"{model}{value:g}-{number}", model=model, **grounded(scale * value, mismatched=scale * 0.5))
        for model, scale in (("old", 10.0), ("new", 1.0))
        for value, count in ((6.0, 40), (0.0, 8))
        for number in range(count)
    ]
    groundings = Groundings(0)
    groundings.add([], attempts)
    gate = Gate.of("fdr 0.05", [groundings.facts()])
    answers = [an_answer(model=model, **grounded(5.9)) for model in ("old", "new")]
    assert [answer.outcome for answer in gate.applied([], answers)] == ["rejected", "rejected"]
    answers = [an_answer(model=model, **grounded(6.0)) for model in ("old", "new")]
    assert [answer.outcome for answer in gate.applied([], answers)] == ["rejected", "kept"]


def test_the_gate_rejects_what_is_below_and_leaves_what_has_no_score() -> None:
    groundings = Groundings(0)
    attempts: list[Attempt] = [an_attempt(f"a{number}", **grounded(6.0)) for number in range(40)]
    attempts += [an_attempt(f"b{number}", **grounded(0.0)) for number in range(8)] + [an_attempt("c")]
    groundings.add([], attempts)
    gate = Gate.of("fdr 0.05", [groundings.facts()])
    assert gate.unscored == 1
    answers = [an_answer(**grounded(6.0)), an_answer(**grounded(0.0)), an_answer(), an_answer(**grounded(0.0), cycle=1)]
    assert [(answer.outcome, answer.reason) for answer in gate.applied([], answers)] == [
        ("kept", "contains_label"), ("rejected", "ungrounded"), ("kept", "contains_label"), ("kept", "contains_label"),
    ]  # fmt: skip
    assert Gate.of("off", [groundings.facts()]).applied([], answers) == answers


@pytest.mark.parametrize("number", [-102, 10, 13, 95])
def test_the_bin_below_the_threshold_is_rejected(number: int) -> None:
    """Bins whose least value, computed and taken for a support again, falls into the bin below."""
    inside, below = (math.sinh((number + share) / 64) / 8 for share in (0.5, -0.5))
    pairs = Counter({number - 1: 400})
    answers = Counter({number: 90, number - 1: 10})
    least = threshold(Supports(0, 100, answers, answers, pairs), 0.05)
    gate = Gate(bins={(0, "m"): least or 0.0})
    assert [a.outcome for a in gate.applied([], [an_answer(support=inside), an_answer(support=below)])] == ["kept", "rejected"]


def test_a_number_of_nats_is_compared_with_the_support_itself() -> None:
    gate = Gate.of(2.5, [Groundings(0).facts()])
    answers = [an_answer(support=value) for value in (2.5, 2.4999, 9.0)]
    assert [answer.outcome for answer in gate.applied([], answers)] == ["kept", "rejected", "kept"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("generate.grounding=1", "at least 2 other clips"),
        ("select.min_grounding=fdr 5", "select.min_grounding = 'fdr 5': write \"fdr 0.05\""),
        ("select.min_grounding=nan", "should be a finite number"),
        ("select.pass_rate=[0.9,0.1]", "give [lowest, highest]"),
        ("select.pass_rate=[0.1,0.9]", "generate.samples"),
        ("generate.samples=4", "generate.temperature"),
    ],
)
def test_settings_that_say_nothing_are_refused(setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        load_config(None, [setting])


def test_a_server_cannot_be_asked_for_likelihoods() -> None:
    server = ["generate.engine=openai", "generate.openai.url=http://h/v1", "generate.openai.model=m"]
    with pytest.raises(ValueError, match="'openai' cannot read texts; leave grounding out"):
        load_config(None, [*server, "generate.grounding=4"])
    own = load_config(None, server).generate
    assert (own.compared("openai"), own.compared("builtin")) == (0, 4)
    paper = load_config(None, ["preset=paper"])
    assert (paper.generate.compared("builtin"), paper.select.min_grounding) == (0, "off")
