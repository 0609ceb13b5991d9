"""An inspector's tasks of `docs/guides/tasks.md`, as written there, against the running demo."""

from __future__ import annotations

import csv
import re
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from hardware_sim.demo.people import INSPECTOR
from tests.browser.demo_plant import DemoPlant, People, go_to

pytestmark = pytest.mark.process

FIFTY = 50


def part_on(page: Page) -> str:
    """The address of the part before the inspector, once its page may be used."""
    expect(page.locator("#verdict")).to_be_visible()
    return page.locator("#item").get_attribute("data-part") or ""


def press(page: Page, key: str) -> None:
    """Label the part, and wait for the next one."""
    before = part_on(page)
    page.keyboard.press(key)
    page.wait_for_function(
        "one => document.getElementById('item').dataset.part !== one", arg=before
    )


def all_sent(page: Page) -> None:
    expect(page.locator("#unsent")).to_have_attribute("data-waiting", "0")


def test_review_fifty_parts_in_a_row(plant_of_the_demo: DemoPlant, people: People) -> None:
    page = people.at_work(INSPECTOR)
    go_to(page, "Review")
    # Of the shift before the demo began, too.
    expect(page.locator("#canvas img.seen")).to_be_visible()
    said: dict[str, str] = {}
    for number in range(FIFTY):
        part = part_on(page)
        said[part] = "reject" if number % 5 == 0 else "pass"
        press(page, said[part][0])
    all_sent(page)
    known = {part: plant_of_the_demo.knows(f"/inspections/{part}")["review"] for part in said}
    assert {part: one["verdict"] for part, one in known.items()} == said
    assert {one["inspector"] for one in known.values()} == {INSPECTOR}


def test_see_the_real_picture_of_a_part(plant_of_the_demo: DemoPlant, people: People) -> None:
    page = people.at_work(INSPECTOR)
    go_to(page, "Parts")
    page.get_by_label(re.compile("^Line")).select_option("line-1")
    page.get_by_label("Decided by").select_option("cloud")
    page.get_by_role("button", name="Show").click()
    page.locator("table.parts tbody th a").first.click()
    part = page.locator("main").get_attribute("data-part") or ""
    page.get_by_label("Why do you look?").fill("the customer asks")
    page.get_by_role("button", name="Show the picture").click()
    seen = page.locator("img.seen")
    expect(seen).to_be_visible()
    assert seen.evaluate("image => image.naturalWidth") >= 100
    expect(page.locator("img.overlay")).to_be_visible()
    page.keyboard.press("m")
    expect(page.locator("img.overlay")).to_be_hidden()
    page.keyboard.press("m")
    expect(page.locator("img.overlay")).to_be_visible()
    looks = plant_of_the_demo.did(INSPECTOR, "picture seen")
    assert (looks[0]["subject"], looks[0]["after"]["reason"]) == (part, "the customer asks")


def test_correct_the_map_by_drawing(plant_of_the_demo: DemoPlant, people: People) -> None:
    page = people.at_work(INSPECTOR)
    go_to(page, "Review")
    # A part that is to be looked at without a map has nothing yet that one could draw on.
    for _ in range(20):
        part = part_on(page)
        if page.locator("#canvas img").count():
            break
        page.keyboard.press("ArrowRight")
        page.wait_for_function(
            "one => document.getElementById('item').dataset.part !== one", arg=part
        )
    expect(page.locator("#canvas img").first).to_have_js_property("complete", value=True)
    page.keyboard.press("b")
    place = page.locator("#canvas canvas").bounding_box()
    assert place is not None
    page.mouse.move(place["x"] + place["width"] / 4, place["y"] + place["height"] / 4)
    page.mouse.down()
    page.mouse.move(place["x"] + place["width"] * 3 / 4, place["y"] + place["height"] * 3 / 4)
    page.mouse.up()
    press(page, "r")
    all_sent(page)
    entry = plant_of_the_demo.knows(f"/inspections/{part}/labels")[0]
    assert (entry["inspector"], entry["verdict"], entry["drawn"]) == (INSPECTOR, "reject", True)
    drawn = f"/api/v1/inspections/{part}/labels/{entry['number']}/drawing.png"
    pixels = np.frombuffer(plant_of_the_demo.get(drawn).content, np.uint8)
    mask = cv2.imdecode(pixels, cv2.IMREAD_UNCHANGED)
    assert mask is not None
    assert 0.2 < float((mask > 0).mean()) < 0.3
    page.goto(f"{plant_of_the_demo.url}/inspections/{part}")
    expect(page.get_by_alt_text(f"Where {INSPECTOR} drew the defect")).to_be_visible()


