"""How the frames of a checkpoint become numbers, read from its processor's files: whether they are cropped, means, deviations."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.base import Square, Stretch
from models.folders import read_json
from models.pllava.architecture import Architecture, section

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Per channel of RGB, of the pictures that OpenAI's CLIP was trained on (openai/CLIP, clip/clip.py)."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""With which PLLaVA's 7B and 13B were trained (dataset/__init__.py), although they answer with CLIP's."""
SIGLIP_MEAN = SIGLIP_STD = (0.5, 0.5, 0.5)
STRETCHING = ("Siglip", "LlavaOnevision")
"""How the names of processors begin that make the whole picture a square, where their files say nothing of sizes."""


@dataclass(frozen=True)
class PictureRules:
    """PictureRules(stretches=False, mean=CLIP_MEAN, std=CLIP_STD)"""

    stretches: bool
    """Whether the whole picture becomes a square; else it is cropped to its middle square."""
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD


def frame_size(side_px: int, stretches: bool) -> Square | Stretch:
    """The size of the frames that a model with pictures of `side_px` pixels a side watches."""
    return Stretch(height_px=side_px, width_px=side_px) if stretches else Square(side_px)


def picture_rules(folder: Path, architecture: Architecture) -> PictureRules:
    """Of a folder, stock or our own. Raises ValueError naming file and key."""
    name, settings = image_settings(folder, architecture)
    kind = str(settings.get("image_processor_type") or settings.get("video_processor_type") or "")
    is_siglip = kind.startswith("Siglip") if kind else not architecture.class_tokens
    usual = (SIGLIP_MEAN, SIGLIP_STD) if is_siglip else (CLIP_MEAN, CLIP_STD)
    mean, std = settings.get("image_mean", usual[0]), settings.get("image_std", usual[1])
    if not (_three_numbers(mean) and _three_numbers(std) and min(std) > 0):
        raise ValueError(f"{folder}/{name}: image_mean {mean} and image_std {std} must be three numbers each, the latter above 0")
    stretches, size = is_siglip or kind.startswith(STRETCHING), settings.get("size")
    if isinstance(size, dict) and size:
        stretches = {"height", "width"} <= size.keys()
    return PictureRules(stretches, tuple(mean), tuple(std))


def image_settings(folder: Path, architecture: Architecture) -> tuple[str, dict[str, Any]]:
    """The file that says how a frame becomes numbers, and what it says; {} where there is none.

    Where a checkpoint has a processor for videos, that counts: LLaVA-OneVision's and LLaVA-NeXT-Video's. transformers 5 keeps a
    LLaVA's processors of pictures and videos inside processor_config.json; before, each had a file of its own. Where both are
    there the former counts, as it does in transformers.
    """
    path = folder / "processor_config.json"
    settings = read_json(path) if path.is_file() else {}
    if architecture.kind == "pllava":
        return path.name, settings
    for part, older in (("video_processor", "video_preprocessor_config.json"), ("image_processor", "preprocessor_config.json")):
        if part in settings:
            return path.name, section(path, settings, part)
        if (folder / older).is_file():
            return older, read_json(folder / older)
    return "preprocessor_config.json", {}


def _three_numbers(values: Any) -> bool:
    return (
        isinstance(values, list | tuple)
        and len(values) == 3
        and all(isinstance(value, float | int) and math.isfinite(value) for value in values)
    )
