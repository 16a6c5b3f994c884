"""Pins stop texts: a row ends at the first of them, wherever its tokens lie, and leaves the batch; its answer is cut there."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE

from jobs.make_base import frames_of
from models.base import ChatSpec, Device, ModelSpec, Sampling, Turn, Video
from models.pllava import video_llm
from models.stops import StopTexts, first_stop
from watching import replies, videos_of
from worlds import shapes

GREEDY = Sampling(temperature=0.0, max_tokens=40)
QUESTION = "What is the action in this video?"


@pytest.fixture(scope="module")
def llm() -> video_llm.PllavaVideoLLM:
    return video_llm.load(ModelSpec(base="tiny"), Device("cpu", "float32"))


@pytest.fixture(scope="module")
def videos() -> list[Video]:
    return videos_of(np.stack([frames_of(shapes.scene(77, index)) for index in range(3)]))


def test_a_stop_text_is_found_across_tokens() -> None:
    letters = {chr(code): code - 32 for code in range(32, 127)}
    tokenizer = Tokenizer(BPE(vocab=letters, merges=[]))
    tokenizer.decoder = decoders.Fuse()
    ids = [letters[letter] for letter in "It rises. ### USER: and so on " * 3]
    stops = StopTexts(("USER:", "###"), tokenizer.decode)
    assert next(count for count in range(1, len(ids)) if stops.ends(ids[:count])) == len("It rises. ###")
    only = StopTexts(("ER: a",), tokenizer.decode)
    assert next(count for count in range(1, len(ids)) if only.ends(ids[:count])) == len("It rises. ### USER: a")
    assert not StopTexts((), tokenizer.decode).ends(ids)
    assert first_stop("a###b###", ("b", "###")) == 1


def test_an_answer_ends_at_a_stop_text_and_is_cut_there(llm: video_llm.PllavaVideoLLM, videos: list[Video]) -> None:
    whole = replies(llm, videos, [QUESTION] * 3, [0] * 3, GREEDY)
    text = whole[0].text
    for stop in (text[10:14], text[12:25], text[20]):
        for reply, full in zip(replies(llm, videos, [QUESTION] * 3, [0] * 3, replace(GREEDY, stop=(stop,))), whole, strict=True):
            assert reply.text == full.text.partition(stop)[0].strip(), stop
            assert reply.finished
            assert reply.num_tokens <= full.num_tokens
    stopped = replies(llm, videos, [QUESTION] * 3, [0] * 3, replace(GREEDY, max_tokens=6, stop=("not there",)))
    assert [reply.finished for reply in stopped] == [False] * 3


def test_a_stopped_row_leaves_the_batch(llm: video_llm.PllavaVideoLLM, videos: list[Video]) -> None:
    whole = replies(llm, videos, [QUESTION] * 3, [0] * 3, GREEDY)
    steps: list[torch.Size] = []
    hook = llm.model.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: steps.append(kwargs["inputs_embeds"].shape), with_kwargs=True
    )
    replies(llm, videos, [QUESTION] * 3, [0] * 3, replace(GREEDY, stop=(whole[0].text[:3],)))
    hook.remove()
    assert sum(shape[1] == 1 for shape in steps) < 6, "all of them begin alike"


def test_samples_of_several_turns_stop_too(llm: video_llm.PllavaVideoLLM, videos: list[Video]) -> None:
    sample = [Turn(0, QUESTION, "")]
    (whole,) = llm.converse(videos, [sample], [0], GREEDY)
    stop = whole.text[8:16]
    (reply,) = llm.converse(videos, [sample], [0], replace(GREEDY, stop=(stop,)))
    assert (reply.text, reply.finished) == (whole.text.partition(stop)[0].strip(), True)


def test_an_answer_goes_on_where_it_was_begun(llm: video_llm.PllavaVideoLLM, videos: list[Video]) -> None:
    whole = replies(llm, videos, [QUESTION] * 3, [0] * 3, GREEDY)[0]
    start = " ".join(whole.text.split()[:3])
    begun = video_llm.load(ModelSpec(base="tiny", chat=ChatSpec(answer_start=start)), Device("cpu", "float32"))
    (reply,) = replies(begun, videos[:1], [QUESTION], [0], GREEDY)
    assert reply.text == whole.text, "a model that is led as it would go says the same"
    assert 0 < reply.num_tokens < whole.num_tokens
    assert begun.digest != llm.digest
    assert begun.prompt_token_ids(QUESTION, videos[0])[: len(llm.prompt_token_ids(QUESTION, videos[0]))] == (
        llm.prompt_token_ids(QUESTION, videos[0])
    )
    (sampled,) = begun.converse(videos, [[Turn(0, QUESTION, "")]], [0], GREEDY)
    assert sampled.text == whole.text
