"""The ingest step: check the manifest, fix the split, write the clips in parts."""

from collections.abc import Mapping, Sequence

from engine.ingest import manifest
from engine.ingest.card import Card
from engine.ingest.clips import path_of, write_parts
from engine.run.work import Made, Work


def refuse_empty(sizes: Mapping[str, int], splits: Sequence[str]) -> None:
    """Raises ValueError where a split that is needed has no clips."""
    for split in splits:
        if not sizes[split]:
            raise ValueError(
                f"the manifest has no clips in split {split!r}; give it a split column (train, heldout), "
                "or ingest one without it with data.heldout=0.2"
            )


def ingest(work: Work) -> Made:
    """Check the manifest and write its clips: what is split here stays split."""
    data, card = work.config.data, Card()
    parts = write_parts(work.store, manifest.read_manifest(data, work.config.access(), card))
    files = [path_of(split, number) for split, sizes in parts.items() for number in range(len(sizes))]
    return Made(
        files=files, counts=card.counts(), facts={"manifest": manifest.fingerprint(data, work.config.access()), "parts": parts}
    )
