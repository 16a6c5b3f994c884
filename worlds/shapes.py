"""A labelled world rendered to real h264 files: coloured shapes performing ten actions over noisy backgrounds.

A clip follows from (seed, index): its scene, pixels, question, label and true description. `KNOWN_NAMES` are the label names that
the shipped tiny base model was taught; it can describe the other actions, but cannot name them.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from engine.labels import Keywords
from engine.rows import Clip, Split

ACTIONS: dict[str, tuple[str, str]] = {
    "rising": ("rise", "starts at the bottom and ends at the top"),
    "sinking": ("sink", "starts at the top and ends at the bottom"),
    "growing": ("grow", "starts small and ends large"),
    "blinking": ("blink", "vanishes and comes back again and again"),
    "advancing": ("advance", "starts on the left and ends on the right"),
    "retreating": ("retreat", "starts on the right and ends on the left"),
    "dwindling": ("dwindle", "starts large and ends small"),
    "bobbing": ("bob", "goes up and down again and again"),
    "swaying": ("sway", "goes left and right again and again"),
    "orbiting": ("orbit", "goes round and round the middle"),
}
"""Label name -> (verb, description). No description contains any label name."""

KNOWN_NAMES = ("rising", "sinking", "growing", "blinking")
NOUNS = ("circle", "square", "triangle", "cross")
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (225, 45, 45),
    "green": (50, 200, 70),
    "blue": (60, 90, 235),
    "yellow": (235, 215, 50),
    "white": (245, 245, 245),
    "purple": (170, 60, 210),
}
QUESTIONS = (
    "What is the action in this video?",
    "Which action does the shape perform?",
    "What is happening in the video?",
    "Can you name the action?",
)
SIZES_PX = ((96, 96), (128, 96), (96, 128), (112, 112), (160, 120))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One moving shape. Positions are in units of the central square: (0, 0) is its top left, (1, 1) its bottom right.

    Scene(seed=7, name="rising", noun="circle", colour="red", radius=0.14, at=(0.4, 0.5), reach=0.3, phase=0.1, ...)
    """

    seed: int
    name: str
    """Label name, a key of ACTIONS."""
    noun: str
    colour: str
    radius: float
    """Of a shape that keeps its size; growing and dwindling shapes go from 0.07 to 0.29 or back."""
    at: tuple[float, float]
    """Centre of the motion (x, y)."""
    reach: float
    """Greatest distance of the motion from its centre."""
    phase: float
    """0..1: where in its period a periodic motion begins."""
    width_px: int
    height_px: int
    fps: int
    seconds: float
    noise: float
    """Standard deviation of the pixel noise; pixels are 0..255."""

    @property
    def description(self) -> str:
        return f"The {self.colour} {self.noun} {ACTIONS[self.name][1]}"


def scene(seed: int, index: int, name: str | None = None) -> Scene:
    """The index-th scene of a world. Actions alternate: any ten consecutive scenes have each action once."""
    rng = np.random.default_rng([seed, index])
    name = name or list(ACTIONS)[index % len(ACTIONS)]
    reach = float(rng.uniform(0.26, 0.34)) if name not in ("bobbing", "swaying") else float(rng.uniform(0.22, 0.30))
    radius = float(rng.uniform(0.11, 0.16))
    room = {"x": max(0.0, 0.5 - radius - reach), "y": max(0.0, 0.5 - radius)}
    along, across = rng.uniform(-1, 1) * room["x"], rng.uniform(-0.6, 0.6) * room["y"]
    if name in ("rising", "sinking", "bobbing"):
        at = (0.5 + across, 0.5 + along)
    elif name in ("advancing", "retreating", "swaying"):
        at = (0.5 + along, 0.5 + across)
    else:
        at = (0.5 + along, 0.5 + float(rng.uniform(-1, 1)) * room["x"])
    width_px, height_px = SIZES_PX[int(rng.integers(len(SIZES_PX)))]
    return Scene(
        seed=int(rng.integers(2**31)),
        name=name,
        noun=NOUNS[int(rng.integers(len(NOUNS)))],
        colour=list(COLOURS)[int(rng.integers(len(COLOURS)))],
        radius=radius,
        at=(float(at[0]), float(at[1])),
        reach=reach,
        phase=float(rng.uniform()),
        width_px=width_px,
        height_px=height_px,
        fps=int(rng.choice([8, 10, 12, 15, 24])),
        seconds=float(rng.uniform(1.5, 3.0)),
        noise=float(rng.uniform(4, 14)),
    )


def pose(scene: Scene, t: float) -> tuple[float, float, float]:
    """Position and size of the shape at t (0..1 of the clip): x, y, radius. Radius 0 means that it is not visible."""
    x, y, radius, reach = *scene.at, scene.radius, scene.reach
    swing = math.sin(2 * math.pi * (2 * t + scene.phase))
    match scene.name:
        case "rising":
            return x, y + reach * (1 - 2 * t), radius
        case "sinking":
            return x, y - reach * (1 - 2 * t), radius
        case "advancing":
            return x - reach * (1 - 2 * t), y, radius
        case "retreating":
            return x + reach * (1 - 2 * t), y, radius
        case "growing":
            return x, y, 0.07 + 0.22 * t
        case "dwindling":
            return x, y, 0.07 + 0.22 * (1 - t)
        case "bobbing":
            return x, y + reach * swing, radius
        case "swaying":
            return x + reach * swing, y, radius
        case "blinking":
            return x, y, radius if (2 * t + scene.phase) % 1 < 0.5 else 0.0
        case "orbiting":
            angle = 2 * math.pi * (1.25 * t + scene.phase)
            return x + 0.9 * reach * math.cos(angle), y + 0.9 * reach * math.sin(angle), radius
    raise ValueError(f"no such action: {scene.name!r}; use one of {', '.join(ACTIONS)}")


