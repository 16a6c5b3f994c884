"""Pins that a real Prometheus that scrapes Ray's nodes has data for every query, and that each alert fires when its fault is made.

make test-prometheus downloads Debian's package and runs it.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from command import ROOT
from engine.metrics.alerts import alerts
from engine.metrics.panels import DASHBOARD, RUN, WINDOW
from engine.metrics.table import (
    BUSY_SECONDS,
    CLIPS,
    GENERATOR_DEATHS,
    IDLE_SECONDS,
    LAST_PROGRESS,
    LEASE_LOST,
    LEASE_RENEWED,
    METRICS,
    PIECES,
    RUNNING,
    WAITING,
)
from engine.run.seals import read_seal
from engine.store.files import Store
from loops import settings, write_world
from prometheus import PROGRAMS, Prometheus, free_port, ray_with_dashboard, wait_for
from web_server import WebServer

pytestmark = [pytest.mark.prometheus, pytest.mark.timeout(1500)]
SCALE = 1 / 300
FIRES_S = 400.0
"""How long a run may take to begin, and an alert to fire once its fault is made: on a quiet machine it is a tenth of this."""
FEW = ["generate.piece_clips=2", "generate.max_tokens=16", "train.epochs=1.0", "train.batch_rows=8", "loop.max_cycles=1"]


TIMES = 20
"""So often each clip of the world is in the long manifest: a run of it has pieces left when a fault is made after its first one."""


class Monitored:
    """A Ray and a Prometheus that scrapes it; runs are commands of their own."""

    def __init__(self, address: str, prometheus: Prometheus, world: str, folder: Path) -> None:
        self.address, self.prometheus, self.world, self.folder = address, prometheus, world, folder
        self.long = write_long(Path(world))

    @contextmanager
    def run(self, name: str, *more: str, until: str = "generate", world: str = "") -> Iterator[subprocess.Popen[str]]:
        """A command at work on the run of this name; it is killed at the end of the block."""
        given = [*settings(world or self.world, self.folder / name), *FEW, f"cluster.address={self.address}", *more]
        words = [word for setting in given for word in ("--set", setting)]
        environment = os.environ | {"RAY_metrics_report_interval_ms": "1000", "PYTHONPATH": f"{ROOT}:{ROOT}/tests"}
        with (self.folder / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "jobs", until, *words], cwd=ROOT, env=environment, stdout=log, stderr=log, text=True
            )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(30)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def begun(self, name: str, metric: str = PIECES.series, labels: str = "") -> Callable[[], bool]:
        return lambda: bool(self.prometheus.query(f'{metric}{{run="{name}"{labels}}} > 0'))

    def fires(self, alert: str) -> None:
        wait_for(lambda: alert in self.prometheus.firing(), f"{alert}; fires: {self.prometheus.firing()}", FIRES_S)
        assert self.prometheus.query(f'ALERTS{{alertname="{alert}",alertstate="firing"}}')


def write_long(manifest: Path) -> str:
    """The same videos, each as many clips."""
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    clips = [row | {"clip_id": f"{row['clip_id']}-{time}"} for time in range(TIMES) for row in rows]
    long = manifest.with_name("long.jsonl")
    long.write_text("".join(json.dumps(clip) + "\n" for clip in clips))
    return str(long)


@pytest.fixture(scope="module")
def monitored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    assert PROGRAMS, "make test-prometheus says where they are"
    world = write_world(tmp_path_factory.mktemp("world"))
    with ray_with_dashboard() as (address, discovery):
        wait_for(discovery.exists, "the file of nodes", 60)
        with Prometheus(tmp_path_factory.mktemp("prometheus"), discovery, SCALE) as prometheus:
            yield Monitored(address, prometheus, world, tmp_path_factory.mktemp("runs"))


def processes(name: str) -> list[psutil.Process]:
    """This test's Ray workers that do the stage of this name."""
    workers = []
    for process in psutil.process_iter(["cmdline"]):
        title = " ".join(process.info["cmdline"] or [])
        if title.startswith("ray::") and f"({name})" in title and process.username() == psutil.Process().username():
            workers.append(process)
    return workers


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([f"{PROGRAMS}/promtool", *words], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_promtool_takes_the_rules_and_all_queries_of_the_dashboard(tmp_path: Path) -> None:
    assert promtool("check", "rules", "cluster/monitoring/rules.yaml").returncode == 0
    queries = dashboard_queries("first", "1m").values()
    recorded = [{"record": f"dashboard:query:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": recorded}]}))
    done = promtool("check", "rules", str(tmp_path / "rules.yaml"))
    assert done.returncode == 0, done.stderr


