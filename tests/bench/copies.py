"""Planted copies that near-copies are found of, clips that are wrongly taken for copies, and what it costs.

    make copies-bench

A world of 5,000 rendered clips is written as h264 files, 1 % of them once more for each kind of change (tests/planted.py). All
clips are compared with all others. A clip is false if it is paired with one that it was not made from. --videos FOLDER takes
windows of real videos too, all of them planted, and counts pairs of different videos as false; --scale N times the index alone.
"""

import argparse
import io
import os
import resource
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import av
import numpy as np

from engine.decode.read import read
from engine.decode.signature import CHROMA, LUMA, MOMENTS, packed, signature
from engine.select.near_copies import Looks, near_copies
from models.base import Evenly, FrameSpec, Square
from numbered import request_of
from planted import CHANGES, Picture, copy_of, encoded, scaled
from textured import family_of, textured
from worlds.shapes import render, scene

SPEC = FrameSpec(choose=Evenly(8), size=Square(224))
WINDOW_FRAMES, SHORT_SIDE_PX = 50, 240
"""Of real videos."""
QP = 24
PLANTED_EVERY, PIECE_CLIPS = 100, 16
VIDEOS = (".mp4", ".mkv", ".avi", ".webm")


@dataclass(frozen=True, slots=True)
class Encoded:
    """A clip's file, what it was made from, the first clip of the same place, and what was done to it: "" for an original."""

    data: bytes
    source: int
    family: int
    change: str


@dataclass(frozen=True, slots=True)
class Signed:
    """A clip without its file: what its frames look like, and the CPU seconds of decoding and signing it."""

    signature: str
    source: int
    family: int
    change: str
    decode_s: float
    sign_s: float


def signed(files: Sequence[Encoded]) -> list[Signed]:
    """All are decoded, in this process, and then all are signed, as a worker does with a piece."""
    clocks, frames = [time.process_time()], []
    for file in files:
        frames.append(read(io.BytesIO(file.data), request_of("clip.mp4", len(file.data), spec=SPEC)).frames)
        clocks.append(time.process_time())
    decoding = np.diff(clocks)
    clocks, texts = [time.process_time()], []
    for own in frames:
        texts.append(signature(own))
        clocks.append(time.process_time())
    return [
        Signed(text, file.source, file.family, file.change, float(decode_s), float(sign_s))
        for text, file, decode_s, sign_s in zip(texts, files, decoding, np.diff(clocks), strict=True)
    ]


def with_copies(frames: Sequence[Picture], fps: int, source: int, family: int, changes: Sequence[str]) -> list[Encoded]:
    draw = np.random.default_rng([7, source])
    copies = [Encoded(copy_of(frames, fps, change, draw), source, family, change) for change in changes]
    return [Encoded(encoded(frames, fps, QP), source, family, ""), *copies]


def rendered(start: int, end: int, world: str) -> list[Signed]:
    """Clips of a world, one of PLANTED_EVERY with a copy of each kind."""
    files: list[Encoded] = []
    for index in range(start, end):
        changes = [*CHANGES] if index % PLANTED_EVERY == 0 else []
        if world == "shapes":
            shown = scene(3, index)
            count, fps, family = max(2, round(shown.seconds * shown.fps)), shown.fps, index
            frames = [render(shown, (at + 0.5) / count) for at in range(count)]
        else:
            clip = textured(5, index)
            count, fps, family = clip.num_frames, clip.fps, family_of(index)
            frames = [clip.frame((at + 0.5) / count) for at in range(count)]
        files += with_copies(frames, fps, index, family, changes)
    return signed(files)


