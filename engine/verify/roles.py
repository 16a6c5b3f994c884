"""Whether the words of a label have the same relations in an answer: verb and object, verb and particle, preposition and noun.

`position_of`, everywhere below: index of a word in the pattern -> its position in the answer.
"""

from collections.abc import Mapping, Sequence

from engine.language.answer import Answer
from engine.language.scope import CLAUSE_STARTS, PERSON_PRONOUNS
from engine.language.vocabulary import ARTICLES, OPPOSITE, PARTICLES, PEOPLE, PLACES, PREPOSITIONS
from engine.verify.pattern import LabelPattern

PARTICLE_REACH, PREPOSITION_REACH = 5, 4
"""Maximum words from a verb to its particle, and from a noun back to its preposition."""
OBJECT_REACH = 4
"""Maximum words from a verb to an object of its own behind it."""
PASSIVE = frozenset("is are was were be been being get gets got gotten".split())
RELATIVES = frozenset("that which what whom".split())
OTHERS = frozenset("somebody someone others another nobody".split())
"""Subjects of a relative clause that are not the person in the video: "a cake that someone made"."""
OTHER_PREPOSITIONS = (PLACES | PARTICLES.keys() | PREPOSITIONS.keys()) - {"of"}
INSTRUMENTAL = frozenset(["on", "of"])
"""Prepositions behind an object that may hold the label's: "plays a song on the guitar"."""
INTRANSITIVE = frozenset("with to at for up down through over off".split())
"""Prepositions behind a verb that give it another complement: "takes the dog and plays with a cat"."""
SUBORDINATORS = frozenset("when where until unless".split())


def has_same_roles(answer: Answer, pattern: LabelPattern, position_of: Mapping[int, int]) -> bool:
    """Whether nobody and nothing has changed places, and each particle and preposition belongs to its word."""
    return (
        _has_same_arguments(answer, pattern, position_of)
        and all(_has_particle(answer, pattern, position_of, verb, particle) for verb, particle in pattern.particles)
        and all(_is_governed(answer, pattern.words[i:noun], position_of[noun]) for i, noun in pattern.prepositions)
        and all(
            _is_governed(answer, pattern.words[i:noun], position_of[noun]) or _leads(answer, pattern.words[i], position_of[noun])
            for i, noun in pattern.directions
        )
    )


def _has_same_arguments(answer: Answer, pattern: LabelPattern, position_of: Mapping[int, int]) -> bool:
    """Whether the label's -ing form has its subject and its object in the answer."""
    verb = pattern.verb
    if verb is None:
        return _has_own_object(answer, pattern, position_of)
    objects = [position for i, position in position_of.items() if i > verb and pattern.words[i] not in PARTICLES]
    directed = {noun for _, noun in pattern.directions}
    subjects = [
        position for i, position in position_of.items() if i < verb and i not in directed and pattern.words[i] not in PARTICLES
    ]
    if not subjects:
        governed = {noun for _, noun in pattern.prepositions}
        direct = [position for i, position in position_of.items() if i > verb and i not in governed and i in pattern.nouns]
        return _is_object(answer, position_of[verb], direct)
    position = position_of[verb]
    if not objects:  # "arm wrestling" is not wrestling with an arm
        between = range(position + 1, max(subjects))
        return all(answer.words[i] in ("by", "of") or not _is_preposition(answer, i) for i in between)
    if is_passive(answer, position):
        return max(objects) < position < min(subjects) and "by" in answer.words[position : min(subjects)]
    if max(objects) < position and max(subjects) < position:  # "the dog that the cat is chasing"
        return max(objects) < min(subjects)
    return max(subjects) < position < min(objects)


def _has_own_object(answer: Answer, pattern: LabelPattern, position_of: Mapping[int, int]) -> bool:
    """Whether an inflected form of an order's verb has the order's object: "drains the pasta and stirs the sauce"."""
    verb = pattern.imperative
    if verb is None or answer.words[position_of[verb]] == pattern.words[verb]:
        return True
    governed = {noun for _, noun in pattern.prepositions}
    return _is_object(answer, position_of[verb], [position_of[i] for i in pattern.nouns if i > verb and i not in governed])


def is_passive(answer: Answer, position: int) -> bool:
    """Whether the word is a passive's participle: a form of "be" or "get" stands before it, and it is no -ing form."""
    if answer.words[position].endswith("ing"):
        return False
    first, _ = answer.sentence_of(position)
    before = answer.words[max(first, position - 3) : position]
    if not PASSIVE.isdisjoint(before):
        return True
    if "and" not in before:
        return False
    conjunction = position - 1 - before[::-1].index("and")  # "is closed and then shaken"
    earlier = answer.words[max(first, conjunction - 2) : conjunction]
    return earlier[-1:] != () and earlier[-1].endswith(("ed", "en")) and not PASSIVE.isdisjoint(earlier)


