"""The select step: what a finetune is fed. One example for each clip that survived, conversations, and episodes made of clips."""

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from itertools import count
from typing import Any

import pyarrow as pa

from engine.audit import reviews
from engine.audit.reviews import APPLIED, Overrides
from engine.config import Episodes
from engine.episodes.build import narrated, narration
from engine.episodes.lengths import EpisodeLengths
from engine.generate.prompts import wording_of
from engine.rows import NEAR_COPIES, UNUSED, Answer, Clip, Example, Unused
from engine.run.plan import INGEST, TRAIN
from engine.run.seals import read_seal
from engine.run.work import StepResult, Work, unused_of
from engine.select import survivors
from engine.select.causes import nothing_left
from engine.select.choose import Limit, modes_of, pass_rate, rank_of, select
from engine.select.conversations import read_conversations
from engine.select.duplicates import Duplicates
from engine.select.episodes import Shots, drawn_epochs, epochs_of, write_episodes
from engine.select.examples import ExampleWriter
from engine.select.grounded import UNGROUNDED, Gate
from engine.select.leaks import find_copies, led_by_survivors, left_out
from engine.select.preferences import FILES as PAIR_FILES
from engine.select.preferences import PreferenceWriter, preferences
from engine.select.screen import Screen
from engine.select.survivors import Survivor, Survivors
from engine.store.documents import to_json


def select_examples(work: Work) -> StepResult:
    """Write examples.parquet, episodes.parquet where the mixture has episodes, and unused.parquet: what neither of them holds.

    Where answers were generated, also their preference pairs (engine/select/preferences.py), which no step of ours reads.
    Raises ValueError where there is nothing to train on, or where too much cannot be used.
    """
    config, storage = work.config, work.config.access()
    mixture, counts, shots, duplicates, screen = (
        config.mixture,
        Counter[str](),
        Shots(),
        Duplicates(),
        Screen(config, work.decoding()),
    )
    files, unused_episodes, weighed = [f"{work.step.name}/examples.parquet"], list[Unused](), 0
    gate, ungrounded = _gate(work), Counter[int]()
    overrides = Overrides(reviews.read(work.store, work.reviews) if config.generates else {})
    read = _reader(work, gate, overrides, ungrounded)
    dropped = _copies(work, read, files, counts)
    with ExitStack() as stack:
        writer = stack.enter_context(ExampleWriter(stack.enter_context(work.store.writing(files[0]))))
        pair_writer = _pair_writer(work, stack, files) if config.generates else None
        for clips, kept in _limited(work, without(read, dropped), counts, screen):
            for survivor in kept:
                duplicates.add(survivor.example.answer)
                if pair_writer:
                    pair_writer.write(preferences(survivor.example, survivor.attempts))
            narrations = _add_shots(clips, kept, config.episodes, shots, counts) if mixture.episodes else []
            writer.write([survivor.example for survivor in kept])
            writer.write(narrations)
        for examples in read_conversations(mixture.examples, storage) if mixture.instruct else ():
            conversations = screen.keep_conversations(examples)
            counts.update(instruct=len(conversations))
            writer.write(conversations)
            weighed += sum(mixture.conversation_weight(example.collection) > 0 for example in conversations)
    num_examples = counts["direct"] + counts["rationalized"] + counts["instruct"]
    if mixture.episodes:
        files.append(f"{work.step.name}/episodes.parquet")
        num_epochs = epochs_of(config.train.epochs, mixture.episodes)
        may_be_empty = not _is_first(work) or not num_examples  # a first cycle without any example is refused below
        epochs = drawn_epochs(shots.shots, config.episodes, config.run.seed, num_epochs, may_be_empty)
        lengths = EpisodeLengths(config.spec(config.model.base), storage, shots.answers)
        with work.store.writing(files[-1]) as file:
            written, unused_episodes = write_episodes(file, epochs, lengths, config.limits.failure_rate)
        counts.update(written)
    if overrides.reviews:
        files.append(f"{work.step.name}/{APPLIED}")
        work.store.write(files[-1], to_json([asdict(review) for _, review in sorted(overrides.reviews.items())], indent=1))
        counts.update(overrides.counts())
    files.append(unused_of(work.step.name))
    unused = [*screen.unused, *unused_episodes]
    work.store.write_table(files[-1], pa.Table.from_pylist([row.to_row() for row in unused], schema=UNUSED))
    screen.refuse(work.step.name)
    if config.select.min_grounding != "off":
        counts.update(ungrounded=ungrounded.total(), unscored=gate.unscored)
    facts = _accounts(work) if config.generates else {}
    weighed += sum(counts[name] for name in ("direct", "rationalized", "episodes") if getattr(mixture, name))
    if not weighed and _is_first(work):
        has_kept = bool(facts) and facts["direct_kept"] + facts["rationalized_kept"] > 0
        raise ValueError(nothing_left(config, work.step.name, counts, len(dropped) if has_kept else 0, unused))
    if ungrounded:
        facts["ungrounded"] = {str(cycle): count for cycle, count in sorted(ungrounded.items())}
    total = {"examples": num_examples}
    always = {name: counts.pop(name, 0) for name in ("direct", "rationalized", "over_limit")}
    direct_only = work.step.final or not always["rationalized"] or not config.learns_from_hints
    facts |= total | {"direct_only": direct_only, "episodes": counts["episodes"]}
    facts["weighed"] = weighed  # rows that the finetune is fed in a long enough epoch
    rest = {"near_duplicates_noted": duplicates.count(), "unused": len(unused)}
    rest |= {"preferences": pair_writer.count} if pair_writer else {}
    return StepResult(files=files, counts=total | always | rest | dict(counts), facts=facts)


