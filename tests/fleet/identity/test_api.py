"""Identities over the cloud's API, and an eye on copies, without sockets but the gateway's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from cryptography.x509 import CRLNumber
from fastapi import FastAPI

from cloud.web.problems import handle_problems
from fleet.configuration.settings import FleetIdentitySettings, FleetSettings
from fleet.identity.service import LOOK_S, TWO_PLACES, IdentityService, open_identity
from shared.clock import ManualClock
from shared.errors import IdentityError
from shared.plugins.services import NoTails, Surroundings
from shared.topics import Address
from shared.transport.memory import MemoryBroker, MemoryTransport
from shared.web.access import FixedAccess
from shared.wire import StateMessage, encode
from shared.worker import DeadWorkers
from tests.cloud.web.caller import Caller, include_service
from tests.fleet.identity.rigs import BOX, Office, asked, gateway_of
from tests.support.waiting import wait_until

CLAIM = {"site": BOX.site, "line": BOX.line, "device": BOX.device}
PATIENCE_S = 10.0


@dataclass
class Desk:
    office: Office
    part: IdentityService
    caller: Caller
    broker: MemoryBroker

    def standing(self) -> str:
        return str(self.caller.get("/api/fleet/identities").json()[0]["standing"])

    def say(self, device: MemoryTransport, boot: str) -> None:
        device.publish(BOX.topic("state"), encode(StateMessage("online", boot, 0.0)), retain=True)


def surroundings(broker: MemoryBroker, clock: ManualClock) -> Surroundings:
    return Surroundings(
        broker.transport(), clock, NoTails(), None, threading.Event(), DeadWorkers()
    )


@pytest.fixture
def desk(office: Office, clock: ManualClock) -> Iterator[Desk]:
    broker = MemoryBroker()
    around = surroundings(broker, clock)
    part = IdentityService(office.registrar, gateway_of(office), around)
    part.start()
    around.transport.start()
    app = FastAPI()
    handle_problems(app)
    app.add_middleware(FixedAccess)
    include_service(app, part, around.clock)
    yield Desk(office, part, Caller(app, "http://cloud"), broker)
    part.stop()
    part.stop()


def test_a_claim_is_made_and_its_token_shown_once(desk: Desk, clock: ManualClock) -> None:
    made = desk.caller.post("/api/fleet/claims", json={**CLAIM, "hours": 2})
    assert made.status_code == 201
    assert made.json()["expires_at"] == clock.utc() + 7200
    (listed,) = desk.caller.get("/api/fleet/claims").json()
    assert listed["used_at"] is None
    assert made.json()["token"] not in str(listed)
    desk.office.registrar.enrol(made.json()["token"], asked())
    (listed,) = desk.caller.get("/api/fleet/claims").json()
    assert listed["used_at"] == clock.utc()
    assert desk.standing() == "active"


@pytest.mark.parametrize(
    "wanted",
    [
        {**CLAIM, "device": "a/b"},
        {**CLAIM, "site": ""},
        {**CLAIM, "hours": 0},
        {**CLAIM, "hours": 1e9},
        {**CLAIM, "colour": "red"},
        {},
    ],
)
def test_a_claim_that_makes_no_sense_is_refused(desk: Desk, wanted: dict[str, object]) -> None:
    answer = desk.caller.post("/api/fleet/claims", json=wanted)
    assert answer.status_code == 422
    assert not desk.caller.get("/api/fleet/claims").json()


def test_a_device_is_revoked_and_readmitted(desk: Desk) -> None:
    desk.office.enrolled()
    path = f"/api/fleet/identities/{BOX.device}"
    assert desk.caller.post(f"{path}/revoke", json={"reason": "stolen"}).status_code == 204
    assert desk.standing() == "revoked"
    refused = desk.caller.post("/api/fleet/claims", json=CLAIM)
    assert (refused.status_code, refused.json()["error"]) == (409, "box-1 is revoked: stolen")
    made = desk.caller.post(f"{path}/readmit", json={"hours": 1})
    assert made.status_code == 201
    desk.office.registrar.enrol(made.json()["token"], asked())
    assert desk.standing() == "active"


def test_a_reason_must_be_given(desk: Desk) -> None:
    desk.office.enrolled()
    path = f"/api/fleet/identities/{BOX.device}/revoke"
    assert desk.caller.post(path, json={"reason": ""}).status_code == 422
    assert desk.standing() == "active"


def test_an_unknown_device_is_named(desk: Desk) -> None:
    answer = desk.caller.post("/api/fleet/identities/box-9/revoke", json={"reason": "why"})
    assert answer.status_code == 404
    assert {"error", "fix"} <= set(answer.json())
    assert "box-9" in answer.json()["error"]


def wait_for(desk: Desk, standing: str) -> None:
    wait_until(lambda: desk.standing() == standing, f"it is {standing}")


def test_two_boots_in_turn_hold_the_device_and_a_reboot_does_not(desk: Desk) -> None:
    desk.office.enrolled()
    device = desk.broker.transport()
    device.start()
    for boot in ("first", "second", "third"):
        desk.say(device, boot)
    # What comes next is handled after what came before.
    desk.part._hold("somebody-else")
    assert desk.standing() == "active"
    for boot in ("second", "third"):
        desk.say(device, boot)
    wait_for(desk, "held")
    (held,) = desk.caller.get("/api/fleet/identities").json()
    assert held["reason"] == TWO_PLACES


def test_a_readmitted_device_is_not_held_for_what_was(desk: Desk) -> None:
    desk.office.enrolled()
    device = desk.broker.transport()
    device.start()
    for boot in ("a", "b", "a", "b"):
        desk.say(device, boot)
    wait_for(desk, "held")
    path = f"/api/fleet/identities/{BOX.device}/readmit"
    token = desk.caller.post(path, json={"hours": 1}).json()["token"]
    desk.office.registrar.enrol(token, asked())
    for boot in ("a", "b"):
        desk.say(device, boot)
    desk.part._hold("somebody-else")
    assert desk.standing() == "active"


def test_what_is_no_state_is_left_to_the_intake(desk: Desk) -> None:
    device = desk.broker.transport()
    device.start()
    for payload in (b"", b"nonsense"):
        device.publish(BOX.topic("state"), payload)
    device.publish(Address("s", "l", "d").topic("state"), encode(StateMessage("online", "b", 0.0)))
    assert desk.caller.get("/api/fleet/identities").json() == []


def test_a_folder_without_an_authority_does_not_open(clock: ManualClock, office: Office) -> None:
    settings = FleetSettings(folder=office.folder / "nowhere")
    around = surroundings(MemoryBroker(), clock)
    with pytest.raises(IdentityError, match="fleet init"):
        open_identity(settings, around, office.database)


@pytest.mark.parametrize("text", [None, "", "\n"])
def test_a_passphrase_file_without_a_phrase_is_named(
    clock: ManualClock, office: Office, text: str | None
) -> None:
    phrase = office.folder / "phrase"
    if text is not None:
        phrase.write_text(text)
    identity = FleetIdentitySettings(passphrase_file=phrase)
    settings = FleetSettings(folder=office.folder, identity=identity)
    with pytest.raises(IdentityError, match="phrase"):
        open_identity(settings, surroundings(MemoryBroker(), clock), office.database)


@pytest.mark.parametrize("years", [-50, 6, -1])
def test_a_clock_that_is_set_while_the_cloud_runs_makes_the_list_anew_within_a_minute(
    desk: Desk, clock: ManualClock, years: int
) -> None:
    for shift in (years, -years):
        before = clock.monotonic()
        clock.advance(shift * 365 * 86400)
        clock._monotonic = before + LOOK_S  # a clock that is set moves no monotonic one
        desk.part.look()
        found, now = desk.office.crl, datetime.fromtimestamp(clock.utc(), UTC)
        assert found.last_update_utc <= now < (found.next_update_utc or now)
    number = desk.office.crl.extensions.get_extension_for_class(CRLNumber).value.crl_number
    clock.advance(LOOK_S)
    desk.part.look()
    again = desk.office.crl.extensions.get_extension_for_class(CRLNumber).value.crl_number
    assert again == number, "nothing is due"


def test_a_cloud_whose_clock_was_never_set_starts_and_says_so(
    office: Office, clock: ManualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    clock.advance(-clock.utc())
    part = IdentityService(
        office.registrar, gateway_of(office), surroundings(MemoryBroker(), clock)
    )
    part.start()
    part.stop()
    assert "clock_not_set" in capsys.readouterr().out
