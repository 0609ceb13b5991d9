"""What certificates and lists of revoked ones consist of; signing them is the authority's."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from shared.errors import IdentityError
from shared.format import date

# A device's clock may be behind ours when it gets its certificate, and ours may have been ahead.
BACKDATED = dt.timedelta(days=1)
# Of a short life less: a device renews after half of it, counted from its beginning.
BACKDATED_SHARE = 10
# No clock that is right is before this, and the authority's and the server's certificates begin
# here: a box that wakes with the day on which its system was built believes them.
FOUNDED = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


class Revoked(NamedTuple):
    """One entry of the list; `held` is for those that may come back."""

    serial: int
    at: float
    held: bool


def certificate_builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    begins: dt.datetime,
    ends: dt.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


def revocation(revoked: Revoked) -> x509.RevokedCertificate:
    builder = (
        x509.RevokedCertificateBuilder()
        .serial_number(revoked.serial)
        .revocation_date(moment(revoked.at))
    )
    if revoked.held:
        held = x509.CRLReason(x509.ReasonFlags.certificate_hold)
        builder = builder.add_extension(held, critical=False)
    return builder.build()


def server_names(names: Iterable[str]) -> x509.SubjectAlternativeName:
    """Raises IdentityError for none, and for what is neither an address nor a host's name."""
    known = [_server_name(name) for name in names]
    if not known:
        raise IdentityError("the server has no name", fix="give --host HOST once or more")
    return x509.SubjectAlternativeName(known)


def _server_name(name: str) -> x509.DNSName | x509.IPAddress:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    labels = name.split(".")
    if not all(_is_label(label) for label in labels):
        raise IdentityError(
            f"{name!r} is neither a host's name nor an IP address",
            fix="give names without scheme and port, such as cloud.plant.example or 10.0.0.5",
        )
    return x509.DNSName(name)


def _is_label(label: str) -> bool:
    return 0 < len(label) <= 63 and label.isascii() and label.replace("-", "").isalnum()


def usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def require_clock(utc: float) -> None:
    """Raises IdentityError for a time at which nothing should be signed."""
    if utc < FOUNDED.timestamp():
        raise IdentityError(
            f"the cloud's clock says {date(utc)}, and what it signs would not be good",
            fix="set the clock and switch on time synchronisation; it is tried again by itself",
        )


def moment(utc: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(utc, dt.UTC).replace(microsecond=0)
