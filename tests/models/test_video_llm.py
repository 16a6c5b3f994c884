"""Pins generation and training batches: replies are those of transformers, seeds decide, the loss sees the answer alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.make_base import frames_of
from models.base import LoraSpec, ModelSpec, Sampling, Turn
from models.pllava import checkpoints, video_llm
from worlds import shapes

TINY = ModelSpec(base="tiny")
GREEDY = Sampling(temperature=0.0, max_tokens=40)
QUESTIONS = ["What is the action in this video?", "Describe the video.", "What colour is the shape?", "Can you name the action?"]


@pytest.fixture(scope="module")
def llm() -> video_llm.PllavaVideoLLM:
    return video_llm.load(TINY)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.stack([frames_of(shapes.scene(77, index)) for index in range(6)])


def test_greedy_replies_are_those_of_generate(llm: video_llm.PllavaVideoLLM, frames: np.ndarray) -> None:
    rows, questions = [0, 1, 2, 3, 3, 0], [*QUESTIONS, QUESTIONS[0], QUESTIONS[1]]
    replies = llm.watch(frames).reply(rows, questions, [0] * 6, GREEDY)
    for row, question, reply in zip(rows, questions, replies, strict=True):
        batch = llm.processor([llm.processor.chat(question)], videos=torch.from_numpy(frames[row : row + 1]))
        ids = llm.model.generate(**batch, max_new_tokens=40, do_sample=False)[0, batch["input_ids"].shape[1] :]
        assert reply.text == llm.processor.tokenizer.decode(ids, skip_special_tokens=True).strip()
        assert reply.finished


def test_a_row_depends_on_its_seed(llm: video_llm.PllavaVideoLLM, frames: np.ndarray) -> None:
    hot = Sampling(temperature=3.0, max_tokens=12)
    watched = llm.watch(frames)
    once = [reply.text for reply in watched.reply([0, 0, 0], [QUESTIONS[0]] * 3, [1, 2, 1], hot)]
    again = [reply.text for reply in watched.reply([0, 0, 0], [QUESTIONS[0]] * 3, [1, 2, 1], hot)]
    assert once == again
    assert once[0] == once[2] != once[1]


def test_an_answer_at_the_limit_is_not_finished(llm: video_llm.PllavaVideoLLM, frames: np.ndarray) -> None:
    reply = llm.watch(frames[:1]).reply([0], QUESTIONS[:1], [0], Sampling(temperature=0.0, max_tokens=3))[0]
    assert (reply.num_tokens, reply.finished) == (3, False)


def test_training_reads_what_generation_reads() -> None:
    _, processor = checkpoints.load_base(ModelSpec(base="tiny"))
    for question in QUESTIONS:
        before, after = processor.prompt_ids(question)
        ids, labels = processor.training_ids(question, "The red circle is rising.")
        assert ids[: len(before + after)] == before + after
        assert labels[: len(before + after)] == [-100] * len(before + after)
        assert labels[len(before + after) :] == ids[len(before + after) :]
        assert processor.tokenizer.decode(labels[len(before + after) :]) == " The red circle is rising.</s>"


def test_any_text_survives_the_tokenizer() -> None:
    _, processor = checkpoints.load_base(ModelSpec(base="tiny"))
    for text in ("putting on eyeliner", "faire du vélo", "跳舞", "a\tb\n🎬"):
        assert processor.tokenizer.decode(processor.tokenizer(text, add_special_tokens=False).input_ids) == text


def test_lora_touches_the_llm_and_the_projector_only(frames: np.ndarray, tmp_path: Path) -> None:
    student = video_llm.trainee(TINY, LoraSpec(rank=4, alpha=8.0, dropout=0.0), seed=1)
    trained = [name for name, parameter in student.module.named_parameters() if parameter.requires_grad]
    assert all(".language_model.layers." in name or "multi_modal_projector" in name for name in trained)
    assert {name.rsplit(".", 4)[-4] for name in trained if "lora_" in name} == {"q_proj", "v_proj"}
    batch = student.batch(
        frames[:3], [[Turn(i, QUESTIONS[i], said)] for i, said in enumerate(("Yes.", "It is the red circle.", "No."))]
    )
    labels = batch["labels"]
    assert all((labels[row] != -100).any() for row in range(3))
    loss = student.module(**batch).loss
    loss.backward()
    student.save(tmp_path, {n: p.detach() for n, p in student.module.named_parameters() if p.requires_grad})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]


def test_a_fresh_adapter_changes_nothing_and_a_trained_one_is_loaded(
    llm: video_llm.PllavaVideoLLM, frames: np.ndarray, tmp_path: Path
) -> None:
    student = video_llm.trainee(TINY, LoraSpec(rank=4, alpha=8.0, dropout=0.0), seed=1)
    state = {n: p.detach().clone() for n, p in student.module.named_parameters() if p.requires_grad}
    student.save(tmp_path / "fresh", state)
    fresh = video_llm.load(ModelSpec(base="tiny", adapter=str(tmp_path / "fresh")))
    say = [reply.text for reply in llm.watch(frames).reply([0, 1], QUESTIONS[:2], [0, 0], GREEDY)]
    assert [reply.text for reply in fresh.watch(frames).reply([0, 1], QUESTIONS[:2], [0, 0], GREEDY)] == say
    changed = {name: weight + 0.3 * torch.randn_like(weight) for name, weight in state.items()}
    student.save(tmp_path / "changed", changed)
    other = video_llm.load(ModelSpec(base="tiny", adapter=str(tmp_path / "changed")))
    assert [reply.text for reply in other.watch(frames).reply([0, 1], QUESTIONS[:2], [0, 0], GREEDY)] != say
    assert len({llm.digest, fresh.digest, other.digest}) == 3
