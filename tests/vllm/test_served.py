"""Pins the loop with a real `vllm serve` as the teacher of cycle 0: generate.engine = "openai", then the model that is trained."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.generate.one_model import read_model
from engine.store.files import Store
from loops import attempts_of
from models.base import ModelSpec
from native.loop import two_cycles
from vllm_checkpoints import a_checkpoint

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default"), pytest.mark.timeout(1200)]
START_S = 600.0


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of vLLM's own server with a Qwen3-VL of random weights."""
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as monkeypatch:
        spec = a_checkpoint(folder / "model", "qwen3_vl", monkeypatch)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    serve = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", spec.base, "--served-model-name", "teacher",
        "--port", str(port), "--host", "127.0.0.1", "--dtype", "float32", "--enforce-eager", "--max-model-len", "4096",
        "--kv-cache-memory-bytes", str(1 << 28), "--trust-request-mm-kwargs",
    ]  # fmt: skip
    environment = os.environ | {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "HF_HUB_OFFLINE": "1"}
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(serve, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server, folder / "log")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(30)


def wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"vllm serve did not start: {log.read_text()[-2000:]}")


@pytest.mark.parametrize("send", ["images", "video"])
def test_cycle_0_asks_the_server_and_evaluations_ask_the_model(url: str, send: str, ray_cluster: None, tmp_path: Path) -> None:
    asks = ["generate.engine=openai", f"generate.openai.url={url}", "generate.openai.model=teacher", f"generate.openai.send={send}"]
    summary = two_cycles(ModelSpec(base="tiny"), tmp_path, "model.allow_tiny=true", "model.num_frames=8", *asks)
    store = Store(str(tmp_path / "run"))
    models = [read_model(store, f"cycle-000/{kind}") for kind in ("generate", "evaluate")]
    assert [model["engine"] for model in models] == ["openai", "builtin"]
    assert models[0]["base"] == f"teacher at {url}"
    attempts = attempts_of(store, "cycle-000/generate")
    assert {attempt["outcome"] for attempt in attempts} <= {"kept", "rejected"}
    assert {attempt["model"] for attempt in attempts} == {models[0]["digest"]} != {models[1]["digest"]}
    assert len(summary["cycles"]) == 2
    asked = summary["cycles"][0]["asked"]
    assert asked["answers"] == len(attempts)
    assert asked["prompt_tokens"] == sum(attempt["prompt_tokens"] for attempt in attempts) > 0
