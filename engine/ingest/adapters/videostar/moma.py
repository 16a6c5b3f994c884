"""MOMA-LRG as Video-STaR asks about it: anns.json, with activities, their parts, and the people and things of single moments.

Of an activity: its parts in their order, what comes after and before one of them. Of a part: where somebody goes, whether two boxes
hold the same, and how two relate; at most ten questions of each, as in the release. Its parts are in the order of time, which the
release loses. What is called unsure or unclassified is left out, as the release means to.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise
from typing import Any

from engine.ingest.adapters.source import Source, attempted, each, parts, worded
from engine.ingest.adapters.videostar.parts import comparison, drawn, in_square, moment, sentence_label, written
from engine.ingest.adapters.videostar.questions import Pools, worded_question, wordings
from engine.ingest.tables import Record, Row
from engine.labels import All, Box, ClassSequence, Label

VIDEO = "{file_name}"
GROUP = "MOMA"
MOST = 10
"""Questions of a kind about one part of an activity."""
UNSURE = ("unsure", "unclassified")


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question before it is worded."""

    clip_id: str
    kind: str
    window: tuple[float, float]
    label: Label
    values: dict[str, Any]


Draft = tuple[str, Callable[[], Question]]
"""The clip_id of a question, and what makes it: one that its annotation does not allow is one bad row."""


@dataclass(frozen=True)
class Sighting:
    """An actor at a moment, in corners of pixels."""

    moment: dict[str, Any]
    actor: dict[str, Any]


def records(source: Source) -> Iterator[Record]:
    pools = wordings(source)
    return each(parts(source.json_items("item"), _questions), lambda pair: _row(source, pools, *pair))


def _questions(item: dict[str, Any]) -> list[tuple[str, Any]]:
    activity = item["activity"]
    drafts = [*_of_activity(activity), *(draft for part in activity["sub_activities"] for draft in _of_part(item, part))]
    questions = ((f"question {clip_id}", attempted(make)) for clip_id, make in drafts)
    return [(name, of if isinstance(of, ValueError) else (item, of)) for name, of in questions if not _is_unsure(of)]


def _is_unsure(question: Question | ValueError) -> bool:
    if isinstance(question, ValueError):
        return False
    texts = (question.label.text, *map(str, question.values.values()))
    return any(word in text.casefold() for word in UNSURE for text in texts)


def _row(source: Source, pools: Pools, item: dict[str, Any], question: Question) -> Row:
    fields = {name: value for name, value in item.items() if isinstance(value, str | int | float)}
    return {
        "clip_id": question.clip_id,
        "video": source.video_of(VIDEO, fields | {"id": item["activity"]["id"]}),
        "start_s": question.window[0],
        "end_s": question.window[1],
        "question": worded_question(pools, question.kind, question.clip_id, question.label, question.values),
        "label": worded(question.label),
        "split": source.split_of(),
        "group": GROUP,
    }


def _of_activity(activity: dict[str, Any]) -> Iterator[Draft]:
    window, name = _window(activity), activity["id"]
    in_time = [part["class_name"] for part in sorted(activity["sub_activities"], key=lambda part: float(part["start_time"]))]
    if not in_time:
        return
    sequence = ClassSequence(key="action_sequence", items=tuple(dict.fromkeys(in_time)))
    yield f"{name}/sequence", partial(_question, f"{name}/sequence", "sequence", window, sequence)
    pairs = list(pairwise(action for action, _ in groupby(in_time)))
    for kind, key, known in (
        ("after", "action_after_action", _with_one(pairs)),
        ("before", "action_before_action", _with_one((after, before) for before, after in pairs)),
    ):
        # of what comes last, or first, nothing can be asked
        usable = [action for action in known if action != (in_time[-1] if kind == "after" else in_time[0])]
        if usable:
            action = drawn(usable, name, kind)
            label = sentence_label(key, known[action], "span")
            yield f"{name}/{kind}", partial(_question, f"{name}/{kind}", kind, window, label, action=action)


