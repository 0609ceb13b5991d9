"""Settings from afar, and what the cloud and the device tell each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.configuration.settings import settings_model
from edge.updates.base import Unreachable, Vitals
from edge.updates.disk import DurableFiles
from edge.updates.fakes import MemoryDisk
from edge.updates.hosts.remote_settings import (
    CHANGEABLE,
    NAME,
    SettingsFile,
    SettingsHost,
    WantedSettings,
    is_changeable,
)
from edge.updates.progress import Memo
from edge.updates.service.updater import DesiredMemory, Updater
from edge.updates.slots import FolderSlots
from edge.updates.state_machine import UpdateMachine
from shared.errors import SettingsError
from shared.storage.slots import SlotRecord
from shared.transport.memory import MemoryBroker
from shared.wire import Desired, Reported, decode, encode
from shared.worker import DeadWorkers
from tests.edge.rigs import ADDRESS
from tests.edge.update_rigs import NEW, OLD, Bench, content

FILE = {
    "site": "plant",
    "line": "line",
    "device": "box",
    "bundle": "bundle",
    "camera": {"kind": "folder", "path": "pictures"},
    "actuator": {"kind": "log"},
    "gate": {"pass_below": 0.1, "reject_from": 0.9},
}


@pytest.fixture
def file(tmp_path: Path) -> SettingsFile:
    path = tmp_path / "box.yaml"
    path.write_text(yaml.safe_dump(FILE))
    return SettingsFile(path)


@pytest.fixture
def slots(tmp_path: Path) -> FolderSlots:
    return FolderSlots(MemoryDisk(), tmp_path / NAME, ".settings")


def test_values_are_laid_over_the_file(file: SettingsFile, tmp_path: Path) -> None:
    settings = file.under({"deadline_ms": 900, "gate.pass_below": 0.3, "camera.rate": 4})
    assert settings.deadline_ms == 900
    assert settings.gate is not None
    assert (settings.gate.pass_below, settings.gate.reject_from) == (0.3, 0.9)
    assert settings.bundle == tmp_path / "bundle"
    assert file.alone().deadline_ms == 500


@pytest.mark.parametrize(
    "key",
    [
        *("site", "line", "device", "bundle", "broker.host", "identity.gateway", "updates.server"),
        *("journal.path", "journal", "cameras.rate", ""),
    ],
)
def test_what_could_cut_a_box_off_or_make_it_another_is_not_changed_from_afar(
    file: SettingsFile, key: str
) -> None:
    with pytest.raises(SettingsError, match="can't be changed from afar"):
        file.under({key: "x"})


def test_every_setting_is_either_changeable_or_not_by_decision() -> None:
    fixed = {"site", "line", "device", "bundle", "broker", "identity", "updates", "journal"}
    # Who may see pictures is decided in the plant.
    fixed |= {"pictures"}
    undecided = settings_model().model_fields.keys() - fixed - set(CHANGEABLE)
    assert undecided <= {"learning", "labels"}, "say in remote.CHANGEABLE whether these may change"
    assert is_changeable("journal.max_bytes")


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"deadline_ms": -1}, "deadline_ms"),
        ({"camera.kind": "crystal ball"}, "not one of"),
        ({"gate.pass_below": 0.95}, "pass_below must not lie above"),
        ({"camera.speed": 4}, "not a setting"),
    ],
)
def test_values_that_can_not_be_are_refused_in_the_words_of_the_file(
    file: SettingsFile, values: dict[str, Any], word: str
) -> None:
    with pytest.raises(SettingsError, match=word):
        file.under(values)


def put(slots: FolderSlots, serial: int, values: dict[str, Any]) -> None:
    wanted = WantedSettings()
    offer = wanted.offer(wanted.want(serial, values), "")
    slots.write("b", "payload", 0, wanted.read(offer.url, 0, offer.label.length))
    slots.name("b", offer.label)


def test_a_box_starts_with_what_is_live(file: SettingsFile, slots: FolderSlots) -> None:
    assert file.load(slots).settings.deadline_ms == 500
    put(slots, 1, {"deadline_ms": 800})
    assert file.load(slots).settings.deadline_ms == 500
    slots.mark(SlotRecord("b"))
    loaded = file.load(slots)
    assert (loaded.settings.deadline_ms, loaded.slot) == (800, "b")


@pytest.mark.parametrize("raw", [b"{", b"[1]", b'{"deadline_ms": "soon"}', b'{"site": "x"}'])
def test_a_trial_that_can_not_be_used_is_over_and_the_file_stands(
    file: SettingsFile, slots: FolderSlots, raw: bytes
) -> None:
    put(slots, 1, {"deadline_ms": 800})
    slots.disk.write(slots.payload("b"), 0, raw)
    slots.mark(SlotRecord("a").tried("b", 1))
    loaded = file.load(slots)
    assert (loaded.settings.deadline_ms, loaded.slot) == (500, "a")
    assert slots.marked().record == SlotRecord("a")
    slots.mark(SlotRecord("b"))
    assert file.load(slots).settings.deadline_ms == 500


def test_wanted_settings_are_named_by_their_content() -> None:
    wanted = WantedSettings()
    assert wanted.want(1, None) == ""
    first = wanted.want(2, {"deadline_ms": 800, "frozen_after": 0})
    assert wanted.want(3, {"frozen_after": 0, "deadline_ms": 800}) == first
    assert wanted.offer(first, "").label.counter == 3
    assert json.loads(wanted.read(first, 0, 1000)) == {"deadline_ms": 800, "frozen_after": 0}
    wanted.want(4, {})
    with pytest.raises(Unreachable):
        wanted.offer(first, "")
    with pytest.raises(Unreachable):
        wanted.read(first, 0, 10)


class Device:
    """An updater with its neighbours, on a broker in memory."""

    def __init__(self, file: SettingsFile, disk: DurableFiles | None = None) -> None:
        self.bench = Bench(disk=disk or MemoryDisk())
        if disk is None:
            self.bench.install()
        self.bench.start()
        self.bench.machine._wanted = None
        self.disk = self.bench.disk
        self.broker = MemoryBroker()
        self.transport = self.broker.transport()
        self.held: list[str] = []
        self.clock = self.bench.clock
        slots = FolderSlots(self.disk, Path("/settings"), ".settings")
        wanted = WantedSettings()
        self.asked: list[int] = []
        host = SettingsHost(slots, file, slots.booted(), lambda: self.asked.append(1))
        host.attach(lambda: Vitals(3))
        settings = UpdateMachine(
            NAME,
            slots=slots,
            host=host,
            offers=wanted,
            source=wanted,
            memo=Memo(self.disk, Path("/settings/memo.json")),
            clock=self.clock,
            reserve=0,
        )
        self.updater = Updater(
            self.transport,
            ADDRESS,
            boot="b00t",
            machines={"model": self.bench.machine, NAME: settings},
            settings=wanted,
            memory=DesiredMemory(self.disk, Path("/desired")),
            facts=lambda: {"queue": 3.0},
            versions={"agent": "1"},
            hold=self.held.append,
            clock=self.clock,
            report_s=30.0,
            on_death=DeadWorkers(),
        )
        self.updater.listen()
        self.transport.start()
        self.cloud = self.broker.transport()
        self.cloud.start()

    def want(self, serial: int, **changed: Any) -> None:
        wanted = {"targets": {"model": NEW}, "health_s": 10.0, **changed}
        payload = encode(Desired(serial, **wanted))
        self.cloud.publish(ADDRESS.topic("command"), payload, retain=True)

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.clock.advance(max(self.updater.tick(), 0.05))

    @property
    def reports(self) -> list[Reported]:
        topic = ADDRESS.topic("reply")
        return [decode(d.payload, Reported)[0] for d in self.broker.published if d.topic == topic]


@pytest.fixture
def device(file: SettingsFile) -> Device:
    return Device(file)


def test_what_is_wanted_comes_true_and_is_reported(device: Device) -> None:
    device.tick()
    first = device.reports[-1]
    assert (first.serial, first.running["model"], first.counters["model"]) == (0, OLD, 1)
    device.want(4)
    device.tick(60)
    last = device.reports[-1]
    assert (last.serial, last.running["model"], last.phase) == (4, NEW, "idle")
    assert last.facts["queue"] == 3.0
    assert last.versions["agent"] == "1"
    assert {report.phase for report in device.reports} >= {"idle", "trial"}
    assert all(report.boot == "b00t" and report.at > 0 for report in device.reports)


def test_the_highest_serial_counts_in_whatever_order_they_come(device: Device) -> None:
    device.want(9)
    for serial in range(1, 9):
        device.want(serial, targets={"model": f"models/m/{serial}00.zip"})
    device.tick(60)
    assert device.reports[-1].running["model"] == NEW
    device.want(8, targets={"model": OLD})
    device.tick(5)
    assert device.reports[-1].serial == 9


def test_what_was_wanted_is_known_after_a_start_without_a_broker(
    device: Device, file: SettingsFile
) -> None:
    device.want(4)
    device.tick()
    again = Device(file, device.disk)
    again.transport.lose()
    again.tick(60)
    assert again.bench.live == NEW
    assert again.reports == []
    again.transport.restore()
    again.tick()
    assert again.reports[-1].running["model"] == NEW


def test_nothing_changes_nothing_is_said_but_now_and_then(device: Device) -> None:
    device.tick(5)
    said = len(device.reports)
    device.clock.advance(31)
    device.tick()
    assert len(device.reports) == said + 1
    device.transport.lose()
    device.transport.restore()
    device.tick()
    assert len(device.reports) == said + 2


def test_a_hold_is_passed_on_once_and_lifted(device: Device) -> None:
    device.want(1, held="seen twice")
    device.tick(3)
    assert device.held == ["seen twice"]
    assert "seen twice" in device.reports[-1].problem
    device.want(2)
    device.tick(3)
    assert device.held == ["seen twice", ""]


def test_a_kind_that_the_device_has_no_slots_for_is_named(device: Device) -> None:
    device.want(1, targets={"image": "firmware/image/m/1.sqfs"})
    device.tick(2)
    assert device.reports[-1].problem == "this device has no slots for image"


def test_two_kinds_are_never_on_trial_at_once(device: Device) -> None:
    device.want(1, settings={"deadline_ms": 800})
    device.tick(100)
    assert device.asked, "the box was asked to open anew with the settings"
    assert device.bench.live == OLD
    assert {report.phase for report in device.reports} <= {
        *("idle", "fetching", "checking", "proving", "shadowing", "waiting", "switching"),
    }


def test_a_payload_that_is_no_message_is_ignored(device: Device) -> None:
    for payload in (b"", b"nonsense", encode(Reported(1, "x", 0.0))):
        device.cloud.publish(ADDRESS.topic("command"), payload)
    device.tick(2)
    assert device.reports[-1].serial == 0


def test_a_damaged_memory_of_what_was_wanted_is_forgotten() -> None:
    disk = MemoryDisk()
    memory = DesiredMemory(disk, Path("/desired"))
    assert memory.read() is None
    memory.keep(Desired(7))
    assert memory.read() == Desired(7)
    disk.write(Path("/desired"), 0, content(1, 40))
    assert memory.read() is None
