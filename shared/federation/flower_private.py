"""Everything that touches what Flower does not promise to keep. Nothing else may.

`tests/fleet/rounds/test_flower_private.py` says what broke when a new version changes it.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import NamedTuple

from flwr.app import Message
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.supercore.run import Run as Run
from flwr.supercore.task_identity import TaskIdentity

TESTED = "1.42"
"""The versions of flwr that this was tested with begin so."""


class Stamp(NamedTuple):
    """What SuperLink writes on a message, and a grid of our own has to write itself.

    message   an id that no other message of the run has
    source    the node that it comes from
    """

    run: int
    message: str
    source: int


SERVER_NODE = 1
"""By which Flower knows the coordinator; `flwr.common.constant.SUPERLINK_NODE_ID`."""


def stamp(message: Message, with_: Stamp) -> None:
    """Write ids on a message, which has no public way to do it."""
    values = message.metadata.__dict__
    values["_run_id"] = with_.run
    values["_message_id"] = with_.message
    values["_src_node_id"] = with_.source


def take_identity() -> None:
    """Let this process make messages: since 1.38 flwr does so only for one of its own tasks.

    The ids are `stamp`'s business. Where Flower has started this process, its task stays.
    """
    try:
        TaskIdentity.task_id  # noqa: B018 - reading it is the question
    except RuntimeError:
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 0, SERVER_NODE


def empty_run(run: int) -> Run:
    """What `Grid.run` has to return."""
    return Run.create_empty(run)


def is_tested() -> bool:
    """Whether the installed flwr is one that this was tested with."""
    return version("flwr").startswith(f"{TESTED}.")


def wire_bytes(message: Message) -> int:
    """How large a message is in Flower's own protobuf, which every grid sends."""
    return int(message_to_proto(message).ByteSize())


def message_to_bytes(message: Message) -> bytes:
    """A message as it travels over MQTT, in Flower's own protobuf."""
    return bytes(message_to_proto(message).SerializeToString())


def message_from_bytes(raw: bytes) -> Message:
    """The same back. Raises ValueError for what is none."""
    try:
        return message_from_proto(ProtoMessage.FromString(raw))
    except Exception as error:
        # Protobuf and Flower raise a dozen kinds, all of which mean that these bytes are wrong.
        raise ValueError(f"these bytes are no message of Flower's: {error}") from error
