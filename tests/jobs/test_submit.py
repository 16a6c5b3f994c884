"""Pins submission: a run sent to a Ray that somebody else started runs there, and sent again it continues."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from command import starloop

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def a_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def job_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Ray head on ports of its own; ended by its own process group, nobody else's."""
    import tempfile

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


def test_a_run_is_sent_and_continued(job_server: str, world: Path, tmp_path: Path) -> None:
    sets = [
        f"data.manifest={world}", f"run.uri={tmp_path / 'r'}", "generate.max_tokens=48", "generate.piece_clips=10",
        "train.epochs=1.0", "train.batch_rows=8", "train.micro_batch_rows=8", "train.lora_rank=4", "loop.max_cycles=1",
    ]  # fmt: skip
    arguments = [part for setting in sets for part in ("--set", setting)]
    sent = starloop("submit", "jobs/configs/demo.toml", "--address", job_server, *arguments, timeout_s=240)
    assert sent.returncode == 0, sent.stdout[-3000:] + sent.stderr[-1000:]
    assert "cycle-000/train" in sent.stdout
    assert (tmp_path / "r" / "summary.json").is_file()
    again = starloop("submit", "jobs/configs/demo.toml", "--address", job_server, *arguments, timeout_s=240)
    assert again.returncode == 0, again.stdout[-3000:] + again.stderr[-1000:]
    assert "nothing to do" in again.stdout
