"""The documentation as a site: whole, and loaded from nowhere else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
OUTSIDE = re.compile(r"^(https?:)?//")
IN_STYLES = re.compile(r"""(?:url\(\s*|@import\s+)["']?((?:https?:)?//[^"')\s]+)""")


def build(docs: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """As `make site`."""
    options = ["-q", "-W", "--keep-going", "-c", str(docs / "site")]
    return subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(docs), str(out)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    built = build(ROOT / "docs", out)
    assert built.returncode == 0, built.stderr
    return out


class Loaded(HTMLParser):
    """What a browser fetches to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get(LOADING.get(tag, ""))
        if address is not None:
            self.addresses.append(address)


def test_every_guide_reference_and_decision_is_a_page_in_the_menu(site: Path) -> None:
    menu = (site / "README.html").read_text()
    for folder in ("guides", "reference", "decisions"):
        for page in (ROOT / "docs" / folder).rglob("*.md"):
            place = page.relative_to(ROOT / "docs").with_suffix(".html")
            assert (site / place).is_file()
            assert folder == "decisions" or f'href="{place}"' in menu


def test_no_page_loads_anything_from_another_address(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = Loaded()
        loaded.feed(page.read_text())
        assert loaded.addresses
        assert not [address for address in loaded.addresses if OUTSIDE.match(address)], page
    for style in site.rglob("*.css"):
        assert not IN_STYLES.findall(style.read_text()), style


@pytest.mark.parametrize(
    ("link", "told"),
    [("guides/nowhere.md", "target not found"), ("words.md#nowhere", "local id not found")],
)
def test_a_broken_link_fails_the_build(tmp_path: Path, link: str, told: str) -> None:
    docs = tmp_path / "docs"
    (docs / "site").mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(ROOT / "docs/site/conf.py", docs / "site")
    (docs / "words.md").write_text("# Words\n")
    for folder in ("guides", "reference", "decisions"):
        (docs / folder).mkdir()
        (docs / folder / "README.md").write_text("# One\n")
    for page in (
        "federated.md",
        "benchmarks.md",
        "releasing.md",
        "rooms.md",
        "dashboard.md",
        "data-sets.md",
        "reliability.md",
        "robustness.md",
        "threats.md",
        "decisions/0001-one.md",
    ):
        (docs / page).write_text("# One\n")
    (docs / "README.md").write_text("# Whole\n\n[Words](words.md)\n")
    assert build(docs, tmp_path / "whole").returncode == 0
    (docs / "README.md").write_text(f"# Broken\n\n[There]({link})\n")
    broken = build(docs, tmp_path / "broken")
    assert broken.returncode != 0
    assert told in broken.stderr
