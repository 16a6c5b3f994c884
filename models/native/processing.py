"""Turns and frames -> what a model of transformers takes, by the processor of its checkpoint, which samples no frames itself.

A chat is written by the processor's own template. The text that stands for a video in it is the processor's; tokens and labels of
the whole text are made here, in one go, so that each character of an answer has its own label.
"""

import re
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from models.base import FrameSpec, ModelSpec, Sample, Video
from models.context import sample_too_long
from models.folders import SMALL_FILES, fetch
from models.frames import fewer_frames, frame_spec_of, metadata_of
from models.native.packages import lacking_named
from models.pllava.forms import Exchange
from models.pllava.samples import exchanges_of
from models.pllava.template import Form, Unusable, form_of

PROBE = "What happens?"


@dataclass(frozen=True, eq=False)
class NativeProcessor:
    """A checkpoint's processor of transformers, how its template writes chats, and what the model watches."""

    processor: Any
    form: Form
    frames: FrameSpec
    context_tokens: int
    shot_frames: int | None = None
    """Frames of each clip before a sample's last one; None: all."""
    _stand_ins: dict[int, str] = field(default_factory=dict)
    """The text that stands for a video, by the id of its frames, for as long as these live."""
    _alone: Any = field(default_factory=threading.RLock)
    """Held while the tokenizer works: how it pads is a state of it, which a thread would change under another one."""

    @property
    def tokenizer(self) -> Any:
        return self.processor.tokenizer

    @cached_property
    def special_tokens(self) -> set[str]:
        """Texts of the tokens that only the chat template and the processor may write."""
        added = {token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special}
        media = {getattr(self.processor, f"{name}_token", None) for name in ("image", "video", "audio")}
        return {*added, *self.tokenizer.all_special_tokens, *filter(None, media), self.form.end}

    answer_start = ""

    @property
    def next_user(self) -> str:
        """What opens the user's next turn."""
        return self.form.user

    def answer_text(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens)
        return text

    def chat(self, exchanges: Sequence[Exchange]) -> str:
        """A chat as text, up to its last answer or to the place where that begins; a token stands for each video."""
        messages: list[dict[str, Any]] = []
        for exchange in exchanges:
            content = [{"type": "video"}] if exchange.shows else []
            messages.append({"role": "user", "content": [*content, self._text(exchange.prompt)]})
            if exchange.answer is not None:
                messages.append({"role": "assistant", "content": [self._text(exchange.answer)]})
        return self.form.write(renderer(self.processor), messages, exchanges[-1].answer is None)

    def plain(self, text: str) -> str:
        """A person's or a model's text with its control tokens taken apart: in the chat they would count as the chat's own."""
        for token in sorted(self.special_tokens, key=len, reverse=True):
            text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    def _text(self, text: str) -> dict[str, str]:
        return {"type": "text", "text": self.plain(text)}

    def stand_in(self, video: Video) -> str:
        """The text with its tokens and times that stands for the video, as the processor writes it."""
        key = id(video.frames)
        if key not in self._stand_ins:
            self._stand_ins[key] = self._replacement(video)
            weakref.finalize(video.frames, self._stand_ins.pop, key, None)
        return self._stand_ins[key]

    def _replacement(self, video: Video) -> str:
        """It follows from the frames' shape and times, so frames without pixels do, which cost no time to scale."""
        import torch

        empty = torch.empty(video.frames.shape, dtype=torch.uint8, device="meta").permute(0, 3, 1, 2)
        try:
            return self._written(video, empty)
        except RuntimeError:  # some processors look at pixels all the same: LLaVA-NeXT-Video's, Video-LLaVA's and VideoLLaMA3's
            return self._written(video, video.frames)

    def _written(self, video: Video, frames: Any) -> str:
        settings = {"return_tensors": "pt", "do_sample_frames": False, "video_metadata": [metadata_of(video)]}
        with self._alone:
            texts = self.processor(
                text=[self.form.video], videos=[[frames]], videos_kwargs=settings, return_text_replacement_offsets=True
            )["text_replacement_offsets"]
        text: str = texts[0][0]["replacement"]
        return text

    def whole(self, chat: str, stand_ins: Sequence[str]) -> str:
        """The chat with the text of each video in its place."""
        texts = iter(stand_ins)
        return re.sub(re.escape(self.form.video), lambda _: next(texts), chat)

    def ids_of(self, text: str) -> list[int]:
        ids: list[int] = self._encoded(text)["input_ids"]
        return ids

    def _encoded(self, text: str, **settings: Any) -> Any:
        with self._alone:
            return self.tokenizer(text, add_special_tokens=False, **settings)

    def chat_ids(self, chat: str, shown: Sequence[Video]) -> list[int]:
        return self.ids_of(self.whole(chat, [self.stand_in(video) for video in shown]))

    def prompt_ids(self, question: str, video: Video) -> list[int]:
        return self.chat_ids(self.chat([Exchange(question, None)]), [video])

    def prefix_tokens(self, video: Video) -> int:
        """How many tokens of a prompt end where the video's text ends, or before: all questions about the video share them."""
        chat, stand_in = self.probe, self.stand_in(video)
        end = chat.index(self.form.video) + len(stand_in)
        encoded = self._encoded(self.whole(chat, [stand_in]), return_offsets_mapping=True)
        return sum(1 for _, token_end in encoded["offset_mapping"] if token_end <= end)

    def shown(self, sample: Sample, videos: Sequence[Video]) -> list[Video]:
        """The videos of a sample's turns: shots with fewer frames, the last one in full."""
        clips = [videos[turn.clip] for turn in sample if turn.clip is not None]
        return [fewer_frames(video, self.shot_frames) for video in clips[:-1]] + clips[-1:]

    @cached_property
    def probe(self) -> str:
        """The chat of a question about a video, of which all but the question is shared."""
        return self.chat([Exchange(PROBE, None)])

    def sample_chat(self, sample: Sample) -> str:
        return self.chat(exchanges_of(sample))

    def too_long(self, sample: Sample, num_tokens: int) -> str:
        """Why a sample of so many tokens does not fit, "" where it does."""
        contents = f"its {len(sample)} questions and answers"
        return sample_too_long(num_tokens, self.context_tokens, contents, "model.num_frames or episodes.shots")

    def labels(self, sample: Sample, stand_ins: Sequence[str]) -> list[int]:
        """Of each token of a finished chat: -100 except on the answers that are learned, and on what closes them."""
        exchanges = exchanges_of(sample)
        chat = self.chat(exchanges)
        learned: list[tuple[int, int]] = []  # character spans
        for last, exchange in enumerate(exchanges):
            if exchange.learned:
                beginning = self.chat([*exchanges[:last], exchange._replace(answer=None)])
                answered = self.chat(exchanges[: last + 1])
                assert all(map(chat.startswith, (beginning, answered))), "Form.write refuses other templates"
                learned.append((len(self.whole(beginning, stand_ins)), len(self.whole(answered, stand_ins))))
        encoded = self._encoded(self.whole(chat, stand_ins), return_offsets_mapping=True)
        tokens = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        return [token if any(a <= start < b for a, b in learned) else -100 for token, (start, _) in tokens]

    def inputs(self, chats: Sequence[str], videos: Sequence[Sequence[Video]], side: str = "left") -> dict[str, Any]:
        """What the model takes: a row for each chat, with its videos, padded at one side.

        The tokens are those that each chat has alone: SmolVLM's processor names the largest number of frames in a batch.
        """
        rows = [self.chat_ids(chat, own) for chat, own in zip(chats, videos, strict=True)]
        shown: dict[str, Any] = {}
        if flat := [video for own in videos for video in own]:
            shown = {"videos": [[video.frames for video in own] for own in videos]}
            shown |= {"video_metadata": [metadata_of(video) for video in flat], "do_sample_frames": False}
        settings = {"return_tensors": "pt", "padding": True, "padding_side": side, "add_special_tokens": False}
        with self._alone:
            inputs = dict(self.processor(text=list(chats), **shown, **settings))
        inputs |= dict(self.tokenizer.pad({"input_ids": rows}, padding_side=side, return_tensors="pt"))
        if "mm_token_type_ids" in inputs:
            kinds = self.processor.create_mm_token_type_ids(inputs["input_ids"].tolist())
            inputs["mm_token_type_ids"] = inputs["input_ids"].new_tensor(kinds)
        return inputs


