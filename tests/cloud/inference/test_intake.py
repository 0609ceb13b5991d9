"""From MQTT to verdicts, receipts and records, with a broker in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from structlog.testing import capture_logs

from cloud.inference.counters import EventCounters
from cloud.inference.handover import Alone, Handover
from cloud.inference.intake import Intake
from cloud.inference.queue import WorkQueue
from cloud.inference.tail import LoadedTail, open_tail
from cloud.inference.worker import TailWorker
from cloud.records.database import Database
from cloud.records.queries import Filter, Records
from cloud.records.store import RecordStore
from cloud.records.summary import summarise
from cloud.records.tables import InspectionRow, StateRow, TailRow
from cloud.records.writer import RecordsWriter
from shared import wire
from shared.bundles.bundle import Bundle
from shared.certification.gate import Gate
from shared.clock import ManualClock
from shared.contracts import Decision, InspectionKey
from shared.errors import RecordsError
from shared.inspection import MAX_FIELDS
from shared.runtime.base import Array
from shared.runtime.settings import RuntimeSettings
from shared.transport.base import Delivery
from shared.transport.memory import MemoryBroker
from shared.worker import DeadWorkers
from tests.bundles import make_bundle
from tests.cloud.makers import DEVICE, NOON, batch, escalation, row, symbols_of
from tests.system.deployed import OldVerdict, read

ONNX = RuntimeSettings(name="onnx")


class FailingStore:
    """A store whose database can be taken away."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store
        self.down = False

    def save(
        self,
        inspections: Sequence[InspectionRow] = (),
        tails: Sequence[TailRow] = (),
        devices: Sequence[StateRow] = (),
    ) -> None:
        if self.down:
            raise RecordsError("the database is away", fix="start it")
        self._store.save(inspections, tails, devices)

    def clear_maps(self, keep: int) -> None:
        self._store.clear_maps(keep)


class Plant:
    """One device and one worker, whose threads the test turns by hand."""

    def __init__(self, database: Database, tail: LoadedTail) -> None:
        self.broker = MemoryBroker()
        self.device = self.broker.transport()
        self.cloud = self.broker.transport()
        self.clock = ManualClock(utc=NOON)
        self.database = database
        self.records = Records(database)
        self.store = FailingStore(RecordStore(database))
        self.writer = RecordsWriter(self.store, DeadWorkers(), keep_maps=100)
        self.counters = EventCounters()
        self.queue = WorkQueue(self.clock, capacity=50, max_batch=8, max_wait_s=0)
        handover = Handover(self.cloud, Alone(), self.counters)
        tails = {tail.bundle.manifest.pair: tail}
        self.judge = TailWorker(
            queue=self.queue,
            tails=tails,
            transport=self.cloud,
            writer=self.writer,
            counters=self.counters,
            clock=self.clock,
            on_death=DeadWorkers(),
            handover=handover,
        )
        intake = Intake(
            transport=self.cloud,
            tails=tails,
            queue=self.queue,
            writer=self.writer,
            counters=self.counters,
            clock=self.clock,
            handover=handover,
        )
        intake.start("group")
        self.cloud.start()
        self.device.start()
        self.verdicts: list[tuple[wire.CloudVerdict, Delivery]] = []
        self.receipts: list[int] = []
        self.device.subscribe(DEVICE.topic("verdict"), self._verdict)
        self.device.subscribe(DEVICE.topic("receipt"), self._receipt)

    def escalate(self, payload: bytes, **properties: str) -> None:
        self.device.publish(DEVICE.topic("escalation"), payload, properties=properties)

    def report(self, payload: bytes) -> None:
        self.device.publish(DEVICE.topic("inspections"), payload)

    def work(self) -> None:
        while self.judge.step(0):
            pass
        self.writer.write_pending()

    def _verdict(self, delivery: Delivery) -> None:
        self.verdicts.append((wire.decode(delivery.payload, wire.CloudVerdict)[0], delivery))

    def _receipt(self, delivery: Delivery) -> None:
        self.receipts.append(wire.decode(delivery.payload, wire.Receipt)[0].batch)


