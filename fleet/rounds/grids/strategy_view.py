"""A round's devices as a strategy sees them, which tells them what to train and sends nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flwr.app import Message, RecordDict
from flwr.serverapp.grid import Grid

from shared.errors import FederationError


class Configuring(Grid):
    """A grid as a strategy sees it: the devices of this round, and no way to send."""

    def __init__(self, grid: Grid, nodes: Sequence[int]) -> None:
        self._grid = grid
        self._nodes = list(nodes)

    def get_node_ids(self) -> list[int]:
        return self._nodes

    def set_run(self, run: Any) -> None:
        self._grid.set_run(run)

    @property
    def run(self) -> Any:
        return self._grid.run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def push_messages(self, messages: Any) -> Any:
        raise FederationError(f"a strategy only configures: {messages!r} can't be sent")

    def pull_messages(self, message_ids: Any) -> Any:
        raise FederationError(f"a strategy only configures: {message_ids!r} can't be asked for")

    def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> Any:
        raise FederationError(
            f"a strategy only configures: {messages!r} can't be sent, not even for {timeout} s"
        )
