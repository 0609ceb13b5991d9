"""Why there is no connection, or a message was not taken: in words, and what to do about it."""

from __future__ import annotations

import errno
import socket
import ssl
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """`text` is the same each time that the same thing happens."""

    text: str
    fix: str = ""


class NoAnswer(OSError):
    """The connection is taken, and nobody speaks."""


class NoBroker(OSError):
    """What answers does not speak MQTT 5."""


class ClosedInHandshake(OSError):
    """The connection is closed before TLS has begun."""


class ClosedEarly(OSError):
    """The connection is closed before CONNACK."""


_CERTIFICATE = "renew the broker's certificate, or set this machine's clock"
_AUTHORITY = "set broker.tls.ca to the authority that signed the broker's certificate"
# X509_V_ERR_… of OpenSSL's x509_vfy.h.
_VERIFY: dict[int, Reason] = {
    9: Reason("the broker's certificate is not valid yet", _CERTIFICATE),
    10: Reason("the broker's certificate has expired", _CERTIFICATE),
    23: Reason("the broker's certificate is revoked", "renew the broker's certificate"),
    **dict.fromkeys(
        # 7: an authority of the same name, made anew.
        (2, 7, 18, 19, 20, 21),
        Reason("the broker's certificate is of another authority than ours", _AUTHORITY),
    ),
}
_ALERTS = {
    "CERTIFICATE_REQUIRED": "it wants a certificate of this side, and got none",
    "CERTIFICATE_EXPIRED": "it takes this side's certificate for expired",
    "CERTIFICATE_REVOKED": "this side's certificate is revoked",
    "UNKNOWN_CA": "it does not know the authority of this side's certificate",
    "DECRYPT_ERROR": "it does not know the authority of this side's certificate",
    "BAD_CERTIFICATE": "it can't read this side's certificate",
    "CERTIFICATE_UNKNOWN": "it refuses this side's certificate",
    "UNSUPPORTED_CERTIFICATE": "it refuses this kind of certificate",
    "ACCESS_DENIED": "it refuses this side's certificate",
    "HANDSHAKE_FAILURE": "it agrees to no cipher, or wants a certificate of this side",
}
_NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}
_OWN = "check broker.tls.certificate and key, or enrol the box again: `splitsight edge enrol`"
_WHOSE = "check what listens there: host, port, and whether it wants TLS"

_NETWORK = "check the network, the address and firewalls"
_ERRORS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str, str], ...] = (
    (UnicodeError, "{host!r} is no name of a host", "check broker.host"),
    (NoAnswer, "port {port} is open, and nobody answers there as a broker does", _WHOSE),
    (NoBroker, "what answers on port {port} is no MQTT 5 broker", _WHOSE),
    (
        (ClosedInHandshake, ssl.SSLEOFError, ssl.SSLZeroReturnError),
        "port {port} closes the connection within the TLS handshake",
        _WHOSE,
    ),
    (
        (ClosedEarly, ConnectionResetError, BrokenPipeError),
        "port {port} is open, and closes the connection unheard",
        _WHOSE,
    ),
    (
        ConnectionRefusedError,
        "nothing listens on port {port}",
        "start the broker, or check broker.port",
    ),
    (TimeoutError, "no answer in time", _NETWORK),
)

