"""A random checkpoint of any architecture that native serves, a few MB small: what rehearsals and tests train, save and ask.

Where the source has a processor's files, these are kept, and with them the frames' sizes; a config.json alone gets a processor of
transformers' own defaults, with a byte-level tokenizer that is made here.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.base import ModelSpec
from models.folders import SMALL_FILES, fetch, read_json
from models.native.packages import lacking_named
from models.native.published import FIELDS, VIDEO_SIZES

WIDTH, TOWER_WIDTH, HEAD, LAYERS, TOWER_LAYERS = 64, 32, 16, 2, 3
SIZES: dict[str, Any] = {
    "intermediate_size": 96, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32, "num_experts": 4,
    "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "hidden_size_per_layer_input": 8, "projection_dim": 16,
    "max_window_layers": LAYERS,
}  # fmt: skip
"""Numbers of both parts."""
TEXT: dict[str, Any] = SIZES | {
    "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": HEAD,
    "global_head_dim": HEAD,
}  # fmt: skip
TOWER: dict[str, Any] = SIZES | {
    "hidden_size": TOWER_WIDTH, "embed_dim": TOWER_WIDTH, "num_hidden_layers": TOWER_LAYERS, "depth": TOWER_LAYERS,
    "num_attention_heads": 2, "num_heads": 2, "num_key_value_heads": 2, "head_dim": HEAD, "out_hidden_size": WIDTH,
    "text_hidden_size": WIDTH, "deepstack_visual_indexes": [0, 1], "fullatt_block_indexes": [1], "vision_feature_layer": [2, 0],
}  # fmt: skip
NAMED = {
    "image_token": "<image>", "video_token": "<video>", "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>", "start_image_token": "<img>", "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>", "fake_image_token": "<fake_token_around_image>", "global_image_token": "<global-img>",
    "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "audio_token": "<audio>", "boa_token": "<start_of_audio>",
    "eoa_token": "<end_of_audio>",
}  # fmt: skip
"""Names under which processors look for tokens at the tokenizer."""
OTHER_TOKENS = (
    "<|im_start|>", "<|im_end|>", "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>", "<|video|>",
    "<im_patch>", "<im_col>", "<im_start>", "<low_res_im_start>", "<frame_start>", "<im_end>", "<frame_end>", "<im_low>",
)  # fmt: skip
TOKEN_KEYS = {
    "vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>",
    "video_start_token_id": "<|begin_of_video|>", "video_end_token_id": "<|end_of_video|>",
    "image_patch_id": "<im_patch>", "frame_start_token_id": "<frame_start>",
    "frame_end_token_id": "<frame_end>", "low_res_image_start_token_id": "<low_res_im_start>", "boi_token_id": "<start_of_image>",
    "eoi_token_id": "<end_of_image>", "audio_token_id": "<audio>", "boa_token_id": "<start_of_audio>",
    "eoa_token_index": "<end_of_audio>",
}  # fmt: skip
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'text' %}{{ part.text }}{% else %}@video@\n{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = "user assistant what is the action in this video ? the red circle is rising , so it is what it is . frame seconds from time"


def shrink(spec: ModelSpec, folder: Path, seed: int) -> ModelSpec:
    """See Family.shrink. Weights are normal, in float32; vocabulary, frame sizes and patches are the source's where it has them."""
    assert spec.adapter is None, "a rehearsal starts from the base"
    source = None if spec.base in FIELDS else fetch(spec.base, SMALL_FILES)
    config = read_json(source / "config.json") if source else published_config(spec.base)
    folder.mkdir(parents=True, exist_ok=True)
    if source is not None and (source / "tokenizer.json").is_file():
        for path in {path for pattern in SMALL_FILES for path in source.glob(pattern)}:
            shutil.copy(path, folder)
        write(folder, small(config), seed)
    else:
        config = small(config) if source else with_few_patches(small(config))
        with lacking_named(spec):
            processor = made_processor(config)
        processor.save_pretrained(folder)
        write(folder, with_tokens(config, processor), seed)
    return replace(spec, base=str(folder), base_uri="")


def published_config(name: str) -> dict[str, Any]:
    """config.json of a checkpoint in models/native/published.py, with all that transformers has by default."""
    from transformers import CONFIG_MAPPING

    fields = {key: value for key, value in FIELDS[name].items() if key != "model_type"}
    config: dict[str, Any] = json.loads(CONFIG_MAPPING[FIELDS[name]["model_type"]](**fields).to_json_string(use_diff=False))
    return config


