"""Rows with their videos as WebDataset shards: NUMBER.mp4 and NUMBER.json of each sample, one after the other in a tar file.

Videos are copied whole and byte for byte, so their etag still says which version they are; the window is in `row` of the JSON. A
folder of pictures (NAME#fps=3) is the Matroska file as which it was watched. A window cut without encoding it anew would begin at
a keyframe and have other timestamps: not what the model has watched. A video that cannot be read, or that is not the version
which the answer is about, is a counted failure, and its row is no sample: readers ask all samples for the same members.
"""

import io
import json
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import BinaryIO

from engine.decode.frame_folder import frame_folder, opened
from engine.episodes.tags import suffix_of
from engine.export.formats import for_webdataset
from engine.rows import Failure, Takeaway
from engine.store.filesystems import Storage
from engine.store.outage import Places
from engine.store.parallel import parallel_map
from engine.store.sources import WHOLE_BYTES
from engine.store.troubles import StorageError

COPIED_BYTES = 8 << 20
"""Bytes of a video that are read at once."""
IN_MEMORY_BYTES = 32 << 20
"""Larger videos wait in a temporary file until they are known to be whole."""
AT_ONCE = 8
"""Videos that are read at once: one connection to a store gives a part of what the network can."""

KINDS = {"missing": "missing", "replaced": "replaced", "refused": "unreadable"}
"""Trouble with one object -> kind of failure. `denied` is not among them: credentials that expire deny all objects."""


@dataclass
class Packed:
    """What became of a shard's rows: Packed(rows=249, failures=[("train-00007/0/direct", Failure(kind="missing", ...))])."""

    rows: int = 0
    failures: list[tuple[str, Failure]] = field(default_factory=list)
    """example_id, and why its video is not there."""


Spooled = tempfile.SpooledTemporaryFile[bytes]


def write_tar(file: BinaryIO, rows: Iterable[tuple[int, Takeaway]], storage: Storage) -> Packed:
    """`rows`: each with its number among all rows, which names its members. A few videos are read at once, and written in order."""
    packed = Packed()
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.GNU_FORMAT) as archive:
        for number, row, video in parallel_map(partial(_fetched, storage), rows, AT_ONCE):
            if isinstance(video, Failure):
                packed.failures.append((row.example_id, video))
                continue
            if video is not None:
                with video:
                    _add(archive, f"{number:08d}.{_suffix_of(row.video)}", video)
            _add(archive, f"{number:08d}.json", io.BytesIO(_json(row)))
            packed.rows += 1
    return packed


def _suffix_of(video: str) -> str:
    """
    >>> _suffix_of("/v/a.MP4"), _suffix_of("/v/castle.s01#fps=3"), _suffix_of("/v/a")
    ('mp4', 'mkv', 'video')
    """
    return (suffix_of(video) if frame_folder(video) is None else "mkv") or "video"


def _fetched(storage: Storage, numbered: tuple[int, Takeaway]) -> tuple[int, Takeaway, Spooled | Failure | None]:
    """The row with its video, or with why that is not there; None where the row shows nothing."""
    number, row = numbered
    if not row.video:
        return number, row, None
    video = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115  # whoever writes it closes it
    try:
        _copy(row, storage, video)
    except StorageError as error:
        video.close()
        if error.trouble not in KINDS:  # storage that is away or denies, or this machine: the same command goes on later
            raise
        return number, row, Failure(kind=KINDS[error.trouble], detail=str(error))
    return number, row, video


def _copy(row: Takeaway, storage: Storage, target: Spooled) -> None:
    """Raises StorageError where the video is not there, or is another version than the answer is about."""
    with opened(Places(storage), storage, row.video, WHOLE_BYTES) as source:
        if row.etag and source.etag != row.etag:
            raise StorageError("replaced", f"{row.video} is not the version that the answer is about: its etag is {source.etag!r}")
        for offset in range(0, source.size, COPIED_BYTES):
            target.write(source.read(offset, COPIED_BYTES))


def _add(archive: tarfile.TarFile, name: str, content: BinaryIO | Spooled) -> None:
    """The same bytes on every machine: no owner and no date."""
    member = tarfile.TarInfo(name)
    member.size = content.seek(0, io.SEEK_END)
    content.seek(0)
    archive.addfile(member, content)  # type: ignore[arg-type]  # it reads a binary file


def _json(row: Takeaway) -> bytes:
    return json.dumps(for_webdataset(row), allow_nan=False).encode()
