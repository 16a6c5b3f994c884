"""Signatures of clips that no model was asked about: the driver decodes them once, and a table in the run's folder keeps them."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from queue import SimpleQueue

import pyarrow as pa

from engine.decode.decoder import ChildDecoder
from engine.decode.signature import VERSION, signature
from engine.decode.stage import DecodeSettings
from engine.ingest.folders import files_under, is_video
from engine.rows import Failure, Window
from engine.run.work import Work
from engine.store.files import digest
from engine.store.filesystems import Storage
from engine.store.parallel import parallel_map
from engine.store.weights import local
from models.base import FrameSpec
from models.folders import SMALL_FILES
from models.registry import frame_spec

log = logging.getLogger(__name__)

SIGNATURES = pa.schema([("name", pa.string()), ("signature", pa.string())])
"""signature: "" of a video that cannot be decoded, null of one that storage did not give."""
NOT_GIVEN = ("denied", "unreadable")
"""Failures that rights or another day may mend."""


def signed(work: Work, where: str, windows: Sequence[tuple[str, Window]]) -> Iterator[tuple[str, str]]:
    """Name and signature of each window, in their order; "" where the video cannot be decoded.

    `where`: train, an evaluation set, or the folder of a benchmark. The table's name follows from the windows and from what a model
    watches of them, so that it is read in later cycles, and another one is made when the clips have changed. A video
    that storage did not give is tried again.
    """
    if not windows:
        return
    spec = frame_spec(local(work.config.spec(work.config.model.base), work.config.access(), SMALL_FILES))
    contents = [[name, window.video, window.start_s, window.end_s] for name, window in windows]
    path = f"signatures/{digest([VERSION, where, repr(spec), contents])[:16]}.parquet"
    is_made = work.store.read(path) is not None
    texts = work.store.read_table(path)["signature"].to_pylist() if is_made else [None] * len(windows)
    if unread := [number for number, text in enumerate(texts) if text is None]:
        log.info("%s: decoding %d clips of %s, to look for near-copies of them", work.step.name, len(unread), where)
        failures = list[Failure]()
        decoded = _decoded([windows[number][1] for number in unread], spec, work.decoding())
        for number, result in zip(unread, decoded, strict=True):
            texts[number] = None if isinstance(result, Failure) else result
            failures += [result] if isinstance(result, Failure) else []
        if failures:
            log.warning(
                "%s: storage did not give %d of these videos to the driver, so no near-copy of them is known; they are tried again "
                "in the next cycle: %s", work.step.name, len(failures), failures[0].detail,
            )  # fmt: skip
        table = pa.Table.from_pydict({"name": [name for name, _ in windows], "signature": texts}, schema=SIGNATURES)
        work.store.write_table(path, table)
    for (name, _), text in zip(windows, texts, strict=True):
        yield name, text or ""


def videos_in(folder: str, storage: Storage) -> list[tuple[str, Window]]:
    """The videos of a benchmark's folder, by name, each as a whole. Raises ValueError where there are none."""
    names = [name for name in files_under(folder, storage) or () if is_video(name)]
    if not names:
        raise ValueError(f"select.benchmarks: {folder} holds no videos; name a folder of videos, or leave it out")
    return [(name, Window(video=f"{folder.rstrip('/')}/{name}", start_s=None, end_s=None, etag="")) for name in names]


def _decoded(windows: Sequence[Window], spec: FrameSpec, decoding: DecodeSettings) -> Iterator[str | Failure]:
    """The signature of each window, "" where it has no frames, or why storage did not give it this time.

    By as many decoding processes as this machine has cores for.
    """
    idle = SimpleQueue[ChildDecoder]()
    with ExitStack() as stack:
        for _ in range(at_once := min(len(windows), len(os.sched_getaffinity(0)))):
            decoder = ChildDecoder(decoding.storage, decoding.limits, decoding.backend, decoding.tolerance_s)
            decoder.expect(windows)
            idle.put(stack.enter_context(decoder))

        def sign(window: Window) -> str | Failure:
            own = idle.get()
            try:
                result = own.decode(window, spec)
            finally:
                idle.put(own)
            if isinstance(result, Failure):
                return result if result.kind in NOT_GIVEN else ""
            return signature(result.video.frames)

        yield from parallel_map(sign, windows, at_once)
