"""Pins the seams: another model, engine, verifier, benchmark, dataset or tracker is one file and one line of a table."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders import a_clip
from engine.config import Data, EvaluationSet
from engine.decode.stage import Decoded, frame_columns
from engine.evaluate import sets
from engine.generate.generator import Generator
from engine.generate.one_model import read_model
from engine.generate.watch import Watch
from engine.ingest import adapters
from engine.ingest.adapters.source import Source
from engine.ingest.manifest import read_manifest
from engine.store.files import Store
from engine.store.filesystems import Storage
from engine.verify import stages
from engine.verify.stages import Stages
from engine.verify.verdict import VerifySpec
from loops import a_generate_spec
from models import registry
from models.base import EngineSpec, ModelSpec, OutOfMemory, Video
from toys import benchmark, judge
from toys import engine as toy_engine

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]


def a_piece(name: str, *clip_ids: str) -> dict[str, Any]:
    """A decoded piece of clips that show two frames of 8 x 8 pixels."""
    clips = [a_clip(clip_id) for clip_id in clip_ids]
    video = Video(np.zeros((2, 8, 8, 3), np.uint8), (0.0, 1.0))
    row = frame_columns([Decoded(video, "v1", False) for _ in clips])
    return {"piece_id": name, "file_name": f"{name}.parquet", "clips": json.dumps([clip.to_row() for clip in clips])} | row


def attempts_of(generator: Generator, row: dict[str, Any]) -> list[dict[str, Any]]:
    attempts: list[dict[str, Any]] = json.loads(generator(row)["attempts"])
    return attempts


@pytest.fixture
def watch(ray_cluster: None) -> Any:
    return Watch.remote()  # type: ignore[attr-defined]


def test_another_model_is_one_module_and_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watch: Any) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "toy"}')
    monkeypatch.setitem(registry.FAMILIES, "toy", "toys.model")
    assert registry.frame_spec(ModelSpec(base=str(tmp_path))).choose.num_frames == 2  # type: ignore[union-attr]
    generator = Generator(a_generate_spec(model=ModelSpec(base=str(tmp_path)), store=Store(str(tmp_path / "run"))), watch)
    outcomes = [(attempt["mode"], attempt["outcome"]) for attempt in attempts_of(generator, a_piece("p", "a"))]
    assert outcomes == [("direct", "rejected"), ("rationalized", "kept")]


def test_a_model_that_cannot_read_texts_is_refused_where_their_grounding_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watch: Any
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "toy"}')
    monkeypatch.setitem(registry.FAMILIES, "toy", "toys.model")
    fields: dict[str, Any] = {"model": ModelSpec(base=str(tmp_path)), "store": Store(str(tmp_path / "run")), "grounding": 4}
    assert not Generator(a_generate_spec(**fields), watch).llm.scores, "by default its attempts have no score"
    with pytest.raises(ValueError, match=r"generate.grounding = 4, and .* cannot read a text again after a video: .* set it to 0"):
        Generator(a_generate_spec(**fields, must_score=True), watch)


def an_engine(monkeypatch: pytest.MonkeyPatch, watch: Any, tmp_path: Path, in_flight: int = 1, **fields: Any) -> Generator:
    monkeypatch.setitem(registry.ENGINES, "toy", "toys.engine")
    return Generator(
        a_generate_spec(engine=EngineSpec(name="toy", in_flight=in_flight), store=Store(str(tmp_path)), **fields), watch
    )


@pytest.mark.parametrize("in_flight", [4, 1])
def test_another_engine_answers_clips_of_as_many_pieces_at_once_as_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watch: Any, in_flight: int
) -> None:
    generator = an_engine(monkeypatch, watch, tmp_path, in_flight)
    assert isinstance(generator.llm, toy_engine.Engine)
    rows = [a_piece(f"p{number}", f"{number}a", f"{number}b") for number in range(4)]
    with ThreadPoolExecutor(4) as threads:  # as Ray calls an actor that has four pieces in its process
        attempts = list(threads.map(lambda row: attempts_of(generator, row), rows))
    assert [[attempt["clip_id"] for attempt in piece] for piece in attempts] == [[f"{n}a"] * 2 + [f"{n}b"] * 2 for n in range(4)]
    assert generator.llm.most_at_once > 2 if in_flight == 4 else generator.llm.most_at_once == 2
    assert len(generator.llm.questions) == 16


def test_a_slow_second_verifier_holds_nothing_up_and_its_reject_is_rationalized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watch: Any
) -> None:
    monkeypatch.setitem(stages.STAGES, "judge", "toys.judge")
    verify = Stages(names=("judge", "rules"), spec=VerifySpec(preset="strict"))
    generator = an_engine(monkeypatch, watch, tmp_path, verify=verify)
    clip_ids = [f"c{number}" for number in range(10)]
    attempts = attempts_of(generator, a_piece("p", *clip_ids))
    assert judge.Judge.most_at_once > 5, "the clips of a piece are judged at the same time"
    first, second = attempts[:2]
    assert [(first["reason"], len(first["judgements"])), (second["outcome"], len(second["judgements"]))] == [
        ("not_grounded", 1),
        ("kept", 2),
    ]
    by_itself = {"model": "", "prompt_tokens": 0, "num_tokens": 0, "cost": 0.0}
    assert second["judgements"][0] == by_itself | {
        "stage": "judge", "keep": True, "reason": "grounded", "score": 0.9, "detail": "I see",
    }  # fmt: skip
    assert second["judgements"][1]["stage"] == "rules"


def test_an_unknown_stage_or_engine_is_one_line(tmp_path: Path, watch: Any) -> None:
    with pytest.raises(ValueError, match=r"verify.stages names 'opinion'; known are rules"):
        stages.refuse_unknown(("rules", "opinion"))
    with pytest.raises(ValueError, match=r"generate.engine = 'warp': known are builtin"):
        Generator(a_generate_spec(engine=EngineSpec(name="warp"), store=Store(str(tmp_path))), watch)


def test_a_benchmark_is_one_reader_and_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy.txt").write_text("a.mp4|What is it?|rising\nb.mp4|And this?|sinking\n")
    monkeypatch.setitem(sets.READERS, "toy", benchmark.read)
    chosen = EvaluationSet(name="toy", format="toy", files=str(tmp_path / "toy.txt"), videos="/videos")
    clips = list(sets.read_set(chosen, "", Storage()))
    assert [(clip.video, clip.question, clip.label.text) for clip in clips] == [
        ("/videos/a.mp4", "What is it?", "rising"),
        ("/videos/b.mp4", "And this?", "sinking"),
    ]
    with pytest.raises(ValueError, match=r"has format 'other'; known are manifest, .*, toy"):
        sets.read_set(chosen.model_copy(update={"format": "other"}), "", Storage())


def test_a_dataset_is_one_adapter_and_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "list.txt").write_text("a.mp4 rising slowly\n")
    monkeypatch.setitem(adapters.ADAPTERS, "toy", "toys.adapter")
    source = Source(path=str(tmp_path / "list.txt"), storage=Storage(), video="", split="", mapping={})
    data = Data(manifest=source.path)
    [clip] = read_manifest(data, Storage(), records=lambda: adapters.adapter("toy")(source))
    assert (clip.clip_id, clip.label.text) == ("a", "rising slowly")


class Narrow(toy_engine.Engine):
    """Holds two clips at once; a clip named in `never` not even alone."""

    def __init__(self, never: int = 0) -> None:
        super().__init__()
        self.batches: list[int] = []
        self._never = never

    def watch(self, videos: Any, scores: bool = False) -> toy_engine.Watched:
        self.batches.append(len(videos))
        if len(videos) > 2 or any(video.frames.max() == 255 for video in videos):
            raise OutOfMemory("CUDA out of memory: 3 GiB more were needed")
        return super().watch(videos)


def test_a_batch_too_large_for_the_device_is_halved_down_to_one_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watch: Any
) -> None:
    generator = an_engine(monkeypatch, watch, tmp_path)
    generator.llm = Narrow()
    row = a_piece("p", "a", "b", "c", "d", "e")
    assert {attempt["outcome"] for attempt in attempts_of(generator, row)} == {"rejected", "kept"}
    assert generator.llm.batches == [5, 2, 3, 1, 2]
    frames = np.frombuffer(row["frames"], np.uint8).copy()
    frames[len(frames) // 5 * 3] = 255  # the fourth clip
    attempts = attempts_of(generator, row | {"frames": frames.tobytes()})
    failed = [attempt for attempt in attempts if attempt["outcome"] == "failed"]
    assert [(attempt["clip_id"], attempt["reason"]) for attempt in failed] == [("d", "out_of_memory")]
    assert "3 GiB more were needed; use a larger GPU, or lower model.num_frames" in failed[0]["detail"]
    assert [attempt["clip_id"] for attempt in attempts] == ["a", "a", "b", "b", "c", "c", "d", "e", "e"]


def test_a_step_asks_one_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watch: Any) -> None:
    an_engine(monkeypatch, watch, tmp_path, step="cycle-000/generate")
    assert read_model(Store(str(tmp_path)), "cycle-000/generate") == {
        "digest": "toy",
        "base": "tiny",
        "revision": "",
        "engine": "toy-1",
        "dtype": "float32",
    }
    monkeypatch.setattr(toy_engine.Engine, "digest", "another")
    with pytest.raises(ValueError, match=r"cycle-000/generate was begun with model toy \(tiny\), and tiny is another now; restore"):
        an_engine(monkeypatch, watch, tmp_path, step="cycle-000/generate")
    an_engine(monkeypatch, watch, tmp_path, step="cycle-001/generate")
