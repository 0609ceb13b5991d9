"""What a camera gave, where it can be inspected; cameras of other packages may give anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.camera.base import CameraEvent, MissedFrame
from shared.contracts import Frame
from shared.errors import CameraError
from shared.features.depth import WrongPixels, eight_bit
from shared.features.pixel_settings import AS_IT_IS, PixelSettings
from shared.features.tiling import require_tiles
from shared.inspection import LARGEST_NUMBER

_FIX = "mend the camera's package; the part gets the fail-safe verdict"


def checked(
    event: object,
    spare: int,
    now: float,
    deadline_s: float,
    settings: PixelSettings = AS_IT_IS,
) -> CameraEvent:
    """The event as `contracts.Frame` says, else a part without a picture that says why.

    spare       number of a part whose own can't be kept
    now         monotonic seconds: its trigger, where that can't be kept
    deadline_s  from trigger to deadline
    settings    the bundle's, by which its pixels become 8 bits of grey or colour
    """
    if not isinstance(event, Frame | MissedFrame):
        return _missed(f"the camera gave a {type(event).__name__}", spare, now, now + deadline_s)
    wrong = _wrong_numbers(event)
    if wrong:
        return _missed(wrong, spare, now, now + deadline_s, _text(event.source))
    plain = _plain(event)
    if isinstance(plain, MissedFrame):
        return plain
    try:
        pixels = shown(plain.pixels, settings)
    except WrongPixels as error:
        return replace(
            _missed(str(error), plain.part, plain.triggered, plain.deadline, plain.source),
            fields=plain.fields,
        )
    if pixels is plain.pixels:
        return plain
    # What is kept, sent and learned from is what was judged, in the 8 bits that all behind know.
    return replace(plain, pixels=pixels, encoded=None)


def shown(pixels: Any, settings: PixelSettings) -> NDArray[np.uint8]:
    """A frame's pixels as the network is to see them, themselves where they already are so.

    Raises WrongPixels for what is no picture, or not as the settings say.
    """
    if not isinstance(pixels, np.ndarray):
        raise WrongPixels(f"the camera gave a {type(pixels).__name__} as a picture")
    try:
        found = eight_bit(pixels, settings)
        height, width = found.shape[:2]
        require_tiles(height, width, settings)
    except WrongPixels as error:
        raise WrongPixels(f"the camera gave {error}") from error
    return found


def _wrong_numbers(event: Frame | MissedFrame) -> str:
    part = event.part
    if isinstance(part, bool) or not isinstance(part, int | np.integer):
        return f"the camera gave {part!r:.40} as a part's number"
    if not 1 <= part <= LARGEST_NUMBER:
        return f"the camera gave {part} as a part's number; wanted is 1 to {LARGEST_NUMBER}"
    for name in ("triggered", "deadline"):
        second = getattr(event, name)
        number = isinstance(second, int | float | np.integer | np.floating)
        if not number or not math.isfinite(second):
            return f"the camera gave {second!r:.40} as `{name}` of part {part}"
    return ""


def _plain(event: CameraEvent) -> CameraEvent:
    """In Python's own types, which every encoder takes."""
    numbers = type(event.part) is int and type(event.triggered) is type(event.deadline) is float
    if numbers and isinstance(event.source, str) and isinstance(event.fields, Mapping):
        return event
    return replace(
        event,
        part=int(event.part),
        triggered=float(event.triggered),
        deadline=float(event.deadline),
        source=_text(event.source),
        fields=event.fields if isinstance(event.fields, Mapping) else {},
    )


def _text(source: Any) -> str:
    return source if isinstance(source, str) else ""


def _missed(
    why: str, part: int, triggered: float, deadline: float, source: str = ""
) -> MissedFrame:
    return MissedFrame(part, triggered, deadline, source, CameraError(why, fix=_FIX))
