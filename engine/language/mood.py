"""Which sentences of a text assert what they say: a question does not, nor does a statement that a later sentence takes back."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from engine.language.hedges import DISMISSING
from engine.language.negation import CONVINCED
from engine.language.negators import denies
from engine.language.scope import ASSERTED, CLAUSE_STARTS, DENIED, OPEN

QUESTION_STARTS = frozenset("is are was were does do did could can should would will has have".split())
QUESTION_SUBJECTS = frozenset("he she it they this that the there a an we you someone anyone".split())
QUESTION_WORDS = frozenset("what who whose whom where when why how which".split())
"""Questions with these presuppose the rest: "why is he dancing?"."""
TAGS = frozenset("right correct yes no okay".split())
"""Words that make a statement a question which expects a yes: "he is dancing, right?"."""
JOINTS = CLAUSE_STARTS | frozenset("and or".split())
YES = frozenset("yes yeah yep yup indeed".split())
NO = frozenset("no nope nah".split())
CERTAINLY = frozenset("correct exactly definitely certainly absolutely sure right".split())
"""Affirmations if punctuation follows: "Right." and not "Right hand up."."""
AFFIRMATIONS = frozenset(
    tuple(text.split())
    for text in ("you bet", "of course", "i believe so", "i think so", "i guess so", "without doubt", "no doubt")
)
INTERJECTIONS = frozenset("oh hmm hm well but ah uh sorry and".split())
"""Words before a yes or no at a sentence's start."""
AUXILIARIES = frozenset("is are was were does do did".split())
TRUE = frozenset("right correct true".split())
WEAKLY = TRUE | frozenset("really exactly quite so".split())
"""Words behind a "not" that makes a statement of its own."""
DISMISSAL_WORDS = 6
"""Maximum words of "that would be wrong"."""
_BREAKS, _OPENING, _CLOSING = frozenset(",:;.!?()[]—–|…-"), frozenset("\"“'‘(["), frozenset("\"”'’)]")


class Sentence(NamedTuple):
    """Sentence(words=("no", "he", "runs"), gaps=("", ", ", " "), end=". "): the characters before each word and behind the last."""

    words: Sequence[str]
    gaps: Sequence[str]
    end: str


class Mood(NamedTuple):
    """Mood(stance=OPEN, first=2): the sentence's words from index `first` on have the stance."""

    stance: int
    first: int


def may_have_mood(start: Sequence[str]) -> bool:
    """Whether a sentence with these first words may be a question without a mark, or take back what stands before it."""
    return start[0] in QUESTION_STARTS or start[0] in ("that", "this", "not", "i", "i'm", "you", "if") or not NO.isdisjoint(start)


def moods(sentences: Sequence[Sentence]) -> list[Mood | None]:
    """The mood of each sentence; None for a statement that stands.

    >>> texts = ("is he dancing", "?  "), ("no he is running", ". ")
    >>> moods([Sentence(text.split(), [", "] * 4, end) for text, end in texts])
    [Mood(stance=1, first=0), None]
    """
    questions = [_question_start(sentence) for sentence in sentences]
    sentence_moods: list[Mood | None] = [
        None if first is None else Mood(_answered_stance(sentences, questions, i), first) for i, first in enumerate(questions)
    ]
    conditions = [_is_condition(sentence) for sentence in sentences]
    for i in range(1, len(sentences)):
        if conditions[i - 1] and (conditions[i] or sentences[i].words[0] == "otherwise"):
            sentence_moods[i - 1], sentence_moods[i] = (sentence_moods[j] or Mood(OPEN, 0) for j in (i - 1, i))
        if questions[i - 1] is None and _takes_back(sentences[i]):
            for j in _taken_back(sentences, questions, i):
                if sentence_moods[j]:
                    break  # an earlier sentence took this one and those before it back
                sentence_moods[j] = Mood(DENIED, 0)
    return sentence_moods


def _is_condition(sentence: Sentence) -> bool:
    """Whether the sentence says what is so on a condition: "if it is a razor, he shaves"; not "if you look closely, he ..."."""
    words = sentence.words[1:] if sentence.words[0] in ("but", "and") else sentence.words
    return words[:1] == ("if",) and words[1:2] not in (("you",), ("we",), ("one",), ("i",))


