"""Phrases that say how a text is to be read: its answer follows, what stands before them is wrong, or what follows is printed."""

from collections.abc import Collection

import regex

from engine.language.words import phrases

_CUE_WORDS = frozenset("answer answers label prediction conclusion".split())
_CUE = phrases(
    r"(?:\b(?:answers?|prediction|conclusion)\b[*_]*\s*(?:(?:is|would be|must be|should be|was)\b\s*[:=]?|[:=]|[-–—]\s)"
    r"|\blabel[*_]*\s*[:=])[\s*_\"'“]*"
)
"""Phrases that announce the final answer."""
_CLASS_NOUNS = frozenset("action activity class category label".split())
_NAMED = phrases(
    r"(?<!\b(?:first|second|third|next|last|another|other|one|initial|previous) )\b(?:action|activity|class|category|label)\b"
    r"(?: (?:(?:that|which) (?:is|are|was|best|most) )?(?!is\b|was\b|are\b|in which\b|of\b)[\w'-]+){0,6}?[*_]*\s*"
    r"(?:\b(?:is|would be|must be|should be|can be described as)\b"
    r"(?: (?:most|likely|probably|clearly|therefore|thus|best|described as|that of))*\s*:?|:|=)[\s*_]*"
    r"(?=(?:the |a )?[\"'“]|\w+ing\b)(?!(?:taking place|happening|occurring|being|going)\b)(?:the |a )?[\"'“]*"
)
"""Phrases that name the action: "the action shown is walking". Other words than a quotation or an -ing form describe it."""
_CORRECTION = phrases(
    r"\b(?:(?:oh,? )?wait\b(?:,? (?:no|actually|that(?:'s| is) (?:not right|wrong)))?|correction"
    r"|on second thoughts?|no,? actually|actually,? no)\s*[,.:;!—-]\s*"
    r"|(?<=^|\n|[.!?]\s+)\**(?:edit|update|corrected)\**\s*:\s*"
    r"|(?<=[.!;…—–]\s*)(?:sorry|oops|h[oa](?:ld|ng) on)\s*[,.:;!—-]\s*"
    r"|(?<=[,.!;…—–]\s*)(?:i meant?|or rather|(?:or )?(?:more|to be) (?:precise|exact|accurate)(?:ly)?"
    r"|make (?:that|it))\b,?\s*(?!that\b|by\b)"
    r"|(?<=[.!?]\s+)(?:(?:well,? )?actually|(?:but )?(?:up)?on (?:a )?(?:(?:closer|second|further) (?:look|inspection|glance)"
    r"|reflection)|looking (?:more )?(?:close(?:r|ly)|carefully|again)"
    r"|(?<!(?:\b(?:not|no|never|nobody)|n['’]t)\b[^.!?]*[.!?]\s+)rather(?=,)),?\s+"
    r"(?=(?:(?:he|she|it|this|they|the \w+) (?:is|was|are)|(?:it|he|she|this|that|they)['’](?:s|re))\b"
    r"(?! (?:also|still|wearing|holding|carrying)\b))"
)
_CORRECTION_WORDS = frozenset(
    "wait hold hang correction second further reflection actually close closer closely carefully again sorry oops mean meant "
    "rather precise precisely exact exactly accurate accurately make edit update corrected".split()
)
_SPOKEN = phrases(
    r"[^\"”]*[\"”],? (?:(?:the|a|an|his|her|their|one|another) )?(?:[\w-]+ ){0,2}?"
    r"(?:says|said|shouts|shouted|tells|told|asks|asked|explains|explained|yells|yelled|whispers|replies|replied|announces)\b"
)
"""The rest of a quotation before somebody who says it."""
_QUOTES = frozenset("\"“'‘")
_PRINTED = regex.compile(
    r"\b(?:reads?|reading|says|saying|words?|titled?|printed|written|logo|sign|caption|banner|poster|headline|subtitles?"
    r"|shouts|whispers|yells|asks)\s*[:,]?\s*(?:[\"“][^\"”]*|['‘][^'’]*)$",
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


def named_class_start(text: str, words: Collection[str]) -> int:
    """The offset behind the last "the action is" or the like before the name of a class; 0 without one.

    >>> text = "He lifts it. The action shown is lifting weights."
    >>> named_class_start(text, text.lower().split()), named_class_start("The action is slow.", ("the", "action", "is", "slow"))
    (33, 0)
    """
    if _CLASS_NOUNS.isdisjoint(words):
        return 0
    return max((match.end() for match in _NAMED.finditer(text)), default=0)


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
    return not _QUOTES.isdisjoint(text_before) and bool(_PRINTED.search(text_before))


def is_spoken(text_before: str, text_behind: str) -> bool:
    """Whether a place in a text is within direct speech.

    >>> is_spoken('"I love ', 'diving," the man says.'), is_spoken('The label is "', 'diving". The man says so.')
    (True, False)
    """
    return ('"' in text_before or "“" in text_before) and bool(_SPOKEN.match(text_behind)) and _opens_quotation(text_before)


def _opens_quotation(text: str) -> bool:
    return text.count('"') % 2 == 1 or text.rfind("“") > text.rfind("”")
