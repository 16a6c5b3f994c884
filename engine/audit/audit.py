"""The sample of a run's generate step, and what people make of it. Reads what is sealed; writes below audit/ alone."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from shlex import quote
from typing import Any

from engine.audit import reviews, sheet
from engine.audit.figures import Agreement, Estimate, Group, Rated, Stratum, agreement, groups_of, precision, recall, strata_of
from engine.audit.reviews import answer_id
from engine.audit.strata import Strata, stratum_of
from engine.ingest.clips import read_parts
from engine.ingest.pieces import number_of, span_of
from engine.rows import Attempt, Audited, Clip, Review, Trace
from engine.run.collected import collected_of, refuse_collected
from engine.run.plan import INGEST, TRAIN, name_of
from engine.run.seals import Seal
from engine.run.work import indexed, pieces_of, read_piece, read_rows
from engine.store.documents import to_json
from engine.store.files import FileRecord, Store
from engine.store.parallel import parallel_map

SAMPLES = "audit/samples"
SIZE, SEED = 50, 1
"""Of the sample in a run's report, and the defaults of `starloop audit`: they are the same one."""
FEW_REUSED = 0.1
"""Largest share of words that are reused, of those of a sample that is read in part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Sample(step="cycle-000/generate", output="9f3c...", seed=1, size=50, strata={"kept direct": 900, ...}, rows=[...])"""

    step: str
    output: str
    """Of the step's seal: a step that was done again has other answers, and this sample says nothing about them."""
    seed: int
    size: int
    strata: Mapping[str, int]
    """Attempts of each stratum."""
    rows: list[Audited]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What people make of the answers of one step, over all samples that were drawn of it."""

    step: str
    strata: Mapping[str, Stratum]
    rows: list[Audited]
    """All that were drawn, with people's words."""
    unsure: int
    reused: int
    """Words about texts that had one already: it came with another step's sample, or from the run that this one continues."""
    is_random: bool
    """Whether the rows with a word are a random sample. Those with reused words alone are none: their texts are the ones that no
    cycle changes, and they say nothing about the others."""
    precision: Estimate | None
    recall: Estimate | None
    groups: list[Group] = field(default_factory=list)
    judge: Agreement | None = None
    """Of the judge with people, on the answers that both have judged."""

    @property
    def judged(self) -> int:
        return sum(stratum.judged for stratum in self.strata.values())

    @property
    def unread(self) -> int:
        return len(self.rows) - self.judged - self.unsure


def step_of(sealed: Mapping[str, Seal], cycle: int | None) -> str:
    """The generate step of a cycle, by default the latest. Raises ValueError where there is none that is sealed."""
    steps = [name for name in sealed if name.endswith("/generate")]
    if cycle is None and steps:
        return steps[-1]
    if cycle is not None and (name := name_of(cycle, "generate")) in steps:
        return name
    what = (
        "no generate step is sealed yet" if not steps else f"no {name_of(cycle or 0, 'generate')} is sealed; {', '.join(steps)} are"
    )
    raise ValueError(f"{what}: an audit reads the answers of a complete generate step")


def draw(store: Store, sealed: Mapping[str, Seal], step: str, size: int, seed: int) -> Sample:
    """The sample, which the run keeps from now on. Raises ValueError where `starloop gc` has deleted the step's answers."""
    refuse_collected(store, step)
    return _kept(store, sample_of(store, sealed, step, size, seed))


def sample_of(store: Store, sealed: Mapping[str, Seal], step: str, size: int = SIZE, seed: int = SEED) -> Sample:
    """The same seed and size draw the same rows again. Every piece of the step is read."""
    strata = Strata(size=size, seed=seed)
    for clips, traces in _traces(store, sealed, step):
        strata.add(clips, traces)
    return sample_from(store, sealed[step], strata)


