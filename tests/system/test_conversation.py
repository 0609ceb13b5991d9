"""What version 0.1.0 says and hears, played into this one: a fleet is never updated at once, so
boxes of the last version go on with this cloud, and boxes of this one with the last cloud."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cloud.app import create_app
from cloud.health.monitor import BrokerHealth, DatabaseHealth, QueueHealth, ServiceHealth
from cloud.inference.counters import EventCounters
from cloud.inference.handover import Alone, Handover
from cloud.inference.intake import Intake
from cloud.inference.queue import WorkQueue
from cloud.inference.registry import TailRegistry
from cloud.inference.worker import TailWorker
from cloud.labels.delivery import LabelDelivery
from cloud.labels.store import StoredLabels
from cloud.records.database import Database
from cloud.records.store import RecordStore
from cloud.records.writer import RecordsWriter
from cloud.web.context import Backstage
from edge.actuator.base import RecordingActuator
from edge.actuator.calls import DirectActuations
from edge.camera.base import MissedFrame
from edge.camera.scripted import ScriptedCamera
from edge.inspection.fields import FieldSources
from edge.inspection.model import LiveModel
from edge.journal.journal import Journal
from edge.journal.picture_ring import RingPolicy
from edge.link.labels import LabelReceiver
from edge.link.presence import Snapshot
from edge.monitoring.health import BoxHealth
from edge.updates.hosts.remote_settings import SettingsFile
from edge.wiring import Around, wire
from fleet.rollouts.shadows import DesiredState, Shadows
from fleet.storage.database import FleetDatabase
from shared.bundles.bundle import Bundle
from shared.clock import ManualClock
from shared.contracts import Frame
from shared.errors import CameraError
from shared.inspection import LINE_COLUMNS
from shared.runtime.settings import RuntimeSettings
from shared.topics import Address
from shared.transport.base import Delivery
from shared.transport.memory import MemoryBroker
from shared.wire import Desired, Inspections, decode
from shared.worker import DeadWorkers
from tests.bundles import BAD, GOOD, UNSURE_BAD, UNSURE_GOOD, picture
from tests.cloud.web.caller import Caller
from tests.edge.rigs import commit, real_inspector, rows_in
from tests.edge.test_update_remote import Device, file
from tests.system.deployed import (
    FOLDER,
    OldDesired,
    OldEscalation,
    OldInspectionRow,
    OldInspections,
    OldLabels,
    OldLabelsKept,
    OldReceipt,
    OldReported,
    OldState,
    OldVerdict,
    Recorded,
    conversation,
    read,
)

ADDRESS = Address("plant", "line-1", "box")
SETTINGS = "settings/e609f34e4e2bd9af.json"
LINE = [GOOD, UNSURE_GOOD, BAD, UNSURE_BAD, 150, None]
DEADLINE_S = 1.5
NEW = [column.name for column in LINE_COLUMNS]
__all__ = ["file"]


def sent(channel: str) -> list[Recorded]:
    return [message for message in conversation() if message.channel == channel]


def old_rows() -> dict[tuple[str, int], OldInspectionRow]:
    batches = [read(message.payload, OldInspections) for message in sent("inspections")]
    return {(row.boot, row.sequence): row for batch in batches for row in batch.rows}


def well() -> ServiceHealth:
    return ServiceHealth(
        ok=True,
        problems=[],
        broker=BrokerHealth(connected=True, address="127.0.0.1:1883", embedded=True),
        database=DatabaseHealth(answers=True, url="sqlite://", waiting=0, let_go=0),
        tails=[],
        queue=QueueHealth(waiting=0, dropped=0),
        counts={},
    )


class Cloud:
    """All that a cloud does with what boxes say, turned by hand while the old box talks."""

    def __init__(self, folder: Path) -> None:
        first = next(conversation())
        self.clock = ManualClock(utc=first.at)
        self.broker = MemoryBroker()
        self.box, self.transport = self.broker.transport(), self.broker.transport()
        database = Database(f"sqlite:///{folder / 'records.db'}")
        database.migrate()
        self.tails = tails = TailRegistry([FOLDER / "bundle"], RuntimeSettings(name="onnx"))
        queue = WorkQueue(self.clock, capacity=50, max_batch=8, max_wait_s=0)
        self.counters = EventCounters()
        dead = DeadWorkers()
        handover = Handover(self.transport, Alone(), self.counters)
        self._writer = RecordsWriter(RecordStore(database), dead, keep_maps=100)
        self._worker = TailWorker(
            queue=queue,
            tails=tails,
            transport=self.transport,
            writer=self._writer,
            counters=self.counters,
            clock=self.clock,
            on_death=dead,
            handover=handover,
        )
        Intake(
            transport=self.transport,
            tails=tails,
            queue=queue,
            writer=self._writer,
            counters=self.counters,
            clock=self.clock,
            handover=handover,
        ).start("group")
        self._labels = LabelDelivery(StoredLabels(database), self.transport, self.clock, dead)
        self._labels.listen()
        fleet = FleetDatabase(f"sqlite:///{folder / 'fleet.db'}")
        fleet.migrate()
        self.shadows = Shadows(fleet, self.transport, self.clock)
        self.shadows.start()
        self.api = Caller(
            create_app(Backstage(database, well, clock=self.clock)), "http://127.0.0.1"
        )
        self.transport.start()
        self.box.start()
        self._databases = (database, fleet)

    def hear(self, message: Recorded) -> None:
        """What the box said, and all that follows from it."""
        self.advance_to(message.at)
        self.box.publish(
            message.topic, message.payload, retain=message.retain, properties=message.properties
        )
        self.work()

    def label(self, message: Recorded) -> None:
        """The inspector of then labels the same part at the same moment."""
        (row,) = read(message.payload, OldLabels).rows
        self.advance_to(row.said_at)
        word = {"verdict": row.verdict, "kind": row.kind or None, "inspector": "schulz"}
        path = f"/api/v1/inspections/box/{row.boot}/{row.sequence}/review"
        assert self.api.put(path, json=word).status_code == 200
        self.work()

    def want(self, message: Recorded) -> None:
        """The fleet's people then ask for the same at the same moment."""
        self.advance_to(message.at)
        wanted = Desired(serial=0, settings={"deadline_ms": 1200})
        self.shadows.save([DesiredState(ADDRESS, wanted, "settings", "rossi")])

    def work(self) -> None:
        while self._worker.step(0):
            pass
        self._writer.write_pending()
        self._labels.tick()
        self.shadows.take()

    def advance_to(self, utc: float) -> None:
        self.clock.advance(utc - self.clock.utc())

    def answers(self, channel: str) -> list[Delivery]:
        topic = f"splitsight/v1/plant/line-1/box/{channel}"
        return [delivery for delivery in self.broker.published if delivery.topic == topic]

    def close(self) -> None:
        for database in self._databases:
            database.close()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """This cloud, after the old box has said all that it said."""
    made = Cloud(tmp_path_factory.mktemp("cloud"))
    for message in conversation():
        if message.sender == "box":
            made.hear(message)
        elif message.channel == "label":
            made.label(message)
        elif message.channel == "command":
            made.want(message)
    yield made
    made.close()


