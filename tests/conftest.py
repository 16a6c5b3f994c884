"""One Ray cluster per session, in a private place; a small rendered world; nothing outside is touched."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

PRIVATE = tempfile.mkdtemp(prefix="sl-")  # short: Ray puts unix sockets below it
os.environ.update(RAY_AUTH_MODE="disabled", RAY_TMPDIR=PRIVATE, RAY_USAGE_STATS_ENABLED="0", HF_HUB_OFFLINE="1")
os.environ.pop("RAY_ADDRESS", None)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    from engine import flow

    with flow.cluster(""):
        yield


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 60 train and 20 held-out clips; three of the train clips have no usable video."""
    import json

    from engine.data import shapes

    folder = tmp_path_factory.mktemp("world")
    clips = shapes.write_world(folder, 60, 20, seed=3)
    rows = [clip.to_row() | {"label": clip.label.text} for clip in clips]
    (folder / "train-00003.mp4").unlink()
    (folder / "train-00004.mp4").write_text("no video at all\n" * 100)
    (folder / "train-00005.mp4").write_bytes(b"")
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "manifest.jsonl"