@contextmanager
def small_files(spec: ModelSpec) -> Iterator[ModelSpec]:
    """The spec with a folder of the checkpoint's small files: of one in models/native/published.py, made without the hub.

    Its processor has the published sizes, and a byte-level tokenizer: the text that stands between frames takes more tokens than it
    would with the published one.
    """
    if spec.base not in FIELDS:
        yield spec
        return
    config = published_config(spec.base)
    with tempfile.TemporaryDirectory(prefix="starloop-published-") as folder:
        with lacking_named(spec):
            made_processor(config, VIDEO_SIZES.get(spec.base)).save_pretrained(folder)
        (Path(folder) / "config.json").write_text(json.dumps(config))
        yield replace(spec, base=folder, base_uri=spec.base)


def default_config(kind: str, **fields: Any) -> dict[str, Any]:
    """config.json of a kind as transformers has it by default, but for these fields of its sections."""
    from transformers import CONFIG_MAPPING

    own = CONFIG_MAPPING[kind](**{name: value for name, value in fields.items() if value == {}})
    config: dict[str, Any] = json.loads(own.to_json_string(use_diff=False))
    for name, value in fields.items():
        config[name] = config[name] | value if isinstance(value, dict) else value
    return config


def small(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with a small decoder and a small tower; patches and frame sizes stay."""
    changed = dict(config) | {"text_config": _small_text(config["text_config"])}
    for name in ("vision_config", "adapter_config", "audio_config"):
        if isinstance(config.get(name), dict):
            changed[name] = _taken(config[name], TOWER)
    vision = changed.get("vision_config", {})
    if "embed_dim" in vision:  # Qwen2-VL calls the decoder's width the tower's hidden_size
        vision["hidden_size"] = WIDTH
    return changed


def with_few_patches(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with frames of as few patches as make one token, where the tower's frames have one size.

    A video then has one token a frame: SmolVLM2-2.2B, with 81, works with the same numbers of frames, multiples of 14.
    """
    vision = config["vision_config"]
    if "image_size" not in vision or "spatial_merge_size" in vision:
        return config
    side_px = _side(vision["patch_size"]) * max(2, _merged(config))
    sizes = [side_px, side_px] if isinstance(vision["image_size"], list | tuple) else side_px
    return config | {"vision_config": vision | {"image_size": sizes}}


def _merged(config: Mapping[str, Any]) -> int:
    """How many patches a side become one token."""
    return int(config.get("scale_factor") or 1 / config.get("downsample_ratio", 1))


def _small_text(text: Mapping[str, Any]) -> dict[str, Any]:
    changed = _taken(text, TEXT)
    changed["head_dim"] = HEAD
    rope = changed.get("rope_parameters")
    if isinstance(rope, dict) and "mrope_section" in rope:
        half = int(HEAD * rope.get("partial_rotary_factor", 1.0)) // 2
        changed["rope_parameters"] = rope | {"mrope_section": [half - 2 * (half // 4), half // 4, half // 4]}
    if kinds := list(dict.fromkeys(changed.get("layer_types") or ())):  # one layer of each kind at least
        changed["layer_types"] = (kinds * LAYERS)[: max(LAYERS, len(kinds))]
        changed["num_hidden_layers"] = len(changed["layer_types"])
    return {name: value for name, value in changed.items() if name not in ("per_layer_config", "rope_scaling_layers")}


def _taken(section: Mapping[str, Any], sizes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: sizes[name] if name in sizes and value is not None else value for name, value in section.items()}


def made_processor(config: dict[str, Any], video_size: Mapping[str, int] | None = None) -> Any:
    """A processor of the kind's own classes with a tokenizer that was made here; writes no files."""
    import transformers
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES
    from transformers.models.auto.video_processing_auto import VIDEO_PROCESSOR_MAPPING_NAMES

    kind, vision = config["model_type"], config["vision_config"]
    names = IMAGE_PROCESSOR_MAPPING_NAMES.get(kind) or {"torchvision": "Qwen2VLImageProcessor"}
    images = getattr(transformers, names.get("torchvision") or names["pil"])
    videos = getattr(transformers, VIDEO_PROCESSOR_MAPPING_NAMES[kind]["torchvision"] or "")
    patch = {"patch_size": _side(vision["patch_size"])}
    parts = {
        "tokenizer": made_tokenizer(),
        "image_processor": images(**patch if hasattr(images, "patch_size") else {}),
        "video_processor": videos(
            **({"size": dict(video_size)} if video_size else _video_sizes(vision)), **patch if hasattr(videos, "patch_size") else {}
        ),
    }
    patches = _side(vision["image_size"]) // _side(vision["patch_size"]) if "image_size" in vision else 0
    factor = _merged(config)
    numbers = {
        "feature_extractor": _feature_extractor(kind), "image_seq_length": (patches // factor) ** 2,
        "image_seq_len": (patches // factor) ** 2, "num_image_tokens": patches**2,
        "vision_feature_select_strategy": config.get("vision_feature_select_strategy"), "patch_size": vision.get("patch_size"),
        "num_additional_image_tokens": 1, "pooling_ratio": config.get("projector_pooling_ratio"),
    }  # fmt: skip
    kind_class = getattr(transformers, PROCESSOR_MAPPING_NAMES[kind])
    takes = kind_class.__init__.__code__.co_varnames
    video = "<|video|>" if kind.startswith("gemma4") else NAMED["video_token"]
    template = CHAT.replace("@video@", f"<|begin_of_video|>{video}<|end_of_video|>" if kind.startswith("glm") else video)
    return kind_class(**parts, chat_template=template, **{name: value for name, value in numbers.items() if name in takes})


def _feature_extractor(kind: str) -> Any:
    """For models that hear too; None for others."""
    import transformers
    from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING_NAMES

    name = FEATURE_EXTRACTOR_MAPPING_NAMES.get(kind)
    return getattr(transformers, name)() if name else None


def _video_sizes(vision: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes that a video processor is told where the tower's picture has a fixed size, or its patches another size than usual."""
    if "image_size" not in vision or "spatial_merge_size" in vision:
        return {"size": {"shortest_edge": 32 * 32, "longest_edge": 64 * 64 * 8}} if "depth" in vision else {}
    side = _side(vision["image_size"])
    square = {"height": side, "width": side}
    return {"size": square, "crop_size": square, "max_image_size": {"longest_edge": side}}


def _side(size: Any) -> int:
    return int(size[0] if isinstance(size, list | tuple) else size)


def made_tokenizer() -> Any:
    """A byte-level tokenizer with the tokens that processors of all kinds look for."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<|endoftext|>", "<pad>", *NAMED.values(), *OTHER_TOKENS]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=384, special_tokens=specials, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([WORDS] * 3, trainer)
    names = {"eos_token": "<|im_end|>", "pad_token": "<pad>", "extra_special_tokens": dict(NAMED), "padding_side": "left"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def with_tokens(config: dict[str, Any], processor: Any) -> dict[str, Any]:
    """The configuration with the ids of the processor's tokens, and with its vocabulary; as on the hub, some rows have no token."""
    ids, tokenizer = dict[str, Any](), processor.tokenizer
    for key, token in TOKEN_KEYS.items():
        ids[key] = tokenizer.convert_tokens_to_ids(token)
    for modality in ("image", "video"):
        ids[f"{modality}_token_id"] = ids[f"{modality}_token_index"] = getattr(processor, f"{modality}_token_id", None)
    molmo = "image_patch_id" in config
    ids["image_start_token_id"] = tokenizer.convert_tokens_to_ids("<im_start>" if molmo else "<|begin_of_image|>")
    ids["image_end_token_id"] = tokenizer.convert_tokens_to_ids("<im_end>" if molmo else "<|end_of_image|>")
    rows = -(-len(tokenizer) // 64) * 64
    text = config["text_config"] | {"vocab_size": rows, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    text["eos_token_id"] = tokenizer.eos_token_id
    if "vocab_size_per_layer_input" in text:
        text["vocab_size_per_layer_input"] = rows
    if "_pad_token_id" in config:
        ids["pad_token_id"] = tokenizer.pad_token_id
    return config | {name: value for name, value in ids.items() if name in config and value is not None} | {"text_config": text}


def write(folder: Path, config: dict[str, Any], seed: int) -> None:
    """Write config.json, random weights under the hub's own names, and what ends an answer."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForImageTextToText

    torch.manual_seed(seed)
    model = AutoModelForImageTextToText.from_config(CONFIG_MAPPING[config["model_type"]].from_dict(config), dtype=torch.float32)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0, 0.1)
    model.generation_config.eos_token_id = config["text_config"].get("eos_token_id")
    model.save_pretrained(folder)
