"""Pins pictures and text: a picture is one frame with all its patches, as in LLaVA; text shows nothing; answers have loss."""

from typing import Any

import numpy as np
import pytest
import torch

from jobs.make_base import frames_of
from models.base import Device, FinetuneSpec, ModelSpec, Sampling, Turn, Video
from models.pllava import video_llm
from models.pllava.trainee import PllavaTrainee, trainee
from models.registry import token_counter
from watching import replies, videos_of
from worlds import shapes

CPU = Device("cpu", "float32")
TINY = ModelSpec(base="tiny", shot_frames=4, shot_shape=(2, 1, 1))
GREEDY = Sampling(temperature=0.0, max_tokens=8)
PATCHES, VIDEO_TOKENS = 36, 32
ASKED = "What is the action in this video?"


def a_picture(frames: np.ndarray) -> Video:
    """As a still picture is decoded for a model that watches 8 frames: the one frame, eight times."""
    return Video(frames=np.repeat(frames[:1], len(frames), axis=0), times_s=(0.0,) * len(frames))


@pytest.fixture(scope="module")
def videos() -> list[Video]:
    """Two videos, then two pictures."""
    frames = np.stack([frames_of(shapes.scene(77, index)) for index in range(4)])
    return [*videos_of(frames[:2]), a_picture(frames[2]), a_picture(frames[3])]


@pytest.fixture(scope="module")
def student() -> PllavaTrainee:
    student = trainee(TINY, FinetuneSpec(rank=4, alpha=8.0, dropout=0.0), seed=1, device=CPU)
    student.module.eval()
    return student


SAMPLES = [
    [Turn(2, "What is shown?", "The red circle."), Turn(None, "And where?", "On the left.")],
    [Turn(0, "What happens?", "The dax zups.")],
    [Turn(None, "Hi?", "Hello."), Turn(None, "How are you?", "Well.")],
    [Turn(None, "Hi?", "Hello."), Turn(3, "What is shown?", "The blue square.")],
    [Turn(2, "What?", "A circle.", False), Turn(1, "What happens?", "The wug meeks.")],
]


def test_a_picture_is_one_frame_at_all_moments(videos: list[Video]) -> None:
    assert [video.is_picture for video in videos] == [False, False, True, True]
    one_frame = Video(frames=videos[0].frames[:1], times_s=(0.5,))
    assert not one_frame.is_picture, "to a model of one frame, pictures are videos like others"


@torch.no_grad()
def test_a_picture_goes_through_llavas_own_path(student: PllavaTrainee, videos: list[Video]) -> None:
    """The logits are those of LLaVA's <image> with pixel_values, which transformers' LlavaModel computes."""
    processor, model = student.processor, student.module.get_base_model()
    batch = student.batch(videos, [SAMPLES[0][:1]])
    assert [len(pixels) for pixels in batch["pixel_values_videos"]] == [1], "the tower is given one frame"
    here = student.module(**{name: value for name, value in batch.items() if name != "labels"}).logits
    ids = torch.where(batch["input_ids"] == processor.video_token_id, processor.image_token_id, batch["input_ids"])
    assert int((ids == processor.image_token_id).sum()) == PATCHES
    pixels = processor.pixels(torch.from_numpy(videos[2].frames[None, :1]))[:, 0]
    there = model(input_ids=ids, attention_mask=batch["attention_mask"], pixel_values=pixels).logits
    assert torch.allclose(here, there, atol=1e-5)


@torch.no_grad()
def test_pictures_videos_and_text_in_one_batch_are_each_alone(student: PllavaTrainee, videos: list[Video]) -> None:
    def losses(samples: list[list[Turn]]) -> list[float]:
        batch = student.batch(videos, samples)
        labels = batch.pop("labels")
        logits = student.module(**batch).logits[:, :-1].transpose(1, 2)
        each = torch.nn.functional.cross_entropy(logits, labels[:, 1:], ignore_index=-100, reduction="none").sum(1)
        return [float(loss) for loss in each]

    assert losses(SAMPLES) == pytest.approx([loss for sample in SAMPLES for loss in losses([sample])], abs=1e-3)


