"""JSON in a text: which of its fields are the answer, and which are reasons, rejected candidates or class probabilities."""

import ast
import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from engine.language.structure.markup import without

ANSWERS = frozenset("answer finalanswer label prediction action class category activity result conclusion option choice".split())
REASONS = frozenset(
    "reason reasons reasoning explanation rationale thought thoughts thinking analysis evidence justification observation".split()
)
REJECTED = frozenset(
    "not rejected excluded wrong incorrect denied unlikely alternative alternatives other others candidate candidates options "
    "choices distractors ruledout".split()
)
SUPPORTING = frozenset("confidence probability prob certainty likelihood".split())
RANKING = SUPPORTING | {"score"}
"""Names of fields, without case and underscores."""
NO_VALUES = frozenset("false null none no".split())
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|[{}\[\],:]|[^\s{}\[\],:"\']+')
_ESCAPE = re.compile(r"\\[nrt]")
_PUNCTUATION = re.compile(r"[{}\"]|(?<![\w])'|'(?![\w])")
MAX_TRIES = 8
"""Opening brackets at which JSON is looked for."""
SHARE_SUMS = (0.8, 1.2)
"""Bounds of a sum of class probabilities: they are rounded, or the least likely ones are left out."""


class Field(NamedTuple):
    """One value: Field(path=("answer",), value="B", start=1, end=14, key_end=9).

    `start` and `end` are the span of the key and its value, `key_end` is the end of the key.
    """

    path: tuple[str, ...]
    value: str
    start: int
    end: int
    key_end: int


def without_unstated(text: str, is_by_words: bool) -> str:
    """The text with blanks in place of fields that do not answer.

    `is_by_words`: the answer is a text, so that numbers beside candidates are their probabilities.

    >>> without_unstated('{"answer": "B", "rejected": "A", "confidence": 0.9}', True).split()
    ['answer', ':', 'B', ',', ',']
    >>> without_unstated('{"running": 0.2, "diving": 0.8}', True).split()
    [',', 'diving']
    """
    block = _block(text)
    if not block:
        return text
    start, end = block
    fields = list(_fields(text, start, end))
    dropped = [(field.start, field.end) for field in fields if _is_unstated(field, fields, is_by_words)]
    if is_by_words:
        dropped += _unlikely(fields) or _outranked(fields)
    text = without(text, dropped)
    inside = _ESCAPE.sub("  ", text[start:end])
    return text[:start] + _PUNCTUATION.sub(" ", inside) + text[end:]


def _block(text: str) -> tuple[int, int] | None:
    """The span of the first JSON object or list, or Python's writing of one; None without one."""
    opened = re.finditer(r"\{\s*[\"']|\[\s*[\"{]", text)
    for _, match in zip(range(MAX_TRIES), opened, strict=False):
        end = _closed(text, match.start())
        for read in (json.loads, ast.literal_eval) if end else ():
            try:
                value = read(text[match.start() : end])
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            return (match.start(), end) if isinstance(value, dict | list) else None
    return None


def _closed(text: str, start: int) -> int:
    """The end of the brackets that open at start; 0 if they do not close."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
        if not depth:
            return token.end()
    return 0


def _fields(text: str, start: int, end: int) -> Iterator[Field]:
    """The values of a valid block with their names, in the order of the text."""
    path: list[str] = []
    key: re.Match[str] | None = None
    previous: re.Match[str] | None = None
    for token in _TOKEN.finditer(text, start, end):
        if token[0] in "{[":
            path.append(_name(key[0]) if key else "")
            key = None
        elif token[0] in "}]":
            path.pop()
            key = None
        elif token[0] == ":":
            key = previous
        elif token[0] == ",":
            key = None
        elif key or not text[token.end() : end].lstrip().startswith(":"):
            names = tuple(name for name in (*path, _name(key[0]) if key else "") if name)
            first, key_end = (key.start(), key.end()) if key else (token.start(), token.start())
            yield Field(names, token[0].strip("\"'"), first, token.end(), key_end)
        previous = token


def _name(key: str) -> str:
    return re.sub(r"[\W_]", "", key).casefold()


def _is_unstated(field: Field, fields: list[Field], is_by_words: bool) -> bool:
    names = {*field.path}
    if names & REJECTED:
        return True
    if names & REASONS:
        return any({*other.path} & ANSWERS for other in fields)
    if names & SUPPORTING:
        return len(fields) > 1
    is_a_candidate = bool(field.path) and field.path[-1] not in ANSWERS
    return is_by_words and is_a_candidate and field.value.casefold() in NO_VALUES


def _unlikely(fields: list[Field]) -> list[tuple[int, int]]:
    """Spans of the class probabilities other than the highest, and of its number; none if these are no probabilities."""
    values = [_share(field.value) for field in fields]
    shares = [value for value in values if value is not None]
    if len(shares) < 2 or len(shares) < len(fields) or not SHARE_SUMS[0] <= sum(shares) <= SHARE_SUMS[1]:
        return []
    if {field.path[-1] if field.path else "" for field in fields} & {"start", "end", "starttime", "endtime", "x", "y", "x1", "y1"}:
        return []
    highest = max(shares)
    is_single = shares.count(highest) == 1
    return [
        (field.key_end if value == highest and is_single else field.start, field.end)
        for field, value in zip(fields, shares, strict=True)
    ]


def _outranked(fields: list[Field]) -> list[tuple[int, int]]:
    """Spans of the candidates whose score, the field behind each, is lower than another's: [{"label": ..., "score": ...}, ...]."""
    scores = [
        (i, share) for i, field in enumerate(fields) if {*field.path} & RANKING and (share := _share(field.value)) is not None
    ]
    if len(scores) < 2:
        return []
    highest, first, spans = max(share for _, share in scores), 0, []
    for i, share in scores:
        if share < highest:
            spans.append((fields[first].start, fields[i].end))
        first = i + 1
    return spans


def _share(value: str) -> float | None:
    """0.4 of "0.4" and of "40 %"; None for what is no share."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*(%?)", value)
    if not match:
        return None
    share = float(match[1]) / (100 if match[2] else 1)
    return share if share <= 1 else None
