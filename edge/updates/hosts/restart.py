"""Hosts whose switch is another start: of the agent's process, or of the whole machine."""

from __future__ import annotations

from collections.abc import Callable

from edge.updates.base import Label, Opinion, Vitals
from shared.log import get_logger
from shared.storage.slots import Slot

log = get_logger("updates")


class RestartHost:
    """`Host` for what runs from the next start on. Its own start is what a trial's tries count."""

    # One may be lost to a power cut.
    tries = 2

    def __init__(self, running: Slot, restart: Callable[[], None]) -> None:
        """restart: asks for a start; returns at once, and may be called again"""
        self._running = running
        self._restart = restart
        self._asked = False
        self._vitals: Callable[[], Vitals] = lambda: Vitals(0)

    def attach(self, vitals: Callable[[], Vitals]) -> None:
        """How the agent fares in this start."""
        self._vitals = vitals

    def running(self) -> Slot:
        return self._running

    def prove(self, slot: Slot, label: Label) -> None:
        """Nothing can be said before it was started."""

    def shadow(self, slot: Slot, parts: int) -> None:
        """It decides nothing that could be compared."""

    def shadowed(self) -> Opinion:
        return Opinion(done=True)

    def switch(self, slot: Slot) -> None:
        if slot != self._running:
            if not self._asked:
                log.info("restart_asked", slot=slot)
            self._asked = True
            self._restart()

    def vitals(self) -> Vitals:
        return self._vitals()

    def rest(self) -> None:
        self._asked = False
