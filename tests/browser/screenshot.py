"""`make screenshot`: the live page of a running demo, as a PNG for the README."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from hardware_sim.demo.demo import Demo, DemoOptions
from shared.loopback import free_port
from tests.browser.chromium import launch
from tests.support.waiting import wait_until

BUNDLE = Path(__file__).parents[2] / "bundles" / "elpv"
PARTS_SHOWN = 600
PATIENCE_S = 120.0


def main() -> None:
    """Let the demo run until the page has something to show, then photograph it."""
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        options = DemoOptions(BUNDLE, port=free_port(), broker_port=free_port())
        demo = Demo(options, Path(folder))
        try:
            demo.start()
            _wait_for_parts(demo)
            with sync_playwright() as playwright:
                browser = launch(playwright)
                page = browser.new_page(viewport={"width": 1280, "height": 1480})
                page.goto(demo.url)
                page.wait_for_function(
                    "[...document.images].length > 0"
                    " && [...document.images].every(image => image.complete)"
                )
                page.screenshot(path=str(target))
                browser.close()
        finally:
            demo.stop()


def _wait_for_parts(demo: Demo) -> None:
    def shown() -> bool:
        demo.tend()
        status = demo.status()
        return status is not None and status["summary"]["inspected"] >= PARTS_SHOWN

    wait_until(shown, f"{PARTS_SHOWN} parts; see the demo's logs", within_s=PATIENCE_S)


if __name__ == "__main__":
    main()
