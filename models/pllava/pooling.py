"""How the patches of a video become its tokens: one pool, and the settings under which it is that of published models. Pure.

Each dimension is pooled by itself, as a sum of the patches with weights (`axis_weights`): means and interpolation alike.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

from models.base import ModelSpec, PoolingName, PoolMethod, PoolPlace

Shape = tuple[int, int, int]
"""(T', H', W') of a video's tokens after pooling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooling:
    """What a pool does, apart from its shape: PLLaVA's is Pooling(method="average", place="after")."""

    method: PoolMethod
    place: PoolPlace
    rounds_up: bool = field(default=True, compare=False)
    """Where no shape is given it is half the patches a side: whether half of an odd number is rounded up."""
    newline: bool = False
    """Whether the checkpoint's token image_newline ends each video, so that it takes a token more than its shape."""

    def half(self, side: int) -> int:
        """Half of a number of patches, at least 1."""
        return max(1, math.ceil(side / 2) if self.rounds_up else side // 2)

    def tokens(self, shape: Shape) -> int:
        """How many tokens a video takes in the context.

        >>> POOLINGS["llava_onevision"].tokens((32, 14, 14))
        6273
        """
        return math.prod(shape) + self.newline

    def shot_shape(self, shape: Shape, sizes: Shape, shot_frames: int) -> Shape:
        """Half of a video's tokens in each dimension, for shots of `shot_frames` of its frames.

        `sizes`: (frames, patches, patches). Where the pool cannot make half, it is the next that it can.

        >>> POOLINGS["pllava"].shot_shape((16, 12, 12), (16, 24, 24), 16)
        (8, 6, 6)
        >>> POOLINGS["llava_next_video"].shot_shape((8, 13, 13), (8, 27, 27), 6)
        (3, 6, 6)
        """
        t, h, w = (-(-pooled // 2) for pooled in shape)
        t = min(shot_frames, t)
        if self.method == "bilinear":
            t = max(t, -(-shot_frames // 2))
        elif self.method == "strided":
            t = max(count for count in range(1, t + 1) if shot_frames % count == 0)
            h, w = (size // min(size, 2 * (size // pooled)) for size, pooled in zip(sizes[1:], shape[1:], strict=True))
        return t, h, w

    def problem(self, shape: Shape, sizes: Shape) -> str:
        """Why a shape cannot be made of (frames, patches, patches), with the remedy; "" where it can.

        >>> POOLINGS["llava_next_video"].problem((16, 12, 12), (16, 27, 27))
        'windows of 2 make 13 of 27 patches, not 12; give 13, or another model.pooling_method'
        >>> POOLINGS["llava_onevision"].problem((4, 14, 14), (16, 27, 27))
        'a bilinear pool reads 2 frames for each of 4, and leaves 8 of 16 out; give at least 8, or another model.pooling_method'
        """
        for size, pooled, what in zip(sizes, shape, ("frames", "patches", "patches"), strict=True):
            if not 1 <= pooled <= size:
                return f"{pooled} cannot be made of {size} {what}; give (T', H', W')"
            window = size // pooled
            if self.method == "strided" and size // window != pooled:
                remedy = f"give {size // window}, or another model.pooling_method"
                return f"windows of {window} make {size // window} of {size} {what}, not {pooled}; {remedy}"
            if self.method == "strided" and what == "frames" and size % pooled:
                return f"{pooled} windows of {window} leave {size % pooled} of {size} frames out; give a number that divides {size}"
            if self.method == "bilinear" and what == "frames" and size > 2 * pooled:
                left_out = f"leaves {size - 2 * pooled} of {size} out"
                remedy = f"give at least {math.ceil(size / 2)}, or another model.pooling_method"
                return f"a bilinear pool reads 2 frames for each of {pooled}, and {left_out}; {remedy}"
        return ""


POOLINGS: Mapping[PoolingName, Pooling] = {
    "pllava": Pooling(method="average", place="after"),
    "llava_onevision": Pooling(method="bilinear", place="after", newline=True),
    "llava_next_video": Pooling(method="strided", place="before", rounds_up=False),
    "perception_lm": Pooling(method="average", place="after", rounds_up=False),
}
"""Those of published models. transformers' modules: LlavaOnevisionModel.apply_pooling with image_newline, LlavaNextVideoPooler in
its mode "average", PerceptionLMAdaptiveAvgPooling. PLLaVA's own code: AdaptiveAvgPool3d (modeling_pllava.py)."""
METHODS: Mapping[str, PoolMethod] = {method: method for method in get_args(PoolMethod)} | {"avg": "average"}
"""pooling_method of a config.json -> the method. A released PLLaVA says "avg"."""


def stored_pooling(path: Path, config: Mapping[str, Any]) -> Pooling:
    """What a config.json says about the pool; PLLaVA's where it says nothing. Raises ValueError naming file and key."""
    method = config.get("pooling_method", "average")
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"{path}: pooling_method = {method!r}; known are {', '.join(METHODS)}")
    place = config.get("pooling_place", "after")
    if place not in get_args(PoolPlace):
        raise ValueError(f"{path}: pooling_place = {place!r}; known are {', '.join(get_args(PoolPlace))}")
    newline = config.get("pooling_newline", False)
    if not isinstance(newline, bool):
        raise ValueError(f"{path}: pooling_newline = {newline!r} is neither true nor false")
    return Pooling(method=METHODS[method], place=place, newline=newline)


def chosen_pooling(spec: ModelSpec, stored: Pooling) -> Pooling:
    """The spec's pool: one of the published, or else what the checkpoint says, with the spec's own method and place.

    >>> chosen_pooling(ModelSpec(base="x", pooling="pllava", pooling_method="bilinear"), POOLINGS["llava_next_video"])
    Pooling(method='bilinear', place='after', rounds_up=True, newline=False)
    """
    pooling = POOLINGS[spec.pooling] if spec.pooling else stored
    return replace(pooling, method=spec.pooling_method or pooling.method, place=spec.pooling_place or pooling.place)


@cache
def axis_weights(method: PoolMethod, size: int, pooled: int) -> tuple[tuple[float, ...], ...]:
    """[pooled][size]: how much each of `size` patches counts for each of `pooled` tokens along one dimension.

    average is torch's adaptive_avg_pool, strided its avg_pool with windows of size // pooled, bilinear its interpolate with
    align_corners=False.

    >>> axis_weights("average", 3, 2), axis_weights("strided", 3, 1), axis_weights("bilinear", 3, 2)[0]
    (((0.5, 0.5, 0.0), (0.0, 0.5, 0.5)), ((0.3333333333333333, 0.3333333333333333, 0.3333333333333333),), (0.75, 0.25, 0.0))
    """
    rows = []
    for index in range(pooled):
        row = [0.0] * size
        if method == "bilinear":
            place = max(0.0, (index + 0.5) * size / pooled - 0.5)
            before = min(int(place), size - 1)
            row[before] += 1 - (place - before)
            row[min(before + 1, size - 1)] += place - before
        else:
            window = size // pooled
            start, end = index * window, (index + 1) * window
            if method == "average":
                start, end = index * size // pooled, -(-(index + 1) * size // pooled)
            row[start:end] = [1 / (end - start)] * (end - start)
        rows.append(tuple(row))
    return tuple(rows)
