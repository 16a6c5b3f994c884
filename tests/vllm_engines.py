"""vLLM's engines on a CPU for tests: how they are started, what they are shown, and how often they encode it."""

from typing import Any

import numpy as np

from models.base import Device, EngineSpec, ModelSpec, Video
from models.vllm import engine
from models.vllm.video_llm import VllmVideoLLM


class CountedEncodes:
    """Methods that vLLM adds to its workers (worker_extension_cls): they count the videos that go through the tower."""

    model_runner: Any
    num_encoded: list[int]

    def count_encodes(self) -> None:
        """Begin to count."""
        model, self.num_encoded = self.model_runner.model, []
        encode = model.embed_multimodal

        def counted(**inputs: Any) -> Any:
            embedded = encode(**inputs)
            self.num_encoded.append(len(embedded))
            return embedded

        model.embed_multimodal = counted

    def encodes(self) -> int:
        """Videos since then."""
        return sum(self.num_encoded)


def an_engine(spec: ModelSpec, **options: Any) -> VllmVideoLLM:
    """Started for 16 clips at once; options are those of [generate.vllm]."""
    few_tokens = {"max_num_batched_tokens": 256}  # what vLLM keeps of encoded videos by itself: four
    counted = {"worker_extension_cls": "vllm_engines.CountedEncodes"}
    values = {"enforce_eager": True, "engine_args": counted | few_tokens} | options
    llm = engine.load(spec, Device("cpu", "float32"), EngineSpec(name="vllm", clips=16, options=values))
    llm.client.call("count_encodes")
    return llm


def noise(seed: int, num_frames: int, side: int) -> Video:
    """Frames of noise, one a second."""
    frames = np.random.default_rng(seed).integers(0, 255, (num_frames, side, side, 3), dtype=np.uint8)
    return Video(frames, tuple(float(second) for second in range(num_frames)))
