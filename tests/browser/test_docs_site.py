"""Pins the docs site in a real browser: no request leaves the machine, axe-core finds nothing, and the keyboard is seen."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
PAGES = ("index", "report", "configuration", "api")
"""The first page; one with pictures and tables; the one with the widest tables; one made of docstrings."""
SEEN = """() => {
  const active = document.activeElement, style = getComputedStyle(active);
  return [active.tagName, style.outlineStyle, parseFloat(style.outlineWidth)];
}"""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make docs` builds it."""
    folder = tmp_path_factory.mktemp("docs")
    options = ["--quiet", "--fail-on-warning", "--keep-going", "--builder", "html", "--doctree-dir", str(folder / "cache")]
    subprocess.run([sys.executable, "-m", "sphinx", *options, "docs", str(folder / "site")], cwd=ROOT, check=True, timeout=280)
    return folder / "site"


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_violation_and_no_request_leaves(chromium: Any, site: Path, name: str, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="make test-browser installs axe-core")
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    requests = list[str]()
    page.on("request", lambda request: requests.append(request.url))
    page.goto((site / f"{name}.html").as_uri())
    found = axe.Axe().run(page).response["violations"]
    page.close()
    assert len(requests) > 3
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert [(rule["id"], node["html"]) for rule in found for node in rule["nodes"]] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_where_the_keyboard_is_can_be_seen(chromium: Any, site: Path, scheme: str) -> None:
    page = chromium.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page.goto((site / "report.html").as_uri())
    reached = []
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(SEEN))
    page.close()
    assert {"A", "INPUT", "BUTTON", "PRE"} <= {tag for tag, _, _ in reached}
    assert [stop for stop in reached if stop[0] != "BODY" and (stop[1] == "none" or stop[2] < 2)] == []
