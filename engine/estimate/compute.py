"""Operations and seconds of a model: encoding clips, reading prompts, writing answers, and optimizer steps.

A parameter takes 2 operations a token forward, 2 more to send the gradient back through it, and 2 more for its own gradient
(arXiv 2001.08361, section 2.1). Writing is bound by memory: each token reads all weights, and keys and values, once.
"""

from collections.abc import Callable
from dataclasses import dataclass

from engine.config import RunConfig, Train
from engine.estimate.assumptions import Assumptions
from engine.estimate.bands import Band, at_corners
from engine.estimate.hardware import Speed
from models.base import ModelSize


def encoding_flops(size: ModelSize) -> float:
    """Of one clip through tower and projector."""
    return 2.0 * (size.tower_params + size.projector_params) * size.num_frames * size.patches_per_frame


def reading_flops(size: ModelSize, tokens: float, before: float = 0.0) -> float:
    """Of so many tokens through the LLM after `before` others: its weights, and each token's attention to those before it."""
    attended = tokens * before + tokens**2 / 2
    return 2.0 * size.llm_params * tokens + 4.0 * size.num_layers * size.hidden_size * attended


def writing_s(size: ModelSize, rows: float, answer: "Answer", flops: float, bytes_per_s: float, samples: int = 1) -> float:
    """Seconds of the answers of so many rows together: as many steps as the longest answer has tokens.

    The samples of a row read its prefix together (models/streams.py).
    """
    if not rows:
        return 0.0
    alive = rows * answer.mean / answer.longest
    context = size.video_tokens + answer.prompt + samples * answer.mean / 2
    read = answer.value_bytes * (size.llm_params + alive * size.kv_values_per_token * context)
    return answer.longest * max(read / bytes_per_s, 2.0 * size.llm_params * alive * samples / flops)


READ_TOKENS = 2048
"""Of models/scoring.py, which imports torch."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Tokens of the answers of a piece: Answer(mean=100, longest=200, prompt=80, value_bytes=2)."""

    mean: float
    longest: float
    prompt: float
    value_bytes: int


@dataclass(frozen=True, slots=True)
class Asking:
    """A piece of clips, and how long its answers may be: Asking(clips=20, max_tokens=512, value_bytes=2)."""

    clips: int
    max_tokens: int
    value_bytes: int
    samples: int = 1
    """Direct attempts at each clip."""

    def direct_s(self, size: ModelSize, speed: Speed, assumed: Assumptions) -> Band:
        """Seconds of one process for each clip's direct attempts, the encoding of the clip included."""

        def seconds(mean: float, longest: float, prompt: float, flops: float, bytes_per_s: float) -> float:
            encoded = self.clips * (encoding_flops(size) + reading_flops(size, size.video_tokens + prompt)) / flops
            answer = self._answer(mean, longest, prompt)
            return (encoded + writing_s(size, self.clips, answer, flops, bytes_per_s, self.samples)) / self.clips

        return self._at_corners(seconds, speed, assumed)

    def rationalized_s(self, size: ModelSize, speed: Speed, assumed: Assumptions, share: Band) -> Band:
        """Seconds for each clip, where a share of a piece's clips are rationalized. They are not encoded again."""

        def seconds(share: float, mean: float, longest: float, prompt: float, flops: float, bytes_per_s: float) -> float:
            rows = self.clips * share
            read = rows * reading_flops(size, prompt, size.video_tokens) / flops
            return (read + writing_s(size, rows, self._answer(mean, longest, prompt), flops, bytes_per_s)) / self.clips

        return self._at_corners(seconds, speed, assumed, share)

    def reading_s(self, size: ModelSize, speed: Speed, assumed: Assumptions, compared: int) -> Band:
        """Seconds for each clip with one kept answer, which is read after its own prefix and those of so many other clips.

        On the average as many texts are read after each prefix. Operations and memory traffic are counted as models/scoring.py has
        them: the question once a prefix; weights once for READ_TOKENS tokens; keys and values of a prefix read, copied, and read.
        """

        def seconds(mean: float, longest: float, prompt: float, flops: float, bytes_per_s: float) -> float:
            texts, own = 1 + compared, min(mean, self.max_tokens)
            before = size.video_tokens + prompt
            operations = reading_flops(size, prompt, size.video_tokens) + texts * reading_flops(size, own, before)
            weights = size.llm_params * (prompt + texts * own) / READ_TOKENS
            values = self.value_bytes * (weights + 3 * size.kv_values_per_token * size.video_tokens)
            return operations / flops + values / bytes_per_s

        return self._at_corners(seconds, speed, assumed)

    def _answer(self, mean: float, longest: float, prompt: float) -> Answer:
        mean = min(mean, self.max_tokens)
        return Answer(mean, min(mean * longest, self.max_tokens), prompt, self.value_bytes)

    @staticmethod
    def _at_corners(seconds: Callable[..., float], speed: Speed, assumed: Assumptions, *share: Band) -> Band:
        rising = [*share, assumed["answer_tokens"], assumed["longest_answer"], assumed["prompt_tokens"]]
        return at_corners(seconds, rising, [speed.flops, speed.bytes_per_s])


def row_flops(config: RunConfig, size: ModelSize, text_tokens: float, shots: float) -> float:
    """Of one row of a finetune: forward and backward, through a tower that is not trained."""
    train = config.train
    tower = 2.0 * size.tower_params * (shots + 1) * size.num_frames * size.patches_per_frame
    through = 6.0 if train.projector else 2.0
    projector = through * size.projector_params * (shots + 1) * size.num_frames * size.patches_per_frame
    tokens = size.video_tokens + shots * size.shot_tokens + (shots + 1) * text_tokens
    forward = reading_flops(size, tokens)
    again = forward if train.gradient_checkpointing else 0.0
    own = size.llm_params if train.method == "full" else size.lora_params
    return tower + projector + 2 * forward + again + 2.0 * own * tokens


def optimizer_step_s(config: RunConfig, size: ModelSize, speed: Speed, assumed: Assumptions) -> Band:
    """Seconds of one optimizer step, whose rows are shared out among the workers."""
    train: Train = config.train
    shots = sum(config.episodes.shots) / len(config.episodes.shots) if config.mixture.episodes else 0.0

    def seconds(answer: float, prompt: float, flops: float) -> float:
        text = min(answer, config.generate.max_tokens) + prompt
        return train.batch_rows / train.num_workers * row_flops(config, size, text, shots) / flops

    return at_corners(seconds, [assumed["answer_tokens"], assumed["prompt_tokens"]], [speed.train_flops])
