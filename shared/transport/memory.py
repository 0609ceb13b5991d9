"""A broker in memory, with the semantics that the product relies on: for tests."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from shared.errors import TransportError
from shared.transport.base import ConnectionHandler, Delivery, Handler, Will, require_size
from shared.transport.limit import MAX_MESSAGE


def matches(topic_filter: str, topic: str) -> bool:
    """MQTT's rule for `+` and `#` (MQTT 5.0, section 4.7)."""
    wanted, given = topic_filter.split("/"), topic.split("/")
    for position, step in enumerate(wanted):
        if step == "#":
            return True
        if position >= len(given) or step not in {"+", given[position]}:
            return False
    return len(wanted) == len(given)


class MemoryBroker:
    """Retained messages, wills, shared subscriptions; delivers synchronously, in order.

    `published` keeps every message, for assertions.
    """

    def __init__(self, max_payload: int = MAX_MESSAGE) -> None:
        """max_payload: bytes of the largest message that it takes"""
        self.max_payload = max_payload
        self.clients: list[MemoryTransport] = []
        self.retained: dict[str, Delivery] = {}
        self.published: list[Delivery] = []
        self._turn = itertools.count()

    def transport(self) -> MemoryTransport:
        return MemoryTransport(self)

    def route(
        self, delivery: Delivery, *, retain: bool, sender: MemoryTransport | None = None
    ) -> None:
        self.published.append(delivery)
        if retain and delivery.payload:
            self.retained[delivery.topic] = delivery
        elif retain:
            self.retained.pop(delivery.topic, None)
        groups: dict[str, list[Handler]] = {}
        direct: list[Handler] = []
        for client in [c for c in self.clients if c.connected]:
            for topic_filter, handler in list(client.subscriptions):
                group, plain = _shared(topic_filter)
                if client is sender and topic_filter in client.others_only:
                    continue
                if matches(plain, delivery.topic):
                    (groups.setdefault(group, []) if group else direct).append(handler)
        direct += [members[next(self._turn) % len(members)] for members in groups.values()]
        for handler in direct:
            handler(delivery)

    def drop(self, client: MemoryTransport) -> None:
        """Cut one client off as a lost network would: its will is published."""
        client.lose()
        if client.will is not None:
            self.route(Delivery(client.will.topic, client.will.payload), retain=True)


def _shared(topic_filter: str) -> tuple[str, str]:
    if topic_filter.startswith("$share/"):
        _, group, plain = topic_filter.split("/", 2)
        return f"{group}/{plain}", plain
    return "", topic_filter


@dataclass(eq=False)
class MemoryTransport:
    """One client of a MemoryBroker."""

    broker: MemoryBroker
    subscriptions: list[tuple[str, Handler]] = field(default_factory=list)
    will: Will | None = None
    connected: bool = False
    problems: dict[str, str] = field(default_factory=dict)
    others_only: set[str] = field(default_factory=set)
    _watchers: list[ConnectionHandler] = field(default_factory=list)

    @property
    def max_payload(self) -> int:
        return self.broker.max_payload

    def start(self, will: Will | None = None) -> None:
        self.will = will
        self.broker.clients.append(self)
        self.restore()

    def stop(self, goodbye: Will | None = None) -> None:
        if goodbye is not None and self.connected:
            self.publish(goodbye.topic, goodbye.payload, retain=True)
        self.connected = False
        if self in self.broker.clients:
            self.broker.clients.remove(self)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        expires_s: float | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        del expires_s  # delivery is immediate: nothing waits long enough to expire
        if not self.connected:
            raise TransportError("the broker is not connected", fix="wait for the next connect")
        require_size(payload, self.max_payload)
        sent = Delivery(topic, payload, dict(properties or {}))
        self.broker.route(sent, retain=retain, sender=self)

    def subscribe(self, topic_filter: str, handler: Handler, *, own: bool = True) -> None:
        if not own:
            self.others_only.add(topic_filter)
        self.subscriptions.append((topic_filter, handler))
        if self.connected:
            self._deliver_retained(topic_filter, handler)

    def unsubscribe(self, topic_filter: str) -> None:
        self.subscriptions = [one for one in self.subscriptions if one[0] != topic_filter]

    def on_connection(self, handler: ConnectionHandler) -> None:
        self._watchers.append(handler)
        if self.connected:
            handler(True)

    def lose(self) -> None:
        """The connection breaks; the broker has not noticed yet."""
        self.connected = False
        for watcher in self._watchers:
            watcher(False)

    def restore(self) -> None:
        """The connection is back."""
        self.connected = True
        for topic_filter, handler in self.subscriptions:
            self._deliver_retained(topic_filter, handler)
        for watcher in self._watchers:
            watcher(True)

    def _deliver_retained(self, topic_filter: str, handler: Handler) -> None:
        for topic, delivery in list(self.broker.retained.items()):
            if not topic_filter.startswith("$share/") and matches(topic_filter, topic):
                handler(replace(delivery, retained=True))
