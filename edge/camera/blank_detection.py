"""Notices a camera on whose pictures nothing can be seen, as where its lens is covered, its lamp is
out, or its sensor is blinded."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge.camera.base import Camera, CameraEvent, MissedFrame
from edge.camera.guard import CameraGuard, PixelsNow, unchanged
from shared.contracts import Frame
from shared.errors import CameraError
from shared.log import get_logger

log = get_logger("camera")

ARMED_AFTER = 100
"""Pictures in a row on which something was seen, before one without counts as a fault: on a line
with dark-field light a good part is black."""
DARK = 16
FLAT = 3
SAMPLES = 128


def blank(pixels: Any) -> str:
    """What is wrong with a picture on which nothing can be seen; empty where something can.

    pixels   uint8, (height, width) or (height, width, 3)
    Judged by the grey levels between which 98 of 100 pixels lie: DARK, all below it, a covered lens
    with its sensor's noise; FLAT, hardly any difference, a sensor that is blinded or dead.
    """
    # An odd stride: an even one meets only half of what alternates.
    strides = [max(1, side // SAMPLES) | 1 for side in pixels.shape[:2]]
    sample = np.sort(pixels[:: strides[0], :: strides[1]], axis=None)
    low, high = int(sample[len(sample) // 100]), int(sample[-1 - len(sample) // 100])
    if high < DARK:
        return "dark"
    return "without any contrast" if high - low <= FLAT else ""


class BlankGuard(CameraGuard):
    """Another camera, whose parts count as not seen while nothing can be seen on its pictures.

    It is only a fault where it is unusual here, and lasts for more than `after` parts. The first
    picture on which something is seen ends it.
    """

    status = "blank"

    def __init__(self, camera: Camera, after: int, pixels: PixelsNow = unchanged) -> None:
        super().__init__(camera, after, pixels)
        self._seen = 0
        self._blank = 0

    def judged(self, frame: Frame) -> CameraEvent:
        why = blank(frame.pixels)
        if not why:
            return self._well(frame)
        self._blank += 1
        if self._seen < ARMED_AFTER:
            self._seen = 0
            return frame
        if self._blank <= self._after:
            return frame
        if self._error is None:
            log.warning("camera_blank", source=frame.source, part=frame.part, picture=why)
            self._error = CameraError(
                f"the picture is {why} since part {frame.part - self._after}",
                fix="look at lens, lamp and exposure; parts get the fail-safe verdict until then",
            )
        return MissedFrame(
            frame.part, frame.triggered, frame.deadline, frame.source, self._error, frame.fields
        )

    def _well(self, frame: Frame) -> Frame:
        self._seen += 1
        self._blank = 0
        if self._error is not None:
            log.info("camera_sees_again", source=frame.source)
            self._error = None
        return frame
