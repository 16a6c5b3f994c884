"""Narrations: how they are asked for, the words they use for verb and noun, and canonical ones."""

import re
import string
from dataclasses import dataclass
from functools import lru_cache

from engine.language.vocabulary import ARTICLES, FUNCTION_WORDS, PARTICLES, PLACES
from engine.language.words import same_word, words

WORDINGS = {
    "plain": ("{question}",),
    "published": (
        "{question}",
        "Question: {question}",
        "{question} An answer to the question is",
        "Q: {question} A:",
        "Given the video, answer the following question. {question}",
        "Based on the video, respond to this question: {question} Answer:",
        "Use the provided video to answer the question: {question}",
        'What is the answer to the following question? "{question}"',
        'The question "{question}" can be answered using the video. The answer is',
    ),
}
"""Prompts for a shot, by episodes.wordings; one is drawn for each shot. The published nine are EILEV's, taken from InstructBLIP."""
EVALUATED = {"plain": "{question}", "published": "Question: {question} Answer:"}
"""The prompt in evaluation, by episodes.wordings."""
ENDS = FUNCTION_WORDS - {"her", "his", "the", "a", "an", "some", "my", "your"} | {"from", "into", "onto", "then", "while", "using"}
"""A noun phrase ends before these words."""
TO = frozenset(["to", "for"])
NOT_NOUNS = ARTICLES | {"and", "then", "again", "together"}
"""Words behind a verb or a preposition that need no article."""


def canonical_narration(template: str, verb: str, noun: str) -> str:
    """The same narration for all clips of an action: the ablation of dynamic meaning (episodes.canonical).

    >>> canonical_narration("The camera wearer {verb} the {noun}.", "pick up", "knife")
    'The camera wearer picks up the knife.'
    >>> canonical_narration("The {noun} {verb}.", "dry", "cup")
    'The cup dries.'
    """
    return template.replace("{verb}", third_person(verb.replace("_", " "))).replace("{noun}", noun.replace("_", " "))


def third_person(phrase: str) -> str:
    """The phrase with its first word, a verb, in the third person.

    >>> third_person("pick up"), third_person("dry"), third_person("be")
    ('picks up', 'dries', 'is')
    """
    first, *rest = phrase.split()
    return " ".join([_third_person(first), *rest])


def _third_person(verb: str) -> str:
    if verb in ("be", "have"):
        return {"be": "is", "have": "has"}[verb]
    if re.search(r"(s|x|z|ch|sh|o)$", verb):
        return f"{verb}es"
    return f"{verb[:-1]}ies" if re.search(r"[^aeiou]y$", verb) else f"{verb}s"


def sentence_of(template: str, narration: str, verb: str) -> str:
    """A narration that is a phrase, "open door", as a sentence; one that begins as the template does is left as it is.

    The phrase begins with its verb, which gets the third person; what it is done to, and with or on what, gets an article. EILEV
    had an LLM write the sentences, which puts no article before what is not counted ("adds thyme to the dough").

    >>> sentence_of("The camera wearer {phrase}.", "open door.", "open")
    'The camera wearer opens the door.'
    >>> sentence_of("The camera wearer {phrase}.", "put down pan on his hob", "put down")
    'The camera wearer puts down the pan on his hob.'
    >>> sentence_of("The camera wearer {phrase}.", "The camera wearer cuts.", "cut"), sentence_of("He {phrase}.", "wash", "wash")
    ('The camera wearer cuts.', 'He washes.')
    """
    before, _ = template.split("{phrase}")
    if before.strip() and narration.lower().startswith(before.strip().lower()):
        return narration
    phrase, verb_words = narration.strip(string.punctuation + string.whitespace).lower().split(), verb.lower().split()
    if not phrase:
        return ""
    size = len(verb_words) if verb_words and phrase[: len(verb_words)] == verb_words else 1
    written = third_person(" ".join(phrase[:size])).split()
    for place in range(size, len(phrase)):
        is_noun = phrase[place] not in PARTICLES.keys() | PLACES | FUNCTION_WORDS | NOT_NOUNS
        if is_noun and (place == size or phrase[place - 1] in PLACES | TO):
            written.append("the")
        written.append(phrase[place])
    return template.replace("{phrase}", " ".join(written))


@dataclass(frozen=True, slots=True)
class Surface:
    """The words that a narration uses for verb and noun: Surface("picks up", "knife"); "" for one that it does not name."""

    verb: str
    noun: str


def surface(narration: str, pattern: str) -> Surface | None:
    """The narration's words at the places of {verb} and {noun} in the pattern; None if the narration does not match it.

    >>> surface("The camera wearer picks up the red knife from the table.", "The camera wearer {verb} {noun}")
    Surface(verb='picks up', noun='red knife')
    >>> surface("The dax zups.", "The {noun} {verb}"), surface("A man walks.", "The camera wearer {verb} {noun}")
    (Surface(verb='zups', noun='dax'), None)
    """
    match = _compiled(pattern).match(" ".join(narration.strip(string.punctuation + string.whitespace).split()))
    if match is None:
        return None
    groups = match.groupdict()
    verb, phrase = groups.get("verb") or "", (groups.get("noun") or "").lower().split()
    if pattern.find("{verb}") < pattern.find("{noun}") and phrase and phrase[0] in PARTICLES:
        verb = f"{verb} {phrase.pop(0)}"
    noun: list[str] = []
    for word in phrase:
        bare = word.strip(string.punctuation)
        if noun and (bare in ENDS or bare in PARTICLES):
            break
        if bare not in FUNCTION_WORDS:
            noun.append(bare)
    return Surface(verb.lower(), " ".join(noun))


@lru_cache(maxsize=16)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(
        r"(\{verb\}|\{noun\})", " ".join(pattern.strip(string.punctuation.replace("{", "").replace("}", "") + " ").split())
    )
    ways = {"{verb}": r"(?P<verb>[\w'’-]+)", "{noun}": r"(?P<noun>.*?)"}
    return re.compile(r"\s*".join(ways.get(part) or re.escape(part.strip()) for part in parts if part.strip()) + "$", re.IGNORECASE)


def says(text: str, phrase: str) -> bool:
    """True if the text contains the words of the phrase, in a row and in any of their forms; False for an empty phrase.

    >>> says("The camera wearer picked up a knife.", "picks up"), says("The dax zups.", "wug"), says("anything", "")
    (True, False, False)
    """
    text_words, phrase_words = words(text), words(phrase)
    return bool(phrase_words) and any(
        all(same_word(a, b) for a, b in zip(text_words[start:], phrase_words, strict=False))
        for start in range(len(text_words) - len(phrase_words) + 1)
    )
