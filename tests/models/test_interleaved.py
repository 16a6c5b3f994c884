"""Pins samples of several videos: a batch is its samples alone, shots are seen small and once, the loss is where it belongs."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutputWithPooling

from jobs.make_base import frames_of
from models import batching, scoring
from models.base import ChatReader, ChatSpec, Device, FinetuneSpec, ModelSpec, Sampling, Turn, Video
from models.pllava import checkpoints, video_llm
from models.pllava.chat import ChatTokenizer
from models.pllava.forms import FORMS
from models.pllava.samples import exchanges_of, ids_of, views_of
from models.pllava.trainee import PllavaTrainee, trainee
from models.registry import token_counter
from watching import replies, videos_of
from worlds import shapes

CPU = Device("cpu", "float32")

TINY = ModelSpec(base="tiny", shot_frames=4, shot_shape=(2, 1, 1))
GREEDY = Sampling(temperature=0.0, max_tokens=8)
SHOTS = (0, 1, 5, 16)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.stack([frames_of(shapes.scene(77, index)) for index in range(18)])


@pytest.fixture(scope="module")
def videos(frames: np.ndarray) -> list[Video]:
    return videos_of(frames)


@pytest.fixture(scope="module")
def student() -> PllavaTrainee:
    student = trainee(TINY, FinetuneSpec(rank=4, alpha=8.0, dropout=0.0), seed=1, device=CPU)
    student.module.eval()
    for name, parameter in student.module.named_parameters():
        if "lora_B" in name:  # a fresh LoRA changes nothing
            torch.nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(len(name)))
    return student


def a_sample(shots: int, first: int = 0, answer: str = "The wug meeks.") -> list[Turn]:
    """Shots of the clips from `first` on, in turn; a few of them again."""
    told = [Turn((first + i) % 17, "What happens?", f"The dax {'zups' if i % 3 else 'horks'} {i}.", False) for i in range(shots)]
    return [*told, Turn((first + 7) % 17, "What happens?", answer)]


def losses(student: PllavaTrainee, batch: dict[str, Any]) -> torch.Tensor:
    labels = batch.pop("labels")
    logits = student.module(**batch).logits
    each = F.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:], ignore_index=-100, reduction="none")
    return each.sum(1) / (labels[:, 1:] != -100).sum(1)


@torch.no_grad()
def test_a_batch_of_0_1_5_and_16_shots_is_its_samples_alone(student: PllavaTrainee, videos: list[Video]) -> None:
    samples = [a_sample(shots, first=shots) for shots in SHOTS]
    together = losses(student, student.batch(videos, samples))
    alone = torch.cat([losses(student, student.batch(videos, [sample])) for sample in samples])
    assert torch.allclose(together, alone, atol=1e-4), (together, alone)
    assert len({round(float(loss), 4) for loss in alone}) == len(SHOTS)


@torch.no_grad()
def test_what_a_shot_shows_and_says_matters(student: PllavaTrainee, videos: list[Video]) -> None:
    sample = a_sample(3)
    here = losses(student, student.batch(videos, [sample]))
    other_clip = [Turn(16, sample[0].prompt, sample[0].answer), *sample[1:]]
    other_text = [Turn(sample[0].clip, sample[0].prompt, "The wug meeks."), *sample[1:]]
    for changed in (other_clip, other_text, sample[1:]):
        assert abs(float(losses(student, student.batch(videos, [changed])) - here)) > 1e-4


def test_each_clip_goes_through_the_tower_once(student: PllavaTrainee, videos: list[Video], frames: np.ndarray) -> None:
    batch = student.batch(videos, [a_sample(16), a_sample(16, first=1), a_sample(0, first=3)])
    asked, shown = {7, 8, 10}, set(range(17))
    assert [len(video) for video in batch["pixel_values_videos"]] == [8] * len(asked) + [4] * len(shown - asked)
    assert len(batch["views"]) == 17 + 17 + 1
    for seen, clip in zip(batch["pixel_values_videos"], [*sorted(asked), *sorted(shown - asked)], strict=True):
        whole = student.processor.pixels(torch.from_numpy(frames[clip : clip + 1]))[0]
        assert torch.equal(seen, whole if clip in asked else whole[[1, 3, 5, 7]])


def test_the_loss_is_on_the_querys_answer_or_on_all(student: PllavaTrainee, videos: list[Video]) -> None:
    decode = student.processor.tokenizer.decode
    all_learned = [replace(turn, learned=True) for turn in a_sample(2)]
    query, everything = (student.batch(videos, [sample])["labels"][0] for sample in (a_sample(2), all_learned))
    assert decode(query[query != -100]) == " The wug meeks.</s>"
    assert decode(everything[everything != -100]) == " The dax horks 0.</s> The dax zups 1.</s> The wug meeks.</s>"
    ids = student.batch(videos, [a_sample(2)])["input_ids"][0]
    assert ids.tolist().count(student.processor.video_token_id) == 2 * 2 + 32


def test_training_reads_what_generation_reads(student: PllavaTrainee) -> None:
    sample = a_sample(3)
    shapes_ = [shape for _, _, shape in views_of(student.processor, sample)]
    asked = ids_of(student.processor, [*sample[:-1], replace(sample[-1], answer="")])
    ids, labels = student.processor.training_ids(exchanges_of(sample), shapes_)
    assert ids[: len(asked)] == asked
    assert labels[: len(asked)] == [-100] * len(asked)
    assert -100 not in labels[len(asked) :]


@pytest.mark.parametrize("tokens_at_once", [batching.CONVERSE_TOKENS, 300])
def test_answers_depend_on_no_neighbour_and_are_those_of_generate(
    frames: np.ndarray, videos: list[Video], monkeypatch: pytest.MonkeyPatch, tokens_at_once: int
) -> None:
    monkeypatch.setattr(batching, "CONVERSE_TOKENS", tokens_at_once)
    llm = video_llm.load(TINY, CPU)
    samples = [a_sample(shots, first=shots, answer="") for shots in SHOTS]
    together = llm.converse(videos, samples, [0] * 4, GREEDY)
    for sample, reply in zip(samples, together, strict=True):
        assert llm.converse(videos, [sample], [0], GREEDY) == [reply]
        few = torch.from_numpy(frames)[:, [1, 3, 5, 7]]
        pixels = [*(llm.processor.pixels(few[turn.clip : turn.clip + 1])[0] for turn in sample[:-1])]
        pixels.append(llm.processor.pixels(torch.from_numpy(frames[sample[-1].clip : sample[-1].clip + 1]))[0])
        ids = torch.tensor([ids_of(llm.processor, sample)])
        shapes_ = [shape for _, _, shape in views_of(llm.processor, sample)]
        made = llm.model.generate(ids, pixel_values_videos=pixels, pooling_shapes=shapes_, max_new_tokens=8, do_sample=False)
        assert llm.processor.tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True).strip() == reply.text


@pytest.mark.parametrize("tokens_at_once", [2048, 7])
def test_texts_after_shots_are_read_as_in_the_whole_chat(
    videos: list[Video], monkeypatch: pytest.MonkeyPatch, tokens_at_once: int
) -> None:
    """By one pass over each whole chat, as a finetune has its loss; whatever stands beside a text, and in any order of chats."""
    monkeypatch.setattr(scoring, "READ_TOKENS", tokens_at_once)
    llm, texts = video_llm.load(TINY, CPU), ["The dax zups 1.", "The wug meeks.", "The dax zups 1", "The red circle rises </s>"]
    assert isinstance(llm, ChatReader)
    samples = [a_sample(shots, first=shots, answer="") for shots in SHOTS]
    opened = llm.open_chats(videos, samples)
    for number in (2, 0, 3, 2):
        for text, likelihood in zip(texts, opened.read(number, texts), strict=True):
            answered = [*samples[number][:-1], replace(samples[number][-1], answer=text)]
            views = views_of(llm.processor, answered)
            ids, labels = llm.processor.training_ids(exchanges_of(answered), [shape for _, _, shape in views])
            tokens = llm._video_tokens(videos, set(views))
            with torch.inference_mode():
                features = BaseModelOutputWithPooling(pooler_output=[tokens[view] for view in views])
                states = llm.model.model.language_model(
                    inputs_embeds=llm.model.model.embed(torch.tensor([ids]), {"video": features})
                )
                logprobs = llm.model.lm_head(states.last_hidden_state)[0].log_softmax(-1)
            expected = [float(logprobs[place - 1, token]) for place, token in enumerate(labels) if token != -100]
            assert likelihood.logprobs == pytest.approx(expected[: len(likelihood.logprobs)], abs=2e-4)
            assert len(expected) - len(likelihood.logprobs) in (1, 2)
    assert opened.read(1, []) == []
    alike = ["The dax zups 1.", "The dax zups 1", "The dax horks 1."]
    assert [r.logprobs for r in opened.read(1, alike)] == [pytest.approx(opened.read(1, [t])[0].logprobs, abs=2e-4) for t in alike]
    with pytest.raises(ValueError, match="context is 1024"):
        llm.open_chats(videos, [[*a_sample(16) * 5, *a_sample(0, answer="")]]).read(0, texts)


@pytest.mark.parametrize("form", ["pllava-vicuna", "pllava-chatml"])
def test_texts_are_read_after_shots_of_a_published_form_as_it_generates(videos: list[Video], form: str) -> None:
    llm = video_llm.load(TINY, CPU)
    tokenizer = replace_form(llm.processor.tokenizer, form)
    asking = replace(llm, processor=replace(llm.processor, tokenizer=tokenizer, chat_spec=ChatSpec(form=form)))
    sample = a_sample(2, answer="")
    (reply,) = asking.converse(videos, [sample], [0], GREEDY)
    written, other = asking.open_chats(videos, [sample]).read(0, [reply.text, "The wug meeks."])
    assert sum(written.logprobs) / len(written.logprobs) > sum(other.logprobs) / len(other.logprobs)


def replace_form(tokenizer: ChatTokenizer, form: str) -> ChatTokenizer:
    return ChatTokenizer(tokenizer.backend, tokenizer.settings, None, FORMS[form])


def test_one_turn_is_a_plain_question(videos: list[Video]) -> None:
    llm = video_llm.load(TINY, CPU)
    question = "What is the action in this video?"
    plain = replies(llm, videos[:2], [question] * 2, [0, 0], GREEDY)
    assert llm.converse(videos[:2], [[Turn(1, question, "")]], [0], GREEDY) == plain[1:]
    assert llm.converse(videos[:2], [], [], GREEDY) == []


def test_what_does_not_fit_is_refused_with_the_numbers(student: PllavaTrainee, videos: list[Video]) -> None:
    long = a_sample(16) * 5
    said = r"80 shots, 2 visual tokens each, and a query of 32 take \d+ tokens, .* context is 1024; shorten it, or lower episodes"
    with pytest.raises(ValueError, match=said.replace("80", str(len(long) - 1))):
        student.batch(videos, [long])
    with pytest.raises(ValueError, match="context is 1024"):
        video_llm.load(TINY, CPU).converse(videos, [long], [0], GREEDY)


def test_tokens_are_counted_without_weights(student: PllavaTrainee, videos: list[Video]) -> None:
    samples = [a_sample(shots) for shots in SHOTS]
    counter = token_counter(TINY)
    counted = [counter.count(sample) for sample in samples]
    assert counted == [int(student.batch(videos, [sample])["attention_mask"].sum()) for sample in samples]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shot_frames": 9}, "episodes.num_frames = 9 is more than the model's 8 frames"),
        ({"shot_shape": (5, 1, 1)}, r"episodes.pooling_shape \[5, 1, 1\] does not fit 4 frames of 6 x 6 patches"),
        ({"shot_shape": (2, 7, 1)}, r"episodes.pooling_shape \[2, 7, 1\] does not fit"),
    ],
)
def test_shapes_that_cannot_be_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        checkpoints.describe(replace(TINY, **changes))


def test_a_shot_has_half_the_shape_unless_told() -> None:
    _, processor = checkpoints.describe(ModelSpec(base="tiny"))
    assert (processor.video.shot_frames, processor.video.shot_pooled) == (8, (4, 1, 1))
