"""How many bytes the journal may take, by the disk as it is now."""

from __future__ import annotations

import math
import shutil
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LEAST_BYTES = 1 << 20
MARKS = 100

FreeSpace = Callable[[Path], int]
"""Bytes that are free on the disk of a folder. Raises OSError."""


def free_space(folder: Path) -> int:
    return shutil.disk_usage(folder).free


@dataclass(frozen=True, slots=True)
class Caps:
    """How many bytes inspections, pictures and labelled pictures may take."""

    rows: int
    ring: int
    labels: int = 0


class Quota:
    """What is configured, or half of what is free where that is less.

    Inspections come before pictures: these get what those have not taken.
    """

    def __init__(
        self,
        configured: Caps,
        free: FreeSpace = free_space,
        *,
        max_age_s: float = math.inf,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """max_age_s: for which an inspection waits for the cloud while the agent runs

        monotonic   seconds on a clock that never jumps
        """
        self.configured = configured
        self._free = free
        self._max_age_s = max_age_s
        self._monotonic = monotonic
        self._marks: deque[tuple[float, int]] = deque()

    def too_old(self, newest: int) -> int:
        """The highest id that was given out so long ago that it need wait no longer, 0 for none.

        newest   the highest id now
        Counts the time that the agent has run since: the box's clock may jump by decades.
        """
        now = self._monotonic()
        if not self._marks or now - self._marks[-1][0] >= self._max_age_s / MARKS:
            self._marks.append((now, newest))
        past = [mark for mark in self._marks if now - mark[0] > self._max_age_s]
        for _ in past[:-1]:
            self._marks.popleft()
        return past[-1][1] if past else 0

    def free(self, path: Path) -> int | None:
        """Bytes that are free beside a journal; None where the disk does not say."""
        try:
            return self._free(path.parent)
        except OSError:
            return None

    def caps(self, path: Path, rows: int = 0) -> Caps:
        """What this journal may take now.

        rows   bytes that its inspections take already
        """
        free, wanted = self.free(path), self.configured
        if free is None:
            return wanted
        own = taken(path)
        room = (free + own) // 2
        left = max(0, room - rows)
        share = min(1.0, left / max(1, wanted.ring + wanted.labels))
        # No inspection need go for room that the file has already.
        most = min(wanted.rows, max(room, own, LEAST_BYTES))
        return Caps(most, int(wanted.ring * share), int(wanted.labels * share))


def taken(path: Path) -> int:
    """Bytes that a journal takes on the disk, with what waits beside it to be brought into it."""
    return sum(size_of(one) for one in (path, wal_of(path)))


def wal_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def size_of(path: Path) -> int:
    """Bytes of a file, 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
