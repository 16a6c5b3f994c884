"""How many planted faults grounding finds, what it costs, and which form of the score is best, on the shapes world. Prints tables.

A fifth of the kept rationales get another reason, their label stays right: the motion of another clip (swapped), or one sentence
that looks at nothing (template). Found are those below the threshold; lost are true ones below it. The threshold is either the one
that loses 5 % of the true ones, which no run can know, or the gate's own, by a false-discovery rate on mismatched pairs.

PYTHONPATH=.:tests python tests/bench/grounding.py [--clips 240] [--seeds 3]
"""

import argparse
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from builders import an_attempt
from engine.estimate.assumptions import assumptions
from engine.estimate.compute import Asking
from engine.estimate.hardware import GPUS, speed_of_gpus
from engine.generate import prompts
from engine.generate.grounding import Readings, reason_tokens
from engine.generate.scores import Groundings, bin_of, threshold
from engine.rows import Attempt, Clip
from engine.verify.verdict import VerifySpec, verify
from jobs.make_base import frames_of
from models.base import Device, FinetuneSpec, Likelihood, ModelSpec, Sampling, Video
from models.pllava import video_llm
from models.registry import size
from watching import videos_of
from worlds import shapes

PIECE = 40
COMPARED = (2, 3, 4, 6)
RATE = 0.05
LOST = 0.05
SAMPLING = Sampling(temperature=0.0, max_tokens=48)
TEMPLATE = "dwindling"
WORDING = prompts.STRICT
SEVEN = "llava-hf/llava-v1.6-vicuna-7b-hf"


@dataclass(frozen=True)
class Text:
    """A kept text with its fault, and its likelihoods: after its own video, after others, reversed, and after grey frames."""

    fault: str
    """"": it is the model's own; swapped or template."""
    clip: Clip
    attempt: Attempt
    read: Sequence[Likelihood]
    backwards: Likelihood
    grey: Likelihood


@dataclass
class Seconds:
    generating: float = 0.0
    reading: float = 0.0


