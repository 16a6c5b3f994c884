"""Messages in, token ids out: a video token becomes T' * H' * W' of them here, so batches need no merging in the model.

The driver counts tokens with this file; what makes tensors of frames and ids is in models/pllava/tensors.py, and is imported with
torch when it is called.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from models.base import Evenly, FrameSpec, ModelSpec
from models.pllava.architecture import Architecture, VideoShape
from models.pllava.chat import ChatTokenizer, chat_tokenizer
from models.pllava.pictures import CLIP_MEAN, CLIP_STD, frame_size, picture_rules
from models.pllava.pooling import Shape
from models.pllava.template import IMAGE_TOKEN, VIDEO_TOKEN

if TYPE_CHECKING:
    from torch import Tensor


class Exchange(NamedTuple):
    """A question and its answer, as a chat has them: Exchange("What happens?", "The dax zups.")"""

    prompt: str
    answer: str | None
    """None: it is still to be given."""
    shows: bool = True
    """Whether a video or a picture stands before the prompt."""
    learned: bool = True
    """Whether training has a loss on the answer."""


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

    @property
    def frames(self) -> FrameSpec:
        """What the model watches."""
        return FrameSpec(choose=Evenly(self.num_frames), size=frame_size(self.image_size, self.stretches))

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
        """A chat as text, up to its last answer or to the place where that begins. A picture's place is marked as a video's."""
        messages: list[dict[str, Any]] = []
        for exchange in exchanges:
            content = [{"type": "video"}] if exchange.shows else []
            content.append({"type": "text", "text": self._without_control_tokens(exchange.prompt)})
            messages.append({"role": "user", "content": content})
            if exchange.answer is not None:
                answer_content = [{"type": "text", "text": self._without_control_tokens(exchange.answer)}]
                messages.append({"role": "assistant", "content": answer_content})
        return self.tokenizer.render(messages, add_generation_prompt=exchanges[-1].answer is None)

    def _without_control_tokens(self, text: str) -> str:
        """A person's or a model's text with its control tokens taken apart: in the chat they would count as the chat's own."""
        for token in self.control_tokens:
            text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    def token_ids(self, text: str, pooling_shapes: Sequence[Shape] | None = None) -> list[int]:
        """Token ids of a chat; each video token is repeated as often as its video has tokens after pooling, image tokens likewise.

        pooling_shapes: one for each video, in order; by default the checkpoint's for all. Raises ValueError where their number is
        another.
        """
        ids = self.tokenizer.encode(text)
        return [token for token, count in zip(ids, self._widths(ids, pooling_shapes), strict=True) for _ in range(count)]

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
        return self.token_ids(self.conversation(exchanges), pooling_shapes)

    def training_ids(
        self, exchanges: Sequence[Exchange], pooling_shapes: Sequence[Shape] | None = None
    ) -> tuple[list[int], list[int]]:
        """Token ids of a finished chat, and its labels: -100 except on the answers that are learned, and on what closes them.

        Tokenized in one go and split by character offsets, so training sees the tokens that generation makes.
        """
        text = self.conversation(exchanges)
        learned: list[tuple[int, int]] = []  # character spans
        for last, exchange in enumerate(exchanges):
            if not exchange.learned:
                continue
            unanswered = [*exchanges[:last], exchange._replace(answer=None)]
            beginnings = [self.conversation(unanswered), self.conversation(exchanges[: last + 1])]
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


def open_processor(folder: Path, architecture: Architecture, spec: ModelSpec) -> PllavaProcessor:
    """The processor of a folder, stock or our own, at the spec's frames and pooling. Raises ValueError naming file and key."""
    rules = picture_rules(folder, architecture)
    return PllavaProcessor(
        tokenizer=chat_tokenizer(folder, architecture.text["model_type"]),
        image_size=architecture.vision["image_size"],
        patch_size=architecture.vision["patch_size"],
        video=architecture.video_shape(spec),
        image_mean=rules.mean,
        image_std=rules.std,
        stretches=rules.stretches,
        tokens_per_image=architecture.tokens_per_image,
    )
