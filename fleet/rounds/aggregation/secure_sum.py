"""Rounds of secure aggregation over any grid: four exchanges with deadlines, and one mean.

Who does not answer in time, or refuses, is set aside by name; as long as enough are left, the sum
of the others still comes out.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import msgspec
import numpy as np
from flwr.app import ConfigRecord, Message, RecordDict

from fleet.rounds.aggregation.plain_aggregation import refusal_of
from fleet.rounds.aggregation.secure_mean import SecureMean, SecureRound
from shared import log
from shared.clock import Clock, SystemClock
from shared.errors import FederationError
from shared.federation.fixed_point import Floats
from shared.federation.secure_aggregation import (
    BODY,
    DEAL,
    MASK,
    RECORD,
    SESSION_BYTES,
    UNMASK,
    Advert,
    Deal,
    Invitation,
    Masked,
    Revealed,
    read,
    written,
)

LOG = log.get_logger(__name__)
T = TypeVar("T", bound=msgspec.Struct)


class Exchange(Protocol):
    """How messages reach devices and answers come back.

    `fleet.rounds.grids.messaging.GridMessaging`, or any grid's `send_and_receive`.
    """

    def __call__(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]: ...


@dataclass(frozen=True, slots=True)
class SecureTerms:
    """What a secure sum asks of devices.

    cap, norm, floor, reach, metrics   as in `shared.federation.secure_aggregation.Invitation`
    step_seconds   how long each of the three short exchanges after the training may take
    """

    cap: int
    norm: float
    floor: float
    reach: float
    metrics: Mapping[str, float]
    step_seconds: float


@dataclass(frozen=True, slots=True)
class SecureOutcome:
    """One round's sum.

    seconds   of the three exchanges after the training
    rounding  how far encoding may have moved one device's weighted change (L2)
    """

    mean: SecureMean
    seconds: float
    rounding: float


@dataclass(slots=True)
class SecureSum:
    """One round of secure aggregation over `exchange`.

    aside    by device: why it is not in the sum, or why its shares were not used
    silent   devices that did not answer the training at all
    """

    exchange: Exchange
    terms: SecureTerms
    name: Callable[[int], str] = str
    clock: Clock = field(default_factory=SystemClock)
    aside: dict[int, str] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)

    def gather(self, messages: Iterable[Message], timeout: float | None = None) -> SecureOutcome:
        """Send the trainings of one round and return the mean of what came back.

        Raises FederationError, naming devices, where too few answer for a sum that hides them.
        """
        trainings = list(messages)
        if not trainings:
            raise FederationError("no device was asked to train")
        sent = _values(trainings[0])
        invitation = self._invitation(len(trainings))
        gathering = SecureRound(invitation, invitation.limits(sent), self.name, self.aside)
        devices = [message.metadata.dst_node_id for message in trainings]
        replies = list(
            self.exchange([_beside(one, invitation) for one in trainings], timeout=timeout)
        )
        self.silent = set(devices) - {reply.metadata.src_node_id for reply in replies}
        adverts = self._read(replies, Advert, devices)
        started = self.clock.monotonic()
        deals = self._step(DEAL, gathering.roster(adverts), Deal)
        updates = self._step(MASK, gathering.deliveries(deals), Masked)
        mean = gathering.mean(self._step(UNMASK, gathering.survivors(updates), Revealed))
        self._check(mean, len(sent), gathering.rounding)
        seconds = self.clock.monotonic() - started
        LOG.info("secure_sum", devices=len(mean.devices), aside=len(self.aside))
        return SecureOutcome(mean, seconds, gathering.rounding)

    def _invitation(self, devices: int) -> Invitation:
        terms = self.terms
        return Invitation(
            session=secrets.token_bytes(SESSION_BYTES),
            devices=devices,
            cap=terms.cap,
            norm=terms.norm,
            floor=terms.floor,
            reach=terms.reach,
            metrics=dict(terms.metrics),
        )

    def _check(self, mean: SecureMean, values: int, rounding: float) -> None:
        """All that can be: the mean of changes clipped to a norm can't be longer than it."""
        length = float(np.linalg.norm(mean.mean[:values].astype(np.float64)))
        longest = self.terms.norm + rounding * len(mean.devices) * self.terms.cap / mean.weight
        if length > 1.001 * longest:
            raise FederationError(
                f"the mean update is {length:.3g} long, though each device clips to"
                f" {self.terms.norm:.3g}: one of them has sent what is no update",
                fix="run a round without secure aggregation and with a robust strategy to find it",
            )

    def _step(self, step: str, sent: Mapping[int, msgspec.Struct], kind: type[T]) -> dict[int, T]:
        messages = [
            Message(_content(what), dst_node_id=one, message_type=step)
            for one, what in sent.items()
        ]
        replies = self.exchange(messages, timeout=self.terms.step_seconds)
        return self._read(replies, kind, list(sent))

    def _read(self, replies: Iterable[Message], kind: type[T], devices: list[int]) -> dict[int, T]:
        came: dict[int, T] = {}
        for reply in replies:
            one = reply.metadata.src_node_id
            if one not in devices or one in came:
                LOG.warning("secure_answer_unasked", device=self.name(one))
                continue
            if reply.has_error():
                self.aside[one] = refusal_of(reply.error.code, reply.error.reason)
                continue
            try:
                came[one] = read(_body(reply), kind)
            except FederationError as error:
                self.aside[one] = error.message
        for one in devices:
            if one not in came:
                self.aside.setdefault(one, f"its {_CALLED[kind]} did not come in time")
        return came


_CALLED: dict[type[msgspec.Struct], str] = {
    Advert: "training",
    Deal: "shares",
    Masked: "masked update",
    Revealed: "shares of the others",
}


def _content(sent: msgspec.Struct) -> RecordDict:
    return RecordDict({RECORD: ConfigRecord({BODY: written(sent)})})


def _beside(message: Message, invitation: Invitation) -> Message:
    """A training with the invitation beside it; a strategy's messages share one content."""
    content = RecordDict(dict(message.content.items()))
    content[RECORD] = ConfigRecord({BODY: written(invitation)})
    message.content = content
    return message


def _body(reply: Message) -> object:
    record = reply.content.get(RECORD)
    return record.get(BODY) if isinstance(record, ConfigRecord) else None


def _values(training: Message) -> Floats:
    records = list(training.content.array_records.values())
    if len(records) != 1:
        raise FederationError(f"a training carries {len(records)} records of arrays, not one")
    parts = [array.ravel().astype(np.float32) for array in records[0].to_numpy_ndarrays()]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)
