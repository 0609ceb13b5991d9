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

from cloud.dashboard.pages import STATIC
from cloud.web.http_server import HttpServer
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
    include(app, fleet_page(plant.conductor, lambda: [plant.releases(NEW)]), plant.clock)
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
    approve = page.get_by_role("link", name="Approve ring 100 %")
    expect(approve).to_be_hidden()
    plant.rounds(5)
    # Nobody has to load the page anew for what can be done now.
    expect(state).to_contain_text("waits for approval")
    expect(approve).to_be_visible()
    opened.photograph("fleet-gated")
    page.emulate_media(color_scheme="dark")
    opened.photograph("fleet-gated-dark")
    approve.click()
    expect(page.get_by_text("30 boxes are asked to run m 2")).to_be_visible()
    opened.photograph("fleet-question-dark")
    page.get_by_label("Your name").fill("eve")
    page.keyboard.press("Enter")
    expect(page.get_by_text("approved by eve")).to_be_visible()
    plant.rounds(4)
    expect(state).to_contain_text("done")
    expect(page.get_by_role("link", name="Take it back")).to_be_visible()
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


def test_a_rollout_is_started_from_the_page_and_taken_back_with_the_boxes_counted(
    opened: Opened, plant: Plant, url: str
) -> None:
    page = opened.page
    page.goto(f"{url}/fleet")
    page.get_by_role("link", name="Start a rollout").click()
    page.get_by_label("First boxes").fill("plant/line-1/*")
    page.get_by_label("Watch each ring, minutes").fill("0")
    page.get_by_role("button", name="Show what would happen").click()
    expect(page.get_by_text("1 × revoked: stolen")).to_be_visible()
    opened.photograph("fleet-start")
    page.get_by_label("Your name").fill("ada")
    page.get_by_role("button", name="Start: ring canary begins at once").click()
    expect(page.locator(".rollout-state")).to_contain_text("running")
    plant.rounds(5)
    expect(page.locator(".rollout-state")).to_contain_text("done")
    # What has the focus keeps it while the page brings itself up to date.
    back = page.get_by_role("link", name="Take it back")
    back.focus()
    with page.expect_response("**/fleet/rollouts/1/part"):
        pass
    expect(back).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("39 boxes go back to m 1.")).to_be_visible()
    opened.photograph("fleet-abort")
    page.get_by_label("Your name").fill("ada")
    page.get_by_label("Why").fill("too many stops")
    page.get_by_role("button", name="Take it back: 39 boxes back").click()
    expect(page.get_by_text("aborted by ada: too many stops")).to_be_visible()


def test_settings_of_a_box_are_changed_by_page(opened: Opened, plant: Plant, url: str) -> None:
    page = opened.page
    page.goto(f"{url}/fleet")
    page.get_by_role("link", name="box-3", exact=True).click()
    page.get_by_role("link", name="Change settings").click()
    page.get_by_label("Settings").fill("deadline_ms=400\ncamera.fps=12.5")
    page.get_by_role("button", name="Show what would change").click()
    opened.photograph("fleet-settings")
    page.get_by_label("Your name").fill("ada")
    page.get_by_role("button", name="Change 2 settings").click()
    expect(page.get_by_text("settings: deadline_ms=400, camera.fps=12.5")).to_be_visible()
    desired = plant.conductor.shadow("box-3")[0].desired
    assert desired is not None
    assert desired.settings == {"deadline_ms": 400, "camera.fps": 12.5}
