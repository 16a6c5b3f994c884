"""The select step: what a finetune is fed. One example for each clip that survived, conversations, and episodes made of clips."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from engine.config import Episodes
from engine.episodes.build import narrated, narration
from engine.episodes.lengths import EpisodeLengths
from engine.generate.prompts import wording_of
from engine.rows import UNUSED, Clip, Example, Mode, Unused
from engine.run.plan import INGEST
from engine.run.seals import read_seal
from engine.run.work import StepResult, Work, unused_of
from engine.select import survivors
from engine.select.choose import Limit, select
from engine.select.conversations import read_conversations
from engine.select.duplicates import Duplicates
from engine.select.episodes import Shots, epochs_of, make_maker, write_episodes
from engine.select.examples import ExampleWriter
from engine.select.screen import Screen
from engine.select.survivors import Survivors


def select_examples(work: Work) -> StepResult:
    """Write examples.parquet, episodes.parquet where the mixture has episodes, and unused.parquet: what neither of them holds.

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
    files, unused_episodes = [f"{work.step.name}/examples.parquet"], list[Unused]()
    with work.store.writing(files[0]) as file, ExampleWriter(file) as writer:
        for clips, pairs in _limited(work, counts, screen):
            for _, example in pairs:
                duplicates.add(example.answer)
            narrations = _add_shots(clips, pairs, config.episodes, shots, counts) if mixture.episodes else []
            writer.write([example for _, example in pairs])
            writer.write(narrations)
        for examples in read_conversations(mixture.examples, storage) if mixture.instruct else ():
            conversations = screen.keep_conversations(examples)
            counts.update(instruct=len(conversations))
            writer.write(conversations)
    if mixture.episodes:
        files.append(f"{work.step.name}/episodes.parquet")
        maker = make_maker(shots.shots, config.episodes, config.run.seed)
        lengths = EpisodeLengths(config.spec(config.model.base), storage, shots.answers)
        with work.store.writing(files[1]) as file:
            epochs = epochs_of(config.train.epochs, mixture.episodes)
            written, unused_episodes = write_episodes(file, maker, epochs, lengths, config.limits.failure_rate)
        counts.update(written)
    files.append(unused_of(work.step.name))
    unused = [*screen.unused, *unused_episodes]
    work.store.write_table(files[-1], pa.Table.from_pylist([row.to_row() for row in unused], schema=UNUSED))
    screen.refuse(work.step.name)
    is_empty = not counts["direct"] + counts["rationalized"] + counts["instruct"] + counts["episodes"]
    if is_empty and work.step.cycle == 0 and not work.step.final:
        raise ValueError(
            f"{work.step.name}: nothing survived verification{_left_out(unused)}, so there is nothing to train on; "
            "see the reasons in the generate step's seal, and begin another run (run.uri) with other labels, prompts or rules"
        )
    facts = _accounts(work) if config.generates else {}
    total = {"examples": counts["direct"] + counts["rationalized"] + counts["instruct"]}
    always = {name: counts.pop(name, 0) for name in ("direct", "rationalized", "over_limit")}
    facts |= total | {"direct_only": work.step.final or always["rationalized"] == 0, "episodes": counts["episodes"]}
    rest = {"near_duplicates": duplicates.count(), "unused": len(unused)}
    return StepResult(files=files, counts=total | always | rest | dict(counts), facts=facts)


def _left_out(unused: Sequence[Unused]) -> str:
    reasons = Counter(row.reason for row in unused)
    return f" and {', '.join(f'{count} {reason}' for reason, count in reasons.items())} left out" if reasons else ""


def _accounts(work: Work) -> dict[str, Any]:
    """What the cycle's summary needs of the last generate step, which may be an earlier cycle's."""
    generated = read_seal(work.store, work.step.inputs[-1])
    assert generated is not None
    return {key: generated.facts[key] for key in ("clips", "direct_kept", "rationalized_kept", "dropped", "failed")}


def _limited(work: Work, counts: Counter[str], screen: Screen) -> Survivors:
    """The survivors that select.max_per_label, select.balance and the screen leave; counts them by mode, and those over a limit."""
    section, read = work.config.select, _reader(work)
    limit = None
    if section.max_per_label is not None or section.balance:
        limit = Limit(work.config.run.seed)
        for _, pairs in read():
            for clip, _ in pairs:
                limit.add(clip)
        limit.settle(section.max_per_label, section.balance)
    for clips, pairs in read():
        within = [(clip, example) for clip, example in pairs if limit is None or limit.keeps(clip)]
        usable = {example.example_id for example in screen.keep([example for _, example in within])}
        kept = [(clip, example) for clip, example in within if example.example_id in usable]
        counts.update(example.mode for _, example in kept)
        counts.update(over_limit=len(pairs) - len(within))
        yield clips, kept


def _reader(work: Work) -> Callable[[], Survivors]:
    """A function that reads the survivors of the train split, from the first to the last, each time that it is called."""
    section, generate = work.config.select, work.config.generate
    wording = wording_of(work.config, generate.prompts)
    if work.config.generates:
        modes: frozenset[Mode] = frozenset({"direct"}) if work.step.final else frozenset({"direct", "rationalized"})
        steps = [name for name in work.step.inputs if name != INGEST]
        pieces = survivors.Pieces(work.store, steps)
        choose = partial(select, modes=modes, prompts=wording)
        return lambda: survivors.of_attempts(pieces, work.parts("train"), choose)
    if section.source == "template":
        return lambda: survivors.of_labels(work.parts("train"), section.template, wording)
    return lambda: survivors.of_nothing(work.parts("train"))


def _add_shots(
    clips: Sequence[Clip], pairs: Sequence[tuple[Clip, Example]], section: Episodes, shots: Shots, counts: Counter[str]
) -> list[Example]:
    """Add clips with a narration, or with a kept answer, to the shots; returns the rows of narrations, which only episodes use."""
    if section.answers == "kept":
        for clip, example in pairs:
            shots.add(clip, example)
        return []
    narrations = [(clip, narration(clip, text, section.question)) for clip in clips if (text := narrated(clip, section))]
    counts.update(not_narrated=len(clips) - len(narrations))
    for clip, example in narrations:
        shots.add(clip, example)
    return [example for _, example in narrations]
