"""Pins train.augment: which part of a picture is drawn, that all frames of a clip show it, and that generation never does."""

from pathlib import Path
from typing import Literal

import av
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from builders import LIMITS, a_clip
from engine.config import Train
from engine.decode.crop import Crop, drawn_crop
from engine.decode.decoder import ChildDecoder, ClipRead
from engine.decode.request import Backend
from engine.presets import load_config
from engine.rows import EXAMPLES, Example
from engine.run.checks import refuse_contradictions
from engine.run.rehearsal import Case
from engine.store.files import Store
from engine.store.filesystems import Storage
from engine.train.processes import run_ranks
from models.base import Device, Evenly, FinetuneSpec, FrameSpec, ModelSpec, Square, Stretch, Turn, Video
from models.native import trainee as native
from models.registry import frame_spec, load, trainee
from ranks import train_on_files
from videos import turn

WIDTH, HEIGHT, SIDE = 192, 128, 64
PLAIN = FrameSpec(choose=Evenly(4), size=Square(SIDE))
DRAWN = FrameSpec(choose=Evenly(4), size=Square(SIDE), augment=True)
CPU = Device("cpu", "float32")


def write_gradient(path: Path, axis: Literal["across", "down"]) -> Path:
    """Ten equal grey frames, whose brightness is the share of the way across or down, of 220, above 16."""
    ramp = np.linspace(0, 1, WIDTH if axis == "across" else HEIGHT)
    grey = np.broadcast_to(ramp[None, :] if axis == "across" else ramp[:, None], (HEIGHT, WIDTH))
    frame = np.repeat((16 + 220 * grey).astype(np.uint8)[..., None], 3, axis=2)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"qp": "1", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def watched(path: Path, spec: FrameSpec, seed: int | None, backend: Backend = "pyav") -> NDArray[np.uint8]:
    with ChildDecoder(Storage(), LIMITS, backend) as decoder:
        result = decoder.decode(a_clip(video=str(path)), spec, seed)
    assert isinstance(result, ClipRead), result
    return result.video.frames


def share_of(frame: NDArray[np.uint8], axis: int) -> tuple[float, float]:
    """The shares of the picture's way at which the first and the last pixel of a frame lie, by their brightness."""
    line = (frame.mean(axis=(1 - axis, 2)) - 16) / 220
    return float(line[0]), float(line[-1])


def test_parts_are_as_published() -> None:
    """Half to all of the picture, aspects from 3:4 to 4:3, anywhere, mirrored in half of the cases."""
    crops = [drawn_crop(640, 360, seed) for seed in range(2000)]
    areas = np.array([crop.width * crop.height / (640 * 360) for crop in crops])
    aspects = np.array([crop.width / crop.height for crop in crops])
    assert all(0 <= c.left <= 640 - c.width and 0 <= c.top <= 360 - c.height for c in crops)
    assert 0.49 < areas.min() < 0.52
    assert 0.72 < areas.max() <= 0.76  # a part with 4:3 covers three quarters of 16:9 at most
    assert aspects.min() > 0.74
    assert 1.28 < aspects.max() < 1.35
    assert 0.45 < np.mean([crop.is_mirrored for crop in crops]) < 0.55
    lefts = np.array([crop.left / (640 - crop.width) for crop in crops])
    assert 0.45 < lefts.mean() < 0.55
    assert lefts.std() > 0.25
    whole = np.array([crop.width * crop.height / 10_000 for crop in (drawn_crop(100, 100, seed) for seed in range(2000))])
    assert 0.95 < whole.max() <= 1.0


@pytest.mark.parametrize("backend", ["pyav", "decord"])
def test_all_frames_show_the_part_that_the_seed_draws(tmp_path: Path, backend: Backend) -> None:
    across, down = (write_gradient(tmp_path / f"{axis}.mp4", axis) for axis in ("across", "down"))  # type: ignore[arg-type]
    kinds = set()
    for seed in range(6):
        crop = drawn_crop(WIDTH, HEIGHT, seed)
        frames, others = watched(across, DRAWN, seed, backend), watched(down, DRAWN, seed, backend)
        assert frames.shape == (4, SIDE, SIDE, 3)
        assert (np.abs(frames.astype(int) - frames[:1]) <= 2).all(), "the same part in all frames"
        left, right = crop.left / WIDTH, (crop.left + crop.width) / WIDTH
        expected = (right, left) if crop.is_mirrored else (left, right)
        assert share_of(frames[0], 1) == pytest.approx(expected, abs=0.03)
        assert share_of(others[0], 0) == pytest.approx((crop.top / HEIGHT, (crop.top + crop.height) / HEIGHT), abs=0.03)
        kinds.add(crop.is_mirrored)
    assert kinds == {False, True}