def _is_object(answer: Answer, verb: int, objects: Sequence[int]) -> bool:
    """Whether the verb has these words as its object."""
    if not objects:
        return True
    if max(objects) > verb:
        if min(objects) < verb and not is_passive(answer, verb) and not answer.words[verb].endswith("ing"):
            return False  # "opens the fridge and closes the kitchen door"
        return _reaches(answer, verb, min((i for i in objects if i > verb), default=verb))
    if is_passive(answer, verb):
        return True
    if answer.words[verb].endswith("ing") and max(objects) == verb - 1:
        return True  # "snow shoveling"
    between = answer.words[max(objects) + 1 : verb]
    has_subject = bool(between) and between[-1] in PERSON_PRONOUNS and "and" not in between
    if not RELATIVES.isdisjoint(between) or has_subject:
        is_own = OTHERS.isdisjoint(between) and not _has_foreign_subject(between)
        return is_own and answer.words[verb + 1 : verb + 2] not in [(article,) for article in ARTICLES]
    return not _has_other_complement(answer, verb)


def _has_foreign_subject(between: Sequence[str]) -> bool:
    """Whether a relative clause has a subject like "her mother": the person's own action has a pronoun or a name for a person."""
    return any(word in ("her", "his", "their") for word in between[:-1]) and between[-1] not in PEOPLE


def _reaches(answer: Answer, verb: int, noun: int) -> bool:
    """Whether a noun behind the verb is its object, and not that of a preposition behind another object."""
    between = answer.words[verb + 1 : noun]
    has_object = False
    for k, word in enumerate(between):
        position = verb + 1 + k
        if word in SUBORDINATORS or word.endswith(("self", "selves")) or (word == "as" and answer.gap_before(position).strip()):
            return False
        if has_object and word not in INSTRUMENTAL and _is_preposition(answer, position):
            return False
        is_new_verb = word == "and" and len(between) > k + 2 and between[k + 2] in ARTICLES and between[k + 1] not in ARTICLES
        if is_new_verb and between[k + 1].endswith(("s", "ed", "ing")):
            return False
        has_object = has_object or (k > 0 and between[k - 1] in ARTICLES and word not in PEOPLE)
    return True


def _has_other_complement(answer: Answer, verb: int) -> bool:
    """Whether an object or a complement of its own stands behind the verb: "puts the book down and takes the phone"."""
    behind = answer.words[verb + 1 : verb + 1 + OBJECT_REACH]
    if not behind or answer.gap_before(verb + 1).strip():
        return False
    if behind[0] in ARTICLES or behind[0].endswith(("self", "selves")):
        return True
    return len(behind) > 1 and behind[0] in INTRANSITIVE and (behind[1] in ARTICLES or behind[1] not in OTHER_PREPOSITIONS)


def _has_particle(answer: Answer, pattern: LabelPattern, position_of: Mapping[int, int], verb: int, particle: int) -> bool:
    """Whether the particle is the verb's: "turns on the lamp", "turns the lamp on", "talks on the phone".

    A particle before another noun is that noun's preposition: "puts the jacket on the chair".
    """
    start, stop = position_of[verb], position_of[particle]
    if not 0 < stop - start <= PARTICLE_REACH or OPPOSITE.get(pattern.words[particle]) in answer.words[start:stop]:
        return False
    noun = next((i for i in pattern.nouns if i > particle), None)
    if noun is None or is_passive(answer, start):
        return True
    target = position_of[noun]
    if start < target < stop:  # "turns the lamp on"
        behind = answer.words[stop + 1 : stop + 3]
        return answer.gap_before(stop + 1).strip() != "" if _is_end(answer, stop) else not behind or behind[0] not in ARTICLES
    if target > stop:
        return not any(_is_preposition(answer, i) for i in range(stop + 2, target) if answer.words[i] not in pattern.words)
    if not ARTICLES.isdisjoint(answer.words[start + 1 : stop]):
        return False  # "picks up the bowl and puts the lid down"
    behind = answer.words[stop + 1 : stop + 2]  # the noun stands before the verb: "takes off the jacket and puts on slippers"
    is_end = not behind or bool(answer.gap_before(stop + 1).strip()) or behind[0] in CLAUSE_STARTS or behind[0] == "and"
    return is_end or behind[0] in OTHER_PREPOSITIONS


def _is_preposition(answer: Answer, position: int) -> bool:
    return answer.words[position] in OTHER_PREPOSITIONS and not answer.is_in_compound(position)


def _is_end(answer: Answer, position: int) -> bool:
    return position + 1 < len(answer.words) and bool(answer.gap_before(position + 1).strip())


def _is_governed(answer: Answer, before_noun: Sequence[str], noun_position: int) -> bool:
    """Whether the preposition or a synonym stands before the noun, without another preposition between them.

    `before_noun`: the label's words from the preposition to the noun, which may be between them: ("away", "from").
    """
    preposition = before_noun[0]
    synonyms = (preposition, *PARTICLES.get(preposition, ()), *PREPOSITIONS.get(preposition, ()))
    for i in range(noun_position - 1, max(-1, noun_position - 1 - PREPOSITION_REACH), -1):
        if answer.words[i] in synonyms:
            return "out" not in answer.words[max(0, i - 1) : noun_position] or "out" in synonyms
        if answer.words[i] not in before_noun and _is_preposition(answer, i):
            return False
    return False


def _leads(answer: Answer, direction: str, verb_position: int) -> bool:
    """Whether the word is a verb with the direction behind it: "passes the ball forward" for "forward pass"."""
    if verb_position and answer.words[verb_position - 1] in ARTICLES:
        return False  # a noun
    for word in answer.words[verb_position + 1 : verb_position + 1 + PARTICLE_REACH]:
        if word in (direction, *PARTICLES[direction]):
            return True
        if word in OTHER_PREPOSITIONS or word in ("and", "or"):
            return False
    return False
