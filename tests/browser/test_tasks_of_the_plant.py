"""Tasks of managers and admins of `docs/guides/tasks.md`, as written there, against the demo."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from hardware_sim.demo.people import ADMIN, ENGINEER, INSPECTOR, VIEWER
from shared.format import size
from tests.browser.demo_plant import DemoPlant, People, go_to
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

PATIENCE_MS = 120_000
ENDED = frozenset({"stopped", "done"})
SECRET = "correct horse battery staple"  # noqa: S105 - of this test


def test_see_which_line_needs_attention_and_why(
    plant_of_the_demo: DemoPlant, people: People
) -> None:
    plant = plant_of_the_demo
    box = next(one for one in plant.demo.boxes if one.name == "box-3")
    page = people.at_work(VIEWER)
    box.kill()
    try:
        state = page.locator(".state")
        expect(state).to_contain_text("line-3", timeout=PATIENCE_MS)
        expect(state).to_contain_text("the box is offline", timeout=PATIENCE_MS)
        state.get_by_text("things are not as they should be").click()
        told = state.locator("li", has_text="the box is offline")
        expect(told).to_contain_text("demo / line-3 / box-3")
        expect(told).to_contain_text("See its power and network")
        page.locator("#line-demo-line-3").get_by_role("link", name="line-3").click()
        expect(page.get_by_role("heading", name="line-3, last 30 minutes")).to_be_visible()
        expect(page.locator(".device-state")).to_contain_text("offline")
        expect(page.locator(".box")).to_have_count(1)
        known = {one["device"]: one["state"] for one in plant.knows("/devices")}
        assert known["box-3"] == "offline"
        assert known["box-1"] == "online"
    finally:
        box.start()
    expect(page.locator(".device-state")).to_contain_text("online", timeout=PATIENCE_MS)


def test_print_the_shift_report(
    plant_of_the_demo: DemoPlant, people: People, tmp_path: Path
) -> None:
    page = people.at_work(VIEWER)
    go_to(page, "Shift report")
    earlier = page.get_by_role("navigation", name="Earlier shifts").get_by_role("link")
    earlier.nth(1).click()
    expect(page.get_by_role("heading", level=1)).not_to_contain_text("It is not over")
    with page.expect_download() as started:
        page.get_by_role("link", name="CSV").click()
    started.value.save_as(tmp_path / "shift.csv")
    with (tmp_path / "shift.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = page.locator("section.line")
    assert [row["line"] for row in rows] == ["line-1", "line-2", "line-3"]
    first, last = page.locator(".caption time").evaluate_all(
        "times => times.slice(0, 2).map(time => new Date(time.dateTime).getTime() / 1000)"
    )
    for row, line in zip(rows, lines.all(), strict=True):
        shown = line.get_by_role("row", name="Parts").first.inner_text().split()[-1]
        found = plant_of_the_demo.get(
            "/api/v1/parts.csv", line=row["line"], since=first, until=last
        ).text
        assert int(shown.replace(",", "")) == int(row["parts"]) == len(found.splitlines()) - 1
    page.emulate_media(media="print")
    printed = page.pdf(format="A4", prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", printed)) in {1, 2}
    for name in ("line-1", "line-2", "line-3"):
        expect(page.get_by_role("heading", name=name)).to_be_visible()


def test_start_a_rollout_and_approve_or_abort_it(
    plant_of_the_demo: DemoPlant, people: People
) -> None:
    end_rollouts(plant_of_the_demo)
    page = people.at_work(ENGINEER)
    go_to(page, "Fleet")
    page.get_by_role("link", name="Start a rollout").click()
    page.get_by_label("Release").select_option(plant_of_the_demo.demo.release)
    page.get_by_label("Approvals").select_option("each ring waits for a person")
    page.get_by_role("button", name="Show what would happen").click()
    expect(page.get_by_role("row", name=re.compile("^canary"))).to_contain_text("box-")
    page.get_by_role("button", name="Start it").click()
    state = page.locator(".rollout-state").first
    expect(state).to_contain_text("waits for approval")
    where = f"/fleet/rollouts/{plant_of_the_demo.knows('/fleet/rollouts')[0]['id']}"
    assert plant_of_the_demo.knows(where)["state"] == "gated"
    page.get_by_role("link", name="Approve ring canary").click()
    expect(page.get_by_text("1 box is asked to run elpv")).to_be_visible()
    page.get_by_role("button", name="Let it begin").click()
    expect(state).to_contain_text("running")
    expect(page.get_by_text("1 under way").or_(page.get_by_text("1 of 1 keep it"))).to_be_visible()
    assert plant_of_the_demo.knows(where)["rings"][0]["approved_by"] == ENGINEER
    page.get_by_role("link", name="Abort").click()
    expect(page.get_by_text("1 box goes back to what it was flashed with")).to_be_visible()
    page.get_by_label("Why").fill("the lot changes today")
    page.get_by_role("button", name="Abort: 1 box back").click()
    expect(state).to_contain_text("stopped, all back", timeout=PATIENCE_MS)
    known = plant_of_the_demo.knows(where)
    assert known["state"] == "stopped"
    assert known["reason"] == f"aborted by {ENGINEER}: the lot changes today"
    assert known["rings"][0]["back"] == 1


def end_rollouts(plant: DemoPlant) -> None:
    """Other tests of the same plant may have left one that waits."""

    def under_way() -> list[int]:
        known = plant.knows("/fleet/rollouts")
        return [one["id"] for one in known if one["state"] not in ENDED]

    for number in under_way():
        answer = httpx.post(
            f"{plant.url}/api/v1/fleet/rollouts/{number}/abort",
            json={"reason": "the next test"},
            cookies=plant.session_of(ENGINEER),
            headers={"origin": plant.url},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
    wait_until(lambda: not under_way(), "none is under way", within_s=120)


def number(text: str) -> int:
    return int(re.sub(r"\D", "", text))


def test_see_what_it_costs_beside_sending_every_picture(
    plant_of_the_demo: DemoPlant, people: People
) -> None:
    page = people.at_work(VIEWER)
    before = plant_of_the_demo.knows("/costs", days=1)["total"]
    go_to(page, "Cost")
    page.get_by_role("link", name="Last day").click()
    expect(page).to_have_url(re.compile("days=1"))
    row = page.get_by_role("row", name=re.compile("^All lines"))
    cells = row.locator("td").all_inner_texts()
    after = plant_of_the_demo.knows("/costs", days=1)["total"]
    # Parts come all the time: what is shown lies between what was known before and after.
    assert before["parts"] <= number(cells[0]) <= after["parts"]
    ratio = after["picture_bytes"] / after["sent_bytes"]
    assert ratio > 10
    tiles = {
        tile.get_by_role("heading").inner_text(): tile.locator(".figure").inner_text()
        for tile in page.locator(".tile").all()
    }
    for name, key in (
        ("Sent to the cloud", "sent_bytes"),
        ("Every JPEG to the cloud", "picture_bytes"),
    ):
        said = tiles[name]
        unit = said.split()[-1]
        least, most = size(before[key]), size(after[key])
        assert unit in {least.split()[-1], most.split()[-1]}
        if least.split()[-1] == most.split()[-1]:
            assert float(least.split()[0]) <= float(said.split()[0]) <= float(most.split()[0])


def signed_in(page: Page, name: str) -> None:
    expect(page.get_by_role("link", name=re.compile(f"^{name}, "))).to_be_visible()


def test_add_a_colleague_and_end_a_session(plant_of_the_demo: DemoPlant, people: People) -> None:
    page = people.at_work(ADMIN)
    go_to(page, "People")
    page.get_by_label("Name").fill("mia")
    page.get_by_label("Role").select_option("inspector")
    page.get_by_role("button", name="Make the account").click()
    link = page.locator("a.whole").inner_text()
    colleague = people.stranger()
    colleague.goto(link)
    colleague.get_by_label("Password").fill(SECRET)
    colleague.keyboard.press("Enter")
    signed_in(colleague, "mia")
    accounts = {one["name"]: one["role"] for one in plant_of_the_demo.knows("/accounts")}
    assert accounts["mia"] == "inspector"
    assert len(plant_of_the_demo.knows("/accounts/mia/sessions")) == 1
    go_to(page, "People")
    page.get_by_role("link", name="mia", exact=True).click()
    page.get_by_role("button", name="End it").click()
    expect(page.get_by_text("Signed in nowhere")).to_be_visible()
    assert plant_of_the_demo.knows("/accounts/mia/sessions") == []
    colleague.reload()
    expect(colleague.get_by_label("Password")).to_be_visible()


def test_see_who_saw_or_changed_what(
    plant_of_the_demo: DemoPlant, people: People, tmp_path: Path
) -> None:
    plant = plant_of_the_demo

    def looked() -> bool:
        """Somebody looks at the picture of a part that has just come."""
        newest = plant.knows("/inspections", line="line-1", decided_by="cloud", limit=1)
        part = newest["inspections"][0]
        key = f"{part['device']}/{part['boot']}/{part['sequence']}"
        plant.get(f"/api/v1/inspections/{key}/picture", INSPECTOR, reason="a question of the shift")
        return True

    wait_until(looked, "a picture is seen")
    page = people.at_work(ADMIN)
    go_to(page, "Audit log")
    page.get_by_label("Who", exact=True).fill(INSPECTOR)
    page.get_by_label("What", exact=True).fill("picture")
    page.get_by_role("button", name="Show").click()
    rows = page.locator("table.audit tbody tr")
    expect(rows.first).to_contain_text("picture seen")
    expect(rows.first).to_contain_text("a question of the shift")
    entry = plant.did(INSPECTOR, "picture seen")[0]
    assert number(rows.first.locator("td").first.inner_text()) == entry["number"]
    with page.expect_download() as started:
        page.get_by_role("link", name="CSV").click()
    started.value.save_as(tmp_path / "audit.csv")
    with (tmp_path / "audit.csv").open(encoding="utf-8-sig", newline="") as file:
        assert entry["hash"] in {row["hash"] for row in csv.DictReader(file)}
    page.get_by_role("button", name="Check the chain").click()
    expect(page.get_by_text("The chain is whole")).to_be_visible()
