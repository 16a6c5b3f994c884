"""Messages in, token ids out: a video token becomes T' * H' * W' of them here, so batches need no merging in the model.

The driver counts tokens with this file; what makes tensors of frames and ids is in models/pllava/tensors.py, and is imported with
torch when it is called.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.base import ByIndex, ChatSpec, Evenly, FrameChoice, FrameSpec, ModelSpec, UnwritableChat
from models.pllava.architecture import Architecture, VideoShape
from models.pllava.chat import ChatTokenizer, chat_tokenizer
from models.pllava.forms import FORMS, Exchange, Part, PublishedForm, prompt_text, training_parts
from models.pllava.pictures import CLIP_MEAN, CLIP_STD, frame_size, picture_rules
from models.pllava.pooling import Shape
from models.pllava.template import IMAGE_TOKEN, VIDEO_TOKEN

if TYPE_CHECKING:
    from torch import Tensor

PLAIN_CHAT = ChatSpec()


@dataclass(frozen=True)
class PllavaProcessor:
    """Tokenizer, chat and pixel rules of one checkpoint.

    PllavaProcessor(tokenizer, image_size=336, patch_size=14, video=VideoShape(16, (16, 12, 12), 16, (8, 6, 6)))
    """

    tokenizer: ChatTokenizer
    image_size: int
    patch_size: int
    video: VideoShape
    image_mean: tuple[float, ...] = CLIP_MEAN
    image_std: tuple[float, ...] = CLIP_STD
    stretches: bool = False
    """Whether the whole picture becomes a square; else it is cropped to its middle square."""
    tokens_per_image: int = 0
    """Of an image on LLaVA's own path; a video's frames have none but those of their patches."""
    chat_spec: ChatSpec = PLAIN_CHAT
    choose: FrameChoice = "moments"

    @property
    def frame_spec(self) -> FrameSpec:
        """What the model watches."""
        return frames_watched(self.choose, self.video.num_frames, self.image_size, self.stretches)

    @property
    def num_frames(self) -> int:
        return self.video.num_frames

    @property
    def tokens_per_video(self) -> int:
        return self.tokens_of(self.video.pooled)

    def tokens_of(self, shape: Shape) -> int:
        """How many tokens a video or a picture of that shape takes."""
        return self.video.pooling.tokens(shape)

    @property
    def picture_shape(self) -> Shape:
        """(1, H', W') of a picture's tokens: one for each patch."""
        side = self.image_size // self.patch_size
        return 1, side, side

    @property
    def video_token_id(self) -> int | None:
        return self.tokenizer.token_id(VIDEO_TOKEN)

    @property
    def image_token_id(self) -> int | None:
        return self.tokenizer.token_id(IMAGE_TOKEN)

    @cached_property
    def control_tokens(self) -> list[str]:
        """Tokens that only the chat template may write, longest first."""
        return sorted({*self.tokenizer.special_tokens, VIDEO_TOKEN, IMAGE_TOKEN}, key=len, reverse=True)

    def chat(self, question: str, answer: str | None = None) -> str:
        """The chat of one question about a video, as text."""
        return self.conversation([Exchange(question, answer)])

    def conversation(self, exchanges: Sequence[Exchange]) -> str:
        """A chat as text, up to its last answer or to the place where that goes on. A picture's place is marked as a video's."""
        exchanges, is_finished = self._cleaned(exchanges), exchanges[-1].answer is not None
        if isinstance(form := self.tokenizer.form, PublishedForm):
            if not is_finished:
                return prompt_text(form, self.chat_spec, exchanges)
            return "".join(part.text for part in training_parts(form, self.chat_spec, exchanges))
        messages = self._messages(exchanges)
        if not is_finished:
            return self.tokenizer.render_begun(messages, self.chat_spec.answer_start)
        return self.tokenizer.render(messages, add_generation_prompt=False)

    def _messages(self, exchanges: Sequence[Exchange]) -> list[dict[str, Any]]:
        """What the checkpoint's chat template takes."""
        system = self.chat_spec.system
        messages: list[dict[str, Any]] = [_message("system", [_text(system)])] if system else []
        before, after = self.chat_spec.opening.split("{video}")
        for exchange in exchanges:
            shown = [*([_text(before)] if before else []), {"type": "video"}] if exchange.shows else []
            messages.append(_message("user", [*shown, _text((after if exchange.shows else "") + exchange.prompt)]))
            if exchange.answer is not None:
                messages.append(_message("assistant", [_text(exchange.answer)]))
        return messages

    def _cleaned(self, exchanges: Sequence[Exchange]) -> list[Exchange]:
        """The exchanges, in whose texts the chat's own tokens are taken apart."""
        clean = self.without_control_tokens
        return [
            exchange._replace(
                prompt=clean(exchange.prompt),
                answer=None if exchange.answer is None else clean(exchange.answer),
                instruction=clean(exchange.instruction),
            )
            for exchange in exchanges
        ]

    def without_control_tokens(self, text: str) -> str:
        """A person's or a model's text with its control tokens taken apart: in the chat they would count as the chat's own."""
        for token in self.control_tokens:
            text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    def token_ids(self, text: str, pooling_shapes: Sequence[Shape] | None = None) -> list[int]:
        """Token ids of a chat; each video token is repeated as often as its video has tokens after pooling, image tokens likewise.

        pooling_shapes: one for each video, in order; by default the checkpoint's for all. Raises ValueError where their number is
        another.
        """
        ids = self._encode(text)
        return [token for token, count in zip(ids, self._widths(ids, pooling_shapes), strict=True) for _ in range(count)]

    def _encode(self, text: str) -> list[int]:
        """A template writes the begin token. Before a published form the tokenizer puts it: to it the text is a beginning."""
        is_published = isinstance(self.tokenizer.form, PublishedForm)
        return (self._begin_ids if is_published else []) + self.tokenizer.encode(text)

    @cached_property
    def _begin_ids(self) -> list[int]:
        begin = self.tokenizer.named_token_id("bos_token")
        return [begin] if begin is not None and self.tokenizer.begins_with_bos else []

    def _widths(self, ids: Sequence[int], pooling_shapes: Sequence[Shape] | None = None) -> list[int]:
        """How many places each token takes."""
        num_videos = ids.count(self.video_token_id or 0)
        shapes = iter(pooling_shapes if pooling_shapes is not None else [self.video.pooled] * num_videos)
        if pooling_shapes is not None and len(pooling_shapes) != num_videos:
            raise ValueError(f"{len(pooling_shapes)} pooling_shapes for {num_videos} {VIDEO_TOKEN} in the text")
        widths = {self.image_token_id: self.tokens_per_image}
        return [self.tokens_of(next(shapes)) if token == self.video_token_id else widths.get(token, 1) for token in ids]

    def prompt_ids(self, question: str, shape: Shape | None = None) -> tuple[list[int], list[int]]:
        """Token ids before and after the end of the video. What comes before is the same for every question: the shared prefix.

        shape: of the video's tokens, or picture_shape; by default the checkpoint's.
        """
        ids = self.token_ids(self.chat(question), None if shape is None else [shape])
        end = len(ids) - ids[::-1].index(self.video_token_id or 0)
        return ids[:end], ids[end:]

    def sample_ids(self, exchanges: Sequence[Exchange], pooling_shapes: Sequence[Shape] | None = None) -> list[int]:
        """Token ids of a chat whose last exchange may be waiting for its answer."""
        if isinstance(self.tokenizer.form, PublishedForm) and exchanges[-1].answer is not None:
            return self.training_ids(exchanges, pooling_shapes)[0]
        return self.token_ids(self.conversation(exchanges), pooling_shapes)

    @property
    def next_user(self) -> str:
        """What opens the user's next turn."""
        return self.tokenizer.form.user if self.tokenizer.form else ""

    @property
    def special_tokens(self) -> set[str]:
        return self.tokenizer.special_tokens

    @property
    def answer_start(self) -> str:
        return self.chat_spec.answer_start

    def answer_text(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """The text of an answer's token ids, behind the text with which the answer begins."""
        start_ids = self._answer_start_ids
        decode = self.tokenizer.decode
        return decode([*start_ids, *ids], skip_special_tokens)[len(decode(start_ids, skip_special_tokens)) :]

    @cached_property
    def _answer_start_ids(self) -> list[int]:
        return self.tokenizer.encode(self.chat_spec.answer_start)

    def training_ids(
        self, exchanges: Sequence[Exchange], pooling_shapes: Sequence[Shape] | None = None
    ) -> tuple[list[int], list[int]]:
        """Token ids of a finished chat, and its labels: -100 except on the answers that are learned, and on what closes them.

        Tokenized in one go and split by character offsets, so training sees the tokens that generation makes. The parts of a
        published form are tokenized one by one, as PLLaVA's training does (preprocess in tasks/train/train_pllava_nframe_accel.py).
        """
        if isinstance(form := self.tokenizer.form, PublishedForm):
            return self._ids_of_parts(training_parts(form, self.chat_spec, self._cleaned(exchanges)), pooling_shapes)
        text = self.conversation(exchanges)
        learned: list[tuple[int, int]] = []  # character spans
        for last, exchange in enumerate(exchanges):
            if not exchange.learned:
                continue
            messages = self._messages(self._cleaned([*exchanges[:last], exchange._replace(answer=None)]))
            beginnings = [self.tokenizer.render(messages, True), self.conversation(exchanges[: last + 1])]
            assert all(map(text.startswith, beginnings)), (
                "the chat template must render each beginning of a chat as one of the whole"
            )
            learned.append((len(beginnings[0]), len(beginnings[1])))
        encoded, offsets = self.tokenizer.encode_with_offsets(text)
        ids: list[int] = []
        labels: list[int] = []
        for token, (start, _), count in zip(encoded, offsets, self._widths(encoded, pooling_shapes), strict=True):
            ids += [token] * count
            labels += [token if any(a <= start < b for a, b in learned) else -100] * count
        return ids, labels

    def _ids_of_parts(self, parts: Sequence[Part], pooling_shapes: Sequence[Shape] | None) -> tuple[list[int], list[int]]:
        encoded, learned = list(self._begin_ids), [False] * len(self._begin_ids)
        for part in parts:
            part_ids = self.tokenizer.encode(part.text)
            encoded += part_ids
            learned += [part.learned] * len(part_ids)
        ids, labels = list[int](), list[int]()
        for token, is_learned, count in zip(encoded, learned, self._widths(encoded, pooling_shapes), strict=True):
            ids += [token] * count
            labels += [token if is_learned else -100] * count
        return ids, labels

    def shot_frame_numbers(self) -> list[int]:
        """Which of a clip's frames a shot shows: the middle one of each of equal parts.

        Of 8 frames, 4 are 1, 3, 5, 7.
        """
        shot_frames = self.video.shot_frames
        return [(2 * i + 1) * self.num_frames // (2 * shot_frames) for i in range(shot_frames)]

    def pixels(self, frames: "Tensor") -> "Tensor":
        """uint8[B,T,H,W,3] -> float[B,T,3,S,S]; see models/pllava/tensors.py."""
        from models.pllava import tensors

        return tensors.pixels(self, frames)

    def training_batch(self, pairs: Sequence[tuple[list[int], list[int]]]) -> "dict[str, Tensor]":
        """Right-padded input_ids, attention_mask and labels int64[N,L] of what training_ids gave."""
        from models.pllava import tensors

        return tensors.training_batch(self, pairs)

    def __call__(self, text: str | Sequence[str], **media: Any) -> dict[str, Any]:
        """Chats with their pixels, as PllavaForConditionalGeneration takes them; see model_inputs in models/pllava/tensors.py."""
        from models.pllava import tensors

        return tensors.model_inputs(self, text, **media)

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files and processor_config.json."""
        self.tokenizer.save(folder, processor_class="PllavaProcessor")
        sizes: dict[str, Any] = {"image_size": self.image_size, "patch_size": self.patch_size, "num_frames": self.num_frames}
        side = self.image_size
        sizes |= {"size": {"height": side, "width": side} if self.stretches else {"shortest_edge": side}}
        means = {"image_mean": list(self.image_mean), "image_std": list(self.image_std)}
        settings = sizes | means | {"pooling_shape": list(self.video.pooled), "processor_class": "PllavaProcessor"}
        (folder / "processor_config.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def _message(role: str, content: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    return {"role": role, "content": list(content)}


def frames_watched(choose: FrameChoice, num_frames: int, image_size: int, stretches: bool) -> FrameSpec:
    """What a PLLaVA watches."""
    evenly = Evenly(num_frames) if choose == "moments" else ByIndex(num_frames, spread=choose == "spread")
    return FrameSpec(choose=evenly, size=frame_size(image_size, stretches))


def open_processor(folder: Path, architecture: Architecture, spec: ModelSpec) -> PllavaProcessor:
    """The processor of a folder, stock or our own, at the spec's frames and pooling. Raises ValueError naming file and key."""
    rules = picture_rules(folder, architecture)
    processor = PllavaProcessor(
        tokenizer=chat_tokenizer(folder, architecture.text.get("model_type", "llama"), spec.chat.form),
        image_size=architecture.vision["image_size"],
        patch_size=architecture.vision["patch_size"],
        video=architecture.video_shape(spec),
        image_mean=rules.mean,
        image_std=rules.std,
        stretches=rules.stretches,
        tokens_per_image=architecture.tokens_per_image,
        chat_spec=spec.chat,
        choose=spec.choose,
    )
    refuse_unwritten(folder, processor)
    return processor


def refuse_unwritten(folder: Path, processor: PllavaProcessor) -> None:
    """Raises ValueError where the checkpoint's own template does not write what stands around the questions."""
    chat = processor.chat_spec
    for name, text in (("system", chat.system), ("opening", chat.opening), ("answer_start", chat.answer_start)):
        if tokens := [token for token in (VIDEO_TOKEN, IMAGE_TOKEN) if token in text]:
            raise ValueError(f"the prompt set's {name} holds {tokens[0]}; write {{video}} in its opening where the clip stands")
    if chat.form or chat == PLAIN_CHAT:
        return
    remedy = f"set model.chat to one of {', '.join(FORMS)}, or leave it out of the prompt set"
    if "{turn}" in chat.opening:
        raise ValueError(f"{folder}: a chat template has no place for {{turn}} in a prompt set's opening; {remedy}")
    try:
        text = processor.chat("What is shown?")
    except UnwritableChat as error:
        raise ValueError(f"{folder}: {error}; {remedy}") from None
    before, _, behind = text.partition(VIDEO_TOKEN)
    opening_before, opening_behind = chat.opening.split("{video}")
    for part, place in ((chat.system, before), (opening_before, before), (opening_behind, behind)):
        if part.strip() not in place:
            raise ValueError(
                f"{folder}: its chat template does not write {part.strip()[:40]!r} where the prompt set has it; {remedy}"
            )
