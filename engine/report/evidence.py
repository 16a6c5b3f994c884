"""The evidence in a report: accuracy by label, answers before and after, and answers that hold their clip's description. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.labels import name_of
from engine.rows import Attempt, Clip


@dataclass(frozen=True, kw_only=True)
class LabelScore:
    """LabelScore(label="orbiting", clips=20, before=0.0, after=0.95): shares of a label's held-out clips answered right."""

    label: str
    clips: int
    before: float
    after: float


@dataclass(frozen=True, kw_only=True)
class Story:
    """One clip and its answers, in order: (name of the answer, text, kept or not, reason)."""

    clip: Clip
    answers: tuple[tuple[str, str, bool, str], ...]


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """Repeated(clips=300, modes={"direct": (31, 40)}): of the 40 kept direct attempts, 31 contain their clip's description."""

    clips: int
    modes: Mapping[str, tuple[int, int]]
    """mode -> (attempts that contain the description, attempts on clips that have one)."""


class LabelCounts:
    """Right answers by label, counted while the clips stream: counts = LabelCounts(); counts.add(...); counts.scores()."""

    def __init__(self) -> None:
        self._clips, self._before, self._after = Counter[str](), Counter[str](), Counter[str]()

    def add(self, clips: Sequence[Clip], before: Sequence[Attempt], after: Sequence[Attempt]) -> None:
        """Some of the clips, with the attempts at them before the first finetune and after the last."""
        labels = {clip.clip_id: name_of(clip.label) for clip in clips}
        self._clips.update(labels.values())
        for right, attempts in ((self._before, before), (self._after, after)):
            kept = {attempt.clip_id for attempt in attempts if attempt.outcome == "kept"}
            right.update(label for clip_id, label in labels.items() if clip_id in kept)

    def scores(self) -> list[LabelScore]:
        """Labels in alphabetical order."""
        return [
            LabelScore(label=label, clips=clips, before=self._before[label] / clips, after=self._after[label] / clips)
            for label, clips in sorted(self._clips.items())
        ]


def learned(clips: Sequence[Clip], before: Sequence[Attempt], after: Sequence[Attempt], most: int) -> list[Story]:
    """Held-out clips that were wrong before, at most one per label: first those that are right after, then those still wrong."""
    first, second = ({attempt.clip_id: attempt for attempt in attempts} for attempts in (before, after))
    stories = [
        Story(clip=clip, answers=(_answer("before", first[clip.clip_id]), _answer("after", second[clip.clip_id])))
        for clip in clips
        if first[clip.clip_id].outcome == "rejected" and second[clip.clip_id].outcome != "failed"
    ]
    gained = _one_per_label([story for story in stories if story.answers[1][2]])
    return [*gained, *_one_per_label([story for story in stories if not story.answers[1][2]])][:most]


def rescued(clips: Sequence[Clip], attempts: Sequence[Attempt], most: int) -> list[Story]:
    """Train clips whose direct answer was rejected: first those kept after the hint, one per label, then two that were dropped."""
    direct = {attempt.clip_id: attempt for attempt in attempts if attempt.mode == "direct" and attempt.outcome == "rejected"}
    hinted = {attempt.clip_id: attempt for attempt in attempts if attempt.mode == "rationalized"}
    stories = [
        Story(clip=clip, answers=(_answer("alone", direct[clip.clip_id]), _answer("shown the label", hinted[clip.clip_id])))
        for clip in clips
        if clip.clip_id in direct and clip.clip_id in hinted
    ]
    kept = _one_per_label([story for story in stories if story.answers[1][2]])
    dropped = [story for story in stories if not story.answers[1][2]]
    return [*kept[: most - min(2, len(dropped))], *dropped[:2]][:most]


def _answer(name: str, attempt: Attempt) -> tuple[str, str, bool, str]:
    return name, attempt.text, attempt.outcome == "kept", attempt.reason


def _one_per_label(stories: list[Story]) -> list[Story]:
    return list({name_of(story.clip.label): story for story in reversed(stories)}.values())[::-1]


def word_for_word(clips: Sequence[Clip], attempts: Sequence[Attempt]) -> Repeated:
    """How many of the kept attempts contain the description of their clip word for word.

    An answer with the right label and a wrong reason passes verification: Video-STaR's known weakness. It can be measured in a
    rendered world, whose descriptions a model learns as they are. People's narrations are hardly ever repeated word for word, which
    says nothing about the reasons.
    """
    described = {clip.clip_id: clip.description for clip in clips if clip.description}
    modes: dict[str, tuple[int, int]] = {}
    for attempt in attempts:
        if attempt.outcome == "kept" and attempt.clip_id in described:
            number, kept = modes.get(attempt.mode, (0, 0))
            modes[attempt.mode] = (number + (described[attempt.clip_id] in attempt.text), kept + 1)
    return Repeated(clips=len(clips), modes=modes)