def planted(rng: np.random.Generator, clips: Sequence[Clip], scenes: Sequence[shapes.Scene], texts: list[str]) -> list[str]:
    """Replaces the reasons of a fifth of the texts, half in each way; returns the fault of each."""
    faults = [""] * len(clips)
    chosen = rng.permutation(len(clips))[: len(clips) // 5]
    for order, number in enumerate(chosen):
        label = clips[number].label.text
        if order % 2 and scenes[number].name != TEMPLATE:
            motion, faults[number] = f"The white cross {shapes.ACTIONS[TEMPLATE][1]}", "template"
        else:
            others = [scene for scene in scenes if scene.name != scenes[number].name]
            motion, faults[number] = others[int(rng.integers(len(others)))].description, "swapped"
        texts[number] = f"{motion}, so the action is {label}."
    return faults


def texts_of(llm: video_llm.PllavaVideoLLM, world: int, count: int, seconds: Seconds) -> list[Text]:
    """Generates, plants and reads, in pieces; the faults are the same for the same world."""
    rng, texts = np.random.default_rng(world), list[Text]()
    for start in range(0, count, PIECE):
        scenes = [shapes.scene(world, index) for index in range(start, start + PIECE)]
        clips = [shapes.clip(scene, f"c{start + index}.mp4", "train") for index, scene in enumerate(scenes)]
        clips = [replace(clip, clip_id=f"c{start + index}") for index, clip in enumerate(clips)]
        videos = videos_of(np.stack([frames_of(scene) for scene in scenes]))
        begun = time.process_time()
        watched = llm.watch(videos, True)
        answers = generated(watched, clips)
        seconds.generating += time.process_time() - begun
        faults = planted(rng, clips, scenes, answers)
        attempts = [
            [an_attempt(clip.clip_id, text=text)] if is_right(clip, text) else [] for clip, text in zip(clips, answers, strict=True)
        ]
        begun = time.process_time()
        default = Readings.of(clips, attempts, 4, 0, WORDING)
        grounded = default.grounded(watched.score(default.passages))
        seconds.reading += time.process_time() - begun
        readings = Readings.of(clips, attempts, max(COMPARED), 0, WORDING)
        read = watched.score(readings.passages)
        watched.close()
        apart = [changed(llm, videos, readings, change) for change in (backwards, grey)]
        at = 0
        for number, of_clip in enumerate(grounded):
            if of_clip:
                width = 1 + len(readings.others[number])
                own = [apart[0][at], apart[1][at]]
                texts.append(Text(faults[number], clips[number], of_clip[0], read[at : at + width], *own))
                at += width
    return texts


def generated(watched: object, clips: Sequence[Clip]) -> list[str]:
    """The text of each clip: the direct answer, or the one that the hint brought."""
    futures = [watched.ask(i, prompts.answer_prompt(WORDING, clip.question), 0, SAMPLING) for i, clip in enumerate(clips)]  # type: ignore[attr-defined]
    texts = [future.result().text for future in futures]
    again = [i for i, clip in enumerate(clips) if not is_right(clip, texts[i])]
    for i in set(range(len(clips))) - set(again):
        watched.leave(i)  # type: ignore[attr-defined]
    hints = {i: prompts.rationalize_prompt(WORDING, clips[i].question, clips[i].label) for i in again}
    hinted = [watched.ask(i, hints[i], 0, SAMPLING) for i in again]  # type: ignore[attr-defined]
    for i, future in zip(again, hinted, strict=True):
        texts[i] = future.result().text
        watched.leave(i)  # type: ignore[attr-defined]
    return texts


def is_right(clip: Clip, text: str) -> bool:
    return verify(text, clip.question, clip.label, "rationalized", True, VerifySpec(preset="strict")).keep


def backwards(video: Video) -> Video:
    return Video(np.ascontiguousarray(video.frames[::-1]), video.times_s)


def grey(video: Video) -> Video:
    return Video(np.full_like(video.frames, 128), video.times_s)


def changed(
    llm: video_llm.PllavaVideoLLM, videos: Sequence[Video], readings: Readings, change: Callable[[Video], Video]
) -> list[Likelihood]:
    """What the passages read after changed videos; of each text the first one is after its own."""
    watched = llm.watch([change(video) for video in videos], True)
    return watched.score(readings.passages)


def tokens_of(text: Text, words: str) -> list[int]:
    """Which tokens count: of all words, of content words, or of those that are not the label's, as shipped."""
    likelihood = text.read[0]
    if words == "all":
        return list(range(len(likelihood.spans)))
    return reason_tokens(likelihood, text.clip.label.text if words == "reason" else "")


POWERS = {"sum": 0.0, "per root": 0.5, "per token": 1.0}


def score_of(text: Text, compared: int, words: str, power: float) -> tuple[float, list[float]]:
    """Own minus the mean of others, and the same of the mismatched pairs."""
    tokens = tokens_of(text, words)
    sums = np.array([sum(read.logprobs[n] for n in tokens) for read in text.read[: compared + 1]]) / len(tokens) ** power
    rests = [np.delete(sums[1:], n).mean() for n in range(len(sums) - 1)]
    return float(sums[0] - sums[1:].mean()), [float(value - rest) for value, rest in zip(sums[1:], rests, strict=True)]


def procedure(scores: NDArray[np.float64], mismatched: NDArray[np.float64]) -> float:
    """The gate's threshold, computed as engine/generate/scores.py does, without bins."""
    least, ordered = math.inf, np.sort(mismatched)
    for value in np.sort(scores):
        chance = (1 + len(ordered) - np.searchsorted(ordered, value)) / (1 + len(ordered))
        if chance * len(scores) <= RATE * (scores >= value).sum():
            return float(value)
    return least


def row_of(faults: NDArray[np.str_], scores: NDArray[np.float64], gate: float) -> str:
    true = faults == ""
    fixed = float(np.quantile(scores[true], LOST))
    shares = [f"{(scores[faults == fault] < fixed).mean():6.3f}" for fault in ("swapped", "template")]
    areas = [f"{(scores[true][:, None] > scores[faults == fault][None]).mean():6.3f}" for fault in ("swapped", "template")]
    by_gate = ""
    if not math.isnan(gate):
        kept = scores >= gate
        gated = [(~kept[faults != ""]).mean(), (~kept[true]).mean(), (faults[kept] != "").mean()]
        by_gate = " ".join(f"{share:6.3f}" for share in gated)
    return f"{(scores[~true] < fixed).mean():6.3f} {' '.join(shares)} | {' '.join(areas)} | {by_gate}"


def forms(texts: Sequence[Text]) -> None:
    faults = np.array([text.fault for text in texts])
    print(f"\n{len(texts)} kept texts: {dict(Counter(text.fault or 'true' for text in texts))}")
    print("                              at 5 % of true ones lost   area under ROC  | by the gate, fdr 0.05")
    print("others  words     scale        found swapped templ. | swapped templ. | found   lost  left")
    for compared in COMPARED:
        for words in ("all", "content", "reason"):
            for name, power in POWERS.items():
                pairs = [score_of(text, compared, words, power) for text in texts]
                scores, mismatched = np.array([own for own, _ in pairs]), np.array([v for _, vs in pairs for v in vs])
                print(f"{compared:6}  {words:8}  {name:10} {row_of(faults, scores, procedure(scores, mismatched))}")
    for name, other in (("backwards", [t.backwards for t in texts]), ("grey", [t.grey for t in texts])):
        scores = np.array(
            [
                sum(text.read[0].logprobs[n] - away.logprobs[n] for n in tokens) / math.sqrt(len(tokens))
                for text, away in zip(texts, other, strict=True)
                for tokens in [tokens_of(text, "reason")]
            ]
        )
        print(f"        reason    {name:10} {row_of(faults, scores, math.nan)}")
    alone = np.array([np.mean(text.read[0].logprobs) for text in texts])
    print(f"        all       likelihood {row_of(faults, alone, math.nan)}")


def shipped(texts: Sequence[Text]) -> None:
    """As a run has it: columns, bins, the seal's threshold."""
    groundings = Groundings(0)
    groundings.add([], [text.attempt for text in texts])
    least = threshold(groundings.total(), RATE)
    assert least is not None
    faults = np.array([text.fault for text in texts])
    scores = np.array([text.attempt.support for text in texts])
    bins = np.array([bin_of(score) for score in scores])
    print(f"as shipped: least {scores[bins >= least].min():.2f}; found {(bins[faults != ''] < least).mean():.3f}", end="")
    print(f", true ones lost {(bins[faults == ''] < least).mean():.3f}, faults left {(faults[bins >= least] != '').mean():.3f}")


def counted() -> None:
    """The share for PLLaVA-7B on an H100, by the counts of `starloop plan`."""
    seven, assumed = size(ModelSpec(base=SEVEN), FinetuneSpec(rank=128, alpha=32.0, dropout=0.0)), assumptions()
    print("\nPLLaVA-7B on an H100, 20 clips a piece, counted (low, expected, high of the assumptions of `starloop plan`):")
    for answer in (50, 100, 200):
        own = assumptions([f"answer_tokens={answer}"])
        speed = speed_of_gpus(GPUS["H100"], 1.0, assumed)
        asking = Asking(20, 512, 2)
        direct, reading = asking.direct_s(seven, speed, own), asking.reading_s(seven, speed, own, 4)
        print(
            f"  answers of {answer:3} tokens: generating {direct.expected:.3f} s a clip, reading {reading.expected:.3f} s", end=""
        )
        print(f" = {reading.expected / direct.expected:.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=240)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    llm = video_llm.load(ModelSpec(base="tiny"), Device("cpu", "float32"))
    seconds, everything = Seconds(), list[Text]()
    for seed in range(arguments.seeds):
        texts = texts_of(llm, 500 + seed, arguments.clips, seconds)
        print(f"world {500 + seed}: ", end="")
        shipped(texts)
        everything += texts
    forms(everything)
    times = f"generating {seconds.generating:.1f} s, reading with 4 others {seconds.reading:.1f} s"
    print(f"\ntiny model, one thread, CPU time: {times} = {seconds.reading / seconds.generating:.0%}")
    counted()


if __name__ == "__main__":
    main()
