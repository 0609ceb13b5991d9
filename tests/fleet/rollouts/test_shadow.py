"""Shadow documents: what is taken from what devices say, and what of it is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.rollouts.reports import checked_report, checked_state
from fleet.rollouts.shadow import LOST, STOPPED, DeviceShadow, health_of
from shared.errors import WireError
from shared.topics import Address
from shared.transport.base import Arrival, Delivery
from shared.wire import Reported, StateMessage, encode
from tests.fleet.rollouts.plant import Plant

BOX = Address("plant", "line-1", "box-1")
NOW = 1_800_000_000.0


def state(word: str, at: float = NOW, boot: str = "b1", **more: object) -> StateMessage:
    fields = {"state": word, "boot": boot, "at": at, **more}
    return msgspec.convert(fields, StateMessage, strict=False)


def report(**fields: object) -> Arrival[Reported]:
    said = msgspec.structs.replace(Reported(serial=1, boot="b1", at=NOW), **fields)
    return Delivery(BOX.topic("reply"), encode(said)).arrival(Reported)


def read_reported(delivery: Delivery) -> Reported:
    return checked_report(delivery.arrival(Reported))


def read_state(delivery: Delivery) -> StateMessage:
    return checked_state(delivery.arrival(StateMessage))


def test_a_report_is_taken_as_it_was_said() -> None:
    arrival = report(running={"model": "models/m/1.zip"}, phase="trial")
    said = checked_report(arrival)
    assert arrival.address == BOX
    assert (said.running, said.phase) == ({"model": "models/m/1.zip"}, "trial")


@pytest.mark.parametrize(
    "fields",
    [
        {"serial": -1},
        {"serial": 2**63},
        {"at": float("nan")},
        {"at": float("inf")},
        {"counters": {"model": -5}},
        {"facts": {"temperature_c": float("nan")}},
        {"facts": {f"f{n}": 1.0 for n in range(65)}},
        {"facts": {"not a name": 1.0}},
        {"running": {f"k{n}": "models/m/1.zip" for n in range(9)}},
        {"running": {"model": "x" * 256}},
        {"running": {"model": "two\nlines"}},
        {"failed": {"x" * 300: "why"}},
        {"target": "\0"},
        {"phase": "p" * 33},
        {"phase": "größer"},
        {"versions": {"": "1"}},
    ],
)
def test_a_malformed_report_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(WireError):
        checked_report(report(**fields))


def test_texts_are_cut_to_what_a_database_takes() -> None:
    failed = {"models/m/1.zip": "why\0" + "x" * 1000}
    said = checked_report(report(failed=failed, versions={"agent": "v" * 500}))
    assert len(said.failed["models/m/1.zip"]) == 500
    assert "\0" not in said.failed["models/m/1.zip"]
    assert len(said.versions["agent"]) == 100


def test_a_message_on_another_channel_or_with_a_body_is_refused() -> None:
    payload = encode(Reported(serial=1, boot="b", at=NOW), b"body")
    with pytest.raises(WireError):
        read_reported(Delivery(BOX.topic("reply"), payload))
    with pytest.raises(WireError):
        read_reported(Delivery(BOX.topic("state"), payload[:-4]))
    with pytest.raises(WireError):
        read_state(Delivery("splitsight/v1/a/b/c/nowhere", encode(state("online"))))


@given(st.binary(max_size=400))
def test_noise_is_refused_and_never_more(noise: bytes) -> None:
    for read in (read_reported, read_state):
        with pytest.raises(WireError):
            read(Delivery(BOX.topic("reply"), noise))


def test_noise_on_the_broker_changes_nothing(tmp_path: Path) -> None:
    plant = Plant(tmp_path, 1)
    plant.start_devices()
    before = plant.conductor.devices()
    topic = plant.devices["box-0"].address.topic("reply")
    plant.devices["box-0"].transport.publish(topic, b"SPL noise", retain=True)
    plant.devices["box-0"].transport.publish(topic, b"", retain=True)
    plant.conductor.tick()
    assert plant.conductor.devices() == before


# ---- why a device is offline


def test_a_device_that_vanished_is_told_from_one_that_was_stopped() -> None:
    began = DeviceShadow(BOX).heard_state(state("online", NOW + 60), NOW + 60, live=True)
    assert began.gone(NOW + 61) == ""
    # The will was made when it connected, before all that it said since.
    lost = began.heard_state(state("offline", NOW), NOW + 90, live=True)
    assert lost.gone(NOW + 91) == LOST
    stopped = began.heard_state(state("stopping", NOW + 80), NOW + 80, live=True)
    stopped = stopped.heard_state(state("offline", NOW + 80), NOW + 80, live=True)
    assert stopped.gone(NOW + 91) == STOPPED
    missed = began.heard_state(state("offline", NOW + 85), NOW + 100, live=False)
    assert missed.gone(NOW + 101) == STOPPED


def test_a_device_that_says_nothing_is_told_from_one_that_is_gone() -> None:
    shadow = DeviceShadow(BOX).heard_state(state("online"), NOW, live=True)
    assert shadow.gone(NOW + 200) == ""
    assert shadow.gone(NOW + 600) == "nothing was heard for 10 min"
    assert DeviceShadow(BOX).gone(NOW) == "it was never heard of"


def test_the_will_of_an_earlier_start_does_not_make_a_device_offline() -> None:
    shadow = DeviceShadow(BOX).heard_state(state("online", boot="b2"), NOW, live=True)
    assert shadow.heard_state(state("offline", boot="b1"), NOW, live=False) is shadow


def test_what_a_device_last_said_is_kept_while_it_is_offline() -> None:
    shadow = DeviceShadow(BOX).heard_state(state("online", NOW, bundle="elpv"), NOW, live=True)
    gone = shadow.heard_state(state("offline", NOW - 5), NOW + 9, live=True)
    assert gone.state is not None
    assert (gone.state.state, gone.state.bundle) == ("offline", "elpv")


# ---- health


def test_the_clock_is_compared_only_with_what_was_said_just_now() -> None:
    old = DeviceShadow(BOX).heard_state(state("online", NOW - 86_400), NOW, live=False)
    assert old.skew_s is None
    assert old.seen_at == NOW - 86_400
    live = old.heard_state(state("online", NOW - 90), NOW, live=True)
    assert live.skew_s == 90
    assert live.seen_at == NOW


def test_health_says_what_a_device_told_of_itself() -> None:
    facts = {"temperature_c": 61.5, "disk_free_bytes": 4e9, "queue": 7.0}
    said = Reported(
        3,
        "b1",
        NOW,
        running={"model": "models/m/1.zip"},
        facts=facts,
        versions={"hardware": "arm64", "agent": "0.1.0"},
    )
    shadow = DeviceShadow(BOX).heard_reported(said, NOW + 1, live=True)
    shadow = shadow.heard_state(
        state("online", waiting=9, problems=("camera: dark",)), NOW, live=True
    )
    health = health_of(shadow, NOW)
    assert (health.temperature_c, health.disk_free_bytes, health.queue) == (61.5, 4e9, 7.0)
    assert (health.hardware, health.versions["agent"]) == ("arm64", "0.1.0")
    assert health.problems == ["camera: dark"]
    assert health_of(DeviceShadow(BOX), NOW).temperature_c is None


def test_shadows_survive_a_kill(tmp_path: Path) -> None:
    plant = Plant(tmp_path, 3)
    plant.start_devices()
    plant.devices["box-1"].report(temperature_c=55.0)
    plant.conductor.hold("box-2", "a clone", "ada")
    plant.clock.advance(10)
    plant.conductor.tick()
    before = plant.conductor.devices()
    plant.broker.retained.clear()
    plant.kill()
    plant.open()
    assert plant.conductor.devices() == before
    assert plant.devices["box-2"].wanted is not None
    assert plant.devices["box-2"].wanted.held == "a clone"


def test_a_history_keeps_only_the_newest_changes(tmp_path: Path) -> None:
    plant = Plant(tmp_path, 1)
    plant.start_devices()
    for number in range(230):
        plant.conductor.configure("box-0", {"deadline_ms": number}, "ada")
    _, told = plant.conductor.shadow("box-0")
    assert len(told) == 200
    assert told[0].what == "settings: deadline_ms=229"
    assert told[0].serial == 230


def test_what_a_box_in_2040_once_said_does_not_count_as_heard_just_now() -> None:
    ahead = 4e8
    known = DeviceShadow(Address("p", "l", "b")).heard_state(
        state("online", NOW + ahead), NOW, live=True
    )
    kept = known.heard_state(state("online", NOW + ahead + 5), NOW + 1000, live=False)
    assert kept.seen_at == NOW + 5
