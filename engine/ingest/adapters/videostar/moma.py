"""MOMA-LRG as Video-STaR asks about it: anns.json, with activities, their parts, and the people and things of single moments.

Of an activity: its parts in their order, what comes after and before one of them. Of a part: where somebody goes, whether two boxes
hold the same, and how two relate; at most ten questions of each, as in the release. Its parts are in the order of time, which the
release loses. What is called unsure or unclassified is left out, as the release means to.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from engine.ingest.adapters.source import Source, each, parts, worded
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
    questions = chain(_of_activity(activity), *(_of_part(item, part) for part in activity["sub_activities"]))
    return [(f"question {question.clip_id}", (item, question)) for question in questions if not _is_unsure(question)]


def _is_unsure(question: Question) -> bool:
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


def _of_activity(activity: dict[str, Any]) -> Iterator[Question]:
    window = _window(activity)
    in_time = sorted(activity["sub_activities"], key=lambda part: float(part["start_time"]))
    names = tuple(dict.fromkeys(part["class_name"] for part in in_time))
    if not names:
        return
    name = activity["id"]
    sequence = ClassSequence(key="action_sequence", items=names)
    yield Question(clip_id=f"{name}/sequence", kind="sequence", window=window, label=sequence, values={})
    if len(names) < 2:
        return
    places = range(len(names) - 1)
    after, before = drawn(places, name, "after"), drawn(places, name, "before")
    label = sentence_label("action_after_action", names[after + 1], "span")
    yield Question(clip_id=f"{name}/after", kind="after", window=window, label=label, values={"action": names[after]})
    label = sentence_label("action_before_action", names[before], "span")
    yield Question(clip_id=f"{name}/before", kind="before", window=window, label=label, values={"action": names[before + 1]})


def _of_part(item: dict[str, Any], part: dict[str, Any]) -> Iterator[Question]:
    sightings: dict[str, list[Sighting]] = {}
    for at in part["higher_order_interactions"]:
        for actor in at["actors"]:
            sightings.setdefault(actor["id"], []).append(Sighting(at, actor))
    for questions in (_locations(item, part, sightings), _comparisons(item, part, sightings), _relations(item, part)):
        yield from _at_most(list(questions))


def _at_most(questions: list[Question]) -> list[Question]:
    """MOST of them, drawn by their ids, in their order."""
    drawn_ids = sorted((drawn(range(2**32), question.clip_id, "most"), question.clip_id) for question in questions)[:MOST]
    return [question for question in questions if question.clip_id in {clip_id for _, clip_id in drawn_ids}]


def _locations(item: dict[str, Any], part: dict[str, Any], sightings: dict[str, list[Sighting]]) -> Iterator[Question]:
    """Of who is seen more than twice: at one moment shown, at another one asked for."""
    for name, seen_at in sightings.items():
        if len(seen_at) > 2:
            clip_id = f"{part['id']}/location/{name}"
            first, second = _two(seen_at, clip_id)
            box, values = _place(item, second.actor), _shown(item, part, first) | {"object": first.actor["class_name"]}
            values |= {"other_time": _time(part, second.moment)}
            label = Box(key="location", box=box)
            yield Question(clip_id=clip_id, kind="location", window=_window(part), label=label, values=values)


def _comparisons(item: dict[str, Any], part: dict[str, Any], sightings: dict[str, list[Sighting]]) -> Iterator[Question]:
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
            other_values = _shown(item, part, second)
            values = _shown(item, part, first) | {"other_box": other_values["box"], "other_time": other_values["time"]}
            label = All(labels=comparison(first.actor["class_name"], second.actor["class_name"]))
            yield Question(clip_id=f"{clip_id}/{which}", kind="same_object", window=_window(part), label=label, values=values)


def _relations(item: dict[str, Any], part: dict[str, Any]) -> Iterator[Question]:
    for at in part["higher_order_interactions"]:
        entities = {entity["id"]: entity for entity in (*at["actors"], *at["objects"])}
        for number, relation in enumerate((*at["relationships"], *at["transitive_actions"])):
            first, second = entities[relation["source_id"]], entities[relation["target_id"]]
            text = relation["class_name"].replace("[src]", first["class_name"]).replace("[trg]", second["class_name"])
            values = {"first": _named(item, first), "second": _named(item, second), "time": _time(part, at)}
            yield Question(
                clip_id=f"{part['id']}/relation/{at['id']}/{number}",
                kind="relation",
                window=_window(part),
                label=sentence_label("relationship_interation", text),
                values=values,
            )


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
