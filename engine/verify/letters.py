"""Where a text names options by their letters, and which of them it affirms, denies or leaves open.

`letters`: the options' letters, folded. Letters may be words or digits: a key is what the label writes.
"""

from collections.abc import Collection

import regex

from engine.language.answer import Answer
from engine.language.hedges import EXCEPTING, rejects
from engine.language.negation import CONCEDING
from engine.language.negators import denies
from engine.language.retraction import AUXILIARIES, dismissed_after, is_alternative
from engine.language.scope import CLAUSE_STARTS, DENIED, OPEN

_AFTER_KEY = regex.compile(r"\s*[).:\]]")
_LETTER_CUES = frozenset("option choice letter answer caption sentence is it's".split())
_ARTICLES = frozenset("a i".split())
_BECAUSE = frozenset("because since as which for so and".split())
_BESIDE = frozenset("or and maybe perhaps possibly both either neither nor not over than but".split())
"""Words before an "A" or "I" at a phrase's end that make it a letter."""
COMPARING = frozenset("than beats".split())
"""Words before the letter that another one is preferred to."""
AFFIRMING = frozenset("correct right best better true accurate appropriate fits fit matches match suits it".split())
"""Words behind a letter that choose it, unless they are denied: "B is the better choice", "so B it is"."""
TEMPTING = frozenset("tempting close plausible eliminated dismissed out".split())
"""Words behind a letter and a form of "be" that reject it."""
PREDICATE_WORDS = 8


def letter_positions(answer: Answer, letters: Collection[str], is_announced: bool) -> dict[str, list[int]]:
    """Letter -> the positions at which the text names its option."""
    positions: dict[str, list[int]] = {}
    for i, word in enumerate(answer.words):
        if word in letters and is_letter(answer, i, letters, is_announced):
            positions.setdefault(word, []).append(i)
    return positions


def is_letter(answer: Answer, i: int, letters: Collection[str], is_announced: bool) -> bool:
    """Whether the word at position i is an option's letter and not the article, a pronoun, a count or a part of a word."""
    if len(answer.words) == 1:
        return True
    if len(answer.hyphenated_with(i)) > 1:
        return False
    start, end = answer.word_spans[i]
    is_marked = bool(_AFTER_KEY.match(answer.text, end)) or answer.text[max(0, start - 1) : start] in ("(", "[", "*", '"', "'")
    before = answer.words[i - 1] if i else ""
    if before in ("option", "options", "choice", "choices", "letter") or is_marked:
        return True
    if answer.words[i] in _ARTICLES:
        return _is_no_article(answer, i, letters, is_announced)
    if len(answer.words[i]) > 1 or answer.words[i].isdigit():
        return before in _LETTER_CUES or (is_announced and i == 0)
    return True


def _is_no_article(answer: Answer, i: int, letters: Collection[str], is_announced: bool) -> bool:
    """Whether an unmarked "A" or "I" is a letter: it ends a phrase, or a verb follows it."""
    following, before = answer.words[i + 1 : i + 3], answer.words[i - 1] if i else ""
    is_capital = answer.text[answer.word_spans[i][0]].isupper() and answer.words[i] == "a"
    if is_capital and answer.sentence_of(i) == (i, i + 1):
        return True  # "A? No."
    if following and (following[0] in AUXILIARIES or following[0] in AFFIRMING or following[0].endswith("n't")):
        return is_capital
    ends_phrase = (
        not following
        or (is_capital and answer.gap_before(i + 1).strip() in (",", ".", ";"))
        or following[0] in _BECAUSE
        or following[0] in letters
        or (following[0] in ("or", "nor", "and") and following[-1] in letters)
    )
    return ends_phrase and (i == 0 or before in _LETTER_CUES or is_announced or (is_capital and before in _BESIDE))


def chosen_letters(answer: Answer, letters: Collection[str], positions: dict[str, list[int]]) -> set[str]:
    """The letters that the text affirms; if it affirms none, those that it asserts; else the one that it alone does not reject.

    The last mention of a letter decides, and the last affirmed letter behind a "but".
    """
    last = {letter: occurrences[-1] for letter, occurrences in positions.items()}
    asserted = {letter for letter, i in last.items() if _is_asserted(answer, i, letters)}
    asserted = {letter for letter in asserted if not _is_conceded(answer, last[letter])} or asserted
    affirmed = sorted((last[letter], letter) for letter in asserted if _is_affirmed(answer, last[letter]))
    if affirmed:
        (first, _), (end, letter) = affirmed[0], affirmed[-1]
        is_contrast = not CLAUSE_STARTS.isdisjoint(answer.words[first:end])
        return {letter} if is_contrast or len(affirmed) == 1 else {letter for _, letter in affirmed}
    left = set(letters) - set(last)
    are_rejected = all(_stance(answer, i) == DENIED or _is_dismissed(answer, i, letters) for i in last.values())
    return left if not asserted and last and len(left) == 1 and are_rejected else asserted


def _is_asserted(answer: Answer, i: int, letters: Collection[str]) -> bool:
    """Whether the letter at position i is neither denied nor left open, nor dismissed behind a list of letters."""
    first, end = answer.sentence_of(i)
    before = [word for word in answer.words[max(first, i - 3) : i] if word not in ("option", "choice", "for")]
    if before and before[-1] in COMPARING:
        return False
    if before and before[-1] in EXCEPTING:  # "everything except B is wrong"
        return rejects(answer.words[first:end])
    if is_alternative(answer.words[first:end], answer.breaks(first, end), i - first, i - first):
        return False
    is_supposed = "if" in answer.words[first:i] and "would" in answer.words[i + 1 : min(end, i + 3)]
    return _stance(answer, i) not in (DENIED, OPEN) and not is_supposed and not _is_dismissed(answer, i, letters)


def _is_conceded(answer: Answer, i: int) -> bool:
    """Whether the letter at position i stands in an "although ..." at the sentence's start, whose main clause follows a comma."""
    first, end = answer.sentence_of(i)
    comma = next((j for j in range(first + 1, end) if "," in answer.gap_before(j)), 0)
    return answer.words[first] in CONCEDING and i < comma


def _stance(answer: Answer, i: int) -> int:
    return answer.stances[i]


def _is_dismissed(answer: Answer, i: int, letters: Collection[str]) -> bool:
    """Whether the words behind the list of letters that the letter at position i is in reject it."""
    first, end = answer.sentence_of(i)
    skipped = {*letters, "and", "or", "both"}
    list_end = next((j for j in range(i + 1, end) if answer.words[j] not in skipped), end)
    behind = answer.words[list_end : min(end, list_end + 3)]
    is_tempting = bool(behind) and behind[0] in AUXILIARIES and not TEMPTING.isdisjoint(behind)
    return is_tempting or dismissed_after(answer.words[first:end], list_end - first)


def _is_affirmed(answer: Answer, i: int) -> bool:
    """Whether words before the letter ("it is B") or behind it, in its clause, choose it."""
    if answer.words[max(0, i - 2) : i] == ("it", "is") or answer.words[i - 1] in ("it's", "answer"):
        return True
    _, end = answer.sentence_of(i)
    for j in range(i + 1, min(end, i + 1 + PREDICATE_WORDS)):
        word = answer.words[j]
        if word in CLAUSE_STARTS or denies(word) or set(answer.gap_before(j)) & set(",;:\n("):
            return False
        if word in AFFIRMING:
            return word != "it" or answer.words[j + 1 : j + 2] == ("is",)
    return False
