"""Random windows of every container and codec at hand, against a full decode: a table of wrong and refused ones.

    PYTHONPATH=.:tests python tests/bench/windows.py --windows 40

Exit status 1 if a single window gives a wrong frame.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import av.logging

from numbered import PAIRS, count_wrong, write_pair


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=40, help="of each pair")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    av.logging.set_level(av.logging.PANIC)
    num_wrong = num_refused = 0
    with tempfile.TemporaryDirectory(prefix="starloop-windows-") as folder:
        print(f"{'container, codec':40} windows  wrong  refused  seconds")
        for index, pair in enumerate(PAIRS):
            path, began = write_pair(Path(folder), index), time.monotonic()
            wrong, refused = count_wrong(path, pair, arguments.windows, arguments.seed)
            num_wrong, num_refused = num_wrong + len(wrong), num_refused + len(refused)
            print(f"{pair!s:40} {arguments.windows:7} {len(wrong):6} {len(refused):8} {time.monotonic() - began:8.1f}", flush=True)
            for line in [*wrong[:3], *refused[:3]]:
                print(f"    {line}")
    print(f"{len(PAIRS)} pairs, {len(PAIRS) * arguments.windows} windows: {num_wrong} wrong, {num_refused} refused")
    sys.exit(bool(num_wrong))


if __name__ == "__main__":
    main()
