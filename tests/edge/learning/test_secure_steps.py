"""A device's app keeps its update, answers each step once, and forgets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec
import numpy as np
import pytest
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.clientapp import ClientApp

from edge.learner.secure_aggregation import SecureSession
from edge.learner.secure_mod import add_secure_steps, secure_mod
from fleet.rounds.aggregation.secure_mean import SecureRound
from shared.federation.flower_private import take_identity
from shared.federation.secure_aggregation import (
    BODY,
    DEAL,
    MASK,
    RECORD,
    REFUSED,
    UNMASK,
    Advert,
    Deal,
    Invitation,
    Masked,
    Revealed,
    read,
    written,
)

SENT = np.linspace(-1, 1, 10).astype(np.float16)
CHANGE = np.full(10, 0.125, np.float16)
INVITATION = Invitation(b"s" * 32, 3, 64, norm=100.0, floor=0.5, reach=0.5, metrics={"loss": 20.0})
Numbers = dict[str, int | float]


class Box:
    """A device whose training always gives the same change."""

    def __init__(self, node: int, numbers: Mapping[str, int | float] | None = None) -> None:
        self.node = node
        self.context = Context(0, node, {}, RecordDict(), {})
        self._app = ClientApp()
        add_secure_steps(self._app)
        told: Numbers = dict({"num-examples": 4, "loss": 0.75} if numbers is None else numbers)

        @self._app.train(mods=[secure_mod])
        def train(message: Message, context: Context) -> Message:
            assert list(message.content) == ["arrays"], "the training knows of no invitation"
            arrays = ArrayRecord({"change": Array(CHANGE)})
            content = RecordDict({"arrays": arrays, "metrics": MetricRecord(dict(told))})
            return Message(content, reply_to=message)

    def ask(self, kind: str, content: RecordDict) -> Message:
        take_identity()  # as the server that asks has done
        return self._app(Message(content, self.node, kind), self.context)

    def train(self, invitation: Invitation | None = INVITATION) -> Message:
        content = RecordDict({"arrays": ArrayRecord({"values": Array(SENT)})})
        if invitation:
            content[RECORD] = ConfigRecord({BODY: written(invitation)})
        return self.ask("train", content)

    def step(self, kind: str, told: msgspec.Struct) -> Message:
        return self.ask(kind, RecordDict({RECORD: ConfigRecord({BODY: written(told)})}))

    @property
    def session(self) -> SecureSession:
        return read(self.context.state.config_records[RECORD][BODY], SecureSession)


T = TypeVar("T", bound=msgspec.Struct)


def given(reply: Message, kind: type[T]) -> T:
    assert not reply.has_error(), reply.error.reason
    assert list(reply.content) == [RECORD], "nothing goes out beside it"
    return read(reply.content.config_records[RECORD][BODY], kind)


def test_three_devices_go_through_all_steps_and_keep_nothing() -> None:
    boxes = {node: Box(node, {"num-examples": node, "loss": 0.5 * node}) for node in (1, 2, 3)}
    server = SecureRound(INVITATION, INVITATION.limits(SENT))
    adverts = {one: given(box.train(), Advert) for one, box in boxes.items()}
    rosters = server.roster(adverts)
    deals = {one: given(box.step(DEAL, rosters[one]), Deal) for one, box in boxes.items()}
    told = server.deliveries(deals)
    updates = {one: given(box.step(MASK, told[one]), Masked) for one, box in boxes.items()}
    assert all(box.session.words == b"" for box in boxes.values()), "sent, and gone"
    came = server.survivors(updates)
    revealed = {one: given(box.step(UNMASK, came[one]), Revealed) for one, box in boxes.items()}
    assert all(not box.context.state for box in boxes.values())
    outcome = server.mean(revealed)
    assert outcome.weight == 6
    assert outcome.mean[:10] == pytest.approx(0.125, abs=1e-5)
    assert outcome.mean[10] == pytest.approx((1 * 0.5 + 2 * 1.0 + 3 * 1.5) / 6, abs=1e-4)
    for one, box in boxes.items():
        again = box.step(UNMASK, came[one])
        assert again.error.code == REFUSED
        assert again.error.reason == "no update is kept here"


def test_without_an_invitation_the_training_answers_for_itself() -> None:
    reply = Box(1).train(None)
    assert np.array_equal(reply.content.array_records["arrays"]["change"].numpy(), CHANGE)


def test_a_step_out_of_turn_is_refused_and_ends_the_session() -> None:
    box = Box(1)
    box.train()
    reply = box.step(UNMASK, Revealed({}, {}))
    assert reply.error.code == REFUSED
    assert not box.context.state


def test_a_new_invitation_forgets_the_old_update() -> None:
    box = Box(1)
    box.train()
    first = box.session
    box.train()
    assert box.session.seed != first.seed
    assert box.session.mask_key != first.mask_key


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ({"loss": 1.0}, "lacks `num-examples`"),
        ({"num-examples": 0, "loss": 1.0}, "it needs an example"),
        ({"num-examples": 3}, r"lacks one of \['loss'\]"),
        ({"num-examples": 3, "loss": float("nan")}, "not finite"),
    ],
)
def test_a_training_that_can_not_be_summed_is_refused(numbers: Numbers, reason: str) -> None:
    reply = Box(1, numbers).train()
    assert reply.error.code == REFUSED
    with pytest.raises(AssertionError, match=reason):
        given(reply, Advert)


def test_an_invitation_that_would_give_the_update_away_is_refused() -> None:
    alone = msgspec.structs.replace(INVITATION, devices=2)
    assert "would give this one away" in (Box(1).train(alone).error.reason or "")
    short = msgspec.structs.replace(INVITATION, session=b"s")
    assert Box(1).train(short).error.code == REFUSED
    nothing = msgspec.structs.replace(INVITATION, floor=0.0)
    assert "leave nothing" in (Box(1).train(nothing).error.reason or "")


def test_what_is_no_message_of_a_step_is_refused() -> None:
    box = Box(1)
    box.train()
    reply = box.ask(DEAL, RecordDict({RECORD: ConfigRecord({BODY: b"\xc1"})}))
    assert "is no Roster" in (reply.error.reason or "")
    box.train()
    assert "without its body" in (box.ask(DEAL, RecordDict()).error.reason or "")
