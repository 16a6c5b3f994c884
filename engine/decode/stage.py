"""The decode stage: a row of clips or examples in, the same row with frames and failures out."""

import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.decode.media import Backend, Frames
from engine.decode.process import Budget, Decoder, Seen
from engine.ingest.clips import part
from engine.rows import Failure, Window
from engine.store.files import Store
from engine.store.filesystems import Storage
from models.base import FrameSpec


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How a run decodes; the same for generation, evaluation and training."""

    backend: Backend
    budget: Budget
    storage: Storage
    keep_bytes: int = 0
    """Of frames that a decoding process keeps, because they will be wanted again."""


_DECODERS: dict[str, Decoder] = {}
"""This process's, by how it decodes: a child lives as long as the worker process that asks it."""


def decoder_of(decoding: Decoding) -> Decoder:
    key = repr(decoding)
    if key not in _DECODERS:
        _DECODERS[key] = Decoder(decoding.storage, decoding.budget, decoding.backend)
    return _DECODERS[key]


def decode_piece(row: dict[str, Any], spec: FrameSpec, decoding: Decoding, store: Store) -> dict[str, Any]:
    """Decode the clips of a Piece (as a row); adds them as "clips" (JSON of Clip rows), and what `decoded` adds."""
    clips = part(store, row["part"])[row["start"] : row["start"] + row["count"]]
    decoder = decoder_of(decoding)
    results = decoded([decoder.decode(clip, spec) for clip in clips])
    return {"piece_id": row["piece_id"], "clips": json.dumps([clip.to_row() for clip in clips])} | results


def decode_windows(row: dict[str, Any], spec: FrameSpec, decoding: Decoding) -> dict[str, Any]:
    """Decode the row's "windows" (JSON of Window rows): at random moments by its "jitter_seeds" (JSON, one for each), or where that
    is null at mid-points, which are the same each time.
    """
    windows = [Window(**value) for value in json.loads(row["windows"])]
    seeds = json.loads(row["jitter_seeds"])
    return row | decoded([_seen(one, spec, seed, decoding) for one, seed in zip(windows, seeds, strict=True)])


_KEPT: OrderedDict[tuple[Window, FrameSpec, str], Seen] = OrderedDict()
"""This process's, the last used at the end: an episode's shots come back in other episodes."""


def _seen(window: Window, spec: FrameSpec, seed: int | None, decoding: Decoding) -> Seen | Failure:
    decoder, key = decoder_of(decoding), (window, spec, repr(decoding))
    if seed is not None:
        return decoder.decode(window, spec, seed, window.etag)
    if key in _KEPT:
        _KEPT.move_to_end(key)
        return _KEPT[key]
    found = decoder.decode(window, spec, None, window.etag)
    if isinstance(found, Seen) and decoding.keep_bytes >= found.frames.nbytes:
        _KEPT[key] = found
        while len(_KEPT) * found.frames.nbytes > decoding.keep_bytes:  # all of a run are of one size
            _KEPT.popitem(last=False)
    return found


def decoded(results: list[Seen | Failure]) -> dict[str, Any]:
    """As columns: "frames", bytes of uint8[K,T,S,S,3], the K that decoded, and "results", JSON, an entry for each."""
    frames = b"".join(one.frames.tobytes() for one in results if isinstance(one, Seen))
    entries = [[one.etag, one.in_order] if isinstance(one, Seen) else [one.kind, one.detail] for one in results]
    return {"frames": frames, "results": json.dumps([[isinstance(r, Seen), *e] for r, e in zip(results, entries, strict=True)])}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a clip's frames come from: which version of the video, and whether it had to be read from its start."""

    etag: str
    in_order: bool


def frames_of(row: dict[str, Any], spec: FrameSpec) -> tuple[Frames, list[Origin | Failure]]:
    """uint8[K,T,S,S,3] of the clips that decoded; and of each clip the origin, or its failure."""
    shape = (-1, spec.num_frames, spec.size_px, spec.size_px, 3)
    frames = np.frombuffer(row["frames"], np.uint8).reshape(shape).copy()
    entries = json.loads(row["results"])
    return frames, [Origin(a, b) if ok else Failure(kind=a, detail=b) for ok, a, b in entries]
