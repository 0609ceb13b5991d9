"""A round's devices as a strategy sees them, which tells them what to train and sends nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flwr.app import Message

from fleet.rounds.grids.base_grid import OwnGrid
from shared.errors import FederationError


class SelectedNodes(OwnGrid):
    """A grid of the devices of this round, and no way to send."""

    def __init__(self, nodes: Sequence[int]) -> None:
        super().__init__()
        self._nodes = list(nodes)

    def get_node_ids(self) -> list[int]:
        return self._nodes

    def _bring(self, message: Message) -> None:
        raise FederationError(f"a strategy only configures: {message!r} can't be sent")

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise FederationError(f"a strategy only configures: no answer to {list(message_ids)} comes")

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        del timeout
        self.push_messages(messages)
        return []
