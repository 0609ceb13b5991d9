"""The listener for devices elsewhere: who may connect, what they may say, and who is put out.

Mosquitto 2.0 reads its list of revoked certificates again on SIGHUP, for new connections only. So
those that are denied lose their rights by the ACL, which SIGHUP reads too, and their connection:
a session's name is the certificate's there, and whoever takes it over on the plain listener ends
the old connection. Nobody else notices anything.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from pathlib import Path

from cloud.configuration.settings import SecureListenerSettings
from shared.descriptors import open_files
from shared.errors import SettingsError
from shared.log import get_logger
from shared.loopback import require_free
from shared.revocations import denied_names
from shared.topics import PREFIX
from shared.transport.mqtt import BrokerSettings, MqttTransport

log = get_logger("broker")

TAKEOVER_S, LOOK_S = 5.0, 0.1
# Who had shown its certificate before Mosquitto read the list may say its name afterwards, and is
# in: Mosquitto gives it 90 seconds for that. So nobody is taken to be out after one time.
AGAIN_S = (0.0, 2.0, 6.0, 15.0, 40.0, 100.0)
LISTENER = """\
listener {port} {host}
max_connections {most}
allow_anonymous false
cafile {ca}
certfile {certificate}
keyfile {key}
crlfile {crl}
require_certificate true
use_identity_as_username true
use_username_as_clientid true
acl_file {acl}
"""
# Open files that strangers never get: the cloud's own connection, the log, what Mosquitto opens.
RESERVED = 128
OWN_TOPICS = f"pattern readwrite {PREFIX}/+/+/%u/#\n"


def most_connections() -> int:
    """How many may be open there at a time: each takes an open file, as the cloud's own does."""
    return max(16, open_files() - RESERVED)


class SecureListener:
    """What Mosquitto is told of it."""

    def __init__(self, settings: SecureListenerSettings) -> None:
        self._settings = settings
        self._acl: Path | None = None
        self._seen = b""
        self._denied: tuple[str, ...] = ()
        self._to_end: list[tuple[float, str]] = []

    def check(self) -> None:
        """Raises SettingsError for files that are missing, ProcessError for a taken port."""
        for name in ("ca", "certificate", "key", "crl"):
            path: Path = getattr(self._settings, name)
            try:
                path.read_bytes()
            except OSError as error:
                raise SettingsError(
                    f"embedded_broker.secure.{name}: {path} can't be read ({error.strerror})",
                    fix="`splitsight fleet init` makes it; check the path and its owner",
                ) from error
        require_free(self._settings.host, self._settings.port, setting="embedded_broker.secure")

    def configured(self, folder: Path) -> str:
        """Its part of the configuration; writes the ACL into `folder`. Raises SettingsError."""
        self._acl = folder / "acl"
        try:
            self._read()
        except OSError as error:
            raise SettingsError(
                f"embedded_broker.secure.crl can't be read ({error})", fix="check its owner"
            ) from error
        settings = self._settings
        return LISTENER.format(
            host=settings.host,
            port=settings.port,
            ca=settings.ca,
            certificate=settings.certificate,
            key=settings.key,
            crl=settings.crl,
            acl=self._acl,
            most=most_connections(),
        )

    def changed(self) -> bool:
        """Whether the list differs from what the broker has read; then the ACL is written anew."""
        try:
            if self._settings.crl.read_bytes() == self._seen:
                return False
            before = self._denied
            self._read()
        except OSError as error:
            log.warning("list_unreadable", path=str(self._settings.crl), error=str(error))
            return False
        now = time.monotonic()
        for name in set(self._denied).difference(before):
            for later in AGAIN_S:
                heapq.heappush(self._to_end, (now + later, name))
        log.info("list_changed", denied=list(self._denied))
        return True

    def end_sessions(self, host: str, port: int, serves: Callable[[], bool]) -> None:
        """Take over, and so end, the sessions of those who are denied, as far as that is due.

        serves   whether there is a broker to ask: one that has ended has no sessions either
        """
        while self._to_end and self._to_end[0][0] <= time.monotonic() and serves():
            _, name = heapq.heappop(self._to_end)
            # Who is readmitted since stays.
            if name in self._denied:
                self._take_over(name, host, port, serves)

    def _take_over(self, name: str, host: str, port: int, serves: Callable[[], bool]) -> None:
        successor = MqttTransport(BrokerSettings.model_validate({"host": host, "port": port}), name)
        successor.start()
        give_up = time.monotonic() + TAKEOVER_S
        while serves() and not successor.wait_until_connected(LOOK_S):
            if time.monotonic() > give_up:
                log.warning("session_not_ended", device=name)
                break
        successor.stop()

    def _read(self) -> None:
        if self._acl is None:
            return
        seen = self._settings.crl.read_bytes()
        self._denied = denied_names(self._settings.crl)
        rules = [f"user {name}\ntopic deny #\n\n" for name in self._denied]
        self._acl.write_text("".join([*rules, OWN_TOPICS]))
        self._seen = seen
