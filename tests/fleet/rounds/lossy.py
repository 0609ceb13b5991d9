"""A grid that loses some messages, beside a clock that only moves while nobody works."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping

from flwr.app import Message
from flwr.clientapp import ClientApp
from flwr.common.serde import message_to_proto

from fleet.rounds.grids.in_process import InProcessGrid
from fleet.rounds.grids.messaging import GridMessaging
from shared.clock import ManualClock
from shared.federation.protocol import node_of


class LossyGrid(InProcessGrid):
    """lose   messages that never arrive: (device, type), each lost once
    heard  bytes of every answer, by device and type
    """

    def __init__(self, apps: Mapping[str, ClientApp], lose: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(apps)
        self.lose = {(node_of(name), kind) for name, kind in lose}
        self.heard: dict[tuple[int, str], bytes] = {}
        self._open: set[str] = set()
        self.clock = ManualClock()
        self.messaging = GridMessaging(self, clock=self.clock, sleep=self._sleep)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        ids = []
        for message in messages:
            letter = (message.metadata.dst_node_id, message.metadata.message_type)
            if letter in self.lose:
                self.lose.discard(letter)
                ids.append(uuid.uuid4().hex)
            else:
                ids += super().push_messages([message])
                self._open.add(ids[-1])
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        answers = list(super().pull_messages(message_ids))
        for answer in answers:
            self._open.discard(answer.metadata.reply_to_message_id)
            letter = (answer.metadata.src_node_id, answer.metadata.message_type)
            self.heard[letter] = message_to_proto(answer).SerializeToString()
        return answers

    def _sleep(self, seconds: float) -> None:
        """Real time passes while a device works, the clock's when only what is lost is missing."""
        if self._open:
            time.sleep(0.002)
        else:
            self.clock.advance(seconds)
