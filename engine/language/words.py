"""The words of a text in any script, and whether two English words are forms of the same word."""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

import regex
import simplemma

from engine.language.vocabulary import DIGITS, PAST

ENGLISH = "en"
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Scripts without spaces between words: each letter is a word here, and a label's letters must stand side by side."""
_WORD = regex.compile(
    r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\p{L}\p{N}])|\d+\.\d+(?![\p{L}\p{N}])"
    rf"|[{_UNSPACED}]\p{{M}}*|[[\p{{L}}\p{{N}}\p{{M}}]--[{_UNSPACED}]]+(?:['’][[\p{{L}}\p{{N}}\p{{M}}]--[{_UNSPACED}]]+)*",
    regex.VERSION1,
)
_ASCII_WORD = re.compile(
    r"[A-Za-z][A-Za-z\d]*(?:'[A-Za-z\d]+)*|\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![A-Za-z\d])|\d+\.\d+(?![A-Za-z\d])"
    r"|\d[A-Za-z\d]*(?:'[A-Za-z\d]+)*",
    re.ASCII,
)
"""Finds the same words as _WORD in ASCII text, in a third of the time."""
_IS_UNSPACED = regex.compile(f"[{_UNSPACED}]", regex.VERSION1)
_VOWELS = frozenset("aeiou")
_DOUBLED = re.compile(r"(?:^|[^aeiouy]*qu|[^aeiouy]+)[aeiouy][^aeiouwxy]{2}$")
"""A stem of one syllable with a single vowel, whose last letter is doubled by rule (stopp, quitt)."""
_TRIPLE = re.compile(r"(.)\1\1")


@lru_cache(maxsize=1 << 17)
def fold(word: str) -> str:
    """The word without case and Unicode variants; a number in its shortest decimal form.

    >>> fold("Ｙｏｇａ"), fold("ΣΊΣΥΦΟΣ") == fold("σίσυφος"), fold("3.50"), fold("1,000")
    ('yoga', True, '3.5', '1000')
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", word).casefold()).replace("’", "'")
    if folded[0].isdigit() and ("." in folded or "," in folded):
        number = folded.replace(",", "")
        return number.rstrip("0").rstrip(".") if "." in number else number
    return folded


def word_pattern(text: str) -> "re.Pattern[str] | regex.Pattern[str]":
    return _ASCII_WORD if text.isascii() else _WORD


def words(text: str) -> tuple[str, ...]:
    """
    >>> words("It isn't diving: sky-diving, naïve! 3.50 跑步")
    ('it', "isn't", 'diving', 'sky', 'diving', 'naïve', '3.5', '跑', '步')
    """
    if text.isascii():  # only numbers are not folded by lower()
        return tuple([fold(word) if word[0] <= "9" else word for word in unfolded_words(text)])
    return tuple([fold(word) for word in unfolded_words(text)])


def phrases(pattern: str) -> "regex.Pattern[str]":
    """A pattern of phrases, compiled without regard to case. A space in it is any white space: texts are wrapped and spaced anyhow.

    >>> bool(phrases(r"hold on,").search("Hold  on, he runs."))
    True
    """
    return regex.compile(pattern.replace(" ", r"\s+"), regex.IGNORECASE)


def unfolded_words(text: str) -> list[str]:
    """The words before each is folded, for those who fold a word only once."""
    return _ASCII_WORD.findall(text.lower()) if text.isascii() else _WORD.findall(text)


label_words = lru_cache(maxsize=1 << 16)(words)
"""`words` with a cache, for labels and questions: the same texts are parsed for every clip of a class."""


def is_hangul(word: str) -> bool:
    """Whether the word is Korean, where particles follow the noun without a space."""
    return "\uac00" <= word[0] <= "\ud7a3"


def is_unspaced(word: str) -> bool:
    return bool(_IS_UNSPACED.match(word))


@lru_cache(maxsize=1 << 17)
def lemmas(word: str, language: str = ENGLISH) -> frozenset[str]:
    """All base forms that the word may have, itself included; two words are forms of the same word if these sets overlap.

    In another language than English, which is one of simplemma's, its dictionary form is added.

    simplemma knows one reading of each word, so regular endings are stripped as well.

    >>> sorted(lemmas("running") & lemmas("runs")), lemmas("diving") & lemmas("driving"), lemmas("hoping") & lemmas("hopping")
    (['run'], frozenset(), frozenset())
    >>> bool(lemmas("dove") & lemmas("diving")), bool(lemmas("paragliding") & lemmas("paraglides")), lemmas("sing") & lemmas("s")
    (True, True, frozenset())

    >>> lemmas("schneidet", "de") & lemmas("schneiden", "de")
    frozenset({'schneiden'})

    A doubled letter that the spelling does not ask for makes another word:

    >>> [lemmas(a) & lemmas(b) for a, b in (("runnning", "running"), ("bobbbing", "bobs"), ("jumpped", "jump"))]
    [frozenset(), frozenset(), frozenset()]
    """
    word = word.removesuffix("'s")
    if language != ENGLISH:
        return lemmas(word) | {simplemma.lemmatize(word, lang=language).casefold()}
    if _TRIPLE.search(word):  # no English word has it
        return frozenset((word,))
    dictionary_form = simplemma.lemmatize(word, lang="en")
    forms = {word, dictionary_form.casefold(), PAST.get(word, word)}
    if word in DIGITS:
        forms.add(str(DIGITS.index(word)))
    forms |= set(_without_ending(word))
    return frozenset(forms)


def _without_ending(word: str) -> Iterator[str]:
    if word.endswith("ing"):
        yield from _stems(word[:-3], word)
    elif word.endswith("ied") or (word.endswith("ies") and len(word) > 4):
        yield word[:-3] + "y"
    elif word.endswith("ed"):
        yield from _stems(word[:-2], word)
    elif word.endswith(("ches", "shes", "sses", "xes", "zes")):
        yield word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        yield word[:-1]


def _stems(base: str, word: str) -> Iterator[str]:
    """Stems to which -ing or -ed may have been added: "hoping" comes from hope and not from hop, which doubles its last letter.

    Longer stems double it only where they are stressed at the end: the dictionary has beginning, and no openning.
    """
    if len(base) < 2 or not _VOWELS & {*base, *("u" if "y" in base else "")}:
        return
    doubled = base[-1] == base[-2] and base[-1] not in _VOWELS
    short = len(base) >= 3 and base[-1] not in {*_VOWELS, *"wxy"} and base[-2] in _VOWELS and base[-3] not in _VOWELS
    if doubled:
        yield base
        if _DOUBLED.match(base) or (base.endswith("ll") and base[-3] in _VOWELS) or simplemma.is_known(word, lang="en"):
            yield base[:-1]
        return
    yield base + "e"
    if not (short and sum(letter in _VOWELS for letter in base) == 1):
        yield base


def same_word(a: str, b: str, language: str = ENGLISH) -> bool:
    """Whether two folded words are forms of the same word."""
    return a == b or not lemmas(a, language).isdisjoint(lemmas(b, language))


def refuse_unknown_language(language: str) -> None:
    """Raises ValueError for a language whose words simplemma does not know."""
    try:
        simplemma.lemmatize("a", lang=language)
    except ValueError:
        raise ValueError(
            f"verify.language {language!r} is none that simplemma knows; write a code like de, es, fr, ru or ar"
        ) from None
