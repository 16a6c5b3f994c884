"""A narrated world: shapes whose actions have a long tail, told by narrators who each have words of their own.

What is narrated follows from the scene, and in which words from the narrator alone: the dax of one is a red circle, of another a
blue cross, of a third nothing. So whoever has not seen what a narrator says of other clips can only guess: dynamic meaning, as
EILEV (arXiv 2311.17041) calls it, in the extreme. Narrators, scenes and who tells of which follow from the seed.
"""

import itertools
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from engine.labels import Keywords
from engine.rows import Clip
from worlds import shapes

NOUN_WORDS = "dax wug toma blick fep zav mip gazz kiki bouba pim lorp nurf tiv bem hux jaf keb lirk mof nid plok rav sul".split()
VERB_WORDS = (
    "zups gorps meeks pilks drabs fims horks jits kloms lants mooks neps plings quops runks skeps vorts yabs zimps tolls".split()
)
QUESTION = "What happens?"
COLOURS = ("red", "green", "blue")
NOUNS = tuple(f"{colour} {shape}" for colour in COLOURS for shape in shapes.NOUNS)
VERBS = tuple(verb for verb, _ in shapes.ACTIONS.values())


@dataclass(frozen=True, slots=True)
class Narrator:
    """Narrator("narrator-03", {"rise": "zups", ...}, {"red circle": "dax", ...}): his words by class."""

    name: str
    verbs: dict[str, str]
    nouns: dict[str, str]

    def tells(self, verb: str, noun: str) -> str:
        return f"The {self.nouns[noun]} {self.verbs[verb]}."


def narrator(seed: int, number: int) -> Narrator:
    """No two of a narrator's words are the same; which of them is which class is drawn anew for each narrator.

    >>> narrator(0, 0).tells("rise", "red circle") == narrator(0, 0).tells("rise", "red circle")
    True
    """
    rng = random.Random(f"{seed}/narrator/{number}")
    verbs = dict(zip(VERBS, rng.sample(VERB_WORDS, len(VERBS)), strict=True))
    return Narrator(f"narrator-{number:02d}", verbs, dict(zip(NOUNS, rng.sample(NOUN_WORDS, len(NOUNS)), strict=True)))


def scenes(seed: int, num_videos: int) -> list[shapes.Scene]:
    """Scenes whose (verb, noun) actions have Zipf's tail: the k-th most frequent one is drawn with a weight of 1/k."""
    rng = random.Random(f"{seed}/actions")
    actions = list(itertools.product(shapes.ACTIONS, NOUNS))
    rng.shuffle(actions)
    drawn = rng.choices(actions, [1 / (rank + 1) for rank in range(len(actions))], k=num_videos)
    found = []
    for index, (name, noun) in enumerate(drawn):
        colour, shape = noun.split()
        found.append(replace(shapes.scene(seed, index, name), colour=colour, noun=shape))
    return found


def write_world(folder: Path, num_videos: int, num_narrators: int, narrations_each: int, seed: int) -> list[Clip]:
    """Render the videos under `folder`, on all cores, and let each narrator tell of some. Files that are there already are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = scenes(seed, num_videos)
    paths = [folder / f"video-{index:05d}.mp4" for index in range(num_videos)]
    todo = [(scene, path) for scene, path in zip(shown, paths, strict=True) if not path.exists()]
    if todo:
        with ProcessPoolExecutor() as pool:
            list(pool.map(_render_file, todo, chunksize=8))
    clips = []
    for number in range(num_narrators):
        teller = narrator(seed, number)
        told = random.Random(f"{seed}/told/{number}").sample(range(num_videos), min(narrations_each, num_videos))
        clips += [clip(shown[index], paths[index], teller) for index in sorted(told)]
    return clips


def clip(scene: shapes.Scene, path: Path, teller: Narrator) -> Clip:
    """What a narrator tells of a scene, as a manifest row."""
    verb, noun = shapes.ACTIONS[scene.name][0], f"{scene.colour} {scene.noun}"
    return Clip(
        clip_id=f"{path.stem}/{teller.name}",
        video=str(path),
        start_s=None,
        end_s=None,
        question=QUESTION,
        label=Keywords(text=f"{teller.nouns[noun]} {teller.verbs[verb]}"),
        split="train",
        verb=verb,
        noun=noun,
        description=teller.tells(verb, noun),
        narrator=teller.name,
    )


def _render_file(job: tuple[shapes.Scene, Path]) -> None:
    scene, path = job
    half_written = path.with_name(f".part-{path.name}")
    shapes.write_video(scene, half_written)
    half_written.rename(path)
