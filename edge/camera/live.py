"""Cameras that OpenCV opens: USB and built-in ones (`v4l2`), network ones (`rtsp`)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Literal
from urllib.parse import quote, urlsplit, urlunsplit

import cv2
from pydantic import Field, SecretStr

from edge.camera.base import CameraEvent, CameraKind, CameraState, MissedFrame
from edge.camera.grabber import Capture, CaptureFactory, Grabber
from edge.camera.stream import CheckedStream
from edge.camera.ticks import Missed, Ticks
from shared.address import CameraAddress
from shared.clock import Clock
from shared.contracts import Frame
from shared.errors import CameraError, said
from shared.log import get_logger
from shared.redaction import redact
from shared.settings import Settings

log = get_logger("camera")

OPEN_TIMEOUT_MS = 5000
READ_TIMEOUT_MS = 5000
MOST_UNSEEN = 1000
"""After one standstill so many parts get a record each; of those before only the count is kept."""


class V4l2Settings(Settings):
    """A camera that Linux shows as /dev/video*."""

    kind: Literal["v4l2"] = "v4l2"
    device: int | str = Field(default=0, description="its number, or a path such as /dev/video0")
    width: int | None = Field(
        default=None, gt=0, description="of the picture to ask the camera for, px"
    )
    height: int | None = Field(
        default=None, gt=0, description="of the picture to ask the camera for, px"
    )
    every_ms: int = Field(
        default=1000, ge=1, description="a part comes by every so many milliseconds"
    )


class RtspSettings(Settings):
    """A network camera."""

    kind: Literal["rtsp"] = "rtsp"
    url: CameraAddress = Field(description="of the stream; only its host is ever shown")
    username: str | None = None
    password: SecretStr | None = None
    every_ms: int = Field(
        default=1000, ge=1, description="a part comes by every so many milliseconds"
    )


class LiveCamera:
    """A software trigger every `every_s` seconds that takes the newest frame.

    Until the camera has delivered once, nothing is known to come by. From then on each trigger
    is a part: a camera that freezes or vanishes gives parts without a picture, until it is back.
    So do triggers while the agent itself stood still, which keep their numbers.
    """

    def __init__(self, factory: CaptureFactory, name: str, every_s: float, clock: Clock) -> None:
        self._factory = factory
        self._name = redact(name)
        self._every_s = every_s
        self._clock = clock
        self._grabber = Grabber(factory, name, clock)
        self._used = 0
        self._stopped = threading.Event()
        self._ended = False

    @property
    def state(self) -> CameraState:
        state = self._grabber.state
        latest = self._grabber.latest
        if self._ended:
            return CameraState("ended")
        if state.status == "live" and latest is not None:
            silent_s = self._clock.monotonic() - latest.at
            if silent_s > max(2 * self._every_s, 2.0):
                return CameraState("retrying", f"{self._name} is frozen for {silent_s:.0f} s")
        return state

    def probe(self) -> None:
        try:
            capture = self._factory()
            ok, _ = capture.read()
            capture.release()
        except CameraError:
            raise
        except Exception as error:
            raise CameraError(f"{self._name} failed ({said(error)})", fix=_CHECK) from error
        if not ok:
            raise CameraError(f"{self._name} opens but delivers no frame", fix=_CHECK)

    def frames(self, first_part: int, deadline_s: float) -> Iterator[CameraEvent]:
        self._grabber.start()
        ticks = Ticks(self._clock.monotonic(), self._every_s)
        part = first_part
        while not self._stopped.wait(max(0.0, ticks.due - self._clock.monotonic())):
            if self._grabber.died is not None:
                raise CameraError(
                    f"{self._name} is read no more ({said(self._grabber.died)})", fix=_AGAIN
                )
            missed = ticks.noticed(self._clock.monotonic())
            if self._used and missed.ticks:
                yield from self._unseen(missed, part, deadline_s)
                part += missed.ticks
            event = self.trigger(part, deadline_s)
            if event is not None:
                yield event
                part += 1
        self._ended = True

    def _unseen(self, missed: Missed, part: int, deadline_s: float) -> Iterator[MissedFrame]:
        """Parts that came by, from `part` on, while nobody could take their pictures."""
        uncounted = max(0, missed.ticks - MOST_UNSEEN)
        for number in range(uncounted, missed.ticks):
            if self._stopped.is_set():
                return
            at = missed.first + number * self._every_s
            error = CameraError(
                f"part {part + number} came by while the agent stood still or was too slow for it",
                fix="see what else runs on the box; what nobody saw gets the fail-safe verdict",
            )
            yield MissedFrame(
                part + number,
                at,
                at + deadline_s,
                self._name,
                error,
                uncounted=uncounted if number == uncounted else 0,
            )

    def trigger(self, part: int, deadline_s: float) -> CameraEvent | None:
        """The newest frame as a part, once; None before the first frame ever."""
        latest = self._grabber.latest
        if latest is None:
            return None
        damage = self._grabber.damage
        if damage is not None or latest.number == self._used:
            now = self._clock.monotonic()
            error = damage or CameraError(
                f"{self._name} gave no new frame for part {part}",
                fix="see the camera's state; parts get the fail-safe verdict until it is back",
            )
            return MissedFrame(part, now, now + deadline_s, self._name, error)
        self._used = latest.number
        return Frame(latest.pixels, part, latest.at, latest.at + deadline_s, self._name)

    def stop(self) -> None:
        self._stopped.set()
        self._grabber.stop()


def _open_v4l2(settings: V4l2Settings, clock: Clock) -> LiveCamera:
    device = settings.device
    target = int(device) if isinstance(device, int) or device.isdigit() else device
    name = f"/dev/video{target}" if isinstance(target, int) else target
    options: list[int] = []
    if settings.width is not None:
        options += [cv2.CAP_PROP_FRAME_WIDTH, settings.width]
    if settings.height is not None:
        options += [cv2.CAP_PROP_FRAME_HEIGHT, settings.height]

    def factory() -> Capture:
        return _opened(cv2.VideoCapture(target, cv2.CAP_V4L2, options), name)

    return LiveCamera(factory, name, settings.every_ms / 1000, clock)


def _open_rtsp(settings: RtspSettings, clock: Clock) -> LiveCamera:
    address = with_credentials(settings)
    if find_spec("av") is not None:
        return LiveCamera(
            lambda: CheckedStream(
                address.get_secret_value(),
                str(address),
                OPEN_TIMEOUT_MS / 1000,
                READ_TIMEOUT_MS / 1000,
            ),
            str(address),
            settings.every_ms / 1000,
            clock,
        )
    log.warning(
        "stream_unchecked",
        camera=str(address),
        reason="pictures that lost data on the way can't be told from whole ones",
        fix="pip install 'splitsight[edge]'",
    )
    options = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        OPEN_TIMEOUT_MS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        READ_TIMEOUT_MS,
    ]

    def factory() -> Capture:
        capture = cv2.VideoCapture(address.get_secret_value(), cv2.CAP_FFMPEG, options)
        return _opened(capture, str(address))

    return LiveCamera(factory, str(address), settings.every_ms / 1000, clock)


def with_credentials(settings: RtspSettings) -> CameraAddress:
    """The address as OpenCV wants it."""
    if settings.username is None:
        return settings.url
    secret = settings.password.get_secret_value() if settings.password else ""
    parts = urlsplit(settings.url.get_secret_value())
    host = parts.netloc.rpartition("@")[2]
    user = f"{quote(settings.username, safe='')}:{quote(secret, safe='')}"
    return CameraAddress(urlunsplit(parts._replace(netloc=f"{user}@{host}")))


def _opened(capture: Any, name: str) -> Capture:
    if not capture.isOpened():
        capture.release()
        raise CameraError(f"{name} can't be opened", fix=_CHECK)
    opened: Capture = capture
    return opened


_AGAIN = "the agent starts again, and opens it anew"
_CHECK = "check that it is connected and powered, its address, user and password"

V4L2_KIND = CameraKind("v4l2", V4l2Settings, _open_v4l2)
RTSP_KIND = CameraKind("rtsp", RtspSettings, _open_rtsp)
