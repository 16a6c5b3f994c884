"""Words that govern an action which does not happen in the video, although nothing denies it: "wants to", "the sign reads".

Lists of verbs hold dictionary forms: every inflection counts.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from engine.language.vocabulary import ARTICLES
from engine.language.words import lemmas

Topic = Literal["omitted", "unreal", "mention"]
"""omitted: not done (forgot to, too tired to, prevents him from). unreal: wished for, ahead or due (wants to, about to, should).
mention: only named, likened or written (talks about, similar to, the sign reads)."""
UNREAL = frozenset(
    "want wish plan intend hope need expect prepare wait promise suppose ask invite tell threaten offer ready about going "
    "place chance time".split()
)
"""Before "to": the action lies ahead or is only wished for, or there is occasion for it."""
OMITTING = frozenset("forget fail refuse decline neglect omit hesitate unable unwilling reluctant yet".split())
"""Before "to": the action does not happen."""
PREVENTING = frozenset("prevent keep stop refrain abstain discourage forbid prohibit".split())
"""Before "from": the action does not happen."""
ASKING = frozenset("ask tell invite want expect need urge order beg".split())
"""Before somebody and "to": it is not said that he does it."""
OBJECTS = frozenset("him her them me us you it".split())
MODALS = frozenset("should would will shall".split())
NAMES = frozenset(
    "answer label action activity description term word caption guess option choice category class event scene video clip".split()
)
"""Subjects of a modal that names what the video shows: "the answer would be"."""
ACTORS = frozenset("he she they".split())
NOT_ACTING = frozenset("i we you one it this that there which".split())
"""Pronouns that are no actor of the video: "it would be", "I would say"."""
NAMING = frozenset(
    "call say think note describe classify label name identify consider characterize see observe notice hear recognize".split()
)
"""Verbs behind a modal that name or perceive what happens: "would call this", "will be seen"."""
WILL_BEFORE = frozenset("a the his her their its my your good free".split())
"""Words after which "will" is a noun."""
DEPICTIONS = frozenset("poster painting drawing billboard statue".split())
"""Pictures: what they show does not happen in the video."""
PRINTS = frozenset("sign banner placard shirt caption subtitle title headline text word words".split())
"""Things with a text on them: what they say does not happen either."""
SAYING = frozenset(
    "say says saying said read reads reading claim claims claimed state states stated suggest suggests suggested announces "
    "announced".split()
)
NEARLY = frozenset("almost nearly practically virtually".split())
"""Adverbs before a verb that does not happen."""
DEGREES = frozenset("kind sort of a bit little much just somewhat".split())
"""Words that may stand before "like"."""
THINKING = frozenset("talk tell think dream speak read".split())
"""Verbs before "about" and "of"."""
EXPLAINING = frozenset("explain describe learn know".split())
"""Before "how to", as THINKING; who shows how to do a thing does it."""
LIKENING = frozenset("similar akin comparable".split())
"""Words before "to"."""
LIKENED = frozenset("is are was were almost something feel feels felt".split())
"""Words before "like"; "looks like" asserts what follows."""
NEEDING = frozenset("need needs needed require requires required".split())
"""Verbs before an -ing form that is still to be done: "the pool needs cleaning"."""
LIKING = frozenset("loves hates likes prefers".split())
"""Verbs before an -ing form that somebody need not be doing now: "he says that he loves cooking"."""
OPENERS = NEEDING | LIKING | MODALS | SAYING | NEARLY | frozenset("to from like about of word words text".split())
"""All words at which a topic may start, and besides them contractions of "will"."""
READ = frozenset("name brand title called team written logo".split())
"""What a question asks for that stands on prints in the picture."""
MAX_PRINT_WORDS = 6
"""Maximum words from a print to its verb, itself included: "the sign above the door reads"."""
MAX_OBJECT_WORDS, MAX_VERB_WORDS = 3, 3
"""Maximum words between "prevent" and "from" or "too" and "to"; words behind a modal among which its verb is."""


def topic_at(words: Sequence[str], i: int, own: frozenset[str] = frozenset()) -> Topic | None:
    """The topic that starts behind the word at position i, or None. `own`: words of the label, which is no print ("stop sign")."""
    if words[i] not in OPENERS and not words[i].endswith("'ll"):
        return None
    if is_omitted(words, i):
        return "omitted"
    if is_unreal(words, i):
        return "unreal"
    return "mention" if is_mention(words, i, own) else None


@lru_cache(maxsize=1 << 12)
def asked_topics(question_words: tuple[str, ...]) -> frozenset[Topic]:
    """The topics that a question asks for: an answer with one of them says what happens.

    >>> asked_topics(("what", "will", "he", "do")), asked_topics(("what", "does", "the", "sign", "say"))
    (frozenset({'unreal'}), frozenset({'mention'}))
    """
    topics = {topic for i in range(len(question_words)) if (topic := topic_at(question_words, i))}
    if "next" in question_words:
        topics.add("unreal")
    if "why" in question_words:
        topics.add("unreal")  # "because she wants to reach it"
    if not PRINTS.isdisjoint(question_words) or not READ.isdisjoint(question_words):
        topics.add("mention")
    return frozenset(topics)


def is_omitted(words: Sequence[str], i: int) -> bool:
    """Whether the word at position i is a "to" or "from" behind which an action does not happen.

    >>> [is_omitted(text.split(), 3) for text in ("he then forgot to dance", "too tired now to dance", "he moved her from there")]
    [True, True, False]
    """
    if words[i] == "to":
        return _governs(words, i, OMITTING) or "too" in words[max(0, i - MAX_OBJECT_WORDS) : max(0, i - 1)]
    if words[i] == "from" and i + 1 < len(words) and words[i + 1].endswith("ing"):
        before = words[max(0, i - 1 - MAX_OBJECT_WORDS) : i]
        return not before[-1].endswith("ing") and any(not PREVENTING.isdisjoint(lemmas(word)) for word in before)
    return False


def is_unreal(words: Sequence[str], i: int) -> bool:
    """Whether the word at position i is a "to" or a modal behind which an action is wished for, ahead, or due.

    >>> [is_unreal(text.split(), 1) for text in ("he should be dancing", "I would call this dancing", "she will be 5")]
    [True, False, False]
    """
    if words[i] == "to":
        is_destination = words[i - 1] == "going" and not ARTICLES.isdisjoint(words[i + 1 : i + 2])
        is_writers = words[i - 2 : i - 1] in (("i",), ["i"]) and not NAMING.isdisjoint(words[i + 1 : i + 2])  # "I want to say"
        return _governs(words, i, UNREAL) and not is_destination and not is_writers
    if words[i] in NEEDING or words[i] in LIKING:
        return i + 1 < len(words) and words[i + 1].endswith("ing")
    return (words[i] in MODALS or words[i].endswith("'ll")) and _is_of_an_actor(words, i)


def _governs(words: Sequence[str], i: int, governors: frozenset[str]) -> bool:
    """Whether the "to" at position i depends on one of the governors: "wants to", "wants him to"."""
    governor = i - 2 if i > 1 and words[i - 1] in OBJECTS else i - 1
    article = next((j for j in (i - 2, i - 3) if j > 0 and words[j] in ARTICLES), None)
    if article is not None and not ASKING.isdisjoint(lemmas(words[article - 1])):
        return governors is UNREAL  # "asks his son to"
    return governor >= 0 and not governors.isdisjoint(lemmas(words[governor]))


def _is_of_an_actor(words: Sequence[str], i: int) -> bool:
    """Whether the modal at position i is about somebody's action, and not about the name or the value of what happens."""
    subject = words[i].partition("'")[0] if words[i].endswith("'ll") else words[i - 1] if i else ""
    is_of_name = subject not in ACTORS and not NAMES.isdisjoint(words[:i])
    if subject in NOT_ACTING or (words[i] == "will" and subject in WILL_BEFORE) or is_of_name:
        return False
    following = words[i + 1 : i + 1 + MAX_VERB_WORDS]
    if following[:1] and following[0] in ("not", "never") and "stop" in following:
        return False  # "will not stop dancing": he dances now
    if not following or any(not NAMING.isdisjoint(lemmas(word)) for word in following):
        return False
    return following[0] != "be" or any(word.endswith(("ing", "ed")) for word in following)


