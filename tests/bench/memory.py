"""Peak memory of the driver of many clips: it ingests, plans, generates, seals, tells the status; the model answers at once.

    make bench

The real driver, the real flow through Ray Data, real pieces in a real store; only decoding and the model are left out: a clip's
attempt is made where its video would have been decoded. Each size runs in a process of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from builders import an_attempt
from engine import flow
from engine.generate import attempts as generation
from engine.generate.generator import write_piece
from engine.ingest.clips import part
from engine.presets import load_config
from engine.run import loop
from engine.run.failures import failures
from engine.run.status import status
from engine.run.work import Work
from engine.store.files import Store


def answer_at_once(row: dict[str, Any], store: Store) -> dict[str, Any]:
    clips = part(store, row["part"])[row["start"] : row["start"] + row["count"]]
    attempts = [an_attempt(clip.clip_id, piece_id=row["piece_id"], text="It is rising. " * 10).to_row() for clip in clips]
    return {"piece_id": row["piece_id"], "file_name": row["file_name"], "attempts": json.dumps(attempts)}


def stages_without_a_model(work: Work, spec: object, folder: str, watch: object) -> list[flow.Stage]:
    return [
        flow.Stage(name="answer", work=answer_at_once, args={"store": work.store}, cpus=1),
        flow.Stage(name="write", work=write_piece, args={"store": work.store, "folder": folder}, cpus=0),
    ]


def write_manifest(path: Path, clips: int) -> None:
    """Two clips a video, a thousand labels."""
    with pq.ParquetWriter(path, pa.schema([("video", pa.string()), ("label", pa.string()), ("clip_id", pa.string())])) as writer:
        for first in range(0, clips, 50_000):
            numbers = range(first, min(clips, first + 50_000))
            columns = {
                "video": [f"s3://bucket/archive/2026/{n // 2:08d}.mp4" for n in numbers],
                "label": [f"doing thing number {n % 1000}" for n in numbers],
                "clip_id": [f"clip-{n:08d}" for n in numbers],
            }
            writer.write_table(pa.table(columns))


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def drive(folder: Path, clips: int) -> None:
    """Print one JSON line: peak after each stage, seconds, and whether the accounts add up."""
    began = time.monotonic()
    write_manifest(folder / "m.parquet", clips)
    generation._stages = stages_without_a_model  # type: ignore[assignment]
    told = {"clips": clips, "start": peak_mib()}
    sets = [f"data.manifest={folder / 'm.parquet'}", f"run.uri={folder / 'run'}", "data.heldout=0.0", "model.allow_tiny=true"]
    config = load_config(None, sets)
    loop.run(config, lambda progress: None, until="ingest")
    told["ingest"] = peak_mib()
    summary = loop.run(config, lambda progress: None, until="cycle-000/generate")
    told["generate"] = peak_mib()
    store = Store(str(folder / "run"))
    now = status(store)
    assert sum(1 for _ in failures(store)) == 0
    told["status"] = peak_mib()
    assert now.next_step is not None
    assert summary["cycles"][0]["direct_kept"] == clips
    print(json.dumps(told | {"seconds": time.monotonic() - began}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--drive", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.drive:
        drive(arguments.folder, arguments.drive)
        return
    peaks = []
    for clips in arguments.sizes:
        with tempfile.TemporaryDirectory(prefix="starloop-memory-") as folder:
            command = [sys.executable, __file__, "--drive", str(clips), "--folder", folder]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        told = json.loads(done.stdout.splitlines()[-1])
        peaks.append(told["status"])
        stages = "  ".join(f"{stage} {told[stage]:.0f}" for stage in ("start", "ingest", "generate", "status"))
        print(f"{clips:9,d} clips: peak MiB of the driver after {stages}; {told['seconds']:.0f} s", flush=True)
    print(f"{peaks[-1] / peaks[0]:.2f}x from {arguments.sizes[0]:,d} to {arguments.sizes[-1]:,d} clips")


if __name__ == "__main__":
    main()