def test_take_a_label_back(plant_of_the_demo: DemoPlant, people: People) -> None:
    page = people.at_work(INSPECTOR)
    go_to(page, "Review")
    part = part_on(page)
    press(page, "p")
    all_sent(page)
    page.keyboard.press("u")
    expect(page.locator("#unsent")).to_contain_text("Taken back: pass")
    expect(page.locator("#item")).to_have_attribute("data-part", part)
    knows = plant_of_the_demo.knows
    assert knows(f"/inspections/{part}/labels")[0]["undone_by"] == INSPECTOR
    assert knows(f"/inspections/{part}")["review"] is None
    press(page, "r")
    all_sent(page)
    page.goto(f"{plant_of_the_demo.url}/inspections/{part}")
    page.get_by_role("button", name="Take back").click()
    expect(page.get_by_text(f"taken back by {INSPECTOR}")).to_have_count(2)
    assert [one["undone_by"] for one in knows(f"/inspections/{part}/labels")] == [INSPECTOR] * 2
    found = knows(f"/inspections/{part}")
    assert (found["review"], found["verdict"]) == (None, "review")


def test_acknowledge_and_shelve_an_alert(plant_of_the_demo: DemoPlant, people: People) -> None:
    page = people.at_work(INSPECTOR)
    go_to(page, "Alerts")
    alert = page.locator(".alert", has_text="Parts wait for review").filter(has_text="line-2")
    alert.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_text("Acknowledged.")).to_be_visible()
    expect(alert.locator(".alert-state")).to_contain_text(f"acknowledged – {INSPECTOR}")
    alert.get_by_role("button", name="Shelve …").click()
    asked = page.locator(".dialog:popover-open")
    asked.get_by_label("For").select_option("2 hours")
    asked.get_by_label("Why").fill("a third inspector comes at noon")
    asked.get_by_role("button", name="Shelve", exact=True).click()
    expect(alert).to_contain_text("shelved")
    expect(alert).to_contain_text("a third inspector comes at noon")
    found = plant_of_the_demo.knows("/alerts")
    (known,) = [one for one in found if (one["name"], one["line"]) == ("review_queue", "line-2")]
    assert (known["state"], known["by"]) == ("shelved", INSPECTOR)
    assert known["until"] - time.time() == pytest.approx(7200, abs=300)


def test_take_the_rejected_parts_of_a_lot_along(
    plant_of_the_demo: DemoPlant, people: People, tmp_path: Path
) -> None:
    page = people.at_work(INSPECTOR)
    go_to(page, "Parts")
    page.get_by_label("Verdict").select_option("reject")
    page.get_by_label("Lot").fill("lot-3")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile("lot=lot-3"))
    told = page.locator(".parts-count strong").inner_text()
    with page.expect_download() as started:
        page.get_by_role("link", name="CSV").click()
    started.value.save_as(tmp_path / "parts.csv")
    with (tmp_path / "parts.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["lot"], row["verdict"]) for row in rows} == {("lot-3", "reject")}
    assert len(rows) == int(re.sub(r"\D", "", told))
    some = plant_of_the_demo.knows("/inspections", lot="lot-3", verdict="reject", limit=100)
    keys = {(row["device"], row["boot"], int(row["sequence"])) for row in rows}
    known = {(one["device"], one["boot"], one["sequence"]) for one in some["inspections"]}
    assert known <= keys
