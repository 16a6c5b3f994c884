"""A small finished run that no model has made: two cycles, of which the first is promoted; with videos where a test wants them."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from builders import a_clip, a_seal, an_attempt, seal_attempts
from engine.config import RunConfig
from engine.generate.prompts import STRICT
from engine.ingest.clips import path_of, write_parts
from engine.ingest.pieces import cut
from engine.rows import ATTEMPTS, PREFERENCES, Attempt, Clip, Example
from engine.run.plan import BASE, INGEST, name_of
from engine.run.seals import write_seal
from engine.run.work import INDEX, pieces_of
from engine.select.choose import select
from engine.select.examples import ExampleWriter
from engine.store.documents import to_json
from engine.store.files import FILES, Store

MODEL = {"digest": "d0", "base": "tiny", "revision": "", "engine": "builtin"}
TALK = Example(
    example_id="talk-1", clip_id="", video="/pictures/dog.jpg", start_s=None, end_s=None, prompt="What is it?", answer="A dog.",
    source="instruct",
)  # fmt: skip


def a_config(uri: str, **data: str) -> RunConfig:
    return RunConfig.model_validate(
        {"run": {"uri": uri}, "data": {"manifest": "/videos/clips.csv", **data}, "model": {"allow_tiny": True}}
    )


def clips_of(number: int, videos: str = "/videos") -> list[Clip]:
    """Train clips a0, a1 and so on, every other one with a window."""
    windows = [{"start_s": 1.5, "end_s": 4.0} if at % 2 else {} for at in range(number)]
    return [a_clip(f"a{at}", "rising", video=f"{videos}/a{at}.mp4", **window) for at, window in enumerate(windows)]


def answers_to(clips: Sequence[Clip], etags: Sequence[str] = ()) -> list[Attempt]:
    """Of three clips one is right at once, one is right with the hint, and one is never."""
    attempts = []
    for at, clip in enumerate(clips):
        etag = etags[at] if etags else "v1"
        kind: dict[str, Any] = {"seed": 100 + at, "etag": etag, "support": float(at)}
        no = {"outcome": "rejected", "reason": "label_missing", "score": 0.0, "text": f"It sinks, {at}."}
        yes = {"text": f"It goes up, so it is rising, {at}.", "detail": "rising"}
        attempts.append(an_attempt(clip.clip_id, **kind | (yes if at % 3 == 0 else no)))
        if at % 3:
            attempts.append(
                an_attempt(clip.clip_id, mode="rationalized", **kind | {"seed": 200 + at} | (yes if at % 3 == 1 else no))
            )
    return attempts


def a_run(
    store: Store,
    clips: Sequence[Clip],
    attempts: Sequence[Attempt],
    talks: Sequence[Example] = (),
    piece_clips: int = 2,
    config: RunConfig | None = None,
    heldout_videos: str = "/videos",
) -> RunConfig:
    """Write and seal a run of one promoted cycle, and a second one that is not and has the same answers.

    The accuracies are 0.4, 0.9 and 0.5.
    """
    config = config or a_config(store.url())
    store.write("config.json", config.model_dump_json().encode())
    examples = [*select(clips, attempts, frozenset({"direct", "rationalized"}), STRICT), *talks]
    modes = {
        mode: sum(example.mode == mode for example in examples if example.source == "star") for mode in ("direct", "rationalized")
    }
    ledger = {"clips": len(clips), "direct_kept": modes["direct"], "rationalized_kept": modes["rationalized"]}
    ledger |= {"dropped": {"label_missing": len(clips) - sum(modes.values())}, "failed": {}, "direct": len(clips)}
    seal_attempts(store, clips, attempts, piece_clips, ledger | {"model": MODEL, "direct_right": modes["direct"]})
    held = [a_clip(name, split="heldout", video=f"{heldout_videos}/{name}.mp4") for name in ("h0", "h1")]
    _seal_clips(store, [*clips, *held])
    _seal_evaluation(store, BASE, held, 0.4)
    _seal_pieces(store, name_of(1, "generate"), clips, attempts, {"direct_kept": modes["direct"], "rationalized_kept": 0})
    for cycle, accuracy in enumerate((0.9, 0.5)):
        _seal_selection(store, name_of(cycle, "select"), examples if cycle == 0 else examples[:1], modes | {"instruct": len(talks)})
        store.write(f"{name_of(cycle, 'train')}/model/adapter_config.json", b"{}")
        write_seal(store, replace(a_seal(name_of(cycle, "train"), losses=[2.0, 0.5]), counts={"steps": 2}))
        _seal_evaluation(store, name_of(cycle, "evaluate"), held, accuracy)
    return config


def _seal_clips(store: Store, clips: Sequence[Clip]) -> None:
    store.delete(f"{INGEST}/seal.json")
    parts = write_parts(store, clips)
    paths = [path_of(split, number) for split, sizes in parts.items() for number in range(len(sizes))]
    write_seal(store, replace(a_seal(INGEST, parts=parts), files=store.describe(paths)))


def _seal_selection(store: Store, step: str, examples: Sequence[Example], counts: dict[str, int]) -> None:
    path, pairs = f"{step}/examples.parquet", f"{step}/preferences.parquet"
    with store.writing(path) as file, ExampleWriter(file) as writer:
        writer.write(examples)
    store.write_table(pairs, PREFERENCES.empty_table())
    seal = a_seal(step, examples=len(examples), episodes=0, direct_only=False, clips=3, direct_kept=1, rationalized_kept=1)
    counts = {"examples": len(examples), "preferences": 0} | counts
    write_seal(store, replace(seal, files=store.describe([path, pairs]), counts=counts))


def _seal_evaluation(store: Store, step: str, clips: Sequence[Clip], accuracy: float) -> None:
    """One of the two clips is right."""
    attempts = [an_attempt(clip.clip_id, outcome="kept" if at == 0 else "rejected") for at, clip in enumerate(clips)]
    facts = {"accuracy": accuracy, "metrics": {"accuracy": accuracy}, "intervals": {"accuracy": [accuracy - 0.1, accuracy + 0.1]}}
    _seal_pieces(store, step, clips, attempts, {**facts, "videos": 2, "direct_kept": 1})


def _seal_pieces(store: Store, step: str, clips: Sequence[Clip], attempts: Sequence[Attempt], facts: dict[str, Any]) -> None:
    """All clips in one piece."""
    [(piece, _)] = cut(path_of(clips[0].split, 0), clips, len(clips))
    path = f"{pieces_of(step)}/{piece.file_name}"
    rows = [attempt.to_row() | {"piece_id": piece.piece_id} for attempt in attempts]
    store.write_table(path, pa.Table.from_pylist(rows, schema=ATTEMPTS))
    index = pa.Table.from_pylist([asdict(record) for record in store.describe([path])], schema=FILES)
    store.write_table(f"{step}/{INDEX}", index)
    store.write(f"{step}/model.json", to_json(MODEL))
    seal = a_seal(step, **facts, clips=len(clips), dropped={}, failed={}, model=MODEL)
    write_seal(store, replace(seal, files=store.describe([f"{step}/{INDEX}"])))


def with_videos(folder: Path, number: int) -> tuple[list[Clip], list[str]]:
    """Clips whose videos are there, small files that no decoder opens, and the etag of each."""
    folder.mkdir(parents=True, exist_ok=True)
    for at in range(number):
        (folder / f"a{at}.mp4").write_bytes(f"video {at}".encode() * 100)
    clips, store = clips_of(number, str(folder)), Store(str(folder))
    etags = []
    for clip in clips:
        with store.storage.opened(clip.video) as source:
            etags.append(source.etag)
    return clips, etags
