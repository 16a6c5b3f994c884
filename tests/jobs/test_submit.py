"""Pins submission: a run sent to a Ray that somebody else started runs there, and sent again it continues."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from command import ROOT, options, starloop
from loops import Finished, outcome, settings

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def a_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def job_server() -> Iterator[str]:
    """A Ray head on ports of its own, which somebody else might have started."""
    dashboard = a_port()
    command = [
        str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=2", f"--port={a_port()}",
        f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={a_port()}",
        f"--temp-dir={tempfile.mkdtemp(prefix='sl-')}", "--disable-usage-stats", "--include-dashboard=true",
    ]  # fmt: skip
    # on a cluster `python` is the image's; here it is the one that runs the tests
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    head = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and head.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", dashboard)) == 0:
                    break
            time.sleep(0.2)
        time.sleep(3)  # the agent that runs jobs registers a little after the port opens
        yield f"http://127.0.0.1:{dashboard}"
    finally:
        end(head)


def end(head: subprocess.Popen[bytes]) -> None:
    """The head and what it started, by id: the daemons are in process groups of their own."""
    family = [psutil.Process(head.pid), *psutil.Process(head.pid).children(recursive=True)]
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    head.wait(30)


def test_a_run_is_sent_and_continued(job_server: str, undisturbed: Finished, world: Path, tmp_path: Path) -> None:
    """What is sent, the four packages and a configuration, does the last step of a run; sent again, it finds nothing to do."""
    sent = tmp_path / "sent"
    for package in ("engine", "jobs", "models", "worlds"):
        shutil.copytree(ROOT / package, sent / package, ignore=shutil.ignore_patterns("__pycache__"))
    (sent / "run.toml").touch()
    copy = undisturbed.copy(tmp_path / "r", without=["cycle-001/evaluate"])
    arguments = ["submit", "run.toml", "--address", job_server, *options(settings(world, copy.folder))]
    first = starloop(*arguments, cwd=sent)
    assert first.returncode == 0, first.stdout[-3000:] + first.stderr[-1000:]
    assert "cycle-001/evaluate" in first.stdout
    assert outcome(copy.store) == outcome(undisturbed.store)
    again = starloop(*arguments, cwd=sent)
    assert again.returncode == 0, again.stdout[-3000:] + again.stderr[-1000:]
    assert "nothing to do" in again.stdout
