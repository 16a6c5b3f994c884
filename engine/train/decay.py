"""Which trained parameters AdamW's weight decay shrinks: pure."""

from collections.abc import Iterable
from typing import Any

from engine.config import Train


def decays(name: str, parameter: Any) -> bool:
    """Whether a parameter is a matrix, and no bias or norm: PLLaVA's own rule, by shape and by name.

    Under ZeRO-3 a parameter that is shared out is flat, and `ds_shape` says what it was.
    """
    return len(getattr(parameter, "ds_shape", parameter.shape)) > 1 and not name.endswith(".bias")


def groups_of(named: Iterable[tuple[str, Any]], train: Train) -> list[dict[str, Any]]:
    """The optimizer's groups of trained parameters, none of them empty.

    >>> import numpy as np
    >>> layer = [("linear.weight", np.zeros((2, 2))), ("linear.bias", np.zeros(2)), ("norm.weight", np.zeros(2))]
    >>> [(len(group["params"]), group["weight_decay"]) for group in groups_of(layer, Train(weight_decay=0.1, decay="matrices"))]
    [(1, 0.1), (2, 0.0)]
    >>> [(len(group["params"]), group["weight_decay"]) for group in groups_of(layer, Train(weight_decay=0.1))]
    [(3, 0.1)]
    """
    shrunk, others = list[Any](), list[Any]()
    for name, parameter in named:
        (shrunk if train.decay == "all" or decays(name, parameter) else others).append(parameter)
    groups = [{"params": shrunk, "weight_decay": train.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
