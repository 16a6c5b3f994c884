"""Pins how `make science` compares two arms, and that its laboratory's parts do what their names say."""

import pytest

from bench.science import Claim, hash_share, noisy
from builders import an_attempt
from laboratory import clips_of, video_of

WORSE = {"a": True, "b": False, "c": False, "d": False}


def claim(better: list[dict[str, bool]], worse: list[dict[str, bool]]) -> Claim:
    return Claim("ours", "one is better", "one", "other", {"one": better, "other": worse})


def test_a_claim_is_open_until_the_seeds_agree() -> None:
    few = claim([WORSE | {"b": True}, WORSE], [WORSE, WORSE])
    assert few.differences == [0.25, 0.0]
    assert few.only == (1, 0)
    assert few.p == 1.0
    assert few.result == "open"
    assert claim([WORSE] * 3, [WORSE] * 3).result == "open"
    better = [WORSE | {"b": True, "c": True}, WORSE | {"b": True, "c": True}]
    assert claim(better, [WORSE, WORSE]).result == "holds"
    assert claim([WORSE, WORSE], better).result == "fails"
    assert claim([WORSE, WORSE], better).p == 0.125


def test_the_interval_is_students_over_the_seeds() -> None:
    worlds = [[WORSE] * 3, [WORSE | {"b": True}, WORSE, WORSE | {"c": True, "d": True}]]
    assert claim(worlds[1], worlds[0]).differences == [0.25, 0.0, 0.5]
    assert claim(worlds[1], worlds[0]).interval == pytest.approx(4.303 * 0.25 / 3**0.5, abs=1e-3)


def test_a_noisy_verifier_keeps_wrong_direct_answers_and_their_clips_get_no_hint() -> None:
    clips = clips_of(3, 40)
    attempts = [an_attempt(clip.clip_id, outcome="rejected", reason="label_missing", text="It moves.") for clip in clips]
    attempts += [an_attempt(clip.clip_id, mode="rationalized") for clip in clips]
    given = noisy(clips, attempts, seed=0, share=0.25)
    wrong = {attempt.clip_id for attempt in given if attempt.text == "It moves." and attempt.outcome == "kept"}
    assert wrong == {clip.clip_id for clip in clips if hash_share(0, clip.clip_id) < 0.25}
    assert 0 < len(wrong) < 20
    assert {attempt.clip_id for attempt in given if attempt.mode == "rationalized"} == {clip.clip_id for clip in clips} - wrong
    assert noisy(clips, attempts, seed=0, share=0.0) == attempts


def test_a_video_has_as_many_frames_as_a_model_watches() -> None:
    name = clips_of(3, 1)[0].video
    assert [video_of(name, count).frames.shape[0] for count in (8, 4)] == [8, 4]
    assert video_of("narrated/0/5").frames.shape == video_of(name).frames.shape