OF_STEP = '{run="first",cycle="0",step="generate",pool="generate"'
QUIET_AND_FIRING = {
    "StarloopNoProgress": ({LAST_PROGRESS: ("", "0x60"), RUNNING: ("", "1x60")}, "30m", "32m"),
    "StarloopFailureRate": ({CLIPS: (',outcome="failed",reason="missing"', "0x15 6+6x45")}, "15m", "25m"),
    "StarloopLeaseLost": ({LEASE_LOST: ("", "0x3 1x57")}, "3m", "4m"),
    "StarloopWaitingForGPUs": ({WAITING: (',for="GPU"', "0+60x60")}, "15m", "16m"),
    "StarloopWaiting": ({WAITING: (',for="start"', "0+60x60")}, "30m", "31m"),
    "StarloopDriverGone": ({RUNNING: ("", "1x5 stale"), LEASE_RENEWED: ("", "0+60x5 stale")}, "5m", "6m"),
    "StarloopGeneratorsIdle": ({IDLE_SECONDS: (',cause="no_input"', "0+30x60"), BUSY_SECONDS: ("", "0+30x60")}, "9m", "12m"),
    "StarloopGeneratorsDie": ({GENERATOR_DEATHS: ("", "0x5 1x55")}, "5m", "6m"),
}
"""For each alert: labels and values, one a minute, of series that it reads; when it does not fire yet, and when it does."""


