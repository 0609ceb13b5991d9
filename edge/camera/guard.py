"""Another camera behind one that knows pictures by which no part may pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Literal

from edge.camera.base import Camera, CameraEvent, CameraState
from edge.camera.checks import wrong_picture
from shared.contracts import Frame
from shared.errors import CameraError


class CameraGuard(ABC):
    """A `Camera`; what kind of trouble it knows is for who makes one.

    status   of the camera while there is trouble
    """

    status: ClassVar[Literal["frozen", "blank"]]

    def __init__(self, camera: Camera, after: int) -> None:
        """after: parts that the trouble may last for before it is one, at least 1"""
        self._camera = camera
        self._after = after
        self._error: CameraError | None = None

    @property
    def state(self) -> CameraState:
        state, error = self._camera.state, self._error
        if error is None or state.status != "live":
            return state
        return CameraState(self.status, error.message)

    def probe(self) -> None:
        self._camera.probe()

    def frames(self, first_part: int, deadline_s: float) -> Iterator[CameraEvent]:
        for event in self._camera.frames(first_part, deadline_s):
            # What is no picture at all is for who inspects it to say.
            usable = isinstance(event, Frame) and not wrong_picture(event.pixels)
            yield self.judged(event) if isinstance(event, Frame) and usable else event

    def stop(self) -> None:
        self._camera.stop()

    @abstractmethod
    def judged(self, frame: Frame) -> CameraEvent:
        """The frame, or its part as one that was not seen."""
