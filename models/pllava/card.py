"""The model card of an export: what it was made of, and how others show it a video. The license is left to whoever publishes it."""

import json
import math

from models.base import ModelSpec
from models.folders import is_here
from models.pllava.architecture import Architecture
from models.pllava.processing import PllavaProcessor

CARD = """---
library_name: transformers
pipeline_tag: video-text-to-text
tags:
- llava
- video
{base_line}---

# {title}

A video LLM in the layout of `LlavaForConditionalGeneration`, exported by Starloop.

| | |
|---|---|
| base | {base} |
| adapter | {adapter} |
| LoRA alpha | {alpha} |
| frames of a video | {num_frames} |
| tokens of a video | {tokens} = {shape} |

Before you publish it: add `license` to the head of this file, which follows from the licenses of the base and of the data, and say
on which data the adapter was trained. The adapter's run has it, in `config.json`, `summary.json` and `report.html`.

## How a video is shown

The files are those of an image model. Choose {num_frames} frames, each from the middle of one of as many equal parts of the
video. Give each frame to the vision tower and the projector, as LLaVA does with an image, and pool the {num_frames} grids of
{side} x {side} features to {shape} (PLLaVA, arXiv 2404.16994):

```python
{code}
```

These {tokens} features take the place of the video in this chat:

```
{chat}
```

Starloop reads the folder as it is: `model.base = "this/folder"`.
"""


def _pool_code(architecture: Architecture, processor: PllavaProcessor) -> list[str]:
    """Lines of Python that make `video`, a video's tokens, of `frames` [frames, 3, height, width], with transformers alone."""
    video, layers = processor.video, architecture["vision_feature_layer"]
    side, pooling, shape = architecture.patches_per_side, video.pooling, video.pooled
    windows = tuple(size // pooled for size, pooled in zip((video.num_frames, side, side), shape, strict=True))
    pooled = {
        "average": f"torch.nn.functional.adaptive_avg_pool3d(grid, {shape})",
        "strided": f"torch.nn.functional.avg_pool3d(grid, {windows})",
        "bilinear": f'torch.nn.functional.interpolate(grid[None], {shape}, mode="trilinear")[0]',
    }[pooling.method]
    states = f"states[{layers}]" if isinstance(layers, int) else f"torch.cat([states[layer] for layer in {layers}], -1)"
    project = "model.model.multi_modal_projector"
    return [
        "states = model.model.vision_tower(frames, output_hidden_states=True).hidden_states",
        f"features = {states}[:, {architecture.class_tokens}:]  # [frames, patches, channels]",
        *([f"features = {project}(features)"] if pooling.place == "after" else []),
        f"grid = features.unflatten(1, ({side}, {side})).permute(3, 0, 1, 2)  # [channels, frames, rows, columns]",
        f"video = {pooled}.flatten(1).T  # [{math.prod(shape)}, channels]",
        *([f"video = {project}(video)"] if pooling.place == "before" else []),
        *(["video = torch.cat((video, model.model.image_newline[None]))"] if pooling.newline else []),
    ]


def model_card(spec: ModelSpec, architecture: Architecture, processor: PllavaProcessor) -> str:
    """README.md of an export, with the head that the hub reads."""
    t, h, w = processor.video.pooled
    on_the_hub = spec.base_name.count("/") == 1 and not is_here(spec.base) and "://" not in spec.base_name
    return CARD.format(
        code="\n".join(_pool_code(architecture, processor)),
        base_line=f"base_model: {json.dumps(spec.base_name)}\n" if on_the_hub else "",
        title=f"{spec.base_name.rstrip('/').rsplit('/', 1)[-1]}{', finetuned' if spec.adapter else ''}",
        base=f"`{spec.base_name}`",
        adapter=f"`{spec.adapter_name}`" if spec.adapter else "none",
        alpha="as trained" if spec.alpha is None else f"{spec.alpha:g}",
        num_frames=processor.num_frames,
        tokens=processor.tokens_per_video,
        shape=f"{t} x {h} x {w}",
        side=architecture.patches_per_side,
        chat=processor.chat("What happens?"),
    )
