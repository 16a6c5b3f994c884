"""The connection to a Ray cluster, for as long as a command needs it."""

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from engine.logs.workers import forwarded

log = logging.getLogger(__name__)

RUN = "starloop_run"
"""Key of a Ray job's metadata: the run that it works on. `starloop submit` gives it too."""


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Hold back what Ray's C++ core prints to stderr while it starts; show it if the start fails.

    Ray's core may abort the whole process. So it is another process that shows the text, unless this one tells it not to.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.NamedTemporaryFile() as held:
        show = ["/bin/sh", "-c", 'read -r started || cat "$0" >&2', held.name]
        with subprocess.Popen(
            show,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=saved,
            start_new_session=True,  # Ctrl-C is not meant for it
        ) as other:
            assert other.stdin is not None
            os.dup2(held.fileno(), 2)
            try:
                yield
                other.stdin.write(b"started\n")
            except KeyboardInterrupt:  # a start that is stopped has not failed
                other.stdin.write(b"started\n")
                raise
            finally:
                os.dup2(saved, 2)
                os.close(saved)


@contextmanager
def connect(address: str, cpus: float = 0, gpus: float = 0, run: str = "") -> Iterator[Mapping[str, float]]:
    """Connect to the Ray at `address`, else at RAY_ADDRESS, else start one on this machine for as long as the block runs.

    Yields the cluster's resources by kind, e.g. {"CPU": 64, "GPU": 8}. `run`: by which other jobs of the cluster know this one.
    Raises ValueError if no cluster answers at the address, or if this machine has fewer CPUs or GPUs than requested; a remote
    cluster that has fewer may be growing, so for it this is a warning.
    """
    if ray.is_initialized():
        yield ray.cluster_resources()
        return
    remote = address or os.environ.get("RAY_ADDRESS")
    if remote:
        refuse_missing_token()
    is_answered = _refuse_absent(remote) if remote else False
    for name in ("ray.data", "ray._private.authentication"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # suppresses a useless warning for each actor pool: github.com/ray-project/ray/issues/53727
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    # with the default of 1 s every window would start its processes anew, imports included; only a Ray started here reads it
    os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "30000")
    if not remote:  # one machine is not preempted in part, and each finetune would start a process to watch for it
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    terminated = signal.getsignal(signal.SIGTERM)
    ending = ExitStack()
    try:
        with _quiet_stderr():
            ray.init(
                address=remote or "local",
                logging_level=logging.WARNING,
                log_to_driver=True,  # not to print it: see engine/logs/workers.py
                job_config=ray.job_config.JobConfig(metadata={RUN: run}),
                include_dashboard=None if remote else False,
            )
            ending.callback(ray.shutdown)
            ending.enter_context(forwarded())  # what Ray has printed before is held back, too
    except (ConnectionError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise _closed(remote, reason) if remote and is_answered else _absent(remote or "local", reason) from None
    except Exception as error:  # Ray raises it plain
        if remote and "Version mismatch" in str(error):
            raise ValueError(f"{' '.join(str(error).split())}; run the command in an image of the cluster's") from None
        if remote or "timed out during startup" not in str(error):
            raise
        raise ValueError("Ray did not start in time on this machine; is it busy? Run the same command again") from None
    if threading.current_thread() is threading.main_thread() and terminated is not None:  # None: it is not Python's
        signal.signal(signal.SIGTERM, terminated)  # Ray's own handler prints a stack trace
    with ending:
        resources = ray.cluster_resources()
        _compare({"CPU": cpus, "GPU": gpus}, resources, is_remote=bool(remote))
        yield resources


def refuse_missing_token() -> None:
    """Raises ValueError where the token's file is named and not there: the cluster would say no more than that it wants one."""
    path = os.environ.get("RAY_AUTH_TOKEN_PATH", "")
    if path and not os.environ.get("RAY_AUTH_TOKEN") and not os.path.isfile(path):
        raise ValueError(f"RAY_AUTH_TOKEN_PATH names {path}, which is no file; correct it, or set RAY_AUTH_TOKEN")


def is_local(address: str) -> bool:
    """Whether connect() starts a Ray on this machine, which does not grow."""
    return not (address or os.environ.get("RAY_ADDRESS"))


def _refuse_absent(address: str) -> bool:
    """Whether something is known to listen at the address: at host:port, not at "auto".

    Raises ValueError if nothing does: ray.init would wait for minutes.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return False
    try:
        socket.create_connection((host.rpartition("/")[2].strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        raise _absent(address, str(error)) from None
    return True


def _absent(address: str, reason: str) -> ValueError:
    return ValueError(f"no Ray cluster at {address} ({reason}); check cluster.address and RAY_ADDRESS")


def on_this_node() -> NodeAffinitySchedulingStrategy:
    """Places an actor that the driver needs on the driver's own node: what takes that node takes the driver too.

    Elsewhere the actor would be lost with a node that the run survives, and would come back without what it knew.
    """
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def _compare(needed: dict[str, float], available: Mapping[str, float], is_remote: bool) -> None:
    for kind, amount in needed.items():
        if available.get(kind, 0) >= amount:
            continue
        lack = f"the [cluster] section asks for {amount:g} {kind}s at once, and there are {available.get(kind, 0):g}"
        if not is_remote:
            raise ValueError(f"{lack} on this machine; lower its numbers or name a cluster's address")
        log.warning("%s now; it is waited for until a node brings more (limits.resource_patience_s)", lack)


def _closed(address: str, reason: str) -> ValueError:
    """Something listens there: ray.init does not say whether it is a Ray that wants a token."""
    return ValueError(
        f"the Ray cluster at {address} cannot be joined ({reason}); if it wants a token, set RAY_AUTH_MODE=token, and "
        "RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH; else check cluster.address and RAY_ADDRESS"
    )
