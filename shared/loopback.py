"""Addresses that only this machine can reach, and whether a port of theirs is free."""

from __future__ import annotations

import errno
import ipaddress
import socket

from shared.errors import ProcessError


def is_loopback(host: str) -> bool:
    """Whether `host` can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def shown(host: str, port: int) -> str:
    """`host:port` as URLs and people write it: an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bind(host: str, port: int, *, setting: str) -> socket.socket:
    """A listening-ready TCP socket; port 0 takes any free one.

    setting   the name of the setting to change, for the error
    Raises ProcessError where the port is taken or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # By its name: of a connection that came by a nameless one asyncio does not know that it is TCP,
    # and leaves small pieces waiting for the other side's word, 40 ms for each answer.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        taken = error.errno == errno.EADDRINUSE
        reason = "is taken by another process" if taken else f"can't be used ({error.strerror})"
        raise ProcessError(
            f"port {port} on {host} {reason}",
            fix=f"stop what listens there (`ss -ltnp` names it), or change {setting}",
        ) from error
    return sock


def require_free(host: str, port: int, *, setting: str) -> None:
    """Raises ProcessError where `bind` would."""
    bind(host, port, setting=setting).close()


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with bind("127.0.0.1", 0, setting="the port") as sock:
        port: int = sock.getsockname()[1]
    return port
