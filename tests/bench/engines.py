"""Clips a second of three ways to answer: the built-in engine, vLLM, and a plain loop of transformers' generate. One JSON line.

One model of random weights, the same pieces, a direct and a rationalized question about every clip, 32 tokens each, greedy. Each
way answers four pieces to warm up, then three times four others, in turn, and the median counts: vLLM would know clips again. It
holds two pieces at once, as in a run; its processes start before the clock. Where there is a GPU the shape is PLLaVA-7B's, in
bfloat16; where there is none, that is said.

PYTHONPATH=.:tests python tests/bench/engines.py          in an environment that has vLLM (tests/environments)
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

THREADS = "2"
os.environ.setdefault("OMP_NUM_THREADS", THREADS)  # of vLLM's processes too
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")

import torch  # noqa: E402
from generate import SEVEN, SMALL, write_model  # noqa: E402

from models import registry  # noqa: E402
from models.base import Device, EngineSpec, ModelSpec, Sampling, Video  # noqa: E402
from models.pllava.video_llm import PllavaVideoLLM  # noqa: E402
from vllm_engines import noise  # noqa: E402

PIECES, PIECE_CLIPS, IN_FLIGHT, RUNS = 4, 16, 2, 3
QUESTIONS = ("What is the action in this video?", "The action in this video is rising. What shows that?")
GREEDY = Sampling(temperature=0.0, max_tokens=32)
Texts = list[list[str]]
"""Of each question, of each clip of a piece."""


def by_asking(llm: Any, piece: Sequence[Video]) -> Texts:
    """As a generator asks: everything about a piece through one Watched."""
    watched, texts = llm.watch(piece), []
    for question in QUESTIONS:
        futures = [watched.ask(clip, question, 0, GREEDY) for clip in range(len(piece))]
        texts.append([future.result().text for future in futures])
    for clip in range(len(piece)):
        watched.leave(clip)
    return texts


def by_generate(llm: PllavaVideoLLM, piece: Sequence[Video]) -> Texts:
    """A batch of transformers' generate for each question, from pixels."""
    texts, device = [], llm.model.device
    frames = torch.stack([torch.from_numpy(video.frames) for video in piece])
    for question in QUESTIONS:
        batch = {
            name: value.to(device)
            for name, value in llm.processor([llm.processor.chat(question)] * len(piece), videos=frames).items()
        }
        batch["pixel_values_videos"] = batch["pixel_values_videos"].to(llm.model.dtype)
        ids = llm.model.generate(**batch, max_new_tokens=GREEDY.max_tokens, do_sample=False)[:, batch["input_ids"].shape[1] :]
        texts.append([llm.processor.tokenizer.decode(row.tolist(), skip_special_tokens=True).strip() for row in ids])
    return texts


def main() -> None:
    """Print the line; what is not measured is said to stderr."""
    on_gpu = torch.cuda.is_available()
    device, shape = (Device("cuda", "bfloat16"), SEVEN) if on_gpu else (Device("cpu", "float32"), SMALL)
    if not on_gpu:
        print(f"no GPU here: a small shape on {THREADS} threads", file=sys.stderr)
        torch.set_num_threads(int(THREADS))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_model(folder, shape, device.kind, getattr(torch, device.dtype))
        spec = ModelSpec(base=str(folder))
        options = {"memory_share": 0.4} if on_gpu else {"enforce_eager": True}
        engine = EngineSpec(name="vllm", gpus=float(on_gpu), in_flight=IN_FLIGHT, clips=IN_FLIGHT * PIECE_CLIPS, options=options)
        vllm, builtin = registry.load(spec, device, engine), registry.load(spec, device)
        assert isinstance(builtin, PllavaVideoLLM)
        side, count = shape["vision_config"]["image_size"], shape["num_frames"]
        clips = PIECES * PIECE_CLIPS

        def pieces(run: int) -> list[list[Video]]:
            videos = [noise(run * clips + clip, count, side) for clip in range(clips)]
            return [videos[start : start + PIECE_CLIPS] for start in range(0, clips, PIECE_CLIPS)]

        ways: dict[str, Callable[[list[list[Video]]], list[Texts]]] = {
            "builtin": lambda run: [by_asking(builtin, piece) for piece in run],
            "vllm": lambda run: list(ThreadPoolExecutor(IN_FLIGHT).map(lambda piece: by_asking(vllm, piece), run)),
            "transformers": lambda run: [by_generate(builtin, piece) for piece in run],
        }
        texts = {name: way(pieces(0)) for name, way in ways.items()}
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for run in range(1, RUNS + 1):
            timed = pieces(run)
            for name, way in ways.items():
                start = time.perf_counter()
                way(timed)
                seconds[name].append(time.perf_counter() - start)
        rates = {name: round(clips / statistics.median(times), 2) for name, times in seconds.items()}
        same = {name: sum(flat(texts[name])[i] == text for i, text in enumerate(flat(texts["builtin"]))) for name in ways}
        where = torch.cuda.get_device_name() if on_gpu else "cpu"
        print(json.dumps({"device": where, "clips": clips, "answers": 2 * clips, "clips_per_s": rates, "same_as_builtin": same}))


def flat(pieces: Sequence[Texts]) -> list[str]:
    return [text for piece in pieces for texts in piece for text in texts]


if __name__ == "__main__":
    main()
