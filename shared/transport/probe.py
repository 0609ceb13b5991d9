"""Tries a broker once: whether it takes us, and what it takes."""

from __future__ import annotations

import contextlib
import secrets
import socket
import ssl
from dataclasses import dataclass
from typing import Any

from paho.mqtt import client as paho

from shared.errors import TransportError
from shared.loopback import shown
from shared.transport.client import BrokerClient
from shared.transport.limit import BrokerLimits
from shared.transport.mqtt import KEEPALIVE_S, BrokerSettings, open_client, tls_context
from shared.transport.reasons import ClosedEarly, Reason, of_code, of_error

ALERT_S = 0.5
STEP_S = 0.1


@dataclass(frozen=True, slots=True)
class BrokerProbe:
    """A broker that answers.

    limits    what it said that it takes; None: it was not asked
    expires   when its certificate ends, UTC seconds; None: without TLS
    """

    limits: BrokerLimits | None
    expires: float | None


def probe(settings: BrokerSettings, context: ssl.SSLContext | None = None) -> BrokerProbe:
    """Connect once, under a name that nobody has, and leave again.

    context   trust and identity, instead of those of settings.tls
    Raises TransportError with the reason, and what to do about it.
    """
    if context is None and settings.tls is not None:
        context = tls_context(settings.tls)
    expires = None
    if context is not None:
        # What is wrong with certificates is surely told here, and often lost once we speak.
        expires = probe_tls(settings, context).expires
    client = open_client(settings, f"splitsight-check-{secrets.token_hex(6)}", context)
    answers: list[tuple[int, object]] = []

    def connected(_client: paho.Client, _data: Any, _flags: Any, reason: Any, said: Any) -> None:
        answers.append((reason.value, said))

    client.on_connect = connected
    client.connect_async(settings.host, settings.port, keepalive=KEEPALIVE_S)
    try:
        client.reconnect()
        while not answers and client.socket() is not None:
            client.loop(STEP_S)
    except OSError as error:
        raise _failed(_why(client, settings, error), settings) from error
    finally:
        client.disconnect()
        client.let_go()
    if not answers:
        raise _failed(_why(client, settings, None), settings)
    code, said = answers[0]
    if code:
        refused = of_code(code)
        raise _failed(Reason(f"the broker refuses us: {refused.text}", refused.fix), settings)
    return BrokerProbe(BrokerLimits.of(said), expires)


def probe_tls(settings: BrokerSettings, context: ssl.SSLContext) -> BrokerProbe:
    """Show our certificate and see theirs, and say no more: no session is made, and none ended.

    Raises TransportError with the reason, and what to do about it.
    """
    place = (settings.host, settings.port)
    try:
        with (
            socket.create_connection(place, timeout=settings.connect_timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=settings.host) as secured,
        ):
            certificate = secured.getpeercert() or {}
            secured.settimeout(ALERT_S)
            # With TLS 1.3 a certificate is refused after the handshake. Silence means consent.
            with contextlib.suppress(TimeoutError):
                if not secured.recv(1):
                    raise ClosedEarly("closed")
    except (OSError, UnicodeError) as error:
        raise _failed(of_error(error, *place), settings) from error
    return BrokerProbe(None, float(ssl.cert_time_to_seconds(str(certificate["notAfter"]))))


def _why(client: BrokerClient, settings: BrokerSettings, error: OSError | None) -> Reason:
    failure = client.failure or error or ClosedEarly("closed")
    return of_error(failure, settings.host, settings.port)


def _failed(reason: Reason, settings: BrokerSettings) -> TransportError:
    where = shown(settings.host, settings.port)
    return TransportError(f"{where}: {reason.text}", fix=reason.fix)
