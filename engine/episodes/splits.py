"""Which clips are trained on and which are queries: split by video, or into common and rare actions (EILEV's two splits)."""

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
    inner = _first_share(videos, sizes)
    train = _first_share(inner, sizes)
    return {video: "train" if video in train else "val" if video in inner else "test" for video in videos}


def by_clip(clip_ids: Iterable[str], seed: int) -> set[str]:
    """Those to train on: 75 % of the clips, whatever their videos, as EILEV divides common actions.

    >>> len(by_clip(map(str, range(16)), seed=0))
    12
    """
    shuffled = sorted(clip_ids)
    random.Random(f"{seed}/clips").shuffle(shuffled)
    return set(shuffled[: round(TRAIN_SHARE * len(shuffled))])


def _first_share(videos: Iterable[str], sizes: Mapping[str, int]) -> dict[str, None]:
    """The first videos that together have TRAIN_SHARE of all clips, in their order."""
    listed = list(videos)
    target, filled = TRAIN_SHARE * sum(sizes[video] for video in listed), 0
    taken: dict[str, None] = {}
    for video in listed:
        if filled >= target:
            break
        taken[video] = None
        filled += sizes[video]
    return taken


def commonest(counts: Mapping[Action, int], mass: float) -> set[Action]:
    """The most frequent actions, up to and including the one with which their clips reach the share `mass` of all clips.

    Actions without verb or noun do not count; equal counts are ordered by name.

    >>> sorted(commonest({("cut", "onion"): 6, ("wash", "cup"): 3, ("open", "lid"): 1, ("", "cup"): 9}, 0.8))
    [('cut', 'onion'), ('wash', 'cup')]
    """
    named = sorted(((count, action) for action, count in counts.items() if all(action)), key=lambda pair: (-pair[0], pair[1]))
    total, reached, common = sum(count for count, _ in named), 0, set[Action]()
    for count, action in named:
        if reached >= mass * total:
            break
        common.add(action)
        reached += count
    return common


def top(counts: Mapping[Action, int], number: int) -> set[Action]:
    """The `number` most frequent actions; equal counts are ordered by name."""
    named = sorted(((count, action) for action, count in counts.items() if all(action)), key=lambda pair: (-pair[0], pair[1]))
    return {action for _, action in named[:number]}


def copies(actions: Mapping[str, Action], size: int, seed: int) -> list[str]:
    """Clip ids, with repetitions up to nearly `size`: every action gets the same number of extra clips (EILEV's upsampling).

    `actions`: clip_id -> action. The length is len(actions) + m x (number of actions), with m as large as fits in `size`. The same
    number for each action also makes the tail flatter.

    >>> sorted(copies({"a": ("cut", "onion"), "b": ("cut", "onion"), "c": ("wash", "cup")}, 7, seed=0)).count("c")
    3
    """
    buckets: dict[Action, list[str]] = {}
    for clip_id, action in actions.items():
        buckets.setdefault(action, []).append(clip_id)
    more = max(0, size - len(actions)) // max(1, len(buckets))
    rng, clip_ids = random.Random(f"{seed}/copies"), list(actions)
    for action in sorted(buckets):
        bucket = buckets[action]
        clip_ids += bucket * (more // len(bucket)) + rng.sample(bucket, more % len(bucket))
    return clip_ids
