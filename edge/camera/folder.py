"""Pictures from a folder, or from a list of paths, played as if parts came by."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field

from edge.camera.base import CameraEvent, CameraKind, CameraState, MissedFrame
from edge.camera.decoding import Colour, decode_picture
from shared.clock import Clock
from shared.contracts import Frame
from shared.errors import CameraError, said
from shared.settings import Settings
from shared.worker import Worker

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
AHEAD = 4
"""Pictures decoded before they are wanted: enough to overlap with inference, little memory."""


class FolderSettings(Settings):
    """Replay pictures."""

    kind: Literal["folder"] = "folder"
    path: Path = Field(description="a folder of pictures, or a text file with one path a line")
    rate: float = Field(
        default=0.0, ge=0, le=10_000, description="parts a second; 0: as fast as they go"
    )
    loop: bool = Field(default=False, description="begin again after the last picture")
    start_part: int = Field(default=1, ge=1, description="number of the part in the first picture")
    limit: int | None = Field(
        default=None, ge=1, description="how many parts in all, restarts included"
    )
    colour: Colour = Field(
        default="as_is", description="convert to grey or to colour while decoding"
    )


class FolderCamera:
    """Reads and decodes on a thread of its own, so that inference need not wait.

    Picture i is part `start_part` + i, so that a restart goes on where the journal ends.
    """

    def __init__(
        self, settings: FolderSettings, clock: Clock, stopped: threading.Event | None = None
    ) -> None:
        """stopped: by whose waits it keeps its rate"""
        self._settings = settings
        self._clock = clock
        self._stopped = stopped or threading.Event()
        self._queue: queue.Queue[CameraEvent | None] = queue.Queue(AHEAD)
        self._state = CameraState("opening")

    @property
    def state(self) -> CameraState:
        return self._state

    def probe(self) -> None:
        """Raises CameraError where there are no pictures; single bad ones are found later."""
        list_pictures(self._settings.path)

    def frames(self, first_part: int, deadline_s: float) -> Iterator[CameraEvent]:
        """Raises CameraError where there are no pictures."""
        pictures = list_pictures(self._settings.path)
        first = max(first_part, self._settings.start_part)
        parts = range(first, self._last_part(len(pictures)) + 1)
        read = partial(self._read, pictures, parts, deadline_s)
        reader = Worker("camera", read, on_death=lambda _name, _error: self._offer(None))
        self._state = CameraState("live")
        reader.start()
        while (event := self._queue.get()) is not None and not self._stopped.is_set():
            yield event
        self._state = CameraState("ended")
        if reader.failure is not None:
            raise reader.failure

    def stop(self) -> None:
        self._stopped.set()

    def _last_part(self, pictures: int) -> int:
        wanted = [2**62]
        if not self._settings.loop:
            wanted.append(pictures)
        if self._settings.limit is not None:
            wanted.append(self._settings.limit)
        return self._settings.start_part - 1 + min(wanted)

    def _read(self, pictures: list[Path], parts: range, deadline_s: float) -> None:
        period = 1 / self._settings.rate if self._settings.rate else 0.0
        due = self._clock.monotonic()
        for part in parts:
            now = self._clock.monotonic()
            if period and due > now and self._stopped.wait(due - now):
                break
            path = pictures[(part - self._settings.start_part) % len(pictures)]
            if not self._offer(self._load(path, part, deadline_s)):
                return
            # A line that had to wait goes on at its rate; it does not catch up.
            due = max(due + period, self._clock.monotonic() - period)
        self._offer(None)

    def _load(self, path: Path, part: int, deadline_s: float) -> CameraEvent:
        triggered = self._clock.monotonic()
        try:
            encoded = path.read_bytes()
            pixels = decode_picture(encoded, self._settings.colour, path.name)
        except OSError as error:
            missing = CameraError(
                f"{path.name} can't be read ({error.strerror or error})",
                fix="replace the file or take it off the list",
            )
            return MissedFrame(part, triggered, triggered + deadline_s, path.name, missing)
        except CameraError as error:
            return MissedFrame(part, triggered, triggered + deadline_s, path.name, error)
        except Exception as error:  # noqa: BLE001 - a decoder may raise anything of any file
            damaged = CameraError(
                f"{path.name} can't be decoded ({said(error)})",
                fix="replace the file or take it off the list",
            )
            return MissedFrame(part, triggered, triggered + deadline_s, path.name, damaged)
        if not self._settings.rate:
            # Without a rate the part arrives when it is ready to be inspected.
            triggered = self._clock.monotonic()
        return Frame(pixels, part, triggered, triggered + deadline_s, path.name, encoded)

    def _offer(self, event: CameraEvent | None) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(event, timeout=0.1)
            except queue.Full:
                continue
            return True
        # A consumer that waits on an empty queue shall see that it is over.
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        return False


def list_pictures(path: Path) -> list[Path]:
    """The pictures of a folder by name, or those that a text file lists, relative to it.

    Raises CameraError where there are none.
    """
    try:
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        else:
            lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
            found = [path.parent / line for line in lines if line and not line.startswith("#")]
    except (OSError, UnicodeDecodeError) as error:
        raise CameraError(
            f"{path} can't be read ({error})",
            fix="set camera.path to a folder of pictures or to a text file with one path a line",
        ) from error
    if not found:
        raise CameraError(
            f"{path} holds no pictures", fix=f"want files ending in {', '.join(sorted(SUFFIXES))}"
        )
    return found


KIND = CameraKind("folder", FolderSettings, FolderCamera, replays=True)
