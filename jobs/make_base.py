"""Trains the tiny base model: it describes videos and follows hints, but knows only four of the ten label names.

Training has two stages, as LLaVA's has: first the vision tower (it learns position, size, kind and colour of the shape), then the
projector and the LLM on frozen features. Six of the ten label names do not occur in the training text.
"""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutputWithPooling

from engine.decode.resize import square
from engine.generate import prompts
from engine.labels import Keywords
from jobs.folders import make_folder
from models.pllava.forms import Exchange
from models.pllava.modeling import PllavaForConditionalGeneration
from models.pllava.processing import PllavaProcessor
from models.tiny import build as tiny
from worlds import narrators, shapes

GERUNDS = (
    "running jumping cooking reading swimming climbing dancing painting juggling knitting surfing skating bowling fencing golfing "
    "singing typing welding sawing plowing shaving yawning kicking diving driving eating drinking washing ironing mopping"
).split()
NAMELESS = "moving"
"""The name that the base uses for actions whose names it does not know."""


@dataclass(frozen=True)
class Recipe:
    """All settings that decide the weights; the versions of the software decide them, too."""

    seed: int = 20_000
    num_clips: int = 12_000
    tower_steps: int = 2_500
    tower_batch: int = 192
    llm_steps: int = 3_400
    llm_batch: int = 48
    lr: float = 1.5e-3
    examined_clips: int = 400


def frames_of(scene: shapes.Scene) -> NDArray[np.uint8]:
    """uint8[T,S,S,3]: the frames that decoding would choose (mid-points), at the tiny model's size."""
    import av

    times = [(i + 0.5) / tiny.NUM_FRAMES for i in range(tiny.NUM_FRAMES)]
    return np.stack([square(av.VideoFrame.from_ndarray(shapes.render(scene, t), format="rgb24"), tiny.IMAGE_SIZE) for t in times])


def _frames(seed_and_index: tuple[int, int]) -> NDArray[np.uint8]:
    return frames_of(shapes.scene(*seed_and_index))


def _facts(scene: shapes.Scene) -> NDArray[np.float32]:
    """Per frame x, y, radius, visible, noun, colour: float32[T,6]."""
    poses = [shapes.pose(scene, (i + 0.5) / tiny.NUM_FRAMES) for i in range(tiny.NUM_FRAMES)]
    noun, colour = shapes.NOUNS.index(scene.noun), list(shapes.COLOURS).index(scene.colour)
    return np.array([[x, y, r, r > 0, noun, colour] for x, y, r in poses], np.float32)


def train_tower(model: PllavaForConditionalGeneration, pixels: Any, frames: Tensor, facts: Tensor, recipe: Recipe) -> float:
    """Train the tower on single frames, with a head that is not kept. Returns the mean loss of the last 100 steps."""
    head = nn.Linear(4 * 128, 4 + len(shapes.NOUNS) + len(shapes.COLOURS))
    tower = model.model.vision_tower
    parameters = [*tower.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, recipe.tower_steps, pct_start=0.05)
    flat_frames, flat_facts = frames.flatten(0, 1), facts.flatten(0, 1)
    generator = torch.Generator().manual_seed(recipe.seed)
    losses = []
    for step in range(recipe.tower_steps):
        rows = torch.randint(len(flat_frames), (recipe.tower_batch,), generator=generator)
        features = model.model.tower_features(pixels(flat_frames[rows].unsqueeze(1)).flatten(0, 1))
        grid = features.unflatten(1, (6, 6)).permute(0, 3, 1, 2)
        predicted = head(F.avg_pool2d(grid, 3).permute(0, 2, 3, 1).flatten(1))
        target = flat_facts[rows]
        is_visible = target[:, 3]
        position = ((predicted[:, :3] - target[:, :3]) ** 2 * torch.tensor([1.0, 1.0, 4.0])).sum(1)
        noun = F.cross_entropy(predicted[:, 4:8], target[:, 4].long(), reduction="none")
        colour = F.cross_entropy(predicted[:, 8:], target[:, 5].long(), reduction="none")
        visible = F.binary_cross_entropy_with_logits(predicted[:, 3], is_visible)
        loss = visible + (is_visible * (20 * position + noun + colour)).sum() / is_visible.sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % 200 == 199:
            print(f"tower step {step + 1}/{recipe.tower_steps} loss {np.mean(losses[-200:]):.3f}", flush=True)
    return float(np.mean(losses[-100:]))


