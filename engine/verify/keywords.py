"""Does a text contain a label's words, in any of their forms, together, and does it mean them?"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from engine.labels import Keywords
from engine.language.negation import CLAUSE, DENIED, OPEN, alternative, dismissed_after, stances
from engine.language.text import Said
from engine.language.vocabulary import ARTICLES, COMPOUNDS, FUNCTION_WORDS, OPPOSITE, PARTICLES, PLACES
from engine.language.words import is_unspaced, label_words, same_word
from engine.rows import Verdict
from engine.verify.enumeration import lists_others

REACH = 8
"""Words between one word of the label and the next: in a longer sentence they are about different things."""
PARTICLE_REACH, PREPOSITION_REACH = 5, 4
MIN_HALVED = 6
"""Letters of a word that may be written in two."""
SMALL = FUNCTION_WORDS | (PARTICLES.keys() - {"off", "up", "down"}) | {"to"}
"""No part of a word that some write in one: run up and take off may be."""
BESIDE = frozenset("by next beside near behind under top front alongside".split())
"""Between a verb and a noun with another noun before: what stands there is where it is done, not what it is done to."""
OTHER_PREPOSITIONS = (PLACES | PARTICLES.keys() | {"to"}) - {"of"}
NO_ANSWER = frozenset(
    "clear obvious simple below as that shown given based found in derived evident yes no not because on it this".split()
)
"""After "the answer is" these do not begin one."""
ANSWER_WORDS = 8


@dataclass(frozen=True)
class Wanted:
    """A label's text, taken apart: places in its words."""

    words: tuple[str, ...]
    content: tuple[int, ...]
    """Words that have to be found; none: all of them, side by side."""
    particles: tuple[tuple[int, int], ...]
    """A verb, and the particle right behind it: turn on."""
    prepositions: tuple[tuple[int, int], ...]
    """A preposition, and the noun behind it: into the cup."""


@lru_cache(maxsize=1 << 16)
def wanted(text: str) -> tuple[Wanted, ...]:
    """The text's ways of being written: as it is, and with two neighbours as one word (sky diving, skydiving)."""
    found = label_words(text)
    joined = [
        (*found[:i], a + b, *found[i + 2 :])
        for i, (a, b) in enumerate(pairwise(found))
        if len(a + b) > 4 and a.isalpha() and b.isalpha() and not {a, b} & SMALL
    ]
    return tuple(_wanted(way) for way in (found, *joined))


def _wanted(found: tuple[str, ...]) -> Wanted:
    content = [i for i, word in enumerate(found) if word not in FUNCTION_WORDS and word not in PARTICLES]
    if not content or any(is_unspaced(word) for word in found):
        return Wanted(found, (), (), ())
    particles, prepositions = [], []
    for i, word in enumerate(found):
        if word not in PARTICLES or not i:
            continue
        noun = next((j for j in content if j > i), None)
        if i - 1 == content[0]:
            particles.append((i - 1, i))
        elif noun is not None:
            prepositions.append((i, noun))
        else:
            particles.append((content[0], i))
    return Wanted(found, tuple(sorted([*content, *(i for _, i in particles)])), tuple(particles), tuple(prepositions))


def mentions(text: str, label: Keywords) -> bool:
    """Whether the label's words are there at all, meant or not."""
    said = Said(text)
    return any(_contains(said, way).reason != "label_missing" for one in (label.text, *label.aliases) for way in wanted(one))


def contains(said: Said, label: Keywords, others: Sequence[str] = ()) -> Verdict:
    """The strict rule. `others`: what else the answer may list, as other parts of the same label do."""
    if (plain := label_words(label.text)) in YES_NO and (lead := _leading(said)) is not None:
        place = said.spans[lead]
        keep = (said.words[lead],) == plain
        return Verdict(
            keep=keep,
            reason="contains_label" if keep else "other_answer",
            score=float(keep),
            extracted=said.words[lead],
            found=(place,) if keep else (),
        )
    best: Verdict | None = None
    for text in (label.text, *label.aliases):
        for way in wanted(text):
            verdict = _contains(said, way)
            if verdict.keep:
                return _settled(said, verdict, label, others)
            if best is None or verdict.score > best.score or (verdict.score == best.score and best.reason == "label_missing"):
                best = verdict
    assert best is not None
    return best


YES_NO = (("yes",), ("no",))


def _leading(said: Said) -> int | None:
    """Which word is the text's yes or no: after "the answer is", else the first that begins a sentence."""
    starts = ([said.answer[0]] if said.answer else []) + [first for first, _ in said.sentences]
    plain = [
        i for i in starts if said.words[i : i + 1] in YES_NO and said.words[i + 1 : i + 2] not in (("one",), ("and",), ("or",))
    ]
    return plain[0] if plain else None


