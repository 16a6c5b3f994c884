"""Conversations about rendered pictures and videos, and about nothing: files, and LLaVA's JSON about them."""

import json
from pathlib import Path
from typing import Any

import av
import numpy as np

from worlds import shapes

FORMATS = {"jpg": ("mjpeg", "yuvj420p"), "png": ("png", "rgb24"), "webp": ("libwebp", "bgra"), "gif": ("gif", "rgb8")}
"""Codec and pixels of still pictures, by the end of their names."""


def write_picture(path: Path, scene: shapes.Scene) -> None:
    """A still picture; as .mp4, a video of one frame."""
    codec, pixels = FORMATS.get(path.suffix[1:], ("libx264", "yuv420p"))
    with av.open(str(path), "w", format=None if path.suffix in (".mp4", ".gif") else "image2") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = scene.width_px, scene.height_px, pixels
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(shapes.render(scene, 0.5)), format="rgb24")))
        container.mux(stream.encode())


def talk(name: str, *values: str, **fields: str) -> dict[str, Any]:
    """LLaVA's form: human and gpt take turns."""
    turns = [{"from": ("human", "gpt")[number % 2], "value": value} for number, value in enumerate(values)]
    return {"id": name, "conversations": turns} | fields


def write_talks(folder: Path, pictures: int, videos: int, texts: int, suffixes: tuple[str, ...]) -> Path:
    """A JSON file of conversations beside what they are about; the pictures' names end in `suffixes`, in turn."""
    items = []
    for number in range(pictures):
        scene, name = shapes.scene(5, number), f"picture-{number}.{suffixes[number % len(suffixes)]}"
        write_picture(folder / name, scene)
        what, colour = ("<image>\nWhat is shown?", f"The {scene.noun}."), ("What colour is it?", f"It is {scene.colour}.")
        items.append(talk(f"picture-{number}", *what, *(colour if number % 2 else ()), image=name))
    scenes = [(shapes.scene(6, number), folder / f"video-{number}.mp4") for number in range(videos)]
    shapes.write_videos(folder, scenes)
    items += [
        talk(path.stem, "<video>\nWhat is the action in this video?", f"{scene.description}.", video=path.name)
        for scene, path in scenes
    ]
    items += [
        talk(f"text-{number}", "Say a number.", f"The number is {number}.", "Thanks!", "You are welcome.")
        for number in range(texts)
    ]
    (folder / "talks.json").write_text(json.dumps(items))
    return folder / "talks.json"
