"""One question about one video, put to a run's promoted model or to any other: without Ray, and without a trace in the run.

The video is decoded before any weight is read, so that what is wrong with it is known in a second.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.config import BUILT_IN_PROMPTS, HELDOUT, RunConfig
from engine.decode.decoder import ChildDecoder, ClipRead
from engine.generate.prompts import answer_prompt, train_prompt, wording_of
from engine.generate.seeds import derive_seed
from engine.presets import with_settings
from engine.rows import Failure, Window
from engine.run.catalog import is_run
from engine.run.plan import Step, history, name_of
from engine.run.work import Work, decoding_of, read_seals, run_config
from engine.store.files import Store
from engine.store.weights import local
from models.base import ModelSpec, OutOfMemory, Reply, Sampling, Video
from models.folders import SMALL_FILES
from models.registry import frame_spec, load

OF_ROWS = re.compile(r"[;:,] [^;]*(drop its row|drop it|manifest's video column)$")
"""The remedies of failures that are for rows of a manifest."""
REMEDIES = {
    "missing": "name a file, or a URI that this machine can read",
    "empty_window": "correct --start and --end",
    "timeout": "raise limits.decode_timeout_s with --set, or encode it anew with ffmpeg",
    "too_large": "raise the limit with --set",
}
"""What to do where it is no row, by the kind of failure; for the others the detail says it, or there is nothing to do."""


@dataclass(frozen=True, kw_only=True)
class Respondent:
    """A model, and how it is asked.

    Respondent(config=RunConfig(), spec=ModelSpec(base="tiny"), origin="cycle 0 of runs/demo", wording="train", prompts="strict")
    """

    config: RunConfig
    spec: ModelSpec
    origin: str
    """Which model of a run it is; "" for a model that was named itself."""
    prompts: str
    """The prompt set's name: of what is no run the one that --prompts names, or a configuration's own. "": the question is asked as
    it is."""
    wording: str
    """Which of its wordings: "answer", or "train", in which a run's model was trained and evaluated."""

    def prompt(self, question: str) -> str:
        if not self.prompts:
            return question
        prompts = wording_of(self.config, self.prompts)
        return train_prompt(prompts, question) if self.wording == "train" else answer_prompt(prompts, question)


def respondent(model: str, config: RunConfig, settings: Sequence[str], prompts: str, adapter: str) -> Respondent:
    """The model of that name: a run's folder or URI, "tiny", a checkpoint's folder or URI, or a hub id.

    `config` is for what is no run; a run has its own, with `settings` on top. Raises ValueError, StorageError.
    """
    store = _run_at(model, config)
    if store is None:
        _refuse_unknown(prompts, config)
        _refuse_absent(adapter)
        prompts = prompts or (config.generate.prompts if config.generate.prompts in config.prompts else "")
        spec = config.spec(model, adapter or None, config.generate.lora_alpha, prompts)
        return Respondent(config=config, spec=spec, origin="", prompts=prompts, wording="answer")
    if adapter:
        raise ValueError(f"--adapter {adapter}: {model} is a run, whose promoted model is asked; name the adapter's base instead")
    own = with_settings(run_config(store), list(settings))
    _refuse_unknown(prompts, own)
    return _of_run(store, own, prompts)


def _refuse_absent(adapter: str) -> None:
    """Raises ValueError for a path, as a hub id is none, that is no folder: a run's model may be deleted."""
    is_path = "://" not in adapter and (adapter.startswith((".", "/", "~")) or adapter.count("/") != 1)
    if adapter and is_path and not Path(adapter).expanduser().is_dir():
        raise ValueError(f"--adapter {adapter}: there is no such folder; name an adapter's, such as RUN/cycle-000/train/model")


def _run_at(model: str, config: RunConfig) -> Store | None:
    """The run in that folder or URI; None where it is a checkpoint, or nothing that is here. Both have a config.json."""
    if not (Path(model).expanduser().is_dir() or "://" in model):
        return None
    store = Store(str(Path(model).expanduser()) if "://" not in model else model.rstrip("/"), config.access())
    if is_run(store):
        return store
    if store.read("config.json") is None and store.read("adapter_config.json") is not None:
        raise ValueError(f"{model} is an adapter; name its run, or its base with --adapter {model}")
    return None


def _refuse_unknown(prompts: str, config: RunConfig) -> None:
    names = [*BUILT_IN_PROMPTS, *config.prompts]
    if prompts and prompts not in names:
        raise ValueError(f"--prompts {prompts}: known are {', '.join(names)}; --config names a TOML file with [prompts.{prompts}]")


