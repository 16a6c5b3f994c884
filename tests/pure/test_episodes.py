"""Pins the sampler to a literal transcription of the published procedure, the properties of its contexts, and its cost."""

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from builders import a_clip
from engine.config import Episodes
from engine.episodes.build import Maker, narrated, shot_of
from engine.episodes.footage import Footage
from engine.episodes.sampler import Contexts, Drawn, Exclude, Sampler
from engine.episodes.splits import by_video, commonest, copies, top
from engine.rows import Clip


def a_world(count: int, verbs: int, nouns: int, seed: int = 0) -> list[Footage]:
    """Clips whose verbs and nouns have Zipf's tails; some lack one or both."""
    rng = random.Random(seed)
    named = [[f"{kind}{i}" for i in range(number)] for kind, number in (("v", verbs), ("n", nouns))]
    weights = [[1 / (i + 1) for i in range(len(names))] for names in named]
    drawn = [rng.choices(names, weight, k=count) for names, weight in zip(named, weights, strict=True)]
    odd = {0: "", 1: "[other]"}
    return [
        Footage(
            odd.get(rng.randrange(25), verb), "" if rng.random() < 0.04 else noun, f"video{i // 7}", i % 7 * 4.0, i % 7 * 4.0 + 8
        )
        for i, (verb, noun) in enumerate(zip(*drawn, strict=True))
    ]


def published(
    clips: Sequence[Footage], q: int, k: int, r: float, rng: random.Random, usable: Callable[[int], bool] = lambda i: True
) -> Drawn:
    """EILEV's code (arXiv 2311.17041), line by line, over lists: pools are found by scans, and a drawn clip leaves its pool.

    `usable` is our addition: other clips are drawn, but are not shots.
    """

    def draw(pool: list[int], n: int) -> list[int]:
        drawn = []
        while pool and len(drawn) < n:
            j = int(rng.random() * len(pool))
            pool[j], pool[-1] = pool[-1], pool[j]
            i = pool.pop()
            if usable(i):
                drawn.append(i)
        return drawn

    everything = range(len(clips))
    by_verb = sorted(everything, key=lambda i: (clips[i].verb, clips[i].noun, i))
    by_noun = sorted(everything, key=lambda i: (clips[i].noun, clips[i].verb, i))
    vb = [i for i in by_verb if clips[i].verb == clips[q].verb and clips[i].verb not in {"", "[other]"}]
    nb = [i for i in by_noun if clips[i].noun == clips[q].noun and clips[i].noun != ""]
    a = [i for i in vb if i != q and clips[i].noun != clips[q].noun]
    b = [i for i in nb if i != q and clips[i].verb != clips[q].verb]
    s: Drawn = []
    need = k
    while need > 0 and (a or b):
        if a and b:
            na = math.floor(need * r)
            nb_ = need - na
        elif b:
            na, nb_ = 0, need
        else:
            na, nb_ = need, 0
        s += [(i, "verb") for i in draw(a, na)]
        s += [(i, "noun") for i in draw(b, nb_)]
        need = k - len(s)
    if need > 0:
        taken = {i for i, _ in s}
        rest = [
            i
            for i in by_verb
            if i != q and i not in taken and not (clips[i].verb == clips[q].verb and clips[i].noun == clips[q].noun)
        ]
        s += [(i, "rest") for i in draw(rest, need)]
    return s