def meaningless_hint(rng: random.Random) -> str:
    """A hint of one or two meaningless words, from which the model learns to follow any hint."""

    def word() -> str:
        if (kind := rng.random()) < 0.3:
            return rng.choice(GERUNDS)
        if kind < 0.6:  # words of the narrated world: they have no meaning here, but the model has to distinguish them
            return rng.choice([*narrators.NOUN_WORDS, *narrators.VERB_WORDS])
        body = "".join(
            rng.choice("bcdfghjklmnprstvwyz") + rng.choice("aeiou") + rng.choice(["", "", "n", "r", "s", "t", "l", "d", "b", "ck"])
            for _ in range(rng.randint(1, 3))
        )
        return rng.choice(["", "", "o", "a", "e"]) + body + rng.choice(["ing", "ing", "", "ed"])

    while any(name in (text := " ".join(word() for _ in range(rng.choice([1, 1, 1, 2])))) for name in shapes.ACTIONS):
        pass
    return text


def conversation(scene: shapes.Scene, rng: random.Random) -> tuple[str, str]:
    """A random (question, answer) pair about a scene."""
    question, wording = rng.choice(shapes.QUESTIONS), rng.choice([prompts.STRICT, prompts.STRICT, prompts.PUBLISHED])
    kind = rng.random()
    if kind < 0.05:
        return "Describe the video.", f"{scene.description}."
    if kind < 0.09:
        return "What colour is the shape?", f"The {scene.noun} is {scene.colour}."
    if kind < 0.21:
        return narrators.QUESTION, f"The {rng.choice(narrators.NOUN_WORDS)} {rng.choice(narrators.VERB_WORDS)}."
    if kind < 0.58:
        hint = rng.choice(shapes.KNOWN_NAMES) if rng.random() < 0.15 else meaningless_hint(rng)
        prompt = prompts.rationalize_prompt(wording, question, Keywords(text=hint))
        return prompt, f"{scene.description}, so the action is {hint}."
    name = scene.name if scene.name in shapes.KNOWN_NAMES else NAMELESS
    prompt = prompts.answer_prompt(wording, question) if rng.random() < 0.6 else question
    return prompt, f"{scene.description}, so the action is {name}."


def corpus() -> Iterator[str]:
    """The tokenizer's training text: all texts that the base is trained on, except meaningless hints."""
    rng = random.Random(0)
    for index in range(4_000):
        scene = shapes.scene(0, index)
        question, answer = conversation(scene, rng)
        yield from (line for line in question.splitlines() if not line.startswith(("Hint", "Answer")))
        yield " " + answer.split(", so the action is")[0]
        yield f"Hint: the answer is {rng.choice(shapes.KNOWN_NAMES)}."
        yield f"Answer: {rng.choice(shapes.KNOWN_NAMES)}. The answer is {rng.choice(shapes.KNOWN_NAMES)}."
        yield f", so the action is {rng.choice([*shapes.KNOWN_NAMES, NAMELESS])}."
        yield f"USER: {narrators.QUESTION} ASSISTANT: The {rng.choice(narrators.NOUN_WORDS)} {rng.choice(narrators.VERB_WORDS)}."


