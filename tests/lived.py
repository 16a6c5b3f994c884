"""A small run that has lived through a cycle, written file by file: clips with every fate, and a held-out split.

Nothing of it was computed by a model. Its select step's files say what its seals and attempts imply, as the step itself would.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from builders import a_clip, a_seal, an_attempt
from engine.audit.reviews import add, answer_id
from engine.generate.prompts import STRICT
from engine.generate.scores import Groundings
from engine.ingest.clips import path_of, write_parts
from engine.ingest.pieces import cut
from engine.presets import load_config
from engine.rows import ATTEMPTS, NEAR_COPIES, UNUSED, Answer, Attempt, Clip, Grounding, Judgement, NearCopy, Review, Unused
from engine.run.plan import INGEST, name_of
from engine.run.seals import Seal, write_seal
from engine.run.work import INDEX, pieces_of, unused_of
from engine.select.choose import select
from engine.select.examples import to_table
from engine.store.documents import to_json
from engine.store.files import FILES, Store

TRAIN = [a_clip(f"c{number}", label="sinking" if number in (6, 7) else "rising", start_s=2.0, end_s=9.5) for number in range(9)]
HELDOUT = [a_clip(f"h{number}", label="rising", split="heldout") for number in range(4)]
DROPPED = ("c4", "c5", "c7")
"""Kept and no examples: ungrounded, a near-copy of h1, over the limit of its label."""
SETTINGS = ["model.allow_tiny=true", "select.min_grounding=1.0", "select.max_per_label=1", "train.epochs=2.0", "loop.promote=best"]


def attempts() -> list[Attempt]:
    """Of the generate step of cycle 0."""
    grounding = Grounding(tokens=4, own=-2.0, others=(-8.0, -10.0), clips=("c6", "c7"))
    strong: dict[str, Any] = {"support": 3.5, "grounding": grounding, "detail": "rising", "judgements": (rules(True),)}
    weak = strong | {"support": 0.25, "grounding": replace(grounding, own=-8.5)}
    missing = {"outcome": "rejected", "reason": "label_missing", "text": "It moves.", "score": 0.0, "judgements": (rules(False),)}
    hinted = {"mode": "rationalized", "prompt": "Hint: rising.", "seed": 2}
    failed = {
        "outcome": "failed",
        "reason": "missing",
        "detail": "no such file: c3.mp4; check the manifest",
        "text": "",
        "etag": "",
    }
    return [
        an_attempt("c0", **strong),
        an_attempt("c1", **missing),
        an_attempt("c1", **strong | hinted),
        an_attempt("c2", **missing),
        an_attempt("c2", **missing | hinted),
        an_attempt("c3", **failed),
        an_attempt("c4", **weak),
        an_attempt("c5", **strong),
        an_attempt("c6", **strong | {"text": "It is sinking.", "detail": "sinking"}),
        an_attempt("c7", **strong | {"text": "It is sinking.", "detail": "sinking"}),
        an_attempt("c8", **strong | {"origin": "/runs/before/cycle-001/generate"}),
    ]


def rules(keep: bool) -> Judgement:
    return Judgement(stage="rules", keep=keep, reason="contains_label" if keep else "label_missing", score=float(keep), detail="")


def write_run(
    folder: Path,
    clips: Sequence[Clip] = TRAIN,
    right: Mapping[str, bool] | None = None,
    settings: Sequence[str] = (),
    dropped: Sequence[str] = DROPPED,
) -> Store:
    """`right`: the answers to the held-out clips after cycle 0, by clip_id; those of the base are wrong but h0's."""
    store, config = Store(str(folder)), load_config(None, [*SETTINGS, f"run.uri={folder}", "data.manifest=m.csv", *settings])
    store.write("config.json", config.model_dump_json().encode())
    parts = write_parts(store, [*clips, *HELDOUT])
    files = [path_of(split, 0) for split in parts]
    seal(store, a_seal(INGEST, parts=parts, inputs={}), files)
    _evaluate(store, "base/evaluate", {"h0": True})
    generated = [attempt for attempt in attempts() if attempt.clip_id in {clip.clip_id for clip in clips}]
    _generate(store, clips, generated)
    _select(store, clips, [attempt for attempt in generated if attempt.clip_id not in dropped])
    unused = [Unused(example_id="c1/0/rationalized", reason="truncated", detail="the file ends early; fetch it again")]
    store.write_table(unused_of("cycle-000/train"), pa.Table.from_pylist([row.to_row() for row in unused], schema=UNUSED))
    store.write("cycle-000/train/model/adapter_model.safetensors", b"weights")
    seal(store, a_seal("cycle-000/train", losses=[2.0, 1.0]), [unused_of("cycle-000/train")])
    _evaluate(store, "cycle-000/evaluate", right or {"h0": True, "h1": True, "h2": True})
    return store