@pytest.mark.parametrize("name", QUIET_AND_FIRING)
def test_an_alert_lasts_as_long_as_it_says_before_it_fires(name: str, tmp_path: Path) -> None:
    """With the committed rules and their real durations."""
    series, quiet, firing = QUIET_AND_FIRING[name]
    kept = {"series": f'{CLIPS.series}{OF_STEP},outcome="kept",reason="direct"}}', "values": "0+54x60"}
    inputs = [{"series": f"{metric.series}{OF_STEP}{labels}}}", "values": values} for metric, (labels, values) in series.items()]
    query = f'count(ALERTS{{alertname="{name}",alertstate="firing"}})'
    expectations = [(quiet, []), (firing, [{"labels": "{}", "value": 1}])]
    tests = [{"expr": query, "eval_time": at, "exp_samples": samples} for at, samples in expectations]
    case = {"interval": "1m", "input_series": [kept, *inputs], "promql_expr_test": tests}
    given = {"rule_files": [str(ROOT / "cluster/monitoring/rules.yaml")], "evaluation_interval": "15s", "tests": [case]}
    (tmp_path / "test.yaml").write_text(json.dumps(given))
    done = promtool("test", "rules", str(tmp_path / "test.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


def dashboard_queries(run: str, window: str) -> dict[str, str]:
    """By their panel's title and text, with values for Grafana's variables."""
    return {
        f"{panel.title}: {query.text}": query.text.replace(RUN, run).replace(WINDOW, window)
        for row in DASHBOARD
        for panel in row.panels
        for query in panel.queries
    }


def test_every_query_of_the_dashboard_has_data(monitored: Monitored) -> None:
    since = time.time()
    port = free_port()
    with monitored.run("whole", f"cluster.metrics_port={port}", until="selftrain") as process:
        wait_for(monitored.begun("whole"), "the first piece", FIRES_S)
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
        assert process.wait(900) == 0, monitored.log("whole")
        time.sleep(3)
    queries = dashboard_queries("whole", "10s")
    assert [title for title, query in queries.items() if not monitored.prometheus.ever(query, since)] == []
    assert [metric.name for metric in METRICS if not monitored.prometheus.ever(metric.series, since)] == []
    names = set(re.findall(r"^(ray_starloop_\w+)\{", text, re.MULTILINE))
    assert PIECES.series in names
    assert names <= {metric.series for metric in METRICS}
    seal = read_seal(Store(str(monitored.folder / "whole")), "cycle-000/generate")
    assert seal is not None
    assert {kind: sum(count for name, count in seal.counts.items() if kind in name) for kind in ("kept", "dropped", "failed")} == {
        sample["metric"]["outcome"]: float(sample["value"][1])
        for sample in monitored.prometheus.query(f'sum by (outcome) ({CLIPS.series}{{run="whole",step="generate"}})')
    }


def test_no_progress(monitored: Monitored) -> None:
    with monitored.run("stands", world=monitored.long) as process:
        wait_for(monitored.begun("stands"), "the first piece", FIRES_S)
        generators = processes("generate")
        for generator in generators:
            generator.suspend()
        try:
            assert process.poll() is None, monitored.log("stands")
            assert generators
            monitored.fires("StarloopNoProgress")
        finally:
            for generator in generators:
                generator.resume()


def test_generators_die(monitored: Monitored) -> None:
    with monitored.run("dies", world=monitored.long) as process:
        wait_for(monitored.begun("dies"), "the first piece", FIRES_S)
        for generator in processes("generate"):
            generator.kill()
        assert process.poll() is None, monitored.log("dies")
        monitored.fires("StarloopGeneratorsDie")
        wait_for(monitored.begun("dies", IDLE_SECONDS.series, ',cause="dead"'), "its seconds", FIRES_S)


def test_generators_wait_for_videos_that_come_late(monitored: Monitored) -> None:
    with WebServer(Path(monitored.world).parent) as web, monitored.run("starves", f"data.videos={web.url('late')}"):
        monitored.fires("StarloopGeneratorsIdle")
        wait_for(monitored.begun("starves", IDLE_SECONDS.series, ',cause="no_input"'), "its seconds", FIRES_S)


def test_failure_rate(monitored: Monitored, tmp_path: Path) -> None:
    world = Path(write_world(tmp_path))
    for number in range(10, 50):
        (tmp_path / f"train-{number:05d}.mp4").write_bytes(b"no video")
    with monitored.run("fails", "limits.failure_rate=1.0", "data.heldout=0.0", world=str(world)):
        monitored.fires("StarloopFailureRate")


def test_lease_lost(monitored: Monitored) -> None:
    with monitored.run("taken", world=monitored.long) as process:
        wait_for(monitored.begun("taken"), "the first piece", FIRES_S)
        (monitored.folder / "taken" / "lease" / "00002.json").write_text(json.dumps({"host": "other", "pid": 7}))
        monitored.fires("StarloopLeaseLost")
        assert process.wait(60) != 0
        assert "was taken over by" in monitored.log("taken")


def test_driver_gone(monitored: Monitored) -> None:
    with monitored.run("gone", world=monitored.long) as process:
        wait_for(monitored.begun("gone"), "the first piece", FIRES_S)
        assert process.poll() is None, monitored.log("gone")
        process.kill()
        monitored.fires("StarloopDriverGone")


@pytest.mark.parametrize(("name", "alert", "need"), [
    ("no-gpus", "StarloopWaitingForGPUs", "cluster.generator_gpus=1"),
    ("no-cpus", "StarloopWaiting", "cluster.generator_cpus=64"),
])  # fmt: skip
def test_waiting(monitored: Monitored, name: str, alert: str, need: str) -> None:
    with monitored.run(name, need):
        monitored.fires(alert)


def test_each_alert_has_a_fault_here() -> None:
    assert {alert.name for alert in alerts()} == set(QUIET_AND_FIRING)
    assert {alert.name for alert in alerts()} == set(re.findall(r'"(Starloop\w+)"', Path(__file__).read_text()))
