"""Alerts in a real browser, of a real cloud that real messages come to."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from shared import wire
from shared.topics import Address
from tests.browser.axe import serious_findings
from tests.bundles import make_bundle
from tests.cloud.server import Device, Server

pytestmark = pytest.mark.process
BOX = Address("plant", "line-1", "box-1")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("plant")
    bundle = make_bundle(folder / "tiny")
    with Server(folder, bundle, more="api: {port: 0}\nalerts: {every_s: 0.2}") as running:
        yield running


def state(word: str) -> wire.StateMessage:
    return wire.StateMessage(word, "b1", time.time(), "tiny 1.0.0", "onnx", "folder", 20, 0)  # type: ignore[arg-type]


def test_an_inspector_hears_of_a_lost_box_acknowledges_it_and_shelves_it(
    server: Server, browser: Browser
) -> None:
    device = Device(server, BOX)
    device.say(state("online"))
    context = browser.new_context(viewport={"width": 1024, "height": 768})
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{server.url}/alerts/rules")
    rule = page.locator("form.rule").filter(has_text="Box offline")
    rule.get_by_label("raise after, seconds", exact=True).fill("0")
    rule.get_by_role("button").click()
    expect(page.get_by_text("Box offline: kept.")).to_be_visible()

    page.goto(f"{server.url}/alerts")
    expect(page.get_by_text("No alert is open.")).to_be_visible()
    page.evaluate("document.addEventListener('splitsight:sounded', () => { window.heard = true })")
    page.get_by_role("button", name="Turn the sound on").click()
    expect(page.get_by_role("button", name="Sound is on")).to_have_attribute("aria-pressed", "true")
    page.evaluate("window.heard = false")
    device.say(state("offline"))
    alert = page.locator(".alert", has_text="Box offline")
    expect(alert).to_be_visible(timeout=30_000)
    expect(page.locator("#alarm")).to_have_text("! 1 alert not acknowledged", timeout=30_000)
    page.wait_for_function("window.heard === true", timeout=30_000)

    alert.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_text("Acknowledged.")).to_be_visible()
    expect(page.locator("#alarm")).to_have_text("! 1 alert acknowledged")
    page.locator(".alert").get_by_role("button", name="Shelve …").click()
    page.get_by_label("Why").fill("battery ordered")
    page.locator(".dialog:popover-open").get_by_role("button", name="Shelve", exact=True).click()
    expect(page.locator(".alert.shelved")).to_contain_text("battery ordered")
    expect(page.locator("#alarm")).to_be_hidden()

    page.locator(".alert h3 a").click()
    expect(page.locator(".events li")).to_have_count(3)
    expect(page.locator(".events li").last).to_contain_text("shelved it: battery ordered")
    assert complaints == []
    device.stop()
    context.close()


@pytest.mark.parametrize("width", [390, 1024])
def test_no_page_of_alerts_is_wider_than_its_screen_or_shuts_somebody_out(
    server: Server, browser: Browser, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 768})
    page = context.new_page()
    for address in ("/alerts", "/alerts/rules", "/drift"):
        page.goto(f"{server.url}{address}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, address
        assert serious_findings(page) == []
    context.close()
