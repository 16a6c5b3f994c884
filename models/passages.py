"""Texts that are read after prefixes, as tokens: a row for each prefix, with a question that several texts answer only once.

Pure: it imports no torch. models/scoring.py reads such rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tokens:
    """A passage's tokens: Tokens((11, 4), (52, 7), "It rises.", ((0, 2), (2, 9)))."""

    question: tuple[int, ...]
    """Those between the prefix and the text."""
    answer: tuple[int, ...]
    text: str
    """The text as the model reads it."""
    spans: tuple[tuple[int, int], ...]
    """The characters of `text` from which to which each token of the answer was made."""


@dataclass
class Row:
    """What is read after one prefix: its tokens, and where each text's lie."""

    ids: list[int]
    steps: list[int]
    """The place of each token after the prefix, as its own text counts."""
    question: list[int]
    """The number of each token's question."""
    text: list[int]
    """The number of each token's text; 0: it belongs to the question, which all its texts see."""
    starts: dict[int, tuple[int, int]]
    """Passage -> index of its question's last token, and of its text's first one."""


def packed(tokens: Sequence[Tokens], passages: Sequence[int]) -> Row:
    """One row of the passages with these numbers.

    >>> row = packed([Tokens((1, 2), (3, 4), "", ()), Tokens((1, 2), (5,), "", ())], [0, 1])
    >>> row.ids, row.steps, row.text, row.starts
    ([1, 2, 3, 4, 5], [0, 1, 2, 3, 2], [0, 0, 1, 1, 2], {0: (1, 2), 1: (1, 4)})
    """
    row = Row([], [], [], [], {})
    questions = dict.fromkeys(tokens[number].question for number in passages)
    for question_number, question in enumerate(questions):
        _add(row, question, 0, question_number, 0)
        last = len(row.ids) - 1
        for number in passages:
            if tokens[number].question == question:
                row.starts[number] = (last, len(row.ids))
                _add(row, tokens[number].answer, len(question), question_number, len(row.starts))
    return row


def of_few_tokens(tokens: Sequence[Tokens], passages: Sequence[int], limit: int) -> Iterator[list[int]]:
    """The passages, in rows of at most so many tokens; a passage that is longer has a row of its own.

    >>> few = [Tokens((1, 2), (3, 4), "", ()), Tokens((1, 2), (5,), "", ()), Tokens((1,), (6,), "", ())]
    >>> list(of_few_tokens(few, [0, 1, 2], 5)), list(of_few_tokens(few, [0, 1, 2], 1))
    ([[0, 1], [2]], [[0], [1], [2]])
    """
    part, size, questions = list[int](), 0, set[tuple[int, ...]]()
    for number in passages:
        question, answer = tokens[number].question, tokens[number].answer
        more = len(answer) + (0 if question in questions else len(question))
        if part and size + more > limit:
            yield part
            part, size, questions, more = [], 0, set(), len(question) + len(answer)
        part.append(number)
        questions.add(question)
        size += more
    if part:
        yield part


def _add(row: Row, ids: Sequence[int], start: int, question: int, text: int) -> None:
    row.ids += ids
    row.steps += range(start, start + len(ids))
    row.question += [question] * len(ids)
    row.text += [text] * len(ids)
