"""Something large in pieces, and the pieces together again. Nothing here sends anything."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

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


class Assembly:
    """Pieces of one payload, in any order, as often as they come.

    Raises WireError for a size beyond `most` before any memory is taken.
    """

    def __init__(self, size: int, step: int, sha256: str, *, most: int) -> None:
        if not 0 <= size <= most or not 0 < step <= MAX_BODY:
            raise WireError(
                f"{size} B in pieces of {step} were announced",
                fix=f"at most {most} B in pieces of {MAX_BODY} are taken",
            )
        self.size = size
        self.step = step
        self.sha256 = sha256
        self._bytes = bytearray(size)
        self._lacking = set(range(count_of(size, step)))

    def put(self, index: int, body: bytes) -> bool:
        """Whether the piece was lacking. Raises WireError where it is not one of this payload."""
        count = count_of(self.size, self.step)
        if not 0 <= index < count:
            raise WireError(f"piece {index} came, there are {count}")
        start = index * self.step
        wanted = min(self.step, self.size - start)
        if len(body) != wanted:
            raise WireError(f"piece {index} has {len(body)} B, {wanted} were wanted")
        if index not in self._lacking:
            return False
        self._bytes[start : start + wanted] = body
        self._lacking.discard(index)
        return True

    @property
    def is_whole(self) -> bool:
        return not self._lacking

    def lacking(self) -> Sequence[int]:
        """Numbers of the pieces that have not come, in order."""
        return sorted(self._lacking)

    def whole(self) -> bytes:
        """The payload. Raises WireError where it is not what was announced."""
        if not self.is_whole:
            raise WireError(f"{len(self._lacking)} pieces are lacking")
        found = hashlib.sha256(self._bytes).hexdigest()
        if found != self.sha256:
            raise WireError(f"the pieces make sha256 {found[:12]}…, not {self.sha256[:12]}…")
        return bytes(self._bytes)