def _is_first(work: Work) -> bool:
    """Whether the step has to leave something: a later cycle, or the last one, may end the run without examples."""
    return work.step.cycle == 0 and not work.step.final


def _accounts(work: Work) -> dict[str, Any]:
    """What the cycle's summary needs of the last generate step, which may be an earlier cycle's."""
    generated = read_seal(work.store, work.step.inputs[-1])
    assert generated is not None
    accounts = {key: generated.facts[key] for key in ("clips", "direct_kept", "rationalized_kept", "dropped", "failed")}
    return accounts | {key: generated.facts.get(key) for key in ("direct", "direct_right")}


def _pair_writer(work: Work, stack: ExitStack, files: list[str]) -> PreferenceWriter:
    """Writes until the stack is closed; the names of its files are added to `files`."""
    names = [f"{work.step.name}/{name}" for name in PAIR_FILES]
    files += names
    table, trl, swift = (stack.enter_context(work.store.writing(name)) for name in names)
    return stack.enter_context(PreferenceWriter(table, trl, swift))


def without(read: Callable[[], Survivors], dropped: frozenset[str]) -> Callable[[], Survivors]:
    """As `read`, without the clips of these ids."""

    def read_others() -> Survivors:
        for clips, survived in read():
            others = [clip for clip in clips if clip.clip_id not in dropped]
            yield others, [survivor for survivor in survived if survivor.clip.clip_id not in dropped]

    return read_others if dropped else read


def _copies(work: Work, read: Callable[[], Survivors], files: list[str], counts: Counter[str]) -> frozenset[str]:
    """Writes near_copies.parquet, and counts its rows; returns the ids of the clips that are left out for them.

    `read`: the survivors, of which one stays where train clips are copies of each other.
    """
    section = work.config.select
    if section.near_copies == "ignore" or not work.config.generates:
        return frozenset()
    copies = find_copies(work, [name for name in work.step.inputs if name != INGEST])
    if section.near_copies == section.train_copies == "drop" and any(copy.where == TRAIN for copy in copies):
        others = without(read, left_out([copy for copy in copies if copy.where != TRAIN], work.config))
        of_copies = {name for copy in copies for name in (copy.clip_id, copy.copy_of)}
        within = _within(others, section.pass_rate, Counter())
        names = (survivor.clip.clip_id for _, survived in within() for survivor in survived)
        copies = led_by_survivors(copies, {name for name in names if name in of_copies}, work.config.run.seed)
    files.append(f"{work.step.name}/near_copies.parquet")
    work.store.write_table(files[-1], pa.Table.from_pylist([copy.to_row() for copy in copies], schema=NEAR_COPIES))
    counts.update(f"near_copies.{copy.where}" for copy in copies)
    return left_out(copies, work.config)


def _limited(work: Work, read_all: Callable[[], Survivors], counts: Counter[str], screen: Screen) -> Survivors:
    """The survivors that select.pass_rate, near_duplicates, max_per_label, balance and the screen leave of all.

    Counts them by mode, and those over a limit.
    """
    section, banded = work.config.select, Counter[str]()
    read = _distinct(work, _within(read_all, section.pass_rate, banded))
    limit = None
    if section.max_per_label is not None or section.balance:
        limit = Limit(work.config.run.seed)
        for _, survived in read(Counter()):
            for survivor in survived:
                limit.add(survivor.clip)
        limit.settle(section.max_per_label, section.balance)
    for clips, survived in read(counts):
        within = [survivor for survivor in survived if limit is None or limit.keeps(survivor.clip)]
        usable = {example.example_id for example in screen.keep([survivor.example for survivor in within])}
        kept = [survivor for survivor in within if survivor.example.example_id in usable]
        counts.update(survivor.example.mode for survivor in kept)
        counts.update(over_limit=len(survived) - len(within))
        yield clips, kept
    counts.update(banded)


