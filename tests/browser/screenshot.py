"""`make screenshot`, `make screenshots`: pages of a running demo, as PNG files to look at."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from hardware_sim.demo.demo import Demo, DemoOptions
from hardware_sim.demo.people import ADMIN
from shared.loopback import free_port
from tests.browser.chromium import launch
from tests.support.waiting import wait_until

BUNDLE = Path(__file__).parents[2] / "bundles" / "elpv"
PARTS_SHOWN = 300
# A second and device: calm on a machine that has a browser to run, too.
RATE = 3.0
PATIENCE_S = 240.0
LOOKS = {
    "wide": (1600, 1000),
    "panel": (1024, 768),
    "phone": (390, 844),
}
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
# Beside those of the navigation. A link's page is the first that such a link leads to.
MORE = {
    "wall": "/wall",
    "me": "/me",
    "parts-to-review": "/parts?to_review=true",
    "review-many": "/review?view=grid",
    "review-agreement": "/review/agreement",
    "review-kinds": "/review/kinds",
    "alert-rules": "/alerts/rules",
    "tokens": "/people/tokens",
    "rollout-new": "/fleet/rollouts/new",
    "missing": "/nowhere",
}
LINKED = {
    "part": ("/parts?decided_by=cloud", "/inspections/"),
    "alert": ("/alerts", "/alerts/1"),
    "person": ("/people", "/people/accounts/"),
    "device": ("/fleet", "/fleet/devices/"),
    "rollout": ("/fleet", "/fleet/rollouts/"),
    "model": ("/models", "/models/bundle/"),
    "candidate": ("/models", "/models/candidates/"),
    "round": ("/rounds", "/rounds/run/"),
}
# What is loaded lazily would come only when it is scrolled to.
LOADED = """[...document.images].every(image => {
    image.loading = "eager";
    return image.complete;
})"""


def main() -> None:
    """One page for the README, or all of them in every look."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path, help="a PNG file; with --all a folder")
    parser.add_argument("--all", action="store_true", help="every page, light and dark, each size")
    parser.add_argument("--only", nargs="*", default=[], help="names of pages; none: all")
    options = parser.parse_args()
    with running() as (demo, browser):
        if options.all:
            options.target.mkdir(parents=True, exist_ok=True)
            photograph_all(demo, browser, options.target, options.only)
            return
        options.target.parent.mkdir(parents=True, exist_ok=True)
        page = browser.new_page(viewport={"width": 1280, "height": 1160})
        sign_in(page, demo)
        _settle(page)
        page.screenshot(path=str(options.target))
        _pack(options.target)


@contextmanager
def running() -> Iterator[tuple[Demo, Browser]]:
    """A demo that has something to show, and a browser."""
    with tempfile.TemporaryDirectory() as folder:
        options = DemoOptions(BUNDLE, rate=RATE, port=free_port(), broker_port=free_port())
        demo = Demo(options, Path(folder))
        try:
            demo.start()
            _wait_for_parts(demo)
            with sync_playwright() as playwright:
                browser = launch(playwright)
                yield demo, browser
                browser.close()
        finally:
            demo.stop()


def sign_in(page: Page, demo: Demo, name: str = ADMIN) -> None:
    """As one of the demo's people; the live page is open then."""
    assert demo.people is not None
    page.goto(f"{demo.url}/sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(demo.people.passwords[name])
    page.keyboard.press("Enter")
    page.wait_for_url(f"{demo.url}/")


def photograph_all(demo: Demo, browser: Browser, folder: Path, only: list[str]) -> None:
    """Each page as NAME-LOOK-THEME.png."""
    context = browser.new_context()
    page = context.new_page()
    sign_in(page, demo)
    _save_candidate(page, demo.url)
    _begin_rollout(page, demo.url)
    page.goto(demo.url)
    for name, path in find_pages(page, demo.url).items():
        if only and name not in only:
            continue
        for look, size in LOOKS.items():
            page.set_viewport_size({"width": size[0], "height": size[1]})
            for theme in THEMES:
                page.emulate_media(color_scheme=theme)
                page.goto(demo.url + path)
                _settle(page)
                target = folder / f"{name}-{look}-{theme}.png"
                page.screenshot(path=str(target), full_page=look != "panel")
    context.close()


def _save_candidate(page: Page, url: str) -> None:
    page.goto(f"{url}/thresholds")
    page.get_by_role("slider", name="The head passes below").focus()
    for _ in range(3):
        page.keyboard.press("PageDown")
    page.get_by_label("Why").fill("fewer escapes at the edge")
    with page.expect_navigation():
        page.get_by_role("button", name="Save as a candidate").click()


def _begin_rollout(page: Page, url: str) -> None:
    page.goto(f"{url}/fleet/rollouts/new")
    page.get_by_role("button", name="Show what would happen").click()
    with page.expect_navigation():
        page.get_by_role("button", name="Start").click()


def find_pages(page: Page, url: str) -> dict[str, str]:
    """The path of each page that there is, by its name."""
    links: list[str] = page.eval_on_selector_all(
        "nav a", "links => links.map(link => new URL(link.href).pathname)"
    )
    found = {path.strip("/").replace("/", "-") or "live": path for path in links} | MORE
    for name, (path, beginning) in LINKED.items():
        page.goto(url + path)
        link = page.locator(f"main a[href^='{beginning}']:not([href$='/new'])")
        if link.count():
            found[name] = str(link.first.get_attribute("href"))
        else:
            sys.stderr.write(f"{name}: nothing on {path} leads to one\n")
    return found


def _pack(path: Path) -> None:
    """A browser writes quickly, and this one lies in the repository: 32 steps of each colour."""
    pixels = cv2.imread(str(path))
    if pixels is None:
        raise AssertionError(f"{path} is no picture")
    coarse = (np.round(pixels * (31 / 255)) * (255 / 31)).astype(np.uint8)
    cv2.imwrite(str(path), coarse, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def _settle(page: Page) -> None:
    # Not by the page's own means: it allows no `eval`.
    wait_until(lambda: page.evaluate(LOADED), f"the pictures of {page.url}")


def _wait_for_parts(demo: Demo) -> None:
    def shown() -> bool:
        demo.tend()
        status = demo.status()
        return status is not None and status["summary"]["inspected"] >= PARTS_SHOWN

    wait_until(shown, f"{PARTS_SHOWN} parts; see the demo's logs", within_s=PATIENCE_S)


if __name__ == "__main__":
    main()
