"""Whether a form of a verb in an answer says how a thing is: "the peeled onion", "the door is open"."""

from collections.abc import Collection

from engine.language.answer import Answer
from engine.language.scope import CLAUSE_STARTS, FINITE_VERBS, PERSON_PRONOUNS
from engine.language.vocabulary import ARTICLES, FUNCTION_WORDS, NOUN_BEFORE, PARTICLES, PEOPLE, PLACES, PREPOSITIONS
from engine.language.words import lemmas

ADJECTIVES = frozenset("open closed clean dry cut empty wet warm shut".split())
"""Forms of verbs that are adjectives too."""
REMAINING = frozenset("remain remains lie lies stay stays look looks stand stands sit sits hang hangs".split())
BE = REMAINING | frozenset("is are was were be been".split())
HAVING = frozenset("wears wearing wore has have having with in on under".split())
"""Words before an -ing form that makes a compound with the noun behind it: "wears running shoes"."""
ENGAGED = frozenset(
    "engaged engages engaging occupied busy focused focuses focusing concentrating concentrates concentrated involved immersed "
    "absorbed participating participates skill skills skilled interested succeeds succeeding working works".split()
)
"""Words before "in", "on" or "with" and an action: "engaged in washing dishes"."""
DETERMINERS = frozenset("a an the his her its their my our your".split())
SINGULAR = (("a",), ("an",), ("the",), ("his",), ("her",), ("one",))
FORMS_BEFORE = ARTICLES | NOUN_BEFORE | frozenset("some many these those every each no".split())
"""Words before a form that describes the noun behind it."""
OCCASIONS = frozenset(
    "competition contest session class lesson event routine scene activity match game race practice training exercise "
    "demonstration performance tutorial stunt trick motion action process video clip workout show spree fit".split()
)
"""Nouns behind an -ing form that are the action itself: "a diving competition"."""
ACTING = PEOPLE | OCCASIONS
TIMES = frozenset("during throughout until since".split())
INSERTED_WORDS = 5
"""Maximum words of an insertion behind its first participle."""


def is_property(answer: Answer, i: int, own: Collection[str], objects: Collection[str] = ()) -> bool:
    """Whether the form at position i describes a thing: "a peeled onion", "the door is open", "in a swimming pool".

    `own`: the label's subjects. An -ing form before one of them or a person is an action: "a dancing bear", "a diving man".
    `objects`: the label's words behind its verb, "occupied with washing dishes".

    >>> cases = ("the washed dishes dry", 1), ("he is in a swimming pool", 4), ("a man swimming there", 2), ("a diving man", 1)
    >>> [is_property(Answer(text), i, {"dishes"}) for text, i in cases]
    [True, True, False, False]
    """
    word = answer.words[i]
    start = i
    while start and answer.words[start - 1].endswith("ly") and not answer.gap_before(start).strip(" -"):
        start -= 1  # "a freshly washed car"
    before = answer.words[start - 1] if start and not answer.gap_before(start).strip(" -,") else ""
    joined = " -" if word.endswith("ing") else " -,"
    following = answer.words[i + 1] if i + 1 < len(answer.words) and not answer.gap_before(i + 1).strip(joined) else ""
    is_noun = bool(following) and not is_grammatical(following) and not following.endswith("ly")
    if word.endswith("ing"):
        is_own = any(not lemmas(following).isdisjoint(lemmas(word)) for word in own) if following else False
        if before in ("a", "an") and following == "of":
            return True  # "a drawing of a girl"
        has_thing = is_noun and not is_own and lemmas(following).isdisjoint(ACTING)
        if not has_thing or before not in HAVING:
            return has_thing and before in FORMS_BEFORE
        is_done = start > 1 and answer.words[start - 2] in ENGAGED
        return not is_done and all(lemmas(following).isdisjoint(lemmas(word)) for word in objects)
    if not is_noun:
        if word.endswith("ed") and before in REMAINING:
            return True
        return _is_inserted(answer, i) or (word != "cut" and _is_adjective(answer, i) and before in BE and following != "by")
    if before in FORMS_BEFORE and before != "to":
        is_compound = before in DETERMINERS and not word.endswith("s") and lemmas(following).isdisjoint(OCCASIONS)
        return word.endswith("ed") or _is_adjective(answer, i) or is_compound
    is_existential = start > 1 and before in FINITE_VERBS and answer.words[start - 2] == "there"  # "there is grilled meat"
    if before in ("of", "with") and _is_adjective(answer, i):
        return True
    is_first = i == answer.sentence_of(i)[0] or before in ("of", "with")
    return word.endswith(("ed", "en")) and lemmas(word) != {word} and (is_first or is_existential or _follows_verb(answer, i))


def _follows_verb(answer: Answer, i: int) -> bool:
    """Whether a verb in the present stands before the participle at position i: "the cook eats [fried] fish", "is eating"."""
    first, _ = answer.sentence_of(i)
    before = answer.words[max(first, i - 3) : i]
    if before[-1:] and before[-1].endswith("ing"):
        return before[-2:-1] in (("is",), ("are",), ("was",), ("were",))
    has_subject = before[-2:-1] and (before[-2] in PERSON_PRONOUNS or before[-2] == "who" or before[-3:-2] in SINGULAR)
    is_verb = before[-1:] and before[-1].endswith("s") and not before[-1].endswith("ss") and before[-1] not in FINITE_VERBS
    return bool(has_subject and is_verb)


def _is_inserted(answer: Answer, i: int) -> bool:
    """Whether the participle at position i stands between a noun and its verb: "the banana, peeled and sliced, is put there"."""
    if not answer.words[i].endswith("ed") or "," not in answer.gap_before(i):
        return False
    first, end = answer.sentence_of(i)
    last = min(end, i + 1 + INSERTED_WORDS)
    close = next((j for j in range(i + 1, last) if answer.gap_before(j).strip() == ","), None)
    return close is not None and answer.words[close] in BE and FINITE_VERBS.isdisjoint(answer.words[first:close])


def _is_adjective(answer: Answer, i: int) -> bool:
    """Whether the word may describe a thing: it is an adjective too, or is hardly ever a passive."""
    return answer.words[i] in ADJECTIVES


def is_preposition(word: str) -> bool:
    return word in PARTICLES or word in PLACES or word in PREPOSITIONS


def is_grammatical(word: str) -> bool:
    return word in FUNCTION_WORDS or is_preposition(word) or word in CLAUSE_STARTS or word in TIMES
