"""The live page and the wall in a real browser, against a real `splitsight cloud serve`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from shared import wire
from shared.topics import Address
from tests.browser.axe import serious_findings
from tests.browser.test_dashboard import LEVELS
from tests.bundles import make_bundle
from tests.cloud.makers import batch, escalation, row
from tests.cloud.server import Device, Server
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

# At three metres 16 arc minutes are 13.96 mm; a 24-inch panel of 1920 × 1080 is 531.4 mm wide.
DIGIT_PX = 13.96 * 1920 / 531.4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("plant")
    with Server(folder, make_bundle(folder / "tiny", height=128, width=128)) as running:
        for number in range(1, 7):
            run_line(running, number)
        yield running


def run_line(server: Server, number: int, first: int = 1) -> None:
    """A box of one line reports some parts; the sixth line is late, the fifth has a problem."""
    device = Device(server, Address("plant", f"line-{number}", f"box-{number}"))
    now = time.time()
    problems = ("camera: the picture is dark",) if number == 5 else ()
    told = wire.StateMessage(
        "online", "b1", now, "tiny 1.0.0", "onnx", "folder", first + 40, 0, problems, beat_s=30.0
    )
    device.say(told)
    rows = []
    for part, level in enumerate(LEVELS, start=first):
        payload = escalation(server.bundle, part, level=level)
        answer = device.escalate(payload)
        late = number == 6
        rows.append(
            row(
                part,
                decision="escalate",
                verdict="reject" if late else answer.verdict,
                decided_by="deadline" if late else "cloud",
                score=0.5,
                inspected_at=now,
                escalated_bytes=len(payload),
                total_ms=150.0 if late else 31.0,
            )
        )
    rows += [row(part, inspected_at=now) for part in range(first + 6, first + 40)]
    rows.append(row(first + 40, decision="reject", verdict="reject", inspected_at=now, score=0.97))
    device.report(batch(first, *rows))
    device.stop()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


def photograph(page: Page, name: str) -> None:
    if folder := os.environ.get("SPLITSIGHT_SCREENSHOTS"):
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            page.screenshot(path=Path(folder) / f"{name}-{scheme}.png", full_page=True)


def test_a_cloud_that_is_stopped_but_not_dead_is_noticed_and_comes_back(
    server: Server, page: Page
) -> None:
    page.goto(f"{server.url}/")
    link = page.locator("#link")
    expect(link).to_have_text("live")
    page.wait_for_function("() => document.querySelector('#line-plant-line-1')")
    server.process.send_signal(signal.SIGSTOP)
    try:
        stopped = time.monotonic()
        page.wait_for_selector("body.quiet", timeout=20_000)
        assert time.monotonic() - stopped < 3.0
        expect(link).to_contain_text("nothing heard since")
        assert float(page.evaluate("getComputedStyle(document.querySelector('main')).opacity")) < 1
        photograph(page, "live-quiet")
    finally:
        server.process.send_signal(signal.SIGCONT)
    expect(link).to_have_text("live", timeout=20_000)


def test_focus_and_what_is_open_outlive_the_updates(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/")
    page.get_by_text("Show as a table").click()
    link = page.locator("#line-plant-line-2 h3 a")
    link.focus()
    before = page.locator("#line-plant-line-1 .legend").inner_text()
    run_line(server, 1, first=1000)
    expect(page.locator("#line-plant-line-1 .legend")).not_to_have_text(before)
    expect(link).to_be_focused()
    expect(page.get_by_role("columnheader", name="deadline")).to_be_visible()


def test_the_strip_is_held_still_goes_back_and_its_address_can_be_sent_on(
    server: Server, page: Page
) -> None:
    page.goto(f"{server.url}/?site=plant&line=line-3")
    page.get_by_role("button", name="Hold still").click()
    shown = page.locator("#strip-parts .part").first.inner_text()
    run_line(server, 3, first=2000)
    expect(page.locator("#line-plant-line-3 .legend")).to_contain_text("edge 70")
    assert page.locator("#strip-parts .part").first.inner_text() == shown
    page.get_by_role("button", name="Let it move on").click()
    expect(page.locator("#strip-parts .part").first).to_contain_text("Part 20")
    page.get_by_role("link", name="Older parts").click()
    expect(page.get_by_text("these stand still")).to_be_visible()
    assert "before=" in page.url
    page.get_by_role("link", name="back to now").click()
    expect(page.get_by_role("button", name="Hold still")).to_be_visible()


def test_the_live_page_is_one_for_everybody_on_every_screen(server: Server, page: Page) -> None:
    for name, width, height in (("wide", 1600, 1000), ("panel", 1024, 768), ("phone", 390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        page.goto(f"{server.url}/")
        expect(page.locator(".line")).to_have_count(6)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        photograph(page, f"live-{name}")
        assert serious_findings(page) == []
    expect(page.get_by_role("navigation", name="Pages")).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    expect(page.get_by_role("link", name="Wall")).to_be_visible()
    page.get_by_role("link", name="Wall").click()
    expect(page.locator("#clock")).to_be_visible()


def test_the_colours_that_a_person_has_chosen_are_kept(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/")
    page.get_by_role("button", name="As system").click()
    page.get_by_role("button", name="Light").click()
    page.reload()
    expect(page.get_by_role("button", name="Dark")).to_be_visible()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_digits_of_the_wall_are_read_at_three_metres_without_a_scroll(
    server: Server, page: Page
) -> None:
    page.set_viewport_size({"width": 1920, "height": 1080})
    page.goto(f"{server.url}/wall")
    expect(page.locator(".wall-line")).to_have_count(6)
    wait_until(lambda: page.locator("#clock").inner_text() != "", "the clock runs")
    heights: list[float] = page.evaluate(
        """() => [...document.querySelectorAll('.digits')].map((element) => {
          const pen = document.createElement('canvas').getContext('2d');
          const style = getComputedStyle(element);
          pen.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
          const box = pen.measureText('1');
          return box.actualBoundingBoxAscent + box.actualBoundingBoxDescent;
        })"""
    )
    assert len(heights) >= 25
    assert min(heights) >= DIGIT_PX
    fits = "document.documentElement.scroll{0} <= window.inner{0}"
    assert page.evaluate(fits.format("Height"))
    assert page.evaluate(fits.format("Width"))
    photograph(page, "wall")
    assert serious_findings(page) == []


def test_a_mistyped_address_gives_a_page(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/insepctions")
    expect(page.get_by_role("heading", name="There is no page at this address")).to_be_visible()