def _with_one(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The neighbour of each action that has the same one wherever it happens.

    >>> _with_one([("serve", "rally"), ("rally", "serve"), ("serve", "celebrate")])
    {'rally': 'serve'}
    """
    neighbours: dict[str, dict[str, None]] = {}
    for action, neighbour in pairs:
        neighbours.setdefault(action, {})[neighbour] = None
    return {action: next(iter(names)) for action, names in neighbours.items() if len(names) == 1}


def _question(clip_id: str, kind: str, window: tuple[float, float], label: Label, **values: Any) -> Question:
    return Question(clip_id=clip_id, kind=kind, window=window, label=label, values=values)


def _of_part(item: dict[str, Any], part: dict[str, Any]) -> Iterator[Draft]:
    sightings: dict[str, list[Sighting]] = {}
    for at in part["higher_order_interactions"]:
        for actor in at["actors"]:
            sightings.setdefault(actor["id"], []).append(Sighting(at, actor))
    for drafts in (_locations(item, part, sightings), _comparisons(item, part, sightings), _relations(item, part)):
        yield from _at_most(list(drafts))


def _at_most(drafts: Sequence[Draft]) -> list[Draft]:
    """MOST of them, drawn by their ids, in their order."""
    drawn_ids = sorted((drawn(range(2**32), clip_id, "most"), clip_id) for clip_id, _ in drafts)[:MOST]
    return [draft for draft in drafts if draft[0] in {clip_id for _, clip_id in drawn_ids}]


def _locations(item: dict[str, Any], part: dict[str, Any], sightings: dict[str, list[Sighting]]) -> Iterator[Draft]:
    """Of who is seen more than twice: at one moment shown, at another one asked for."""
    for name, seen_at in sightings.items():
        if len(seen_at) > 2:
            clip_id = f"{part['id']}/location/{name}"
            yield clip_id, partial(_location, item, part, clip_id, *_two(seen_at, clip_id))


def _location(item: dict[str, Any], part: dict[str, Any], clip_id: str, first: Sighting, second: Sighting) -> Question:
    values = _shown(item, part, first) | {"object": first.actor["class_name"], "other_time": _time(part, second.moment)}
    return _question(clip_id, "location", _window(part), Box(key="location", box=_place(item, second.actor)), **values)


def _comparisons(item: dict[str, Any], part: dict[str, Any], sightings: dict[str, list[Sighting]]) -> Iterator[Draft]:
    """One actor at two moments, where seen more than twice; and two actors, where there are at least three."""
    for name, seen_at in sightings.items():
        clip_id, pairs = f"{part['id']}/comparison/{name}", list[tuple[str, Sighting, Sighting]]()
        if len(seen_at) > 2:
            pairs.append(("self", *_two(seen_at, clip_id)))
        others = [other for other in sightings if other != name]
        if len(others) > 1:
            other = sightings[drawn(others, clip_id, "other")]
            pairs.append(("other", drawn(seen_at, clip_id, "first"), drawn(other, clip_id, "second")))
        for which, first, second in pairs:
            yield f"{clip_id}/{which}", partial(_comparison, item, part, f"{clip_id}/{which}", first, second)


def _comparison(item: dict[str, Any], part: dict[str, Any], clip_id: str, first: Sighting, second: Sighting) -> Question:
    other_values = _shown(item, part, second)
    values = _shown(item, part, first) | {"other_box": other_values["box"], "other_time": other_values["time"]}
    label = All(labels=comparison(first.actor["class_name"], second.actor["class_name"]))
    return _question(clip_id, "same_object", _window(part), label, **values)


def _relations(item: dict[str, Any], part: dict[str, Any]) -> Iterator[Draft]:
    for at in part["higher_order_interactions"]:
        for number, relation in enumerate((*at["relationships"], *at["transitive_actions"])):
            clip_id = f"{part['id']}/relation/{at['id']}/{number}"
            yield clip_id, partial(_relation, item, part, clip_id, at, relation)


def _relation(item: dict[str, Any], part: dict[str, Any], clip_id: str, at: dict[str, Any], relation: dict[str, Any]) -> Question:
    entities = {entity["id"]: entity for entity in (*at["actors"], *at["objects"])}
    first, second = entities[relation["source_id"]], entities[relation["target_id"]]
    text = relation["class_name"].replace("[src]", first["class_name"]).replace("[trg]", second["class_name"])
    values = {"first": _named(item, first), "second": _named(item, second), "time": _time(part, at)}
    return _question(clip_id, "relation", _window(part), sentence_label("relationship_interation", text), **values)


def _two(seen_at: list[Sighting], clip_id: str) -> tuple[Sighting, Sighting]:
    first = drawn(range(len(seen_at)), clip_id, "first")
    rest = [number for number in range(len(seen_at)) if number != first]
    return seen_at[first], seen_at[drawn(rest, clip_id, "second")]


def _shown(item: dict[str, Any], part: dict[str, Any], sighting: Sighting) -> dict[str, str]:
    return {"box": written(_place(item, sighting.actor)), "time": _time(part, sighting.moment)}


def _named(item: dict[str, Any], entity: dict[str, Any]) -> str:
    return f"the {entity['class_name']} at {written(_place(item, entity))}"


def _place(item: dict[str, Any], entity: dict[str, Any]) -> tuple[float, float, float, float]:
    """MOMA's boxes are a corner and a size."""
    x, y, width, height = (float(value) for value in entity["bbox"])
    return in_square((x, y, x + width, y + height), float(item["width"]), float(item["height"]))


def _time(part: dict[str, Any], at: dict[str, Any]) -> str:
    return moment(float(at["time"]), *_window(part))


def _window(stretch: dict[str, Any]) -> tuple[float, float]:
    return float(stretch["start_time"]), float(stretch["end_time"])
