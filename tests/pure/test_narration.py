"""Pins the measures of episodes, the words and scores of narrations, the questions and means of a curve, and the exports."""

import json
import random
from dataclasses import replace

import pytest

from builders import a_clip
from engine.config import Episodes
from engine.episodes import export
from engine.episodes.build import narration, narration_id
from engine.episodes.narration import Surface, canonical_narration, says, surface
from engine.episodes.properties import TextOnly, properties, tail
from engine.evaluate.few_shot.curve import Context, context_line, curve, derangement, pieces, read_contexts, too_many_unusable
from engine.evaluate.text_metrics import rouge_l
from engine.language.narration import clean
from engine.rows import Episode, Narrated

WEARER = "The camera wearer {verb} {noun}"


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("#C C drops a plate", "The camera wearer drops a plate."),
        ("#C C drops a plate ", "The camera wearer drops a plate."),
        ("#c C drops a plate", "The camera wearer drops a plate."),
        ("#C c drops a plate", "The camera wearer drops a plate."),
        ("#C C drops #unsure on the countertop<|eos|>", "The camera wearer drops something on the countertop."),
        ("#C C drops a plate #unsure", "The camera wearer drops a plate."),
        ("#C C drops a plate #unsure.", "The camera wearer drops a plate."),
        ("#C C drops a plate!", "The camera wearer drops a plate!"),
        ("open drawer", "open drawer."),
        ("The dax zups.", "The dax zups."),
    ],
)
def test_narrations_are_cleaned_as_published(raw: str, cleaned: str) -> None:
    assert clean(raw) == cleaned
    assert clean(cleaned) == cleaned


@pytest.mark.parametrize(
    ("text", "pattern", "words"),
    [
        ("The camera wearer cuts the onion.", WEARER, Surface("cuts", "onion")),
        ("The camera wearer picks up a chopping board with both hands.", WEARER, Surface("picks up", "chopping board")),
        ("The camera wearer puts the bag on the table.", WEARER, Surface("puts", "bag")),
        ("The camera wearer looks around.", WEARER, Surface("looks around", "")),
        ("the  camera wearer   OPENS the Fridge", WEARER, Surface("opens", "fridge")),
        ("open drawer", "{verb} {noun}", Surface("open", "drawer")),
        ("The dax zups.", "The {noun} {verb}", Surface("zups", "dax")),
        ("The blue dax zups.", "The {noun} {verb}.", Surface("zups", "blue dax")),
        ("A man walks.", WEARER, None),
        ("", WEARER, None),
    ],
)
def test_the_pattern_finds_verb_and_noun(text: str, pattern: str, words: Surface | None) -> None:
    assert surface(text, pattern) == words


def test_words_count_in_any_form_and_together() -> None:
    assert says("The camera wearer picked the knives up", "knife")
    assert says("She picks up a knife", "picked up")
    assert not says("She picks a knife up", "picks up")
    assert not says("The drive was long", "dive")


@pytest.mark.parametrize(
    ("verb", "third_person"),
    [
        ("cut", "cuts"),
        ("wash", "washes"),
        ("carry", "carries"),
        ("play", "plays"),
        ("go", "goes"),
        ("be", "is"),
        ("turn_on", "turns on"),
    ],
)
def test_canonical_narrations_are_sentences(verb: str, third_person: str) -> None:
    assert canonical_narration(WEARER, verb, "x") == f"The camera wearer {third_person} x"


def test_rouge_is_the_f_measure() -> None:
    golds = ["a b c d", "same words here", "one"]
    assert rouge_l(golds, ["a x c", "Same words, here!", ""]) == pytest.approx([2 * 2 / 7, 1.0, 0.0])


def an_episode(query: str, *context: str) -> Episode:
    return Episode(
        episode_id=f"{query}#0/0",
        query=narration_id(query),
        context=tuple(map(narration_id, context)),
        roles=("verb",) * len(context),
        prompts=("?",) * (len(context) + 1),
        epoch=0,
        short=False,
    )


