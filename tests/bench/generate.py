"""Clips a second of shared-prefix generation: beside the published way, and beside a bare loop. One JSON line a shape.

published   one clip at a time: transformers' generate; where the answer lacks the label, generate again, from pixels, with the hint
bare        watch and reply called directly on the same pieces, with the same rows rationalized; nothing else
engine      the generate and write stages through Ray Data: prompts, verdicts, rows, files

Published and bare are compared on two threads; engine and bare on one, for a generator with one CPU: Ray's driver and its other
processes need the second. The same model, clips and tokens; greedy, and how many texts are the same is printed. Starting Ray and
loading the model are not counted. Where there is a GPU the shape is PLLaVA-7B's, in bfloat16, with random weights, and tokens a
second and shares of the hardware's peak are printed; where there is none, that is said.

PYTHONPATH=.:tests python tests/bench/generate.py
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

os.environ.setdefault("RAY_AUTH_MODE", "disabled")

from engine import flow
from engine.connection import connect
from engine.decode.stage import Decoded, frame_columns
from engine.generate import prompts
from engine.generate.generator import Generator, write_piece
from engine.generate.watch import Watch
from engine.rows import Clip
from engine.store.files import Store
from engine.verify.verdict import verify
from jobs.make_base import frames_of
from loops import a_generate_spec
from models.base import Device, ModelSpec, Reply, Sampling, Video, Watched
from models.pllava import checkpoints, video_llm
from models.pllava.architecture import VideoShape
from models.pllava.configuration import PllavaConfig
from models.pllava.modeling import PllavaForConditionalGeneration
from models.tiny import build as tiny
from worlds import shapes

WORLD = 71
THREADS = 2
WARM_UP = 4
"""Pieces before those that are timed: until then Ray starts processes, and files come late and all at once."""
PEAKS = {"H100": (989e12, 3.35e12), "H200": (989e12, 4.8e12), "A100": (312e12, 2.0e12)}
"""Dense bfloat16 operations and bytes a second, from the vendor's data sheets."""
SMALL = {
    "vision_config": {
        "hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 6, "num_attention_heads": 6, "image_size": 48,
        "patch_size": 4, "projection_dim": 64,
    },
    "text_config": {
        "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 8, "num_attention_heads": 6,
        "vocab_size": tiny.VOCAB_SIZE, "max_position_embeddings": 1024,
    },
    "num_frames": 8,
    "pooling_shape": [8, 4, 4],
}  # fmt: skip
"""A larger CPU shape with random weights, where arithmetic and not calling it takes the time: 128 visual tokens."""
SEVEN = {
    "vision_config": {
        "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 336,
        "patch_size": 14, "projection_dim": 768,
    },
    "text_config": {
        "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 32064,
        "max_position_embeddings": 4096,
    },
    "num_frames": 16,
    "pooling_shape": [16, 12, 12],
}  # fmt: skip


def write_model(folder: Path, shape: dict[str, Any], device: str, dtype: torch.dtype) -> None:
    """A folder with random weights of a shape, with the tiny model's tokenizer."""
    torch.manual_seed(0)
    _, processor = checkpoints.describe(ModelSpec(base="tiny"))
    tokens = {"image_token_index": processor.image_token_id, "video_token_index": processor.video_token_id}
    ends = {"eos_token_id": 3, "pad_token_id": 1, "bos_token_id": 2}
    vision, text = (
        shape["vision_config"] | {"model_type": "clip_vision_model"},
        shape["text_config"] | ends | {"model_type": "llama"},
    )
    with torch.device(device):
        torch.set_default_dtype(dtype)
        model = PllavaForConditionalGeneration(
            PllavaConfig(**shape | tokens | {"vision_config": vision, "text_config": text, "tie_word_embeddings": False})
        )
        torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder)
    pooled = tuple(shape["pooling_shape"])
    video = VideoShape(shape["num_frames"], pooled, shape["num_frames"], pooled)
    replace(processor, image_size=vision["image_size"], patch_size=vision["patch_size"], video=video).save(folder)


def reply_all(watched: Watched, clips: list[int], questions: list[str], sampling: Sampling) -> list[Reply]:
    futures = [watched.ask(clip, question, clip, sampling) for clip, question in zip(clips, questions, strict=True)]
    return [future.result() for future in futures]


