"""What the papers claim about their methods, and what we claim about ours, tried on worlds that a laptop can run: `make science`.

Each claim compares two arms on the same clips, with three seeds; a seed is a world of its own. Printed for each: the shares that
are right as means over the seeds, the difference with its 95 % interval over the seeds (Student's t), and on how many clips only
one of the two is right, with the exact two-sided p of that (McNemar). A claim holds, or fails, where the interval leaves out 0;
else it is open. The p counts clips and not seeds: it tells how sure it is that these models differ, not that other ones would.

The loop's own functions run in one process each, without Ray: the demo's finetune of the tiny model (tests/laboratory.py). The
narrated world's training is two fifths of that of `make icl`.

PYTHONPATH=.:tests python tests/bench/science.py [--seeds 3] [--markdown]
"""

import argparse
import hashlib
import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from typing import Any

os.environ.setdefault("DS_ACCELERATOR", "cpu")

import torch

import narrated
from bench import samples
from engine.evaluate.intervals import student
from engine.generate.scores import Groundings
from engine.rows import Attempt, Clip, Example, Mode
from engine.select.choose import BOTH_MODES, from_template, select
from engine.select.grounded import Gate
from laboratory import CPU, MOTIONS, TINY, WORDING, answers_of, as_answers, clips_of, demo_settings, trained
from models.base import EngineSpec, ModelSpec, Sampling
from models.registry import export, load
from toys import poisoned
from worlds.shapes import KNOWN_NAMES

NUM_TRAIN, NUM_HELDOUT = 300, 200
HELDOUT_WORLD = 5000
"""Added to the seed: the held-out clips are of another world."""
GATE = "fdr 0.05"
Right = dict[str, bool]
"""By clip: whether its answer is right."""


@dataclass(frozen=True)
class Arm:
    """A model of one seed, and what it gets right of the held-out clips."""

    spec: ModelSpec
    right: Right
    reasons: Right
    """Whether the true motion is told."""
    seconds: float


def heldout_of(seed: int) -> list[Clip]:
    return clips_of(seed + HELDOUT_WORLD, NUM_HELDOUT)


def first_answers(seed: int, poison: bool) -> list[Attempt]:
    """What the base, or one whose answers are poisoned, says of the train clips, with a hint where it is wrong."""
    torch.set_num_threads(1)
    llm = poisoned.load(TINY, CPU, EngineSpec()) if poison else load(TINY, CPU)
    return answers_of(llm, clips_of(seed, NUM_TRAIN), seed, hints=True)


def evaluated(seed: int, spec: ModelSpec, since: float | None = None) -> Arm:
    since = time.monotonic() if since is None else since
    torch.set_num_threads(1)
    clips = heldout_of(seed)
    given = answers_of(load(spec, CPU), clips, seed, hints=False, reads=False)
    right = {clip.clip_id: attempt.outcome == "kept" for clip, attempt in zip(clips, given, strict=True)}
    reasons = {clip.clip_id: MOTIONS[clip.label.text] in attempt.text for clip, attempt in zip(clips, given, strict=True)}
    return Arm(spec, right, reasons, time.monotonic() - since)


def finetuned(seed: int, examples: Sequence[Example], base: ModelSpec = TINY) -> Arm:
    since = time.monotonic()
    return evaluated(seed, trained(examples, demo_settings(), seed, base), since)


def second_cycle(seed: int, first: ModelSpec, continues: bool) -> Arm:
    """The first cycle's model answers; the base is finetuned on that, or the first cycle's model goes on."""
    since = time.monotonic()
    torch.set_num_threads(1)
    clips = clips_of(seed, NUM_TRAIN)
    attempts = answers_of(load(first, CPU), clips, seed + 1, hints=True, reads=False)
    base = TINY
    if continues:
        base = ModelSpec(base=f"{tempfile.mkdtemp(prefix='starloop-science-')}/merged")
        export(first, Path(base.base), lambda line: None)
    return evaluated(seed, trained(select(clips, attempts, BOTH_MODES, WORDING), demo_settings(), seed, base), since)


def noisy(clips: Sequence[Clip], attempts: Sequence[Attempt], seed: int, share: float) -> list[Attempt]:
    """A verifier that keeps this share of the wrong direct answers, whose clips are then not rationalized."""
    drawn = {clip.clip_id for clip in clips if hash_share(seed, clip.clip_id) < share}
    wrong = {each.clip_id for each in attempts if each.mode == "direct" and each.outcome == "rejected"} & drawn
    others = [each for each in attempts if each.clip_id not in wrong]
    return others + [replace(each, outcome="kept") for each in attempts if each.clip_id in wrong and each.mode == "direct"]


def hash_share(seed: int, clip_id: str) -> float:
    return int.from_bytes(hashlib.sha256(f"{seed}/{clip_id}".encode()).digest()[:6], "big") / 2**48


