"""The select step: what a finetune is fed. One example a clip that survived, conversations, and episodes that are made of clips."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.config import RunConfig
from engine.episodes.build import Maker, Shot, narrated, narration, shot_of
from engine.episodes.longest import LongestEpisodes
from engine.generate import prompts
from engine.ingest.pieces import cut
from engine.ingest.tables import opened
from engine.rows import EPISODES, EXAMPLES, Clip, Example, Mode
from engine.run.plan import INGEST
from engine.run.seals import read_seal
from engine.run.work import Made, Work, pieces_of, read_attempts, read_index
from engine.select.choose import Limit, from_template, select
from engine.select.duplicates import Duplicates

BATCH_ROWS = 8192


@dataclass
class _Selected:
    """What is written to a step's examples, and what of it episodes are made of."""

    writer: pq.ParquetWriter
    counts: Counter[str] = field(default_factory=Counter)
    alike: Duplicates = field(default_factory=Duplicates)
    shots: list[Shot] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)
    """What each shot says, by example_id."""

    def write(self, examples: Sequence[Example]) -> None:
        self.writer.write_table(pa.Table.from_pylist([example.to_row() for example in examples], schema=EXAMPLES))

    def add_shot(self, clip: Clip, example: Example) -> None:
        self.shots.append(shot_of(clip, example.example_id))
        self.told[example.example_id] = example.answer


def select_examples(work: Work) -> Made:
    """Examples of what survived, as many of a label as wanted, or for the baseline every label in a fixed sentence; and what else
    the mixture asks for.
    """
    config, sink = work.config, pa.BufferOutputStream()
    with pq.ParquetWriter(sink, EXAMPLES, compression="zstd") as writer:
        selected = _Selected(writer)
        _write_verified(work, selected)
        if config.mixture.instruct:
            _write_instruct(config, selected)
    counts = selected.counts
    files, facts = [f"{work.step.name}/examples.parquet"], dict[str, Any]()
    work.store.write(files[0], sink.getvalue().to_pybytes())
    if config.mixture.episodes:
        files.append(f"{work.step.name}/episodes.parquet")
        work.store.write(files[1], _episodes(work, selected))
    if not counts["direct"] + counts["rationalized"] + counts["instruct"] + counts["episodes"]:
        raise ValueError(
            f"{work.step.name}: nothing survived verification, so there is nothing to train on; "
            "see the reasons in the generate step's seal and check labels, prompts and verify.preset"
        )
    if config.generates:
        generated = read_seal(work.store, work.step.inputs[-1])
        assert generated is not None
        facts = {key: generated.facts[key] for key in ("clips", "direct_kept", "rationalized_kept", "dropped", "failed")}
    made = {"examples": counts["direct"] + counts["rationalized"] + counts["instruct"]}
    always = {name: counts.pop(name, 0) for name in ("direct", "rationalized", "over_limit")}
    facts |= made | {"direct_only": always["rationalized"] == 0, "episodes": counts["episodes"]}
    return Made(files=files, counts=made | always | {"near_duplicates": selected.alike.count()} | dict(counts), facts=facts)


def _write_verified(work: Work, selected: _Selected) -> None:
    """Examples from attempts or from the template, and where episodes tell narrations, these."""
    section, counts, limit = work.config.episodes, selected.counts, _limit(work)
    episodes = bool(work.config.mixture.episodes)
    for clips, found in _examples(work):
        kept = [(clip, one) for clip, one in found if limit is None or limit.keeps(clip.label.text, clip.clip_id)]
        counts.update(example.mode for _, example in kept)
        counts.update(over_limit=len(found) - len(kept))
        for clip, example in kept:
            selected.alike.add(example.answer)
            if episodes and section.answers == "kept":
                selected.add_shot(clip, example)
        selected.write([example for _, example in kept])
        if episodes and section.answers == "narration":
            narrations = [(clip, narration(clip, said, section.question)) for clip in clips if (said := narrated(clip, section))]
            counts.update(not_narrated=len(clips) - len(narrations))
            for clip, example in narrations:
                selected.add_shot(clip, example)
            selected.write([example for _, example in narrations])