def test_each_answer_of_a_conversation_is_learned(student: PllavaTrainee, videos: list[Video]) -> None:
    batch = student.batch(videos, SAMPLES)
    learned = [student.processor.tokenizer.decode(labels[labels != -100].tolist()) for labels in batch["labels"]]
    assert learned == [
        " The red circle.</s> On the left.</s>",
        " The dax zups.</s>",
        " Hello.</s> Well.</s>",
        " Hello.</s> The blue square.</s>",
        " The wug meeks.</s>",
    ]
    visual = (batch["input_ids"] == student.processor.video_token_id).sum(1).tolist()
    assert visual == [PATCHES, VIDEO_TOKENS, 0, PATCHES, PATCHES + VIDEO_TOKENS]


def test_a_batch_of_text_runs_tower_and_projector_and_gives_them_no_weight(student: PllavaTrainee, videos: list[Video]) -> None:
    module = student.module.train()
    ran: list[str] = []
    model = module.get_base_model().model
    hooks = [
        part.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, part in (("tower", model.vision_tower.encoder.layers[0]), ("projector", model.multi_modal_projector))
    ]
    batch = student.batch(videos, [SAMPLES[2]])
    labels = batch.pop("labels")
    loss = torch.nn.functional.cross_entropy(module(**batch).logits[0, :-1], labels[0, 1:], ignore_index=-100)
    loss.backward()
    for hook in hooks:
        hook.remove()
    assert ran == ["tower", "projector"]
    projector = [parameter for name, parameter in module.named_parameters() if "projector.modules_to_save" in name]
    assert len(projector) == 4
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in projector)
    module.zero_grad()
    module.eval()


def test_tokens_of_pictures_and_text_are_counted_without_weights(student: PllavaTrainee, videos: list[Video]) -> None:
    counter = token_counter(TINY)
    counted = [counter.count(sample, pictures={2, 3}) for sample in SAMPLES]
    assert counted == student.batch(videos, SAMPLES)["attention_mask"].sum(1).tolist()
    long = [Turn(2, "What is shown?", "A circle. " * 400)]
    assert "its 1 questions and answers take" in student.too_long(videos, long)
    assert student.too_long(videos, SAMPLES[0]) == ""
    with pytest.raises(ValueError, match=r"the model's context is 1024; shorten it, .* in another run"):
        student.batch(videos, [long])


def test_pictures_and_videos_are_asked_about_in_one_piece(videos: list[Video]) -> None:
    llm = video_llm.load(TINY, CPU)
    mixed = [videos[2], videos[0], videos[3], videos[1]]
    together = replies(llm, mixed, [ASKED] * 4, [0] * 4, GREEDY)
    alone = [replies(llm, [video], [ASKED], [0], GREEDY)[0] for video in mixed]
    assert together == alone
    assert len(llm.prompt_token_ids(ASKED, mixed[0])) - len(llm.prompt_token_ids(ASKED, mixed[1])) == PATCHES - VIDEO_TOKENS
    samples: list[list[Turn]] = [[Turn(clip, ASKED, "")] for clip in range(4)]
    assert llm.converse(mixed, samples, [0] * 4, GREEDY) == alone
    only_text: list[list[Turn]] = [[Turn(None, "Hi?", "Hello."), Turn(None, "How are you?", "")]]
    assert llm.converse([], only_text, [0], GREEDY)[0].num_tokens > 0


@torch.no_grad()
def test_answers_about_a_picture_are_those_of_llavas_generate(videos: list[Video]) -> None:
    llm = video_llm.load(TINY, CPU)
    processor: Any = llm.processor
    ids = torch.tensor([llm.prompt_token_ids(ASKED, videos[2])])
    ids = torch.where(ids == processor.video_token_id, processor.image_token_id, ids)
    pixels = processor.pixels(torch.from_numpy(videos[2].frames[None, :1]))[:, 0]
    made = llm.model.generate(ids, pixel_values=pixels, max_new_tokens=8, do_sample=False)
    text = processor.tokenizer.decode(made[0, ids.shape[1] :].tolist(), skip_special_tokens=True).strip()
    assert replies(llm, [videos[2]], [ASKED], [0], GREEDY)[0].text == text
