"""Rows with defaults, for tests that care about one field."""

from typing import Any

from engine.decode.decoder import DecodeLimits
from engine.decode.stage import DecodeSettings
from engine.labels import Keywords
from engine.rows import Attempt, Clip
from engine.run.seals import Seal
from engine.store.filesystems import Storage

LIMITS = DecodeLimits(
    timeout_s=30, memory_bytes=4 << 30, read_bytes=1 << 30, frame_pixels=8192 * 4320, decode_pixels=20_000_000_000
)
DECODING = DecodeSettings(backend="pyav", limits=LIMITS, storage=Storage())


def a_label(text: str = "rising", **fields: Any) -> Keywords:
    return Keywords(text=text, **fields)


def a_clip(clip_id: str = "a", label: str = "rising", **fields: Any) -> Clip:
    defaults: dict[str, Any] = {
        "clip_id": clip_id,
        "video": f"/videos/{clip_id}.mp4",
        "start_s": None,
        "end_s": None,
        "question": "What is the action?",
        "label": a_label(label),
        "split": "train",
        "verb": "",
        "noun": "",
        "description": "",
        "narrator": "",
    }
    return Clip(**defaults | fields)


def an_attempt(clip_id: str = "a", **fields: Any) -> Attempt:
    defaults: dict[str, Any] = {
        "piece_id": "p",
        "clip_id": clip_id,
        "cycle": 0,
        "mode": "direct",
        "outcome": "kept",
        "reason": "contains_label",
        "detail": "",
        "score": 1.0,
        "prompt": "What is the action?",
        "text": "It is rising.",
        "num_tokens": 4,
        "seed": 1,
        "model": "m",
        "etag": "v1",
        "in_order": False,
    }
    return Attempt(**defaults | fields)


def a_seal(step: str, **facts: Any) -> Seal:
    return Seal(step=step, identity=step, files=[], counts={}, facts=facts, seconds=1.0, epoch=1)
