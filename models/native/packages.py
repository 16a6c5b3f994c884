"""Packages that a model's processor imports and that are not here, named in one line with the remedy."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from models.base import ModelSpec


@contextmanager
def lacking_named(spec: ModelSpec) -> Iterator[None]:
    """For the lines that open or make a processor. Raises ValueError where a package is missing that they need."""
    from transformers.utils import is_torchvision_available, is_vision_available

    needs = {"torchvision": is_torchvision_available(), "pillow": is_vision_available()}
    lacks = [name for name, is_here in needs.items() if not is_here]
    try:
        if lacks:
            raise ImportError(f"pip install {lacks[0]}")
        yield
    except ImportError as error:
        package = re.findall(r"pip install ([\w.-]+)", str(error)) or [" ".join(str(error).split())[:160]]
        raise ValueError(f"{spec.base_name}: its processor needs {package[0]}; pip install 'starloop[native]'") from None
