"""Does a text contain a label's words? The strict rule, and the published one with its constants."""

from rapidfuzz import fuzz

from engine.rows import Label, Verdict
from engine.verify.text import FUNCTION_WORDS, same_word, sentences, words

NEGATORS = frozenset("not no never without nor neither cannot hardly".split())
NEGATION_REACH = 5
"""Words after a negator that it may negate, up to the end of its clause."""
CLAUSE_WORDS = frozenset("but instead rather however so then".split())

PUBLISHED_STOP_WORDS = FUNCTION_WORDS | frozenset(
    "about above across after again against all almost along also although always am among another any anyone anything "
    "around back because become before behind below beside between both bottom but call can cannot could did do does "
    "doing done down during each either else empty enough even ever every everything except few first front full get give "
    "go here how however i if just keep last least less made make many may me might more most move much must my name "
    "neither never next no nobody none nor not nothing now off often once one only other out over own part per perhaps "
    "please put quite rather re really same say see seem several show side since so something still such take than then "
    "there these those through together too top toward towards two under until up upon us using various very via well "
    "what when where which while who whole why will within without would yet".split()
)
"""Stop words as the published matcher drops them: negations, particles and light verbs among them. It uses spaCy's English list, of
which this is the greater part, not the whole."""


def contains_label(text: str, label: Label) -> Verdict:
    """The strict rule: one sentence holds every content word of the label, in any of its forms, not negated.

    A label of function words only must occur as a phrase. Aliases count as the label does.
    """
    verdicts = [_contains(text, wanted) for wanted in (label.text, *label.aliases)]
    return max(verdicts, key=lambda verdict: (verdict.keep, verdict.score))


def _contains(text: str, wanted: str) -> Verdict:
    label_words = words(wanted)
    if not label_words:
        return Verdict(keep=False, reason="empty_label", score=0.0, extracted="")
    content = [word for word in label_words if word not in FUNCTION_WORDS]
    best, negated = 0.0, ""
    for sentence in sentences(text):
        clauses = _clauses(sentence)
        if not content:
            if _has_phrase([word for word, _ in clauses], label_words):
                return Verdict(keep=True, reason="contains_label", score=1.0, extracted=sentence)
            continue
        said = [[is_negated for word, is_negated in clauses if same_word(word, wanted)] for wanted in content]
        best = max(best, sum(bool(places) for places in said) / len(content))
        if all(said):
            if all(not all(places) for places in said):
                return Verdict(keep=True, reason="contains_label", score=1.0, extracted=sentence)
            negated = negated or sentence
    if negated:
        return Verdict(keep=False, reason="label_negated", score=0.0, extracted=negated)
    return Verdict(keep=False, reason="label_missing", score=best, extracted="")


def _clauses(sentence: str) -> list[tuple[str, bool]]:
    """The sentence's words, each with whether a negator reaches it."""
    marked: list[tuple[str, bool]] = []
    for clause in sentence.replace(":", ",").split(","):
        reach = 0
        for word in words(clause):
            if word in CLAUSE_WORDS:
                reach = 0
            marked.append((word, reach > 0))
            reach = NEGATION_REACH if word in NEGATORS or word.endswith("n't") else max(0, reach - 1)
    return marked


def _has_phrase(said: list[str], phrase: list[str]) -> bool:
    return any(said[i : i + len(phrase)] == phrase for i in range(len(said) - len(phrase) + 1))


def contains_label_fuzzily(text: str, label: Label, min_ratio: float, inclusive: bool) -> Verdict:
    """Video-STaR's rule: every label word but stop words and words of two letters has a look-alike anywhere in the text.

    ratio >= 80 in the paper (appendix A.1), > 85 in the released verifier (word_matching). As published, it does not see
    negation or word order, and a label of stop words only is contained in any text.
    """
    wanted = [word for word in words(label.text) if word not in PUBLISHED_STOP_WORDS and len(word) > 2]
    said = [word for word in words(text) if word not in PUBLISHED_STOP_WORDS and len(word) > 2]
    ratios = [max((fuzz.ratio(word, other) for other in said), default=0.0) for word in wanted]
    found = [ratio >= min_ratio if inclusive else ratio > min_ratio for ratio in ratios]
    keep = all(found)
    score = sum(found) / len(found) if found else 1.0
    return Verdict(keep=keep, reason="contains_label" if keep else "label_missing", score=score, extracted=" ".join(wanted))