def with_gate(clips: Sequence[Clip], attempts: Sequence[Attempt], value: str) -> list[Example]:
    groundings = Groundings(0)
    groundings.add(clips, attempts)
    return select(clips, Gate.of(value, [groundings.facts()]).applied(clips, as_answers(attempts)), BOTH_MODES, WORDING)


def sampled(seed: int) -> dict[str, Right]:
    """In fog, of the clips that only the hint rescues: those that one sample, and eight, get right without it."""
    torch.set_num_threads(1)
    llm: Any = load(TINY, CPU)
    sampling = Sampling(temperature=samples.TEMPERATURE, max_tokens=48)
    right: dict[str, Right] = {"1": {}, "8": {}}
    for start in range(0, NUM_HELDOUT, samples.PIECE):
        world = samples.world_of(seed * NUM_HELDOUT + start, samples.PIECE, samples.FOG)
        for number, attempts in enumerate(samples.attempts_of(llm, *world, sampling)):
            kept = [attempt.outcome == "kept" for attempt in attempts]
            for count in (1, 8):
                right[str(count)][f"{seed}/{start + number}"] = any(kept[:count])
    return right


@dataclass(frozen=True)
class Claim:
    """`better` is to be right more often than `worse`: Claim("PLLaVA", "a lower alpha is as good", "alpha 8", "alpha 32", ...)"""

    paper: str
    text: str
    better: str
    worse: str
    arms: Mapping[str, list[Right]]
    """By arm, a value for each seed."""

    @property
    def differences(self) -> list[float]:
        pairs = zip(self.arms[self.better], self.arms[self.worse], strict=True)
        return [share(better) - share(worse) for better, worse in pairs]

    @property
    def interval(self) -> float:
        """Half of it, over the seeds."""
        values = self.differences
        return student(len(values) - 1) * stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan

    @property
    def only(self) -> tuple[int, int]:
        """Clips that only the better arm, and only the worse one gets right."""
        pairs = list(zip(self.arms[self.better], self.arms[self.worse], strict=True))
        return (
            sum(better[clip] and not worse[clip] for better, worse in pairs for clip in better),
            sum(worse[clip] and not better[clip] for better, worse in pairs for clip in better),
        )

    @property
    def p(self) -> float:
        won, lost = self.only
        as_uneven = range(max(won, lost), won + lost + 1)
        return min(1.0, 2 * sum(math.comb(won + lost, count) for count in as_uneven) / 2 ** (won + lost))

    @property
    def result(self) -> str:
        if not abs(mean(self.differences)) > self.interval:
            return "open"
        return "holds" if mean(self.differences) > 0 else "fails"

    def cells(self) -> list[str]:
        arms = [f"{name} {mean(map(share, self.arms[name])):.3f}" for name in (self.better, self.worse)]
        gain = f"{mean(self.differences):+.3f} ± {self.interval:.3f}"
        return [self.paper, self.text, *arms, gain, "{} : {}".format(*self.only), f"{self.p:.2g}", self.result]


def share(right: Right) -> float:
    return sum(right.values()) / len(right)


HEADER = ("of", "claim", "right", "compared with", "difference", "only one right", "p", "result")