def _distinct(work: Work, read: Callable[[], Survivors]) -> Callable[[Counter[str]], Survivors]:
    """As `read`, without those that are nearly the same as others (select.near_duplicates), which are counted."""
    if (most := work.config.select.near_duplicates) is None:
        return lambda counts: read()
    duplicates, ranks = Duplicates(), array("Q")
    for _, survived in read():
        for survivor in survived:
            duplicates.add(survivor.example.answer)
            ranks.append(rank_of(work.config.run.seed, survivor.clip.clip_id))
    stays = duplicates.capped(most, ranks)

    def read_distinct(counts: Counter[str]) -> Survivors:
        places = count()
        for clips, survived in read():
            kept = [survivor for survivor in survived if stays[next(places)]]
            counts.update(near_duplicates_dropped=len(survived) - len(kept))
            yield clips, kept

    return read_distinct


def _gate(work: Work) -> Gate:
    """What select.min_grounding rejects of the answers that the step chooses from."""
    seals = [read_seal(work.store, name) for name in work.step.inputs if name != INGEST and work.config.generates]
    facts = [seal.facts["grounding"] for seal in seals if seal and "grounding" in seal.facts]
    return Gate.of(work.config.select.min_grounding, facts, modes_of(work.step.final))


def _within(read: Callable[[], Survivors], band: tuple[float, float] | None, counts: Counter[str]) -> Callable[[], Survivors]:
    """As `read`, without clips whose pass rate is outside of the band (select.pass_rate). `counts`: of the latest reading."""

    def read_within() -> Survivors:
        assert band is not None
        counts.clear()
        for clips, survived in read():
            rates = [pass_rate(survivor.attempts, survivor.example.cycle) for survivor in survived]
            kept = [s for s, rate in zip(survived, rates, strict=True) if rate is not None and band[0] <= rate <= band[1]]
            counts["pass_rate_dropped"] += len(survived) - len(kept)
            yield clips, kept

    return read_within if band is not None else read


def _reader(work: Work, gate: Gate, overrides: Overrides, ungrounded: Counter[int]) -> Callable[[], Survivors]:
    """A function that reads the survivors of the train split, from the first to the last, each time that it is called.

    `ungrounded`: answers that the gate rejects, by cycle, of the latest reading.
    """
    section, generate = work.config.select, work.config.generate
    wording = wording_of(work.config, generate.prompts)
    if work.config.generates:
        modes = modes_of(work.step.final)
        steps = [name for name in work.step.inputs if name != INGEST]
        pieces = survivors.Pieces(work.store, steps)

        def revise(clips: Sequence[Clip], attempts: Sequence[Answer]) -> list[Answer]:
            gated = gate.applied(clips, attempts)
            ungrounded.update(answer.cycle for answer in gated if answer.reason == UNGROUNDED)
            return overrides.applied(clips, gated)  # people's word counts more than any figure

        def choose(clips: Sequence[Clip], attempts: Sequence[Answer]) -> list[Example]:
            return overrides.marked(clips, select(clips, attempts, modes, wording, section.prefer))

        def read() -> Survivors:
            ungrounded.clear()
            yield from survivors.of_attempts(pieces, work.parts("train"), revise, choose)

        return read
    if section.source == "template":
        return lambda: survivors.of_labels(work.parts("train"), section.template, wording)
    return lambda: survivors.of_nothing(work.parts("train"))


def _add_shots(
    clips: Sequence[Clip], kept: Sequence[Survivor], section: Episodes, shots: Shots, counts: Counter[str]
) -> list[Example]:
    """Add clips with a narration, or with a kept answer, to the shots; returns the rows of narrations, which only episodes use."""
    if section.answers == "kept":
        for survivor in kept:
            shots.add(survivor.clip, survivor.example)
        return []
    narrations = [(clip, narration(clip, text, section.question)) for clip in clips if (text := narrated(clip, section))]
    counts.update(not_narrated=len(clips) - len(narrations))
    for clip, example in narrations:
        shots.add(clip, example)
    return [example for _, example in narrations]
