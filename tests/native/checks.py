"""What docs/models.md says of an architecture, measured on a small random checkpoint; tests/models_table.py prints all of them."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from models import registry
from models.base import FinetuneSpec, ModelSpec, Passage, Reply, Sampling, Turn, Video
from models.frames import smallest_shape
from models.parts import parts_of
from models.replies import replies_of
from native.architectures import CPU, a_video

GREEDY = Sampling(temperature=0.0, max_tokens=8)
QUESTIONS = ("what is it ?", "what is the action in this video ? and so on", "is the red circle rising")
SAMPLES = (
    [Turn(0, "what is it ?", "it is the red circle .")],
    [Turn(1, "what is the action ?", "rising ."), Turn(None, "so ?", "it is .")],
)


def generated(llm: Any, question: str, video: Video) -> Reply:
    """What transformers' own generate answers on the processor's output for this question alone."""
    inputs = llm.processor.inputs([llm.processor.sample_chat([Turn(0, question, "")])], [[video]])
    settings = {"do_sample": False, "eos_token_id": sorted(llm.end_ids), "pad_token_id": llm.processor.tokenizer.pad_token_id}
    tokens = llm.model.generate(**inputs, **settings, max_new_tokens=GREEDY.max_tokens)[0, inputs["input_ids"].shape[1] :].tolist()
    end = next((place for place, token in enumerate(tokens) if token in llm.end_ids), len(tokens))
    return replies_of(llm.processor, [tokens[:end]], GREEDY)[0]


def answers(llm: Any, videos: list[Video], seeds: tuple[int, ...] = (0, 1, 2), sampling: Sampling = GREEDY) -> list[Reply]:
    """Answers to QUESTIONS about three clips, asked as the generator asks."""
    watched = llm.watch(videos)
    futures = [watched.ask(clip, QUESTIONS[clip], seeds[clip], sampling) for clip in range(3)]
    replies = [future.result() for future in futures]
    for clip in range(3):
        watched.leave(clip)
    return replies


def read_whole(llm: Any, passage: Passage, video: Video) -> list[float]:
    """Log-likelihoods of a text and of what closes it, by one pass over the whole chat, without a cache."""
    sample = [Turn(0, passage.question, passage.text)]
    inputs = llm.processor.inputs([llm.processor.sample_chat(sample)], [[video]])
    labels = llm.processor.labels(sample, [llm.processor.stand_in(video)])
    with torch.no_grad():
        logprobs = llm.model(**llm._on_device(inputs)).logits[0].float().log_softmax(-1)
    return [float(logprobs[place - 1, token]) for place, token in enumerate(labels) if token != -100]


def three_videos(llm: Any) -> list[Video]:
    """Of different lengths, so that their prefixes differ too."""
    return [a_video(seed, smallest_shape(llm.frames), more_frames=2 * seed) for seed in range(3)]


def greedy_equal(spec: ModelSpec) -> bool:
    llm: Any = registry.load(spec, CPU)
    videos = three_videos(llm)
    return answers(llm, videos) == [generated(llm, question, video) for question, video in zip(QUESTIONS, videos, strict=True)]


def a_trainee(spec: ModelSpec, method: Any = "lora") -> tuple[Any, list[Video]]:
    student: Any = registry.trainee(spec, FinetuneSpec(rank=4, alpha=8.0, dropout=0.0, method=method), 0, CPU)
    return student, [a_video(seed, smallest_shape(student.frames)) for seed in range(2)]


def loss_difference(spec: ModelSpec) -> float:
    """Between the loss as the finetune computes it and the model's own with the same labels."""
    student, videos = a_trainee(spec)
    batch = student.batch(videos, SAMPLES)
    labels = batch.pop("labels")
    with torch.no_grad():
        own = student.module(**batch, labels=labels).loss
        logits = student.module(**batch).logits
    return abs(float(cross_entropy(logits, labels) - own))


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=-100)


def vision_modules_with_lora(spec: ModelSpec) -> int:
    student, _ = a_trainee(spec)
    model = student.module.base_model.model
    parts = parts_of(registry.family(spec).load(spec, CPU).model, spec.base)  # type: ignore[attr-defined]
    adapted = [name for name, module in model.named_modules() if hasattr(module, "lora_A")]
    assert adapted
    return sum(not re.match(rf"{re.escape(parts.decoder)}\.", name) for name in adapted)


def export_difference(spec: ModelSpec, folder: Path, method: Any = "lora") -> float:
    """Largest difference of logits between a model that was just trained and its export, loaded by AutoModelForImageTextToText."""
    from transformers import AutoModelForImageTextToText

    student, videos = a_trainee(spec, method)
    batch = student.batch(videos, SAMPLES)
    labels = batch.pop("labels")
    learned = {name: parameter for name, parameter in student.module.named_parameters() if parameter.requires_grad}
    cross_entropy(student.module(**batch).logits, labels).backward()
    torch.optim.SGD(learned.values(), lr=0.1).step()
    student.save(folder / "model", {name: parameter.detach().clone() for name, parameter in learned.items()})
    registry.export(replace(spec, adapter=str(folder / "model")), folder / "export", lambda line: None)
    exported = AutoModelForImageTextToText.from_pretrained(folder / "export", dtype=torch.float32).eval()
    student.module.eval()
    with torch.no_grad():
        return float((exported(**batch).logits - student.module(**batch).logits).abs().max())
