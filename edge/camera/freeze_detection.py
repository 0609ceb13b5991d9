"""Notices a camera that goes on giving one picture, as a sensor or an encoder that hangs does."""

from __future__ import annotations

import numpy as np

from edge.camera.base import Camera, CameraEvent, MissedFrame
from edge.camera.guard import CameraGuard, PixelsNow, unchanged
from shared.contracts import Frame
from shared.errors import CameraError
from shared.log import get_logger

log = get_logger("camera")


class FrozenGuard(CameraGuard):
    """Another camera, whose parts count as not seen once its picture stands still.

    A sensor's noise makes two pictures differ in some pixel, even of the same part. What has
    the same bytes for more than `after` parts in a row is therefore an old picture, and no part
    may pass by it. The first picture that differs ends this.
    """

    status = "frozen"

    def __init__(self, camera: Camera, after: int, pixels: PixelsNow = unchanged) -> None:
        super().__init__(camera, after, pixels)
        self._same: Frame | None = None
        self._count = 0

    def judged(self, frame: Frame) -> CameraEvent:
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