def _question_start(sentence: Sentence) -> int | None:
    """The index of the first word that is in question; None for a statement, and for a question that presupposes its words."""
    words, gaps, end = sentence
    if "?" not in end:
        is_question = len(words) > 2 and words[0] in QUESTION_STARTS and words[1] in QUESTION_SUBJECTS
        return 0 if is_question else None
    if not _CLOSING.isdisjoint(end.partition("?")[2][:1]):
        return next((i for i in range(len(words) - 1, 0, -1) if not _OPENING.isdisjoint(gaps[i])), 0)
    if len(words) > 1 and words[-1] in TAGS and _is_break(gaps[-1]):
        return len(words) - 1
    starts = [i for i in range(len(words)) if i == 0 or _is_break(gaps[i]) or words[i - 1] in JOINTS]
    for i in reversed(starts):
        if words[i] in QUESTION_WORDS:
            is_proposal = words[i + 1 : i + 2] in (("about",), ("if",))
            return i if is_proposal else None
        if (words[i] in QUESTION_STARTS or words[i].endswith("n't")) and not QUESTION_SUBJECTS.isdisjoint(words[i + 1 : i + 2]):
            return i
    return 0


def _answered_stance(sentences: Sequence[Sentence], questions: Sequence[int | None], i: int) -> int:
    """What the sentences behind question i, up to the next question, make of it: ASSERTED, DENIED or OPEN."""
    for j in range(i + 1, len(sentences)):
        if questions[j] is not None:
            break
        if _says_no(sentences[j]) or (j == i + 1 and sentences[j].words[0] in NO | {"not"}):
            return DENIED
        if _says_yes(sentences[j]):
            return ASSERTED
    return OPEN


def _taken_back(sentences: Sequence[Sentence], questions: Sequence[int | None], i: int) -> Iterator[int]:
    """Indices of the statements that sentence i takes back, the last one first.

    They reach back to the last question, yes or no, line or list item.
    """
    for j in range(i - 1, -1, -1):
        starts_anew = _says_yes(sentences[j]) or _says_no(sentences[j])
        if questions[j] is not None or (starts_anew and j < i - 1):
            break
        yield j
        if starts_anew or len(sentences[j].words[0]) == 1 or (j and "\n" in sentences[j - 1].end):
            break


def _takes_back(sentence: Sentence) -> bool:
    """Whether the sentence says that what stands before it is wrong. "No, he is not running" only denies its own words."""
    words = sentence.words
    clause = words[: next((i for i in range(1, len(words)) if ":" in sentence.gaps[i]), len(words))]
    if words[0] == "not" and words[1:2] and words[1] in WEAKLY and _is_break(_gap_behind(sentence, 1)):
        return True
    if words == ("not",):
        return True
    is_doubt = len(words) <= DISMISSAL_WORDS and words[-1] in ("that", "this", "it") and not CONVINCED.isdisjoint(words)
    if is_doubt and any(denies(word) for word in words):
        return True
    if words[0] in ("that", "this") and 2 < len(clause) <= DISMISSAL_WORDS:
        return clause[-1] in DISMISSING or (clause[-1] in TRUE and denies(clause[-2]))
    return _says_no(sentence) and not any(denies(word) and i < len(words) - 1 for i, word in enumerate(words) if word not in NO)


def _says_no(sentence: Sentence) -> bool:
    """Whether the sentence starts with a no that stands alone: "No, ...", "Oh no.", "Not really."."""
    i = _skip_interjections(sentence)
    return (sentence.words[i] in NO and _is_break(_gap_behind(sentence, i))) or sentence.words[i : i + 2] == ("not", "really")


def _says_yes(sentence: Sentence) -> bool:
    """Whether the sentence affirms a question: "Yes, ...", "Certainly.", "He is."."""
    i, words = _skip_interjections(sentence), sentence.words
    return (
        not {words[i], words[-1]}.isdisjoint(YES)
        or (words[i] in CERTAINLY and _is_break(_gap_behind(sentence, i)))
        or tuple(words[i : i + 3]) in AFFIRMATIONS
        or tuple(words[i : i + 2]) in AFFIRMATIONS
        or (1 < len(words) <= 4 and words[0] in QUESTION_SUBJECTS and words[-1] in AUXILIARIES)
    )


def _skip_interjections(sentence: Sentence) -> int:
    return next((i for i, word in enumerate(sentence.words[:3]) if word not in INTERJECTIONS), 0)


def _gap_behind(sentence: Sentence, i: int) -> str:
    """The characters behind a word; the end of the text counts as a full stop."""
    return sentence.gaps[i + 1] if i + 1 < len(sentence.words) else sentence.end or "."


def _is_break(gap: str) -> bool:
    return not _BREAKS.isdisjoint(gap)
