"""The brokers that can be embedded: how each is found, configured and started."""

from __future__ import annotations

import getpass
import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Literal, Protocol

from cloud.broker.tls_listener import SecureListener
from shared.errors import ProcessError, SettingsError
from shared.loopback import shown

MAX_PAYLOAD = 1 << 20
# Debian installs daemons where an ordinary user's PATH does not look.
SBIN = "/usr/sbin:/usr/local/sbin"

MOSQUITTO = """\
per_listener_settings true
listener {port} {host}
allow_anonymous true
{secure}set_tcp_nodelay true
persistence false
max_packet_size {max_packet}
max_queued_messages 10000
user {user}
log_dest stderr
log_type error
"""

IOTCORE = """\
id = 0

[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 16777216
max_segment_count = 8

[v5.1]
name = "v5"
listen = "{listen}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = {max_payload}
max_inflight_count = 200
dynamic_filters = true
"""


class BrokerProgram(Protocol):
    """One kind of broker."""

    name: str

    def found(self) -> str | None:
        """Where it is installed, or None."""

    def command(
        self, host: str, port: int, folder: Path, secure: SecureListener | None = None
    ) -> list[str]:
        """Write its configuration into `folder`; the command that starts it.

        Raises ProcessError where it is not installed, SettingsError where it can't be secured.
        """


class Mosquitto:
    """Eclipse Mosquitto, from the system's packages."""

    name = "mosquitto"

    def found(self) -> str | None:
        return shutil.which("mosquitto") or shutil.which("mosquitto", path=SBIN)

    def command(
        self, host: str, port: int, folder: Path, secure: SecureListener | None = None
    ) -> list[str]:
        program = self.found()
        if program is None:
            raise ProcessError("mosquitto is not installed", fix="apt install mosquitto")
        config = folder / "mosquitto.conf"
        # As root it would change its user, and Linux then forgets to end it with its parent.
        text = MOSQUITTO.format(
            host=host,
            port=port,
            secure=secure.configured(folder) if secure else "",
            max_packet=MAX_PAYLOAD + 4096,
            user=getpass.getuser(),
        )
        config.write_text(text)
        return [program, "-c", str(config)]


class IotCore:
    """rumqttd inside the Python package iotcore; its MQTT 5 listener only."""

    name = "iotcore"

    def found(self) -> str | None:
        spec = importlib.util.find_spec("iotcore")
        return spec.origin if spec else None

    def command(
        self, host: str, port: int, folder: Path, secure: SecureListener | None = None
    ) -> list[str]:
        if secure is not None:
            raise SettingsError(
                "embedded_broker.secure needs mosquitto: iotcore lets any certificate in",
                fix="apt install mosquitto, or leave out embedded_broker.secure",
            )
        if self.found() is None:
            raise ProcessError("iotcore is not installed", fix="pip install 'splitsight[cloud]'")
        config = folder / "iotcore.toml"
        config.write_text(IOTCORE.format(listen=shown(host, port), max_payload=MAX_PAYLOAD))
        return [sys.executable, "-P", "-m", "cloud.broker.iotcore_process", str(config)]


PROGRAMS: tuple[BrokerProgram, ...] = (Mosquitto(), IotCore())


def choose_program(kind: Literal["auto", "mosquitto", "iotcore"]) -> BrokerProgram:
    """The named kind; `auto` takes the first that is installed.

    Raises ProcessError where it is not installed.
    """
    wanted = [program for program in PROGRAMS if kind in {"auto", program.name}]
    for program in wanted:
        if program.found():
            return program
    names = " nor ".join(program.name for program in wanted)
    raise ProcessError(
        f"{names} is not installed",
        fix="apt install mosquitto, or pip install 'splitsight[cloud]' for iotcore",
    )
