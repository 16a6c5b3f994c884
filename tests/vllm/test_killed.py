"""Pins vLLM in a run: what a killed engine and a killed actor cost, that none outlives its actor, which engine a step may have."""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from engine.config import RunConfig
from engine.generate import attempts, watch
from engine.generate.one_model import read_model
from engine.presets import load_config
from engine.run import loop
from engine.store.files import Store
from loops import SETTINGS, attempts_of
from models.vllm.engine import version
from worlds import shapes

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default"), pytest.mark.timeout(2400)]
STEP, IN_FLIGHT, NUM_PIECES = "cycle-000/generate", 2, 10


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    clips = shapes.write_world(folder, NUM_PIECES * 4, 4, seed=3)
    (folder / "manifest.jsonl").write_text("".join(json.dumps(clip.to_row() | {"label": clip.label.text}) + "\n" for clip in clips))
    return folder


def a_config(world: Path, run: Path, *sets: str) -> RunConfig:
    """The tiny base on 40 clips in pieces of 4, two of which are in flight."""
    own = [
        "generate.engine=vllm",
        "generate.piece_clips=4",
        "generate.max_tokens=24",
        "generate.vllm.enforce_eager=true",
    ]
    return load_config(None, [*SETTINGS, *own, f"data.manifest={world / 'manifest.jsonl'}", f"run.uri={run}", *sets])


def generate(config: RunConfig) -> None:
    loop.run(config, lambda progress: None, until=STEP)


@pytest.fixture(scope="module")
def undisturbed_attempts(world: Path, tmp_path_factory: pytest.TempPathFactory, ray_cluster: None) -> list[dict[str, Any]]:
    config = a_config(world, tmp_path_factory.mktemp("undisturbed") / "r")
    generate(config)
    return attempts_of(Store(config.run.uri), STEP)


def engines() -> list[psutil.Process]:
    """Processes of vLLM in the Ray that this process started: an engine and a worker for each actor."""
    return [process for process in psutil.Process().children(recursive=True) if "VLLM::" in _command(process)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def wait_for(condition: Callable[[], Any], seconds: float) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise TimeoutError(f"{condition} did not come true in {seconds} s")


class EveryBegin(watch.Watch.__ray_actor_class__):  # type: ignore[misc]
    """A Watch that also remembers each begin of a piece, where the step's own forgets the pieces that are finished."""

    def __init__(self) -> None:
        super().__init__()
        self._all: list[str] = []

    def begin(self, piece_id: str, node_id: str, finished: Sequence[str] = ()) -> int:
        self._all.append(piece_id)
        times: int = super().begin(piece_id, node_id, finished)
        return times

    def all_begins(self) -> list[str]:
        return self._all


class KeptWatch:
    """In place of the Watch class: its actor's handle stays, to be asked which pieces were begun."""

    handle: Any = None

    def begins(self) -> list[str]:
        """The piece of each begin; none before the step has a Watch."""
        return list(ray.get(self.handle.all_begins.remote())) if self.handle else []

    def options(self, **options: Any) -> "KeptWatch":
        return self

    def remote(self) -> Any:
        self.handle = ray.remote(num_cpus=0)(EveryBegin).remote()
        return self.handle


class Killer(threading.Thread):
    """Kills the engine while the second piece or a later one is answered, and the actor some pieces later.

    By what is begun: the first piece may be written only when the last one is answered, because a writer has to start.
    """

    def __init__(self, kept_watch: KeptWatch) -> None:
        super().__init__(daemon=True)
        self._kept_watch = kept_watch
        self.left_behind: list[list[psutil.Process]] = []
        """Of each kill, what was still there ten seconds later."""

    def run(self) -> None:
        for begins, names_actor in ((3, False), (7, True)):
            wait_for(lambda begins=begins: len(self._kept_watch.begins()) >= begins and engines(), 1000)
            victims = engines()
            core = next(process for process in victims if "EngineCore" in _command(process))
            actor = core.parent()
            assert actor is not None
            (actor if names_actor else core).send_signal(signal.SIGKILL)
            _, alive = psutil.wait_procs([actor, *victims], timeout=10)
            self.left_behind.append(alive)


@pytest.fixture
def kept_watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeptWatch]:
    kept = KeptWatch()
    monkeypatch.setattr(attempts, "Watch", kept)
    return kept


def test_kills_cost_the_pieces_in_flight_and_change_no_answer(
    world: Path, tmp_path: Path, undisturbed_attempts: list[dict[str, Any]], kept_watch: KeptWatch
) -> None:
    config = a_config(world, tmp_path / "r")
    store = Store(config.run.uri)
    killer = Killer(kept_watch)
    killer.start()
    generate(config)
    killer.join(30)
    assert killer.left_behind == [[], []], "neither kill leaves a process behind: not the actor, not its engine"
    names = [name.removesuffix(".parquet") for name in store.names(f"{STEP}/pieces")]
    ids = sorted({attempt["piece_id"] for attempt in attempts_of(store, STEP)})
    assert len(names) == len(ids) == NUM_PIECES
    begins = kept_watch.begins()
    assert sorted(set(begins)) == ids
    assert 1 <= len(begins) - NUM_PIECES <= 2 * IN_FLIGHT, f"two kills cost at most the pieces in flight: {begins}"
    assert attempts_of(store, STEP) == undisturbed_attempts
    assert read_model(store, STEP)["engine"] == version()
    assert {attempt["model"].partition("+")[2] for attempt in undisturbed_attempts} == {version()}

    # begun with vLLM, and interrupted: the other engine is refused for this step, and allowed for the next one
    store.delete(f"{STEP}/seal.json")
    store.delete(f"{STEP}/pieces/{store.names(f'{STEP}/pieces')[0]}")
    other = a_config(world, tmp_path / "r", "generate.engine=builtin")
    with pytest.raises(
        ValueError, match=f"{STEP} was begun with the engine {version()}, and generate.engine is builtin now; finish"
    ):
        generate(other)
    generate(config)
    assert attempts_of(store, STEP) == undisturbed_attempts
    loop.run(other, lambda progress: None, until="base/evaluate")
    assert read_model(store, "base/evaluate")["engine"] == "builtin"
