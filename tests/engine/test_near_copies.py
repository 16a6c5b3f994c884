"""Pins which train clips are left out because they show what a held-out clip, a benchmark or another train clip shows."""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from builders import LIMITS, a_clip, a_seal, an_attempt
from engine.decode.decoder import ChildDecoder, ClipRead
from engine.decode.signature import LUMA, MOMENTS, coefficients, signature
from engine.ingest.clips import path_of, write_parts
from engine.ingest.pieces import cut
from engine.presets import load_config
from engine.rows import ATTEMPTS, Clip, Window
from engine.run.plan import BASE, INGEST, Step
from engine.run.seals import write_seal
from engine.run.work import INDEX, Work, pieces_of
from engine.select.alignment import are_copies
from engine.select.near_copies import FEW, Looks, near_copies
from engine.select.signed import videos_in
from engine.select.step import select_examples
from engine.store.files import FILES, Store
from engine.store.filesystems import Storage
from models.base import ModelSpec
from models.registry import frame_spec
from textured import FAMILY, textured
from web_server import WebServer
from worlds.shapes import render, scene, write_video

GENERATE = "cycle-000/generate"
ACCOUNTS = {"clips": 3, "direct_kept": 3, "rationalized_kept": 0, "dropped": {}, "failed": {}}
Frames = NDArray[np.uint8]


@cache
def frames_of(index: int, count: int = 12, seed: int = 3) -> Frames:
    shown = scene(seed, index)
    return np.stack([render(shown, (at + 0.5) / count) for at in range(count)])


def noisy(frames: Frames) -> Frames:
    """As after a coarse encoder: blocks of 2 x 2 with rounded colours."""
    draw = np.random.default_rng(0)
    blocks = frames[:, ::2, ::2].repeat(2, 1).repeat(2, 2)[:, : frames.shape[1], : frames.shape[2]].astype(int)
    return np.clip(blocks // 8 * 8 + 4 + draw.integers(-6, 7, blocks.shape), 0, 255).astype(np.uint8)


def cropped(frames: Frames) -> Frames:
    height, width = frames.shape[1:3]
    return frames[:, height // 12 : -height // 16, width // 20 : -width // 8]


COPIES = {
    "encoded again": noisy,
    "mirrored": lambda frames: frames[:, :, ::-1],
    "cropped": cropped,
    "cropped and mirrored": lambda frames: cropped(frames)[:, :, ::-1],
    "smaller": lambda frames: frames[:, ::2, ::2],
}


@cache
def filmed(index: int, count: int = 16, seed: int = 5) -> Frames:
    clip = textured(seed, index)
    return np.stack([clip.frame((at + 0.5) / count) for at in range(count)])


def compared(first: list[str], second: list[str]) -> list[tuple[int, int]]:
    with Looks(first) as looks, Looks(second) as others:
        return near_copies(looks, others)


def compared_within(signatures: list[str]) -> list[tuple[int, int]]:
    with Looks(signatures) as looks:
        return near_copies(looks, looks)


@pytest.mark.parametrize("change", COPIES)
@pytest.mark.parametrize("world", [frames_of, filmed])
def test_copies_are_found_and_other_clips_of_the_same_kind_are_not(world: Callable[[int], Frames], change: str) -> None:
    originals = [signature(world(index)) for index in range(40)]
    copies = [signature(COPIES[change](world(index))) for index in range(0, 40, 4)]
    pairs = compared(copies, originals)
    assert pairs == [(number, 4 * number) for number in range(10)]
    assert compared(originals, copies) == [(b, a) for a, b in pairs], "whichever of the two is cropped"
    assert compared_within(originals) == []


def test_a_copy_of_another_speed_has_nearly_the_same_moments() -> None:
    for world in (frames_of, filmed):
        first, fast, slow = (signature(world(4, count)) for count in (24, 13, 45))
        assert compared([fast, slow], [first]) == [(0, 0), (1, 0)]


def test_what_one_fixed_camera_films_is_no_copy_of_itself() -> None:
    pairs = [(index, index + 1) for index in range(0, 40, FAMILY)]
    first, other = ([signature(filmed(pair[side])) for pair in pairs] for side in (0, 1))
    assert compared(first, other) == []
    still, moved = filmed(0)[:1].repeat(8, 0), filmed(0)
    assert compared([signature(still)], [signature(moved)]) == [], "nor is a still picture of it"
    assert compared([signature(still)], [signature(noisy(still))]) == [(0, 0)]


def test_a_picture_with_a_shifted_square_crop_is_a_copy() -> None:
    """Models that watch the middle square see another one after a crop of one side, with a part that the original does not show."""
    frames = filmed(12)
    square = min(frames.shape[1:3]) - 16
    assert compared([signature(frames[:, 4 : square + 4, :square])], [signature(frames[:, 8 : square + 8, 8 : square + 8])]) == [
        (0, 0)
    ]


def test_dark_and_empty_clips_are_no_copies_of_each_other() -> None:
    draw = np.random.default_rng(1)
    dark = [signature(draw.integers(0, 3, (4, 64, 64, 3)).astype(np.uint8)) for _ in range(4)]
    grey = [signature(np.full((4, 64, 64, 3), value, np.uint8)) for value in (90, 90, 200)]
    assert compared_within([*dark, *grey]) == []
    assert compared([], dark) == compared(dark, []) == []


def test_among_many_clips_the_graph_finds_what_all_pairs_would() -> None:
    draw = np.random.default_rng(2)
    pictures = draw.integers(0, 256, (FEW + 200, 2, 12, 12, 3)).astype(np.uint8).repeat(2, 2).repeat(2, 3)
    signatures = [signature(frames) for frames in pictures]
    copies = [signature(frames[:, :, ::-1]) for frames in pictures[::20]]
    assert compared(copies, signatures) == [(number, 20 * number) for number in range(len(copies))]


def test_pairs_of_which_none_is_alike_are_none() -> None:
    first, second = (coefficients([signature(filmed(index)) for index in own]) for own in ((1, 2), (7, 8)))
    assert are_copies(first, second, np.tile([0.5, 1.0, 0.5, 1.0], (2, 1))).tolist() == [False, False]


def test_a_signature_of_another_version_is_none() -> None:
    with Looks() as looks:
        assert [looks.add(text) for text in ("", "eJz1", signature(frames_of(1)))] == [False, False, True]
        assert len(looks) == 1


def test_the_coefficients_are_grey_levels() -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 64, dtype=np.uint8)[:, None, None], (3, 64, 48, 3))
    values = coefficients([signature(ramp)])
    assert values.luma.shape == (1, MOMENTS, LUMA, LUMA)
    assert values.luma[0, 0, 0, 0] == pytest.approx(127, abs=1)
    assert values.luma[0, 0, 1, 0] < -70, "brighter below"
    assert abs(values.luma[0, 1:]).max() <= 1 / 8, "at all times"
    assert abs(values.chroma).max() <= 1 / 8, "without a colour"
    mirrored = values.mirrored(np.array([True])).luma
    assert np.array_equal(mirrored, coefficients([signature(ramp[:, :, ::-1])]).luma)


