"""Which clips are trained on and which are asked about: by video, or common actions against rare ones (EILEV's two splits)."""

import random
from collections.abc import Iterable, Mapping

from engine.episodes.footage import Action

TRAIN_SHARE = 0.75


def by_video(sizes: Mapping[str, int], seed: int) -> dict[str, str]:
    """video -> "train", "val" or "test": shuffled videos fill up 75 % of the clips, of which 75 % are trained on.

    `sizes`: clips of each video. About 56, 19 and 25 % of the clips.

    >>> "".join(sorted(part[1] for part in by_video({f"v{i}": 1 for i in range(16)}, seed=0).values()))
    'aaaeeeerrrrrrrrr'
    """
    videos = sorted(sizes)
    random.Random(f"{seed}/videos").shuffle(videos)
    inner = _filled(videos, sizes)
    train = _filled(inner, sizes)
    return {video: "train" if video in train else "val" if video in inner else "test" for video in videos}


def _filled(videos: Iterable[str], sizes: Mapping[str, int]) -> dict[str, None]:
    """The first videos that together have the training share of all clips; in their order."""
    listed = list(videos)
    wanted, filled = TRAIN_SHARE * sum(sizes[video] for video in listed), 0
    taken: dict[str, None] = {}
    for video in listed:
        if filled >= wanted:
            break
        taken[video] = None
        filled += sizes[video]
    return taken


def commonest(counts: Mapping[Action, int], mass: float) -> set[Action]:
    """The most frequent actions, down to and with the one that brings their clips to the share `mass` of all.

    Actions without verb or noun are in neither; equal counts are ordered by name.

    >>> sorted(commonest({("cut", "onion"): 6, ("wash", "cup"): 3, ("open", "lid"): 1, ("", "cup"): 9}, 0.8))
    [('cut', 'onion'), ('wash', 'cup')]
    """
    named = sorted(((count, action) for action, count in counts.items() if all(action)), key=lambda one: (-one[0], one[1]))
    total, reached, common = sum(count for count, _ in named), 0, set[Action]()
    for count, action in named:
        if reached >= mass * total:
            break
        common.add(action)
        reached += count
    return common


def top(counts: Mapping[Action, int], number: int) -> set[Action]:
    """The `number` most frequent actions; equal counts are ordered by name."""
    named = sorted(((count, action) for action, count in counts.items() if all(action)), key=lambda one: (-one[0], one[1]))
    return {action for _, action in named[:number]}


def copies(actions: Mapping[str, Action], wanted: int, seed: int) -> list[str]:
    """Clip ids, some of them again, so that there are nearly `wanted`: every action gets the same number more (EILEV's upsampling).

    `actions`: of each clip. The sum is len(actions) + m x (number of actions), m as large as fits. Note that an equal number for
    each makes the tail flatter, too.

    >>> sorted(copies({"a": ("cut", "onion"), "b": ("cut", "onion"), "c": ("wash", "cup")}, 7, seed=0)).count("c")
    3
    """
    buckets: dict[Action, list[str]] = {}
    for clip_id, action in actions.items():
        buckets.setdefault(action, []).append(clip_id)
    more = max(0, wanted - len(actions)) // max(1, len(buckets))
    rng, found = random.Random(f"{seed}/copies"), list(actions)
    for action in sorted(buckets):
        bucket = buckets[action]
        found += bucket * (more // len(bucket)) + rng.sample(bucket, more % len(bucket))
    return found
