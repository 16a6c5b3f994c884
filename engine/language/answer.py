"""One generated text, parsed for the verifiers: words and their positions, sentences, referents of "it", the stated conclusion.

A position is the index of a word in `Answer.words`; an offset is the index of a character in `Answer.text`; a span is two offsets,
(start, end), and a word range two positions, (first, end), both with an exclusive end.
"""

from bisect import bisect_left, bisect_right
from functools import cached_property
from itertools import pairwise

import regex

from engine.language.negation import stances
from engine.language.vocabulary import ARTICLES, NOUN_BEFORE, NOUNS, PHRASE_ENDS, PLACES, PRONOUNS
from engine.language.words import is_hangul, is_unspaced, lemmas, same_word, word_pattern, words

_SENTENCE_END = regex.compile(r"[.!?;][\"'”’)\]*_]*\s|[。！？]|\n\s*\n|\n\s*[-*•]")
_BREAK = regex.compile(r"[,:;.!?()\[\]—–|/•。！？、，]|\s-+\s|-{2,}")
_CUE_WORDS = frozenset("answer answers label prediction conclusion".split())
_CUE = regex.compile(
    r"(?:\b(?:answers?|prediction|conclusion)\b[*_]*\s*(?:(?:is|would be|must be|should be|was)\b\s*[:=]?|[:=]|[-–—]\s)"
    r"|\blabel[*_]*\s*[:=])[\s*_\"'“]*",
    regex.IGNORECASE,
)
"""Phrases that announce the final answer."""
_CORRECTION = regex.compile(
    r"\b(?:(?:oh,? )?wait\b(?:,? (?:no|actually|that(?:'s| is) (?:not right|wrong)))?|scratch that|correction"
    r"|on second thoughts?|i was wrong|i (?:made|have made) a mistake|no,? actually|actually,? no"
    r"|let me (?:correct|revise|rethink)(?: (?:that|this|myself|my answer))?)\s*[,.:;!—-]\s*"
    r"|(?<=[.!?]\s)(?:actually|(?:but )?on (?:a )?closer (?:look|inspection)),?\s+"
    r"(?=(?:he|she|it|this|they|the \w+) (?:is|was|are)\b)",
    regex.IGNORECASE,
)
_CORRECTION_WORDS = frozenset("wait scratch correction second wrong mistake correct revise rethink actually closer".split())
_PRINTED = regex.compile(
    r"\b(?:reads?|reading|says|saying|words?|titled|printed|written|logo|sign|caption|banner|poster)\s*:?\s*(?:[\"“][^\"”]*|['‘][^'’]*)$",
    regex.IGNORECASE,
)
_ABBREVIATIONS = frozenset("e g i vs mr mrs ms dr st approx ca cf".split())


