"""Reject a rationalization that reveals that it was given the answer, or that only repeats it."""

from engine.labels import Label
from engine.language.answer import Answer
from engine.language.vocabulary import FUNCTION_WORDS
from engine.language.words import label_words, lemmas, phrases

_SAYS = (
    r"(?:says?|said|tells?|told|states?|stated|suggests?|indicates?|mentions?|mentioned|confirms?|implies|reveals?|gives?|gave"
    r"|describes?|identif(?:y|ies)|specif(?:y|ies)|provides?|provided|given|already)"
)
_TOLD = r"(?:given|provided|stated|supplied|known|told|mentioned|revealed|specified|indicated)"
_AGREES = (
    r"(?:consistent with|in line with|in accordance with|agree(?:s|ing)? with|correspond(?:s|ing)? (?:to|with)"
    r"|(?:match|fit|support|confirm)(?:e?s|t?ing)?)"
)
_RIGHT = r"(?:correct |right |true |given |provided |reference |official |human |gold )?"
_WERE = r"(?:'ve| have| had)? (?:was |were |am |are |been )?(?:already )?"
_OF_NO_VIDEO = r"(?<!video )(?<!clip )(?<!frames )(?<!images )(?<!footage )"
"""What is "provided" with every question reveals nothing."""
_GIVEAWAYS = phrases(
    "|".join(
        rf"\b(?:{pattern})"
        for pattern in (
            r"(?:the|this|that|your|given|provided) hints?\b(?! of\b)",
            r"hint\s*[:=]",
            r"as (?:a )?hint(?:ed)?\b(?! of\b)",
            rf"hints? {_SAYS}\b",
            rf"(?:the|this|that|your|video'?s|clip'?s) {_RIGHT}(?:label|annotation)s? {_SAYS}\b",
            r"ground[\s-]+truth|answer key|final label\s*[:=]",
            r"(?:given|provided|supplied|correct|true|gold|reference) (?:label|annotation)s?\b",
            rf"(?:according to|based on|as per|given|per|{_AGREES}|knowing|following) (?:the|this|your) {_RIGHT}"
            r"(?:annotations?\b(?! (?:on|to)\b)|(?:label|answer)s?\b(?! (?:on|of|to)\b))",
            r"expected (?:answer|label)\b",
            rf"(?:according to|based on|given|from) (?:the|your) {_TOLD} (?:information|description|context|answer)\b",
            rf"(?:information|description|context|(?:answer|action|activity) label) {_TOLD}\b(?! (?:by|on)\b)",
            rf"the {_TOLD} (?:action|activity|movement)s?\b",
            r"(?:video|clip|action|activity|it|this) (?:is|was|has been) (?:labell?ed|annotated|tagged)\b",
            r"(?:answer|label|solution)s?,? (?:that |which )?(?:i|we|is|was|were|has been)(?: (?:was|were|am|are))? "
            rf"{_TOLD}\b(?! (?:as|by)\b)",
            rf"{_TOLD} (?:correct |right |true )?(?:answer|solution)s?\b",
            r"(?:answer|solution|action|activity) (?:that )?(?:is|was|has been|had been|being) (?:already )?"
            rf"{_TOLD}\b(?! (?:as|by)\b)",
            r"(?:answer|solution) (?:that )?you (?:gave|mentioned|provided|stated)",
            rf"(?:the )?(?:answer|solution|prompt|question|instructions?) (?:already )?{_SAYS}\b"
            r"(?! (?:the viewer|us to|me to|by)\b)",
            r"(?:since|because|as|given|knowing|if|assuming)(?: that)? (?:the|your) (?:correct |right )?"
            r"(?:answer|label|annotation) (?:is|was|must be|has to be)\b",
            r"(?:given that|knowing(?: that)?|assuming(?: that)?) the (?:action|activity) (?:is|was|must be)\b",
            rf"the user {_SAYS}\b",
            rf"{_TOLD} (?:in|by) (?:the|your) (?:prompt|question|instructions?|user|hint)\b",
            r"(?:i|we)(?:'ve)?(?: (?:have|had|was|were|am|are|been|already|just))* (?:told|informed)\b",
            rf"(?:i|we){_WERE}(?:given|provided with) (?:the|this|that|an?) {_RIGHT}(?:answer|label|hint|solution|information)\b",
            r"(?:i|we) (?:already )?know (?:that )?the (?:correct |right )?(?:answer|label)\b",
            rf"{_OF_NO_VIDEO}(?:that you|(?<!that )you) (?:told|gave|said|mentioned|provided)\b",
            rf"as (?:is |was )?{_TOLD}\b\s*[,.]",
            rf"as (?:is |was )?{_TOLD}(?: \w+)? (?:in|by|with) (?:the|your) "
            r"(?:prompt|question|answer|hint|label|instructions?|user)\b",
            rf"it (?:is|was|has been) {_TOLD} (?:in the (?:question|prompt|answer|hint) )?that\b",
        )
    )
)
UNINFORMATIVE = FUNCTION_WORDS | frozenset(
    "answer answers final correct label hint action activity video clip shows show showing depicts question explanation reason "
    "reasoning because so therefore thus hence which what there here does do yes see seen can be step steps first then".split()
)
"""Words that do not count as an explanation."""
LONG_LABEL_WORDS, MIN_OWN_SHARE = 8, 0.25
"""For labels of at least 8 words: minimum share of answer words that are in neither label nor question."""


def revealing_span(text: str) -> tuple[int, int] | None:
    """Start and end of the phrase that reveals the hint; None if there is none.

    >>> revealing_span("As the label says, he dives."), revealing_span("He bends, leaps and dives.")
    ((3, 17), None)
    """
    match = _GIVEAWAYS.search(text)
    return match.span() if match else None


def copies_hint(answer: Answer, question: str, label: Label) -> bool:
    """Whether all informative words of the answer, or for a long label almost all, come from the prompt.

    >>> from engine.labels import Keywords
    >>> diving = Keywords(text="diving")
    >>> copies_hint(Answer("The answer is diving."), "What is it?", diving)
    True
    >>> copies_hint(Answer("He leaps: diving."), "What is it?", diving)
    False
    """
    prompt_forms = frozenset(form for word in [*label_words(label.text), *label_words(question)] for form in lemmas(word))
    informative = [word for word in answer.words if word not in UNINFORMATIVE]
    own = [word for word in informative if lemmas(word).isdisjoint(prompt_forms)]
    if not own:
        return True
    return len(label_words(label.text)) >= LONG_LABEL_WORDS and len(own) < MIN_OWN_SHARE * len(informative)
