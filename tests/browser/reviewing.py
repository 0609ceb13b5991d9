"""A plant with parts that wait for a person, and inspectors who are signed in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, expect

from cloud.records.database import Database
from cloud.records.store import RecordStore
from shared.bundles.bundle import amend_bundle
from shared.clock import SystemClock
from shared.web.access import Caller, Role
from tests.bundles import make_bundle
from tests.cloud.makers import inspection, tail
from tests.cloud.server import Server
from tests.cloud.web.caller import access_to

SECRET = "correct horse battery staple"  # noqa: S105 - of this test
ROOT = Caller("root", "admin", means="command")
PATIENCE_MS = 60_000
WAITS = {"decision": "escalate", "verdict": "review", "decided_by": "cloud"}


class ReviewPlant:
    """A cloud on this machine; `database` is its own, for what no page shows."""

    def __init__(self, server: Server, database: Database) -> None:
        self.server = server
        self.database = database
        self.clock = SystemClock()
        self.access = access_to(database, self.clock)
        people: dict[str, Role] = {
            "ada": "inspector",
            "meyer": "inspector",
            "noor": "engineer",
            "boss": "admin",
        }
        for name, role in people.items():
            self.access.accounts.add(name, role, SECRET, ROOT)

    def wait(self, first: int, count: int, **changes: Any) -> None:
        """So many parts come to wait for a person, the first one first."""
        now = self.clock.utc() - 3600
        numbers = range(first, first + count)
        RecordStore(self.database).save(
            [inspection(n, **{**WAITS, **changes}, received_at=now + n) for n in numbers],
            [tail(n, verdict="review", received_at=now + n) for n in numbers],
        )

    def labels(self, page: Page) -> dict[int, dict[str, Any]]:
        """Each part's label, as the API tells it to who is signed in."""
        answer = page.request.get(f"{self.server.url}/api/v1/inspections?reviewed=true&limit=500")
        return {one["sequence"]: one["review"] for one in answer.json()["inspections"]}

    def sign_in(self, browser: Browser, name: str, to: str = "/", **options: Any) -> Page:
        context: BrowserContext = browser.new_context(
            viewport={"width": 1024, "height": 768}, **options
        )
        page = context.new_page()
        page.goto(f"{self.server.url}{to}")
        self.enter(page, name)
        return page

    def enter(self, page: Page, name: str) -> None:
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(SECRET)
        page.keyboard.press("Enter")
        expect(page.get_by_text(name).first).to_be_visible(timeout=PATIENCE_MS)
        # A key that is pressed before the page's scripts are there says nothing.
        page.wait_for_load_state("load", timeout=PATIENCE_MS)


@contextmanager
def review_plant(folder: Path, *, unsure: bool = False) -> Iterator[ReviewPlant]:
    """unsure: what the cloud is asked, it gives to review"""
    bundle = make_bundle(folder / "tiny", height=128, width=128)
    if unsure:
        gate = bundle.manifest.gate.model_copy(
            update={"cloud_pass_below": 0.001, "cloud_reject_from": 0.999}
        )
        changed = {"gate": gate.model_dump(mode="json", exclude_none=True)}
        bundle = amend_bundle(bundle, changed, folder / "unsure", {})
    with Server(folder, bundle) as server:
        database = Database(f"sqlite:///{folder / 'splitsight.db'}")
        yield ReviewPlant(server, database)
        database.close()


def shown(page: Page) -> int:
    """The number of the part before the inspector."""
    found = page.locator("#item").get_attribute("data-part") or ""
    return int(found.rpartition("/")[2] or 0)