def render(scene: Scene, t: float) -> NDArray[np.uint8]:
    """One frame, uint8[H,W,3]: background gradient, the shape with soft edges, noise that depends on (scene, t) only."""
    height, width = scene.height_px, scene.width_px
    side = min(height, width)
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    xs, ys = (xs + 0.5 - (width - side) / 2) / side, (ys + 0.5 - (height - side) / 2) / side
    still = np.random.default_rng(scene.seed)
    low, high, tilt = still.uniform(25, 60), still.uniform(60, 105), still.uniform(0, 2 * math.pi)
    ramp = 0.5 + 0.5 * np.sin(2.0 * (xs * math.cos(tilt) + ys * math.sin(tilt)) + still.uniform(0, 6))
    frame = np.repeat((low + (high - low) * ramp)[..., None], 3, axis=2)
    x, y, radius = pose(scene, t)
    if radius > 0:
        soft = np.clip(0.5 - _distance(scene.noun, xs - x, ys - y, radius) * side, 0, 1)[..., None]
        frame = frame * (1 - soft) + np.array(COLOURS[scene.colour], np.float32) * soft
    noise = np.random.default_rng([scene.seed, int(t * 1_000_000)]).normal(0, scene.noise, (height, width, 1))
    return np.clip(frame + noise, 0, 255).astype(np.uint8)


def _distance(noun: str, dx: NDArray[np.floating], dy: NDArray[np.floating], radius: float) -> NDArray[np.floating]:
    """Signed distance to the shape's edge, negative inside, in units of the central square."""
    match noun:
        case "circle":
            return np.asarray(np.hypot(dx, dy) - radius)
        case "square":
            return np.asarray(np.maximum(abs(dx), abs(dy)) - 0.88 * radius)
        case "triangle":
            return np.asarray(np.maximum(0.87 * abs(dx) - 0.5 * dy, dy) - 0.6 * radius)
        case "cross":
            bar, arm = 0.36 * radius, 1.05 * radius
            cross: NDArray[np.floating] = np.minimum(
                np.maximum(abs(dx) - bar, abs(dy) - arm), np.maximum(abs(dx) - arm, abs(dy) - bar)
            )
            return cross
    raise ValueError(f"no such noun: {noun!r}; use one of {', '.join(NOUNS)}")


def write_video(scene: Scene, path: Path) -> None:
    """Encode the scene as an h264 .mp4 whose bytes depend on the scene and the FFmpeg build only.

    It uses a constant quantizer, because x264's lookahead (crf) wrote up to 9 different files of the same 20 frames in 20 tries.
    """
    num_frames = max(2, round(scene.seconds * scene.fps))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=scene.fps, options={"qp": "24", "preset": "veryfast", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = scene.width_px, scene.height_px, "yuv420p"
        for i in range(num_frames):
            frame = av.VideoFrame.from_ndarray(render(scene, (i + 0.5) / num_frames), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def clip(scene: Scene, video: str, split: Split) -> Clip:
    """The manifest row of a scene."""
    return Clip(
        clip_id=Path(video).stem,
        video=video,
        start_s=None,
        end_s=None,
        question=QUESTIONS[scene.seed % len(QUESTIONS)],
        label=Keywords(text=scene.name),
        split=split,
        verb=ACTIONS[scene.name][0],
        noun=scene.noun,
        description=scene.description,
        narrator="",
    )


def write_world(folder: Path, num_train: int, num_heldout: int, seed: int) -> list[Clip]:
    """Render a world under `folder`, on all cores; returns its clips, train first. Existing files are kept.

    Train and held-out scenes come from different indices, so no video is in both splits.
    """
    scenes, clips = [scene(seed, index) for index in range(num_train + num_heldout)], []
    for index, shown in enumerate(scenes):
        split: Split = "train" if index < num_train else "heldout"
        clips.append(clip(shown, str(folder / f"{split}-{index:05d}.mp4"), split))
    write_videos(folder, [(shown, Path(row.video)) for shown, row in zip(scenes, clips, strict=True)])
    return clips


def write_videos(folder: Path, videos: Sequence[tuple[Scene, Path]]) -> None:
    """Render scenes into files of a folder, on all cores. Existing files are kept; an unfinished one never has its final name."""
    folder.mkdir(parents=True, exist_ok=True)
    if missing := [(scene, path) for scene, path in videos if not path.exists()]:
        with ProcessPoolExecutor() as pool:
            list(pool.map(_write_file, missing, chunksize=8))


def _write_file(video: tuple[Scene, Path]) -> None:
    scene, path = video
    half_written = path.with_name(f".part-{path.name}")
    write_video(scene, half_written)
    half_written.rename(path)
