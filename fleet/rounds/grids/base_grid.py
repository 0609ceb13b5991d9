"""What the grids of our own share: whose run it is, and the ids that SuperLink would write."""

from __future__ import annotations

import uuid
from abc import abstractmethod
from collections.abc import Iterable

from flwr.app import Message, RecordDict
from flwr.serverapp.grid import Grid

from shared.federation.flower_private import (
    SERVER_NODE,
    Run,
    Stamp,
    empty_run,
    stamp,
    take_identity,
)


class OwnGrid(Grid):
    """A grid that carries messages by itself."""

    def __init__(self) -> None:
        take_identity()
        self._run_id = uuid.uuid4().int & (2**62 - 1)

    def set_run(self, run: Run) -> None:
        self._run_id = run.run_id

    @property
    def run(self) -> Run:
        return empty_run(self._run_id)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        ids = []
        for message in messages:
            ids.append(self._stamped(message, SERVER_NODE))
            self._bring(message)
        return ids

    def wait(self, seconds: float) -> bool:
        """For up to so many seconds, for a device to come or to go; at once False where none
        ever does."""
        del seconds
        return False

    def name_of(self, node: int) -> str:
        """Of a device, by the way on which its messages come; empty where that tells nothing."""
        del node
        return ""

    @abstractmethod
    def _bring(self, message: Message) -> None:
        """Bring a stamped message on its way. Does not wait."""

    def _stamped(self, message: Message, source: int) -> str:
        """Give a message of a node its ids; the message's own is returned."""
        made = uuid.uuid4().hex
        stamp(message, Stamp(self._run_id, made, source))
        return made
