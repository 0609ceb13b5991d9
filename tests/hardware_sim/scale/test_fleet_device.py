"""A light device and what it is made of behave as the real ones do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.broker.embedded import EmbeddedBroker
from edge.journal.journal import Journals
from edge.link.outbox import UnsentInspections
from hardware_sim.scale.device import DEADLINE_S, DeviceContext, LightDevice
from hardware_sim.scale.journal import MemoryJournal
from hardware_sim.scale.recording import RecordedFindings, Recording, record
from hardware_sim.scale.schedule import Schedule
from hardware_sim.scale.sockets import SocketLoop
from hardware_sim.scale.stopwatch import EscalationTally
from shared.bundles.bundle import Bundle
from shared.clock import ManualClock, SystemClock
from shared.contracts import Decision, Finding, Frame
from shared.errors import DataError
from shared.inspection import Inspection
from shared.loopback import free_port
from shared.topics import Address
from shared.transport.base import Delivery
from shared.transport.limit import MAX_MESSAGE
from shared.transport.memory import MemoryBroker
from shared.transport.mqtt import BrokerSettings, MqttTransport
from shared.wire import CloudVerdict, Escalation, Inspections, Receipt, decode, encode
from tests.bundles import make_bundle
from tests.edge.rigs import commit, open_journal

ADDRESS = Address("fleet", "light", "box")
PATIENCE_S = 20.0
Life = Literal["sure", "answered", "expired", "expired early", "open"]
LIVES: tuple[Life, ...] = ("sure", "answered", "expired", "expired early", "open")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


def finding(decision: Decision, shape: tuple[int, int, int]) -> Finding:
    return Finding(decision, 0.5, np.zeros(shape, np.int8), np.zeros((1, 1), np.float32))


# ---- the journal


def inspection(
    sequence: int, decision: Decision, by: Literal["edge", "deadline"] | None
) -> Inspection:
    return Inspection(
        boot="boot",
        sequence=sequence,
        part=sequence,
        decision=decision,
        verdict=None if by is None else "reject",
        decided_by=by,
        score=1.0 if by == "deadline" else 0.5,
        inspected_at=1.0,
        edge_ms=2.0,
        total_ms=3.0 if by == "deadline" else None,
    )


def live(journal: Journals, sequence: int, life: Life) -> None:
    """What an agent tells its journal of a part."""
    match life:
        case "sure":
            journal.record(inspection(sequence, Decision.REJECT, "edge"), None, None)
            journal.settle(sequence, 4.0, 0)
        case "answered":
            journal.record(inspection(sequence, Decision.ESCALATE, None), None, None)
            journal.answer(sequence, "pass", 0.1, None)
            journal.settle(sequence, 5.0, 600)
        case "expired":
            journal.record(inspection(sequence, Decision.ESCALATE, None), None, None)
            journal.fail_safe(inspection(sequence, Decision.ESCALATE, "deadline"))
            journal.answer(sequence, "pass", 0.1, None)
        case "expired early":
            journal.fail_safe(inspection(sequence, Decision.ESCALATE, "deadline"))
            journal.record(inspection(sequence, Decision.PASS, "edge"), None, None)
        case "open":
            journal.record(inspection(sequence, Decision.ESCALATE, None), None, None)


def told(journal: UnsentInspections) -> list[tuple[object, ...]]:
    """What an outbox would send, without what differs by itself."""
    rows = [row for _, row in journal.unsent(100)]
    return [
        (row.sequence, row.decision, row.verdict, row.decided_by, row.score, row.total_ms)
        for row in rows
    ]


@settings(max_examples=25)
@given(st.lists(st.sampled_from(LIVES), max_size=8), st.integers(0, 8))
def test_the_journal_in_memory_tells_the_outbox_what_the_one_on_disk_would(
    tmp_path_factory: pytest.TempPathFactory, lives: list[Life], acknowledged: int
) -> None:
    kept, disk = MemoryJournal(), open_journal(tmp_path_factory.mktemp("journal"))
    try:
        for sequence, life in enumerate(lives, start=1):
            live(kept, sequence, life)
            live(disk, sequence, life)
        commit(disk)
        assert told(kept) == told(disk)
        assert kept.waiting() == disk.waiting() == len(lives)
        kept.acknowledge([i for i, _ in kept.unsent(acknowledged)], lambda: None)
        disk.acknowledge([i for i, _ in disk.unsent(acknowledged)], lambda: None)
        commit(disk)
        assert told(kept) == told(disk)
        assert kept.waiting() == disk.waiting()
    finally:
        disk.close()


# ---- the schedule


@given(st.lists(st.floats(0, 100), max_size=20), st.floats(0, 100))
def test_a_schedule_does_what_is_due_in_order_and_nothing_else(
    times: list[float], now: float
) -> None:
    schedule, done = Schedule(), list[float]()
    for when in times:
        schedule.at(when, done.append)
    schedule.run_due(now)
    assert done == sorted(when for when in times if when <= now)
    later = [when - now for when in times if when > now]
    assert schedule.next_in(now, 1000.0) == min([*later, 1000.0])


# ---- the recording


def test_a_recording_holds_what_the_real_head_finds_and_survives_its_file(
    bundle: Bundle, tmp_path: Path
) -> None:
    recording, cost = record(bundle, "onnx")
    assert len(recording.findings) == len(bundle.golden.inputs)
    recording.save(tmp_path / "recording.npz")
    loaded = Recording.load(tmp_path / "recording.npz")
    for found, wanted, symbols in zip(
        loaded.findings, recording.findings, bundle.golden.symbols, strict=True
    ):
        assert found.decision is wanted.decision
        assert found.score == wanted.score
        assert np.array_equal(found.symbols, symbols)
    assert cost.escalation_bytes > 0


@given(st.floats(0, 1), st.integers(1, 300), st.text(max_size=5))
def test_the_wanted_share_escalates(share: float, parts: int, seed: str) -> None:
    shape = (1, 1, 1)
    both = (finding(Decision.ESCALATE, shape), finding(Decision.PASS, shape))
    looks = RecordedFindings(Recording(both), share, seed)
    pixels = np.zeros((1, 1), np.uint8)
    frames = [Frame(pixels, part, 0.0, 0.0) for part in range(1, parts + 1)]
    escalated = sum(looks.look(frame).decision is Decision.ESCALATE for frame in frames)
    assert abs(escalated - share * parts) <= 1.0 + 1e-6


@pytest.mark.parametrize(
    ("decision", "share", "complaint"),
    [(Decision.PASS, 0.1, "escalates none"), (Decision.ESCALATE, 0.9, "escalates all")],
)
def test_a_recording_without_a_kind_of_finding_that_is_needed_is_refused(
    decision: Decision, share: float, complaint: str
) -> None:
    with pytest.raises(DataError, match=complaint) as refused:
        Recording((finding(decision, (1, 1, 1)),)).require(share)
    assert "--escalated" in refused.value.fix


# ---- the device


class Bench:
    """A light device and a cloud that the test plays, on a clock that the test moves."""

    def __init__(self, bundle: Bundle, decision: Decision) -> None:
        self.clock = ManualClock()
        self.schedule = Schedule()
        self.tally = EscalationTally((0.0, float("inf")))
        self.broker = MemoryBroker()
        self.cloud = self.broker.transport()
        self.cloud.start()
        recording = Recording((finding(decision, bundle.codec.shape),))
        share = 1.0 if decision is Decision.ESCALATE else 0.0
        self.device = LightDevice(
            ADDRESS,
            self.broker.transport(),
            RecordedFindings(recording, share, ""),
            DeviceContext(bundle, self.clock, self.schedule, self.tally),
        )
        self.device.start()

    def advance(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.05)):
            self.clock.advance(0.05)
            self.schedule.run_due(self.clock.monotonic())

    def sent(self, channel: Literal["escalation", "inspections", "state"]) -> list[bytes]:
        topic = ADDRESS.topic(channel)
        return [d.payload for d in self.broker.published if d.topic == topic]

    def acknowledge(self) -> None:
        batch, _ = decode(self.sent("inspections")[-1], Inspections)
        receipt = Receipt(batch.boot, batch.batch)
        self.cloud.publish(ADDRESS.topic("receipt"), encode(receipt))


def test_a_sure_part_is_actuated_at_once_and_reported_until_it_is_acknowledged(
    bundle: Bundle,
) -> None:
    bench = Bench(bundle, Decision.PASS)
    bench.device.inspect(bench.clock.monotonic())
    assert bench.device.stopwatch.actuated == 1
    assert not bench.device.settled
    bench.advance(1.0)
    message, _ = decode(bench.sent("inspections")[-1], Inspections)
    assert [row.decided_by for row in message.rows] == ["edge"]
    bench.acknowledge()
    assert bench.device.settled


def test_an_answered_escalation_is_timed_from_finding_to_actuator(bundle: Bundle) -> None:
    bench = Bench(bundle, Decision.ESCALATE)
    bench.device.inspect(bench.clock.monotonic())
    asked, body = decode(bench.sent("escalation")[0], Escalation)
    assert bundle.codec.decode(body, asked.coarseness).shape == bundle.codec.shape
    bench.advance(0.1)
    answer = CloudVerdict(asked.boot, asked.sequence, asked.part, "pass", 0.2)
    bench.cloud.publish(ADDRESS.topic("verdict"), encode(answer))
    assert bench.device.stopwatch.actuated == 1
    assert bench.tally.round_trips_ms == pytest.approx([100.0])


def test_a_part_that_nobody_answers_is_decided_by_its_deadline(bundle: Bundle) -> None:
    bench = Bench(bundle, Decision.ESCALATE)
    bench.device.inspect(bench.clock.monotonic())
    bench.advance(DEADLINE_S + 1.0)
    assert bench.device.health.counts["deadlines_missed"] == 1
    assert bench.tally.round_trips_ms[0] >= DEADLINE_S * 1000
    message, _ = decode(bench.sent("inspections")[-1], Inspections)
    assert [(row.verdict, row.decided_by) for row in message.rows] == [("reject", "deadline")]


def test_a_quiet_device_sleeps_and_one_with_something_to_tell_does_not(bundle: Bundle) -> None:
    bench = Bench(bundle, Decision.PASS)
    bench.device.inspect(bench.clock.monotonic())
    bench.advance(20.0)
    assert len(bench.schedule) == 1
    bench.acknowledge()
    bench.advance(5.0)
    assert len(bench.schedule) == 0


# ---- the sockets


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker("auto", "127.0.0.1", free_port()) as running:
        yield running


def turn(loop: SocketLoop, schedule: Schedule, until: Callable[[], bool]) -> None:
    """Let one thread do all the work until something is so; fail where it never is."""
    clock = SystemClock()
    give_up = clock.monotonic() + PATIENCE_S
    while not until():
        assert clock.monotonic() < give_up, "it never came to be"
        schedule.run_due(clock.monotonic())
        loop.step(0.05)


@pytest.mark.process
def test_many_clients_share_one_thread_even_for_messages_larger_than_a_socket_takes(
    broker: EmbeddedBroker,
) -> None:
    clock, schedule = SystemClock(), Schedule()
    loop = SocketLoop(clock, schedule)
    place = BrokerSettings.model_validate({"port": broker.port})
    clients = [MqttTransport(place, f"client-{n}", loop) for n in range(5)]
    came: list[Delivery] = []
    for n, client in enumerate(clients):
        client.subscribe(f"for/{n}", came.append)
        client.start()
    turn(loop, schedule, lambda: all(client.connected for client in clients))
    payload = bytes(MAX_MESSAGE)
    for n, client in enumerate(clients):
        client.publish(f"for/{(n + 1) % 5}", payload)
    turn(loop, schedule, lambda: len(came) == 5)
    assert {delivery.topic for delivery in came} == {f"for/{n}" for n in range(5)}
    assert all(delivery.payload == payload for delivery in came)
    # Each message goes up once and down once; acknowledgements and connecting are small.
    assert 10 * MAX_MESSAGE < loop.bytes < 10 * MAX_MESSAGE + 20_000
    for client in clients:
        client.stop()
    assert loop.reconnects == 0
    loop.close()