@pytest.mark.parametrize(
    ("count", "verbs", "nouns"), [(12, 2, 3), (60, 4, 9), (400, 12, 40), pytest.param(2000, 30, 200, marks=pytest.mark.slow)]
)
def test_draws_are_those_of_the_published_procedure(count: int, verbs: int, nouns: int) -> None:
    clips = a_world(count, verbs, nouns, seed=count)
    kinds = Counter[str]()
    for ratio in (0.5, 0.0, 0.25, 1.0):
        sampler = Sampler(clips, verb_noun_ratio=ratio)
        for q in range(0, count, max(1, count // 20)):
            for k in (0, 1, 2, 5, 16, 40):
                expected = published(clips, q, k, ratio, random.Random(q))
                drawn = sampler.draw(clips[q], k, random.Random(q), q)
                assert set(drawn) == set(expected), (q, k, ratio)
                assert len(drawn) == len(expected) == len({i for i, _ in drawn})
                kinds.update(role for _, role in drawn)
    assert set(kinds) == {"verb", "noun", "rest"}


def test_a_query_that_is_not_in_the_set_draws_like_one_that_is() -> None:
    clips = a_world(400, 12, 40)
    sampler = Sampler(clips)
    for q in range(0, 400, 7):
        query = Footage(clips[q].verb, clips[q].noun, "elsewhere", None, None)
        assert sampler.draw(query, 16, random.Random(q)) == sampler.draw(clips[q], 16, random.Random(q), q)


def test_no_shot_has_the_querys_action_and_a_single_shot_has_its_noun() -> None:
    clips = a_world(2000, 12, 40)
    sampler = Sampler(clips)
    for q in range(0, 2000, 11):
        drawn = sampler.draw(clips[q], 16, random.Random(q), q)
        assert all((clips[i].verb, clips[i].noun) != (clips[q].verb, clips[q].noun) for i, _ in drawn)
        if clips[q].noun and any(clip.noun == clips[q].noun and clip.verb != clips[q].verb for clip in clips):
            [(only, role)] = sampler.draw(clips[q], 1, random.Random(q), q)
            assert (role, clips[only].noun) == ("noun", clips[q].noun)


def test_draws_are_uniform_over_their_pool() -> None:
    clips = [Footage("cut", f"n{i}", "v", None, None) for i in range(12)] + [Footage("wash", "n0", "v", None, None)] * 3
    counts, sampler = Counter[int](), Sampler(clips)
    for seed in range(6000):
        counts.update(i for i, role in sampler.draw(clips[0], 4, random.Random(seed), 0) if role == "verb")
    mean = sum(counts.values()) / 11
    assert set(counts) == set(range(1, 12))
    assert all(abs(count - mean) < 5 * math.sqrt(mean) for count in counts.values()), counts


def test_clips_of_the_querys_video_or_window_can_be_excluded() -> None:
    clips = a_world(700, 4, 6)
    for exclude, is_leak in (
        ("video", lambda a, b: a.video == b.video),
        ("overlap", lambda a, b: a.overlaps(b)),
    ):
        plain, strict = Sampler(clips), Sampler(clips, exclude=exclude)  # type: ignore[arg-type]
        leaks = [0, 0]
        for q in range(0, 700, 3):
            for which, sampler in enumerate((plain, strict)):
                leaks[which] += sum(is_leak(clips[q], clips[i]) for i, _ in sampler.draw(clips[q], 16, random.Random(q), q))
        assert leaks[0] > 0 == leaks[1], (exclude, leaks)
    assert not clips[0].overlaps(clips[2])
    assert Footage("", "", "v", None, None).overlaps(Footage("", "", "v", 90.0, None))


@pytest.mark.parametrize("exclude", ["overlap", "video"])
@pytest.mark.parametrize("video_clips", [1, 7, 100])
def test_draws_with_an_exclusion_are_those_of_the_published_procedure(exclude: Exclude, video_clips: int) -> None:
    """Byte for byte, as long as at least one of eight clips of each pool is usable, or the pool is small."""
    clips = [replace(clip, video=f"video{i // video_clips}") for i, clip in enumerate(a_world(400, 4, 9))]
    sampler = Sampler(clips, exclude=exclude)
    for q in range(0, 400, 7):
        for k in (1, 5, 16):
            query, ours, theirs = clips[q], random.Random(q), random.Random(q)
            is_excluded = query.overlaps if exclude == "overlap" else lambda clip, video=query.video: clip.video == video
            expected = published(clips, q, k, 0.5, theirs, lambda i, excluded=is_excluded: not excluded(clips[i]))
            theirs.shuffle(expected)
            assert sampler.draw(query, k, ours, q) == expected, (q, k)
            assert ours.getstate() == theirs.getstate()


def one_video_of(count: int, apart: Sequence[int], exclude: Exclude) -> list[Footage]:
    """Clips of one video that all overlap; the numbers in `apart` are of another video, or end before the others start."""
    clips = [Footage(f"v{i % 4}", f"n{i % 5}", "own", float(i), None) for i in range(count)]
    for i in apart:
        clips[i] = replace(clips[i], video="other") if exclude == "video" else replace(clips[i], start_s=None, end_s=0.5)
    return clips


@pytest.mark.parametrize("contexts", ["bursty", "random"])
@pytest.mark.parametrize("exclude", ["overlap", "video"])
def test_the_few_clips_that_are_not_excluded_are_drawn(exclude: Exclude, contexts: Contexts) -> None:
    apart = [7, 300, 301, 302, 303, 304, 999]
    clips = one_video_of(1000, apart, exclude)
    sampler = Sampler(clips, contexts=contexts, exclude=exclude)
    for q in (5, 400, 998):
        usable = {i for i in apart if contexts == "random" or clips[i].action != clips[q].action}
        for k in (2, 16):
            drawn = sampler.draw(clips[q], k, random.Random(q), q)
            assert len({i for i, _ in drawn}) == len(drawn) == min(k, len(usable))
            assert {i for i, _ in drawn} <= usable
            for i, role in drawn:
                if role in ("verb", "noun"):
                    assert getattr(clips[i], role) == getattr(clips[q], role)


@pytest.mark.parametrize("exclude", ["overlap", "video"])
def test_draws_are_uniform_over_the_few_clips_that_are_not_excluded(exclude: Exclude) -> None:
    apart = range(0, 1000, 100)  # 5 of them have the verb of clip 4, and another noun than clip 4
    clips = one_video_of(1000, apart, exclude)
    sampler = Sampler(clips, exclude=exclude, verb_noun_ratio=1.0)
    counts = Counter(i for seed in range(3000) for i, role in sampler.draw(clips[4], 2, random.Random(seed), 4) if role == "verb")
    assert set(counts) == {i for i in apart if clips[i].verb == clips[4].verb and clips[i].noun != clips[4].noun}
    mean = sum(counts.values()) / len(counts)
    assert all(abs(count - mean) < 5 * math.sqrt(mean) for count in counts.values()), counts


@pytest.mark.parametrize("exclude", ["overlap", "video"])
def test_an_epoch_is_linear_in_the_clips_of_a_narrator_with_one_video(exclude: Exclude) -> None:
    """It takes 0.2 s of CPU time; a scan of the narrator's clips for each query took 5 s (video) and 9 s (overlap)."""
    clips = [Footage(verb, noun, "own", None, None) for verb, noun in (clip.action for clip in a_world(3000, 100, 500))]
    sampler = Sampler(clips, exclude=exclude)
    start = time.process_time()
    contexts = [sampler.draw(clip, 16, random.Random(q), q) for q, clip in enumerate(clips)]
    assert time.process_time() - start < 1.5
    assert not any(contexts)


def test_excluding_loses_no_shot_that_could_be_drawn() -> None:
    clips = [Footage("cut", f"n{i}", "own" if i < 50 else "other", None, None) for i in range(60)]
    drawn = Sampler(clips, exclude="video").draw(clips[0], 16, random.Random(0), 0)
    assert sorted(i for i, _ in drawn) == list(range(50, 60))


def test_random_contexts_are_drawn_from_all_clips_but_the_query() -> None:
    clips = [Footage("cut", "onion", "v", None, None)] * 5
    drawn = Sampler(clips, contexts="random").draw(clips[2], 16, random.Random(0), 2)
    assert sorted(drawn) == [(i, "random") for i in (0, 1, 3, 4)]


@pytest.mark.slow
def test_a_draw_of_16_shots_from_100_000_clips_takes_under_50_microseconds() -> None:
    clips = a_world(100_000, 100, 500)
    sampler = Sampler(clips)
    spent = []
    for _ in range(5):
        start = time.process_time()
        for q in range(0, 100_000, 100):
            sampler.draw(clips[q], 16, random.Random(f"0/{q}"), q)
        spent.append((time.process_time() - start) / 1000)
    assert min(spent) < 50e-6, f"{min(spent) * 1e6:.1f} microseconds"
    print(f"{min(spent) * 1e6:.1f} microseconds a draw of 16 shots from 100,000 clips, seeding included")


def clips_of_two_narrators(count: int = 40, **fields: str) -> list[Clip]:
    return [
        a_clip(
            f"c{i:02d}",
            verb=f"v{i % 4}",
            noun=f"n{i % 5}",
            description=f"#C C v{i % 4}s the n{i % 5}",
            narrator=f"p{i % 2}",
            **fields,
        )
        for i in range(count)
    ]


def maker(clips: Sequence[Clip], seed: int = 0, **section: object) -> Maker:
    return Maker([shot_of(clip) for clip in clips], Episodes.model_validate(section), seed)


def test_an_episode_depends_on_seed_epoch_and_query_alone() -> None:
    clips = clips_of_two_narrators()
    forwards = {episode.query: episode for episode in maker(clips).epoch(0)}
    backwards = {episode.query: episode for episode in list(maker(clips).epoch(0))[::-1]}
    assert forwards == backwards
    for changed in (maker(clips, seed=1).epoch(0), maker(clips).epoch(1)):
        assert sum(forwards[episode.query].context != episode.context for episode in changed) > 20


def test_shots_are_by_the_querys_narrator_with_same_narrator() -> None:
    clips = clips_of_two_narrators()
    narrators = {f"{clip.clip_id}/narration": clip.narrator for clip in clips}
    for same in (True, False):
        episodes = maker(clips, shots=(8,), same_narrator=same).epoch(0)
        names = [{narrators[example_id] for example_id in (*episode.context, episode.query)} for episode in episodes]
        assert all(len(narrators_of_episode) == 1 for narrators_of_episode in names) is same


def test_shots_and_wordings_are_mixed() -> None:
    episodes = [
        episode
        for epoch in range(5)
        for episode in maker(clips_of_two_narrators(), shots=(0, 1, 4), wordings="published").epoch(epoch)
    ]
    assert {len(episode.context) for episode in episodes} == {0, 1, 4}
    assert len({prompt for episode in episodes for prompt in episode.prompts}) == 9
    assert all(len(episode.prompts) == len(episode.context) + 1 == len(episode.roles) + 1 for episode in episodes)


def test_fewer_clips_than_shots_is_counted() -> None:
    episodes = list(maker(clips_of_two_narrators(6), shots=(16,), same_narrator=False).epoch(0))
    assert all(episode.short and len(episode.context) == 5 for episode in episodes)


def test_frozen_contexts_have_one_prompt_and_are_always_the_same() -> None:
    clips = clips_of_two_narrators()
    query = shot_of(a_clip("q", verb="v1", noun="n3", narrator="p1"))
    frozen = maker(clips, wordings="published").frozen(query, 8, "rare")
    assert frozen == maker(clips[:], wordings="published").frozen(query, 8, "rare")
    assert set(frozen.prompts) == {"Question: What is the camera wearer doing? Answer:"}
    assert (frozen.query, len(frozen.context), frozen.roles.count("noun")) == ("q/narration", 8, 2)  # the narrator has only two


def test_the_ablations() -> None:
    clips = clips_of_two_narrators(20) + [a_clip(f"x{i}", verb="v0", noun="n0", description="t") for i in range(9)]
    few = maker(clips, top_actions=1, same_narrator=False, shots=(4,))
    episodes = list(few.epoch(0))
    assert len(few) == len(episodes) == len(clips)
    assert {episode.query for episode in episodes} == {"c00/narration", *(f"x{i}/narration" for i in range(9))}
    assert len({episode.episode_id for episode in episodes}) == len(episodes)
    assert {role for episode in maker(clips, contexts="random").epoch(0) for role in episode.roles} == {"random"}
    section = Episodes(canonical="The camera wearer {verb} the {noun}.")
    assert narrated(a_clip(verb="cut", noun="onion", description="chops it"), section) == "The camera wearer cuts the onion."
    assert narrated(a_clip(verb="", noun="onion", description="chops it"), section) == ""
    assert narrated(a_clip(description="#C C cuts an onion"), Episodes()) == "The camera wearer cuts an onion."


def test_clips_without_verbs_and_nouns_are_an_error() -> None:
    with pytest.raises(ValueError, match="none of 3 clips has a verb or a noun"):
        maker([a_clip(str(i)) for i in range(3)])


def test_splits_by_video_are_whole_videos_in_the_published_shares() -> None:
    sizes = {f"v{i:03d}": i % 9 + 1 for i in range(200)}
    parts = by_video(sizes, seed=42)
    total = sum(sizes.values())
    shares = {part: sum(sizes[v] for v in sizes if parts[v] == part) / total for part in ("train", "val", "test")}
    assert shares["train"] == pytest.approx(0.5625, abs=0.02)
    assert shares["val"] == pytest.approx(0.1875, abs=0.02)
    assert parts == by_video(dict(reversed(sizes.items())), seed=42) != by_video(sizes, seed=43)


def test_common_actions_are_at_least_as_frequent_as_rare_ones() -> None:
    counts = Counter((clip.verb, clip.noun) for clip in a_world(5000, 12, 40))
    common = commonest(counts, 0.8)
    named = {action: count for action, count in counts.items() if all(action)}
    rare = named.keys() - common
    assert min(named[action] for action in common) >= max(named[action] for action in rare)
    mass = sum(named[action] for action in common) / sum(named.values())
    assert 0.8 <= mass < 0.8 + max(named.values()) / sum(named.values())
    assert len(top(counts, 7)) == 7


def test_upsampling_gives_each_action_the_same_number_of_extra_clips() -> None:
    actions = {f"a{i}": ("cut", "onion") for i in range(7)} | {f"b{i}": ("wash", "cup") for i in range(2)}
    counts = Counter(copies(actions, 20, seed=0))
    assert counts.total() == 9 + 2 * 5
    assert sum(count for name, count in counts.items() if name[0] == "b") == 2 + 5
    assert sum(count for name, count in counts.items() if name[0] == "a") == 7 + 5
    assert copies(actions, 3, seed=0) == list(actions)
