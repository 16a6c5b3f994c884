"""EILEV's evaluation: held-out clips narrated after 0, 1, 2, 4, 8, 12 and 16 shots, with contexts that were frozen once.

The pure half: which samples are asked, and what their answers come to. engine/evaluate/few_shot/narrator.py asks.
"""

import json
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engine.generate.ledger import too_many_failed
from engine.language.narration import clean
from engine.rows import Clip, Narrated, Window
from engine.store.files import digest
from models.base import Turn

PIECE_QUERIES = 8
"""Queries that are answered together, after all numbers of shots: their contexts overlap, and each clip is encoded once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A line of a frozen file: Context(set="rare", shots=4, query="v3/n1", context=("v9/n1", ...)), by clip_id."""

    set: str
    shots: int
    query: str
    context: tuple[str, ...]


def read_contexts(name: str, shots: int, text: str) -> list[Context]:
    """The lines {"context": [clip_id, ...], "query": clip_id} of a set. Raises ValueError naming the line."""
    found = []
    for number, line in enumerate(filter(None, text.splitlines()), 1):
        try:
            value = json.loads(line)
            query, context = value["query"], value["context"]
            if not (isinstance(context, list) and all(isinstance(clip_id, str) for clip_id in (query, *context))):
                raise TypeError("query and context are clip_ids")
            found.append(Context(set=name, shots=shots, query=query, context=tuple(context)))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"contexts of {name} after {shots} shots, line {number}: {error!r}; make them again with `starloop episodes`"
            ) from None
    return found


def to_line(query: str, context: Sequence[str]) -> str:
    return json.dumps({"context": list(context), "query": query}, ensure_ascii=False) + "\n"


def derangement(number: int, rng: random.Random) -> list[int]:
    """A permutation that leaves nothing in its place, of at least two.

    >>> derangement(2, random.Random(0)), any(i == j for i, j in enumerate(derangement(9, random.Random(0))))
    ([1, 0], False)
    """
    assert number > 1
    order = list(range(number))
    while any(i == j for i, j in enumerate(order)):
        rng.shuffle(order)
    return order


def pieces(contexts: Iterable[Context], clips: Mapping[str, Clip], prompt: str, key: str) -> Iterator[dict[str, Any]]:
    """What travels: rows with "windows", each clip of the piece once, and "asked", samples with what is known of their queries;
    "answers" is their number.

    After two and more shots each context is asked about once more as a control, with its videos shuffled among its narrations.
    `key` goes into the pieces' names: the model, for one. Raises ValueError for a clip that is not among the clips.
    """
    by_query: dict[tuple[str, str], list[Context]] = defaultdict(list)
    for context in contexts:
        by_query[context.set, context.query].append(context)
    listed = list(by_query.values())
    for start in range(0, len(listed), PIECE_QUERIES):
        numbers: dict[Window, int] = {}
        asked = [
            one
            for some in listed[start : start + PIECE_QUERIES]
            for context in some
            for one in _asked(context, clips, prompt, numbers)
        ]
        windows = json.dumps([asdict(window) for window in numbers])
        yield {
            "piece_id": digest([key, windows, asked]),
            "answers": len(asked),
            "windows": windows,
            "jitter_seeds": json.dumps([None] * len(numbers)),
            "asked": json.dumps(asked),
        }


def _asked(context: Context, clips: Mapping[str, Clip], prompt: str, numbers: dict[Window, int]) -> Iterator[dict[str, Any]]:
    ids = [*context.context, context.query]
    if missing := [clip_id for clip_id in ids if clip_id not in clips]:
        raise ValueError(
            f"contexts of {context.set} name {missing[0]!r}, which is no clip there; make them again with `starloop episodes`"
        )
    told = [clips[clip_id] for clip_id in ids]
    seen = [numbers.setdefault(Window(video=c.video, start_s=c.start_s, end_s=c.end_s, etag=""), len(numbers)) for c in told]
    query, shots = told[-1], len(told) - 1
    orders = {"": list(range(shots))}
    if shots > 1:
        orders["shuffled"] = derangement(shots, random.Random(f"{context.set}/{context.shots}/{context.query}"))
    for control, order in orders.items():
        turns = [Turn(seen[order[i]], prompt, clean(told[i].description)) for i in range(shots)]
        yield {
            "set": context.set,
            "control": control,
            "shots": context.shots,
            "query": context.query,
            "verb": query.verb,
            "noun": query.noun,
            "gold": clean(query.description),
            "sample": [asdict(turn) for turn in (*turns, Turn(seen[-1], prompt, ""))],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A curve's value: Point(set="rare", control="", shots=16, queries=100, verb=0.8, noun=0.6, both=0.5, rouge_l=0.7, ...)."""

    set: str
    control: str
    shots: int
    queries: int
    verb: float
    """Share of queries whose narrator's verb is said."""
    noun: float
    both: float
    both_error: float
    """Half the 95 % interval of `both`, from the queries' number (Wald)."""
    rouge_l: float
    sts: float | None
    failed: int
    """Queries whose video is gone or broken, which count as wrong."""
    short: int
    """Queries that had fewer shots."""
    by_class: int
    """Queries whose narration is not built as episodes.pattern says: their answers had to say the names of the classes."""


def too_many_gone(rows: Iterable[Narrated], most: float) -> str | None:
    """Why there is no curve, where more than `most` of the queries have no usable video; None while they are few."""
    failure = {(row.set, row.query): row.failure for row in rows}
    return too_many_failed(Counter(filter(None, failure.values())), len(failure), most)


def curve(rows: Iterable[Narrated]) -> list[Point]:
    """Means by set, control and shots."""
    found: dict[tuple[str, str, int], list[Narrated]] = defaultdict(list)
    for row in rows:
        found[row.set, row.control, row.shots].append(row)
    points = []
    for (name, control, shots), some in sorted(found.items()):
        both = _mean([row.verb_right and row.noun_right for row in some])
        sts = [row.sts for row in some if row.sts is not None]
        points.append(
            Point(
                set=name,
                control=control,
                shots=shots,
                queries=len(some),
                verb=_mean([row.verb_right for row in some]),
                noun=_mean([row.noun_right for row in some]),
                both=both,
                both_error=round(1.96 * math.sqrt(both * (1 - both) / len(some)), 4),
                rouge_l=_mean([row.rouge_l for row in some]),
                sts=_mean(sts) if sts else None,
                failed=sum(bool(row.failure) for row in some),
                short=sum(row.shown < shots for row in some),
                by_class=sum(row.by_class for row in some),
            )
        )
    return points


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)
