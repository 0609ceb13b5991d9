"""What the head makes of a picture that has passed: its map, made again, beside the line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.inspection.model import LiveModel
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import HEAD
from shared.bundles.picture_head import PictureHead
from shared.bundles.runtime_choice import choose_runtime
from shared.clock import Clock
from shared.errors import RuntimeUnavailable, SplitsightError
from shared.features.picture_file import decoded
from shared.opener import Unopenable, require_picture
from shared.runtime.base import Runtime, RuntimeOptions, open_runtime
from shared.runtime.settings import AUTO

# A camera's picture, not whatever a header claims: four bytes of memory and more for each.
MOST_PIXELS = 1 << 26
# Opened in a few dozen milliseconds, and needs no second copy of what OpenVINO keeps.
LIGHT = "onnx"
IDLE_S = 60.0


class Unseen(SplitsightError):
    """A picture can't be looked at again."""


@dataclass(frozen=True, slots=True)
class HeadLook:
    """What the live model's head makes of a picture now.

    pixels      uint8 (height, width) grey or (height, width, 3) BGR
    defect_map  probabilities, float32, of the whole picture; (height/8, width/8) of the head's
                input where that is the whole picture
    bundle      whose head it is; another one may have decided the part
    """

    pixels: NDArray[np.uint8]
    defect_map: NDArray[np.float32]
    bundle: str


class LooksAgain(Protocol):
    """Looks at pictures that were kept. For one thread."""

    def look(self, picture: bytes) -> HeadLook:
        """Raises Unseen where that is not possible."""

    def rest(self) -> None:
        """Called now and then: lets go of what has not been needed for long."""


class FixedLook:
    """Makes the same map of every picture, for tests; it counts the looks."""

    def __init__(self, defect_map: NDArray[np.float32], bundle: str = "tiny 1.0.0") -> None:
        self._map = defect_map
        self._bundle = bundle
        self.looks = 0

    def look(self, picture: bytes) -> HeadLook:
        self.looks += 1
        return HeadLook(pixels_of(picture), self._map, self._bundle)

    def rest(self) -> None:
        pass


class SecondHead:
    """The live model's head once more, on the CPU: the one that judges parts waits for nobody, and
    may be on an accelerator that has no time.

    It is opened when it is first needed, and closed after IDLE_S without a look.
    """

    def __init__(self, live: Callable[[], LiveModel], clock: Clock) -> None:
        self._live = live
        self._clock = clock
        self._head: PictureHead | None = None
        self._of: LiveModel | None = None
        self._used = float("-inf")

    def look(self, picture: bytes) -> HeadLook:
        model, pixels = self._live(), pixels_of(picture)
        if model.source is None:
            raise Unseen("the live model has no bundle to open again")
        try:
            found = self._opened(model, model.source).map_of(pixels)
        except SplitsightError as error:
            raise Unseen(f"its head can't be opened again ({error.message})") from error
        except Exception as error:
            # Each backend has exceptions of its own.
            raise Unseen(f"its head fails ({type(error).__name__}: {error})") from error
        return HeadLook(pixels, found, model.bundle)

    def rest(self) -> None:
        if self._head is not None and self._clock.monotonic() - self._used > IDLE_S:
            self._head = self._of = None

    def _opened(self, model: LiveModel, source: Bundle) -> PictureHead:
        self._used = self._clock.monotonic()
        if self._head is None or self._of is not model:
            self._head, self._of = PictureHead.of(source, _open(source.read(HEAD))), model
        return self._head


def _open(head: bytes) -> Runtime:
    options = RuntimeOptions("CPU", 1)
    try:
        return open_runtime(LIGHT, head, options)
    except RuntimeUnavailable:
        return choose_runtime(AUTO, head, options).runtime


def pixels_of(picture: bytes) -> NDArray[np.uint8]:
    """As the camera gave it. Raises Unseen for what is no picture, or a huge one."""
    try:
        require_picture(picture, MOST_PIXELS)
        return decoded(picture, cv2.IMREAD_ANYCOLOR)
    except Unopenable as error:
        raise Unseen(f"the kept picture can't be read ({error})") from error


def grey_png(defect_map: NDArray[np.float32]) -> bytes:
    """A map, probabilities (height, width), as 8-bit grey PNG; what is not a number counts as 1."""
    sure = np.clip(np.nan_to_num(defect_map, nan=1.0), 0, 1)
    return cv2.imencode(".png", np.rint(sure * 255).astype(np.uint8))[1].tobytes()
