"""Exit statuses of the commands: what each means, for the program, for `starloop --help`, and for scripts."""

import signal
from enum import IntEnum


class Exit(IntEnum):
    """sys.exit(Exit.UNKNOWN)"""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNKNOWN = 75
    """EX_TEMPFAIL of sysexits.h."""
    INTERRUPTED = 128 + signal.SIGINT
    TERMINATED = 128 + signal.SIGTERM


MEANINGS: dict[Exit, str] = {
    Exit.DONE: "Done, or there was nothing to do.",
    Exit.FAILED: "An error, in one line on standard error; a check of doctor failed; or nobody reads the output any more.",
    Exit.USAGE: "The command line is wrong: an unknown command or option, or an argument is missing.",
    Exit.UNKNOWN: "The job server does not answer any more, so nobody knows how the job ended; it may run on.",
    Exit.INTERRUPTED: "Ctrl-C. A run goes on with the same command; a submitted job runs on.",
    Exit.TERMINATED: "SIGTERM, likewise.",
}
"""submit and attach also exit with the status of the job that they follow."""


def epilog() -> str:
    """The table as paragraphs, each of which typer prints as one line."""
    rows = [f"{status.value:>3}  {meaning}" for status, meaning in MEANINGS.items()]
    return "\n\n".join(["Exit statuses (submit and attach: the job's own, or 75):", *rows])