def _write_instruct(config: RunConfig, selected: _Selected) -> None:
    """Conversations as they were ingested. Raises ValueError where the file is not what `starloop ingest` wrote."""
    with _instruct(config) as table:
        for batch in table.iter_batches(BATCH_ROWS):
            examples = [Example.from_row(row) for row in batch.to_pylist()]
            selected.counts.update(instruct=len(examples))
            selected.write(examples)


def refuse_no_examples(config: RunConfig) -> None:
    """Raises ValueError where the mixture wants conversations and mixture.examples does not hold any."""
    if config.mixture.instruct:
        with _instruct(config) as table:
            for name in EXAMPLES.names:
                table.schema_arrow.field(name)


@contextmanager
def _instruct(config: RunConfig) -> Iterator[pq.ParquetFile]:
    path = config.mixture.examples
    try:
        with opened(path, config.access()) as file:
            yield pq.ParquetFile(file)
    except (pa.ArrowInvalid, KeyError) as error:
        why = str(error).splitlines()[0]
        raise ValueError(
            f"mixture.examples {path} does not hold examples ({why}); `starloop ingest --format instruct` writes them"
        ) from None


def _limit(work: Work) -> Limit | None:
    """Reads all examples once more, where labels are to be capped or balanced."""
    section = work.config.select
    if section.max_per_label is None and not section.balance:
        return None
    limit = Limit(work.config.run.seed)
    for _, found in _examples(work):
        for clip, _ in found:
            limit.add(clip.label.text, clip.clip_id)
    limit.settle(section.max_per_label, section.balance)
    return limit


def _examples(work: Work) -> Iterator[tuple[list[Clip], list[tuple[Clip, Example]]]]:
    """Clips, part by part, in their order, and what is trained on of them."""
    config, section = work.config, work.config.select
    wording = prompts.BY_NAME[config.generate.prompts].train
    modes: frozenset[Mode] = frozenset({"direct"}) if work.step.final else frozenset({"direct", "rationalized"})
    if not config.generates:
        for _, clips in work.parts("train"):
            told = from_template(clips, section.template, wording) if section.source == "template" else []
            yield clips, list(zip(clips, told, strict=False))
        return
    sources = [name for name in work.step.inputs if name != INGEST]
    indexes = [(pieces_of(name), read_index(work.store, name) or {}) for name in sources]
    for part, clips in work.parts("train"):
        for piece in cut(part, clips, config.generate.piece_clips):
            records = [index[f"{folder}/{piece.piece_id}.parquet"] for folder, index in indexes]
            some = clips[piece.start : piece.start + piece.count]
            by_id = {clip.clip_id: clip for clip in some}
            chosen = select(some, read_attempts(work.store, records), modes, wording)
            yield some, [(by_id[example.clip_id], example) for example in chosen]


def _episodes(work: Work, selected: _Selected) -> bytes:
    """The step's episodes table: as many epochs of them as the finetune will see. Raises ValueError where one is too long."""
    config, counts, sink = work.config, selected.counts, pa.BufferOutputStream()
    if not selected.shots:
        what = "narration (the column description)" if config.episodes.answers == "narration" else "kept answer"
        raise ValueError(f"no train clip has a {what} for episodes to tell; see episodes.answers, or set mixture.episodes=0")
    maker = Maker(selected.shots, config.episodes, config.run.seed)
    longest = LongestEpisodes(config, selected.told)
    with pq.ParquetWriter(sink, EPISODES, compression="zstd") as writer:
        for epoch in range(max(1, math.ceil(config.train.epochs * config.mixture.episodes))):
            made = list(maker.epoch(epoch))
            longest.add(made)
            counts.update(f"shots_{role}" for episode in made for role in episode.roles)
            counts.update(episodes=len(made), short=sum(episode.short for episode in made))
            for start in range(0, len(made), BATCH_ROWS):
                rows = [episode.to_row() for episode in made[start : start + BATCH_ROWS]]
                writer.write_table(pa.Table.from_pylist(rows, schema=EPISODES))
    longest.refuse()
    data: bytes = sink.getvalue().to_pybytes()
    return data
