"""Something large in pieces, and the pieces together again. Nothing here sends anything."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from shared.errors import WireError
from shared.wire import MAX_BODY

STEP = 64 * 1024
"""Bytes a piece. More would let an escalation wait behind it on a slow link: 50 ms at 10 Mbit/s."""


def piece(payload: bytes, index: int, step: int = STEP) -> bytes:
    """One piece. Raises WireError where there is none of this number."""
    if not 0 <= index < count_of(len(payload), step):
        raise WireError(f"there is no piece {index} of {len(payload)} B")
    return payload[index * step : (index + 1) * step]


def count_of(size: int, step: int = STEP) -> int:
    """How many pieces `size` bytes make; nothing at all makes one, an empty one."""
    return max(1, -(-size // step))


MOST_PIECES = 65_536
"""Of one payload. An announcement of 150 bytes must not make a list of millions."""


class Assembly:
    """Pieces of one payload, in any order, as often as they come.

    Takes as much memory as has come. Raises WireError for a size beyond `most`, or more pieces than
    `MOST_PIECES`, before any is taken.
    """

    def __init__(self, size: int, step: int, sha256: str, *, most: int) -> None:
        fits = 0 <= size <= most and 0 < step <= MAX_BODY
        if not fits or count_of(size, step) > MOST_PIECES:
            raise WireError(
                f"{size} B in pieces of {step} were announced",
                fix=f"at most {most} B in {MOST_PIECES} pieces of {MAX_BODY} B are taken",
            )
        self.size = size
        self.step = step
        self.sha256 = sha256
        self._pieces: dict[int, bytes] = {}
        self._count = count_of(size, step)
        self._first = 0

    def put(self, index: int, body: bytes) -> bool:
        """Whether the piece was lacking. Raises WireError where it is not one of this payload."""
        if not 0 <= index < self._count:
            raise WireError(f"piece {index} came, there are {self._count}")
        wanted = min(self.step, self.size - index * self.step)
        if len(body) != wanted:
            raise WireError(f"piece {index} has {len(body)} B, {wanted} were wanted")
        if index in self._pieces:
            return False
        self._pieces[index] = bytes(body)
        while self._first in self._pieces:
            self._first += 1
        return True

    @property
    def is_whole(self) -> bool:
        return len(self._pieces) == self._count

    def lacking(self) -> Iterator[int]:
        """Numbers of the pieces that have not come, in order."""
        return (index for index in range(self._first, self._count) if index not in self._pieces)

    def whole(self) -> bytes:
        """The payload. Raises WireError where it is not what was announced."""
        if not self.is_whole:
            raise WireError(f"{self._count - len(self._pieces)} pieces are lacking")
        payload = b"".join(self._pieces[index] for index in range(self._count))
        found = hashlib.sha256(payload).hexdigest()
        if found != self.sha256:
            raise WireError(f"the pieces make sha256 {found[:12]}…, not {self.sha256[:12]}…")
        return payload
