"""Ego4D, forecasting hands and objects: videos[] -> annotated_intervals[] -> narrated_actions[] of fho_main.json.

EILEV's selection: actions that are valid, not rejected, and the camera wearer's own ("#C C ..."); eight seconds around the
narration; the noun of the first changed object in the PNR frame. The label is verb and noun, or one of them where the other is
missing.
"""

import re
from collections.abc import Iterator
from typing import Any

from engine.ingest.adapters.source import Source, ask, canonical, each, parts, worded
from engine.ingest.tables import Record, Row
from engine.labels import Keywords
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
    return each(parts(videos, _kept_actions), lambda kept: _row(source, *kept))


def _kept_actions(video: dict[str, Any]) -> list[tuple[str, Any]]:
    """By name: the video, the action, and its number among the kept ones. What is no action, or no interval, is one bad row."""
    video_uid, kept, number, index = video["video_uid"], list[tuple[str, Any]](), 0, 0
    for place, interval in enumerate(video["annotated_intervals"] or []):
        actions = interval.get("narrated_actions", "") if isinstance(interval, dict) else ""
        if not isinstance(actions, list | None):
            kept.append((f"interval {place}", ValueError(f"video {video_uid}: it has no list of narrated_actions")))
            continue
        for action in actions or []:
            if not isinstance(action, dict) or _is_kept(action):
                kept.append((f"action {number}", (video, action, index)))
                index += 1
            number += 1
    return kept


def _is_kept(action: dict[str, Any]) -> bool:
    narrated = OWN.match(str(action.get("narration_text") or "").strip())
    return not action.get("is_rejected") and action.get("is_valid_action", True) is not False and narrated is not None


def _row(source: Source, video: dict[str, Any], action: dict[str, Any], index: int) -> Row | None:
    """None where there is neither verb nor noun."""
    verb, noun = canonical(action.get("structured_verb") or ""), canonical(_noun(action))
    if not verb and not noun:
        return None
    duration_s = float((video.get("video_metadata") or {}).get("duration_sec") or video.get("duration_sec") or 0)
    start_s, end_s = window(float(action["narration_timestamp_sec"]), duration_s)
    clip_id = f"{video['video_uid']}/{index}"
    label = Keywords(text=f"{verb} {noun}".strip(), aliases=_aliases(action, verb, noun))
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
        "description": clean(action["narration_text"]),
    }


def _noun(action: dict[str, Any]) -> str:
    for frame in action.get("frames") or []:
        if frame.get("frame_type") == "pnr_frame":
            boxes = frame.get("boxes") or []
            nouns = (box.get("structured_noun") for box in boxes if box.get("object_type") == "object_of_change")
            return next((noun for noun in nouns if noun), "")
    return ""


def _aliases(action: dict[str, Any], verb: str, noun: str) -> tuple[str, ...]:
    """The label with the synonyms that the verb class lists: put_(place,_leave,_drop)."""
    inside = re.search(r"_\((.*)\)$", action.get("structured_verb") or "")
    verbs = [part.strip().replace("_", " ").strip() for part in inside[1].split(",")] if inside else []
    return tuple(dict.fromkeys(f"{other} {noun}".strip() for other in verbs if other and other != verb))


def window(time_s: float, duration_s: float) -> tuple[float, float]:
    """Start and end of the eight seconds around a moment, moved into the video.

    >>> window(10.0, 60.0), window(1.0, 60.0), window(59.0, 60.0)
    ((6.0, 14.0), (0.0, 8.0), (52.0, 60.0))
    """
    start_s = max(time_s - WINDOW_S / 2, 0.0)
    if duration_s and start_s + WINDOW_S > duration_s:
        start_s = max(duration_s - WINDOW_S, 0.0)
    return start_s, min(start_s + WINDOW_S, duration_s) if duration_s else start_s + WINDOW_S
