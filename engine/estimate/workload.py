"""Clips and hours: of a manifest, whose videos stay closed, or on paper."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from engine.config import HELDOUT, TEST, Data, RunConfig
from engine.estimate.assumptions import Assumptions
from engine.estimate.bands import Band, exactly
from engine.evaluate.sets import read_set
from engine.ingest.card import Card
from engine.ingest.clips import PART_CLIPS
from engine.ingest.copies import Copies
from engine.ingest.manifest import Rows
from engine.ingest.own import own_records
from engine.ingest.splits import DEFAULT_SHARE, refuse_empty
from engine.ingest.tables import Record
from engine.rows import Clip
from engine.run.plan import INGEST, TRAIN
from engine.run.seals import Seal
from engine.store.filesystems import Storage
from engine.store.locations import local_path, refuse_placeholder

MOST_SIZES = 20_000
"""Files whose size is looked up: a second on a disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Workload(clips={"train": 300, "heldout": 200}, known_s=0.0, of_known_length=0, origin="manifest.jsonl")"""

    clips: Mapping[str, int]
    """By split: train, and each evaluation set."""
    known_s: float
    """Seconds of the clips whose length their window or label says."""
    of_known_length: int
    origin: str
    notes: tuple[str, ...] = ()
    video_bytes: float | None = None
    """Of a clip's video, on average; None where not all are files of this machine that are clips as a whole."""

    @property
    def num_clips(self) -> int:
        return sum(self.clips.values())

    def seconds(self, assumed: Assumptions) -> Band:
        """Of all clips."""
        return exactly(self.known_s) + assumed["clip_s"] * float(self.num_clips - self.of_known_length)

    def clip_s(self, assumed: Assumptions) -> Band:
        """Of one clip, on average."""
        return self.seconds(assumed) / max(1.0, float(self.num_clips))

    def parts(self, split: str) -> int:
        return -(-self.clips[split] // PART_CLIPS)

    def pieces(self, split: str, piece_clips: int) -> int:
        """
        >>> Workload(clips={"train": 8192 + 33}, known_s=0, of_known_length=0, origin="").pieces("train", 32)
        258
        """
        whole, left = divmod(self.clips[split], PART_CLIPS)
        return whole * -(-PART_CLIPS // piece_clips) + -(-left // piece_clips)


def on_paper(config: RunConfig, clips: int) -> Workload:
    """So many clips, of which data.heldout are held out; another evaluation set is taken to be as large as the held-out split."""
    if clips < 1:
        raise ValueError(f"--clips {clips}: give a number of clips above 0")
    share = DEFAULT_SHARE if config.data.heldout is None else config.data.heldout
    heldout = round(clips * share)
    apart = round(clips * (config.data.test or 0.0))
    sets = {evaluation_set.name: heldout for evaluation_set in config.sets}
    return Workload(
        clips={TRAIN: clips - heldout - apart} | sets | ({TEST: apart} if config.data.test is not None else {}),
        known_s=0.0,
        of_known_length=0,
        origin=f"--clips: on paper, {share:g} of them held out",
    )


def of_seal(config: RunConfig, ingested: Seal) -> Workload:
    """What a run has ingested. Its seal knows no lengths."""
    parts: Mapping[str, list[int]] = ingested.facts["parts"]
    return Workload(
        clips={split: sum(parts.get(split, [])) for split in _splits(config)},
        known_s=0.0,
        of_known_length=0,
        origin=f"{config.run.uri}/{INGEST}",
    )


def of_manifest(config: RunConfig) -> Workload:
    """The clips of data.manifest and of the evaluation sets: their rows are read, and no video.

    Raises ValueError where there is no manifest, or no usable row in it.
    """
    data, storage = config.data, config.access()
    if config.evaluate.only:
        clips = {own.name: _count(config, own.name, storage) for own in config.evaluate.sets[1:]}
        return Workload(clips=clips, known_s=0.0, of_known_length=0, origin=config.evaluate.sets[1].files)
    if not data.manifest:
        raise ValueError("no manifest: set data.manifest=FILE, or plan on paper with --clips NUMBER")
    refuse_placeholder("data.manifest", data.manifest, ", or plan on paper with --clips 10000")
    card, read, sizes = Card(), _Counted(), _Sizes()
    rows = Rows(data, partial(read.records, data, storage), Copies())
    for _, clip in rows.clips():
        card.add(clip)
        sizes.add(clip)
    facts = card.facts()
    refuse_empty(facts, [TRAIN, HELDOUT])
    bad = read.counts[0] - len(card)
    notes = (
        [f"{bad} of {read.counts[0]} rows of the manifest are bad: a run stops at them; `starloop ingest` names them"]
        if bad
        else []
    )
    if rows.division.by_share:
        notes.append("the split is by the share of the videos' names: copies of a video may move a few clips")
    others = {own.name: _count(config, own.name, storage) for own in config.evaluate.sets[1:]}
    apart = {} if config.data.test is None else {TEST: facts.get(TEST, 0)}
    return Workload(
        clips={TRAIN: facts[TRAIN], HELDOUT: facts[HELDOUT]} | others | apart,
        known_s=facts["hours"] * 3600,
        of_known_length=len(card) - facts["clips_of_unknown_length"],
        origin=data.manifest,
        notes=tuple(notes),
        video_bytes=sizes.mean,
    )


class _Sizes:
    """Bytes of videos that are files of this machine, up to a clip whose size is not known."""

    def __init__(self) -> None:
        self._total, self._count, self._are_known = 0, 0, True

    def add(self, clip: Clip) -> None:
        if not self._are_known:
            return
        path = local_path(clip.video) if clip.start_s is None and clip.end_s is None else None
        self._are_known = path is not None and self._count < MOST_SIZES and os.path.isfile(path)
        if self._are_known and path is not None:
            self._total, self._count = self._total + os.path.getsize(path), self._count + 1

    @property
    def mean(self) -> float | None:
        return self._total / self._count if self._are_known and self._count else None


def _splits(config: RunConfig) -> list[str]:
    return [TRAIN, *(evaluation_set.name for evaluation_set in config.sets)]


def _count(config: RunConfig, name: str, storage: Storage) -> int:
    (evaluation_set,) = (own for own in config.evaluate.sets if own.name == name)
    return sum(1 for _ in read_set(evaluation_set, config.data.question, storage))


class _Counted:
    """Rows of a manifest, counted at each reading: the first one is the main reading, others look at the names of splits."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def records(self, data: Data, storage: Storage) -> Iterator[Record]:
        number = len(self.counts)
        self.counts.append(0)
        for record in own_records(data.manifest, storage):
            self.counts[number] += 1
            yield record
