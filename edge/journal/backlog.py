"""What waits for the disk, bounded: a disk that can't be written must not stop the line."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from edge.journal.store import JournalStore

MOST_PARTS = 4096
# What becomes of parts that were taken on, and of those that the deadline decided.
MOST_WRITES = 4 * MOST_PARTS
MOST_PICTURE_BYTES = 64 << 20


@dataclass(slots=True)
class Write:
    """One thing to write.

    name      for people: what is lost where it can't be stored
    apply     the statements; may run again after a failed attempt
    done      called after the commit, on the writing thread
    picture   what is left out where the disk is full
    size      bytes of the picture
    """

    name: str
    apply: Callable[[JournalStore], None]
    done: Callable[[], None] | None = None
    picture: Callable[[JournalStore], None] | None = None
    size: int = 0

    @property
    def statements(self) -> list[Callable[[JournalStore], None]]:
        return [one for one in (self.apply, self.picture) if one is not None]

    def leave_picture_out(self) -> None:
        self.picture, self.size = None, 0


class Backlog:
    """Writes in the order in which they came. Safe to share between threads.

    changed   notified with each change of what waits
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._waiting: deque[Write] = deque()
        self._pictures = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, write: Write, most: int) -> bool:
        """Returns at once: whether there was room for it beside `most` others."""
        with self.changed:
            if len(self._waiting) >= most:
                return False
            self._waiting.append(write)
            self._pictures += write.size
            self.changed.notify_all()
        return True

    @property
    def has_room_for_pictures(self) -> bool:
        return self._pictures < MOST_PICTURE_BYTES

    def take_into(self, group: list[Write], most: int) -> None:
        """Move the oldest to the end of `group`, until that has `most`."""
        with self.changed:
            while self._waiting and len(group) < most:
                write = self._waiting.popleft()
                self._pictures -= write.size
                group.append(write)
