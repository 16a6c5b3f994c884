"""Pins that a run goes over several hosts: each stage on the nodes of its label, lost nodes and other runs named in its log within
ten seconds, and its end the same, byte by byte, as that of a run on one machine.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import pytest

from command import ROOT, options, process
from engine.store.files import Store
from hosts import Hosts, why_not
from loops import SETTINGS, outcome, write_world

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(900), pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")]
CONFIG = "jobs/configs/demo.toml"
POOL = "starloop/pool"
POOLS = ("decode", "generate", "train")
RUN = [*SETTINGS, "loop.max_cycles=1", "generate.piece_clips=2", "train.epochs=20.0", "train.checkpoint_every_steps=5"]
SELECTORS = [
    f'cluster.{key}_selector={{"{POOL}" = "{pool}"}}' for key, pool in zip(("decode", "generator", "train"), POOLS, strict=True)
]
NAMED_S, AWAY_S = 10.0, float(os.environ.get("STARLOOP_TEST_AWAY_S", "20"))
"""Within which time the log names what is missing; how long a killed host stays away."""


@pytest.fixture(scope="module")
def pools() -> Iterator[Hosts]:
    with Hosts() as hosts:
        hosts.start("head", cpus=0, labels={POOL: "head"})
        for pool in POOLS:
            hosts.start(pool, cpus=1, labels={POOL: pool})
        yield hosts


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_world(tmp_path_factory.mktemp("world"))


class Job:
    """A run that `starloop submit` follows; its log is a file."""

    def __init__(self, hosts: Hosts, folder: Path, settings: list[str]) -> None:
        self.log_path, self.folder, self._hosts = folder.with_suffix(".log"), folder, hosts
        command = [sys.executable, "-m", "jobs", "submit", CONFIG, "--address", hosts.job_server]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [*command, *options([*settings, f"run.uri={folder}"])],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def until(self, condition: Callable[[], object], timeout_s: float) -> float:
        """Seconds until the condition holds. Fails with the log where the job ends before, or it takes too long."""
        began = time.monotonic()
        while not condition():
            assert self.process.poll() is None, self.log[-6000:]
            assert time.monotonic() - began < timeout_s, self.log[-6000:]
            time.sleep(0.2)
        return time.monotonic() - began

    def until_files(self, folder: str, count: int) -> None:
        """Wait until a folder of the run has so many files."""
        store = Store(str(self.folder))
        self.until(lambda: len(store.names(folder)) >= count, 400)


@contextmanager
def submitted(hosts: Hosts, folder: Path, settings: list[str]) -> Iterator[Job]:
    job = Job(hosts, folder, settings)
    try:
        yield job
    finally:
        job.process.kill()
        job.process.wait(20)
        process("stop", str(folder), "--address", hosts.job_server)  # where it runs still


def ran_on(hosts: Hosts) -> dict[str, set[str]]:
    """The addresses on which tasks and actors ran, by their names."""
    from ray.util.state import list_actors, list_nodes, list_tasks

    addresses = {
        node.node_id: node.node_ip for node in list_nodes(address=hosts.job_server, limit=100, raise_on_missing_output=False)
    }
    places = defaultdict(set)
    for task in list_tasks(address=hosts.job_server, limit=10_000, detail=True, raise_on_missing_output=False):
        if task.node_id:
            places[task.name].add(addresses[task.node_id])
    for actor in list_actors(address=hosts.job_server, limit=1000, detail=True, raise_on_missing_output=False):
        if actor.node_id:
            places[actor.class_name].add(addresses[actor.node_id])
    return dict(places)


def test_stages_run_where_their_labels_say_and_lost_hosts_are_named_and_replaced(
    pools: Hosts, manifest: str, tmp_path: Path
) -> None:
    settings = [*RUN, f"data.manifest={manifest}"]
    alone = process("selftrain", CONFIG, *options([*settings, f"run.uri={tmp_path / 'alone'}"]), timeout_s=400)
    assert alone.returncode == 0, alone.stderr[-3000:]
    used = {host.address: pool for pool, host in pools.hosts.items()}
    with submitted(pools, tmp_path / "first", [*settings, *SELECTORS, "cluster.generator_actors=auto"]) as job:
        for step, moment, pool, count in (
            ("cycle-000/generate", "cycle-000/generate/pieces", "generate", 2),
            ("cycle-000/train", "cycle-000/train", "train", 1),
        ):
            job.until_files(moment, count)
            replaced_by(pools, pool, job, step)
            used[pools.hosts[pool].address] = pool
        assert job.process.wait(400) == 0, job.log[-6000:]
    print(job.log)
    assert 'cycle-000/generate: generator_actors = "auto" is 1, of 1 CPU each' in job.log
    assert outcome(Store(str(tmp_path / "first"))) == outcome(Store(str(tmp_path / "alone")))
    places = {name: {used[address] for address in addresses} for name, addresses in ran_on(pools).items()}
    by_stage = {
        stage: set().union(*(pools for name, pools in places.items() if stage in name))
        for stage in ("MapBatches(decode", "MapWorker(MapBatches(generate))", "MapBatches(write)", "RayTrainWorker")
    }
    assert by_stage == {
        "MapBatches(decode": {"decode"},
        "MapWorker(MapBatches(generate))": {"generate"},
        "MapBatches(write)": {"generate"},
        "RayTrainWorker": {"train"},
    }, places


def test_two_runs_on_one_place_name_each_other(pools: Hosts, manifest: str, tmp_path: Path) -> None:
    settings = [*RUN, f"data.manifest={manifest}", *SELECTORS]
    with submitted(pools, tmp_path / "first", settings) as job:
        # two jobs that unpack the same files at once hinder each other
        job.until(lambda: "base/evaluate  starting" in job.log, 240)
        with submitted(pools, tmp_path / "second", settings) as other:
            job.until(lambda: "held by job" in job.log + other.log, 240)
            waits, holds = (job, other) if "held by job" in job.log else (other, job)
            assert re.search(
                rf"waits: 1 of 1 generators has no place: what they need is held by job \w+ \({holds.folder}\)", waits.log
            )


def replaced_by(hosts: Hosts, pool: str, job: Job, step: str) -> None:
    """Kill the host of a pool while the step needs it, see that the log names it and what is waited for, and start another one.

    Seconds are those of the log's own clock: on a busy head Ray's job server sends lines late.
    """
    before, killed, address = len(job.log), time.localtime(), hosts.hosts[pool].address
    hosts.kill(pool)
    silent = rf"(\d\d:\d\d:\d\d)  {step}: node {re.escape(address)} .*(does not answer|died)"
    waits = rf"(\d\d:\d\d:\d\d)  {step} .*no node has {POOL}={pool}; each waits for (1 CPU on )?a node with"
    received_s = [job.until(partial(_found, job, before, line), 120) for line in (silent, waits)]
    named_s, waits_s = (_seconds_between(killed, _found(job, before, line)) for line in (silent, waits))
    print(
        f"{pool}: its host was named after {named_s} s, and what is waited for after {waits_s} s; read {received_s[0]:.1f} and "
        f"{sum(received_s):.1f} s after the kill"
    )
    assert max(named_s, waits_s) <= NAMED_S  # both are whole seconds of the log's clock
    time.sleep(max(0.0, AWAY_S - sum(received_s)))
    hosts.start(pool, cpus=1, labels={POOL: pool})


def _found(job: Job, before: int, line: str) -> "re.Match[str] | None":
    return re.search(line, job.log[before:])


def _seconds_between(moment: time.struct_time, line: "re.Match[str] | None") -> int:
    assert line is not None
    hours, minutes, seconds = map(int, line[1].split(":"))
    return (hours * 3600 + minutes * 60 + seconds - moment.tm_hour * 3600 - moment.tm_min * 60 - moment.tm_sec) % 86_400


@dataclass
class Finetune:
    """A finetune that is driven from the head (tests/spread.py)."""

    hosts: Hosts
    manifest: str
    folder: Path
    workers: int = 1
    zero_stage: int = 0
    epochs: int = 3

    def __enter__(self) -> Self:
        numbers = map(str, (self.workers, self.zero_stage, self.epochs))
        command = [sys.executable, "tests/spread.py", self.hosts.address, self.manifest, str(self.folder), *numbers]
        self.process = self.hosts.run(self.hosts.hosts["head"], command, log=self.folder.with_suffix(".log"))
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait(20)

    @property
    def log(self) -> str:
        return self.folder.with_suffix(".log").read_text()

    def until(self, text: str, timeout_s: float = 240) -> None:
        deadline = time.monotonic() + timeout_s
        while text not in self.log:
            assert self.process.poll() is None, self.log[-6000:]
            assert time.monotonic() < deadline, self.log[-6000:]
            time.sleep(0.2)

    def losses(self) -> list[float]:
        assert self.process.wait(300) == 0, self.log[-6000:]
        losses: list[float] = json.loads(next(line for line in self.log.splitlines() if line.startswith("[")))
        return losses


def test_workers_on_two_hosts_learn_as_one_does(pools: Hosts, manifest: str, tmp_path: Path) -> None:
    """One CPU a host, and one a worker: the two are on two hosts, and ZeRO's messages go from one to the other."""
    with Finetune(pools, manifest, tmp_path / "alone") as finetune:
        alone = finetune.losses()
    assert alone[-1] < alone[0]
    pools.start("train-2", cpus=1, labels={POOL: "train"})
    try:
        for stage in (2, 3):
            with Finetune(pools, manifest, tmp_path / f"zero-{stage}", 2, stage) as finetune:
                assert finetune.losses() == pytest.approx(alone, rel=1e-3)
    finally:
        pools.kill("train-2")


