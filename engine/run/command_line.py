"""The command line that works on a run, as a person would type it again, without secrets. Pure."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from engine.store.filesystems import SECRET
from engine.store.locations import MASK, masked

OURS = ("starloop", "__main__.py")
"""Names of the program's own files: the script, and `python -m jobs`."""
WORDS = re.compile(r"(?<![a-z])key(?![a-z])|signature|authorization", re.IGNORECASE)
COUNTS = re.compile(r"(?:^|_)tokens$", re.IGNORECASE)
"""Keys such as max_tokens, whose tokens are none that open anything."""


def command_line(arguments: Sequence[str]) -> str:
    """`arguments`: as sys.argv has them.

    >>> command_line(["/venv/bin/starloop", "selftrain", "run.toml", "--set", "train.lr=1e-4", "--set", "storage.s3.profile=mine"])
    "starloop selftrain run.toml --set train.lr=1e-4 --set 'storage.s3.profile=***'"
    >>> command_line(["jobs/__main__.py", "ingest", "https://me:pass@host/a.csv?sig=abc", "--api-token", "abc"])
    "starloop ingest 'https://***@host/a.csv?***' --api-token '***'"
    """
    if not arguments:
        return ""
    name = PurePath(arguments[0]).name
    return shlex.join(["starloop" if name in OURS else name, *_masked(arguments[1:])])


def _masked(arguments: Sequence[str]) -> Iterator[str]:
    """An option's value may be an argument of its own, or follow the option's name after an equals sign."""
    option = ""
    for argument in arguments:
        is_option = argument.startswith("-")
        name, equals, value = argument.partition("=")
        if is_option and name == "--set" and equals:
            yield f"--set={_setting(value)}"
        elif is_option and equals:
            yield f"{name}={MASK if is_secret(name.strip('-')) else masked(value)}"
        elif is_option:
            yield argument
        elif option == "--set":
            yield _setting(argument)
        else:
            yield MASK if option and is_secret(option.strip("-")) else masked(argument)
        option = argument if is_option and not equals else ""


def _setting(text: str) -> str:
    """KEY=VALUE: options of storage and values of secret keys are masked, whatever they are."""
    key, equals, value = text.partition("=")
    is_hidden = key.strip().split(".")[0] == "storage" or any(map(is_secret, key.strip().split(".")))
    return f"{key}{equals}{MASK if equals and is_hidden else masked(value)}"


def is_secret(key: str) -> bool:
    """
    >>> [key for key in ("api_key", "key_env", "hf-token", "max_tokens", "lr", "monkey", "keywords") if is_secret(key)]
    ['api_key', 'key_env', 'hf-token']
    """
    return bool(SECRET.search(key) or WORDS.search(key)) and not COUNTS.search(key)
