"""The part of a raw text that it states as its answer."""

from engine.language.structure import fields, marks, markup

LONGEST_CHARS = 6000
"""Characters at the end that are judged, some thousand words: an answer is bounded, and its last word counts. Reasoning in tags
does not count towards them."""


def stated(text: str, is_by_words: bool, is_yes_or_no: bool = False) -> str:
    """The text, of the same length, with blanks in place of its reasoning, struck words, rejected candidates and the like.

    `is_by_words`: the answer is a text or an option, so that a mark or a number beside a candidate says whether it is chosen.
    `is_yes_or_no`: the answer is a yes or no, which is then no mark.

    >>> stated("<think>A dive?</think> ~~dive~~ jump", is_by_words=True).split()
    ['jump']
    """
    part = markup.answer_part(text)
    start, end = _recent(part)
    body = markup.without_struck(part[start:end])
    if "{" in body or "[" in body:
        body = fields.without_unstated(body, is_by_words)
    if is_by_words and not is_yes_or_no:
        body = marks.without_rejected(body)
    return " " * start + body + " " * (len(text) - end)


def _recent(text: str) -> tuple[int, int]:
    """The span of the last LONGEST_CHARS characters, without blanks around them; it begins with a whole word."""
    end = len(text.rstrip())
    start = len(text) - len(text.lstrip())
    if end - start > LONGEST_CHARS:
        cut = end - LONGEST_CHARS
        start = next((i for i in range(cut, min(end, cut + 100)) if text[i].isspace()), cut)
    return min(start, end), end
