"""Leaves out what training could not use, before a GPU is asked for: what is too long, and conversations whose video is missing."""

import os
from collections import Counter
from collections.abc import Sequence

from engine.config import RunConfig
from engine.decode.decoder import ChildDecoder
from engine.decode.stage import DecodeSettings
from engine.generate.ledger import too_many_failed
from engine.ingest.listing import Listing
from engine.rows import Example, Failure, Unused, Window
from engine.select.lengths import Lengths
from engine.store.weights import local
from models.folders import SMALL_FILES
from models.registry import frame_spec

TRIED_OF_A_KIND, TRIED = 2, 16
"""Pictures and videos that are decoded at select: of each ending of names, and altogether. It takes a second or two."""


class Screen:
    """Keeps the examples that can be trained on, and for the others an Unused row each. Knows nothing of episodes."""

    def __init__(self, config: RunConfig, decoding: DecodeSettings) -> None:
        storage = config.access()
        self._spec, self._decoding = config.spec(config.model.base), decoding
        self._lengths, self._listing = Lengths(self._spec, storage), Listing(storage)
        self._to_try: dict[str, list[Example]] = {}
        """By the ending of their names: a table that a model cannot see at all is of a few formats."""
        self._failure_rate, self._num_examples = config.limits.failure_rate, 0
        self.unused: list[Unused] = []

    def keep(self, examples: Sequence[Example]) -> list[Example]:
        """Those that the base's chat can write, and that fit into its context."""
        return self._without(examples, self._lengths.unused(examples))

    def keep_conversations(self, examples: Sequence[Example]) -> list[Example]:
        """Those that fit, and whose picture or video is there. The loop's own videos need no such look: they were decoded."""
        missing = [
            Unused(
                example_id=example.example_id,
                reason="missing",
                detail=f"no such file: {example.video}; restore it, or ingest the conversations again with data.videos or --video",
            )
            for example in examples
            if example.video and self._is_missing(example)
        ]
        located = self._without(examples, missing, count=False)
        for example in located:
            of_a_kind = self._to_try.setdefault(os.path.splitext(example.video)[1].casefold(), []) if example.video else None
            if of_a_kind is not None and len(of_a_kind) < TRIED_OF_A_KIND:
                of_a_kind.append(example)
        return self.keep(located)

    def _is_missing(self, example: Example) -> bool:
        before = self._listing.missing.count
        self._listing.count(example)
        return self._listing.missing.count > before

    def _without(self, examples: Sequence[Example], unused: Sequence[Unused], count: bool = True) -> list[Example]:
        self._num_examples += len(examples) if count else len(unused)
        self.unused += unused
        names = {row.example_id for row in unused}
        return [example for example in examples if example.example_id not in names]

    def refuse(self, step: str) -> None:
        """Raises ValueError where a larger share cannot be used than limits.failure_rate allows, or where nothing can be decoded.

        Single files that cannot be decoded are found out by training, which lists them. What the base's chat template cannot write
        is no failure: it follows from the choice of the base.
        """
        failures = [row for row in self.unused if row.reason != "chat_template"]
        reasons = Counter(row.reason for row in failures)
        if reason := too_many_failed(reasons, self._num_examples, self._failure_rate, "examples"):
            raise ValueError(f"{step} stopped: {reason}; the first: {failures[0].example_id}: {failures[0].detail}")
        tried = [example for of_a_kind in self._to_try.values() for example in of_a_kind][:TRIED]
        failed = self._failed(tried)
        if tried and len(failed) == len(tried):
            raise ValueError(
                f"{step} stopped: none of the {len(tried)} pictures and videos that were tried can be decoded; the first: "
                f"{failed[0].kind}: {failed[0].detail}"
            )

    def _failed(self, examples: Sequence[Example]) -> list[Failure]:
        """Those of the examples' pictures and videos that cannot be decoded."""
        if not examples:
            return []
        decoding, frames = self._decoding, frame_spec(local(self._spec, self._decoding.storage, SMALL_FILES))
        with ChildDecoder(decoding.storage, decoding.limits, decoding.backend, decoding.tolerance_s) as decoder:
            windows = (Window(video=e.video, start_s=e.start_s, end_s=e.end_s, etag=e.etag) for e in examples)
            results = [decoder.decode(window, frames, etag=window.etag) for window in windows]
        return [result for result in results if isinstance(result, Failure)]
