"""Rows, steps, Ray: the loop around a video LLM, which it sees through models/base.py and models/registry.py alone.

A step of the plan is a folder: step.py (what the driver does), the file that Ray runs, and pure functions beside them.

section    what all sections of the configuration have
engines    the sections of vLLM and of servers
judging    the section of the judge
config     RunConfig: everything that decides a run
presets    how a configuration is read
reference  every key of it with default, type and meaning, as TOML or as a page
quantities numbers with the noun that they count
rows       every table's columns
labels     what a human said about a clip: one class for each kind
memory     what a long-lived process keeps
flow       stages through Ray Data
connection to a Ray cluster
logs       where log records come from, and how they are written and reach the driver
store      filesystems, files of a run, weights of a model
metrics    the table of a run's metrics, and what Prometheus and Grafana read of it
language   words, negation, numbers and times of a text; no verdicts
run        the loop, the plan, seals and the lease; status, doctor, resources
ingest     the ingest step: manifest or dataset to clips in parts
decode     a video's frames, in a process of their own
verify     does an answer contain its label?
generate   the generate step: answer, verify, rationalize, verify
episodes   in-context episodes
select     the select step: which attempts become examples
train      the train step: finetune the base
evaluate   the evaluate step: accuracy; few_shot: the curve over numbers of shots
report     the page that a run leaves
export     kept rows in the formats of other tools, and the cards that a hub shows
estimate   what a run will take
extend     a run that continues another one with a changed manifest
inspect    one clip's story, two runs side by side, where an example comes from
library    what a notebook or a script imports from here: verify, load_attempts and others (docs/library.md)

`import engine` imports none of them: a name of the library is looked up when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.library import Rows as Rows
    from engine.library import load_attempts as load_attempts
    from engine.library import load_clips as load_clips
    from engine.library import load_examples as load_examples
    from engine.library import load_summary as load_summary
    from engine.library import verify as verify

__version__ = "0.1.0"
__all__ = ["Rows", "__version__", "load_attempts", "load_clips", "load_examples", "load_summary", "verify"]


def __getattr__(name: str) -> Any:
    """A name of the library. `verify` is the package engine.verify, which can be called (engine/verify/__init__.py)."""
    if name not in __all__:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    return (
        importlib.import_module("engine.verify") if name == "verify" else getattr(importlib.import_module("engine.library"), name)
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
