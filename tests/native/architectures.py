"""Small random checkpoints of many architectures: configurations as the hub has them, shrunk, with a tokenizer made on the spot."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models.base import Device, ModelSpec, Video
from models.native import shrink as shrinking

CPU = Device("cpu", "float32")
NUM_FRAMES = 4


def _rope(*section: int, **more: Any) -> dict[str, Any]:
    """How Qwen's and GLM's published configurations divide a head among time, height and width."""
    return {"text_config": {"rope_parameters": {"rope_theta": 1e6, "rope_type": "default", "mrope_section": list(section), **more}}}


QWEN3 = _rope(24, 20, 20, mrope_interleaved=True)
GLM = _rope(8, 12, 12, partial_rotary_factor=0.5)
FIELDS: dict[str, dict[str, Any]] = {
    "qwen2_vl": _rope(16, 24, 24),
    "qwen2_5_vl": _rope(16, 24, 24),
    "qwen3_vl": QWEN3,
    "qwen3_vl_moe": QWEN3,
    "qwen3_5": _rope(11, 11, 10, mrope_interleaved=True, partial_rotary_factor=0.25),
    "internvl": {"vision_config": {"image_size": [28, 28], "patch_size": [7, 7]}},
    "llava_onevision": {"vision_config": {"image_size": 28, "patch_size": 7}},
    "llava_next_video": {"vision_config": {"image_size": 32, "patch_size": 8}},
    "video_llava": {"vision_config": {"image_size": 32, "patch_size": 8}},
    "video_llama_3": {},
    "smolvlm": {"vision_config": {"image_size": 32, "patch_size": 8}},
    "glm4v": GLM,
    "glm46v": GLM,
    "molmo2": {"vision_config": {"image_size": [42, 42], "num_position_embeddings": 9}},
    "gemma4": {"vision_config": {}},
}
"""model_type -> fields in which a published checkpoint, or a small one, is not what transformers' configuration is by default."""
UNTRAINABLE = {"gemma4"}
"""transformers 5.20's Gemma4ForConditionalGeneration.forward does not pass num_frames_per_video on to its tower."""


def a_checkpoint(kind: str, folder: Path) -> ModelSpec:
    """A small random checkpoint of a kind, made as a rehearsal makes it; it watches NUM_FRAMES frames."""
    source = folder / "source"
    source.mkdir(parents=True)
    (source / "config.json").write_text(json.dumps(shrinking.default_config(kind, **FIELDS[kind])))
    return replace(shrinking.shrink(ModelSpec(base=str(source)), folder / "checkpoint", seed=0), num_frames=NUM_FRAMES)


def a_video(seed: int, shape: tuple[int, int, int], more_frames: int = 0) -> Video:
    """Noise at uneven times."""
    frames = np.random.default_rng(seed).integers(0, 256, (shape[0] + more_frames, *shape[1:], 3), np.uint8)
    return Video(frames, tuple(round(0.1 * seed + 0.37 * number + 0.013 * number**2, 6) for number in range(len(frames))))
