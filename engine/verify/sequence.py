"""Classes in their order: the order in which they happen, which is not always the one in which they are named."""

from collections.abc import Sequence

from engine.labels import ClassSequence
from engine.language.negation import DENIED, OPEN
from engine.language.order import Mention, in_time
from engine.language.text import Said
from engine.language.vocabulary import FUNCTION_WORDS
from engine.rows import Verdict
from engine.verify.enumeration import MANY_THINGS
from engine.verify.keywords import places_of, wanted


def has_sequence(said: Said, label: ClassSequence) -> Verdict:
    named = mentions(said, list(dict.fromkeys(label.items)))
    missing = [item for item in label.items if all(item != one for one, _, _ in named)]
    if missing:
        score = 1 - len(set(missing)) / len(set(label.items))
        return Verdict(keep=False, reason="label_missing", score=score, extracted=f"missing: {missing[0]}")
    size, wish = len(label.items), list(label.items)
    order = in_time(said, named) if len(set(wish)) == size else [item for item, _, _ in named]
    keep = order[:size] == wish or order[-size:] == wish
    if keep and len(order) >= size * MANY_THINGS:
        return Verdict(keep=False, reason="repetition", score=0.0, extracted=", ".join(order[: size + 1]))
    return Verdict(
        keep=keep,
        reason="contains_label" if keep else "wrong_order",
        score=1.0 if keep else 0.5,
        extracted=", ".join(order),
        found=tuple((said.spans[a][0], said.spans[b - 1][1]) for _, a, b in named),
    )


def mentions(said: Said, items: Sequence[str]) -> list[Mention]:
    """Where which item is named and meant, in the order of the text; of two at one place the longer."""
    found: list[Mention] = []
    for item in items:
        for way in wanted(item):
            content = [word for word in way.words if word not in FUNCTION_WORDS] or list(way.words)
            found += [(item, a, b) for a, b in _places(said, content)]
    found.sort(key=lambda one: (one[1] - one[2], one[1]))
    kept: list[Mention] = []
    for one in found:
        if all(one[2] <= other[1] or one[1] >= other[2] for other in kept) and _is_meant(said, one):
            kept.append(one)
    return sorted(kept, key=lambda one: one[1])


def _places(said: Said, content: Sequence[str]) -> list[tuple[int, int]]:
    """Stretches that hold the words near each other, in their order if they can."""
    found = []
    others = [frozenset(places_of(said, word)) for word in content[1:]]
    for first in places_of(said, content[0]):
        at, places = first, [first]
        for other in others:
            ahead = next((i for i in range(at + 1, min(len(said.words), at + 4)) if i in other), None)
            behind = next((i for i in range(first - 1, max(-1, first - 4), -1) if i in other), None)
            step = ahead if ahead is not None else behind
            if step is None or (ahead is None and any(said.breaks(step, first + 1))):
                break
            at = max(at, step)
            places.append(step)
        else:
            found.append((min(places), max(places) + 1))
    return found


def _is_meant(said: Said, mention: Mention) -> bool:
    return all(said.marks[i] not in (DENIED, OPEN) for i in range(mention[1], min(mention[2], said.sentence_of(mention[1])[1])))
