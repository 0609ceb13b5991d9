"""The fleet's page in a real browser: rings that move by themselves, buttons that work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect
from starlette.staticfiles import StaticFiles

from cloud.web.http_server import HttpServer
from cloud.web.pages import STATIC
from cloud.web.problems import handle_problems
from fleet.rollouts.pages import fleet_page
from fleet.rollouts.plan import Ring, RolloutPlan
from shared.web.access import FixedAccess
from shared.worker import DeadWorkers
from tests.cloud.web.caller import include
from tests.fleet.rollouts.plant import NEW, Plant

pytestmark = pytest.mark.process

GATED = RolloutPlan(
    rings=(
        Ring(name="canary", devices=1),
        Ring(name="5 %", share=0.05),
        Ring(name="25 %", share=0.25),
        Ring(name="100 %", share=1.0, approval=True),
    )
)


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    made = Plant(tmp_path, 40, lines=3)
    made.start_devices()
    for number, device in enumerate(made.devices.values()):
        queue = float(number % 3)
        device.report(temperature_c=41.0 + number % 7, disk_free_bytes=6.1e9, queue=queue)
    made.devices["box-7"].say_state("offline")
    made.put_out["box-9"] = "revoked: stolen"
    made.clock.advance(10)
    made.conductor.tick()
    return made


@pytest.fixture
def url(plant: Plant) -> Iterator[str]:
    app = FastAPI()
    handle_problems(app)
    include(app, fleet_page(plant.conductor), plant.clock)
    app.mount("/static", StaticFiles(directory=STATIC))
    app.add_middleware(FixedAccess)
    server = HttpServer(app, "127.0.0.1", 0, DeadWorkers())
    server.start()
    yield server.url
    server.stop()


class Opened:
    """A page, with what it complained about and where it called."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.hosts: set[str | None] = set()
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname))

    def photograph(self, name: str) -> None:
        if folder := os.environ.get("SPLITSIGHT_SCREENSHOTS"):
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opened]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    made = Opened(context.new_page())
    yield made
    context.close()
    assert made.complaints == []
    assert made.hosts == {"127.0.0.1"}


def test_rings_move_without_a_reload_and_a_gate_is_opened_by_name(
    opened: Opened, plant: Plant, url: str
) -> None:
    plant.conductor.begin(NEW, GATED, "ada")
    page = opened.page
    page.goto(f"{url}/fleet")
    expect(page.get_by_role("heading", name="m 2")).to_be_visible()
    state = page.locator(".rollout-state")
    expect(state).to_contain_text("running")
    opened.photograph("fleet-running")
    plant.rounds(5)
    expect(state).to_contain_text("waits for approval")
    page.reload()
    opened.photograph("fleet-gated")
    page.emulate_media(color_scheme="dark")
    opened.photograph("fleet-gated-dark")
    page.get_by_label("Your name").fill("eve")
    page.get_by_role("button", name="Approve ring 100 %").click()
    expect(page.get_by_text("approved by eve")).to_be_visible()
    plant.rounds(4)
    page.reload()
    expect(state).to_contain_text("done")
    opened.photograph("fleet-done-dark")
    page.set_viewport_size({"width": 390, "height": 844})
    opened.photograph("fleet-phone-dark")
    wider: bool = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    assert not wider


def test_a_rollout_that_was_stopped_says_why_device_by_device(
    opened: Opened, plant: Plant, url: str
) -> None:
    plant.conductor.begin(NEW, GATED, "ada")
    plant.rounds(1)
    tried = [d for d in plant.devices.values() if d.wanted and d.wanted.targets]
    tried[-1].obeys = False
    tried[-1].fail("slow: the 99th percentile of a look is 803 ms, at most 250 are allowed")
    plant.rounds(3)
    tried[-1].obeys = True
    plant.rounds(3)
    page = opened.page
    page.goto(f"{url}/fleet")
    expect(page.locator(".rollout-state")).to_contain_text("stopped, all back")
    opened.photograph("fleet-stopped")
    page.get_by_role("link", name="m 2").click()
    expect(page.get_by_role("heading", name="Its devices")).to_be_visible()
    expect(page.get_by_text("revoked: stolen")).to_be_visible()
    expect(page.get_by_text("back on what it ran").first).to_be_visible()
    opened.photograph("fleet-rollout")
    page.goto(f"{url}/fleet")
    page.get_by_role("link", name=tried[-1].address.device, exact=True).click()
    expect(page.get_by_role("heading", name="History")).to_be_visible()
    opened.photograph("fleet-device")
