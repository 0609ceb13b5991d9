"""Keys of secure sums, signed with this device's certificate and checked against the fleet's.

Without it, devices would have to trust the coordinator not to put keys of its own in the place of
their neighbours'.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from edge.identity.clock import earliest
from edge.identity.folder import IdentityFolder
from shared.clock import Clock
from shared.errors import FederationError, IdentityError
from shared.federation.protocol import node_of
from shared.federation.secure_aggregation import Advert, KeyProof
from shared.log import get_logger

log = get_logger("identity")

MOST_CERTIFICATE = 4096
_ECDSA = ec.ECDSA(hashes.SHA256())
_AGAIN = "start another round; if it happens again, find out who runs the coordinator"


class CertifiedKeys:
    """Signs this device's keys and checks those of others. `edge.learner`'s `KeyProofs`."""

    def __init__(self, folder: Path, ca: Path, clock: Clock) -> None:
        self._folder = IdentityFolder(folder)
        self._ca = ca
        self._clock = clock

    def signed(self, session: bytes, node: int, advert: Advert) -> Advert:
        """The advert with a proof. Raises FederationError where the certificate can't be used."""
        try:
            held = self._folder.credential()
        except IdentityError as error:
            raise FederationError(error.message, fix=error.fix) from error
        if held is None:
            raise FederationError(
                "this device has no certificate to sign its keys with", fix="enrol it with a claim"
            )
        key = load_pem_private_key(held.path.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise FederationError(f"{held.path} holds no EC key", fix="enrol with a new claim")
        signature = key.sign(advert.signed_bytes(session, node), _ECDSA)
        proof = KeyProof(held.certificate.public_bytes(Encoding.DER), signature)
        return msgspec.structs.replace(advert, proof=proof)

    def check(self, session: bytes, node: int, advert: Advert) -> None:
        """Raises FederationError where these are not the keys of the device of this node."""
        if advert.proof is None:
            raise FederationError(
                f"nobody has signed the keys of device {node}: it has no certificate, or runs an "
                "earlier release",
                fix="enrol and update it, or leave it out of rounds",
            )
        authority = self._authority()
        shown = _certificate(advert.proof.certificate, node)
        key = shown.public_key()
        try:
            shown.verify_directly_issued_by(authority)
            if not isinstance(key, ec.EllipticCurvePublicKey):
                raise _swapped(node, "its certificate holds no EC key")
            key.verify(advert.proof.signature, advert.signed_bytes(session, node), _ECDSA)
        except (InvalidSignature, ValueError, TypeError) as error:
            raise _swapped(
                node, "the fleet's authority or its own key did not sign them"
            ) from error
        name = _name(shown)
        if node_of(name) != node:
            raise _swapped(node, f"they are those of {name[:63]!r}")
        self._require_good(shown, authority, name)

    def _require_good(
        self, shown: x509.Certificate, authority: x509.Certificate, name: str
    ) -> None:
        now = self._clock.utc()
        behind = now < earliest([authority])
        if not behind and now >= shown.not_valid_after_utc.timestamp():
            raise FederationError(f"the certificate of {name} has expired", fix="renew it")
        listed = self._folder.revoked(authority)
        if listed is None:
            log.warning("revocations_unknown", device=name, fix="the gateway serves the list")
        elif listed.get_revoked_certificate_by_serial_number(shown.serial_number) is not None:
            raise FederationError(
                f"the certificate of {name} was revoked", fix="leave it out of rounds"
            )

    def _authority(self) -> x509.Certificate:
        try:
            return x509.load_pem_x509_certificate(self._ca.read_bytes())
        except (OSError, ValueError) as error:
            raise FederationError(f"identity.ca: {self._ca} can't be read ({error})") from error


def _certificate(der: bytes, node: int) -> x509.Certificate:
    if len(der) > MOST_CERTIFICATE:
        raise _swapped(node, f"its certificate can't be read, it has {len(der)} B")
    try:
        found = x509.load_der_x509_certificate(der)
        _name(found)
    except Exception as error:
        # Versions, curves, encodings: the library has a kind of exception for each.
        raise _swapped(node, "its certificate can't be read") from error
    return found


def _name(shown: x509.Certificate) -> str:
    names = shown.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""


def _swapped(node: int, why: str) -> FederationError:
    return FederationError(
        f"the keys that came for device {node} are not its own: {why}", fix=_AGAIN
    )