def test_every_escalation_of_an_old_box_gets_the_verdict_that_the_old_cloud_gave(
    cloud: Cloud,
) -> None:
    asked = [(read(message.payload, OldEscalation), message) for message in sent("escalation")]
    answered = [(read(d.payload, OldVerdict), d) for d in cloud.answers("verdict")]
    assert [(a.boot, a.sequence, a.part) for a, _ in answered] == [
        (e.boot, e.sequence, e.part) for e, _ in asked
    ]
    assert [d.properties for _, d in answered] == [message.properties for _, message in asked]
    now = {(answer.boot, answer.sequence): answer for answer, _ in answered}
    then = [read(message.payload, OldVerdict) for message in sent("verdict")]
    assert len(then) == 18
    for old in then:
        new = now[old.boot, old.sequence]
        assert (new.verdict, new.defect) == (old.verdict, old.defect)
        assert new.score == pytest.approx(old.score, abs=1e-5)


def test_every_batch_of_an_old_box_gets_its_receipt(cloud: Cloud) -> None:
    batches = [read(message.payload, OldInspections) for message in sent("inspections")]
    receipts = [read(delivery.payload, OldReceipt) for delivery in cloud.answers("receipt")]
    assert [(r.boot, r.batch) for r in receipts] == [(b.boot, b.batch) for b in batches]
    assert cloud.counters["malformed"] == 0


