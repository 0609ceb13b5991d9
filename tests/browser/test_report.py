"""The report of `splitsight cloud evaluate` in a real browser, from the file itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from cloud.evaluation.evaluation import evaluate
from cloud.evaluation.report import write_report
from tests.bundles import make_bundle
from tests.cloud.evaluation.judged import line_of_parts, pixels_model

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    bundle, dataset = make_bundle(folder / "tiny"), line_of_parts(folder / "parts")
    model = folder / "pixels.onnx"
    model.write_bytes(pixels_model())
    found = evaluate(bundle, dataset, "test", "onnx", pixels=model)
    return write_report(folder, bundle, dataset, found)


def overflows(page: Page) -> bool:
    wider: bool = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    return wider


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_reads_on_a_phone_and_a_desk_by_day_and_night(
    browser: Browser, report: Path, width: int, scheme: str
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url[:5]))
    page.goto(report.as_uri())
    expect(page.get_by_role("heading", name="Worst escapes")).to_be_visible()
    widths = page.evaluate("[...document.images].map((image) => image.naturalWidth)")
    assert widths
    assert all(width > 0 for width in widths)
    assert not overflows(page)
    shown = page.evaluate("[...document.querySelectorAll('picture img')].map((i) => i.currentSrc)")
    page.get_by_text("Show as a table").click()
    expect(page.get_by_role("rowheader", name="JPEG 95")).to_be_visible()
    assert not overflows(page)
    if folder := os.environ.get("SPLITSIGHT_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"report-{width}-{scheme}.png", full_page=True)
    context.close()
    assert complaints == []
    assert set(asked) <= {"file:", "data:"}
    variants = report.read_text()
    position = {(390, "dark"): 0, (390, "light"): 1, (1280, "dark"): 2, (1280, "light"): 3}
    for chart, address in zip(variants.split("<picture>")[1:], shown, strict=True):
        offered = [part.split('"')[0] for part in chart.split('"data:image/png')[1:5]]
        assert address == "data:image/png" + offered[position[width, scheme]]
