"""The rows that are taken away: examples with the label of their clip and the verdict on their answer, piece by piece.

A select step writes its examples in the order of the clips, and so do the pieces of the answers that it chose from: both are read
side by side, and memory holds a piece of each.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa
import pyarrow.parquet as pq

from engine import labels
from engine.audit.reviews import KEPT, OVERRIDDEN
from engine.config import RunConfig
from engine.generate.prompts import wording_of
from engine.ingest.clips import read_parts
from engine.rows import Answer, Clip, Example, Takeaway
from engine.run.collected import collected_of, refuse_collected
from engine.run.plan import INGEST, TRAIN, history, name_of, so_far
from engine.run.seals import Seal
from engine.run.work import pieces_of
from engine.select.choose import example_of
from engine.select.survivors import Pieces
from engine.store.files import RESTORE, FileRecord, Store
from engine.store.troubles import StorageError

BATCH_ROWS = 1024
SHOTS, TALKS = "narration", "instruct"
"""The sources of examples that only episodes use, and of those that are about no clip."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A run whose rows are taken away: Source(store=Store("runs/demo"), config=RunConfig(...), sealed={...}, cycle=0)."""

    store: Store
    config: RunConfig
    sealed: Mapping[str, Seal]
    cycle: int

    def __post_init__(self) -> None:
        """Raises ValueError for a cycle that has chosen nothing yet."""
        if self.selected not in self.sealed:
            cycles = ", ".join(map(str, selected_cycles(self.sealed))) or "none"
            raise ValueError(
                f"cycle {self.cycle} of {self.store.url()} has no select step that is complete; cycles with one: {cycles}"
            )

    @property
    def selected(self) -> str:
        """The select step whose examples are taken."""
        return name_of(self.cycle, "select")

    def step_of(self, split: str) -> str:
        """The step whose rows a split has.

        Raises ValueError for one that the cycle has not been evaluated on, or whose answers are deleted.
        """
        if split == TRAIN:
            return self.selected
        step = name_of(self.cycle, "evaluate", split)
        if step not in self.sealed:
            known = [TRAIN, *(own.name for own in self.config.sets if name_of(self.cycle, "evaluate", own.name) in self.sealed)]
            raise ValueError(f"--split {split}: cycle {self.cycle} of {self.store.url()} has {', '.join(known)}")
        refuse_collected(self.store, step)
        return step

    def count(self, split: str) -> int:
        """How many rows a split has, by its seal."""
        facts = self.sealed[self.step_of(split)].facts
        return int(facts["examples" if split == TRAIN else "direct_kept"])

    def rows(self, split: str) -> Iterator[Takeaway]:
        """In the order of the clips. Raises StorageError where a file is not what was sealed."""
        return self._examples() if split == TRAIN else self._evaluated(split)

    def first_of_each(self, split: str, kind_of: Callable[[Takeaway], str], kinds: Collection[str]) -> list[Takeaway]:
        """The first row of each kind, as far as there is one; rows are read until all kinds are there."""
        first: dict[str, Takeaway] = {}
        for row in self.rows(split):
            first.setdefault(kind_of(row), row)
            if len(first) == len(kinds):
                break
        return list(first.values())

    def videos(self, split: str) -> Iterator[str]:
        """Of all rows, from one column: the answers are not read."""
        if split == TRAIN:
            with self.store.storage.file(self.store.url(self._table().path)) as file:
                for batch in pq.ParquetFile(file).iter_batches(columns=["video", "source"]):
                    yield from (row["video"] for row in batch.to_pylist() if row["source"] != SHOTS)
        else:
            yield from (clip.video for clips, _ in self._clips(split, []) for clip in clips)

    def all_videos(self) -> Iterator[str]:
        """Of all clips of the run, and of the train rows, which may show others; a video as often as it is named."""
        for record in self.sealed[INGEST].files:
            if record.path.endswith(".parquet"):
                yield from self.store.read_table(record, ["video"])["video"].to_pylist()
        yield from self.videos(TRAIN)

    def _table(self) -> FileRecord:
        [record] = [record for record in self.sealed[self.selected].files if record.path.endswith("/examples.parquet")]
        return record

    def _examples(self) -> Iterator[Takeaway]:
        """Examples of clips, then conversations, which have none."""
        examples = read_examples(self.store, self._table())
        waiting = next(examples, None)
        for clips, answers in self._clips(TRAIN, self._generated()):
            by_id, by_answer = {clip.clip_id: clip for clip in clips}, {_key(answer): answer for answer in answers}
            while waiting is not None and waiting.source != TALKS and waiting.clip_id in by_id:
                yield taken(waiting, by_id[waiting.clip_id], by_answer.get(_key(waiting)), self.store.url())
                waiting = next(examples, None)
        for example in chain([waiting] if waiting is not None else [], examples):
            yield taken(example, None, None, self.store.url())

    def _evaluated(self, split: str) -> Iterator[Takeaway]:
        """The answers to an evaluation set that its labels confirm."""
        prompts = wording_of(self.config, self.config.prompts_of(split))
        for clips, answers in self._clips(split, [self.step_of(split)]):
            by_id = {clip.clip_id: clip for clip in clips}
            for answer in answers:
                if answer.outcome == "kept":
                    clip = by_id[answer.clip_id]
                    yield taken(example_of(clip, answer, prompts, split), clip, answer, self.store.url())

    def _generated(self) -> list[str]:
        """The generate steps that the select step chose from, without those whose pieces `starloop gc` has deleted."""
        [step] = [step for step in so_far(self.config, self.sealed) if step.name == self.selected]
        generated = [name for name in step.inputs if name != INGEST]
        return [name for name in generated if pieces_of(name) not in collected_of(self.store, name)]

    def _clips(self, split: str, steps: Sequence[str]) -> Iterator[tuple[list[Clip], list[Answer]]]:
        """Consecutive clips of a split, and all answers of the steps to them."""
        parts = read_parts(self.store, split, self.sealed[INGEST].files)
        if steps:
            return Pieces(self.store, steps).attempts(parts)
        return ((clips, []) for _, clips in parts)