def test_every_inspection_of_an_old_box_is_recorded_as_it_was_said(cloud: Cloud) -> None:
    page = cloud.api.get("/api/v1/inspections?limit=500").json()["inspections"]
    rows = old_rows()
    assert {(view["boot"], view["sequence"]) for view in page} == rows.keys()
    for view in page:
        row = rows[view["boot"], view["sequence"]]
        assert view["at"] == row.inspected_at
        for name in set(row.__struct_fields__) - {"inspected_at"}:
            # What the line did, where an inspector has settled the part since.
            assert (view.get(f"line_{name}") or view[name]) == getattr(row, name), name
        assert (view["site"], view["line"], view["device"]) == ("plant", "line-1", "box")
        assert [view[name] for name in NEW] == [""] * len(NEW)
    assert {view["decided_by"] for view in page} >= {"edge", "cloud", "deadline"}


def test_an_old_box_diverts_what_this_cloud_is_not_sure_of_and_the_record_says_review(
    tmp_path: Path,
) -> None:
    cloud = Cloud(tmp_path)
    for tail in cloud.tails.values():
        tail.gate = replace(tail.gate, cloud_reject_from=1.1, cloud_pass_below=0.0)
    said = [message for message in conversation() if message.sender == "box"]
    for message in said:
        cloud.hear(message)
    answers = [read(delivery.payload, OldVerdict) for delivery in cloud.answers("verdict")]
    assert {answer.verdict for answer in answers} == {"reject"}
    page = cloud.api.get("/api/v1/inspections?limit=500").json()["inspections"]
    recorded = {(view["boot"], view["sequence"]): view["verdict"] for view in page}
    told = {(row.verdict, row.decided_by, recorded[key]) for key, row in old_rows().items()}
    # The recorded box went by what its own cloud said; what it passed it had passed.
    assert ("reject", "cloud", "review") in told
    assert ("reject", "cloud", "reject") not in told
    assert {(was, now) for was, by, now in told if by != "cloud"} <= {
        ("pass", "pass"),
        ("reject", "reject"),
    }
    cloud.close()


def test_an_old_box_is_shown_as_it_says_that_it_is(cloud: Cloud) -> None:
    (device,) = cloud.api.get("/api/v1/devices").json()
    last = read(sent("state")[-1].payload, OldState)
    assert last.state == "offline"
    assert {name: device[name] for name in ("state", "boot", "bundle", "runtime")} == {
        "state": last.state,
        "boot": last.boot,
        "bundle": last.bundle,
        "runtime": last.runtime,
    }
    shadow = cloud.shadows.of(ADDRESS)
    assert shadow.running("settings") == SETTINGS
    assert shadow.why_offline


def test_an_old_box_reads_of_a_label_what_the_old_cloud_sent_and_its_answer_is_kept(
    cloud: Cloud,
) -> None:
    # What has been added since stands behind what it knows: it leaves that.
    now = [read(delivery.payload, OldLabels) for delivery in cloud.answers("label")]
    assert now == [read(message.payload, OldLabels) for message in sent("label")]
    assert now
    answers = [read(message.payload, OldLabelsKept).rows[0] for message in sent("labelled")]
    assert [answer.kept for answer in answers] == [True, True, False]
    for answer in answers:
        path = f"/api/v1/inspections/box/{answer.boot}/{answer.sequence}"
        review = cloud.api.get(path).json()["review"]
        assert review["has_picture"] is answer.kept
        assert review["delivered_at"] is not None


