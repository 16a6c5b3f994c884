"""Where in an answer the verdict was decided, for the page to highlight. Pure, but for the rules that are asked again."""

from collections.abc import Iterable

from engine.rows import Attempt, Clip
from engine.verify.verdict import VerifySpec, verify

LONGEST_TEXT = 6_000
"""Characters of an answer that the page shows."""


def segments(text: str, spans: Iterable[tuple[int, int]]) -> list[str]:
    """The text cut at its marked places: every second segment, from the second on, is marked.

    Segments need no offsets, which Python and a browser count differently.

    >>> segments("It is rising.", [(6, 12)]), segments("It sinks.", [])
    (['It is ', 'rising', '.'], ['It sinks.'])
    """
    parts, done = [], 0
    for start, end in sorted(spans):
        if start < done or end <= start:
            continue
        parts += [text[done:start], text[start:end]]
        done = end
    return [*parts, text[done:]]


def deciding_spans(clip: Clip, attempt: Attempt, spec: VerifySpec) -> tuple[tuple[int, int], ...]:
    """Start and end of each place that decided. An attempt's row keeps the stretch and not its place.

    A stretch that stands once in the answer is the place. Else the rules are asked again; where they answer otherwise today
    (another version wrote the run, or a judge decided), or would need a model, the first place of the stretch is taken.
    """
    if attempt.outcome == "failed" or not attempt.detail:
        return ()
    start = attempt.text.find(attempt.detail)
    if start >= 0 and attempt.text.find(attempt.detail, start + 1) < 0:
        return ((start, start + len(attempt.detail)),)
    judged = next((judgement for judgement in attempt.judgements if judgement.stage == "rules"), None)
    if judged is not None and judged.reason == attempt.reason and not spec.sentence_model and not spec.parser:
        is_finished = attempt.reason != "cut_off"
        verdict = verify(attempt.text, clip.question, clip.label, attempt.mode, is_finished, spec)
        if verdict.reason == attempt.reason and verdict.spans:
            return verdict.spans
    return ((start, start + len(attempt.detail)),) if start >= 0 else ()
