"""The live page in a real browser, against a real `splitsight cloud serve`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

from shared import wire
from shared.topics import Address
from tests.bundles import make_bundle
from tests.cloud.makers import batch, escalation, row
from tests.cloud.server import Device, Server
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

LEVELS = [3, 2, -3, 1, -2, 4]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("plant")
    bundle = make_bundle(folder / "tiny", height=128, width=128)
    with Server(folder, bundle) as running:
        yield running


class Watched:
    """A page, with what it complained about and where it called."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _request(self, request: Request) -> None:
        self.hosts.add(str(urlsplit(request.url).hostname))


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = Watched(context.new_page())
    yield page
    context.close()
    assert page.complaints == []
    assert page.hosts == {"127.0.0.1"}


def run_parts(server: Server, *, first: int) -> None:
    """One device works through some parts, sure of most and unsure of LEVELS."""
    device = Device(server, Address("plant", "line-1", "box-1"))
    now = time.time()
    device.say(
        wire.StateMessage("online", "b1", now, "tiny 1.0.0", "openvino", "folder", first + 20, 0)
    )
    rows = []
    for number, level in enumerate(LEVELS, start=first):
        payload = escalation(server.bundle, number, level=level)
        answer = device.escalate(payload)
        late = number % 6 == 5
        rows.append(
            row(
                number,
                decision="escalate",
                verdict="reject" if late else answer.verdict,
                decided_by="deadline" if late else "cloud",
                score=0.5,
                inspected_at=now - number,
                escalated_bytes=len(payload),
                edge_ms=2.1,
                total_ms=150.0 if late else 31.0,
            )
        )
    rows += [
        row(number, inspected_at=now - 31 * (number - first))
        for number in range(first + 6, first + 40)
    ]
    rows.append(
        row(first + 40, decision="reject", verdict="reject", inspected_at=now - 3, score=0.97)
    )
    device.report(batch(first, *rows))
    device.stop()


def pictures_loaded(page: Page) -> list[int]:
    widths: list[int] = page.evaluate(
        "() => [...document.querySelectorAll('.defect img')].map((i) => i.naturalWidth)"
    )
    return widths


def test_the_page_goes_live_without_a_reload(server: Server, watched: Watched) -> None:
    page = watched.page
    page.goto(server.url)
    expect(page.get_by_text("No device has reported yet")).to_be_visible()
    expect(page.get_by_text("start an edge agent").first).to_be_visible()
    run_parts(server, first=1)
    expect(page.locator(".device-state")).to_contain_text("online")
    expect(page.locator(".line .legend")).to_contain_text("edge 35")
    expect(page.locator(".defect img").first).to_be_visible()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.defect img')].every((i) => i.complete)"
    )
    assert pictures_loaded(page)
    assert all(width > 0 for width in pictures_loaded(page))
    expect(page.locator("#chart canvas")).to_be_visible()
    if folder := os.environ.get("SPLITSIGHT_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / "live.png", full_page=True)
        page.emulate_media(color_scheme="dark")
        page.screenshot(path=Path(folder) / "live-dark.png", full_page=True)
        page.set_viewport_size({"width": 390, "height": 844})
        page.screenshot(path=Path(folder) / "live-phone.png", full_page=True)


def test_a_defect_leads_to_its_own_page(server: Server, watched: Watched) -> None:
    page = watched.page
    page.goto(server.url)
    run_parts(server, first=100)
    page.locator(".defect a:has(img)").first.click()
    expect(page.get_by_role("heading", name="How it was decided")).to_be_visible()
    expect(page.get_by_text("The picture stays on box-1")).to_be_visible()
    expect(page.locator("#frame img")).to_have_js_property("complete", value=True)
    if folder := os.environ.get("SPLITSIGHT_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / "detail.png", full_page=True)
    page.go_back()
    expect(page.get_by_role("heading", name="Devices")).to_be_visible()


def test_numbers_of_the_chart_can_be_read_as_a_table(server: Server, watched: Watched) -> None:
    page = watched.page
    page.goto(server.url)
    told = page.get_by_role("columnheader", name="deadline")

    def shown() -> bool:
        # The stream's first word on the chart folds the table up again.
        if not told.is_visible():
            page.get_by_text("Show as a table").click()
        return told.is_visible()

    wait_until(shown, "the table is shown")
    assert page.locator("tr[data-at]").count() == 30
