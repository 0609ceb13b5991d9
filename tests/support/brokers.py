"""Brokers as plants have them: Mosquitto set up in some way, and listeners that say given bytes."""

from __future__ import annotations

import datetime as dt
import getpass
import ipaddress
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from cloud.broker.programs import Mosquitto
from shared.loopback import free_port
from shared.transport.mqtt import BrokerSettings

CONNACK = b"\x20\x03\x00\x00\x00"
"""Taken, with nothing to say about limits."""


@contextmanager
def mosquitto(folder: Path, *lines: str, port: int | None = None) -> Iterator[int]:
    """A Mosquitto with these lines in its configuration; its port."""
    program = Mosquitto().found()
    if program is None:
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    number = port or free_port()
    config = folder / f"mosquitto-{number}.conf"
    fixed = [f"listener {number} 127.0.0.1", f"user {getpass.getuser()}", "log_dest stderr"]
    anonymous = [] if any("allow_anonymous" in line for line in lines) else ["allow_anonymous true"]
    config.write_text("\n".join([*fixed, *anonymous, "log_type all", *lines, ""]))
    with subprocess.Popen([program, "-c", config], stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        said = []
        for line in child.stderr:
            said.append(line)
            if "running" in line:
                break
        assert child.poll() is None, said
        drain = threading.Thread(target=child.stderr.read, daemon=True)
        drain.start()
        try:
            yield number
        finally:
            child.terminate()
            child.wait(10)
            drain.join(10)


@contextmanager
def listener(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A listener that does `answer` with each connection that it takes; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ending = threading.Event()

        def serve() -> None:
            while not ending.is_set():
                with suppress(OSError, ssl.SSLError):
                    taken, _ = server.accept()
                    with taken:
                        taken.settimeout(5.0)
                        answer(taken)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            ending.set()
            # Closing does not wake who accepts; a last connection does.
            with suppress(OSError):
                socket.create_connection(server.getsockname()[:2], 1.0).close()
            thread.join(10)


def saying(*packets: bytes) -> Callable[[socket.socket], None]:
    """Hears the CONNECT, says these bytes, and hears until the other side has gone."""

    def answer(taken: socket.socket) -> None:
        if taken.recv(4096):
            for packet in packets:
                taken.sendall(packet)
            while taken.recv(65536):
                pass

    return answer


def at(port: int, **settings: object) -> BrokerSettings:
    return BrokerSettings.model_validate({"port": port, "connect_timeout_s": 2.0, **settings})


class Papers:
    """An authority and what it signs, for one test."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        made = self._builder(self._name, self._key.public_key(), 30).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def certificate(self, name: str, *, days: float = 30) -> Path:
        """A file with key and certificate for a host name or address; `days` may be in the past."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        alternative: x509.GeneralName = x509.DNSName(name)
        with suppress(ValueError):
            alternative = x509.IPAddress(ipaddress.ip_address(name))
        made = self._builder(subject, key.public_key(), days).add_extension(
            x509.SubjectAlternativeName([alternative]), critical=False
        )
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path = self.folder / f"{name}-{days}.pem"
        signed = made.sign(self._key, hashes.SHA256())
        path.write_bytes(secret + signed.public_bytes(Encoding.PEM))
        return path

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, days: float
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=60))
            .not_valid_after(now + dt.timedelta(days=days))
        )
