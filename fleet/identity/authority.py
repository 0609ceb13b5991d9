"""The fleet's own certificate authority: EC P-256, one level, files in a folder."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fleet.identity.certificates import (
    BACKDATED,
    BACKDATED_SHARE,
    FOUNDED,
    Revoked,
    certificate_builder,
    moment,
    require_clock,
    revocation,
    server_names,
    usage,
)
from fleet.identity.requests import DeviceRequest
from shared.clock import Clock
from shared.errors import IdentityError
from shared.revocations import render
from shared.storage.files import PUBLIC, replace_file

LIFE = dt.timedelta(365 * 20)
SERVER_LIFE = dt.timedelta(365 * 5)
SERVER_RENEWED = dt.timedelta(days=60)
LIST_DAYS = 30
LIST_RENEWED = dt.timedelta(days=15)


@dataclass(frozen=True, slots=True)
class AuthorityFiles:
    """Where everything lies in a fleet's folder."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "authority" / "ca.pem"

    @property
    def key(self) -> Path:
        return self.folder / "authority" / "ca.key"

    @property
    def revoked(self) -> Path:
        return self.folder / "authority" / "crl.pem"

    @property
    def server_certificate(self) -> Path:
        return self.folder / "server" / "server.pem"

    @property
    def server_key(self) -> Path:
        return self.folder / "server" / "server.key"


