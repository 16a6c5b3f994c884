"""The random part of a picture that a finetune with train.augment = "published" watches: pure.

PLLaVA's training transform for 7B and 13B (dataset/__init__.py): torchvision's RandomResizedCrop with its usual aspects, then
RandomHorizontalFlip. All frames of a clip show the same part.
"""

import math
import random
from dataclasses import dataclass

AREAS = (0.5, 1.0)
"""Share of the picture that a part covers, from the least to the most."""
ASPECTS = (3 / 4, 4 / 3)
TRIES = 10
"""Then the largest part in the middle is taken: a picture may be much longer than wide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """Crop(left=10, top=0, width=80, height=90, is_mirrored=False): in pixels."""

    left: int
    top: int
    width: int
    height: int
    is_mirrored: bool
    """Left and right change places, after the part is cut out."""


def drawn_crop(width: int, height: int, seed: int) -> Crop:
    """The part of a picture of that width and height that follows from the seed.

    >>> drawn_crop(160, 120, 1) == drawn_crop(160, 120, 1) != drawn_crop(160, 120, 2)
    True
    >>> drawn_crop(1000, 10, 1).width, drawn_crop(10, 1000, 1).height
    (13, 13)
    """
    rng = random.Random(f"{seed}/crop")
    is_mirrored = rng.random() < 0.5
    for _ in range(TRIES):
        area = width * height * rng.uniform(*AREAS)
        aspect = math.exp(rng.uniform(*map(math.log, ASPECTS)))
        own_width, own_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < own_width <= width and 0 < own_height <= height:
            left, top = rng.randint(0, width - own_width), rng.randint(0, height - own_height)
            return Crop(left=left, top=top, width=own_width, height=own_height, is_mirrored=is_mirrored)
    own_width = max(1, min(width, round(height * ASPECTS[1])))
    own_height = max(1, min(height, round(width / ASPECTS[0])))
    left, top = (width - own_width) // 2, (height - own_height) // 2
    return Crop(left=left, top=top, width=own_width, height=own_height, is_mirrored=is_mirrored)
