"""Small checkpoint folders in the layouts that people have: LLaVA of all kinds, released PLLaVA."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextVideoConfig,
    LlavaNextVideoForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
)

VOCAB, ROWS = 384, 448
"""Tokens that the tokenizer has, and rows of the embedding: as on the hub, some rows have no token."""
VISION = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": 48,
    "patch_size": 6, "projection_dim": 32,
}  # fmt: skip
TEXT = {
    "vocab_size": ROWS, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": VOCAB + 1,
}  # fmt: skip
SIGLIP = VISION | {"image_size": 45, "hidden_size": 48, "vision_use_head": False}
"""45 pixels make 7 patches a side, as 384 make 27: an odd number, and pixels that no patch shows."""
RANK = 8
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% else %}{{ '<' + part['type'] + '>\n' }}{% endif %}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""The chat of LLaVA-OneVision and LLaVA-Interleave."""
KINDS: dict[str, tuple[Any, Any]] = {
    "llava": (LlavaConfig, LlavaForConditionalGeneration),
    "llava_next": (LlavaNextConfig, LlavaNextForConditionalGeneration),
    "llava_next_video": (LlavaNextVideoConfig, LlavaNextVideoForConditionalGeneration),
    "llava_onevision": (LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration),
}


def write_tokenizer(folder: Path, chatml: bool = False, turn_tokens: Sequence[str] = (), special: bool = True) -> None:
    """As Llama's: byte fallback, blanks as a letter, a beginning token; <image> and <pad> added behind the vocabulary.

    `turn_tokens`: more tokens, such as those around Llama 3's turns; `special`: whether they are marked so.
    """
    tokenizer = Tokenizer(BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    text = "USER : ASSISTANT : what is the action in this video ? the red circle is rising , so it is what it is ."
    tokenizer.train_from_iterator([text] * 3, BpeTrainer(vocab_size=VOCAB, special_tokens=first, show_progress=False))
    plain = json.loads(tokenizer.to_str())
    plain["added_tokens"] = [token for token in plain["added_tokens"] if not token["content"].startswith("<0x")]
    tokenizer = Tokenizer.from_str(json.dumps(plain))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    filler = [f"<filler{i}>" for i in range(VOCAB - tokenizer.get_vocab_size())]
    tokenizer.add_tokens([AddedToken(name, special=False) for name in filler])
    extra = ["<|im_start|>", "<|im_end|>"] if chatml else []
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in ("<image>", "<pad>", *extra)])
    tokenizer.add_tokens([AddedToken(name, special=special, normalized=False) for name in turn_tokens])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>", padding_side="left"
    ).save_pretrained(folder)


def write_stock(folder: Path, next_gen: bool = False, chatml: bool = False, seed: int = 0, llm: Any = None) -> Any:
    """A stock folder, in several shards; returns its model. `llm`: the LLM's configuration, made of TEXT; a Llama by default."""
    torch.manual_seed(seed)
    parts = {"vision_config": CLIPVisionConfig(**VISION), "text_config": llm or LlamaConfig(**TEXT), "image_token_index": VOCAB}
    if next_gen:
        model: Any = LlavaNextForConditionalGeneration(LlavaNextConfig(**parts, image_grid_pinpoints=[[48, 96]]))
    else:
        model = LlavaForConditionalGeneration(LlavaConfig(**parts))
    model.save_pretrained(folder, max_shard_size="200KB")
    write_tokenizer(folder, chatml)
    pixels = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 48},
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": "LlavaProcessor", "patch_size": 6}))
    return model.eval()


def write_llava(folder: Path, kind: str, tower: Any, llm: Any, **fields: Any) -> Any:
    """A stock folder of any kind, tower and LLM, with ChatML's chat; returns its model. SigLIP's pictures are stretched.

    `tower`, `llm`: configurations, made of VISION or SIGLIP and of TEXT. `fields`: of the kind's own configuration.
    """
    torch.manual_seed(0)
    config_class, model_class = KINDS[kind]
    tokens = {"image_token_index": VOCAB} | ({} if kind in ("llava", "llava_next") else {"video_token_index": VOCAB + 4})
    model = model_class(config_class(vision_config=tower, text_config=llm, **tokens | fields))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("bias", "image_newline")):
                weight.normal_(0, 0.1)  # they begin as zeros, and would hide what leaves them out
    model.save_pretrained(folder, max_shard_size="200KB")
    write_tokenizer(folder, chatml=True, turn_tokens=["<video>"])
    (folder / "chat_template.jinja").write_text(CHATML)
    side, is_siglip = tower.image_size, isinstance(tower, SiglipVisionConfig)
    pixels: dict[str, Any] = {"image_processor_type": f"{'Siglip' if is_siglip else 'CLIP'}ImageProcessor"}
    pixels |= {"size": {"height": side, "width": side} if is_siglip else {"shortest_edge": side}}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": "LlavaProcessor", "patch_size": 6}))
    return model.eval()


def stock_tensors(folder: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for path in folder.glob("*.safetensors"):
        tensors |= load_file(path)
    return tensors


def write_released(folder: Path, seed: int = 0) -> dict[str, torch.Tensor]:
    """A stock folder as PLLaVA was released: PEFT's names of 2024 in the LLM, a LoRA that is not merged; returns its tensors."""
    write_stock(folder, seed=seed)
    torch.manual_seed(seed + 1)
    tensors = {}
    for name, tensor in stock_tensors(folder).items():
        if not name.startswith("language_model."):
            tensors[
                name if not name.startswith("vision_tower.e") else name.replace("vision_tower.", "vision_tower.vision_model.")
            ] = tensor
            continue
        wrapped = name.replace("language_model.", "language_model.base_model.model.", 1)
        if name.endswith(("q_proj.weight", "v_proj.weight")):
            module = wrapped.removesuffix(".weight")
            tensors[f"{module}.base_layer.weight"] = tensor
            tensors[f"{module}.lora_A.default.weight"] = torch.randn(RANK, tensor.shape[1]) / 8
            tensors[f"{module}.lora_B.default.weight"] = torch.randn(tensor.shape[0], RANK) / 8
        else:
            tensors[wrapped] = tensor
    for path in (*folder.glob("*.safetensors"), folder / "model.safetensors.index.json"):
        path.unlink()
    names = sorted(tensors)
    files = {f"model-0000{n + 1}-of-00003.safetensors": names[n::3] for n in range(3)}
    for file, keys in files.items():
        save_file({key: tensors[key].contiguous() for key in keys}, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {key: file for file, keys in files.items() for key in keys}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "architectures": ["PllavaForConditionalGeneration"],
        "num_frames": 4,
        "pooling_shape": [4, 4, 4],
        "pooling_method": "avg",
    }
    (folder / "config.json").write_text(json.dumps(config))
    return tensors