def test_properties_of_three_small_episodes() -> None:
    clips = [
        a_clip("a", verb="cut", noun="onion", description="The camera wearer cuts the onion.", video="v1", start_s=0.0, end_s=8.0),
        a_clip("b", verb="cut", noun="bread", description="The camera wearer chops the loaf.", video="v1", start_s=4.0, end_s=12.0),
        a_clip(
            "c", verb="wash", noun="onion", description="The camera wearer rinses the onion.", video="v1", start_s=30.0, end_s=38.0
        ),
        a_clip("d", verb="cut", noun="onion", description="Somebody speaks", video="v2"),
    ]
    measured = properties(
        clips, [an_episode("a", "b", "c"), an_episode("d", "a"), an_episode("a")], Episodes(pattern=WEARER), frozenset({"v2"})
    )
    assert (measured.episodes, measured.shots, measured.roles) == (3, {0: 1, 1: 1, 2: 1}, {"verb": 3})
    assert measured.burstiness.verb == pytest.approx(2 / 3, abs=1e-4)
    assert measured.burstiness.verb_by_chance == pytest.approx(0.75)
    assert measured.leaks == {"own_action": 1, "own_video": 2, "own_window": 1, "trained_video": 1}
    assert measured.not_taken_apart == 1
    assert measured.text_only == {
        2: TextOnly(queries=1, ceiling=0.0, counting=0.0)
    }  # "d" does not match the pattern, and no other shot cuts
    assert measured.meanings["verb"].surfaces_per_class == pytest.approx(5 / 3, abs=1e-4)
    assert measured.tails["action"].singles == 2
    assert tail({"a": 9, "b": 9, "c": 9}).exponent == 0.0
    assert tail({"a": 1}).exponent is None


def test_properties_read_the_narrations_that_are_trained_on() -> None:
    clips = [a_clip("a", verb="drop", noun="plate", description="#C C drops a plate<|eos|>"), a_clip("b", description="#unsure")]
    section = Episodes(pattern=WEARER)
    measured = properties(clips, [], section)
    assert measured.meanings["verb"].surfaces_per_class == 1.0
    assert measured.not_taken_apart == 0, "a matches the pattern without its marks, and b narrates nothing"
    canonical = properties(clips, [], section.model_copy(update={"canonical": "Look: the camera wearer {verb} the {noun}."}))
    assert canonical.not_taken_apart == 1, "the canonical narration of a"


def test_exports_name_each_clip_and_each_turn() -> None:
    clips = [
        a_clip(name, video=f"s3://b/{video}.mp4", start_s=1.0, end_s=9.0, verb="cut", noun="onion", description="it, cut")
        for name, video in (("a", "x"), ("b", "x"), ("c", "y"))
    ]
    paths = export.frame_paths(clips)
    assert paths == {"a": "x|0", "b": "x|1", "c": "y|0"}
    twins = [a_clip(name, video=f"s3://b/{name}/clip.mp4") for name in "ab"]
    assert export.frame_paths(twins) == {"a": "clip|0", "b": "clip.1|0"}
    csv = export.eilev_csv(clips, paths, {clip.clip_id: f"{clip.clip_id}, cut" for clip in clips}).splitlines()
    assert csv[2] == 'x|1,x,1,5.0,"b, cut",cut,onion'
    episode = an_episode("c", "a", "b")
    assert [json.loads(line) for line in export.eilev_jsonl([episode], paths)] == [{"context": ["x|0", "x|1"], "query": "y|0"}]
    examples = {narration_id(clip.clip_id): narration(clip, f"narration of {clip.clip_id}", "?") for clip in clips}
    [query] = map(json.loads, export.messages_jsonl([episode], examples))
    [everything] = map(json.loads, export.messages_jsonl([episode], examples, "all"))
    assert [m.get("loss") for m in query["messages"]] == [None, False, None, False, None, True]
    assert [m.get("loss") for m in everything["messages"]] == [None, True] * 3
    assert (query["videos"], query["windows"]) == (
        ["s3://b/x.mp4", "s3://b/x.mp4", "s3://b/y.mp4"],
        "[[1.0, 9.0], [1.0, 9.0], [1.0, 9.0]]",
    )


def test_a_still_picture_is_an_image_of_a_message() -> None:
    clips = [a_clip("a", video="/v/a.png"), a_clip("b", video="/v/b.mp4", start_s=1.0, end_s=9.0)]
    examples = {narration_id(clip.clip_id): narration(clip, "it, cut", "?") for clip in clips}
    [row] = map(json.loads, export.messages_jsonl([an_episode("b", "a")], examples))
    assert [message["content"][:7] for message in row["messages"][::2]] == ["<image>", "<video>"]
    assert (row["videos"], row["images"], row["windows"]) == (["/v/b.mp4"], ["/v/a.png"], "[[null, null], [1.0, 9.0]]")


