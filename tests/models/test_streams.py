"""Pins that several answers from one prefix are those that each seed gives alone, whichever end first."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from jobs.make_base import frames_of
from models.base import Device, ModelSpec, Reply, Sampling, Video
from models.decoding import Prefix
from models.pllava import video_llm
from models.streams import Writer
from watching import replies, videos_of
from worlds import shapes

QUESTIONS = ["What is the action in this video?", "Describe.", "Can you name the action, please, if there is one at all?"]
WARM = Sampling(temperature=2.5, max_tokens=40)


@pytest.fixture(scope="module")
def llm() -> video_llm.PllavaVideoLLM:
    return video_llm.load(ModelSpec(base="tiny"), Device("cpu", "float32"))


@pytest.fixture(scope="module")
def videos() -> list[Video]:
    return videos_of(np.stack([frames_of(shapes.scene(79, index)) for index in range(3)]))


def sampled(llm: video_llm.PllavaVideoLLM, videos: list[Video], seeds: list[list[int]], sampling: Sampling) -> list[list[Reply]]:
    watched = llm.watch(videos)
    futures = [watched.ask_all(clip, QUESTIONS[clip], own, sampling) for clip, own in enumerate(seeds)]
    for clip in range(len(videos)):
        watched.leave(clip)
    return [[future.result() for future in of_clip] for of_clip in futures]


@pytest.mark.parametrize("sampling", [WARM, replace(WARM, stop=("red", "and")), replace(WARM, max_tokens=1)])
def test_each_sample_is_the_answer_that_its_seed_gives_alone(
    llm: video_llm.PllavaVideoLLM, videos: list[Video], sampling: Sampling
) -> None:
    seeds = [[10 * clip + sample for sample in range(8)] for clip in range(3)]
    together = sampled(llm, videos, seeds, sampling)
    for sample in range(8):
        alone = replies(llm, videos, QUESTIONS, [own[sample] for own in seeds], sampling)
        assert [of_clip[sample] for of_clip in together] == alone
    if sampling == WARM:
        lengths = {reply.num_tokens for of_clip in together for reply in of_clip}
        assert len(lengths) > 3, "answers have to end at different places"
        assert len({reply.text for of_clip in together for reply in of_clip}) > 12


def test_clips_may_ask_different_numbers_of_times(llm: video_llm.PllavaVideoLLM, videos: list[Video]) -> None:
    together = sampled(llm, videos, [[1, 2, 3], [4], [5, 6]], WARM)
    assert [len(of_clip) for of_clip in together] == [3, 1, 2]
    assert together == [of_clip[:1] + of_clip[1:] for of_clip in sampled(llm, videos, [[1, 2, 3], [4], [5, 6]], WARM)]
    assert together[0][2] == replies(llm, videos[:1], QUESTIONS[:1], [3], WARM)[0]


def test_the_prefix_is_held_once_for_all_samples(
    llm: video_llm.PllavaVideoLLM, videos: list[Video], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    select = Prefix.select
    monkeypatch.setattr(Prefix, "select", lambda self, own, room: rows.append(len(own)) or select(self, own, room))
    sampled(llm, videos, [[1, 2, 3, 4]] * 3, WARM)
    assert rows == [3]


def test_an_llm_with_a_window_writes_each_sample_in_a_row_of_its_own(llm: video_llm.PllavaVideoLLM, videos: list[Video]) -> None:
    config = llm.model.config.text_config
    writer = llm.writer
    prefix = Prefix([(torch.zeros(1, 1, 30, 4), torch.zeros(1, 1, 30, 4))], (30,))
    assert writer._may_share(prefix, [1] * 10, 4 * 24)
    config.sliding_window = 100
    try:
        assert isinstance(writer, Writer)
        assert not writer._may_share(prefix, [1] * 10, 4 * 24)
        assert writer._may_share(prefix, [1] * 10, 2 * 24)
    finally:
        del config.sliding_window


def test_samples_of_many_lengths_keep_their_own_draws() -> None:
    """A model that ends each answer with a probability of an eighth at each token, whatever stands before."""

    def step(ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Any) -> torch.Tensor:
        cache.update(torch.zeros(len(ids), 1, ids.shape[1], 4), torch.zeros(len(ids), 1, ids.shape[1], 4), 0)
        return torch.zeros(len(ids), 8)

    def read(ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Any) -> torch.Tensor:
        step(ids, mask, positions, cache)
        assert mask.shape == (*ids.shape[:1], 1, ids.shape[1], cache.get_seq_length())
        return torch.zeros(*ids.shape, 8)

    writer = Writer(step, read, SimpleNamespace(), torch.float32, frozenset({0}), str)
    prefix = Prefix([(torch.zeros(4, 1, 3, 4), torch.zeros(4, 1, 3, 4))], (3, 2, 3, 1))
    rows, sampling = [row for row in range(4) for _ in range(6)], Sampling(temperature=1.0, max_tokens=60)
    for start in range(0, 240, 24):
        seeds = list(range(start, start + 24))
        together = writer.answers(prefix, rows, [[5, 6]] * 24, seeds, sampling)
        alone = [writer.answers(prefix, [row], [[5, 6]], [seed], sampling)[0] for row, seed in zip(rows, seeds, strict=True)]
        assert together == alone
        assert len({len(answer) for answer in alone}) > 8
