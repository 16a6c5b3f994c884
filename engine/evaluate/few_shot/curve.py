"""EILEV's evaluation: held-out clips are narrated after 0, 1, 2, 4, 8, 12 and 16 shots, with contexts that were drawn once.

This is the pure half: which samples the model answers (pieces), and the means over its answers (curve).
"""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from engine.config import Episodes
from engine.episodes.build import narrated
from engine.episodes.narration import EVALUATED, surface
from engine.episodes.sampler import OTHER
from engine.evaluate.few_shot.classes import ClassTexts, macro_f1
from engine.evaluate.intervals import interval
from engine.evaluate.metrics import accuracy
from engine.evaluate.outcomes import RIGHT, WRONG, Outcomes
from engine.evaluate.text_metrics import bleu
from engine.generate.ledger import too_many_failed
from engine.language.narration import clean
from engine.rows import Clip, Narrated, Window
from engine.store.files import digest
from models.base import Turn

MAJORITY = "majority"
"""The control that answers without a model: a narration of the words that the shots use most (EILEV's majority baseline)."""
PIECE_QUERIES = 8
"""Queries of a piece, each with all its numbers of shots: their contexts share clips, and each clip of a piece is encoded once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A line of a file of contexts: Context(set="rare", shots=4, query="v3/n1", context=("v9/n1", ...)), by clip_id."""

    set: str
    shots: int
    query: str
    context: tuple[str, ...]


def read_contexts(name: str, shots: int, text: str) -> list[Context]:
    """The lines {"context": [clip_id, ...], "query": clip_id} of a set. Raises ValueError naming a broken line."""
    contexts = []
    for number, line in enumerate(filter(None, text.splitlines()), 1):
        try:
            value = json.loads(line)
            query, context = value["query"], value["context"]
            if not (isinstance(context, list) and all(isinstance(clip_id, str) for clip_id in (query, *context))):
                raise TypeError("query and context are clip_ids")
            contexts.append(Context(set=name, shots=shots, query=query, context=tuple(context)))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(
                f"contexts of {name} after {shots} shots, line {number}: {error!r}; make them again with `starloop episodes`"
            ) from None
    return contexts


def context_line(query: str, context: Sequence[str]) -> str:
    """The line that read_contexts reads."""
    return json.dumps({"context": list(context), "query": query}, ensure_ascii=False) + "\n"


def derangement(number: int, rng: random.Random) -> list[int]:
    """A random permutation of at least two numbers in which no number keeps its place.

    >>> derangement(2, random.Random(0)), any(i == j for i, j in enumerate(derangement(9, random.Random(0))))
    ([1, 0], False)
    """
    assert number > 1
    order = list(range(number))
    while any(i == j for i, j in enumerate(order)):
        rng.shuffle(order)
    return order


def pieces(contexts: Iterable[Context], clips: Mapping[str, Clip], section: Episodes, key: str) -> Iterator[dict[str, Any]]:
    """Rows for the flow: "windows" has each clip of the piece once, "questions" the samples with the facts on their queries,
    "answers" the number of questions.

    A context of two or more shots is used a second time as a control, with its videos shuffled among its narrations; and each
    context of shots once more without the model, for the narration of its commonest words. `key` goes into piece_id: it names the
    model and its settings. Raises ValueError for a clip_id that is not in `clips`.
    """
    by_query: dict[tuple[str, str], list[Context]] = defaultdict(list)
    for context in contexts:
        by_query[context.set, context.query].append(context)
    queries, asking = list(by_query.values()), Asking(clips, section)
    for start in range(0, len(queries), PIECE_QUERIES):
        numbers: dict[Window, int] = {}
        questions = [
            question
            for contexts_of_query in queries[start : start + PIECE_QUERIES]
            for context in contexts_of_query
            for question in asking.questions(context, numbers)
        ]
        windows = json.dumps([asdict(window) for window in numbers])
        yield {
            "piece_id": digest([key, windows, questions]),
            "answers": len(questions),
            "windows": windows,
            "jitter_seeds": json.dumps([None] * len(numbers)),
            "questions": json.dumps(questions),
        }


class Asking:
    """How contexts become questions: the fixed prompt, and the narrations as they are evaluated, which are never canonical ones."""

    def __init__(self, clips: Mapping[str, Clip], section: Episodes) -> None:
        self._clips, self._section = clips, section.model_copy(update={"canonical": ""})
        self._prompt = EVALUATED[section.wordings].replace("{question}", section.question)

    def questions(self, context: Context, numbers: dict[Window, int]) -> Iterator[dict[str, Any]]:
        """One about the context, and its controls. `numbers`: the place of each window in the piece, extended here."""
        ids = [*context.context, context.query]
        if missing := [clip_id for clip_id in ids if clip_id not in self._clips]:
            raise ValueError(
                f"contexts of {context.set} name {missing[0]!r}, which is no clip there; make them again with `starloop episodes`"
            )
        shown = [self._clips[clip_id] for clip_id in ids]
        texts = [narrated(clip, self._section) for clip in shown]
        places = [numbers.setdefault(Window(video=c.video, start_s=c.start_s, end_s=c.end_s, etag=""), len(numbers)) for c in shown]
        query, shots = shown[-1], len(shown) - 1
        facts = {"set": context.set, "shots": context.shots, "query": context.query, "verb": query.verb, "noun": query.noun}
        facts |= {"verb_class": query.action[0], "noun_class": query.action[1], "gold": texts[-1]}
        orders = {"": list(range(shots))}
        if shots > 1:
            orders["shuffled"] = derangement(shots, random.Random(f"{context.set}/{context.shots}/{context.query}"))
        for control, order in orders.items():
            turns = [Turn(places[order[i]], self._prompt, texts[i]) for i in range(shots)]
            yield facts | {
                "control": control,
                "sample": [asdict(turn) for turn in (*turns, Turn(places[-1], self._prompt, ""))],
            }
        if shots:
            yield facts | {"control": MAJORITY, "sample": [], "shown": shots, **self._majority(texts[:-1], shown[:-1])}

    def _majority(self, texts: Sequence[str], shots: Sequence[Clip]) -> dict[str, str]:
        """The narration of the commonest verb and noun of the shots, and their commonest classes; the first of equals."""
        surfaces = list(filter(None, (surface(text, self._section.pattern) for text in texts)))
        verb, noun = (_commonest(getattr(words, part) for words in surfaces) for part in ("verb", "noun"))
        sentence = self._section.pattern.replace("{verb}", verb).replace("{noun}", noun).strip() if verb or noun else ""
        verbs, nouns = zip(*(clip.action for clip in shots), strict=True)
        return {
            "text": clean(sentence) if sentence else "",
            "chosen_verb": _commonest(name for name in verbs if name != OTHER),
            "chosen_noun": _commonest(nouns),
        }


