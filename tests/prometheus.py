"""A real Prometheus in tests, and a Ray cluster that it scrapes: processes of their own, ended by the test that started them."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engine.metrics.files import rules

PROGRAMS = os.environ.get("STARLOOP_TEST_PROMETHEUS")
"""The folder of prometheus and promtool, which make test-prometheus names."""
EXPORT_MS = 1000
HOLD = """
import sys, ray
ray.init("local", num_cpus=4, include_dashboard=True, dashboard_port=int(sys.argv[1]), log_to_driver=False)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
    return port


@contextlib.contextmanager
def ray_with_dashboard() -> Iterator[tuple[str, Path]]:
    """Yields the address of a Ray that exports each second, and the file of its nodes for Prometheus."""
    folder = Path(tempfile.mkdtemp(prefix="sl-m-"))  # short: Ray puts unix sockets below it
    environment = os.environ | {"RAY_TMPDIR": str(folder), "RAY_metrics_report_interval_ms": str(EXPORT_MS)}
    command = [sys.executable, "-c", HOLD, str(free_port())]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            yield holder.stdout.readline().strip(), folder / "ray" / "prom_metrics_service_discovery.json"
        finally:
            holder.stdin.close()
            holder.wait(60)
            shutil.rmtree(folder, ignore_errors=True)


class Prometheus:
    """with Prometheus(folder, discovery_file, scale) as prometheus: prometheus.query("up")"""

    def __init__(self, folder: Path, discovery: Path, scale: float) -> None:
        self._folder, self._port = folder, free_port()
        (folder / "rules.yaml").write_text(rules(scale))
        scrape = {"job_name": "ray", "file_sd_configs": [{"files": [str(discovery)], "refresh_interval": "1s"}]}
        interval = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config = {"global": interval, "rule_files": ["rules.yaml"], "scrape_configs": [scrape]}
        (folder / "prometheus.yml").write_text(json.dumps(config))  # which is YAML, too

    def __enter__(self) -> "Prometheus":
        command = [
            f"{PROGRAMS}/prometheus",
            f"--config.file={self._folder}/prometheus.yml",
            f"--storage.tsdb.path={self._folder}/data",
        ]
        with (self._folder / "prometheus.log").open("w") as log:
            self._process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{self._port}"], stderr=log)
        wait_for(lambda: self._is_ready(), "Prometheus to start", 60)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)

    def _is_ready(self) -> bool:
        try:
            return bool(self.query("vector(1)"))
        except (OSError, ValueError):  # it does not listen yet, or says that it is starting
            return False

    def query(self, text: str) -> list[dict[str, Any]]:
        """What the query gives now."""
        return self._get("query", query=text)

    def ever(self, text: str, since: float) -> list[dict[str, Any]]:
        """What the query has given in any second since then."""
        return self._get("query_range", query=text, start=str(since), end=str(time.time()), step="1")

    def firing(self) -> set[str]:
        return {alert["labels"]["alertname"] for alert in self._request("alerts")["alerts"] if alert["state"] == "firing"}

    def _get(self, path: str, **parameters: str) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self._request(f"{path}?{urllib.parse.urlencode(parameters)}")["result"]
        return result

    def _request(self, path: str) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/api/v1/{path}", timeout=10) as answer:
                data: dict[str, Any] = json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(f"{urllib.parse.unquote_plus(path)}: {error.read().decode()}") from None
        return data


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s for {what}"
        time.sleep(0.25)
