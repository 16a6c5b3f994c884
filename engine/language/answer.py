"""One generated text, parsed for the verifiers: words and their positions, sentences, referents of "it", the stated conclusion.

A position is the index of a word in `Answer.words`; an offset is the index of a character in `Answer.text`; a span is two offsets,
(start, end), and a word range two positions, (first, end), both with an exclusive end.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

import regex

from engine.language.cues import conclusion_start, correction_end, is_printed, is_spoken
from engine.language.mood import Mood, Sentence, may_have_mood, moods
from engine.language.negation import OWN, stances
from engine.language.parse import Parser, Token
from engine.language.reference import referents
from engine.language.revocation import last_revocation
from engine.language.scope import ASSERTED, DENIED, OPEN
from engine.language.unreal import asked_topics
from engine.language.vocabulary import NOUN_BEFORE, NOUNS
from engine.language.words import ENGLISH, is_hangul, is_unspaced, label_words, lemmas, same_word, word_pattern, words

_SENTENCE_END = regex.compile(r"[.!?;][\"'”’)\]*_]*\s|[。！？]|\n\s*\n|\n\s*[-*•]")
_SENTENCE_OR_CORRECTION = regex.compile(rf"{_SENTENCE_END.pattern}|(?:[,—–…]|-{{2,}}|\s-)\s*(?=no\s*[,.:;!])", regex.IGNORECASE)
"""A "no" that stands alone starts a sentence: "he is diving - no, he is running"."""
_BREAK = regex.compile(r"[,:;.!?()\[\]—–|/•。！？、，]|[\"”](?=\s)|\s-+\s|-{2,}")
QUOTED_CHARS = 200
"""Characters before a word in which its quotation starts."""
_ABBREVIATIONS = frozenset("e g i vs mr mrs ms dr st approx ca cf".split())


class Answer:
    """A text and its words. Everything else is computed when it is first used, then cached.

    `question`: what the text answers. If it asks what somebody will do, or what a sign says, that counts as asserted.
    `parser`: of English sentences, where the run names one (engine/language/parse.py). `language`: of its words' dictionary forms.
    """

    def __init__(self, text: str, question: str = "", parser: Parser | None = None, language: str = ENGLISH) -> None:
        self.text = text
        self.parser = parser
        self.language = language
        self.question = question
        self.words = words(text)
        self._known_stances: dict[tuple[int, frozenset[str]], bytearray] = {}
        self._known_breaks: dict[tuple[int, int], list[bool]] = {}

    @cached_property
    def word_spans(self) -> list[tuple[int, int]]:
        """The span of each word in the text."""
        return [match.span() for match in word_pattern(self.text).finditer(self.text)]

    @cached_property
    def stances(self) -> bytearray:
        """For each word ASSERTED, DENIED or OPEN (engine/language/negation.py)."""
        flags = bytearray()
        for first, end in self.sentences:
            flags += self.stances_in(first, end)
        return flags

    def stances_in(self, first: int, end: int, own: frozenset[str] = frozenset()) -> bytearray:
        """The stances of the words of one sentence, for a label with the words `own`; a question is OPEN until it is answered."""
        own = frozenset(word for word in own if word in OWN or "'" in word)
        if known := self._known_stances.get((first, own)):
            return known
        flags = stances(self.words[first:end], self.breaks(first, end), own, asked_topics(label_words(self.question)))
        if mood := self._moods.get(first):
            for i in range(mood.first, end - first):
                if mood.stance == ASSERTED:
                    flags[i] = ASSERTED if flags[i] == OPEN else flags[i]
                else:
                    flags[i] = DENIED if DENIED in (mood.stance, flags[i]) else OPEN
        if self.revocation and first < self.revocation[0]:
            revoked = min(end, self.revocation[0]) - first
            flags[:revoked] = bytes([DENIED]) * revoked
        self._known_stances[first, own] = flags
        return flags

    @cached_property
    def revocation(self) -> tuple[int, int] | None:
        """The word range of the last clause that takes back all statements before it."""
        return last_revocation(self.words, self.gap_before)

    @cached_property
    def _moods(self) -> dict[int, Mood]:
        """The first word of each sentence that is no plain statement -> its mood."""
        if "?" not in self.text and not any(may_have_mood(self.words[first : first + 4]) for first, _ in self.sentences):
            return {}
        sentences = []
        for first, end in self.sentences:
            gaps = [self.gap_before(i) for i in range(first, end)]
            behind = self.gap_before(end) if end < len(self.words) else self.text[self.word_spans[-1][1] :]
            sentences.append(Sentence(self.words[first:end], gaps, behind))
        return {first: mood for (first, _), mood in zip(self.sentences, moods(sentences), strict=True) if mood}

    def sentence_of(self, position: int) -> tuple[int, int]:
        """The word range of the sentence that holds the word."""
        return self.sentences[bisect_right(self.sentences, (position, len(self.words))) - 1]

    def next_word(self, offset: int) -> int:
        """The position of the first word that starts at the offset or after it; the number of words if there is none."""
        return bisect_left(self._word_starts, offset)

    def gap_before(self, position: int) -> str:
        """The characters between the word and the word before it."""
        return self.text[self.word_spans[position - 1][1] if position else 0 : self.word_spans[position][0]]

    def is_in_compound(self, position: int) -> bool:
        """Whether a hyphen joins the word to a neighbour, as "up" of "make-up" and "push-up": then it is no preposition.

        >>> answer = Answer("He puts on make-up, on-screen - on a chair.")
        >>> [answer.is_in_compound(i) for i in (2, 4, 5, 7)]
        [False, True, True, False]
        """
        behind = self.gap_before(position + 1) if position + 1 < len(self.words) else ""
        return (position > 0 and self.gap_before(position) == "-") or behind == "-"

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
        return [(word, lemmas(word, self.language)) for word in set(self.words)]

    def positions_of(self, word: str) -> list[int]:
        """Positions of all forms of a folded word. A noun that is spelled like a past form ("the ground") is a form of no verb."""
        forms = lemmas(word, self.language)
        matching = {other for other, other_forms in self._word_lemmas if not forms.isdisjoint(other_forms)}
        if is_hangul(word):
            matching |= {other for other in self.words if other.startswith(word)}
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
        for match in (_SENTENCE_OR_CORRECTION if "no" in self.words else _SENTENCE_END).finditer(self.text):
            i = bisect_left(self._word_starts, match.start())
            if (
                edges[-1] < i < len(self.words)
                and not (match[0][0] != "?" and self._is_list_marker(edges[-1], i))
                and not (match[0][0] == "." and self.words[i - 1] in _ABBREVIATIONS and "\n" not in match[0])
            ):
                edges.append(i)
        return list(pairwise([*edges, len(self.words)])) if self.words else []

    def _is_list_marker(self, first: int, end: int) -> bool:
        """Whether the word range would be a sentence of one letter or digit: "B." or "2."."""
        return end == first + 1 and len(self.words[first]) == 1 and not is_unspaced(self.words[first])

    def breaks(self, first: int, end: int) -> list[bool]:
        """For each word of the range, which lies in one sentence: whether punctuation stands before it. False for the first."""
        if known := self._known_breaks.get((first, end)):
            return known
        flags = self._known_breaks[first, end] = [False] * (end - first)
        for match in _BREAK.finditer(self.text, self.word_spans[first][1], self.word_spans[end - 1][0]):
            i = bisect_left(self._word_starts, match.end())
            if match.start() >= self.word_spans[i - 1][1]:  # punctuation within a word does not count
                flags[i - first] = True
        return flags

    @cached_property
    def referents(self) -> dict[int, tuple[range, ...]]:
        """The position of each "it" and "them" -> the noun phrases that it may refer to.

        >>> answer = Answer("There is a ball on the floor. The boy throws it.")
        >>> {i: [[answer.words[j] for j in phrase] for phrase in phrases] for i, phrases in answer.referents.items()}
        {10: [['a', 'ball']]}
        """
        return referents(self.words, self.sentences, self.gap_before)

    def part(self, first: int, end: int) -> "Answer":
        """The word range as an answer of its own to the same question."""
        return self.with_text(self.excerpt(first, end - 1))

    def with_text(self, text: str) -> "Answer":
        """Another text as an answer to the same question, read alike."""
        return Answer(text, self.question, self.parser, self.language)

    def parsed(self, position: int) -> tuple[Sequence[Token], int]:
        """The tokens of the word's sentence, behind a colon ("Action: ..."), and their spans' offset; none without a parser."""
        if not self.parser:
            return (), 0
        first, end = self.sentence_of(position)
        first = next((i for i in range(position, first, -1) if ":" in self.gap_before(i) and self.gap_before(i) != ":"), first)
        start, stop = self.span_of(first, end - 1)
        return self.parser(self.text[start:stop]), start

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
        start = conclusion_start(self.text, self.words)
        if not start:
            return None
        first = self.next_word(start)
        line_end = self.text.find("\n", start + 1)
        sentence_ends = [end for sentence, end in self.sentences if end > first and sentence <= first]
        if not sentence_ends:
            return None
        end = next((i for i in range(first, sentence_ends[0]) if 0 <= line_end < self.word_spans[i][0]), sentence_ends[0])
        return (first, end) if first < end else None

    def is_quoted(self, position: int) -> bool:
        """Whether the word is quoted from a shirt, a sign or another print in the picture, or from what somebody says."""
        is_asked = "mention" in asked_topics(label_words(self.question))
        start = self.word_spans[position][0]
        before, behind = self.text[max(0, start - QUOTED_CHARS) : start], self.text[start : start + QUOTED_CHARS]
        return not is_asked and (is_printed(before) or is_spoken(before, behind))

    @cached_property
    def corrected(self) -> "Answer":
        """The text behind its last self-correction, with unchanged offsets; the whole text if it corrects nothing.

        >>> Answer("He dives. Wait, no: he jumps.").corrected.words
        ('he', 'jumps')
        """
        end = correction_end(self.text, self.words)
        if self.revocation:
            end = max(end, self.word_spans[self.revocation[1] - 1][1])
        if not any(start >= end for start in self._word_starts):
            return self
        return self.with_text(" " * end + self.text[end:]) if end else self

    def hyphenated_with(self, position: int) -> range:
        """Positions of the words that hyphens join to the word, itself included."""
        first, end = position, position + 1
        while first and self.gap_before(first) in ("-", "‐", "‑"):
            first -= 1
        while end < len(self.words) and self.gap_before(end) in ("-", "‐", "‑"):
            end += 1
        return range(first, end)
