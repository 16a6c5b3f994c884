"""A narrated world: shapes whose actions have a long tail, described by narrators who each have words of their own.

The scene decides which action is narrated, and the narrator decides the words: for one narrator a dax is a red circle, for another
a blue cross, and a third has no dax. A model can only guess a narrator's words unless it sees other narrations by this narrator: an
extreme case of what EILEV (arXiv 2311.17041) calls dynamic meaning. Narrators, scenes and narrations follow from the seed.
"""

import itertools
import random
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
    """Narrator("narrator-03", {"rise": "zups", ...}, {"red circle": "dax", ...}): words by class."""

    name: str
    verbs: dict[str, str]
    nouns: dict[str, str]

    def narrate(self, verb: str, noun: str) -> str:
        return f"The {self.nouns[noun]} {self.verbs[verb]}."


def narrator(seed: int, number: int) -> Narrator:
    """A narrator has a different word for each class; the words are drawn for each narrator independently.

    >>> narrator(0, 0).narrate("rise", "red circle") == narrator(0, 0).narrate("rise", "red circle")
    True
    """
    rng = random.Random(f"{seed}/narrator/{number}")
    verbs = dict(zip(VERBS, rng.sample(VERB_WORDS, len(VERBS)), strict=True))
    return Narrator(f"narrator-{number:02d}", verbs, dict(zip(NOUNS, rng.sample(NOUN_WORDS, len(NOUNS)), strict=True)))


def scenes(seed: int, num_videos: int) -> list[shapes.Scene]:
    """Scenes whose (verb, noun) actions have Zipf's tail: the weight of the k-th most frequent action is 1/k."""
    rng = random.Random(f"{seed}/actions")
    actions = list(itertools.product(shapes.ACTIONS, NOUNS))
    rng.shuffle(actions)
    drawn = rng.choices(actions, [1 / (rank + 1) for rank in range(len(actions))], k=num_videos)
    scenes_drawn = []
    for index, (name, noun) in enumerate(drawn):
        colour, shape = noun.split()
        scenes_drawn.append(replace(shapes.scene(seed, index, name), colour=colour, noun=shape))
    return scenes_drawn


def write_world(folder: Path, num_videos: int, num_narrators: int, narrations_each: int, seed: int) -> list[Clip]:
    """Render the videos under `folder`, on all cores; returns the clips of all narrators. Existing files are kept.

    Each narrator narrates `narrations_each` of the videos, drawn at random.
    """
    shown = scenes(seed, num_videos)
    paths = [folder / f"video-{index:05d}.mp4" for index in range(num_videos)]
    shapes.write_videos(folder, list(zip(shown, paths, strict=True)))
    clips = []
    for number in range(num_narrators):
        speaker = narrator(seed, number)
        indices = random.Random(f"{seed}/told/{number}").sample(range(num_videos), min(narrations_each, num_videos))
        clips += [clip(shown[index], paths[index], speaker) for index in sorted(indices)]
    return clips


def clip(scene: shapes.Scene, path: Path, speaker: Narrator) -> Clip:
    """The manifest row of a scene as narrated by one narrator."""
    verb, noun = shapes.ACTIONS[scene.name][0], f"{scene.colour} {scene.noun}"
    return Clip(
        clip_id=f"{path.stem}/{speaker.name}",
        video=str(path),
        start_s=None,
        end_s=None,
        question=QUESTION,
        label=Keywords(text=f"{speaker.nouns[noun]} {speaker.verbs[verb]}"),
        split="train",
        verb=verb,
        noun=noun,
        description=speaker.narrate(verb, noun),
        narrator=speaker.name,
    )
