"""What has a newer version, and what holds it back: `make outdated`.

Asks the package index, so that it needs a route to it; nothing is installed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from shared.console import out, print_table

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
NOTHING = "nothing: raise it"


def outdated() -> list[dict[str, str]]:
    """What pip says: `name`, `version`, `latest_version`."""
    command = [sys.executable, "-m", "pip", "list", "--outdated", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found


def installed() -> dict[str, list[str]]:
    """The requirements of each installed package, by `name version`."""
    return {f"{d.metadata['Name']} {d.version}": d.requires or [] for d in distributions()}


def reasons(constraints: str) -> dict[str, str]:
    """What a pin's own comment says, by package."""
    noted = re.findall(r"^([^=#\s]+)==\S+\s+#\s*(.+)$", constraints, re.MULTILINE)
    return {canonicalize_name(name): why for name, why in noted}


def holders(name: str, here: str, latest: str, required: Mapping[str, Iterable[str]]) -> list[str]:
    """Installed packages that take this version of another and refuse the latest."""
    found = []
    for who, lines in sorted(required.items()):
        for wanted in map(Requirement, lines):
            same = canonicalize_name(wanted.name) == canonicalize_name(name)
            # Whoever refuses what is here too has it for an extra that nobody uses.
            if same and here in wanted.specifier and latest not in wanted.specifier:
                found.append(f"{who} wants {wanted.specifier}")
    return found


def rows(
    newer: Iterable[Mapping[str, str]],
    noted: Mapping[str, str],
    required: Mapping[str, Iterable[str]],
) -> list[dict[str, object]]:
    """One for each package that has a newer version."""
    found: list[dict[str, object]] = []
    for one in newer:
        name, here, latest = one["name"], one["version"], one["latest_version"]
        own = noted.get(canonicalize_name(name))
        why = [*([own] if own else []), *holders(name, here, latest, required)]
        held = "; ".join(why) or NOTHING
        found.append({"package": name, "here": here, "newest": latest, "held back by": held})
    return found


def main() -> None:
    """Print the list; one line where all is new."""
    found = rows(outdated(), reasons(CONSTRAINTS.read_text(encoding="utf-8")), installed())
    if found:
        print_table("newer versions", found)
    else:
        out.print("everything is the newest")


if __name__ == "__main__":
    main()
