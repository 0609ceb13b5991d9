"""Rollouts over a broker and a database, up to devices that answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet.rollouts.plan import Ring, RolloutPlan
from shared.errors import ReleaseError, RolloutError, SettingsError
from tests.fleet.rollouts.plant import NEW, OLD, QUICK, Device, Plant

ALL = RolloutPlan(rings=(Ring(name="all", share=1.0),))


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    made = Plant(tmp_path, 8, lines=2)
    made.start_devices()
    return made


def running(plant: Plant) -> list[str]:
    return [device.running["model"] for device in plant.devices.values()]


def test_a_good_release_reaches_every_device(plant: Plant) -> None:
    plant.conductor.begin(NEW, QUICK, "ada")
    plant.rounds(6)
    kept = plant.conductor.find(1)
    assert kept.rollout.state == "done"
    assert kept.started_by == "ada"
    assert kept.ended_at is not None
    assert set(running(plant)) == {NEW}


def test_a_failure_brings_everyone_back_with_the_word_to_go_below_the_counter(
    plant: Plant,
) -> None:
    plant.conductor.begin(NEW, QUICK, "ada")
    plant.rounds(1)
    second = next(d for d in plant.devices.values() if d.wanted and d.running["model"] == OLD)
    second.obeys = False
    second.fail("the head crashed")
    plant.rounds(3)
    rollout = plant.conductor.find(1).rollout
    assert rollout.state == "returning"
    second.obeys = True
    plant.rounds(2)
    rollout = plant.conductor.find(1).rollout
    assert rollout.state == "stopped"
    assert "the head crashed" in rollout.reason
    assert set(running(plant)) == {OLD}
    backs = {d.wanted.back for d in plant.devices.values() if d.wanted}
    assert backs == {("model",)}
    assert sum(d.wanted is not None for d in plant.devices.values()) == 2


def test_a_killed_cloud_goes_on_from_where_it_was(plant: Plant) -> None:
    plant.conductor.begin(NEW, QUICK, "ada")
    for _ in range(8):
        plant.round()
        plant.kill()
        plant.open()
    assert plant.conductor.find(1).rollout.state == "done"
    assert set(running(plant)) == {NEW}


def test_what_was_stored_but_not_published_is_published_after_the_start(plant: Plant) -> None:
    plant.transport.lose()
    plant.conductor.begin(NEW, ALL, "ada")
    assert all(device.wanted is None for device in plant.devices.values())
    plant.kill()
    plant.open()
    plant.conductor.tick()
    assert {d.wanted.serial for d in plant.devices.values() if d.wanted} == {1}
    plant.rounds(2)
    assert plant.conductor.find(1).rollout.state == "done"


def test_a_broker_that_lost_what_it_retained_gets_it_again(plant: Plant) -> None:
    plant.conductor.begin(NEW, ALL, "ada")
    plant.broker.retained.clear()
    plant.transport.lose()
    plant.transport.restore()
    plant.conductor.tick()
    late = Device(plant.broker, plant.clock, next(iter(plant.devices.values())).address)
    late.start()
    assert late.wanted is not None
    assert late.wanted.targets == {"model": NEW}


def test_a_cloud_without_its_database_counts_on_from_what_devices_have_read(
    plant: Plant, tmp_path: Path
) -> None:
    plant.conductor.begin(NEW, ALL, "ada")
    plant.rounds(2)
    plant.kill()
    plant.folder = tmp_path / "new"
    plant.open()
    plant.rounds(1)
    plant.conductor.begin("models/m/3.zip", ALL, "ada")
    plant.rounds(2)
    assert set(running(plant)) == {"models/m/3.zip"}
    assert {d.wanted.serial for d in plant.devices.values() if d.wanted} == {2}


# ---- what can't be started


def test_two_rollouts_at_once_on_the_same_devices_are_refused(plant: Plant) -> None:
    plant.conductor.begin(NEW, QUICK, "ada")
    with pytest.raises(
        RolloutError, match=r"rollout 1 of models/m/2\.zip is running on"
    ) as refused:
        plant.conductor.begin("models/m/3.zip", QUICK, "bob")
    assert "rollout abort 1" in refused.value.fix


def test_two_rollouts_on_different_lines_go_side_by_side(plant: Plant) -> None:
    for line, target in (("line-1", NEW), ("line-2", "models/m/3.zip")):
        rings = (Ring(name=line, groups=(f"plant/{line}/*",)),)
        plant.conductor.begin(target, RolloutPlan(rings=rings), "ada")
    plant.rounds(3)
    assert [plant.conductor.find(n).rollout.state for n in (1, 2)] == ["done", "done"]
    assert running(plant) == [NEW, "models/m/3.zip"] * 4


def test_an_unknown_target_is_refused(plant: Plant) -> None:
    with pytest.raises(ReleaseError, match=r"models/none/2\.zip is not a published release"):
        plant.conductor.begin("models/none/2.zip", QUICK, "ada")
    assert plant.conductor.rollouts() == []


def test_a_target_for_other_hardware_is_refused_and_says_what_there_is(tmp_path: Path) -> None:
    plant = Plant(tmp_path, 3, hardware=("arm64",))
    plant.start_devices()
    with pytest.raises(RolloutError, match="3 × it is x86-64, the release fits arm64"):
        plant.conductor.begin(NEW, QUICK, "ada")


def test_devices_of_other_hardware_are_set_aside_with_the_reason(tmp_path: Path) -> None:
    plant = Plant(tmp_path, 4, hardware=("arm64",))
    for name in ("box-0", "box-1", "box-2"):
        plant.devices[name].hardware = "arm64"
    plant.start_devices()
    plant.conductor.begin(NEW, QUICK, "ada")
    plant.rounds(5)
    rollout = plant.conductor.find(1).rollout
    assert rollout.state == "done"
    assert rollout.count("committed") == 3
    other = rollout.members[plant.devices["box-3"].address]
    assert (other.phase, other.reason) == ("aside", "it is x86-64, the release fits arm64")


def test_a_model_whose_tail_the_cloud_does_not_serve_is_refused(plant: Plant) -> None:
    with pytest.raises(RolloutError, match="does not serve the tail of pair pair-7"):
        plant.conductor.begin("models/m/7.zip", QUICK, "ada")


def test_a_rollout_pauses_where_its_tail_is_dropped_on_the_way(plant: Plant) -> None:
    plant.conductor.begin(NEW, QUICK, "ada")
    plant.tails.drop("pair-2")
    plant.rounds(2)
    rollout = plant.conductor.find(1).rollout
    assert rollout.state == "paused"
    assert "pair-2" in rollout.reason
    plant.tails.pairs.append("pair-2")
    plant.conductor.resume(1, "ada")
    plant.rounds(5)
    assert plant.conductor.find(1).rollout.state == "done"


def test_a_rollout_begins_only_when_every_worker_serves_its_tail(plant: Plant) -> None:
    plant.tails.behind = ["hall-2:7"]
    with pytest.raises(RolloutError, match="can't be rolled out yet: worker hall-2:7 lacks pair-2"):
        plant.conductor.begin(NEW, QUICK, "ada")
    assert all(device.wanted is None for device in plant.devices.values())
    plant.tails.behind = []
    assert plant.conductor.begin(NEW, QUICK, "ada").rollout.state == "running"


def test_no_further_box_is_asked_while_a_worker_lacks_the_tail(plant: Plant) -> None:
    plant.conductor.begin(NEW, QUICK, "ada")
    plant.tails.behind = ["hall-2:7"]
    asked = sum(device.wanted is not None for device in plant.devices.values())
    plant.rounds(5)
    rollout = plant.conductor.find(1).rollout
    assert (rollout.state, rollout.reason) == ("running", "it waits: worker hall-2:7 lacks pair-2")
    assert sum(device.wanted is not None for device in plant.devices.values()) == asked
    plant.tails.behind = []
    plant.rounds(5)
    rollout = plant.conductor.find(1).rollout
    assert (rollout.state, rollout.reason) == ("done", "")


def test_what_fails_goes_back_though_a_worker_lacks_the_tail(plant: Plant) -> None:
    plant.conductor.begin(NEW, QUICK, "ada")
    plant.tails.behind = ["hall-2:7"]
    (canary,) = [device for device in plant.devices.values() if device.wanted is not None]
    canary.obeys = False
    canary.failed = {NEW: "it is too slow"}
    canary.report()
    plant.rounds(5)
    assert plant.conductor.find(1).rollout.state in {"returning", "stopped"}


def test_a_group_that_no_device_is_in_is_refused(plant: Plant) -> None:
    rings = (Ring(name="canary", groups=("plant/line-7/*",)), Ring(name="all", share=1.0))
    with pytest.raises(RolloutError, match="no device is in plant/line-7"):
        plant.conductor.begin(NEW, RolloutPlan(rings=rings), "ada")


def test_approving_where_nothing_waits_and_resuming_what_was_aborted_are_refused(
    plant: Plant,
) -> None:
    plant.conductor.begin(NEW, QUICK, "ada")
    with pytest.raises(RolloutError, match="can't be approved: it is running"):
        plant.conductor.approve(1, "bob")
    plant.conductor.abort(1, "ada", "wrong line")
    with pytest.raises(RolloutError, match="aborted by ada: wrong line"):
        plant.conductor.resume(1, "bob")
    with pytest.raises(RolloutError, match="there is no rollout 9"):
        plant.conductor.pause(9, "bob")


def test_a_rollout_that_is_done_can_still_be_taken_back(plant: Plant) -> None:
    plant.conductor.begin(NEW, ALL, "ada")
    plant.rounds(3)
    assert plant.conductor.find(1).rollout.state == "done"
    plant.conductor.abort(1, "bob", "inspectors complain")
    plant.rounds(3)
    kept = plant.conductor.find(1)
    assert (kept.rollout.state, kept.rollout.count("returned")) == ("stopped", 8)
    assert set(running(plant)) == {OLD}


def test_a_rollout_that_a_newer_one_has_followed_is_not_taken_back(plant: Plant) -> None:
    for target in (NEW, "models/m/3.zip"):
        plant.conductor.begin(target, ALL, "ada")
        plant.rounds(3)
    with pytest.raises(RolloutError, match="a newer rollout has changed 8 of the devices"):
        plant.conductor.abort(1, "bob")
    assert set(running(plant)) == {"models/m/3.zip"}


# ---- devices that are not as the others


def test_devices_that_are_held_or_revoked_get_nothing(plant: Plant) -> None:
    plant.put_out["box-0"] = "revoked: stolen"
    plant.conductor.hold("box-1", "its disk may have been copied", "ada")
    plant.clock.advance(10)
    plant.conductor.begin(NEW, QUICK, "ada")
    plant.rounds(6)
    rollout = plant.conductor.find(1).rollout
    assert rollout.state == "done"
    reasons = {a.device: m.reason for a, m in rollout.members.items() if m.phase == "aside"}
    assert reasons == {
        "box-0": "revoked: stolen",
        "box-1": "held: its disk may have been copied",
    }
    assert plant.devices["box-0"].wanted is None
    plant.conductor.hold("box-1", "", "ada")
    plant.rounds(3)
    assert plant.devices["box-1"].running["model"] == NEW


def test_a_device_that_was_off_for_a_year_gets_the_newest_at_once(plant: Plant) -> None:
    away = plant.devices["box-5"]
    away.say_state("offline")
    away.transport.stop()
    plant.conductor.tick()
    plant.clock.advance(365 * 86_400)
    for device in plant.devices.values():
        if device is not away:
            device.report()
    plant.conductor.begin(NEW, QUICK, "ada")
    plant.rounds(6)
    rollout = plant.conductor.find(1).rollout
    assert rollout.state == "done"
    assert "365 days" in rollout.members[away.address].reason
    plant.kill()
    plant.open()
    away.boot = "boot-2"
    away.start()
    plant.rounds(2)
    assert away.running["model"] == NEW
    assert plant.conductor.find(1).rollout.members[away.address].phase == "committed"


def test_a_device_that_comes_new_gets_what_all_others_have(plant: Plant) -> None:
    plant.conductor.begin(NEW, QUICK, "ada")
    plant.rounds(6)
    plant.devices["box-9"] = fresh = Device(
        plant.broker, plant.clock, plant.devices["box-0"].address.__class__("plant", "l", "box-9")
    )
    fresh.start()
    plant.rounds(3)
    assert fresh.running["model"] == NEW


def test_an_older_rollout_does_not_claim_a_device_that_a_newer_one_has_changed(
    plant: Plant,
) -> None:
    plant.conductor.begin(NEW, ALL, "ada")
    plant.rounds(3)
    plant.conductor.begin("models/m/3.zip", ALL, "ada")
    plant.rounds(3)
    assert set(running(plant)) == {"models/m/3.zip"}
    first = plant.conductor.find(1).rollout
    assert (first.state, first.count("committed")) == ("done", 8)


def test_after_a_bad_release_a_returning_device_gets_the_last_good_one(plant: Plant) -> None:
    away = plant.devices["box-5"]
    away.say_state("offline")
    away.transport.stop()
    plant.clock.advance(86_400)
    for device in plant.devices.values():
        if device is not away:
            device.report()
    plant.conductor.begin(NEW, ALL, "ada")
    plant.rounds(3)
    plant.conductor.begin("models/m/3.zip", ALL, "ada")
    plant.conductor.abort(2, "ada")
    plant.rounds(3)
    assert plant.conductor.find(2).rollout.state == "stopped"
    away.start()
    plant.rounds(3)
    assert away.running["model"] == NEW


# ---- settings


def test_settings_are_wanted_beside_the_targets_and_a_refusal_is_shown(plant: Plant) -> None:
    plant.conductor.begin(NEW, ALL, "ada")
    plant.rounds(2)
    plant.conductor.configure("box-2", {"deadline_ms": 400}, "ada")
    device = plant.devices["box-2"]
    assert device.wanted is not None
    assert device.wanted.settings == {"deadline_ms": 400}
    assert device.wanted.targets == {"model": NEW}
    device.failed = {"settings": "deadline_msec is not a setting (did you mean deadline_ms?)"}
    device.report()
    plant.conductor.tick()
    told = plant.conductor.shadows.history(device.address)
    assert told[0].side == "reported"
    assert "did you mean deadline_ms" in told[0].what
    assert [(t.side, t.by) for t in told if t.side == "desired"] == [
        ("desired", "ada"),
        ("desired", "rollout 1"),
    ]


def test_a_name_that_several_devices_have_must_be_said_in_full(plant: Plant) -> None:
    twin = Device(
        plant.broker, plant.clock, plant.devices["box-0"].address.__class__("other", "l", "box-0")
    )
    twin.start()
    with pytest.raises(SettingsError, match="2 devices are called box-0"):
        plant.conductor.configure("box-0", {}, "ada")
    plant.conductor.configure("other/l/box-0", {"a": 1}, "ada")
    assert twin.wanted is not None
    with pytest.raises(SettingsError, match="no devices are called box-77"):
        plant.conductor.configure("box-77", {}, "ada")
