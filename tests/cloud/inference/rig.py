"""Workers of one cloud and the devices that they serve, on a broker in memory, turned by hand."""

from __future__ import annotations

from collections.abc import Sequence

from cloud.inference.counters import EventCounters
from cloud.inference.handover import Handover
from cloud.inference.intake import Intake
from cloud.inference.probe import GroupProbe
from cloud.inference.queue import WorkQueue
from cloud.inference.roster import WorkerRoster
from cloud.inference.tail import LoadedTail
from cloud.inference.worker import TailWorker
from cloud.records.database import Database
from cloud.records.store import RecordStore
from cloud.records.workers import WorkerStore
from cloud.records.writer import RecordsWriter
from shared import wire
from shared.clock import ManualClock
from shared.topics import Address
from shared.transport.base import Delivery
from shared.transport.memory import MemoryBroker
from shared.worker import DeadWorkers


class CloudWorker:
    """What one process of the cloud has, without its threads."""

    def __init__(
        self,
        broker: MemoryBroker,
        database: Database,
        clock: ManualClock,
        tails: Sequence[LoadedTail],
        name: str = "worker-1",
    ) -> None:
        self.transport = broker.transport()
        self.clock = clock
        self.tails = {tail.bundle.manifest.pair: tail for tail in tails}
        self.counters = EventCounters()
        self.queue = WorkQueue(clock, capacity=50, max_batch=8, max_wait_s=0)
        self.dead = DeadWorkers()
        self.writer = RecordsWriter(RecordStore(database), self.dead, keep_maps=100)
        store = WorkerStore(database)
        self.roster = WorkerRoster(
            store=store,
            worker=name,
            name=name,
            serves=lambda: list(self.tails),
            connected=lambda: self.transport.connected,
            clock=clock,
            on_death=self.dead,
        )
        handover = Handover(self.transport, self.roster, self.counters)
        self.judge = TailWorker(
            queue=self.queue,
            tails=self.tails,
            transport=self.transport,
            writer=self.writer,
            counters=self.counters,
            clock=clock,
            on_death=self.dead,
            handover=handover,
        )
        self.intake = Intake(
            transport=self.transport,
            tails=self.tails,
            queue=self.queue,
            writer=self.writer,
            counters=self.counters,
            clock=clock,
            handover=handover,
        )
        self.probe = GroupProbe(self.transport, name, clock, self.dead)
        self.intake.start(store.group())
        self.probe.listen()
        self.transport.start()
        self.roster.look()

    def work(self) -> None:
        while self.judge.step(0):
            pass
        self.writer.write_pending()

    def add(self, tail: LoadedTail) -> None:
        """As the registry does: the tail first, then its escalations."""
        self.tails[tail.bundle.manifest.pair] = tail
        self.intake.take_handed(list(self.tails))
        self.roster.look()

    def drop(self, pair: str) -> None:
        self.intake.take_handed([one for one in self.tails if one != pair])
        del self.tails[pair]


class Box:
    """A device that keeps what it was answered."""

    def __init__(self, broker: MemoryBroker, name: str = "box-1") -> None:
        self.address = Address("plant", "line-1", name)
        self.transport = broker.transport()
        self.verdicts: list[wire.CloudVerdict] = []
        self.transport.subscribe(self.address.topic("verdict"), self._verdict)
        self.transport.start()

    def escalate(self, payload: bytes) -> None:
        self.transport.publish(self.address.topic("escalation"), payload)

    def _verdict(self, delivery: Delivery) -> None:
        self.verdicts.append(wire.decode(delivery.payload, wire.CloudVerdict)[0])
