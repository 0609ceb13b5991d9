"""The page of a part in a real browser: a real box, a real broker, a real cloud."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
import yaml
from playwright.sync_api import Browser, Page, expect

from hardware_sim.processes.child import splitsight
from tests.browser.test_dashboard import Watched
from tests.bundles import BAD, GOOD, UNSURE_BAD, make_bundle, picture
from tests.cloud.server import PATIENCE_S, Server
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

SIDE = 128
SCRATCH = ((30, 90), (100, 40))


class Box:
    """`splitsight edge run` on a few parts, over and over; it keeps every picture."""

    def __init__(
        self, folder: Path, server: Server, shades: Sequence[int] = (BAD, UNSURE_BAD, GOOD)
    ) -> None:
        pictures = folder / "pictures"
        pictures.mkdir()
        for number, shade in enumerate(shades):
            shown = picture(shade, height=SIDE, width=SIDE)
            cv2.line(shown, *SCRATCH, 255 if shade < 200 else 0, 3)
            cv2.imwrite(str(pictures / f"{number}.png"), shown)
        self.folder = folder
        self.config = folder / "edge.yaml"
        self.config.write_text(
            yaml.safe_dump(
                {
                    "site": "plant",
                    "line": "line-1",
                    "device": "box-1",
                    "bundle": str(server.bundle.path),
                    "broker": {"port": server.broker_port},
                    "camera": {"kind": "folder", "path": str(pictures), "rate": 4, "loop": True},
                    "actuator": {"kind": "log"},
                    "runtime": {"name": "onnx", "threads": 1},
                    "journal": {"path": str(folder / "journal.db"), "ring_keep": "all"},
                    "pictures": {"policy": "full"},
                }
            )
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "box.log").open("ab") as log:
            command = splitsight("edge", "run", "--config", str(self.config))
            self.process = subprocess.Popen(command, stderr=log)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("plant")
    bundle = make_bundle(folder / "tiny", height=SIDE, width=SIDE)
    with Server(folder, bundle) as running:
        yield running


@pytest.fixture(scope="module")
def box(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    running = Box(tmp_path_factory.mktemp("box"), server)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = Watched(context.new_page())
    yield page
    context.close()
    assert page.hosts == {"127.0.0.1"}


def parts(server: Server, **wanted: str) -> list[str]:
    """Addresses of parts that are here, the last that came first."""
    found = httpx.get(f"{server.url}/api/v1/inspections", params=wanted, timeout=30).json()
    return [
        f"{server.url}/inspections/{one['device']}/{one['boot']}/{one['sequence']}"
        for one in found["inspections"]
    ]


def some_parts(server: Server, **wanted: str) -> list[str]:
    return wait_until(lambda: parts(server, **wanted), f"parts with {wanted}")


def ask(page: Page, reason: str = "") -> None:
    page.get_by_label("Why do you look?").fill(reason)
    page.get_by_role("button", name="Show the picture").click()


def photograph(page: Page, name: str) -> None:
    """In all its looks, where somebody wants to see them."""
    if not (folder := os.environ.get("SPLITSIGHT_SCREENSHOTS")):
        return
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for look, width, height in (
            ("wide", 1600, 1000),
            ("panel", 1024, 768),
            ("phone", 390, 844),
        ):
            page.set_viewport_size({"width": width, "height": height})
            page.screenshot(path=Path(folder) / f"{name}-{look}-{scheme}.png", full_page=True)


def test_an_inspector_sees_the_picture_of_a_part_with_the_map_over_it(
    server: Server, box: Box, watched: Watched
) -> None:
    page = watched.page
    page.goto(some_parts(server, decided_by="cloud")[-1])
    ask(page, "customer asks")
    seen = page.locator("img.seen")
    expect(seen).to_be_visible()
    assert seen.evaluate("(image) => image.naturalWidth") == SIDE
    over = page.locator("img.overlay")
    expect(over).to_be_visible()
    page.get_by_label("Opacity").fill("20")
    assert over.evaluate("(image) => getComputedStyle(image).opacity") == "0.2"
    page.locator("h1").click()
    page.keyboard.press("m")
    expect(over).to_be_hidden()
    page.keyboard.press("m")
    expect(over).to_be_visible()
    page.get_by_label("head's, made again by box-1").check()
    expect(page.get_by_alt_text("Defect map, the head's")).to_be_visible()
    expect(page.get_by_text("The gate has decided at the edge")).to_be_visible()
    expect(page.get_by_text("In the cloud: the tail runs")).to_be_visible()
    photograph(page, "part")
    entries = httpx.get(f"{server.url}/api/v1/audit", timeout=30).json()
    looks = [one for one in entries if one["what"] == "picture seen"]
    assert looks[0]["after"]["reason"] == "customer asks"
    assert watched.complaints == []


def test_a_part_that_the_edge_decided_can_be_judged_by_its_picture_and_the_heads_map(
    server: Server, box: Box, watched: Watched
) -> None:
    page = watched.page
    page.goto(some_parts(server, decided_by="edge", verdict="reject")[-1])
    expect(page.get_by_text("No features were sent")).to_be_visible()
    ask(page)
    expect(page.locator("img.seen")).to_be_visible()
    expect(page.get_by_alt_text("Defect map, the head's")).to_be_visible()
    photograph(page, "part-edge")
    page.get_by_label("Your name").fill("ada")
    page.locator("h1").click()
    page.keyboard.press("r")
    expect(page.get_by_text("says: reject").first).to_be_visible()


def test_neighbours_are_a_key_away_and_back_is_back(
    server: Server, box: Box, watched: Watched
) -> None:
    page = watched.page
    some_parts(server, decided_by="cloud")
    address = wait_until(lambda: parts(server)[5:6], "six parts")[0]
    page.goto(address)
    here = page.locator("h1").inner_text()
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(lambda url: url != address)
    assert page.locator("h1").inner_text() != here
    page.keyboard.press("ArrowRight")
    page.wait_for_url(address)
    page.go_back()
    page.wait_for_url(lambda url: url != address)
    assert watched.complaints == []


def test_a_box_that_is_away_is_told_and_the_page_gets_the_picture_when_it_is_back(
    server: Server, box: Box, watched: Watched
) -> None:
    page = watched.page
    address = some_parts(server, decided_by="cloud")[-1]
    box.stop()
    wait_until(
        lambda: (
            httpx.get(f"{server.url}/api/v1/devices", timeout=30).json()[0]["state"] != "online"
        ),
        "the box is away",
    )
    page.goto(address)
    expect(page.get_by_text("box-1 is away")).to_be_visible()
    ask(page, "later")
    expect(page.get_by_role("status").filter(has_text="kept until it is back")).to_be_visible(
        timeout=20_000
    )
    photograph(page, "part-away")
    page.reload()
    expect(page.get_by_text("You asked for it")).to_be_visible()
    box.start()
    expect(page.locator("img.seen")).to_be_visible(timeout=60_000)


def test_without_a_script_the_form_shows_the_picture_itself(
    server: Server, box: Box, browser: Browser
) -> None:
    address = some_parts(server, decided_by="cloud")[-1]
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    with page.expect_response(lambda answer: "/picture?" in answer.url) as waited:
        ask(page, "no script")
    assert waited.value.headers["content-type"] == "image/png"
    pixels = cv2.imdecode(np.frombuffer(waited.value.body(), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert pixels is not None
    assert pixels.shape == (SIDE, SIDE)
    context.close()
