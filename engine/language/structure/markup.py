"""Tags around reasoning and answer, \\boxed{}, and text that is struck out."""

import re
from collections.abc import Iterable

_REASONING = "think|thinking|thought|thoughts|reasoning|reason|rationale|analysis|scratchpad|summary|caption|observation"
_ANSWER = "answer|final_answer|final answer|conclusion|final"
_REASONING_END = re.compile(rf"</(?:{_REASONING})>", re.IGNORECASE)
_REASONING_START = re.compile(rf"<(?:{_REASONING})>", re.IGNORECASE)
_ANSWER_START = re.compile(rf"<({_ANSWER})>", re.IGNORECASE)
_STRUCK = re.compile(
    r"~~(?=\S)[^\n]{1,400}?~~|<(s|del|strike)>[^<\n]{0,400}</\1>|\\(?:sout|st|cancel)\{[^{}\n]{0,400}\}", re.IGNORECASE
)
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
_LATEX = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|operatorname)\s*\{|[{}$]")
LONGEST_BOXED = 2000
"""Characters in which a box must close."""


def blanks(text: str, start: int, end: int) -> str:
    """The text with blanks from start to end; line ends stay, because they separate statements.

    >>> blanks("one two three", 4, 7)
    'one     three'
    """
    return text[:start] + re.sub(r"[^\n]", " ", text[start:end]) + text[end:]


def without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with blanks in place of all spans, in one pass: spans may overlap."""
    pieces, end = [], 0
    for first, last in sorted(spans):
        if last > end:
            pieces += [text[end : max(first, end)], re.sub(r"[^\n]", " ", text[max(first, end) : last])]
            end = last
    return "".join([*pieces, text[end:]])


def only(text: str, start: int, end: int) -> str:
    """The text with blanks outside start to end."""
    return blanks(blanks(text, 0, start), end, len(text))


def answer_part(text: str) -> str:
    """The part that tags or a box declare the answer, else what stands behind the reasoning, else the text.

    >>> answer_part("<think>Is it B?</think><answer>C</answer>").split(), answer_part("It moves.</think> C").split()
    (['C'], ['C'])
    >>> answer_part("So it is $\\\\boxed{\\\\text{(C) a dive}}$, surely.").split()
    ['(C)', 'a', 'dive']
    """
    if "<" not in text:
        return _boxed_part(text)
    if answers := list(_ANSWER_START.finditer(text)):
        start = answers[-1].end()
        end = text.lower().find(f"</{answers[-1][1].lower()}", start)
        text = only(text, start, end if end >= 0 else len(text))
    elif ends := list(_REASONING_END.finditer(text)):
        text = only(text, ends[-1].end(), len(text))
    if reasoning := _REASONING_START.search(text):
        text = blanks(text, reasoning.start(), len(text))
    return _boxed_part(text)


def _boxed_part(text: str) -> str:
    """The contents of the last \\boxed{}; the text without one, or if it does not close."""
    if "\\" not in text or not (boxes := list(_BOXED.finditer(text))):
        return text
    start, depth = boxes[-1].end(), 1
    for i in range(start, min(len(text), start + LONGEST_BOXED)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if not depth:
            return only(_LATEX.sub(lambda mark: " " * len(mark[0]), text), start, i)
    return text


def without_struck(text: str) -> str:
    """
    >>> without_struck("~~He swims.~~ He dives.").split()
    ['He', 'dives.']
    """
    if "~~" not in text and "</" not in text and "\\" not in text:
        return text
    return _STRUCK.sub(lambda struck: " " * len(struck[0]), text)
