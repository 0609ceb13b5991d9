"""A fleet with its gateway open, and devices in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from edge.identity.est import EstClient
from edge.identity.folder import Credential, IdentityFolder
from edge.identity.renewal import Keeper
from edge.identity.settings import DeviceIdentitySettings
from edge.monitoring.health import BoxHealth
from fleet.configuration.settings import GatewaySettings
from fleet.identity.authority import LIFE, Authority
from fleet.identity.certificates import certificate_builder, moment
from fleet.identity.device_gateway import DeviceGateway
from fleet.identity.registrar import Registrar
from fleet.identity.requests import DeviceRequest, read_request
from fleet.storage.database import NAME, FleetDatabase
from shared.clock import Clock, SystemClock
from shared.errors import TransportError
from shared.topics import Address
from shared.worker import DeadWorkers
from tests.support.databases import place_migrated

BOX = Address("plant", "line", "box-1")
HOUR_S = 3600.0
DAYS = 90.0
ANY_PORT = GatewaySettings(port=0)


def request_of(
    name: str, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None
) -> bytes:
    """A PKCS#10 request in DER."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def asked(name: str = BOX.device) -> DeviceRequest:
    """A good request with a key of its own."""
    return read_request(request_of(name))


@dataclass
class Office:
    """A fleet without its gateway."""

    folder: Path
    authority: Authority
    database: FleetDatabase
    registrar: Registrar
    clock: Clock

    @property
    def ca(self) -> Path:
        return self.authority.files.certificate

    @property
    def crl(self) -> x509.CertificateRevocationList:
        return x509.load_pem_x509_crl(self.authority.files.revoked.read_bytes())

    def enrolled(self, address: Address = BOX) -> tuple[DeviceRequest, x509.Certificate]:
        """A device with a certificate, and the request that it had it for."""
        request = asked(address.device)
        token = self.registrar.claim(address, 1.0).token
        return request, self.registrar.enrol(token, request)


def gateway_of(office: Office, settings: GatewaySettings = ANY_PORT) -> DeviceGateway:
    """A closed one."""
    repository = office.folder / "repository"
    return DeviceGateway(settings, office.registrar, repository, office.clock, DeadWorkers())


@contextmanager
def open_office(folder: Path, clock: Clock, days: float = DAYS) -> Iterator[Office]:
    authority = Authority.create(folder, ["127.0.0.1", "localhost"], clock)
    place_migrated(FleetDatabase, folder / NAME)
    database = FleetDatabase.in_folder(folder)
    try:
        registrar = Registrar(authority, database, clock, days)
        yield Office(folder, authority, database, registrar, clock)
    finally:
        database.close()


@contextmanager
def open_gateway(office: Office) -> Iterator[str]:
    """The address of its gateway."""
    gateway = gateway_of(office)
    gateway.start()
    try:
        yield f"https://127.0.0.1:{gateway.port}"
    finally:
        gateway.stop()


def begin_later(authority: Authority, days: float) -> None:
    """As a fleet that was made, by an earlier release, while its clock was ahead."""
    later = moment(authority._clock.utc()) + timedelta(days=days)
    own, shown = authority.files.certificate, authority.files.server_certificate
    for path in (own, shown):
        present = x509.load_pem_x509_certificate(path.read_bytes())
        key = present.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        builder = certificate_builder(present.subject, present.issuer, key, later, later + LIFE)
        for found in present.extensions:
            builder = builder.add_extension(found.value, found.critical)
        made = builder.sign(authority._key, hashes.SHA256())
        path.write_bytes(made.public_bytes(Encoding.PEM))
        if path == own:
            authority.certificate = made


class Counter:
    """The gateway without a network: `edge.identity.est.Certifies` over the registrar itself.

    away   raise TransportError instead, as where the network is gone
    """

    def __init__(self, office: Office) -> None:
        self._registrar = office.registrar
        self._clock = office.clock
        self.said_utc: float | None = None
        self.away = False
        self.asked: list[str] = []

    def enrol(self, token: str, request: bytes) -> x509.Certificate:
        self._note("enrol")
        return self._registrar.enrol(token, read_request(request))

    def renew(self, shown: Credential, request: bytes) -> x509.Certificate:
        self._note("renew")
        return self._registrar.renew(shown.certificate, read_request(request))

    def check(self, shown: Credential) -> None:
        self._note("check")
        self._registrar.identify(shown.certificate)

    def revoked(self) -> bytes:
        return self._registrar.authority.files.revoked.read_bytes()

    def _note(self, what: str) -> None:
        self.asked.append(what)
        self.said_utc = None
        if self.away:
            raise TransportError("the gateway can't be reached", fix="it is tried again")
        self.said_utc = self._clock.utc()


class Box:
    """A device's half of an identity, without its agent."""

    def __init__(
        self,
        folder: Path,
        office: Office,
        gateway: str,
        *,
        device: str = BOX.device,
        claim: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self.health = BoxHealth()
        self.settings = DeviceIdentitySettings.model_validate(
            {"folder": folder, "gateway": gateway, "ca": office.ca, "claim": claim}
        )
        self.files = IdentityFolder(folder)
        self.client = EstClient(gateway, office.ca, self.clock)
        self.keeper = Keeper(self.settings, device, self.client, self.clock, self.health)

    def enrol(self) -> Credential:
        gained = self.keeper.keep()
        assert gained is not None
        return gained

    def renew(self) -> Credential:
        present = self.files.credential()
        assert present is not None
        return self.keeper.renew(present)
