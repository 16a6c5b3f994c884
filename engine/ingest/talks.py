"""Instruct data as training examples: conversations of one file, or of a folder with VideoChat2-IT's sets."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from engine.config import Data
from engine.ingest import manifest as manifests
from engine.ingest.adapters import instruct
from engine.ingest.adapters.collections import VIDEOS, collection_of, collections_in
from engine.ingest.adapters.source import Source
from engine.ingest.adapters.turns import Refused
from engine.ingest.listing import Listing
from engine.ingest.skipped import Skipped
from engine.rows import Example, FollowUp
from engine.store.locations import refuse_odd


class Talks:
    """Conversations as examples, counted while they stream."""

    def __init__(self, source: Source, data: Data, skipped: Skipped | None, listing: Listing) -> None:
        self._source, self._data, self._skipped, self._listing = source, data, skipped, listing
        self._counts, self._bad, self._collections = Counter[str](), Counter[str](), Counter[str]()

    def rows(self) -> Iterator[dict[str, Any]]:
        for example in self._listing.counted(self._examples()):
            yield example.to_row()
        if self._skipped is not None and self._skipped.count and not self._counts:
            raise ValueError(f"all {self._skipped.count} conversations are bad; the first: {self._skipped.first[0]}")

    def _examples(self) -> Iterator[Example]:
        files = collections_in(self._source.path, self._source.storage)
        if not files:
            yield from self._of_file(self._source, self._data, collection_of(self._source.path))
        folder = manifests.folder_of(self._data)
        for collection, path in files.items():
            videos = f"{folder.rstrip('/')}/{VIDEOS.get(collection, '')}".rstrip("/")
            source = replace(self._source, path=path, videos=self._source.videos and replace(self._source.videos, folder=videos))
            yield from self._of_file(source, self._data.model_copy(update={"videos": videos}), collection)

    def _of_file(self, source: Source, data: Data, collection: str) -> Iterator[Example]:
        for place, row in instruct.records(source):
            try:
                example = self._example(place, row, data, collection)
            except ValueError as error:
                if self._skipped is None:
                    raise
                self._skipped.add(error)
                self._bad[getattr(error, "reason", "malformed")] += 1
                continue
            self._counts.update(examples=1, turns=len(example.turns), text_only=int(not example.video))
            self._collections.update([collection] if collection else [])
            yield example

    @property
    def num_shown(self) -> int:
        """Conversations about a video or picture."""
        return self._counts["examples"] - self._counts["text_only"]

    def _example(self, place: str, row: dict[str, Any] | ValueError, data: Data, collection: str) -> Example:
        if isinstance(row, ValueError):
            raise row
        video = manifests.locate(row["video"], data) if row["video"] else ""
        try:
            refuse_odd(video)
        except ValueError as error:
            raise Refused("odd_video", f"{place}: video {error}") from None
        (prompt, answer), *later = row["turns"]
        name = "/".join(filter(None, [collection, row["clip_id"]]))  # ids are those of a set
        return Example(
            example_id=name,
            clip_id=name,
            video=video,
            start_s=row["start_s"],
            end_s=row["end_s"],
            prompt=prompt,
            answer=answer,
            source="instruct",
            follow_ups=tuple(FollowUp(prompt=question, answer=reply) for question, reply in later),
            shown_in=row["shown_in"],
            instruction=row["instruction"],
            collection=collection,
        )

    def facts(self) -> dict[str, Any]:
        counts = dict(self._counts) | {"bad_rows_by_reason": dict(self._bad)}
        return counts | ({"collections": dict(self._collections)} if self._collections else {})
