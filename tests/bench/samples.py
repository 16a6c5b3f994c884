"""What several samples of a clip cost and bring, on the shapes world. Prints two tables.

Cost: 1 and 8 samples from one prefix. Yield: a world in fog, in which the base is right 5 to 30 % of the time: which share of the
clips that only the hint rescues has a kept answer among n samples without it; and how many of these are grounded.

PYTHONPATH=.:tests python tests/bench/samples.py [--clips 200]
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from builders import an_attempt
from engine.evaluate.intervals import wilson
from engine.generate import prompts
from engine.generate.grounding import Readings
from engine.generate.scores import Groundings
from engine.generate.seeds import derive_seed
from engine.rows import Attempt, Clip, Mode
from engine.select.grounded import Gate
from engine.verify.verdict import VerifySpec, verify
from jobs.make_base import frames_of
from laboratory import as_answers
from models.base import Device, ModelSpec, Sampling, Video
from models.pllava import video_llm
from watching import videos_of
from worlds import shapes

PIECE, MOST, WORLD = 40, 16, 900
TEMPERATURE = 1.5
"""The tiny model is sure of what it writes: at 0.7 hardly any sample differs from the first."""
WORDING = prompts.STRICT
FOG = 0.47
"""How much of a picture is noise: the base is right in the share that is printed."""


def world_of(start: int, count: int, fog: float) -> tuple[list[Clip], list[Video]]:
    """Clips of the four actions whose names the base knows, in fog."""
    scenes = [shapes.scene(WORLD, index, shapes.KNOWN_NAMES[index % 4]) for index in range(start, start + count)]
    clips = [shapes.clip(scene, f"c{start + index}.mp4", "train") for index, scene in enumerate(scenes)]
    frames = np.stack([frames_of(scene) for scene in scenes])
    noise = np.random.default_rng([WORLD, start]).integers(0, 256, frames.shape)
    return clips, videos_of(((1 - fog) * frames + fog * noise).round().astype(np.uint8))


def timed(llm: video_llm.PllavaVideoLLM, sampling: Sampling, samples: int, rounds: int = 5) -> float:
    """CPU seconds of the quickest round of a piece."""
    clips, videos = world_of(0, 32, 0.0)
    seconds = []
    for _ in range(rounds):
        begun = time.process_time()
        watched = llm.watch(videos)
        futures = [
            watched.ask_all(number, prompts.answer_prompt(WORDING, clip.question), range(samples), sampling)
            for number, clip in enumerate(clips)
        ]
        for number in range(len(clips)):
            watched.leave(number)
        assert all(future.result().text for of_clip in futures for future in of_clip)
        seconds.append(time.process_time() - begun)
    return min(seconds)


def attempt_of(clip: Clip, mode: Mode, sample: int, text: str, finished: bool) -> Attempt:
    verdict = verify(text, clip.question, clip.label, mode, finished, VerifySpec(preset="strict"))
    outcome = "kept" if verdict.keep else "rejected"
    return an_attempt(clip.video, mode=mode, sample=sample, text=text, outcome=outcome, reason=verdict.reason)


def attempts_of(
    llm: video_llm.PllavaVideoLLM, clips: Sequence[Clip], videos: Sequence[Video], sampling: Sampling
) -> list[list[Attempt]]:
    """MOST direct samples of each clip, then a rationalization, all with their grounding."""
    watched = llm.watch(videos, True)
    attempts: list[list[Attempt]] = [[] for _ in clips]
    for mode, samples in (("direct", MOST), ("rationalized", 1)):
        futures = []
        for number, clip in enumerate(clips):
            seeds = [derive_seed(0, 0, clip.video, mode, sample) for sample in range(samples)]
            asked_with = (
                prompts.answer_prompt(WORDING, clip.question)
                if mode == "direct"
                else prompts.rationalize_prompt(WORDING, clip.question, clip.label)
            )
            futures.append(watched.ask_all(number, asked_with, seeds, sampling))
        for number, of_clip in enumerate(futures):
            replies = [future.result() for future in of_clip]
            attempts[number] += [
                attempt_of(clips[number], mode, sample, reply.text, reply.finished) for sample, reply in enumerate(replies)
            ]
    for number in range(len(clips)):
        watched.leave(number)
    readings = Readings.of(clips, attempts, 4, 0, WORDING)
    scored = readings.grounded(watched.score(readings.passages))
    watched.close()
    return scored


def share_of(hits: int, count: int) -> str:
    low, high = wilson(hits / count, count)
    return f"{hits:4} of {count:4} = {hits / count:.3f} ({low:.3f} to {high:.3f})"


def yields(llm: video_llm.PllavaVideoLLM, count: int, fog: float, sampling: Sampling) -> None:
    pieces = [world_of(at, min(PIECE, count - at), fog) for at in range(0, count, PIECE)]
    attempts = [of_clip for piece in pieces for of_clip in attempts_of(llm, *piece, sampling)]
    kept = [[attempt.outcome == "kept" for attempt in of_clip] for of_clip in attempts]
    print(f"\nan answer without a hint is right: {share_of(sum(sum(own[:MOST]) for own in kept), count * MOST)}")
    for name, judged in (("kept by the rules", right_by_rules), ("and grounded", right_and_grounded)):
        one = judged(attempts, 1)
        rescued = [not own[0] and own[-1] for own in one]
        print(f"{name}: without a hint {share_of(sum(own[0] for own in one), count)}; the hint rescues {sum(rescued)} more")
        for samples in (1, 2, 4, 8, 16):
            hits = [any(own[:-1]) for own in judged(attempts, samples)]
            line = f"  {samples:2} samples: clips with a direct hit {share_of(sum(hits), count)}"
            if samples > 1 and any(rescued):
                both = sum(hit for hit, is_rescued in zip(hits, rescued, strict=True) if is_rescued)
                line += f"; of those rescued {share_of(both, sum(rescued))}"
            print(line)


def run_with(attempts: Sequence[list[Attempt]], samples: int) -> list[list[Attempt]]:
    """The attempts of a run with so many samples: the hint is last, and rejected where a sample is kept, since it is not given."""
    hints = [
        replace(own[MOST], outcome="rejected") if any(attempt.outcome == "kept" for attempt in own[:samples]) else own[MOST]
        for own in attempts
    ]
    return [[*own[:samples], hint] for own, hint in zip(attempts, hints, strict=True)]


def right_by_rules(attempts: Sequence[list[Attempt]], samples: int) -> list[list[bool]]:
    return [[attempt.outcome == "kept" for attempt in own] for own in run_with(attempts, samples)]


def right_and_grounded(attempts: Sequence[list[Attempt]], samples: int) -> list[list[bool]]:
    """By the threshold of a run with so many samples."""
    own_attempts, groundings = run_with(attempts, samples), Groundings(0)
    groundings.add([], [attempt for own in own_attempts for attempt in own])
    gate = Gate.of("fdr 0.05", [groundings.facts()])
    return [[answer.outcome == "kept" for answer in gate.applied([], as_answers(own))] for own in own_attempts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--fog", type=float, default=FOG)
    parser.add_argument("--temperature", type=float, default=TEMPERATURE)
    arguments = parser.parse_args()
    sampling = Sampling(temperature=arguments.temperature, max_tokens=48)
    torch.set_num_threads(1)
    llm = video_llm.load(ModelSpec(base="tiny"), Device("cpu", "float32"))
    single, eight = timed(llm, sampling, 1), timed(llm, sampling, 8)
    print(f"32 clips, one thread, CPU time: 1 sample {single:.2f} s, 8 samples {eight:.2f} s = {eight / single:.2f} times")
    yields(llm, arguments.clips, arguments.fog, sampling)


if __name__ == "__main__":
    main()