def sample_from(store: Store, seal: Seal, strata: Strata) -> Sample:
    """The sample that is drawn of a step, given the traces of all of its attempts. The pieces of what is drawn are read."""
    drawn = [(clip, _key(trace), trace.piece_id) for clip, trace in strata.drawn()]
    pieces = {piece_id for _, _, piece_id in drawn}
    records = [record for path, record in indexed(store, seal).items() if (span := span_of(path)) and span.piece_id in pieces]
    read = parallel_map(partial(read_piece, store), records, store.calls_at_once)
    whole = {_key(attempt): attempt for attempts in read for attempt in attempts}
    rows = [audited(clip, whole[key]) for clip, key, _ in drawn]
    return Sample(step=seal.step, output=seal.output, seed=strata.seed, size=strata.size, strata=dict(strata.sizes), rows=rows)


def _key(attempt: Attempt | Trace) -> tuple[str, int, str, int]:
    return attempt.clip_id, attempt.cycle, attempt.mode, attempt.seed


def _kept(store: Store, sample: Sample) -> Sample:
    name = f"{sample.step.replace('/', '-')}-{sample.output[:8]}-{sample.size}-{sample.seed}.json"
    store.create(f"{SAMPLES}/{name}", to_json(asdict(sample), indent=1))
    return sample


def _traces(store: Store, sealed: Mapping[str, Seal], step: str) -> Iterator[tuple[list[Clip], list[Trace]]]:
    """The clips of each part, and all attempts at them. Raises StorageError where a piece is not what was sealed."""
    records: dict[int, list[FileRecord]] = {}
    for path, record in indexed(store, sealed[step]).items():
        if span := span_of(path):
            records.setdefault(span.part_number, []).append(record)
    for path, clips in read_parts(store, TRAIN, sealed[INGEST].files):
        pieces = parallel_map(partial(read_rows, store, Trace), records.get(number_of(path), []))
        yield clips, [trace for traces in pieces for trace in traces]


def audited(clip: Clip, attempt: Attempt) -> Audited:
    return Audited(
        people="",
        note="",
        verdict=stratum_of(attempt).partition(" ")[0],
        reason=attempt.reason,
        label=clip.label.text,
        question=clip.question,
        text=attempt.text,
        detail=attempt.detail,
        judge=judge_word(attempt),
        clip_id=clip.clip_id,
        video=clip.video,
        start_s=clip.start_s,
        end_s=clip.end_s,
        mode=attempt.mode,
        cycle=attempt.cycle,
        seed=attempt.seed,
        kind=clip.label.kind,
        answer=answer_id(clip, attempt.text),
    )


def judge_word(attempt: Attempt) -> str:
    """keep or drop; "" where the judge said neither."""
    return next((of.reason.removeprefix("judge_") for of in attempt.judgements if of.reason in ("judge_keep", "judge_drop")), "")


def sample_of_value(value: dict[str, Any]) -> Sample:
    """Of asdict(sample), as JSON holds it."""
    return Sample(**value | {"rows": [Audited(**row) for row in value["rows"]]})


def samples_of(store: Store) -> list[Sample]:
    """All that were drawn. Raises ValueError for a file that is none of ours."""
    samples = []
    for name in store.names(SAMPLES):
        try:
            value = json.loads(store.read(f"{SAMPLES}/{name}") or b"")
            samples.append(sample_of_value(value))
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{store.url(SAMPLES)}/{name} is not what `starloop audit` writes; restore it, or delete it") from None
    return samples


def take_back(store: Store, sealed: Mapping[str, Seal], path: str) -> list[Review]:
    """Read a file that people have marked, and store what it says; returns what is new. Raises ValueError for a bad row.

    The sample that a report shows is drawn without being kept, so that writing a report changes nothing else of the run. It is
    drawn again, and kept, when words about it come back. Steps whose answers `starloop gc` has deleted have the samples of before.
    """
    known = {row.answer: row for sample in samples_of(store) for row in sample.rows}
    answers = sheet.answers_in(path, store.storage)
    for step in [name for name in sealed if name.endswith("/generate")][::-1]:
        if answers <= known.keys():
            break
        if pieces_of(step) in collected_of(store, step):
            continue
        sample = sample_of(store, sealed, step)
        if answers & {row.answer for row in sample.rows} - known.keys():
            known |= {row.answer: row for row in _kept(store, sample).rows}
    if answers and not known:
        raise ValueError(
            f"{store.uri} has no sample that people could have read; draw one first: starloop audit {quote(store.uri)}"
        )
    return reviews.add(store, sheet.read(path, store.storage, known), path)


