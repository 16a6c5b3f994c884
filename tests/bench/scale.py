"""Rows a second, memory and restart of a driver of many clips: ingest, generate, a kill and a restart, select, status.

    PYTHONPATH=.:tests python tests/bench/scale.py --clips 1000000 --folder /some/folder    continues what is in the folder

The real driver, the real flow through Ray Data, real pieces in a real store, and a model that answers at once. It is chosen how
much of the workers' part is real:

driver    a clip's attempt is made where its video would have been decoded: neither decoding, nor generator, nor verdicts
verdicts  frames that are made up, then the real generator with its verdicts
decode    the real decoder on windows of small files too

Each phase is a process of its own. The generate step is killed after a part of its clips, and begun again. all_cpu_s is
the CPU time of the driver and of Ray's processes: on a busy machine compare clips by it, not by the seconds.
"""

import argparse
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from builders import an_attempt
from cpu import counted_cpu
from engine import flow
from engine.decode.stage import Decoded, frame_columns
from engine.generate import attempts as generation
from engine.generate import generator
from engine.generate.generator import Generator, write_piece
from engine.ingest.clips import part
from engine.memory import collect_rarely
from engine.metrics.clock import WorkClock
from engine.presets import load_config
from engine.run import loop
from engine.run.failures import failures
from engine.run.seals import read_seal
from engine.run.status import status
from engine.run.work import Progress, Work
from engine.store.files import Store
from models.base import Evenly, FrameSpec, Reply, Sampling, Square, Video
from videos import write_counting

ANSWER = "The person bends down, takes what lies on the table and walks away with it, so the action is {label}. " + "He stops. " * 8
LABELS = 1000
VIDEOS, VIDEO_S = 16, 8
PHASES = {"ingest": "ingest", "generate": "cycle-000/generate", "select": "cycle-000/select"}
PAGE = 1000
"""Names of one request of a listing."""
GENERATE = PHASES["generate"]


