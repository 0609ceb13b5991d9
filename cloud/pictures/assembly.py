"""Pieces of a picture become one, each checked before it counts."""

from __future__ import annotations

import hashlib

from cloud.pictures.base import BadAnswer, ShownPicture
from shared.contracts import InspectionKey, PictureKind
from shared.inspection import NO_PICTURE
from shared.opener import Unopenable, require_picture
from shared.wire import DIGEST, MAX_PICTURE, PictureMessage, PicturePiece

MOST_PIXELS = 1 << 26
MOST_MAP_PIXELS = 1 << 20
_END_SEARCH = 1024
# First bytes, media type, and what stands near the end of a whole one.
_FORMATS = (
    (b"\xff\xd8\xff", "image/jpeg", b"\xff\xd9"),
    (b"\x89PNG\r\n\x1a\n", "image/png", b"IEND"),
)


class PictureAssembly:
    """What has come of one answer. Holds at most MAX_PICTURE bytes, and as long as it lives."""

    def __init__(self, key: InspectionKey, what: PictureKind, digest: str) -> None:
        """digest: what the inspection says of the picture"""
        self._key = key
        self._what: PictureKind = what
        self._digest = "" if digest == NO_PICTURE else digest
        self._first: PicturePiece | None = None
        self._content = bytearray()

    @property
    def length(self) -> int:
        """Bytes that are here: the place of the next piece."""
        return len(self._content)

    @property
    def complete(self) -> bool:
        return self._first is not None and self.length >= self._first.size

    def require_asked(self, message: PictureMessage) -> None:
        """Raises BadAnswer where it answers something else."""
        said = (message.boot, message.sequence, message.what)
        if said != (self._key.boot, self._key.sequence, self._what):
            raise self._bad(f"with {message.what} of {message.boot}/{message.sequence}")

    def take(self, piece: PicturePiece, body: bytes) -> bool:
        """Whether it is the next one; what came before or too soon changes nothing.

        Raises BadAnswer where it does not belong to what was asked, or is too large.
        """
        self.require_asked(piece)
        if not 0 < piece.size <= MAX_PICTURE:
            raise self._bad(f"with {piece.size} B, at most {MAX_PICTURE} are taken")
        if self._digest and piece.kept != self._digest:
            raise self._bad(
                f"with the picture {piece.kept}, and the part was inspected on {self._digest}"
            )
        if self._first is not None and _whole(piece) != _whole(self._first):
            raise self._bad("with pieces of two pictures")
        if piece.place != self.length:
            return False
        if not body or piece.place + len(body) > piece.size:
            raise self._bad(f"with {len(body)} B at {piece.place} of {piece.size}")
        self._first = self._first or piece
        self._content += body
        return True

    def picture(self) -> ShownPicture:
        """All of it. Raises BadAnswer where it is none, or not the one that its pieces named."""
        first, content = self._first, bytes(self._content)
        if first is None:
            raise self._bad("with nothing")
        found = hashlib.sha256(content).hexdigest()
        if found != first.sha256:
            raise self._bad("with bytes that are not the ones it named")
        if self._what == "full" and first.frame == (0, 0) and found[:DIGEST] != first.kept:
            raise self._bad("with another picture than it says it has kept")
        self._require_window(first)
        return ShownPicture(
            self._key,
            self._what,
            content,
            self._media(content),
            found,
            first.frame,
            first.window,
            first.bundle,
        )

    def _media(self, content: bytes) -> str:
        for begins, media, ends in _FORMATS:
            if not content.startswith(begins):
                continue
            if ends not in content[-_END_SEARCH:]:
                raise self._bad("with a picture that is cut off")
            if self._what == "map" and media != "image/png":
                break
            try:
                require_picture(content, MOST_MAP_PIXELS if self._what == "map" else MOST_PIXELS)
            except Unopenable as error:
                raise self._bad(f"with a picture that nobody opens: {error}") from error
            return media
        raise self._bad("with what is no picture")

    def _require_window(self, first: PicturePiece) -> None:
        if self._what != "region":
            return
        if len(first.window) == 4:
            left, top, width, height = first.window
            across, down = first.frame
            if 0 < width <= across - left and 0 < height <= down - top:
                return
        raise self._bad(f"with a region {first.window} of {first.frame}")

    def _bad(self, what: str) -> BadAnswer:
        device, boot, sequence = self._key
        return BadAnswer(
            f"{device} was asked for {self._what} of {boot}/{sequence} and answers {what[:200]}",
            fix="nothing of it is shown; see what runs on that box",
        )


def _whole(piece: PicturePiece) -> tuple[object, ...]:
    """What all pieces of one answer say alike."""
    return piece.size, piece.sha256, piece.kept, piece.frame, piece.window, piece.bundle
