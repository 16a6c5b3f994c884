"""The ingest step: check the manifest, fix the split, write the clips in parts."""

import logging
from dataclasses import replace

from engine.config import HELDOUT, TEST, RunConfig
from engine.evaluate.sets import read_set
from engine.ingest import manifest
from engine.ingest.card import Card
from engine.ingest.clips import path_of, write_parts
from engine.ingest.own import fingerprint, folder_notes, ignored_files
from engine.run.plan import TRAIN
from engine.run.work import StepResult, Work

log = logging.getLogger(__name__)


def inputs_of(config: RunConfig) -> dict[str, str]:
    """Fingerprints of what ingest reads: the manifest, and the files of each other evaluation set by its name."""
    sets = {evaluation_set.name: evaluation_set for evaluation_set in config.evaluate.sets if evaluation_set.files}
    data = {} if config.evaluate.only else {"manifest": config.data}
    data |= {name: config.data.model_copy(update={"manifest": own.files}) for name, own in sets.items()}
    return {name: fingerprint(section, config.access()) for name, section in data.items()}


def ingest(work: Work) -> StepResult:
    """Check the manifest and write its clips: what is split here stays split. Then the clips of the other evaluation sets."""
    config, storage = work.config, work.config.access()
    counts, parts = ({}, {}) if config.evaluate.only else _ingest_manifest(work)
    for evaluation_set in config.evaluate.sets[1:]:
        clips = read_set(evaluation_set, config.data.question, storage)
        parts |= write_parts(work.store, (replace(clip, split=evaluation_set.name) for clip in clips), (evaluation_set.name,))
    counts = counts or {name: sum(sizes) for name, sizes in parts.items()}
    files = [path_of(split, number) for split, sizes in parts.items() for number in range(len(sizes))]
    return StepResult(files=files, counts=counts, facts={"inputs": inputs_of(config), "parts": parts})


def _ingest_manifest(work: Work) -> tuple[dict[str, int], dict[str, list[int]]]:
    """Counts for the seal, and the sizes of the parts by split."""
    config, storage = work.config, work.config.access()
    listing = manifest.listing_for(config.data, storage)
    card = Card(listing)
    splits = (TRAIN, HELDOUT) if config.data.test is None else (TRAIN, HELDOUT, TEST)
    parts = write_parts(work.store, manifest.read_manifest(config.data, storage, card), splits)
    if listing and (num_folders := listing.num_asked - listing.num_on_web):
        log.info("looked for copies: listed %d folders of object stores", num_folders)
    if listing and listing.num_on_web:
        log.info("looked for copies: asked web servers for %d objects", listing.num_on_web)
    for note in (*folder_notes(config.data.manifest, storage), *card.notes()):
        log.info("%s", note)
    if suffixes := ignored_files(config.data.manifest, storage):
        log.info("files that are no videos: %s", ", ".join(f"{count} {suffix}" for suffix, count in suffixes.items()))
    return card.counts(), parts
