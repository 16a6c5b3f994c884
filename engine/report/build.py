"""A run's report, from what its steps left in the store: all attempts are counted, and some of the clips are shown."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.audit import reviews
from engine.audit.audit import audits
from engine.config import HELDOUT, RunConfig
from engine.generate.spec import verify_spec_of
from engine.report.beliefs import Evidence, beliefs
from engine.report.counts import label_rows
from engine.report.few_shot import curves_of
from engine.report.frames import FilmStrips
from engine.report.page import Parts, page
from engine.report.reading import Reading, Shown, cycle_of
from engine.report.stories import Teller, audit_value
from engine.report.strips import Strip
from engine.rows import Clip, Window
from engine.run.collected import collected_by_step
from engine.run.plan import BASE, INGEST, TRAIN, name_of
from engine.run.promotion import level_of_gain
from engine.run.seals import Seal
from engine.run.work import pieces_of
from engine.store.files import Store
from engine.store.locations import masked

StripOf = Callable[[Clip | Window], Strip]
STORY_BYTES = 5_000_000
"""Of all clips that are shown, as JSON without their frames: of clips with long answers fewer are shown."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The run that is reported on."""

    store: Store
    config: RunConfig
    summary: Mapping[str, Any]
    sealed: Mapping[str, Seal]
    commands: Sequence[Mapping[str, Any]] = ()
    """What the first and the last command on the run left about themselves (engine/run/logs.py)."""
    beside: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Summaries of ablations, by name."""
    curves: Mapping[str, Any] = field(default_factory=dict)
    """What few-shot curves say, by the folder or file that each is in (engine/report/few_shot.py)."""
    next_step: str = ""
    """"": the run is complete."""
    is_at_work: bool = False
    """Whether a driver holds the lease."""
    strips: Mapping[str, Strip] = field(default_factory=dict)
    """Of the report that is there, by the clip (engine/report/frames.py)."""
    inputs: str = ""
    """Digest of all that the report is made of."""


def report_page(subject: Subject, strip_of: StripOf | None = None) -> str:
    """The HTML. `strip_of`: where the frames of a clip come from; by default its video is decoded.

    Raises ValueError where ingest is not complete, StorageError where a piece is not what was sealed.
    """
    store, sealed = subject.store, subject.sealed
    if INGEST not in sealed:
        raise ValueError(f"{store.uri} has nothing to report yet: its ingest step is not complete; go on with the run first")
    reading = Reading(store, sealed)
    reading.count()
    if strip_of is not None:
        return _page(subject, reading, strip_of)
    with FilmStrips(subject.config, subject.strips) as strips:
        return _page(subject, reading, strips.of)


def _page(subject: Subject, reading: Reading, strip_of: StripOf) -> str:
    store, sealed, counts = subject.store, subject.sealed, reading.counts
    generated = {cycle_of(step): counts[step] for step in reading.steps(TRAIN)}
    best = name_of(subject.summary["best_cycle"], "evaluate")
    latest = max(generated, default=None)
    kept_in = _answered_in(generated, subject.summary["best_cycle"])
    kept = None if kept_in is None else generated[kept_in]
    labels = label_rows(reading.labels(TRAIN), kept, counts.get(BASE), counts.get(best))
    audited, words = audits(store, sealed), reviews.read(store, reviews.records_of(store))
    evidence = Evidence(
        summary=subject.summary,
        labels=labels,
        kept_in=kept_in,
        generated=generated,
        audits=audited,
        level=level_of_gain(subject.config.loop),
        beside=subject.beside,
        evaluated={step: sealed[step].facts for step in dict.fromkeys((BASE, best)) if step in sealed},
        ignores_copies=subject.config.select.near_copies == "ignore",
        videos=sealed[INGEST].counts.get("videos", 0),
        is_toy="model.base" in subject.config.model.toys,
        is_rendered=_is_rendered(subject.config),
        words=len(words),
    )
    sample = None if latest is None else reading.sample(name_of(latest, "generate"))
    audit = audit_value(sample, words, strip_of)  # before the stories, which take all the frames that are left
    shown = [reading.shown(split) for split in (TRAIN, HELDOUT)]
    teller = Teller(
        spec=verify_spec_of(subject.config),
        url=store.url(),
        words=words,
        uses=reading.uses([of.clip.clip_id for of_split in shown for of in of_split], subject.config.mixture),
    )
    return page(
        Parts(
            summary=subject.summary,
            config=subject.config,
            sealed=sealed,
            commands=subject.commands,
            beside=subject.beside,
            curves=[curve for where, value in subject.curves.items() for curve in curves_of(where, value)],
            next_step=subject.next_step,
            is_at_work=subject.is_at_work,
            inputs=subject.inputs,
            url=masked(store.url()),
            beliefs=beliefs(evidence),
            labels=labels,
            kept_in=kept_in,
            counts=counts,
            deleted=[
                step
                for step, folders in collected_by_step(store, sealed).items()
                if pieces_of(step) in folders and step not in counts
            ],
            audits=audited,
            stories=_stories(reading, shown, teller, strip_of),
            clips={
                split: sum(reading.fates[split].sizes().values()) if split in reading.fates else 0 for split in (TRAIN, HELDOUT)
            },
            sample=audit,
        )
    )


def _is_rendered(config: RunConfig) -> bool:
    """Whether the manifest is the one that the demo writes into its run's folder, below which its ablations are, too."""
    folder, _, name = config.data.manifest.rpartition("/")
    return bool(folder) and name == "manifest.jsonl" and f"{config.run.uri}/".startswith(f"{folder}/")


def _answered_in(cycles: Iterable[int], best_cycle: int) -> int | None:
    """The cycle whose answers the promoted finetune was fed; the latest one where none is promoted.

    >>> _answered_in([0, 1, 2], 1), _answered_in([0, 1], 2), _answered_in([0, 1], -1), _answered_in([], -1)
    (1, 1, 1, None)
    """
    return max((cycle for cycle in cycles if best_cycle < 0 or cycle <= best_cycle), default=None)


def _stories(reading: Reading, shown: Sequence[Sequence[Shown]], teller: Teller, strip_of: StripOf) -> list[dict[str, Any]]:
    """Train clips and held-out clips in turns, so that what fits is some of both."""
    attempts = [reading.attempts(split, of_split) for split, of_split in zip((TRAIN, HELDOUT), shown, strict=True)]
    turns = sorted(
        ((number + 1) / len(of_split), which, number) for which, of_split in enumerate(shown) for number in range(len(of_split))
    )
    stories, left = list[dict[str, Any]](), STORY_BYTES
    for _, which, number in turns:
        clip, fate = shown[which][number].clip, shown[which][number].place.fate
        story = teller.story(clip, fate, attempts[which][clip.clip_id], strip_of(clip))
        left -= len(json.dumps(story | {"strip": {}}))
        if left < 0:
            break
        stories.append(story)
    return stories
