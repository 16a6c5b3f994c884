"""Pins generation and training batches: replies are those of transformers, seeds decide, the loss sees the answer alone."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jobs.make_base import frames_of
from models.base import Device, Dtype, FinetuneSpec, ModelSpec, OutOfMemory, Sampling, Turn, Video
from models.decoding import Prefix, prefill
from models.pllava import loading, video_llm
from models.pllava.processing import Exchange
from models.pllava.trainee import trainee
from watching import replies, videos_of
from worlds import shapes

CPU = Device("cpu", "float32")

TINY = ModelSpec(base="tiny")
GREEDY = Sampling(temperature=0.0, max_tokens=40)
QUESTIONS = ["What is the action in this video?", "Describe the video.", "What colour is the shape?", "Can you name the action?"]


@pytest.fixture(scope="module")
def llm() -> video_llm.PllavaVideoLLM:
    return video_llm.load(TINY, CPU)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.stack([frames_of(shapes.scene(77, index)) for index in range(6)])


@pytest.fixture(scope="module")
def videos(frames: np.ndarray) -> list[Video]:
    return videos_of(frames)


def test_greedy_replies_are_those_of_generate(llm: video_llm.PllavaVideoLLM, frames: np.ndarray, videos: list[Video]) -> None:
    questions = [*QUESTIONS, QUESTIONS[0], QUESTIONS[1]]
    for row, (question, reply) in enumerate(zip(questions, replies(llm, videos, questions, [0] * 6, GREEDY), strict=True)):
        batch = llm.processor([llm.processor.chat(question)], videos=torch.from_numpy(frames[row : row + 1]))
        ids = llm.model.generate(**batch, max_new_tokens=40, do_sample=False)[0, batch["input_ids"].shape[1] :]
        assert reply.text == llm.processor.tokenizer.decode(ids, skip_special_tokens=True).strip()
        assert reply.finished


def test_a_row_depends_on_its_seed(llm: video_llm.PllavaVideoLLM, videos: list[Video]) -> None:
    hot = Sampling(temperature=3.0, max_tokens=12)
    texts, again = ([reply.text for reply in replies(llm, [videos[0]] * 3, [QUESTIONS[0]] * 3, [1, 2, 1], hot)] for _ in range(2))
    assert texts == again
    assert texts[0] == texts[2] != texts[1]


def test_questions_of_one_batch_may_have_their_own_sampling(llm: video_llm.PllavaVideoLLM, videos: list[Video]) -> None:
    hot = Sampling(temperature=3.0, max_tokens=12)
    watched = llm.watch(videos[:2])
    futures = [watched.ask(0, QUESTIONS[0], 1, hot), watched.ask(1, QUESTIONS[1], 0, GREEDY)]
    assert futures[0].result() == replies(llm, videos[:1], QUESTIONS[:1], [1], hot)[0]
    assert futures[1].result() == replies(llm, videos[1:2], QUESTIONS[1:2], [0], GREEDY)[0]


def test_an_answer_at_the_limit_is_not_finished(llm: video_llm.PllavaVideoLLM, videos: list[Video]) -> None:
    (reply,) = replies(llm, videos[:1], QUESTIONS[:1], [0], Sampling(temperature=0.0, max_tokens=3))
    assert (reply.num_tokens, reply.finished) == (3, False)


def test_two_pieces_in_flight_answer_as_alone(llm: video_llm.PllavaVideoLLM, videos: list[Video]) -> None:
    pieces = [videos[:3], videos[3:]]
    alone = [replies(llm, piece, QUESTIONS[:3], [0] * 3, GREEDY) for piece in pieces]
    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(lambda piece: replies(llm, piece, QUESTIONS[:3], [0] * 3, GREEDY), pieces))
    assert together == alone


def test_a_video_of_another_shape_is_named(llm: video_llm.PllavaVideoLLM) -> None:
    with pytest.raises(AssertionError, match=r"video 1 is uint8\[8, 40, 48, 3\], and the model watches uint8\[8, 48, 48, 3\]"):
        llm.watch([*videos_of(np.zeros((1, 8, 48, 48, 3), np.uint8)), *videos_of(np.zeros((1, 8, 40, 48, 3), np.uint8))])


def test_out_of_memory_has_one_name_and_the_model_goes_on(llm: video_llm.PllavaVideoLLM, videos: list[Video]) -> None:
    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 7 GiB")

    watched = llm.watch(videos[:2])
    hook = llm.model.model.language_model.register_forward_pre_hook(fail)
    try:
        futures = [watched.ask(clip, QUESTIONS[0], 0, GREEDY) for clip in range(2)]
        for future in futures:
            with pytest.raises(OutOfMemory, match="Tried to allocate 7 GiB") as caught:
                future.result(timeout=0)
            assert caught.value.__context__ is None, "the first error's traceback would keep the tensors"
        with pytest.raises(OutOfMemory, match="Tried to allocate 7 GiB"):
            llm.watch(videos[:2])
        with pytest.raises(OutOfMemory, match="Tried to allocate 7 GiB"):
            llm.converse(videos, [[Turn(0, QUESTIONS[0], "")]], [0], GREEDY)
    finally:
        hook.remove()
    assert watched.ask(0, QUESTIONS[0], 0, GREEDY).done() is False
    watched.leave(1)
    assert replies(llm, videos[:1], QUESTIONS[:1], [0], GREEDY)[0].finished


@pytest.mark.parametrize("runs_out", [False, True])
def test_keys_and_values_are_freed_when_the_last_clip_leaves(
    llm: video_llm.PllavaVideoLLM, videos: list[Video], monkeypatch: pytest.MonkeyPatch, runs_out: bool
) -> None:
    """While the Watched and its futures still live, and without Python's collector."""
    prefixes: list[weakref.ref[Prefix]] = []

    def prefill_and_note(*arguments: Any) -> Prefix:
        prefix = prefill(*arguments)
        prefixes.append(weakref.ref(prefix))
        return prefix

    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(video_llm, "prefill", prefill_and_note)
    gc.collect()
    gc.disable()
    try:
        watched = llm.watch(videos[:2])
        if runs_out:
            hook = llm.model.model.language_model.register_forward_pre_hook(fail)
        futures = [watched.ask(clip, QUESTIONS[0], 0, GREEDY) for clip in range(2)]
        if runs_out:
            hook.remove()
        assert [isinstance(future.exception(), OutOfMemory) for future in futures] == [runs_out] * 2
        watched.leave(0)
        assert prefixes[0]() is not None
        watched.leave(1)
        assert prefixes[0]() is None
        if runs_out:
            error = weakref.ref(futures[0].exception())
            del futures
            assert error() is None, "an error that nobody holds is not kept by its own traceback"
    finally:
        gc.enable()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the GPU")
