"""What Ray's processes log. Each writes JSON lines to its standard error, which Ray keeps in its log files and sends to the driver.

Ray's own LoggingConfig is not used: its lines have no time zone and no logger, its handler is installed on the driver too, and a
process is of no run or step when it is configured. Ray's way of sending lines is used, and its way of printing them is not.
"""

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from engine.logs.lines import LOGGERS, JsonHandler, record_of

WORKERS = logging.getLogger("engine.workers")
WORKERS.propagate = False
"""Receives on the driver what the processes of Ray wrote: our own records, at their levels, and all other lines as DEBUG.

It does not propagate: who wants them adds a handler."""
NAME = "starloop"
"""Of the handler, in Ray's list of those that receive the lines."""
LAST_WORDS_S = 0.5
"""After an error, the lines of the process that it came from are waited for so long: Ray reads log files a few times a second."""


def write_json_lines() -> None:
    """Let our loggers write to this process's standard error; called again, it does nothing. For Ray's processes only."""
    for logger in map(logging.getLogger, LOGGERS):
        if not any(isinstance(handler, JsonHandler) for handler in logger.handlers):
            logger.addHandler(JsonHandler(sys.stderr))
            logger.setLevel(logging.INFO)
            logger.propagate = False


@contextmanager
def forwarded() -> Iterator[None]:
    """Within the block, give WORKERS what Ray would print: ray.init(log_to_driver=True) has come before."""
    from ray._private.ray_logging import global_worker_stdstream_dispatcher as dispatcher

    dispatcher.remove_handler("ray_print_logs")
    dispatcher.add_handler(NAME, take)
    try:
        yield
    except Exception:
        time.sleep(LAST_WORDS_S)
        raise
    finally:
        dispatcher.remove_handler(NAME)


def take(batch: Mapping[str, Any]) -> None:
    """Lines of one process, as Ray sends them: {"ip", "pid", "lines", "actor_name", "task_name", ...}."""
    if batch.get("pid") == "autoscaler":  # it repeats its whole status every five seconds
        return
    source = f"{batch.get('actor_name') or batch.get('task_name') or 'process'} {batch.get('pid', '?')} on {batch.get('ip', '?')}"
    for line in batch["lines"]:
        record = record_of(line) or logging.makeLogRecord(
            {"name": WORKERS.name, "levelno": logging.DEBUG, "levelname": "DEBUG", "msg": line}
        )
        record.source = source
        WORKERS.handle(record)
