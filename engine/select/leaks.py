"""Train clips that are near-copies of clips of evaluation sets, of videos of benchmarks, or of other train clips."""

import hashlib
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import pyarrow as pa

from engine.config import RunConfig
from engine.decode.signature import VERSION
from engine.ingest.hashes import hash_of
from engine.rows import NEAR_COPIES, RELABELLED, Answer, Clip, NearCopy, Window
from engine.run.plan import TRAIN, name_of
from engine.run.work import Work, read_index, read_rows
from engine.select.choose import rank_of
from engine.select.near_copies import Looks, near_copies
from engine.select.signed import signed, videos_in
from engine.select.survivors import Pieces
from engine.store.files import digest
from engine.store.locations import object_key
from engine.store.parallel import parallel_map


class Group:
    """Clips by number: their looks, and what is known of them. Clips without a signature are left out."""

    def __init__(self, looks: Looks) -> None:
        self.looks = looks
        self.names: list[str] = []
        self.places: list[str] = []
        """Where each is: train, an evaluation set, or the folder of a benchmark."""
        self.videos, self.labels = array("Q"), array("Q")
        """Hashes of where the video lies, and of question and label."""
        self._all = hashlib.blake2b(digest_size=16)

    def add(self, name: str, place: str, signature: str, video: str, label: str = "") -> None:
        if self.looks.add(signature):
            self._all.update("\0".join([name, place, signature, object_key(video), label, ""]).encode())
            self.names.append(name)
            self.places.append(place)
            self.videos.append(hash_of(object_key(video)))
            self.labels.append(hash_of(label))

    def digest(self) -> str:
        """Of all that was added."""
        return self._all.hexdigest()


def find_copies(work: Work, generated: Sequence[str]) -> list[NearCopy]:
    """All near-copies among the train clips, by the attempts of the `generated` steps; each clip once, for its worst reason.

    Copies of one evaluation set or benchmark are worse than those of the next one, and these than copies of train clips. A table in
    the run's folder keeps them for the next cycle, whose clips show the same.
    """
    with ExitStack() as stack:
        train, others = (Group(stack.enter_context(Looks())) for _ in range(2))
        _add_train(work, generated, train)
        for name in (own.name for own in work.config.sets):
            _add_set(work, name, others)
        for folder in work.config.select.benchmarks:
            videos, place = videos_in(folder, work.config.access()), folder if "/" in folder else f"./{folder}"  # no split's name
            for (name, window), (_, signature) in zip(videos, signed(work, folder, videos), strict=True):
                others.add(name, place, signature, window.video)
        path = f"signatures/copies-{digest([work.config.run.seed, train.digest(), others.digest()])[:16]}.parquet"
        if work.store.read(path) is None:
            rows = [copy.to_row() for copy in _compared(train, others, work.config.run.seed)]
            work.store.write_table(path, pa.Table.from_pylist(rows, schema=NEAR_COPIES))
        return [NearCopy(**row) for row in work.store.read_table(path).to_pylist()]


def _compared(train: Group, others: Group, seed: int) -> list[NearCopy]:
    copies: dict[str, NearCopy] = {}
    for at, other in sorted(near_copies(train.looks, others.looks), key=lambda pair: pair[1]):
        copy = NearCopy(clip_id=train.names[at], copy_of=others.names[other], where=others.places[other])
        copies.setdefault(copy.clip_id, copy)
    for copy in _within(train, seed):
        copies.setdefault(copy.clip_id, copy)
    return list(copies.values())


