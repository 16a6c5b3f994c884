"""What EILEV says makes in-context learning come, measured on some episodes: burstiness, a long tail, dynamic meaning; and leaks.

Chance is what contexts would share if they were drawn at random from all clips. These hold the query's own action too, which no
context may: where an action has most of its verb's clips, what is drawn can lie below chance.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from engine.episodes.build import footage_of, narration_id
from engine.episodes.narration import Surface, surface
from engine.episodes.sampler import OTHER
from engine.rows import Clip, Episode

SHOWN = 5
FEWEST = 3
"""Classes that a tail's exponent is fitted to, at least."""


@dataclass(frozen=True, kw_only=True)
class Burstiness:
    """Of the shots, the share with the query's verb and noun, and what chance would give; bursty are .5 and .05."""

    verb: float
    verb_by_chance: float
    noun: float
    noun_by_chance: float


@dataclass(frozen=True, kw_only=True)
class Tail:
    """How counts fall: count ~ rank ** -exponent, by least squares over all ranks in logarithms; None for fewer than three classes.

    A natural marginal has an exponent near 1, a flat one 0.
    """

    classes: int
    exponent: float | None
    top_share: float
    """Of all clips, those of the commonest tenth of classes."""
    singles: int
    """Classes with a single clip: no shot can share more than one word with it."""


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """Dynamic meaning: how many words a class has, and how many classes a word has, each weighted by clips."""

    surfaces_per_class: float
    classes_per_surface: float
    most: list[str] = field(default_factory=list)
    """The words of most classes, with these."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What contexts of so many shots tell without their videos: what a model has to beat, and what it cannot."""

    queries: int
    ceiling: float
    """Share of the queries whose words, for verb and for noun, are both said by a shot."""
    counting: float
    """Share of those whose words are the ones that the shots say most often; of words said equally often the first."""


@dataclass(frozen=True, kw_only=True)
class Properties:
    episodes: int
    clips: int
    shots: dict[int, int]
    """Episodes by number of shots."""
    roles: dict[str, int]
    """Shots by why they were drawn: "rest" and short episodes are the fallbacks."""
    short: int
    burstiness: Burstiness
    tails: dict[str, Tail]
    """Of verbs, nouns and actions."""
    told: dict[int, Told]
    """By number of shots."""
    meanings: dict[str, Meaning]
    """Of verbs and nouns; by what the narrations say."""
    not_taken_apart: int
    """Clips whose narration is not built as episodes.pattern says."""
    leaks: dict[str, int]
    """Shots that are the query's own action, of its video, or share seconds with it; queries whose video others train on."""


def properties(
    clips: Sequence[Clip], episodes: Iterable[Episode], pattern: str, trained_videos: frozenset[str] = frozenset()
) -> Properties:
    """`clips`: the contexts' pool and the queries. `trained_videos`: for queries that are not trained on, of the clips that are."""
    by_id = {narration_id(clip.clip_id): clip for clip in clips}
    said = {name: surface(clip.description, pattern) for name, clip in by_id.items() if clip.description}
    shots, roles, leaks = Counter[int](), Counter[str](), Counter[str](own_action=0, own_video=0, own_window=0, trained_video=0)
    shared, referenced, short, count = defaultdict[str, float](float), 0, 0, 0
    verbs, nouns = Counter(clip.verb for clip in clips), Counter(clip.noun for clip in clips)
    told = defaultdict[int, list[tuple[bool, bool]]](list)
    for episode in episodes:
        count += 1
        query = by_id[episode.query]
        shots[len(episode.context)] += 1
        roles.update(episode.roles)
        short += episode.short
        leaks["trained_video"] += query.video in trained_videos
        if (own := said.get(episode.query)) and episode.context:
            told[len(episode.context)].append(_told(own, [words for name in episode.context if (words := said.get(name))]))
        for name in episode.context:
            shot = by_id[name]
            referenced += 1
            if query.verb not in ("", OTHER):
                shared["verb"] += shot.verb == query.verb
                shared["verb_by_chance"] += verbs[query.verb] / len(clips)
            if query.noun:
                shared["noun"] += shot.noun == query.noun
                shared["noun_by_chance"] += nouns[query.noun] / len(clips)
            leaks["own_action"] += (shot.verb, shot.noun) == (query.verb, query.noun)
            leaks["own_video"] += shot.video == query.video
            leaks["own_window"] += footage_of(shot).overlaps(footage_of(query))
    apart = [(by_id[name], words) for name, words in said.items() if words]
    part = {name: shared[name] / max(1, referenced) for name in ("verb", "noun", "verb_by_chance", "noun_by_chance")}
    return Properties(
        episodes=count,
        clips=len(clips),
        shots=dict(sorted(shots.items())),
        roles=dict(sorted(roles.items())),
        short=short,
        burstiness=Burstiness(**{name: round(value, 4) for name, value in part.items()}),
        tails={
            "verb": tail(Counter(clip.verb for clip in clips if clip.verb)),
            "noun": tail(Counter(clip.noun for clip in clips if clip.noun)),
            "action": tail(Counter(f"{clip.verb} {clip.noun}" for clip in clips if clip.verb and clip.noun)),
        },
        told={
            number: Told(queries=len(some), ceiling=_share(both for both, _ in some), counting=_share(most for _, most in some))
            for number, some in sorted(told.items())
        },
        meanings={
            "verb": meaning((clip.verb, words.verb) for clip, words in apart),
            "noun": meaning((clip.noun, words.noun) for clip, words in apart),
        },
        not_taken_apart=len(said) - len(apart),
        leaks=dict(leaks),
    )


