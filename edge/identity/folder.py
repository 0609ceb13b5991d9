"""What a box keeps of its identity: one file that holds key and certificate together.

A renewal makes a new key first, on disk before it is asked for: an answer that gets lost is asked
for again with the same key. Key and certificate are replaced as one file, so that a power cut
leaves the old pair or the new one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from edge.identity.settings import HELD
from shared.errors import IdentityError
from shared.storage.files import replace_file

NEXT_KEY = "next.key"
CLAIMED = "claimed"
REVOKED = "revoked.pem"


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate whose key lies beside it in `path`. Times are UTC seconds."""

    path: Path
    certificate: x509.Certificate

    @property
    def device(self) -> str:
        names = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value) if names else ""

    @property
    def serial(self) -> str:
        return f"{self.certificate.serial_number:x}"

    @property
    def not_before(self) -> float:
        return self.certificate.not_valid_before_utc.timestamp()

    @property
    def not_after(self) -> float:
        return self.certificate.not_valid_after_utc.timestamp()


class IdentityFolder:
    """The files; every method raises IdentityError where they can't be read or written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / HELD

    def credential(self) -> Credential | None:
        """What this box has; None where it has nothing yet."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(self.path, error) from error
        try:
            key = load_pem_private_key(raw, None)
            certificate = x509.load_pem_x509_certificate(raw)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise self._unreadable(self.path, error) from error
        if key.public_key() != certificate.public_key():
            raise self._unreadable(self.path, ValueError("key and certificate differ"))
        return Credential(self.path, certificate)

    def request(self, device: str) -> bytes:
        """A PKCS#10 request in DER for the next key, which is on disk before this returns."""
        key = self._next_key()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device)])
        builder = x509.CertificateSigningRequestBuilder().subject_name(name)
        return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)

    def adopt(self, certificate: x509.Certificate) -> Credential:
        """Put the next key and its certificate in the place of the present ones."""
        key = self._next_key()
        if key.public_key() != certificate.public_key():
            raise IdentityError(
                "the gateway sent a certificate for another key", fix="check identity.gateway"
            )
        self._write(self.path, _pem(key) + certificate.public_bytes(Encoding.PEM))
        # Until here a power cut leaves both: `_next_key` sees that this one is in use.
        (self._folder / NEXT_KEY).unlink(missing_ok=True)
        return Credential(self.path, certificate)

    def keep_revoked(self, listed: bytes) -> None:
        """The fleet's list of revoked certificates, as its gateway serves it."""
        self._write(self._folder / REVOKED, listed)

    def revoked(self, authority: x509.Certificate) -> x509.CertificateRevocationList | None:
        """The list; None where there is none that this authority has signed."""
        try:
            found = x509.load_pem_x509_crl((self._folder / REVOKED).read_bytes())
        except (OSError, ValueError):
            return None
        key = authority.public_key()
        known = isinstance(key, ec.EllipticCurvePublicKey) and found.is_signature_valid(key)
        return found if known else None

    def has_used(self, token: str) -> bool:
        """Whether this claim token has bought a certificate here."""
        try:
            return (self._folder / CLAIMED).read_text(encoding="ascii") == _digest(token)
        except (OSError, UnicodeDecodeError):
            return False

    def used(self, token: str) -> None:
        self._write(self._folder / CLAIMED, _digest(token).encode())

    def _next_key(self) -> ec.EllipticCurvePrivateKey:
        path = self._folder / NEXT_KEY
        try:
            key = load_pem_private_key(path.read_bytes(), None)
        except FileNotFoundError:
            return self._new_key(path)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise self._unreadable(path, error) from error
        present = self.credential()
        in_use = present is not None and present.certificate.public_key() == key.public_key()
        if in_use or not isinstance(key, ec.EllipticCurvePrivateKey):
            return self._new_key(path)
        return key

    def _new_key(self, path: Path) -> ec.EllipticCurvePrivateKey:
        key = ec.generate_private_key(ec.SECP256R1())
        self._write(path, _pem(key))
        return key

    def _write(self, path: Path, content: bytes) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_file(path, content)
        except OSError as error:
            raise IdentityError(
                f"{path} can't be written ({error})", fix="check the folder's owner and the disk"
            ) from error

    @staticmethod
    def _unreadable(path: Path, error: Exception) -> IdentityError:
        return IdentityError(
            f"{path} can't be read ({error})",
            fix="check its owner; where it is damaged, remove it and enrol with a new claim",
        )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
