"""Each rule on a line: a real cloud, a real broker, real messages, and a clock that is moved."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud.alerts.board import AlertBoard, AlertView
from cloud.alerts.conditions import NAMES
from cloud.alerts.plant_watch import RuleLimits, of_plant
from cloud.alerts.rules import Rule, RuleBook
from cloud.configuration.settings import CloudSettings
from cloud.drift.store import DriftStore
from cloud.drift.stream import ReferenceLimits
from cloud.health.line_state import Condition
from cloud.health.plant_state import PlantState
from cloud.records.database import Database
from cloud.service import CloudService
from shared import wire
from shared.bundles.bundle import Bundle
from shared.clock import ManualClock
from shared.errors import RecordsError
from shared.loopback import free_port
from shared.sketch import SCALES
from tests.cloud.accounts.pem import write_pair
from tests.cloud.makers import DEVICE, batch, row
from tests.cloud.server import Device
from tests.support.brokers import mosquitto
from tests.support.waiting import wait_until

# As makers' parts: the middle of a minute, since rates are looked at minute by minute.
NOON = 1_800_000_030.0


class Plant:
    """One cloud and one box, on a clock that the test moves."""

    def __init__(self, folder: Path, bundle: Bundle, **more: Any) -> None:
        self.clock = ManualClock(utc=NOON)
        self.broker_port = more.get("broker", {}).get("port") or free_port()
        address = f"sqlite:///{folder / 'records.db'}"
        settings = CloudSettings.model_validate(
            {
                "bundles": [bundle.path],
                "database": address,
                "broker": {"port": self.broker_port},
                "runtime": {"name": "onnx", "threads": 1},
                "alerts": {"every_s": 0.1},
                "drift": {"reference_parts": 100},
                **more,
                "api": {"port": 0, **more.get("api", {})},
            }
        )
        self.service = CloudService(settings, self.clock)
        self.service.start()
        self.database = Database(address)
        self.board = AlertBoard(self.database, self.clock)
        self.box = Device(self, DEVICE)
        self._sequence = 0
        self.say()

    def say(self, state: str = "online", **more: Any) -> None:
        said = wire.StateMessage(
            state,  # type: ignore[arg-type]
            "b1",
            self.clock.utc(),
            "tiny 1.0.0",
            "onnx",
            "folder",
            1,
            0,
            **{"beat_s": 30.0, **more},
        )
        self.box.say(said)

    def show(self, count: int, **changes: Any) -> None:
        """So many parts, and the cloud has them."""
        rows = []
        for _ in range(count):
            self._sequence += 1
            rows.append(row(self._sequence, **changes))
        assert self.box.report(batch(self._sequence, *rows)).batch == self._sequence

    def run(self, minutes: int, every_minute: Callable[[], None]) -> None:
        for _ in range(minutes):
            every_minute()
            self.say()
            self.clock.advance(60)

    def alert(self, name: str, meanwhile: Callable[[], None] = lambda: None) -> AlertView:
        """The alert of that name, once it is raised."""

        def found() -> AlertView | None:
            # Delays pass on this clock.
            self.clock.advance(1)
            meanwhile()
            return next((one for one in self.board.open() if one.name == name), None)

        raised = wait_until(found, f"{name} is raised", pause_s=0.1)
        assert raised is not None
        return raised

    def over(self, name: str) -> None:
        def gone() -> bool:
            self.clock.advance(5)
            return any(one.name == name and one.state == "returned" for one in self.board.open())

        wait_until(gone, f"{name} is over", pause_s=0.1)

    def stop(self) -> None:
        self.box.stop()
        self.service.stop()
        self.database.close()


Opens = Callable[..., Plant]


@pytest.fixture
def opened(tmp_path: Path, bundle: Bundle) -> Iterator[Opens]:
    plants: list[Plant] = []

    def open_(**more: Any) -> Plant:
        plants.append(Plant(tmp_path, bundle, **more))
        return plants[-1]

    yield open_
    for plant in plants:
        plant.stop()


pytestmark = pytest.mark.process


def test_no_parts_where_parts_came(opened: Opens) -> None:
    plant = opened()
    plant.run(5, lambda: plant.show(20))
    plant.run(6, lambda: None)
    alert = plant.alert("no_parts")
    assert (alert.line, alert.state) == ("line-1", "unacknowledged")
    plant.show(20)
    plant.over("no_parts")


def test_a_jump_of_the_reject_rate(opened: Opens) -> None:
    plant = opened()

    def usual() -> None:
        plant.show(38)
        plant.show(2, verdict="reject")

    plant.run(8, usual)

    def half() -> None:
        plant.show(20)
        plant.show(20, verdict="reject")

    plant.run(5, half)
    assert "reject" in plant.alert("reject_rate").says.lower()


def test_parts_that_the_deadline_decides(opened: Opens) -> None:
    plant = opened()
    plant.run(3, lambda: plant.show(40))
    late = {"decision": "escalate", "verdict": "reject", "decided_by": "deadline"}
    plant.run(4, lambda: plant.show(20, **late))
    plant.alert("deadline_share")


def test_parts_without_a_picture(opened: Opens) -> None:
    plant = opened()
    plant.run(3, lambda: plant.show(40))
    plant.run(4, lambda: plant.show(20, score=math.nan))
    plant.alert("missed_pictures")


def test_a_box_that_lost_its_link(opened: Opens) -> None:
    plant = opened()
    plant.show(5)
    plant.say("offline")
    assert plant.alert("box_offline").device == "box-1"
    plant.say()
    plant.over("box_offline")


def test_a_box_that_has_long_said_nothing(opened: Opens) -> None:
    plant = opened()
    plant.show(5)
    plant.clock.advance(600)
    assert plant.alert("box_silent").device == "box-1"


def test_a_box_whose_disk_is_full(opened: Opens) -> None:
    plant = opened()
    plant.say(problems=("journal: the disk is full",), since=(NOON,))
    assert "disk is full" in plant.alert("box_trouble").says


def test_parts_that_wait_for_an_inspector(opened: Opens) -> None:
    plant = opened()
    plant.show(3, decision="escalate", verdict="review", decided_by="cloud")
    plant.clock.advance(5 * 3600)
    plant.say()
    assert plant.alert("review_queue").line == "line-1"


def test_a_lamp_that_fails(opened: Opens) -> None:
    plant = opened()
    dice, scale = np.random.default_rng(1), SCALES["brightness"]

    def sketch(number: int, light: float) -> None:
        levels = light * dice.normal(120, 5, 10)
        bins: dict[int, int] = {}
        for level in levels:
            at = scale.bin(float(level)) or 0
            bins[at] = bins.get(at, 0) + 1
        said = wire.Sketch("b1", number, "tiny 1.0.0", "", NOON, NOON, 10, {"brightness": bins})
        plant.box.transport.publish(DEVICE.topic("sketch"), wire.encode(said))
        store = DriftStore(plant.database, ReferenceLimits())

        def came() -> bool:
            return any(view.stream.parts == 10 * number for view in store.streams(NOON))

        wait_until(came, "the sketch is there")
        # The next one comes later.
        plant.clock.advance(1)

    for number in range(1, 21):
        sketch(number, 1.0)
    for number in range(21, 24):
        sketch(number, 0.12)
    alert = plant.alert("drift")
    assert alert.says.startswith("The brightness is not what it was: 14")
    assert "lamp" in alert.fix


def test_a_certificate_that_ends_soon(opened: Opens, tmp_path: Path) -> None:
    write_pair(tmp_path, days=9)
    tls = {"certificate": tmp_path / "cert.pem", "key": tmp_path / "key.pem"}
    plant = opened(api={"tls": tls})
    assert "expire" in plant.alert("certificate").says


def test_what_the_cloud_itself_warns_of(opened: Opens) -> None:
    plant = opened(quota={"messages_per_s": 1})

    def flood() -> None:
        for _ in range(20):
            plant.say()

    assert "quota" in plant.alert("cloud_warning", flood).says


def test_a_cloud_whose_broker_is_gone(opened: Opens, tmp_path: Path) -> None:
    with mosquitto(tmp_path) as port:
        plant = opened(broker={"port": port}, embedded_broker={"enabled": False})
    assert "broker" in plant.alert("cloud").says
    assert plant.alert("cloud").site == ""


def said(name: str, says: str, **where: str) -> Condition:
    return Condition(name, "bad", says, "do this", **where)  # type: ignore[arg-type]


def test_what_is_of_no_line_is_told_apart_by_what_it_says_but_for_its_numbers() -> None:
    now = [
        said("cloud", "The broker is not connected."),
        said("cloud", "Records have not been stored for 7 s."),
        said("promise", "Seen 3 of 9"),
    ]
    later = [*now[:1], said("cloud", "Records have not been stored for 12.5 s."), now[2]]
    keys = [one.key for one in of_plant(lambda: plant_of(now)).look()]
    assert [one.key for one in of_plant(lambda: plant_of(later)).look()] == keys
    assert len(set(keys)) == 3


def plant_of(conditions: list[Condition]) -> PlantState:
    return PlantState(NOON, "bad", "x", None, (), tuple(conditions))


def test_every_name_but_drift_comes_from_the_plant() -> None:
    assert of_plant(lambda: plant_of([])).names == frozenset(NAMES) - {"drift"}


def test_a_rule_of_a_line_is_its_limit_and_where_there_is_none_the_usual_one() -> None:
    clock = ManualClock()
    rules = [
        Rule("reject_rate", "plant", "line-1", limit=5),
        Rule("review_queue", limit=2),
        Rule("no_parts", "plant", "line-1", limit=7200),
    ]
    limits = RuleLimits(lambda: RuleBook(rules), clock)
    own, other = limits("plant", "line-1"), limits("plant", "line-2")
    assert (own.reject_most, other.reject_most) == (0.05, 0.2)
    assert own.review_s == other.review_s == 7200
    assert (own.quiet_s, own.quiet_most_s) == (7200, 7200)


def test_rules_are_read_again_and_the_last_ones_hold_while_they_can_not_be() -> None:
    clock, rules = ManualClock(), [Rule("box_silent", limit=10)]

    def read() -> RuleBook:
        if not rules:
            raise RecordsError("away")
        return RuleBook(list(rules))

    limits = RuleLimits(read, clock)
    assert limits("a", "b").silent_s == 10
    rules.clear()
    clock.advance(60)
    assert limits("a", "b").silent_s == 10
