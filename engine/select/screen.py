"""Leaves out what training could not use, before a GPU is asked for: what is too long, and conversations whose video is missing."""

from collections import Counter
from collections.abc import Sequence

from engine.config import RunConfig
from engine.generate.ledger import too_many_failed
from engine.ingest.card import Listing
from engine.rows import Example, Unused
from engine.select.lengths import Lengths


class Screen:
    """Keeps the examples that can be trained on, and for the others an Unused row each."""

    def __init__(self, config: RunConfig) -> None:
        storage = config.access()
        self._lengths, self._listing = Lengths(config.spec(config.model.base), storage), Listing(storage)
        self._failure_rate, self._seen = config.limits.failure_rate, 0
        self.unused: list[Unused] = []

    def keep(self, examples: Sequence[Example]) -> list[Example]:
        """Those that fit into the model's context."""
        return self._without(examples, self._lengths.too_long(examples))

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
        return self.keep(self._without(examples, missing, count=False))

    def _is_missing(self, example: Example) -> bool:
        before = self._listing.missing.count
        self._listing.count(example)
        return self._listing.missing.count > before

    def _without(self, examples: Sequence[Example], unused: Sequence[Unused], count: bool = True) -> list[Example]:
        self._seen += len(examples) if count else len(unused)
        self.unused += unused
        names = {row.example_id for row in unused}
        return [example for example in examples if example.example_id not in names]

    def refuse(self, step: str) -> None:
        """Raises ValueError where a larger share cannot be used than limits.failure_rate allows."""
        reasons = Counter(row.reason for row in self.unused)
        if reason := too_many_failed(reasons, self._seen, self._failure_rate, "examples"):
            raise ValueError(f"{step} stopped: {reason}; the first: {self.unused[0].example_id}: {self.unused[0].detail}")
