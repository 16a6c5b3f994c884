"""What generators wait for, at decode rates of half, once and twice what they need: seconds by cause, beside what was measured.

The flow is the generate step's own (engine/flow.py, Generator, write_piece), with a decode stage that takes a given time and an
engine that answers one question after another, each in a given time; both sleep, so that two cores are enough. Steady is the time
in which every generator has had a piece and none has had its last one.

PYTHONPATH=.:tests python tests/bench/idle.py
"""

import argparse
import json
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

os.environ.setdefault("RAY_AUTH_MODE", "disabled")

import numpy as np
import ray

from builders import a_clip
from engine import flow
from engine.decode.stage import Decoded, frame_columns
from engine.generate.attempts import AT_HAND
from engine.generate.generator import Generator, write_piece
from engine.generate.spec import GenerateSpec
from engine.generate.watch import Watch
from engine.metrics.clock import Worked
from engine.metrics.idle import IdleAccount, Pool
from engine.metrics.table import CAUSES
from engine.store.files import Store
from loops import a_generate_spec
from models import registry
from models.base import EngineSpec, Reply, Video
from toys.engine import Engine

ACTORS = 2


class Paced(Engine):
    """Answers one question after another."""

    def __init__(self, answer_s: float) -> None:
        super().__init__()
        self._pool, self._answer_s = ThreadPoolExecutor(1), answer_s

    def answer(self, question: str) -> Reply:
        time.sleep(self._answer_s)
        return Reply(text="It is rising.", num_tokens=4, finished=True)


class PacedGenerator(Generator):
    def __init__(self, spec: GenerateSpec, watch: Any, answer_s: float) -> None:
        registry.ENGINES["toy"] = "toys.engine"
        super().__init__(spec, watch)
        self.llm = Paced(answer_s)


def decode(row: dict[str, Any], seconds: float, num_clips: int, size_px: int) -> dict[str, Any]:
    time.sleep(seconds)
    video = Video(np.zeros((16, size_px, size_px, 3), np.uint8), tuple(map(float, range(16))))
    frames = frame_columns([Decoded(video, "v1", False)] * num_clips)
    clips = json.dumps([a_clip(f"{row['piece_id']}-{number}").to_row() for number in range(num_clips)])
    return row | frames | {"clips": clips, "decode_s": seconds, "bytes_read": 0, "decoded_at": time.time()}


class Observed:
    """The account of a flow, and of its steady part; see Observer in engine/flow.py."""

    def __init__(self) -> None:
        self.idle, self.busy_s, self._lock = Counter[str](), 0.0, threading.Lock()
        self._account = IdleAccount(ACTORS, self._add, self._busy)
        self.worked: list[Worked] = []

    def begins(self, at: float) -> None:
        with self._lock:
            self._account.begins(at)

    def observe(self, at: float, stages: Sequence[flow.StageState]) -> None:
        with self._lock:
            for stage in stages:
                if stage.name == "generate":
                    self._account.observe(at, Pool(stage.alive, stage.restarting, stage.is_blocked))

    def ends(self, at: float) -> None:
        self._account.ends(at)

    def piece(self, worked: Worked) -> None:
        with self._lock:
            self.worked.append(worked)
            self._account.piece(worked)

    def _add(self, cause: str, seconds: float) -> None:
        self.idle[cause] += seconds

    def _busy(self, seconds: float) -> None:
        self.busy_s += seconds

    def steady(self) -> tuple[Counter[str], float, int]:
        """Of the pieces that begin in the steady time: idle seconds before them by cause, busy seconds, and their number."""
        by_actor: dict[str, list[Worked]] = {}
        for worked in sorted(self.worked, key=lambda worked: worked.begun):
            by_actor.setdefault(worked.actor, []).append(worked)
        since = max(pieces[0].ended for pieces in by_actor.values())
        until = min(pieces[-1].begun for pieces in by_actor.values())
        idle, busy_s, number = Counter[str](), 0.0, 0
        for worked in self.worked:
            if since <= worked.begun <= until:
                there = min(max(worked.input_ready, worked.idle_from), worked.begun)
                idle["no_input"] += there - worked.idle_from
                idle["handover"] += worked.begun - there
                busy_s += worked.busy_s
                number += 1
        return idle, busy_s, number


def measure(rate: float, pieces: int, num_clips: int, answer_s: float, size_px: int) -> dict[str, Any]:
    """A row of the table. ACTORS decode tasks at once give `rate` times the pieces that ACTORS generators answer."""
    with tempfile.TemporaryDirectory(prefix="starloop-bench-") as folder:
        store, observed = Store(folder), Observed()
        spec = a_generate_spec(engine=EngineSpec(name="toy"), store=store, rationalize=False)
        args = {"spec": spec, "watch": Watch.remote(), "answer_s": answer_s}  # type: ignore[attr-defined]
        decoding = {"seconds": num_clips * answer_s / rate, "num_clips": num_clips, "size_px": size_px}
        stages = [
            flow.Stage(name="decode", work=decode, args=decoding, cpus=1),
            flow.Stage(name="generate", work=PacedGenerator, args=args, actors=ACTORS, cpus=1, in_flight=AT_HAND),
            flow.Stage(name="write", work=write_piece, args={"store": store, "folder": "pieces"}, cpus=0),
        ]
        rows = ({"piece_id": f"{number:05d}", "file_name": f"{number:05d}.parquet"} for number in range(pieces))
        began = time.monotonic()
        with flow.observed(observed, stages):
            for row in flow.run(rows, stages):
                observed.piece(Worked(**json.loads(row["measured"])["worked"]))
        wall_s = time.monotonic() - began
    (steady, steady_busy_s, num_steady), whole_s = observed.steady(), ACTORS * wall_s
    measured_s, sum_s = whole_s - observed.busy_s, sum(observed.idle.values())
    return {
        "decode_rate": rate,
        "size_px": size_px,
        "piece_s": round(observed.busy_s / pieces, 3),
        "idle_steady": round(sum(steady.values()) / (steady_busy_s + sum(steady.values())), 4),
        "steady_by_cause": {cause: round(seconds, 3) for cause, seconds in steady.items()},
        "steady_handover_ms_a_piece": round(1000 * steady["handover"] / max(1, num_steady), 1),
        "idle_with_start": round(measured_s / whole_s, 4),
        "by_cause_s": {cause: round(observed.idle[cause], 2) for cause in CAUSES},
        "sum_of_causes_s": round(sum_s, 2),
        "measured_idle_s": round(measured_s, 2),
        "difference": round(abs(sum_s - measured_s) / measured_s, 5),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pieces", type=int, default=40)
    parser.add_argument("--clips", type=int, default=32, help="of a piece")
    parser.add_argument("--answer-s", type=float, default=0.0625, help="of a clip")
    parser.add_argument("--size-px", type=int, default=84, help="of a frame; a clip has 16, and a piece of 32 with 336 is 173 MB")
    parser.add_argument("--rates", type=float, nargs="*", default=[0.5, 1.0, 2.0])
    arguments = parser.parse_args()
    ray.init("local", num_cpus=2 * ACTORS, include_dashboard=False, log_to_driver=False)
    for rate in arguments.rates:
        print(json.dumps(measure(rate, arguments.pieces, arguments.clips, arguments.answer_s, arguments.size_px)), flush=True)


if __name__ == "__main__":
    main()
