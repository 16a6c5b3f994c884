"""The ingest step: check the manifest, fix the split, write the clips in parts."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace

from engine.config import HELDOUT, TEST, EvaluationSet, RunConfig
from engine.evaluate.sets import files_beside, read_set
from engine.ingest import manifest
from engine.ingest.card import Card
from engine.ingest.clips import path_of, write_parts
from engine.ingest.own import fingerprint, folder_notes, ignored_files
from engine.rows import Clip
from engine.run.plan import TRAIN
from engine.run.work import StepResult, Work
from engine.store.files import digest
from engine.verify.tools import needs

log = logging.getLogger(__name__)


def inputs_of(config: RunConfig) -> dict[str, str]:
    """Fingerprints of what ingest reads: the manifest, and the files of each other evaluation set by its name."""
    manifests = {} if config.evaluate.only else {"manifest": _fingerprint(config, config.data.manifest)}
    return manifests | {own.name: _of_set(config, own) for own in config.evaluate.sets if own.files}


def _of_set(config: RunConfig, own: EvaluationSet) -> str:
    """With the files beside its own that decide its clips, where there are any."""
    beside = [_fingerprint(config, path) for path in files_beside(own, config.access())]
    fingerprint_of_files = _fingerprint(config, own.files)
    return digest([fingerprint_of_files, *beside]) if beside else fingerprint_of_files


def _fingerprint(config: RunConfig, path: str) -> str:
    return fingerprint(config.data.model_copy(update={"manifest": path}), config.access())


def ingest(work: Work) -> StepResult:
    """Check the manifest and write its clips: what is split here stays split. Then the clips of the other evaluation sets."""
    config, storage = work.config, work.config.access()
    counts, parts, needed = ({}, {}, set[str]()) if config.evaluate.only else _ingest_manifest(work)
    for evaluation_set in config.evaluate.sets[1:]:
        clips = _noting(needed, read_set(evaluation_set, config.data.question, storage))
        parts |= write_parts(work.store, (replace(clip, split=evaluation_set.name) for clip in clips), (evaluation_set.name,))
    counts = counts or {name: sum(sizes) for name, sizes in parts.items()}
    files = [path_of(split, number) for split, sizes in parts.items() for number in range(len(sizes))]
    return StepResult(files=files, counts=counts, facts={"inputs": inputs_of(config), "parts": parts, "needs": sorted(needed)})


def _ingest_manifest(work: Work) -> tuple[dict[str, int], dict[str, list[int]], set[str]]:
    """Counts for the seal, the sizes of the parts by split, and the models that the published rules take for the labels."""
    config, storage = work.config, work.config.access()
    listing = manifest.listing_for(config.data, storage)
    card, needed = Card(listing), set[str]()
    splits = (TRAIN, HELDOUT) if config.data.test is None else (TRAIN, HELDOUT, TEST)
    parts = write_parts(work.store, _noting(needed, manifest.read_manifest(config.data, storage, card)), splits)
    if listing and (num_folders := listing.num_asked - listing.num_on_web):
        log.info("looked for copies: listed %d folders of object stores", num_folders)
    if listing and listing.num_on_web:
        log.info("looked for copies: asked web servers for %d objects", listing.num_on_web)
    for note in (*folder_notes(config.data.manifest, storage), *card.notes()):
        log.info("%s", note)
    if suffixes := ignored_files(config.data.manifest, storage):
        log.info("files that are no videos: %s", ", ".join(f"{count} {suffix}" for suffix, count in suffixes.items()))
    return card.counts(), parts, needed


def _noting(needed: set[str], clips: Iterable[Clip]) -> Iterator[Clip]:
    """The clips; the models that the published rules take for their labels are added to `needed`."""
    for clip in clips:
        needed |= needs([clip.label])
        yield clip
