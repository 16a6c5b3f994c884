"""Candidates that a text goes through with a yes or no, a tick or a share each: tables, lists, "diving: 92 %, swimming: 8 %"."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from engine.language.structure.markup import without

_YES = r"yes|true|correct|right|present|accepted|selected|chosen|confirmed|match(?:es)?|✓|✔|✅|☑|🗸|\[x\]"
_NO = (
    r"no|not|false|incorrect|wrong|absent|rejected|excluded|eliminated|dismissed|refuted|ruled\s+out|no\s+match"
    r"|not\s+(?:present|shown|visible)|✗|✘|❌|✕|✖|☒|×|\[\s*\]"
)
_MARK = rf"(?P<no>{_NO})|(?P<yes>{_YES})"
_JOINT = r"\s*(?:[:=|]|\((?=[^(),;:\n]{1,20}\))|->|→|=>|[–—]|\s-)\s*(?:this\s+is\s+|it\s+is\s+|that\s+is\s+|is\s+)?"
_END = r"(?=\s*(?:$|[.,;:!()|–—]|-\s|\s-|because\b|since\b|as\b))"
_MARKED = re.compile(
    rf"(?:^\W{{0,6}}|(?<=[,;])\s+)(?P<name>(?:[A-H][).:]\s*)?[^:=|→–—\n]{{1,90}}?){_JOINT}[*_`\s]*(?:{_MARK})(?:(?<=\w)\b|(?<=\W))[*_`]*{_END}",
    re.IGNORECASE,
)
"""A name, then a mark, then perhaps a reason: "- (A) He runs: incorrect, he stands."."""
_JOINED = re.compile(r"[:=|→–—(]|->|\s-")
"""What every joint between a name and its mark holds."""
_LISTED = re.compile(r"\s*(?:[-*•|(]|\d+[.)]|[A-H][).:]|option\b)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.;!]\s")
_ACTION_LINE = re.compile(r"^\W{0,6}(?:\w+\s+)?(?:action|activity|event|answer|label)\W{0,3}[:：]", re.IGNORECASE | re.MULTILINE)
_CONTEXT_LINE = re.compile(
    r"^\W{0,6}(?:location|setting|place|background|environment|objects?)\W{0,3}[:：].*$", re.IGNORECASE | re.MULTILINE
)
_BOX_LINE = re.compile(r"^\s*+(?:(?:[-*•]|\d+[.)])\s*+)?\[\s*(?P<tick>[xX✓✔]?)\s*\]\s*(?P<name>\S.*)$")
_TICKED = re.compile(r"(?P<name>[^\n,;✓✔✅☑✗✘❌✕✖☒]{1,60}?)\s*[:=(-]?\s*(?:(?P<yes>[✓✔✅☑])|(?P<no>[✗✘❌✕✖☒]))")
_SHARED = re.compile(
    r"(?P<name>(?:P\()?[^\W\d][^\n,;.:=()%|]{0,60}?\)?)(?:\s*(?:[:=(|]|->|→|[–—])\s*|\s+)"
    r"(?P<kind>(?:confidence|probability|prob|likelihood|certainty|score)\s*[:=]?\s*)?(?:about\s+|~\s*)?"
    r"(?P<value>\d{1,3}(?:\.\d+)?\s*%|[01]?\.\d+|[01])\)?(?=\s*(?:$|[,;.|)]|and\b|\n))",
    re.MULTILINE,
)
_ANNOUNCING = re.compile(
    r"\b(?:answers?|prediction|conclusion|question|result|confidence|verdict|is|are|does|do|did)\b", re.IGNORECASE
)
"""Words in a name that make it no candidate: "The answer: no", "Does he jump: yes"."""
MAX_NAME_WORDS = 12
SHARE_SUMS = (0.8, 1.2)


class Candidate(NamedTuple):
    """One candidate and its mark: Candidate(start=0, end=11, keep=False). `start` and `end`: of all that is about it."""

    start: int
    end: int
    keep: bool


def without_rejected(text: str) -> str:
    """The text with blanks in place of the candidates that it marks as wrong, or gives less than the highest share.

    >>> without_rejected("- running: no\\n- diving: yes").split()
    ['-', 'diving:', 'yes']
    >>> without_rejected("diving: 8%, swimming: 92%").split()
    [',', 'swimming:', '92%']
    >>> without_rejected("diving (confidence: 0.1), swimming (confidence: 0.7)").split()
    [',', 'swimming', '(confidence:', '0.7)']
    >>> without_rejected("A: diving (incorrect)\\nB: swimming (correct)").split()
    ['B:', 'swimming', '(correct)']
    >>> without_rejected("| running | ✗ |\\n| diving | ✓ |").split()
    ['|', 'diving', '|', '✓', '|']
    """
    candidates = [*_context_lines(text), *_marked_lines(text), *_ticked(text), *_shares(text)]
    return without(text, [(candidate.start, candidate.end) for candidate in candidates if not candidate.keep])


def _context_lines(text: str) -> Iterator[Candidate]:
    """Lines like "Location: bowling alley", where another line names the action."""
    if (":" in text or "：" in text) and _ACTION_LINE.search(text):
        for match in _CONTEXT_LINE.finditer(text):
            yield Candidate(*match.span(), keep=False)


def _marked_lines(text: str) -> Iterator[Candidate]:
    """List items, table rows and sentences that say yes or no behind a candidate."""
    if not _JOINED.search(text) and "[" not in text:
        return
    is_list, start = "\n" in text, 0
    for line in text.split("\n"):
        if box := _BOX_LINE.match(line):
            yield Candidate(start, start + len(line), keep=bool(box["tick"]))
        else:
            ends = [] if is_list and _LISTED.match(line) else [match.end() for match in _SENTENCE_END.finditer(line)]
            for first, end in pairwise([0, *ends, len(line)]):
                yield from _marked_in(line[first:end], start + first)
        start += len(line) + 1


def _marked_in(statement: str, offset: int) -> Iterator[Candidate]:
    """`offset`: of the statement in the text. Behind a mark its reasons follow, up to the next candidate."""
    if not _JOINED.search(statement):
        return
    matches = [match for match in _MARKED.finditer(statement) if _is_candidate(match["name"])]
    ends = [*(match.start() for match in matches[1:]), len(statement)]
    for match, end in zip(matches, ends, strict=False):
        yield Candidate(offset + match.start(), offset + end, keep=bool(match["yes"]))


def _ticked(text: str) -> Iterator[Candidate]:
    """Candidates of a line with a tick or a cross behind each: "swimming ✔, diving ✘"."""
    for match in _TICKED.finditer(text) if re.search(r"[✗✘❌✕✖☒]", text) else ():
        yield Candidate(*match.span(), keep=bool(match["yes"]))


def _shares(text: str) -> list[Candidate]:
    """Candidates with a share each that sum up to about one, or that is called a confidence or score."""
    matches = list(_SHARED.finditer(text)) if re.search(r"%|\d\.\d", text) else []
    values = [float(m["value"].rstrip("% ")) / (100 if "%" in m["value"] else 1) for m in matches]
    is_sum = SHARE_SUMS[0] <= sum(values) <= SHARE_SUMS[1]
    if len(matches) < 2 or not (is_sum or all(match["kind"] for match in matches)):
        return []
    highest = max(values)
    is_single = values.count(highest) == 1
    return [Candidate(*match.span(), keep=is_single and value == highest) for match, value in zip(matches, values, strict=True)]


def _is_candidate(name: str) -> bool:
    return len(name.split()) <= MAX_NAME_WORDS and any(map(str.isalnum, name)) and not _is_announcement(name)


def _is_announcement(name: str) -> bool:
    return bool(_ANNOUNCING.search(name)) and not re.match(r"\W*(?:option|choice)?\s*[A-H]\b[).:]?", name)
