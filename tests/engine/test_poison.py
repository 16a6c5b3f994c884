"""Pins that a piece which takes its actor down ends as failed rows, after so many tries, and costs no other piece anything."""

import json
import logging
import os
from typing import Any

import numpy as np
import pytest
import ray

from builders import a_clip
from engine import flow
from engine.connection import on_this_node
from engine.decode.stage import Decoded, frame_columns
from engine.generate import watch as watching
from engine.generate.generator import Generator
from engine.generate.watch import LOST_NODES, PIECE_TRIES, Watch, begin
from engine.store.troubles import StorageError
from loops import a_generate_spec
from models.base import Video

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


class Fragile:
    """Goes down on row 3, as a model may on a clip."""

    def __init__(self, watch: Any) -> None:
        self._watch = watch

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        times = begin(self._watch, str(row["number"]))
        if row["number"] == 3 and times <= PIECE_TRIES:
            os._exit(1)
        return {"number": row["number"], "times": times}


def test_other_pieces_come_through_and_the_poison_is_told(ray_cluster: None) -> None:
    rows = [{"number": number} for number in range(8)]
    stages = [flow.Stage(name="fragile", work=Fragile, args={"watch": Watch.remote()}, actors=1, cpus=0.5)]  # type: ignore[attr-defined]
    times = {row["number"]: row["times"] for row in flow.run(rows, stages)}
    assert set(times) == set(range(8))
    assert times[3] == PIECE_TRIES + 1


class Finishing:
    """Goes down on row 3 too, and tells the Watch which rows are finished."""

    def __init__(self, watch: Any) -> None:
        self._watch, self._finished = watch, list[str]()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        finished, self._finished = self._finished, [str(row["number"])]
        times = begin(self._watch, str(row["number"]), finished)
        if row["number"] == 3 and times <= PIECE_TRIES:
            os._exit(1)
        return {"number": row["number"], "times": times}


def test_pieces_that_share_a_block_with_the_poison_are_not_taken_for_it(ray_cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "WINDOW_ROWS", 8)
    monkeypatch.setattr(flow, "rows_of_a_block", lambda row_s: 4)
    rows = [{"number": number} for number in (8, 9, 0, 1, 2, 3)]  # the first window has two rows, and shows how quick they are
    stages = [flow.Stage(name="finishing", work=Finishing, args={"watch": Watch.remote()}, actors=1, cpus=0.5)]  # type: ignore[attr-defined]
    monkeypatch.setattr(flow, "WINDOW_ROWS_PER_ACTOR", 8)
    times = {row["number"]: row["times"] for row in flow.run(rows, stages, flow.Manner(shared=True))}
    assert times == {8: 1, 9: 1, 0: 1, 1: 1, 2: 1, 3: PIECE_TRIES + 1}


def test_a_piece_begun_too_often_is_failed_rows(ray_cluster: None) -> None:
    watch = Watch.remote()  # type: ignore[attr-defined]
    spec = a_generate_spec()
    decoded = Decoded(Video(np.zeros((8, 48, 48, 3), np.uint8), tuple(map(float, range(8)))), "v1", False)
    row = {"piece_id": "p", "file_name": "p.parquet", "clips": json.dumps([a_clip("a").to_row()])} | frame_columns([decoded])
    generator = Generator(spec, watch)
    first = json.loads(generator(row)["attempts"])
    assert [attempt["outcome"] for attempt in first] == ["rejected", "rejected"]
    assert first[0]["etag"] == "v1"
    for _ in range(PIECE_TRIES - 1):
        begin(watch, "p")
    last = json.loads(generator(row)["attempts"])
    assert [(attempt["outcome"], attempt["reason"]) for attempt in last] == [("failed", "crashed")]
    assert f"went down {PIECE_TRIES} times" in last[0]["detail"]


def test_a_watch_that_does_not_answer_does_not_end_the_step(
    ray_cluster: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = Watch.options(resources={"a node that is gone": 1}).remote()  # type: ignore[attr-defined]
    killed = Watch.remote()  # type: ignore[attr-defined]
    assert begin(killed, "p") == 1
    ray.kill(killed)
    monkeypatch.setattr(watching, "ANSWER_TIMEOUT_S", 2.0)
    with caplog.at_level(logging.WARNING):
        assert [begin(watch, "p") for watch in (nowhere, killed)] == [1, 1]
    assert [record.message.partition(";")[0] for record in caplog.records if record.name == watching.__name__] == [
        "how often piece p was begun is not known (GetTimeoutError)",
        "how often piece p was begun is not known (ActorDiedError)",
    ]


def test_nodes_that_a_cloud_took_away_count_little(ray_cluster: None) -> None:
    watch = Watch.remote()  # type: ignore[attr-defined]
    for _ in range(LOST_NODES - 1):
        ray.get(watch.begin.remote("p", "a node that is gone"))
    assert begin(watch, "p") == 1
    ray.get(watch.begin.remote("p", "another one"))
    assert begin(watch, "p") == 3


def test_what_the_driver_needs_is_on_its_node(ray_cluster: None) -> None:
    node_id = ray.get_runtime_context().get_node_id()
    assert (on_this_node().node_id, on_this_node().soft) == (node_id, False)
    watch = Watch.options(scheduling_strategy=on_this_node()).remote()  # type: ignore[attr-defined]
    assert begin(watch, "p") == 1


def away(row: dict[str, Any]) -> dict[str, Any]:
    raise StorageError("unavailable", "cannot read s3://b/a: away; check endpoint")


def test_what_a_stage_raises_comes_out_as_it_was(ray_cluster: None) -> None:
    with pytest.raises(StorageError, match="cannot read s3://b/a: away") as caught:
        list(flow.run([{"number": 1}], [flow.Stage(name="away", work=away)]))
    assert caught.value.trouble == "unavailable"


def same(row: dict[str, Any]) -> dict[str, Any]:
    return row


def test_long_inputs_go_as_several_datasets(ray_cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "WINDOW_ROWS", 4)
    rows = ({"number": number} for number in range(10))
    out = list(flow.run(rows, [flow.Stage(name="same", work=same, cpus=0.5)], flow.Manner(ordered=True)))
    assert [row["number"] for row in out] == list(range(10))
    assert ray.is_initialized()
