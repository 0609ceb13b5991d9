"""What an update goes through, and how it ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.updates.base import Opinion, Vitals
from edge.updates.fakes import MemoryDisk, ScriptedHost
from edge.updates.progress import NO_START_LEFT
from edge.updates.state_machine import is_within
from shared.errors import ReleaseError, UpdateError
from tests.edge.update_rigs import (
    FOLDER,
    HEALTH_S,
    NEW,
    NEW_PAYLOAD,
    OLD,
    OLD_PAYLOAD,
    Bench,
    content,
    live_on,
    phases_of,
)


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.install()
    bench.start()
    return bench


def test_a_good_release_goes_through_every_phase_and_stays(bench: Bench) -> None:
    assert list(phases_of(bench)) == [
        *("idle", "fetching", "checking", "proving", "shadowing", "waiting", "switching"),
        *("trial", "committing", "idle"),
    ]
    assert bench.live == NEW
    assert (bench.progress.running, bench.progress.counter) == (NEW, 2)
    assert bench.progress.failed == {}
    assert bench.host.switched == ["b"]


def test_the_first_update_replaces_what_was_installed() -> None:
    bench = Bench()
    bench.start()
    assert bench.progress.running == ""
    bench.run()
    assert bench.live == NEW


def test_what_is_not_named_stays_as_it_is(bench: Bench) -> None:
    bench.want(target="")
    bench.run()
    assert bench.live == OLD
    assert bench.source.asked == 0


def test_updates_alternate_between_the_slots(bench: Bench) -> None:
    bench.run()
    bench.offer("models/m/3.zip", content(3), 3)
    bench.want(target="models/m/3.zip")
    bench.run()
    assert bench.live == "models/m/3.zip"
    assert bench.host.switched == ["b", "a"]


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        (ScriptedHost(unfit="its golden scores differ"), "its golden scores differ"),
        (ScriptedHost(opinion=Opinion(True, "it is blind")), "it is blind"),
        (ScriptedHost(health=Vitals(3, "the head fails")), "the head fails"),
    ],
)
def test_a_bad_release_is_given_up_with_its_reason_and_not_tried_again(
    host: ScriptedHost, reason: str
) -> None:
    bench = Bench(host=host)
    bench.install()
    bench.start()
    bench.run()
    assert bench.live == OLD
    assert bench.host.now == "a"
    assert bench.progress.failed == {NEW: reason}
    asked = bench.source.asked
    bench.want(serial=2, shadow_parts=5)
    bench.run()
    bench.start()
    bench.run()
    assert bench.source.asked == asked


def test_a_failed_release_is_tried_again_after_another_one_was_wanted(bench: Bench) -> None:
    bench.host.unfit = "no"
    bench.run()
    bench.host.unfit = ""
    bench.want(serial=2, target=OLD)
    bench.run()
    assert bench.progress.failed == {NEW: "no"}
    bench.want(serial=3, target=NEW)
    bench.run()
    assert bench.live == NEW
    assert bench.progress.failed == {}


def test_a_release_that_stops_the_process_returns_when_no_start_is_left(bench: Bench) -> None:
    bench.run_to("trial")
    bench.start()
    assert (bench.host.now, bench.progress.phase) == ("b", "trial")
    bench.start()
    assert bench.host.now == "a"
    bench.run()
    assert bench.live == OLD
    assert bench.progress.failed == {NEW: NO_START_LEFT}


def test_the_health_window_begins_anew_with_each_start(bench: Bench) -> None:
    bench.run_to("trial")
    bench.step()
    bench.clock.advance(HEALTH_S - 1.5)
    bench.step()
    assert bench.progress.phase == "trial"
    bench.start()
    bench.step()
    bench.clock.advance(HEALTH_S - 1.5)
    bench.step()
    assert bench.progress.phase == "trial"
    bench.run()
    assert bench.live == NEW


def test_a_standing_line_makes_a_trial_last_but_not_for_ever(bench: Bench) -> None:
    bench.host.health = Vitals(parts=0)
    bench.run_to("trial")
    begun = bench.clock.monotonic()
    bench.run()
    assert bench.clock.monotonic() - begun > 9 * HEALTH_S
    assert bench.live == NEW


def test_a_release_that_is_withdrawn_during_its_trial_returns_without_blame(bench: Bench) -> None:
    bench.run_to("trial")
    bench.want(serial=2, target=OLD)
    bench.run()
    assert bench.live == OLD
    assert bench.host.now == "a"
    assert bench.progress.failed == {}


@pytest.mark.parametrize("phase", ["fetching", "checking", "proving", "shadowing", "waiting"])
def test_a_release_that_is_withdrawn_before_the_switch_leaves_nothing(phase: str) -> None:
    bench = Bench(host=ScriptedHost(opinion=Opinion(done=phase != "shadowing")))
    bench.wanted = replace(bench.wanted, window=(0, 0))
    bench.install()
    bench.start()
    bench.run_to(phase)
    bench.want(serial=2, target=OLD)
    bench.run()
    assert bench.host.switched == []
    assert bench.slots.held("b") is None
    assert bench.slots.kept("b", "payload") == 0


def test_a_held_device_changes_nothing_and_says_so(bench: Bench) -> None:
    bench.run_to("fetching")
    bench.want(serial=2, held="the same identity was seen twice")
    for _ in range(5):
        bench.step()
    assert bench.progress.phase == "fetching"
    assert "seen twice" in bench.progress.problem
    bench.want(serial=3, held="")
    bench.run()
    assert bench.live == NEW


def test_before_it_has_heard_what_is_wanted_a_device_goes_on_with_nothing() -> None:
    bench = Bench()
    bench.install()
    bench.start()
    bench.run_to("fetching")
    bench.start()
    bench.machine._wanted = None
    for _ in range(5):
        bench.step()
    assert bench.progress.phase == "fetching"


def test_the_switch_waits_for_the_maintenance_window(bench: Bench) -> None:
    minute = int(bench.clock.utc() // 60) % 1440
    bench.want(window=((minute + 60) % 1440, (minute + 90) % 1440))
    bench.run_to("waiting")
    begun = bench.clock.utc()
    bench.run_to("trial")
    assert 59 * 60 <= bench.clock.utc() - begun <= 61 * 60


@given(st.integers(0, 1439), st.integers(0, 1439), st.integers(0, 1439))
def test_a_window_may_reach_over_midnight(minute: int, start: int, end: int) -> None:
    inside = is_within(minute, (start, end))
    assert inside == ((minute - start) % 1440 < (end - start) % 1440)


def test_a_clock_that_is_set_back_does_not_stop_an_update(bench: Bench) -> None:
    bench.run_to("trial")
    bench.clock._utc = 0.0
    bench.run()
    assert bench.live == NEW


def test_a_lost_network_is_waited_for_ever_longer_and_nothing_is_fetched_twice() -> None:
    bench = Bench()
    bench.install()
    big = content(9, (2 << 20) + 5)
    bench.offer(NEW, big, 2)
    bench.start()
    bench.run_to("fetching")
    bench.step()
    bench.source.reachable = False
    waits = []
    for _ in range(9):
        wait = bench.machine.step()
        waits.append(wait)
        bench.clock.advance(wait)
    assert waits[:4] == [2, 4, 8, 16]
    assert waits[-1] == 300
    assert "can't be reached" in bench.progress.problem
    bench.source.reachable = True
    bench.start()
    before = bench.source.asked
    bench.run()
    assert bench.source.asked - before == 2
    assert bench.live == NEW


def test_stale_metadata_are_not_held_against_a_release(bench: Bench) -> None:
    bench.offers.failure = ReleaseError("the metadata expired", fix="wait")
    for _ in range(3):
        bench.step()
    assert bench.progress.failed == {}
    assert "expired" in bench.progress.problem
    bench.offers.failure = None
    bench.run()
    assert bench.live == NEW


def test_a_release_for_other_hardware_is_refused(bench: Bench) -> None:
    bench.offers.failure = UpdateError("it fits arm64", fix="choose another")
    bench.run()
    assert bench.progress.failed == {NEW: "it fits arm64"}
    assert bench.source.asked == 0


def test_a_counter_below_the_running_one_is_refused() -> None:
    bench = Bench()
    bench.install(counter=5)
    bench.start()
    bench.run()
    assert bench.live == OLD
    assert "counter 2 is not above 5" in bench.progress.failed[NEW]


def test_a_lower_counter_is_refused_even_on_the_way_round_by_another_name(bench: Bench) -> None:
    bench.run()
    bench.offer("models/n/1.zip", content(5), 1, name="n")
    bench.want(target="models/n/1.zip")
    bench.run()
    assert bench.live == "models/n/1.zip"
    bench.offer("models/m/1b.zip", content(6), 1)
    bench.want(target="models/m/1b.zip")
    bench.run()
    assert bench.live == "models/n/1.zip"
    assert "not above 2" in bench.progress.failed["models/m/1b.zip"]


def test_a_stopped_rollout_takes_a_device_back_to_what_its_other_slot_holds(bench: Bench) -> None:
    bench.run()
    asked = bench.source.asked
    bench.want(serial=2, target=OLD, back=True)
    bench.run()
    assert bench.live == OLD
    assert bench.source.asked == asked
    bench.start()
    bench.run()
    assert bench.host.now == "a"


def test_a_device_goes_back_to_what_was_installed() -> None:
    bench = Bench()
    bench.start()
    bench.run()
    bench.want(serial=2, target="", back=True)
    bench.run()
    assert bench.live == ""
    assert bench.host.now == "a"
    bench.run()
    assert bench.host.switched == ["b", "a"]


def test_going_back_is_not_tried_for_ever() -> None:
    bench = Bench()
    bench.start()
    bench.run()
    bench.host.health = Vitals(1, "worse still")
    bench.want(serial=2, target="", back=True)
    bench.run()
    assert bench.live == NEW
    assert bench.host.switched == ["b", "a", "b"]


def test_without_anything_to_go_back_to_a_lower_counter_stays_refused(bench: Bench) -> None:
    bench.run()
    bench.offer("models/m/0.zip", content(8), 1)
    bench.want(serial=2, target="models/m/0.zip", back=True)
    bench.run()
    assert bench.live == NEW


def test_a_patch_is_fetched_instead_of_the_whole(bench: Bench) -> None:
    bench.offer(NEW, NEW_PAYLOAD, 2, base=OLD_PAYLOAD)
    whole = bench.payloads.pop(f"http://gateway/{NEW}")
    bench.run()
    assert bench.live == NEW
    assert len(bench.payloads[f"http://gateway/{NEW}.zst"]) < len(whole)


@pytest.mark.parametrize("damage", ["flipped", "of another base", "signed but useless"])
def test_a_corrupted_patch_is_replaced_by_the_whole(bench: Bench, damage: str) -> None:
    base = content(77) if damage == "of another base" else OLD_PAYLOAD
    bench.offer(NEW, NEW_PAYLOAD, 2, base=base)
    url = f"http://gateway/{NEW}.zst"
    raw = bytearray(bench.payloads[url])
    if damage == "flipped":
        raw[len(raw) // 2] ^= 0xFF
        bench.payloads[url] = bytes(raw)
    if damage == "signed but useless":
        bench.offer("other", content(42), 1, base=OLD_PAYLOAD)
        other = bench.offers.offers["other"]
        bench.offers.offers[NEW] = replace(bench.offers.offers[NEW], patch=other.patch)
    bench.run()
    assert bench.live == NEW


def test_a_payload_that_is_not_what_was_signed_is_fetched_once_more_and_given_up(
    bench: Bench,
) -> None:
    bench.payloads[f"http://gateway/{NEW}"] = content(13, len(NEW_PAYLOAD))
    bench.run()
    assert bench.live == OLD
    assert "not what was signed" in bench.progress.failed[NEW]
    assert bench.source.asked == 2
    assert bench.slots.kept("b", "payload") == 0


def test_a_payload_that_was_damaged_on_the_way_once_is_fetched_again(bench: Bench) -> None:
    url = f"http://gateway/{NEW}"
    good = bench.payloads[url]
    bench.payloads[url] = content(13, len(NEW_PAYLOAD))
    bench.run_to("checking")
    bench.payloads[url] = good
    bench.run()
    assert bench.live == NEW


def test_a_full_data_partition_refuses_before_a_byte_is_fetched() -> None:
    disk = MemoryDisk()
    bench = Bench(disk=disk, reserve=2000)
    bench.install()
    disk.capacity = sum(map(len, disk.files.values())) + len(NEW_PAYLOAD) + 1000
    bench.start()
    bench.run()
    assert bench.source.asked == 0
    assert "B too few to give" in bench.progress.failed[NEW]
    assert bench.live == OLD
    assert bench.slots.kept("b", "payload") == 0


def test_a_data_partition_that_fills_up_meanwhile_leaves_nothing_half_written() -> None:
    disk = MemoryDisk()
    bench = Bench(disk=disk)
    bench.install()
    bench.start()
    bench.run_to("fetching")
    disk.capacity = disk.capacity - disk.free(FOLDER) + 2000
    bench.run()
    assert "full" in bench.progress.failed[NEW]
    assert bench.live == OLD
    assert not [path for path in disk.files if path.name.startswith("b.")]


def test_a_device_that_was_off_for_a_year_takes_the_newest_only(bench: Bench) -> None:
    for number in range(3, 60):
        bench.offer(f"models/m/{number}.zip", content(number), number)
        bench.want(serial=number, target=f"models/m/{number}.zip")
    bench.run()
    assert bench.live == "models/m/59.zip"
    assert bench.host.switched == ["b"]


def test_a_damaged_memo_is_no_reason_to_stop(bench: Bench) -> None:
    bench.run_to("fetching")
    bench.disk.write(FOLDER / "memo.json", 0, b'{"phase": "nowhere"')
    bench.start()
    bench.run()
    assert bench.live == NEW


def test_a_trial_that_nobody_remembers_is_ended(bench: Bench) -> None:
    bench.run_to("trial")
    bench.disk.remove(FOLDER / "memo.json")
    bench.start()
    assert bench.progress.phase == "returning"
    bench.run()
    assert live_on(bench.disk) == OLD
    assert bench.host.now == "a"


def test_an_application_goes_on_with_its_trial_in_the_process_that_was_asked_for() -> None:
    bench = Bench(host=ScriptedHost(restarts=True, tries=2))
    bench.install()
    bench.start()
    bench.run_to("switching")
    for _ in range(3):
        bench.step()
    assert bench.progress.phase == "switching"
    bench.start()
    assert (bench.host.now, bench.progress.phase) == ("b", "trial")
    bench.run()
    assert bench.live == NEW


def test_an_application_that_is_not_well_returns_with_the_next_start() -> None:
    bench = Bench(host=ScriptedHost(restarts=True, tries=2))
    bench.install()
    bench.start()
    bench.run_to("switching")
    bench.step()
    bench.start()
    bench.host.health = Vitals(2, "no verdict in time")
    bench.run_to("returning")
    bench.step()
    assert bench.progress.phase == "returning"
    bench.start()
    bench.run()
    assert bench.host.now == "a"
    assert bench.progress.failed == {NEW: "no verdict in time"}
