"""What of a camera box takes part in rounds, as a process: journal, connection, learner.

`python -m tests.fleet.rounds.box FOLDER NAME PORT`; the folder's journal is filled by `fill`.
"""

from __future__ import annotations

import signal
import sys
import threading
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from edge.journal.journal import Journal
from edge.learning.admission import LearningLimits
from edge.learning.journal_parts import JournalParts
from edge.learning.labelled_parts import counts_of
from edge.learning.learner_process import LearnerProcess, learner_command
from edge.learning.rounds import Rounds
from edge.learning.throttle import Throttle
from edge.link.presence import Presence, Snapshot
from edge.monitoring.health import BoxHealth
from shared import log
from shared.clock import SystemClock
from shared.contracts import Decision, PlainVerdict
from shared.federation.protocol import LabelCounts
from shared.inspection import Inspection
from shared.topics import Address
from shared.transport.mqtt import BrokerSettings, MqttTransport
from shared.wire import PartLabel
from tests.fleet.rounds.tiny import SIZE

PARTS = 24
MIB = 1 << 20


def open_journal(folder: Path, name: str) -> Journal:
    return Journal.open(
        folder / f"{name}.db",
        max_bytes=16 * MIB,
        ring_bytes=16 * MIB,
        label_bytes=16 * MIB,
        health=BoxHealth(),
    )


def fill(folder: Path, name: str, seed: int, *, parts: int = PARTS) -> None:
    """Inspections with pictures, every other one defective, each labelled by an inspector."""
    journal = open_journal(folder, name)
    draws = np.random.default_rng(seed)
    labels = []
    for sequence in range(1, parts + 1):
        picture = draws.normal(80 + 10 * (seed % 8), 12, (SIZE, SIZE))
        bad = sequence % 2 == 0
        if bad:
            x, y = draws.integers(2, SIZE - 6, 2)
            picture[y : y + 5, x : x + 5] += 90
        pixels = np.clip(picture, 0, 255).astype(np.uint8)
        boot, decision = journal.boot, Decision.REJECT
        inspection = Inspection(
            boot, sequence, sequence, decision, "reject", "edge", 0.9, 1.8e9, 2.0, 3.0
        )
        journal.record(inspection, cv2.imencode(".png", pixels)[1].tobytes(), None)
        verdict: PlainVerdict = "reject" if bad else "pass"
        labels.append(PartLabel(journal.boot, sequence, verdict, "spot" if bad else "", 1.0))
    journal.label(labels, "hall", lambda _became: None)
    journal.start()
    journal.close()


def main(folder: Path, name: str, port: int) -> None:
    log.configure(level=30)
    clock, health = SystemClock(), BoxHealth()
    journal = open_journal(folder, name)
    address = Address("plant", "line", name)
    transport = MqttTransport(BrokerSettings(port=port), f"box-{name}")  # type: ignore[call-arg]
    presence = Presence(
        transport,
        address,
        boot=journal.boot,
        bundle="tiny",
        runtime="none",
        clock=clock,
        look=Snapshot,
    )
    presence.listen()
    command = learner_command(folder / f"{name}.db", name, folder / f"{name}-state")
    command[command.index("edge.learner")] = "tests.fleet.rounds.tiny_learner"

    def count(base: str) -> LabelCounts:
        return counts_of(JournalParts(folder / f"{name}.db", name), base)

    rounds = Rounds(
        transport,
        address,
        LearningLimits(enabled=True, memory_bytes=2048 * MIB, min_labels=4, folder=folder / name),
        count=count,
        open=partial(LearnerProcess, command, priority="normal"),
        ready=lambda: None,
        throttle=Throttle(health, clock),
        clock=clock,
        health=health,
    )
    rounds.listen()
    rounds.start()
    transport.start(presence.will)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stopped.set())
    while not stopped.wait(0.1):
        presence.tick()
    rounds.stop()
    presence.stopping()
    transport.stop(presence.will)
    journal.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
