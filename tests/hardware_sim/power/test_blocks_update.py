"""An update through every kind of power cut: what a disk's cache may lose, reorder or keep."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from edge.updates.fakes import MemoryDisk
from edge.updates.slots import FolderSlots
from tests.edge.test_update_kills import STORIES, Story, life
from tests.edge.update_rigs import FOLDER, NEW, OLD, live_on, path_in
from tests.support.crash_states import Coverage, Effort
from tests.support.recording_disk import RecordingDisk

# A soak run tries more: SPLITSIGHT_CRASH_SAMPLES=70000 tries every state, in two minutes.
SAMPLES = int(os.environ.get("SPLITSIGHT_CRASH_SAMPLES", "1500"))
EFFORT = Effort(exhaustive=max(512, SAMPLES), samples=SAMPLES)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


def recorded(
    story: Story, kind: type[RecordingDisk] = RecordingDisk, torn_at: tuple[int, ...] = ()
) -> RecordingDisk:
    before = MemoryDisk()
    story.bench(before).install()
    disk = kind(before, torn_at)
    life(story.bench(disk))
    return disk


def fault_in(disk: MemoryDisk) -> str:
    """What is wrong with what would start now; empty: nothing."""
    try:
        slots = FolderSlots(disk, FOLDER, ".zip")
        started = path_in(slots, slots.booted())
        live = live_on(disk)
    except (AssertionError, OSError) as error:
        return str(error)
    wrong = [found for found in (started, live) if found not in {OLD, NEW}]
    return f"{wrong[0] or 'nothing'} would run" if wrong else ""


def faults(disk: RecordingDisk, coverage: Coverage) -> list[str]:
    found = (fault_in(state.restored()) for state in disk.crash_states(EFFORT, coverage))
    return [fault for fault in found if fault]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_whatever_a_power_cut_leaves_the_old_or_the_new_starts(story: Story) -> None:
    coverage = Coverage()
    assert faults(recorded(story), coverage) == []
    assert coverage.tried > 500


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_not_even_torn_sectors_leave_anything_between(story: Story) -> None:
    assert faults(recorded(story, torn_at=(100, 300)), Coverage()) == []


@pytest.mark.parametrize("story", STORIES[:2], ids=lambda story: story.name)
def test_an_update_that_was_cut_off_goes_on_and_ends(story: Story) -> None:
    disk = recorded(story)
    for state in disk.crash_states(Effort(exhaustive=4, samples=4)):
        restored = state.restored()
        life(story.bench(restored))
        assert live_on(restored) == NEW


class Hasty(RecordingDisk):
    """Does not flush a file before it is renamed, nor when it says so."""

    def flush(self, path: Path) -> None:
        self._now.flush(path)


class InPlace(RecordingDisk):
    """Keeps one copy of the record, and rewrites it where it lies."""

    def overwrite(self, path: Path, data: bytes) -> None:
        if path.name != "record.0":
            path = path.with_name("record.0")
        self.write(path, 0, b"")
        super().overwrite(path, data)

    def read(self, path: Path, offset: int = 0, length: int = -1) -> bytes:
        if path.name == "record.1":
            raise FileNotFoundError(path)
        return super().read(path, offset, length)


@pytest.mark.parametrize("mutant", [Hasty, InPlace])
def test_a_disk_that_is_used_carelessly_is_found_out(mutant: type[RecordingDisk]) -> None:
    assert faults(recorded(STORIES[0], mutant), Coverage())
