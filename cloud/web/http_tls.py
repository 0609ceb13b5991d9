"""The certificate of the API and the pages: how long it is good, and the next one taken up."""

from __future__ import annotations

import ssl
import threading
from pathlib import Path

from cryptography import x509

from shared.clock import Clock
from shared.errors import SettingsError
from shared.format import date
from shared.log import get_logger
from shared.worker import OnDeath, Worker

log = get_logger("web")

DAY_S = 86_400.0
SOON_S = 14 * DAY_S
LOOK_S = 60.0


class HttpTls:
    """A certificate and its key on disk. Safe to share between threads."""

    def __init__(self, certificate: Path, key: Path, clock: Clock) -> None:
        """Raises SettingsError where they can't be used together."""
        self._certificate = certificate
        self._key = key
        self._clock = clock
        self._lock = threading.Lock()
        # TLS 1.2 and newer, and no client certificates: people have passwords.
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._seen = self._stamp()
        self._not_after = self._load()
        self._problem = ""

    def watch(self, on_death: OnDeath, every_s: float = LOOK_S) -> Worker:
        """Look by itself, too: once the old one has expired nobody comes to ask. To be stopped."""

        def look() -> float:
            with self._lock:
                self._look()
            return every_s

        worker = Worker("certificate", look, on_death=on_death, retry_s=every_s)
        worker.start()
        return worker

    @property
    def problems(self) -> list[str]:
        """What somebody should do about it. A certificate that was renewed is taken up first: new
        connections get it, those that are there go on."""
        with self._lock:
            self._look()
            left_s = self._not_after - self._clock.utc()
            found = [self._problem] if self._problem else []
        if left_s <= 0:
            found.append(f"The certificate {self._certificate} has expired: browsers refuse it.")
        elif left_s < SOON_S:
            until = date(self._not_after)
            found.append(f"The certificate {self._certificate} expires at {until}: renew it.")
        return found

    def _look(self) -> None:
        try:
            now = self._stamp()
            if now == self._seen:
                return
            self._not_after = self._load()
        except (OSError, SettingsError) as error:
            # Half of a renewal may lie there, so it is looked at again.
            self._problem = f"The renewed certificate can't be used: {error}"
            return
        self._seen, self._problem = now, ""
        log.info("certificate_taken_up", path=str(self._certificate), until=date(self._not_after))

    def _load(self) -> float:
        """Raises SettingsError; then the context is as it was."""
        try:
            # Tried apart: a key that does not fit would leave the live one with half of a pair.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._certificate, self._key)
            pem = self._certificate.read_bytes()
            until = x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp()
            self.context.load_cert_chain(self._certificate, self._key)
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"{self._certificate} and {self._key} can't be used ({error})",
                fix="api.tls takes a certificate and its own key, both PEM and readable",
            ) from error
        return until

    def _stamp(self) -> tuple[int, ...]:
        try:
            return tuple(
                number
                for path in (self._certificate, self._key)
                for number in (path.stat().st_mtime_ns, path.stat().st_size, path.stat().st_ino)
            )
        except OSError as error:
            raise SettingsError(
                f"{error.filename} can't be read ({error.strerror})",
                fix="set api.tls.certificate and api.tls.key to PEM files",
            ) from error


class OpenHttp:
    """Says that others can read along."""

    def __init__(self, host: str) -> None:
        told = f"HTTP on {host} is not encrypted: passwords and tokens can be read on the way."
        self.problems = [f"{told} Set api.tls, or put a proxy that speaks TLS into api.proxies."]
