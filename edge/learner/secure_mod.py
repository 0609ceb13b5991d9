"""Secure aggregation as steps of a Flower ClientApp.

`secure_mod` stands around the training: where the server invites to a secure sum, the update stays
here and keys go out instead. The session lies in Flower's context, in memory, until it is used up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from edge.learner import secure_aggregation as secure
from edge.learner.secure_aggregation import KeyProofs, SecureSession
from shared import log
from shared.errors import FederationError
from shared.federation.fixed_point import Floats
from shared.federation.flower_arrays import unpacked
from shared.federation.protocol import EXAMPLES
from shared.federation.secure_aggregation import (
    BODY,
    DEAL,
    MASK,
    RECORD,
    REFUSED,
    UNMASK,
    Advert,
    Invitation,
    Roster,
    SharesDelivery,
    Survivors,
    clipped,
    read,
    written,
)

if TYPE_CHECKING:
    from flwr.clientapp.typing import ClientAppCallable, Mod

LOG = log.get_logger(__name__)
Step = Callable[[bytes, SecureSession], tuple[SecureSession | None, msgspec.Struct]]


def secured(proofs: KeyProofs | None) -> Mod:
    """Attach it to the training: `@app.train(mods=[secured(proofs)])`, the outermost of its mods.

    proofs   signs keys and checks others'; None: this device has no certificate, its keys are
             unsigned, and the coordinator is believed
    """

    def mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        content = message.content
        if RECORD not in content:
            return call_next(message, context)
        context.state.pop(RECORD, None)
        try:
            invitation, sent = read(_body(content), Invitation), _flat(content)
            message.content = RecordDict({k: v for k, v in content.items() if k != RECORD})
            reply = call_next(message, context)
            if reply.has_error():
                return reply
            me = message.metadata.dst_node_id
            session, advert = _kept(me, invitation, sent, reply.content)
            if proofs is not None:
                advert = proofs.signed(invitation.session, me, advert)
            else:
                LOG.info("keys_unsigned", why="no certificate: the coordinator is believed")
        except FederationError as error:
            return _refusal(error, message)
        context.state[RECORD] = ConfigRecord({BODY: written(session)})
        return Message(_content(advert), reply_to=message)

    return mod


secure_mod = secured(None)
"""For devices without a certificate: simulations, and nodes of Flower's own engine."""


def add_secure_steps(app: ClientApp, proofs: KeyProofs | None = None) -> None:
    """Let `app` answer what follows an invitation."""

    def deal(body: bytes, session: SecureSession) -> tuple[SecureSession | None, msgspec.Struct]:
        return secure.deal(session, read(body, Roster), proofs=proofs)

    for name, step in ((DEAL, deal), (MASK, _mask), (UNMASK, _unmask)):
        app.train(name.partition(".")[2])(_answering(step))


def _answering(step: Step) -> ClientAppCallable:
    def answer(message: Message, context: Context) -> Message:
        # Out before the step: whatever happens in it, it is not done twice.
        state = context.state.pop(RECORD, None)
        try:
            session, given = step(_body(message.content), _session(state))
        except FederationError as error:
            return _refusal(error, message)
        if session is not None:
            context.state[RECORD] = ConfigRecord({BODY: written(session)})
        return Message(_content(given), reply_to=message)

    return answer


def _kept(
    me: int, invitation: Invitation, sent: Floats, answer: RecordDict
) -> tuple[SecureSession, Advert]:
    """The session that keeps what the training answered, clipped as the invitation says."""
    change, limits = _flat(answer), invitation.limits(sent)
    if len(change) != len(sent):
        raise FederationError(
            f"the update has {len(change)} values, {len(sent)} were sent to train",
            fix="device and server must train the same layers",
        )
    parts = [clipped(change, invitation.norm), _metrics(answer, invitation)]
    return secure.advertise(invitation, me, np.concatenate(parts), limits, _weight(answer))


def _session(state: object) -> SecureSession:
    if not isinstance(state, ConfigRecord):
        raise FederationError("no update is kept here", fix="start another round")
    return read(state[BODY], SecureSession)


def _mask(body: bytes, session: SecureSession) -> tuple[SecureSession | None, msgspec.Struct]:
    return secure.mask(session, read(body, SharesDelivery))


def _unmask(body: bytes, session: SecureSession) -> tuple[SecureSession | None, msgspec.Struct]:
    return None, secure.unmask(session, read(body, Survivors))


def _content(given: msgspec.Struct) -> RecordDict:
    return RecordDict({RECORD: ConfigRecord({BODY: written(given)})})


def _body(content: RecordDict) -> bytes:
    record = content.get(RECORD)
    body = record.get(BODY) if isinstance(record, ConfigRecord) else None
    if not isinstance(body, bytes):
        raise FederationError("a step of a secure sum came without its body")
    return body


def _flat(content: RecordDict) -> Floats:
    """All arrays of the one record of arrays, as one vector."""
    records = list(content.array_records.values())
    if len(records) != 1 or not isinstance(records[0], ArrayRecord):
        raise FederationError(f"{len(records)} records of arrays came, one was wanted")
    parts = [unpacked(array).ravel().astype(np.float32) for array in records[0].values()]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _numbers(content: RecordDict) -> dict[str, object]:
    merged: dict[str, object] = {}
    for record in content.metric_records.values():
        if isinstance(record, MetricRecord):
            merged.update(record)
    return merged


def _weight(content: RecordDict) -> int:
    weight = _numbers(content).get(EXAMPLES)
    if not isinstance(weight, int | float):
        raise FederationError(f"the training's answer lacks `{EXAMPLES}`")
    return int(weight)


def _metrics(content: RecordDict, invitation: Invitation) -> Floats:
    """What is summed beside the change; a missing number is refused, not taken for zero."""
    numbers = _numbers(content)
    values = [numbers.get(name) for name in sorted(invitation.metrics)]
    if not all(isinstance(value, int | float) for value in values):
        raise FederationError(f"the training's answer lacks one of {sorted(invitation.metrics)}")
    return np.array(values, np.float32)


def _refusal(error: FederationError, message: Message) -> Message:
    LOG.warning("secure_step_refused", step=message.metadata.message_type, reason=error.message)
    return Message(Error(REFUSED, error.message), reply_to=message)
