"""Pins what a generator makes of a piece: groundings that memory and repetition do not change, and several samples of a clip."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from engine.decode.stage import Decoded
from engine.generate.generator import Generator, _loop_in_a_thread
from engine.rows import Attempt, Clip
from engine.verify.stages import Verification
from jobs.make_base import frames_of
from loops import a_generate_spec
from models.base import Device, ModelSpec, OutOfMemory, Sampling, Video
from models.pllava import video_llm
from watching import videos_of
from worlds import shapes

CLIPS = 10
Subjects = list[tuple[Clip, Decoded]]


@pytest.fixture(scope="module")
def llm() -> video_llm.PllavaVideoLLM:
    return video_llm.load(ModelSpec(base="tiny"), Device("cpu", "float32"))


@pytest.fixture(scope="module")
def subjects() -> Subjects:
    scenes = [shapes.scene(60, index) for index in range(CLIPS)]
    videos = videos_of(np.stack([frames_of(scene) for scene in scenes]))
    clips = [shapes.clip(scene, f"c{index}.mp4", "train") for index, scene in enumerate(scenes)]
    return [(clip, Decoded(video, "v1", False)) for clip, video in zip(clips, videos, strict=True)]


def a_generator(llm: Any, **fields: Any) -> Generator:
    """Without the parts that need Ray."""
    generator = object.__new__(Generator)
    generator.spec = a_generate_spec(**{"grounding": 4, "sampling": Sampling(temperature=0.0, max_tokens=48)} | fields)
    generator._verification, generator._verifying = Verification(generator.spec.verify), _loop_in_a_thread()
    generator.llm = llm
    return generator


def attempts_of(llm: Any, subjects: Subjects, **fields: Any) -> list[list[Attempt]]:
    return a_generator(llm, **fields)._attempts("p", subjects)


class Small:
    """A loaded model on a device that holds few clips at once."""

    scores = True

    def __init__(self, llm: video_llm.PllavaVideoLLM, most: int) -> None:
        self.llm, self.most, self.digest = llm, most, llm.digest
        self.watches: list[tuple[int, bool]] = []

    def watch(self, videos: Sequence[Video], scores: bool = False) -> video_llm.WatchedInBatches:
        if len(videos) > self.most:
            raise OutOfMemory("CUDA out of memory")
        self.watches.append((len(videos), scores))
        return self.llm.watch(videos, scores)


def test_kept_answers_are_grounded_the_same_each_time(llm: video_llm.PllavaVideoLLM, subjects: Subjects) -> None:
    first, again = (attempts_of(llm, subjects) for _ in range(2))
    assert [attempt.to_row() for of_clip in first for attempt in of_clip] == [a.to_row() for of_clip in again for a in of_clip]
    attempts = [attempt for of_clip in first for attempt in of_clip]
    assert {attempt.outcome for attempt in attempts} == {"kept", "rejected"}
    assert {attempt.mode for attempt in attempts if attempt.grounding} == {"direct", "rationalized"}
    for attempt in attempts:
        assert (attempt.grounding is not None) == (attempt.outcome == "kept")
        if attempt.grounding:
            assert len(attempt.grounding.clips) == 4
            assert attempt.grounding.support > max(attempt.grounding.mismatched), "this base sees well"


def test_halves_of_a_piece_are_compared_with_the_clips_of_the_whole(llm: video_llm.PllavaVideoLLM, subjects: Subjects) -> None:
    whole, small = attempts_of(llm, subjects), Small(llm, 5)
    halves = attempts_of(small, subjects)
    assert small.watches == [(5, False), (5, False), (5, True), (5, True)]
    for one, other in zip(whole, halves, strict=True):
        assert [attempt.text for attempt in one] == [attempt.text for attempt in other]
        for before, after in zip(one, other, strict=True):
            assert (before.grounding is None) == (after.grounding is None)
            if before.grounding and after.grounding:
                assert before.grounding.clips == after.grounding.clips
                assert before.grounding.support == pytest.approx(after.grounding.support, abs=1e-3)
    alone = attempts_of(Small(llm, 0), subjects)
    assert [(attempt.outcome, attempt.reason) for (attempt,) in alone] == [("failed", "out_of_memory")] * CLIPS


def test_nothing_is_read_where_it_is_not_asked_for(llm: video_llm.PllavaVideoLLM, subjects: Subjects) -> None:
    plain = Small(llm, CLIPS)
    attempts = attempts_of(plain, subjects, grounding=0)
    assert plain.watches == [(CLIPS, False)]
    assert not any(attempt.grounding for of_clip in attempts for attempt in of_clip)
    plain.scores = False
    assert attempts_of(plain, subjects) == attempts, "a model that reads no texts leaves them without a score"


def test_samples_have_seeds_of_their_own_and_the_first_is_the_one_of_a_single(
    llm: video_llm.PllavaVideoLLM, subjects: Subjects
) -> None:
    warm = Sampling(temperature=2.0, max_tokens=48)
    single, several = (attempts_of(llm, subjects, sampling=warm, samples=samples) for samples in (1, 4))
    for one, four in zip(single, several, strict=True):
        direct = [attempt for attempt in four if attempt.mode == "direct"]
        assert [attempt.sample for attempt in direct] == [0, 1, 2, 3]
        assert len({attempt.seed for attempt in direct}) == 4
        assert (direct[0].text, direct[0].seed) == (one[0].text, one[0].seed)
        hinted = [attempt for attempt in four if attempt.mode == "rationalized"]
        assert len(hinted) == (not any(attempt.outcome == "kept" for attempt in direct))
    outcomes = [[attempt.outcome for attempt in of_clip if attempt.mode == "direct"] for of_clip in several]
    assert any(len(set(of_clip)) > 1 for of_clip in outcomes), "some clip has to be right now and then"
    signed = [[attempt.signature for attempt in of_clip] for of_clip in several]
    assert all(not any(of_clip[1:]) for of_clip in signed), "a signature is a kilobyte"
