"""Asks a model one question about one video, and prints the answer with the frames that were looked at."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from engine.presets import load_config
from engine.rows import Window
from engine.run.question import Answered, Respondent, answer, respondent, tiny_on_others
from engine.store.documents import to_json
from jobs.inspect import window_text
from jobs.view import a_console
from models.base import Sampling
from models.endpoint.pictures import PictureFormat, file_bytes


@dataclass(frozen=True, kw_only=True)
class AskOptions:
    """AskOptions(start=2.0, end=8.0, max_tokens=128): the options of the command."""

    start: float | None = None
    end: float | None = None
    max_tokens: int | None = None
    """None: what the configuration says."""
    temperature: float = 0.0
    prompts: str = ""
    config: Path | None = None
    adapter: str = ""
    frames_out: Path | None = None
    frames_as: str = "png"
    gpu: bool = False
    as_json: bool = False


def ask(model: str, video: str, question: str, options: AskOptions, settings: list[str]) -> None:
    if not question.strip():
        raise ValueError('the question is empty; write it in quotes, such as "What happens?"')
    picture_format = _format_of(options)
    chosen = respondent(model, load_config(options.config, settings), settings, options.prompts, options.adapter)
    if options.config and chosen.origin:
        raise ValueError(
            f"--config {options.config}: {model} is a run, which has a configuration of its own; change keys with --set"
        )
    if warning := tiny_on_others(chosen, video):
        print(f"warning: {warning}", file=sys.stderr)
    window = Window(video=str(Path(video).expanduser()) if "://" not in video else video, start_s=options.start,
                    end_s=options.end, etag="")  # fmt: skip
    max_tokens = options.max_tokens or chosen.config.generate.max_tokens
    sampling = Sampling(temperature=options.temperature, max_tokens=max_tokens, stop=chosen.config.generate.stop)
    _quiet()
    answered = answer(chosen, window, question, sampling, options.gpu)
    files = list(_write(options.frames_out, answered, picture_format)) if options.frames_out else []
    if options.as_json:
        print(to_json(_values(chosen, window, question, answered, files)).decode())
        return
    for line in _lines(chosen, window, answered, options):
        a_console().print(line, soft_wrap=True)


def _format_of(options: AskOptions) -> PictureFormat:
    """Raises ValueError for another format, or a folder that holds something: frames of two questions would be mixed."""
    out = options.frames_out
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"--frames-out {out} is no empty folder; name another one")
    for picture_format in get_args(PictureFormat):
        if picture_format == options.frames_as:
            return picture_format  # type: ignore[no-any-return]
    raise ValueError(f"--frames-as {options.frames_as} is not known; choose one of {', '.join(get_args(PictureFormat))}")


def _quiet() -> None:
    """An answer is what is printed, and no progress of its weights."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()


def _write(folder: Path, answered: Answered, picture_format: PictureFormat) -> Iterator[Path]:
    """The frames as the model watched them: in its size, cropped as it crops."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (frame, time_s) in enumerate(zip(answered.video.frames, answered.times_s, strict=True)):
        path = folder / f"{number:03d}-at-{time_s:.3f}s.{'jpg' if picture_format == 'jpeg' else picture_format}"
        path.write_bytes(file_bytes(frame, picture_format))
        yield path


def _lines(chosen: Respondent, window: Window, answered: Answered, options: AskOptions) -> Iterator[str]:
    """The answer first."""
    reply, took = answered.reply, answered.seconds
    yield reply.text or "(the answer is empty)"
    yield ""
    cut_off = "" if reply.finished else ", cut off there: raise --max-tokens"
    yield f"tokens  {reply.num_tokens}{cut_off}{f', after a prompt of {reply.prompt_tokens}' if reply.prompt_tokens else ''}"
    times = ", ".join(f"{time_s:.2f}" for time_s in answered.times_s)
    yield f"frames  {len(answered.times_s)} of {window_text(window.start_s, window.end_s)}, at {times} s"
    if options.frames_out:
        yield f"        written to {options.frames_out}"
    yield f"model   {name_of(chosen)} {answered.digest}"
    if chosen.prompts:
        yield f"prompt  {chosen.prompts}: {answered.prompt!r}"
    yield f"took    decoding {took['decode']:.1f} s, loading {took['load']:.1f} s, answering {took['answer']:.1f} s"


def name_of(chosen: Respondent) -> str:
    """The model in words: a run's cycle, or base and adapter."""
    base_and_adapter = " + ".join(filter(None, [chosen.spec.base_name, chosen.spec.adapter_name]))
    return f"{chosen.origin}: {base_and_adapter}" if chosen.origin else base_and_adapter


def _values(chosen: Respondent, window: Window, question: str, answered: Answered, files: list[Path]) -> dict[str, Any]:
    reply, spec = answered.reply, chosen.spec
    return {
        "answer": reply.text,
        "finished": reply.finished,
        "tokens": reply.num_tokens,
        "prompt_tokens": reply.prompt_tokens or None,
        "question": question,
        "prompt": answered.prompt,
        "prompts": chosen.prompts or None,
        "video": window.video,
        "start_s": window.start_s,
        "end_s": window.end_s,
        "times_s": list(answered.times_s),
        "files": list(map(str, files)),
        "model": {
            "base": spec.base_name,
            "adapter": spec.adapter_name or None,
            "digest": answered.digest,
            "of": chosen.origin or None,
        },
        "seconds": {name: round(value, 3) for name, value in answered.seconds.items()},
    }
