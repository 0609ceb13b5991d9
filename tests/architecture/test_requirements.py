"""What an installation with hashes brings is what was tested together, and complete."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.architecture.product import ROOT

PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?P<marker>[^\\]*)")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")
FIX = "run `make hashes`"


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    found = (PIN.match(line) for line in text.splitlines())
    return {normal(pin["name"]): pin["version"] for pin in found if pin}


def text_of(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text()


@pytest.fixture(scope="module")
def tested() -> dict[str, str]:
    return pins((ROOT / "constraints.txt").read_text())


@pytest.mark.parametrize("name", ["edge", "cloud"])
def test_every_package_has_a_version_that_was_tested_and_its_hashes(
    tested: dict[str, str], name: str
) -> None:
    text = text_of(name)
    for entry in re.split(r"\n(?=\S)", text.strip()):
        first, *hashes = entry.splitlines()
        pin = PIN.match(first)
        assert pin, f"{first!r} is no pin: {FIX}"
        assert hashes, f"{first!r} has no hash: {FIX}"
        assert all(map(HASH.match, hashes)), f"{first!r} has something else than hashes: {FIX}"
        # What another system needs was not tried here, and is pinned by its hashes alone.
        if "sys_platform" not in pin["marker"]:
            assert tested.get(normal(pin["name"])) == pin["version"], f"{first!r}: {FIX}"


@pytest.mark.parametrize(("name", "extras"), [("edge", ["edge"]), ("cloud", ["cloud", "fleet"])])
def test_what_an_extra_asks_for_is_there(name: str, extras: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    names = {normal(re.split(r"[\[<>=~! ;]", one)[0]) for one in wanted}
    assert names <= pins(text_of(name)).keys(), FIX