def audits(store: Store, sealed: Mapping[str, Seal]) -> list[Audit]:
    """One for each sealed generate step of which a sample was drawn, in the order of the cycles."""
    samples = [sample for sample in samples_of(store) if sample.step in sealed and sealed[sample.step].output == sample.output]
    drawn = {step: [sample for sample in samples if sample.step == step] for step in sorted({s.step for s in samples})}
    files = [reviews.read(store, [record]) for record in reviews.records_of(store)] if samples else []
    own = words_by_step(files, {step: {row.answer for sample in of_step for row in sample.rows} for step, of_step in drawn.items()})
    words = {answer: word for of_file in files for answer, word in of_file.items()}
    return [_audit(step, of_step, words, own[step]) for step, of_step in drawn.items()]


def words_by_step(files: Sequence[Collection[str]], drawn: Mapping[str, Collection[str]]) -> dict[str, set[str]]:
    """For each step the answers about which people's first word came in a file about its own sample.

    `files`: the answers that each file that came back brought, the earliest first. `drawn`: those of each step's samples, in the
    order of the cycles. A file is about the first step whose samples have all of its answers.

    >>> words = words_by_step([{"a", "b"}, {"c"}, {"z", "d"}], {"cycle-000": {"a", "b"}, "cycle-001": {"a", "c", "d"}})
    >>> words == {"cycle-000": {"a", "b"}, "cycle-001": {"c"}}
    True
    """
    own, known = {step: set[str]() for step in drawn}, set[str]()
    for answers in files:
        step = next((step for step, rows in drawn.items() if set(answers) <= set(rows)), None)
        if step is not None:
            own[step] |= set(answers) - known
        known |= set(answers)
    return own


def _audit(step: str, samples: list[Sample], words: Mapping[str, Review], own: Collection[str]) -> Audit:
    """Several samples of a step are one: attempts drawn by several seeds are a random sample of their strata, too.

    `own`: the answers about which people's first word came with a sample of this step.
    """
    drawn = {(row.clip_id, row.mode, row.seed): row for sample in samples for row in sample.rows}
    rows = [_with_word(row, words) for row in drawn.values()]
    worded = [row for row in rows if row.people]
    reused = sum(row.answer not in own for row in worded)
    is_random = len(worded) == len(rows) or reused <= FEW_REUSED * len(worded)
    rated = [_rated(row) for row in rows if row.people in ("keep", "drop")]
    strata = strata_of(samples[0].strata, rated)
    return Audit(
        step=step,
        strata=strata,
        rows=rows,
        unsure=sum(row.people == "unsure" for row in rows),
        reused=reused,
        is_random=is_random,
        precision=precision(strata) if is_random else None,
        recall=recall(strata) if is_random else None,
        groups=groups_of(rated) if is_random else [],
        judge=agreement([(row.judge_keep, row.people_keep) for row in rated if row.judge_keep is not None]) if is_random else None,
    )


def _with_word(row: Audited, words: Mapping[str, Review]) -> Audited:
    review = words.get(row.answer)
    return row if review is None else replace(row, people=review.people, note=review.note)


def _rated(row: Audited) -> Rated:
    return Rated(
        stratum=f"{row.verdict} {row.mode}",
        reason=row.reason,
        kind=row.kind,
        people_keep=row.people == "keep",
        judge_keep=row.judge == "keep" if row.judge else None,
    )


def to_value(audit: Audit) -> dict[str, Any]:
    """What `starloop audit RUN --json` prints of a step: figures without the rows."""
    return {name: value for name, value in asdict(audit).items() if name != "rows"} | {
        "rows": len(audit.rows),
        "judged": audit.judged,
    }
