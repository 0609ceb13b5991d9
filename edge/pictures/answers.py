"""What is answered to a request: a whole picture, its most suspicious place, or the head's map."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.camera.decoding import encode_jpeg
from edge.journal.picture_ring import digest_of
from edge.pictures.maps import HeadLook, LooksAgain, Unseen, grey_png, pixels_of
from edge.pictures.reader import KeptPictures
from shared.contracts import PictureKind, PicturePolicy, shows
from shared.errors import JournalError
from shared.wire import MAX_PICTURE, PictureRequest

# Of each side of the picture: a ninth of its area.
REGION_SHARE = 1 / 3
LEAST_SIDE = 64
JPEG, PNG = b"\xff\xd8", b"\x89PNG"


@dataclass(frozen=True, slots=True)
class Answer:
    """All that is sent, in pieces; see `shared.wire.PicturePiece`."""

    content: bytes
    sha256: str
    kept: str
    frame: tuple[int, int]
    window: tuple[int, ...] = ()
    bundle: str = ""


class PictureRefused(Exception):
    """Nothing is sent, and why; see `shared.wire.PictureRefusal`."""

    def __init__(self, why: str, detail: str = "") -> None:
        super().__init__(detail)
        self.why = why
        self.detail = detail[:300]


class PictureAnswers:
    """Makes answers of what the box has kept and its own policy lets out. For one thread."""

    def __init__(self, kept: KeptPictures, again: LooksAgain, policy: PicturePolicy) -> None:
        self._kept = kept
        self.again = again
        self.policy: PicturePolicy = policy

    def answer(self, request: PictureRequest) -> Answer:
        """Raises PictureRefused."""
        if not shows(self.policy, request.what):
            raise PictureRefused("policy", f"pictures.policy is {self.policy} on this box")
        try:
            kept = self._kept.picture(request.boot, request.sequence)
            if kept is None:
                raise PictureRefused("gone", "the box has no picture of it, or none any more")
            answer = self._made(kept, request.what)
        except (JournalError, Unseen) as error:
            raise PictureRefused("unreadable", str(error)) from error
        if len(answer.content) > MAX_PICTURE:
            size = len(answer.content)
            raise PictureRefused("unreadable", f"it has {size} B, at most {MAX_PICTURE} are sent")
        return answer

    def _made(self, kept: bytes, what: PictureKind) -> Answer:
        if what == "full":
            return _whole(kept)
        seen = self.again.look(kept)
        height, width = seen.pixels.shape[:2]
        if what == "map":
            return _answer(grey_png(seen.defect_map), kept, (width, height), bundle=seen.bundle)
        window = suspicious_window(seen)
        left, top, across, down = window
        cut = np.ascontiguousarray(seen.pixels[top : top + down, left : left + across])
        return _answer(encode_jpeg(cut), kept, (width, height), window=window, bundle=seen.bundle)


def _whole(kept: bytes) -> Answer:
    """As it was kept; of a format that no browser shows a JPEG."""
    if kept.startswith((JPEG, PNG)):
        return _answer(kept, kept, (0, 0))
    pixels = pixels_of(kept)
    height, width = pixels.shape[:2]
    return _answer(encode_jpeg(pixels), kept, (width, height))


def _answer(
    content: bytes,
    kept: bytes,
    frame: tuple[int, int],
    *,
    window: tuple[int, ...] = (),
    bundle: str = "",
) -> Answer:
    sha256 = hashlib.sha256(content).hexdigest()
    return Answer(content, sha256, digest_of(kept), frame, window, bundle[:64])


def suspicious_window(seen: HeadLook) -> tuple[int, int, int, int]:
    """Left, top, width and height, in pixels, of the neighbourhood of the place that is the most
    suspicious to the head."""
    height, width = seen.pixels.shape[:2]
    sure: NDArray[np.float32] = np.nan_to_num(seen.defect_map, nan=1.0)
    row, column = np.unravel_index(int(np.argmax(sure)), sure.shape)
    across, down = (
        min(side, max(LEAST_SIDE, round(side * REGION_SHARE))) for side in (width, height)
    )
    left = _kept_within((int(column) + 0.5) / sure.shape[1] * width, across, width)
    top = _kept_within((int(row) + 0.5) / sure.shape[0] * height, down, height)
    return left, top, across, down


def _kept_within(middle: float, length: int, whole: int) -> int:
    """Where a stretch around `middle` begins that lies within the whole."""
    return max(0, min(round(middle - length / 2), whole - length))
