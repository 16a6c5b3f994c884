"""The crash matrix: the loop, killed in every way we know, ends as an undisturbed run does, byte by byte. `make chaos` prints it.

Each row is one run. Whatever is killed is killed with SIGKILL; a killed driver is started again with the same command line. The
run is compared with an undisturbed one: every attempt (kept, rejected, failed), every example, the adapters, the losses. A piece
counts as made twice if it was in the store when nothing was at work any more, and is another file at the end.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from command import ROOT, options
from engine.run.seals import SEAL
from engine.store.files import Store
from engine.store.filesystems import Storage
from loops import SETTINGS, outcome, write_world
from object_store import BUCKET, KEY, SECRET, Swift

STEPS = [
    "ingest",
    "base/evaluate",
    *(f"cycle-{c:03d}/{kind}" for c in (0, 1) for kind in ("generate", "select", "train", "evaluate")),
]
LAST_FILE = {"ingest": "heldout/00000.parquet", "select": "examples.parquet", "train": "losses.json"}
RUN_TIMEOUT_S = 900.0


@dataclass
class Runs:
    """Runs of one world that must end alike, and where they lie."""

    folder: Path
    manifest: str
    base: str
    """URI that run folders lie under."""
    storage: Storage = field(default_factory=Storage)
    settings: list[str] = field(default_factory=list)

    def store(self, name: str) -> Store:
        return Store(f"{self.base}/{name}", self.storage)

    def command(self, name: str, *settings: str) -> list[str]:
        sets = [*SETTINGS, f"data.manifest={self.manifest}", f"run.uri={self.base}/{name}", *self.settings, *settings]
        return [sys.executable, "-m", "jobs", "selftrain", *options(sets)]


@contextmanager
def driver(command: list[str], log: Path) -> Iterator[psutil.Popen]:
    """The command, running; killed with all that it started if it still runs at the end."""
    with open(log, "ab") as out:
        process = psutil.Popen(command, cwd=ROOT, stdout=out, stderr=out, start_new_session=True)
    try:
        yield process
    finally:
        kill_family(process)


def kill_family(process: psutil.Popen) -> None:
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(family, timeout=20)


def find(process: psutil.Process, words: tuple[str, ...]) -> list[psutil.Process]:
    """The process's descendants whose command line holds one of the words."""
    matches = []
    for descendant in process.children(recursive=True):
        try:
            if any(word in " ".join(descendant.cmdline()) for word in words):
                matches.append(descendant)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return matches


@dataclass
class Watcher:
    """Which piece files there are, as versions: on disk an inode, in S3 the time of the last write."""

    store: Store
    versions: dict[str, str] = field(default_factory=dict)
    twice: int = 0
    """Pieces that were there at one look and are another file at a later one."""

    def look(self) -> None:
        for path, version in self._versions().items():
            if path in self.versions and self.versions[path] != version:
                self.twice += 1
            self.versions[path] = version

    def _versions(self) -> dict[str, str]:
        filesystem, root = self.store.storage.filesystem(self.store.uri)
        filesystem.invalidate_cache()
        if not filesystem.exists(root):
            return {}
        files = filesystem.find(root, detail=True)
        return {p: str(d.get("ino") or d.get("LastModified")) for p, d in files.items() if "/pieces/" in p and "/.part-" not in p}


@dataclass
class Row:
    what: str
    kills: int
    differing: list[str]
    twice: int
    clips_twice: int
    seconds: float

    def __str__(self) -> str:
        same = "identical" if not self.differing else f"DIFFERS: {', '.join(self.differing[:3])}"
        return f"| {self.what} | {self.kills} | {same} | {self.twice} | {self.clips_twice} | {self.seconds:.0f} |"

    @property
    def is_good(self) -> bool:
        return not (self.differing or self.twice or self.clips_twice)


HEADER = "| disturbance | kills | end | pieces made twice | clips counted twice | seconds |\n|---|---|---|---|---|---|"


def judge(what: str, store: Store, reference: dict[str, bytes], kills: int, watcher: Watcher, seconds: float) -> Row:
    watcher.look()
    ours = outcome(store)
    differing = sorted(path for path in {*ours, *reference} if ours.get(path) != reference.get(path))
    clips_twice = 0
    for folder in {path.rpartition("/")[0] for path in ours if "/pieces/" in path}:
        rows = [row for name in store.names(folder) for row in store.read_table(f"{folder}/{name}").to_pylist()]
        attempts = [(row["clip_id"], row["mode"]) for row in rows]
        clips_twice += len(attempts) - len(set(attempts))
    return Row(what, kills, differing, watcher.twice, clips_twice, seconds)


def finish(runs: Runs, name: str, *settings: str) -> None:
    with driver(runs.command(name, *settings), runs.folder / f"{name}.log") as process:
        assert process.wait(RUN_TIMEOUT_S) == 0, (runs.folder / f"{name}.log").read_text()[-3000:]


