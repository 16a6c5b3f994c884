"""What the attempts of one step come to, counted while its clips stream: the complete figures of the report. Pure."""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

from engine.generate.ledger import deciding
from engine.generate.samples import COMPARED, template_share
from engine.ingest.hashes import hash_of
from engine.labels import Keywords, name_of
from engine.language.words import label_words, words
from engine.rows import Clip, Trace

MOST_LABELS = 2_000
"""Classes up to which it is looked for which of them a rejected answer names."""
MOST_ROWS = 500
"""The table shows so many labels with the most clips, and so many with the lowest share of right answers. A row takes 0.8 kB."""
UNTOLD = ""
"""Stands for the answered label where none, or more than one, of the labels is named."""


def ending_of(trace: Trace) -> str:
    """How a clip ended in a step, given the attempt that decides.

    >>> rest = {"piece_id": "p", "clip_id": "a", "cycle": 0, "mode": "rationalized", "text": "", "num_tokens": 0, "seed": 9}
    >>> ending_of(Trace(outcome="kept", reason="contains_label", **rest))
    'kept rationalized'
    >>> ending_of(Trace(outcome="rejected", reason="copies_hint", **rest))
    'dropped copies_hint'
    """
    if trace.outcome == "kept":
        return f"kept {trace.mode}"
    return f"{'failed' if trace.outcome == 'failed' else 'dropped'} {trace.reason}"


@dataclass
class StepCounts:
    """counts = StepCounts(labels); counts.add(clips, traces) part by part. `labels`: the run's classes, which answers may name."""

    labels: Sequence[str] = ()
    tells_answers: bool = True
    """Whether it is looked for what wrong answers name, where there are two classes or more, and at most MOST_LABELS."""
    attempts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(mode, outcome) -> attempts."""
    clips_by_mode: Counter[str] = field(default_factory=Counter)
    """mode -> clips that have an attempt of it."""
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(mode, reason) -> rejected attempts."""
    endings: Counter[str] = field(default_factory=Counter)
    clips_by_label: Counter[str] = field(default_factory=Counter)
    kept_by_label: Counter[str] = field(default_factory=Counter)
    answered: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(true class, answered class) -> clips; of clips of a class without a failure, where that is looked for. Classes with the same
    words, such as "Put Down" and "put down", are one."""
    described: dict[str, tuple[int, int]] = field(default_factory=dict)
    """mode -> kept attempts that contain their clip's description word for word, and kept attempts at clips that have one."""
    tokens: int = 0
    _texts: list[tuple[int, str, str]] = field(default_factory=list)
    """(negative hash of the clip's id, text, label) of kept answers: a random sample of COMPARED."""

    def __post_init__(self) -> None:
        few = self.labels if self.tells_answers and 1 < len(self.labels) <= MOST_LABELS else ()
        self._names = dict[tuple[str, ...], str]()
        for label in few:
            self._names.setdefault(label_words(label), label)
        self._lengths = sorted({len(name) for name in self._names if name}, reverse=True)

    @property
    def clips(self) -> int:
        return self.clips_by_label.total()

    @property
    def template_share(self) -> float:
        """As the warning of a generate step has it (engine/generate/samples.py)."""
        return template_share([(text, label) for _, text, label in self._texts])

    def add(self, clips: Sequence[Clip], traces: Sequence[Trace]) -> dict[str, str]:
        """Some of the clips, and all attempts at them. Returns how each clip ended, by its clip_id."""
        by_id = {clip.clip_id: clip for clip in clips}
        self.clips_by_label.update(name_of(clip.label) for clip in clips)
        self.clips_by_mode.update(
            mode for _, mode in {(trace.clip_id, trace.mode) for trace in traces if trace.outcome != "failed"}
        )
        for trace in traces:
            self.attempts[trace.mode, trace.outcome] += 1
            self.tokens += trace.num_tokens
            if trace.outcome == "rejected":
                self.reasons[trace.mode, trace.reason] += 1
            elif trace.outcome == "kept" and (description := by_id[trace.clip_id].description):
                number, kept = self.described.get(trace.mode, (0, 0))
                self.described[trace.mode] = number + (description in trace.text), kept + 1
        endings = dict[str, str]()
        for clip_id, trace in deciding(traces).items():
            endings[clip_id] = ending_of(trace)
            self._count(by_id[clip_id], trace)
        self.endings.update(endings.values())
        return endings

    def _count(self, clip: Clip, trace: Trace) -> None:
        label = name_of(clip.label)
        if trace.outcome == "kept":
            self.kept_by_label[label] += 1
            drawn = -hash_of(clip.clip_id), trace.text, clip.label.text
            (heapq.heappush if len(self._texts) < COMPARED else heapq.heappushpop)(self._texts, drawn)
        if self._names and isinstance(clip.label, Keywords) and trace.outcome != "failed":
            label = self._names.get(label_words(label), label)
            self.answered[label, label if trace.outcome == "kept" else self.label_in(trace.text, label)] += 1

    def to_value(self) -> dict[str, Any]:
        """All but the labels as a value of JSON, from which `of_value` makes the same counts again."""
        counted = {name: [[*_as_key(key), count] for key, count in getattr(self, name).items()] for name in COUNTERS}
        return counted | {"described": self.described, "tokens": self.tokens, "texts": sorted(self._texts)}

    @classmethod
    def of_value(cls, value: Mapping[str, Any]) -> Self:
        """
        >>> counts = StepCounts(tokens=3, reasons=Counter({("direct", "cut_off"): 2}), endings=Counter({"kept direct": 1}))
        >>> StepCounts.of_value(counts.to_value()) == counts
        True
        """
        values: dict[str, Any] = {
            name: Counter({tuple(key) if len(key) > 1 else key[0]: count for *key, count in value[name]}) for name in COUNTERS
        }
        described = {mode: (number, kept) for mode, (number, kept) in value["described"].items()}
        texts = [(rank, text, label) for rank, text, label in value["texts"]]
        return cls(**values, described=described, tokens=value["tokens"], _texts=texts)

    def label_in(self, text: str, label: str) -> str:
        """The one other label whose words stand in the text, side by side; UNTOLD where there is none, or more than one.

        >>> StepCounts(["rising", "moving left"]).label_in("So it is moving left.", "rising")
        'moving left'
        """
        text_words, named = words(text), set[str]()
        covered = set[int]()
        for length in self._lengths:
            for start in range(len(text_words) - length + 1):
                places = range(start, start + length)
                name = self._names.get(text_words[start : start + length])
                if name is not None and not covered & {*places}:
                    covered.update(places)
                    named.add(name)
        return next(iter(named)) if len(named) == 1 and label not in named else UNTOLD


