"""Narrations: cleaned, canonical, asked for, and taken apart into the words that they use for a verb and a noun."""

import re
import string
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz.distance import LCSseq

from engine.language.vocabulary import FUNCTION_WORDS, PARTICLES
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
"""How a shot may be asked: plainly, or in EILEV's nine ways, which are InstructBLIP's. One is drawn for each shot."""
EVALUATED = {"plain": "{question}", "published": "Question: {question} Answer:"}
"""How it is asked in evaluation: always the same."""
ENDS = FUNCTION_WORDS - {"her", "his", "the", "a", "an", "some", "my", "your"} | {"from", "into", "onto", "then", "while", "using"}
"""Words after which a noun phrase is over."""


def canonical(template: str, verb: str, noun: str) -> str:
    """The narration that all clips of an action share, where meanings are not to change from narrator to narrator.

    >>> canonical("The camera wearer {verb} the {noun}.", "pick up", "knife"), canonical("The {noun} {verb}.", "dry", "cup")
    ('The camera wearer picks up the knife.', 'The cup dries.')
    """
    first, *rest = verb.replace("_", " ").split()
    return template.replace("{verb}", " ".join([_third_person(first), *rest])).replace("{noun}", noun.replace("_", " "))


def _third_person(verb: str) -> str:
    if verb in ("be", "have"):
        return {"be": "is", "have": "has"}[verb]
    if re.search(r"(s|x|z|ch|sh|o)$", verb):
        return f"{verb}es"
    return f"{verb[:-1]}ies" if re.search(r"[^aeiou]y$", verb) else f"{verb}s"


@dataclass(frozen=True, slots=True)
class Surface:
    """The words that a narration uses: Surface("picks up", "knife"); "" for what it does not say."""

    verb: str
    noun: str


def surface(narration: str, pattern: str) -> Surface | None:
    """A narration taken apart by where the pattern has its verb and its noun; None where it is built otherwise.

    >>> surface("The camera wearer picks up the red knife from the table.", "The camera wearer {verb} {noun}")
    Surface(verb='picks up', noun='red knife')
    >>> surface("The dax zups.", "The {noun} {verb}"), surface("A man walks.", "The camera wearer {verb} {noun}")
    (Surface(verb='zups', noun='dax'), None)
    """
    found = _compiled(pattern).match(" ".join(narration.strip(string.punctuation + string.whitespace).split()))
    if found is None:
        return None
    groups = found.groupdict()
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


def says(text: str, wanted: str) -> bool:
    """Whether a text holds some words, one after the other, in any of their forms; nothing wanted is nothing said.

    >>> says("The camera wearer picked up a knife.", "picks up"), says("The dax zups.", "wug"), says("anything", "")
    (True, False, False)
    """
    given, sought = words(text), words(wanted)
    return bool(sought) and any(
        all(same_word(a, b) for a, b in zip(given[i:], sought, strict=False)) for i in range(len(given) - len(sought) + 1)
    )


def rouge_l(gold: str, said: str) -> float:
    """ROUGE-L's F-measure (Lin 2004): the longest common subsequence of lower-case words, over both lengths.

    >>> rouge_l("The dax zups.", "the dax zups"), rouge_l("the dax zups", "the wug zups now"), rouge_l("a", "")
    (1.0, 0.5714285714285714, 0.0)
    """
    a, b = words(gold), words(said)
    if not a or not b:
        return 0.0
    return 2 * float(LCSseq.similarity(a, b)) / (len(a) + len(b))