def test_a_warned_node_leaves_a_checkpoint(pools: Hosts, manifest: str, tmp_path: Path) -> None:
    """Without the warning it would begin at step 0 again: no checkpoint is due before the end.

    Ray tells the workers of it some seconds later: there must be steps left.
    """
    with Finetune(pools, manifest, tmp_path / "warned", epochs=200) as finetune:
        finetune.until("step 3")
        pools.drain("train", deadline_s=30)
        finetune.until("a node of the finetune is about to be taken away; the checkpoint of step")
        pools.kill("train")
        pools.start("train", cpus=1, labels={POOL: "train"})
        finetune.until("continuing from the checkpoint of step")
        assert len(finetune.losses()) == 400


def test_a_selector_that_no_node_fulfils_ends_after_the_patience(pools: Hosts, manifest: str, tmp_path: Path) -> None:
    wrong = f'cluster.generator_selector={{"{POOL}" = "generat"}}'
    settings = [*RUN, f"data.manifest={manifest}", *SELECTORS, wrong, "limits.resource_patience_s=6"]
    with submitted(pools, tmp_path / "never", settings) as job:
        assert job.process.wait(200) == 1, job.log[-6000:]
    (line,) = [
        line for line in job.log.splitlines() if "resource_patience_s" in line and line.startswith("error: base/evaluate did")
    ]
    assert f"it asks for 1 generators of 1 CPU on a node with {POOL}=generat" in line
    assert f"no node has {POOL}=generat" in line
    for pool, host in pools.hosts.items():
        assert f"{host.address} ({POOL}={pool}, " in line
    assert "no autoscaler adds nodes to this cluster" in line
    assert "or correct cluster.generator_actors" in line