def clips_and_frames(count: int, llm: Any) -> tuple[list[Clip], np.ndarray]:
    """Scenes of the shapes world, as many frames as the model wants, scaled to its size."""
    scenes = [shapes.scene(WORLD, index) for index in range(count)]
    frames = np.stack([frames_of(scene) for scene in scenes])
    times = np.linspace(0, frames.shape[1] - 1, llm.frames.choose.num_frames).round().astype(int)
    scale = max(1, llm.frames.size.size_px // frames.shape[2])
    frames = frames[:, times].repeat(scale, axis=2).repeat(scale, axis=3)
    rows = [shapes.clip(scene, f"c{index}.mp4", "train") for index, scene in enumerate(scenes)]
    return rows, frames


class Bench:
    """One model, its clips, and what is asked."""

    def __init__(self, base: str, count: int, max_tokens: int, piece: int) -> None:
        device = Device("cuda", "bfloat16") if torch.cuda.is_available() else Device("cpu", "float32")
        sampling = Sampling(temperature=0.0, max_tokens=max_tokens)
        self.spec = a_generate_spec(model=ModelSpec(base=base), device=device, sampling=sampling)
        self.llm = video_llm.load(self.spec.model, self.spec.device)
        self.clips, self.frames = clips_and_frames(count, self.llm)
        self.videos = [Video(each, tuple(map(float, range(len(each))))) for each in self.frames]
        self.pieces = [slice(start, start + piece) for start in range(0, count, piece)]

    def asked(self, clip: Clip) -> tuple[str, str]:
        words = self.spec.prompts
        return prompts.answer_prompt(words, clip.question), prompts.rationalize_prompt(words, clip.question, clip.label)

    def is_kept(self, text: str, finished: bool, clip: Clip) -> bool:
        return verify(text, clip.question, clip.label, "direct", finished, self.spec.verify.spec).keep

    def published(self, count: int) -> tuple[float, list[list[str]]]:
        """Seconds a clip, and the texts: one clip at a time, every call from pixels."""
        model, processor, texts = self.llm.model, self.llm.processor, []
        device = model.lm_head.weight.device

        def call(question: str, frames: np.ndarray) -> tuple[str, bool]:
            batch = processor(processor.chat(question), videos=torch.from_numpy(frames[None])).to(device)
            batch["pixel_values_videos"] = batch["pixel_values_videos"].to(model.dtype)
            with torch.inference_mode():
                out = model.generate(**batch, do_sample=False, max_new_tokens=self.spec.sampling.max_tokens)
            ids = out[0, batch["input_ids"].shape[1] :]
            return processor.tokenizer.decode(ids, skip_special_tokens=True).strip(), len(ids) < self.spec.sampling.max_tokens

        start = time.perf_counter()
        for clip, frames in zip(self.clips[:count], self.frames[:count], strict=True):
            answer, hinted = self.asked(clip)
            text, finished = call(answer, frames)
            texts.append([text])
            if not self.is_kept(text, finished, clip):
                texts[-1].append(call(hinted, frames)[0])
        return (time.perf_counter() - start) / count, texts

    def bare(self, rejected: list[bool]) -> tuple[float, list[list[str]]]:
        """Seconds a clip, the first piece's warm-up not counted, and the texts; which rows are rationalized is given."""
        texts: list[list[str]] = []
        start = 0.0
        for number, piece in enumerate([self.pieces[0], *self.pieces]):
            if number == 1:
                texts, start = [], time.perf_counter()
            clips = self.clips[piece]
            watched = self.llm.watch(self.videos[piece])
            asked = [self.asked(clip) for clip in clips]
            everyone = list(range(len(clips)))
            replies = reply_all(watched, everyone, [answer for answer, _ in asked], self.spec.sampling)
            again = [i for i in everyone if rejected[piece.start + i]]
            for i in set(everyone) - set(again):
                watched.leave(i)
            hinted = reply_all(watched, again, [asked[i][1] for i in again], self.spec.sampling)
            told = dict(zip(again, hinted, strict=True))
            texts += [[replies[i].text, *([told[i].text] if i in told else [])] for i in everyone]
        return (time.perf_counter() - start) / len(self.clips), texts

    def engine(self, out: Path, cpus: int, gpus: float) -> tuple[float, list[list[str]]]:
        """Seconds a clip between the last file of the warm-up and the last of all, in the order they came in; and the texts."""
        store = Store(str(out))

        def rows() -> Iterator[dict[str, Any]]:
            for number, piece in enumerate([*[self.pieces[0]] * WARM_UP, *self.pieces]):
                decoded = [Decoded(video, "v1", False) for video in self.videos[piece]]
                clips = json.dumps([clip.to_row() for clip in self.clips[piece]])
                row = {"piece_id": f"{number:05d}", "file_name": f"{number:05d}.parquet", "clips": clips}
                yield row | frame_columns(decoded)

        stages = [
            flow.Stage(
                name="generate",
                work=Generator,
                args={"spec": self.spec, "watch": Watch.remote()},  # type: ignore[attr-defined]
                actors=1,
                cpus=cpus,
                gpus=gpus,
            ),
            flow.Stage(name="write", work=write_piece, args={"store": store, "folder": "pieces"}, cpus=0),
        ]
        assert sum(1 for _ in flow.run(rows(), stages)) == len(self.pieces) + WARM_UP
        times = sorted(path.stat().st_mtime for path in (out / "pieces").iterdir())
        texts = []
        for number, piece in enumerate(self.pieces):
            made: dict[str, list[str]] = {clip.clip_id: [] for clip in self.clips[piece]}
            for row in store.read_table(f"pieces/{number + WARM_UP:05d}.parquet").to_pylist():
                made[row["clip_id"]].append(row["text"])
            texts += list(made.values())
        return (times[-1] - times[WARM_UP - 1]) / len(self.clips), texts


def measure(base: str, name: str, count: int, few: int, max_tokens: int, piece: int, cpus: int, gpus: float) -> dict[str, Any]:
    bench = Bench(base, count, max_tokens, piece)
    torch.set_num_threads(THREADS)
    bench.published(2)
    one, single = bench.published(few)
    rejected = [len(texts) > 1 for texts in single]
    if few < count:
        assert all(rejected), "published the short way only where all clips are alike"
        rejected = [True] * count
    bare, batched = bench.bare(rejected)
    torch.set_num_threads(cpus)
    alone, _ = bench.bare(rejected)
    out = Path(tempfile.mkdtemp(prefix="starloop-bench-"))
    engine, through = bench.engine(out, cpus, gpus)
    shutil.rmtree(out)
    same = sum(a == b for a, b in zip(single, through, strict=False)) / few
    return {
        "shape": name,
        "clips": count,
        "max_tokens": max_tokens,
        "piece_clips": piece,
        "rationalized": round(sum(rejected) / count, 3),
        "published_clips_per_s": round(1 / one, 3),
        "bare_clips_per_s": round(1 / bare, 3),
        "bare_over_published": round(one / bare, 2),
        "generator_cpus": cpus,
        "bare_on_these_clips_per_s": round(1 / alone, 3),
        "engine_on_these_clips_per_s": round(1 / engine, 3),
        "engine_over_bare": round(alone / engine, 3),
        "texts_as_published": round(same, 3),
        "texts_as_bare": round(sum(a == b for a, b in zip(batched, through, strict=True)) / count, 3),
    }


def peaks(base: str, max_tokens: int, piece: int) -> dict[str, Any]:
    """Tokens a second of encoding and prefill, and of decoding, and the shares of the GPU's peaks that they are."""
    bench = Bench(base, piece, max_tokens, piece)
    name = torch.cuda.get_device_name()
    peak = next((figures for part, figures in PEAKS.items() if part in name), None)
    llm, model = bench.llm, bench.llm.model

    def timed(work: Callable[[], Any]) -> tuple[float, Any]:
        torch.cuda.synchronize()
        start = time.perf_counter()
        made = work()
        torch.cuda.synchronize()
        return time.perf_counter() - start, made

    llm.watch(bench.frames)
    watch_s, watched = timed(lambda: llm.watch(bench.frames))
    questions = [bench.asked(clip)[0] for clip in bench.clips]
    everyone = list(range(piece))
    reply_s, replies = timed(lambda: watched.reply(everyone, questions, everyone, bench.spec.sampling))
    made = sum(reply.num_tokens for reply in replies)
    tower, head = sum(p.numel() for p in model.model.vision_tower.parameters()), sum(p.numel() for p in model.lm_head.parameters())
    text = sum(p.numel() for p in model.model.language_model.parameters())
    patches = piece * llm.frames.num_frames * ((llm.frames.size.size_px // llm.processor.patch_size) ** 2 + 1)
    watched_flop = 2 * tower * patches + 2 * text * piece * watched.prefix.length
    kv = sum(keys.nbytes + values.nbytes for keys, values in watched.prefix.layers)
    steps = max(reply.num_tokens for reply in replies)
    moved = steps * (2 * (text + head) + kv)
    told = {
        "device": name,
        "watch_visual_tokens_per_s": round(piece * llm.processor.tokens_per_video / watch_s),
        "decode_tokens_per_s": round(made / reply_s),
    }
    if peak:
        told |= {"watch_share_of_peak_flops": round(watched_flop / watch_s / peak[0], 3)}
        told |= {"decode_share_of_peak_bandwidth": round(moved / reply_s / peak[1], 3)}
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=640, help="of the tiny shape")
    parser.add_argument("--generator-cpus", type=int, default=1, help="for the engine's generator and the bare loop beside it")
    arguments = parser.parse_args()
    cpus = arguments.generator_cpus
    folder = Path(tempfile.mkdtemp(prefix="starloop-bench-"))
    try:
        if torch.cuda.is_available():
            write_model(folder, SEVEN, "cuda", torch.bfloat16)
            with connect(""):
                print(json.dumps(measure(str(folder), "7b, random weights, bfloat16", 48, 4, 128, 16, 1, 0.5)), flush=True)
            print(json.dumps(peaks(str(folder), 128, 16)), flush=True)
            return
        print("no GPU here: CPU shapes, and no share of a peak", file=sys.stderr)
        write_model(folder, SMALL, "cpu", torch.float32)
        with connect(""):
            print(json.dumps(measure("tiny", "tiny", arguments.clips, arguments.clips, 48, 64, cpus, 0.0)), flush=True)
            print(json.dumps(measure(str(folder), "small, random weights", 128, 12, 48, 32, cpus, 0.0)), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
