"""Tells systemd that the agent is alive, so that one that stands still is started again."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping

from shared.clock import Clock, SystemClock
from shared.log import get_logger

log = get_logger("watchdog")

EVERY_S = 10.0
WITHIN_S = 120.0
"""Without a beat for so long the service is ended. Asked for with the first beat, not in the unit:
a box may wait for its enrolment for days before it has anything to beat for."""


class Watchdog:
    """Beats at most every EVERY_S; without systemd it does nothing."""

    def __init__(self, clock: Clock, send: Callable[[str], None] | None) -> None:
        """send: tells systemd; None: it is not there"""
        self._clock = clock
        self._send = send
        self._beat_at: float | None = None

    def beat(self) -> None:
        now = self._clock.monotonic()
        if self._send is None or (self._beat_at is not None and now - self._beat_at < EVERY_S):
            return
        asked = "" if self._beat_at is not None else f"WATCHDOG_USEC={WITHIN_S * 1e6:.0f}\n"
        self._beat_at = now
        try:
            self._send(f"{asked}WATCHDOG=1")
        except OSError as error:
            log.debug("beat_unheard", error=str(error))


def heart(environment: Mapping[str, str] = os.environ) -> Watchdog:
    """The one of this process, by the socket that systemd named."""
    name = environment.get("NOTIFY_SOCKET")
    return Watchdog(SystemClock(), _sender(name) if name else None)


def _sender(name: str) -> Callable[[str], None]:
    # A name in the abstract namespace is written with an @.
    address = "\0" + name[1:] if name.startswith("@") else name

    def send(text: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
            notify.connect(address)
            notify.send(text.encode())

    return send
