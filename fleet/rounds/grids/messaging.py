"""Messages out, answers in, over any grid; what comes after its deadline is known as late."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from flwr.app import Message, MessageType
from flwr.serverapp.grid import Grid

from shared.clock import Clock, SystemClock
from shared.federation.flower_private import wire_bytes

FIRST_WAIT_S, LONGEST_WAIT_S = 0.002, 0.2


class GridMessaging:
    """Sends and waits, with a wait that begins short: Flower's own grid sleeps 3 s at a time.

    bytes_down, bytes_up   since `reset_bytes`, by node
    """

    def __init__(
        self,
        grid: Grid,
        *,
        clock: Clock | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._grid = grid
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self._waited_for: dict[str, int] = {}
        self.bytes_down: dict[int, int] = {}
        self.bytes_up: dict[int, int] = {}

    def __call__(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Answers that came within `timeout` seconds, in the order of their nodes.

        An error is an answer too. Whoever has not answered is listened for by `late`.
        """
        ordered = sorted(messages, key=lambda message: message.metadata.dst_node_id)
        for message in ordered:
            if timeout is not None:
                # So that a device knows by when it must have answered.
                message.metadata.ttl = timeout
            self._count(self.bytes_down, message.metadata.dst_node_id, message)
        ids = list(self._grid.push_messages(ordered))
        pending = {
            id_: message.metadata.dst_node_id for id_, message in zip(ids, ordered, strict=True)
        }
        answers: list[Message] = []
        until = None if timeout is None else self._clock.monotonic() + timeout
        wait = FIRST_WAIT_S
        while pending:
            for answer in self._grid.pull_messages(list(pending)):
                node = pending.pop(answer.metadata.reply_to_message_id, None)
                if node is not None:
                    answers.append(answer)
                    self._count(self.bytes_up, node, answer)
            if not pending or (until is not None and self._clock.monotonic() >= until):
                break
            self._sleep(wait)
            wait = min(LONGEST_WAIT_S, wait * 1.5)
        self._waited_for |= pending
        return sorted(answers, key=lambda answer: answer.metadata.src_node_id)

    def late(self) -> list[int]:
        """Nodes whose update came after its deadline, each told of once; the update is dropped."""
        nodes = set()
        for answer in self._grid.pull_messages(list(self._waited_for)):
            node = self._waited_for.pop(answer.metadata.reply_to_message_id, None)
            trained = answer.metadata.message_type.partition(".")[0] == MessageType.TRAIN
            if node is not None and trained:
                nodes.add(node)
        return sorted(nodes)

    def reset_bytes(self) -> None:
        """Count bytes from nothing again."""
        self.bytes_down, self.bytes_up = {}, {}

    @staticmethod
    def _count(counts: dict[int, int], node: int, message: Message) -> None:
        counts[node] = counts.get(node, 0) + wire_bytes(message)
