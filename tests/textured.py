"""Rendered clips with pictures as varied as filmed ones: a random texture under a moving camera, and textured things that move.

A texture's amplitude falls with its frequency, as in photographs. Clips of one family show the same place from one spot, as a
fixed camera does: their backgrounds are the same, and what moves is not.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worlds.shapes import SIZES_PX

Frames = NDArray[np.uint8]
FIELD_PX = 192
FAMILY = 5
"""Of so many consecutive clips the first two show the same place."""


@dataclass(frozen=True, slots=True)
class Thing:
    """An ellipse that moves along a line and sways: positions and radii are shares of the picture's shorter side."""

    start: NDArray[np.float64]
    way: NDArray[np.float64]
    sway: NDArray[np.float64]
    swings: float
    radii: NDArray[np.float64]
    texture: NDArray[np.float32]

    def at(self, moment: float) -> NDArray[np.float64]:
        return self.start + self.way * moment + self.sway * np.sin(2 * np.pi * self.swings * moment)


@dataclass(frozen=True, slots=True)
class Textured:
    """A clip, of which `frame(moment)` is the picture at a share 0..1 of its length."""

    width_px: int
    height_px: int
    fps: int
    seconds: float
    place: NDArray[np.float32]
    start: NDArray[np.float64]
    way: NDArray[np.float64]
    things: tuple[Thing, ...]
    grain: float
    seed: int

    @property
    def num_frames(self) -> int:
        return max(2, round(self.seconds * self.fps))

    def frame(self, moment: float) -> Frames:
        """uint8[H,W,3]."""
        top, left = (self.start + self.way * moment).astype(int)
        picture = self.place[top : top + self.height_px, left : left + self.width_px].copy()
        side = min(self.height_px, self.width_px)
        rows, columns = np.mgrid[0 : self.height_px, 0 : self.width_px] / side
        for thing in self.things:
            y, x = thing.at(moment)
            inside = ((rows - y) / thing.radii[0]) ** 2 + ((columns - x) / thing.radii[1]) ** 2 < 1
            shift = (int(y * side), int(x * side))
            picture[inside] = np.roll(thing.texture, shift, (0, 1))[: self.height_px, : self.width_px][inside]
        draw = np.random.default_rng([self.seed, int(moment * 1_000_000)])
        picture += draw.normal(0, self.grain, picture.shape[:2])[..., None]
        return np.clip(picture, 0, 255).astype(np.uint8)


def family_of(index: int) -> int:
    """The first of the clips that show the same place."""
    return index - (index % FAMILY == 1)


def textured(seed: int, index: int) -> Textured:
    """The index-th clip of a world."""
    of_place = np.random.default_rng([seed, family_of(index), 0])
    own = np.random.default_rng([seed, index, 1])
    width_px, height_px = SIZES_PX[int(of_place.integers(len(SIZES_PX)))]
    room = np.array([FIELD_PX - height_px, FIELD_PX - width_px], float)
    place, start = field(of_place), of_place.uniform(0.2, 0.8, 2) * room
    is_fixed = index % FAMILY < 2 or own.uniform() < 0.3
    way = np.zeros(2) if is_fixed else np.clip(start + own.uniform(-0.6, 0.6, 2) * room, 0, room) - start
    return Textured(
        width_px=width_px,
        height_px=height_px,
        fps=int(own.choice([8, 10, 12, 15, 24])),
        seconds=float(own.uniform(1.5, 3.0)),
        place=place,
        start=start,
        way=way,
        things=tuple(thing(own) for _ in range(int(own.integers(1, 4)))),
        grain=float(own.uniform(1, 6)),
        seed=int(own.integers(2**31)),
    )


def thing(draw: np.random.Generator) -> Thing:
    return Thing(
        start=draw.uniform(0.1, 0.9, 2),
        way=draw.uniform(-0.5, 0.5, 2),
        sway=draw.uniform(0, 0.15, 2),
        swings=float(draw.uniform(0, 2)),
        radii=draw.uniform(0.06, 0.22, 2),
        texture=field(draw),
    )


def field(draw: np.random.Generator) -> NDArray[np.float32]:
    """float32[FIELD_PX, FIELD_PX, 3]: a picture that repeats itself, of which twice the frequency has about half the amplitude."""
    frequencies = np.fft.fftfreq(FIELD_PX)[:, None], np.fft.rfftfreq(FIELD_PX)[None]
    radius = np.hypot(*frequencies) * FIELD_PX
    radius[0, 0] = np.inf
    slope = draw.uniform(1.0, 1.5)
    waves = draw.normal(size=(2, 3, *radius.shape))
    layers = np.fft.irfft2((waves[0] + 1j * waves[1]) / radius**slope, (FIELD_PX, FIELD_PX))
    mix = np.eye(3) * draw.uniform(0.2, 0.5) + np.ones((3, 3)) / 3  # colours differ less than brightness does
    layers = np.tensordot(mix, layers, 1)
    layers *= draw.uniform(25, 60) / layers.std()
    return np.asarray((layers + draw.uniform(70, 180, (3, 1, 1))).transpose(1, 2, 0), np.float32)
