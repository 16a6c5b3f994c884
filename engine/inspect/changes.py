"""What differs in the clips of two runs: those that only one of them has, and those with another video, window, question or label.

Parts with the same contents are not read. Other clips are compared as hashes, some 150 bytes a clip; the rows of a few are named.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.generate.reuse import content_of
from engine.ingest.clips import read_parts
from engine.ingest.hashes import hash_of
from engine.labels import to_json
from engine.presets import differing_keys
from engine.rows import Clip
from engine.run.plan import INGEST
from engine.run.seals import Seal
from engine.store.files import FileRecord, Store

NAMED = 5
"""Clips that are named of each kind of difference; all are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataChange:
    """What differs in a split's clips: DataChange(split="train", only_a=3, only_b=0, changed=1, first={"changed": ["c7"]})"""

    split: str
    clips: tuple[int, int]
    """In each run."""
    only_a: int
    only_b: int
    changed: int
    """The same clip_id with another video, window, question or label."""
    first: dict[str, list[str]]
    """Some clip_ids of each kind; of a changed clip what differs, in words."""


def data_changes(stores: tuple[Store, Store], seals: Sequence[Mapping[str, Seal]]) -> Iterator[DataChange]:
    """Of each split in which something differs; nothing where a run has no clips yet."""
    if any(INGEST not in sealed for sealed in seals):
        return
    splits = list(dict.fromkeys(split for sealed in seals for split in sealed[INGEST].facts["parts"]))
    for split in splits:
        contents = [[record.sha256 for record in _parts(sealed, split)] for sealed in seals]
        if contents[0] == contents[1]:
            continue
        change = _split_change(split, stores, seals)
        if change.only_a or change.only_b or change.changed:
            yield change


def _split_change(split: str, stores: tuple[Store, Store], seals: Sequence[Mapping[str, Seal]]) -> DataChange:
    known = [
        {hash_of(clip.clip_id): content_of(clip) for clip in _clips(store, sealed, split)}
        for store, sealed in zip(stores, seals, strict=True)
    ]
    only = [known[0].keys() - known[1].keys(), known[1].keys() - known[0].keys()]
    changed = {key for key, content in known[0].items() if known[1].get(key, content) != content}
    first = dict[str, list[str]]()
    for name, hashes, place in (("only_a", only[0], 0), ("only_b", only[1], 1)):
        if hashes:
            first[name] = [clip.clip_id for clip in _first(_clips(stores[place], seals[place], split), hashes)]
    if changed:
        before = list(_first(_clips(stores[0], seals[0], split), changed))
        after = {
            clip.clip_id: clip for clip in _first(_clips(stores[1], seals[1], split), {hash_of(clip.clip_id) for clip in before})
        }
        first["changed"] = [f"{clip.clip_id} ({_changes(clip, after[clip.clip_id])})" for clip in before]
    return DataChange(
        split=split,
        clips=(len(known[0]), len(known[1])),
        only_a=len(only[0]),
        only_b=len(only[1]),
        changed=len(changed),
        first=first,
    )


def _parts(sealed: Mapping[str, Seal], split: str) -> list[FileRecord]:
    return [record for record in sealed[INGEST].files if record.path.startswith(f"{INGEST}/{split}/")]


def _clips(store: Store, sealed: Mapping[str, Seal], split: str) -> Iterator[Clip]:
    for _, clips in read_parts(store, split, sealed[INGEST].files):
        yield from clips


def _first(clips: Iterator[Clip], hashes: set[int]) -> Iterator[Clip]:
    """The first NAMED clips of these ids, as hashes."""
    left = min(NAMED, len(hashes))
    for clip in clips:
        if not left:
            return
        if hash_of(clip.clip_id) in hashes:
            left -= 1
            yield clip


def _changes(a: Clip, b: Clip) -> str:
    rows = [clip.to_row() | {"label": json.loads(to_json(clip.label))} for clip in (a, b)]
    contents = [{name: row[name] for name in ("video", "start_s", "end_s", "question", "label")} for row in rows]
    return "; ".join(differing_keys(contents[0], contents[1]))