def test_what_is_wanted_of_an_old_box_is_said_as_the_old_cloud_said_it(cloud: Cloud) -> None:
    (then,) = sent("command")
    (delivery,) = cloud.answers("command")
    assert delivery.payload == then.payload
    assert read(delivery.payload, OldDesired).settings == {"deadline_ms": 1200}


def load(frame: Frame) -> float:
    """A field of a plug-in that no old cloud has heard of."""
    return float(frame.pixels.mean())


STEP_S = 0.1


class Box:
    """The pieces of a box of this version beside the old cloud, turned by hand.

    It is given the boot id of the recorded box, so that the old cloud's answers are meant for it.
    """

    def __init__(self, folder: Path, boot: str) -> None:
        self.folder = folder
        bundle = Bundle.open(FOLDER / "bundle")
        self.clock = ManualClock(utc=next(conversation()).at - 1)
        self.health = BoxHealth()
        self.broker = MemoryBroker()
        transport, self.cloud = self.broker.transport(), self.broker.transport()
        self.actuator = RecordingActuator()
        self.journal = Journal.open(
            folder / "journal.db",
            max_bytes=1 << 24,
            ring_bytes=1 << 20,
            label_bytes=1 << 20,
            health=self.health,
        )
        self.journal.boot = boot
        wired = wire(
            Around(
                address=ADDRESS,
                model=LiveModel.of(bundle, real_inspector(bundle), "onnx CPU"),
                transport=transport,
                camera=ScriptedCamera([]),
                journal=self.journal,
                actuations=DirectActuations(self.actuator, self.clock, self.health),
                ring=RingPolicy("all"),
                clock=self.clock,
                health=self.health,
                deadline_s=DEADLINE_S,
                look=Snapshot,
                fields=FieldSources(self.health, dict.fromkeys(NEW, "new"), {"load": load}),
            )
        )
        self._agent, self.outbox, self.presence = wired.agent, wired.outbox, wired.presence
        LabelReceiver(
            self.journal, transport, ADDRESS, domain="hall 3", health=self.health
        ).listen()
        transport.start(self.presence.will)
        self.cloud.start()
        self._shown = 0

    def show_up_to(self, rows: dict[int, OldInspectionRow], utc: float) -> None:
        """Every part that had come by at that time."""
        while (row := rows.get(self._shown + 1)) is not None and row.inspected_at <= utc:
            self._pass_time(row.inspected_at)
            self._shown = row.sequence
            self._show(row.part, LINE[(row.part - 1) % len(LINE)])
            self.settle()
        self._pass_time(utc)

    def settle(self) -> None:
        commit(self.journal)
        self.outbox.tick()
        self.presence.tick()

    def hear(self, message: Recorded) -> None:
        """What the old cloud said."""
        self.cloud.publish(message.topic, message.payload, properties=message.properties)
        self.settle()

    def is_told(self, receipt: Recorded) -> bool:
        """Tell it a receipt where it has sent that batch."""
        number = read(receipt.payload, OldReceipt).batch
        batches = [read(payload, OldInspections).batch for payload in self.said("inspections")]
        if number not in batches:
            return False
        self.hear(receipt)
        return True

    def wait(self) -> None:
        """For the next batch."""
        self._pass_time(self.clock.utc() + STEP_S)

    def said(self, channel: str) -> list[bytes]:
        topic = f"splitsight/v1/plant/line-1/box/{channel}"
        return [delivery.payload for delivery in self.broker.published if delivery.topic == topic]

    def _show(self, part: int, brightness: int | None) -> None:
        now = self.clock.monotonic()
        name = f"{(part - 1) % len(LINE)}.png"
        if brightness is None:
            error = CameraError("it is empty", fix="replace it")
            self._agent.inspect(MissedFrame(part, now, now + DEADLINE_S, name, error))
            return
        pixels = picture(brightness, height=32, width=32)
        self._agent.inspect(Frame(pixels, part, now, now + DEADLINE_S, name, b"picture"))

    def _pass_time(self, utc: float) -> None:
        # As the deadlines' thread does, which notices each at once.
        while (left := utc - self.clock.utc()) > 0:
            self.clock.advance(min(left, STEP_S))
            self._agent.deadlines.expire(self.clock.monotonic())
        self.settle()


