"""In-context episodes of a manifest: the split, training episodes, frozen contexts to evaluate with, exports, properties."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import pyarrow as pa

from engine.config import Episodes, RunConfig, load_config
from engine.episodes import export
from engine.episodes.build import Maker, narrated, narration, narration_id, shot_of
from engine.episodes.properties import Properties, properties
from engine.episodes.splits import by_video, commonest
from engine.evaluate.few_shot.curve import to_line
from engine.evaluate.few_shot.step import CONTEXTS, SETTINGS
from engine.ingest.clips import to_table
from engine.ingest.manifest import read_manifest
from engine.rows import EPISODES, Clip, Episode
from engine.store.files import Store
from jobs.view import a_console, reasons


def episodes(manifest: str, out: str, settings: list[str]) -> None:
    config = load_config(None, [*settings, f"data.manifest={json.dumps(manifest)}"])
    console = a_console()
    for line in build(config, Store(out, config.access())):
        console.print(line)


@dataclass(frozen=True)
class Parts:
    """Which clips contexts are drawn from and are trained on, and which are asked about."""

    pool: list[Clip]
    sets: dict[str, list[Clip]]
    unused: dict[str, int]
    """Clips that are in neither, by reason."""


def build(config: RunConfig, store: Store) -> Iterator[str]:
    """Write the folder; yields what there is to say of it. Raises ValueError where the manifest cannot give episodes."""
    section, seed = config.episodes, config.run.seed
    parts = divide(list(read_manifest(config.data, config.access())), section, seed)
    for left in (SETTINGS, CONTEXTS, "eilev", "messages"):  # of a build before this one
        store.delete(left)
    shots = [shot_of(clip) for clip in parts.pool]
    trained = list(Maker(shots, section, seed).epoch(0))
    held = [replace(clip, split="heldout") for clips in parts.sets.values() for clip in clips]
    clips = [*(replace(clip, split="train") for clip in parts.pool), *held]
    store.write_table("clips.parquet", to_table(clips))
    store.write_table("train.parquet", to_table(clips[: len(parts.pool)]))
    store.write_table("episodes.parquet", pa.Table.from_pylist([one.to_row() for one in trained], schema=EPISODES))
    report = {"train": properties(parts.pool, trained, section.pattern)}
    named = export.frame_paths(clips)
    told = {narration_id(clip.clip_id): narration(clip, narrated(clip, section), section.question) for clip in parts.pool}
    store.write("eilev/narrated_actions.csv", export.eilev_csv(clips, named).encode())
    store.write("eilev/train.jsonl", "".join(export.eilev_jsonl(trained, named)).encode())
    store.write("messages/train.jsonl", "".join(export.messages_jsonl(trained, told, section.loss_on)).encode())
    # whatever is ablated in training, it is evaluated as ever
    evaluated = section.model_copy(update={"contexts": "bursty", "top_actions": None})
    maker, videos = Maker(shots, evaluated, seed), frozenset(clip.video for clip in parts.pool)
    clip_of = {narration_id(clip.clip_id): clip.clip_id for clip in clips}
    for name, queries in parts.sets.items():
        made: list[Episode] = []
        for number in section.eval_shots:
            frozen = [maker.frozen(shot_of(clip), number, name) for clip in queries]
            lines = (to_line(clip_of[one.query], [clip_of[shot] for shot in one.context]) for one in frozen)
            store.write(f"{CONTEXTS}/{name}-{number}-shot.jsonl", "".join(lines).encode())
            store.write(f"eilev/{name}-{number}-shot.jsonl", "".join(export.eilev_jsonl(frozen, named)).encode())
            made += frozen
        report[name] = properties([*parts.pool, *queries], made, section.pattern, videos)
    facts = {name: asdict(value) for name, value in report.items()} | {"unused": parts.unused}
    store.write("properties.json", (json.dumps(facts, indent=1, ensure_ascii=False) + "\n").encode())
    how = {"manifest": config.data.manifest, "seed": seed, "episodes": section.model_dump(mode="json")}
    store.write(SETTINGS, json.dumps(how, indent=1).encode())
    for name, value in report.items():
        yield from _said(name, value)
    if parts.unused:
        yield f"clips that are in no set: {reasons(parts.unused)}"
    yield f"wrote {store.url()}: train.parquet to train on, contexts to evaluate with, properties.json, eilev, messages"


def divide(clips: list[Clip], section: Episodes, seed: int) -> Parts:
    """The pool and the sets, as episodes.split says. Raises ValueError where one of them is empty."""
    unused = Counter[str]()
    named = [clip for clip in clips if clip.description and narrated(clip, section)]
    unused.update(not_narrated=len(clips) - len(named))
    match section.split:
        case "manifest":
            group = {clip.clip_id: str(clip.split) for clip in named}
        case "video":
            of_video = by_video(Counter(clip.video for clip in named), seed)
            group = {clip.clip_id: of_video[clip.video] for clip in named}
        case "action":
            unused.update(no_verb_or_noun=sum(not (clip.verb and clip.noun) for clip in named))
            named = [clip for clip in named if clip.verb and clip.noun]
            common = commonest(Counter((clip.verb, clip.noun) for clip in named), section.common_mass)
            frequent = [clip for clip in named if (clip.verb, clip.noun) in common]
            of_video = by_video(Counter(clip.video for clip in frequent), seed)
            group = {clip.clip_id: "rare" for clip in named}
            group |= {clip.clip_id: "common" if of_video[clip.video] == "test" else "train" for clip in frequent}
    pool = [clip for clip in named if group[clip.clip_id] == "train"]
    sets: dict[str, list[Clip]] = {}
    for clip in named:
        if group[clip.clip_id] != "train":
            sets.setdefault(group[clip.clip_id], []).append(clip)
    if not pool or not sets:
        raise ValueError(
            f"episodes.split = {section.split!r} leaves {len(pool)} of {len(clips)} clips to train on and "
            f"{sum(map(len, sets.values()))} to ask about{f' ({reasons(+unused)})' if +unused else ''}; fill in descriptions, "
            "verbs and nouns, and let the split be the manifest's own (or data.heldout), video or action"
        )
    for name, queries in sets.items():
        if section.eval_queries is not None and section.eval_queries < len(queries):
            unused.update({f"{name}_not_drawn": len(queries) - section.eval_queries})
            sets[name] = random.Random(f"{seed}/{name}").sample(queries, section.eval_queries)
    return Parts(pool, dict(sorted(sets.items())), dict(+unused))


def _said(name: str, found: Properties) -> Iterator[str]:
    burst, roles = found.burstiness, ", ".join(f"{count} {role}" for role, count in found.roles.items()) or "none"
    yield f"{name}: {found.episodes} episodes of {found.clips} clips; shots drawn for: {roles}; {found.short} episodes lack some"
    yield (
        f"  burstiness: {burst.verb:.3f} of the shots share the query's verb (chance {burst.verb_by_chance:.3f}), "
        f"{burst.noun:.3f} its noun (chance {burst.noun_by_chance:.3f})"
    )
    tails = ", ".join(
        f"{kind} {'none' if tail.exponent is None else f'{tail.exponent:.2f}'} ({tail.classes} classes, {tail.singles} of one clip)"
        for kind, tail in found.tails.items()
    )
    yield f"  tail exponents: {tails}"
    if found.told:
        told = ", ".join(f"{shots}: {one.ceiling:.2f} ({one.counting:.2f})" for shots, one in found.told.items())
        yield f"  ceiling by shots, both words are told (counting, they are the ones told most): {told}"
    if found.shots.keys() == {0} and found.short:
        yield "  every context is empty: is each narrator's clips of one video? see episodes.same_narrator and episodes.exclude"
    for kind, meaning in found.meanings.items():
        yield f"  {kind}s: {meaning.surfaces_per_class:.2f} words a class, {meaning.classes_per_surface:.2f} classes a word"
    if found.not_taken_apart:
        yield f"  {found.not_taken_apart} narrations are not built as episodes.pattern says, and count for neither"
    yield f"  leaks: {reasons(found.leaks)}"
