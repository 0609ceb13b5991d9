"""Signing in and out in a real browser, against a real `splitsight cloud serve`."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from cloud.records.database import Database
from shared.clock import SystemClock
from shared.web.access import Caller
from tests.bundles import make_bundle
from tests.cloud.server import Server
from tests.cloud.web.caller import access_to

pytestmark = pytest.mark.process

SECRET = "correct horse battery staple"  # noqa: S105 - of this test
PATIENCE_MS = 40_000


def test_a_person_makes_the_first_account_is_put_out_and_comes_back_to_where_they_were(
    browser: Browser, tmp_path: Path
) -> None:
    with Server(tmp_path, make_bundle(tmp_path / "tiny", height=128, width=128)) as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{server.url}/")
        expect(page.get_by_text("No account yet")).to_be_visible()
        page.goto((tmp_path / "first-account-link").read_text().strip())
        page.get_by_label("Name").fill("ada")
        page.get_by_label("Password").fill(SECRET)
        page.keyboard.press("Enter")
        expect(page.get_by_text("ada, admin")).to_be_visible()
        page.goto(f"{server.url}/?line=line-1")
        expect(page.locator("#link")).to_have_text("live")

        database = Database(f"sqlite:///{tmp_path / 'splitsight.db'}")
        access = access_to(database, SystemClock())
        access.sessions.revoke_all("ada", Caller("root", "admin", means="command"))
        database.close()
        # The page is watched by nobody: it leads to sign-in by itself, and back.
        page.wait_for_url("**/sign-in*", timeout=PATIENCE_MS)
        page.get_by_label("Name").fill("Ada")
        page.get_by_label("Password").fill("wrong, by far")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("name or password is wrong")
        page.get_by_label("Password").fill(SECRET)
        page.keyboard.press("Enter")
        expect(page.get_by_text("ada, admin")).to_be_visible()
        assert urlsplit(page.url).query == "line=line-1"
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Password")).to_be_visible()
        page.goto(f"{server.url}/")
        assert urlsplit(page.url).path == "/sign-in"
        context.close()
