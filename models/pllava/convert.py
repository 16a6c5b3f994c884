"""Checkpoints into other checkpoints, file by file: the largest file is what has to fit into memory.

convert   a released PLLaVA, whose LoRA is unmerged -> base/ and adapter/; a stock LLaVA -> base/
export    a base and an adapter -> one stock LLaVA folder, merged, that transformers, vLLM and others load; its config.json says how
          a video is pooled
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.base import ModelSpec
from models.folders import new_folder
from models.pllava.adapters import RELEASED_ALPHA, Adapter
from models.pllava.architecture import Architecture
from models.pllava.card import model_card
from models.pllava.checkpoints import LORA_TARGETS, Checkpoint, open_checkpoint
from models.pllava.processing import PllavaProcessor

if TYPE_CHECKING:
    from models.pllava.configuration import PllavaConfig

POOL_FIELDS = ("num_frames", "pooling_shape", "pooling_method", "pooling_place", "pooling_newline")
"""Fields of PllavaConfig that LLaVA's configurations do not have; transformers keeps them, and its AutoConfig gives them."""
Report = Callable[[str], None]
"""Takes a line of progress."""


def convert(spec: ModelSpec, out: Path, report: Report, place: str = "") -> None:
    """Write `out`/base, a PLLaVA of our own layout, and where the source holds a LoRA `out`/adapter, for PEFT.

    `place`: where the user will find what is in `out`, if it is copied from there: the adapter names its base by it.
    Raises ValueError naming what is wrong with the source, or where `out` holds something already.
    """
    checkpoint = open_checkpoint(spec)
    (built_in,) = checkpoint.adapters
    with new_folder(out) as unfinished:
        from models.pllava.loading import config_of  # imports torch and transformers, which a refusal above does not need

        config = config_of(checkpoint.architecture, checkpoint.processor)
        config.architectures = ["PllavaForConditionalGeneration"]
        base = unfinished / "base"
        _write_weights(checkpoint.weights.shards(), base, lambda name, tensor: tensor, report)
        _copy_generation_config(checkpoint.weights.folder, base)
        checkpoint.processor.save(base)
        config.save_pretrained(base)
        if built_in.deltas:
            _write_adapter(built_in, unfinished / "adapter", f"{(place or str(out)).rstrip('/')}/base")
            report(f"adapter: LoRA on {len(built_in.deltas)} weights, alpha {RELEASED_ALPHA:g}")


def export(spec: ModelSpec, out: Path, report: Report) -> None:
    """Merge the spec's adapter, at its alpha, in float32, and write a stock LLaVA layout. Raises ValueError as `convert`."""
    checkpoint = open_checkpoint(spec)
    with new_folder(out) as unfinished:
        from models.pllava.loading import config_of

        config = config_of(checkpoint.architecture, checkpoint.processor)
        _write_weights(checkpoint.weights.shards(), unfinished, checkpoint.merge, report)
        _copy_generation_config(checkpoint.weights.folder, unfinished)
        (unfinished / "README.md").write_text(model_card(spec, checkpoint.architecture, checkpoint.processor))
        _write_stock(config, checkpoint, unfinished)


def _write_weights(
    shards: Iterator[tuple[str, dict[str, Any]]], out: Path, change: Callable[[str, Any], Any], report: Report
) -> None:
    """Write each file's tensors, changed, under the same file name, and the index."""
    from safetensors.torch import save_file

    out.mkdir(parents=True, exist_ok=True)
    weight_map: dict[str, str] = {}
    total_bytes = 0
    for file_name, tensors in shards:
        changed = {name: change(name, tensor).contiguous() for name, tensor in tensors.items()}
        save_file(changed, out / file_name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(changed, file_name)
        total_bytes += sum(tensor.nbytes for tensor in changed.values())
        report(f"{file_name}: {len(changed)} weights")
    index = {"metadata": {"total_size": total_bytes}, "weight_map": dict(sorted(weight_map.items()))}
    (out / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))


