"""The fleet where the cloud asks what can be plugged into it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fleet.plugin import KIND
from shared.plugins.services import service_kinds

WITHOUT_TUF = """
import sys
sys.modules["tuf"] = None
from fleet.configuration.settings import FleetSettings
from fleet.plugin import KIND
from shared.errors import MissingExtra
try:
    KIND.open(FleetSettings(folder="nowhere"), None)
except MissingExtra as error:
    print(error, error.fix)
"""


def test_the_cloud_finds_it_by_its_key() -> None:
    assert service_kinds()["fleet"] is KIND


@pytest.mark.process
def test_where_a_package_of_it_is_missing_a_configuration_that_names_it_says_which() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TUF], capture_output=True, text=True, check=True, timeout=60
    )
    assert "(tuf" in done.stdout
    assert "splitsight[fleet]" in done.stdout
