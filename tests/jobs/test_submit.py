"""Pins submission: a run sent to a Ray that somebody else started runs there, and sent again it continues; its log is followed
through connections that are dropped, and the exit status is the job's.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
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


@pytest.fixture
def dropping_proxy(job_server: str) -> Iterator[str]:
    """The job server behind an ingress that drops upgraded connections after a second and a half."""
    loop, port, target = asyncio.new_event_loop(), a_port(), int(job_server.rpartition(":")[2])

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.read(65536)
        from_server, to_server = await asyncio.open_connection("127.0.0.1", target)
        to_server.write(head)
        pipes = [asyncio.create_task(pipe(reader, to_server)), asyncio.create_task(pipe(from_server, writer))]
        if b"upgrade: websocket" in head.lower():
            await asyncio.sleep(1.5)
            writer.transport.abort()
            to_server.transport.abort()
        await asyncio.gather(*pipes)

    loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", port))
    threading.Thread(target=loop.run_forever, daemon=True).start()
    yield f"http://127.0.0.1:{port}"
    loop.call_soon_threadsafe(loop.stop)


def test_a_run_is_sent_and_continued(
    job_server: str, dropping_proxy: str, undisturbed: Finished, world: Path, tmp_path: Path
) -> None:
    """What is sent, the four packages and a configuration, does the last step of a run; sent again, it finds nothing to do."""
    sent = tmp_path / "sent"
    for package in ("engine", "jobs", "models", "worlds"):
        shutil.copytree(ROOT / package, sent / package, ignore=shutil.ignore_patterns("__pycache__"))
    (sent / "run.toml").touch()
    copy = undisturbed.copy(tmp_path / "r", without=["cycle-001/evaluate"])
    arguments = ["submit", "run.toml", *options(settings(world, copy.folder)), "--address"]
    begun = starloop(*arguments, job_server, "--no-wait", cwd=sent)
    assert begun.returncode == 0, begun.stdout[-3000:] + begun.stderr[-1000:]
    job = begun.stdout.split()[1]
    first = starloop(*arguments, dropping_proxy, cwd=sent)
    assert first.returncode == 0, first.stdout[-3000:] + first.stderr[-1000:]
    assert f"{job} is at work on {copy.folder} already" in first.stdout
    assert first.stdout.count("cycle-001/evaluate  starting") <= 1 <= first.stdout.count("cycle-001/evaluate")
    assert first.stdout.endswith(f"{job} succeeded\n")
    assert outcome(copy.store) == outcome(undisturbed.store)
    again = starloop(*arguments, job_server, cwd=sent)
    assert again.returncode == 0, again.stdout[-3000:] + again.stderr[-1000:]
    assert "nothing to do" in again.stdout
    assert f"submitted {job[:-1]}2" in again.stdout
    assert "at work" not in again.stdout
    listed = starloop("list", str(copy.folder), "--address", job_server)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["job", f"{job[:-1]}2", job]
    other = starloop("attach", "s3://elsewhere/run", "--address", job_server)
    assert f"has no job of s3://elsewhere/run; it has {job[:-1]}2 of {copy.folder}" in other.stderr
    stopped = starloop("stop", str(copy.folder), "--address", job_server)
    assert (stopped.returncode, stopped.stderr) == (0, "")
    assert f"nothing to stop: {job[:-1]}2 has ended already, as SUCCEEDED" in stopped.stdout
    (sent / "bad.toml").write_text('[data]\nmanifest = "nowhere.csv"\n')
    failed = starloop("submit", "bad.toml", "--set", f"run.uri={tmp_path / 'bad'}", "--address", job_server, cwd=sent)
    assert failed.returncode == 1
    assert "nowhere.csv" in failed.stdout
    assert "ended as FAILED" in failed.stderr