def test_the_same_seed_shows_the_same_and_without_one_the_middle_is_watched(tmp_path: Path) -> None:
    path = write_gradient(tmp_path / "a.mp4", "across")
    assert np.array_equal(watched(path, DRAWN, 1), watched(path, DRAWN, 1))
    assert not np.array_equal(watched(path, DRAWN, 1), watched(path, DRAWN, 2))
    assert np.array_equal(watched(path, DRAWN, None), watched(path, PLAIN, None))
    assert not np.array_equal(watched(path, DRAWN, 1), watched(path, PLAIN, 1))


def test_a_turned_file_gives_a_part_as_it_is_shown(tmp_path: Path) -> None:
    """What goes across in the stored frame goes down in the shown one; mirroring is of the shown one."""
    turned = turn(write_gradient(tmp_path / "a.mp4", "across").read_bytes(), tmp_path / "turned.mp4")
    stretched = FrameSpec(choose=Evenly(4), size=Stretch(height_px=48, width_px=32), augment=True)
    crop = drawn_crop(WIDTH, HEIGHT, 3)
    frames = watched(turned, stretched, 3)
    assert frames.shape == (4, 48, 32, 3)
    assert share_of(frames[0], 0) == pytest.approx((crop.left / WIDTH, (crop.left + crop.width) / WIDTH), abs=0.03)


def test_a_part_of_a_long_picture_is_its_middle() -> None:
    assert drawn_crop(1000, 90, 5) == Crop(left=440, top=0, width=120, height=90, is_mirrored=drawn_crop(9, 9, 5).is_mirrored)


def test_a_trainee_watches_parts_with_imagenet_s_means_and_nobody_else_does() -> None:
    def student(augment: Literal["none", "published"]) -> tuple[FrameSpec, list[float]]:
        own = trainee(ModelSpec(base="tiny"), FinetuneSpec(rank=2, alpha=2.0, dropout=0.0, augment=augment), 0, CPU)
        white = Video(np.full((8, 48, 48, 3), 255, np.uint8), tuple(map(float, range(8))))
        pixels = own.batch([white], [[Turn(0, "What?", "It.")]])["pixel_values_videos"]
        return own.frames, [round(float(pixels[0, 0, channel].mean()), 3) for channel in range(3)]

    published, plain = student("published"), student("none")
    assert published[0].augment
    assert not plain[0].augment
    assert published[1] == [2.249, 2.429, 2.64]  # (1 - mean) / deviation
    assert plain[1] != published[1]
    assert not frame_spec(ModelSpec(base="tiny")).augment
    assert not load(ModelSpec(base="tiny"), CPU).frames.augment


def test_a_finetune_draws_parts_by_seed_step_and_example(tmp_path: Path) -> None:
    """Twice the same losses, and others than without."""
    rows = [
        Example(example_id=f"e{n}", clip_id=f"e{n}", video=str(write_gradient(tmp_path / f"{n}.mp4", "across")), start_s=None,
                end_s=None, prompt="What?", answer="It rises.", source="instruct").to_row() for n in range(2)
    ]  # fmt: skip

    def a_case(name: str, augment: str) -> Case:
        store = Store(str(tmp_path / name))
        store.write_table("examples.parquet", pa.Table.from_pylist(rows, schema=EXAMPLES))
        train = Train.model_validate({"batch_rows": 2, "micro_batch_rows": 1, "lora_dropout": 0.0, "lora_rank": 4, "epochs": 2.0,
                                      "lr": 1e-3, "augment": augment})  # fmt: skip
        return Case(name=name, model=ModelSpec(base="tiny"), train=train, store=store)

    cases = [a_case(name, augment) for name, augment in (("a", "published"), ("b", "published"), ("c", "none"))]
    first, again, plain = run_ranks(1, CPU, train_on_files, cases, timeout_s=200)
    assert first.losses == again.losses != plain.losses


def test_moments_in_the_middle_are_refused() -> None:
    with pytest.raises(ValueError, match=r'^--set: .train. augment = "published" draws .* leave moments = "middle" out$'):
        load_config(None, ["train.augment=published", "train.moments=middle"])
    with pytest.raises(ValueError, match=r"episodes are never augmented; leave train.augment or mixture.episodes out$"):
        refuse_contradictions(load_config(None, ["train.augment=published", "mixture.episodes=1"]))
    assert load_config(None, []).train.augment == "none"
    assert {load_config(None, [f"preset={preset}"]).train.augment for preset in ("paper", "code")} == {"none"}


def test_a_model_whose_frames_have_sizes_of_their_own_is_refused() -> None:
    finetune = FinetuneSpec(rank=2, alpha=2.0, dropout=0.0, augment="published")
    with pytest.raises(ValueError, match=r"^Qwen/Qwen3-VL: train.augment = 'published' is for PLLaVA and LLaVA, .*; leave it out$"):
        native.check(ModelSpec(base="Qwen/Qwen3-VL"), finetune)
