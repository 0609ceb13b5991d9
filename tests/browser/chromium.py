"""The system's Chromium, driven without a screen and without calling anyone."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Playwright

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def launch(playwright: Playwright) -> Browser:
    """Start it. Raises playwright's Error where it is not installed."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