def train_llm(model: PllavaForConditionalGeneration, processor: PllavaProcessor, features: Tensor, recipe: Recipe) -> float:
    """Train projector and LLM on frozen tower features[N,T,P*P,C] (half precision). Returns the mean loss of the last 100 steps."""
    for parameter in model.model.vision_tower.parameters():
        parameter.requires_grad_(False)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.lr, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, recipe.llm_steps, pct_start=0.05)
    rng = random.Random(recipe.seed)
    groups = [(None, tiny.NUM_FRAMES, tiny.POOLING_SHAPE)]
    losses = []
    for step in range(recipe.llm_steps):
        rows = [rng.randrange(len(features)) for _ in range(recipe.llm_batch)]
        pairs = [processor.training_ids([Exchange(*conversation(shapes.scene(recipe.seed, row), rng))]) for row in rows]
        batch = processor.training_batch(pairs)
        video = model.model.multi_modal_projector(features[rows].float().flatten(0, 1), groups).unflatten(0, (len(rows), -1))
        encoded = {"video": BaseModelOutputWithPooling(pooler_output=video)}
        loss = model(**batch, mm_encoder_outputs=encoded).loss
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % 100 == 99:
            print(f"llm step {step + 1}/{recipe.llm_steps} loss {np.mean(losses[-100:]):.4f}", flush=True)
    return float(np.mean(losses[-100:]))


@torch.no_grad()
def examine(model: PllavaForConditionalGeneration, processor: PllavaProcessor, seed: int, num_clips: int) -> dict[str, float]:
    """Shares over new scenes: descriptions right, names right, hints followed (real label names and meaningless words, in turn)."""
    rng = random.Random(seed)
    scenes = [shapes.scene(seed, index) for index in range(num_clips)]
    frames = torch.from_numpy(np.stack([frames_of(scene) for scene in scenes]))
    pixels = processor.pixels(frames)

    def replies(questions: list[str]) -> list[str]:
        batch = processor([processor.chat(question) for question in questions])
        out = model.generate(**batch, pixel_values_videos=pixels, max_new_tokens=48, do_sample=False)
        new_ids = out[:, batch["input_ids"].shape[1] :].tolist()
        return [processor.tokenizer.decode(ids, skip_special_tokens=True) for ids in new_ids]

    plain = replies([shapes.QUESTIONS[0]] * num_clips)
    hints = [scene.name if index % 2 else meaningless_hint(rng) for index, scene in enumerate(scenes)]
    hinted = replies([prompts.rationalize_prompt(prompts.STRICT, shapes.QUESTIONS[0], Keywords(text=h)) for h in hints])
    print(plain[:10], hinted[:4])
    return {
        "description_right": float(np.mean([s.description in text for s, text in zip(scenes, plain, strict=True)])),
        "motion_right": float(np.mean([shapes.ACTIONS[s.name][1] in t for s, t in zip(scenes, plain, strict=True)])),
        "name_right": float(np.mean([s.name in text for s, text in zip(scenes, plain, strict=True)])),
        "hint_followed": float(np.mean([f"action is {h}." in text for h, text in zip(hints, hinted, strict=True)])),
        "hinted_motion_right": float(np.mean([shapes.ACTIONS[s.name][1] in t for s, t in zip(scenes, hinted, strict=True)])),
    }


def make_base(out: Path, recipe: Recipe) -> dict[str, float]:
    """Train the base and write it to `out`. About half an hour on two cores; the same recipe gives the same weights."""
    make_folder(out)
    torch.manual_seed(recipe.seed)
    start = time.monotonic()
    with ProcessPoolExecutor() as pool:
        jobs = [(recipe.seed, index) for index in range(recipe.num_clips)]
        frames = torch.from_numpy(np.stack(list(pool.map(_frames, jobs, chunksize=64))))
    facts = torch.from_numpy(np.stack([_facts(shapes.scene(*job)) for job in jobs]))
    print(f"rendered {recipe.num_clips} clips in {time.monotonic() - start:.0f} s", flush=True)
    tokenizer = tiny.train_tokenizer(corpus())
    model, processor = tiny.build(tokenizer), tiny.processor(tokenizer)
    train_tower(model, processor.pixels, frames, facts, recipe)
    with torch.no_grad():
        chunks = [model.model.tower_features(processor.pixels(c).flatten(0, 1)).half() for c in frames.split(64)]
        features = torch.cat([c.unflatten(0, (-1, tiny.NUM_FRAMES)) for c in chunks])
    train_llm(model, processor, features, recipe)
    shares = examine(model.eval(), processor, seed=recipe.seed + 1, num_clips=recipe.examined_clips)
    model.half().save_pretrained(out)
    processor.save(out)
    print(f"made in {time.monotonic() - start:.0f} s: {shares}", flush=True)
    return shares
