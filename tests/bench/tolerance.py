"""What model.frame_tolerance_s does to answers: the demo's tiny base on the demo's held-out scenes, with and without it.

    PYTHONPATH=.:tests python tests/bench/tolerance.py

The scenes last eight times as long, so that eight frames of a clip are a sparse choice; --keyframe-every says how often they have a
keyframe.
"""

import argparse
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import av
import numpy as np

from engine.decode.media import open_container, video_stream
from engine.decode.request import Request
from engine.decode.seek import WindowReader
from jobs.demo import NUM_HELDOUT, NUM_TRAIN
from models.base import Device, FrameSpec, ModelSpec, Sampling, Turn, Video, VideoLLM
from models.registry import frame_spec, load
from numbered import request
from worlds import shapes

TIMES_AS_LONG = 8
TOLERANCES_S = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)
SAMPLING = Sampling(temperature=0.0, max_tokens=48)
BATCH = 20


def write(scene: shapes.Scene, path: Path, keyframe_every_s: float) -> None:
    """The scene as a video, with its keyframes so far apart."""
    num_frames = round(scene.seconds * scene.fps)
    options = {"qp": "24", "preset": "veryfast", "threads": "1", "g": str(round(scene.fps * keyframe_every_s))}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=scene.fps, options=options)
        stream.width, stream.height, stream.pix_fmt = scene.width_px, scene.height_px, "yuv420p"
        for number in range(num_frames):
            picture = shapes.render(scene, (number + 0.5) / num_frames)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def decoded(path: Path, spec: FrameSpec, tolerance_s: float) -> tuple[Video, int]:
    """The frames, and how many were decoded for them."""
    asked: Request = request(path, None, None, spec, tolerance_s)
    with path.open("rb") as file, open_container(file, path.name) as container:
        reader = WindowReader(file, container, video_stream(file, container, asked), asked)
        frames, times_s = reader.read()
        return Video(np.ascontiguousarray(np.stack(frames)), tuple(times_s)), reader.num_decoded


def replies(model: VideoLLM, videos: Sequence[Video]) -> list[str]:
    """The answers to the world's first question about each video."""
    texts = list[str]()
    for first in range(0, len(videos), BATCH):
        batch = videos[first : first + BATCH]
        samples = [[Turn(clip, shapes.QUESTIONS[0], "")] for clip in range(len(batch))]
        texts += [reply.text for reply in model.converse(batch, samples, [0] * len(batch), SAMPLING)]
    return texts


def print_table(scenes: Sequence[shapes.Scene], paths: Sequence[Path]) -> None:
    """A line for each tolerance."""
    model, spec = load(ModelSpec(base="tiny"), Device("cpu", "float32")), frame_spec(ModelSpec(base="tiny"))
    exact_s: list[tuple[float, ...]] = []
    print("tolerance  decoded  other frames  moved by  motion right  name right")
    for tolerance_s in TOLERANCES_S:
        clips = [decoded(path, spec, tolerance_s) for path in paths]
        videos = [video for video, _ in clips]
        exact_s = exact_s or [video.times_s for video in videos]
        moved_s = np.abs(np.array([video.times_s for video in videos]) - np.array(exact_s))
        texts = replies(model, videos)
        motions = np.mean([shapes.ACTIONS[scene.name][1] in text for scene, text in zip(scenes, texts, strict=True)])
        names = np.mean([scene.name in text for scene, text in zip(scenes, texts, strict=True)])
        print(
            f"{tolerance_s:7g} s {sum(count for _, count in clips):8}  {(moved_s > 0).mean():12.3f} "
            f"{moved_s.mean():7.3f} s  {motions:12.3f}  {names:10.3f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=NUM_HELDOUT)
    parser.add_argument("--keyframe-every", type=float, default=1.0, help="seconds")
    arguments = parser.parse_args()
    scenes = [shapes.scene(0, NUM_TRAIN + index) for index in range(arguments.clips)]
    scenes = [replace(scene, seconds=scene.seconds * TIMES_AS_LONG) for scene in scenes]
    with tempfile.TemporaryDirectory(prefix="starloop-bench-") as folder:
        paths = [Path(folder) / f"{index}.mp4" for index in range(len(scenes))]
        with ProcessPoolExecutor() as pool:
            list(pool.map(write, scenes, paths, repeat(arguments.keyframe_every), chunksize=4))
        print(f"{len(scenes)} clips, a keyframe every {arguments.keyframe_every:g} s")
        print_table(scenes, paths)


if __name__ == "__main__":
    main()
