"""Every state that a power cut can leave while a card is flashed, and while its image is updated.

A soak run tries more: SPLITSIGHT_CRASH_SAMPLES=14000; `-o junit_family=xunit1 --junitxml=FILE`
tells how many states each test tried.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet.flash.flasher import Flasher, card_state
from shared.storage.disks import RawDisk, SectorPair
from tests.fleet.flash.crashes import (
    DiskSlots,
    Forgetful,
    InPlace,
    PairOf,
    ReadOnly,
    System,
    blank,
    boots,
    card,
    table,
    update,
)
from tests.support.block_device import RecordingDevice
from tests.support.crash_states import Coverage, Effort

SAMPLES = int(os.environ.get("SPLITSIGHT_CRASH_SAMPLES", "500"))
EFFORT = Effort(exhaustive=SAMPLES, samples=SAMPLES)
FEW = Effort(exhaustive=100, samples=100)
OLD, NEW, NEWER = System("old"), System("new"), System("newer")
NOTHING = "nothing"
Record = Callable[[str, object], None]


def flash(disk: RawDisk, system: System, folder: Path, shift: int = 0) -> None:
    Flasher(disk, card(system, folder, shift), lambda _report: None, note_every=2048).flash()


def flashed(system: System, folder: Path, shift: int = 0) -> RecordingDevice:
    """A card that holds a system since long ago: nothing of it can be lost any more."""
    device = blank()
    flash(device, system, folder, shift)
    return blank(device.read(0, device.size))


def outcomes(
    device: RecordingDevice, effort: Effort, coverage: Coverage
) -> Counter[tuple[bool, str]]:
    """How often: whether all was promised to be done, and what boots."""
    return Counter(
        (bool(state.confirmed), boots(state, [OLD, NEW, NEWER]))
        for state in device.crash_states(effort, coverage)
    )


@pytest.mark.parametrize("before", ["blank", "same layout", "other layout", "garbage"])
def test_a_card_boots_what_was_there_or_nothing_or_all_that_is_new(
    tmp_path: Path, before: str, record_property: Record
) -> None:
    makers: dict[str, Callable[[], RecordingDevice]] = {
        "blank": blank,
        "same layout": lambda: flashed(OLD, tmp_path),
        "other layout": lambda: flashed(OLD, tmp_path, shift=8),
        "garbage": lambda: blank(b"\xa5" * (12 << 20)),
    }
    device = makers[before]()
    flash(device, NEW, tmp_path)
    device.confirm()
    coverage = Coverage()
    found = outcomes(device, EFFORT, coverage)
    had_a_system = before.endswith("layout")
    assert found.keys() <= {(False, "old"), (False, NOTHING), (False, "new"), (True, "new")}
    assert ((False, "old") in found) == had_a_system
    assert found[False, NOTHING] > 0
    assert found[True, "new"] > 0
    record_property("states", coverage.tried)
    # Samples of a short interval meet again, so not every one of them is a new state.
    assert coverage.tried > SAMPLES


def test_an_unfinished_card_says_so_and_the_next_run_makes_it_whole(tmp_path: Path) -> None:
    device = flashed(OLD, tmp_path)
    flash(device, NEW, tmp_path)
    kinds: Counter[str] = Counter()
    for state in device.crash_states(Effort(exhaustive=4, samples=4)):
        kind = card_state(ReadOnly(state)).kind
        kinds[kind] += 1
        if boots(state, [OLD, NEW]) == NOTHING:
            assert kind != "complete"
        again = blank(state.read(0, state.size))
        flash(again, NEW, tmp_path)
        assert boots(again, [OLD, NEW]) == "new"
        assert card_state(again).kind == "complete"
    assert kinds["unfinished"] > 5


def test_a_run_that_goes_on_is_as_safe_as_one_from_the_start(
    tmp_path: Path, record_property: Record
) -> None:
    first = blank()
    flash(first, NEW, tmp_path)
    halfway = [s for s in first.crash_states(FEW) if 0 < card_state(ReadOnly(s)).reached < 8192]
    device = blank(halfway[len(halfway) // 2].read(0, first.size))
    flash(device, NEW, tmp_path)
    device.confirm()
    coverage = Coverage()
    found = outcomes(device, EFFORT, coverage)
    record_property("states", coverage.tried)
    assert found.keys() == {(False, NOTHING), (False, "new"), (True, "new")}


def updated(
    folder: Path,
    *,
    disk_of: Callable[[RecordingDevice], RawDisk] = lambda device: device,
    pair: PairOf = SectorPair,
) -> RecordingDevice:
    """A device through two updates, so that each slot was live once."""
    device = flashed(OLD, folder)
    slots = DiskSlots(disk_of(device), table(), pair)
    update(slots, NEW, device.confirm)
    return device


def test_an_update_of_the_image_ends_with_the_old_one_or_the_new_one(
    tmp_path: Path, record_property: Record
) -> None:
    device = updated(tmp_path)
    coverage = Coverage()
    found = outcomes(device, EFFORT, coverage)
    assert found.keys() == {(False, "old"), (False, "new"), (True, "new")}
    record_property("states", coverage.tried)
    assert coverage.tried > SAMPLES


def test_an_update_back_into_the_first_slot_is_as_safe(
    tmp_path: Path, record_property: Record
) -> None:
    before = updated(tmp_path)
    device = blank(before.read(0, before.size))
    update(DiskSlots(device, table()), NEWER, device.confirm)
    coverage = Coverage()
    found = outcomes(device, EFFORT, coverage)
    record_property("states", coverage.tried)
    assert found.keys() == {(False, "new"), (False, "newer"), (True, "newer")}


def test_the_same_cuts_find_a_flasher_that_does_not_flush(tmp_path: Path) -> None:
    device = flashed(OLD, tmp_path)
    flash(Forgetful(device), NEW, tmp_path)
    found = outcomes(device, EFFORT, Coverage())
    broken = {name for _, name in found} - {"old", "new", NOTHING}
    assert broken, "a flasher without a flush must not pass"


def test_the_same_cuts_find_an_update_that_does_not_flush(tmp_path: Path) -> None:
    found = outcomes(updated(tmp_path, disk_of=Forgetful), EFFORT, Coverage())
    assert {name for _, name in found} - {"old", "new"}


def test_the_same_cuts_find_a_boot_record_that_is_rewritten_in_place(tmp_path: Path) -> None:
    found = outcomes(updated(tmp_path, pair=InPlace), EFFORT, Coverage())
    assert {name for _, name in found} - {"old", "new"} == {NOTHING}