def _commonest(words: Iterable[str]) -> str:
    """ "" where there is none."""
    [(word, _)] = Counter(filter(None, words)).most_common(1) or [("", 0)]
    return word


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The means over a set's queries with a number of shots.

    Point(set="rare", control="", shots=16, queries=100, verb=0.8, noun=0.6, both=0.5, rouge_l=0.7, ...)
    """

    set: str
    control: str
    shots: int
    queries: int
    verb: float
    """Share of queries whose answer contains the narrator's verb."""
    noun: float
    both: float
    both_low: float
    """Lower end of the 95 % interval of `both`, clustered by video (engine/evaluate/intervals.py)."""
    both_high: float
    rouge_l: float
    sts: float | None
    sts_cross: float | None
    bert_score: float | None
    bleu: float | None
    verb_f1: float | None
    """Macro F1 of the verb classes that were chosen; None where none were."""
    noun_f1: float | None
    failed: int
    """Queries whose video is missing or broken, or that the device's memory does not hold: they count as wrong."""
    short: int
    """Queries that had fewer shots."""
    by_class: int
    """Queries whose narration does not match episodes.pattern: their answers had to contain the names of the classes."""


def too_many_unusable(rows: Iterable[Narrated], limit: float) -> str | None:
    """The reason not to draw a curve, if more than the share `limit` of the queries could not be answered; else None."""
    failure: dict[tuple[str, str], str] = {}
    for row in rows:
        if row.control != MAJORITY:  # which looks at no video
            failure[row.set, row.query] = failure.get((row.set, row.query)) or row.failure
    return too_many_failed(Counter(filter(None, failure.values())), len(failure), limit)


def curve(
    rows: Iterable[Narrated], videos: Mapping[str, str], with_bleu: bool = False, classes: ClassTexts | None = None
) -> list[Point]:
    """One Point for each set, control and number of shots.

    `videos`: of each query. `classes`: those that are chosen among; queries of others have no F1.
    """
    verbs, nouns = (set(classes.verbs.values()), set(classes.nouns.values())) if classes else (set[str](), set[str]())
    groups: dict[tuple[str, str, int], list[Narrated]] = defaultdict(list)
    for row in rows:
        groups[row.set, row.control, row.shots].append(row)
    points = []
    for (name, control, shots), answers in sorted(groups.items()):
        right = [row.verb_right and row.noun_right for row in answers]
        low, high = _interval(right, [videos[row.query] for row in answers])
        points.append(
            Point(
                set=name,
                control=control,
                shots=shots,
                queries=len(answers),
                verb=_mean([row.verb_right for row in answers]),
                noun=_mean([row.noun_right for row in answers]),
                both=_mean(right),
                both_low=round(low, 4),
                both_high=round(high, 4),
                rouge_l=_mean([row.rouge_l for row in answers]),
                sts=_mean_of(answers, "sts"),
                sts_cross=_mean_of(answers, "sts_cross"),
                bert_score=_mean_of(answers, "bert_score"),
                bleu=round(bleu([row.gold for row in answers], [row.text for row in answers]), 4) if with_bleu else None,
                verb_f1=_f1([(row.verb_class, row.chosen_verb) for row in answers], verbs),
                noun_f1=_f1([(row.noun_class, row.chosen_noun) for row in answers], nouns),
                failed=sum(bool(row.failure) for row in answers),
                short=sum(row.shown < shots and not row.failure for row in answers),
                by_class=sum(row.by_class for row in answers),
            )
        )
    return points


def _interval(right: Sequence[bool], videos: Sequence[str]) -> tuple[float, float]:
    """
    >>> _interval([True, True], ["a", "b"])[1], _interval([True, True], ["a", "a"])[0] < _interval([True, True], ["a", "b"])[0]
    (1.0, True)
    """
    numbers = {video: number for number, video in enumerate(dict.fromkeys(videos))}
    outcomes = Outcomes(
        ids=np.arange(len(right), dtype=np.uint64),
        videos=np.array([numbers[video] for video in videos], np.uint64),
        labels=np.zeros(len(right), np.uint64),
        states=np.where(right, RIGHT, WRONG).astype(np.uint8),
    )
    return interval(accuracy, outcomes)


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)


def _mean_of(rows: Sequence[Narrated], name: str) -> float | None:
    values = [value for row in rows if (value := getattr(row, name)) is not None]
    return _mean(values) if values else None


def _f1(pairs: Sequence[tuple[str, str]], classes: Set[str]) -> float | None:
    """None where no class was chosen."""
    own = [(true, chosen) for true, chosen in pairs if true in classes]
    return round(macro_f1(own), 4) if any(chosen for _, chosen in own) else None
