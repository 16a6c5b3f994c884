"""Our checkpoints for lmms-eval's tasks: lmms-eval --model starloop --model_args pretrained=FOLDER[,adapter=FOLDER] --tasks TASK

lmms-eval finds it by the entry point lmms_eval.models. A video is decoded, watched and asked about as `starloop benchmark` does,
with the task's own wording; only lmms-eval imports this file.
"""

import os
from typing import Any

import torch
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from lmms_eval.models.registry_v2 import ModelManifest
from lmms_eval.protocol import ChatMessages

from engine.config import RunConfig
from engine.decode.decoder import ChildDecoder, ClipRead
from engine.presets import load_config
from engine.rows import Window
from engine.run.work import decoding_of
from engine.store.weights import local
from models.base import EngineSpec, Sampling
from models.registry import load

MAX_TOKENS = 256
"""Where a task does not say how long an answer may be."""


def manifest() -> ModelManifest:
    return ModelManifest(model_id="starloop", chat_class_path=f"{__name__}.Starloop")


class Starloop(lmms):  # type: ignore[misc]
    """Answers one request after another, in one process."""

    is_simple = False

    def __init__(self, pretrained: str, adapter: str = "", device: str = "", batch_size: int = 1, **settings: Any) -> None:
        """`device`: by default a GPU where there is one. `settings`: keys of [model], such as num_frames=16.

        Raises ValueError for one that is none, and where several processes are launched.
        """
        super().__init__()
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ValueError("starloop answers in one process; start lmms-eval without `accelerate launch`")
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        texts = [f"model.{key}={value}" for key, value in settings.items()]
        self._config: RunConfig = load_config(None, [f"model.base={pretrained}", "model.allow_tiny=true", *texts])
        storage, gpus = self._config.access(), 0.0 if self.device == "cpu" else 1.0
        spec = self._config.spec(pretrained, adapter or None, self._config.evaluate.lora_alpha)
        self._llm = load(local(spec, storage), self._config.model.device(gpus), EngineSpec(gpus=gpus))
        decoding = decoding_of(self._config)
        self._decoder = ChildDecoder(storage, decoding.limits, decoding.backend, decoding.tolerance_s)

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """An empty answer where a video cannot be used: lmms-eval has no failed rows."""
        return [self._answer(*request.args) for request in requests]

    def _answer(self, context: str, to_messages: Any, options: dict[str, Any], number: int, task: str, split: str) -> str:
        messages = ChatMessages(messages=to_messages(self.task_dict[task][split][number]))
        window, question = self._parts(messages, task)
        read = self._decoder.decode(window, self._llm.frames)
        if not isinstance(read, ClipRead):
            print(f"{task} {number}: {read.kind}: {read.detail}; it counts as an empty answer")
            return ""
        watched = self._llm.watch([read.video])
        try:
            [future] = watched.ask_all(0, question, [0], sampling_of(options))
            watched.leave(0)
            return str(future.result().text)
        finally:
            watched.close()

    def _parts(self, messages: ChatMessages, task: str) -> tuple[Window, str]:
        """The video and the text of a task's turns. Raises ValueError where they are not those of one video."""
        parts = [part for message in messages.messages for part in message.content]
        texts = [part.text.strip() for part in parts if part.type == "text"]
        media = [part for part in parts if part.type != "text"]
        if len(media) != 1 or media[0].type != "video" or not isinstance(media[0].url, str):
            raise ValueError(f"{task} shows {[part.type for part in media]}; a video LLM of Starloop is asked about one video")
        video = media[0]
        return Window(video=video.url, start_s=video.start_time, end_s=video.end_time, etag=""), "\n".join(filter(None, texts))

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        raise ValueError("tasks that compare likelihoods are not served; choose one of output_type generate_until")

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        raise ValueError("tasks of several rounds are not served; choose one of output_type generate_until")


def sampling_of(options: dict[str, Any]) -> Sampling:
    """Of a task's generation_kwargs.

    sampling_of({"max_new_tokens": 16, "until": ["\\n\\n"]}) -> Sampling(temperature=0.0, max_tokens=16, stop=("\\n\\n",))
    """
    until = options.get("until") or ()
    stop = (until,) if isinstance(until, str) else tuple(until)
    temperature = float(options.get("temperature") or 0.0) if options.get("do_sample", True) else 0.0
    return Sampling(
        temperature=temperature, max_tokens=int(options.get("max_new_tokens", MAX_TOKENS)), stop=tuple(filter(None, stop))
    )