COUNTERS = tuple(of.name for of in fields(StepCounts) if of.default_factory is Counter)


def _as_key(key: str | tuple[str, ...]) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else key


@dataclass(frozen=True, kw_only=True)
class LabelRow:
    """What is known of a label: LabelRow(label="rising", train_clips=30, kept=29, heldout_clips=20, before=0.0, after=0.95).

    Shares are of held-out clips; a clip that failed counts as wrong.
    """

    label: str
    train_clips: int
    kept: int | None
    """Train clips with a kept answer in one generate step; None before one is complete."""
    heldout_clips: int
    before: float | None
    after: float | None

    @property
    def gain(self) -> float | None:
        return None if self.before is None or self.after is None else self.after - self.before


def label_rows(
    train_clips: Mapping[str, int], generated: StepCounts | None, before: StepCounts | None, after: StepCounts | None
) -> list[LabelRow]:
    """Labels in alphabetical order. `generated`: of the cycle whose answers the best one's finetune was fed.

    `before`, `after`: of the base and of the best cycle, on held-out clips.
    """
    heldout = before.clips_by_label if before else Counter[str]()
    return [
        LabelRow(
            label=label,
            train_clips=train_clips.get(label, 0),
            kept=generated.kept_by_label[label] if generated else None,
            heldout_clips=heldout[label],
            before=_share(before, label),
            after=_share(after, label),
        )
        for label in sorted({*train_clips, *heldout})
    ]


def _share(counts: StepCounts | None, label: str) -> float | None:
    return counts.kept_by_label[label] / clips if counts and (clips := counts.clips_by_label[label]) else None


def shown_rows(rows: Sequence[LabelRow]) -> list[LabelRow]:
    """All of them, in their order, up to twice MOST_ROWS; of more, the largest and the worst."""
    if len(rows) <= 2 * MOST_ROWS:
        return list(rows)
    largest = sorted(rows, key=lambda row: -row.train_clips - row.heldout_clips)[:MOST_ROWS]
    measured = [(row.after, -row.heldout_clips, row.label) for row in rows if row.after is not None]
    labels = {row.label for row in largest} | {label for _, _, label in heapq.nsmallest(MOST_ROWS, measured)}
    return [row for row in rows if row.label in labels]
