"""What a person needs to see to believe a run: accuracy by label, a clip before and after, reasons true or not. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.labels import name_of
from engine.rows import Attempt, Clip


@dataclass(frozen=True, kw_only=True)
class LabelScore:
    """LabelScore(label="orbiting", clips=20, before=0.0, after=0.95): shares of the held-out clips of one label answered right."""

    label: str
    clips: int
    before: float
    after: float


@dataclass(frozen=True, kw_only=True)
class Story:
    """One clip and what was said about it, in order: (who said it, the answer, kept or not, why)."""

    clip: Clip
    said: tuple[tuple[str, str, bool, str], ...]


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
    """Held-out clips, one a label at most: first those that went from wrong to right, then those that are wrong still."""
    first, second = ({attempt.clip_id: attempt for attempt in attempts} for attempts in (before, after))
    stories = [
        Story(clip=clip, said=(_said("before", first[clip.clip_id]), _said("after", second[clip.clip_id])))
        for clip in clips
        if first[clip.clip_id].outcome == "rejected" and second[clip.clip_id].outcome != "failed"
    ]
    gained = _one_per_label([story for story in stories if story.said[1][2]])
    return [*gained, *_one_per_label([story for story in stories if not story.said[1][2]])][:most]


def rescued(clips: Sequence[Clip], attempts: Sequence[Attempt], most: int) -> list[Story]:
    """Train clips whose direct answer was rejected: half of those shown were rescued by the hint, the others were dropped."""
    direct = {attempt.clip_id: attempt for attempt in attempts if attempt.mode == "direct" and attempt.outcome == "rejected"}
    hinted = {attempt.clip_id: attempt for attempt in attempts if attempt.mode == "rationalized"}
    stories = [
        Story(clip=clip, said=(_said("alone", direct[clip.clip_id]), _said("shown the label", hinted[clip.clip_id])))
        for clip in clips
        if clip.clip_id in direct and clip.clip_id in hinted
    ]
    kept = _one_per_label([story for story in stories if story.said[1][2]])
    dropped = [story for story in stories if not story.said[1][2]]
    return [*kept[: most - min(2, len(dropped))], *dropped[:2]][:most]


def _said(who: str, attempt: Attempt) -> tuple[str, str, bool, str]:
    return who, attempt.text, attempt.outcome == "kept", attempt.reason


def _one_per_label(stories: list[Story]) -> list[Story]:
    return list({name_of(story.clip.label): story for story in reversed(stories)}.values())[::-1]


def true_reasons(clips: Sequence[Clip], attempts: Sequence[Attempt]) -> Mapping[str, tuple[int, int]]:
    """Of the kept attempts on clips with a description, how many contain it: {mode: (true, kept)}.

    A right label under a wrong reason survives containment: Video-STaR's known weakness, measurable where the truth is planted.
    """
    described = {clip.clip_id: clip.description for clip in clips if clip.description}
    counts: dict[str, tuple[int, int]] = {}
    for attempt in attempts:
        if attempt.outcome == "kept" and attempt.clip_id in described:
            true, kept = counts.get(attempt.mode, (0, 0))
            counts[attempt.mode] = (true + (described[attempt.clip_id] in attempt.text), kept + 1)
    return counts
