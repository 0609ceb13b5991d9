"""From trainings that were ordered to the answers that a strategy may mix.

A strategy sees values in 64 bits: what the coordinator holds plus the change that came. So
Flower's strategies and its wrappers for differential privacy work unchanged, and a change keeps
its digits however small it is beside the value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from fleet.rounds.aggregation.updates import Bounds, Update, read_update, within
from fleet.rounds.grids.messaging import GridMessaging
from fleet.rounds.report.findings import Contribution, Exclusion
from shared.errors import FederationError
from shared.federation.protocol import (
    ARRAYS,
    CONFIG,
    EXAMPLES,
    LOSS,
    METRICS,
    REASONS,
    VALUES,
    Vector,
    VectorLayout,
    narrow,
)


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """A round's trainings.

    trainings   a strategy's messages, with our values as 16 bits in place of its own
    values      what the coordinator holds, in 64 bits
    names       of devices, by node
    """

    round: int
    layout: VectorLayout
    values: Vector
    trainings: Sequence[Message]
    names: Mapping[int, str]
    deadline_s: float

    def name(self, node: int) -> str:
        """Of a device; its number where none is known."""
        return self.names.get(node, str(node))


@dataclass(slots=True)
class CollectedUpdates:
    """answers    for the strategy, in the order of devices' names: sums depend on it
    silent     nodes that have not answered in time
    examples, loss   of all together, where single ones are hidden
    seen       what the coordinator sees of a device, for the report
    reason     why nothing can be used; empty where something can
    """

    answers: list[Message] = field(default_factory=list)
    took_part: list[Contribution] = field(default_factory=list)
    aside: list[Exclusion] = field(default_factory=list)
    silent: list[int] = field(default_factory=list)
    examples: int | None = None
    loss: float | None = None
    seen: str = ""
    reason: str = ""


class Aggregation(Protocol):
    """How updates come together: each by itself, or as a sum that hides them."""

    def allow(self, finished: int) -> float | None:
        """ε after one more round than are finished; None where nothing bounds it.

        Raises FederationError where the run may not go on.
        """

    def gather(self, request: TrainingRequest) -> CollectedUpdates:
        """Raises FederationError where nothing can be used; the round is void then."""


class PlainAggregation:
    """The coordinator sees each update, checks it, and sets bad ones aside by name."""

    def __init__(self, messaging: GridMessaging, bounds: Bounds | None = None) -> None:
        self._messaging = messaging
        self._bounds = bounds or Bounds()

    def allow(self, finished: int) -> float | None:  # noqa: ARG002 - it bounds nothing
        return None

    def gather(self, request: TrainingRequest) -> CollectedUpdates:
        found = CollectedUpdates()
        sent = {training.metadata.dst_node_id: training for training in request.trainings}
        updates: list[tuple[str, int, Update]] = []
        for reply in self._messaging(request.trainings, timeout=request.deadline_s):
            node = reply.metadata.src_node_id
            name = request.name(node)
            try:
                updates.append((name, node, _update(reply, request)))
            except FederationError as error:
                found.aside.append(Exclusion(name, error.message))
        answered = {node for _, node, _ in updates} | _nodes(found.aside, request.names)
        found.silent = sorted(set(sent) - answered)
        late = f"no answer within {request.deadline_s:g} s"
        found.aside += [Exclusion(request.name(node), late) for node in found.silent]
        nodes = {name: node for name, node, _ in updates}
        kept, huge = within({name: update for name, _, update in updates}, self._bounds)
        found.aside += huge
        for name, update in sorted(kept.items()):
            found.took_part.append(Contribution(name, update.examples, update.loss))
            found.answers.append(answer_of(sent[nodes[name]], request, update))
        return found


def pack(trainings: Sequence[Message], values: Vector) -> list[Message]:
    """A strategy's messages with the values as they travel: one 16-bit vector."""
    narrowed = ArrayRecord({VALUES: Array(narrow(values))})
    packed = []
    for training in trainings:
        config = ConfigRecord(dict(training.content.config_records[CONFIG]))
        training.content = RecordDict({ARRAYS: narrowed, CONFIG: config})
        packed.append(training)
    return packed


def answer_of(training: Message, request: TrainingRequest, update: Update) -> Message:
    """An update as the strategy that ordered it expects it: values, in 64 bits."""
    arrays = request.layout.named(request.values + update.change)
    content = RecordDict(
        {
            ARRAYS: ArrayRecord({name: Array(np.asarray(a)) for name, a in arrays.items()}),
            METRICS: MetricRecord({EXAMPLES: update.examples, LOSS: update.loss}),
        }
    )
    return Message(content, reply_to=training)


MOST_REASON = 300


def refusal_of(code: int, reason: str | None) -> str:
    """An error that a device answered with, for people."""
    known = REASONS.get(code)
    if known is None:
        said = (reason or "").strip().splitlines() or [f"error {code}"]
        return said[-1][:MOST_REASON]
    return f"{known} ({reason[:MOST_REASON]})" if reason else known


def _update(reply: Message, request: TrainingRequest) -> Update:
    if reply.has_error():
        raise FederationError(refusal_of(reply.error.code, reply.error.reason))
    return read_update(reply.content, request.layout, request.round)


def _nodes(aside: Sequence[Exclusion], names: Mapping[int, str]) -> set[int]:
    excluded = {one.device for one in aside}
    return {node for node, name in names.items() if name in excluded}