@pytest.fixture(scope="module")
def played(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Box, dict[int, OldInspectionRow]]]:
    """A box of this version that saw the first boot's parts, and heard what the old cloud said."""
    boot = read(sent("state")[0].payload, OldState).boot
    rows = {sequence: row for (of, sequence), row in old_rows().items() if of == boot}
    box = Box(tmp_path_factory.mktemp("box"), boot)
    receipts = []
    for message in conversation():
        if message.sender != "cloud":
            continue
        box.show_up_to(rows, message.at)
        if message.topic.endswith("/receipt"):
            # This box takes its time between two batches, and no cloud answers one before it came.
            receipts.append(message)
        else:
            box.hear(message)
        receipts = [one for one in receipts if not box.is_told(one)]
    for _ in range(100):
        box.wait()
        receipts = [one for one in receipts if not box.is_told(one)]
    yield box, rows
    box.journal.close()


def test_a_box_beside_the_old_cloud_does_what_the_old_box_did(
    played: tuple[Box, dict[int, OldInspectionRow]],
) -> None:
    box, rows = played
    assert {row.decided_by for row in rows.values()} == {"edge", "cloud", "deadline"}
    assert box.actuator.verdicts == {row.part: row.verdict for row in rows.values()}
    batches = [read(payload, OldInspections) for payload in box.said("inspections")]
    reported = {row.sequence: row for batch in batches for row in batch.rows}
    assert reported.keys() == rows.keys()
    told = decode(box.said("inspections")[0], Inspections)[0].rows
    assert [set(row.fields) for row in told] == [{"load"}]
    for sequence, old in rows.items():
        assert essence(reported[sequence]) == essence(old)
        assert reported[sequence].score == pytest.approx(old.score, abs=1e-5)


def essence(row: OldInspectionRow) -> dict[str, Any]:
    """What two boxes must agree on: not times, sizes of pictures and the last bits of scores."""
    names = ("boot", "sequence", "part", "decision", "verdict", "decided_by", "source", "bundle")
    return {name: getattr(row, name) for name in names}


def test_the_old_clouds_verdicts_receipts_and_labels_are_understood(
    played: tuple[Box, dict[int, OldInspectionRow]],
) -> None:
    box, rows = played
    kept = rows_in(box.folder)
    assert {row["sequence"]: row["cloud_score"] for row in kept if row["cloud_score"]} == {
        answer.sequence: answer.score
        for answer in (read(message.payload, OldVerdict) for message in sent("verdict"))
        if answer.sequence in rows and answer.boot == box.journal.boot
    }
    assert all(row["acknowledged"] for row in kept[:-1])
    assert box.said("labelled") == [message.payload for message in sent("labelled")]
    assert [(row["sequence"], row["kind"]) for row in rows_in(box.folder, "labelled")] == [
        (2, "crack"),
        (3, ""),
    ]
    assert box.health.counts.get("payloads_refused", 0) == 0
    assert read(box.said("state")[-1], OldState).boot == box.journal.boot


def test_a_box_does_what_the_old_cloud_wants_and_reports_in_words_that_it_reads(
    file: SettingsFile,
) -> None:
    (command,) = sent("command")
    reported: list[OldReported] = []
    first = Device(file)
    # The box is opened anew for the settings that are on trial.
    for again in (False, True):
        device = Device(file, first.disk) if again else first
        topic = "splitsight/v1/plant/line/box"
        device.cloud.publish(f"{topic}/command", command.payload, retain=True)
        device.tick(200)
        said = [d.payload for d in device.broker.published if d.topic == f"{topic}/reply"]
        reported += [read(payload, OldReported) for payload in said]
    assert (reported[-1].serial, reported[-1].phase) == (1, "idle")
    assert reported[-1].running["settings"] == SETTINGS
    then = {read(message.payload, OldReported).phase for message in sent("reply")}
    assert {report.phase for report in reported} == then