def own_signature(frames: Frames) -> str:
    return signature(frames) if len(frames) else "an older version's"


def watched(video: Path) -> Frames:
    """The frames of a whole video that the tiny model watches."""
    window = Window(video=str(video), start_s=None, end_s=None, etag="")
    with ChildDecoder(Storage(), LIMITS, "pyav") as decoder:
        result = decoder.decode(window, frame_spec(ModelSpec(base="tiny")))
    assert isinstance(result, ClipRead)
    return result.video.frames


def write_pieces(
    store: Store,
    step: str,
    path: str,
    clips: list[Clip],
    frames: dict[str, Frames],
    facts: dict[str, Any],
    rejected: frozenset[str] = frozenset(),
) -> None:
    names = []
    for piece, _ in cut(path, clips, 2):
        own = clips[piece.start : piece.start + piece.count]
        rows = [
            an_attempt(
                clip.clip_id,
                text=f"{clip.clip_id} {number}: it is {clip.label.text}",
                signature=own_signature(frames[clip.clip_id]),
                outcome="rejected" if clip.clip_id in rejected else "kept",
            )
            for number, clip in enumerate(own)
        ]
        names.append(f"{pieces_of(step)}/{piece.file_name}")
        store.write_table(names[-1], pa.Table.from_pylist([row.to_row() for row in rows], schema=ATTEMPTS))
    index = [asdict(record) for record in store.describe(names)]
    store.write_table(f"{step}/{INDEX}", pa.Table.from_pylist(index, schema=FILES))
    write_seal(store, replace(a_seal(step, **facts), files=store.describe([f"{step}/{INDEX}"])))


