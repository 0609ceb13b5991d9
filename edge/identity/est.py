"""The device's side of EST (RFC 7030): a request out, a certificate back."""

from __future__ import annotations

import base64
import binascii
import json
import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NoReturn, Protocol

import urllib3
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import pkcs7
from urllib3 import exceptions as wrong

from edge.identity.clock import check_times, earliest
from edge.identity.folder import Credential
from shared.clock import Clock
from shared.errors import ClaimRefused, IdentityError, TransportError
from shared.format import date

PREFIX = "/.well-known/est"
STANDING = "/.well-known/splitsight/standing"
REVOKED = "/.well-known/splitsight/revoked"
CONNECT_S = 5.0
READ_S = 15.0
MAX_ANSWER = 64 * 1024
MOST_REVOKED = 8 << 20
# OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED.
TIME_ERRORS = frozenset({9, 10})


class Certifies(Protocol):
    """Who gives certificates.

    Raises ClaimRefused, IdentityError for another refusal, TransportError where it can't be
    reached or is busy.
    """

    def enrol(self, token: str, request: bytes) -> x509.Certificate:
        """The first certificate, for a claim token."""

    def renew(self, shown: Credential, request: bytes) -> x509.Certificate:
        """The next certificate, for who holds the present one."""

    def check(self, shown: Credential) -> None:
        """Whether the fleet still takes this certificate."""

    def revoked(self) -> bytes:
        """The fleet's list of revoked certificates, PEM."""

    said_utc: float | None
    """The fleet's UTC seconds in its last answer, a refusal too; None where it gave none."""


class EstClient:
    """`Certifies` over HTTPS; only the fleet's own authority is believed."""

    def __init__(self, gateway: str, ca: Path, clock: Clock) -> None:
        """gateway: https://HOST:PORT. Raises IdentityError where the authority can't be read."""
        self._gateway = gateway
        self._ca = ca
        self._clock = clock
        self.said_utc: float | None = None
        try:
            self._authority = x509.load_pem_x509_certificate(ca.read_bytes())
        except (OSError, ValueError) as error:
            raise IdentityError(
                f"identity.ca: {ca} can't be read ({error})",
                fix="copy authority/ca.pem of the fleet's folder to the box",
            ) from error

    def enrol(self, token: str, request: bytes) -> x509.Certificate:
        proof = base64.b64encode(f"claim:{token}".encode()).decode()
        return self._post("simpleenroll", request, {"authorization": f"Basic {proof}"}, None)

    def renew(self, shown: Credential, request: bytes) -> x509.Certificate:
        return self._post("simplereenroll", request, {}, shown)

    def check(self, shown: Credential) -> None:
        self._ask("GET", STANDING, shown)

    def revoked(self) -> bytes:
        return self._ask("GET", REVOKED, None, most=MOST_REVOKED)

    def _post(
        self, path: str, request: bytes, headers: Mapping[str, str], shown: Credential | None
    ) -> x509.Certificate:
        kind = {"content-type": "application/pkcs10", "content-transfer-encoding": "base64"}
        body = base64.encodebytes(request)
        answer = self._ask("POST", f"{PREFIX}/{path}", shown, body, {**kind, **headers})
        return self._certificate(answer, request)

    def _ask(
        self,
        method: str,
        path: str,
        shown: Credential | None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        most: int = MAX_ANSWER,
    ) -> bytes:
        self.said_utc = None
        with self._pool(shown) as pool:
            try:
                answer = pool.request(
                    method,
                    f"{self._gateway}{path}",
                    body=body,
                    headers=dict(headers or {}),
                    preload_content=False,
                    redirect=False,
                )
                told = answer.read(most)
                answer.release_conn()
                self.said_utc = _time_of(answer.headers.get("date", ""))
            except wrong.HTTPError as error:
                self._explain(error)
        if answer.status != 200:
            _refuse(answer.status, told, self._gateway)
        return told

    def _pool(self, shown: Credential | None) -> urllib3.PoolManager:
        context = ssl.create_default_context(cafile=str(self._ca))
        if shown is not None:
            try:
                context.load_cert_chain(shown.path)
            except (OSError, ssl.SSLError) as error:
                raise IdentityError(
                    f"{shown.path} can't be used ({error})", fix="enrol with a new claim"
                ) from error
        held = [shown.certificate] if shown is not None else []
        known = earliest([self._authority, *held])
        check_times(context, checked=self._clock.utc() >= known)
        limits = urllib3.Timeout(connect=CONNECT_S, read=READ_S)
        return urllib3.PoolManager(ssl_context=context, timeout=limits, retries=False)

    def _explain(self, error: Exception) -> NoReturn:
        """Say what is wrong: the clock and the wrong authority look alike otherwise."""
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
            cause = cause.args[0] if cause.args and isinstance(cause.args[0], Exception) else None
        if cause is None:
            raise TransportError(
                f"the fleet's gateway at {self._gateway} can't be reached ({error})",
                fix="it is tried again; check identity.gateway and the network",
            ) from error
        if cause.verify_code in TIME_ERRORS:
            raise IdentityError(
                f"this box's clock says {date(self._clock.utc())}, and by it the certificate of "
                f"{self._gateway} is not valid ({cause.verify_message})",
                fix="set the clock and switch on time synchronisation; if the clock is right, "
                "renew the gateway's certificate",
            ) from error
        raise IdentityError(
            f"{self._gateway} is not the gateway of this fleet ({cause.verify_message})",
            fix="check identity.gateway, and that identity.ca is the fleet's authority/ca.pem",
        ) from error

    def _certificate(self, body: bytes, request: bytes) -> x509.Certificate:
        try:
            found = pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))
            certificate = found[0]
            certificate.verify_directly_issued_by(self._authority)
        except (ValueError, IndexError, TypeError, InvalidSignature, binascii.Error) as error:
            raise IdentityError(
                f"{self._gateway} answered with no certificate of this fleet",
                fix="check that identity.gateway is the cloud's fleet.gateway",
            ) from error
        asked = x509.load_der_x509_csr(request)
        if (certificate.public_key(), certificate.subject) != (asked.public_key(), asked.subject):
            raise IdentityError(
                f"{self._gateway} answered with a certificate of another device",
                fix="check that identity.gateway is the cloud's fleet.gateway",
            )
        return certificate


def _time_of(date_header: str) -> float | None:
    """UTC seconds of an HTTP date."""
    try:
        return parsedate_to_datetime(date_header).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _refuse(status: int, body: bytes, gateway: str) -> NoReturn:
    try:
        said = json.loads(body)
        error, fix = str(said["error"]), str(said["fix"])
    except (ValueError, KeyError, TypeError):
        raise TransportError(
            f"{gateway} answered {status}",
            fix="check that identity.gateway is the cloud's fleet.gateway",
        ) from None
    match status:
        case 401:
            raise ClaimRefused(error, fix=fix)
        case 429 | 503 | 408:
            raise TransportError(error, fix=fix)
        case _:
            raise IdentityError(error, fix=fix)
