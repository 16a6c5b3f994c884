"""Text as the verifiers see it: words, sentences, and when two English words are forms of one another."""

import re
import unicodedata
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|\n+")
_VOWEL = re.compile(r"[aeiouy]|[^\x00-\x7f]")

FUNCTION_WORDS = frozenset(
    "a an and are as at be been by for from had has have he her his in into is it its of on onto or our she some that the "
    "their them they this to was we were with you your".split()
)
"""Words that carry no label by themselves. Particles (up, down, off) and light verbs (put, take) do, so they are not here."""

IRREGULAR = {
    form: lemma
    for lemma, forms in {
        "be": "am is are was were been", "do": "does did done", "go": "went gone goes", "have": "has had", "run": "ran",
        "eat": "ate eaten", "throw": "threw thrown", "catch": "caught", "swim": "swam swum", "sing": "sang sung", "sit": "sat",
        "ride": "rode ridden", "drive": "drove driven", "write": "wrote written", "draw": "drew drawn", "fly": "flew flown",
        "fall": "fell fallen", "rise": "rose risen", "sink": "sank sunk", "shrink": "shrank shrunk", "grow": "grew grown",
        "blow": "blew blown", "break": "broke broken", "speak": "spoke spoken", "shake": "shook shaken", "take": "took taken",
        "make": "made", "give": "gave given", "hold": "held", "stand": "stood", "build": "built", "bend": "bent", "buy": "bought",
        "bring": "brought", "teach": "taught", "fight": "fought", "feed": "fed", "read": "read", "leave": "left", "lose": "lost",
        "swing": "swung", "spin": "spun", "win": "won", "dig": "dug", "hang": "hung", "stick": "stuck", "strike": "struck",
        "sweep": "swept", "sleep": "slept", "weave": "wove woven", "wear": "wore worn", "tear": "tore torn", "lie": "lay lying",
        "tie": "tying", "die": "dying", "pay": "paid", "say": "said", "get": "got gotten", "see": "saw seen", "know": "knew known",
        "steal": "stole stolen", "freeze": "froze frozen", "shoot": "shot", "light": "lit", "wind": "wound", "grind": "ground",
        "person": "people", "man": "men", "woman": "women", "child": "children", "foot": "feet", "tooth": "teeth", "life": "lives",
    }.items()
    for form in forms.split()
}  # fmt: skip


def normal(text: str) -> str:
    """Unicode compatibility form, case folded.

    >>> normal("Ｄｏｉｎｇ YOGA")
    'doing yoga'
    """
    return unicodedata.normalize("NFKC", text).casefold()


def words(text: str) -> list[str]:
    """
    >>> words("It isn't diving: sky-diving, naïve!")
    ['it', "isn't", 'diving', 'sky', 'diving', 'naïve']
    """
    return [word.replace("’", "'") for word in _WORD.findall(normal(text))]


def sentences(text: str) -> list[str]:
    """
    >>> sentences("It goes up. Then down;\\nit stops")
    ['It goes up.', 'Then down;', 'it stops']
    """
    return [part for part in _SENTENCE_END.split(text.strip()) if part]


@lru_cache(maxsize=65_536)
def lemmas(word: str) -> frozenset[str]:
    """What a word may be a form of, itself included; two words are forms of one another where these sets meet.

    >>> sorted(lemmas("running") & lemmas("runs")), lemmas("diving") & lemmas("driving"), lemmas("sing") & lemmas("s")
    (['run'], frozenset(), frozenset())
    """
    word = word.removesuffix("'s")
    found = {word, IRREGULAR.get(word, word)}
    if word.endswith("ing"):
        found |= _stems(word[:-3])
    if word.endswith("ed"):
        found |= _stems(word[:-2])
    if word.endswith("ies") and len(word) > 4:
        found.add(word[:-3] + "y")
    if word.endswith("ied") and len(word) > 4:
        found.add(word[:-3] + "y")
    if word.endswith("es") and len(word) > 3:
        found.add(word[:-2])
    if word.endswith("s") and not word.endswith("ss") and len(word) > 2:
        found.add(word[:-1])
    return frozenset(found)


def _stems(base: str) -> set[str]:
    """What is left of a word without its ending: as it is, with its e back, with its last letter single again."""
    if len(base) < 2 or not _VOWEL.search(base):
        return set()
    stems = {base, base + "e"}
    if len(base) > 2 and base[-1] == base[-2]:
        stems.add(base[:-1])
    return stems


def same_word(a: str, b: str) -> bool:
    return a == b or not lemmas(a).isdisjoint(lemmas(b))