def renderer(processor: Any) -> Any:
    """The processor's chat template as a function (models/pllava/template.py)."""

    def render(messages: Sequence[Any], add_generation_prompt: bool) -> str:
        text: str = processor.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=add_generation_prompt)
        return text

    return render


def open_processor(spec: ModelSpec, context_tokens: int) -> NativeProcessor:
    """The processor of a checkpoint. Raises ValueError naming what it lacks: a package, a template, room for a video."""
    processor = _loaded(spec, fetch(spec.base, SMALL_FILES))
    tokenizer, videos = getattr(processor, "tokenizer", None), getattr(processor, "video_processor", None)
    if tokenizer is None or videos is None or not getattr(processor, "video_token", None):
        raise ValueError(
            f"{spec.base_name}: its processor {type(processor).__name__} takes no videos; use a model that watches videos"
        )
    if not tokenizer.is_fast:
        raise ValueError(f"{spec.base_name} has no tokenizer.json; save its fast tokenizer there")
    frames = frame_spec_of(videos, spec.num_frames, spec.base_name)
    begin = tokenizer.decode(_first_tokens(processor))
    tokens = {token.content for token in tokenizer.added_tokens_decoder.values()} | {*tokenizer.all_special_tokens}
    try:
        form = form_of(renderer(processor), begin, tokens, tokenizer.eos_token, processor.video_token, styles=("video",))
    except Unusable as problem:
        raise ValueError(
            f"{spec.base_name}: its chat template cannot be used for videos: {problem}; put the chat_template.jinja of the "
            "published model into the folder"
        ) from None
    return NativeProcessor(processor, form, frames, context_tokens, spec.shot_frames)


def _loaded(spec: ModelSpec, folder: Path) -> Any:
    from transformers import AutoProcessor

    with lacking_named(spec):
        try:
            return AutoProcessor.from_pretrained(folder)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{spec.base_name}: its processor cannot be loaded: {reason}; fetch its files again") from None


def _first_tokens(processor: Any) -> list[int]:
    """What the processor puts before a text by itself."""
    whole: list[int] = list(processor(text=["a"])["input_ids"][0])
    bare: list[int] = processor.tokenizer("a", add_special_tokens=False)["input_ids"]
    return whole[: whole.index(bare[0])]
