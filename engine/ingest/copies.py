"""Copies: one video under two names, which the share of a name may put into two splits. Bytes are read where sizes agree.

A file of several names (hard links) is its own copy. Of local videos first the sizes are compared, then their first and last bytes,
then whole digests; object stores give digests with their listings, and some web servers as their ETags.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from engine.ingest.hashes import Hashes, hash_of, in_several, with_split, without_split
from engine.ingest.listing import SILENT_AFTER, SMALLEST_BYTES, TOGETHER, Listing
from engine.ingest.skipped import OR_LEAVE_OUT, Skipped
from engine.rows import Clip
from engine.store.locations import OBJECT_STORES, WEB, canonical, local_path, object_key, place_of, protocol_of
from engine.store.parallel import parallel_map
from models.digests import file_digest

BLOCK = 1 << 16
"""Bytes at a file's start and at its end that are compared before whole files are."""
SHOWN = 5
"""Copies that an error names."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Placed(video="/v/a.mp4", split="heldout", is_named=False): a row's video, and its split by its own name or share."""

    video: str
    split: str
    is_named: bool
    """Whether the row names the split."""


class Copies:
    """Groups of videos with the same bytes that would be in several splits."""

    def __init__(self, listing: Listing | None = None) -> None:
        """`listing`: digests of objects in object stores; without it only local videos are compared."""
        self._listing = listing
        self._digests: dict[int, str] = {}
        """Hash of a video's object key -> what the videos of its group have in common."""
        self._leaders: dict[str, Placed] = {}
        self._first: dict[str, tuple[str, Clip]] = {}
        """Place and clip of the first row of each group that was checked."""
        self._unlisted, self._without_digest = Skipped(), Skipped()
        """Videos of object stores whose folders could not be listed; videos of web servers that give no digest."""
        self._give_digests: dict[str, bool] = {}
        """Whether one of the first objects of a web server had a digest: others are not asked for where none had."""

    @property
    def num_shared(self) -> int:
        """Groups whose split no row names: their leaders' shares decide."""
        return sum(not leader.is_named for leader in self._leaders.values())

    def notes(self) -> list[str]:
        """What a person should know, a line for each: how many videos follow their copies, and where no copies were looked for."""
        notes = []
        if num := self.num_shared:
            notes.append(
                f"{num} videos are there under several names, of which data.heldout would hold out only some; each went into one "
                "split with all its names"
            )
        if self._listing and (num := self._unlisted.count):
            notes.append(
                f"copies were not looked for among {num} videos ({self._unlisted.first[0]} ...), so one of them may be in both "
                f"splits under two names: {self._listing.trouble}"
            )
        if num := self._without_digest.count:
            notes.append(
                f"copies were not looked for among {num} videos of web servers ({self._without_digest.first[0]} ...), which gave "
                "no digest of them, so one of them may be in both splits under two names; name the splits, or leave copies out"
            )
        return notes

    def find(self, placed: Callable[[], Iterator[Placed]]) -> None:
        """Find the groups. `placed`: the videos of all rows, read again from the first at each call."""
        if not (numbers := self._numbers_in_several(placed())):
            return
        starts: dict[int, int] = {}
        splits = Hashes()
        for video, start in parallel_map(self._with_start, self._candidates(placed(), numbers)):
            starts[_key(video.video)] = without_split(start)
            splits.append(with_split(start, video.split))
        if equal := {*in_several(splits)} - {0}:
            self._group(placed(), {key for key, start in starts.items() if start in equal})

    def _group(self, placed: Iterable[Placed], suspects: set[int]) -> None:
        digests: dict[int, str] = {}
        groups: dict[str, set[Placed]] = {}
        for video in placed:
            if (key := _key(video.video)) in suspects:
                if key not in digests:
                    digests[key] = self._digest_of(video.video)
                groups.setdefault(digests[key], set()).add(video)
        self._leaders = {
            digest: min(members, key=lambda member: (not member.is_named, member.video))
            for digest, members in groups.items()
            if len({member.split for member in members}) > 1
        }
        self._digests = {key: digest for key, digest in digests.items() if digest in self._leaders}

    def leader(self, video: str) -> Placed | None:
        """The video that decides for a video's group: one whose split is named, then the first by name. None: it has no group."""
        return self._leaders[self._digests[key]] if self._digests and (key := _key(video)) in self._digests else None

    def conflict(self, place: str, clip: Clip) -> str:
        """Why a clip cannot be in its split: a copy of its video is in the other one; "" if there is none before it."""
        if not self._digests or (digest := self._digests.get(_key(clip.video))) is None:
            return ""
        other_place, other = self._first.setdefault(digest, (place, clip))
        if other.split == clip.split or canonical(other.video) == canonical(clip.video):
            return ""
        if place == clip.video:  # of class folders, where the videos are the rows
            return f"{clip.video}, {clip.split}, is a copy of {other.video}, {other.split}"
        return f"{place}: video {clip.video}, {clip.split} here, is a copy of {other.video}, {other.split} at {other_place}"

    def refuse(self, clips: Iterable[tuple[str, Clip]]) -> None:
        """Raises ValueError for groups that are in both splits. `clips`: place and clip of all rows, read only if there are any."""
        conflicts: dict[str, str] = {}
        for place, clip in clips if self._digests else ():
            if conflict := self.conflict(place, clip):
                conflicts.setdefault(self._digests[_key(clip.video)], conflict)
        if conflicts:
            more = f"; and {len(conflicts) - SHOWN} more" if len(conflicts) > SHOWN else ""
            raise ValueError(f"{'; '.join([*conflicts.values()][:SHOWN])}{more}; put copies into one split{OR_LEAVE_OUT}")

    def _numbers_in_several(self, placed: Iterator[Placed]) -> set[int]:
        """Sizes of local files, and hashes of listed digests, that videos of several splits have."""
        numbers, last = Hashes(), ""
        while videos := list(islice(placed, TOGETHER)):
            if self._listing:
                self._look([video.video for video in videos], self._listing)
            for video in videos:
                if self._listing and video.video != last and not self._listing.bytes_of(video.video):
                    if self._is_unlisted(video.video, self._listing):
                        self._unlisted.add(video.video)
                    elif protocol_of(video.video) in WEB:
                        self._without_digest.add(video.video)
                if video.video != last and (number := self._number_of(video.video)):  # windows of one video follow each other
                    numbers.append(with_split(4 * number, video.split))
                last = video.video
        return {number // 4 for number in in_several(numbers)}

    def _look(self, videos: Sequence[str], listing: Listing) -> None:
        """Look for the digests of videos: all of object stores, and those of web servers where one of the first had some."""
        listing.look(video for video in videos if protocol_of(video) in OBJECT_STORES)
        of_server = defaultdict[str, list[str]](list)
        for video in videos:
            if protocol_of(video) in WEB:
                of_server[place_of(video)].append(video)
        first = {server: own[:SILENT_AFTER] for server, own in of_server.items() if server not in self._give_digests}
        listing.look(chain.from_iterable(first.values()))
        self._give_digests |= {server: any(map(listing.bytes_of, own)) for server, own in first.items()}
        listing.look(chain.from_iterable(own for server, own in of_server.items() if self._give_digests[server]))

    @staticmethod
    def _is_unlisted(video: str, listing: Listing) -> bool:
        return protocol_of(video) in OBJECT_STORES and not listing.has_listed(video)

    def _candidates(self, placed: Iterable[Placed], numbers: set[int]) -> Iterator[Placed]:
        """Each video with one of these numbers, once for each of its splits, wherever its rows stand."""
        shown_splits = set[int]()
        for video in placed:
            of_split = with_split(_key(video.video), video.split)
            if of_split not in shown_splits and self._number_of(video.video) in numbers:
                shown_splits.add(of_split)
                yield video

    def _number_of(self, video: str) -> int:
        """Bytes of a local file, or a hash of the digest that is listed, in 62 bits; 0 if there is none."""
        if local_path(video) is None:
            return self._listing.bytes_of(video) // 4 if self._listing else 0
        try:
            status = os.stat(canonical(video))
        except (OSError, ValueError):
            return 0
        return status.st_size if status.st_size >= SMALLEST_BYTES or status.st_nlink > 1 else 0

    def _with_start(self, video: Placed) -> tuple[Placed, int]:
        """The video, and a hash of its size and of its first and last BLOCK bytes; of the listed digest; 0 if it cannot be read."""
        number = self._number_of(video.video)
        if local_path(video.video) is None:
            return video, 4 * number
        try:
            with open(canonical(video.video), "rb") as file:
                ends = file.read(BLOCK)
                file.seek(max(BLOCK, number - BLOCK))
                ends += file.read(BLOCK)
        except OSError:
            return video, 0
        return video, hash_of(f"{number} {ends.hex()}")

    def _digest_of(self, video: str) -> str:
        """The sha256 of a local file, which is remembered on this machine; its own location if it cannot be read."""
        if local_path(video) is None:
            return f"listed {self._number_of(video)}"
        try:
            return file_digest(Path(canonical(video)))
        except OSError:
            return video


def _key(video: str) -> int:
    """A hash of what all names of one file have in common."""
    return without_split(hash_of(object_key(video)))