def test_contexts_are_read_as_written_and_a_broken_line_is_named() -> None:
    line = context_line("q", ["a", "b"])
    assert read_contexts("rare", 2, line * 2) == [Context(set="rare", shots=2, query="q", context=("a", "b"))] * 2
    with pytest.raises(ValueError, match="contexts of rare after 2 shots, line 2"):
        read_contexts("rare", 2, line + '{"context": []}\n')


def test_pieces_name_each_window_once_and_shuffle_only_the_videos() -> None:
    clips = {name: a_clip(name, description=f"The {name} does.", verb=name, noun="x") for name in "abcq"}
    section = Episodes(pattern="The {noun} {verb}.", canonical="It {verb} {noun}.")
    contexts = [Context(set="rare", shots=shots, query="q", context=tuple("abc"[:shots])) for shots in (0, 1, 3)]
    [piece] = pieces(contexts, clips, section, "model")
    questions = json.loads(piece["questions"])
    assert len(json.loads(piece["windows"])) == 4
    kinds = [("", 0), ("", 1), ("majority", 1), ("", 3), ("shuffled", 3), ("majority", 3)]
    assert [(question["control"], question["shots"]) for question in questions] == kinds
    assert questions[5] | {"text": "The b does.", "chosen_verb": "a", "chosen_noun": "x", "sample": []} == questions[5]
    plain, shuffled = questions[3]["sample"], questions[4]["sample"]
    assert (
        [turn["answer"] for turn in plain]
        == [turn["answer"] for turn in shuffled]
        == ["The a does.", "The b does.", "The c does.", ""]
    )
    assert all(turn["clip"] != control["clip"] for turn, control in zip(plain[:-1], shuffled[:-1], strict=True))
    assert plain[-1] == shuffled[-1]
    assert [p["piece_id"] for p in pieces(contexts, clips, section, "other")] != [piece["piece_id"]]
    with pytest.raises(ValueError, match="contexts of rare name 'z', which is no clip there"):
        list(pieces([Context(set="rare", shots=1, query="q", context=("z",))], clips, section, "model"))


def test_a_derangement_leaves_nothing_in_place() -> None:
    for number in range(2, 18):
        order = derangement(number, random.Random(number))
        assert sorted(order) == list(range(number))
        assert all(i != j for i, j in enumerate(order))


def row(shots: int, verb: bool, noun: bool, failure: str = "", shown: int | None = None, query: str = "q") -> Narrated:
    return Narrated(
        set="rare", control="", shots=shots, query=query, verb="cut", noun="onion", gold="g", text="t", rouge_l=0.5, sts=None,
        verb_right=verb, noun_right=noun, failure=failure, shown=shots if shown is None else shown, by_class=False,
    )  # fmt: skip


def test_too_many_queries_without_a_video_are_a_reason_for_no_curve() -> None:
    answers = [row(shots, False, False, "missing" if i < 30 else "", query=str(i)) for i in range(100) for shots in (0, 4)]
    assert too_many_unusable(answers, 0.2) == "30 of 100 clips failed (missing 30), more than limits.failure_rate = 0.2"
    assert too_many_unusable(answers, 0.5) is None
    looked_at_none = [*answers, *(replace(each, control="majority", failure="") for each in answers if each.shots)]
    assert too_many_unusable(looked_at_none, 0.2) == too_many_unusable(answers, 0.2)


def test_a_curve_is_means_by_set_control_and_shots() -> None:
    fours = [row(4, True, True), row(4, True, False), row(4, False, True, shown=3), row(4, True, True)]
    none, four = curve([*fours, row(0, False, False, "missing")], {"q": "a.mp4"})
    assert (none.shots, none.queries, none.both, none.failed, none.short) == (0, 1, 0.0, 1, 0)
    [gone] = curve([row(4, False, False, "missing", shown=0)], {"q": "a.mp4"})
    assert (gone.failed, gone.short) == (1, 0), "counted once"
    assert (four.short, four.by_class) == (1, 0)
    assert (four.verb, four.noun, four.both, four.rouge_l, four.sts) == (0.75, 0.75, 0.5, 0.5, None)
    assert (four.both_low, four.both_high) == (0.0015, 0.9985), "one video says little"
