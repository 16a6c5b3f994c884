"""Checkpoints into other checkpoints, file by file: the largest file is what has to fit into memory.

convert   a released PLLaVA, whose LoRA is unmerged -> base/ and adapter/; a stock LLaVA -> base/
export    a base and an adapter -> one stock LLaVA folder, merged, that transformers, vLLM and others load
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from models.base import ModelSpec
from models.pllava import checkpoints
from models.pllava.layouts import RELEASED_ALPHA, Adapter

Tell = Callable[[str], None]


def convert(spec: ModelSpec, out: Path, tell: Tell) -> None:
    """Write `out`/base, a PLLaVA of our own layout, and where the source holds a LoRA `out`/adapter, for PEFT.

    Raises ValueError naming what is wrong with the source, or where `out` holds something already.
    """
    found = checkpoints.open_checkpoint(spec)
    (built_in,) = found.adapters
    with _made(out) as half:
        found.config.architectures = ["PllavaForConditionalGeneration"]
        _write(found.weights.shards(), half / "base", lambda name, tensor: tensor, tell)
        _copy_ends(found.weights.folder, half / "base")
        found.processor.save_pretrained(half / "base")
        found.config.save_pretrained(half / "base")
        if built_in.deltas:
            _write_adapter(built_in, half / "adapter", str(out / "base"))
            tell(f"adapter: LoRA on {len(built_in.deltas)} weights, alpha {RELEASED_ALPHA:g}")


def export(spec: ModelSpec, out: Path, tell: Tell) -> None:
    """Merge the spec's adapter, at its alpha, in float32, and write a stock LLaVA layout. Raises ValueError as `convert`."""
    found = checkpoints.open_checkpoint(spec)
    with _made(out) as half:
        _write(found.weights.shards(), half, lambda name, tensor: found.merge(name, tensor).to(tensor.dtype), tell)
        _copy_ends(found.weights.folder, half)
        _write_stock(found.config, found.processor, half)


@contextmanager
def _made(out: Path) -> Iterator[Path]:
    """A folder beside `out` to write into, which takes that name when all is there. Raises ValueError where it cannot."""
    half = out.with_name(f"{out.name}.part")
    try:
        if out.exists() and any(out.iterdir()):
            raise ValueError(f"{out} is not empty; name another folder")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        try:
            yield half
            if out.exists():
                out.rmdir()
            half.rename(out)
        finally:
            shutil.rmtree(half, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"cannot write {out}: {getattr(error, 'strerror', None) or error}") from None


def _write(shards: Iterator[tuple[str, dict[str, Any]]], out: Path, change: Callable[[str, Any], Any], tell: Tell) -> None:
    from safetensors.torch import save_file

    out.mkdir(parents=True, exist_ok=True)
    where: dict[str, str] = {}
    total = 0
    for file, tensors in shards:
        made = {name: change(name, tensor).contiguous() for name, tensor in tensors.items()}
        save_file(made, out / file, metadata={"format": "pt"})
        where |= dict.fromkeys(made, file)
        total += sum(tensor.nbytes for tensor in made.values())
        tell(f"{file}: {len(made)} weights")
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))}
    (out / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))


def _write_adapter(adapter: Adapter, out: Path, base: str) -> None:
    """As PEFT names it: under the model's own names, which have no level between model and layers."""
    from peft import LoraConfig
    from safetensors.torch import save_file

    tensors: dict[str, Any] = {}
    for name, delta in adapter.deltas.items():
        module = "base_model.model.model." + name.replace("language_model.model.", "language_model.").removesuffix(".weight")
        tensors |= {f"{module}.lora_A.weight": delta.a.contiguous(), f"{module}.lora_B.weight": delta.b.contiguous()}
    rank = next(iter(adapter.deltas.values())).a.shape[0]
    config = LoraConfig(
        r=rank,
        lora_alpha=RELEASED_ALPHA,  # type: ignore[arg-type]  # peft takes any number
        lora_dropout=0.05,
        target_modules=checkpoints.LORA_TARGETS,
        base_model_name_or_path=base,
        inference_mode=True,
    )
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out / "adapter_model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(str(out))


def _write_stock(config: Any, processor: Any, out: Path) -> None:
    """config.json of a LlavaForConditionalGeneration, and its processor."""
    from transformers import LlavaConfig

    fields: Mapping[str, Any] = {name: getattr(config, name) for name in checkpoints.COPIED}
    stock = LlavaConfig(
        vision_config=config.vision_config,
        text_config=config.text_config,
        image_seq_length=config.image_seq_length,
        tie_word_embeddings=config.tie_word_embeddings,
        **fields,
    )
    stock.architectures = ["LlavaForConditionalGeneration"]
    stock.num_frames, stock.pooling_shape = config.num_frames, list(config.pooling_shape)  # others pass over them, we read them
    side = processor.image_size
    pixels = {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": side},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": processor.image_mean,
        "image_std": processor.image_std,
    }
    told = {
        "processor_class": "LlavaProcessor",
        "patch_size": processor.patch_size,
        "vision_feature_select_strategy": config.vision_feature_select_strategy,
        "num_additional_image_tokens": 1,
        "image_token": processor.image_token,
    }
    # by hand: transformers' own classes for these two files want torchvision and PIL, which nothing here needs
    (out / "preprocessor_config.json").write_text(json.dumps(pixels, indent=1))
    (out / "processor_config.json").write_text(json.dumps(told, indent=1))
    processor.tokenizer.chat_template = processor.chat_template
    processor.tokenizer.save_pretrained(out)
    stock.save_pretrained(out)  # last: without config.json nothing takes the folder for a checkpoint


def _copy_ends(folder: Path, out: Path) -> None:
    """What ends an answer, and how else the checkpoint likes to be asked."""
    if (folder / "generation_config.json").is_file():
        shutil.copy(folder / "generation_config.json", out)