def _share(values: Iterable[bool]) -> float:
    return round(fmean(values), 4)


def _told(query: Surface, shots: Sequence[Surface]) -> tuple[bool, bool]:
    """Whether the shots say the query's verb and its noun, and whether they say no other more often.

    >>> _told(Surface("cuts", "onion"), [Surface("cuts", "cup"), Surface("cuts", "lid"), Surface("opens", "onion")])
    (True, False)
    """
    verbs, nouns = Counter(shot.verb for shot in shots if shot.verb), Counter(shot.noun for shot in shots if shot.noun)
    commonest = [[word for word, _ in counts.most_common(1)] for counts in (verbs, nouns)]
    return query.verb in verbs and query.noun in nouns, commonest == [[query.verb], [query.noun]]


def tail(counts: Mapping[str, int]) -> Tail:
    """
    >>> made = tail({str(rank): round(10_000 / rank) for rank in range(1, 101)})
    >>> round(made.exponent, 2), made.classes, round(made.top_share, 2), made.singles
    (1.0, 100, 0.56, 0)
    """
    falling = sorted(counts.values(), reverse=True)
    exponent = None
    if len(falling) >= FEWEST:
        xs, ys = [math.log(rank + 1) for rank in range(len(falling))], [math.log(count) for count in falling]
        mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
        exponent = -sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / sum((x - mean_x) ** 2 for x in xs)
    top = sum(falling[: math.ceil(len(falling) / 10)]) / max(1, sum(falling))
    return Tail(
        classes=len(falling),
        exponent=None if exponent is None else round(exponent, 4),
        top_share=round(top, 4),
        singles=sum(count == 1 for count in falling),
    )


def meaning(said: Iterable[tuple[str, str]]) -> Meaning:
    """Of (class, word) pairs, one a clip.

    >>> made = meaning([("cut", "cuts"), ("cut", "chops"), ("cut", "slices"), ("split", "chops")])
    >>> made.surfaces_per_class, made.classes_per_surface, made.most
    (2.5, 1.5, ['chops: cut, split'])
    """
    pairs = [(kind, word) for kind, word in said if kind and word]
    words, kinds = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for kind, word in pairs:
        words[kind].add(word)
        kinds[word].add(kind)
    several = sorted(((word, found) for word, found in kinds.items() if len(found) > 1), key=lambda one: (-len(one[1]), one[0]))
    return Meaning(
        surfaces_per_class=round(sum(len(words[kind]) for kind, _ in pairs) / max(1, len(pairs)), 4),
        classes_per_surface=round(sum(len(kinds[word]) for _, word in pairs) / max(1, len(pairs)), 4),
        most=[f"{word}: {', '.join(sorted(found)[:SHOWN])}" for word, found in several[:SHOWN]],
    )
