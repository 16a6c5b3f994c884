"""A folder of numbered JPEG pictures as a video: NAME#fps=3 is the folder NAME, whose pictures are shown at three a second.

Some datasets come that way (TVQA, and with it a task of MVBench). The pictures are put into a Matroska file in memory as they are,
without being decoded, so that all that holds for videos holds for them: the child process, its limits, windows, times.
"""

import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

from engine.store.filesystems import Storage
from engine.store.outage import Places
from engine.store.sources import Source
from engine.store.troubles import StorageError

FOLDER = re.compile(r"(.+)#fps=(\d{1,3}(?:\.\d{1,3})?)")
SUFFIXES = (".jpg", ".jpeg")
UNSEEN_SIZE = 16
"""Width and height in the file's header; the decoder takes those of the pictures."""


def frame_folder(video: str) -> tuple[str, Fraction] | None:
    """The folder and its pictures a second; None for anything else.

    >>> frame_folder("s3://b/tvqa/castle_s01#fps=3"), frame_folder("s3://b/a.mp4")
    (('s3://b/tvqa/castle_s01', Fraction(3, 1)), None)
    """
    match = FOLDER.fullmatch(video)
    return (match[1], Fraction(match[2])) if match and Fraction(match[2]) else None


def is_object(video: str) -> bool:
    """Whether storage has an object of this name, which tells whether storage is there."""
    return frame_folder(video) is None


class FrameFolder:
    """The pictures of a folder in the order of their names, as a Source."""

    def __init__(self, pictures: list[bytes], rate: Fraction, etag: str) -> None:
        self._file = matroska(pictures, rate)
        self.size, self.etag, self.bytes_read = len(self._file), etag, sum(map(len, pictures))

    def read(self, offset: int, length: int) -> bytes:
        return self._file[offset : offset + length]

    def close(self) -> None:
        pass


@contextmanager
def opened(places: Places, storage: Storage, video: str, whole_bytes: int) -> Iterator[Source]:
    """A video as Places.opened gives it, or a folder's pictures, which may have `whole_bytes` together. Raises StorageError."""
    folder = frame_folder(video)
    if folder is None:
        with places.opened(video, whole_bytes) as source:
            yield source
        return
    names, pictures, digest = _names(storage, folder[0]), list[bytes](), hashlib.sha256()
    for name in names:
        with places.opened(f"{folder[0]}/{name}", whole_bytes) as source:
            if (whole_bytes := whole_bytes - source.size) < 0:
                raise StorageError("refused", f"{video}: its pictures have more bytes than limits.read_bytes; drop its row")
            pictures.append(source.read(0, source.size))
            places.note(f"{folder[0]}/{name}")
            digest.update(f"{name}\0{source.etag}\n".encode())
    yield FrameFolder(pictures, folder[1], digest.hexdigest()[:32])


def _names(storage: Storage, folder: str) -> list[str]:
    filesystem, path = storage.filesystem(folder)
    paths = storage.patiently(f"cannot list {folder}", lambda: filesystem.ls(path, detail=False))
    names = sorted(name for name in (str(path).rstrip("/").rpartition("/")[2] for path in paths) if name.lower().endswith(SUFFIXES))
    if not names:
        raise StorageError("missing", f"{folder} holds no JPEG pictures; check the manifest's video column")
    return names


def matroska(pictures: list[bytes], rate: Fraction) -> bytes:
    """A Matroska file that shows the pictures, each for 1/rate seconds: the same bytes for the same ones, without a random id."""
    import av  # the parent's side does without FFmpeg but for these videos; what it puts here is not read by it

    file = io.BytesIO()
    with av.open(file, "w", format="matroska", options={"fflags": "bitexact"}) as container:
        stream = container.add_mux_stream("mjpeg", rate=rate, width=UNSEEN_SIZE, height=UNSEEN_SIZE)
        for number, picture in enumerate(pictures):
            packet = av.Packet(picture)
            packet.stream, packet.time_base = stream, 1 / rate
            packet.pts = packet.dts = number
            packet.duration, packet.is_keyframe = 1, True
            container.mux(packet)
    return file.getvalue()