def taken(example: Example, clip: Clip | None, answer: Answer | None, run: str) -> Takeaway:
    """`clip`: None for a conversation. `answer`: the one that the example is made of, None where none was generated, or is gone.

    The verdict on an answer that a person keeps is the person's: what the verifiers rejected it for is none of it.
    """
    reason, detail, score = (answer.reason, answer.detail, answer.score) if answer else ("", "", None)
    if example.people == OVERRIDDEN:
        reason, detail, score = KEPT, "", None
    return Takeaway(
        example_id=example.example_id,
        clip_id=example.clip_id,
        video=example.video,
        start_s=example.start_s,
        end_s=example.end_s,
        label=clip.label.text if clip else "",
        label_kind=clip.label.kind if clip else "",
        label_json=labels.to_json(clip.label) if clip else "",
        question=clip.question if clip else example.prompt,
        prompt=example.prompt,
        answer=example.answer,
        follow_ups=example.follow_ups,
        shown_in=example.shown_in,
        reason=reason,
        detail=detail,
        score=score,
        support=answer.support if answer else None,
        people=example.people,
        source=example.source,
        mode=example.mode,
        cycle=example.cycle,
        sample=answer.sample if answer else 0,
        seed=example.seed,
        model=example.model,
        etag=example.etag,
        run=run,
    )


def _key(row: Example | Answer) -> tuple[str, int, str, int, str]:
    """Of an answer, and of the example that is made of it."""
    text = row.answer if isinstance(row, Example) else row.text
    return row.clip_id, row.cycle, row.mode, row.seed, text


def read_examples(store: Store, record: FileRecord) -> Iterator[Example]:
    """The examples of a sealed table but the shots of episodes, a batch in memory. Raises StorageError where it was changed."""
    if store.describe([record.path]) != [record]:
        raise StorageError("replaced", f"{store.url(record.path)} is not what was written: its sha256 is another; {RESTORE}")
    with store.storage.file(store.url(record.path)) as file:
        try:
            for batch in pq.ParquetFile(file).iter_batches(BATCH_ROWS):
                yield from _of_clips(map(Example.from_row, batch.to_pylist()))
        except pa.ArrowException as error:
            raise StorageError("replaced", f"{store.url(record.path)} is damaged ({error}); {RESTORE}") from None


def _of_clips(examples: Iterable[Example]) -> Iterator[Example]:
    return (example for example in examples if example.source != SHOTS)


def selected_cycles(sealed: Mapping[str, Seal]) -> list[int]:
    """The cycles with a select step that is complete.

    >>> selected_cycles({})
    []
    """
    cycles: list[int] = []
    while name_of(len(cycles), "select") in sealed:
        cycles.append(len(cycles))
    return cycles


def default_cycle(sealed: Mapping[str, Seal]) -> int:
    """The cycle whose model is promoted, since its rows have made that model; where none is, the latest that has rows.

    Where no cycle has rows, the latest that has looked for them; 0 where none has.

    >>> default_cycle({})
    0
    """
    best = history(sealed).best_cycle
    if best >= 0:
        return best
    rows = rows_by_cycle(sealed)
    return max((cycle for cycle, count in rows.items() if count), default=max(rows, default=0))


def rows_by_cycle(sealed: Mapping[str, Seal]) -> dict[int, int]:
    """How many train rows each cycle has chosen.

    >>> rows_by_cycle({})
    {}
    """
    return {cycle: sealed[name_of(cycle, "select")].counts.get("examples", 0) for cycle in selected_cycles(sealed)}