def selected(
    folder: Path, clips: dict[str, tuple[Clip, Frames]], *settings: str, rejected: frozenset[str] = frozenset()
) -> tuple[list[str], dict[str, int], list[dict[str, Any]]]:
    """The clips that are trained on, the counts, and the table of near-copies."""
    store = Store(str(folder))
    train, heldout = ([clip for clip, _ in clips.values() if clip.split == split] for split in ("train", "heldout"))
    parts = write_parts(store, [clip for clip, _ in clips.values()], ("train", "heldout", "test"))
    paths = [path_of(split, number) for split, sizes in parts.items() for number in range(len(sizes))]
    write_seal(store, replace(a_seal(INGEST, parts=parts), files=store.describe(paths)))
    frames = {clip.clip_id: own for clip, own in clips.values()}
    write_pieces(store, GENERATE, path_of("train", 0), train, frames, ACCOUNTS, rejected)
    if heldout and all(len(frames[clip.clip_id]) for clip in heldout):
        write_pieces(store, BASE, path_of("heldout", 0), heldout, frames, {})
    config = load_config(None, ["model.allow_tiny=true", "select.near_copies=drop", *settings])
    store.write("config.json", config.model_dump_json().encode())
    step = Step(name="cycle-000/select", kind="select", cycle=0, inputs=(INGEST, GENERATE))
    counts = select_examples(Work(step=step, identity="x", config=config, store=store, report=lambda progress: None)).counts
    rows = store.read_table("cycle-000/select/examples.parquet").to_pylist()
    table = store.read_table("cycle-000/select/near_copies.parquet").to_pylist() if config.select.near_copies != "ignore" else []
    return [row["clip_id"] for row in rows], counts, table


def test_train_clips_that_show_a_held_out_clip_are_left_out(tmp_path: Path) -> None:
    clips = {
        "a": (a_clip("a", "x"), frames_of(0)),
        "b": (a_clip("b", "y"), cropped(frames_of(1))),
        "c": (a_clip("c", "y"), frames_of(2)),
        "h": (a_clip("h", "z", split="heldout"), frames_of(1)),
    }
    kept, counts, table = selected(tmp_path / "drop", clips)
    assert (kept, counts["near_copies.heldout"], counts["examples"]) == (["a", "c"], 1, 2)
    assert table == [{"clip_id": "b", "copy_of": "h", "where": "heldout"}]
    kept, counts, table = selected(tmp_path / "count", clips, "select.near_copies=count")
    assert (kept, counts["near_copies.heldout"], len(table)) == (["a", "b", "c"], 1, 1)
    kept, counts, _ = selected(tmp_path / "ignore", clips, "select.near_copies=ignore")
    assert (kept, "near_copies.heldout" in counts) == (["a", "b", "c"], False)


def test_of_train_clips_that_show_and_say_the_same_one_stays_where_the_key_says_so(tmp_path: Path) -> None:
    clips = {
        "a": (a_clip("a", "x"), frames_of(0)),
        "b": (a_clip("b", "x"), frames_of(0)[:, :, ::-1]),
        "same video": (a_clip("same video", "x", video="/videos/a.mp4"), frames_of(0)),
        "another label": (a_clip("another label", "y"), frames_of(0)),
        "another question": (a_clip("another question", "x", question="Where is it?"), frames_of(0)),
        "another video": (a_clip("another video", "x"), frames_of(5)),
    }
    kept, counts, table = selected(tmp_path / "drop", clips, "select.train_copies=drop")
    assert {"another label", "another question", "another video"} <= {*kept}
    assert len({"a", "b", "same video"} & {*kept}) == 1, "all of them hang together through b"
    dropped = [row for row in table if row["where"] == "train"]
    assert {row["clip_id"] for row in dropped} == {"a", "b", "same video"} - {*kept}
    assert {row["copy_of"] for row in dropped} == {"a", "b", "same video"} & {*kept}
    assert (counts["near_copies.train"], counts["near_copies.train/relabelled"]) == (2, 2)
    kept, counts, again = selected(tmp_path / "count", clips)
    assert ({*kept}, again) == ({*clips}, table), "only counted"


def test_the_train_clip_that_stays_is_one_with_a_kept_answer(tmp_path: Path) -> None:
    clips = {name: (a_clip(name, "x"), frames_of(0)) for name in "abc"} | {"d": (a_clip("d", "x"), frames_of(5))}
    for stays in "abc":
        rejected = frozenset({"a", "b", "c"} - {stays})
        kept, counts, table = selected(tmp_path / stays, clips, "select.train_copies=drop", rejected=rejected)
        assert (kept, counts["near_copies.train"]) == ([stays, "d"], 2)
        assert {(row["clip_id"], row["copy_of"]) for row in table} == {(name, stays) for name in rejected}


