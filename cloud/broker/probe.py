"""Whether a broker serves: a connection of MQTT 5 that it has to accept."""

from __future__ import annotations

import secrets
import socket
from typing import Literal

Answer = Literal["serves", "refuses", "silent"]
CONNACK = 0x20
CLEAN_START = 0x02


def ask(host: str, port: int, timeout_s: float) -> Answer:
    """Connect as a client would.

    refuses   it closes the connection or says no: it is there, and full or configured otherwise
    silent    nobody listens, or says anything within `timeout_s`
    """
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as sock:
            sock.settimeout(timeout_s)
            sock.sendall(_connect(f"probe-{secrets.token_hex(4)}"))
            answer = sock.recv(4)
            if len(answer) < 4 or answer[0] != CONNACK or answer[3] != 0:
                return "refuses"
            sock.sendall(b"\xe0\x00")
            return "serves"
    except ConnectionResetError:
        return "refuses"
    except OSError:
        return "silent"


def _connect(client_id: str) -> bytes:
    """A CONNECT packet (MQTT 5.0, section 3.1) without properties; keep alive 10 s."""
    name = client_id.encode()
    body = b"\x00\x04MQTT\x05" + bytes([CLEAN_START]) + b"\x00\x0a\x00"
    body += len(name).to_bytes(2, "big") + name
    return bytes([0x10, len(body)]) + body
