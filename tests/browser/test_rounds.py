"""Models and rounds in a real browser: curves with a table beside, a candidate decided on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, expect
from starlette.staticfiles import StaticFiles

from cloud.dashboard.pages import STATIC
from cloud.web.http_server import HttpServer
from shared.worker import DeadWorkers
from tests.browser.test_people import photograph
from tests.fleet.rounds.test_pages import House, record_of

pytestmark = pytest.mark.process


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    made.yard.release("1.0.0")
    made.candidate()
    made.run("plants", *(record_of(number) for number in range(1, 3)))
    return made


@pytest.fixture
def url(house: House) -> Iterator[str]:
    app: FastAPI = house.app
    app.mount("/static", StaticFiles(directory=STATIC))
    server = HttpServer(app, "127.0.0.1", 0, DeadWorkers())
    server.start()
    yield server.url
    server.stop()


def test_a_candidate_is_decided_on_with_its_report_in_view(
    browser: Browser, house: House, url: str
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{url}/rounds")
    photograph(page, "rounds")
    page.get_by_role("link", name="plants").click()
    expect(page.locator("[data-curve=loss] canvas")).to_be_visible()
    expect(page.get_by_role("cell", name="north, south").first).to_be_visible()
    photograph(page, "run")
    page.goto(f"{url}/models")
    photograph(page, "models")
    page.get_by_role("link", name="tiny 1.0.0").click()
    expect(page.get_by_role("heading", name="Where it comes from")).to_be_visible()
    photograph(page, "model")
    page.goto(f"{url}/models")
    page.get_by_role("link", name="tiny-1.1.0-0123").click()
    expect(page.get_by_text("1 of 20")).to_be_visible()
    photograph(page, "candidate")
    page.get_by_label("Why it goes out all the same").fill("a trial on one line")
    page.get_by_role("button", name="Approve tiny-1.1.0-0123").click()
    expect(page.get_by_text("Approved by ada")).to_be_visible()
    assert house.store.get("tiny-1.1.0-0123").status == "approved"
    assert complaints == []
    context.close()


def test_a_chart_that_has_not_followed_yet_makes_no_page_wider(browser: Browser, url: str) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.add_init_script("window.ResizeObserver = class { observe() {} disconnect() {} }")
    page.goto(f"{url}/rounds")
    page.get_by_role("link", name="plants").click()
    expect(page.locator("[data-curve=loss] canvas")).to_be_visible()
    photograph(page, "run")
    page.set_viewport_size({"width": 390, "height": 844})
    drawn: int = page.evaluate("document.querySelector('[data-curve=loss] canvas').clientWidth")
    assert drawn > 900
    context.close()
