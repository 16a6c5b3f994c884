"""The command line in tests: called in this process, and, for what only a process of its own shows, as a user starts it."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any
from unittest import mock

ROOT = Path(__file__).parents[1]
Done = subprocess.CompletedProcess[str]


def starloop(*arguments: str, cwd: Path = ROOT, environment: Mapping[str, str] | None = None) -> Done:
    """Call the command in this process, which has the imports already and perhaps a Ray: a connected Ray is used, none is started.

    The command begins as a new process would: its own folder, environment, streams, log handlers and signal handlers, and no
    open filesystems. Everything is put back afterwards.
    """
    from engine.logs.lines import choose_format
    from jobs.cli import main

    settings = mock.patch.dict(os.environ, environment or {})
    program = mock.patch.object(sys, "argv", ["starloop", *arguments])
    with contextlib.chdir(cwd), settings, program, _new_libraries(), _own_logging(), _own_streams() as (out, err):
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            status = _status_of(main)
        finally:
            choose_format("text")
            for number, handler in handlers.items():
                signal.signal(number, handler)
        texts = [_text(stream) for stream in (out, err)]
    return subprocess.CompletedProcess(arguments, status, *texts)


def process(*arguments: str, cwd: Path = ROOT, timeout_s: float = 120, environment: Mapping[str, str] | None = None) -> Done:
    """Run the command in a process of its own: some 8 CPU seconds of imports where it loads a model, and a Ray of its own."""
    return subprocess.run(
        [sys.executable, "-m", "jobs", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def options(settings: list[str]) -> list[str]:
    """
    >>> options(["train.lr=1e-3", "run.uri=r"])
    ['--set', 'train.lr=1e-3', '--set', 'run.uri=r']
    """
    return [word for setting in settings for word in ("--set", setting)]


def _status_of(main: Any) -> int:
    """The exit status; what the interpreter would print on the way out is printed."""
    try:
        main()
    except SystemExit as ending:
        if isinstance(ending.code, str):
            print(ending.code, file=sys.stderr)
        return ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except Exception:
        traceback.print_exc()
        return 1
    return 0


@contextlib.contextmanager
def _own_streams() -> Iterator[tuple[IO[str], IO[str]]]:
    """Standard output and standard error as files: for Python, for C libraries and for processes that are started meanwhile."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+", buffering=1) as err:
        saved = os.dup(1), os.dup(2)
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                yield out, err
        finally:
            for number, descriptor in enumerate(saved, start=1):
                os.dup2(descriptor, number)
                os.close(descriptor)


def _text(stream: IO[str]) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


@contextlib.contextmanager
def _own_logging() -> Iterator[None]:
    """No handlers of pytest's: a warning that nobody handles is printed to standard error, as in a new process."""
    loggers = [logging.getLogger(), logging.getLogger("engine")]
    saved = [(logger.level, logger.propagate, logger.handlers[:]) for logger in loggers]
    loggers[0].handlers.clear()
    loggers[0].setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, (level, propagate, handlers) in zip(loggers, saved, strict=True):
            logger.setLevel(level)
            logger.propagate, logger.handlers[:] = propagate, handlers


@contextlib.contextmanager
def _new_libraries() -> Iterator[None]:
    """s3fs keeps filesystems, credentials included, by their options alone; transformers keeps whether it shows progress bars."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    if "transformers" in sys.modules:
        sys.modules["transformers.utils.logging"].enable_progress_bar()
    try:
        yield
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
