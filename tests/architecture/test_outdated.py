"""What `make outdated` says of a package that has a newer version."""

from __future__ import annotations

from tests.support.outdated import NOTHING, reasons, rows

CONSTRAINTS = """\
# Versions that were tested together.
torch==2.13.0  # newer ones were not tried
rich==14.3.4
"""
NEWER = [
    {"name": "rich", "version": "14.3.4", "latest_version": "15.0.0"},
    {"name": "Torch", "version": "2.13.0+cpu", "latest_version": "2.15.0"},
    {"name": "numpy", "version": "2.4.6", "latest_version": "2.5.0"},
]
REQUIRED = {
    "flwr 1.42.0": ["rich<15.0.0,>=14.0.0", "numpy>=1.26"],
    "httpx 0.28.1": ["rich<14,>=10; extra == 'cli'"],
}


def test_what_holds_a_package_back_is_named_and_what_nothing_holds_is_to_be_raised() -> None:
    found = {
        row["package"]: row["held back by"] for row in rows(NEWER, reasons(CONSTRAINTS), REQUIRED)
    }
    assert found == {
        "rich": "flwr 1.42.0 wants <15.0.0,>=14.0.0",
        "Torch": "newer ones were not tried",
        "numpy": NOTHING,
    }
