"""Another camera behind one that knows pictures by which no part may pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import ClassVar, Literal

from edge.camera.base import Camera, CameraEvent, CameraState
from edge.camera.checks import shown
from shared.contracts import Frame
from shared.errors import CameraError
from shared.features.depth import WrongPixels
from shared.features.pixel_settings import AS_IT_IS, PixelSettings

PixelsNow = Callable[[], PixelSettings]


def unchanged() -> PixelSettings:
    """Of a bundle that says nothing of pixels."""
    return AS_IT_IS


class CameraGuard(ABC):
    """A `Camera`; what kind of trouble it knows is for who makes one.

    status   of the camera while there is trouble
    """

    status: ClassVar[Literal["frozen", "blank"]]

    def __init__(self, camera: Camera, after: int, pixels: PixelsNow = unchanged) -> None:
        """after: parts that the trouble may last for before it is one, at least 1
        pixels: the live bundle's settings, by which a picture is looked at
        """
        self._camera = camera
        self._after = after
        self._pixels = pixels
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
            yield self._guarded(event) if isinstance(event, Frame) else event

    def _guarded(self, frame: Frame) -> CameraEvent:
        try:
            pixels = shown(frame.pixels, self._pixels())
        except WrongPixels:
            # What is no picture at all is for who inspects it to say.
            return frame
        judged = self.judged(frame if pixels is frame.pixels else replace(frame, pixels=pixels))
        # Who inspects it makes 8 bits of it by the settings of that moment.
        return frame if isinstance(judged, Frame) else judged

    def stop(self) -> None:
        self._camera.stop()

    @abstractmethod
    def judged(self, frame: Frame) -> CameraEvent:
        """The frame, or its part as one that was not seen."""
