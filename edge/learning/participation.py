"""How a box takes part in federated rounds: labels into its journal, orders to its learner."""

from __future__ import annotations

from functools import partial

from edge.configuration.settings import EdgeSettings
from edge.journal.journal import Journal
from edge.learning.admission import LearningLimits
from edge.learning.journal_parts import JournalParts
from edge.learning.labelled_parts import counts_of
from edge.learning.learner_process import LearnerProcess, learner_command, require_learner
from edge.learning.rounds import Rounds
from edge.learning.throttle import Throttle
from edge.link.labels import LabelReceiver
from edge.monitoring.health import BoxHealth
from shared.clock import Clock
from shared.federation.parcels import MEBI
from shared.federation.protocol import LabelCounts
from shared.transport.base import Transport


def take_part(
    settings: EdgeSettings, transport: Transport, journal: Journal, clock: Clock, health: BoxHealth
) -> Rounds:
    """Subscribe to labels and rounds. The rounds still want to be started.

    Labels are kept whether the device learns or not: whoever turns it on later has them.
    """
    learning, address = settings.learning, settings.address
    domain = learning.domain or settings.line
    LabelReceiver(journal, transport, address, domain=domain, health=health).listen()
    path = settings.journal.path
    held = settings.identity
    command = learner_command(
        path,
        settings.device,
        learning.folder / "state",
        identity=held.folder if held is not None else None,
        ca=held.ca if held is not None else None,
    )

    def count(base: str) -> LabelCounts:
        return counts_of(JournalParts(path, settings.device), base)

    limits = LearningLimits(
        enabled=learning.enabled,
        memory_bytes=learning.memory_mb * MEBI,
        min_labels=learning.min_labels,
        folder=learning.folder,
    )
    rounds = Rounds(
        transport,
        address,
        limits,
        count=count,
        open=partial(LearnerProcess, command, priority=learning.priority),
        ready=require_learner,
        throttle=Throttle(health, clock),
        clock=clock,
        health=health,
    )
    rounds.listen()
    return rounds