_CODES: dict[int, Reason] = {
    0x80: Reason("for a reason that it does not tell", "see the broker's log"),
    0x81: Reason("it can't read what we send", "check that it is an MQTT 5 broker"),
    0x82: Reason("it says that we broke the protocol", "see the broker's log"),
    0x83: Reason("for a reason of its own", "see the broker's log"),
    0x84: Reason("it does not speak MQTT 5", "use a broker that does"),
    0x85: Reason("it does not take this client's name", "check the broker's rules for names"),
    0x86: Reason("it refuses user name or password", "check broker.username and password"),
    0x87: Reason("not authorised", "check the broker's ACL for this client"),
    0x88: Reason("it is not available", "see the broker's log"),
    0x89: Reason("it is too busy", "check the broker's load"),
    0x8A: Reason("this client is banned", "see the broker's configuration"),
    0x8B: Reason("it shuts down", "start it again"),
    0x8C: Reason("it wants another way to log in", "check broker.username and password"),
    0x8D: Reason("it has not heard of us for too long", "check the network in between"),
    0x8E: Reason(
        "another client uses our name", "give each box a name of its own: `device` in its settings"
    ),
    0x8F: Reason("it does not take this filter", "check the broker's rules for topics"),
    0x90: Reason("it does not take this topic", "check the broker's rules for topics"),
    0x93: Reason("we sent more at once than it takes", "raise its receive maximum"),
    0x95: Reason("the message is larger than it takes", "raise its limit for messages"),
    0x96: Reason("we send too fast", "raise its limit for messages a second"),
    0x97: Reason("its quota for this client is used up", "raise the broker's quota"),
    0x98: Reason("somebody ended the connection there", "see the broker's log"),
    0x99: Reason("it does not take this kind of payload", "see the broker's log"),
    0x9A: Reason("it keeps no retained messages", "allow retained messages at the broker"),
    0x9B: Reason("it does not take this quality of service", "allow QoS 1 at the broker"),
    0x9C: Reason("it sends us to another server", "set broker.host to that one"),
    0x9D: Reason("it has moved", "set broker.host to where it is now"),
    0x9E: Reason("it has no shared subscriptions", "use a broker that has them"),
    0x9F: Reason("we connect too often", "check whether two clients use one name"),
    0xA0: Reason("its longest time for a connection is over"),
    0xA1: Reason("it does not take subscription identifiers"),
    0xA2: Reason("it has no wildcard subscriptions", "use a broker that has them"),
}


def of_code(code: int) -> Reason:
    """What a broker means by a reason code of MQTT 5."""
    return _CODES.get(code, Reason(f"reason 0x{code:02x}", "see the broker's log"))


def of_error(error: BaseException, host: str, port: int) -> Reason:
    """Why a connection to a broker could not be made, from what trying it raised."""
    if isinstance(error, socket.gaierror):
        return _of_name(error, host)
    if isinstance(error, TimeoutError) and "handshake" in str(error):
        return Reason("no answer in time to the TLS handshake", _NETWORK)
    for kinds, text, fix in _ERRORS:
        if isinstance(error, kinds):
            return Reason(text.format(host=host, port=port), fix)
    if isinstance(error, ssl.SSLError):
        return _of_tls(error, host, port)
    number = error.errno if isinstance(error, OSError) else None
    if number in {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN}:
        return Reason("there is no route to it", "check this machine's network")
    return Reason(f"{type(error).__name__}: {error}", "check broker.host and port")


def _of_name(error: socket.gaierror, host: str) -> Reason:
    if error.errno == socket.EAI_AGAIN:
        return Reason(f"no name server answers for {host!r}", "check this machine's name server")
    return Reason(
        f"the name {host!r} is not found", "check broker.host, and this machine's name server"
    )


def _of_certificate(error: ssl.SSLCertVerificationError, host: str) -> Reason:
    other = Reason(
        f"the broker's certificate is for another name than {host!r}",
        "set broker.host to a name in the certificate, or have it made for this one",
    )
    # 62 and 64: X509_V_ERR_HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH.
    known = other if error.verify_code in {62, 64} else _VERIFY.get(error.verify_code)
    return known or Reason(
        f"the broker's certificate is not good ({error.verify_message})", _CERTIFICATE
    )


def _of_tls(error: ssl.SSLError, host: str, port: int) -> Reason:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _of_certificate(error, host)
    said = getattr(error, "reason", "") or ""
    for alert, text in _ALERTS.items():
        if said.endswith(f"ALERT_{alert}"):
            return Reason(text, _OWN)
    if "PROTOCOL_VERSION" in said or said in {"UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE"}:
        return Reason("it speaks no version of TLS that we do", "allow TLS 1.2 or 1.3 there")
    if said in _NO_TLS:
        return Reason(
            f"what answers on port {port} does not speak TLS",
            "check broker.port, or leave out broker.tls",
        )
    return Reason(f"TLS fails ({said or error})", _WHOSE)
