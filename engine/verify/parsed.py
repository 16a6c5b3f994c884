"""What a dependency parse says against an occurrence of a label that the rules keep: a modifier, state, denial, another object.

A parser errs too, most of all in fragments. So only relations decide that it seldom gets wrong, and it never keeps what the rules
reject.
"""

from collections.abc import Collection, Sequence

from engine.language.answer import Answer
from engine.language.parse import Token
from engine.language.vocabulary import PEOPLE
from engine.language.words import lemmas
from engine.verify.state import OCCASIONS

OBJECTS = frozenset(["dobj", "nsubjpass"])
STATE_RELATIONS = frozenset("auxpass nsubjpass punct cc conj advcl mark".split())
"""Relations of what depends on a passive that says how a thing is."""


def is_refuted(answer: Answer, verb: int, nouns: Collection[int], own: Collection[str]) -> bool:
    """Whether the parse of the verb's sentence refutes that it happens to these nouns. False without a parser.

    `verb`, `nouns`: positions in the answer; `own`: the label's words.
    """
    tokens, start = answer.parsed(verb)
    places = {_index(tokens, answer.word_spans[i][0] - start): i for i in (verb, *nouns)}
    token = next((k for k, i in places.items() if i == verb), -1)
    if token < 0:
        return False
    return (
        _is_modifier(tokens, token, own)
        or _is_state(tokens, token)
        or ("not" not in own and _is_denied(tokens, token))
        or any(_is_of_another_verb(tokens, token, k) for k, i in places.items() if i != verb and k >= 0)
    )


def _index(tokens: Sequence[Token], offset: int) -> int:
    """The token at an offset; -1 without one."""
    return next((k for k, token in enumerate(tokens) if token.start <= offset < token.end), -1)


def _is_modifier(tokens: Sequence[Token], k: int, own: Collection[str]) -> bool:
    """Whether the token describes a noun: "swimming pool", "peeled onion". A person or an occasion with it is the action."""
    token = tokens[k]
    if token.dep not in ("amod", "compound") or token.tag not in ("VBN", "VBG", "JJ", "NN"):
        return False
    head = tokens[token.head].lemma
    is_own = any(head in lemmas(word) for word in own)
    return token.tag == "VBN" or not (is_own or head in PEOPLE or head in OCCASIONS)


def _is_state(tokens: Sequence[Token], k: int) -> bool:
    """Whether the token is a passive in the present with nothing but its subject, beside another clause: "the door is locked, so".

    Who did it, how, where and what else was done make it an event: "the onion is peeled and cut".
    """
    children = [token for i, token in enumerate(tokens) if token.head == k and i != k]
    auxiliaries = [token for token in children if token.dep == "auxpass"]
    if tokens[k].tag != "VBN" or len(auxiliaries) != 1 or auxiliaries[0].tag not in ("VBZ", "VBP"):
        return False
    relations = {token.dep for token in children}
    is_beside_clause = not relations.isdisjoint(("advcl", "cc")) or tokens[k].dep in ("ccomp", "advcl")
    is_chain = any(token.dep == "conj" and token.tag == "VBN" for token in children)
    return is_beside_clause and not is_chain and relations <= STATE_RELATIONS


def _is_denied(tokens: Sequence[Token], k: int) -> bool:
    """Whether the verb itself is denied. What governs it is left to the rules: "cannot stop laughing", "never fails to dance"."""
    return any(token.dep == "neg" and token.head == k for token in tokens)


def _is_of_another_verb(tokens: Sequence[Token], verb: int, noun: int) -> bool:
    """Whether the noun is the object of another verb, while the label's verb has an object of its own."""
    if tokens[noun].dep not in OBJECTS:
        return False
    other = tokens[noun].head
    if other == verb or verb in _ancestors(tokens, noun) or noun in _ancestors(tokens, verb):
        return False
    objects = [i for i, token in enumerate(tokens) if token.head == verb and token.dep in OBJECTS]
    return bool(objects) and tokens[other].tag.startswith("VB")


def _ancestors(tokens: Sequence[Token], k: int) -> set[int]:
    ancestors: set[int] = set()
    while tokens[k].head != k and tokens[k].head not in ancestors:
        k = tokens[k].head
        ancestors.add(k)
    return ancestors
