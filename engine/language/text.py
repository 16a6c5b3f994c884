"""An answer as the verifiers see it: words with their places, sentences, what "it" stands for, where it says what its answer is."""

from bisect import bisect_left, bisect_right
from functools import cached_property
from itertools import pairwise

import regex

from engine.language.negation import stances
from engine.language.vocabulary import ARTICLES, NOUN_BEFORE, NOUNS, PLACES, PRONOUNS, THING_ENDS
from engine.language.words import is_hangul, is_unspaced, lemmas, same_word, word_pattern, words

_SENTENCE_END = regex.compile(r"[.!?;][\"'”’)\]*_]*\s|[。！？]|\n\s*\n|\n\s*[-*•]")
_BREAK = regex.compile(r"[,:;.!?()\[\]—–|/•。！？、，]|\s-+\s|-{2,}")
_CUE_WORDS = frozenset("answer answers label prediction conclusion".split())
_CUE = regex.compile(
    r"(?:\b(?:answers?|prediction|conclusion)\b[*_]*\s*(?:(?:is|would be|must be|should be|was)\b\s*[:=]?|[:=]|[-–—]\s)"
    r"|\blabel[*_]*\s*[:=])[\s*_\"'“]*",
    regex.IGNORECASE,
)
"""What an answer announces itself with."""
_CORRECTION = regex.compile(
    r"\b(?:(?:oh,? )?wait\b(?:,? (?:no|actually|that(?:'s| is) (?:not right|wrong)))?|scratch that|correction"
    r"|on second thoughts?|i was wrong|i (?:made|have made) a mistake|no,? actually|actually,? no"
    r"|let me (?:correct|revise|rethink)(?: (?:that|this|myself|my answer))?)\s*[,.:;!—-]\s*",
    regex.IGNORECASE,
)
_CORRECTION_WORDS = frozenset("wait scratch correction second wrong mistake correct revise rethink actually".split())
_PRINTED = regex.compile(
    r"\b(?:reads?|reading|says|saying|words?|titled|printed|written|logo|sign|caption|banner|poster)\s*:?\s*(?:[\"“][^\"”]*|['‘][^'’]*)$",
    regex.IGNORECASE,
)
_ABBREVIATIONS = frozenset("e g i vs mr mrs ms dr st approx ca cf".split())