def name_of(number: int) -> str:
    """A word for each label; the question holds the same letters from behind, so that only who knows this can answer.

    >>> name_of(17), name_of(999)
    ('qaar', 'qbml')
    """
    return "q" + "".join(chr(97 + digit) for digit in (number // 676, number // 26 % 26, number % 26))


class AtOnce:
    """A model that answers each question rightly, by the last word of it read from behind."""

    frames = FrameSpec(choose=Evenly(2), size=Square(8))
    digest = "at-once"
    scores = False

    def too_long(self, question: str, video: Video, max_tokens: int) -> str:
        return ""

    def watch(self, videos: Sequence[Video], scores: bool = False) -> "AtOnce":
        return self

    def close(self) -> None: ...

    def ask_all(self, clip: int, question: str, seeds: Sequence[int], sampling: Sampling) -> list[Future[Reply]]:
        return [self.ask(clip, question, seed, sampling) for seed in seeds]

    def ask(self, clip: int, question: str, seed: int, sampling: Sampling) -> Future[Reply]:
        answer: Future[Reply] = Future()
        answer.set_result(Reply(text=ANSWER.format(label=f"doing {question.split()[-1][::-1]}"), num_tokens=40, finished=True))
        return answer

    def leave(self, clip: int) -> None: ...


class GeneratorAtOnce(Generator):
    def __init__(self, spec: Any, watch: Any) -> None:
        generator.load = lambda *arguments: AtOnce()  # type: ignore[assignment, return-value]
        super().__init__(spec, watch)


def answer_at_once(row: dict[str, Any], store: Store) -> dict[str, Any]:
    with WorkClock("").piece(None) as worked:
        clips = part(store, row["part"])[row["start"] : row["start"] + row["count"]]
        attempts = [
            an_attempt(clip.clip_id, piece_id=row["piece_id"], text=ANSWER.format(label=clip.label.text)).to_row() for clip in clips
        ]
    took = {"decode_s": 0, "bytes_read": 0, "worked": worked}
    return {name: row[name] for name in ("piece_id", "file_name")} | {"attempts": json.dumps(attempts), "took": json.dumps(took)}


def frames_at_once(row: dict[str, Any], store: Store) -> dict[str, Any]:
    clips = part(store, row["part"])[row["start"] : row["start"] + row["count"]]
    video = Video(np.zeros((2, 8, 8, 3), np.uint8), (0.0, 1.0))
    columns = frame_columns([Decoded(video, "v1", False)] * len(clips))
    return row | {"clips": json.dumps([clip.to_row() for clip in clips])} | columns


def stages_of(through: str, work: Work, spec: Any, folder: str, watch: Any) -> list[flow.Stage]:
    write = flow.Stage(name="write", work=write_piece, args={"store": work.store, "folder": folder}, cpus=0)
    if through == "driver":
        return [flow.Stage(name="answer", work=answer_at_once, args={"store": work.store}, cpus=1), write]
    decode = flow.Stage(name="decode", work=frames_at_once, args={"store": work.store}, cpus=1)
    if through == "decode":
        decoding = {"spec": AtOnce.frames, "decoding": work.decoding(), "store": work.store}
        decode = flow.Stage(name="decode", work=generation.decode_piece, args=decoding, cpus=1)
    generate = flow.Stage(name="generate", work=GeneratorAtOnce, args={"spec": spec, "watch": watch}, actors=1, cpus=0.5)
    return [decode, generate, write]


def write_manifest(folder: Path, clips: int, has_videos: bool) -> None:
    """A thousand labels. Two clips a video of an object store, or windows of a few real files."""
    for number in range(VIDEOS if has_videos else 0):
        write_counting(folder / f"{number:02d}.mp4", list(range(0, VIDEO_S * 1000, 40)))
    columns = {name: pa.string() for name in ("video", "label", "clip_id", "question")}
    columns |= {"start_s": pa.float64(), "end_s": pa.float64()}
    with pq.ParquetWriter(folder / "m.parquet", pa.schema(list(columns.items()))) as writer:
        for first in range(0, clips, 50_000):
            numbers = range(first, min(clips, first + 50_000))
            starts = [(n // VIDEOS) * (VIDEO_S - 2) / clips * VIDEOS for n in numbers] if has_videos else [None] * len(numbers)
            rows = {
                "video": [f"{n % VIDEOS:02d}.mp4" if has_videos else f"s3://bucket/archive/2026/{n // 2:08d}.mp4" for n in numbers],
                "label": [f"doing {name_of(n % LABELS)}" for n in numbers],
                "question": [f"What happens in scene {name_of(n % LABELS)[::-1]}" for n in numbers],
                "clip_id": [f"clip-{n:08d}" for n in numbers],
                "start_s": starts,
                "end_s": [None if start is None else start + 1.0 for start in starts],
            }
            writer.write_table(pa.table(rows, schema=pa.schema(list(columns.items()))))


class Listings:
    """Counts listings, and the requests that S3 would take for them."""

    def __init__(self) -> None:
        self.listings = self.requests = 0
        listed = Store._files

        def counted(store: Store, *arguments: Any) -> list[tuple[str, int]]:
            files = listed(store, *arguments)
            self.listings, self.requests = self.listings + 1, self.requests + max(1, -(-len(files) // PAGE))
            return files

        Store._files = counted  # type: ignore[method-assign]


def drive(folder: Path, phase: str, through: str, piece_clips: int) -> None:
    """One phase. Prints a JSON line when the step hands on results for the first time and the last, and one at the end."""
    began, listings = time.monotonic(), Listings()
    collect_rarely()  # as the command does
    generation._stages = lambda *arguments: stages_of(through, *arguments)  # type: ignore[assignment]
    sets = [f"data.manifest={folder / 'm.parquet'}", f"run.uri={folder / 'run'}", "data.heldout=0.0", "model.allow_tiny=true"]
    sets += ["select.near_copies=ignore"]  # no clip is decoded, so none has a signature; tests/bench/copies.py measures them
    sets += [f"generate.piece_clips={piece_clips}", "generate.rationalize=false", f"data.videos={folder}"]
    results: dict[str, Any] = {}

    def report(progress: Progress) -> None:
        if progress.step != GENERATE or not progress.unit:
            return
        if progress.done > progress.before and "first_s" not in results:
            results.update(first_s=round(time.monotonic() - began, 1), before=progress.before)
        results.update(done=progress.done, last_s=round(time.monotonic() - began, 1))
        print(json.dumps({"done": progress.done, "first_s": results.get("first_s")}), flush=True)

    store = Store(str(folder / "run"))
    with counted_cpu() as cpu_s:
        _do(phase, store, sets, report, results)
        results["all_cpu_s"] = round(cpu_s(), 1)
    if phase in PHASES and (seal := read_seal(store, PHASES[phase])) is not None:
        results["sealed_s"] = seal.seconds  # of the step's last driver, without the report that the command waits for at its end
    memory = psutil.Process().memory_full_info()
    results |= {"seconds": round(time.monotonic() - began, 1), "driver_cpu_s": round(time.process_time(), 1)}
    results |= {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, "uss_mib": memory.uss >> 20}
    print(json.dumps({"end": results | {"listings": listings.listings, "requests": listings.requests}}), flush=True)


def _do(phase: str, store: Store, sets: list[str], report: Callable[[Progress], None], results: dict[str, Any]) -> None:
    if phase == "status":
        results["next"] = str(status(store).next_step and status(store).next_step.name)  # type: ignore[union-attr]
    elif phase == "failures":
        results["failed"] = sum(1 for _ in failures(store))
    else:
        loop.run(load_config(None, sets), report, until=PHASES[phase])


def run_phase(arguments: argparse.Namespace, folder: Path, phase: str, kill_at: int = 0) -> dict[str, Any]:
    """What a phase prints at its end; at `kill_at` clips its process is killed."""
    command = [sys.executable, __file__, "--drive", phase, "--folder", str(folder), "--through", arguments.through]
    command += ["--piece-clips", str(arguments.piece_clips)]
    began, last = time.monotonic(), dict[str, Any]()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if not line.startswith("{"):
                continue
            last = json.loads(line)
            if kill_at and last.get("done", 0) >= kill_at and last.get("first_s"):
                status_lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                peak = next(int(each.split()[1]) >> 10 for each in status_lines if each.startswith("VmHWM"))
                process.send_signal(signal.SIGKILL)
                process.wait()
                seconds = time.monotonic() - began
                return last | {"peak_mib": peak, "seconds": round(seconds, 1), "last_s": round(seconds, 1), "before": 0}
    assert process.returncode == 0, f"{phase} failed"
    return dict(last["end"])


def rate(clips: int, seconds: float) -> str:
    return f"{clips / seconds:8,.0f} clips/s" if seconds > 0 else ""


def line(name: str, result: dict[str, Any], clips: int) -> None:
    told = {key: value for key, value in result.items() if key not in ("done", "before", "last_s", "seconds")}
    print(f"{name:22s} {result['seconds']:8.1f} s {rate(clips, result['seconds'])}  {told}", flush=True)


def measure(arguments: argparse.Namespace, folder: Path) -> None:
    clips = arguments.clips
    if not (folder / "m.parquet").exists():
        write_manifest(folder, clips, arguments.through == "decode")
    print(f"{clips:,} clips, pieces of {arguments.piece_clips}, workers do: {arguments.through}", flush=True)
    line("ingest", run_phase(arguments, folder, "ingest"), clips)
    if arguments.kill_at:
        killed = run_phase(arguments, folder, "generate", int(clips * arguments.kill_at))
        if "first_s" in killed:
            line("generate, killed", killed, killed["done"])
        line("status, unsealed", run_phase(arguments, folder, "status"), clips)
    result = run_phase(arguments, folder, "generate")
    new = result.get("done", clips) - result.get("before", 0)
    line("generate, to its end", result, new)
    if "first_s" in result:
        print(f"{'  first to last result':22s} {rate(new, result['last_s'] - result['first_s'])}; counted and sealed after it in "
              f"{result['seconds'] - result['last_s']:.1f} s")  # fmt: skip
    line("status", run_phase(arguments, folder, "status"), clips)
    line("failures", run_phase(arguments, folder, "failures"), clips)
    line("select", run_phase(arguments, folder, "select"), clips)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--through", choices=("driver", "verdicts", "decode"), default="driver")
    parser.add_argument("--piece-clips", type=int, default=32)
    parser.add_argument("--kill-at", type=float, default=0.6, help="share of the clips after which the driver is killed; 0: never")
    parser.add_argument("--folder", type=Path, help="is kept, and continued")
    parser.add_argument("--drive", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.drive:
        drive(arguments.folder, arguments.drive, arguments.through, arguments.piece_clips)
    elif arguments.folder:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        measure(arguments, arguments.folder)
    else:
        with tempfile.TemporaryDirectory(prefix="starloop-scale-") as folder:
            measure(arguments, Path(folder))


if __name__ == "__main__":
    main()
