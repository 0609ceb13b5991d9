"""Reviewing in a real browser, against a real `splitsight cloud serve`."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from cloud.records.store import RecordStore
from tests.browser.reviewing import ROOT, ReviewPlant, review_plant, shown
from tests.cloud.makers import device
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

FIFTY = 50


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReviewPlant]:
    with review_plant(tmp_path_factory.mktemp("plant")) as running:
        yield running


def test_fifty_parts_are_reviewed_in_ninety_seconds_and_sixty_keys(
    plant: ReviewPlant, browser: Browser
) -> None:
    plant.wait(1, FIFTY)
    page = plant.sign_in(browser, "ada", "/review")
    expect(page.get_by_role("heading", name="Part 1", exact=True)).to_be_visible()
    began, presses = time.monotonic(), 0
    while page.locator("#verdict").count():
        before = page.locator("#item").get_attribute("data-part")
        page.keyboard.press("r" if shown(page) % 5 == 0 else "p")
        presses += 1
        page.wait_for_function(
            "one => document.getElementById('item').dataset.part !== one", arg=before
        )
    expect(page.locator("#unsent")).to_have_attribute("data-waiting", "0")
    took = time.monotonic() - began
    said = plant.labels(page)
    assert {n: one["verdict"] for n, one in said.items()} == {
        n: "reject" if n % 5 == 0 else "pass" for n in range(1, FIFTY + 1)
    }
    print(f"{FIFTY} parts: {took:.1f} s, {presses} key presses")  # noqa: T201 - a figure
    assert (took <= 90, presses <= 60) == (True, True)
    page.context.close()


def test_two_inspectors_at_one_part_are_told_and_both_labels_are_kept(
    plant: ReviewPlant, browser: Browser
) -> None:
    plant.wait(101, 2, line="two")
    ada = plant.sign_in(browser, "ada", "/review?line=two")
    # By a link that ada has sent: the queue itself would give her another one.
    meyer = plant.sign_in(browser, "meyer", "/review?line=two&item=box-1/b1/101")
    expect(meyer.get_by_text("ada has this part open too")).to_be_visible()
    ada.keyboard.press("p")
    expect(ada.locator("#item")).to_have_attribute("data-part", "box-1/b1/102")
    expect(ada.locator("#unsent")).to_have_attribute("data-waiting", "0")
    meyer.keyboard.press("r")
    expect(meyer.locator("#told")).to_contain_text("ada said pass. Both labels are kept")
    expect(meyer.locator("#told")).to_contain_text("a third inspector is asked")
    said = meyer.request.get(f"{plant.server.url}/api/v1/inspections/box-1/b1/101/labels").json()
    assert [(one["inspector"], one["verdict"]) for one in said] == [
        ("meyer", "reject"),
        ("ada", "pass"),
    ]
    # The third is noor, who is told neither.
    noor = plant.sign_in(browser, "noor", "/review?line=two")
    wait_until(lambda: shown(noor) == 101, "the part that is in dispute")
    expect(noor.locator("#item img")).to_have_count(0)
    expect(noor.get_by_text("ada", exact=False)).to_have_count(0)
    for page in (ada, meyer, noor):
        page.context.close()


def test_what_was_said_is_taken_back_by_one_key_and_back_leads_to_it(
    plant: ReviewPlant, browser: Browser
) -> None:
    plant.wait(201, 4, line="undo")
    page = plant.sign_in(browser, "ada", "/review?line=undo")
    for number in (201, 202, 203):
        wait_until(lambda number=number: shown(page) == number, f"part {number}")  # type: ignore[misc]
        page.keyboard.press("p")
    wait_until(lambda: shown(page) == 204, "the last one")
    expect(page.locator("#unsent")).to_have_attribute("data-waiting", "0")
    page.keyboard.press("u")
    wait_until(lambda: shown(page) == 203, "the part whose label was taken back")
    wait_until(lambda: 203 not in plant.labels(page), "it is taken back in the cloud")
    page.go_back()
    wait_until(lambda: shown(page) == 202, "Back is the part before")
    expect(page.locator("#own")).to_contain_text("You said pass")
    page.keyboard.press("r")
    wait_until(lambda: plant.labels(page).get(202, {}).get("verdict") == "reject", "said anew")
    page.go_forward()
    page.reload()
    expect(page.locator("#item")).to_have_attribute("data-part", re.compile("/20[34]$"))
    page.context.close()


def test_a_session_that_ends_while_somebody_reviews_loses_nothing(
    plant: ReviewPlant, browser: Browser
) -> None:
    plant.wait(301, 3, line="session")
    page = plant.sign_in(browser, "ada", "/review?line=session")
    wait_until(lambda: shown(page) == 301, "the first part")
    page.keyboard.press("p")
    wait_until(lambda: shown(page) == 302, "the second part")
    expect(page.locator("#unsent")).to_have_attribute("data-waiting", "0")
    plant.access.sessions.revoke_all("ada", ROOT)
    page.keyboard.press("w")
    page.keyboard.type("a scratch, see the left edge")
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    page.wait_for_url("**/sign-in*")
    plant.enter(page, "ada")
    said = wait_until(lambda: plant.labels(page).get(302), "the label that waited in the browser")
    assert said is not None
    assert said["verdict"] == "reject"
    entries = page.request.get(f"{plant.server.url}/api/v1/inspections/box-1/b1/302/labels").json()
    assert [one["why"] for one in entries] == ["a scratch, see the left edge"]
    page.context.close()


def test_a_session_that_ends_takes_nobody_away_from_what_they_write(
    plant: ReviewPlant, browser: Browser
) -> None:
    plant.wait(351, 3, line="writing")
    page = plant.sign_in(browser, "ada", "/review?line=writing")
    first = wait_until(lambda: shown(page), "the first part")
    page.keyboard.press("p")
    second = wait_until(lambda: shown(page) != first and shown(page), "the second part")
    expect(page.locator("#unsent")).to_have_attribute("data-waiting", "0")
    page.wait_for_load_state("networkidle")
    plant.access.sessions.revoke_all("ada", ROOT)
    # The third part's page is here already; what comes after it is not.
    page.keyboard.press("ArrowRight")
    third = wait_until(lambda: shown(page) not in {first, second} and shown(page), "the third")
    expect(page.locator("#told")).to_contain_text("Your session has ended")
    page.keyboard.press("w")
    page.keyboard.type("a crack at the edge")
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    page.wait_for_url("**/sign-in*")
    plant.enter(page, "ada")
    said = wait_until(lambda: plant.labels(page).get(third), "the label that waited in the browser")
    assert said is not None
    assert said["verdict"] == "reject"
    entries = page.request.get(
        f"{plant.server.url}/api/v1/inspections/box-1/b1/{third}/labels"
    ).json()
    assert [one["why"] for one in entries] == ["a crack at the edge"]
    page.context.close()


def test_kinds_are_written_by_an_engineer_and_markup_in_them_is_text(
    plant: ReviewPlant, browser: Browser
) -> None:
    plant.wait(401, 2, line="kinds")
    RecordStore(plant.database).save(devices=[device(line="kinds")])
    evil = '<img src=x onerror="document.title=1">'
    noor = plant.sign_in(browser, "noor", "/review?line=kinds", timezone_id="Pacific/Auckland")
    noor.goto(f"{plant.server.url}/review/kinds")
    noor.get_by_label("One a line").fill(f"{evil}\ncrack")
    noor.get_by_role("button", name="Save").click()
    expect(noor.get_by_label("One a line")).to_have_value(f"{evil}\ncrack\n")
    noor.goto(f"{plant.server.url}/review?line=kinds")
    expect(noor.locator("[data-key='1']")).to_contain_text(evil)
    at = noor.locator("#item time").get_attribute("datetime") or ""
    expect(noor.locator("#item time")).not_to_contain_text(at)
    part = shown(noor)
    noor.keyboard.press("1")
    said = wait_until(lambda: plant.labels(noor).get(part), "the label")
    assert said is not None
    assert (said["verdict"], said["kind"]) == ("reject", evil)
    expect(noor).to_have_title(re.compile("Review"))
    noor.context.close()


def test_many_are_labelled_at_once_and_taken_back_at_once(
    plant: ReviewPlant, browser: Browser
) -> None:
    plant.wait(501, 12, line="many")
    page = plant.sign_in(browser, "ada", "/review?view=grid&line=many")
    expect(page.locator(".choice")).to_have_count(12)
    page.keyboard.press("Space")
    expect(page.locator("#chosen")).to_have_text("1 of 12 chosen")
    page.keyboard.press("a")
    page.keyboard.press("p")
    expect(page.get_by_text("12 labels kept")).to_be_visible()
    assert sum(500 < number < 600 for number in plant.labels(page)) == 12
    page.keyboard.press("u")
    expect(page.locator(".choice")).to_have_count(12)
    assert not any(500 < number < 600 for number in plant.labels(page))
    page.context.close()


def test_a_defect_is_drawn_over_the_map_and_kept_with_its_label(
    plant: ReviewPlant, browser: Browser
) -> None:
    plant.wait(601, 2, line="drawn")
    page = plant.sign_in(browser, "ada", "/review?line=drawn")
    wait_until(lambda: shown(page) == 601, "the first part")
    expect(page.locator("#canvas img")).to_have_js_property("complete", value=True)
    page.keyboard.press("b")
    place = page.locator("#canvas canvas").bounding_box()
    assert place is not None
    left, top = place["x"] + place["width"] / 4, place["y"] + place["height"] / 4
    page.mouse.move(left, top)
    page.mouse.down()
    page.mouse.move(left + place["width"] / 2, top + place["height"] / 2)
    page.mouse.up()
    page.keyboard.press("r")
    wait_until(lambda: 601 in plant.labels(page), "the label")
    (entry,) = page.request.get(f"{plant.server.url}/api/v1/inspections/box-1/b1/601/labels").json()
    assert entry["drawn"]
    picture = page.request.get(
        f"{plant.server.url}/api/v1/inspections/box-1/b1/601/labels/{entry['number']}/drawing.png"
    ).body()
    mask = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_UNCHANGED)
    assert mask is not None
    assert 0.2 < float((mask > 0).mean()) < 0.3
    page.context.close()
