"""Video models of transformers for vLLM, which has its own code for each; chat and true times are those of models/native."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.base import FrameSpec, ModelSpec, Reply, Sample, Sampling, Turn
from models.folders import FINETUNED, fetch
from models.frames import metadata_of
from models.native import family
from models.native.layout import hub_name, tower_kind
from models.native.passages import passage_tokens
from models.native.processing import NativeProcessor
from models.passages import Tokens
from models.replies import replies_of
from models.vllm.served import Prompt, Shown, Watchable

if TYPE_CHECKING:
    from torch import Tensor


def serve(spec: ModelSpec) -> "NativeServed":
    """Raises ValueError naming what is wrong with the checkpoint's small files."""
    from models.native import loading

    if spec.adapter and (fetch(spec.adapter) / FINETUNED).is_file():  # a finetune of all weights is a checkpoint itself
        spec = replace(spec, base=spec.adapter, base_uri=spec.adapter_uri, adapter=None, adapter_uri="")
    return NativeServed(spec, loading.config_of(spec), loading.processor_of(spec))


@dataclass(frozen=True)
class NativeServed:
    """See Served in models/vllm/served.py."""

    spec: ModelSpec
    config: Any
    """transformers' configuration of the model."""
    processor: NativeProcessor

    @property
    def name(self) -> str:
        return self.spec.base_name

    @property
    def architectures(self) -> list[str]:
        return list(self.config.architectures or ())

    @property
    def heads(self) -> Mapping[str, int]:
        vision = getattr(self.config, "vision_config", None)
        tower = next((int(n) for key in ("num_attention_heads", "num_heads") if (n := getattr(vision, key, None))), None)
        return {"LLM": int(self.config.get_text_config().num_attention_heads)} | ({"tower": tower} if tower else {})

    @property
    def frames(self) -> FrameSpec:
        return self.processor.frames

    @cached_property
    def digest(self) -> str:
        return family.version(self.spec)

    @property
    def context_tokens(self) -> int:
        return self.processor.context_tokens

    @cached_property
    def max_video_tokens(self) -> int:
        from models.native.size import worst_tokens

        return worst_tokens(self.processor)

    @cached_property
    def end_ids(self) -> frozenset[int]:
        from models.native.loading import end_ids_of

        return end_ids_of(fetch(self.spec.base), self.processor)

    def folder(self) -> Path:
        """The base's own."""
        return fetch(self.spec.base)

    def weights(self, dtype: str) -> "Iterator[tuple[str, Tensor]]":
        tower = tower_kind(self.config)
        for name, tensor in self._stored(dtype):
            yield hub_name(name, tower), tensor

    def _stored(self, dtype: str) -> "Iterator[tuple[str, Tensor]]":
        """Under the names of the files. With an adapter the model is loaded whole and merged, as in the built-in engine."""
        from safetensors import safe_open

        if self.spec.adapter is None:
            for path in sorted(fetch(self.spec.base).glob("*.safetensors")):
                with safe_open(path, framework="pt") as file:
                    for name in file.keys():  # noqa: SIM118  # not a dict
                        yield name, file.get_tensor(name)
            return
        from transformers.core_model_loading import revert_weight_conversion

        from models.native.loading import load_merged

        model = load_merged(self.spec, dtype)
        yield from revert_weight_conversion(model, model.state_dict()).items()

    def prompt(self, sample: Sample, videos: Sequence[Watchable]) -> Prompt:
        processor = self.processor
        chat = processor.sample_chat(sample)
        watched = [watchable.video for watchable in videos]
        places = [turn.clip for turn in sample if turn.clip is not None]
        shown = processor.shown(sample, watched)
        items = [
            Shown(video.frames, metadata_of(video), _uuid(videos[clip].fingerprint, len(video.times_s)))
            for clip, video in zip(places, shown, strict=True)
        ]
        return Prompt(processor.ids_of(chat), items, len(processor.chat_ids(chat, shown)))

    def passage(self, question: str, text: str, video: Watchable) -> tuple[Prompt, Tokens]:
        prompt = self.prompt([Turn(0, question, "")], [video])
        tokens = passage_tokens(self.processor, question, text, self.processor.form.video, [])
        assert tokens is not None, "every chat begins with no tokens"
        ids = [*tokens.question, *tokens.answer]
        return replace(prompt, token_ids=ids, num_tokens=prompt.num_tokens + len(ids) - len(prompt.token_ids)), tokens

    def reply(self, ids: Sequence[int], sampling: Sampling) -> Reply:
        return replies_of(self.processor, [ids], sampling)[0]


def _uuid(fingerprint: str, num_frames: int) -> str:
    """A shot shows evenly chosen frames of a clip: their number says which."""
    return hashlib.sha256(f"{fingerprint} {num_frames}".encode()).hexdigest()
