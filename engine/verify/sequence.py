"""Class sequence labels: the classes happen in the label's order, which is not always the order in which the text names them."""

from collections.abc import Sequence

from engine.labels import ClassSequence
from engine.language.answer import Answer
from engine.language.order import Mention, chronological
from engine.language.scope import DENIED, OPEN
from engine.language.vocabulary import FUNCTION_WORDS
from engine.rows import Verdict
from engine.verify.enumeration import MANY_THINGS
from engine.verify.occurrences import label_word_positions
from engine.verify.pattern import patterns_of

WORD_REACH = 4
"""Words between one word of a class and the next, plus one."""


def verify_sequence(answer: Answer, label: ClassSequence) -> Verdict:
    mentions = find_mentions(answer, list(dict.fromkeys(label.items)))
    names = {mention.name for mention in mentions}
    missing = [item for item in label.items if item not in names]
    if missing:
        score = 1 - len(set(missing)) / len(set(label.items))
        return Verdict(keep=False, reason="label_missing", score=score, extracted=f"missing: {missing[0]}")
    size, items = len(label.items), list(label.items)
    has_repeats = len(set(items)) < size
    order = [mention.name for mention in mentions] if has_repeats else chronological(answer, mentions)
    keep = order[:size] == items or order[-size:] == items
    spans = tuple(answer.span_of(first, end - 1) for _, first, end in mentions)
    if keep and len(order) >= size * MANY_THINGS:
        return Verdict(keep=False, reason="repetition", score=0.0, extracted=", ".join(order[: size + 1]), spans=spans)
    return Verdict(
        keep=keep,
        reason="contains_label" if keep else "wrong_order",
        score=1.0 if keep else 0.5,
        extracted=", ".join(order),
        spans=spans,
    )


def find_mentions(answer: Answer, items: Sequence[str]) -> list[Mention]:
    """Where the text names and asserts the items, in the order of the text; of overlapping mentions the longer one."""
    candidates: list[Mention] = []
    for item in items:
        for pattern in patterns_of(item):
            content = [word for word in pattern.words if word not in FUNCTION_WORDS] or list(pattern.words)
            candidates += [Mention(item, first, end) for first, end in _word_ranges(answer, content)]
    candidates.sort(key=lambda mention: (mention.first - mention.end, mention.first))
    mentions: list[Mention] = []
    for candidate in candidates:
        is_apart = all(candidate.end <= mention.first or candidate.first >= mention.end for mention in mentions)
        if is_apart and _is_asserted(answer, candidate):
            mentions.append(candidate)
    return sorted(mentions, key=lambda mention: mention.first)


def _word_ranges(answer: Answer, content: Sequence[str]) -> list[tuple[int, int]]:
    """Word ranges that hold all the words near each other, each behind the one before it where possible."""
    ranges = []
    positions_of_others = [frozenset(label_word_positions(answer, word)) for word in content[1:]]
    for first in label_word_positions(answer, content[0]):
        furthest, chosen = first, [first]
        for positions in positions_of_others:
            between = next((i for i in range(first + 1, furthest) if i in positions and i not in chosen), None)
            if between is not None:
                chosen.append(between)  # "puts the cup down"
                continue
            ahead = next((i for i in range(furthest + 1, min(len(answer.words), furthest + WORD_REACH)) if i in positions), None)
            behind = next((i for i in range(first - 1, max(-1, first - WORD_REACH), -1) if i in positions), None)
            nearest = ahead if ahead is not None else behind
            if nearest is None or (ahead is None and any(answer.breaks(nearest, first + 1))):
                break
            furthest = max(furthest, nearest)
            chosen.append(nearest)
        else:
            ranges.append((min(chosen), max(chosen) + 1))
    return ranges


def _is_asserted(answer: Answer, mention: Mention) -> bool:
    _, sentence_end = answer.sentence_of(mention.first)
    return all(answer.stances[i] not in (DENIED, OPEN) for i in range(mention.first, min(mention.end, sentence_end)))
