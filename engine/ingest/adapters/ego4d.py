"""Ego4D, forecasting hands and objects: videos[] -> annotated_intervals[] -> narrated_actions[] of fho_main.json.

EILEV's selection: actions that are valid, not rejected, and the camera wearer's own ("#C C ..."); eight seconds around the
narration; the noun of the first changed object in a PNR frame. A clip's number counts the actions of its video that are kept, so
VIDEO/3 is EILEV's VIDEO|3. The label is verb and noun, or one of them where the other is missing, and where both are the narration.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

from engine.ingest.adapters.source import Source, ask, canonical, each, parts, worded
from engine.ingest.tables import Record, Row
from engine.labels import Keywords, Sentences
from engine.language.narration import clean

VIDEO = "{video_uid}.mp4"
WINDOW_S = 8.0
OWN = re.compile(r"#C\s+C\b", re.IGNORECASE)
QUESTIONS = (
    "What does the camera wearer do?",
    "What is the person who wears the camera doing here?",
    "What do the hands in this view do, and with what?",
)


def records(source: Source) -> Iterator[Record]:
    videos = source.json_items("videos.item", keys=("annotated_intervals",))
    return each(parts(videos, partial(_kept_actions, source)), lambda kept: _row(source, *kept))


def _kept_actions(source: Source, video: dict[str, Any]) -> list[tuple[str, Any]]:
    """By name: the video, the action, and its number among the kept ones. What is no action, or no interval, is one bad row."""
    video_uid, kept, number, index = video["video_uid"], list[tuple[str, Any]](), 0, 0
    left_out = Counter[str]()
    for place, interval in enumerate(video["annotated_intervals"] or []):
        actions = interval.get("narrated_actions", "") if isinstance(interval, dict) else ""
        if not isinstance(actions, list | None):
            kept.append((f"interval {place}", ValueError(f"video {video_uid}: it has no list of narrated_actions")))
            continue
        for action in actions or []:
            if isinstance(action, dict) and (reason := _unusable(action)):
                left_out[reason] += 1
            else:
                kept.append((f"action {number}", (video, action, index)))
                index += 1
            number += 1
    source.left_out[str(video_uid)] = left_out
    return kept


def _unusable(action: dict[str, Any]) -> str:
    """Why an action is left out; "" where it is kept. EILEV's rule: an action that is not said to be valid is not."""
    if action.get("is_rejected"):
        return "rejected"
    if not action.get("is_valid_action"):
        return "not_valid"
    return "" if OWN.match(str(action.get("narration_text") or "").strip()) else "not_the_wearers_own"


def _row(source: Source, video: dict[str, Any], action: dict[str, Any], index: int) -> Row:
    verb_class, noun_class = action.get("structured_verb") or "", _noun(action)
    verb, noun = canonical(verb_class), canonical(noun_class)
    duration_s = float((video.get("video_metadata") or {}).get("duration_sec") or video.get("duration_sec") or 0)
    narrated_s = float(action["narration_timestamp_sec"])
    start_s, end_s = window(narrated_s, duration_s)
    clip_id, description = f"{video['video_uid']}/{index}", clean(action["narration_text"])
    label = _label(action, verb, noun) if verb or noun else Sentences(items=(description,), ordered=False)
    return {
        "clip_id": clip_id,
        "video": source.video_of(VIDEO, video),
        "start_s": start_s,
        "end_s": end_s,
        "question": ask(QUESTIONS, clip_id, label),
        "label": worded(label),
        "split": source.split_of(),
        "verb": verb,
        "noun": noun,
        "description": description,
        "verb_class": verb_class,
        "noun_class": noun_class,
        "narration": action["narration_text"].strip(),
        "narrated_s": narrated_s,
    }


def _noun(action: dict[str, Any]) -> str:
    frames = (frame for frame in action.get("frames") or [] if frame.get("frame_type") == "pnr_frame")
    boxes = (box for frame in frames for box in frame.get("boxes") or [] if box.get("object_type") == "object_of_change")
    return next((str(noun) for box in boxes if (noun := box.get("structured_noun"))), "")


def _label(action: dict[str, Any], verb: str, noun: str) -> Keywords:
    """Verb and noun, also with the synonyms that the verb class lists: put_(place,_leave,_drop)."""
    inside = re.search(r"_\((.*)\)$", action.get("structured_verb") or "")
    verbs = [part.strip().replace("_", " ").strip() for part in inside[1].split(",")] if inside else []
    aliases = dict.fromkeys(f"{other} {noun}".strip() for other in verbs if other and other != verb)
    return Keywords(text=f"{verb} {noun}".strip(), aliases=tuple(aliases))


def window(time_s: float, duration_s: float) -> tuple[float, float]:
    """Start and end of the eight seconds around a moment, moved into the video.

    >>> window(10.0, 60.0), window(1.0, 60.0), window(59.0, 60.0)
    ((6.0, 14.0), (0.0, 8.0), (52.0, 60.0))
    """
    start_s = max(time_s - WINDOW_S / 2, 0.0)
    if duration_s and start_s + WINDOW_S > duration_s:
        start_s = max(duration_s - WINDOW_S, 0.0)
    return start_s, min(start_s + WINDOW_S, duration_s) if duration_s else start_s + WINDOW_S
