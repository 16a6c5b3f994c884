"""CPU seconds to decode 150 clips: a bare loop, the same through this project's pipeline, through plain Ray Data, and read_videos.

    make bench

Before that, what model.frame_tolerance_s saves: frames that are decoded and CPU seconds, with keyframes in place of exact frames.

Every way gives 8 frames of 224 px a clip with the same backend (read_videos: every frame, its only way). All processes of the
machine's Ray are counted, the decoding processes among them; ray.init and one warm-up of each way are not.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from builders import DECODING, a_clip
from cpu import counted_cpu
from engine import flow
from engine.connection import connect
from engine.decode.media import open_container, video_stream
from engine.decode.read import read
from engine.decode.seek import WindowReader
from engine.decode.stage import Decoded, decode_piece, videos_of
from engine.ingest.clips import path_of, write_parts
from engine.ingest.pieces import cut
from engine.store.files import Store
from models.base import Evenly, FrameSpec, Square
from numbered import request_of
from videos import remux, write_noisy

SPEC = FrameSpec(choose=Evenly(8), size=Square(224))
SHAPE = (8, 224, 224, 3)
DISTINCT = 6
"""Videos that are encoded; the others are copies under their own names."""
SPARSE = [(10, 50), (60, 50), (60, 250)]
"""Seconds of a video, and frames from a keyframe to the next, at 25 frames a second."""
TOLERANCES_S = (0.0, 0.5, 1.0, 2.0, 5.0)


class Drop:
    """A model that answers at once."""

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        results = videos_of(row)
        assert all(isinstance(result, Decoded) and result.video.frames.shape == SHAPE for result in results)
        return {"clips": len(results)}


def bare(path: str) -> None:
    """One clip, in this process, out of memory: what the backend itself costs."""
    data = Path(path).read_bytes()
    assert read(io.BytesIO(data), request_of(path, len(data), spec=SPEC)).frames.shape == SHAPE


def print_tolerances(folder: Path) -> None:
    """A line for each kind of video and tolerance: frames that are decoded for the 8 that are watched, and a clip's CPU seconds."""
    print("one clip of 1280 x 720, 8 frames, in one process, the quickest of 5:")
    for seconds, keyframe_every in SPARSE:
        once = write_noisy(folder / "once.mp4", 10, 1280, 720, g=str(keyframe_every))
        path = remux(once, folder / f"{seconds}-{keyframe_every}.mp4", seconds // 10)
        data = path.read_bytes()
        for tolerance_s in TOLERANCES_S:
            num_decoded, cpu_s = min(decoded_with(path.name, data, tolerance_s) for _ in range(5))
            what = f"{seconds} s, a keyframe every {keyframe_every / 25:g} s, within {tolerance_s:g} s"
            print(f"{num_decoded:6} frames decoded  {cpu_s:6.3f} s  {what}", flush=True)


def decoded_with(name: str, data: bytes, tolerance_s: float) -> tuple[int, float]:
    """Frames that are decoded for one clip, and its CPU seconds."""
    began, file, request = time.process_time(), io.BytesIO(data), request_of(name, len(data), spec=SPEC, tolerance_s=tolerance_s)
    with open_container(file, name) as container:
        reader = WindowReader(file, container, video_stream(file, container, request), request)
        frames, _ = reader.read()
        assert len(frames) == SHAPE[0]
        return reader.num_decoded, time.process_time() - began


def bare_row(row: dict[str, Any]) -> dict[str, Any]:
    bare(row["path"])
    return {"clips": 1}


def through_ours(store: Store, rows: list[dict[str, Any]]) -> int:
    decoding = {"spec": SPEC, "decoding": DECODING, "store": store}
    stages = [
        flow.Stage(name="decode", work=decode_piece, args=decoding, cpus=1),
        flow.Stage(name="drop", work=Drop, actors=1, cpus=0),
    ]
    return sum(row["clips"] for row in flow.run(rows, stages))


def through_plain_ray(paths: list[str]) -> int:
    import ray.data

    dataset = ray.data.from_items([{"path": path} for path in paths]).map(bare_row)
    return sum(row["clips"] for row in dataset.iter_rows())


def through_read_videos(paths: list[str]) -> int:
    import ray.data

    dataset = ray.data.read_videos(paths, include_paths=True)
    return len({row["path"] for row in dataset.select_columns(["path"]).iter_rows()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=150)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only-tolerance", action="store_true", help="print only what a tolerance saves")
    parser.add_argument("--read-videos", action="store_true", help="also the way that decodes every frame: minutes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="starloop-bench-") as folder:
        print_tolerances(Path(folder))
        if not arguments.only_tolerance:
            compare(Path(folder), arguments)


def compare(folder: Path, arguments: argparse.Namespace) -> None:
    """Print a line for each way."""
    distinct = [write_noisy(folder / f"made-{i}.mp4", 10 + i, 480, 270, g="50").read_bytes() for i in range(DISTINCT)]
    paths = []
    for number in range(arguments.clips):
        paths.append(str(folder / f"{number:04d}.mp4"))
        Path(paths[-1]).write_bytes(distinct[number % DISTINCT])
    store = Store(str(folder / "run"))
    clips = [a_clip(str(number), video=path) for number, path in enumerate(paths)]
    write_parts(store, clips)
    pieces = [
        {"piece_id": p.piece_id, "part": p.part, "start": p.start, "count": p.count} for p, _ in cut(path_of("train", 0), clips, 10)
    ]
    ways: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "bare loop, one process": (lambda: [bare(path) for path in paths], lambda: bare(paths[0])),
        "starloop: isolated, in pieces of 10, to an actor": (
            lambda: through_ours(store, pieces),
            lambda: through_ours(store, pieces[:2]),
        ),
        "plain Ray Data map, not isolated": (lambda: through_plain_ray(paths), lambda: through_plain_ray(paths[:2])),
    }
    if arguments.read_videos:
        ways["ray.data.read_videos"] = (lambda: through_read_videos(paths), lambda: through_read_videos(paths[:2]))
    print(f"{arguments.clips} clips of 10 to {9 + DISTINCT} s, 480 x 270; CPU seconds, best of {arguments.repeats} taken in turn")
    best = dict.fromkeys(ways, float("inf"))
    walls = dict.fromkeys(ways, float("inf"))
    with connect(""), counted_cpu() as cpu:
        for repeat in range(arguments.repeats):
            for name, (whole, little) in ways.items():
                if repeat == 0:
                    little()
                    time.sleep(2)
                before, began = cpu(), time.monotonic()
                whole()
                best[name] = min(best[name], cpu() - before)
                walls[name] = min(walls[name], time.monotonic() - began)
    bare_s = next(iter(best.values()))
    for name, seconds in best.items():
        print(f"{seconds:7.1f} s  {seconds / bare_s:4.2f}x  {walls[name]:6.1f} s wall  {name}")


if __name__ == "__main__":
    main()
