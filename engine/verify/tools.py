"""What Video-STaR's published rules use beside the text: sentences compared, spans extracted, entailment, and a list of stop words.

The release loads four models for every run. Here a run loads those that its labels need: `needs` says which.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from engine.labels import All, AnyOf, Keywords, Label, Sentences, TimeRange
from engine.language import entailment, spans
from engine.language.similarity import Similarity, rouge_l_recall
from engine.language.similarity import of as similarity_of
from engine.language.vocabulary import FUNCTION_WORDS

Need = Literal["span", "entailment"]
StopWords = Literal["own", "spacy"]
OWN_STOP_WORDS = FUNCTION_WORDS | frozenset(
    "about above across after again against all almost along also although always am among another any anyone anything "
    "around back because become before behind below beside between both bottom but call can cannot could did do does "
    "doing done down during each either else empty enough even ever every everything except few first front full get give "
    "go here how however i if just keep last least less made make many may me might more most move much must my name "
    "neither never next no nobody none nor not nothing now off often once one only other out over own part per perhaps "
    "please put quite rather re really same say see seem several show side since so something still such take than then "
    "there these those through together too top toward towards two under until up upon us using various very via well "
    "what when where which while who whole why will within without would yet isn't aren't wasn't don't doesn't didn't n't "
    # prepositions, numerals, reflexives and others of the closed classes
    "in into on onto from beyond besides throughout unless though whether three four five six eight nine ten eleven twelve "
    "fifteen twenty forty fifty sixty hundred third myself yourself himself herself itself ourselves yourselves themselves mine "
    "yours ours whose whom everyone everywhere somehow sometime sometimes anyhow anyway anywhere nowhere elsewhere others became "
    "becomes becoming seems seemed used should further indeed thus hence therefore otherwise already alone meanwhile".split()
)
"""Stop words that the published matcher drops, negations, particles and light verbs among them: the greater part of spaCy's
English list. verify.stop_words = "spacy" is all of it."""


@dataclass(frozen=True)
class Tools:
    """Tools(): no models, sentences by ROUGE-L, and our own list of stop words."""

    similarity: Similarity = rouge_l_recall
    extractor: spans.Extractor | None = None
    entails: entailment.Entailment | None = None
    """None: such labels are compared as sentences."""
    stop_words: frozenset[str] = OWN_STOP_WORDS

    def span(self, question: str, text: str) -> spans.Span | None:
        """The span of the text that answers the question; None without a model for it, and for a text without words."""
        return self.extractor(question, text) if self.extractor and text.strip() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """ToolSpec(span_model="distilbert/distilbert-base-cased-distilled-squad"); "": none."""

    sentence_model: str = ""
    span_model: str = ""
    entailment_model: str = ""
    stop_words: StopWords = "own"


@lru_cache(maxsize=4)
def of(spec: ToolSpec) -> Tools:
    """Raises ValueError where one of them cannot be loaded."""
    return Tools(
        similarity=similarity_of(spec.sentence_model),
        extractor=spans.of(spec.span_model),
        entails=entailment.of(spec.entailment_model),
        stop_words=_stop_words(spec.stop_words),
    )


def _stop_words(source: StopWords) -> frozenset[str]:
    if source == "own":
        return OWN_STOP_WORDS
    try:
        from spacy.lang.en.stop_words import STOP_WORDS  # optional, and takes a second to import
    except ImportError:
        raise ValueError("verify.stop_words = \"spacy\" needs the package spacy: pip install 'starloop[parse]'") from None
    return frozenset(STOP_WORDS)


def needs(labels: Iterable[Label]) -> frozenset[Need]:
    """Which models the published rules take for these labels.

    >>> sorted(needs([Keywords(text="cup", reads="span"), Sentences(items=("He leaves.",), compare="entailment")]))
    ['entailment', 'span']
    """
    return frozenset(need for label in labels for need in _needs(label))


def _needs(label: Label) -> Iterable[Need]:
    match label:
        case All() | AnyOf():
            yield from needs(label.labels)
        case TimeRange() | Keywords(reads="span") | Sentences(reads="span"):
            yield "span"
    if isinstance(label, Sentences) and label.compare == "entailment":
        yield "entailment"
