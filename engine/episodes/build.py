"""Builds episodes from a set of clips, and frozen contexts for evaluation.

Each draw is keyed by (seed, epoch, query), so it depends neither on the order of the draws nor on the machine.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from engine.config import Episodes
from engine.episodes.footage import Action, Footage
from engine.episodes.narration import EVALUATED, WORDINGS, canonical_narration, sentence_of
from engine.episodes.sampler import Sampler
from engine.episodes.splits import copies, top
from engine.language.narration import clean
from engine.rows import Clip, Episode, Example


@dataclass(frozen=True, slots=True)
class Shot:
    """What an episode needs to know of a clip: Shot("P01_11_3", "P01_11_3/narration", "P01", Footage("cut", "onion", ...))."""

    clip_id: str
    example_id: str
    narrator: str
    footage: Footage

    @property
    def action(self) -> Action:
        return self.footage.action


def shot_of(clip: Clip, example_id: str = "") -> Shot:
    return Shot(clip.clip_id, example_id or narration_id(clip.clip_id), clip.narrator, footage_of(clip))


def footage_of(clip: Clip) -> Footage:
    return Footage(*clip.action, clip.video, clip.start_s, clip.end_s)


def narration_id(clip_id: str) -> str:
    """
    >>> narration_id("P01_11_3")
    'P01_11_3/narration'
    """
    return f"{clip_id}/narration"


def narrated(clip: Clip, section: Episodes) -> str:
    """The narration of a clip, as a sentence; "" if the clip has none."""
    if section.canonical:
        has_action = clip.verb.strip(" _") and clip.noun.strip(" _")
        return canonical_narration(section.canonical, clip.verb, clip.noun) if has_action else ""
    sentence = clean(clip.description)
    if section.sentence:
        sentence = sentence_of(section.sentence, sentence, clip.verb)
    return sentence if any(map(str.isalnum, sentence)) else ""


def narration(clip: Clip, text: str, question: str) -> Example:
    """The clip with its narration `text`, as the example that episodes refer to by id."""
    return Example(
        example_id=narration_id(clip.clip_id),
        clip_id=clip.clip_id,
        video=clip.video,
        start_s=clip.start_s,
        end_s=clip.end_s,
        prompt=question,
        answer=text,
        source="narration",
    )


class Maker:
    """Makes episodes whose contexts are drawn from a set of shots; with same_narrator, from the shots of the query's narrator."""

    def __init__(self, shots: Sequence[Shot], section: Episodes, seed: int) -> None:
        """Raises ValueError if no clip has a verb or a noun."""
        if not any(shot.footage.verb or shot.footage.noun for shot in shots):
            raise ValueError(
                f"none of {len(shots)} clips has a verb or a noun, and episodes need them; fill in the manifest's columns verb and "
                "noun, or set mixture.episodes=0"
            )
        if section.top_actions:
            top_actions = top(Counter(shot.action for shot in shots), section.top_actions)
            self._queries = copies({shot.clip_id: shot.action for shot in shots if shot.action in top_actions}, len(shots), seed)
            shots = [shot for shot in shots if shot.action in top_actions]
        else:
            self._queries = [shot.clip_id for shot in shots]
        self._section, self._seed = section, seed
        groups: dict[str, list[Shot]] = {}
        for shot in shots:
            groups.setdefault(self._group(shot), []).append(shot)
        self._groups = groups
        self._samplers = {
            name: Sampler([shot.footage for shot in group], section.verb_noun_ratio, section.contexts, section.exclude)
            for name, group in groups.items()
        }
        self._numbers = {shot.clip_id: (number, shot) for group in groups.values() for number, shot in enumerate(group)}

    def __len__(self) -> int:
        """Episodes of an epoch."""
        return len(self._queries)

    def _group(self, shot: Shot) -> str:
        return shot.narrator if self._section.same_narrator else ""

    def epoch(self, epoch: int) -> Iterator[Episode]:
        """One episode for each query, in the same order in each epoch."""
        copies_so_far = Counter[str]()
        for clip_id in self._queries:
            number, query = self._numbers[clip_id]
            key = f"{clip_id}#{copies_so_far[clip_id]}/{epoch}"
            copies_so_far[clip_id] += 1
            rng = random.Random(f"{self._seed}/{key}")
            shots = self._section.shots[int(rng.random() * len(self._section.shots))]
            yield self._episode(key, query, shots, rng, number, epoch)

    def frozen(self, query: Shot, shots: int, name: str) -> Episode:
        """The episode that a query is evaluated with. Contexts of 4 and of 8 shots are independent draws, as published."""
        number = self._numbers[query.clip_id][0] if query.clip_id in self._numbers else None
        rng = random.Random(f"{self._seed}/{name}/{shots}/{query.clip_id}")
        episode = self._episode(f"{name}/{shots}/{query.clip_id}", query, shots, rng, number, 0)
        prompt = EVALUATED[self._section.wordings].replace("{question}", self._section.question)
        return replace(episode, prompts=(prompt,) * len(episode.prompts))

    def _episode(self, key: str, query: Shot, shots: int, rng: random.Random, number: int | None, epoch: int) -> Episode:
        group = self._groups.get(self._group(query), [])
        sampler = self._samplers.get(self._group(query))
        drawn = sampler.draw(query.footage, shots, rng, number) if sampler else []
        wordings = WORDINGS[self._section.wordings]
        chosen = [wordings[int(rng.random() * len(wordings))] for _ in range(len(drawn) + 1)]
        return Episode(
            episode_id=key,
            query=query.example_id,
            context=tuple(group[i].example_id for i, _ in drawn),
            roles=tuple(role for _, role in drawn),
            prompts=tuple(wording.replace("{question}", self._section.question) for wording in chosen),
            epoch=epoch,
            short=len(drawn) < shots,
        )
