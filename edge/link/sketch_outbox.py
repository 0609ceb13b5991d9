"""Sketches to the cloud, one after the other, while the broker is there."""

from __future__ import annotations

from typing import Protocol

from shared.errors import TransportError
from shared.log import get_logger
from shared.topics import Address
from shared.transport.base import Transport
from shared.wire import Sketch, encode

log = get_logger("sketches")

AT_ONCE = 8
"""After the link was down: what is fresh goes on meanwhile."""


class UnsentSketches(Protocol):
    """Where they wait; see `edge.monitoring.sketch_recording.SketchBook`."""

    def waiting(self) -> Sketch | None: ...

    def sent(self, sketch: Sketch) -> None: ...


class SketchOutbox:
    """A cloud that knows no sketches takes none: nobody answers, and nothing waits for it."""

    def __init__(self, book: UnsentSketches, transport: Transport, address: Address) -> None:
        self._book = book
        self._transport = transport
        self._topic = address.topic("sketch")

    def tick(self) -> None:
        """Send what waits. Called by one thread."""
        for _ in range(AT_ONCE):
            sketch = self._book.waiting()
            if sketch is None or not self._transport.connected:
                return
            try:
                self._transport.publish(self._topic, encode(sketch))
            except TransportError as error:
                log.debug("sketch_unsent", error=str(error))
                return
            self._book.sent(sketch)