class Answer:
    """A text and its words. Everything else is computed when it is first used, then cached."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.words = words(text)

    @cached_property
    def word_spans(self) -> list[tuple[int, int]]:
        """The span of each word in the text."""
        return [match.span() for match in word_pattern(self.text).finditer(self.text)]

    @cached_property
    def stances(self) -> bytearray:
        """For each word ASSERTED, DENIED or OPEN (engine/language/negation.py)."""
        flags = bytearray()
        for first, end in self.sentences:
            flags += stances(self.words[first:end], self.breaks(first, end))
        return flags

    def sentence_of(self, position: int) -> tuple[int, int]:
        """The word range of the sentence that holds the word."""
        return self.sentences[bisect_right(self.sentences, (position, len(self.words))) - 1]

    def next_word(self, offset: int) -> int:
        """The position of the first word that starts at the offset or after it; the number of words if there is none."""
        return bisect_left(self._word_starts, offset)

    def gap_before(self, position: int) -> str:
        """The characters between the word and the word before it."""
        return self.text[self.word_spans[position - 1][1] if position else 0 : self.word_spans[position][0]]

    def excerpt(self, first: int, last: int) -> str:
        """The text from word `first` to word `last`, both included."""
        start, end = self.span_of(first, last)
        return self.text[start:end]

    def span_of(self, first: int, last: int) -> tuple[int, int]:
        """The span from word `first` to word `last`, both included."""
        return self.word_spans[first][0], self.word_spans[last][1]

    @cached_property
    def _word_starts(self) -> list[int]:
        return [start for start, _ in self.word_spans]

    @cached_property
    def _word_lemmas(self) -> list[tuple[str, frozenset[str]]]:
        return [(word, lemmas(word)) for word in set(self.words)]

    def positions_of(self, word: str) -> list[int]:
        """Positions of all forms of a folded word. A noun that is spelled like a past form ("the ground") is a form of no verb."""
        forms = lemmas(word)
        matching = {
            other
            for other, other_forms in self._word_lemmas
            if not forms.isdisjoint(other_forms) or (is_hangul(word) and other.startswith(word))
        }
        if not matching:
            return []
        positions = [i for i, other in enumerate(self.words) if other in matching]
        if "saw" in matching and "see" not in forms:
            positions = [i for i in positions if not self._is_past_of_see(i)]
        if NOUNS.isdisjoint(matching):
            return positions
        return [i for i in positions if self.words[i] == word or not self._is_noun(i)]

    def _is_noun(self, position: int) -> bool:
        return position > 0 and self.words[position] in NOUNS and self.words[position - 1] in NOUN_BEFORE

    def _is_past_of_see(self, position: int) -> bool:
        """Whether "saw" is the verb, as in "I saw", and not the tool."""
        return position > 0 and self.words[position] == "saw" and self.words[position - 1] in ("i", "we", "you")

    def split_positions_of(self, word: str) -> list[int]:
        """Positions where two neighbouring words together spell a folded word ("sky diving" for "skydiving")."""
        first_parts = {word[:size] for size in range(2, len(word) - 1)}
        starts = [i for i, other in enumerate(self.words[:-1]) if other in first_parts]
        return sorted({i for i in starts if same_word(self.words[i] + self.words[i + 1], word)})

    @cached_property
    def sentences(self) -> list[tuple[int, int]]:
        """The word range of each sentence."""
        edges = [0]
        for match in _SENTENCE_END.finditer(self.text):
            i = bisect_left(self._word_starts, match.start())
            if (
                edges[-1] < i < len(self.words)
                and not self._is_list_marker(edges[-1], i)
                and not (match[0][0] == "." and self.words[i - 1] in _ABBREVIATIONS and "\n" not in match[0])
            ):
                edges.append(i)
        return list(pairwise([*edges, len(self.words)])) if self.words else []

    def _is_list_marker(self, first: int, end: int) -> bool:
        """Whether the word range would be a sentence of one letter or digit: "B." or "2."."""
        return end == first + 1 and len(self.words[first]) == 1 and not is_unspaced(self.words[first])

    def breaks(self, first: int, end: int) -> list[bool]:
        """For each word of the range, which lies in one sentence: whether punctuation stands before it. False for the first."""
        flags = [False] * (end - first)
        for match in _BREAK.finditer(self.text, self.word_spans[first][1], self.word_spans[end - 1][0]):
            i = bisect_left(self._word_starts, match.end())
            if match.start() >= self.word_spans[i - 1][1]:  # punctuation within a word does not count
                flags[i - first] = True
        return flags

    @cached_property
    def referents(self) -> dict[int, range]:
        """The position of each "it" and "them" -> the words that it refers to.

        They are the last noun phrase before the pronoun that is not the subject of the pronoun's sentence.

        >>> answer = Answer("There is a ball on the floor. The boy throws it.")
        >>> {i: [answer.words[j] for j in phrase] for i, phrase in answer.referents.items()}
        {10: ['a', 'ball']}
        """
        referents: dict[int, range] = {}
        if PRONOUNS.isdisjoint(self.words):
            return referents
        phrases, sentence_starts = self._noun_phrases, {first for first, _ in self.sentences}
        for i, word in enumerate(self.words):
            if word in PRONOUNS and i:
                sentence = max(first for first in sentence_starts if first <= i)
                if self.words[i + 1 : i + 3] and self.words[i + 1] in ("is", "was") and {*self.words[i + 2 : i + 3]} & ARTICLES:
                    continue  # "it is a ..." refers to nothing
                before = [
                    phrase for phrase in phrases if phrase.stop <= i and (phrase.start != sentence or phrase.start in referents)
                ]
                if before and sum(sentence > first >= before[-1].start for first in sentence_starts) <= 1:
                    referents[i] = before[-1]
        return referents

    @cached_property
    def _noun_phrases(self) -> list[range]:
        """Articles with the words that follow them. Phrases behind a preposition of place are left out: they name a location."""
        phrases = []
        for i, word in enumerate(self.words):
            if word in ARTICLES and not (i and self.words[i - 1] in PLACES):
                end = i + 1
                while end < min(len(self.words), i + 6) and (self.words[end] == "of" or self.words[end] not in PHRASE_ENDS):
                    if self.gap_before(end).strip() not in ("", "-"):
                        break
                    end += 1
                if end > i + 1:
                    phrases.append(range(i, end))
        return phrases

    def sentence_texts(self) -> list[str]:
        """
        >>> Answer("It goes up. Then down;\\n\\nit stops, e.g. here").sentence_texts()
        ['It goes up', 'Then down', 'it stops, e.g. here']
        """
        return [self.excerpt(first, end - 1) for first, end in self.sentences]

    @cached_property
    def conclusion(self) -> tuple[int, int] | None:
        """The word range behind the last "the answer is" or the like, to the end of its sentence or line; None without one.

        >>> answer = Answer("At first a dive. So the final answer is: a jump. He is wet.")
        >>> answer.excerpt(answer.conclusion[0], answer.conclusion[1] - 1)
        'a jump'
        """
        if not _CUE_WORDS.intersection(self.words):
            return None
        cues = list(_CUE.finditer(self.text))
        if not cues:
            return None
        first = next((i for i, (start, _) in enumerate(self.word_spans) if start >= cues[-1].end()), len(self.words))
        line_end = self.text.find("\n", cues[-1].end() + 1)
        sentence_ends = [end for start, end in self.sentences if end > first and start <= first]
        if not sentence_ends:
            return None
        end = next((i for i in range(first, sentence_ends[0]) if 0 <= line_end < self.word_spans[i][0]), sentence_ends[0])
        return (first, end) if first < end else None

    def is_quoted(self, position: int) -> bool:
        """Whether the word is quoted from a shirt, a sign or another print in the picture."""
        return bool(_PRINTED.search(self.text[: self.word_spans[position][0]]))

    @cached_property
    def corrected(self) -> "Answer":
        """The text behind its last self-correction, with unchanged offsets; the whole text if it corrects nothing.

        >>> Answer("He dives. Wait, no: he jumps.").corrected.words
        ('he', 'jumps')
        """
        cues = list(_CORRECTION.finditer(self.text)) if not _CORRECTION_WORDS.isdisjoint(self.words) else []
        if not cues or not any(start >= cues[-1].end() for start in self._word_starts):
            return self
        return Answer(" " * cues[-1].end() + self.text[cues[-1].end() :])

    def hyphenated_with(self, position: int) -> range:
        """Positions of the words that hyphens join to the word, itself included."""
        first, end = position, position + 1
        while first and self.gap_before(first) in ("-", "‐", "‑"):
            first -= 1
        while end < len(self.words) and self.gap_before(end) in ("-", "‐", "‑"):
            end += 1
        return range(first, end)
