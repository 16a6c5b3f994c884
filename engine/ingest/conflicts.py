"""Rows that conflict: one clip_id twice and one video in two splits are errors; two labels of one window are counted.

The data card has hashes only, so the manifest is read again to name the rows, where there is something to name.
"""

from collections.abc import Callable, Iterator
from itertools import islice

from engine.ingest.card import Card, class_of, window_of
from engine.ingest.hashes import hash_of, without_split
from engine.labels import plain
from engine.rows import Clip
from engine.store.locations import object_key

Placed = Callable[[], Iterator[tuple[str, Clip]]]
"""Calling it reads the place and clip of each row again from the first."""


def refuse_duplicate(clip: Clip, place: str, ids: set[int], splits: dict[int, str]) -> None:
    """Raises ValueError where the clip conflicts with one of those whose hashes are in `ids` and `splits`, else adds its own."""
    id_hash, video_hash = hash_of(clip.clip_id), hash_of(object_key(clip.video))
    if id_hash in ids:
        raise ValueError(f"{place}: clip_id {clip.clip_id!r} comes twice; give each clip its own in a clip_id column")
    if splits.setdefault(video_hash, clip.split) != clip.split:
        splits_of = f"is in {clip.split} here and in {splits[video_hash]} before"
        raise ValueError(f"{_at(place, clip)} {splits_of}; split by video")
    ids.add(id_hash)


def refuse_duplicates(clips: Placed, card: Card) -> None:
    """Raises ValueError for two rows of the card's that conflict."""
    if (id_hash := card.id_twice()) is not None:
        same_id = ((place, clip) for place, clip in clips() if hash_of(clip.clip_id) == id_hash)
        (first_place, _), (place, clip) = islice(same_id, 2)
        raise ValueError(f"{place}: clip_id {clip.clip_id!r} is also at {first_place}; give each clip its own in a clip_id column")
    if both := card.videos_in_several():
        same = (at for at in clips() if without_split(hash_of(object_key(at[1].video))) == both[0])
        first_place, first_clip = next(same)
        place, clip = next(at for at in same if at[1].split != first_clip.split)
        splits = f"in {clip.split} here and in {first_clip.split} at {first_place}"
        more = f", and so are {len(both) - 1} more videos" if len(both) > 1 else ""
        raise ValueError(f"{_at(place, clip)} is {splits}{more}; split by video")


def _at(place: str, clip: Clip) -> str:
    """A row's place and video, which are the same in class folders."""
    return place if place == clip.video else f"{place}: video {clip.video}"


def count_label_conflicts(clips: Placed, card: Card) -> None:
    """Tell the card how many windows have two labels, and the first of them."""
    if windows := card.windows_of_two_labels():
        card.num_conflicts, card.first_conflict = len(windows), _first_conflict(clips, windows)


def _first_conflict(clips: Placed, windows: set[int]) -> str:
    firsts: dict[int, Clip] = {}
    for _, clip in clips():
        if (key := window_of(clip)) in windows:
            first = firsts.setdefault(key, clip)
            if class_of(first.label) != class_of(clip.label):
                labels = [f"{other.label.text!r} in clip {other.clip_id}" for other in (first, clip)]
                return f"{clip.video}{_window(clip)} is {' and '.join(labels)}"
    return ""


def _window(clip: Clip) -> str:
    if clip.start_s is None and clip.end_s is None:
        return ""
    return f" from {plain(clip.start_s or 0.0)} s to {'the end' if clip.end_s is None else f'{plain(clip.end_s)} s'}"
