"""Connections that ask nothing: shed before they keep out those that do.

uvicorn waits for a first request for ever, and for its end too.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from shared.descriptors import open_files

HANDSHAKE_S = 10.0
# Open files that callers never get: the database, the broker, logs.
RESERVED = 256
MOST = 4096


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How long and how many may be silent.

    head_s       from the first moment of a connection, or first byte of a later request, to the end
                 of its head
    body_s       from there to the end of its body
    per_address  connections of one address that wait for a request; one more ends the oldest
    most         connections in all; one more ends the oldest that waits, or is not taken
    """

    head_s: float = 10.0
    body_s: float = 120.0
    per_address: int = 64
    most: int = MOST


class HttpAdmission:
    """The connections of one server that wait for a request. For its event loop's thread."""

    def __init__(self, limits: RequestLimits) -> None:
        self.limits = limits
        self._waiting: OrderedDict[GuardedProtocol, str] = OrderedDict()
        self._of: dict[str, int] = {}
        self.shed = 0

    def wait(self, one: GuardedProtocol, address: str, open_now: int) -> None:
        """This connection has not asked anything yet."""
        self._waiting[one] = address
        self._of[address] = self._of.get(address, 0) + 1
        if self._of[address] > self.limits.per_address:
            self._end(next(other for other, of in self._waiting.items() if of == address))
        elif open_now > min(self.limits.most, open_files() - RESERVED):
            self._end(next(iter(self._waiting)))

    def forget(self, one: GuardedProtocol) -> None:
        """It has asked, or is gone."""
        address = self._waiting.pop(one, None)
        if address is not None:
            self._of[address] -= 1
            if not self._of[address]:
                del self._of[address]

    def _end(self, one: GuardedProtocol) -> None:
        self.shed += 1
        one.shed()


class GuardedProtocol(H11Protocol):
    """One connection, with limits on how long its requests may take to come."""

    admission: HttpAdmission
    _timer: asyncio.TimerHandle | None = None
    _reading: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_request(h11.IDLE)

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        state = self.conn.their_state
        if state not in {h11.IDLE, h11.SEND_BODY}:
            self._settle()
        elif self._timer is None or state is not self._reading:
            self._await_request(state)

    def shed(self) -> None:
        """End it, whatever it has said."""
        self._settle()
        self.transport.abort()

    def _await_request(self, state: object) -> None:
        self._settle()
        limits, self._reading = self.admission.limits, state
        within = limits.head_s if state is h11.IDLE else limits.body_s
        self._timer = self.loop.call_later(within, self.shed)
        address = self.client[0] if self.client else ""
        self.admission.wait(self, address, len(self.connections))

    def _settle(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.admission.forget(self)


def protocol_with(
    limits: RequestLimits, kind: type[GuardedProtocol] = GuardedProtocol
) -> type[GuardedProtocol]:
    """For `uvicorn.Config(http=...)`, of one server; `kind` adds something of its own."""
    return type("AdmittedProtocol", (kind,), {"admission": HttpAdmission(limits)})


class AdmittingLoop(asyncio.SelectorEventLoop):
    """An event loop whose servers wait for a TLS handshake no longer than HANDSHAKE_S."""

    async def create_server(self, *args: Any, **options: Any) -> asyncio.Server:
        if options.get("ssl") is not None:
            options.setdefault("ssl_handshake_timeout", HANDSHAKE_S)
        return await super().create_server(*args, **options)
