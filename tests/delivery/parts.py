"""The product's own parts, from the head's decision to the cloud's records, moved step by step.

What is sent waits for the test to say what becomes of it, and any side may be killed between steps.
"""

from __future__ import annotations

import itertools
import math
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from cloud.inference.tail import LoadedTail
from cloud.records.database import Database
from cloud.records.tables import INSPECTIONS
from edge.inspection.model import LiveModel
from edge.link.outbox import BATCH_S
from edge.link.throttle import RESEND_S
from shared.clock import ManualClock
from shared.contracts import Decision
from shared.transport.base import Delivery
from shared.transport.memory import MemoryBroker, MemoryTransport
from tests.cloud.inference.rig import CloudWorker
from tests.cloud.makers import NOON
from tests.edge.rigs import Rig, ScriptedInspector

DRAINED_AFTER = 400
LOOK_S = 0.1


class HeldBroker(MemoryBroker):
    """Holds what is published and not retained. `held`: in the order in which it came."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Delivery] = []

    def route(
        self, delivery: Delivery, *, retain: bool, sender: MemoryTransport | None = None
    ) -> None:
        if retain:
            super().route(delivery, retain=retain, sender=sender)
        else:
            self.held.append(delivery)

    def deliver(self, place: int, turn: int) -> None:
        """One of what is held; of those who share a subscription the one whose `turn` it is."""
        self._turn = itertools.count(turn)
        super().route(self.held.pop(place % len(self.held)), retain=False)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A row of the cloud's."""

    part: int
    verdict: str
    decided_by: str


class DeliveryParts:
    """One box and two workers, of which the second lacks the new tail at first."""

    def __init__(self, folder: Path, database: Database, old: LoadedTail, new: LoadedTail) -> None:
        self._folder = folder
        self._database = database
        self._old, self._new = old, new
        self._decisions: list[Decision] = []
        self._boots = 0
        self.clock = ManualClock(utc=NOON)
        self.broker = HeldBroker()
        self.workers = [self._worker(0, [old, new]), self._worker(1, [old])]
        self.box = self._box(folder / "boot-0")
        self.swapped = False
        self.given: list[int] = []
        self.told: list[tuple[int, str]] = []
        self.cut_off: set[int] = set()

    # The line and the box.

    def comes(self, *, sure: bool) -> None:
        """A part: the head passes it, or is not sure."""
        self._decisions.append(Decision.PASS if sure else Decision.ESCALATE)
        self.box._parts = self.box.agent.last_part
        event = self.box.frame(100)
        self.given.append(event.part)
        self.box.inspect(event)

    def commit(self) -> None:
        self.box.journal.commits.step()
        self._listen()

    def pass_deadline(self) -> None:
        self.box.pass_deadline()
        self._listen()

    def send(self) -> None:
        """What the outbox has to send, now or again."""
        self._wait(BATCH_S)
        self.box.outbox.tick()

    def swap(self) -> None:
        """To the new head, where every worker serves its tail."""
        pair = self._new.bundle.manifest.pair
        for worker in self.workers:
            worker.roster.look()
        if self.swapped or self.workers[0].roster.lacking(pair):
            return
        self.swapped = True
        self.box.agent.swap(self._model())

    def kill_box(self) -> None:
        """SIGKILL: what is in files stays, and nothing else."""
        self._listen()
        self.cut_off |= set(self.given) - {part for part, _ in self.told}
        self._boots += 1
        files = self._folder / f"boot-{self._boots}"
        shutil.copytree(self.box.folder, files)
        self.box.transport.stop()
        self.box.close()
        self.box = self._box(files)

    # The network and the cloud.

    def deliver(self, place: int, turn: int) -> None:
        if self.broker.held:
            self.broker.deliver(place, turn)
            self._listen()

    def lose(self, place: int) -> None:
        if self.broker.held:
            self.broker.held.pop(place % len(self.broker.held))

    def double(self, place: int) -> None:
        if self.broker.held:
            self.broker.held.append(self.broker.held[place % len(self.broker.held)])

    def kill_broker(self) -> None:
        self.broker.held.clear()

    def work(self, index: int) -> None:
        self.workers[index].work()

    def kill_worker(self, index: int) -> None:
        """What it had taken and not stored is gone; it comes back as it was configured."""
        gone = self.workers[index]
        gone.transport.stop()
        self.workers[index] = self._worker(index, list(gone.tails.values()))

    def learn(self, index: int) -> None:
        """A worker gets the new tail."""
        if self._new.bundle.manifest.pair not in self.workers[index].tails:
            self.workers[index].add(self._new)

    # The end.

    def drain(self) -> None:
        """Nothing fails any more, and everything that is under way comes to its end."""
        for _ in range(DRAINED_AFTER):
            while self.broker.held:
                self.deliver(0, 0)
                for index in range(len(self.workers)):
                    self.work(index)
            self.box.commit()
            self.pass_deadline()
            self.box.commit()
            if not self.broker.held and self.box.outbox.is_empty:
                return
            self._wait(RESEND_S[1])
            self.box.outbox.tick()
        raise AssertionError(f"{self.box.journal.waiting()} inspections never arrive")

    def recorded(self) -> list[Recorded]:
        with self._database.begin() as connection:
            rows = connection.execute(select(INSPECTIONS)).all()
        return [Recorded(row.part, row.verdict, row.decided_by) for row in rows]

    def close(self) -> None:
        self.box.close()

    def wrong(self) -> Iterator[str]:
        """What must not be so, now or ever."""
        for part, count in Counter(part for part, _ in self.told).items():
            if count > 1:
                yield f"part {part} was actuated {count} times"
        for part, count in Counter(self.given).items():
            if count > 1:
                yield f"{count} parts have the number {part}"
        for part, count in Counter(row.part for row in self.recorded()).items():
            if count > 1:
                yield f"part {part} has {count} records"

    def unfinished(self) -> Iterator[str]:
        """What is missing at the end."""
        records = {row.part: row for row in self.recorded()}
        told = dict(self.told)
        for part in self.given:
            if part not in told and part not in self.cut_off:
                yield f"part {part} is without a verdict"
        for part, verdict in told.items():
            record = records.get(part)
            if record is None:
                yield f"part {part} was told to {verdict}, and no record has it"
            elif record.verdict != verdict:
                yield f"part {part} was told to {verdict}, and its record says {record}"

    def _wait(self, seconds: float) -> None:
        """Deadlines are looked at as time goes by, and not long after."""
        for _ in range(math.ceil(seconds / LOOK_S)):
            self.clock.advance(LOOK_S)
            self.box.expire()
        self._listen()

    def _listen(self) -> None:
        heard = self.box.recorded.actuations
        self.told += [(one.part, one.verdict) for one in heard]
        heard.clear()

    def _box(self, files: Path) -> Rig:
        files.mkdir(exist_ok=True)
        bundle = self._old.bundle
        made = Rig(
            files,
            bundle,
            inspector=ScriptedInspector(bundle, self._next()),
            broker=self.broker,
            clock=self.clock,
        )
        # What the journal's thread does before its first commit; here the test commits.
        made.journal._diversions.begin()
        if self._boots and self.swapped:
            made.agent.swap(self._model())
        return made

    def _model(self) -> LiveModel:
        bundle = self._new.bundle
        return LiveModel.of(bundle, ScriptedInspector(bundle, self._next()), "onnx CPU")

    def _next(self) -> Iterator[Decision]:
        while True:
            yield self._decisions.pop()

    def _worker(self, index: int, tails: list[LoadedTail]) -> CloudWorker:
        return CloudWorker(self.broker, self._database, self.clock, tails, f"worker-{index}")
