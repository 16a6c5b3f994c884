"""Whether a verb in an answer names an event in the video: no property of a thing, no result, nothing that another one does."""

from collections.abc import Collection, Sequence

from engine.language.answer import Answer
from engine.language.scope import CLAUSE_STARTS
from engine.language.unreal import DEPICTIONS
from engine.language.vocabulary import ARTICLES
from engine.language.words import lemmas
from engine.verify.actor import is_of_another
from engine.verify.state import is_property

HAVE = frozenset("has have had was were is are".split())
PICTURES = DEPICTIONS | frozenset("photograph photo portrait tv television magazine".split())
RESULTS = tuple((pronoun, auxiliary, "been") for pronoun in ("which", "that") for auxiliary in ("has", "have"))
"""Words before a participle that say how a thing is: "slices which have been cut"."""
FILMS = frozenset("film movie video clip documentary show match game series recording".split())
"""What somebody in the video watches."""
VIDEOS = frozenset("video clip footage recording film".split())
EDGES = frozenset("before until after once".split())
"""Before VIDEOS."""
ENDING = frozenset("ends ended end over finishes finished stops stopped".split())
"""Behind VIDEOS."""
PAST_ADVERBS = frozenset("earlier yesterday ago beforehand previously".split())
SCREENS = frozenset("screen camera frame".split())
"""Behind "off"."""
PERIODS = frozenset("night week weekend month year summer winter time".split())
"""Behind "last"."""
LONG = frozenset("hours days weeks months years".split())
"""Before "after"."""
PAST_REACH = 4
"""Maximum words from a verb to such an adverb."""
THING_VERBS = frozenset("carry hold wear buy sell own repair fix grab find borrow".split())
"""Verbs whose object is a thing, though its name may be an action too: "carries a skateboard"."""
OFF_SCREEN_WORDS = 6
"""Maximum words of "before the video begins"."""
FILM_REACH = 16
"""Maximum words from "watches" or "years after" to the action."""
DEPICTED_REACH = 5
"""Words from a verb to the picture in which it happens: "the dancing girl on the poster"."""


def is_event(answer: Answer, i: int, subjects: Collection[str], objects: Collection[str]) -> bool:
    """Whether the verb at position i happens in the video, done by whom the question asks about.

    `subjects`: the label's words before its verb; `objects`: those behind it.
    """
    # "a hammer to drive nails"
    is_noun = bool(objects) and bool(i) and answer.words[i - 1] in ARTICLES and _is_base(answer.words[i])
    return not (
        is_noun
        or _is_thing(answer, i)
        or is_property(answer, i, subjects, objects)
        or is_of_another(answer, i)
        or is_at_another_time(answer, i)
        or is_depicted(answer, i)
    )


def _is_base(word: str) -> bool:
    return not word.endswith(("ing", "ed", "s"))


def _is_thing(answer: Answer, i: int) -> bool:
    """Whether the word at position i names a tool, and not what is done with it: "buys an iron"."""
    before = answer.words[max(0, i - 3) : i]
    is_noun = bool(before) and before[-1] in ARTICLES and not answer.words[i].endswith(("ing", "ed"))
    return is_noun and any(not lemmas(word).isdisjoint(THING_VERBS) for word in before[:-1])


def is_at_another_time(answer: Answer, i: int) -> bool:
    """Whether the action is over before the video shows it: "had been reading", "has already been cut", "before the video began".

    >>> texts = ("she had been reading", "he has already cut it", "he was reading before the clip starts", "he had to read")
    >>> [is_at_another_time(Answer(text), i) for text, i in zip(texts, (3, 3, 2, 3))]
    [True, True, True, False]
    """
    first, end = answer.sentence_of(i)
    before = [word for word in answer.words[max(first, i - 4) : i] if word not in ("been", "just", "previously")]
    is_result = answer.words[max(first, i - 3) : i] in RESULTS or answer.words[max(first, i - 2) : i] == ("just", "been")
    is_anterior = is_result or before[-1:] == ["had"] or (before[-1:] == ["already"] and not HAVE.isdisjoint(before[-2:]))
    follows_event = not {"after", "once"}.isdisjoint(answer.words[first:i])
    behind = answer.words[i + 1 : end]
    is_before = not EDGES.isdisjoint(behind[:8]) and any(_is_off_screen(behind[j:]) for j in range(min(8, len(behind))))
    is_past = _is_long_ago(answer.words[max(first, i - FILM_REACH) : i]) or _is_dated(behind[: PAST_REACH + 1])
    return (
        (is_anterior and not follows_event)
        or is_before
        or is_past
        or _is_off_screen(answer.words[first : min(i, first + OFF_SCREEN_WORDS)])
    )


def _is_long_ago(before: Sequence[str]) -> bool:
    return any(word in ("after", "since") and before[j - 1] in LONG for j, word in enumerate(before) if j)


def _is_dated(behind: Sequence[str]) -> bool:
    """Whether words behind a verb say that the video does not show it: "dug earlier", not "earlier in the clip"; "off-screen"."""
    for j, word in enumerate(behind):
        following = behind[j + 1 : j + 2]
        if word in CLAUSE_STARTS or word == "and":
            return False
        if word == "offscreen" or (word == "off" and following and following[0] in SCREENS):
            return True
        if word in PAST_ADVERBS:
            return following not in (("in",), ("than",))
        if word == "last" and following and following[0] in PERIODS:
            return True
    return False


def _is_off_screen(words: Sequence[str]) -> bool:
    """Whether the words start like "before the video begins", "until the clip starts" or "after the recording has ended".

    >>> [_is_off_screen(text.split()) for text in ("before the clip", "before the clip ends", "after this clip ends he")]
    [True, False, True]
    """
    video = next((j for j in (1, 2) if words[j : j + 1] and words[j] in VIDEOS), None)
    if video is None or words[0] not in EDGES:
        return False
    behind = words[video + 1 : video + 4]
    return any(word in ENDING for word in behind) if words[0] in ("after", "once") else not any(word in ENDING for word in behind)


def is_depicted(answer: Answer, i: int) -> bool:
    """Whether the action happens in a picture within the video: "the dancing girl on the poster", "a photo of a diving man"."""
    first, end = answer.sentence_of(i)
    behind, before = answer.words[i + 1 : min(end, i + 1 + DEPICTED_REACH)], answer.words[max(first, i - DEPICTED_REACH) : i]
    is_on = any(
        word in ("on", "in") and behind[j + 1] in ARTICLES | {"tv", "television"} and not PICTURES.isdisjoint(behind[j + 1 : j + 3])
        for j, word in enumerate(behind[:-1])
    )
    watched = next((j for j in range(max(first, i - FILM_REACH), i) if answer.words[j].startswith("watch")), i)
    is_watched = any(word in FILMS for word in answer.words[watched + 1 : min(i, watched + 4)])
    is_same_clause = "and" not in answer.words[watched:i] and not any("," in answer.gap_before(j) for j in range(watched + 1, i))
    return (
        (is_watched and is_same_clause)
        or is_on
        or any(word == "of" and before[j - 1] in PICTURES for j, word in enumerate(before) if j)
    )
