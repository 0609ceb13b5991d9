"""An admin adds a colleague, who chooses a password; tokens, and the log of all of it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.bundles import make_bundle
from tests.cloud.server import Server

pytestmark = pytest.mark.process

SECRET = "correct horse battery staple"  # noqa: S105 - of this test
# A password takes a quarter of a second on a machine that has nothing else to do.
PATIENCE_MS = 40_000
SIZES = {"wide": (1600, 1000), "panel": (1024, 768), "phone": (390, 844)}


def photograph(page: Page, name: str) -> None:
    """In light and dark, on every kind of screen; on a phone nothing sticks out."""
    folder = os.environ.get("SPLITSIGHT_SCREENSHOTS")
    before = page.viewport_size
    for size, (width, height) in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        if size == "phone":
            wider: bool = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
            assert not wider, name
        for scheme in ("light", "dark") if folder else ():
            page.emulate_media(color_scheme=scheme)
            path = Path(str(folder)) / f"{name}-{size}-{scheme}.png"
            page.screenshot(path=path, full_page=True)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(before or {"width": 1280, "height": 900})


def test_an_admin_adds_somebody_and_every_step_is_in_a_log_that_is_whole(
    browser: Browser, tmp_path: Path
) -> None:
    with Server(tmp_path, make_bundle(tmp_path / "tiny", height=128, width=128)) as server:
        context = browser.new_context()
        page = context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto((tmp_path / "first-account-link").read_text().strip())
        page.get_by_label("Name").fill("ada")
        page.get_by_label("Password").fill(SECRET)
        page.keyboard.press("Enter")
        expect(page.get_by_role("link", name="ada, admin")).to_be_visible(timeout=PATIENCE_MS)

        page.goto(f"{server.url}/people")
        page.get_by_label("Name").fill("bob")
        page.get_by_label("Role").select_option("inspector")
        page.get_by_role("button", name="Make the account").click()
        link = page.locator("a.whole")
        expect(link).to_have_text(re.compile(rf"^{re.escape(server.url)}/password/\S+$"))
        photograph(page, "person")

        theirs = browser.new_context()
        bob = theirs.new_page()
        bob.goto(link.inner_text())
        bob.get_by_label("Password").fill(f"{SECRET}, mine")
        bob.keyboard.press("Enter")
        expect(bob.get_by_role("link", name="bob, inspector")).to_be_visible(timeout=PATIENCE_MS)
        bob.get_by_role("link", name="bob, inspector").click()
        expect(bob.get_by_text("this browser")).to_be_visible()
        photograph(bob, "me")

        page.goto(f"{server.url}/people/tokens")
        page.get_by_label("Which program has it").fill("MES of line 2")
        page.get_by_role("button", name="Make the token").click()
        expect(page.locator("code.made")).to_have_text(re.compile("^sst_"))
        photograph(page, "tokens")
        page.get_by_role("link", name="Accounts").click()
        photograph(page, "people")
        page.get_by_role("link", name="bob", exact=True).click()
        page.get_by_role("button", name="Put out").first.click()
        dialog = page.get_by_role("dialog", name="Put bob out?")
        expect(dialog).to_contain_text("1 open sessions end now")
        dialog.get_by_role("button", name="Put out").click()
        expect(page.get_by_role("button", name="Let in again")).to_be_visible()
        bob.reload()
        expect(bob.get_by_label("Password")).to_be_visible()

        page.goto(f"{server.url}/audit?subject=bob")
        rows = page.locator("table.audit tbody tr")
        expect(rows.first).to_contain_text("account disable")
        page.get_by_role("button", name="Check the chain").click()
        expect(page.get_by_text("The chain is whole")).to_be_visible()
        photograph(page, "audit")
        assert complaints == []
        theirs.close()
        context.close()
