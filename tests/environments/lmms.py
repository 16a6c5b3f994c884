"""Finishes the environment of lmms-eval's tests: lmms-eval without what it asks for, beside the versions of lmms.txt.

tests/environments/build.py runs it with the environment's own Python.
"""

import subprocess
import sys

LMMS_EVAL = "lmms-eval==0.7.3"

if __name__ == "__main__":
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", LMMS_EVAL], check=True)
