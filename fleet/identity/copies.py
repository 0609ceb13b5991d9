"""Notices one identity in two places, from the boots that its states name.

An agent makes up a new boot at each start and never returns to an old one. So a boot that speaks
again after another one did is a second agent under the same name.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque

from shared.contracts import DeviceState

REMEMBERED = 16
RETURNS = 2
"""How often a boot must have come back. Once is proof, twice is proof against a stray message."""


class CopyWatch:
    """Counts returns of earlier boots, by device."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._boots: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=REMEMBERED))
        self._returns: dict[str, int] = defaultdict(int)

    def seen(self, device: str, boot: str, state: DeviceState) -> bool:
        """Whether this state shows that the device is in two places."""
        if state == "offline":
            # A will: the broker speaks for an agent that has gone, often after its next start.
            return False
        with self._lock:
            boots = self._boots[device]
            if boots and boots[-1] == boot:
                return False
            returned = boot in boots
            if returned:
                boots.remove(boot)
                self._returns[device] += 1
            boots.append(boot)
            return returned and self._returns[device] >= RETURNS

    def forget(self, device: str) -> None:
        """Start anew, after a person has looked into it."""
        with self._lock:
            self._boots.pop(device, None)
            self._returns.pop(device, None)
