"""Video-STaR's own annotations, <dataset>/star_annotations/train.json: a list of questions with labels by type.

{"video_id", "question_id", "question", "label": {type: value}, "video_path", "duration", "label_type": [], "verifier_type": []}

Each verifier type becomes the kind of label that is verified so. Times are shares of the clip, boxes corners as shares of a frame.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from engine.ingest.adapters.source import Source, each, worded
from engine.ingest.adapters.videostar.parts import sentences, spelled
from engine.ingest.cells import text_of
from engine.ingest.tables import Record, Row
from engine.labels import All, Box, ClassSequence, Keywords, Label, Number, Reads, SameOrNot, Sentences, TimeRange, Timestamp

VIDEO = "{video_path}"
SPAN_TYPES = frozenset("question_from_answer answer_question action_after_action action_before_action".split())
"""Label types of which the release reads the span that answers the question, whatever verifies them."""


def records(source: Source) -> Iterator[Record]:
    return each(source.json_items("item"), partial(_row, source))


def _row(source: Source, item: dict[str, Any]) -> Row:
    label = label_of(item)
    return {
        "clip_id": text_of(item["question_id"]),
        "video": source.video_of(VIDEO, item),
        "question": item["question"],
        "label": worded(label),
        "split": source.split_of(),
    }


def label_of(item: dict[str, Any]) -> Label:
    """Raises ValueError for a verifier that is not known, and KeyError for a type without a value."""
    types, verifiers = item["label_type"], item["verifier_type"]
    if len(types) != len(verifiers) or not types:
        raise ValueError(f"{len(types)} label types and {len(verifiers)} verifier types; each label needs one of each")
    parts = [part for name, verifier in zip(types, verifiers, strict=True) for part in _labels(item, name, verifier)]
    return parts[0] if len(parts) == 1 else All(labels=tuple(parts))


def _labels(item: dict[str, Any], name: str, verifier: str) -> list[Label]:
    value = item["label"][name]
    if verifier not in VERIFIERS:
        raise ValueError(f"verifier type {verifier!r} is none of {', '.join(VERIFIERS)}")
    return VERIFIERS[verifier](name, value, item)


def _keywords(name: str, value: Any, reads: Reads = "text") -> list[Label]:
    """A list is several labels, each of which an answer must contain, as every word of a list must be in the release."""
    texts = value if isinstance(value, list) else [value]
    return [Keywords(key=name, text=spelled(text), reads=_reads(name, reads)) for text in texts]


def _sentences(name: str, value: Any, ordered: bool, by_entailment: bool = False) -> list[Label]:
    items = tuple(map(spelled, value)) if isinstance(value, list) else sentences(text_of(value))
    compare = "entailment" if by_entailment else "similarity"
    return [Sentences(key=name, items=items, ordered=ordered, reads=_reads(name, "text"), compare=compare)]  # type: ignore[arg-type]


def _reads(name: str, reads: Reads) -> Reads:
    return "span" if name in SPAN_TYPES else reads


def _sequence(name: str, value: Any) -> list[Label]:
    if isinstance(value, list):
        return [ClassSequence(key=name, items=tuple(map(spelled, value)))]
    return _sentences(name, value, ordered=True)


def _range(name: str, value: Any, duration_s: float) -> list[Label]:
    start, end = (float(share) for share in value)
    return [TimeRange(key=name, start_s=start * duration_s, end_s=end * duration_s, duration_s=duration_s)]


def _box(name: str, value: Any) -> list[Label]:
    a, b, c, d = (float(share) for share in value)
    return [Box(key=name, box=(a, b, c, d))]


def _duration_s(item: dict[str, Any]) -> float:
    return float(item["duration"])


VERIFIERS: dict[str, Callable[[str, Any, dict[str, Any]], list[Label]]] = {
    "simple": lambda name, value, _: _keywords(name, value),
    "obj_compare": lambda name, value, _: _keywords(name, value),
    "obj_identify": lambda name, value, _: _keywords(name, value, "span"),
    "float": lambda name, value, _: [Number(key=name, value=float(value))],
    "timestamp": lambda name, value, item: [
        Timestamp(key=name, time_s=float(value) * _duration_s(item), duration_s=_duration_s(item))
    ],
    "temporal_range": lambda name, value, item: _range(name, value, _duration_s(item)),
    "bbox": lambda name, value, _: _box(name, value),
    "sentence": lambda name, value, _: _sentences(name, value, ordered=False),
    "llm": lambda name, value, _: _sentences(name, value, ordered=False),
    "sentence_sequence": lambda name, value, _: _sequence(name, value),
    "classifier": lambda name, value, _: _sentences(name, value, ordered=False, by_entailment=True),
    "classifier_sequence": lambda name, value, _: _sentences(name, value, ordered=True, by_entailment=True),
    "same_or_not": lambda name, value, _: [SameOrNot(key=name, same=" not " not in text_of(value).lower())],
}
"""Verifier type -> the labels of a value. The release has no model behind "llm", and verifies it as sentences."""
