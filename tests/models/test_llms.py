"""Pins LLaVA checkpoints with other LLMs than Llama: an answer is that of a clip alone, also with a sliding window."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import Gemma2Config, MistralConfig, Phi3Config, Qwen2Config

from llavas import TEXT, write_stock
from models.base import Device, FinetuneSpec, ModelSpec, Sampling, Turn
from models.pllava.trainee import trainee
from models.pllava.video_llm import PllavaVideoLLM, load
from watching import replies, videos_of

CHAT = (
    "{% for m in messages %}{% if m.role == 'user' %}[INST] {% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}"
    "{% else %}<{{ part.type }}>\n{% endif %}{% endfor %} [/INST]{% else %} {{ m.content[0].text }}</s>{% endif %}{% endfor %}"
)
WINDOW = 24
"""Fewer places than a chat about a clip takes with its answer."""
LLMS: dict[str, Any] = {
    "mistral": MistralConfig(**TEXT, sliding_window=WINDOW),
    "gemma 2": Gemma2Config(**TEXT, sliding_window=WINDOW, head_dim=16),
    "qwen 2": Qwen2Config(**TEXT, sliding_window=WINDOW, use_sliding_window=True, max_window_layers=1),
    "phi 3": Phi3Config(**TEXT, sliding_window=WINDOW),
    "mistral without a window": MistralConfig(**TEXT, sliding_window=None),
}
SPEC: dict[str, Any] = {"num_frames": 2, "pooling_shape": (2, 2, 2)}
SAMPLING = Sampling(temperature=0.0, max_tokens=12)
QUESTIONS = ["what?", "what is the action in this video? is the red circle rising, so it is what it is?", "is it?"]
CPU = Device("cpu", "float32")


def a_checkpoint(folder: Path, llm: Any) -> Path:
    write_stock(folder, llm=llm)
    (folder / "chat_template.jinja").write_text(CHAT)
    return folder


@pytest.mark.parametrize("name", LLMS)
def test_answers_do_not_depend_on_what_is_asked_beside_them(tmp_path: Path, name: str) -> None:
    llm: PllavaVideoLLM = load(ModelSpec(base=str(a_checkpoint(tmp_path, LLMS[name])), **SPEC), CPU)
    videos = videos_of(np.random.default_rng(0).integers(0, 256, (3, 2, 48, 48, 3), np.uint8))
    together = replies(llm, videos, QUESTIONS, [0] * 3, SAMPLING)
    alone = [replies(llm, [video], [question], [0], SAMPLING)[0] for video, question in zip(videos, QUESTIONS, strict=True)]
    assert together == alone
    samples = [[Turn(clip, question, "")] for clip, question in enumerate(QUESTIONS)]
    assert llm.converse(videos, samples, [0] * 3, SAMPLING) == together


def test_an_llm_without_q_and_v_is_refused_where_it_is_trained(tmp_path: Path) -> None:
    spec = ModelSpec(base=str(a_checkpoint(tmp_path, LLMS["phi 3"])), **SPEC)
    with pytest.raises(ValueError, match="a LoRA goes on q_proj and v_proj, and its phi3 LLM has none; use another base"):
        trainee(spec, FinetuneSpec(rank=4, alpha=8.0, dropout=0.0), 0, CPU)
