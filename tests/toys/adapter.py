"""A dataset's format: VIDEO<space>LABEL a line."""

from collections.abc import Iterator

from engine.ingest.adapters.source import Source
from engine.ingest.tables import Record


def records(source: Source) -> Iterator[Record]:
    with source.storage.file(source.path) as file:
        for number, line in enumerate(file.read().decode().splitlines(), 1):
            video, _, label = line.partition(" ")
            yield f"line {number}", {"video": video, "label": label}
