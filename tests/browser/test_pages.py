"""Every page of the running demo: nobody is shut out of it, and it fits its screen."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from fleet.rounds.coordination.journal import RunJournal, RunProgress
from hardware_sim.demo.people import ADMIN, INSPECTOR
from tests.browser.axe import OF_COLOUR, serious_findings
from tests.browser.demo_plant import DemoPlant, People
from tests.browser.test_people import SIZES
from tests.fleet.rounds.test_pages import TERMS, record_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process


def a_part(plant: DemoPlant, **wanted: object) -> str:
    found = plant.knows("/inspections", limit=1, **wanted)["inspections"][0]
    return f"/inspections/{found['device']}/{found['boot']}/{found['sequence']}"


def a_candidate(plant: DemoPlant) -> str:
    """One that another gate was saved as."""
    page = plant.get("/models", INSPECTOR).text
    known = re.search(r"/models/candidates/[\w.-]+", page)
    if known:
        return known[0]
    form = {"why": "a look at its page", "pass_below": "0.04", "version": "1.2.7"}
    plant.post("/thresholds", form)
    return a_candidate(plant)


def a_rollout(plant: DemoPlant) -> str:
    known = plant.knows("/fleet/rollouts")
    if not known:
        form = {"target": plant.demo.release, "approval": "each"}
        plant.post("/fleet/rollouts/new", form)
    return f"/fleet/rollouts/{plant.knows('/fleet/rollouts')[0]['id']}"


def a_run(plant: DemoPlant) -> str:
    rounds = [record_of(1), record_of(2)]
    progress = RunProgress(TERMS, np.zeros(9), {"m": np.ones(3)}, rounds)
    RunJournal(plant.demo.folder / "runs" / "plants").keep(progress)
    return "/rounds/run/plants"


def link_on(path: str, pattern: str) -> Callable[[DemoPlant], str]:
    """The first address on a page that is like this."""

    def found(plant: DemoPlant) -> str:
        link = re.search(pattern, plant.get(path).text)
        assert link is not None, f"{path} leads to no {pattern}"
        return link[0]

    return found


PAGES: dict[str, str | Callable[[DemoPlant], str]] = {
    "live": "/",
    "one line": "/?site=demo&line=line-1",
    "wall": "/wall",
    "alerts": "/alerts",
    "alert": lambda plant: f"/alerts/{plant.knows('/alerts')[0]['id']}",
    "rules": "/alerts/rules",
    "parts": "/parts?verdict=reject",
    "part": lambda plant: a_part(plant, line="line-1", decided_by="cloud"),
    "part of the edge": lambda plant: a_part(plant, line="line-1", decided_by="edge"),
    "review": "/review",
    "many": "/review?view=grid",
    "kinds": "/review/kinds",
    "agreement": "/review/agreement",
    "quality": "/quality",
    "shift": "/shift",
    "thresholds": "/thresholds",
    "drift": "/drift",
    "models": "/models",
    "bundle": link_on("/models", r"/models/bundle/\w+"),
    "candidate": a_candidate,
    "rounds": "/rounds",
    "run": a_run,
    "fleet": "/fleet",
    "start a rollout": lambda plant: f"/fleet/rollouts/new?target={plant.demo.release}",
    "rollout": a_rollout,
    "abort": lambda plant: f"{a_rollout(plant)}/abort",
    "device": "/fleet/devices/demo/line-2/box-2",
    "settings": "/fleet/devices/demo/line-2/box-2/settings",
    "releases": "/fleet/releases",
    "cost": "/cost",
    "people": "/people",
    "person": f"/people/accounts/{INSPECTOR}",
    "tokens": "/people/tokens",
    "audit log": "/audit",
    "check": "/audit/verify",
    "me": "/me",
    "nowhere": "/nowhere",
    "a word that means nothing": "/parts?devise=box-1",
    "no such part": "/inspections/box-1/none/1",
}


REACH = "document.documentElement.scrollWidth"
SEEN = "window.innerWidth"


def require_open_to_all(page: Page, name: str) -> None:
    """In each size, light and dark; nothing is wider than the screen."""
    for width, height in SIZES.values():
        page.set_viewport_size({"width": width, "height": height})
        # Charts are drawn anew when the screen has stopped changing.
        wait_until(lambda: page.evaluate(REACH) <= page.evaluate(SEEN), f"{name} fits {width} px")
        page.emulate_media(color_scheme="light")
        assert serious_findings(page) == [], (name, width)
        page.emulate_media(color_scheme="dark")
        assert serious_findings(page, OF_COLOUR) == [], (name, width, "dark")


@pytest.mark.parametrize("name", PAGES)
def test_no_page_shuts_anybody_out_in_any_size_or_colours(
    plant_of_the_demo: DemoPlant, people: People, name: str
) -> None:
    wanted = PAGES[name]
    path = wanted if isinstance(wanted, str) else wanted(plant_of_the_demo)
    page = people.at_work(ADMIN)
    page.goto(f"{plant_of_the_demo.url}{path}")
    expect(page.locator("main")).to_be_visible()
    require_open_to_all(page, name)


def test_the_wall_still_fits_when_what_it_tells_began_yesterday(
    plant_of_the_demo: DemoPlant, people: People
) -> None:
    page = people.at_work(ADMIN)
    page.clock.set_fixed_time(datetime.now(UTC) + timedelta(days=1))
    page.goto(f"{plant_of_the_demo.url}/wall")
    expect(page.locator(".wall-since time").first).to_have_text(re.compile(r"[A-Z].+, \d\d:\d\d"))
    for width, height in SIZES.values():
        page.set_viewport_size({"width": width, "height": height})
        wait_until(lambda: page.evaluate(REACH) <= page.evaluate(SEEN), f"it fits {width} px")


def test_every_page_of_the_navigation_is_among_them(
    plant_of_the_demo: DemoPlant, people: People
) -> None:
    page = people.at_work(ADMIN)
    links = page.get_by_role("navigation", name="Pages").get_by_role("link")
    listed = set(links.evaluate_all("links => links.map(link => new URL(link.href).pathname)"))
    looked_at = {path.partition("?")[0] for path in PAGES.values() if isinstance(path, str)}
    assert listed <= looked_at


def test_nobody_is_shut_out_before_they_have_signed_in(
    plant_of_the_demo: DemoPlant, people: People
) -> None:
    page = people.stranger()
    page.goto(f"{plant_of_the_demo.url}/sign-in")
    require_open_to_all(page, "sign in")
    page.get_by_label("Name").fill("nobody")
    page.get_by_label("Password").fill("of no account here")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    require_open_to_all(page, "wrong password")


DEVICE = "/fleet/devices/demo/line-2/box-2"
# The page, what has the focus, and what changes: an element, or what is fetched again and again.
UPDATED = {
    "live": ("/", "#line-demo-line-2 h3 a", "#line-demo-line-2 .legend"),
    "one line": ("/?site=demo&line=line-1", "#line-demo-line-1 h3 a", "#line-demo-line-1 .legend"),
    "fleet": ("/fleet", "main a[href$='/box-2']", "/fleet/devices/part"),
    "device": (DEVICE, "#device a[href$='/box-2']", f"{DEVICE}/part"),
    "alerts": ("/alerts", ".alert h3 a", "/alerts/strip"),
}


@pytest.mark.parametrize("name", UPDATED)
def test_what_has_the_focus_keeps_it_while_the_page_brings_itself_up_to_date(
    plant_of_the_demo: DemoPlant, people: People, name: str
) -> None:
    path, focused, changing = UPDATED[name]
    page = people.at_work(ADMIN)
    page.goto(f"{plant_of_the_demo.url}{path}")
    link = page.locator(focused).first
    link.focus()
    if changing.startswith("/"):
        # What was fetched first stands in the page when it is fetched once more.
        for _ in range(2):
            with page.expect_response(f"**{changing}"):
                pass
    else:
        before = page.locator(changing).inner_text()
        wait_until(lambda: page.locator(changing).inner_text() != before, "new parts are shown")
    expect(link).to_be_focused()
