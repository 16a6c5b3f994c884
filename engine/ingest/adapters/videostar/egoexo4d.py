"""Ego-Exo4D as Video-STaR asks about it: atomic_descriptions_train.json, with takes.json beside it or in the folder above.

Each description becomes two questions in each view: what happens at a moment, and when it happens. The view is the wearer's, where
the description says that it is visible there, and the best one from outside. A clip of 4 to 30 s lies around the moment. The
release's four kinds for an LLM to verify (commentary, good execution, tips, proficiency) are not built: it has no such verifier.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from engine.ingest.adapters.source import Source, attempted, each, parts, worded
from engine.ingest.adapters.videostar.parts import drawn, moment, sentence_label
from engine.ingest.adapters.videostar.questions import Pools, worded_question, wordings
from engine.ingest.json_rows import json_items
from engine.ingest.tables import NoFile, Record, Row, text_of
from engine.labels import Label, Timestamp

GROUP = "Ego-Exo4D"
FEWEST_S, MOST_S = 4.0, 30.0
WEARER, SOMEONE = re.compile(r"\bC\b"), re.compile(r"\b0\b")
KINDS = ("action_at", "time_of")


def records(source: Source) -> Iterator[Record]:
    pools, takes = wordings(source), _takes(source)
    annotated = ((f"{source.path} take {uid}", (uid, rounds)) for uid, rounds in source.json_pairs("annotations"))
    return each(parts(annotated, lambda pair: _questions(pair[0], pair[1], takes)), lambda question: _row(source, pools, *question))


@dataclass(frozen=True, kw_only=True)
class Described:
    """A description in one view."""

    name: str
    take: dict[str, Any]
    time_s: float
    text: str
    path: str
    """Of the video, below the data set's folder."""


def _questions(uid: str, rounds: list[dict[str, Any]], takes: dict[str, dict[str, Any]]) -> list[tuple[str, Any]]:
    """What is rejected or unsure is left out, and so is a text that one view has already."""
    if uid not in takes:
        raise ValueError(f"take {uid} is not in takes.json")
    described: dict[Any, Described | ValueError] = {}
    for place, of_round in enumerate(rounds):
        for number, description in enumerate(() if of_round.get("rejected") else of_round["descriptions"]):
            for view, path_of in () if description.get("unsure") else VIEWS.items():
                name = f"{uid}/{place}/{number}/{view}"
                subject = attempted(partial(_described, name, takes[uid], description, path_of))
                if isinstance(subject, ValueError):
                    described[name] = subject
                elif subject is not None:
                    described.setdefault((subject.text, subject.path), subject)
    return [
        (str(key), subject) if isinstance(subject, ValueError) else (f"{subject.name} {kind}", (subject, kind))
        for key, subject in described.items()
        for kind in (KINDS if isinstance(subject, Described) else KINDS[:1])
    ]


def _described(
    name: str, take: dict[str, Any], description: dict[str, Any], path_of: Callable[[dict[str, Any], dict[str, Any]], str]
) -> Described | None:
    """None where it cannot be seen in this view."""
    path = path_of(take["frame_aligned_videos"], description)
    if not path:
        return None
    text, time_s = _plain(description["text"]), float(description["timestamp"])
    return Described(name=name, take=take, time_s=time_s, text=text, path=f"{take['root_dir']}/{path}")


def _from_outside(cameras: dict[str, Any], description: dict[str, Any]) -> str:
    """The video of the camera that shows it best; "" where none is named."""
    best = (description.get("best_exo") or {}).get("cam_id")
    return str(cameras[best]["0"]["relative_path"]) if best else ""


def _of_wearer(cameras: dict[str, Any], description: dict[str, Any]) -> str:
    wearers = [streams for name, streams in cameras.items() if "aria" in name.casefold()]
    return str(wearers[0]["rgb"]["relative_path"]) if description.get("ego_visible") and wearers else ""


VIEWS = {"exo": _from_outside, "ego": _of_wearer}
"""How each view of a description is found: its video below the take's folder."""


def _row(source: Source, pools: Pools, subject: Described, kind: str) -> Row:
    clip_id, take = f"{subject.name}/{kind}", subject.take
    start_s, end_s = window(subject.name, subject.time_s, float(take["duration_sec"]))
    label: Label
    if kind == "action_at":
        label = sentence_label("action_description", subject.text)
        values = {"time": moment(subject.time_s, start_s, end_s)}
    else:
        label = Timestamp(key="normalized_time", time_s=subject.time_s - start_s, duration_s=end_s - start_s)
        values = {"action": subject.text}
    fields = {"path": subject.path, "take_uid": take["take_uid"], "take_name": take.get("take_name", "")}
    return {
        "clip_id": clip_id,
        "video": source.video_of("{path}", fields),
        "start_s": start_s,
        "end_s": end_s,
        "question": worded_question(pools, kind, clip_id, label, values),
        "label": worded(label),
        "split": source.split_of(),
        "group": GROUP,
    }


def window(name: str, time_s: float, duration_s: float) -> tuple[float, float]:
    """A stretch of 4 to 30 s around a moment, in the take; how long, and where the moment is in it, the name decides.

    >>> window("a", 50.0, 3.0)
    (0.0, 3.0)
    """
    if duration_s <= FEWEST_S:
        return 0.0, duration_s
    tenths = drawn(range(int(FEWEST_S * 10), int(MOST_S * 10) + 1), name, "length")
    length_s = min(tenths / 10, duration_s)
    before_s = length_s * drawn(range(1, 100), name, "place") / 100
    start_s = min(max(time_s - before_s, 0.0), duration_s - length_s)
    return round(start_s, 3), round(start_s + length_s, 3)


def _plain(text: str) -> str:
    """
    >>> _plain("C hands a cup to 0")
    'The camera wearer hands a cup to someone.'
    """
    sentence = SOMEONE.sub("someone", WEARER.sub("the camera wearer", text.strip()))
    sentence = sentence[:1].upper() + sentence[1:]
    return sentence if sentence[-1:] in ".!?" else f"{sentence}."


def _takes(source: Source) -> dict[str, dict[str, Any]]:
    """By take_uid, of takes.json. Raises ValueError where it is in neither place."""
    folder = source.path.rpartition("/")[0]
    above = folder.rpartition("/")[0] if "/" in folder else ""
    paths = [f"{place}/takes.json" if place else "takes.json" for place in dict.fromkeys((folder, above))]
    for path in paths:
        try:
            with text_of(path, source.storage) as text:
                takes = [take for _, take in json_items(path, text, "item")]
        except NoFile:
            continue
        return {take["take_uid"]: take for take in takes}
    raise ValueError(f"no takes.json in {' or '.join(paths)}; the annotations name their videos in it")