def _of_run(store: Store, config: RunConfig, prompts: str) -> Respondent:
    """The promoted model as it is evaluated on the held-out clips; before there is one, the model that the loop began with."""
    name = prompts or config.prompts_of(HELDOUT)
    first, *others = config.evaluate.sets
    sets = (first.model_copy(update={"prompts": name}), *others)
    config = config.model_copy(update={"evaluate": config.evaluate.model_copy(update={"sets": sets})})
    best = history(read_seals(store)).best_cycle
    model = name_of(best, "train") if best >= 0 else ""
    step = Step(name="ask", kind="evaluate", cycle=best, inputs=(), model=model, split=HELDOUT)
    spec = Work(step=step, identity="", config=config, store=store, report=lambda progress: None).model()
    which = f"cycle {best}" if best >= 0 else "no promoted cycle, so the model before the first one"
    return Respondent(
        config=config, spec=spec, origin=f"{which} of {store.uri}", prompts=name, wording="answer" if prompts else "train"
    )


def tiny_on_others(model: Respondent, video: str) -> str:
    """A warning where the toy model is asked about a video that is not beside its run's manifest; "" where there is none."""
    config, spec = model.config, model.spec
    if spec.base != "tiny":
        return ""
    own = config.data.videos or (str(Path(config.data.manifest).parent) if config.data.manifest else "")
    if own and "://" not in own and Path(video).expanduser().resolve().is_relative_to(Path(own).resolve()):
        return ""
    if config.model.allow_tiny and not model.origin:
        return ""
    return (
        'the model is "tiny", a toy that has only seen moving shapes; what it says about other videos means nothing: name a video '
        "LLM, or --set model.allow_tiny=true"
    )


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What a model watched, and what it says of it."""

    video: Video
    times_s: tuple[float, ...]
    """Of the frames, in seconds since the start of the file."""
    prompt: str
    reply: Reply
    digest: str
    seconds: dict[str, float]
    """What decoding, loading the model, and the answer took."""


def decoded(model: Respondent, window: Window) -> Video:
    """The frames that the model watches. Raises ValueError where the video gives none, StorageError."""
    config = model.config
    _refuse_window(window)
    spec = frame_spec(local(model.spec, config.access(), SMALL_FILES))
    decoding = decoding_of(config)
    with ChildDecoder(decoding.storage, decoding.limits, decoding.backend, decoding.tolerance_s) as decoder:
        result = decoder.decode(window, spec)
    if isinstance(result, ClipRead):
        return result.video
    raise ValueError(in_words(result))


def _refuse_window(window: Window) -> None:
    start, end = window.start_s, window.end_s
    if (start is not None and start < 0) or (end is not None and end <= (start or 0.0)):
        given = f"--start {start or 0:g}{'' if end is None else f' --end {end:g}'}"
        raise ValueError(f"{given} is no window: a window begins at 0 or later, and ends after its start")


def in_words(failure: Failure) -> str:
    """A failure's detail, with a remedy for one video.

    >>> in_words(Failure(kind="missing", detail="no such video: a.mp4; check the manifest's video column"))
    'no such video: a.mp4; name a file, or a URI that this machine can read'
    >>> in_words(Failure(kind="not_video", detail="a.mp4 has 0 bytes; replace it or drop its row"))
    'a.mp4 has 0 bytes'
    """
    detail = OF_ROWS.sub("", failure.detail)
    remedy = REMEDIES.get(failure.kind, "")
    return "; ".join(filter(None, [detail, remedy if detail != failure.detail else ""]))


def answer(model: Respondent, window: Window, question: str, sampling: Sampling, gpu: bool) -> Answered:
    """Decode, load, ask. Raises ValueError for a video, model or question that cannot be used, StorageError."""
    config, began = model.config, time.monotonic()
    video = decoded(model, window)
    decoded_at = time.monotonic()
    llm = load(local(model.spec, config.access()), config.model.device(float(gpu)))
    loaded_at = time.monotonic()
    prompt = model.prompt(question)
    if reason := llm.too_long(prompt, video, sampling.max_tokens):
        raise ValueError(f"the question makes {reason}; lower --max-tokens, or shorten it")
    seed = derive_seed(config.run.seed, 0, window.video, "direct")
    try:
        watched = llm.watch([video])
        future = watched.ask(0, prompt, seed, sampling)
        watched.leave(0)
        reply = future.result()
    except OutOfMemory as error:
        raise ValueError(
            f"the device's memory does not hold the answer ({error}); lower --max-tokens or model.num_frames"
        ) from None
    seconds = {"decode": decoded_at - began, "load": loaded_at - decoded_at, "answer": time.monotonic() - loaded_at}
    shown = Video(video.frames[:1], video.times_s[:1]) if video.is_picture else video  # a picture stands at all moments
    times_s = tuple(round((window.start_s or 0.0) + time_s, 6) for time_s in shown.times_s)
    return Answered(video=shown, times_s=times_s, prompt=prompt, reply=reply, digest=llm.digest, seconds=seconds)
