"""Phrases that say how a text is to be read: its answer follows, what stands before them is wrong, or what follows is printed."""

from collections.abc import Collection

import regex

_CUE_WORDS = frozenset("answer answers label prediction conclusion".split())
_CUE = regex.compile(
    r"(?:\b(?:answers?|prediction|conclusion)\b[*_]*\s*(?:(?:is|would be|must be|should be|was)\b\s*[:=]?|[:=]|[-–—]\s)"
    r"|\blabel[*_]*\s*[:=])[\s*_\"'“]*",
    regex.IGNORECASE,
)
"""Phrases that announce the final answer."""
_CORRECTION = regex.compile(
    r"\b(?:(?:oh,? )?wait\b(?:,? (?:no|actually|that(?:'s| is) (?:not right|wrong)))?|correction"
    r"|on second thoughts?|no,? actually|actually,? no)\s*[,.:;!—-]\s*"
    r"|(?<=[.!;…—–]\s*)(?:sorry|oops|h[oa](?:ld|ng) on)\s*[,.:;!—-]\s*"
    r"|(?<=[,.!;…—–]\s*)(?:i meant?|or rather)\b,?\s*(?!that\b|by\b)"
    r"|(?<=[.!?]\s+)(?:(?:well,? )?actually|(?:but )?(?:up)?on (?:a )?(?:(?:closer|second|further) (?:look|inspection|glance)"
    r"|reflection)|looking (?:more )?(?:close(?:r|ly)|carefully|again)"
    r"|(?<!(?:\b(?:not|no|never|nobody)|n['’]t)\b[^.!?]*[.!?]\s+)rather(?=,)),?\s+"
    r"(?=(?:(?:he|she|it|this|they|the \w+) (?:is|was|are)|(?:it|he|she|this|that|they)['’](?:s|re))\b"
    r"(?! (?:also|still|wearing|holding|carrying)\b))",
    regex.IGNORECASE,
)
_CORRECTION_WORDS = frozenset(
    "wait hold hang correction second further reflection actually close closer closely carefully again sorry oops mean meant "
    "rather".split()
)
_PRINTED = regex.compile(
    r"\b(?:reads?|reading|says|saying|words?|titled|printed|written|logo|sign|caption|banner|poster)\s*:?\s*(?:[\"“][^\"”]*|['‘][^'’]*)$",
    regex.IGNORECASE,
)


def conclusion_start(text: str, words: Collection[str]) -> int:
    """The offset behind the last "the answer is" or the like; 0 without one. `words`: the words of the text.

    >>> conclusion_start("So the answer is: a jump.", ("so", "the", "answer", "is", "a", "jump"))
    18
    """
    if _CUE_WORDS.isdisjoint(words):
        return 0
    return max((match.end() for match in _CUE.finditer(text)), default=0)


def correction_end(text: str, words: Collection[str]) -> int:
    """The offset behind the text's last self-correction; 0 without one.

    >>> correction_end("He dives. Sorry, he jumps.", ("he", "dives", "sorry", "he", "jumps"))
    17
    """
    if _CORRECTION_WORDS.isdisjoint(words):
        return 0
    return max((match.end() for match in _CORRECTION.finditer(text)), default=0)


def is_printed(text_before: str) -> bool:
    """Whether a text ends within a quotation from a sign, a shirt or another print in the picture.

    >>> is_printed("The sign reads 'no "), is_printed("He says that ")
    (True, False)
    """
    return bool(_PRINTED.search(text_before))
