"""Builds a virtual environment for tests that the ordinary one cannot run, once for each list of packages, and prints its Python.

    python tests/environments/build.py native

The lists are dpo.txt, lmms.txt, native.txt, parse.txt, skypilot.txt, trackers.txt and vllm.txt: names and versions. An
environment lies in the user's cache under the digest of its list, so that every checkout of the same list uses it. NAME.py
beside the list, where there is one, is run in it at the end.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
READY = ".ready"


def environment(name: str) -> Path:
    """The folder of the environment, built where it is not there. Raises ValueError for a name without a list."""
    packages, finish = HERE / f"{name}.txt", HERE / f"{name}.py"
    if not packages.is_file():
        raise ValueError(f"no {packages}; lists are {', '.join(sorted(path.stem for path in HERE.glob('*.txt')))}")
    parts = [sys.version.encode(), packages.read_bytes(), finish.read_bytes() if finish.is_file() else b""]
    folder = cache() / f"{name}-{hashlib.sha256(b'/'.join(parts)).hexdigest()[:12]}"
    if not (folder / READY).is_file():
        print(f"{folder}: is built from {packages.name}, which takes some minutes", file=sys.stderr)
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        _run(_python(folder), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(packages))
        if finish.is_file():
            _run(_python(folder), str(finish))
        (folder / READY).touch()
    return folder


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "starloop" / "test-environments"


def _python(folder: Path) -> str:
    return str(folder / "bin" / "python")


def _run(*command: str) -> None:
    """What it prints goes to the standard error: the standard output is the answer."""
    subprocess.run(command, check=True, stdout=sys.stderr)


if __name__ == "__main__":
    try:
        print(_python(environment(sys.argv[1])))
    except (ValueError, subprocess.CalledProcessError) as error:
        sys.exit(str(error))
