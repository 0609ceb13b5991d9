"""Who gets a certificate, who keeps it, and who loses it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from sqlmodel import Session, col, select

from fleet.identity.authority import Authority
from fleet.identity.certificates import Revoked
from fleet.identity.claims import Claim, list_claims, make_claim, redeem
from fleet.identity.requests import DeviceRequest, fingerprint
from fleet.identity.status import (
    bought_by,
    enrolled,
    name_of,
    put_out_error,
    readmit_words,
    renewed,
    require_in,
    require_place,
    serial_of,
)
from fleet.identity.tables import (
    MAX_REASON,
    CertificateRecord,
    ClaimRecord,
    IdentityRecord,
    Standing,
)
from fleet.storage.database import FleetDatabase
from shared.clock import Clock
from shared.errors import IdentityError
from shared.log import get_logger
from shared.topics import Address

log = get_logger("identity")

OUT: tuple[Standing, ...] = ("held", "revoked", "readmitted")


class Identified(NamedTuple):
    """A certificate that a device has just proven to hold the key of."""

    record: CertificateRecord
    identity: IdentityRecord


class Registrar:
    """Decides on claims, renewals and revocations; safe to share between threads.

    Whatever changes who is trusted is on the authority's list before a call returns.
    """

    def __init__(
        self, authority: Authority, database: FleetDatabase, clock: Clock, days: float
    ) -> None:
        """days: how long a device's certificate lasts."""
        self.authority = authority
        self._database = database
        self._clock = clock
        self._days = days
        self._lock = threading.Lock()

    def claim(self, address: Address, hours: float) -> Claim:
        """A token for one device. Raises IdentityError where that name is out or elsewhere."""
        with self._session() as session:
            present = session.get(IdentityRecord, address.device)
            if present is not None:
                require_place(present, address)
                require_in(present)
            return make_claim(session, address, hours, self._clock.utc())

    def claims(self) -> list[ClaimRecord]:
        with self._session() as session:
            return list_claims(session)

    def devices(self) -> list[IdentityRecord]:
        with self._session() as session:
            return list(session.exec(select(IdentityRecord).order_by(col(IdentityRecord.device))))

    def put_out(self) -> dict[str, str]:
        """Why each device that may say nothing now is out, by its name."""
        with self._session() as session:
            out = session.exec(select(IdentityRecord).where(col(IdentityRecord.standing).in_(OUT)))
            return {d.device: f"{d.standing}: {d.reason}".removesuffix(": ") for d in out}

    def enrol(self, token: str, request: DeviceRequest) -> x509.Certificate:
        """The first certificate of a device, or of its successor under the same name.

        Raises ClaimRefused, and IdentityError where the device is held or revoked.
        """
        with self._session() as session:
            now = self._clock.utc()
            claim = redeem(session, token, request, now)
            present = session.get(IdentityRecord, claim.device)
            if present is not None and present.standing in {"held", "revoked"}:
                raise put_out_error(present)
            answered = self._latest(session, present)
            if answered is not None and bought_by(claim, answered):
                return x509.load_pem_x509_certificate(answered.pem.encode())
            # Whoever claims anew has lost the old key; nobody else may go on with it.
            self._withdraw(session, claim.device, now)
            certificate = self._issue(session, request)
            address = Address(claim.site, claim.line, claim.device)
            session.add(enrolled(address, certificate, present, now))
            self._publish(session)
        log.info("device_enrolled", device=claim.device, site=claim.site, line=claim.line)
        return certificate

    def identify(self, shown: x509.Certificate) -> Identified:
        """Whose certificate this is. The caller has checked that the authority signed it.

        Raises IdentityError where it is not (or no longer) good.
        """
        with self._session() as session:
            return self._identify(session, shown)

    def renew(self, shown: x509.Certificate, request: DeviceRequest) -> x509.Certificate:
        """A new certificate for who shows the present one.

        Raises IdentityError; a device that shows a key which it has given up was copied, and is
        held.
        """
        with self._session() as session:
            found = self._identify(session, shown)
            device = found.record.device
            if request.device != device:
                raise IdentityError(
                    f"{device} asked for a certificate of {request.device}",
                    fix="a device can renew its own alone",
                )
            latest = self._latest(session, found.identity)
            if latest is not None and latest.key == request.fingerprint:
                return x509.load_pem_x509_certificate(latest.pem.encode())
            if found.record.serial == found.identity.serial:
                certificate = self._issue(session, request)
                session.add(renewed(found.identity, certificate, self._clock.utc()))
                log.info("device_renewed", device=device)
                return certificate
        reason = "a key was shown that the device had replaced: its disk may have been copied"
        self.hold(device, reason)
        raise IdentityError(f"{device} is held: {reason}", fix=readmit_words(device))

    def hold(self, device: str, reason: str) -> None:
        """Take a device out until a person readmits it. Raises IdentityError if unknown."""
        self._put_out(device, "held", reason)

    def revoke(self, device: str, reason: str) -> None:
        """Take a device out for good. Raises IdentityError if unknown."""
        self._put_out(device, "revoked", reason)

    def readmit(self, device: str, hours: float) -> Claim:
        """A claim for a device that is held or revoked; its old certificates stay worthless."""
        with self._session() as session:
            identity = self._known(session, device)
            if identity.standing == "active":
                raise IdentityError(
                    f"{device} is active, there is nothing to readmit",
                    fix="`splitsight fleet claim` replaces its certificate",
                )
            now = self._clock.utc()
            identity.standing, identity.changed_at = "readmitted", now
            session.add(identity)
            address = Address(identity.site, identity.line, device)
            claim = make_claim(session, address, hours, now)
        log.info("device_readmitted", device=device)
        return claim

    def publish(self) -> None:
        """Write the list anew: a list that is too old counts as none, and lets nobody in."""
        with self._session() as session:
            self._publish(session)

    def _put_out(self, device: str, standing: Standing, reason: str) -> None:
        with self._session() as session:
            identity = self._known(session, device)
            if identity.standing in {standing, "revoked"}:
                return
            now = self._clock.utc()
            identity.standing, identity.changed_at = standing, now
            identity.reason = reason[:MAX_REASON]
            session.add(identity)
            self._withdraw(session, device, now)
            self._publish(session)
        log.warning("device_put_out", device=device, standing=standing, reason=reason)

    def _identify(self, session: Session, shown: x509.Certificate) -> Identified:
        record = session.get(CertificateRecord, serial_of(shown.serial_number))
        identity = session.get(IdentityRecord, record.device) if record else None
        key = shown.public_key()
        if (
            record is None
            or identity is None
            or not isinstance(key, ec.EllipticCurvePublicKey)
            or fingerprint(key) != record.key
        ):
            raise IdentityError(
                f"the certificate of {name_of(shown)} is not one that a device was given here",
                fix="enrol with a claim: `splitsight fleet claim` makes one",
            )
        if identity.standing != "active":
            raise put_out_error(identity)
        if record.revoked_at is not None:
            raise IdentityError(
                f"this certificate of {record.device} was replaced when it enrolled anew",
                fix=readmit_words(record.device),
            )
        now = self._clock.utc()
        if now >= record.not_after:
            days = (now - record.not_after) / 86400
            raise IdentityError(
                f"the certificate of {record.device} expired {days:.1f} days ago",
                fix="enrol with a new claim: `splitsight fleet claim` makes one",
            )
        return Identified(record, identity)

    def _issue(self, session: Session, request: DeviceRequest) -> x509.Certificate:
        certificate = self.authority.issue(request, self._days)
        session.add(
            CertificateRecord(
                serial=serial_of(certificate.serial_number),
                device=request.device,
                key=request.fingerprint,
                issued_at=self._clock.utc(),
                not_after=certificate.not_valid_after_utc.timestamp(),
                pem=certificate.public_bytes(Encoding.PEM).decode(),
            )
        )
        return certificate

    def _withdraw(self, session: Session, device: str, now: float) -> None:
        good = (
            col(CertificateRecord.device) == device,
            col(CertificateRecord.revoked_at).is_(None),
        )
        for record in session.exec(select(CertificateRecord).where(*good)):
            record.revoked_at = now
            session.add(record)

    def _publish(self, session: Session) -> None:
        session.flush()
        now = self._clock.utc()
        standings = dict(session.exec(select(IdentityRecord.device, IdentityRecord.standing)).all())
        unexpired = select(CertificateRecord).where(
            col(CertificateRecord.revoked_at).is_not(None), col(CertificateRecord.not_after) > now
        )
        revoked = [
            Revoked(int(r.serial, 16), r.revoked_at or now, standings.get(r.device) == "held")
            for r in session.exec(unexpired)
        ]
        denied = [device for device, standing in standings.items() if standing in OUT]
        self.authority.publish(revoked, denied)

    def _known(self, session: Session, device: str) -> IdentityRecord:
        identity = session.get(IdentityRecord, device)
        if identity is None:
            raise IdentityError(
                f"no device {device!r} has enrolled here",
                fix="`splitsight fleet devices` lists those that have",
                missing=True,
            )
        return identity

    @staticmethod
    def _latest(session: Session, identity: IdentityRecord | None) -> CertificateRecord | None:
        return session.get(CertificateRecord, identity.serial) if identity else None

    @contextmanager
    def _session(self) -> Iterator[Session]:
        """One change at a time, all of it or none; rows stay readable afterwards."""
        with (
            self._lock,
            self._database.begin() as connection,
            Session(connection, expire_on_commit=False) as session,
        ):
            yield session
            session.commit()
