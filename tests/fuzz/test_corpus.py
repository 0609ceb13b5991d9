"""What fuzzing found worth keeping is refused or read, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.corpus import kept
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_a_decoder_refuses_or_reads_every_kept_input(name: str, tmp_path: Path) -> None:
    folder, seeds = tmp_path / "own", tmp_path / "seeds"
    folder.mkdir()
    seeds.mkdir()
    fuzzed = TARGETS[name].make(folder)
    inputs = [*TARGETS[name].seeds(seeds), *kept(name)]
    assert inputs
    for raw in inputs:
        fuzzed(raw)
