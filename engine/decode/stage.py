"""The decode stage: a row of clips or windows in, the same row with their frames and failures out."""

import json
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from engine.decode.decoder import ChildDecoder, DecodeLimits
from engine.decode.request import Backend
from engine.decode.signature import signature
from engine.ingest.clips import part
from engine.rows import Clip, Failure, Window
from engine.store.files import Store
from engine.store.filesystems import Storage
from models.base import FrameSpec, Video


@dataclass(frozen=True, kw_only=True)
class DecodeSettings:
    """How a run decodes; the same for generation, evaluation and training."""

    backend: Backend
    limits: DecodeLimits
    storage: Storage
    tolerance_s: float = 0.0
    """See engine/config.py, model.frame_tolerance_s."""
    signs: bool = False
    """Whether clips that are asked about get a signature, by which near-copies are found."""
    keep_bytes: int = 0
    """Bytes of frames that each worker process keeps, because episodes show a clip again."""


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """The frames of a clip, the version of the video file they are from, and how it was read."""

    video: Video
    etag: str
    in_order: bool
    """The file was read from its start, or whole, because it has no index to find the window by."""
    signature: str = ""
    """What the frames look like (engine/decode/signature.py); "" where nobody asks."""


class FrameCache:
    """Clips that were decoded last, up to `max_bytes` of frames. Clips have different sizes, so bytes are counted and not clips."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._clips: OrderedDict[tuple[Window, FrameSpec], Decoded] = OrderedDict()
        """The last used at the end."""

    def get(self, window: Window, spec: FrameSpec) -> Decoded | None:
        if (window, spec) not in self._clips:
            return None
        self._clips.move_to_end((window, spec))
        return self._clips[window, spec]

    def put(self, window: Window, spec: FrameSpec, decoded: Decoded) -> None:
        """Keep a clip that is not in the cache, in place of those that were used longest ago; not if it is too large alone."""
        if decoded.video.frames.nbytes > self._max_bytes:
            return
        self._clips[window, spec] = decoded
        self._bytes += decoded.video.frames.nbytes
        while self._bytes > self._max_bytes:
            self._bytes -= self._clips.popitem(last=False)[1].video.frames.nbytes


_DECODERS: dict[str, tuple[ChildDecoder, FrameCache]] = {}
"""This worker process's, by its settings: a child process lives as long as the worker that uses it."""


def _decoder_of(decoding: DecodeSettings) -> tuple[ChildDecoder, FrameCache]:
    key = repr(decoding)
    if key not in _DECODERS:
        decoder = ChildDecoder(decoding.storage, decoding.limits, decoding.backend, decoding.tolerance_s)
        _DECODERS[key] = decoder, FrameCache(decoding.keep_bytes)
    return _DECODERS[key]


def decode_piece(row: dict[str, Any], spec: FrameSpec, decoding: DecodeSettings, store: Store) -> dict[str, Any]:
    """Decode the clips of a Piece (as a row); adds them as "clips" (JSON of Clip rows), and their frames for videos_of.

    Further columns say what it took: "decode_s", "bytes_read", and "decoded_at", in seconds since 1970.
    """
    began, decoder = time.monotonic(), _decoder_of(decoding)[0]
    bytes_before = decoder.bytes_read
    clips = part(store, row["part"])[row["start"] : row["start"] + row["count"]]
    decoder.expect(clips)
    results = [_decode(clip, spec, decoding) for clip in clips]
    if decoding.signs:
        results = list(map(_signed, results))
    row = row | {"clips": json.dumps([clip.to_row() for clip in clips])} | frame_columns(results)
    cost = {"decode_s": time.monotonic() - began, "bytes_read": decoder.bytes_read - bytes_before}
    return row | cost | {"decoded_at": time.time()}


def decode_windows(row: dict[str, Any], spec: FrameSpec, decoding: DecodeSettings) -> dict[str, Any]:
    """Decode the row's "windows" (JSON of Window rows), and add their frames for videos_of.

    "jitter_seeds" (JSON, a number for each window) makes the moments random; null means mid-points, which are the same each time.
    """
    windows = [Window(**value) for value in json.loads(row["windows"])]
    seeds = json.loads(row["jitter_seeds"])
    _decoder_of(decoding)[0].expect(windows)
    return row | frame_columns([_decode_or_reuse(*pair, spec, decoding) for pair in zip(windows, seeds, strict=True)])


def _decode_or_reuse(window: Window, seed: int | None, spec: FrameSpec, decoding: DecodeSettings) -> Decoded | Failure:
    if seed is not None:
        return _decode(window, spec, decoding, seed, window.etag)
    _, cache = _decoder_of(decoding)
    if (cached := cache.get(window, spec)) is not None:
        return cached
    result = _decode(window, spec, decoding, None, window.etag)
    if isinstance(result, Decoded):
        cache.put(window, spec, result)
    return result


def _decode(
    clip: Clip | Window, spec: FrameSpec, decoding: DecodeSettings, seed: int | None = None, etag: str = ""
) -> Decoded | Failure:
    decoder, _ = _decoder_of(decoding)
    result = decoder.decode(clip, spec, seed, etag)
    return result if isinstance(result, Failure) else Decoded(result.video, result.etag, result.in_order)


def _signed(result: Decoded | Failure) -> Decoded | Failure:
    return result if isinstance(result, Failure) else replace(result, signature=signature(result.video.frames))


def frame_columns(results: Sequence[Decoded | Failure]) -> dict[str, Any]:
    """Columns of a row that travels: "frames", the bytes of all clips' frames, and "results", JSON, an entry for each clip."""
    frames = b"".join(np.ascontiguousarray(result.video.frames).data for result in results if isinstance(result, Decoded))
    return {"frames": frames, "results": json.dumps([_entry_of(result) for result in results])}


def _entry_of(result: Decoded | Failure) -> dict[str, Any]:
    if isinstance(result, Failure):
        return {"kind": result.kind, "detail": result.detail}
    shape, times_s = result.video.frames.shape, result.video.times_s
    more = {"etag": result.etag, "in_order": result.in_order, "signature": result.signature}
    return {"shape": shape, "times_s": times_s} | more


def videos_of(row: dict[str, Any]) -> list[Decoded | Failure]:
    """For each clip or window of a decoded row, in their order, its frames, or the failure for which there are none."""
    frames, at = memoryview(row["frames"]), 0
    results: list[Decoded | Failure] = []
    for entry in json.loads(row["results"]):
        if "kind" in entry:
            results.append(Failure(**entry))
            continue
        count = prod(entry["shape"])
        own = np.frombuffer(frames[at : at + count], np.uint8).reshape(entry["shape"]).copy()  # writable: torch warns of others
        results.append(Decoded(Video(own, tuple(entry["times_s"])), entry["etag"], entry["in_order"], entry["signature"]))
        at += count
    assert at == len(frames), "the frames' bytes are those of the entries"
    return results