class Authority:
    """Signs what devices, the gateway and the broker show. Its key is in this process's memory."""

    def __init__(
        self,
        files: AuthorityFiles,
        certificate: x509.Certificate,
        key: ec.EllipticCurvePrivateKey,
        clock: Clock,
    ) -> None:
        self.files = files
        self.certificate = certificate
        self._key = key
        self._clock = clock

    @classmethod
    def create(
        cls, folder: Path, names: Sequence[str], clock: Clock, passphrase: bytes | None = None
    ) -> Self:
        """A new authority, the server's certificate for `names` and an empty list.

        Raises IdentityError where the folder holds an authority, or can't be written.
        """
        files = AuthorityFiles(folder)
        taken = [p for p in (files.key, files.certificate, files.server_key) if p.exists()]
        if taken:
            raise IdentityError(
                f"{taken[0]} is there already, and every device trusts what belongs to it",
                fix="use another --folder, or move the old one away and enrol every device again",
            )
        require_clock(clock.utc())
        known = server_names(names)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "splitsight fleet")])
        certificate = _own_certificate(subject, key, moment(clock.utc()) + LIFE)
        made = cls(files, certificate, key, clock)
        locked: KeySerializationEncryption = (
            BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        )
        try:
            for parent in (files.key.parent, files.server_key.parent):
                parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_file(files.key, _key_pem(key, locked))
            replace_file(files.certificate, certificate.public_bytes(Encoding.PEM), mode=PUBLIC)
            server_key = ec.generate_private_key(ec.SECP256R1())
            replace_file(files.server_key, _key_pem(server_key, NoEncryption()))
            made._certify_server(server_key.public_key(), known)
            made.publish((), ())
        except OSError as error:
            raise _unwritable(error) from error
        return made

    @classmethod
    def open(cls, folder: Path, clock: Clock, passphrase: bytes | None = None) -> Self:
        """Raises IdentityError where it is missing, locked with another phrase, or unreadable."""
        files = AuthorityFiles(folder)
        try:
            certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
            key = load_pem_private_key(files.key.read_bytes(), passphrase)
        except FileNotFoundError as error:
            raise IdentityError(
                f"{folder} holds no authority ({Path(error.filename).name} is missing)",
                fix=f"make one: splitsight fleet init --folder {folder} --host HOST",
            ) from error
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise IdentityError(
                f"the authority's key {files.key} can't be read ({error})",
                fix="check its owner (this user, mode 0600) and identity.passphrase_file",
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise IdentityError(f"{files.key} is not an EC key", fix="restore it from a backup")
        if key.public_key() != certificate.public_key():
            raise IdentityError(
                f"{files.key} does not belong to {files.certificate}",
                fix="restore both from the same backup",
            )
        return cls(files, certificate, key, clock)

    def issue(self, request: DeviceRequest, days: float) -> x509.Certificate:
        """A certificate for one device, to show as a client."""
        require_clock(self._clock.utc())
        now, lasting = moment(self._clock.utc()), dt.timedelta(days=days)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, request.device)])
        uri = x509.UniformResourceIdentifier(f"urn:splitsight:device:{request.device}")
        return self._sign(
            subject,
            request.key,
            (now - min(BACKDATED, lasting / BACKDATED_SHARE), now + lasting),
            x509.SubjectAlternativeName([uri]),
            ExtendedKeyUsageOID.CLIENT_AUTH,
        )

    def is_current(self) -> bool:
        """Whether the list and the server's certificate hold now, by the clock as it is now."""
        now = moment(self._clock.utc())
        try:
            listed = x509.load_pem_x509_crl(self.files.revoked.read_bytes())
            shown = x509.load_pem_x509_certificate(self.files.server_certificate.read_bytes())
        except (OSError, ValueError):
            return False
        until = listed.next_update_utc or now
        return listed.last_update_utc <= now < until - LIST_RENEWED and not _ends_soon(shown, now)

    def renew_own(self) -> bool:
        """Let the authority's certificate begin earlier, where it begins in the future.

        So it does where the clock was ahead when the fleet was made. Key and name stay, so that
        what was signed with it stays good. Whether it was renewed. Raises IdentityError.
        """
        now = moment(self._clock.utc())
        if self.certificate.not_valid_before_utc <= now or now < FOUNDED:
            return False
        ends = max(self.certificate.not_valid_after_utc, now + LIFE)
        self.certificate = _own_certificate(self.certificate.subject, self._key, ends)
        pem = self.certificate.public_bytes(Encoding.PEM)
        try:
            replace_file(self.files.certificate, pem, mode=PUBLIC)
        except OSError as error:
            raise _unwritable(error) from error
        return True

    def renew_server(self) -> bool:
        """Renew the server's certificate, for the same key and names, where it ends soon, or
        begins in the future.

        Whether it was renewed; who shows it has to read it again. Raises IdentityError.
        """
        path = self.files.server_certificate
        try:
            present = x509.load_pem_x509_certificate(path.read_bytes())
            key = present.public_key()
            ends_soon = _ends_soon(present, moment(self._clock.utc()))
            clock_is_set = self._clock.utc() >= FOUNDED.timestamp()
            if not (ends_soon and clock_is_set and isinstance(key, ec.EllipticCurvePublicKey)):
                return False
            names = present.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            self._certify_server(key, names.value)
        except (OSError, ValueError, x509.ExtensionNotFound) as error:
            raise IdentityError(
                f"the server's certificate {path} can't be renewed ({error})",
                fix="restore it from a backup",
            ) from error
        return True

    def _certify_server(
        self, key: ec.EllipticCurvePublicKey, names: x509.SubjectAlternativeName
    ) -> None:
        """A certificate for gateway and broker. Raises OSError."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "splitsight cloud")])
        purpose = ExtendedKeyUsageOID.SERVER_AUTH
        lasting = FOUNDED, moment(self._clock.utc()) + SERVER_LIFE
        certificate = self._sign(subject, key, lasting, names, purpose)
        pem = certificate.public_bytes(Encoding.PEM)
        replace_file(self.files.server_certificate, pem, mode=PUBLIC)

    def publish(self, revoked: Iterable[Revoked], denied: Iterable[str]) -> None:
        """Write the list of revoked certificates. Raises IdentityError.

        denied   names whose open connections must end too
        """
        number, before = self._listed() or (0, None)
        now = moment(self._clock.utc())
        updated = now - BACKDATED
        if before is not None and updated <= before < now:
            # OpenSSL takes the list with the latest time, and times have whole seconds. One from
            # the future, made by a clock that was ahead, counts for nothing and is followed by
            # one that holds now.
            updated = before + dt.timedelta(seconds=1)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(updated)
            .next_update(updated + dt.timedelta(days=LIST_DAYS))
            .add_extension(x509.CRLNumber(number + 1), critical=False)
            .add_extension(authority, critical=False)
        )
        for entry in revoked:
            builder = builder.add_revoked_certificate(revocation(entry))
        listed = builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        try:
            replace_file(self.files.revoked, render(listed, denied), mode=PUBLIC)
        except OSError as error:
            raise _unwritable(error) from error

    def _listed(self) -> tuple[int, dt.datetime] | None:
        """Number and time of the list that is there."""
        try:
            present = x509.load_pem_x509_crl(self.files.revoked.read_bytes())
        except (OSError, ValueError):
            return None
        number = present.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        return number, present.last_update_utc

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        lasting: tuple[dt.datetime, dt.datetime],
        names: x509.SubjectAlternativeName,
        purpose: x509.ObjectIdentifier,
    ) -> x509.Certificate:
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            certificate_builder(subject, self.certificate.subject, key, *lasting)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(names, critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(authority, critical=False)
            .sign(self._key, hashes.SHA256())
        )


def _own_certificate(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, ends: dt.datetime
) -> x509.Certificate:
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        certificate_builder(subject, subject, key.public_key(), FOUNDED, ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage(signs=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


def _ends_soon(shown: x509.Certificate, now: dt.datetime) -> bool:
    """Whether it is to be renewed: a certificate that begins later is none yet."""
    return shown.not_valid_after_utc - now <= SERVER_RENEWED or shown.not_valid_before_utc > now


def _key_pem(key: ec.EllipticCurvePrivateKey, locked: KeySerializationEncryption) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked)


def _unwritable(error: OSError) -> IdentityError:
    return IdentityError(
        f"the fleet's folder can't be written ({error})", fix="check its owner and the disk"
    )
