"""Pins that samples that the device does not hold at once are answered in halves, and one that it does not hold alone is told."""

import json
from collections.abc import Sequence

import numpy as np
import pytest

from builders import a_clip
from engine.config import Episodes
from engine.decode.stage import Decoded, frame_columns
from engine.evaluate.few_shot import narrator
from engine.evaluate.few_shot.curve import Context, pieces, too_many_unusable
from engine.evaluate.few_shot.narrator import NarrateSpec, Narrator
from engine.rows import Narrated
from engine.store.filesystems import Storage
from models.base import Device, EngineSpec, ModelSpec, OutOfMemory, Reply, Sample, Sampling, Video

SPEC = NarrateSpec(
    model=ModelSpec(base="tiny"),
    device=Device("cpu", "float32"),
    engine=EngineSpec(),
    storage=Storage(),
    sampling=Sampling(temperature=0.0, max_tokens=8),
    pattern="",
    sentence_model="",
    cross_encoder="",
    bert_model="",
    bert_baseline="",
    classes=None,
    seed=0,
)


class Small:
    """A model whose device holds eight turns."""

    def __init__(self) -> None:
        self.answered = list[int]()

    def converse(self, videos: Sequence[Video], samples: Sequence[Sample], seeds: Sequence[int], sampling: Sampling) -> list[Reply]:
        if sum(map(len, samples)) > 8:
            raise OutOfMemory("CUDA out of memory")
        self.answered.append(len(samples))
        return [Reply(text=sample[-1].prompt, num_tokens=1, finished=True) for sample in samples]


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[Narrated]:
    small = Small()
    monkeypatch.setattr(narrator, "load", lambda *_: small)
    clips = {f"c{i}": a_clip(f"c{i}", verb="zup", noun="dax", description=f"The dax zups {i}.") for i in range(32)}
    contexts = [
        Context(set="rare", shots=shots, query=f"c{query}", context=tuple(f"c{query + 1 + shot}" for shot in range(shots)))
        for query in range(20)
        for shots in (0, 1, 3, 9)
    ]
    answers = list[Narrated]()
    for piece in pieces(contexts, clips, Episodes(), "k"):
        shown = [Decoded(Video(np.zeros((2, 4, 4, 3), np.uint8), (0.0, 1.0)), "v", True) for _ in json.loads(piece["windows"])]
        answers += [Narrated(**row) for row in json.loads(Narrator(SPEC)(piece | frame_columns(shown))["rows"])]
    assert max(small.answered) > 1
    return answers


def test_only_what_memory_does_not_hold_alone_fails(rows: list[Narrated]) -> None:
    looked = [row for row in rows if row.control != "majority"]
    assert {(row.shots, row.failure, bool(row.text)) for row in looked} == {
        (0, "", True), (1, "", True), (3, "", True), (9, "out_of_memory", False)
    }  # fmt: skip
    assert all(row.shown == row.shots for row in looked)


def test_a_curve_is_refused_where_too_many_queries_fail_with_any_number_of_shots(rows: list[Narrated]) -> None:
    assert too_many_unusable(rows, 1.0) is None
    assert "out_of_memory" in str(too_many_unusable(rows[::-1], 0.5))