def test_a_gpu_that_is_not_there_is_one_line_with_its_remedy() -> None:
    with pytest.raises(ValueError, match=r"to run on 'cuda', and torch cannot use it: .*cluster.generator_gpus = 0") as caught:
        video_llm.load(TINY, Device("cuda", "bfloat16"))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_all_that_is_trained_has_the_device_s_dtype(videos: list[Video], dtype: Dtype) -> None:
    """ZeRO-3 asserts one dtype; a bfloat16 LoRA and projector train in it."""
    student = trainee(TINY, FinetuneSpec(rank=4, alpha=8.0, dropout=0.0), seed=1, device=Device("cpu", dtype))
    expected = {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype]
    assert {name: p.dtype for name, p in student.module.named_parameters() if p.dtype != expected} == {}
    batch = student.batch(videos[:2], [[Turn(0, QUESTIONS[0], "Yes.")], [Turn(1, QUESTIONS[1], "It is the red circle.")]])
    assert batch["pixel_values_videos"].dtype == expected
    optimizer = torch.optim.AdamW([p for p in student.module.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(2):
        loss = student.module(**batch).loss
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[1] < losses[0]


def test_the_model_answers_in_bfloat16(llm: video_llm.PllavaVideoLLM, videos: list[Video]) -> None:
    half = video_llm.load(TINY, Device("cpu", "bfloat16"))
    assert {p.dtype for p in half.model.parameters()} == {torch.bfloat16}
    exact, rounded = (replies(model, videos, [QUESTIONS[0]] * 6, [0] * 6, GREEDY) for model in (llm, half))
    assert all(reply.finished for reply in rounded)
    assert sum(one.text == two.text for one, two in zip(exact, rounded, strict=True)) >= 5


def test_training_reads_what_generation_reads() -> None:
    _, processor = loading.load_base(ModelSpec(base="tiny"))
    for question in QUESTIONS:
        before, after = processor.prompt_ids(question)
        ids, labels = processor.training_ids([Exchange(question, "The red circle is rising.")])
        assert ids[: len(before + after)] == before + after
        assert labels[: len(before + after)] == [-100] * len(before + after)
        assert labels[len(before + after) :] == ids[len(before + after) :]
        assert processor.tokenizer.decode(labels[len(before + after) :]) == " The red circle is rising.</s>"


def test_any_text_survives_the_tokenizer() -> None:
    _, processor = loading.load_base(ModelSpec(base="tiny"))
    for text in ("putting on eyeliner", "faire du vélo", "跳舞", "a\tb\n🎬"):
        assert processor.tokenizer.decode(processor.tokenizer.encode(text)) == text


def test_lora_touches_the_llm_and_the_projector_only(videos: list[Video], tmp_path: Path) -> None:
    student = trainee(TINY, FinetuneSpec(rank=4, alpha=8.0, dropout=0.0), seed=1, device=CPU)
    trained = [name for name, parameter in student.module.named_parameters() if parameter.requires_grad]
    assert all(".language_model.layers." in name or "multi_modal_projector" in name for name in trained)
    assert {name.rsplit(".", 4)[-4] for name in trained if "lora_" in name} == {"q_proj", "v_proj"}
    batch = student.batch(
        videos[:3], [[Turn(i, QUESTIONS[i], answer)] for i, answer in enumerate(("Yes.", "It is the red circle.", "No."))]
    )
    labels = batch["labels"]
    assert all((labels[row] != -100).any() for row in range(3))
    loss = student.module(**batch).loss
    loss.backward()
    student.save(tmp_path, {n: p.detach() for n, p in student.module.named_parameters() if p.requires_grad})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]


def test_a_fresh_adapter_changes_nothing_and_a_trained_one_is_loaded(
    llm: video_llm.PllavaVideoLLM, videos: list[Video], tmp_path: Path
) -> None:
    student = trainee(TINY, FinetuneSpec(rank=4, alpha=8.0, dropout=0.0), seed=1, device=CPU)
    state = {n: p.detach().clone() for n, p in student.module.named_parameters() if p.requires_grad}
    student.save(tmp_path / "fresh", state)
    fresh = video_llm.load(ModelSpec(base="tiny", adapter=str(tmp_path / "fresh")), CPU)
    texts = [reply.text for reply in replies(llm, videos[:2], QUESTIONS[:2], [0, 0], GREEDY)]
    assert [reply.text for reply in replies(fresh, videos[:2], QUESTIONS[:2], [0, 0], GREEDY)] == texts
    changed = {name: weight + 0.3 * torch.randn_like(weight) for name, weight in state.items()}
    student.save(tmp_path / "changed", changed)
    other = video_llm.load(ModelSpec(base="tiny", adapter=str(tmp_path / "changed")), CPU)
    assert [reply.text for reply in replies(other, videos[:2], QUESTIONS[:2], [0, 0], GREEDY)] != texts
    assert len({llm.digest, fresh.digest, other.digest}) == 3