Moment = Callable[[float], bool]
"""True if the moment has come, given the seconds since the driver was started."""


def drivers_killed(runs: Runs, name: str, moments: list[Moment], what: str, reference: dict[str, bytes]) -> Row:
    """Kill the driver when a moment has come, start it again, kill it at the next one; then let it finish.

    A run that ends before a moment comes is judged, and another one is begun for the moments that are left.
    """
    began, kills, left, ended = time.monotonic(), 0, list(moments), []
    while not ended or left:
        folder = f"{name}-{len(ended)}" if ended else name
        store = runs.store(folder)
        watcher = Watcher(store)
        while left:
            with driver(runs.command(folder), runs.folder / f"{folder}.log") as process:
                start = time.monotonic()
                while process.poll() is None and not left[0](time.monotonic() - start):
                    assert time.monotonic() - start < RUN_TIMEOUT_S, "the driver hangs"
                    time.sleep(0.02)
                is_over = process.poll() is not None
                with suppress(psutil.NoSuchProcess):
                    process.kill()  # it alone: what it started notices, and may still write for a moment
            watcher.look()
            if is_over and not left[0](0.0):
                break
            kills += not is_over
            left.pop(0)
        finish(runs, folder)
        ended.append(judge(what, store, reference, kills, watcher, time.monotonic() - began))
    differing = [path for row in ended for path in row.differing]
    twice, clips = sum(row.twice for row in ended), sum(row.clips_twice for row in ended)
    return Row(what, kills, differing, twice, clips, time.monotonic() - began)


def boundaries(store: Store) -> list[Moment]:
    """For every step: its last file is there, its seal not yet if we are quick; and its seal is there."""
    moments: list[Moment] = []
    for step in STEPS:
        for path in (f"{step}/{LAST_FILE.get(step.rpartition('/')[2], 'index.pq')}", f"{step}/{SEAL}"):
            moments.append(lambda _, path=path: store.read(path) is not None)
    return moments


def checkpoints(store: Store) -> list[Moment]:
    """While pieces are written, after a training checkpoint, and in the last cycle's finetune."""
    written = [lambda _: bool(store.names("cycle-000/generate/pieces"))]
    begun = [lambda _, cycle=cycle: store.read(f"cycle-{cycle:03d}/train/resume.json") is not None for cycle in (0, 1)]
    return [*written, *begun]


def random_moments(count: int, longest_s: float, seed: int) -> list[Moment]:
    rng = random.Random(seed)
    drawn = [rng.uniform(2, longest_s) for _ in range(count)]
    return [lambda passed, after=after: passed > after for after in drawn]


WORKERS: dict[str, tuple[str, ...]] = {
    "decoding processes": ("engine.decode.child",),
    "decode workers": ("ray::Map(decode", "ray::MapBatches(decode"),
    "generator actors": ("ray::MapWorker",),
    "train workers": ("ray::RayTrainWorker", "ray::_RayTrainWorker"),
}


def workers_killed(runs: Runs, name: str, kinds: list[str], most: int, reference: dict[str, bytes]) -> Row:
    """Kill a process of each kind in turn whenever there is one, some seconds apart, up to `most` of each."""
    store, began = runs.store(name), time.monotonic()
    watcher, killed = Watcher(store), dict.fromkeys(kinds, 0)
    with driver(runs.command(name), runs.folder / f"{name}.log") as process:
        last = dict.fromkeys(kinds, time.monotonic())
        while process.poll() is None and time.monotonic() - began < RUN_TIMEOUT_S:
            for kind in kinds:
                if killed[kind] < most and time.monotonic() - last[kind] > 3:
                    for worker in find(process, WORKERS[kind])[:1]:
                        worker.kill()
                        killed[kind] += 1
                        last[kind] = time.monotonic()
            time.sleep(0.05)
        assert process.wait(5) == 0, (runs.folder / f"{name}.log").read_text()[-3000:]
    assert all(killed.values()), f"nothing to kill was found: {killed}"
    what = ", ".join(f"{kind} x {count}" for kind, count in killed.items())
    return judge(what, store, reference, sum(killed.values()), watcher, time.monotonic() - began)


def nodes_killed(runs: Runs, name: str, reference: dict[str, bytes]) -> Row:
    """Two raylets on this machine; the one with most workers goes down while pieces are written, and again while it trains."""
    from ray.cluster_utils import Cluster

    store, began, kills = runs.store(name), time.monotonic(), 0
    watcher = Watcher(store)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    node = cluster.add_node(num_cpus=2)
    try:
        with driver(runs.command(name, f"cluster.address={cluster.address}"), runs.folder / f"{name}.log") as process:
            for moment in ("cycle-000/generate/pieces", "cycle-000/train"):
                deadline = time.monotonic() + RUN_TIMEOUT_S
                while process.poll() is None and time.monotonic() < deadline and not store.names(moment):
                    time.sleep(0.1)
                if process.poll() is None:
                    cluster.remove_node(node, allow_graceful=False)
                    kills += 1
                    time.sleep(2)
                    node = cluster.add_node(num_cpus=2)
            assert process.wait(RUN_TIMEOUT_S) == 0, (runs.folder / f"{name}.log").read_text()[-3000:]
    finally:
        cluster.shutdown()
    return judge("a whole node, while generating and while training", store, reference, kills, watcher, time.monotonic() - began)


