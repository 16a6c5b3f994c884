"""Finishes the environment of vLLM's tests: PyPI's torchvision, torchaudio and torchcodec beside a torch that was built for CPUs.

tests/environments/build.py runs it with the environment's own Python. For environments of tests only.

PyPI's files of the three are built against CUDA. Beside a CPU torch the operators of torchvision do not load, and then two of its
modules, which only describe these operators to torch, stop the import: "operator torchvision::nms does not exist". No processor of
transformers calls such an operator: they resize and normalise pictures with torch's own. So the two imports are taken out of the
installed package. torchaudio and torchcodec, which decode, are taken out whole: transformers imports them where they are installed.
PyTorch's CPU index has wheels that need none of this, and tests have to work where it cannot be reached.
"""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

NEED_OPERATORS = ("_autograd_registrations", "_meta_registrations")
NEED_CUDA = ("torchaudio", "torchcodec")


def without_operators(source: str) -> str:
    """torchvision/__init__.py without the modules that need its operators.

    >>> without_operators("from torchvision import (\\n    _meta_registrations,\\n    io,\\n)")
    'from torchvision import (\\n    io,\\n)'
    >>> without_operators("from torchvision import _meta_registrations, ops")
    'from torchvision import ops'
    """
    for name in NEED_OPERATORS:
        source = re.sub(rf"\n? *\b{name},", "", source)
    return source


def main() -> None:
    """Change the packages of the Python that runs this, and show that torchvision imports."""
    subprocess.run([sys.executable, "-m", "pip", "uninstall", "--yes", "--quiet", *NEED_CUDA], check=True)
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise SystemExit("torchvision is not installed here")
    path = Path(spec.origin)
    path.write_text(without_operators(path.read_text()))
    import torchvision

    print(f"torchvision {torchvision.__version__} imports")


if __name__ == "__main__":
    main()