def _settled(said: Said, verdict: Verdict, label: Keywords, others: Sequence[str]) -> Verdict:
    """The verdict, unless the answer says many things beside, or says something else in the end."""
    texts = (label.text, *label.aliases)
    if any(said.words == label_words(text) for text in texts):
        return verdict
    if listed := lists_others(said, verdict.found[0], [*texts, *others]):
        return Verdict(keep=False, reason="lists_classes", score=0.0, extracted=listed)
    if (final := said.answer) and not others:
        first, end = final
        if 0 < end - first <= ANSWER_WORDS and said.words[first] not in NO_ANSWER and len(said.words[first]) > 1:
            part = Said(said.stretch(first, end - 1))
            if not any(_contains(part, way).keep for text in texts for way in wanted(text)):
                return Verdict(keep=False, reason="other_answer", score=0.0, extracted=part.text)
    return verdict


def _contains(said: Said, want: Wanted) -> Verdict:
    """The last place where the label's words are together decides: asserted or denied. One that is left open does not count."""
    if not want.content:
        return _has_phrase(said, want)
    places = [places_of(said, want.words[at]) for at in want.content]
    score = sum(map(bool, places)) / len(places)
    if score < 1:
        return Verdict(keep=False, reason="label_missing", score=score, extracted="")
    best = Verdict(keep=False, reason="label_missing", score=score, extracted="")
    for chosen in _occurrences(said, want, places):
        verdict = _judged(said, want, chosen)
        if verdict.reason != "label_open" or best.reason == "label_missing":
            best = verdict
    return best if best.reason != "label_missing" else _has_phrase(said, want)


def places_of(said: Said, word: str) -> list[int]:
    """Where a label's word is said: in any form, by what says the same, in two halves, or by a pronoun."""
    if word in PARTICLES:
        return sorted({i for same in (word, *PARTICLES[word]) for i in said.places(same)})
    found = said.places(word) or (said.halves(word) if len(word) >= MIN_HALVED else [])
    return (
        sorted({*found, *(i for i, named in said.pronouns.items() if any(at in named for at in found))}) if said.pronouns else found
    )


def _occurrences(said: Said, want: Wanted, places: list[list[int]]) -> list[list[int]]:
    """Where all of the label's words are together, one place for each, in the order of the text."""
    found = []
    for anchor in places[0]:
        first, end = said.sentence_of(anchor)
        inside = [[i for i in at if first <= i < end] for at in places[1:]]
        if not all(inside) or (not inside and anchor in said.pronouns):
            continue
        nearest = [anchor, *(min(at, key=lambda i: (abs(i - anchor), i)) for at in inside)]
        ahead = [anchor, *(min(at, key=lambda i: (i < anchor, abs(i - anchor))) for at in inside)]
        chosen = next((some for some in (nearest, ahead) if _together(said, want, some) and _whole(said, want, some)), None)
        if chosen:
            found.append(chosen)
    return sorted(found, key=max)


def _judged(said: Said, want: Wanted, chosen: list[int]) -> Verdict:
    first, end = said.sentence_of(max(chosen))
    sentence, breaks, own = said.words[first:end], said.breaks(first, end), frozenset(want.words)
    flags = _asked(sentence) or stances(sentence, breaks, own)
    inside = [i - first for i in chosen if i >= first]
    marks = {flags[i] for i in inside}
    lowest, highest = min(chosen), max(chosen)
    if said.is_printed(lowest):
        return Verdict(keep=False, reason="label_open", score=0.0, extracted=said.stretch(first, end - 1))
    if DENIED in marks or dismissed_after(sentence, max(inside) + 1) or _answered_no(said, end):
        return Verdict(keep=False, reason="label_denied", score=0.0, extracted=said.stretch(first, end - 1))
    if OPEN in marks or ("or" not in own and alternative(sentence, breaks, min(inside), max(inside))):
        return Verdict(keep=False, reason="label_open", score=0.0, extracted=said.stretch(first, end - 1))
    found = tuple(sorted(said.spans[i] for i in chosen))
    return Verdict(keep=True, reason="contains_label", score=1.0, extracted=said.stretch(lowest, highest), found=found)


def _answered_no(said: Said, end: int) -> bool:
    """ "Fishing? No." """
    return end < len(said.words) and "?" in said.gap(end) and said.words[end] in ("no", "nope", "not")


def _asked(sentence: Sequence[str]) -> bytearray | None:
    """A question asserts nothing: all open."""
    asks = sentence[0] in ("is", "are", "was", "were", "does", "do", "did", "could", "can", "should") and len(sentence) > 2
    return bytearray([OPEN]) * len(sentence) if asks and sentence[1] in ASKED else None


