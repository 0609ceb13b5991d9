"""Moving thresholds, reading quality and handing over a shift, in a real browser."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from cloud.app import create_app
from cloud.configuration.shifts import ShiftSettings
from cloud.records.database import Database
from cloud.records.rollup_worker import RollupWorker
from cloud.records.store import RecordStore
from cloud.web.context import Backstage
from cloud.web.http_server import HttpServer
from shared.clock import ManualClock
from shared.plugins.candidates import MemoryShelf
from shared.worker import DeadWorkers
from tests.bundles import make_bundle
from tests.cloud.dashboard.test_thresholds import Shelves
from tests.cloud.makers import NOON, inspection, tail
from tests.cloud.thresholds.certified import certified
from tests.cloud.web.caller import access_to
from tests.cloud.web.test_api import healthy
from tests.support.databases import place_migrated

pytestmark = pytest.mark.process

DAY_S = 86_400
LINES = ("line-1", "line-2", "line-3")


@dataclass(frozen=True)
class Plant:
    url: str
    shelf: MemoryShelf


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Three lines over six days; on the last one line 1 rejects a fifth of its parts."""
    folder = tmp_path_factory.mktemp("quality")
    database = Database(f"sqlite:///{place_migrated(Database, folder / 'records.db')}")
    clock = ManualClock(utc=NOON)
    bundle = certified(make_bundle(folder / "tiny"), folder / "certified")
    _fill(database, bundle.id)
    RollupWorker(database, clock, DeadWorkers()).roll()
    shelf = MemoryShelf(folder / "candidates")
    app = create_app(
        Backstage(
            database,
            healthy,
            clock=clock,
            access=access_to(database, clock),
            services=[Shelves(shelf)],
            bundles=lambda: [bundle],
            shifts=ShiftSettings(),
            stopping=threading.Event(),
        )
    )
    server = HttpServer(app, "127.0.0.1", 0, DeadWorkers())
    server.start()
    yield Plant(server.url, shelf)
    server.stop()
    database.close()


def _fill(database: Database, bundle: str) -> None:
    rows, tails = [], []
    for number in range(3600):
        at, line = NOON - 6 * DAY_S + number * 143, LINES[number % 3]
        bad = number % 20 < (5 if number > 3000 and line == "line-1" else 1)
        sent = {"decision": "escalate", "decided_by": "cloud", "verdict": "reject"}
        own = sent if bad else {}
        rows.append(inspection(number, line=line, received_at=at, bundle=bundle, **own))
        if bad:
            kind = "crack" if number % 3 else "a rather long kind of defect"
            tails.append(tail(number, line=line, received_at=at, kind=kind))
    RecordStore(database).save(rows, tails)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened, complaints = context.new_page(), list[str]()
    opened.on(
        "console", lambda said: complaints.append(said.text) if said.type == "error" else None
    )
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    context.close()
    assert complaints == []


def figures(page: Page) -> dict[str, str]:
    """What the table says of the marks."""
    found = page.locator("[data-figure]").evaluate_all(
        "cells => cells.map(cell => [cell.dataset.figure, cell.textContent])"
    )
    return {name: " ".join(text.split()) for name, text in found}


def test_a_mark_moves_by_keys_and_the_figures_are_those_that_the_server_counts(
    page: Page, plant: Plant
) -> None:
    page.goto(f"{plant.url}/thresholds")
    mark = page.locator('[data-mark="pass_below"]')
    mark.focus()
    before = int(mark.get_attribute("aria-valuenow") or 0)
    for _ in range(3):
        page.keyboard.press("PageUp")
    page.keyboard.press("Shift+ArrowLeft")
    assert int(mark.get_attribute("aria-valuenow") or 0) == before + 299
    expect(page.locator("#promise")).to_contain_text("The head passes too much")
    said = figures(page)
    # The address is this view: whoever opens it is told the same by the server, script or not.
    expect(page).to_have_url(re.compile("pass_below="))
    with_script = page.url
    plain = page.context.browser.new_context(java_script_enabled=False)  # type: ignore[union-attr]
    other = plain.new_page()
    other.goto(with_script)
    told = {
        cell.get_attribute("data-figure"): " ".join(cell.inner_text().split())
        for cell in other.locator("[data-figure]").all()
    }
    plain.close()
    assert told == said
    assert said["escapes"] != "0 of 80"


def test_a_mark_is_dragged_and_saved_as_a_candidate_with_a_reason(page: Page, plant: Plant) -> None:
    page.goto(f"{plant.url}/thresholds")
    mark = page.locator('[data-mark="pass_below"]')
    box = mark.locator(".grip").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] - 60, middle, steps=5)
    page.mouse.up()
    expect(page.locator("#promise")).to_contain_text("The promise holds")
    threshold = float(page.locator('#save input[name="pass_below"]').input_value())
    page.get_by_label("Your name").fill("ada")
    page.get_by_label("Why").fill("fewer escapes at the edge")
    page.get_by_role("button", name="Save as a candidate").click()
    expect(page.locator(".done")).to_contain_text("Saved as the candidate tiny-1.0.1")
    (offered,) = plant.shelf.offered
    assert offered.certified
    said = re.search(r"pass below ([0-9.e-]+)", offered.gate)
    assert said is not None
    assert float(said.group(1)) == pytest.approx(threshold, rel=0.01)


def test_a_jump_is_marked_in_the_chart_and_in_the_table(page: Page, plant: Plant) -> None:
    page.goto(f"{plant.url}/quality?line=line-1&days=7")
    expect(page.locator(".trend").first).to_contain_text("out of control")
    assert page.locator(".trend .chart canvas").count() == 3
    page.get_by_text("As a table").first.click()
    expect(page.get_by_role("row").filter(has_text="above the limit").first).to_be_visible()
    expect(page.locator(".pareto")).to_contain_text("a rather long kind of defect")


def test_the_page_of_quality_needs_no_sideways_scrolling_on_a_phone_or_a_panel(
    page: Page, plant: Plant
) -> None:
    for width, height in ((390, 844), (1024, 768)):
        page.set_viewport_size({"width": width, "height": height})
        for address in ("quality", "shift", "thresholds"):
            page.goto(f"{plant.url}/{address}")
            page.wait_for_load_state("networkidle")
            reach = page.evaluate("document.documentElement.scrollWidth")
            assert reach <= width, (address, width, reach)


def test_a_shift_is_printed_on_one_or_two_pages_with_nothing_cut(
    page: Page, plant: Plant, tmp_path: Path
) -> None:
    page.goto(f"{plant.url}/shift?day=2027-01-14&shift=late")
    page.emulate_media(media="print")
    # 210 mm less the margins of 14 mm, at 96 pixels an inch.
    page.set_viewport_size({"width": 688, "height": 1000})
    assert page.evaluate("document.documentElement.scrollWidth") <= 688
    cut = page.evaluate(
        "[...document.querySelectorAll('main *')].filter(one => one.offsetParent"
        " && one.scrollWidth > one.clientWidth + 1"
        " && getComputedStyle(one).overflowX !== 'visible')"
        ".map(one => one.outerHTML.slice(0, 80))"
    )
    assert cut == []
    expect(page.locator("form.filters")).to_be_hidden()
    printed = page.pdf(format="A4", prefer_css_page_size=True)
    (tmp_path / "shift.pdf").write_bytes(printed)
    pages = len(re.findall(rb"/Type\s*/Page\b(?!s)", printed))
    assert pages in {1, 2}
    for line in LINES:
        expect(page.get_by_role("heading", name=line)).to_be_visible()
