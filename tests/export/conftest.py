"""What the readers of other tools need of their environment, before a test imports them.

LLaMA-Factory refuses versions of transformers and trl that it does not know, and its reader of rows imports torchaudio, whose
wheels of PyPI do not load beside a torch that was built for CPUs. No row needs it, so an empty module stands in its place.
"""

import importlib.machinery
import os
import sys
import tempfile
from types import ModuleType

os.environ.setdefault("DISABLE_VERSION_CHECK", "1")
os.environ["MODELSCOPE_CACHE"] = os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="starloop-loaders-")
os.environ["HF_HUB_OFFLINE"] = "1"
if importlib.machinery.PathFinder.find_spec("torchaudio") is None:
    sys.modules["torchaudio"] = ModuleType("torchaudio")
    sys.modules["torchaudio"].__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