def test_videos_of_a_benchmarks_folder_are_looked_for(tmp_path: Path) -> None:
    benchmark = tmp_path / "bench"
    benchmark.mkdir()
    write_video(scene(3, 7), benchmark / "secret.mp4")
    write_video(scene(3, 8), benchmark / "other.mp4")
    clips = {"a": (a_clip("a", "x"), watched(benchmark / "secret.mp4")[:, :, ::-1]), "b": (a_clip("b", "y"), frames_of(2))}
    kept, counts, table = selected(tmp_path / "run", clips, f"select.benchmarks=['{benchmark}']")
    assert (kept, table) == (["b"], [{"clip_id": "a", "copy_of": "secret.mp4", "where": str(benchmark)}])
    assert counts[f"near_copies.{benchmark}"] == 1
    (benchmark / "secret.mp4").write_bytes(b"is not opened a second time")
    again, _, _ = selected(tmp_path / "run", clips, f"select.benchmarks=['{benchmark}']")
    assert again == kept


def test_clips_that_nobody_was_asked_about_are_decoded_once(tmp_path: Path) -> None:
    """The test split is asked at the end, an evaluation may not be done yet, and reused attempts may be without a signature."""
    for number, name in enumerate(["held", "secret", "old"]):
        write_video(scene(3, number), tmp_path / f"{name}.mp4")
    frames = [watched(tmp_path / f"{name}.mp4") for name in ("held", "secret", "old")]
    nothing = frames_of(0)[:0]
    clips = {
        "a": (a_clip("a", "x"), frames[0][:, :, ::-1]),
        "b": (a_clip("b", "y"), noisy(frames[1])),
        "c": (a_clip("c", "y"), frames_of(9)),
        "d": (a_clip("d", "y", video=str(tmp_path / "old.mp4")), nothing),
        "e": (a_clip("e", "y", video=str(tmp_path / "gone.mp4")), nothing),
        "h": (a_clip("h", "z", split="heldout", video=str(tmp_path / "held.mp4")), nothing),
        "t": (a_clip("t", "z", split="test", video=str(tmp_path / "secret.mp4")), nothing),
        "u": (a_clip("u", "z", split="test", video=str(tmp_path / "old.mp4")), nothing),
    }
    kept, counts, _ = selected(tmp_path / "run", clips, "data.test=0.1")
    assert (kept, counts["near_copies.heldout"], counts["near_copies.test"]) == (["c", "e"], 1, 2)
    for name in ("held", "secret", "old"):
        (tmp_path / f"{name}.mp4").unlink()
    assert selected(tmp_path / "run", clips, "data.test=0.1")[0] == ["c", "e"], "nothing is opened a second time"


def test_a_video_that_storage_does_not_give_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Else one cycle without the right to read would leave its copies in for ever."""
    for number, name in enumerate(["held", "other"]):
        write_video(scene(3, number), tmp_path / f"{name}.mp4")
    nothing = frames_of(0)[:0]
    with WebServer(tmp_path) as web:
        clips = {
            "a": (a_clip("a", "x"), watched(tmp_path / "held.mp4")[:, :, ::-1]),
            "b": (a_clip("b", "y"), frames_of(2)),
            "h": (a_clip("h", "z", split="heldout", video=web.url("dated/held.mp4")), nothing),
            "i": (a_clip("i", "z", split="heldout", video=web.url("dated/other.mp4")), nothing),
        }
        web.denied = {"held.mp4"}
        assert selected(tmp_path / "run", clips)[0] == ["a", "b"]
        assert [message.partition(" of these")[0] for message in caplog.messages] == ["cycle-000/select: storage did not give 1"]
        web.denied, requests = set(), web.requests["/dated/other.mp4"]
        assert selected(tmp_path / "run", clips)[0] == ["b"]
        assert web.requests["/dated/other.mp4"] == requests, "is not opened a second time"


def test_a_folder_without_videos_is_no_benchmark(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to watch")
    with pytest.raises(ValueError, match=r"select\.benchmarks: .* holds no videos; name a folder of videos"):
        videos_in(str(tmp_path), Storage())


def test_copies_are_dropped_unless_a_published_recipe_is_followed() -> None:
    sections = {name: load_config(None, [f"preset={name}"]).select for name in ("strict", "paper", "code")}
    assert {name: own.near_copies for name, own in sections.items()} == {"strict": "drop", "paper": "ignore", "code": "ignore"}
    assert {own.train_copies for own in sections.values()} == {"count"}
