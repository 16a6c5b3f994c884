"""Downloads a Debian package once, without installing it, and prints the folder of its programs; or that of the installed ones.

    python tests/environments/debian.py prometheus

The package is unpacked into the user's cache, for tests that start a real server of it.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from build import READY, cache


def programs(package: str) -> Path:
    """Raises FileNotFoundError where neither the program is installed nor apt-get can download the package."""
    if installed := shutil.which(package):
        return Path(installed).parent
    folder = cache() / f"debian-{package}"
    if not (folder / READY).is_file():
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            raise FileNotFoundError(f"install {package}: this machine has no apt-get to download it with")
        with tempfile.TemporaryDirectory() as download:
            subprocess.run(["apt-get", "download", package], cwd=download, check=True, stdout=sys.stderr, timeout=300)
            folder.mkdir(parents=True, exist_ok=True)
            (archive,) = Path(download).glob("*.deb")
            subprocess.run(["dpkg", "-x", str(archive), str(folder)], check=True, stdout=sys.stderr, timeout=300)
        (folder / READY).touch()
    return folder / "usr" / "bin"


if __name__ == "__main__":
    try:
        print(programs(sys.argv[1]))
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        sys.exit(str(error))
