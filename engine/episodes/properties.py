"""Measures episodes: the three properties that make in-context learning emerge (EILEV: burstiness, a long tail, dynamic meaning),
and leaks.

Chance is what contexts would share with the query if they were drawn at random from all clips. Such draws include the query's own
action, which no context may hold: if an action has most of its verb's clips, the measured share can be below chance.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from engine.config import Episodes
from engine.episodes.build import footage_of, narrated, narration_id
from engine.episodes.narration import Surface, surface
from engine.episodes.sampler import OTHER
from engine.rows import Clip, Episode

LISTED = 5
"""Words listed in a report, and classes listed with each."""
MIN_CLASSES = 3
"""Fewest classes that the exponent of a tail is fitted to."""


@dataclass(frozen=True, kw_only=True)
class Burstiness:
    """Shares of the shots that have the query's verb and its noun, and those by chance: in bursty episodes about .5 and .05."""

    verb: float
    verb_by_chance: float
    noun: float
    noun_by_chance: float


@dataclass(frozen=True, kw_only=True)
class Tail:
    """How counts fall with rank: count ~ rank ** -exponent, by least squares over the logarithms of all ranks.

    The exponent is near 1 for natural distributions, 0 for a flat one, None for fewer than three classes.
    """

    classes: int
    exponent: float | None
    top_share: float
    """Share of the clips that are of the commonest tenth of classes."""
    singles: int
    """Classes with a single clip."""


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """Dynamic meaning: mean number of words per class, and of classes per word, over clips."""

    surfaces_per_class: float
    classes_per_surface: float
    most: list[str] = field(default_factory=list)
    """The words that have most classes, each with its classes."""


@dataclass(frozen=True, kw_only=True)
class TextOnly:
    """Text-only baselines for one number of shots: what can be read from contexts without looking at a video."""

    queries: int
    ceiling: float
    """Share of the queries whose verb word and noun word are both used by a shot: no model that copies words can do better."""
    counting: float
    """Share of the queries whose words are the ones that the shots use most often (the first, if several are equally frequent): a
    lower bound for a model that looks."""


@dataclass(frozen=True, kw_only=True)
class Properties:
    episodes: int
    clips: int
    shots: dict[int, int]
    """Episodes by number of shots."""
    roles: dict[str, int]
    """Shots by why they were drawn; "rest" is the fallback."""
    short: int
    """Episodes for which too few clips could be drawn."""
    burstiness: Burstiness
    tails: dict[str, Tail]
    """Of verbs, nouns and actions."""
    text_only: dict[int, TextOnly]
    """Text-only baselines by number of shots."""
    meanings: dict[str, Meaning]
    """Of verbs and nouns, by the words of the narrations."""
    not_taken_apart: int
    """Clips whose narration does not match episodes.pattern."""
    leaks: dict[str, int]
    """Shots with the query's own action, of its video, and that overlap it; queries whose video is trained on."""


def properties(
    clips: Sequence[Clip], episodes: Iterable[Episode], section: Episodes, trained_videos: frozenset[str] = frozenset()
) -> Properties:
    """`clips`: the pool of the contexts, and the queries. `trained_videos`: of held-out queries, the videos that are trained on."""
    by_id = {narration_id(clip.clip_id): clip for clip in clips}
    narrations = {name: narrated(clip, section) for name, clip in by_id.items()}
    surfaces = {name: surface(text, section.pattern) for name, text in narrations.items() if text}
    matched = {name: words for name, words in surfaces.items() if words}
    episodes = list(episodes)
    pairs = [(by_id[episode.query], by_id[name]) for episode in episodes for name in episode.context]
    return Properties(
        episodes=len(episodes),
        clips=len(clips),
        shots=dict(sorted(Counter(len(episode.context) for episode in episodes).items())),
        roles=dict(sorted(Counter(role for episode in episodes for role in episode.roles).items())),
        short=sum(episode.short for episode in episodes),
        burstiness=_burstiness(clips, pairs),
        tails={
            "verb": tail(Counter(clip.action[0] for clip in clips if clip.action[0])),
            "noun": tail(Counter(clip.action[1] for clip in clips if clip.action[1])),
            "action": tail(Counter(" ".join(clip.action) for clip in clips if all(clip.action))),
        },
        text_only=_text_only(episodes, matched),
        meanings={
            "verb": meaning((by_id[name].action[0], words.verb) for name, words in matched.items()),
            "noun": meaning((by_id[name].action[1], words.noun) for name, words in matched.items()),
        },
        not_taken_apart=len(surfaces) - len(matched),
        leaks={
            "own_action": sum(shot.action == query.action for query, shot in pairs),
            "own_video": sum(shot.video == query.video for query, shot in pairs),
            "own_window": sum(footage_of(shot).overlaps(footage_of(query)) for query, shot in pairs),
            "trained_video": sum(by_id[episode.query].video in trained_videos for episode in episodes),
        },
    )


