"""What spreads a finetune over its ranks: a file in this folder and a line of BACKENDS is all that another backend needs.

base       Backend and Session: what engine/train asks of a backend
deepspeed  ZeRO stages 0 to 3, optimizer states on the GPU or in CPU memory
"""

import importlib
from typing import cast

from engine.train.backends.base import Backend

BACKENDS = {"deepspeed": "engine.train.backends.deepspeed"}
"""TrainJob.backend -> the module that has the functions of base.py's Backend."""


def load_backend(name: str) -> Backend:
    """Raises ValueError for a name that is not in BACKENDS."""
    if name not in BACKENDS:
        raise ValueError(f"no training backend {name!r}; known are {', '.join(BACKENDS)}")
    return cast(Backend, importlib.import_module(BACKENDS[name]))
