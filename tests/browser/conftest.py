"""A headless Chromium, and the report of a small run in it. All is skipped where Chromium or its driver is not installed."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.report.build import report_page
from engine.run.reports import subject_of
from engine.run.work import read_seals, run_config
from engine.store.files import Store
from reported import CURVE, a_run
from videos import write_counting

CHROMIUM = os.environ.get("STARLOOP_TEST_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A playwright Browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make test-browser installs it")
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine: install it, or name one in STARLOOP_TEST_CHROMIUM")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with its report; the first three clips of each split have a video."""
    folder = tmp_path_factory.mktemp("browser")
    for number in range(3):
        write_counting(folder / f"{number}.mp4", list(range(0, 2000, 40)))
    run = folder / "run"
    a_run(run, videos=folder)
    store = Store(str(run))
    store.write("few-shot/curve.json", json.dumps(CURVE).encode())
    (run / "report.html").write_text(report_page(subject_of(store, run_config(store), read_seals(store))))
    return run


class Watched:
    """A page, and all that went wrong in it."""

    def __init__(self, page: Any) -> None:
        self.page, self.troubles = page, list[str]()
        page.on("console", lambda message: self.troubles.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        page.on("request", lambda request: self._note(request.url))

    def _note(self, url: str) -> None:
        if not url.startswith(("file:", "data:", "blob:")):
            self.troubles.append(f"request: {url}")


@pytest.fixture
def page(chromium: Any, reported: Path) -> Iterator[Any]:
    """The report in a window of 1280 pixels. What its console says, and any request, fails the test."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    watched = Watched(context.new_page())
    watched.page.goto((reported / "report.html").as_uri())
    yield watched.page
    context.close()
    assert watched.troubles == []
