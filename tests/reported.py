"""The folder of a run of two cycles as its steps leave it, of any size, for tests of its report: made without Ray or a model."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from builders import a_clip, a_seal, an_attempt
from engine.config import RunConfig
from engine.evaluate.intervals import wilson
from engine.generate.ledger import balance
from engine.generate.scores import Groundings
from engine.ingest.clips import PART_CLIPS, path_of, write_parts
from engine.ingest.pieces import cut
from engine.presets import load_config
from engine.rows import ATTEMPTS, EXAMPLES, NEAR_COPIES, Attempt, Clip, Example, Grounding, Judgement
from engine.run.plan import BASE, INGEST, name_of
from engine.run.seals import write_seal
from engine.run.work import INDEX, pieces_of
from engine.store.files import FILES, Store

LABELS = ("rising", "sinking", "moving left", "blinking")
HOSTILE = "</script><img src=x onerror=alert(1)> =1+1 \U0001f3ac 'quoted' \"twice\" and some more words of it"
HIDDEN = "shrinking"
"""A label that the held-out clips have and the train clips lack."""
_POINT: dict[str, Any] = {
    "set": "rare",
    "control": "",
    "queries": 20,
    "verb": 0.5,
    "noun": 0.5,
    "rouge_l": 0.5,
    "sts": None,
    "failed": 0,
    "short": 0,
}
CURVE: dict[str, Any] = {
    "model": "tiny",
    "adapter": "cycle-000/train/model",
    "points": [
        _POINT | {"shots": 0, "both": 0.05, "both_low": 0.01, "both_high": 0.24, "by_class": 0},
        _POINT | {"shots": 4, "both": 0.45, "both_low": 0.26, "both_high": 0.66, "by_class": 0},
        _POINT | {"control": "shuffled", "shots": 4, "both": 0.3, "both_low": 0.2, "both_high": 0.4, "by_class": 0},
    ],
    "baselines": {"rare": {"ceiling": {"0": 0.0, "4": 0.79}, "counting": {"0": 0.0, "4": 0.24}}},
}
"""What `starloop few-shot` writes, as far as the report reads it."""


def a_run(
    folder: Path,
    train: int = 40,
    heldout: int = 24,
    videos: Path | None = None,
    settings: Sequence[str] = (),
    piece_clips: int = 4096,
) -> RunConfig:
    """Write the run's folder. Cycle 0 knows half of the labels without a hint, cycle 1 nearly all; nobody has looked at a frame.

    `videos`: a folder whose files N.mp4 the first clips show; other clips' videos are missing.
    """
    store, random_source = Store(str(folder)), random.Random(0)
    config = load_config(None, [f"run.uri={folder}", "data.manifest=clips.csv", "model.allow_tiny=true", *settings])
    store.write("config.json", config.model_dump_json().encode())
    clips = [*_clips("train", train, videos), *_clips("heldout", heldout, videos)]
    sizes = write_parts(store, clips)
    paths = [path_of(split, number) for split in sizes for number in range(len(sizes[split]))]
    counts = {"clips": len(clips), "videos": len(clips), "labels": len(LABELS) + 1, "train": train, "heldout": heldout}
    write_seal(store, replace(a_seal(INGEST, parts=sizes, inputs={}), files=store.describe(paths), counts=counts))
    own = {split: [clip for clip in clips if clip.split == split] for split in ("train", "heldout")}
    _evaluated(store, BASE, own["heldout"], random_source, 0.3, piece_clips)
    for cycle, knows in enumerate((0.5, 0.9)):
        attempts = [row for clip in own["train"] for row in _generated(clip, cycle, random_source, knows)]
        facts = {"model": {"digest": f"m{cycle}"}}
        _answered(store, name_of(cycle, "generate"), own["train"], attempts, facts, piece_clips)
        _selected(store, cycle, attempts)
        losses = [2.0 / (step + 1) for step in range(60)]
        write_seal(store, a_seal(name_of(cycle, "train"), losses=losses))
        _evaluated(store, name_of(cycle, "evaluate"), own["heldout"], random_source, 0.8 + 0.1 * cycle, piece_clips)
    command = {
        "command": "starloop selftrain run.toml --set model.allow_tiny=true",
        "started": "2026-11-26T20:20:49.533Z",
        "ended": None,
        "outcome": "finished",
        "until": "",
        "versions": {"starloop": "0.1.0"},
    }
    store.write("logs/00001/command.json", str(command).replace("'", '"').replace("None", "null").encode())
    return config


def _clips(split: str, count: int, videos: Path | None) -> Iterator[Clip]:
    for number in range(count):
        label = HIDDEN if split == "heldout" and number % 12 == 11 else LABELS[number % len(LABELS)]
        video = str(videos / f"{number}.mp4") if videos else f"/gone/{split}-{number}.mp4"
        yield a_clip(f"{split}-{number:05d}", label, split=split, video=video, question="What does the shape do?")


def _generated(clip: Clip, cycle: int, random_source: random.Random, knows: float) -> Iterator[Attempt]:
    number = int(clip.clip_id.rsplit("-", 1)[1])
    if number % 20 == 19:
        yield an_attempt(clip.clip_id, cycle=cycle, outcome="failed", reason="missing", detail="no such video", text="", etag="")
        return
    direct = _answer(clip, cycle, "direct", random_source.random() < knows, random_source)
    if cycle == 0 and number == 2:
        direct = replace(direct, text=HOSTILE, outcome="rejected", reason="label_missing", detail="")
    yield direct
    if direct.outcome == "rejected":
        yield _answer(clip, cycle, "rationalized", number % 5 != 0, random_source)


def _answer(clip: Clip, cycle: int, mode: str, is_right: bool, random_source: random.Random) -> Attempt:
    label = clip.label.text
    other = LABELS[(LABELS.index(label) + 1) % len(LABELS)] if label in LABELS else LABELS[0]
    said = label if is_right else other
    colour = random_source.choice(("red", "green", "blue"))
    reason = "contains_label" if is_right else "label_missing"
    support = round(random_source.uniform(2, 15), 4)
    grounding = (
        Grounding(tokens=4, own=-1.0, others=(-1.0 - 2 * support, -1.0 - 2 * support), clips=("x", "y")) if is_right else None
    )
    return an_attempt(
        clip.clip_id,
        cycle=cycle,
        mode=mode,
        text=f"The {colour} circle changes its place bit by bit, so the action is {said}.",
        outcome="kept" if is_right else "rejected",
        reason=reason,
        detail=said if is_right else "",
        score=float(is_right),
        judgements=(Judgement(stage="rules", keep=is_right, reason=reason, score=float(is_right), detail=""),),
        seed=random_source.getrandbits(60),
        num_tokens=14,
        support=support if is_right else None,
        grounding=grounding,
    )


def _answered(
    store: Store, step: str, clips: Sequence[Clip], attempts: Sequence[Attempt], facts: dict[str, Any], piece_clips: int
) -> None:
    """Write and seal the pieces of a step."""
    split, by_clip, names = clips[0].split, dict[str, list[Attempt]](), []
    for attempt in attempts:
        by_clip.setdefault(attempt.clip_id, []).append(attempt)
    for number, start in enumerate(range(0, len(clips), PART_CLIPS)):
        part = clips[start : start + PART_CLIPS]
        for piece, _ in cut(path_of(split, number), part, piece_clips):
            own = part[piece.start : piece.start + piece.count]
            rows = [row.to_row() | {"piece_id": piece.piece_id} for clip in own for row in by_clip[clip.clip_id]]
            names.append(f"{pieces_of(step)}/{piece.file_name}")
            store.write_table(names[-1], pa.Table.from_pylist(rows, schema=ATTEMPTS))
    index = [asdict(record) for record in store.describe(names)]
    store.write_table(f"{step}/{INDEX}", pa.Table.from_pylist(index, schema=FILES))
    groundings = Groundings(attempts[0].cycle)
    groundings.add(clips, attempts)
    accounts = asdict(balance(attempts)) | {"grounding": groundings.facts()}
    seal = replace(a_seal(step, **accounts | facts), files=store.describe([f"{step}/{INDEX}"]), seconds=12.5)
    write_seal(store, seal)


def _evaluated(
    store: Store, step: str, clips: Sequence[Clip], random_source: random.Random, knows: float, piece_clips: int
) -> None:
    attempts = [
        _answer(clip, 0, "direct", clip.label.text != HIDDEN and random_source.random() < knows, random_source) for clip in clips
    ]
    right = sum(attempt.outcome == "kept" for attempt in attempts) / len(attempts)
    facts: dict[str, Any] = {"accuracy": right, "metrics": {"accuracy": right}, "model": {"digest": step}}
    facts |= {"intervals": {"accuracy": list(wilson(right, len(clips)))}}
    if step != BASE:
        comparison = {"step": BASE, "clips": len(clips), "videos": len(clips), "won": 12, "lost": 1, "gain": 0.4, "p": 0.002}
        facts |= {"comparison": comparison | {"level": 0.025}}
    _answered(store, step, clips, attempts, facts, piece_clips)


def _selected(store: Store, cycle: int, attempts: Sequence[Attempt]) -> None:
    step, kept = name_of(cycle, "select"), [attempt for attempt in attempts if attempt.outcome == "kept"][1:]
    examples = [
        Example(
            example_id=f"{attempt.clip_id}/{cycle}/{attempt.mode}", clip_id=attempt.clip_id, video="", start_s=None, end_s=None,
            prompt="", answer=attempt.text, source="star", cycle=cycle, mode=attempt.mode, seed=attempt.seed,
        ).to_row()
        for attempt in kept
    ]  # fmt: skip
    tables = {"examples": (examples, EXAMPLES), "near_copies": ([], NEAR_COPIES)}
    for name, (rows, schema) in tables.items():
        store.write_table(f"{step}/{name}.parquet", pa.Table.from_pylist(rows, schema=schema))
    direct = sum(attempt.mode == "direct" for attempt in kept)
    counts = {"examples": len(kept), "direct": direct, "rationalized": len(kept) - direct, "ungrounded": 1}
    files = store.describe([f"{step}/{name}.parquet" for name in tables])
    write_seal(store, replace(a_seal(step, direct_only=False, examples=len(kept), episodes=0), files=files, counts=counts))