def object_server_away(runs: Runs, name: str, swift: Swift, seconds: float, reference: dict[str, bytes]) -> Row:
    store, began, kills = runs.store(name), time.monotonic(), 0
    watcher = Watcher(store)
    with driver(runs.command(name), runs.folder / f"{name}.log") as process:
        for moment in ("cycle-000/generate/pieces", "cycle-000/train"):
            deadline = time.monotonic() + RUN_TIMEOUT_S
            while process.poll() is None and time.monotonic() < deadline and not store.names(moment):
                time.sleep(0.1)
            if process.poll() is None:
                swift.stop("object")
                kills += 1
                time.sleep(seconds)
                swift.start("object")
        assert process.wait(RUN_TIMEOUT_S) == 0, (runs.folder / f"{name}.log").read_text()[-3000:]
    what = f"the store's object server away for {seconds:.0f} s, while generating and while training"
    return judge(what, store, reference, kills, watcher, time.monotonic() - began)


ROWS = ["again", "seals", "checkpoints", "random", *WORKERS, "workers", "node", "s3"]


def matrix(folder: Path, moments: int, rows: list[str]) -> Iterator[Row]:
    (folder / "world").mkdir()
    runs = Runs(folder=folder, manifest=write_world(folder / "world"), base=str(folder / "runs"))
    finish(runs, "reference")
    reference = outcome(runs.store("reference"))
    assert any("cycle-001/generate" in path for path in reference), "the second cycle generated nothing"
    if "again" in rows:
        yield drivers_killed(runs, "again", [], "none: the same command in another folder", reference)
    if "seals" in rows:
        at_seals = boundaries(runs.store("seals"))
        yield drivers_killed(runs, "seals", at_seals, "the driver, before and after every seal", reference)
    if "checkpoints" in rows:
        at_checkpoints = checkpoints(runs.store("checkpoints"))
        yield drivers_killed(runs, "checkpoints", at_checkpoints, "the driver, at a piece and after checkpoints", reference)
    if "random" in rows:
        at_random = random_moments(moments, 45, seed=0)
        yield drivers_killed(runs, "random", at_random, f"the driver, at {moments} random moments", reference)
    for kind in WORKERS:
        if kind in rows:
            yield workers_killed(runs, kind.replace(" ", "-"), [kind], 3, reference)
    if "workers" in rows:
        yield workers_killed(runs, "workers", list(WORKERS), 1, reference)
    if "node" in rows:
        yield nodes_killed(runs, "node", reference)
    if "s3" in rows:
        with Swift(folder / "swift") as swift:
            yield from _on_s3(folder, runs, swift)


def _on_s3(folder: Path, runs: Runs, swift: Swift) -> Iterator[Row]:
    """Run folder and videos both."""
    filesystem = swift.filesystem()
    filesystem.mkdir(BUCKET)
    for path in sorted((folder / "world").iterdir()):
        filesystem.put_file(str(path), f"{BUCKET}/world/{path.name}")
    options = {"s3": {"endpoint_url": swift.endpoint}}
    on_s3 = Runs(
        folder=folder,
        manifest=f"s3://{BUCKET}/world/manifest.jsonl",
        base=f"s3://{BUCKET}/runs",
        storage=Storage(options),
        settings=[f"storage.s3.endpoint_url={swift.endpoint}"],
    )
    finish(on_s3, "s3-reference")
    reference = outcome(on_s3.store("s3-reference"))
    yield object_server_away(on_s3, "s3-away", swift, 20, reference)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=20, help="random moments at which the driver is killed")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS, help="which disturbances")
    arguments = parser.parse_args()
    private = tempfile.mkdtemp(prefix="sl-")
    os.environ.update(RAY_AUTH_MODE="disabled", RAY_TMPDIR=private, RAY_USAGE_STATS_ENABLED="0", HF_HUB_OFFLINE="1")
    os.environ.update(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_DEFAULT_REGION="us-east-1")
    os.environ.pop("RAY_ADDRESS", None)
    folder = Path(tempfile.mkdtemp(prefix="starloop-chaos-"))
    print(HEADER, flush=True)
    rows = []
    try:
        for row in matrix(folder, arguments.moments, arguments.rows):
            print(row, flush=True)
            rows.append(row)
    except BaseException:
        print(f"logs and runs are in {folder}", file=sys.stderr)
        raise
    finally:
        shutil.rmtree(private, ignore_errors=True)
    if bad := sum(not row.is_good for row in rows):
        sys.exit(f"{bad} rows are not as they should be; logs and runs are in {folder}")
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