def _burstiness(clips: Sequence[Clip], pairs: Sequence[tuple[Clip, Clip]]) -> Burstiness:
    """`pairs`: (query, shot)."""
    verbs, nouns = (Counter(clip.action[part] for clip in clips) for part in range(2))
    shares = {"verb": 0.0, "noun": 0.0, "verb_by_chance": 0.0, "noun_by_chance": 0.0}
    for query, shot in pairs:
        (verb, noun), (shot_verb, shot_noun) = query.action, shot.action
        if verb not in ("", OTHER):
            shares["verb"] += shot_verb == verb
            shares["verb_by_chance"] += verbs[verb] / len(clips)
        if noun:
            shares["noun"] += shot_noun == noun
            shares["noun_by_chance"] += nouns[noun] / len(clips)
    return Burstiness(**{name: round(total / max(1, len(pairs)), 4) for name, total in shares.items()})


def _text_only(episodes: Iterable[Episode], surfaces: Mapping[str, Surface]) -> dict[int, TextOnly]:
    """By number of shots, for the queries whose narration matches the pattern. `surfaces`: by example_id."""
    results = defaultdict[int, list[tuple[bool, bool]]](list)
    for episode in episodes:
        if (query := surfaces.get(episode.query)) and episode.context:
            shots = [surfaces[name] for name in episode.context if name in surfaces]
            results[len(episode.context)].append(_readable(query, shots))
    return {
        shots: TextOnly(
            queries=len(values),
            ceiling=round(fmean(both for both, _ in values), 4),
            counting=round(fmean(commonest for _, commonest in values), 4),
        )
        for shots, values in sorted(results.items())
    }


def _readable(query: Surface, shots: Sequence[Surface]) -> tuple[bool, bool]:
    """Whether the shots use both of the query's words, and whether these are the words that the shots use most.

    >>> _readable(Surface("cuts", "onion"), [Surface("cuts", "cup"), Surface("cuts", "lid"), Surface("opens", "onion")])
    (True, False)
    """
    verbs, nouns = Counter(shot.verb for shot in shots if shot.verb), Counter(shot.noun for shot in shots if shot.noun)
    commonest = [[word for word, _ in counts.most_common(1)] for counts in (verbs, nouns)]
    return query.verb in verbs and query.noun in nouns, commonest == [[query.verb], [query.noun]]


def tail(counts: Mapping[str, int]) -> Tail:
    """`counts`: class -> clips.

    >>> zipf = tail({str(rank): round(10_000 / rank) for rank in range(1, 101)})
    >>> round(zipf.exponent, 2), zipf.classes, round(zipf.top_share, 2), zipf.singles
    (1.0, 100, 0.56, 0)
    """
    falling = sorted(counts.values(), reverse=True)
    exponent = None
    if len(falling) >= MIN_CLASSES:
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


def meaning(pairs: Iterable[tuple[str, str]]) -> Meaning:
    """`pairs`: (class, word), one per clip; those without class or word are ignored.

    >>> measured = meaning([("cut", "cuts"), ("cut", "chops"), ("cut", "slices"), ("split", "chops")])
    >>> measured.surfaces_per_class, measured.classes_per_surface, measured.most
    (2.5, 1.5, ['chops: cut, split'])
    """
    pairs = [(kind, word) for kind, word in pairs if kind and word]
    words, kinds = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for kind, word in pairs:
        words[kind].add(word)
        kinds[word].add(kind)
    ambiguous = [(word, names) for word, names in kinds.items() if len(names) > 1]
    ambiguous.sort(key=lambda pair: (-len(pair[1]), pair[0]))
    return Meaning(
        surfaces_per_class=round(sum(len(words[kind]) for kind, _ in pairs) / max(1, len(pairs)), 4),
        classes_per_surface=round(sum(len(kinds[word]) for _, word in pairs) / max(1, len(pairs)), 4),
        most=[f"{word}: {', '.join(sorted(names)[:LISTED])}" for word, names in ambiguous[:LISTED]],
    )
