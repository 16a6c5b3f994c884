"""Several hosts on one machine: network namespaces with addresses of their own, joined by a bridge, and a raylet in each.

The hosts share the machine's files, cores and clock. Only root may make namespaces.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[1]
GCS_PORT, DASHBOARD_PORT = 6379, 8265
START_S = 180.0
DEVICE = "eth0"
"""Of every host."""
SETTINGS = {
    "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
    "RAY_worker_niceness": "5",
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT)]),
}  # fmt: skip


@cache
def why_not() -> str:
    """Why this machine can have no hosts; "" where it can."""
    if shutil.which("ip") is None:
        return "the program ip (iproute2) is not installed"
    name = f"slw{os.getpid()}"
    namespace = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if namespace.returncode:
        return f"no network namespaces here: {namespace.stderr.strip()}"
    bridge = subprocess.run(["ip", "link", "add", name, "type", "bridge"], capture_output=True, text=True, check=False)
    for kind in (["netns"], ["link"]):
        subprocess.run(["ip", *kind, "del", name], capture_output=True, check=False)
    return f"no bridge here: {bridge.stderr.strip()}" if bridge.returncode else ""


@dataclass(frozen=True)
class Host:
    """Host("generate", "10.77.12.4", "slh12-generate")"""

    name: str
    address: str
    namespace: str


class Hosts:
    """with Hosts() as hosts: hosts.start("head", cpus=0); hosts.start("decode", labels={"starloop/pool": "decode"}) ..."""

    def __init__(self) -> None:
        self._number = _free_number()
        self._bridge = f"slh{self._number}"
        self._next = 2
        self.hosts: dict[str, Host] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="sl-", dir="/tmp"))  # short: Ray puts unix sockets below it

    def __enter__(self) -> Self:
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("addr", "add", f"10.77.{self._number}.1/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for name in [*self.hosts]:
            self.kill(name)
        _ip("link", "del", self._bridge)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def address(self) -> str:
        """Of the cluster."""
        return f"10.77.{self._number}.2:{GCS_PORT}"

    @property
    def job_server(self) -> str:
        return f"http://10.77.{self._number}.2:{DASHBOARD_PORT}"

    def start(
        self,
        name: str,
        cpus: float = 2,
        labels: Mapping[str, str] | None = None,
        resources: str = "",
        env: Mapping[str, str] | None = None,
    ) -> Host:
        """Make a host and start its raylet; the first one is the head. Returns when it answers."""
        is_head = not self.hosts
        host = Host(name, f"10.77.{self._number}.{self._next}", f"{self._bridge}-{self._next}")
        self._next += 1
        self.hosts[name] = host
        self._join(host)
        address = ["--head", f"--port={GCS_PORT}", "--dashboard-host=0.0.0.0"] if is_head else [f"--address={self.address}"]
        options = [
            f"--node-ip-address={host.address}",
            f"--num-cpus={cpus:g}",
            "--object-store-memory=200000000",
            "--disable-usage-stats",
            "--include-log-monitor=False",
        ]
        options += [f"--labels={','.join(f'{key}={value}' for key, value in labels.items())}"] if labels else []
        options += [f"--resources={resources}"] if resources else []
        options.append(f"--temp-dir={self.folder / str(self._next)}")  # Ray unpacks jobs there, and hosts must not share it
        self._start_ray(host, [str(Path(sys.executable).with_name("ray")), "start", "--block", *address, *options], env)
        if is_head:
            _await_port(host.address, DASHBOARD_PORT)
        return host

    def _start_ray(self, host: Host, command: list[str], env: Mapping[str, str] | None) -> None:
        """Ray gives a node up that has not started in 30 s, which happens on a busy machine: then it is started again."""
        deadline = time.monotonic() + START_S
        while True:
            log = self.folder / f"{host.name}-{time.monotonic_ns()}.log"
            process = self.run(host, command, env, log)
            while process.poll() is None and "Ray runtime started" not in log.read_text():
                time.sleep(0.2)
            if process.poll() is None:
                return
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            _end_all(host)

    def run(
        self, host: Host, command: list[str], env: Mapping[str, str] | None = None, log: Path | None = None
    ) -> "subprocess.Popen[bytes]":
        """Start a command on a host; its output goes to a file, by default to one of the folder."""
        with open(log or self.folder / f"{host.name}.log", "ab") as out:
            return subprocess.Popen(
                ["ip", "netns", "exec", host.namespace, *command],
                env=os.environ | SETTINGS | dict(env or {}),
                cwd=ROOT,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def drain(self, name: str, deadline_s: float) -> None:
        """Tell Ray that the host will be taken away, as a cloud does with a spot node."""
        from ray._raylet import GcsClient
        from ray.core.generated.autoscaler_pb2 import DrainNodeReason
        from ray.util.state import list_nodes

        (node_id,) = [
            node.node_id
            for node in list_nodes(address=self.job_server)
            if node.node_ip == self.hosts[name].address and node.state == "ALIVE"
        ]
        reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        deadline_ms = int((time.time() + deadline_s) * 1000)
        is_accepted, message = GcsClient(address=self.address).drain_node(node_id, reason, "taken away by a test", deadline_ms)
        assert is_accepted, message

    def kill(self, name: str) -> None:
        """Take a host away at once, with all that runs on it."""
        host = self.hosts.pop(name)
        _end_all(host)
        _ip("netns", "del", host.namespace)

    def _join(self, host: Host) -> None:
        outer, inner = f"{self._bridge}o{self._next}", f"{self._bridge}i{self._next}"
        _ip("netns", "add", host.namespace)
        _ip("link", "add", outer, "type", "veth", "peer", "name", inner)
        _ip("link", "set", outer, "master", self._bridge, "up")
        _ip("link", "set", inner, "netns", host.namespace, "name", DEVICE)
        _ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", DEVICE)
        for device in ("lo", DEVICE):
            _ip("-n", host.namespace, "link", "set", device, "up")
        _ip("-n", host.namespace, "route", "add", "default", "via", f"10.77.{self._number}.1")


def _end_all(host: Host) -> None:
    """Kill all processes of a host."""
    deadline = time.monotonic() + 20
    while (pids := _ip("netns", "pids", host.namespace).split()) and time.monotonic() < deadline:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.1)


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True, timeout=20).stdout


def _free_number() -> int:
    """A subnet 10.77.N.0/24 that no bridge of another test process has."""
    taken = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    return next(number for number in range(os.getpid() % 200 + 1, 255) if f"slh{number}" not in taken)


def _await_port(address: str, port: int) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection((address, port), timeout=2).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return
