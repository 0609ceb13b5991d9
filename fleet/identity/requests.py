"""Certificate requests: what a device may ask for, checked before anything is signed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from shared.errors import IdentityError
from shared.topics import NAME

MAX_REQUEST = 4096
FIX = "let `splitsight edge enrol` make the request"


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """A request whose signature proves that the sender holds the key.

    device   the name that it asks for
    key      the public key, EC P-256
    """

    device: str
    key: ec.EllipticCurvePublicKey

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.key)


def fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """What tells keys apart: sha256 of the public key, hexadecimal."""
    info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(info).hexdigest()


def read_request(raw: bytes) -> DeviceRequest:
    """A PKCS#10 request in DER. Raises IdentityError that says what is wrong with it."""
    if len(raw) > MAX_REQUEST:
        raise IdentityError(
            f"the request has {len(raw)} B, at most {MAX_REQUEST} are read", fix=FIX
        )
    try:
        request = x509.load_der_x509_csr(raw)
        key = request.public_key()
        proven = request.is_signature_valid
        device = _only_name(request)
    except IdentityError:
        raise
    except Exception as error:
        # Versions, curves, encodings of names: the library has a kind of exception for each.
        raise IdentityError("the body is not a PKCS#10 request in DER", fix=FIX) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise IdentityError("the request's key is not an EC key on P-256", fix=FIX)
    if not proven:
        raise IdentityError("the request is not signed with its own key", fix=FIX)
    return DeviceRequest(device, key)


def _only_name(request: x509.CertificateSigningRequest) -> str:
    names = [
        str(part.value) for part in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    ]
    if len(names) != 1 or not NAME.fullmatch(names[0]):
        raise IdentityError(
            f"the request's common name is {', '.join(names)[:80]!r}, one device's name was wanted",
            fix=FIX,
        )
    return names[0]