def is_mention(words: Sequence[str], i: int, own: frozenset[str]) -> bool:
    """Whether what follows the word at position i is only likened, nearly so, talked about, or a text in the picture.

    >>> [is_mention(text.split(), 2, frozenset()) for text in ("a sign reads dancing", "he looks like dancing")]
    [True, False]
    """
    word, before = words[i], words[i - 1] if i else ""
    following = words[i + 1] if i + 1 < len(words) else ""
    if word in NEARLY:
        return following.endswith("ing") or (following.endswith("s") and not following.endswith("ss") and following != "always")
    match word:
        case "to":
            is_told = before == "how" and i > 1 and not (EXPLAINING | THINKING).isdisjoint(lemmas(words[i - 2]))
            return is_told or before in LIKENING
        case "like":
            return next((other for other in reversed(words[:i]) if other not in DEGREES), "") in LIKENED
        case "word" | "words" | "text":
            return following.endswith("ing") and before == "the"
        case "about" | "of":
            has_listener = word == "about" and i > 2 and words[i - 2] in ARTICLES  # "tells the boy about"
            verbs = words[i - 3 if has_listener else max(0, i - 1) : i]
            return any(not THINKING.isdisjoint(lemmas(verb)) for verb in verbs) and "as" not in words[i + 1 : i + 4]
    reads_something = following in ARTICLES and following != "that"  # a person who reads a book
    return (
        word in SAYING
        and not reads_something
        and not ((PRINTS | DEPICTIONS) - own).isdisjoint(words[max(0, i - MAX_PRINT_WORDS) : i])
    )
