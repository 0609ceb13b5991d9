"""A quality engineer's tasks of `docs/guides/tasks.md`, as written there, against the demo."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import httpx
import pytest
from playwright.sync_api import Page, expect

from hardware_sim.demo.people import ENGINEER, INSPECTOR
from tests.browser.demo_plant import DemoPlant, People, go_to
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

PATIENCE_MS = 120_000


def test_find_the_commonest_kind_of_defect_and_since_when_it_comes(
    plant_of_the_demo: DemoPlant, people: People
) -> None:
    plant = plant_of_the_demo
    waiting = plant.knows("/inspections", line="line-3", to_review=True, limit=20)["inspections"]
    parts = [f"/inspections/{one['device']}/{one['boot']}/{one['sequence']}" for one in waiting]
    for part, kind in zip(parts, ("cracked cell", "cracked cell", "dead finger"), strict=False):
        answer = httpx.put(
            f"{plant.url}/api/v1{part}/review",
            json={"verdict": "reject", "kind": kind},
            cookies=plant.session_of(INSPECTOR),
            headers={"origin": plant.url},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
    page = people.at_work(ENGINEER)
    bars = page.locator(".pareto tbody tr")

    def counted() -> bool:
        go_to(page, "Quality")
        page.get_by_label("Line", exact=True).fill("line-3")
        page.get_by_role("button", name="Show").click()
        expect(page).to_have_url(re.compile("line=line-3"))
        return bars.filter(has_text="dead finger").count() == 1

    wait_until(counted, "the labels are counted", pause_s=0.5)
    found = {row.split("\t")[0]: row.split("\t")[1] for row in bars.all_inner_texts()}
    assert (found["cracked cell"], found["dead finger"]) == ("2", "1")
    counts = [int(text.replace(",", "")) for text in found.values()]
    assert counts == sorted(counts, reverse=True)
    page.get_by_role("link", name="cracked cell").click()
    expect(page.locator("table.parts tbody tr")).to_have_count(2)
    shown = page.locator("table.parts tbody th a").evaluate_all(
        "links => links.map(link => new URL(link.href).pathname)"
    )
    assert set(shown) == set(parts[:2])


def figures(page: Page) -> dict[str, str]:
    """What the table says of the marks."""
    cells = page.locator("#outcome [data-figure]").evaluate_all(
        "cells => cells.map(cell => [cell.dataset.figure, cell.textContent])"
    )
    return {name: " ".join(text.split()) for name, text in cells}


def test_try_other_thresholds_and_make_a_candidate(
    plant_of_the_demo: DemoPlant, people: People
) -> None:
    page = people.at_work(ENGINEER)
    go_to(page, "Thresholds")
    expect(page.locator("#promise")).to_contain_text("The promise holds")
    before = figures(page)
    mark = page.get_by_role("slider", name="The head passes below")
    mark.focus()
    for _ in range(3):
        page.keyboard.press("PageDown")
    wait_until(lambda: figures(page) != before, "the figures follow the mark")
    expect(page.locator("#promise")).to_contain_text("The promise holds")
    threshold = float(page.locator('#save input[name="pass_below"]').input_value())
    page.get_by_label("Why").fill("fewer escapes at the edge")
    page.get_by_role("button", name="Save as a candidate").click()
    done = page.locator(".done")
    expect(done).to_contain_text("Saved as the candidate", timeout=PATIENCE_MS)
    name = done.locator("b").inner_text()
    go_to(page, "Models")
    page.get_by_role("link", name=name).click()
    expect(page.get_by_text("fewer escapes at the edge").first).to_be_visible()
    expect(page.get_by_role("button", name=f"Approve {name}")).to_be_visible()
    offered = plant_of_the_demo.did(ENGINEER, "gate candidate")[0]
    assert offered["after"]["why"] == "fewer escapes at the edge"
    assert float(offered["after"]["pass_below"]) == threshold


def test_see_how_far_inspectors_agree(plant_of_the_demo: DemoPlant, people: People) -> None:
    page = people.at_work(ENGINEER)
    go_to(page, "Review")
    page.get_by_role("link", name="Agreement").click()
    cells = page.locator("table tbody tr").first.locator("td").all_inner_texts()
    overall = plant_of_the_demo.knows("/labels/agreement")[0]
    assert overall["pairs"] >= 10
    assert cells[:3] == [
        str(overall["pairs"]),
        str(overall["agreed"]),
        f"{overall['kappa']:.2f}",
    ]
    expect(page.get_by_role("row", name=re.compile("^ida, ivo"))).to_be_visible()


def test_see_whether_a_camera_has_drifted(
    plant_of_the_demo: DemoPlant, people: People, tmp_path: Path
) -> None:
    plant = plant_of_the_demo
    page = people.at_work(ENGINEER)
    box = page.locator("section.drift", has_text="box-2")

    light = box.get_by_role("row").filter(has_text="brightness")

    def says(words: str) -> bool:
        plant.demo.tend()
        go_to(page, "Drift")
        return light.filter(has_text=words).count() == 1

    wait_until(lambda: says("as at the beginning"), "its light is known", within_s=180)
    darken(plant, "box-2", tmp_path)
    wait_until(lambda: says("drifted since"), "the lamp is missed", within_s=180)
    expect(box).to_contain_text("not as at the beginning")
    expect(page.locator("section.drift", has_text="box-1")).not_to_contain_text("drifted since")
    drifted = [one for one in plant.knows("/alerts") if one["name"] == "drift"]
    assert {(one["line"], one["device"]) for one in drifted} <= {("line-2", "box-2")}
    box.get_by_text("Compare with other parts").click()
    box.get_by_role("button", name="Compare with the next").click()
    expect(page.get_by_text("The next parts are what later ones are compared with")).to_be_visible()
    assert plant.did(ENGINEER, "drift reference")[0]["subject"].startswith("demo/line-2/box-2")


def darken(plant: DemoPlant, device: str, folder: Path) -> None:
    """From now on that box's lamp gives half of its light."""
    lane = next(one for one in plant.demo.lanes if one.device == device)
    pictures = []
    for cell in lane.cells[:60]:
        bright = cv2.imread(str(cell.image), cv2.IMREAD_GRAYSCALE)
        assert bright is not None
        pictures.append(folder / cell.image.name)
        cv2.imwrite(str(pictures[-1]), bright // 2)
    (plant.demo.folder / f"{device}.txt").write_text("".join(f"{one}\n" for one in pictures))
    child = next(one for one in plant.demo.boxes if one.name == device)
    child.stop()
    child.wait()
    child.start()