ASKED = frozenset("he she it they this that the there a an we you someone anyone".split())


def _together(said: Said, want: Wanted, chosen: list[int]) -> bool:
    """Whether words of one sentence are near each other, and stand to each other as in the label."""
    inner = sorted(chosen)
    at = dict(zip(want.content, chosen, strict=True))
    for a, b in pairwise(inner):
        between = said.words[a + 1 : b]
        if len(between) >= REACH or not CLAUSE.isdisjoint(between):
            return False
        if _turns(between) or "who" in between or "whose" in between:
            return False
        if not BESIDE.isdisjoint(between) and BESIDE.isdisjoint(want.words) and between[0] not in BESIDE:
            return False
    if not _in_roles(said, want, at):
        return False
    for verb, particle in want.particles:
        distance = at[particle] - at[verb]
        if not 0 < distance <= PARTICLE_REACH or OPPOSITE.get(want.words[particle]) in said.words[at[verb] : at[particle]]:
            return False
    return all(_governed(said, want.words[preposition], at[noun]) for preposition, noun in want.prepositions)


def _in_roles(said: Said, want: Wanted, at: dict[int, int]) -> bool:
    """Whether who does it and what it is done to have not changed places: for English, and not for passives."""
    verb = next((i for i in want.content if want.words[i].endswith("ing")), None)
    if verb is None:
        return True
    place = at[verb]
    things = [place_of for i, place_of in at.items() if i > verb and want.words[i] not in PARTICLES]
    if verb == want.content[0]:
        behind = said.words[place + 1 : place + 4]
        other = (
            bool(behind)
            and behind[0] in ARTICLES
            and not said.gap(place + 1).strip()
            and not any(place < thing <= place + 4 for thing in things)
        )
        return not (things and max(things) < place and other)  # he puts the book down and takes the phone
    doers = [place_of for i, place_of in at.items() if i < verb]
    passive = "by" in said.words[place + 1 : place + 4]
    return passive or not things or not (min(things) < place < max(doers))


def _turns(between: Sequence[str]) -> bool:
    """Whether another verb with its own thing begins between two words: closes [the cupboard and leaves the] drawer."""
    for i, word in enumerate(between[:-1]):
        if word == "and" and not ARTICLES.isdisjoint(between[:i]) and between[i + 1] not in ARTICLES:
            return True
    return False


def _governed(said: Said, preposition: str, noun: int) -> bool:
    """Whether a preposition, or what says the same, stands before a noun, and no other between them."""
    same = (preposition, *PARTICLES[preposition])
    for i in range(noun - 1, max(-1, noun - 1 - PREPOSITION_REACH), -1):
        if said.words[i] in same:
            return "out" not in said.words[max(0, i - 1) : noun] or "out" in same
        if said.words[i] in OTHER_PREPOSITIONS:
            return False
    return False


def _whole(said: Said, want: Wanted, chosen: list[int]) -> bool:
    """Whether no word is a part of a longer one, as diving is of sky-diving and a dog of a hot dog."""
    for i in chosen:
        for pair, other in ((said.words[i - 1 : i + 1], i - 1), (said.words[i : i + 2], i + 1)):
            if pair in COMPOUNDS and other not in chosen and said.words[other] not in want.words:
                return False
        parts = said.compound(i)
        strange = [j for j in parts if j not in chosen and not any(same_word(said.words[j], word) for word in want.words)]
        if strange and not any(same_word("".join(said.words[j] for j in parts), word) for word in want.words):
            return False
    return True


def _has_phrase(said: Said, want: Wanted) -> Verdict:
    """The label's words side by side, whatever stands between them; the last such place decides."""
    size, own = len(want.words), frozenset(want.words)
    verdict = Verdict(keep=False, reason="label_missing", score=0.0, extracted="")
    for i in range(len(said.words) - size + 1):
        if not all(same_word(said.words[i + k], word) for k, word in enumerate(want.words)):
            continue
        if not _whole(said, want, list(range(i, i + size))):
            continue
        first, end = said.sentence_of(i)
        marks = {*stances(said.words[first:end], said.breaks(first, end), own)[i - first : i + size - first]}
        if DENIED in marks:
            verdict = Verdict(keep=False, reason="label_denied", score=0.0, extracted=said.stretch(first, end - 1))
        elif OPEN in marks and not verdict.keep:
            verdict = Verdict(keep=False, reason="label_open", score=0.0, extracted=said.stretch(first, end - 1))
        elif OPEN not in marks:
            found = tuple(said.spans[i + k] for k in range(size))
            verdict = Verdict(keep=True, reason="contains_label", score=1.0, extracted=said.stretch(i, i + size - 1), found=found)
    return verdict
