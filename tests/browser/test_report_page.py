"""Pins the report in a real browser: filters, search, sorting, the audit's file, keys, phone, print, accessibility, no request."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from engine.audit.audit import audits, take_back
from engine.run.work import read_seals
from engine.store.files import Store

pytestmark = pytest.mark.browser


def shown(page: Any) -> list[str]:
    """The ids of the clips that are on the page."""
    texts = page.locator("#clip-list .clip header p.soft:first-of-type, #clip-list .clip header p.soft").all_inner_texts()
    return [match[0] for text in texts if (match := re.match(r"(train|heldout)-\d{5}", text))]


def choose(page: Any, name: str, value: str) -> None:
    page.locator(f"#filters [name={name}]").select_option(value)


def count(page: Any) -> int:
    return int(page.locator("#clip-count").inner_text().split(" ")[0])


def test_filters_are_of_the_same_attempt(page: Any) -> None:
    assert count(page) == 64
    choose(page, "outcome", "failed")
    assert count(page) == 2
    assert sorted(shown(page)) == ["train-00019", "train-00039"]
    choose(page, "mode", "rationalized")
    assert count(page) == 0
    page.get_by_role("button", name="Clear").click()
    page.locator("#clip-count", has_text=re.compile("^64 ")).wait_for()
    choose(page, "split", "heldout")
    choose(page, "label", "shrinking")
    assert count(page) == 2
    assert {label.inner_text() for label in page.locator(".clip h3").all()} == {"shrinking"}


def test_search_finds_all_words_in_any_answer(page: Any) -> None:
    page.locator("#filters [name=text]").fill("ONERROR twice")
    assert shown(page) == ["train-00002"]
    assert page.locator("#clip-list img[src=x]").count() == 0
    page.locator("#filters [name=text]").fill("train-00007")
    assert shown(page) == ["train-00007"]


def test_pages_turn_and_sorting_holds_across_them(page: Any) -> None:
    choose(page, "sort", "id")
    first = shown(page)
    page.locator("#next").click()
    assert first == sorted(first)
    assert first[-1] < shown(page)[0]
    assert page.locator("#page-number").inner_text() == "13 to 24"
    page.locator("#previous").click()
    assert page.locator("#previous").is_disabled()


def test_a_reason_and_a_label_lead_to_their_clips(page: Any) -> None:
    page.locator("[data-reason=label_missing]").click()
    assert page.locator("#filters [name=reason]").input_value() == "label_missing"
    assert 0 < count(page) < 64
    page.locator("[data-label=rising]").click()
    assert page.locator("#filters [name=label]").input_value() == "rising"
    assert page.locator("#filters [name=reason]").input_value() == ""


def test_a_label_of_which_no_clip_is_shown_says_so(chromium: Any, reported: Path, tmp_path: Path) -> None:
    """A large run shows a part of its clips, and its tables name all labels."""
    html = (reported / "report.html").read_text()
    found = re.search(r'(<script type="application/json" id="data">)(.*?)(</script>)', html, re.DOTALL)
    assert found
    data = json.loads(found[2])
    data["stories"] = [story for story in data["stories"] if story["label"] != "shrinking"]
    text = json.dumps(data).replace("<", "\\u003c")
    (tmp_path / "part.html").write_text(html[: found.start(2)] + text + html[found.end(2) :])
    page = chromium.new_page()
    page.goto((tmp_path / "part.html").as_uri())
    page.locator("[data-label=shrinking]").click()
    assert page.locator("#filters [name=label]").input_value() == "shrinking"
    assert page.locator("#clip-count").inner_text() == f"0 of {len(data['stories'])} clips on this page"
    assert shown(page) == []
    page.close()


def test_notes_of_an_audit_survive_two_reloads(page: Any) -> None:
    rows = page.locator(".question")
    rows.nth(0).get_by_label("drop").check()
    rows.nth(3).get_by_label("Note").fill("a note alone")
    for _ in range(2):
        page.reload()
        assert rows.nth(0).get_by_label("drop").is_checked()
        assert rows.nth(3).get_by_label("Note").input_value() == "a note alone"


def test_what_decided_is_marked_beside_frames_or_the_reason_for_none(page: Any) -> None:
    page.locator("#filters [name=text]").fill("train-00001")
    clip = page.locator(".clip")
    assert clip.locator(".attempt.kept mark").all_inner_texts()[0] == "sinking"
    assert clip.locator(".step h4").all_inner_texts() == ["cycle 0 generate", "cycle 1 generate"]
    picture = clip.locator("img.strip")
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
    assert "frames that the model watches" in picture.get_attribute("alt")
    page.locator("#filters [name=text]").fill("train-00030")
    assert "no such video" in page.locator(".clip .gone").inner_text()


def test_labels_are_sorted_by_number_and_searched(page: Any) -> None:
    table = page.locator("#label-table")
    table.get_by_role("button", name="held-out clips").click()
    clips = [int(text) for text in table.locator("tbody td:nth-child(5)").all_inner_texts()]
    assert clips == sorted(clips, reverse=True)
    assert table.locator("th[aria-sort=descending]").inner_text().strip().startswith("held-out clips")
    table.get_by_role("button", name="held-out clips").click()
    clips = [int(text) for text in table.locator("tbody td:nth-child(5)").all_inner_texts()]
    assert clips == sorted(clips)
    page.locator("#label-search").fill("mov")
    assert table.locator("tbody tr:visible th").all_inner_texts() == ["moving left"]
    assert page.locator("#label-count").inner_text() == "1 of 5 labels"


def test_the_audit_goes_out_as_a_file_and_comes_back(page: Any, reported: Path, tmp_path: Path) -> None:
    rows = page.locator(".question")
    rows.nth(0).get_by_label("drop").check()
    rows.nth(1).get_by_label("keep").focus()
    page.keyboard.press("u")
    rows.nth(2).get_by_label("keep").check()
    rows.nth(2).get_by_label("Note").fill('=SUM("a"),\nkeep d')
    assert page.locator("#audit-count").inner_text().startswith("3 of ")
    with page.expect_download() as download:
        page.locator("#export").click()
    path = tmp_path / "audit.csv"
    download.value.save_as(path)
    written = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    assert [row["people"] for row in written[:4]] == ["drop", "unsure", "keep", ""]
    assert written[2]["note"].startswith("'=SUM")
    store = Store(str(reported))
    taken = take_back(store, read_seals(store), str(path))
    assert sorted(review.people for review in taken) == ["drop", "keep", "unsure"]
    [audit] = audits(store, read_seals(store))
    assert (audit.judged, audit.unsure) == (2, 1)


def test_the_page_works_by_keyboard_alone(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.name || document.activeElement.id"))
    assert {"text", "split", "label", "step", "mode", "outcome", "reason", "fate", "sort", "next"} <= reached
    page.locator("#filters [name=text]").focus()
    page.keyboard.type("train-00007")
    page.keyboard.press("Enter")
    assert shown(page) == ["train-00007"]
    assert page.url.endswith("report.html#clips")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_no_violation(chromium: Any, reported: Path, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="make test-browser installs axe-core")
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
    page.goto((reported / "report.html").as_uri())
    found = axe.Axe().run(page).response["violations"]
    page.close()
    assert [(rule["id"], node["html"]) for rule in found for node in rule["nodes"]] == []


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(chromium: Any, reported: Path, width: int) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 844})
    page.goto((reported / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.close()


def test_paper_has_no_controls_and_keeps_the_figures(chromium: Any, reported: Path) -> None:
    page = chromium.new_page(viewport={"width": 800, "height": 900}, color_scheme="dark")
    page.goto((reported / "report.html").as_uri())
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert not page.locator("#filters").is_visible()
    assert page.locator("#label-table").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.close()


def test_no_motion_where_none_is_wanted(chromium: Any, reported: Path) -> None:
    page = chromium.new_page(reduced_motion="reduce")
    page.goto((reported / "report.html").as_uri())
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    page.close()
