"""The browser that the tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.chromium import CHROMIUM, launch
from tests.browser.demo_plant import DemoPlant, People, demo_plant

# What a quiet machine shows in a moment takes its time on one that is busy with something else.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        reason = "Chromium is not installed: apt install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        opened = launch(playwright)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def plant_of_the_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoPlant]:
    """One for all tests of everyday tasks: it takes half a minute to start."""
    with demo_plant(tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest.fixture
def people(plant_of_the_demo: DemoPlant, browser: Browser) -> Iterator[People]:
    at_work = People(plant_of_the_demo, browser)
    yield at_work
    at_work.leave()
    assert at_work.complaints == []
