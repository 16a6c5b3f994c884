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
from engine.rows import NEAR_COPIES, UNUSED, Answer, Clip, Example, Mode, Unused
from engine.run.plan import INGEST
from engine.run.seals import read_seal
from engine.run.work import StepResult, Work, unused_of
from engine.select import survivors
from engine.select.choose import Limit, pass_rate, rank_of, select
from engine.select.conversations import read_conversations
from engine.select.duplicates import Duplicates
from engine.select.episodes import Shots, epochs_of, make_maker, write_episodes
from engine.select.examples import ExampleWriter
from engine.select.grounded import Gate
from engine.select.leaks import find_copies, left_out
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
    dropped, gate = _copies(work, files, counts), _gate(work)
    counts.update(gate.counts)
    overrides = Overrides(reviews.read(work.store, work.reviews) if config.generates else {})
    with ExitStack() as stack:
        writer = stack.enter_context(ExampleWriter(stack.enter_context(work.store.writing(files[0]))))
        pair_writer = _pair_writer(work, stack, files) if config.generates else None
        for clips, kept in _limited(work, without(_reader(work, gate, overrides), dropped), counts, screen):
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
    if mixture.episodes:
        files.append(f"{work.step.name}/episodes.parquet")
        maker = make_maker(shots.shots, config.episodes, config.run.seed)
        lengths = EpisodeLengths(config.spec(config.model.base), storage, shots.answers)
        with work.store.writing(files[1]) as file:
            epochs = epochs_of(config.train.epochs, mixture.episodes)
            written, unused_episodes = write_episodes(file, maker, epochs, lengths, config.limits.failure_rate)
        counts.update(written)
    if overrides.reviews:
        files.append(f"{work.step.name}/{APPLIED}")
        work.store.write(files[-1], to_json([asdict(review) for _, review in sorted(overrides.reviews.items())], indent=1))
        counts.update(overrides.counts())
    files.append(unused_of(work.step.name))
    unused = [*screen.unused, *unused_episodes]
    work.store.write_table(files[-1], pa.Table.from_pylist([row.to_row() for row in unused], schema=UNUSED))
    screen.refuse(work.step.name)
    weighed += sum(counts[name] for name in ("direct", "rationalized", "episodes") if getattr(mixture, name))
    total = {"examples": counts["direct"] + counts["rationalized"] + counts["instruct"]}
    if not weighed and work.step.cycle == 0 and not work.step.final:
        reason = (
            f"all {total['examples']} examples are of sources that [mixture] gives no weight"
            if total["examples"]
            else f"nothing survived verification{_left_out(unused)}{_ungrounded(gate)}"
        )
        raise ValueError(
            f"{work.step.name}: {reason}, so there is nothing to train on; see the reasons in the generate step's seal, and begin "
            "another run (run.uri) with other labels, prompts, rules or weights"
        )
    facts = _accounts(work) if config.generates else {}
    always = {name: counts.pop(name, 0) for name in ("direct", "rationalized", "over_limit")}
    facts |= total | {"direct_only": work.step.final or always["rationalized"] == 0, "episodes": counts["episodes"]}
    facts["weighed"] = weighed  # rows that the finetune is fed in a long enough epoch
    rest = {"near_duplicates": duplicates.count(), "unused": len(unused)}
    rest |= {"preferences": pair_writer.count} if pair_writer else {}
    return StepResult(files=files, counts=total | always | rest | dict(counts), facts=facts)


def _left_out(unused: Sequence[Unused]) -> str:
    reasons = Counter(row.reason for row in unused)
    return f" and {', '.join(f'{count} {reason}' for reason, count in reasons.items())} left out" if reasons else ""


def _ungrounded(gate: Gate) -> str:
    count = gate.counts.get("ungrounded")
    return f" and {count} answers fit other videos as well as their own (select.min_grounding)" if count else ""


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


def _copies(work: Work, files: list[str], counts: Counter[str]) -> frozenset[str]:
    """Writes near_copies.parquet, and counts its rows; returns the ids of the clips that are left out for them."""
    if work.config.select.near_copies == "ignore" or not work.config.generates:
        return frozenset()
    copies = find_copies(work, [name for name in work.step.inputs if name != INGEST])
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
    return Gate.of(
        work.config.select.min_grounding, [seal.facts["grounding"] for seal in seals if seal and "grounding" in seal.facts]
    )


def _within(read: Callable[[], Survivors], band: tuple[float, float] | None, counts: Counter[str]) -> Callable[[], Survivors]:
    """As `read`, without clips whose pass rate is outside of the band (select.pass_rate). `counts`: of the latest reading."""

    def read_within() -> Survivors:
        assert band is not None
        counts.clear()
        for clips, survived in read():
            rates = [pass_rate(survivor.attempts) for survivor in survived]
            kept = [s for s, rate in zip(survived, rates, strict=True) if rate is not None and band[0] <= rate <= band[1]]
            counts["pass_rate_dropped"] += len(survived) - len(kept)
            yield clips, kept

    return read_within if band is not None else read


def _reader(work: Work, gate: Gate, overrides: Overrides) -> Callable[[], Survivors]:
    """A function that reads the survivors of the train split, from the first to the last, each time that it is called."""
    section, generate = work.config.select, work.config.generate
    wording = wording_of(work.config, generate.prompts)
    if work.config.generates:
        modes: frozenset[Mode] = frozenset({"direct"}) if work.step.final else frozenset({"direct", "rationalized"})
        steps = [name for name in work.step.inputs if name != INGEST]
        pieces = survivors.Pieces(work.store, steps)

        def revise(clips: Sequence[Clip], attempts: Sequence[Answer]) -> list[Answer]:
            return overrides.applied(clips, gate.applied(clips, attempts))  # people's word counts more than any figure

        def choose(clips: Sequence[Clip], attempts: Sequence[Answer]) -> list[Example]:
            return overrides.marked(clips, select(clips, attempts, modes, wording, section.prefer))

        return lambda: survivors.of_attempts(pieces, work.parts("train"), revise, choose)
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
