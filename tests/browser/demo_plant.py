"""The demo as people work with it: lines, a shift behind them, a fleet, and who may sign in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, BrowserContext, Page, expect

from hardware_sim.demo.demo import Demo, DemoOptions
from hardware_sim.demo.people import ADMIN
from hardware_sim.processes.session import SHIPPED_BUNDLE
from shared.loopback import free_port
from tests.support.waiting import wait_until

# Machines are busy: what takes a second on a quiet one may take many.
PATIENCE_MS = 60_000
START_S = 180.0
PANEL = (1024, 768)


class DemoPlant:
    """A demo that runs, and what its cloud knows, asked by who may know everything."""

    def __init__(self, demo: Demo) -> None:
        self.demo = demo
        self.url = demo.url
        self.sessions: dict[str, dict[str, str]] = {}

    def knows(self, path: str, **asked: Any) -> Any:
        """What /api/v1 answers to an admin."""
        return self.get(f"/api/v1{path}", **asked).json()

    def get(self, path: str, name: str = ADMIN, **asked: Any) -> httpx.Response:
        """What somebody gets, with the session of their browser."""
        answer = httpx.get(
            f"{self.url}{path}", params=asked, cookies=self.session_of(name), timeout=60
        )
        answer.raise_for_status()
        return answer

    def post(self, path: str, form: Mapping[str, str], name: str = ADMIN) -> None:
        """Send a form of a page, as somebody who is signed in."""
        with httpx.Client(base_url=self.url, timeout=120) as client:
            client.cookies.update(self.session_of(name))
            answer = client.post(path, data=dict(form), headers={"origin": self.url})
        assert answer.status_code == 303, answer.text

    def did(self, who: str, what: str) -> list[dict[str, Any]]:
        """Entries of the audit log, the newest first."""
        entries: list[dict[str, Any]] = self.knows("/audit", limit=500)
        return [one for one in entries if (one["who"], one["what"]) == (who, what)]

    def session_of(self, name: str) -> dict[str, str]:
        """The cookies of somebody who is signed in; they sign in once."""
        if name not in self.sessions:
            with httpx.Client(base_url=self.url, timeout=60) as client:
                form = {"name": name, "password": self.password_of(name)}
                answer = client.post("/sign-in", data=form, headers={"origin": self.url})
                assert answer.status_code == 303, answer.text
                self.sessions[name] = dict(client.cookies)
        return self.sessions[name]

    def password_of(self, name: str) -> str:
        assert self.demo.people is not None
        return self.demo.people.passwords[name]


class People:
    """Who is at work in a test, each in a browser of their own."""

    def __init__(self, plant: DemoPlant, browser: Browser) -> None:
        self.plant = plant
        self._browser = browser
        self._closing = ExitStack()
        self.complaints: list[str] = []

    def at_work(self, name: str, size: tuple[int, int] = PANEL) -> Page:
        """The live page, of somebody who signs in, or has today."""
        page, plant = self.stranger(size), self.plant
        known = plant.sessions.get(name, {}).items()
        page.context.add_cookies([{"name": n, "value": v, "url": plant.url} for n, v in known])
        page.goto(f"{plant.url}/")
        if not known:
            page.get_by_label("Name").fill(name)
            page.get_by_label("Password").fill(plant.password_of(name))
            page.keyboard.press("Enter")
            page.wait_for_url(f"{plant.url}/")
            cookies = page.context.cookies()
            plant.sessions[name] = {one["name"]: one["value"] for one in cookies}
        expect(page.get_by_role("link", name=re.compile(f"^{name}, "))).to_be_visible()
        return page

    def stranger(self, size: tuple[int, int] = PANEL) -> Page:
        """A page of a browser that nobody has signed in with."""
        context: BrowserContext = self._browser.new_context(
            viewport={"width": size[0], "height": size[1]}, accept_downloads=True
        )
        self._closing.callback(context.close)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    def leave(self) -> None:
        self._closing.close()


def go_to(page: Page, name: str) -> None:
    """By the navigation, as a person does."""
    page.get_by_role("navigation", name="Pages").get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", level=1).first).to_be_visible()


@contextmanager
def demo_plant(folder: Path) -> Iterator[DemoPlant]:
    """Started, with parts of each box."""
    options = DemoOptions(
        SHIPPED_BUNDLE,
        rate=4.0,
        port=free_port(),
        broker_port=free_port(),
        runtime="onnx",
        more={"drift": {"reference_parts": 100}, "alerts": {"every_s": 0.5}},
    )
    demo = Demo(options, folder)
    try:
        demo.start()
        plant = DemoPlant(demo)

        def inspecting() -> bool:
            demo.tend()
            return len([one for one in plant.knows("/devices") if one["inspected"] >= 5]) == 3

        wait_until(inspecting, "each box has inspected some parts", within_s=START_S, pause_s=0.2)
        yield plant
    finally:
        demo.stop()
