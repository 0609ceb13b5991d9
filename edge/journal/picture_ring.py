"""Which pictures are worth keeping, and in what form."""

from __future__ import annotations

import hashlib
from typing import Literal

from edge.camera.decoding import encode_jpeg
from shared.contracts import Decision, Frame
from shared.inspection import NO_PICTURE
from shared.wire import DIGEST

Keep = Literal["uncertain", "all", "none"]
EVERY_NTH_PASS = 20


def digest_of(picture: bytes | None) -> str:
    """What an inspection says of its picture: whoever is shown it later can tell whose it is."""
    return hashlib.sha256(picture).hexdigest()[:DIGEST] if picture is not None else NO_PICTURE


class RingPolicy:
    """Chooses pictures for the ring: those that people will want to see, and a sample of the rest.

    Not safe to share between threads.
    """

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._passes = 0

    def picture(self, frame: Frame, decision: Decision) -> bytes | None:
        """The frame's bytes to keep, as the camera gave them or as JPEG; None to keep none."""
        if not self._wants(decision):
            return None
        return frame.encoded if frame.encoded is not None else encode_jpeg(frame.pixels)

    def _wants(self, decision: Decision) -> bool:
        if self._keep != "uncertain":
            return self._keep == "all"
        if decision is not Decision.PASS:
            return True
        self._passes += 1
        return self._passes % EVERY_NTH_PASS == 0