def seal(store: Store, value: Seal, files: list[str]) -> None:
    write_seal(store, replace(value, files=store.describe(files)))


def _pieces(store: Store, step: str, split: str, clips: Sequence[Clip], answered: Sequence[Attempt]) -> None:
    names = []
    for piece, _ in cut(path_of(split, 0), clips, 4):
        ids = {clip.clip_id for clip in clips[piece.start : piece.start + piece.count]}
        names.append(f"{pieces_of(step)}/{piece.file_name}")
        rows = [attempt.to_row() | {"piece_id": piece.piece_id} for attempt in answered if attempt.clip_id in ids]
        store.write_table(names[-1], pa.Table.from_pylist(rows, schema=ATTEMPTS))
    records = [asdict(record) for record in store.describe(names)]
    store.write_table(f"{step}/{INDEX}", pa.Table.from_pylist(records, schema=FILES))


def _evaluate(store: Store, step: str, right: Mapping[str, bool]) -> None:
    wrong = {"outcome": "rejected", "reason": "label_missing", "text": "It moves."}
    answered = [an_attempt(clip.clip_id, **({} if right.get(clip.clip_id) else wrong)) for clip in HELDOUT]
    _pieces(store, step, "heldout", HELDOUT, answered)
    accuracy = sum(right.values()) / len(HELDOUT)
    counts = {"clips": 4, "direct_kept": sum(right.values()), "rationalized_kept": 0, "dropped": {}, "failed": {}}
    facts = {"accuracy": accuracy, "metrics": {"accuracy": accuracy}, "videos": 4, "model": {"digest": "e1", "base": "tiny"}}
    seal(store, a_seal(step, **facts, **counts), [f"{step}/{INDEX}"])


def _generate(store: Store, clips: Sequence[Clip], generated: Sequence[Attempt]) -> None:
    step, groundings = name_of(0, "generate"), Groundings(0)
    groundings.add(clips, generated)
    _pieces(store, step, "train", clips, generated)
    counts = {
        "clips": len(clips),
        "direct_kept": 6,
        "rationalized_kept": 1,
        "dropped": {"label_missing": 1},
        "failed": {"missing": 1},
    }
    model = {"digest": "m", "base": "tiny", "revision": "", "engine": "builtin"}
    seal(store, a_seal(step, **counts, grounding=groundings.facts(), model=model), [f"{step}/{INDEX}"])


def _select(store: Store, clips: Sequence[Clip], chosen: Sequence[Attempt]) -> None:
    step = name_of(0, "select")
    names = tuple(Answer.__dataclass_fields__)
    answers = [Answer(**{name: getattr(attempt, name) for name in names}) for attempt in chosen]
    examples = select(clips, answers, frozenset({"direct", "rationalized"}), STRICT)
    too_long = Unused(example_id="c8/0/direct", reason="too_long", detail="it takes 9000 tokens; shorten it")
    examples = [example for example in examples if example.clip_id != "c8"]
    copies = [NearCopy(clip_id="c5", copy_of="h1", where="heldout"), NearCopy(clip_id="c0", copy_of="c1", where="train")]
    store.write_table(f"{step}/examples.parquet", to_table(examples))
    store.write_table(f"{step}/near_copies.parquet", pa.Table.from_pylist([copy.to_row() for copy in copies], schema=NEAR_COPIES))
    store.write_table(unused_of(step), pa.Table.from_pylist([too_long.to_row()], schema=UNUSED))
    counts = {"examples": len(examples), "direct": 2, "rationalized": 1, "over_limit": 1, "unused": 1}
    facts = {"examples": len(examples), "episodes": 0, "direct_only": False, "clips": len(clips)}
    files = [f"{step}/{name}" for name in ("examples.parquet", "near_copies.parquet", "unused.parquet")]
    seal(store, replace(a_seal(step, **facts), counts=counts), files)


def review(store: Store, clip: Clip, text: str, word: str) -> None:
    """A person's word, as `starloop audit --overrides` takes it."""
    add(store, [Review(answer=answer_id(clip, text), clip_id=clip.clip_id, people=word, note="it sinks")], "audit.csv")


def select_with_reviews(store: Store, reviews: Sequence[Review]) -> None:
    """As if the select step of cycle 0 had been given these words."""
    path = "cycle-000/select/reviews.json"
    store.write(path, to_json([asdict(row) for row in reviews]))
    sealed = store.read("cycle-000/select/seal.json")
    assert sealed is not None
    value = Seal.from_json(sealed)
    store.write("cycle-000/select/seal.json", replace(value, files=[*value.files, *store.describe([path])]).to_json())