def decoded(bundle: Bundle, payload: bytes) -> NDArray[np.int8]:
    """The symbols of an escalation, as a batch of one."""
    return bundle.codec.decode(wire.decode(payload, wire.Escalation)[1])[np.newaxis]


@pytest.fixture(scope="module")
def tail(bundle: Bundle) -> LoadedTail:
    return open_tail(bundle, ONNX)


@pytest.fixture
def plant(database: Database, tail: LoadedTail) -> Plant:
    return Plant(database, tail)


def test_the_verdict_weighs_the_heads_score_as_the_bundle_says(
    database: Database, bundle: Bundle
) -> None:
    trusting = open_tail(bundle, ONNX)
    trusting.gate = Gate(0.2, 0.8, 0.5, tail_weight=0.0)
    plant = Plant(database, trusting)
    payload = escalation(bundle, 1, level=2)
    sent, _ = wire.decode(payload, wire.Escalation)
    plant.escalate(payload)
    plant.work()
    ((answer, _),) = plant.verdicts
    assert answer.score == pytest.approx(sent.score)
    assert answer.verdict == trusting.gate.conclude(sent.score)
    assert trusting.run(decoded(bundle, payload))[1][0] != pytest.approx(sent.score)


def test_the_map_of_a_tile_lies_where_the_tile_does(plant: Plant, bundle: Bundle) -> None:
    plant.escalate(escalation(bundle, 1, level=2, tile=(0.5, 0.0, 0.75, 1.0)))
    plant.work()
    stored = plant.records.pictures(InspectionKey("box-1", "b1", 1))
    assert stored is not None
    for png in stored:
        shown = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert shown is not None
        height, width = shown.shape
        assert width == 4 * height
        assert not shown[:, : width // 2].any()
        assert not shown[:, width * 3 // 4 :].any()


def test_an_escalation_is_answered_and_its_result_stored(plant: Plant, bundle: Bundle) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    plant.escalate(escalation(bundle, 1, level=2), traceparent=trace, foreign="no")
    plant.escalate(escalation(bundle, 2, level=-2))
    plant.work()
    (bad, delivery), (good, _) = plant.verdicts
    assert (bad.sequence, bad.verdict, good.sequence, good.verdict) == (1, "reject", 2, "pass")
    assert delivery.properties == {"traceparent": trace}
    stored = plant.records.inspection(InspectionKey("box-1", "b1", 1))
    assert stored is not None
    assert stored.tail is not None
    assert (stored.tail.verdict, stored.tail.batch) == ("reject", 2)
    assert stored.tail.score == pytest.approx(bad.score)


def test_a_rejected_part_gets_the_kind_of_its_defect_and_a_passed_one_none(
    database: Database, tmp_path: Path
) -> None:
    telling = make_bundle(tmp_path / "telling", kinds=True)
    plant = Plant(database, open_tail(telling, ONNX))
    for sequence, level in enumerate((2, -2), start=1):
        plant.escalate(escalation(telling, sequence, level=level))
    plant.work()
    assert [(v.verdict, v.defect) for v, _ in plant.verdicts] == [("reject", "crack"), ("pass", "")]
    bad, good = (plant.records.inspection(InspectionKey("box-1", "b1", n)) for n in (1, 2))
    assert bad is not None
    assert bad.tail is not None
    assert bad.tail.kind == "crack"
    assert bad.tail.kind_probability == pytest.approx(0.9526, abs=1e-3)
    assert good is not None
    assert good.tail is not None
    assert (good.tail.kind, good.tail.kind_probability, good.tail.coarseness) == (None, None, 1)


def test_features_sent_coarser_are_decoded_as_their_message_says(
    plant: Plant, bundle: Bundle
) -> None:
    symbols = symbols_of(bundle, 7)
    fields, _ = wire.decode(escalation(bundle, 1, coarseness=4), wire.Escalation)
    plant.escalate(wire.encode(fields, bundle.codec.encode(symbols, 4)))
    plant.work()
    wanted = plant.judge._tails[bundle.manifest.pair].run(symbols_of(bundle, 8)[np.newaxis])
    ((answer, _),) = plant.verdicts
    gate = bundle.manifest.gate.gate
    assert answer.score == pytest.approx(gate.cloud_score(fields.score, float(wanted.scores[0])))
    assert plant.counters["escalations_coarser"] == 1


def test_the_verdict_leaves_before_anything_is_stored(plant: Plant, bundle: Bundle) -> None:
    plant.store.down = True
    plant.escalate(escalation(bundle, 1))
    plant.work()
    assert len(plant.verdicts) == 1


def test_a_repeated_escalation_is_answered_again_and_stored_once(
    plant: Plant, bundle: Bundle
) -> None:
    for _ in range(3):
        plant.escalate(escalation(bundle, 1))
        plant.work()
    assert len(plant.verdicts) == 3
    assert summarise(plant.database).tail_results == 1


def test_an_escalation_that_came_too_late_is_still_judged(plant: Plant, bundle: Bundle) -> None:
    plant.escalate(escalation(bundle, 1, remaining=-0.2))
    plant.clock.advance(0.1)
    plant.work()
    assert len(plant.verdicts) == 1
    assert plant.counters["answered_late"] == 1


def test_an_unknown_pair_is_named_counted_and_not_answered(plant: Plant, bundle: Bundle) -> None:
    with capture_logs() as logs:
        plant.escalate(escalation(bundle, 1, pair="feedfacefeedface"))
    plant.work()
    (warning,) = logs
    assert (warning["event"], warning["device"]) == ("unknown_pair", "box-1")
    assert warning["pair"] == "feedfacefeedface"
    assert plant.counters["unknown_pair"] == 1
    assert not plant.verdicts


def malformed(bundle: Bundle) -> dict[str, tuple[str, bytes]]:
    good, body = escalation(bundle, 1), bundle.codec.encode(symbols_of(bundle, 2))
    header = wire.encode(wire.Receipt(batch=1, boot="b1"))
    return {
        "short": ("escalation", good[:4]),
        "cut in the header": ("escalation", good[:20]),
        "empty": ("escalation", b""),
        "long": ("escalation", good + bytes(wire.MAX_PAYLOAD)),
        "another version": ("escalation", good[:3] + b"\x09" + good[4:]),
        "not ours": ("escalation", b"GET / HTTP/1.1\r\n\r\n"),
        "another kind": ("escalation", header),
        "no body": ("escalation", good[: -len(body)]),
        "too much body": ("escalation", good + bytes(bundle.codec.largest)),
        "body that is no whole words": ("escalation", good + b"x"),
        "a coarseness that is no rung": ("escalation", escalation(bundle, 1, coarseness=5)),
        "a coarseness that needs no body": ("escalation", escalation(bundle, 1, coarseness=256)),
        "another shape": ("escalation", escalation(bundle, 1, shape=(1, 2, 3))),
        "a boot with a NUL": ("escalation", escalation(bundle, 1, boot="a\0b")),
        "a sequence of zero": ("escalation", escalation(bundle, 0)),
        "a part beyond 64 bits": ("escalation", escalation(bundle, 1, part=2**63)),
        "endless time": ("escalation", escalation(bundle, 1, remaining=float("inf"))),
        "no number of seconds": ("escalation", escalation(bundle, 1, remaining=float("nan"))),
        "a batch of no boot": (
            "inspections",
            wire.encode(wire.Inspections(boot="", batch=1, rows=[row(1)])),
        ),
        "a batch with a body": ("inspections", batch(1, row(1)) + b"x"),
        "too large a batch": ("inspections", batch(1, *(row(n) for n in range(1, 102)))),
        "an unknown decision": ("inspections", batch(1, row(1), row(2, decision="maybe"))),
        "an unknown verdict": ("inspections", batch(1, row(1, verdict="maybe"))),
        "a negative size": ("inspections", batch(1, row(1, frame_bytes=-1))),
        "a state with a body": ("state", wire.encode(wire.StateMessage("online", "b", 1.0), b"x")),
        "a state counted beyond 64 bits": (
            "state",
            wire.encode(wire.StateMessage("online", "b", 1.0, inspected=2**63)),
        ),
    }


def test_a_malformed_payload_is_warned_of_once_and_has_no_effect(
    plant: Plant, bundle: Bundle, subtests: pytest.Subtests
) -> None:
    for number, (what, (channel, payload)) in enumerate(malformed(bundle).items(), start=1):
        with subtests.test(what), capture_logs() as logs:
            plant.device.publish(f"splitsight/v1/plant/line-1/box-1/{channel}", payload)
            plant.work()
            assert [entry["event"] for entry in logs] == ["bad_message"]
            assert plant.counters["malformed"] == number
    assert not plant.verdicts
    assert not plant.receipts
    assert summarise(plant.database).inspected == 0
    assert plant.records.devices() == []


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_damage_to_a_payload_stops_intake(
    plant: Plant, bundle: Bundle, data: st.DataObject
) -> None:
    payload = bytearray(data.draw(st.sampled_from([escalation(bundle, 1), batch(1, row(1))])))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    channel = data.draw(st.sampled_from(["escalation", "inspections", "state"]))
    plant.device.publish(f"splitsight/v1/plant/line-1/box-1/{channel}", bytes(payload))
    plant.work()


def test_inspections_are_stored_once_and_every_batch_is_acknowledged(plant: Plant) -> None:
    plant.report(batch(1, row(1), row(2)))
    plant.work()
    plant.report(batch(1, row(1), row(2)))
    plant.report(batch(2, row(2), row(3)))
    plant.work()
    assert plant.receipts == [1, 1, 2]
    assert summarise(plant.database).inspected == 3


def test_a_field_that_can_not_be_kept_costs_itself_and_never_the_part(plant: Plant) -> None:
    strange = {"weight_g": 12, "Weight": 1, "tool": "t" * 65, "parts": [1, 2], "hall": "no\0rth"}
    many = {f"f{number}": number for number in range(20)}
    plant.report(batch(1, row(1, fields=strange), row(2, fields=many), row(3, lot="L" * 99)))
    plant.work()
    assert plant.receipts == [1]
    third, second, first = plant.records.inspections(Filter(), limit=5).inspections
    assert first.model_dump()["fields"] == {"weight_g": 12.0, "hall": "north"}
    assert len(second.model_dump()["fields"]) == MAX_FIELDS
    assert third.model_dump(include={"lot", "fields"}) == {"lot": "L" * 64, "fields": {}}


@pytest.mark.parametrize("at", [0.0, -1e9, 2.2e9, 1e15, 1e300, float("inf"), float("nan")])
def test_whatever_a_boxs_clock_says_its_parts_states_and_verdicts_are_as_of_any_other(
    plant: Plant, bundle: Bundle, at: float
) -> None:
    state = wire.StateMessage("online", "b1", at)
    plant.device.publish(DEVICE.topic("state"), wire.encode(state), retain=True)
    plant.report(batch(1, row(1, inspected_at=at)))
    plant.escalate(escalation(bundle, 2, expires=at))
    plant.work()
    assert plant.receipts == [1]
    assert len(plant.verdicts) == 1
    (stored,) = plant.records.inspections(Filter(since=NOON, until=NOON + 1), limit=5).inspections
    assert stored.received_at == NOON
    (device,) = plant.records.devices()
    assert device.seen_at == NOON
    assert device.clock_off_s is not None
    assert "its clock is" in device.problems[0]


def test_a_score_that_is_no_number_is_stored_as_unknown(plant: Plant) -> None:
    plant.report(batch(1, row(1, score=float("nan"), decision="escalate")))
    plant.work()
    stored = plant.records.inspection(InspectionKey("box-1", "b1", 1))
    assert stored is not None
    assert stored.score is None


def test_without_a_database_batches_stay_unacknowledged_and_results_wait(
    plant: Plant, bundle: Bundle
) -> None:
    plant.store.down = True
    with capture_logs() as logs:
        plant.report(batch(1, row(1)))
        plant.escalate(escalation(bundle, 9))
        plant.work()
        plant.work()
    assert [entry["event"] for entry in logs] == ["records_unusable"]
    assert not plant.receipts
    assert plant.writer.let_go == 1
    plant.store.down = False
    plant.report(batch(1, row(1)))
    plant.work()
    assert plant.receipts == [1]
    totals = summarise(plant.database)
    assert (totals.inspected, totals.tail_results) == (1, 1)


def test_a_receipt_that_can_not_be_sent_leaves_the_rows_stored(plant: Plant) -> None:
    plant.report(batch(1, row(1)))
    plant.cloud.lose()
    plant.work()
    assert not plant.receipts
    assert len(plant.records.inspections(Filter(), limit=5).inspections) == 1


def test_states_are_remembered_and_a_cleared_one_is_ignored(plant: Plant) -> None:
    state = wire.StateMessage("online", "b1", NOON, inspected=5, problems=("lens dirty",))
    plant.device.publish(DEVICE.topic("state"), wire.encode(state), retain=True)
    plant.device.publish(DEVICE.topic("state"), b"", retain=True)
    plant.work()
    (found,) = plant.records.devices()
    assert (found.state, found.inspected, found.problems) == ("online", 5, ["lens dirty"])
    assert plant.counters["malformed"] == 0


class BrokenRuntime:
    """A backend that answers with what it was given."""

    name = "broken"
    device = "CPU"

    def __init__(self, score: float) -> None:
        self._score = score

    def run(self, inputs: Array) -> Sequence[Array]:
        count = len(inputs)
        return [np.zeros((count, 1, 8, 8), np.float32), np.full(count, self._score, np.float32)]


def test_a_score_that_is_no_number_rejects(database: Database, bundle: Bundle) -> None:
    plant = Plant(database, LoadedTail(bundle, BrokenRuntime(float("nan"))))
    plant.escalate(escalation(bundle, 1, level=-2))
    plant.work()
    assert plant.verdicts[0][0].verdict == "reject"
    stored = plant.records.inspection(InspectionKey("box-1", "b1", 1))
    assert stored is not None
    assert stored.tail is not None
    assert stored.tail.score is None


def test_what_nobody_is_sure_of_is_diverted_with_a_mark_and_kept_as_a_review(
    database: Database, bundle: Bundle
) -> None:
    unsure = open_tail(bundle, ONNX)
    unsure.gate = Gate(0.2, 0.8, 1.1, cloud_pass_below=0.0)
    plant = Plant(database, unsure)
    plant.escalate(escalation(bundle, 1))
    sent = {"decision": Decision.ESCALATE, "verdict": "review", "decided_by": "cloud"}
    alone = {"decision": Decision.REVIEW, "verdict": "review"}
    plant.report(batch(7, row(1, **sent), row(2, **alone), row(3)))
    plant.work()
    ((answer, delivery),) = plant.verdicts
    assert (answer.verdict, answer.ruling, answer.defect) == ("reject", "review", "")
    assert read(delivery.payload, OldVerdict).verdict == "reject"
    views = plant.records.inspections(Filter(verdict="review"), limit=9).inspections
    assert [(view.part, view.decision, view.decided_by) for view in views] == [
        (2, "review", "edge"),
        (1, "escalate", "cloud"),
    ]
    assert views[1].tail is not None
    assert (views[1].tail.verdict, views[1].tail.kind) == ("review", None)


def test_a_score_that_is_no_number_goes_to_review_where_something_does(
    database: Database, bundle: Bundle
) -> None:
    broken = LoadedTail(bundle, BrokenRuntime(float("nan")))
    broken.gate = Gate(0.2, 0.8, 0.9, cloud_pass_below=0.1)
    plant = Plant(database, broken)
    plant.escalate(escalation(bundle, 1))
    plant.work()
    assert plant.verdicts[0][0].ruling == "review"


def test_unknown_fields_of_a_newer_device_are_ignored(plant: Plant, bundle: Bundle) -> None:
    payload = escalation(bundle, 1)
    length = int.from_bytes(payload[4:6], "big")
    header = msgspec.msgpack.decode(payload[6 : 6 + length]) | {"colour": "blue"}
    longer = msgspec.msgpack.encode(header)
    plant.escalate(payload[:4] + len(longer).to_bytes(2, "big") + longer + payload[6 + length :])
    plant.work()
    assert len(plant.verdicts) == 1
