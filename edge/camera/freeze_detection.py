"""Notices a camera that goes on giving one picture, as a sensor or an encoder that hangs does."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge.camera.base import Camera, CameraEvent, CameraState, MissedFrame
from edge.camera.checks import wrong_picture
from shared.contracts import Frame
from shared.errors import CameraError
from shared.log import get_logger

log = get_logger("camera")


class FrozenGuard:
    """Another camera, whose parts count as not seen once its picture stands still.

    A sensor's noise makes two pictures differ in some pixel, even of the same part. What has
    the same bytes for more than `after` parts in a row is therefore an old picture, and no part
    may pass by it. The first picture that differs ends this.
    """

    def __init__(self, camera: Camera, after: int) -> None:
        """after: at least 1"""
        self._camera = camera
        self._after = after
        self._same: Frame | None = None
        self._count = 0
        self._error: CameraError | None = None

    @property
    def state(self) -> CameraState:
        state, error = self._camera.state, self._error
        if error is None or state.status != "live":
            return state
        return CameraState("frozen", error.message)

    def probe(self) -> None:
        self._camera.probe()

    def frames(self, first_part: int, deadline_s: float) -> Iterator[CameraEvent]:
        for event in self._camera.frames(first_part, deadline_s):
            # What is no picture at all is for who inspects it to say.
            usable = isinstance(event, Frame) and not wrong_picture(event.pixels)
            yield self._judged(event) if isinstance(event, Frame) and usable else event

    def stop(self) -> None:
        self._camera.stop()

    def _judged(self, frame: Frame) -> CameraEvent:
        same = self._same
        if same is None or not np.array_equal(same.pixels, frame.pixels):
            return self._moved(frame)
        self._count += 1
        if self._count <= self._after:
            return frame
        if self._error is None:
            log.warning("camera_frozen", source=same.source, since_part=same.part)
        self._error = CameraError(
            f"the same picture since part {same.part}",
            fix="start the camera again; parts get the fail-safe verdict until its picture moves",
        )
        # By the picture's own source: it is one trouble, whatever part comes by.
        return MissedFrame(
            frame.part, frame.triggered, frame.deadline, same.source, self._error, frame.fields
        )

    def _moved(self, frame: Frame) -> Frame:
        if self._error is not None:
            log.info("camera_live", source=frame.source)
            self._error = None
        # A copy: a camera may use its buffer again for the next picture.
        pixels = frame.pixels.copy()
        self._same = Frame(pixels, frame.part, frame.triggered, frame.deadline, frame.source)
        self._count = 1
        return frame
