"""Load a checkpoint, refuse a missing weight; put an adapter on it. safetensors only, no code from a checkpoint is run."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from models.base import FrameSpec, ModelSpec

TINY = Path(__file__).parent / "weights" / "tiny"
"""Where the shipped tiny base lies."""
LORA_TARGETS = r".*language_model\.layers\.\d+\.self_attn\.(q_proj|v_proj)"
"""q and v of the LLM only. A plain list of names would also hit the CLIP tower."""
PROJECTOR = "multi_modal_projector"


@cache
def fetch(uri: str) -> Path:
    """A local folder with the checkpoint's files. Raises ValueError where there is none."""
    if uri == "tiny":
        return TINY
    if Path(uri).is_dir():
        return Path(uri)
    if uri.startswith((".", "/", "~")) or uri.count("/") != 1:
        raise ValueError(f"no checkpoint folder {uri!r}; give 'tiny', a folder, a URI of one, or a hub id such as owner/name")
    from huggingface_hub import snapshot_download  # only a hub id needs it

    try:
        return Path(snapshot_download(uri, allow_patterns=["*.safetensors", "*.json", "*.jinja", "*.model"]))
    except OSError as error:  # what the hub's errors have in common
        raise ValueError(f"cannot fetch {uri!r} from the hub: {str(error).splitlines()[0]}; give a folder or a URI") from None


def frame_spec(spec: ModelSpec) -> FrameSpec:
    """What the checkpoint wants to watch, read from its configuration alone."""
    folder = fetch(spec.base)
    path = folder / "processor_config.json"
    if not path.is_file():
        raise ValueError(f"{spec.base} has no processor_config.json with num_frames and image_size; convert it first")
    processor = json.loads(path.read_text())
    return FrameSpec(num_frames=processor["num_frames"], size_px=processor["image_size"])


def digest(spec: ModelSpec) -> str:
    """Hex digest of the files' names, sizes and, up to 64 MB each, contents."""
    seen = hashlib.sha256()
    for uri in (spec.base, spec.adapter):
        for path in sorted(fetch(uri).glob("*")) if uri else []:
            size = path.stat().st_size
            seen.update(f"{path.name} {size}\n".encode())
            if size <= 64 << 20:
                seen.update(path.read_bytes())
    return seen.hexdigest()[:16]


def load_base(base: str) -> tuple[Any, Any]:
    """(model, processor) in float32 on CPU, bfloat16 on GPU. Raises ValueError naming a missing, unexpected or misshapen weight."""
    import torch

    from models.pllava.modeling import PllavaForConditionalGeneration
    from models.pllava.processing import PllavaProcessor

    folder = fetch(base)
    if not list(folder.glob("*.safetensors")):
        raise ValueError(f"{base} has no .safetensors file; other weight formats are not loaded, convert it first")
    dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    model, report = PllavaForConditionalGeneration.from_pretrained(
        folder, output_loading_info=True, dtype=dtype, use_safetensors=True, trust_remote_code=False
    )
    for problem in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        # a LLaVA-NeXT checkpoint carries image_newline, which belongs to any-res tiling and is not used
        keys = sorted(str(key) for key in report[problem] if "image_newline" not in str(key))
        if keys:
            raise ValueError(f"{base}: {problem.replace('_', ' ')}: {', '.join(keys[:3])}{' ...' if len(keys) > 3 else ''}")
    return model, PllavaProcessor.from_pretrained(folder)


def load(spec: ModelSpec) -> tuple[Any, Any]:
    """(model, processor) for inference, the adapter merged."""
    from peft import PeftModel

    model, processor = load_base(spec.base)
    if spec.adapter:
        model = PeftModel.from_pretrained(model, str(fetch(spec.adapter))).merge_and_unload()
    return model.eval().requires_grad_(False), processor
