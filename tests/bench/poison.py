"""A cycle whose answers are poisoned, with the gate and without it: what is kept, and what the finetuned model then says.

A fifth of the answers tell another motion than the video shows, with the right label (tests/toys/poisoned.py). For each seed the
base answers about the clips of a world, the rejects with the hint; the kept answers are chosen once with select.min_grounding =
"fdr 0.05" and once with "off"; and the demo's finetune is made of each, by the step's own functions in one process, without Ray.
Printed are the held-out accuracy by label, and the share of held-out answers that tell the true motion of their clip; over all
seeds with Wilson's intervals, and the clips that only one of the two got right. Three minutes a seed.

PYTHONPATH=.:tests python tests/bench/poison.py [--seeds 3] [--train 300] [--heldout 200]
"""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

os.environ.setdefault("DS_ACCELERATOR", "cpu")

import torch

from engine.evaluate.intervals import wilson
from engine.generate.scores import Groundings
from engine.select.choose import BOTH_MODES, select
from engine.select.grounded import Gate
from laboratory import CPU, MOTIONS, TINY, WORDING, answers_of, as_answers, clips_of, demo_settings, trained
from models.base import EngineSpec
from models.registry import load
from toys import poisoned

GATES = ("fdr 0.05", "off")
HELDOUT_WORLD = 5000
"""Added to the seed: the held-out clips are of another world."""


@dataclass(frozen=True)
class Result:
    gate: str
    right: list[bool]
    """Of each held-out clip: whether the label is right."""
    reasons: list[bool]
    """And whether the true motion is given."""


def cycle(seed: int, num_train: int, num_heldout: int) -> list[Result]:
    clips, held_out = clips_of(seed, num_train), clips_of(seed + HELDOUT_WORLD, num_heldout)
    attempts = answers_of(poisoned.load(TINY, CPU, EngineSpec()), clips, seed, hints=True)
    groundings, labels = Groundings(0), {clip.clip_id: clip.label.text for clip in (*clips, *held_out)}
    groundings.add(clips, attempts)
    results = []
    for value in GATES:
        gate = Gate.of(value, [groundings.facts()])
        examples = select(clips, gate.applied(clips, as_answers(attempts)), BOTH_MODES, WORDING)
        llm = load(trained(examples, demo_settings(), seed), CPU)
        given = answers_of(llm, held_out, seed, hints=False, reads=False)
        right = [attempt.outcome == "kept" for attempt in given]
        results.append(Result(value, right, [MOTIONS[labels[attempt.clip_id]] in attempt.text for attempt in given]))
        spoilt = sum(MOTIONS[labels[example.clip_id]] not in example.answer for example in examples)
        line = {"seed": seed, "gate": value, "examples": len(examples), "spoilt": spoilt, **gate.counts}
        print(
            json.dumps(line | {"accuracy": sum(right) / num_heldout, "reasons": sum(results[-1].reasons) / num_heldout}), flush=True
        )
    return results


def compared(results: Sequence[Result], what: str) -> None:
    """Shares with intervals, and the clips on which the two differ."""
    by_gate = {gate: [value for result in results if result.gate == gate for value in getattr(result, what)] for gate in GATES}
    for gate, values in by_gate.items():
        low, high = wilson(sum(values) / len(values), len(values))
        print(f"{what:8} {gate:8} {sum(values) / len(values):.3f} ({low:.3f} to {high:.3f})")
    pairs = list(zip(*by_gate.values(), strict=True))
    print(f"{what:8} only with the gate {sum(a and not b for a, b in pairs)}, only without it {sum(b and not a for a, b in pairs)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train", type=int, default=300)
    parser.add_argument("--heldout", type=int, default=200)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = [result for seed in range(arguments.seeds) for result in cycle(seed, arguments.train, arguments.heldout)]
    for what in ("right", "reasons"):
        compared(results, what)


if __name__ == "__main__":
    main()
