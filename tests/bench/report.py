"""Measures report.html of a large run without its videos: bytes, CPU to write it the first time and again, and its way in Chromium.

python tests/bench/report.py [TRAIN_CLIPS]; "usable" is when the clips stand in the page and a filter has answered.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from engine.report.build import report_page
from engine.report.frames import MOST_BYTES
from engine.report.strips import Strip
from engine.rows import Clip, Window
from engine.run.reports import subject_of
from engine.run.work import read_seals, run_config
from engine.store.files import Store
from reported import a_run

STRIP_BYTES = 5_000
MEASURE = """() => {
  const began = performance.now();
  const outcome = document.querySelector('#filters [name=outcome]');
  outcome.value = 'rejected';
  outcome.dispatchEvent(new Event('input', { bubbles: true }));
  return [performance.getEntriesByType('navigation')[0].loadEventEnd, performance.now() - began];
}"""


def main(train_clips: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        a_run(Path(folder), train=train_clips, heldout=2_000, piece_clips=32)
        store = Store(folder)
        html = b""
        for what in ("the first time", "again"):
            began, began_cpu = time.monotonic(), time.process_time()
            html = report_page(subject_of(store, run_config(store), read_seals(store)), strips()).encode()
            print(f"written {what} in {time.process_time() - began_cpu:.1f} s of CPU, {time.monotonic() - began:.1f} s in all")
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"{train_clips + 2_000:,} clips: {len(html) / 1e6:.1f} MB; process at most {memory} MiB")
        path = Path(folder) / "report.html"
        path.write_bytes(html)
        open_in_chromium(path)


def strips() -> Callable[[Clip | Window], Strip]:
    """Strips as large as those of a real run, 3 to 8 kB, as many as a report may hold; nothing is decoded."""
    left = [Strip(picture="A" * STRIP_BYTES, width=396, height=96, caption="4 frames")] * (MOST_BYTES // STRIP_BYTES)
    return lambda clip: left.pop() if left else Strip(missing="the report holds as many frames as it may")


def open_in_chromium(path: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for _ in range(3):
            page = browser.new_page()
            page.goto(path.as_uri())
            loaded, filtered = page.evaluate(MEASURE)
            print(f"loaded and drawn after {loaded:.0f} ms, a filter answers in {filtered:.0f} ms")
            page.close()
        browser.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 50_000)
