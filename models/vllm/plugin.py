"""vLLM's plugin: what each of its processes learns about us when it starts. Found by the entry point vllm.general_plugins.

An installed starloop declares the entry point in pyproject.toml, so that `vllm serve` finds it too. A run is shipped as a working
directory and is installed nowhere: `announce` writes the entry point into a folder, which it puts on the path of the processes to
come.
"""

import ctypes
import importlib.metadata
import multiprocessing
import os
import signal
import sys

from models.caches import temporary_folder

GROUP, NAME, TARGET = "vllm.general_plugins", "starloop", "models.vllm.plugin:register"
LOAD_FORMAT = "starloop"
"""vLLM's name for the loader in models/vllm/weights.py."""
PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""


def register() -> None:
    """Called by vLLM in its driver, its engine and its workers; more than once does no harm."""
    from transformers import AutoConfig
    from vllm import ModelRegistry

    from models.pllava.configuration import PllavaConfig
    from models.vllm import weights

    AutoConfig.register("pllava", PllavaConfig, exist_ok=True)
    ModelRegistry.register_model("PllavaForConditionalGeneration", "models.vllm.modeling:VllmPllava")
    weights.register(LOAD_FORMAT)
    if parent := multiprocessing.parent_process():
        die_with(parent.pid)


def die_with(parent_pid: int | None) -> None:
    """Make the kernel end this process with its parent, however that ends: an engine whose actor was killed would keep its GPUs.

    (github.com/ray-project/ray/issues/53124). On another system than Linux nothing happens.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:  # it has ended before the call
            os.kill(os.getpid(), signal.SIGKILL)


def announce() -> None:
    """Let this process and those that it starts find the plugin, where starloop is not installed."""
    if any(point.value == TARGET for point in importlib.metadata.entry_points(group=GROUP)):
        return
    root = temporary_folder("vllm-plugin")
    folder = root / "starloop-0.dist-info"
    folder.mkdir(exist_ok=True)
    files = {
        "METADATA": "Metadata-Version: 2.1\nName: starloop\nVersion: 0\n",
        "entry_points.txt": f"[{GROUP}]\n{NAME} = {TARGET}\n",
    }
    for name, text in files.items():
        if not (folder / name).is_file() or (folder / name).read_text() != text:  # else a process may be reading it
            (folder / name).write_text(text)
    sys.path.append(str(root))  # multiprocessing gives it to the processes that it starts
    repository = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    added = [path for path in (repository, str(root)) if path not in paths]
    os.environ["PYTHONPATH"] = os.pathsep.join([*paths, *added])  # and this to those that vLLM starts by a command