def led_by_survivors(copies: Sequence[NearCopy], survivors: Set[str], seed: int) -> list[NearCopy]:
    """The copies, such that of train clips that hang together the first by rank stays that has an example, if one has.

    `survivors`: the ids of the train clips with an example; a copy of an evaluation clip is none.
    """
    groups = defaultdict[str, list[str]](list)
    for copy in copies:
        if copy.where == TRAIN:
            groups[copy.copy_of].append(copy.clip_id)
    instead = {
        leader: min(able, key=lambda name: rank_of(seed, name))
        for leader, others in groups.items()
        if leader not in survivors and (able := [name for name in others if name in survivors])
    }
    listed = {copy.clip_id for copy in copies if copy.where not in (TRAIN, RELABELLED)}
    led = []
    for copy in copies:
        stays = instead.get(copy.copy_of if copy.where == TRAIN else copy.clip_id)
        if stays is None or copy.where not in (TRAIN, RELABELLED):
            led.append(copy)
        elif copy.where == RELABELLED:
            led.append(replace(copy, clip_id=stays))
        elif copy.clip_id != stays:
            led.append(replace(copy, copy_of=stays))
        elif copy.copy_of not in listed:
            led.append(replace(copy, clip_id=copy.copy_of, copy_of=stays))
    return led


def left_out(copies: Iterable[NearCopy], config: RunConfig) -> frozenset[str]:
    """The ids of the train clips that are not trained on."""
    section = config.select
    stay = {RELABELLED} if section.train_copies == "drop" else {RELABELLED, TRAIN}
    return frozenset(copy.clip_id for copy in copies if copy.where not in stay) if section.near_copies == "drop" else frozenset()


def _add_train(work: Work, generated: Sequence[str], train: Group) -> None:
    pieces = Pieces(work.store, generated).attempts(work.parts(TRAIN))
    for clip, signature in _signed(work, TRAIN, pieces):
        train.add(clip.clip_id, TRAIN, signature, clip.video, f"{clip.question}\n{clip.label!r}")


def _add_set(work: Work, name: str, others: Group) -> None:
    """An evaluation set that the base was asked about has signatures; one that is asked later, such as test, is decoded."""
    records = (read_index(work.store, name_of(-1, "evaluate", name)) or {}).values()
    attempts = (answer for own in parallel_map(partial(read_rows, work.store, Answer), records) for answer in own)
    clips = [clip for _, own in work.parts(name) for clip in own]
    for clip, signature in _signed(work, name, [(clips, attempts)]):
        others.add(clip.clip_id, name, signature, clip.video)


def _signed(work: Work, where: str, pieces: Iterable[tuple[list[Clip], Iterable[Answer]]]) -> Iterator[tuple[Clip, str]]:
    """Each clip with its signature. Attempts of other settings, or of another version, may have none: their clips are decoded."""
    unsigned: list[Clip] = []
    for clips, attempts in pieces:
        signatures = dict[str, str]()
        for attempt in attempts:
            if attempt.signature.startswith(VERSION):
                signatures[attempt.clip_id] = attempt.signature
            elif attempt.outcome == "failed":
                signatures.setdefault(attempt.clip_id, "")  # there are no frames
        for clip in clips:
            if clip.clip_id in signatures:
                yield clip, signatures[clip.clip_id]
            else:
                unsigned.append(clip)
    windows = [(clip.clip_id, Window(video=clip.video, start_s=clip.start_s, end_s=clip.end_s, etag="")) for clip in unsigned]
    yield from zip(unsigned, (signature for _, signature in signed(work, where, windows)), strict=True)


def _within(train: Group, seed: int) -> Iterator[NearCopy]:
    """Near-copies in files of their own: of those that hang together the first by rank stays, for each question and label."""
    leaders = dict[int, int]()

    def leader_of(place: int) -> int:
        while (leader := leaders.setdefault(place, place)) != place:
            place = leader
        return place

    for first, other in near_copies(train.looks, train.looks):
        if train.videos[first] != train.videos[other]:
            leaders[leader_of(other)] = leader_of(first)
    groups = defaultdict[int, list[int]](list)
    for place in leaders:
        groups[leader_of(place)].append(place)
    for group in groups.values():
        first_of = dict[int, int]()
        group.sort(key=lambda place: rank_of(seed, train.names[place]))
        for place in group:
            alike = first_of.setdefault(train.labels[place], place)
            if alike != place:
                yield NearCopy(clip_id=train.names[place], copy_of=train.names[alike], where=TRAIN)
            elif place != group[0]:
                yield NearCopy(clip_id=train.names[place], copy_of=train.names[group[0]], where=RELABELLED)
