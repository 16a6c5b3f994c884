"""Seconds per epoch of episodes from many clips, for worlds in which a query's own video is little, most or all of its pool.

PYTHONPATH=.:tests .venv/bin/python tests/bench/episodes.py [CLIPS]        default: 100,000
"""

import random
import sys
import time
from collections.abc import Iterator
from itertools import product

from engine.config import Episodes
from engine.episodes.build import Maker, Shot
from engine.episodes.footage import Footage

WORLDS = {
    "each clip its own video and narrator": (1, 1),
    "each clip its own video, one narrator": (1, None),
    "1,000 clips a video, a video a narrator": (1000, 1000),
    "one video, one narrator": (None, None),
}
"""Clips of each video and of each narrator; None: all."""


def shots(count: int, clips_per_video: int | None, clips_per_narrator: int | None, windows: bool) -> Iterator[Shot]:
    """Zipf's tails of 100 verbs and 500 nouns. With `windows`, all clips of a video overlap, but no two windows are equal."""
    rng = random.Random(0)
    weights = [[1 / (rank + 1) for rank in range(number)] for number in (100, 500)]
    drawn = (rng.choices(range(len(weight)), weight, k=count) for weight in weights)
    for i, (verb, noun) in enumerate(zip(*drawn, strict=True)):
        video, narrator = i // (clips_per_video or count), i // (clips_per_narrator or count)
        footage = Footage(f"v{verb}", f"n{noun}", f"{video}.mp4", float(i) if windows else None, None)
        yield Shot(str(i), f"{i}/narration", str(narrator), footage)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    print(f"{count} clips: seconds to sort them, and seconds of an epoch with 0 to 16 shots")
    for name, (clips_per_video, clips_per_narrator) in WORLDS.items():
        for same_narrator, (exclude, windows) in product(
            (True, False), (("nothing", 0), ("video", 0), ("overlap", 0), ("overlap", 1))
        ):
            pool = list(shots(count, clips_per_video, clips_per_narrator, bool(windows)))
            start = time.perf_counter()
            maker = Maker(pool, Episodes(same_narrator=same_narrator, exclude=exclude), 0)  # type: ignore[arg-type]
            built = time.perf_counter()
            num_shots = sum(len(episode.context) for episode in maker.epoch(0))
            done = time.perf_counter()
            settings = f"same_narrator={same_narrator!s:5} exclude={exclude}{', windows' if windows else ''}"
            print(f"{name:40} {settings:44} {built - start:5.1f} + {done - built:5.1f} s, {num_shots:7} shots", flush=True)


if __name__ == "__main__":
    main()
