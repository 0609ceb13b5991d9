"""Where a device stands, and what it is told of it."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import NameOID

from fleet.identity.tables import CertificateRecord, ClaimRecord, IdentityRecord
from shared.errors import IdentityError
from shared.topics import Address


def bought_by(claim: ClaimRecord, certificate: CertificateRecord) -> bool:
    """Whether the claim bought it already, and the answer got lost."""
    bought = certificate.key == claim.key and certificate.issued_at >= (claim.used_at or 0.0)
    return bought and certificate.revoked_at is None


def enrolled(
    address: Address, certificate: x509.Certificate, present: IdentityRecord | None, now: float
) -> IdentityRecord:
    """The record of a device that has just got a certificate for a claim."""
    identity = present or IdentityRecord(
        device=address.device,
        site=address.site,
        line=address.line,
        standing="active",
        changed_at=now,
        enrolled_at=now,
        renewed_at=now,
        serial="",
        not_after=now,
    )
    identity.standing, identity.reason = "active", ""
    identity.site, identity.line = address.site, address.line
    identity.changed_at = identity.enrolled_at = now
    return renewed(identity, certificate, now)


def renewed(identity: IdentityRecord, certificate: x509.Certificate, now: float) -> IdentityRecord:
    """The record with its latest certificate."""
    identity.serial = serial_of(certificate.serial_number)
    identity.not_after = certificate.not_valid_after_utc.timestamp()
    identity.renewed_at = now
    return identity


def require_place(present: IdentityRecord, address: Address) -> None:
    """Raises IdentityError where a device of that name works elsewhere."""
    elsewhere = (present.site, present.line) != (address.site, address.line)
    if elsewhere and present.standing == "active":
        raise IdentityError(
            f"{address.device} is the name of a device at {present.site}/{present.line}",
            fix="names are unique in a fleet: take another, or revoke that one first",
        )


def require_in(present: IdentityRecord) -> None:
    """Raises IdentityError where the device was put out."""
    if present.standing in {"held", "revoked"}:
        raise put_out_error(present)


def put_out_error(identity: IdentityRecord) -> IdentityError:
    """What a device that is not active is told."""
    if identity.standing == "readmitted":
        return IdentityError(
            f"{identity.device} was readmitted, but has not enrolled with its new claim",
            fix="write the token that `splitsight fleet readmit` said into identity.claim",
        )
    why = f": {identity.reason}" if identity.reason else ""
    return IdentityError(
        f"{identity.device} is {identity.standing}{why}", fix=readmit_words(identity.device)
    )


def readmit_words(device: str) -> str:
    """What its people can do."""
    return f"find out which one is yours, then `splitsight fleet readmit {device}`"


def name_of(certificate: x509.Certificate) -> str:
    """Whose it says that it is, for people."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value)[:63] if names else "nobody"


def serial_of(serial: int) -> str:
    """A serial number as it is stored and shown."""
    return f"{serial:x}"
