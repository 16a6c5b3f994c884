"""The command line: its commands are in jobs/commands; here is how one begins, is interrupted, and ends with an error."""

import errno
import gc
import os
import shutil
import signal
import sys
import textwrap
import threading
import time
from typing import NoReturn

from engine.logs.lines import choose_format, chosen_format, json_line, utc
from jobs.commands import cluster, data, look, loop, models, start
from jobs.commands.app import app
from jobs.exits import Exit

COMMANDS = (start, data, loop, look, models, cluster)
"""Modules that add their commands to the application when they are imported."""


def _wrapped(text: str) -> str:
    """The text with its lines broken at words where a terminal is narrower; elsewhere it stays one line, to be searched."""
    if not sys.stderr.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return textwrap.fill(text, max(20, width - 1), break_long_words=False, break_on_hyphens=False)


AGAIN_S = 0.05
"""Until a signal whose exception Python has dropped is sent again."""
USERS_ERRORS = ("ValueError", "StorageError", "ChildProcessError", "ModelAway")
"""Errors that name what a user can do; by name, because --help must not wait for imports. All others keep their traceback."""


def _end(error: Exception) -> NoReturn:
    """End the command with an error in one line, or go on raising it."""
    is_users = isinstance(error, ValueError) or type(error).__name__ in USERS_ERRORS
    if chosen_format() == "json":
        from jobs.json_log import complain

        complain(error, is_users)
        sys.exit(Exit.FAILED)
    if is_users:
        sys.exit(_wrapped(f"error: {error}"))
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        sys.exit(f"error: the output cannot be written: {error.strerror}")
    raise error


def main() -> None:
    choose_format("text")
    signals: list[int] = []
    dropped: list[int] = []
    """Signals that are sent again."""
    process, stderr = os.getpid(), os.dup(2)

    def write(signal_name: str) -> None:
        """To the user's standard error: while Ray starts, this process's own leads elsewhere."""
        line = f"{signal_name}; run the same command again to continue"
        if chosen_format() == "json":
            line = json_line(
                {"time": utc(time.time()), "severity": "WARNING", "level": "WARNING", "logger": "jobs", "message": line}
            )
        line += "\n"
        if os.getpid() != process:  # a process that was forked inherits the handlers, and has nothing to continue
            return
        if os.path.sameopenfile(2, stderr):
            sys.stderr.write(line)  # a live view prints it above itself
        else:
            os.write(stderr, line.encode())

    def terminated(number: int, frame: object) -> None:
        """With SIGTERM systemd and Kubernetes stop a job. Leaving by an exception releases the lease."""
        arrived(number, "terminated")
        sys.exit(Exit.TERMINATED)

    def interrupted(number: int, frame: object) -> None:
        """Ctrl-C, likewise. It stays an exception of its own: a live view and the follower of a job end by it."""
        arrived(number, "interrupted")
        raise KeyboardInterrupt

    def arrived(number: int, signal_name: str) -> None:
        signals.append(number)
        if number in dropped:
            dropped.remove(number)
        else:
            write(signal_name)

    def ignored(what: "sys.UnraisableHookArgs") -> None:
        """Python drops what is raised in the callback of a weak reference or in __del__, where a signal may find this process."""
        if signals and what.exc_type in (KeyboardInterrupt, SystemExit) and os.getpid() == process:
            dropped.append(signals[-1])
            threading.Timer(AGAIN_S, os.kill, (process, signals[-1])).start()
        else:
            before(what)

    before, sys.unraisablehook = sys.unraisablehook, ignored
    signal.signal(signal.SIGTERM, terminated)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell lets what runs in the background ignore it
        signal.signal(signal.SIGINT, interrupted)
    try:
        app()
    except SystemExit as ending:
        if ending.code == signal.SIGTERM:  # by Ray's own handler, while Ray starts
            terminated(signal.SIGTERM, None)
        raise
    except Exception as error:
        _end(error)
    finally:
        sys.unraisablehook = before
        if signals:  # whatever libraries have made of the exception
            sys.exit(Exit.TERMINATED if signal.SIGTERM in signals else Exit.INTERRUPTED)
        gc.freeze()  # the process ends: without this the garbage collector would look at every imported module first
