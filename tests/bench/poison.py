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
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("DS_ACCELERATOR", "cpu")

import pyarrow as pa
import torch

from builders import DECODING, a_train_job, an_attempt
from engine.config import Mixture, Train
from engine.evaluate.intervals import wilson
from engine.generate import prompts
from engine.generate.grounding import Readings
from engine.generate.scores import Groundings
from engine.generate.seeds import derive_seed
from engine.presets import load_config
from engine.rows import EXAMPLES, Answer, Attempt, Clip, Example, Mode, names_of
from engine.run.rehearsal import Records
from engine.select.choose import select
from engine.select.grounded import Gate
from engine.store.files import Store
from engine.train.job import Rank, TrainJob
from engine.train.processes import run_ranks
from engine.train.worker import finetune_rank
from engine.verify.verdict import VerifySpec, verify
from jobs.make_base import frames_of
from models.base import Device, EngineSpec, FrameSpec, ModelSpec, Sampling, Video, VideoLLM
from models.registry import load
from toys import poisoned
from watching import videos_of
from worlds import shapes

CPU, PIECE, COMPARED, TIMEOUT_S = Device("cpu", "float32"), 25, 4, 1800
CONFIG = Path(__file__).parents[2] / "jobs" / "configs" / "demo.toml"
SAMPLING, WORDING = Sampling(temperature=0.0, max_tokens=48), prompts.STRICT
GATES = ("fdr 0.05", "off")
HELDOUT_WORLD = 5000
"""Added to the seed: the held-out clips are of another world."""
MOTIONS = {name: motion for name, (_, motion) in shapes.ACTIONS.items()}


def clips_of(world: int, count: int) -> list[Clip]:
    """A clip's video is named by its scene: no file is written."""
    clips = [shapes.clip(shapes.scene(world, index), f"{world}-{index}", "train") for index in range(count)]
    return [replace(clip, clip_id=clip.video) for clip in clips]


def video_of(name: str) -> Video:
    world, index = map(int, name.split("-"))
    return videos_of(frames_of(shapes.scene(world, index))[None])[0]


def verdict(clip: Clip, mode: Mode, text: str) -> str:
    return "kept" if verify(text, clip.question, clip.label, mode, True, VerifySpec(preset="strict")).keep else "rejected"


def answers_of(llm: VideoLLM, clips: Sequence[Clip], seed: int, hints: bool) -> list[Attempt]:
    """The attempts at the clips of a piece; with hints where the direct one is rejected, and with groundings of the kept ones."""
    watched = llm.watch([video_of(clip.video) for clip in clips], True)
    asked_again: Sequence[int] = range(len(clips))
    attempts: list[list[Attempt]] = [[] for _ in clips]
    modes: tuple[Mode, ...] = ("direct", "rationalized") if hints else ("direct",)
    for mode in modes:
        futures = []
        for number in asked_again:
            clip = clips[number]
            direct = prompts.answer_prompt(WORDING, clip.question)
            prompt = direct if mode == "direct" else prompts.rationalize_prompt(WORDING, clip.question, clip.label)
            own = derive_seed(seed, 0, clip.clip_id, mode)
            futures.append((number, own, watched.ask(number, prompt, own, SAMPLING)))
        rejected = []
        for number, own, future in futures:
            text, clip = future.result().text, clips[number]
            outcome = verdict(clip, mode, text)
            attempts[number].append(an_attempt(clip.clip_id, mode=mode, text=text, outcome=outcome, seed=own))
            if outcome == "rejected" and mode != modes[-1]:
                rejected.append(number)
            else:
                watched.leave(number)
        asked_again = rejected
        if not asked_again:
            break
    readings = Readings.of(clips, attempts, COMPARED, seed, WORDING)
    grounded = readings.grounded(watched.score(readings.passages))
    watched.close()
    return [attempt for of_clip in grounded for attempt in of_clip]


def feed(rows: Iterable[dict[str, Any]], frames: FrameSpec) -> Iterator[tuple[dict[str, Any], list[Video]]]:
    """In place of decoding."""
    for row in rows:
        yield row, [video_of(window["video"]) for window in json.loads(row["windows"])]


def finetune(rank: Rank, job: TrainJob) -> float | None:
    torch.set_num_threads(1)
    records = Records()
    finetune_rank(job, rank, feed, records)  # type: ignore[arg-type]  # no row has a failure
    return records.losses[-1]


def trained(examples: Sequence[Example], train: Train, seed: int) -> ModelSpec:
    store = Store(tempfile.mkdtemp(prefix="starloop-poison-"))
    store.write_table("examples.parquet", pa.Table.from_pylist([row.to_row() for row in examples], schema=EXAMPLES))
    job = a_train_job(store, train, seed=seed, mixture=Mixture(), decoding=DECODING, out="train")
    list(run_ranks(1, CPU, finetune, [job], TIMEOUT_S))
    return ModelSpec(base="tiny", adapter=store.url("train/model"))


@dataclass(frozen=True)
class Result:
    gate: str
    right: list[bool]
    """Of each held-out clip: whether the label is right."""
    reasons: list[bool]
    """And whether the true motion is given."""


def cycle(seed: int, num_train: int, num_heldout: int) -> list[Result]:
    clips, held_out = clips_of(seed, num_train), clips_of(seed + HELDOUT_WORLD, num_heldout)
    base = poisoned.load(ModelSpec(base="tiny"), CPU, EngineSpec())
    pieces = [clips[start : start + PIECE] for start in range(0, num_train, PIECE)]
    attempts = [attempt for piece in pieces for attempt in answers_of(base, piece, seed, hints=True)]
    groundings, labels = Groundings(0), {clip.clip_id: clip.label.text for clip in (*clips, *held_out)}
    groundings.add(clips, attempts)
    answers = [Answer.from_row({name: attempt.to_row()[name] for name in names_of(Answer)}) for attempt in attempts]
    results = []
    for value in GATES:
        gate = Gate.of(value, [groundings.facts()])
        modes: frozenset[Mode] = frozenset({"direct", "rationalized"})
        examples = select(clips, gate.applied(clips, answers), modes, WORDING)
        spec = trained(examples, load_config(CONFIG, ["model.allow_tiny=true"]).train, seed)
        llm = load(spec, CPU)
        asked = [held_out[start : start + PIECE] for start in range(0, num_heldout, PIECE)]
        given = [attempt for piece in asked for attempt in answers_of(llm, piece, seed, hints=False)]
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
