"""SIGKILL to the coordinator, at any moment, costs at most the round that it was in."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.fleet.rounds.killed import open_killable

pytestmark = [pytest.mark.torch, pytest.mark.process]

ROUNDS = 400
ROOT = Path(__file__).parents[3]


def kill_after(round_: int, folder: Path, base: Path) -> None:
    """Start the coordinator, or go on with it, and kill it once a round is over."""
    command = [sys.executable, "-m", "tests.fleet.rounds.killed", str(folder), str(base), "400"]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child:
        for line in child.stdout:
            if int(line) >= round_:
                child.send_signal(signal.SIGKILL)
                break
        child.stdout.read()
    assert child.returncode == -signal.SIGKILL


def test_a_killed_coordinator_goes_on_at_its_last_round_and_ends_with_the_same_bits(
    base: Path, tmp_path: Path
) -> None:
    for round_ in (3, 12):
        kill_after(round_, tmp_path / "killed", base)
        resumed = open_killable(tmp_path / "killed", base, ROUNDS)
        assert resumed.progress.round >= round_
    finished = resumed.progress.round
    assert finished < ROUNDS
    # The whole run is long so that the kill lands in it; its first rounds are compared.
    whole = open_killable(tmp_path / "whole", base, ROUNDS)
    while whole.progress.round < finished:
        whole.step()
    assert np.array_equal(resumed.progress.values, whole.progress.values)
    resumed.step()
    whole.step()
    assert np.array_equal(resumed.progress.values, whole.progress.values)
    assert [r.round for r in resumed.progress.history] == list(range(1, finished + 2))
