"""The tables of identities: claims, devices, certificates."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import String
from sqlmodel import Field

from fleet.storage.tables import FleetTable

Standing = Literal["active", "held", "revoked", "readmitted"]
MAX_REASON = 300


class ClaimRecord(FleetTable, table=True):
    """A token that buys one device its first certificate. Only its hash is kept.

    key   fingerprint of the key that it was used for; None: not used
    """

    __tablename__ = "claims"

    digest: str = Field(primary_key=True, max_length=64)
    site: str = Field(max_length=63)
    line: str = Field(max_length=63)
    device: str = Field(max_length=63, index=True)
    made_at: float
    expires_at: float
    used_at: float | None = None
    key: str | None = Field(default=None, max_length=64)


class IdentityRecord(FleetTable, table=True):
    """A device that has, or had, a certificate.

    standing   held: may come back, see `reason`; readmitted: waits to enrol with a new claim
    serial     of its latest certificate, hexadecimal
    """

    __tablename__ = "identities"

    device: str = Field(primary_key=True, max_length=63)
    site: str = Field(max_length=63)
    line: str = Field(max_length=63)
    standing: Standing = Field(sa_type=String(16))
    reason: str = Field(default="", max_length=MAX_REASON)
    changed_at: float
    enrolled_at: float
    renewed_at: float
    serial: str = Field(max_length=40)
    not_after: float


class CertificateRecord(FleetTable, table=True):
    """Every certificate that a device was given.

    key          fingerprint of its key
    revoked_at   None: it counts
    """

    __tablename__ = "certificates"

    serial: str = Field(primary_key=True, max_length=40)
    device: str = Field(max_length=63, index=True)
    key: str = Field(max_length=64)
    issued_at: float
    not_after: float = Field(index=True)
    revoked_at: float | None = None
    pem: str
