"""The decode stage: a row of clips or examples in, the same row with frames and failures out."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.data.decode import Backend, Frames, decode
from engine.rows import Clip, Example, Failure
from models.base import FrameSpec


def decode_row(row: dict[str, Any], spec: FrameSpec, backend: Backend, jitter: bool = False) -> dict[str, Any]:
    """Adds "frames" (bytes of uint8[K,T,S,S,3], the K clips that decoded) and "failures" (JSON, an entry a clip, or null).

    The row holds "clips" or "examples" as JSON, and with jitter "jitter_seeds", one for each.
    """
    media = media_of(row)
    seeds = json.loads(row["jitter_seeds"]) if jitter else [None] * len(media)
    decoded = [decode(item, spec, backend, seed) for item, seed in zip(media, seeds, strict=True)]
    frames = [one for one in decoded if not isinstance(one, Failure)]
    failures = [[one.kind, one.detail] if isinstance(one, Failure) else None for one in decoded]
    return row | {"frames": b"".join(one.tobytes() for one in frames), "failures": json.dumps(failures)}


def media_of(row: dict[str, Any]) -> Sequence[Clip | Example]:
    if "clips" in row:
        return [Clip.from_row(value) for value in json.loads(row["clips"])]
    return [Example.from_row(value) for value in json.loads(row["examples"])]


def frames_of(row: dict[str, Any], spec: FrameSpec) -> tuple[Frames, list[Failure | None]]:
    """uint8[K,T,S,S,3] of the clips that decoded, and each clip's failure."""
    shape = (-1, spec.num_frames, spec.size_px, spec.size_px, 3)
    frames = np.frombuffer(row["frames"], np.uint8).reshape(shape).copy()
    return frames, [Failure(kind=one[0], detail=one[1]) if one else None for one in json.loads(row["failures"])]
