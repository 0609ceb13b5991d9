"""Training beside other work does not wait for it by turning in place."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from shared.openmp import OWN, SPINS, yield_early

pytestmark = pytest.mark.process

SHOWN = """
import os, sys
import typer
from shared.commands import root as cli
@cli.app.command()
def environment():
    assert "torch" not in sys.modules
    print(os.environ.get("GOMP_SPINCOUNT"))
sys.argv = ["splitsight", "environment"]
cli.main()
"""


@pytest.mark.parametrize("name", OWN)
def test_what_a_user_says_of_threads_stands(name: str) -> None:
    environment = {name: "7"}
    yield_early(environment)
    assert environment == {name: "7"}


def test_a_command_has_threads_yield_before_torch_is_there() -> None:
    clean = {key: value for key, value in os.environ.items() if key not in OWN}
    done = subprocess.run(
        [sys.executable, "-c", SHOWN], env=clean, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == SPINS
