"""Load a checkpoint, refuse a missing weight; put an adapter on it. safetensors only, no code from a checkpoint is run."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.base import Dtype, Evenly, FrameSpec, ModelSpec, Square
from models.folders import FILES, fetch, read_json
from models.pllava.architecture import read_architecture
from models.pllava.layouts import Adapter, Weights, open_adapter, open_weights, stock_name

LORA_TARGETS = r".*language_model\.layers\.\d+\.self_attn\.(q_proj|v_proj)"
"""q and v of the LLM only. A plain list of names would also hit the CLIP tower."""
PROJECTOR = "multi_modal_projector"
COPIED = (
    "image_token_index",
    "projector_hidden_act",
    "vision_feature_layer",
    "vision_feature_select_strategy",
    "multimodal_projector_bias",
)
"""Fields of LLaVA's configuration that PLLaVA's has too."""
TURNS = {
    "vicuna": ("USER: ", " ASSISTANT:", " ", ""),
    "chatml": ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", "", "<|im_end|>"),
}
"""What opens a user's turn, opens the answer's, stands before the answer and closes it ("": the end token): of Vicuna (7B, 13B), of
Yi (34B)."""
CHAT = (
    "@begin@{% for message in messages %}{% if message.role == 'user' %}@user@{% for part in message.content %}"
    "{% if part.type == 'text' %}{{ part.text }}{% else %}<{{ part.type }}>\n{% endif %}{% endfor %}"
    "{% else %}@assistant@@gap@{% for part in message.content %}{{ part.text }}{% endfor %}@close@{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}@assistant@{% endif %}"
)
"""The template that a stock tokenizer is given: its own knows no videos."""


def frame_spec(spec: ModelSpec) -> FrameSpec:
    """What the checkpoint wants to watch, read from its JSON files alone."""
    architecture = read_architecture(fetch(spec.base, ("*.json",)))
    frames = architecture.video_shape(spec).num_frames
    return FrameSpec(choose=Evenly(frames), size=Square(architecture.vision["image_size"]))


def digest(spec: ModelSpec) -> str:
    """Hex digest of how the model is watched and of its files: names, sizes, and of each its first and last 32 MB."""
    seen = hashlib.sha256(f"{spec.alpha} {spec.num_frames} {spec.pooling_shape}\n".encode())
    for uri in (spec.base, spec.adapter):
        for path in sorted(fetch(uri).glob("*")) if uri else []:
            size, most = path.stat().st_size, 32 << 20
            seen.update(f"{path.name} {size}\n".encode())
            with open(path, "rb") as file:
                seen.update(file.read(most))
                file.seek(max(most, size - most))
                seen.update(file.read())
    return seen.hexdigest()[:16]


def load(spec: ModelSpec, dtype: Dtype = "float32") -> tuple[Any, Any]:
    """(model, processor) on the CPU for inference, adapters merged.

    Raises ValueError naming a file or a missing, unexpected or misshapen weight.
    """
    model, processor = load_base(spec, dtype)
    return model.eval().requires_grad_(False), processor


def load_base(spec: ModelSpec, dtype: Dtype = "float32", read_weights: bool = True) -> tuple[Any, Any]:
    """(model, processor) on the CPU to be finetuned: as `load`, with gradients.

    Without `read_weights` the weights are shapes on the meta device. That works only inside ZeRO-3's context, where one process
    reads them and sends the others theirs while the model is built: eight processes that each read a 34B would need half a
    terabyte of their machine's memory.
    """
    import torch
    from transformers import GenerationConfig

    from models.pllava.modeling import PllavaForConditionalGeneration

    checkpoint, torch_dtype = open_checkpoint(spec), getattr(torch, dtype)
    state: dict[str, Any] = {}
    if read_weights:
        for _, tensors in checkpoint.weights.shards():
            for name in list(tensors):  # popped one by one: never more than the model and one file of it in memory
                state[name] = checkpoint.merge(name, tensors.pop(name)).to(torch_dtype)
    else:
        state = {name: torch.empty(shape, dtype=torch_dtype, device="meta") for name, shape in checkpoint.weights.shapes.items()}
    model, report = PllavaForConditionalGeneration.from_pretrained(
        None, config=checkpoint.config, state_dict=state, output_loading_info=True, dtype=torch_dtype
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    # ZeRO-3 builds it in bfloat16: its inverse frequencies, rounded by 2^-9, are up to 4 radians off at position 2000
    model.model.language_model.rotary_emb = type(model.model.language_model.rotary_emb)(checkpoint.config.text_config)
    if (checkpoint.weights.folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(checkpoint.weights.folder)
    model.generation_config.eos_token_id = _ends(model.generation_config.eos_token_id, checkpoint.processor)
    model.generation_config.pad_token_id = checkpoint.processor.tokenizer.pad_token_id
    return model, checkpoint.processor


@dataclass(frozen=True)
class Checkpoint:
    """A model as its files have it, found to be whole; its weights are read when they are asked for."""

    config: Any
    processor: Any
    weights: Weights
    adapters: list[Adapter]
    """What is merged into the weights: a released PLLaVA's own LoRA, and the spec's adapter."""

    def merge(self, name: str, tensor: Any) -> Any:
        """The weight with all adapters in it; float32 where one changes it."""
        for adapter in self.adapters:
            tensor = adapter.apply(name, tensor)
        return tensor


def open_checkpoint(spec: ModelSpec) -> Checkpoint:
    """Raises ValueError naming the file, the key or the weight that is not as it should be."""
    config, processor = describe(spec)
    weights = open_weights(fetch(spec.base))
    refuse_others(weights, config)
    adapters = [weights.built_in(None if spec.adapter else spec.alpha)]
    adapters += [open_adapter(fetch(spec.adapter), spec.alpha)] if spec.adapter else []
    for adapter in adapters:
        refuse_stray(adapter, weights, spec)
    for name, delta in adapters[0].deltas.items() if spec.adapter else ():
        if (other := adapters[1].deltas.get(name)) is not None and other.a.shape == delta.a.shape and other.a.equal(delta.a):
            raise ValueError(f"{spec.base} holds the LoRA of {spec.adapter} already; give the base that it was converted to")
    return Checkpoint(config=config, processor=processor, weights=weights, adapters=adapters)


def describe(spec: ModelSpec) -> tuple[Any, Any]:
    """(configuration, processor) of a checkpoint, of its small files alone. Stock LLaVA becomes PLLaVA here.

    Raises ValueError naming the folder, and file and key where we know.
    """
    folder = fetch(spec.base, FILES[1:])
    read_architecture(folder).video_shape(spec)
    try:
        return _describe(folder, spec)
    except Exception as error:  # transformers raises of every kind where a file holds what it does not expect
        if isinstance(error, ValueError) and str(folder) in str(error):
            raise
        why = " ".join(str(error).split())[:200]
        raise ValueError(f"{folder}: config.json and the tokenizer's files make no model: {type(error).__name__}: {why}") from None


def _describe(folder: Path, spec: ModelSpec) -> tuple[Any, Any]:
    """The configuration is made anew: PllavaConfig.from_pretrained of a LLaVA-NeXT folder would keep that type's name."""
    from transformers import GenerationConfig

    from models.pllava.configuration import PllavaConfig
    from models.pllava.processing import PllavaProcessor

    architecture = read_architecture(folder)
    video, found = architecture.video_shape(spec), architecture.config
    size, patch = architecture.vision["image_size"], architecture.vision["patch_size"]
    if found["model_type"] == "pllava":
        config, processor = PllavaConfig.from_pretrained(folder), PllavaProcessor.from_pretrained(folder)
    else:
        pixels = read_json(folder / "preprocessor_config.json") if (folder / "preprocessor_config.json").is_file() else {}
        means = {name: pixels[name] for name in ("image_mean", "image_std") if name in pixels}
        processor = PllavaProcessor(_tokenizer(folder), image_size=size, patch_size=patch, **means)
        tied = found.get("tie_word_embeddings", found.get("text_config", {}).get("tie_word_embeddings", False))
        config = PllavaConfig(
            vision_config=found.get("vision_config"),
            text_config=found.get("text_config"),
            video_token_index=processor.video_token_id,
            image_seq_length=(size // patch) ** 2,
            tie_word_embeddings=tied,
            **{name: found[name] for name in COPIED if name in found},
        )
    if (folder / "generation_config.json").is_file():
        ends = GenerationConfig.from_pretrained(folder).eos_token_id
        if not all(isinstance(one, int) for one in (ends if isinstance(ends, list) else [ends or 0])):
            raise ValueError(f"{folder}/generation_config.json: eos_token_id {ends!r} is no token")
    expected_shapes(config)
    if processor.image_token_id != config.image_token_index:
        raise ValueError(f"{folder}: <image> is token {processor.image_token_id}, and {config.image_token_index} in config.json")
    config.num_frames = processor.num_frames = video.num_frames
    config.pooling_shape = processor.pooling_shape = list(video.pooled)
    processor.shot_frames, processor.shot_shape = video.shot_frames, video.shot_pooled
    return config, processor


def _tokenizer(folder: Path) -> Any:
    """A stock LLaVA's, with a video token and a chat template that knows videos."""
    from transformers import AddedToken, AutoTokenizer

    from models.pllava.processing import IMAGE_TOKEN, VIDEO_TOKEN

    if not (folder / "tokenizer.json").is_file():
        raise ValueError(f"{folder} has no tokenizer.json; save its fast tokenizer there")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if IMAGE_TOKEN not in tokenizer.get_vocab():
        raise ValueError(f"{folder}: the tokenizer has no {IMAGE_TOKEN} token; is it a LLaVA checkpoint in transformers' layout?")
    tokenizer.add_tokens([AddedToken(VIDEO_TOKEN, special=True, normalized=False)], special_tokens=True)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if _knows_videos(tokenizer):
        return tokenizer
    user, assistant, gap, close = TURNS["chatml" if "<|im_start|>" in tokenizer.get_vocab() else "vicuna"]
    template = CHAT
    begin = tokenizer.bos_token if tokenizer("a").input_ids[0] == tokenizer.bos_token_id else ""
    close = close or tokenizer.eos_token
    for place, words in {"@begin@": begin, "@user@": user, "@assistant@": assistant, "@gap@": gap, "@close@": close}.items():
        template = template.replace(place, words)
    tokenizer.chat_template = template
    return tokenizer


def _knows_videos(tokenizer: Any) -> bool:
    """Whether the tokenizer's own chat template makes a video token of a video: that of an export does."""
    from jinja2 import TemplateError

    from models.pllava.processing import VIDEO_TOKEN

    if not tokenizer.chat_template:
        return False
    content = [{"type": "video"}, {"type": "text", "text": "q"}]
    try:
        text = tokenizer.apply_chat_template([{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True)
    except (TemplateError, TypeError, KeyError):  # it was written for other messages
        return False
    return str(text).count(VIDEO_TOKEN) == 1


def _ends(known: int | list[int] | None, processor: Any) -> list[int]:
    """All ids that end an answer: what the checkpoint says, and what closes an answer in the chat."""
    closing = processor.training_ids("q", "a")[1][-1]
    listed = known if isinstance(known, list) else [known]
    return sorted({token for token in (*listed, closing, processor.tokenizer.eos_token_id) if token is not None})


def expected_shapes(config: Any) -> dict[str, tuple[int, ...]]:
    """Shape of every weight of the model by stock name; nothing is allocated."""
    import torch
    from transformers.modeling_utils import set_zero3_state

    from models.pllava.modeling import PllavaForConditionalGeneration

    with set_zero3_state(), torch.device("meta"):  # whole shapes, also where ZeRO-3 would partition what is built
        model = PllavaForConditionalGeneration(config)
    shapes = {stock_name(name): tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        del shapes["language_model.lm_head.weight"]
    return shapes


def refuse_others(weights: Weights, config: Any) -> None:
    """Raises ValueError naming a weight that is missing, unexpected or misshapen."""
    expected, there = expected_shapes(config), weights.shapes
    problems = {
        "lacks": [name for name in expected if name not in there],
        "has, beyond what the model holds,": [name for name in there if name not in expected],
        "has in another shape": [
            f"{name} {list(there[name])} instead of {list(shape)}"
            for name, shape in expected.items()
            if there.get(name, shape) != shape
        ],
    }
    for verb, names in problems.items():
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise ValueError(f"{weights.folder} {verb} {', '.join(names[:3])}{more}; is config.json of the same model?")


def refuse_stray(adapter: Adapter, weights: Weights, spec: ModelSpec) -> None:
    """Raises ValueError naming a weight that an adapter changes and the base does not have, or has in another shape."""
    changes = {name: (delta.b.shape[0], delta.a.shape[1]) for name, delta in adapter.deltas.items()}
    changes |= {name: tuple(tensor.shape) for name, tensor in adapter.replaced.items()}
    for name, shape in changes.items():
        if weights.shapes.get(name) != shape:
            has = f"has it as {list(weights.shapes[name])}" if name in weights.shapes else "does not have it"
            raise ValueError(
                f"{spec.adapter or spec.base} changes {name} {list(shape)}, and {spec.base} {has}; is it of another base?"
            )