class Said:
    """A text with its words; places are worked out when somebody asks."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.words = words(text)

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """Start and end of each word in the text."""
        return [match.span() for match in word_pattern(self.text).finditer(self.text)]

    @cached_property
    def marks(self) -> bytearray:
        """For each word whether it is asserted, denied or left open (engine/language/negation.py)."""
        found = bytearray()
        for first, end in self.sentences:
            found += stances(self.words[first:end], self.breaks(first, end))
        return found

    def sentence_of(self, i: int) -> tuple[int, int]:
        """The sentence that word i stands in: its first word, and the one after its last."""
        return self.sentences[bisect_right(self.sentences, (i, len(self.words))) - 1]

    def word_from(self, place: int) -> int:
        """The first word that begins at a place of the text or after it."""
        return bisect_left(self._starts, place)

    def gap(self, i: int) -> str:
        """What stands before word i, after the one before it."""
        return self.text[self.spans[i - 1][1] if i else 0 : self.spans[i][0]]

    def stretch(self, first: int, last: int) -> str:
        """The text from word `first` to word `last`, both included."""
        return self.text[self.spans[first][0] : self.spans[last][1]]

    @cached_property
    def _starts(self) -> list[int]:
        return [start for start, _ in self.spans]

    @cached_property
    def _forms(self) -> list[tuple[str, frozenset[str]]]:
        return [(word, lemmas(word)) for word in set(self.words)]

    def places(self, word: str) -> list[int]:
        """Which words are forms of a folded word; a noun that looks like a past form ("the ground") is of none."""
        wish = lemmas(word)
        said = {one for one, forms in self._forms if not wish.isdisjoint(forms) or (is_hangul(word) and one.startswith(word))}
        if not said:
            return []
        found = [i for i, one in enumerate(self.words) if one in said]
        if "saw" in said and "see" not in wish:
            found = [i for i in found if not self._is_sight(i)]
        return found if NOUNS.isdisjoint(said) else [i for i in found if self.words[i] == word or not self._is_noun(i)]

    def _is_noun(self, i: int) -> bool:
        return i > 0 and self.words[i] in NOUNS and self.words[i - 1] in NOUN_BEFORE

    def _is_sight(self, i: int) -> bool:
        """ "I saw" is of see, and of no saw."""
        return i > 0 and self.words[i] == "saw" and self.words[i - 1] in ("i", "we", "you")

    def halves(self, word: str) -> list[int]:
        """Where two words side by side make up a folded word (sky diving for skydiving)."""
        parts = {word[:size] for size in range(2, len(word) - 1)}
        starts = [i for i, one in enumerate(self.words[:-1]) if one in parts]
        return sorted({i for i in starts if same_word(self.words[i] + self.words[i + 1], word)})

    @cached_property
    def sentences(self) -> list[tuple[int, int]]:
        """Each sentence's first word, and the one after its last."""
        edges = [0]
        for match in _SENTENCE_END.finditer(self.text):
            i = bisect_left(self._starts, match.start())
            if (
                edges[-1] < i < len(self.words)
                and not self._is_key(edges[-1], i)
                and not (match[0][0] == "." and self.words[i - 1] in _ABBREVIATIONS and "\n" not in match[0])
            ):
                edges.append(i)
        return list(pairwise([*edges, len(self.words)])) if self.words else []

    def _is_key(self, first: int, i: int) -> bool:
        """Whether a sentence that would end before word i were no more than "B." or "2."."""
        return i == first + 1 and len(self.words[first]) == 1 and not is_unspaced(self.words[first])

    def breaks(self, first: int, end: int) -> list[bool]:
        """For each of the words first..end whether punctuation stands before it, within the sentence."""
        found = [False] * (end - first)
        for match in _BREAK.finditer(self.text, self.spans[first][1], self.spans[end - 1][0]):
            i = bisect_left(self._starts, match.end())
            if match.start() >= self.spans[i - 1][1]:  # not one within a word
                found[i - first] = True
        return found

    @cached_property
    def pronouns(self) -> dict[int, range]:
        """What each "it" and "them" stands for: the words of the last thing named before it that is not what acts in its clause.

        >>> said = Said("There is a ball on the floor. The boy throws it.")
        >>> {i: [said.words[j] for j in named] for i, named in said.pronouns.items()}
        {10: ['a', 'ball']}
        """
        found: dict[int, range] = {}
        if PRONOUNS.isdisjoint(self.words):
            return found
        things, firsts = self._things, {first for first, _ in self.sentences}
        for i, word in enumerate(self.words):
            if word in PRONOUNS and i:
                sentence = max(first for first in firsts if first <= i)
                if self.words[i + 1 : i + 3] and self.words[i + 1] in ("is", "was") and {*self.words[i + 2 : i + 3]} & ARTICLES:
                    continue  # it is a ...
                before = [thing for thing in things if thing.stop <= i and (thing.start != sentence or thing.start in found)]
                if before and sum(sentence > first >= before[-1].start for first in firsts) <= 1:
                    found[i] = before[-1]
        return found

    @cached_property
    def _things(self) -> list[range]:
        """An article or the like and the words behind it, unless a preposition stands before: where, not what."""
        found = []
        for i, word in enumerate(self.words):
            if word in ARTICLES and not (i and self.words[i - 1] in PLACES):
                end = i + 1
                while end < min(len(self.words), i + 6) and (self.words[end] == "of" or self.words[end] not in THING_ENDS):
                    if self.gap(end).strip() not in ("", "-"):
                        break
                    end += 1
                if end > i + 1:
                    found.append(range(i, end))
        return found

    def sentence_texts(self) -> list[str]:
        """
        >>> Said("It goes up. Then down;\\n\\nit stops, e.g. here").sentence_texts()
        ['It goes up', 'Then down', 'it stops, e.g. here']
        """
        return [self.stretch(a, b - 1) for a, b in self.sentences]

    @cached_property
    def answer(self) -> tuple[int, int] | None:
        """Where the text says what its answer is, the last time: the first word of it, and the one after its sentence's last.

        >>> said = Said("At first a dive. So the final answer is: a jump. He is wet.")
        >>> said.stretch(said.answer[0], said.answer[1] - 1)
        'a jump'
        """
        if not _CUE_WORDS.intersection(self.words):
            return None
        cues = list(_CUE.finditer(self.text))
        if not cues:
            return None
        first = next((i for i, (start, _) in enumerate(self.spans) if start >= cues[-1].end()), len(self.words))
        line = self.text.find("\n", cues[-1].end() + 1)
        ends = [b for a, b in self.sentences if b > first and a <= first]
        if not ends:
            return None
        end = next((i for i in range(first, ends[0]) if 0 <= line < self.spans[i][0]), ends[0])
        return (first, end) if first < end else None

    def is_printed(self, i: int) -> bool:
        """Whether word i stands in quotes, as what a shirt or a sign says."""
        before = self.text[: self.spans[i][0]]
        return bool(_PRINTED.search(before))

    @cached_property
    def settled(self) -> "Said":
        """The text after it has corrected itself for the last time, each word where it was; all of it where it never does.

        >>> Said("He dives. Wait, no: he jumps.").settled.words
        ('he', 'jumps')
        """
        cues = list(_CORRECTION.finditer(self.text)) if not _CORRECTION_WORDS.isdisjoint(self.words) else []
        if not cues or not any(start >= cues[-1].end() for start in self._starts):
            return self
        return Said(" " * cues[-1].end() + self.text[cues[-1].end() :])

    def compound(self, i: int) -> range:
        """The words that are hyphenated to word i, itself included."""
        first, end = i, i + 1
        while first and self.gap(first) in ("-", "‐", "‑"):
            first -= 1
        while end < len(self.words) and self.gap(end) in ("-", "‐", "‑"):
            end += 1
        return range(first, end)