def filmed(number: int, path: Path) -> list[Signed]:
    """Windows of a video, each with a copy of each kind."""
    frames: list[Picture] = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            scale = min(1.0, SHORT_SIDE_PX / min(frame.height, frame.width))
            picture = frame.to_ndarray(format="rgb24")
            frames.append(scaled(picture, int(frame.width * scale) // 2 * 2, int(frame.height * scale) // 2 * 2))
    starts = range(0, len(frames) - WINDOW_FRAMES + 1, WINDOW_FRAMES)
    windows = [frames[start : start + WINDOW_FRAMES] for start in starts]
    files = [with_copies(window, 25, number * 10_000 + at, number, [*CHANGES]) for at, window in enumerate(windows)]
    return [clip for own in files for clip in signed(own)]


def print_table(name: str, clips: Sequence[Signed], is_filmed: bool) -> None:
    """`is_filmed`: windows of one video are left out of what is false, as still ones do show the same."""
    originals, copies = ([clip for clip in clips if bool(clip.change) == is_copy] for is_copy in (False, True))
    with Looks([clip.signature for clip in originals]) as looks, Looks([clip.signature for clip in copies]) as of_copies:
        began = time.process_time()
        pairs = [(originals[a], originals[b]) for a, b in near_copies(looks, looks)]
        pairs += [(originals[a], copies[b]) for a, b in near_copies(looks, of_copies)]
        compare_s = time.process_time() - began
    found, false, of_one_place = set[int](), set[int](), set[int]()
    for first, other in pairs:
        if first.source == other.source:
            found.add(id(other))
        elif first.family == other.family:
            of_one_place |= {first.source, other.source}
        else:
            false |= {first.source, other.source}
    sources = {clip.source for clip in clips}
    print(f"\n{name}: {len(clips)} clips, {len(clips) - len(sources)} of them planted")
    for change in CHANGES:
        own = [clip for clip in clips if clip.change == change]
        number = sum(id(clip) in found for clip in own)
        print(f"  {change:15} found {number:4} of {len(own):4}  {number / len(own):.4f}")
    wrong = false if is_filmed else false | of_one_place
    print(f"  false           {len(wrong):4} of {len(sources)} clips  {len(wrong) / len(sources):.4f}", end="")
    print(f"; of one place, at another time or with other things: {len(of_one_place)}")
    decode_s, sign_s = (sum(getattr(clip, part) for clip in clips) for part in ("decode_s", "sign_s"))
    each = 1000 / len(clips)
    print(f"  CPU ms a clip: decode {decode_s * each:.2f}, sign {sign_s * each:.2f}, compare {compare_s * each:.2f}", end="")
    print(f": {sign_s / decode_s:.1%} and {compare_s / decode_s:.1%} of decoding", end="")
    print(f"; {np.mean([len(clip.signature) for clip in clips]):.0f} bytes a signature", flush=True)


def random_signatures(count: int) -> Iterator[str]:
    """Of pictures with the amplitudes of photographs; one of PLANTED_EVERY is the one before it, mirrored and a little changed."""
    draw = np.random.default_rng(1)
    sizes = [np.hypot(*np.ogrid[1 : side + 1, 1 : side + 1]) for side in (LUMA, CHROMA)]
    slow, sides = np.array([1, 0.3, *[0.1] * (MOMENTS - 2)]), [np.where(np.arange(side) % 2, -1, 1) for side in (LUMA, CHROMA)]
    luma, chroma = np.zeros((MOMENTS, LUMA, LUMA)), np.zeros((MOMENTS, CHROMA, CHROMA, 2))
    for number in range(count):
        own = draw.normal(size=(MOMENTS, LUMA, LUMA)) * slow[:, None, None] * 30 / sizes[0]
        tints = draw.normal(size=(MOMENTS, CHROMA, CHROMA, 2)) * slow[:, None, None, None] * 10 / sizes[1][..., None]
        is_copy = number % PLANTED_EVERY == PLANTED_EVERY - 1
        luma = luma * sides[0] + own / 12 if is_copy else own
        chroma = chroma * sides[1][:, None] + tints / 12 if is_copy else tints
        yield packed(luma, chroma)


def print_scale(count: int) -> None:
    """Wall seconds and CPU seconds of comparing so many clips with each other, and this process's memory."""
    with Looks() as looks:
        for text in random_signatures(count):
            looks.add(text)
        began, cpu = time.monotonic(), time.process_time()
        pairs = near_copies(looks, looks)
        cpu_s, wall_s = time.process_time() - cpu, time.monotonic() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count:8} clips: {wall_s:7.1f} s, {cpu_s:7.1f} s of CPU, {1e3 * cpu_s / count:.2f} ms a clip", end="")
    print(f"; {memory:.0f} MiB at most; {len(pairs)} of {count // PLANTED_EVERY} copies", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=5000)
    parser.add_argument("--worlds", nargs="*", default=["textured", "shapes"], choices=["textured", "shapes"])
    parser.add_argument("--videos", default="", help="a folder of real videos")
    parser.add_argument("--scale", type=int, nargs="*", default=[], help="numbers of clips, of which only the index is timed")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    for count in arguments.scale:
        print_scale(count)
    if arguments.scale:
        return
    with ProcessPoolExecutor(arguments.processes) as pool:
        if arguments.videos:
            paths = sorted(path for path in Path(arguments.videos).iterdir() if path.suffix in VIDEOS)
            clips = [clip for own in pool.map(filmed, range(len(paths)), paths) for clip in own]
            print_table(f"{len(paths)} real videos", clips, is_filmed=True)
        for world in arguments.worlds:
            starts = range(0, arguments.clips, PIECE_CLIPS)
            ends = [min(arguments.clips, start + PIECE_CLIPS) for start in starts]
            clips = [clip for own in pool.map(rendered, starts, ends, repeat(world)) for clip in own]
            print_table(world, clips, is_filmed=False)


if __name__ == "__main__":
    main()
