"""A camera that gives what it was told to: for tests, of other packages too."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from edge.camera.base import CameraEvent, CameraState


class ScriptedCamera:
    """Yields the given events in order, whatever part number it is asked for."""

    def __init__(self, events: Iterable[CameraEvent]) -> None:
        self._events = events
        self._stopped = threading.Event()
        self.state = CameraState("live")
        self.first_part: int | None = None

    def probe(self) -> None:
        """Always well."""

    def frames(self, first_part: int, deadline_s: float) -> Iterator[CameraEvent]:  # noqa: ARG002
        self.first_part = first_part
        for event in self._events:
            if self._stopped.is_set():
                break
            yield event
        self.state = CameraState("ended")

    def stop(self) -> None:
        self._stopped.set()
