"""What we use of Flower without its promise; a failure here names what a new version changed."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, Error, Message, Metadata, RecordDict
from flwr.common import constant, serde
from flwr.serverapp.grid import Grid
from flwr.serverapp.strategy import FedAdam, FedAvg, Krum
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from edge.learner.client_app import client_app
from fleet.rounds.aggregation.updates import read_update
from shared.federation import flower_private
from shared.federation.base_network import BaseNetwork
from shared.federation.flower_private import (
    SERVER_NODE,
    Stamp,
    empty_run,
    is_tested,
    stamp,
    take_identity,
    wire_bytes,
)
from shared.federation.protocol import VectorLayout
from tests.fleet.rounds.tiny import TINY, Parts, tiny_base, tiny_device

pytestmark = pytest.mark.torch


def asked() -> Message:
    take_identity()
    return Message(RecordDict(), 7, "train", ttl=60.0)


def test_the_installed_flower_is_the_one_that_this_was_tested_with() -> None:
    assert is_tested(), (
        f"flwr is no {flower_private.TESTED}: run tests/fleet/rounds, then change TESTED"
    )


def test_a_process_that_flower_did_not_start_makes_messages_once_it_has_an_identity() -> None:
    take_identity()
    first = (TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id)
    assert asked().metadata.src_node_id == SERVER_NODE
    TaskIdentity.run_id = 77
    take_identity()
    assert TaskIdentity.run_id == 77, "what Flower has set was overwritten"
    TaskIdentity.run_id = first[1]


def test_a_stamped_message_carries_its_ids_and_its_answer_finds_the_way_back() -> None:
    message = asked()
    assert {"_run_id", "_message_id", "_src_node_id"} <= message.metadata.__dict__.keys(), (
        "flwr keeps a message's ids elsewhere: change `stamp`"
    )
    stamp(message, Stamp(run=3, message="m1", source=SERVER_NODE))
    assert message.metadata.run_id == 3
    assert message.metadata.message_id == "m1"
    reply = Message(Error(1001, "no labels"), reply_to=message)
    assert reply.metadata.reply_to_message_id == "m1"
    assert reply.metadata.dst_node_id == SERVER_NODE
    assert reply.metadata.src_node_id == 7
    assert reply.metadata.run_id == 3


def test_ids_have_no_public_setter_yet() -> None:
    for name in ("run_id", "message_id", "src_node_id"):
        assert getattr(Metadata, name).fset is None, (
            f"flwr lets one set {name} now: use that in `stamp`"
        )


def test_the_server_is_the_node_that_flower_says() -> None:
    assert constant.SUPERLINK_NODE_ID == SERVER_NODE


def test_a_run_can_be_made_from_its_number_alone() -> None:
    assert isinstance(empty_run(5), Run)
    assert empty_run(5).run_id == 5


def test_a_message_weighs_what_its_protobuf_weighs() -> None:
    message = asked()
    stamp(message, Stamp(run=3, message="m1", source=SERVER_NODE))
    assert wire_bytes(message) == len(serde.message_to_proto(message).SerializeToString())


def test_a_grid_has_the_methods_that_ours_give_it() -> None:
    assert Grid.__abstractmethods__ == {
        "set_run", "run", "create_message", "get_node_ids", "push_messages", "pull_messages",
        "send_and_receive",
    }, "flwr's Grid has other abstract methods now: change fleet/rounds/grids"  # fmt: skip


@pytest.mark.parametrize(
    ("strategy", "names"),
    [
        (FedAvg, {"min_train_nodes", "min_evaluate_nodes", "min_available_nodes"}),
        (FedAdam, {"m_t", "v_t", "current_arrays"}),
        (Krum, {"num_malicious_nodes"}),
    ],
)
def test_strategies_keep_what_we_set_and_carry_on(strategy: type[FedAvg], names: set[str]) -> None:
    assert names <= vars(strategy()).keys(), "flwr keeps it elsewhere: change fleet/rounds"
    assert "server_round" in inspect.signature(strategy.configure_train).parameters


def test_a_message_travels_in_flowers_own_protobuf() -> None:
    message = asked()
    stamp(message, Stamp(run=3, message="m1", source=SERVER_NODE))
    raw = flower_private.message_to_bytes(message)
    assert raw == serde.message_to_proto(message).SerializeToString()
    back = flower_private.message_from_bytes(raw)
    assert (back.metadata.message_id, back.metadata.run_id) == ("m1", 3)
    assert back.content == message.content
    error = Message(Error(1005, "its training failed"), reply_to=message)
    back = flower_private.message_from_bytes(flower_private.message_to_bytes(error))
    assert (back.error.code, back.error.reason) == (1005, "its training failed")


@pytest.mark.parametrize("raw", [b"junk", b"\xff" * 40])
def test_bytes_that_are_no_message_are_refused_in_one_way(raw: bytes) -> None:
    with pytest.raises(ValueError, match="no message of Flower's"):
        flower_private.message_from_bytes(raw)


def test_a_box_with_an_older_flower_understands_and_is_understood(tmp_path: Path) -> None:
    """Recorded with flwr 1.32.1: an order to a tiny device, and what that device answered."""
    recorded = Path(__file__).parent / "recorded"
    order = flower_private.message_from_bytes((recorded / "flwr-1.32-order.bin").read_bytes())
    then = flower_private.message_from_bytes((recorded / "flwr-1.32-answer.bin").read_bytes())
    base = tiny_base(tmp_path)
    app = client_app(tiny_device(Parts("d00"), base, tmp_path))
    now = app(order, Context(0, order.metadata.dst_node_id, {}, RecordDict(), {}))
    arrays = BaseNetwork.read(base).arrays
    layout = VectorLayout.of(arrays, TINY.travelling(arrays))
    updates = [read_update(one.content, layout, 1) for one in (then, now)]
    np.testing.assert_allclose(updates[0].change, updates[1].change, rtol=1e-2, atol=1e-4)
    assert updates[0].examples == updates[1].examples
    for answer in (then, now):
        assert answer.metadata.reply_to_message_id == order.metadata.message_id
        assert answer.metadata.src_node_id == order.metadata.dst_node_id