def _write_adapter(adapter: Adapter, out: Path, base: str) -> None:
    """Write a LoRA as PEFT names it: under the model's own names, which have no level between model and layers."""
    from peft import LoraConfig
    from safetensors.torch import save_file

    tensors: dict[str, Any] = {}
    for name, delta in adapter.deltas.items():
        module = "base_model.model.model." + name.replace("language_model.model.", "language_model.").removesuffix(".weight")
        for half, stored in (("lora_A", delta.a), ("lora_B", delta.b)):
            tensors[f"{module}.{half}.weight"] = stored.load().contiguous()
    config = LoraConfig(
        r=next(iter(adapter.deltas.values())).rank,
        lora_alpha=RELEASED_ALPHA,  # type: ignore[arg-type]  # peft takes any number
        lora_dropout=0.05,
        target_modules=LORA_TARGETS,
        base_model_name_or_path=base,
        inference_mode=True,
    )
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out / "adapter_model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(str(out))


def _write_stock(config: "PllavaConfig", checkpoint: Checkpoint, out: Path) -> None:
    """Write config.json of a stock LLaVA, and its processor's files.

    It is a LlavaForConditionalGeneration; or a LlavaOnevisionForConditionalGeneration, which has the token that ends a video.
    """
    from transformers.models.llava.configuration_llava import LlavaConfig
    from transformers.models.llava_onevision.configuration_llava_onevision import LlavaOnevisionConfig

    from models.pllava.loading import COPIED

    architecture, processor = checkpoint.architecture, checkpoint.processor
    kind, stock_config = ("llava_onevision", LlavaOnevisionConfig) if config.pooling_newline else ("llava", LlavaConfig)
    fields: dict[str, Any] = {name: getattr(config, name) for name in COPIED}
    if kind == "llava_onevision":
        side = processor.image_size
        fields["image_grid_pinpoints"] = architecture.config.get("image_grid_pinpoints") or [[side, side]]
        fields["video_token_index"] = config.video_token_index
    else:
        fields["image_seq_length"] = config.image_seq_length
    stock = stock_config(vision_config=config.vision_config, text_config=config.text_config, **fields)
    stock.architectures = [f"{stock_config.__name__.removesuffix('Config')}ForConditionalGeneration"]
    for name in POOL_FIELDS:
        setattr(stock, name, getattr(config, name))
    _write_stock_processor(architecture, processor, kind, out)
    stock.save_pretrained(out)  # last: without config.json nothing takes the folder for a checkpoint


def _write_stock_processor(architecture: Architecture, processor: PllavaProcessor, kind: str, out: Path) -> None:
    """By hand: transformers' own classes for these files want torchvision and PIL, which nothing here needs."""
    strategy = architecture["vision_feature_select_strategy"]
    settings = {"patch_size": processor.patch_size, "vision_feature_select_strategy": strategy, "image_token": "<image>"}
    if kind == "llava_onevision":
        settings |= {"num_image_tokens": architecture.patches_per_side**2, "video_token": "<video>"}
        name, image_class = "LlavaOnevisionProcessor", "LlavaOnevisionImageProcessor"
        video = {"video_processor_type": "LlavaOnevisionVideoProcessor"} | _image_processor(processor)
        (out / "video_preprocessor_config.json").write_text(json.dumps(video, indent=1))
    else:
        settings |= {"num_additional_image_tokens": architecture.class_tokens}
        name, image_class = "LlavaProcessor", f"{'Siglip' if processor.stretches else 'CLIP'}ImageProcessor"
    image = {"image_processor_type": image_class} | _image_processor(processor)
    (out / "preprocessor_config.json").write_text(json.dumps(image, indent=1))
    (out / "processor_config.json").write_text(json.dumps({"processor_class": name} | settings, indent=1))
    processor.tokenizer.save(out, processor_class=name)


def _image_processor(processor: PllavaProcessor) -> dict[str, Any]:
    """What an image processor does, as preprocessor_config.json has it."""
    side = processor.image_size
    square = {"height": side, "width": side}
    return {
        "do_convert_rgb": True,
        "do_resize": True,
        "size": square if processor.stretches else {"shortest_edge": side},
        "resample": 3,
        **({} if processor.stretches else {"do_center_crop": True, "crop_size": square}),
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(processor.image_mean),
        "image_std": list(processor.image_std),
    }


def _copy_generation_config(folder: Path, out: Path) -> None:
    """It says what ends an answer, and how the checkpoint is best sampled."""
    if (folder / "generation_config.json").is_file():
        shutil.copy(folder / "generation_config.json", out)
