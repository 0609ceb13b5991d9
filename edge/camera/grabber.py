"""Keeps the newest frame of a live camera, and gets the camera back when it goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.camera.backlog import StreamBacklog
from edge.camera.base import CameraState
from shared.clock import Clock
from shared.episodes import Episodes
from shared.errors import CameraError, said
from shared.log import get_logger
from shared.redaction import redact
from shared.worker import Worker

log = get_logger("camera")

BACKOFF_S = (0.5, 30.0)
_CHECK = "check its cable and power; it is tried again until it answers"


class PictureDamaged(CameraError):
    """A picture came that is not whole; the next one may be."""

    exit_code = 31
    summary = "a camera's picture is not whole"


class Capture(Protocol):
    """An open connection to a camera, as in OpenCV's VideoCapture."""

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        """The next frame, or (False, None) where there will be no more.

        Raises PictureDamaged for a frame that is not whole; any other error ends the connection.
        """

    def release(self) -> None:
        """Close it."""


# Opens a camera. Raises CameraError where that fails.
CaptureFactory = Callable[[], Capture]


class Grabbed(NamedTuple):
    """The newest frame. `at`: monotonic seconds when it arrived; `number` counts up from 1."""

    pixels: NDArray[np.uint8]
    at: float
    number: int


class Grabber:
    """Reads as fast as the camera delivers; older frames are dropped unseen, and so is what waited
    in a buffer while the process stood still.

    damage   why the newest frame is not whole, so that `latest` is too old; None where it is
    died     what ended the thread that reads
    """

    def __init__(self, factory: CaptureFactory, name: str, clock: Clock) -> None:
        self._factory = factory
        self._name = redact(name)
        self._clock = clock
        self._capture: Capture | None = None
        self._backlog = StreamBacklog()
        self._backoff_s = BACKOFF_S[0]
        self._worker = Worker("camera", self._run, on_death=self._died)
        self._episodes = Episodes(clock)
        self.latest: Grabbed | None = None
        self.damage: PictureDamaged | None = None
        self.died: BaseException | None = None
        self.state = CameraState("opening")

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        """Does not wait: a camera may hang."""
        self._worker.stop(0.0)

    def step(self) -> float:
        """Open the camera or read one frame. Returns seconds to wait before the next step."""
        try:
            if self._capture is None:
                self._capture = self._factory()
                self._backlog = StreamBacklog()
            self._take(self._capture)
        except PictureDamaged as error:
            self.damage = error
            self._live()
            self._episodes.met("damage", log.warning, "picture_damaged", error=str(error))
        except CameraError as error:
            return self._lost(error)
        except Exception as error:  # noqa: BLE001 - a driver may raise anything
            return self._lost(CameraError(f"{self._name} failed ({said(error)})", fix=_CHECK))
        return 0.0

    def close(self) -> None:
        """Never raises: what can't be closed is left behind."""
        capture, self._capture = self._capture, None
        if capture is not None:
            try:
                capture.release()
            except Exception as error:  # noqa: BLE001 - a driver may raise anything
                log.warning("camera_not_closed", camera=self._name, error=said(error))

    def _run(self) -> None:
        try:
            while not self._worker.stopping.wait(self.step()):
                pass
        finally:
            self.close()

    def _died(self, _name: str, error: BaseException) -> None:
        self.died = error
        self.state = CameraState("ended", f"{type(error).__name__}: {error}")

    def _take(self, capture: Capture) -> None:
        asked = self._clock.monotonic()
        ok, pixels = capture.read()
        if not ok or pixels is None:
            raise CameraError(
                f"{self._name} delivers no more frames",
                fix=_CHECK,
            )
        self._live()
        came = self._clock.monotonic()
        if self._backlog.is_stale(asked, came):
            return
        number = self.latest.number + 1 if self.latest else 1
        self.latest = Grabbed(np.ascontiguousarray(pixels), came, number)
        self.damage = None
        self._episodes.mended("damage", log.info, "pictures_whole_again", camera=self._name)

    def _live(self) -> None:
        if self.state.status != "live":
            log.info("camera_live", camera=self._name)
            self.state = CameraState("live")
            self._backoff_s = BACKOFF_S[0]

    def _lost(self, error: CameraError) -> float:
        self.close()
        wait_s = self._backoff_s
        self._backoff_s = min(2 * self._backoff_s, BACKOFF_S[1])
        if error.message != self.state.error:
            log.warning("camera_lost", error=str(error), next_try_s=wait_s)
        self.state = CameraState("retrying", error.message, self._clock.monotonic() + wait_s)
        return wait_s