class Laboratory:
    """Experiments that wait for each other, on two processes."""

    def __init__(self, pool: ProcessPoolExecutor, seeds: int) -> None:
        self._pool, self._seeds = pool, range(seeds)
        self._begun = time.monotonic()

    def each(self, work: Callable[..., Any], *of_seed: Sequence[Any] | Callable[[int], Any]) -> list[Future[Any]]:
        """work(seed, ...) of each seed; arguments are values by seed, or functions of the seed."""
        values = [[given(seed) if callable(given) else given[seed] for given in of_seed] for seed in self._seeds]
        return [self._pool.submit(work, seed, *own) for seed, own in zip(self._seeds, values, strict=True)]

    def done(self, name: str, futures: Sequence[Future[Any]]) -> list[Any]:
        results = [future.result() for future in futures]
        shares = [share(result.right) for result in results if isinstance(result, Arm)]
        told = ", ".join(f"{value:.3f}" for value in shares)
        print(f"{time.monotonic() - self._begun:6.0f} s  {name}{': ' if told else ''}{told}", flush=True)
        return results

    def star(self) -> list[Claim]:
        """Video-STaR, PLLaVA and our own, on the shapes world."""
        clips = [clips_of(seed, NUM_TRAIN) for seed in self._seeds]
        plain, spoilt = self.each(first_answers, lambda seed: False), self.each(first_answers, lambda seed: True)
        base = self.each(evaluated, lambda seed: TINY)
        attempts = self.done("answers of the base", plain)

        def kept(modes: frozenset[Mode], noise: float = 0.0) -> list[list[Example]]:
            given = [noisy(clips[seed], attempts[seed], seed, noise) for seed in self._seeds]
            return [select(clips[seed], given[seed], modes, WORDING) for seed in self._seeds]

        both = kept(BOTH_MODES)
        one = self.each(finetuned, both)
        pools = {"pooled, 32 tokens": TINY, "4 frames, 144 tokens": replace(TINY, num_frames=4, pooling_shape=(4, 6, 6))}
        examples = {
            "no hints": kept(frozenset({"direct"})),
            "hints only": kept(frozenset({"rationalized"})),
            "a fifth wrong": kept(BOTH_MODES, 0.2),
            "half wrong": kept(BOTH_MODES, 0.5),
            "fixed sentence": [from_template(own, "The answer is {label}.", WORDING) for own in clips],
        }
        futures = {name: self.each(finetuned, own) for name, own in examples.items()}
        concatenated = "4 frames, 144 tokens"
        futures[concatenated] = self.each(finetuned, both, lambda seed: pools[concatenated])
        poison = self.done("poisoned answers", spoilt)
        for name, value in (("gate", GATE), ("no gate", "off")):
            futures[name] = self.each(finetuned, [with_gate(clips[seed], poison[seed], value) for seed in self._seeds])
        fog = self.each(sampled)
        first = self.done("one cycle", one)
        futures |= {
            "two cycles": self.each(second_cycle, lambda seed: first[seed].spec, lambda seed: False),
            "continued": self.each(second_cycle, lambda seed: first[seed].spec, lambda seed: True),
        }
        for alpha in (4, 8, 16):
            futures[f"alpha {alpha}"] = self.each(
                evaluated, lambda seed, alpha=alpha: replace(first[seed].spec, alpha=float(alpha))
            )
        arms = {name: self.done(name, own) for name, own in {"no cycle": base, **futures}.items()} | {"one cycle": first}
        right = {name: [arm.right for arm in own] for name, own in arms.items()}
        reasons = {name: [arm.reasons for arm in own] for name, own in arms.items()}
        unnamed = {name: [_unnamed(seed, own[seed]) for seed in self._seeds] for name, own in right.items()}
        in_fog = self.done("samples in fog", fog)
        sampling = {f"{count} samples": [own[str(count)] for own in in_fog] for count in (1, 8)}
        star = "Video-STaR"
        return [
            Claim(star, "a cycle is better than none", "one cycle", "no cycle", right),
            Claim(star, "a second cycle is better than one", "two cycles", "one cycle", right),
            Claim(star, "hints are what teaches labels that direct answers never hit", "one cycle", "no hints", unnamed),
            Claim(star, "reasons teach more than a fixed sentence", "one cycle", "fixed sentence", right),
            Claim(star, "each finetune from the base is better than going on", "two cycles", "continued", right),
            Claim(star, "direct answers help beside hinted ones", "one cycle", "hints only", right),
            Claim(star, "a verifier that keeps a fifth of the wrong answers costs", "one cycle", "a fifth wrong", right),
            Claim(star, "and one that keeps half of them", "one cycle", "half wrong", right),
            Claim("PLLaVA", "pooled tokens are better than those of a few frames", "one cycle", concatenated, right),
            Claim("PLLaVA", "a lower alpha than the trained 32 is better: 16", "alpha 16", "one cycle", right),
            Claim("PLLaVA", "8", "alpha 8", "one cycle", right),
            Claim("PLLaVA", "4, as it publishes", "alpha 4", "one cycle", right),
            Claim("ours", "the gate keeps poison from the labels", "gate", "no gate", right),
            Claim("ours", "and from the reasons", "gate", "no gate", reasons),
            Claim("ours", "eight samples hit more labels than one, without a hint", "8 samples", "1 samples", sampling),
        ]

    def eilev(self) -> list[Claim]:
        """The three properties of its training data, on the narrated world: rare actions after 16 shots."""
        futures = {name: self.each(narrated.tried, lambda seed, name=name: name) for name in narrated.VARIANTS}
        arms = {name: self.done(name, own) for name, own in futures.items()}
        texts = {
            "random contexts": "bursty contexts are needed",
            "12 commonest actions": "a long tail of actions is needed",
            "canonical narrations": "words whose meaning changes are needed",
        }
        return [Claim("EILEV", text, narrated.EPISODES_ARM, name, arms) for name, text in texts.items()]


def _unnamed(seed: int, right: Right) -> Right:
    """The clips whose labels the base does not know."""
    return {clip.clip_id: right[clip.clip_id] for clip in heldout_of(seed) if clip.label.text not in KNOWN_NAMES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    begun = time.monotonic()
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        laboratory = Laboratory(pool, arguments.seeds)
        claims = [*laboratory.star(), *laboratory.eilev()]
    print("\n| " + " | ".join(HEADER) + " |\n" + "|---" * len(HEADER) + "|")
    for claim in claims:
        print("| " + " | ".join(claim.cells()) + " |")
    print(f"\n{arguments.seeds} seeds, {(time.monotonic() - begun) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
