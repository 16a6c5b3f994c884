"""The evidence in a report: accuracy by label, answers before and after, and how many reasons are true. Pure."""

from collections import defaultdict
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


def by_label(clips: Sequence[Clip], before: Sequence[Attempt], after: Sequence[Attempt]) -> list[LabelScore]:
    """Labels in alphabetical order."""
    right = [{attempt.clip_id for attempt in attempts if attempt.outcome == "kept"} for attempts in (before, after)]
    groups: dict[str, list[str]] = defaultdict(list)
    for clip in clips:
        groups[name_of(clip.label)].append(clip.clip_id)
    return [
        LabelScore(
            label=label,
            clips=len(ids),
            before=sum(clip_id in right[0] for clip_id in ids) / len(ids),
            after=sum(clip_id in right[1] for clip_id in ids) / len(ids),
        )
        for label, ids in sorted(groups.items())
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


def true_reasons(clips: Sequence[Clip], attempts: Sequence[Attempt]) -> Mapping[str, tuple[int, int]]:
    """{mode: (true, kept)}: of the kept attempts on clips with a description, how many contain the description.

    An answer with the right label and a wrong reason passes verification: Video-STaR's known weakness, which can be measured where
    the true description is known.
    """
    described = {clip.clip_id: clip.description for clip in clips if clip.description}
    counts: dict[str, tuple[int, int]] = {}
    for attempt in attempts:
        if attempt.outcome == "kept" and attempt.clip_id in described:
            true, kept = counts.get(attempt.mode, (0, 0))
            counts[attempt.mode] = (true + (described[attempt.clip_id] in attempt.text), kept + 1)
    return counts
