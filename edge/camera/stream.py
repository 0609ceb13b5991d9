"""A network camera's stream, of which only whole pictures are shown.

A decoder that lacks data makes up the rest: grey, or what was there before, which looks like a good
part. It marks the picture, and goes on from it; so nothing counts until the next whole key picture.
"""

from __future__ import annotations

from collections.abc import Generator
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.camera.grabber import PictureDamaged
from edge.camera.h264 import FrameNumbers
from shared.errors import CameraError


class Decoded(NamedTuple):
    """What one access unit came to; `pixels`: None where it is not whole."""

    pixels: NDArray[np.uint8] | None
    why: str = ""


class Wholeness:
    """Whether a picture, and all that it was made from, has come."""

    def __init__(self) -> None:
        self.why = "no key picture has come yet"

    def broken(self, why: str) -> None:
        self.why = why

    def picture(self, *, key: bool, corrupt: bool) -> bool:
        """The decoder gave one. Whether it is whole."""
        if corrupt:
            self.why = "data was lost on the way, and the decoder made up the rest"
        elif key:
            self.why = ""
        return not self.why


class CheckedStream:
    """A `Capture` through PyAV, which tells what OpenCV keeps to itself."""

    def __init__(self, url: str, name: str, open_s: float, read_s: float) -> None:
        """name: for people. Raises CameraError where there is no such stream."""
        av = import_module("av")
        self._name = name
        try:
            self._container: Any = av.open(
                url, options={"rtsp_transport": "tcp"}, timeout=(open_s, read_s)
            )
            self._stream: Any = self._container.streams.video[0]
        except (OSError, ValueError, IndexError) as error:
            # What the library says may hold the address.
            raise CameraError(
                f"{name} can't be opened ({type(error).__name__})", fix=_CHECK
            ) from None
        context = self._stream.codec_context
        # With more of them it says nothing of a picture that it had to make up, and gives it later.
        context.thread_count = 1
        self._numbers = FrameNumbers() if context.name == "h264" else None
        if self._numbers is not None:
            self._numbers.read_parameters(bytes(context.extradata or b""))
        self._whole = Wholeness()
        self._decoded = self._decode()

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        """Raises PictureDamaged for one that is not whole."""
        try:
            decoded = next(self._decoded, None)
        except Exception as error:  # noqa: BLE001 - as above
            raise CameraError(
                f"{self._name} is lost ({type(error).__name__})", fix=_CHECK
            ) from None
        if decoded is None:
            return False, None
        if decoded.pixels is None:
            raise PictureDamaged(f"{self._name} gives no whole picture: {decoded.why}", fix=_LOSS)
        return True, decoded.pixels

    def release(self) -> None:
        self._decoded.close()
        self._container.close()

    def _decode(self) -> Generator[Decoded, None, None]:
        for packet in self._container.demux(self._stream):
            if packet.size and self._numbers is not None and self._numbers.is_gap(bytes(packet)):
                self._whole.broken("a picture before it did not come")
            if packet.is_corrupt:
                self._whole.broken("data was lost on the way")
            try:
                pictures = packet.decode()
            except ValueError as error:
                self._whole.broken(f"it can't be decoded ({type(error).__name__})")
                yield Decoded(None, self._whole.why)
                continue
            for picture in pictures:
                whole = self._whole.picture(key=picture.key_frame, corrupt=picture.is_corrupt)
                # As OpenCV does it, so that the same stream gives the same pixels.
                pixels = picture.to_ndarray(format="bgr24", interpolation="BICUBIC")
                yield Decoded(pixels) if whole else Decoded(None, self._whole.why)


_CHECK = "check that it is connected and powered, its address, user and password"
_LOSS = (
    "check the network to the camera, lower its bit rate, or let it send key pictures more often; "
    "parts get the fail-safe verdict until a whole one comes"
)
